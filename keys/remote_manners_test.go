package keys_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/keys"
)

// newQuietRemote returns a Remote whose requests serve answers, without a network.
func newQuietRemote(serve http.HandlerFunc) *keys.Remote {
	return &keys.Remote{
		URL:    "https://auth.example.com/jwks",
		Logger: slog.New(slog.DiscardHandler),
		Client: &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			serve(w, r)
			return w.Result(), nil
		})},
	}
}

// untilNextFetch asks for the key "1" ten times a second until there is another fetch than the ones
// counted in fetches, and returns how long that took.
func untilNextFetch(t *testing.T, remote *keys.Remote, fetches *int) time.Duration {
	start, before := time.Now(), *fetches
	for *fetches == before {
		time.Sleep(time.Second / 10)
		_, _ = remote.Keys(t.Context(), "", "1")
		synctest.Wait()
		require.Less(t, time.Since(start), time.Hour)
	}
	return time.Since(start)
}

// The server of an issuer that is overloaded says when to come again.
func TestRemote_RetryAfter(t *testing.T) {
	t.Parallel()
	const backoff = time.Second // at the first failure half a second, up to half of it less
	for _, tt := range []struct {
		name        string
		status      int
		header      string
		with        time.Duration // with keys in use, how long the Remote waits
		without     time.Duration // without keys
		isBackoff   bool          // the header is ignored
		isHalfAHour bool          // the header is a date in half an hour
	}{
		{name: "seconds", status: 429, header: "40", with: 40 * time.Second, without: 40 * time.Second},
		{name: "503", status: 503, header: " 40 ", with: 40 * time.Second, without: 40 * time.Second},
		{name: "a long time", status: 503, header: "7200", with: 5 * time.Minute, without: time.Minute},
		{name: "date", status: 429, isHalfAHour: true, with: 5 * time.Minute, without: time.Minute},
		{name: "less than the backoff", status: 429, header: "0", isBackoff: true},
		{name: "date in the past", status: 429, header: "Thu, 01 Jan 1970 00:00:00 GMT", isBackoff: true},
		{name: "negative", status: 429, header: "-40", isBackoff: true},
		{name: "beyond numbers", status: 429, header: "99999999999999999999", isBackoff: true},
		{name: "words", status: 429, header: "soon", isBackoff: true},
		{name: "none", status: 503, isBackoff: true},
		{name: "of another status", status: 404, header: "40", isBackoff: true},
		{name: "500", status: 500, header: "40", isBackoff: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, hasKeys := range []bool{true, false} {
					fetches, down := 0, !hasKeys
					remote := newQuietRemote(func(w http.ResponseWriter, _ *http.Request) {
						if fetches++; !down {
							w.Write(oneKeySet("1", edKey()))
							return
						}
						if tt.header != "" {
							w.Header().Set("Retry-After", tt.header)
						}
						if tt.isHalfAHour {
							w.Header().Set("Retry-After", time.Now().Add(time.Hour/2).UTC().Format(http.TimeFormat))
						}
						w.WriteHeader(tt.status)
					})
					_ = remote.Refresh(t.Context(), "")
					if hasKeys {
						down = true
						require.Error(t, remote.Refresh(t.Context(), ""))
					}
					got, want := untilNextFetch(t, remote, &fetches), tt.without
					if hasKeys {
						want = tt.with
					}
					if tt.isBackoff {
						assert.LessOrEqual(t, got, backoff)
					} else {
						assert.InDelta(t, want, got, float64(2*time.Second))
					}
				}
			})
		})
	}
}

// The issuer is down for ten minutes when a service starts. The service is back at most five seconds
// after its issuer.
func TestRemote_ComesBackSoon(t *testing.T) {
	if testing.Short() {
		t.Skip("plays fifty outages of ten minutes")
	}
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			down, fetches := true, 0
			remote := newQuietRemote(func(w http.ResponseWriter, _ *http.Request) {
				if fetches++; down {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				w.Write(oneKeySet("1", edKey()))
			})
			for start := time.Now(); time.Since(start) < 10*time.Minute; time.Sleep(time.Second / 10) {
				_, err := remote.Keys(t.Context(), "", "1")
				require.Error(t, err)
			}
			assert.Less(t, fetches, 300, "the Remote does not flood the issuer")
			down = false
			back := time.Now()
			for {
				if _, err := remote.Keys(t.Context(), "", "1"); err == nil {
					break
				}
				time.Sleep(time.Second / 10)
			}
			assert.LessOrEqual(t, time.Since(back), 5*time.Second)
		}
	})
}

// A thousand processes fetch in the same second because of a rotation. From then on they do not go in
// step.
func TestRemote_FleetIsNotInStep(t *testing.T) {
	if testing.Short() {
		t.Skip("asks a thousand Remotes for half an hour")
	}
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const processes = 1000
		document := oneKeySet("1", edKey())
		fetches := make(chan struct{}, 10*processes)
		var fleet []*keys.Remote
		for range processes {
			fleet = append(fleet, newQuietRemote(func(w http.ResponseWriter, _ *http.Request) {
				fetches <- struct{}{}
				w.Write(document)
			}))
		}
		ask := func(kid string) (fetched int) {
			for _, remote := range fleet {
				_, err := remote.Keys(t.Context(), "", kid)
				require.NoError(t, err)
			}
			synctest.Wait()
			for ; len(fetches) > 0; fetched++ {
				<-fetches
			}
			return fetched
		}
		require.Equal(t, processes, ask("1"))
		time.Sleep(time.Minute)
		document = oneKeySet("2", edKey())
		require.Equal(t, processes, ask("2"), "the rotation")

		most, all := 0, 0
		for range 30 * 60 {
			time.Sleep(time.Second)
			fetched := ask("2")
			most, all = max(most, fetched), all+fetched
		}
		assert.LessOrEqual(t, most, 40, "fetches in one second")
		assert.InDelta(t, 30.0/7*processes, all, processes, "each process fetches about every seven minutes")
	})
}

// A cache on the way may not know of a key that is new, so a fetch for an unknown key asks the server.
func TestRemote_PastCaches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan string, 10)
		remote := &keys.Remote{Logger: slog.New(slog.DiscardHandler), Client: &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			asked <- r.URL.Path + " " + r.Header.Get("Cache-Control")
			if r.URL.Path == "/jwks" {
				w.Write(oneKeySet("1", edKey()))
			} else {
				w.Write(metadata("https://auth.example.com", "https://auth.example.com/jwks"))
			}
			return w.Result(), nil
		})}}
		fetchedWith := func(cacheControl, why string) {
			t.Helper()
			synctest.Wait()
			require.Len(t, asked, 2, why)
			assert.Equal(t, "/.well-known/openid-configuration "+cacheControl, <-asked, why)
			assert.Equal(t, "/jwks "+cacheControl, <-asked, why)
		}
		lookUp := func(kid string) { _, _ = remote.Keys(context.Background(), "https://auth.example.com", kid) }
		lookUp("1")
		fetchedWith("", "the first fetch")
		lookUp("2")
		fetchedWith("no-cache", "an unknown key")
		require.NoError(t, remote.Refresh(t.Context(), "https://auth.example.com"))
		fetchedWith("no-cache", "Refresh")
		time.Sleep(8 * time.Minute)
		lookUp("1")
		fetchedWith("", "a due fetch")
	})
}
