package keys_test

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// acceptance 10: a program starts while its issuer is down, and recovers without a restart.
func TestRemote_DownAtStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		down http.HandlerFunc
	}{{"500", fails(500)}, {"connection closed", closesConnection}, {"no answer", neverAnswers}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, tt.down)
				remote, log := server.remote()
				gate := newGate(t, remote) // New does not fetch
				assert.Zero(t, server.fetches.Load())
				token := signEdDSA(t, edKey(), "1")
				require.Error(t, gate.Ready(t.Context()))
				for range 1000 {
					requireUnavailable(t, answerTo(gate, t.Context(), token))
				}
				assert.Equal(t, int64(1), server.fetches.Load(), "later requests neither fetch during the backoff nor wait for its end")
				synctest.Wait()
				lines := log.drain()
				require.Len(t, lines, 1)
				assert.Contains(t, lines[0], "level=ERROR")

				server.respond(serves(oneKeySet("1", edKey())))
				start := time.Now()
				for statusOf(t, gate, token) != 200 {
					require.Less(t, time.Since(start), 30*time.Second)
					time.Sleep(100 * time.Millisecond)
				}
				assert.NoError(t, gate.Ready(t.Context()))
				assert.Equal(t, int64(2), server.fetches.Load())
			})
		})
	}
}

// While the issuer is down, the time between fetches doubles up to 30 seconds. When the issuer is back, its keys
// are fetched within 30 seconds.
func TestRemote_Backoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, log := server.remote()
		gate := newGate(t, remote)
		known, unknown := signEdDSA(t, edKey(), "1"), signEdDSA(t, otherEdKey(), "2")
		require.Equal(t, 200, statusOf(t, gate, known))
		synctest.Wait()
		log.drain()

		server.respond(fails(503))
		time.Sleep(8 * time.Minute) // four fifths of FreshFor: the next request starts a refresh
		server.fetches.Store(0)
		start := time.Now()
		var gaps []time.Duration
		var before int64
		last := start
		for time.Since(start) < 5*time.Minute {
			assert.Equal(t, 200, statusOf(t, gate, known))
			synctest.Wait()
			if time.Since(start) > time.Second { // unknown key IDs do not add fetches
				seconds := requireUnavailable(t, answerTo(gate, t.Context(), unknown))
				assert.LessOrEqual(t, seconds, 30)
			}
			if n := server.fetches.Load(); n > before {
				gaps = append(gaps, time.Since(last))
				last, before = time.Now(), n
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.Greater(t, len(gaps), 12)
		assert.Less(t, len(gaps), 30)
		for i, gap := range gaps[1:] {
			most := min(30*time.Second, time.Second/2<<min(i, 6))
			assert.Greater(t, gap, most/2-200*time.Millisecond)
			assert.Less(t, gap, most+200*time.Millisecond)
		}
		assert.Greater(t, slices.Max(gaps[8:])-slices.Min(gaps[8:]), 200*time.Millisecond, "the backoff has a random part")
		synctest.Wait()
		assert.Len(t, log.drain(), 1, "one record for the whole outage")

		server.respond(serves(oneKeySet("2", otherEdKey())))
		start = time.Now()
		for statusOf(t, gate, unknown) != 200 {
			require.Less(t, time.Since(start), 30*time.Second)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		assert.Contains(t, strings.Join(log.drain(), "\n"), "keys fetched again")

		// The backoff of the next outage starts at its shortest again.
		time.Sleep(time.Minute)
		server.respond(fails(503))
		assert.Equal(t, 1, requireUnavailable(t, answerTo(gate, t.Context(), signEdDSA(t, edKey(), "3"))))
	})
}

func TestRemote_Stale(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name             string
		staleFor, usable time.Duration
	}{
		{"default", 0, 10*time.Minute + 24*time.Hour},
		{"an hour", time.Hour, 70 * time.Minute},
		{"none", -1, 10 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, serves(oneKeySet("1", edKey())))
				remote, log := server.remote()
				remote.StaleFor = tt.staleFor
				gate := newGateWithFixedClock(t, remote)
				token, unknown := signEdDSA(t, edKey(), "1"), signEdDSA(t, otherEdKey(), "2")
				require.Equal(t, 200, statusOf(t, gate, token))
				start := time.Now()

				server.respond(fails(500))
				for time.Since(start) < tt.usable-time.Second {
					require.Equal(t, 200, statusOf(t, gate, token), time.Since(start))
					time.Sleep(min(time.Minute, tt.usable-time.Since(start)-time.Second/2))
				}
				synctest.Wait()
				log.drain()
				time.Sleep(time.Second)
				requireUnavailable(t, answerTo(gate, t.Context(), token))
				requireUnavailable(t, answerTo(gate, t.Context(), unknown))
				assert.Zero(t, remote.Stats()[0].Keys)
				time.Sleep(time.Minute)
				requireUnavailable(t, answerTo(gate, t.Context(), token))
				synctest.Wait()
				assert.Contains(t, strings.Join(log.drain(), "\n"), "level=ERROR", "the log says that no keys are in use")

				server.respond(serves(oneKeySet("1", edKey())))
				time.Sleep(31 * time.Second)
				assert.Equal(t, 200, statusOf(t, gate, token))
			})
		})
	}
	t.Run("in a fetch that hangs", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			server := newPipeServer(t, serves(oneKeySet("1", edKey())))
			remote, _ := server.remote()
			remote.StaleFor = -1
			gate := newGateWithFixedClock(t, remote)
			token := signEdDSA(t, edKey(), "1")
			require.Equal(t, 200, statusOf(t, gate, token))
			server.respond(neverAnswers)
			time.Sleep(10*time.Minute - time.Second)
			assert.Equal(t, 200, statusOf(t, gate, token))
			time.Sleep(2 * time.Second)
			requireUnavailable(t, answerTo(gate, t.Context(), token))
		})
	})
}

// Keys that are stale before their request can use them cause 503, not a refusal of the token.
func TestRemote_StaleAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		remote, _ := newPipeServer(t, serves(oneKeySet("1", edKey()))).remote()
		remote.FreshFor, remote.StaleFor = time.Second, -1
		gate := newGateWithFixedClock(t, remote)
		token := signEdDSA(t, edKey(), "1")
		w := answerTo(gate, &slowContext{Context: t.Context()}, token)
		requireUnavailable(t, w)
		assert.Equal(t, 200, statusOf(t, gate, token))
	})
}

// A slowContext holds a request up before it waits for keys, as a machine under load does.
type slowContext struct {
	context.Context
	once sync.Once
}

func (c *slowContext) Done() <-chan struct{} {
	c.once.Do(func() { time.Sleep(2 * time.Second) })
	return c.Context.Done()
}

// A service that was idle for hours answers the first request from memory and fetches new keys in the
// background.
func TestRemote_Idle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, afterDelay(time.Second, serves(oneKeySet("1", edKey()))))
		remote, _ := server.remote()
		gate := newGateWithFixedClock(t, remote)
		token := signEdDSA(t, edKey(), "1")
		require.Equal(t, 200, statusOf(t, gate, token))
		time.Sleep(20 * time.Hour)
		assert.Equal(t, int64(1), server.fetches.Load(), "no fetch without a request")
		start := time.Now()
		assert.Equal(t, 200, statusOf(t, gate, token))
		assert.Zero(t, time.Since(start))
		time.Sleep(2 * time.Second)
		assert.Equal(t, int64(2), server.fetches.Load())
		time.Sleep(25 * time.Hour)
		start = time.Now()
		assert.Equal(t, 200, statusOf(t, gate, token))
		assert.Equal(t, time.Second, time.Since(start), "the request waits: the keys are beyond StaleFor")
	})
}

func TestRemote_HangingServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		other := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		otherRemote, _ := other.remote()
		gate, err := jwtgate.New(jwtgate.Options{
			Keys:      keys.ByIssuer{issuerA: remote, issuerB: otherRemote},
			Issuers:   []string{issuerA, issuerB},
			Audiences: []string{audience},
		})
		require.NoError(t, err)
		ofA := func(private ed25519.PrivateKey, kid string) string {
			return signFor(t, issuerA, jwt.SigningMethodEdDSA, private, kid)
		}
		known, unknown := ofA(edKey(), "1"), ofA(otherEdKey(), "2")
		require.Equal(t, 200, statusOf(t, gate, known))
		server.connections.most.Store(0)

		server.respond(afterDelay(time.Minute, fails(500)))
		var callers sync.WaitGroup
		for i := range 200 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				start := time.Now()
				requireUnavailable(t, answerTo(gate, t.Context(), unknown))
				assert.LessOrEqual(t, time.Since(start), 5*time.Second) // Timeout

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start = time.Now()
				requireUnavailable(t, answerTo(gate, ctx, unknown))
				assert.LessOrEqual(t, time.Since(start), time.Second)

				start = time.Now()
				assert.Equal(t, 200, statusOf(t, gate, known))
				assert.Equal(t, 200, statusOf(t, gate, signFor(t, issuerB, jwt.SigningMethodEdDSA, edKey(), "1")))
				assert.Zero(t, time.Since(start), "known keys and other issuers do not wait")
			})
		}
		callers.Wait()
		assert.Less(t, server.fetches.Load(), int64(10))
		assert.Equal(t, int64(1), server.connections.most.Load(), "one at a time")
		time.Sleep(time.Minute) // until the handlers of the server end
	})
}

// A client that ignores its context delays no request beyond Timeout, and there is still no second fetch at the
// same time.
func TestRemote_ClientThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		var calls atomic.Int32
		stuck := make(chan struct{})
		transport := server.client.Transport
		remote.Client = &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			if calls.Add(1) == 2 {
				<-stuck
			}
			return transport.RoundTrip(r)
		})}
		gate := newGate(t, remote)
		known, unknown := signEdDSA(t, edKey(), "1"), signEdDSA(t, otherEdKey(), "2")
		require.Equal(t, 200, statusOf(t, gate, known))

		start := time.Now()
		requireUnavailable(t, answerTo(gate, t.Context(), unknown))
		assert.Equal(t, 5*time.Second, time.Since(start))
		for range 100 {
			requireUnavailable(t, answerTo(gate, t.Context(), unknown))
		}
		assert.Equal(t, 5*time.Second, time.Since(start), "later requests do not wait for a fetch that is beyond Timeout")
		assert.ErrorIs(t, remote.Refresh(t.Context(), ""), context.DeadlineExceeded)
		assert.Equal(t, int32(2), calls.Load())

		server.respond(serves(oneKeySet("2", otherEdKey())))
		close(stuck)
		synctest.Wait()
		assert.NoError(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, 200, statusOf(t, gate, unknown))
	})
}

// A request that waits for two fetches waits no longer than Timeout in all.
func TestRemote_WaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, afterDelay(4*time.Second, serves(oneKeySet("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		var first sync.WaitGroup
		first.Go(func() { assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1"))) })
		time.Sleep(time.Second / 2)
		start := time.Now()
		requireUnavailable(t, answerTo(gate, t.Context(), signEdDSA(t, edKey(), "2")))
		assert.Equal(t, 5*time.Second, time.Since(start)) // Timeout
		first.Wait()
		time.Sleep(10 * time.Second)
	})
}

// acceptance 47: if the request that started a fetch is cancelled, the fetch goes on for the others.
func TestRemote_FirstCallerCancels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, afterDelay(time.Second, serves(oneKeySet("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		token := signEdDSA(t, edKey(), "1")
		ctx, cancel := context.WithCancel(t.Context())
		var first, others sync.WaitGroup
		start := time.Now()
		first.Go(func() {
			_, err := gate.Verify(ctx, token)
			assert.ErrorIs(t, err, context.Canceled)
			assert.ErrorIs(t, err, jwtgate.ErrCanceled)
			assert.Equal(t, time.Second/2, time.Since(start))
		})
		synctest.Wait()
		for range 20 {
			others.Go(func() { assert.Equal(t, 200, statusOf(t, gate, token)) })
		}
		time.Sleep(time.Second / 2)
		cancel()
		first.Wait()
		others.Wait()
		assert.Equal(t, int64(1), server.fetches.Load())
		assert.Equal(t, time.Second, time.Since(start))
	})
}

// A context that has ended does not matter while the key is in memory.
func TestRemote_CancelledBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		require.NoError(t, remote.Refresh(t.Context(), ""))
		server.respond(afterDelay(time.Second, serves(oneKeySet("1", edKey()))))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ks, err := remote.Keys(ctx, issuer, "1")
		assert.NoError(t, err)
		assert.Len(t, ks, 1)
		assert.ErrorIs(t, remote.Refresh(ctx, ""), context.Canceled)
		time.Sleep(time.Second) // the fetch ends
	})
}
