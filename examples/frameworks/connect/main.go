// Connect guards procedures of a Connect service with jwtgate, for clients that use
// Connect, gRPC or gRPC-Web. The procedures are net/http handlers, so a gate can wrap
// them. The adapter sends refusals in the client's protocol.
//
//	go run ./connect
//
// prints curl lines with tokens.
package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"flag"
	"log"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// deny is a function for Options.OnDeny. If a request is not an RPC, it writes nothing
// and the gate answers.
func deny(w http.ResponseWriter, r *http.Request, e *jwtgate.Error) {
	code := connect.CodeUnauthenticated
	switch e.Status {
	case http.StatusBadRequest:
		code = connect.CodeInvalidArgument
	case http.StatusForbidden:
		code = connect.CodePermissionDenied
	case http.StatusServiceUnavailable:
		code = connect.CodeUnavailable
	}
	if errs := connect.NewErrorWriter(); errs.IsSupported(r) {
		_ = errs.Write(w, r, connect.NewError(code, errors.New(cmp.Or(e.Code, code.String())))) // an error means that the client closed the connection
	}
}

// newHandler returns the service. It verifies tokens with keys from source.
func newHandler(source jwtgate.KeySource) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      source,
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		OnDeny:    deny,
	})
	if err != nil {
		return nil, err
	}
	// Generated code returns the path and the handler of a whole service. To guard it,
	// write mux.Handle(path, gate.Handler(handler)).
	mux := http.NewServeMux()
	mux.Handle(ping, connect.NewUnaryHandlerSimple(ping, subject)) // public
	mux.Handle(me, gate.Handler(connect.NewUnaryHandlerSimple(me, subject)))
	mux.Handle(watch, gate.Handler(connect.NewServerStreamHandlerSimple(watch, subjects)))
	mux.Handle(order, gate.Require(jwtgate.Scope("orders:write")).Handler(connect.NewUnaryHandlerSimple(order, subject)))
	return mux, nil
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
	printCurl("http://"+*addr, secret)
	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // for gRPC without TLS
	log.Fatal(server.ListenAndServe())
}
