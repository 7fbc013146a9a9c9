// Gateway is a reverse proxy that verifies tokens and sends the user's ID in the header
// X-User to the service behind it. Make sure that only the gateway can reach that
// service.
//
//	go run ./gateway
//
// starts the gateway and such a service, and prints curl lines with tokens.
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

// newHandler returns the gateway. It verifies tokens with keys from source.
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
		p.Out.Header.Del("Authorization") // the service does not need the token
		// Many servers read X_User as X-User. Some read X.User as X-User too.
		maps.DeleteFunc(p.Out.Header, func(name string, _ []string) bool {
			return name == "X-User" || strings.ContainsAny(name, "!#$%&'*+.^_`|~")
		})
		// The subject alone names the user, because the gate trusts one issuer. With
		// several issuers, also send the issuer that jwtgate.Identity returns.
		if subject := jwtgate.Subject(p.In.Context()); subject != "" {
			p.Out.Header.Set("X-User", subject)
		}
	}}

	// Forward listed routes only. The service might take a path that the gateway does not
	// know, such as /orders%2F, for a guarded path.
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", proxy) // public
	mux.Handle("GET /me", gate.Handler(proxy))
	mux.Handle("POST /orders", gate.Require(jwtgate.Scope("orders:write")).Handler(proxy))
	return mux, nil
}

// fitsHeader is a rule that refuses subjects that may change on their way through a
// header, such as " alice". It accepts visible ASCII characters only.
func fitsHeader(_ *http.Request, t *jwtgate.Token) error {
	if strings.ContainsFunc(t.Subject, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return jwtgate.ErrClaim
	}
	return nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	// In production pass &keys.Remote{}, which discovers the issuer's keys.
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
