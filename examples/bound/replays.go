package main

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// A redisReplays is a [dpop.Replays] in Redis: it remembers which proofs have been used.
// All servers of the service share it, so a proof that one server has accepted is refused
// by the others.
//
// Its methods are safe for concurrent use.
type redisReplays struct {
	client   *redis.Client
	patience time.Duration
}

// newReplays returns the memory in the Redis at addr. It does not connect yet. No method
// waits longer than patience for Redis.
func newReplays(addr string, patience time.Duration) *redisReplays {
	return &redisReplays{
		client: redis.NewClient(&redis.Options{
			Addr: addr,
			// Anybody who can write to this Redis can make used proofs good again. Unless Redis is
			// on loopback, set Username, Password and TLSConfig.

			// Without this, go-redis ignores the context once it has a connection.
			ContextTimeoutEnabled: true,
			DialTimeout:           patience,
			ReadTimeout:           patience,
			WriteTimeout:          patience,
			PoolTimeout:           patience,
			// Do not send a command twice. If Redis has run it and the answer was lost, the second
			// try finds the entry of the first, and a client's good proof looks like a replay.
			MaxRetries: -1,
			// By default go-redis dials a dead server five times.
			DialerRetries: 1,
		}),
		patience: patience,
	}
}

func (r *redisReplays) close() error { return r.client.Close() }

// ping returns an error if Redis does not answer.
func (r *redisReplays) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	return r.client.Ping(ctx).Err()
}

// Use implements [dpop.Replays] with one command. NX makes Redis decide between servers
// that use one proof at the same time: one gets OK, and the others get nothing.
func (r *redisReplays) Use(ctx context.Context, id [32]byte, until time.Time) (fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	// PX and not PXAT: the clock of Redis does not matter. With PXAT, a Redis whose clock is minutes ahead would drop it at once.
	rest := max(time.Until(until), time.Millisecond)
	err = r.client.Do(ctx, "SET", proofKey(id), 1, "NX", "PX", rest.Milliseconds()).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}

// proofKey returns the key of a proof in Redis. The prefix is the name of this service:
// a gateway that has checked a proof before must not use the same one.
func proofKey(id [32]byte) string { return "orders:proof:" + hex.EncodeToString(id[:]) }
