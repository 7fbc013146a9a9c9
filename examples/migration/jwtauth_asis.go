package migration

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// jwtauthAsIs accepts the tokens that jwtauthBefore accepts: from any issuer that has
// the secret, for any audience, without expiry, and from the cookie that jwtauth reads.
func jwtauthAsIs(secret []byte) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:          keys.HS256(secret),
		AnyIssuer:     true,
		AnyAudience:   true,
		AllowNoExpiry: true,
		SubjectClaim:  "user_id",
		Extract:       jwtgate.FirstOf(jwtgate.Bearer, jwtgate.Cookie("jwt")),
	})
	if err != nil {
		return nil, err
	}

	r := chi.NewRouter()
	r.Group(func(r chi.Router) {
		r.Use(gate.Handler)
		r.Get("/me", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "hello", jwtgate.Subject(r.Context()))
		})
	})
	return http.NewCrossOriginProtection().Handler(r), nil // browsers attach cookies to requests from other sites too (CSRF)
}
