package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Google accepts the ID tokens of people who have signed in with Google, to
// the application with the given client ID, by an account of the Workspace
// domain. If any Google account will do, leave the rule out.
//
// It is the ID token that the application has to send. Google's access
// tokens, which start with "ya29.", are for Google's APIs and are no JWTs.
//
// iss is written in two ways, one of them no URL, so that the keys cannot be
// discovered from it; their address is given instead.
//
// The audience is all that tells the sign-ins to your application from those
// to everybody else's. It does not say that a person signed in: service
// accounts, anybody's, can have tokens made for whatever audience they like.
// The rule keeps them out, since those have no hd. To accept several
// applications, such as one for the web and one for Android, list their
// client IDs.
//
// The domain is in hd. The end of email is no substitute: somebody may have
// a personal account under an address of your domain. Nor is email an
// identifier, since it may change; sub is.
func Google(clientID, domain string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{URL: "https://www.googleapis.com/oauth2/v3/certs"},
		Issuers:   []string{"https://accounts.google.com", "accounts.google.com"},
		Audiences: []string{clientID},
		Rules:     []jwtgate.Rule{jwtgate.Claim("hd", domain)},
	}
}
