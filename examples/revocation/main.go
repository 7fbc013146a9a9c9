// Revocation revokes tokens before they expire: a single token when its user signs out,
// or all tokens of a user. The deny list is in Redis. The issuer can feed it too, by
// back-channel logout and by security events (RFC 8935): see events.go.
//
//	redis-server --port 6379 --bind 127.0.0.1 --save "" --appendonly no
//	go -C examples/revocation run . -redis 127.0.0.1:6379
//
// Run each command in its own terminal. The second prints curl lines with tokens. Send
// them in order. Stop Redis before you send the last two, to see both ways to handle an
// outage: GET /account is refused with 503, and GET /articles is still answered.
//
// Before you copy this:
//
//   - Give tokens a short lifetime: revocation is only the second defence. Somebody who
//     can get new tokens must be stopped at the issuer. End the session and its refresh
//     tokens there first, then revoke here.
//   - Validate runs for each request, even if the token is in the cache
//     (Options.CacheSize): the cache saves only the check of the signature. So each
//     request costs a round trip to Redis, and a revocation takes effect at once.
//   - Redis can lose entries, and then the revoked tokens are valid again. To keep
//     entries across a restart, set appendonly yes. To keep them when memory runs out,
//     set maxmemory-policy noeviction. A failover can lose the latest entries.
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

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://news.example.com"

	// maxAge is the longest lifetime that the issuer gives a token. The gates refuse
	// older tokens, so the deny list can forget them.
	maxAge = time.Hour
	// leeway is how long a token is accepted after it has expired, because clocks
	// differ. Entries of the deny list are kept that much longer.
	leeway = 30 * time.Second
	// patience is how long a request waits for Redis.
	patience = 250 * time.Millisecond
)

// newHandler returns the service. Its gates have the options o, plus what revocation
// needs.
func newHandler(o jwtgate.Options, list *denyList, logger *slog.Logger) (http.Handler, error) {
	mux := http.NewServeMux()
	if err := addNotices(mux, o, list, logger); err != nil {
		return nil, err
	}

	// Refuse tokens that cannot be revoked. A token without jti cannot be revoked
	// individually: hasID refuses it. A token without iat cannot be compared with the time
	// at which its user's tokens were revoked: MaxAge refuses it.
	o.Rules = append([]jwtgate.Rule{jwtgate.RuleFunc(hasID)}, o.Rules...)
	o.MaxAge = maxAge
	o.Leeway = leeway

	o.Validate = list.check
	closed, err := jwtgate.New(o)
	if err != nil {
		return nil, err
	}
	// This gate is only for GET requests whose answers do little harm if a thief reads
	// them. Each route below uses one of the two gates.
	o.Validate = list.checkIfPossible(logger)
	open, err := jwtgate.New(o)
	if err != nil {
		return nil, err
	}

	mux.Handle("GET /articles", open.Handler(say("articles for")))
	mux.Handle("POST /articles", closed.Handler(say("published by")))
	mux.Handle("GET /account", closed.Handler(say("account of")))
	mux.Handle("POST /logout", closed.Handler(logout(list, logger)))
	mux.Handle("POST /admin/users/{id}/revoke",
		closed.Require(jwtgate.Scope("users:revoke")).Handler(revokeUser(list, logger)))
	return mux, nil
}

// hasID refuses tokens without jti. It is in Options.Rules and not in Require, so the
// status is 401 and not 403.
func hasID(_ *http.Request, t *jwtgate.Token) error {
	if t.ID == "" {
		return errors.New("jti is missing, so the token could not be revoked")
	}
	return nil
}

func say(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, what, jwtgate.Subject(r.Context()))
	})
}

// logout revokes the token of the request.
func logout(list *denyList, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, ok := jwtgate.FromContext(r.Context())
		if !ok {
			http.Error(w, "no gate in front of this handler", http.StatusInternalServerError)
			return
		}
		finish(w, r, list.revokeToken(r.Context(), t), logger)
	})
}

// revokeUser revokes all tokens of the user in the path. It assumes that the user and
// the administrator have the same issuer. With several issuers, the path must name the
// issuer too.
func revokeUser(list *denyList, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		admin, ok := jwtgate.FromContext(r.Context())
		if !ok {
			http.Error(w, "no gate in front of this handler", http.StatusInternalServerError)
			return
		}
		user := r.PathValue("id")
		logger.InfoContext(r.Context(), "revoking a user", "user", user, "by", admin)
		finish(w, r, list.revokeUser(r.Context(), admin.Issuer, user, time.Now()), logger)
	})
}

// finish answers a request to revoke. It reports success only if err is nil, so that
// no caller relies on a revocation that failed.
func finish(w http.ResponseWriter, r *http.Request, err error, logger *slog.Logger) {
	if err != nil {
		logger.ErrorContext(r.Context(), "not revoked", "error", err)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "nothing was revoked; try again", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	redisAddr := flag.String("redis", "127.0.0.1:6379", "`address` of Redis")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *addr, *redisAddr, patience)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "revocation:", err)
		os.Exit(1)
	}
}

// run prints curl lines and serves until ctx ends. A request waits for Redis for at
// most patience.
func run(ctx context.Context, out io.Writer, addr, redisAddr string, patience time.Duration) error {
	list := newDenyList(redisAddr, patience)
	defer list.close()
	// This program fails at start, so that people who try it see that Redis is missing. A
	// real service should start anyway: until Redis is reachable, its gates answer as in an
	// outage.
	if err := list.ping(ctx); err != nil {
		host, port, splitErr := net.SplitHostPort(redisAddr)
		if splitErr != nil {
			return fmt.Errorf("-redis: %w", splitErr)
		}
		return fmt.Errorf("no Redis answers at %s: %w\n"+
			"Name another address with -redis, or start Redis and try again:\n"+
			"\tredis-server --port %s --bind %s --save \"\" --appendonly no", redisAddr, err, port, host)
	}

	signer := demo.NewSigner() // in production the identity provider signs the tokens
	handler, err := newHandler(jwtgate.Options{
		Keys:      keys.Public(signer.PublicKey()),
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		CacheSize: 10_000,
	}, list, slog.Default())
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
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

	if err = printCurl(out, "http://"+listener.Addr().String(), signer); err == nil {
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

// printCurl prints requests for the reader to send.
func printCurl(out io.Writer, url string, signer *demo.Signer) error {
	token := func(subject, scope string) string {
		return signer.Token(map[string]any{
			"iss": issuer, "aud": audience, "sub": subject, "scope": scope,
			"jti": rand.Text(), "exp": time.Now().Add(maxAge).Unix(),
		})
	}
	phone, laptop, admin := token("alice", ""), token("alice", ""), token("root", "users:revoke")
	_, err := fmt.Fprintf(out, `Alice has two tokens. She signs out with the first token. Then the first token is refused:

curl -i -H "Authorization: Bearer %[2]s" %[1]s/account
curl -i -X POST -H "Authorization: Bearer %[2]s" %[1]s/logout
curl -i -H "Authorization: Bearer %[2]s" %[1]s/account

The second token is valid until an administrator revokes all her tokens:

curl -i -H "Authorization: Bearer %[3]s" %[1]s/account
curl -i -X POST -H "Authorization: Bearer %[4]s" %[1]s/admin/users/alice/revoke
curl -i -H "Authorization: Bearer %[3]s" %[1]s/account

Stop Redis. Then the first of these requests is refused with 503, and the second is answered:

curl -i -H "Authorization: Bearer %[4]s" %[1]s/account
curl -i -H "Authorization: Bearer %[4]s" %[1]s/articles

Ctrl-C stops the server.
`, url, phone, laptop, admin)
	return err
}
