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

// skew is how far the clocks of the issuer and of the instances of this service
// may be apart. A token that is issued within this time after its user was
// revoked counts as an old one; one of an issuer whose clock is further ahead
// may escape.
const skew = 2 * time.Second

// A denyList tells which tokens are good no more. It is kept in Redis, where
// all instances of the service find it.
//
// A token is on it by its ID (jti), or by its user, with the time up to which
// the user's tokens are revoked: those issued later are good, so that signing in
// again works. Nothing stays longer than a token that it could be about.
//
// Methods are safe for concurrent use.
type denyList struct {
	client   *redis.Client
	patience time.Duration
}

// newDenyList returns the list in the Redis at addr. No call of a method takes
// longer than patience, whatever Redis does. It does not connect yet.
func newDenyList(addr string, patience time.Duration) *denyList {
	return &denyList{
		client: redis.NewClient(&redis.Options{
			Addr: addr,
			// Whoever may write to this Redis decides who gets in. Beyond loopback it
			// wants a Username and Password of its own, and a TLSConfig.

			// Without this, go-redis heeds the context only until it has a connection.
			ContextTimeoutEnabled: true,
			DialTimeout:           patience,
			ReadTimeout:           patience,
			WriteTimeout:          patience,
			PoolTimeout:           patience,
			// By default a dead server is dialled 20 times for one command. One more
			// attempt is for a connection that broke while nobody used it.
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

// check is a [jwtgate.Options.Validate] that fails closed: while Redis cannot be
// asked, its error makes the gate answer 503, whoever asks. An outage of Redis
// is one of the service, and no revoked token ever gets in.
func (d *denyList) check(ctx context.Context, t *jwtgate.Token) error {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	// Both in one round trip. In a Redis Cluster, whose servers have a part of
	// the keys each, send two GETs in a pipeline.
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

// checkIfPossible returns a Validate that fails open: while Redis cannot be
// asked, tokens pass, and each that does is logged. An outage of Redis then goes
// unnoticed by users, but for that long a revoked token works, and whoever holds
// one has a reason to bring Redis down. Keep it to what a stolen token may read,
// and never let it guard anything that changes something.
func (d *denyList) checkIfPossible(logger *slog.Logger) func(context.Context, *jwtgate.Token) error {
	return func(ctx context.Context, t *jwtgate.Token) error {
		err := d.check(ctx, t)
		if err == nil || errors.Is(err, jwtgate.ErrRevoked) || ctx.Err() != nil {
			return err // in the last case the client has gone, which is no outage
		}
		logger.ErrorContext(ctx, "not known whether a token is revoked, letting it pass", "token", t, "error", err)
		return nil
	}
}

// revokeToken revokes one token for the rest of its life. Without an error it
// is revoked everywhere.
func (d *denyList) revokeToken(ctx context.Context, t *jwtgate.Token) error {
	rest := time.Until(t.Expires) + leeway + skew
	if rest <= 0 {
		return nil // go-redis takes this for "keep for ever", and no gate lets the token in
	}
	ctx, cancel := d.toWrite(ctx)
	defer cancel()
	if err := d.client.Set(ctx, tokenKey(t.Issuer, t.ID), "", rest).Err(); err != nil {
		return fmt.Errorf("revoking a token: %w", err)
	}
	return nil
}

// revokeUser revokes all tokens of a user that were issued up to now.
func (d *denyList) revokeUser(ctx context.Context, issuer, subject string, now time.Time) error {
	ctx, cancel := d.toWrite(ctx)
	defer cancel()
	until := now.Add(skew)
	// No gate lets in a token that is older than maxAge, and so the entry need
	// not be, either.
	err := raise.Run(ctx, d.client, []string{userKey(issuer, subject)},
		until.UnixMilli(), (maxAge + leeway + 2*skew).Milliseconds()).Err()
	if err != nil {
		return fmt.Errorf("revoking the tokens of a user: %w", err)
	}
	return nil
}

// raise sets a key to a number, unless that would take back what another
// instance, whose clock is ahead or whose request was faster, has revoked.
var raise = redis.NewScript(`
local old = tonumber(redis.call("GET", KEYS[1]))
if not old or old < tonumber(ARGV[1]) then
	redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
end
return 1
`)

// toWrite returns the context for writing. It outlasts the request: a user who
// signs out and closes the page is to be signed out.
func (d *denyList) toWrite(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d.patience)
}

func tokenKey(issuer, id string) string     { return "revoked:token:" + digest(issuer, id) }
func userKey(issuer, subject string) string { return "revoked:user:" + digest(issuer, subject) }

// digest returns a name for what belongs to an issuer: two issuers may use the
// same IDs, and must not revoke each other's. With the length in front, no two
// pairs make the same text, and as a hash any text is a key, short and without
// special characters. It does not hide who a user is from somebody who can guess.
func digest(issuer, name string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(issuer), issuer, name))
	return hex.EncodeToString(sum[:])
}
