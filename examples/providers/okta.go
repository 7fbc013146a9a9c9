package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Okta accepts the access tokens that a custom authorization server of Okta
// gives to people. Its issuer looks like
// https://example.okta.com/oauth2/default, without a slash at the end, and
// its audience is a setting of the server: "api://default" to begin with.
//
// The tokens of the organization itself, whose issuer is
// https://example.okta.com, are for Okta's own APIs and for nobody else to
// verify. If that is what your application sends, it has to sign in at a
// custom authorization server.
//
// The user's ID is in uid. sub has the login, which may change, and pass to
// somebody else. Machines have no uid: for them leave SubjectClaim out, and
// the subject is the client ID.
//
// Scopes are in scp, where jwtgate.Scope finds them. The application is in
// cid, so that [jwtgate.Token.ClientID] is empty; jwtgate.Claim("cid", ...)
// asks for certain ones.
func Okta(issuer, audience string) jwtgate.Options {
	return jwtgate.Options{
		Keys:         &keys.Remote{},
		Issuers:      []string{issuer},
		Audiences:    []string{audience},
		SubjectClaim: "uid",
	}
}
