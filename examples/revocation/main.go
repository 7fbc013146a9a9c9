// Revocation refuses tokens before they expire: one by one, as their users sign
// out, and all that a user has. The deny list is in Redis.
//
//	redis-server --port 6379 --bind 127.0.0.1 --save "" --appendonly no
//	go -C examples/revocation run . -redis 127.0.0.1:6379
//
// The first wants a terminal of its own; the second prints curl lines, with
// tokens, to be sent in their order. Stop Redis before the last two, to see the
// two ways of doing without: GET /account is refused with 503, GET /articles
// still answers.
//
// What to know before copying this:
//
//   - Short-lived tokens are the better half of revocation. Whoever can get new
//     ones has to be stopped at the issuer: end the session and its refresh tokens
//     there first, then revoke here.
//   - Validate runs for each request, also for a token that Options.CacheSize
//     remembers: a cache saves the check of the signature and never this one. So
//     each request costs a round trip to Redis, and a revocation counts at once.
//   - Redis forgets. A list that must survive a restart needs appendonly yes, and
//     one that must not lose entries as memory runs out needs maxmemory-policy
//     noeviction: any other policy may throw them out, and what is thrown out is
//     good again. A failover may lose the latest.
package main

import (
	"context"
	"crypto/ed25519"
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

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://news.example.com"

	// maxAge is the longest that the issuer lets a token live. Gates refuse older
	// ones, and the deny list need not remember longer.
	maxAge = time.Hour
	// leeway is how long after its end a token is still accepted, clocks being
	// what they are. Entries of the deny list last that much longer.
	leeway = 30 * time.Second
	// patience is how long a request waits for Redis.
	patience = 250 * time.Millisecond
)

// newHandler returns the service, for tokens as o describes them.
func newHandler(o jwtgate.Options, list *denyList, logger *slog.Logger) (http.Handler, error) {
	// What cannot be revoked is not let in. A token without jti could not be
	// revoked alone, and MaxAge refuses one without iat, of which could not be
	// told whether it is older than its user's revocation.
	o.Rules = append([]jwtgate.Rule{jwtgate.RuleFunc(hasID)}, o.Rules...)
	o.MaxAge = maxAge
	o.Leeway = leeway

	o.Validate = list.check
	closed, err := jwtgate.New(o)
	if err != nil {
		return nil, err
	}
	// For reads that are worth more to their users than to a thief. Each route
	// below says which of the two it is behind; this one has no method but GET.
	o.Validate = list.checkIfPossible(logger)
	open, err := jwtgate.New(o)
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("GET /articles", open.Handler(say("articles for")))
	mux.Handle("POST /articles", closed.Handler(say("published by")))
	mux.Handle("GET /account", closed.Handler(say("account of")))
	mux.Handle("POST /logout", closed.Handler(logout(list, logger)))
	mux.Handle("POST /admin/users/{id}/revoke",
		closed.Require(jwtgate.Scope("users:revoke")).Handler(revokeUser(list, logger)))
	return mux, nil
}

// hasID is a rule of Options: a token that fails it is answered with 401.
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

// logout revokes the token that the request came with.
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

// revokeUser revokes all tokens of the user in the path, who is one of the
// administrator's issuer. With several issuers, the path has to name that too.
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

// finish answers a revocation. Nobody is told that a token is revoked that
// might not be.
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
	err := run(ctx, os.Stdout, *addr, *redisAddr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "revocation:", err)
		os.Exit(1)
	}
}

// run prints curl lines and serves until ctx ends.
func run(ctx context.Context, out io.Writer, addr, redisAddr string) error {
	list := newDenyList(redisAddr, patience)
	defer list.close()
	// For whoever tries this out. A service would rather start all the same, and
	// answer as newHandler has it until Redis is there.
	if err := list.ping(ctx); err != nil {
		host, port, splitErr := net.SplitHostPort(redisAddr)
		if splitErr != nil {
			return fmt.Errorf("-redis: %w", splitErr)
		}
		return fmt.Errorf("no Redis answers at %s: %w\n"+
			"Name another with -redis, or start one and try again:\n"+
			"\tredis-server --port %s --bind %s --save \"\" --appendonly no", redisAddr, err, port, host)
	}

	// The identity provider has this key, and signs the tokens.
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	handler, err := newHandler(jwtgate.Options{
		Keys:      keys.Public(public),
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

	if err = printCurl(out, "http://"+listener.Addr().String(), private); err == nil {
		select {
		case <-ctx.Done():
		case err = <-stopped:
		}
	}
	// ctx may have ended, and requests under way still get their answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(ctx))
}

// printCurl prints requests for the reader to send.
func printCurl(out io.Writer, url string, private ed25519.PrivateKey) error {
	phone, err := sign(private, "alice", "")
	if err != nil {
		return err
	}
	laptop, err := sign(private, "alice", "")
	if err != nil {
		return err
	}
	admin, err := sign(private, "root", "users:revoke")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, `Alice has two tokens. With the first she signs out, and is refused from then on:

curl -i -H "Authorization: Bearer %[2]s" %[1]s/account
curl -i -X POST -H "Authorization: Bearer %[2]s" %[1]s/logout
curl -i -H "Authorization: Bearer %[2]s" %[1]s/account

The second is still good, until an administrator revokes all that she has:

curl -i -H "Authorization: Bearer %[3]s" %[1]s/account
curl -i -X POST -H "Authorization: Bearer %[4]s" %[1]s/admin/users/alice/revoke
curl -i -H "Authorization: Bearer %[3]s" %[1]s/account

Without Redis, the first of these is refused, and the second is not:

curl -i -H "Authorization: Bearer %[4]s" %[1]s/account
curl -i -H "Authorization: Bearer %[4]s" %[1]s/articles

Ctrl-C ends the server.
`, url, phone, laptop, admin)
	return err
}

// sign returns a token, as the identity provider would.
func sign(key ed25519.PrivateKey, subject, scope string) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": subject, "scope": scope,
		"jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(maxAge).Unix(),
	}).SignedString(key)
}
