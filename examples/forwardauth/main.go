// Forwardauth lets a proxy ask for each request whether its token is good: nginx with
// auth_request, Caddy with forward_auth, or Traefik with ForwardAuth. The services behind the
// proxy need no gate of their own, in whatever language they are written. They get the user's
// ID in the header X-User.
//
//	go -C examples/forwardauth run .
//
// starts the endpoint and a service, and prints curl lines for the proxy. Start one with
// the configuration beside this file: nginx.conf, Caddyfile or traefik.yml. Copy from it, and
// newHandler from here.
// The test runs nginx and Caddy with these files. traefik.yml is not tested.
//
//   - Make sure that only the proxy can reach the services: they believe X-User.
//   - The proxy decides which rights a path needs, by the endpoint that it asks. Do not
//     decide by X-Forwarded-Uri in the endpoint: the proxy, the endpoint and the service may
//     each understand a path like /public/..%2Freports differently. A service that knows its
//     own routes is the better place for rights.
//   - nginx turns each answer other than 2xx, 401 and 403 into 500. nginx.conf shows how to
//     keep 400 and 503. If 503 were 401 instead, an outage of the issuer would sign everybody
//     out. Caddy and Traefik pass on the whole answer.
//   - A token that is bound to a DPoP key is refused, because the endpoint does not see the
//     URL that the proof names.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://shop.example.com"
)

// newHandler returns the endpoints that the proxy asks. It answers 204 with the user's ID, or
// refuses as a gate does. The proxy sends the header of the client's request without the body.
func newHandler(source jwtgate.KeySource) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      source,
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		Rules:     []jwtgate.Rule{jwtgate.RuleFunc(fitsHeader)},
		CacheSize: 10_000, // a page has many requests with the same token
		Observe:   jwtgate.AuditLog(nil),
	})
	if err != nil {
		return nil, err
	}
	// A handler that writes nothing would answer 200, which lets the request pass too.
	pass := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The subject alone names the user, because the gate trusts one issuer.
		w.Header().Set("X-User", jwtgate.Subject(r.Context()))
		w.WriteHeader(http.StatusNoContent)
	})
	mux := http.NewServeMux() // an endpoint that does not exist is 404: no proxy lets that pass
	mux.Handle("/verify", gate.Handler(pass))
	mux.Handle("/verify/reports", gate.Require(jwtgate.Scope("reports:read")).Handler(pass))
	return mux, nil
}

// fitsHeader is a rule that refuses subjects that may change on their way through a header,
// such as " alice". It accepts visible ASCII characters only.
func fitsHeader(_ *http.Request, t *jwtgate.Token) error {
	if strings.ContainsFunc(t.Subject, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("the subject does not fit into a header, wanted are visible ASCII characters")
	}
	return nil
}

// service stands for the services behind the proxy.
func service(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s for %q\n", r.Method, r.URL.Path, r.Header.Get("X-User"))
}

func main() {
	addr := flag.String("addr", "127.0.0.1:9000", "`address` of the endpoint")
	serviceAddr := flag.String("service", "127.0.0.1:9001", "`address` of the service")
	flag.Parse()

	signer := demo.NewSigner() // in production the identity provider signs the tokens
	handler, err := newHandler(keys.Public(signer.PublicKey()))
	if err != nil {
		log.Fatal(err)
	}
	token := signer.Token(map[string]any{"iss": issuer, "aud": audience, "sub": "7d1c"})
	fmt.Println("curl -i http://127.0.0.1:8080/health")
	fmt.Println("curl -i http://127.0.0.1:8080/me")
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" http://127.0.0.1:8080/me\n", token)
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" http://127.0.0.1:8080/reports\n", token)

	go func() {
		log.Fatal((&http.Server{Addr: *serviceAddr, Handler: http.HandlerFunc(service), ReadHeaderTimeout: 5 * time.Second}).ListenAndServe())
	}()
	log.Fatal((&http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}).ListenAndServe())
}
