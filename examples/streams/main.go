// Streams guards connections that stay open: a WebSocket and server-sent events. A
// connection ends with its token, and each minute the gate is asked again.
//
//	go -C examples/streams run .
//
// prints curl lines with a token. A browser cannot set the Authorization header of either
// kind of connection. Do not put the token into the URL instead, where it ends up in logs.
// For a WebSocket, send it as a subprotocol:
//
//	new WebSocket("wss://feed.example.com/ws", ["feed.v1", "bearer." + token])
//
// For an EventSource, get a cookie first that is good for a minute. The connection may stay
// open for longer: the cookie is only needed to open it.
//
//	await fetch("/ticket", {method: "POST", headers: {Authorization: "Bearer " + token}})
//	new EventSource("/events")
//
// When a connection ends, get a new token, and open a new connection with it.
//
// Copy everything but main.
package main

import (
	"context"
	"crypto"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://feed.example.com"

	// leeway is how long a token is accepted after it has expired, because clocks differ.
	leeway = 30 * time.Second
	// recheck is how often the gate is asked again about an open connection.
	recheck = time.Minute
	// patience is how long a client may take to read what it is sent.
	patience = 10 * time.Second
	// interval is how often the feed has news.
	interval = 10 * time.Second
)

// newHandler returns the service. Its gates call validate, for example to look into a
// deny-list as examples/revocation does.
func newHandler(issuerKey crypto.PublicKey, validate func(context.Context, *jwtgate.Token) error) (http.Handler, error) {
	o := jwtgate.Options{
		Keys:      keys.Public(issuerKey),
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		Leeway:    leeway,
		Validate:  validate,
		Observe:   jwtgate.AuditLog(nil),
	}
	api, err := jwtgate.New(o)
	if err != nil {
		return nil, err
	}
	// Only the streams accept the cookie. No other handler has to think about requests that
	// other sites cause.
	o.Extract = jwtgate.FirstOf(jwtgate.Bearer, subprotocol, jwtgate.Cookie(ticketName))
	gate, err := jwtgate.New(o)
	if err != nil {
		return nil, err
	}
	s := &streams{gate: gate}
	mux := http.NewServeMux()
	mux.Handle("POST /ticket", api.Handler(http.HandlerFunc(ticket)))
	mux.Handle("GET /ws", gate.Handler(http.HandlerFunc(s.webSocket)))
	mux.Handle("GET /events", gate.Handler(http.HandlerFunc(s.events)))
	return mux, nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	signer := demo.NewSigner() // in production the identity provider signs the tokens
	handler, err := newHandler(signer.PublicKey(), nil)
	if err != nil {
		log.Fatal(err)
	}
	token := signer.Token(map[string]any{"iss": issuer, "aud": audience, "sub": "7d1c", "exp": time.Now().Add(2 * time.Minute).Unix()})
	fmt.Printf("curl -N -H \"Authorization: Bearer %s\" http://%s/events\n", token, *addr)

	// WriteTimeout would end the streams: each write has its own deadline instead.
	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
