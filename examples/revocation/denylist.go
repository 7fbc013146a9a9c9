package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/redis/go-redis/v9"
)

// skew is how much the clocks of the issuer and of the instances of this service may
// differ. A token issued within this time after its user's tokens were revoked is refused
// too. If the issuer's clock is ahead by more, a revoked token may be accepted.
const skew = 2 * time.Second

// A denyList is a list of revoked tokens. It is in Redis, so all instances of the service
// share it. It has two kinds of entries:
//
//   - A token's ID (jti) revokes that token.
//   - A user's ID with a time revokes the user's tokens that were issued up to that
//     time. Later tokens are good, so the user can sign in again.
//
// An entry expires in Redis after all tokens that it revokes have expired.
//
// Its methods are safe for concurrent use.
type denyList struct {
	client   *redis.Client
	patience time.Duration
}

// newDenyList returns the list in the Redis at addr. It does not connect yet. No method
// waits longer than patience for Redis.
func newDenyList(addr string, patience time.Duration) *denyList {
	return &denyList{
		client: redis.NewClient(&redis.Options{
			Addr: addr,
			// Anybody who can write to this Redis can make revoked tokens valid. Unless Redis is on
			// loopback, set Username, Password and TLSConfig.

			// Without this, go-redis ignores the context once it has a connection.
			ContextTimeoutEnabled: true,
			DialTimeout:           patience,
			ReadTimeout:           patience,
			WriteTimeout:          patience,
			PoolTimeout:           patience,
			// By default go-redis dials a dead server 20 times for one command. One retry
			// is enough: it replaces a connection that broke while it was idle.
			MaxRetries:    1,
			DialerRetries: 1,
		}),
		patience: patience,
	}
}

func (d *denyList) close() error { return d.client.Close() }

// ping returns an error if Redis does not answer.
func (d *denyList) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	return d.client.Ping(ctx).Err()
}

// check is a function for [jwtgate.Options.Validate] that fails closed: if Redis does not
// answer, check returns an error and the gate answers 503. During an outage of Redis the
// service is down too, but no revoked token is accepted.
func (d *denyList) check(ctx context.Context, t *jwtgate.Token) error {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	// MGet reads both entries in one round trip. In a Redis Cluster send two GETs in a
	// pipeline: the keys may be on different servers.
	found, err := d.client.MGet(ctx, tokenKey(t.Issuer, t.ID), userKey(t.Issuer, t.Subject)).Result()
	if err != nil {
		return fmt.Errorf("asking the deny list: %w", err)
	}
	if found[0] != nil {
		return fmt.Errorf("%w, as it is on the deny list", jwtgate.ErrRevoked)
	}
	if found[1] == nil {
		return nil
	}
	text, _ := found[1].(string)
	until, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("reading the deny list: %w", err)
	}
	if t.IssuedAt.UnixMilli() <= until {
		return fmt.Errorf("%w with all that its user had by %s", jwtgate.ErrRevoked, time.UnixMilli(until).UTC().Format(time.RFC3339))
	}
	return nil
}

// checkIfPossible returns a function for Options.Validate that fails open: if Redis does
// not answer, the function accepts the token and logs an error. Users do not notice an
// outage of Redis, but revoked tokens are accepted during the outage, so a thief has a
// reason to attack Redis. Use checkIfPossible only for routes on which reading with a
// stolen token does little harm, and never for routes that change something.
func (d *denyList) checkIfPossible(logger *slog.Logger) func(context.Context, *jwtgate.Token) error {
	return func(ctx context.Context, t *jwtgate.Token) error {
		err := d.check(ctx, t)
		if err == nil || errors.Is(err, jwtgate.ErrRevoked) || ctx.Err() != nil {
			return err // if ctx has ended, the client has disconnected: that is not an outage
		}
		logger.ErrorContext(ctx, "not known whether a token is revoked, letting it pass", "token", t, "error", err)
		return nil
	}
}

// revokeToken revokes a token until it expires. If it returns nil, all instances of the
// service refuse the token.
func (d *denyList) revokeToken(ctx context.Context, t *jwtgate.Token) error {
	rest := time.Until(t.Expires) + leeway + skew
	if rest <= 0 {
		return nil // no gate accepts the token; and to go-redis, 0 means "keep forever"
	}
	ctx, cancel := d.writeContext(ctx)
	defer cancel()
	if err := d.client.Set(ctx, tokenKey(t.Issuer, t.ID), "", rest).Err(); err != nil {
		return fmt.Errorf("revoking a token: %w", err)
	}
	return nil
}

// revokeUser revokes all tokens of a user that were issued up to now.
func (d *denyList) revokeUser(ctx context.Context, issuer, subject string, now time.Time) error {
	ctx, cancel := d.writeContext(ctx)
	defer cancel()
	until := now.Add(skew)
	// The entry can expire when the last of the revoked tokens is older than maxAge.
	err := raise.Run(ctx, d.client, []string{userKey(issuer, subject)},
		until.UnixMilli(), (maxAge + leeway + 2*skew).Milliseconds()).Err()
	if err != nil {
		return fmt.Errorf("revoking the tokens of a user: %w", err)
	}
	return nil
}

// raise sets a key to a number unless the key already has a greater number. A plain SET
// could undo a later revocation by another instance.
var raise = redis.NewScript(`
local old = tonumber(redis.call("GET", KEYS[1]))
if not old or old < tonumber(ARGV[1]) then
	redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
end
return 1
`)

// writeContext returns a context for writes. The context does not end with the request: a
// user who signs out and closes the page at once must be signed out.
func (d *denyList) writeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d.patience)
}

func tokenKey(issuer, id string) string     { return "revoked:token:" + digest(issuer, id) }
func userKey(issuer, subject string) string { return "revoked:user:" + digest(issuer, subject) }

// digest returns the last part of a Redis key: a hash of the issuer and an ID. The issuer
// is included because two issuers may use the same IDs and must not revoke each other's
// tokens. The length prefix makes the hashed texts of different pairs different. The hash
// makes the key short and free of special characters. It does not hide an ID that can be
// guessed.
func digest(issuer, id string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(issuer), issuer, id))
	return hex.EncodeToString(sum[:])
}
