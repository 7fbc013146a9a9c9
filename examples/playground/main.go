// Playground serves a page that shows which check of a gate refuses a token, and why.
// The page also shows what the client gets, and the Go code for the chosen options.
//
//	go run ./examples/playground
//
// Then open http://127.0.0.1:8080/ in a browser. The page signs tokens with keys that
// are made when the program starts, or takes a pasted token and pasted keys. The page
// itself is a DPoP client: it makes a key that never leaves the browser, and proofs.
//
// The page sends its fields to /api. Any program on this machine can do the same.
// Missing fields are empty:
//
//	curl -s http://127.0.0.1:8080/presets
//	curl -s -H "Content-Type: application/json" -d '{"request": "GET / HTTP/1.1\nHost: localhost",
//	  "source": "issuer", "issuers": "https://auth.example.com/", "anyAudience": true}' http://127.0.0.1:8080/api
//
// Each request goes through a gate made by jwtgate.New, in a server of net/http, so
// the outcome is that of a real service. Pasted tokens and keys stay in this process:
// they are neither stored nor logged. The program listens on loopback only and makes
// no connections.
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

// maxBody is the longest body of a request, in bytes. It has room for tokens that the
// gate refuses because they are too long.
const maxBody = 256 << 10

func main() {
	port := flag.Int("port", 8080, "`port` of 127.0.0.1 to listen on; 0 chooses a free port")
	flag.Parse()
	// Discard the log: keys.JWKS logs the pasted keys that it skips, each time the
	// page asks.
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

// newHandler returns the page and its API.
func newHandler(issuer *issuer) http.Handler {
	page, err := fs.Sub(assets, "page")
	if err != nil {
		panic(err) // cannot happen: "page" is a valid path
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(page))
	mux.HandleFunc("GET /presets", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, issuer.presets(time.Now()))
	})
	mux.HandleFunc("POST /api", func(w http.ResponseWriter, r *http.Request) {
		if f, ok := readForm(w, r); ok {
			writeJSON(w, issuer.try(f, time.Now()))
		}
	})
	// The page needs the token before the proof: the proof has its hash.
	mux.HandleFunc("POST /mint", func(w http.ResponseWriter, r *http.Request) {
		if f, ok := readForm(w, r); ok {
			token, _ := issuer.mint(f) // /api shows the error
			writeJSON(w, map[string]string{"token": token})
		}
	})
	return secured(http.NewCrossOriginProtection().Handler(mux))
}

// readForm returns the form in the body of r. If there is none, it answers the request.
func readForm(w http.ResponseWriter, r *http.Request) (f form, ok bool) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "the body must be application/json", http.StatusUnsupportedMediaType)
		return f, false
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	var tooLarge *http.MaxBytesError
	switch err := decoder.Decode(&f); {
	case errors.As(err, &tooLarge):
		http.Error(w, "the body has more than "+strconv.Itoa(maxBody)+" bytes", http.StatusRequestEntityTooLarge)
		return f, false
	case err != nil:
		http.Error(w, "the body is not a form: "+err.Error(), http.StatusBadRequest)
		return f, false
	}
	return f, true
}

func writeJSON(w http.ResponseWriter, content any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(content) // an error means that the client closed the connection
}

// secured protects the page from other sites. Their pages cannot frame this page or
// load from it. They cannot reach it through a host name that they resolve to loopback
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

// isLoopback reports whether a Host header names this machine. Any port is accepted,
// because a tunnel may use another one.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "127.0.0.1" || host == "localhost"
}
