package keys_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

func TestRemote_Rotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, afterDelay(50*time.Millisecond, serves(oneKeySet("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		require.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))

		server.respond(afterDelay(50*time.Millisecond, serves(oneKeySet("2", otherEdKey()))))
		server.fetches.Store(0)
		start := time.Now()
		token := signEdDSA(t, otherEdKey(), "2")
		concurrently(50, func(int) { assert.Equal(t, 200, statusOf(t, gate, token)) })
		assert.Equal(t, int64(1), server.fetches.Load())
		assert.Equal(t, 50*time.Millisecond, time.Since(start), "the time of one fetch")
		assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, edKey(), "1")), "the old key is gone")
	})
}

func TestRemote_RotationAfterAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		for i := range 300 { // a flood of 30 seconds
			time.Sleep(100 * time.Millisecond)
			require.Equal(t, 401, statusOf(t, gate, signEdDSA(t, otherEdKey(), fmt.Sprintf("random-%d", i))))
		}

		server.respond(afterDelay(50*time.Millisecond, serves(oneKeySet("2", otherEdKey()))))
		server.fetches.Store(0)
		start := time.Now()
		token := signEdDSA(t, otherEdKey(), "2")
		var accepted atomic.Int32
		concurrently(50, func(int) {
			for statusOf(t, gate, token) != 200 {
				if !assert.Less(t, time.Since(start), 5*time.Second) { // MinInterval
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			accepted.Add(1)
		})
		assert.Equal(t, int32(50), accepted.Load())
		assert.Equal(t, int64(1), server.fetches.Load())
	})
}

// A fetch that began before the rotation does not have the new key. A request that comes during the fetch waits
// for a second one.
func TestRemote_RotationDuringAFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, afterDelay(time.Second, serves(oneKeySet("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		start := time.Now()
		var first sync.WaitGroup
		first.Go(func() { assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1"))) })
		time.Sleep(time.Second / 2)
		// The second fetch takes time, so that the first request gets the keys of the first fetch.
		server.respond(afterDelay(time.Second, serves(oneKeySet("2", otherEdKey()))))
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")))
		assert.Equal(t, 2*time.Second, time.Since(start), "the time of two fetches")
		first.Wait()
		assert.Equal(t, int64(2), server.fetches.Load())
	})
}

// A key without ID may verify any token. In a set with other keys, an unknown key ID still causes a fetch.
func TestRemote_KeysWithAndWithoutID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		anyID := jwkOf(&p256Key().PublicKey)
		server := newPipeServer(t, serves(jwkSet(jwkOf(public(edKey())).with("kid", "1"), anyID)))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		require.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
		server.respond(serves(jwkSet(jwkOf(public(otherEdKey())).with("kid", "2"), anyID)))
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")), "found by a fetch")

		server.respond(fails(500))
		byAny := sign(t, jwt.SigningMethodES256, p256Key(), "named somehow")
		for range 5 {
			assert.Equal(t, 200, statusOf(t, gate, byAny))
		}
		assert.Equal(t, 200, statusOf(t, gate, sign(t, jwt.SigningMethodES256, p256Key(), "")))
		assert.LessOrEqual(t, server.fetches.Load(), int64(3))
	})
}

// acceptance 48: when a key leaves the set, tokens that were remembered with it are refused.
func TestRemote_KeyRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		both := jwkSet(jwkOf(public(edKey())).with("kid", "1"), jwkOf(public(otherEdKey())).with("kid", "2"))
		server := newPipeServer(t, serves(both))
		remote, _ := server.remote()
		gate := newGateWithFixedClock(t, remote) // remembers tokens
		gone, stays := signEdDSA(t, edKey(), "1"), signEdDSA(t, otherEdKey(), "2")
		without := signEdDSA(t, edKey(), "")
		for range 2 {
			require.Equal(t, 200, statusOf(t, gate, gone))
			require.Equal(t, 200, statusOf(t, gate, stays))
			require.Equal(t, 200, statusOf(t, gate, without))
		}

		server.respond(serves(oneKeySet("2", otherEdKey())))
		time.Sleep(8*time.Minute + time.Second)
		assert.Equal(t, 200, statusOf(t, gate, stays)) // starts the refresh
		synctest.Wait()
		assert.Equal(t, 401, statusOf(t, gate, gone))
		assert.Equal(t, 401, statusOf(t, gate, without))
		assert.Equal(t, 200, statusOf(t, gate, stays))
	})
}

// acceptance 45: while keys rotate under load, tokens of a key that stays are always accepted.
func TestRemote_RotatesUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const (
			versions = 200 // of the set, each published for a second
			callers  = 200
			rounds   = 20
		)
		var sets [versions][]byte
		var tokens [versions]string
		for i := range versions {
			private, kid := newEd25519(), fmt.Sprintf("version-%d", i)
			tokens[i] = signEdDSA(t, private, kid)
			sets[i] = jwkSet(jwkOf(public(edKey())).with("kid", "kept"), jwkOf(public(private)).with("kid", kid))
		}
		kept, forged, never := signEdDSA(t, edKey(), "kept"), signEdDSA(t, otherEdKey(), "kept"), signEdDSA(t, otherEdKey(), "never")

		var published atomic.Int32
		server := newPipeServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(sets[published.Load()]) })
		remote, _ := server.remote()
		remote.FreshFor, remote.MinInterval = time.Second, time.Second
		gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: []string{issuer}, Audiences: []string{audience}, CacheSize: 64})
		require.NoError(t, err)
		require.NoError(t, gate.Ready(t.Context()))

		stop := make(chan struct{})
		var rotating sync.WaitGroup
		rotating.Go(func() {
			ticker := time.NewTicker(time.Second)
			defer ticker.Stop()
			for {
				select {
				case <-stop:
					return
				case <-ticker.C:
					if published.Load() < versions-1 {
						published.Add(1)
					}
				}
			}
		})
		var rotated, refused atomic.Int32
		concurrently(callers, func(i int) {
			for round := range rounds {
				// Callers wake in groups, each time at the moment of a rotation.
				time.Sleep(time.Duration(10+i%7) * time.Second)
				_, err := gate.Verify(t.Context(), kept)
				assert.NoError(t, err)
				switch (i + round) % 3 {
				case 0:
					_, err = gate.Verify(t.Context(), forged)
					assert.ErrorIs(t, err, jwtgate.ErrSignature)
				case 1:
					_, err = gate.Verify(t.Context(), never)
					assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
				case 2:
					// A version that was published lately, is published now, or will be soon.
					version := min(max(published.Load()+int32(i%5)-2, 0), versions-1)
					_, err = gate.Verify(t.Context(), tokens[version])
					if err != nil {
						assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
						refused.Add(1)
					} else {
						rotated.Add(1)
						assert.LessOrEqual(t, version, published.Load(), "accepted before it was published")
					}
				}
			}
		})
		close(stop)
		rotating.Wait()
		require.NotZero(t, published.Load())
		assert.NotZero(t, rotated.Load())
		assert.NotZero(t, refused.Load())
		last := published.Load()
		require.NoError(t, remote.Refresh(t.Context(), ""))
		_, err = gate.Verify(t.Context(), tokens[last])
		assert.NoError(t, err)
		_, err = gate.Verify(t.Context(), tokens[0])
		assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
		assert.Equal(t, int64(1), server.inFlight.most.Load(), "one fetch at a time")
		t.Logf("%d sets published, %d fetches, %d tokens of a rotating key accepted, %d refused",
			last+1, server.fetches.Load(), rotated.Load(), refused.Load())
	})
}
