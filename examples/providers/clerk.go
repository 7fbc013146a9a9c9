package providers

import (
	"errors"
	"net/http"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Clerk accepts the session tokens of a Clerk instance. frontendAPI is the Frontend API URL
// of the instance, without a slash at the end, such as https://clerk.example.com in
// production. origins are those of the applications whose users may call this service, such
// as https://app.example.com.
//
// Session tokens have no aud. The rules replace the audience check:
//
//   - azp is the origin of the page that got the token. A browser may leave the origin out
//     for reasons of privacy, and then the token has no azp: the recipe refuses it.
//   - sid is the session. Tokens of JWT templates, which applications hand to other services,
//     have none.
//   - sts "pending" is a user who has not finished signing in, for example because they must
//     join an organization first.
//
// Let the page send the token in the Authorization header. Clerk also puts it into the cookie
// __session. Browsers send cookies with requests that other sites cause, so a service that
// reads the cookie needs a protection against CSRF (see [jwtgate.Cookie]).
//
// Somebody of your support who impersonates a user has a token with the user's sub and with
// act: Token.Actor is then not empty. To keep them out of a route, use
// jwtgate.NoClaim("act").
func Clerk(frontendAPI string, origins ...string) jwtgate.Options {
	return jwtgate.Options{
		Keys:        &keys.Remote{URL: frontendAPI + "/.well-known/jwks.json"},
		Issuers:     []string{frontendAPI},
		AnyAudience: true,
		Rules: []jwtgate.Rule{
			jwtgate.Claim("azp", origins...),
			jwtgate.RuleFunc(activeSession),
		},
	}
}

// activeSession refuses tokens of Clerk that are not those of an active session.
func activeSession(_ *http.Request, t *jwtgate.Token) error {
	var claims struct {
		Session string `json:"sid"`
		Status  string `json:"sts"` // absent in version 1 of the tokens
	}
	if err := t.Decode(&claims); err != nil {
		return err
	}
	if claims.Session == "" {
		return errors.New("sid is missing, wanted is a session token")
	}
	if claims.Status == "pending" {
		return errors.New(`sts is "pending", wanted is an active session`)
	}
	return nil
}
