package migration

import (
	"fmt"
	"net/http"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// auth0After finds the keys as auth0Before does: in the issuer's discovery document.
func auth0After(issuer, audience string) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{issuer},
		Audiences: []string{audience},
	})
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("GET /me", gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello", jwtgate.Subject(r.Context()))
	})))
	return mux, nil
}
