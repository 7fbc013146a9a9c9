package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Cognito accepts the access tokens of an Amazon Cognito user pool that were
// given to the app clients with the given IDs. The issuer looks like
// https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example, or
// https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example
// if the pool has the updated issuer. It has no slash at the end.
//
// These tokens usually have no aud. What they are for is told by the app
// client they were given to, and token_use tells them from ID tokens.
// Without both rules, every client of the pool could call this service.
//
// Groups are in a claim whose name has a colon:
// jwtgate.Claim("cognito:groups", "admins"). The scopes of a resource server
// have its identifier in front, as in "https://api.example.com/orders.read",
// and come with tokens of the OAuth 2.0 endpoints; a sign-in by the SDK
// grants aws.cognito.signin.user.admin instead. The subject of a machine is
// its client ID.
func Cognito(issuer string, clientIDs ...string) jwtgate.Options {
	return jwtgate.Options{
		Keys:        &keys.Remote{},
		Issuers:     []string{issuer},
		AnyAudience: true,
		Rules: []jwtgate.Rule{
			jwtgate.Claim("token_use", "access"),
			jwtgate.Claim("client_id", clientIDs...),
		},
	}
}
