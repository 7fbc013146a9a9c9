// Chi guards routes of a chi router with jwtgate. chi takes net/http middleware, so
// no adapter is needed.
//
//	go run ./chi
//
// prints curl lines with tokens.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

// newHandler returns the service. It verifies tokens with keys from source.
func newHandler(source jwtgate.KeySource) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      source,
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		return nil, err
	}

	r := chi.NewRouter()
	r.Get("/", hello) // public
	r.Group(func(r chi.Router) {
		r.Use(gate.Handler)
		r.Get("/me", hello)
		r.With(gate.Require(jwtgate.Scope("orders:write")).Handler).Post("/orders", hello)
	})
	return r, nil
}

// hello takes the place of your handlers.
func hello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "subject: %q\n", jwtgate.Subject(r.Context()))
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	// In production pass &keys.Remote{}, which discovers the issuer's keys.
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	handler, err := newHandler(keys.HS256(secret))
	if err != nil {
		log.Fatal(err)
	}
	demo.PrintCurl("http://"+*addr, secret)
	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
