package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Auth0 accepts the access tokens of an Auth0 tenant, such as
// example.eu.auth0.com, for one of its APIs.
//
// The issuer ends in a slash. If users sign in at a custom domain, that is
// the domain: iss is the one that the token was requested from. If both are
// in use, list both issuers.
//
// The audience is the identifier that the API was registered with, not a
// client ID: that one is the audience of ID tokens. An application that
// signs in without naming an audience gets an encrypted token, which no
// service can read; the answer to it is 401. So it is if the API signs with
// HS256, whose secret would be shared with this service: choose RS256.
//
// Scopes say what the application may do. With role-based access control,
// what the user may do is in another claim: jwtgate.Claim("permissions",
// "write:orders"). The subject of a machine ends in "@clients".
func Auth0(domain, audience string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{"https://" + domain + "/"},
		Audiences: []string{audience},
	}
}
