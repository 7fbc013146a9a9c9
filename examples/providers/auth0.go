package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Auth0 accepts the access tokens of an Auth0 tenant for one API. domain is the
// tenant's domain, such as example.eu.auth0.com.
//
// The issuer ends in a slash. If users sign in at a custom domain, pass the custom
// domain: iss is the domain that the application requested the token from. If both
// domains are in use, list both issuers. A user has the same subject under both, so
// the subject alone identifies the user, and [jwtgate.Identity] returns two pairs.
//
// The audience is the identifier of the registered API. It is not a client ID: a client
// ID is the audience of ID tokens. An application that signs in without an audience gets
// an encrypted token, which only Auth0 can read. The gate refuses it with 401. The gate
// also refuses the tokens of an API that is set to HS256: to verify them, this service
// would need the API's signing secret. Set the API to RS256.
//
// Scopes say what the application may do. With role-based access control, the claim
// permissions says what the user may do: jwtgate.Claim("permissions", "write:orders").
// The subject of a machine-to-machine token is the client ID followed by "@clients".
func Auth0(domain, audience string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{"https://" + domain + "/"},
		Audiences: []string{audience},
	}
}
