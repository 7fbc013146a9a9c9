// Services shows how one service, "front", calls another, "back". Users call front
// with their own tokens. For its calls to back, front has a token too. Front gets this
// token from the issuer by client credentials (RFC 6749 section 4.4) and renews it.
//
//	go -C examples/services run .
//
// prints curl lines with tokens. The services are in front.go and back.go. The issuer
// in issuer.go takes the place of yours. All three listen on loopback without TLS. On
// a network use TLS: anybody who can read a request can use its token.
//
// What front does with a user's request:
//
//   - Front sends the user's ID in the header X-User. Back trusts the header only
//     because the gate of back has verified that the caller is front.
//   - Front passes the request's context on: if the user disconnects, the request to
//     back ends.
//   - Front does not forward the user's token. It is for front, and back refuses it.
//   - Front does not forward an X-User header that the user sends.
//   - If back or the issuer refuses front, the user's token is still good: front
//     answers 502 or 503 and never 401.
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
			WriteTimeout:      15 * time.Second, // longer than twice patience, so that front can still answer after both waits
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
	// Let requests in progress finish, even if ctx has ended. Front stops first, because
	// it needs the others.
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
	_, err = fmt.Fprintf(out, `Alice asks front for her orders. Front gets them from back:

curl -i -H "Authorization: Bearer %[1]s" %[2]s/orders

If she sends bob in X-User, she still gets her own orders:

curl -i -H "Authorization: Bearer %[1]s" -H "X-User: bob" %[2]s/orders

Back refuses her token, because it is for front:

curl -i -H "Authorization: Bearer %[1]s" -H "X-User: bob" %[3]s/orders

Ctrl-C stops the servers.
`, token, frontURL, backURL)
	return err
}
