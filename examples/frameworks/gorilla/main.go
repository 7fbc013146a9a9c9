// Gorilla guards routes of a gorilla/mux router with jwtgate. gorilla/mux takes
// net/http middleware, so no adapter is needed.
//
//	go run ./gorilla
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

	"github.com/gorilla/mux"
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
	writers := gate.Require(jwtgate.Scope("orders:write"))

	r := mux.NewRouter()
	r.HandleFunc("/", hello).Methods(http.MethodGet) // public
	guarded := r.NewRoute().Subrouter()
	guarded.Use(gate.Handler)
	guarded.HandleFunc("/me", hello).Methods(http.MethodGet)
	guarded.Handle("/orders", writers.Handler(http.HandlerFunc(hello))).Methods(http.MethodPost)
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
