// Playground shows on a page which check of a gate accepts a token or refuses
// it, and why, what is answered, and the Go code for the options chosen.
//
//	go run ./examples/playground
//
// and open http://127.0.0.1:8080/ in a browser. Tokens are signed there with keys
// that are made when the program starts, or pasted, and then verified with a key
// that is pasted too. The page sends all its fields to /api, which takes them from
// anybody on this machine; those that are left out are empty:
//
//	curl -s http://127.0.0.1:8080/presets
//	curl -s -H "Content-Type: application/json" -d '{"request": "GET / HTTP/1.1\nHost: localhost",
//	  "source": "issuer", "issuers": "https://auth.example.com/", "anyAudience": true}' http://127.0.0.1:8080/api
//
// The gate is one of jwtgate.New and stands in a server of net/http, so nothing
// here knows how to verify a token. What is pasted stays in this process and is
// neither stored nor logged. The program listens on loopback alone, and connects
// to nothing.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"
)

//go:embed page
var assets embed.FS

// maxBody leaves room for a token that is longer than a gate reads.
const maxBody = 256 << 10

func main() {
	port := flag.Int("port", 8080, "`port` of 127.0.0.1 to listen on; 0 takes a free one")
	flag.Parse()
	// keys.JWKS tells the log of keys that it skips: here for every key that is
	// pressed, and of what was pasted.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *port)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "playground:", err)
		os.Exit(1)
	}
}

// run serves the page until ctx ends.
func run(ctx context.Context, out io.Writer, port int) error {
	issuer, err := newIssuer()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           newHandler(issuer),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	fmt.Fprintf(out, "open http://%s/\n", listener.Addr())

	select {
	case <-ctx.Done():
	case err = <-stopped:
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(ctx))
}

// newHandler returns the page and what it asks.
func newHandler(issuer *issuer) http.Handler {
	page, err := fs.Sub(assets, "page")
	if err != nil {
		panic(err) // the name is no path
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(page))
	mux.HandleFunc("GET /presets", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, presets(time.Now()))
	})
	mux.HandleFunc("POST /api", func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			http.Error(w, "the body must be application/json", http.StatusUnsupportedMediaType)
			return
		}
		var f form
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		decoder.DisallowUnknownFields()
		var tooLarge *http.MaxBytesError
		switch err := decoder.Decode(&f); {
		case errors.As(err, &tooLarge):
			http.Error(w, "the body has more than "+strconv.Itoa(maxBody)+" bytes", http.StatusRequestEntityTooLarge)
			return
		case err != nil:
			http.Error(w, "the body is not a form: "+err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, issuer.try(f, time.Now()))
	})
	return secured(http.NewCrossOriginProtection().Handler(mux))
}

func writeJSON(w http.ResponseWriter, content any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(content) // an error means that the client has gone
}

// secured keeps other sites out: their pages neither frame this one nor load
// from it, and cannot reach it under a name of theirs that resolves to loopback
// (DNS rebinding).
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
			"X-Content-Type-Options":       "nosniff",
			"Cache-Control":                "no-store",
		} {
			w.Header().Set(name, value)
		}
		if !isLoopback(r.Host) {
			http.Error(w, "this host is not served; use 127.0.0.1 or localhost", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback tells whether a Host header names this machine. The port may be
// another than ours, as when a tunnel leads here.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "127.0.0.1" || host == "localhost"
}
