package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Google accepts the ID tokens of people who sign in with Google. clientID is the
// client ID of the application that they sign in to. domain is the Workspace domain of
// their accounts. To accept any Google account, delete the rule, and read the
// paragraph about service accounts.
//
// The application must send the ID token. Google's access tokens, which start with
// "ya29.", are for Google's APIs and are not JWTs.
//
// iss has two spellings, and one of them is not a URL. So the keys cannot be
// discovered, and the recipe names their URL. Both spellings mean Google: the subject
// alone identifies the user. If you trust other issuers too, replace one spelling by
// the other in the result of [jwtgate.Identity] before you store the user.
//
// Only the audience distinguishes tokens for your application from tokens for other
// applications. To accept several applications, such as one for the web and one for
// Android, list all their client IDs.
//
// Anybody can create a service account at Google and get a token for any audience with
// it. The rule refuses such tokens because they have no hd.
//
// hd is the domain of the account. Do not look at the end of email instead: a personal
// account can have an address of your domain. Do not identify users by email, which
// can change. Use sub.
func Google(clientID, domain string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{URL: "https://www.googleapis.com/oauth2/v3/certs"},
		Issuers:   []string{"https://accounts.google.com", "accounts.google.com"},
		Audiences: []string{clientID},
		Rules:     []jwtgate.Rule{jwtgate.Claim("hd", domain)},
	}
}
