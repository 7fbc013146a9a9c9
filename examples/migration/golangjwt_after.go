package migration

import (
	"fmt"
	"net/http"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// golangJWTAfter is the same service behind a gate. The middleware and its context key
// are gone.
func golangJWTAfter(publicKey []byte) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.PEM(publicKey),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
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
