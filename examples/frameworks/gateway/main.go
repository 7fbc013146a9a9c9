// Gateway is a reverse proxy that checks tokens and tells the service behind it
// who the user is, in the header X-User. Nobody else may reach that service.
//
//	go run ./gateway
//
// starts such a service too, and prints curl lines with tokens to try it with.
package main

import (
	"crypto/rand"
	"flag"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

// newHandler returns the gateway, for tokens that verify with keys from source.
func newHandler(source jwtgate.KeySource, upstream *url.URL) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      source,
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Rules:     []jwtgate.Rule{jwtgate.RuleFunc(fitsHeader)},
	})
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(upstream)
		p.SetXForwarded()
		p.Out.Header.Del("Authorization") // nobody else needs the token
		// Many servers take X_User for X-User, and some X.User too.
		maps.DeleteFunc(p.Out.Header, func(name string, _ []string) bool {
			return name == "X-User" || strings.ContainsAny(name, "!#$%&'*+.^_`|~")
		})
		if subject := jwtgate.Subject(p.In.Context()); subject != "" {
			p.Out.Header.Set("X-User", subject)
		}
	}}

	// Only what is listed goes through: a path that the gateway does not know,
	// such as /orders%2F, might be a guarded one to the service.
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", proxy) // public
	mux.Handle("GET /me", gate.Handler(proxy))
	mux.Handle("POST /orders", gate.Require(jwtgate.Scope("orders:write")).Handler(proxy))
	return mux, nil
}

// fitsHeader refuses subjects that a header changes, such as " alice".
func fitsHeader(_ *http.Request, t *jwtgate.Token) error {
	if strings.ContainsFunc(t.Subject, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return jwtgate.ErrClaim
	}
	return nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	// In production pass &keys.Remote{}, which finds the keys through the issuer.
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	handler, err := newHandler(keys.HS256(secret), startUpstream())
	if err != nil {
		log.Fatal(err)
	}
	demo.PrintCurl("http://"+*addr, secret)
	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
