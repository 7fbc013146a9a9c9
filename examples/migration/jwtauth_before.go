package migration

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/jwtauth/v5"
)

// jwtauthBefore is the example of jwtauth's README. The user's ID is in the claim
// user_id.
func jwtauthBefore(secret []byte) http.Handler {
	tokenAuth := jwtauth.New("HS256", secret, nil)

	r := chi.NewRouter()
	r.Group(func(r chi.Router) {
		r.Use(jwtauth.Verifier(tokenAuth))
		r.Use(jwtauth.Authenticator(tokenAuth))
		r.Get("/me", func(w http.ResponseWriter, r *http.Request) {
			_, claims, _ := jwtauth.FromContext(r.Context())
			fmt.Fprintln(w, "hello", claims["user_id"])
		})
	})
	return r
}
