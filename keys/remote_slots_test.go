package keys_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/keys"
)

// A thousandIssuers is a server with many issuers, each of which can hang. Its answers take 50 ms.
type thousandIssuers struct {
	*keyServer
	set     atomic.Pointer[[]byte]
	hanging func(issuer string) bool // nil means that none hangs
}

func newThousandIssuers() *thousandIssuers {
	s := &thousandIssuers{keyServer: newDirectServer(nil)}
	s.timeout = 0
	set := oneKeySet("1", edKey())
	s.set.Store(&set)
	s.respond(func(w http.ResponseWriter, r *http.Request) {
		issuer := strings.TrimSuffix(strings.TrimSuffix(s.url+r.URL.Path, openIDConfiguration), "/jwks")
		if s.hanging != nil && s.hanging(issuer) {
			neverAnswers(w, r)
			return
		}
		time.Sleep(50 * time.Millisecond)
		tenants(s.url, *s.set.Load())(w, r)
	})
	return s
}

func (s *thousandIssuers) issuers(name string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s/%s-%d", s.url, name, i))
	}
	return all
}

// A thousand issuers whose keys are needed at the same time cause at most 32 fetches at once. All get their keys.
func TestRemote_FetchesAtOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: simulates a thousand issuers")
	}
	synctest.Test(t, func(t *testing.T) {
		server := newThousandIssuers()
		remote, _ := server.discoveringRemote()
		issuers := server.issuers("tenant", 1000)
		require.NoError(t, remote.CheckIssuers(issuers))
		var refused atomic.Int64
		fetchAll := func(kid string) (most int64, took time.Duration) {
			server.inFlight.most.Store(0)
			start := time.Now()
			concurrently(len(issuers), func(i int) {
				if _, err := remote.Keys(t.Context(), issuers[i], kid); err != nil {
					refused.Add(1)
				}
			})
			return server.inFlight.most.Load(), time.Since(start)
		}
		most, took := fetchAll("1")
		assert.Equal(t, int64(28), most, "first fetches leave slots to urgent ones")
		assert.LessOrEqual(t, took, 5*time.Second, "no request waits longer than Timeout")
		assert.Zero(t, refused.Load())

		time.Sleep(9 * time.Minute)
		_, took = fetchAll("1")
		assert.Zero(t, took, "requests for known keys do not wait")
		assert.Zero(t, refused.Load())
		time.Sleep(time.Minute)
		assert.Equal(t, int64(24), server.inFlight.most.Load(), "and so do refreshes")
		for _, s := range remote.Stats() {
			assert.Equal(t, uint64(2), s.Fetches)
			assert.Zero(t, s.Failures)
		}

		set := oneKeySet("2", otherEdKey())
		server.set.Store(&set)
		most, took = fetchAll("2")
		assert.Equal(t, int64(32), most)
		assert.LessOrEqual(t, took, 5*time.Second)
		assert.Zero(t, refused.Load())
	})
}

// Nine hundred issuers that hang, with requests all the time, delay neither the refresh of a healthy one, nor a fetch
// for an unknown key, nor the first fetch of another one.
func TestRemote_HangingIssuersDelayNobody(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: simulates nine hundred issuers")
	}
	for _, tt := range []struct {
		name    string
		hadKeys bool
		listed  bool // by New; otherwise only tokens name the issuers that hang
	}{{"that had keys", true, true}, {"that never had keys", false, true}, {"of tokens", false, false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newThousandIssuers()
				remote, _ := server.discoveringRemote()
				remote.FreshFor = 2 * time.Minute
				healthy, late := server.issuers("healthy", 1), server.issuers("late", 9)
				tenants := server.issuers("tenant", 900)
				require.NoError(t, remote.CheckIssuers(append(healthy, late...)))
				if tt.listed {
					require.NoError(t, remote.CheckIssuers(tenants))
				}
				require.NoError(t, remote.Refresh(t.Context(), healthy[0]))
				var down atomic.Bool
				if tt.hadKeys {
					for _, issuer := range tenants {
						_, err := remote.Keys(t.Context(), issuer, "1")
						require.NoError(t, err)
					}
				}
				down.Store(true)
				server.hanging = func(issuer string) bool { return down.Load() && strings.Contains(issuer, "/tenant-") }
				server.inFlight.most.Store(0)
				// The requests for known keys start the refreshes, which hang. When they have failed, there are requests
				// for unknown keys too. If these came before, nothing would tell the issuers that hang from the healthy
				// ones until each had failed once.
				var requests sync.WaitGroup
				ctx, cancel := context.WithCancel(t.Context())
				defer func() {
					cancel()
					requests.Wait()
					down.Store(false)
					time.Sleep(10 * time.Minute)
				}()
				for i, issuer := range tenants {
					requests.Go(func() {
						time.Sleep(time.Duration(i) * time.Millisecond)
						for start := time.Now(); ctx.Err() == nil; time.Sleep(20 * time.Second) {
							kid := "1"
							if time.Since(start) > 6*time.Minute {
								kid = "2"
							}
							wait, stop := context.WithTimeout(ctx, time.Second)
							_, _ = remote.Keys(wait, issuer, kid)
							stop()
						}
					})
				}
				time.Sleep(2 * time.Second)
				for i := range late {
					kid := fmt.Sprint("new-", i)
					set := oneKeySet(kid, otherEdKey())
					server.set.Store(&set)
					start := time.Now()
					assert.Equal(t, []string{kid + " EdDSA"}, lookUp(t, remote, healthy[0], kid))
					assert.Equal(t, 100*time.Millisecond, time.Since(start), "discovery and keys, after %d minutes", i)
					if i >= 4 || tt.hadKeys || !tt.listed { // before, those that hang are no different
						start = time.Now()
						assert.NotEmpty(t, lookUp(t, remote, late[i], kid))
						assert.Equal(t, 100*time.Millisecond, time.Since(start), "the first fetch, after %d minutes", i)
					}
					time.Sleep(time.Minute)
				}
				for range 4 { // the refreshes
					for range 6 {
						time.Sleep(10 * time.Second)
						lookUp(t, remote, healthy[0], "new-8")
						assert.Less(t, remote.Stats()[0].Age, 2*time.Minute)
					}
				}
				assert.Equal(t, healthy[0], remote.Stats()[0].Issuer)
				assert.LessOrEqual(t, server.inFlight.most.Load(), int64(4*32), "at most four requests for each fetch")
			})
		})
	}
}

// A client that ignores its context holds a slot until the deadline of the fetch.
func TestRemote_SlotsOfClientsThatHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck, calls := make(chan struct{}), gauge{}
		remote := &keys.Remote{Client: &http.Client{Transport: roundTripperFunc(func(*http.Request) (*http.Response, error) {
			calls.add(1)
			<-stuck
			return nil, http.ErrServerClosed
		})}}
		var issuers []string
		for i := range 28 {
			issuers = append(issuers, fmt.Sprintf("https://auth.example.com/%d", i))
		}
		require.NoError(t, remote.CheckIssuers(append(issuers, "https://last.example.com")))
		start := time.Now()
		concurrently(28, func(i int) {
			_, err := remote.Keys(t.Context(), issuers[i], "1")
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
		assert.Equal(t, 5*time.Second, time.Since(start))
		synctest.Wait()
		before := calls.now.Load()
		_, err := remote.Keys(t.Context(), "https://last.example.com", "1")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotContains(t, err.Error(), "too many fetches")
		assert.Greater(t, calls.now.Load(), before)
		close(stuck)
		synctest.Wait()
	})
}

// A fetch has its whole Timeout from when it gets a slot. A request that waits for it waits no longer than Timeout in all,
// and its error says why.
func TestRemote_WaitsForASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newThousandIssuers()
		server.respond(afterDelay(2*time.Second, *server.handler.Load())) // a fetch takes 4.1 seconds
		remote, _ := server.discoveringRemote()
		issuers := server.issuers("tenant", 56)
		require.NoError(t, remote.CheckIssuers(issuers))
		var inTime, late atomic.Int64
		concurrently(56, func(i int) {
			start := time.Now()
			_, err := remote.Keys(t.Context(), issuers[i], "1")
			if assert.LessOrEqual(t, time.Since(start), 5*time.Second); err == nil {
				inTime.Add(1)
				return
			}
			late.Add(1)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
		assert.Equal(t, int64(28), inTime.Load())
		assert.Equal(t, int64(28), late.Load())
		time.Sleep(5 * time.Second)
		for _, s := range remote.Stats() {
			assert.NoError(t, s.Err)
			assert.Equal(t, 1, s.Keys, s.Issuer)
		}
	})
	t.Run("without a slot", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			server := newThousandIssuers()
			server.hanging = func(string) bool { return true }
			remote, _ := server.discoveringRemote()
			issuers := server.issuers("tenant", 100)
			require.NoError(t, remote.CheckIssuers(issuers))
			var without atomic.Int64
			concurrently(len(issuers), func(i int) {
				start := time.Now()
				_, err := remote.Keys(t.Context(), issuers[i], "1")
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, 5*time.Second, time.Since(start))
				if strings.Contains(err.Error(), "waiting for keys: too many fetches for other issuers are in flight: context deadline exceeded") {
					without.Add(1)
				}
			})
			assert.InDelta(t, 100-28, without.Load(), 28)
			assert.NotZero(t, without.Load())
			time.Sleep(10 * time.Minute)
			for _, s := range remote.Stats() {
				assert.NotZero(t, s.Failures, "each has its turn")
			}
		})
	})
}
