// Services has two services, of which the second is behind the first. Users
// call front with their tokens; front calls back with a token of its own, which
// it gets from the issuer by client credentials and renews.
//
//	go -C examples/services run .
//
// prints curl lines, with tokens. Front is in front.go and back in back.go. The
// issuer, in issuer.go, stands for yours. All three listen on loopback, where
// they can do without TLS: anywhere else, whoever reads a request has its token.
//
// What front passes on of a user's request, and what it does not:
//
//   - The user's ID goes in the header X-User. Back believes it because its gate
//     says that the caller is front, and for no other reason.
//   - The context goes along: if the user leaves, the request to back ends.
//   - The user's token stays. It is for front; back refuses it.
//   - An X-User that the user sends stays too.
//   - A refusal by back, or by the issuer, is no refusal of the user's token:
//     front answers 502 or 503 and never 401.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` that front listens on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *addr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

// run starts the issuer and both services, prints curl lines, and serves until
// ctx ends.
func run(ctx context.Context, out io.Writer, addr string) error {
	var listeners [3]net.Listener
	var urls [3]string
	for i, addr := range []string{addr, "127.0.0.1:0", "127.0.0.1:0"} {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		defer listener.Close()
		listeners[i], urls[i] = listener, "http://"+listener.Addr().String()
	}
	frontURL, backURL, issuerURL := urls[0], urls[1], urls[2]

	secret := rand.Text()
	issuer, err := newIssuer(issuerURL, map[string]registration{
		frontClient: {secret: secret, resource: backAudience, scopes: []string{ordersAny}, lifetime: 5 * time.Minute},
	})
	if err != nil {
		return err
	}
	backHandler, err := newBack(issuerURL)
	if err != nil {
		return err
	}
	frontHandler, err := front{
		issuer: issuerURL, secret: secret, back: backURL, patience: 5 * time.Second, logger: slog.Default(),
	}.handler()
	if err != nil {
		return err
	}

	var servers []*http.Server
	stopped := make(chan error, len(listeners))
	for i, handler := range []http.Handler{frontHandler, backHandler, issuer} {
		server := &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      15 * time.Second, // longer than twice front's patience, or its apology would not arrive
		}
		servers = append(servers, server)
		go func() { stopped <- server.Serve(listeners[i]) }()
	}

	if err = printCurl(out, issuer, frontURL, backURL); err == nil {
		select {
		case <-ctx.Done():
		case err = <-stopped:
		}
	}
	// ctx may have ended, and requests under way still get their answer: front's
	// first, which needs the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for _, server := range servers {
		err = errors.Join(err, server.Shutdown(ctx))
	}
	return err
}

// printCurl prints requests for the reader to send.
func printCurl(out io.Writer, issuer *localIssuer, frontURL, backURL string) error {
	token, err := issuer.userToken("alice", nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, `Alice asks front for her orders, and front asks back:

curl -i -H "Authorization: Bearer %[1]s" %[2]s/orders

Whatever she sends in X-User, she does not get bob's:

curl -i -H "Authorization: Bearer %[1]s" -H "X-User: bob" %[2]s/orders

Back refuses her token, which is not for it:

curl -i -H "Authorization: Bearer %[1]s" -H "X-User: bob" %[3]s/orders

Ctrl-C ends the servers.
`, token, frontURL, backURL)
	return err
}
