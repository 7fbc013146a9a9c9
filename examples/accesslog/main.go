// Accesslog writes an access log outside of the gate that knows the user of each request.
//
//	go run ./examples/accesslog
//
// prints curl lines. Send them and look at the log: it has a line for each request, also
// for a refused one and for one of a public route. A gate puts the token into the context
// of the handler inside, which middleware outside does not see. So the access log puts an
// empty holder into the context, and Observe fills it.
//
// jwtgate.AuditLog is something else: it has one line for each decision of a gate, with the
// whole reason of a refusal. Use it too.
//
// The parts to copy are newHandler and log.go.
package main

import (
	"context"
	"crypto"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://orders.example.com"
)

// newHandler returns the service with its access log.
func newHandler(issuerKey crypto.PublicKey, logger *slog.Logger) (http.Handler, error) {
	audit := jwtgate.AuditLog(logger)
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.Public(issuerKey),
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		Observe: func(ctx context.Context, e jwtgate.Event) {
			audit(ctx, e)
			remember(ctx, e)
		},
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /health", say("healthy"))
	mux.Handle("GET /front", gate.Optional(say("front")))
	mux.Handle("GET /orders/{id}", gate.Handler(say("order")))
	mux.Handle("DELETE /orders/{id}", gate.Require(jwtgate.Scope("orders:delete")).Handler(say("deleted")))
	return accessLog(logger, mux), nil
}

func say(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, what, jwtgate.Subject(r.Context()))
	})
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	signer := demo.NewSigner() // in production the identity provider signs the tokens
	handler, err := newHandler(signer.PublicKey(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		log.Fatal(err)
	}
	token := signer.Token(map[string]any{"iss": issuer, "aud": audience, "sub": "7d1c"})
	fmt.Printf("curl -i http://%s/health\n", *addr)
	fmt.Printf("curl -i http://%s/orders/1\n", *addr)
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" http://%s/orders/1\n", token, *addr)
	fmt.Printf("curl -i -X DELETE -H \"Authorization: Bearer %s\" http://%s/orders/1\n", token, *addr)

	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
