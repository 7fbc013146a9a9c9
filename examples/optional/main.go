// Optional serves a public page that greets signed-in users by name.
//
//	go run ./examples/optional
//
// prints a curl line with a token. Set TOKEN to the token and send:
//
//	curl -i http://127.0.0.1:8080/
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/
//	curl -i -H "Authorization: Bearer x$TOKEN" http://127.0.0.1:8080/
//
// The last request is refused with 401. A gate does not treat a bad token as no
// token: the user believes they are signed in and must learn that they are not.
//
// The parts to copy are newHandler and front.
package main

import (
	"crypto"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://news.example.com"
)

// newHandler returns the site. It accepts tokens signed with the issuer's key.
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

// page escapes the name. A verified token is genuine, but its claims may still
// contain markup.
var page = template.Must(template.New("front").Parse(`<!doctype html>
<title>News</title>
{{if .}}<p>Good morning, {{.}}. This is for you.</p>{{else}}<p>Good morning. Sign in to see more.</p>{{end}}
`))

func front(w http.ResponseWriter, r *http.Request) {
	name := ""
	if token, ok := jwtgate.FromContext(r.Context()); ok { // ok is false without a token
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

	// The page depends on the user. Without these headers a shared cache could
	// serve it to somebody else.
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

	signer := demo.NewSigner() // in production the identity provider signs the tokens
	handler, err := newHandler(signer.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	token := signer.Token(map[string]any{"iss": issuer, "aud": audience, "sub": "7d1c", "name": "Alice"})
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" http://%s/\n", token, *addr)

	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
