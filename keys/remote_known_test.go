package keys_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// An issuerParts is an issuer whose discovery and keys can fail separately. Its metadata is where OpenID Connect
// puts it.
type issuerParts struct {
	*keyServer
	discovery, keys atomic.Pointer[http.HandlerFunc]

	mu    sync.Mutex
	asked []string
}

func newIssuerParts(t *testing.T) *issuerParts {
	p := &issuerParts{keyServer: newPipeServer(t, nil)}
	p.setDiscovery(serves(metadata(p.url, p.url+"/jwks")))
	p.setKeys(serves(oneKeySet("1", edKey())))
	p.respond(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.URL.Path)
		p.mu.Unlock()
		if strings.Contains(r.URL.Path, "/.well-known/") {
			(*p.discovery.Load())(w, r)
		} else {
			(*p.keys.Load())(w, r)
		}
	})
	return p
}

func (p *issuerParts) setDiscovery(h http.HandlerFunc) { p.discovery.Store(&h) }
func (p *issuerParts) setKeys(h http.HandlerFunc)      { p.keys.Store(&h) }

// drainAsked returns the paths of the requests since the last call.
func (p *issuerParts) drainAsked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.asked = nil }()
	return p.asked
}

// An issuer each of whose answers takes more than half of Timeout comes up, because the second fetch goes on where the
// first one had to stop. From then on no refresh fails.
func TestRemote_SlowAnswers(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{2600 * time.Millisecond, 3500 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newIssuerParts(t)
				server.setDiscovery(afterDelay(delay, *server.discovery.Load()))
				server.setKeys(afterDelay(delay, *server.keys.Load()))
				remote, _ := server.discoveringRemote()
				ask := func() error {
					_, err := remote.Keys(t.Context(), server.url, "1")
					return err
				}
				require.Error(t, ask())
				time.Sleep(time.Second) // more than the first backoff
				require.NoError(t, ask())
				for range 36 * 60 {
					require.NoError(t, ask())
					time.Sleep(time.Minute)
				}
				stats := remote.Stats()[0]
				assert.Equal(t, uint64(1), stats.Failures)
				assert.Greater(t, stats.Fetches, uint64(36*60/10))
				time.Sleep(time.Minute)
				assert.Zero(t, server.connections.now.Load())
			})
		})
	}
}

// Where discovery fails, the fetch asks the address that the last one has named. Discovery that hangs does not keep the
// fetch waiting.
func TestRemote_DiscoveryFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		discovery http.HandlerFunc
		took      time.Duration
		asked     int // requests of discovery
	}{
		{"404", fails(404), 0, 2},
		{"503", fails(503), 0, 2},
		{"HTML", serves([]byte("<!doctype html>")), 0, 2},
		{"another issuer", serves(metadata("https://other.example", "https://other.example/jwks")), 0, 2},
		{"closed connection", closesConnection, 0, 2},
		{"503, slow", afterDelay(400*time.Millisecond, fails(503)), 800 * time.Millisecond, 2},
		{"503, slower", afterDelay(1200*time.Millisecond, fails(503)), 2400 * time.Millisecond, 2},
		{"no answer", neverAnswers, 3 * time.Second, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newIssuerParts(t)
				remote, log := server.discoveringRemote()
				require.NoError(t, remote.Refresh(t.Context(), server.url))
				server.drainAsked()
				log.drain()
				server.setDiscovery(tt.discovery)
				server.setKeys(serves(oneKeySet("2", otherEdKey())))
				start := time.Now()
				assert.Equal(t, []string{"2 EdDSA"}, lookUp(t, remote, server.url, "2"))
				assert.Equal(t, tt.took, time.Since(start))
				asked := server.drainAsked()
				assert.Len(t, asked, tt.asked+1)
				assert.Equal(t, 1, strings.Count(strings.Join(asked, " "), "/jwks"))
				assert.NoError(t, remote.Stats()[0].Err)
				synctest.Wait()
				assert.LessOrEqual(t, server.inFlight.most.Load(), int64(3))
				// A discovery that is slow for the first time leaves its connection to Client.
				require.NoError(t, remote.Refresh(t.Context(), server.url))
				synctest.Wait()
				assert.Zero(t, server.connections.now.Load())
			})
		})
	}
}

// The address that was discovered last is used as long as its keys are: for FreshFor and StaleFor after the discovery. Then
// somebody else may have it.
func TestRemote_KnownAddressExpires(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		staleFor, usable time.Duration
	}{{time.Hour, 70 * time.Minute}, {-1, 10 * time.Minute}, {0, 24*time.Hour + 10*time.Minute}} {
		t.Run(tt.usable.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newIssuerParts(t)
				remote, _ := server.discoveringRemote()
				remote.StaleFor = tt.staleFor
				require.NoError(t, remote.Refresh(t.Context(), server.url))
				discovered := time.Now()
				server.setDiscovery(fails(503))
				for time.Since(discovered) < tt.usable-time.Second {
					assert.Len(t, lookUp(t, remote, server.url, "1"), 1)
					time.Sleep(min(time.Minute, tt.usable-time.Second-time.Since(discovered)))
				}
				require.NoError(t, remote.Refresh(t.Context(), server.url))
				server.drainAsked()
				time.Sleep(2 * time.Second)
				for range 20 {
					_, err := remote.Keys(t.Context(), server.url, "1")
					require.ErrorContains(t, err, "status 503")
					time.Sleep(10 * time.Second)
				}
				assert.NotContains(t, server.drainAsked(), "/jwks")
				server.setDiscovery(serves(metadata(server.url, server.url+"/jwks")))
				time.Sleep(time.Minute)
				assert.Len(t, lookUp(t, remote, server.url, "1"), 1)
			})
		})
	}
}

// Discovery that answers within three fifths of Timeout decides, even if the known address has answered before.
func TestRemote_KeysMoveWhileDiscoveryIsSlow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name             string
		discovery, known time.Duration // until they answer
		took             time.Duration
	}{
		{"at once", 0, 0, 0},
		{"soon", 900 * time.Millisecond, 0, 900 * time.Millisecond},
		{"after the known address was asked", 1500 * time.Millisecond, time.Hour, 1500 * time.Millisecond},
		{"after the known address has answered", 2900 * time.Millisecond, 0, 2900 * time.Millisecond},
		{"late, and the known address does not answer", 4 * time.Second, time.Hour, 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newIssuerParts(t)
				remote, _ := server.discoveringRemote()
				require.NoError(t, remote.Refresh(t.Context(), server.url))
				// The second address of the metadata answers 404 at once.
				server.setDiscovery(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != openIDConfiguration {
						w.WriteHeader(404)
						return
					}
					afterDelay(tt.discovery, serves(metadata(server.url, server.url+"/new")))(w, r)
				})
				server.setKeys(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/new" {
						w.Write(oneKeySet("2", otherEdKey()))
						return
					}
					select {
					case <-time.After(tt.known):
						w.Write(oneKeySet("1", edKey()))
					case <-r.Context().Done():
					}
				})
				start := time.Now()
				require.NoError(t, remote.Refresh(t.Context(), server.url))
				assert.Equal(t, tt.took, time.Since(start))
				assert.Equal(t, []string{"2 EdDSA"}, lookUp(t, remote, server.url, ""))
				assert.Equal(t, server.url+"/new", remote.Stats()[0].URL)
				time.Sleep(10 * time.Second)
			})
		})
	}
}

// Parse need not be safe for concurrent use if there is one issuer.
func TestRemote_ParsesOneAnswerAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newIssuerParts(t)
		remote, _ := server.discoveringRemote()
		var calls gauge
		var parsed []string // without a lock, so that the race detector finds calls that overlap
		secret := randomSecret(32)
		remote.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			calls.add(1)
			defer calls.add(-1)
			time.Sleep(time.Second)
			parsed = append(parsed, string(content))
			k, err := jwtgate.NewKey(string(content), "HS256", secret)
			return []*jwtgate.Key{k}, err
		}
		server.setKeys(serves([]byte("before")))
		require.NoError(t, remote.Refresh(t.Context(), server.url))

		// The old address answers after a second. While its answer is parsed, discovery names another address.
		server.setDiscovery(afterDelay(1500*time.Millisecond, serves(metadata(server.url, server.url+"/moved"))))
		server.setKeys(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.TrimPrefix(r.URL.Path, "/")) })
		require.NoError(t, remote.Refresh(t.Context(), server.url))
		assert.Equal(t, []string{"before", "jwks", "moved"}, parsed)
		assert.Equal(t, int64(1), calls.most.Load())
	})
}

// If the known address fails too, the error has all addresses.
func TestRemote_DiscoveryAndKnownAddressFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		discovery, keys http.HandlerFunc
		want            [3]string
	}{
		{"status", fails(502), fails(503), [3]string{"status 502", "status 502", "status 503"}},
		{"no answer", neverAnswers, neverAnswers, [3]string{
			"no answer in time while waiting for the answer", "the same", "the same",
		}},
		{"no answer and a page", neverAnswers, serves([]byte("<html>")), [3]string{
			"no answer in time while waiting for the answer", "the same",
			"it is an HTML page (text/html; charset=utf-8), not a JWK Set",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newIssuerParts(t)
				remote, _ := server.discoveringRemote()
				require.NoError(t, remote.Refresh(t.Context(), server.url))
				server.setDiscovery(tt.discovery)
				server.setKeys(tt.keys)
				start := time.Now()
				require.Error(t, remote.Refresh(t.Context(), server.url))
				assert.LessOrEqual(t, time.Since(start), 5*time.Second)
				synctest.Wait()
				text := "keys.Remote: "
				for i, path := range []string{openIDConfiguration, oauthServer, "/jwks"} {
					text += fmt.Sprintf("GET %s%s: %s; ", server.url, path, tt.want[i])
				}
				assert.EqualError(t, remote.Stats()[0].Err, strings.TrimSuffix(text, "; "))
				assert.Equal(t, 1, remote.Stats()[0].Keys)
			})
		})
	}
}

// After a discovery whose keys did not come in time, the next fetch asks for the keys at once.
func TestRemote_HalfFinishedFetch(t *testing.T) {
	t.Parallel()
	whole := []string{openIDConfiguration, "/jwks"}
	for _, tt := range []struct {
		name  string
		first http.HandlerFunc // answers the first request for the keys
		wait  time.Duration
		then  []string // what the next fetch asks for
	}{
		{"no answer", neverAnswers, time.Minute, []string{"/jwks"}},
		{"no answer, long ago", neverAnswers, 11 * time.Minute, whole},
		{"404", fails(404), time.Minute, whole},
		{"closed connection", closesConnection, time.Minute, whole},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newIssuerParts(t)
				good := *server.keys.Load()
				server.setKeys(tt.first)
				remote, _ := server.discoveringRemote()
				require.Error(t, remote.Refresh(t.Context(), server.url))
				synctest.Wait()
				server.drainAsked()
				server.setKeys(good)
				time.Sleep(tt.wait)
				require.NoError(t, remote.Refresh(t.Context(), server.url))
				assert.Equal(t, tt.then, server.drainAsked())
				require.NoError(t, remote.Refresh(t.Context(), server.url))
				assert.Equal(t, whole, server.drainAsked())
			})
		})
	}
	t.Run("the keys have moved since", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			server := newIssuerParts(t)
			server.setKeys(neverAnswers)
			remote, _ := server.discoveringRemote()
			require.Error(t, remote.Refresh(t.Context(), server.url))
			synctest.Wait()
			server.drainAsked()
			server.setDiscovery(serves(metadata(server.url, server.url+"/new")))
			server.setKeys(pages{"/new": oneKeySet("2", otherEdKey())}.answer)
			require.NoError(t, remote.Refresh(t.Context(), server.url))
			assert.Equal(t, []string{"/jwks", openIDConfiguration, "/new"}, server.drainAsked())
		})
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			server := newIssuerParts(t)
			server.setKeys(neverAnswers)
			remote, _ := server.discoveringRemote()
			for i := range 4 {
				require.Error(t, remote.Refresh(t.Context(), server.url))
				synctest.Wait()
				assert.Equal(t, i%2 == 0, slices.Contains(server.drainAsked(), openIDConfiguration), "fetch %d", i)
			}
		})
	})
}

// acceptance 92
func TestRemote_MetadataWithByteOrderMark(t *testing.T) {
	t.Parallel()
	server := newTCPServer(t, nil)
	server.respond(pages{
		openIDConfiguration: append([]byte("\ufeff"), metadata(server.url, server.url+"/jwks")...),
		"/jwks":             append([]byte("\ufeff"), oneKeySet("1", edKey())...),
	}.answer)
	remote, _ := server.discoveringRemote()
	assert.Equal(t, []string{"1 EdDSA"}, lookUp(t, remote, server.url, "1"))
}

// acceptance 90: the refresh hint of a SPIFFE bundle shortens how long its keys are fresh.
func TestUse_RefreshHint(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, use, hint, cacheControl string
		freshFor                      time.Duration
		want                          time.Duration // until the next fetch at the latest; at the earliest, three quarters of it
	}{
		{name: "none", use: "jwt-svid", want: 8 * time.Minute},
		{name: "5 minutes", use: "jwt-svid", hint: "300", want: 4 * time.Minute},
		{name: "5 minutes, another use", hint: "300", want: 8 * time.Minute},
		{name: "with a fraction", use: "jwt-svid", hint: "300.0", want: 4 * time.Minute},
		{name: "less than a minute", use: "jwt-svid", hint: "1", want: 48 * time.Second},
		{name: "longer", use: "jwt-svid", hint: "3600", want: 8 * time.Minute},
		{name: "beyond numbers", use: "jwt-svid", hint: "1e300", want: 8 * time.Minute},
		{name: "longer than max-age", use: "jwt-svid", hint: "300", cacheControl: "max-age=120", want: 96 * time.Second},
		{name: "shorter than max-age", use: "jwt-svid", hint: "120", cacheControl: "max-age=300", want: 96 * time.Second},
		{name: "longer than FreshFor", use: "jwt-svid", hint: "1", freshFor: 10 * time.Second, want: 8 * time.Second},
		{name: "zero", use: "jwt-svid", hint: "0", want: 8 * time.Minute},
		{name: "negative", use: "jwt-svid", hint: "-300", want: 8 * time.Minute},
		{name: "null", use: "jwt-svid", hint: "null", want: 8 * time.Minute},
		{name: "a string", use: "jwt-svid", hint: `"300"`, want: 8 * time.Minute},
	} {
		for _, etag := range []string{"", `"1"`} {
			t.Run(tt.name+etag, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					set := string(jwkSet(jwkOf(public(edKey())).with("kid", "1").with("use", "jwt-svid"), jwkOf(public(edKey())).with("kid", "1")))
					if tt.hint != "" {
						set = strings.Replace(set, "{", `{"spiffe_sequence":12,"spiffe_refresh_hint":`+tt.hint+`,`, 1)
					}
					fetches := 0
					var remote *keys.Remote = newQuietRemote(func(w http.ResponseWriter, r *http.Request) {
						fetches++
						if tt.cacheControl != "" {
							w.Header().Set("Cache-Control", tt.cacheControl)
						}
						if etag != "" && r.Header.Get("If-None-Match") == etag {
							w.WriteHeader(304)
							return
						}
						w.Header().Set("Etag", etag)
						w.Write([]byte(set))
					})
					remote.Use, remote.FreshFor = tt.use, tt.freshFor
					require.NoError(t, remote.Refresh(t.Context(), ""))
					for range 3 { // the set does not change, which must not change the hint
						took := untilNextFetch(t, remote, &fetches)
						assert.LessOrEqual(t, took, tt.want+time.Second)
						assert.GreaterOrEqual(t, took, tt.want/4*3-time.Second)
					}
				})
			})
		}
	}
}

// A fetch measures how far the clock of this host is from the server's. It takes no old answer for a new one.
func TestRemote_ClockAhead(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	for _, tt := range []struct {
		name   string
		date   time.Duration // of the answer, against this host's clock
		header http.Header
		delay  time.Duration // of the answer
		want   time.Duration // 0 if the clocks may agree
	}{
		{name: "same"},
		{name: "ahead", date: -hour, want: hour - time.Second},
		{name: "behind", date: hour, want: -hour},
		{name: "a second", date: -time.Second},
		{name: "slow answer", date: -4 * time.Second, delay: 4 * time.Second, want: 3 * time.Second},
		{name: "slow answer, made early", date: 0, delay: 4 * time.Second},
		{name: "slow answer, made late", date: 4 * time.Second, delay: 4 * time.Second},
		{name: "slow answer, behind", date: hour, delay: 4 * time.Second, want: -hour + 4*time.Second},
		{name: "cached", date: -hour, header: http.Header{"Age": {"3600"}}},
		{name: "cached, ahead", date: -2 * hour, header: http.Header{"Age": {"3600"}}, want: hour - 2*time.Second},
		{name: "cached, behind", date: 0, header: http.Header{"Age": {"3600"}}, want: -hour},
		{name: "malformed Age", date: -hour, header: http.Header{"Age": {"old"}}},
		{name: "two Ages", date: -hour, header: http.Header{"Age": {"0", "3600"}}},
		{name: "cached without Age", date: -hour, header: http.Header{"X-Cache": {"HIT from proxy"}}},
		{name: "cached without Age, RFC 9211", date: -hour, header: http.Header{"Cache-Status": {"a; fwd=miss", "b; hit"}}},
		{name: "passed by a cache", date: -hour, header: http.Header{"X-Cache": {"MISS"}}, want: hour - time.Second},
		{name: "no Date", date: -hour, header: http.Header{"Date": {""}}},
		{name: "malformed Date", date: -hour, header: http.Header{"Date": {"now"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				unchanged := false
				remote := newQuietRemote(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Date", time.Now().Add(tt.date).UTC().Format(http.TimeFormat))
					w.Header().Set("Etag", `"1"`)
					for name, values := range tt.header {
						w.Header()[name] = values
					}
					time.Sleep(tt.delay)
					if unchanged {
						w.WriteHeader(304)
						return
					}
					w.Write(oneKeySet("1", edKey()))
				})
				require.NoError(t, remote.Refresh(t.Context(), ""))
				assert.Equal(t, tt.want, remote.Stats()[0].ClockAhead)
				require.NoError(t, remote.Refresh(t.Context(), ""))
				assert.Equal(t, tt.want, remote.Stats()[0].ClockAhead, "an answer that has not changed counts")
				unchanged = true
				time.Sleep(9 * time.Minute)
				lookUp(t, remote, "", "1")
				synctest.Wait()
				time.Sleep(5 * time.Second)
				require.NoError(t, remote.Stats()[0].Err)
				assert.Zero(t, remote.Stats()[0].ClockAhead, "the Date of a 304 may be that of the stored answer")
			})
		})
	}
}
