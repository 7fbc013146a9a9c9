package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Okta accepts the access tokens that a custom authorization server of Okta issues to
// people. The issuer looks like https://example.okta.com/oauth2/default, without a
// slash at the end. The audience is a setting of the server. Its default is
// "api://default".
//
// Tokens of the org authorization server, whose issuer is https://example.okta.com,
// are for Okta's own APIs. Only Okta can verify them. If your application sends such
// tokens, let it sign in at a custom authorization server.
//
// The user's ID is in uid. sub is the login, which can change and can pass to another
// person. Machine-to-machine tokens have no uid. To accept them, delete SubjectClaim:
// their sub is the client ID.
//
// Scopes are in scp, which jwtgate.Scope reads. The application is in cid, so
// [jwtgate.Token.ClientID] is empty. To accept certain applications only, use
// jwtgate.Claim("cid", ...).
func Okta(issuer, audience string) jwtgate.Options {
	return jwtgate.Options{
		Keys:         &keys.Remote{},
		Issuers:      []string{issuer},
		Audiences:    []string{audience},
		SubjectClaim: "uid",
	}
}
