package jwtgate_test

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

// For a remembered token the gate still checks the key, the issuer, the times and Validate.
// acceptance 48
func TestRememberedTokens(t *testing.T) {
	t.Parallel()
	clock := now
	var current atomic.Pointer[[]*jwtgate.Key]
	set := func(ks ...*jwtgate.Key) { current.Store(&ks) }
	set(must(jwtgate.NewKey("k", "HS256", secret)))
	var invalid, down error
	trusted := true
	var events []jwtgate.Event
	gate := newGate(t, func(o *jwtgate.Options) {
		o.CacheSize = 2
		o.Now = func() time.Time { return clock }
		o.Issuers = nil
		o.TrustIssuer = func(string) bool { return trusted }
		o.MaxAge = 20 * time.Minute
		o.Keys = jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) { return *current.Load(), down })
		o.Validate = func(context.Context, *jwtgate.Token) error { return invalid }
		o.Observe = func(_ context.Context, e jwtgate.Event) { events = append(events, e) }
	})
	token := sign("HS256", secret, `{"alg":"HS256","kid":"k"}`, claimsJSON(map[string]any{"exp": now.Add(10 * time.Minute).Unix()}))
	verify := func() error {
		got, err := gate.Verify(t.Context(), token)
		if err == nil {
			assert.Equal(t, "alice", got.Subject)
		}
		return err
	}
	cached := func() bool { return events[len(events)-1].Cached }

	require.NoError(t, verify())
	assert.False(t, cached())
	require.NoError(t, verify())
	assert.True(t, cached())

	// A second Key with the same ID, algorithm and material is the same key. A Key with other material
	// is not.
	set(must(jwtgate.NewKey("k", "HS256", secret)))
	require.NoError(t, verify())
	assert.True(t, cached())
	set(must(jwtgate.NewKey("k", "HS256", []byte(strings.Repeat("x", 32)))))
	require.ErrorIs(t, verify(), jwtgate.ErrSignature)
	set()
	require.ErrorIs(t, verify(), jwtgate.ErrUnknownKey)
	set(must(jwtgate.NewKey("k", "HS256", secret)))
	require.NoError(t, verify())

	// If the same key gets another ID, the gate verifies the signature again.
	set(must(jwtgate.NewKey("", "HS256", secret)))
	require.NoError(t, verify())
	assert.False(t, cached())
	require.NoError(t, verify())
	assert.True(t, cached())

	down = errors.New("connection refused")
	requireRefused(t, verify(), 503, down)
	down = nil
	trusted = false
	require.ErrorIs(t, verify(), jwtgate.ErrIssuer)
	trusted = true
	invalid = jwtgate.ErrRevoked
	require.ErrorIs(t, verify(), jwtgate.ErrRevoked)
	invalid = nil
	require.NoError(t, verify())

	// A token with one more byte is another token.
	_, err := gate.Verify(t.Context(), token+"A")
	require.Error(t, err)

	clock = now.Add(10*time.Minute + 30*time.Second)
	require.ErrorIs(t, verify(), jwtgate.ErrExpired)
	clock = now.Add(-time.Hour)
	require.ErrorIs(t, verify(), jwtgate.ErrNotYetValid)
}

// At any time, a gate answers a remembered token as a gate without a cache does. acceptance 48
func TestRememberedTimes(t *testing.T) {
	t.Parallel()
	random := mathrand.New(mathrand.NewPCG(1, 2))
	span := func() time.Duration { return time.Duration(random.IntN(7)-3) * 10 * time.Second }
	for range 200 {
		var clock time.Time
		change := func(o *jwtgate.Options) { o.Now = func() time.Time { return clock } }
		leeway, maxAge, noExpiry := time.Duration(random.IntN(3)-1)*10*time.Second, time.Duration(random.IntN(4))*10*time.Second, random.IntN(4) == 0
		limits := func(o *jwtgate.Options) { o.Leeway, o.MaxAge, o.AllowNoExpiry = leeway, maxAge, noExpiry }
		changes := map[string]any{"exp": nil, "iat": now.Add(span()).Unix(), "nbf": nil}
		if !noExpiry {
			changes["exp"] = now.Add(span()).Unix()
		}
		if random.IntN(2) == 0 {
			changes["nbf"] = now.Add(span()).Unix()
		}
		token := hs256Token(changes)
		plain, remembering := newGate(t, change, limits), newGate(t, change, limits, func(o *jwtgate.Options) { o.CacheSize = 1 })
		for second := -80; second <= 80; second += 5 { // at one of these times the token is remembered
			clock = now.Add(time.Duration(second) * time.Second)
			_, _ = remembering.Verify(t.Context(), token)
		}
		// Every limit is a multiple of 10 seconds, so an answer can only change there.
		for tens := -80; tens <= 80; tens += 10 {
			for second := tens - 1; second <= tens+1; second++ {
				clock = now.Add(time.Duration(second) * time.Second)
				_, want := plain.Verify(t.Context(), token)
				_, got := remembering.Verify(t.Context(), token)
				require.Equal(t, fmt.Sprint(want), fmt.Sprint(got), "%v, %d s, leeway %v, MaxAge %v", changes, second, leeway, maxAge)
			}
		}
	}
}

// The memory of a gate does not grow with the number of tokens, headers and issuers it has seen.
// acceptance 56
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("verifies 10,000 tokens")
	}
	gate := newGate(t, func(o *jwtgate.Options) {
		o.Issuers = nil
		o.TrustIssuer = func(string) bool { return true }
		o.CacheSize = 100
	})
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			header := fmt.Sprintf(`{"alg":"HS256","kid":"k%d"}`, i)
			_, err := gate.Verify(t.Context(), sign("HS256", secret, header, claimsJSON(map[string]any{"iss": fmt.Sprintf("https://%d.example", i), "sub": fmt.Sprint(i)})))
			require.NoError(t, err)
		}
	}
	fill(0, 1000)
	before := heapInUse()
	// 9,000 more entries, of tokens or of headers, would take more than 1 MiB: an entry has more than
	// 117 bytes.
	fill(1000, 10_000)
	assert.Less(t, heapInUse(), before+1<<20)
}

// heapInUse returns the number of bytes that are allocated after a garbage collection.
func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
