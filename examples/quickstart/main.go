// Quickstart guards an HTTP API with jwtgate and shows which requests the gate
// accepts, which it refuses, and why.
//
//	go run ./examples/quickstart         # then paste the curl lines it prints
//	go run ./examples/quickstart -once   # exits after the table
//
// It needs nothing but Go. The issuer of the tokens runs in the same process, and
// the gate fetches its keys over HTTP. The part to copy is newHandler.
//
// The answer to a client does not say why a token was refused. The log does, so the
// table has the reason from the log. Once the table is printed, the log goes to the
// terminal.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

// audience is the name of this API. The aud claim of each token must contain it.
const audience = "https://api.example.com"

// newHandler returns the API. It trusts the tokens of one issuer and finds the
// issuer's keys by discovery.
func newHandler(issuer string) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		Observe:   jwtgate.AuditLog(nil), // logs why a token was refused; clients are not told
	})
	if err != nil {
		return nil, err
	}

	// Here one route is guarded. The others of this mux are public.
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", showSubject)
	mux.Handle("GET /orders", gate.Handler(http.HandlerFunc(showSubject)))

	// Here a whole mux is guarded: a request without a token is refused even if its
	// path is unknown. One route also requires a scope.
	api := http.NewServeMux()
	api.HandleFunc("GET /orders", showSubject)
	api.Handle("POST /orders", gate.Require(jwtgate.Scope("orders:write")).Handler(http.HandlerFunc(showSubject)))
	mux.Handle("/api/", http.StripPrefix("/api", gate.Handler(api)))
	return mux, nil
}

// showSubject takes the place of your handlers. Behind a gate, Subject is the
// user's ID.
func showSubject(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(map[string]string{"subject": jwtgate.Subject(r.Context())})
	if err != nil {
		log.Print(err) // the client closed the connection
	}
}

func main() {
	once := flag.Bool("once", false, "exit after the table, with status 1 if a row is wrong")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Stderr, *once)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run serves the API and prints the table. Unless once is set, it also prints the
// curl lines, and keeps serving and logging until ctx ends. It sets the default logger,
// which jwtgate.AuditLog(nil) uses.
func run(ctx context.Context, out, logs io.Writer, once bool) error {
	audit := &auditLog{Handler: slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn})}
	slog.SetDefault(slog.New(audit))
	issuer, err := demo.StartIssuer()
	if err != nil {
		return err
	}
	defer issuer.Close()
	handler, err := newHandler(issuer.URL)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()

	url := "http://" + listener.Addr().String()
	err = printTable(ctx, out, url, issuer, audit)
	if err == nil && !once {
		slog.SetDefault(slog.New(slog.NewTextHandler(logs, nil))) // from now on the reader sees the log
		err = printCurl(out, url, issuer)
	}
	if err == nil && !once {
		select {
		case <-ctx.Done():
		case err = <-stopped:
		}
	}

	// Let requests in progress finish, even if ctx has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(ctx))
}
