package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Cognito accepts the access tokens that an Amazon Cognito user pool issues to the
// app clients with the given IDs. The issuer has no slash at the end. It is
//
//   - https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example, or
//   - https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example
//     if the pool uses the updated issuer.
//
// These tokens usually have no aud. The rules replace the audience check: client_id
// names the app client that got the token, and token_use distinguishes access tokens
// from ID tokens. Keep both rules. Without them every client of the pool could call
// this service, and ID tokens would be accepted.
//
// Groups are in a claim whose name has a colon:
// jwtgate.Claim("cognito:groups", "admins"). The scopes of a resource server start
// with its identifier, as in "https://api.example.com/orders.read". Only tokens from
// the OAuth 2.0 endpoints have them. Tokens from a sign-in with the SDK have the scope
// aws.cognito.signin.user.admin. The subject of a machine-to-machine token is the
// client ID.
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
