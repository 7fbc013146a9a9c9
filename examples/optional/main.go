// Optional serves a page to everybody and greets by name those who are signed
// in.
//
//	go run ./examples/optional
//
// prints a token. With it in $TOKEN:
//
//	curl -i http://127.0.0.1:8080/
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/
//	curl -i -H "Authorization: Bearer x$TOKEN" http://127.0.0.1:8080/
//
// The last one is refused with 401. A token that is not good is never taken
// for none: its sender believes to be signed in, and has to hear otherwise.
package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://news.example.com"
)

// newHandler returns the site, for tokens signed with the issuer's key.
func newHandler(issuerKey crypto.PublicKey) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.Public(issuerKey),
		Issuers:   []string{issuer},
		Audiences: []string{audience},
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", gate.Optional(http.HandlerFunc(front)))
	return mux, nil
}

// page escapes the name: a token tells who wrote it, not that it is harmless.
var page = template.Must(template.New("front").Parse(`<!doctype html>
<title>News</title>
{{if .}}<p>Good morning, {{.}}. This is for you.</p>{{else}}<p>Good morning. Sign in to see more.</p>{{end}}
`))

func front(w http.ResponseWriter, r *http.Request) {
	name := ""
	if token, ok := jwtgate.FromContext(r.Context()); ok { // ok is false for the anonymous
		var claims struct {
			Name string `json:"name"`
		}
		if err := token.Decode(&claims); err != nil {
			log.Print(err)
			http.Error(w, "cannot read the profile", http.StatusInternalServerError)
			return
		}
		if name = claims.Name; name == "" {
			name = token.Subject
		}
	}

	// What one visitor gets is not for the next: without these, a cache could
	// keep the page.
	w.Header().Set("Cache-Control", "private")
	w.Header().Set("Vary", "Authorization")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, name); err != nil {
		log.Print(err)
	}
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	// The identity provider has this key, and signs the tokens.
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(public)
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "7d1c", "exp": time.Now().Add(time.Hour).Unix(), "name": "Alice",
	}).SignedString(private)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" http://%s/\n", token, *addr)

	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
