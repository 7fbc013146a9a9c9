package keys_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
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
)

func TestRemote_FloodOfUnknownKeyIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, afterDelay(50*time.Millisecond, serves(oneKeySet("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		good := signEdDSA(t, edKey(), "1")
		require.Equal(t, 200, statusOf(t, gate, good))
		time.Sleep(time.Minute) // until two fetches are allowed again
		server.fetches.Store(0)

		start := time.Now()
		concurrently(200, func(i int) {
			assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, otherEdKey(), fmt.Sprintf("random-%d", i))))
		})
		assert.LessOrEqual(t, time.Since(start), 100*time.Millisecond, "no longer than two fetches")
		assert.LessOrEqual(t, server.fetches.Load(), int64(2))

		start = time.Now()
		for i := range 1000 {
			assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, otherEdKey(), fmt.Sprintf("more-%d", i))))
		}
		assert.Zero(t, time.Since(start), "no request waits for the next allowed fetch")
		assert.LessOrEqual(t, server.fetches.Load(), int64(2))
		assert.Equal(t, 200, statusOf(t, gate, good))

		// The flood goes on for a minute, with ten requests a second.
		for i := range 600 {
			time.Sleep(100 * time.Millisecond)
			assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, otherEdKey(), fmt.Sprintf("on-%d", i))))
		}
		assert.InDelta(t, 2+60/5, server.fetches.Load(), 1, "one each MinInterval")
		assert.Equal(t, int64(1), server.inFlight.most.Load(), "one at a time")
		// The first 200 requests shared two fetches. Of the later ones each fetched or was limited.
		assert.Equal(t, 1000+600-uint64(server.fetches.Load()-2), remote.Stats()[0].LimitedLookups)
	})
}

// acceptance 93: bad signatures cause one fetch each MinInterval, with or without kid. An issuer that is not trusted
// causes none.
func TestRemote_ForgedSignatures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		require.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
		server.fetches.Store(0)

		_, err := gate.Verify(t.Context(), signFor(t, "https://stranger.example/", jwt.SigningMethodEdDSA, otherEdKey(), "1"))
		assert.ErrorIs(t, err, jwtgate.ErrIssuer)
		assert.Zero(t, server.fetches.Load())
		forged := []string{signEdDSA(t, otherEdKey(), "1"), signEdDSA(t, otherEdKey(), "")}
		for i := range 60 * 10 {
			_, err := gate.Verify(t.Context(), forged[i%2])
			assert.ErrorIs(t, err, jwtgate.ErrSignature)
			time.Sleep(time.Second / 10)
		}
		assert.Equal(t, int64(60/5), server.fetches.Load())
		assert.Equal(t, uint64(60*10-60/5), remote.Stats()[0].LimitedLookups)
	})
}

// An issuer that is down, hangs or is flooded with unknown key IDs does not affect the fetches of the others.
func TestRemote_IssuersHaveTheirOwnLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, nil)
		names := []string{"down", "hangs", "flooded", "good"}
		documents := pages{}
		var issuers []string
		for _, name := range names {
			issuers = append(issuers, server.url+"/"+name)
			documents["/"+name+openIDConfiguration] = metadata(server.url+"/"+name, server.url+"/"+name+"/jwks")
			documents["/"+name+"/jwks"] = oneKeySet("1", edKey())
		}
		var faults atomic.Bool
		server.respond(func(w http.ResponseWriter, r *http.Request) {
			switch path := r.URL.Path; {
			case faults.Load() && strings.HasPrefix(path, "/down/"):
				w.WriteHeader(500)
			case faults.Load() && strings.HasPrefix(path, "/hangs/"):
				neverAnswers(w, r)
			default:
				documents.answer(w, r)
			}
		})
		remote, _ := server.discoveringRemote()
		gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: issuers, Audiences: []string{audience}})
		require.NoError(t, err)
		require.NoError(t, gate.Ready(t.Context()))
		faults.Store(true)
		token := func(name, kid string, private ed25519.PrivateKey) string {
			return signFor(t, server.url+"/"+name, jwt.SigningMethodEdDSA, private, kid)
		}
		var hanging sync.WaitGroup
		hanging.Go(func() { requireUnavailable(t, answerTo(gate, t.Context(), token("hangs", "2", otherEdKey()))) })
		synctest.Wait()
		requireUnavailable(t, answerTo(gate, t.Context(), token("down", "2", otherEdKey())))
		for i := range 50 {
			require.Equal(t, 401, statusOf(t, gate, token("flooded", fmt.Sprint("random-", i), otherEdKey())))
		}

		documents["/good/jwks"] = oneKeySet("2", otherEdKey())
		start := time.Now()
		assert.Equal(t, 200, statusOf(t, gate, token("good", "2", otherEdKey())))
		for _, name := range names[:3] {
			assert.Equal(t, 200, statusOf(t, gate, token(name, "1", edKey())))
		}
		assert.Zero(t, time.Since(start))
		hanging.Wait()
	})
}

// tenants serves metadata and keys for any tenant, except those whose name starts with "no". The issuer of a
// tenant is url/name.
func tenants(url string, set []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path, found := strings.CutSuffix(r.URL.Path, openIDConfiguration)
		switch {
		case strings.HasPrefix(path, "/no") || strings.HasPrefix(r.URL.Path, oauthServer):
			http.NotFound(w, r)
		case found:
			w.Write(metadata(url+path, url+path+"/jwks"))
		default:
			w.Write(set)
		}
	}
}

// A Remote keeps the keys of 1,000 issuers. The next issuer gets 503 until the keys of another are unused.
func TestRemote_ManyTenants(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: simulates a thousand issuers")
	}
	synctest.Test(t, func(t *testing.T) {
		server := newDirectServer(nil)
		server.respond(afterDelay(50*time.Millisecond, tenants(server.url, oneKeySet("1", edKey()))))
		remote, _ := server.discoveringRemote()
		tenant := func(i int) string { return fmt.Sprintf("%s/tenant-%d", server.url, i) }
		ask := func(i int) error {
			_, err := remote.Keys(t.Context(), tenant(i), "1")
			return err
		}
		concurrently(100, func(i int) { assert.NoError(t, ask(i)) })
		for i := range 900 {
			require.NoError(t, ask(i+100))
		}
		assert.Len(t, remote.Stats(), 1000)

		// All 1,000 are in use. One can be replaced when it is due for a refresh and no request has come.
		var e *jwtgate.Error
		require.ErrorAs(t, ask(1000), &e)
		assert.Equal(t, 503, e.Status)
		assert.ErrorContains(t, e, "keys of 1000 issuers")
		time.Sleep(8*time.Minute + time.Second)
		for i := range 999 {
			require.NoError(t, ask(i)) // number 999 stays due
		}
		synctest.Wait()
		time.Sleep(time.Second)
		require.NoError(t, ask(1000))
		stats := remote.Stats()
		require.Len(t, stats, 1000)
		for _, s := range stats {
			assert.NotEqual(t, tenant(999), s.Issuer)
		}
		require.Error(t, ask(999))
	})
}

// acceptance 56: TrustIssuer accepts any name below a URL, and somebody makes names up.
func TestRemote_FloodOfIssuers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: simulates a thousand issuers")
	}
	synctest.Test(t, func(t *testing.T) {
		server := newDirectServer(nil)
		server.respond(tenants(server.url, oneKeySet("1", edKey())))
		remote, _ := server.discoveringRemote()
		gate, err := jwtgate.New(jwtgate.Options{
			Keys: remote, Audiences: []string{audience},
			TrustIssuer: func(issuer string) bool { return strings.HasPrefix(issuer, server.url+"/") },
		})
		require.NoError(t, err)
		token := func(tenant string) string {
			return signFor(t, server.url+"/"+tenant, jwt.SigningMethodEdDSA, edKey(), "1")
		}
		require.Equal(t, 200, statusOf(t, gate, token("known")))
		require.NoError(t, remote.Refresh(t.Context(), server.url+"/named"), "Refresh is not limited, and not counted")
		server.fetches.Store(0)
		for i := range 2000 {
			requireUnavailable(t, answerTo(gate, t.Context(), token(fmt.Sprint("nobody-", i))))
		}
		assert.Equal(t, int64(3*100), server.fetches.Load(), "100 issuers, three requests for each")
		assert.Len(t, remote.Stats(), 102)
		assert.Equal(t, 200, statusOf(t, gate, token("known")))
		assert.Equal(t, 200, statusOf(t, gate, token("named")))
		w := answerTo(gate, t.Context(), token("new"))
		assert.Equal(t, 1, requireUnavailable(t, w))

		// Each second one more issuer is allowed, whichever comes first.
		for range 20 {
			time.Sleep(time.Second)
			assert.Equal(t, 200, statusOf(t, gate, token(fmt.Sprint("new-", time.Now().Unix()))))
		}
		for i := range 100 {
			requireUnavailable(t, answerTo(gate, t.Context(), token(fmt.Sprint("nobody-again-", i))))
			assert.Equal(t, 200, statusOf(t, gate, token("known")))
		}
	})
}

// Issuers that CheckIssuers was given are never replaced by others, and their fetches are not limited.
func TestRemote_ListedIssuers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: simulates a thousand issuers")
	}
	synctest.Test(t, func(t *testing.T) {
		server := newDirectServer(nil)
		server.respond(tenants(server.url, oneKeySet("1", edKey())))
		remote, _ := server.discoveringRemote()
		issuers := func(n int) (all []string) {
			for i := range n {
				all = append(all, fmt.Sprintf("%s/nobody-%d", server.url, i))
			}
			return all
		}
		require.NoError(t, remote.CheckIssuers(issuers(1000)))
		require.NoError(t, remote.CheckIssuers(issuers(10)), "listing an issuer twice is allowed")
		assert.ErrorContains(t, remote.CheckIssuers(issuers(1001)), "keys of 1000 issuers")
		for _, issuer := range issuers(200) { // more than the 100 that are allowed to issuers of tokens
			_, err := remote.Keys(t.Context(), issuer, "1")
			require.ErrorContains(t, err, "status 404")
		}
		time.Sleep(time.Hour)
		_, err := remote.Keys(t.Context(), server.url+"/other", "1")
		assert.ErrorContains(t, err, "keys of 1000 issuers")
		assert.Len(t, remote.Stats(), 1000)

		remote, _ = server.discoveringRemote()
		for _, issuer := range issuers(100) {
			_, err := remote.Keys(t.Context(), issuer, "1")
			require.ErrorContains(t, err, "status 404")
		}
		other := server.url + "/other"
		_, err = remote.Keys(t.Context(), other, "1")
		require.ErrorContains(t, err, "wait for its turn")
		require.NoError(t, remote.CheckIssuers([]string{other}))
		assert.Equal(t, []string{"1 EdDSA"}, lookUp(t, remote, other, "1"))

		// Issuers that only Refresh was given are not limited, but can be replaced.
		remote, _ = server.discoveringRemote()
		for _, issuer := range issuers(1000) {
			require.ErrorContains(t, remote.Refresh(t.Context(), issuer), "status 404")
		}
		assert.Equal(t, []string{"1 EdDSA"}, lookUp(t, remote, other, "1"))
		assert.Len(t, remote.Stats(), 1000)
		assert.ErrorContains(t, remote.Refresh(t.Context(), "no URL"), "does not start with https://")

		// They cannot be replaced any more once CheckIssuers was given them.
		remote, _ = server.discoveringRemote()
		for _, issuer := range issuers(1000) {
			require.Error(t, remote.Refresh(t.Context(), issuer))
		}
		require.NoError(t, remote.CheckIssuers(issuers(1000)))
		_, err = remote.Keys(t.Context(), other, "1")
		assert.ErrorContains(t, err, "keys of 1000 issuers")
	})
}

// Made-up issuers replace one another, not issuers that have keys.
func TestRemote_WhoGivesWay(t *testing.T) {
	t.Parallel()
	for _, outage := range []bool{false, true} {
		t.Run(fmt.Sprintf("outage=%t", outage), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newDirectServer(nil)
				server.respond(tenants(server.url, oneKeySet("1", edKey())))
				remote, _ := server.discoveringRemote()
				ask := func(name string, i int) error {
					_, err := remote.Keys(t.Context(), fmt.Sprintf("%s/%s-%d", server.url, name, i), "1")
					return err
				}
				for i := range 1000 {
					require.NoError(t, ask("tenant", i))
				}
				if outage {
					server.respond(fails(503))
				}
				for range 3 {
					time.Sleep(9 * time.Minute) // all tenants are due for a refresh
					if outage {
						for i := range 1000 {
							require.NoError(t, ask("tenant", i))
						}
						synctest.Wait()
						time.Sleep(time.Minute) // the refreshes failed, and all tenants are due again
					}
					for i := range 100 {
						require.Error(t, ask("nobody", i))
					}
				}
				lost := 1 // replaced by the first made-up issuer
				if outage {
					lost = 0
				}
				held := 0
				for _, s := range remote.Stats() {
					if s.Keys > 0 {
						held++
					}
				}
				assert.Equal(t, 1000-lost, held)
			})
		})
	}
}

// Retries for issuers that never had keys share one limit: 100 fetches, then one each second. When such issuers
// recover, each gets its keys, and their fetches do not count any more.
func TestRemote_RetriesOfNewcomers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: simulates a thousand issuers")
	}
	synctest.Test(t, func(t *testing.T) {
		server := newDirectServer(nil)
		good := tenants(server.url, oneKeySet("1", edKey()))
		server.respond(fails(500)) // three requests for each fetch: discovery asks at three addresses
		remote, _ := server.discoveringRemote()
		ask := func(i int) error {
			_, err := remote.Keys(t.Context(), fmt.Sprintf("%s/tenant-%d", server.url, i), "1")
			return err
		}
		for range 600 {
			for i := range 300 {
				require.Error(t, ask(i))
			}
			time.Sleep(time.Second)
		}
		assert.InDelta(t, 3*(100+600), server.fetches.Load(), 3*5)

		server.respond(good)
		waiting := map[int]bool{}
		for i := range 300 {
			waiting[i] = true
		}
		start := time.Now()
		for len(waiting) > 0 {
			for i := range waiting {
				if ask(i) == nil {
					delete(waiting, i)
				}
			}
			require.Less(t, time.Since(start), time.Minute)
			time.Sleep(time.Second)
		}

		// The limit is 100 again, and not more, now that their fetches do not count.
		time.Sleep(9 * time.Minute)
		for i := range 300 {
			require.NoError(t, ask(i)) // starts a refresh
		}
		synctest.Wait()
		server.fetches.Store(0)
		server.respond(fails(500))
		for i := range 500 {
			require.Error(t, ask(1000+i))
		}
		assert.Equal(t, int64(3*100), server.fetches.Load())
	})
}
