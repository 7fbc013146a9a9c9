// Trust serves many tenants, each with its own issuer, and takes the trust in one of them
// back without a restart.
//
//	go run ./examples/trust -issuers issuers.txt
//
// The file lists the trusted issuers, one a line. The program reads it again every two
// seconds. Replace it by a rename, so that it is never read half. Once a line has gone, the
// next request with a token of that issuer is refused with 401, also if the token is in the
// cache of the gate. A new line makes the issuer trusted, and keys.Remote fetches its keys
// at its first request.
//
// A stream that is open already ends only if its handler asks again: see examples/streams.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const audience = "https://notes.example.com"

// newHandler returns the service. It accepts the tokens of the tenants in list.
func newHandler(source jwtgate.KeySource, list *tenants) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:        source,
		TrustIssuer: list.trusts,
		Audiences:   []string{audience},
		CacheSize:   10_000,
		Observe:     jwtgate.AuditLog(nil),
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /notes", gate.Handler(http.HandlerFunc(notes)))
	return mux, nil
}

// notes answers with the user whose notes it would show. Two tenants may have users with
// the same subject, so the issuer belongs to the name of a user.
func notes(w http.ResponseWriter, r *http.Request) {
	issuer, subject := jwtgate.Identity(r.Context())
	fmt.Fprintf(w, "notes of %s at %s\n", subject, issuer)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	path := flag.String("issuers", "issuers.txt", "`file` with the trusted issuers, one a line")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	list := new(tenants)
	if err := list.load(*path); err != nil {
		log.Fatal(err)
	}
	go list.follow(ctx, *path, 2*time.Second, slog.Default())

	// Without URL a Remote keeps the keys of the issuers apart: no tenant can sign for
	// another one.
	handler, err := newHandler(&keys.Remote{}, list)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
