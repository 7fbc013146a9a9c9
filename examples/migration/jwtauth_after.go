package migration

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// jwtauthAfter has one middleware instead of two: the gate verifies the token and
// answers.
func jwtauthAfter(secret []byte) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:         keys.HS256(secret),
		Issuers:      []string{"https://auth.example.com/"},
		Audiences:    []string{"https://api.example.com"},
		SubjectClaim: "user_id",
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
	return r, nil
}
