// Bound accepts only tokens that are bound to a key of their client (DPoP, RFC 9449): a
// stolen token does not work without that key. The service has two servers. They share the
// nonce keys, and a Redis that remembers which proofs have been used.
//
//	redis-server --port 6379 --bind 127.0.0.1 --save "" --appendonly no
//	go -C examples/bound run . -redis 127.0.0.1:6379
//
// Run each command in its own terminal. The second starts both servers and a client. It
// prints what the client gets, and goes on with one request a second. Stop Redis and start
// it again, and look at the answers. README.md says what to change before you copy this.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://api.example.com"

	// serviceURL is how clients call the service: the URL of its load balancer. The proofs
	// of clients are for this URL. The addresses of the servers do not matter.
	serviceURL = "https://api.example.com"
	// patience is how long a request waits for Redis.
	patience = 250 * time.Millisecond
)

// newHandler returns the handler of one server. o has the issuer and its keys. The other
// arguments are the same for all servers of the service.
func newHandler(o jwtgate.Options, nonceKeys [][]byte, replays dpop.Replays) (http.Handler, error) {
	o.Confirm = []jwtgate.Confirmer{&dpop.Verifier{
		URLs:      []string{serviceURL},
		NonceKeys: nonceKeys,
		Replays:   replays,
		Now:       o.Now,
	}}
	gate, err := jwtgate.New(o)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "orders of", jwtgate.Subject(r.Context()))
	})
	return gate.Handler(mux), nil
}

// readNonceKeys reads nonce keys: one on each line, in hexadecimal. The first makes the
// nonces. Empty lines, and lines that start with #, are left out.
func readNonceKeys(text []byte) (nonceKeys [][]byte, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := hex.DecodeString(line)
		if err != nil {
			// The error of hex names a character of the key.
			return nil, fmt.Errorf("line %d is not a hexadecimal number; make a key with: openssl rand -hex 32", n)
		}
		nonceKeys = append(nonceKeys, key)
	}
	if len(nonceKeys) == 0 {
		return nil, errors.New("no key; make one with: openssl rand -hex 32")
	}
	return nonceKeys, lines.Err()
}

func main() {
	redisAddr := flag.String("redis", "127.0.0.1:6379", "`address` of Redis")
	keyFile := flag.String("nonce-keys", "", "`file` with nonce keys; without it, the program makes one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *redisAddr, *keyFile, time.Second)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bound:", err)
		os.Exit(1)
	}
}

// run starts two servers and sends requests to them until ctx ends: first those that show
// what is refused, then one after each interval.
func run(ctx context.Context, out io.Writer, redisAddr, keyFile string, interval time.Duration) (err error) {
	nonceKeys := [][]byte{[]byte(rand.Text() + rand.Text())}
	if keyFile != "" {
		text, err := os.ReadFile(keyFile)
		if err != nil {
			return err
		}
		if nonceKeys, err = readNonceKeys(text); err != nil {
			return fmt.Errorf("%s: %w", keyFile, err)
		}
	}
	replays := newReplays(redisAddr, patience)
	defer replays.close()
	// This program fails at start, so that people who try it see that Redis is missing. A
	// real service should start anyway: until Redis is reachable, it answers 503.
	if err := replays.ping(ctx); err != nil {
		host, port, splitErr := net.SplitHostPort(redisAddr)
		if splitErr != nil {
			return fmt.Errorf("-redis: %w", splitErr)
		}
		return fmt.Errorf("no Redis answers at %s: %w\n"+
			"Name another address with -redis, or start Redis and try again:\n"+
			"\tredis-server --port %s --bind %s --save \"\" --appendonly no", redisAddr, err, port, host)
	}

	signer := demo.NewSigner() // in production the identity provider signs the tokens
	audit := jwtgate.AuditLog(slog.Default())
	options := jwtgate.Options{
		Keys:      keys.Public(signer.PublicKey()),
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		CacheSize: 10_000, // saves the check of the token, not that of the proof
		Observe: func(ctx context.Context, e jwtgate.Event) {
			if e.Err != nil {
				audit(ctx, e)
			}
		},
	}
	var addresses []string
	stopped := make(chan error, 2)
	for range 2 {
		handler, err := newHandler(options, nonceKeys, replays)
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
		defer func() {
			// Let requests in progress finish, even if ctx has ended.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			err = errors.Join(err, server.Shutdown(ctx))
		}()
		go func() { stopped <- server.Serve(listener) }()
		addresses = append(addresses, "http://"+listener.Addr().String())
	}
	alice, err := newClient()
	if err != nil {
		return err
	}
	defer alice.http.CloseIdleConnections()
	thumbprint, err := alice.thumbprint()
	if err != nil {
		return err
	}
	token := signer.Token(map[string]any{
		"iss": issuer, "aud": audience, "sub": "alice",
		"cnf": map[string]string{"jkt": thumbprint}, // RFC 9449 section 6.1
	})
	if err := show(ctx, out, alice, token, addresses); err != nil {
		return err
	}

	fmt.Fprintf(out, "\nNow a request after each %v. Stop Redis and start it again. Ctrl-C ends the program.\n", interval)
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case err := <-stopped:
			return err
		case <-time.After(interval):
		}
		response, err := alice.get(ctx, addresses[i%2], "/orders", token)
		if ctx.Err() != nil {
			return nil
		}
		if err := report(out, fmt.Sprintf("server %d", i%2+1), response, err); err != nil {
			return err
		}
	}
}

// show sends requests that show what is accepted and what is refused.
func show(ctx context.Context, out io.Writer, alice *client, token string, addresses []string) error {
	one, two := addresses[0], addresses[1]
	fmt.Fprintf(out, "Server 1 is %s and server 2 is %s. Clients know both as %s.\n\n", one, two, serviceURL)
	var proof string
	for _, request := range []struct{ title, server, scheme, proof string }{
		{"no nonce yet, server 1", one, "DPoP", "new"},
		{"with the nonce of server 1, server 2", two, "DPoP", "new"},
		{"the same proof again, server 1", one, "DPoP", "old"},
		{"the token without a proof", one, "DPoP", ""},
		{"the token as Bearer, by a thief", one, "Bearer", ""},
	} {
		if request.proof == "new" {
			var err error
			if proof, err = alice.proof("GET", serviceURL+"/orders", token); err != nil {
				return err
			}
		}
		sent := proof
		if request.proof == "" {
			sent = ""
		}
		response, err := alice.send(ctx, request.server, "/orders", request.scheme+" "+token, sent)
		if err := report(out, request.title, response, err); err != nil {
			return err
		}
	}
	return nil
}

// report prints the answer to a request.
func report(out io.Writer, title string, response *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(response.Header.Get("WWW-Authenticate"), ` error="`)
	code, _, _ := strings.Cut(after, `"`)
	if response.StatusCode == http.StatusOK {
		code = strings.TrimSpace(string(body))
	}
	_, err = fmt.Fprintf(out, "%-38s %d %s\n", title+":", response.StatusCode, cmp.Or(code, http.StatusText(response.StatusCode)))
	return err
}
