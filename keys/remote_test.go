package keys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

func TestRemote_RefusesSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		remote  *keys.Remote
		issuers []string
		problem string // "" if the settings are accepted
	}{
		{"zero value", &keys.Remote{}, []string{"https://auth.example.com/", "https://auth.example.com/realms/a b%20c"}, ""},
		{"URL with a query", &keys.Remote{URL: "https://auth.example.com/keys?p=policy"}, []string{"any"}, ""},
		{"loopback", &keys.Remote{URL: "http://127.0.0.2:80/"}, []string{"any"}, ""},
		{"loopback of IPv6", &keys.Remote{URL: "http://[::1]/"}, []string{"any"}, ""},
		{"localhost", &keys.Remote{URL: "http://LOCALHOST/"}, []string{"any"}, ""},
		{"AnyIssuer with URL", &keys.Remote{URL: "https://auth.example.com/keys"}, []string{""}, ""},
		{"InsecureHTTP", &keys.Remote{URL: "http://keys.cluster/", InsecureHTTP: true}, []string{"any"}, ""},
		{"InsecureHTTP, discovered", &keys.Remote{InsecureHTTP: true}, []string{"http://keys.cluster/"}, ""},

		{"AnyIssuer", &keys.Remote{}, []string{""}, "URL: it is empty"},
		{"no URL at all", &keys.Remote{URL: "auth.example.com/keys"}, nil, "URL: it does not start with https://"},
		{"no host", &keys.Remote{URL: "https:///keys"}, nil, "URL: it has no host"},
		{"malformed", &keys.Remote{URL: "https://auth.example.com:port/"}, nil, "URL: it is not a URL"},
		{"white space", &keys.Remote{URL: "https://auth.example.com/keys\n"}, nil, "URL: it has white space around it; trim it"},
		{"quotes", &keys.Remote{URL: `"https://auth.example.com/keys"`}, nil, `URL: it has the character "\""`},
		{"placeholder", &keys.Remote{}, []string{"https://${DOMAIN}/"}, `it has the character "{"; was a placeholder not replaced?`},
		{"placeholder of the documentation", &keys.Remote{}, []string{"https://<domain>/"}, `it has the character "<"; was a placeholder not replaced?`},
		{"another scheme", &keys.Remote{URL: "ftp://auth.example.com/"}, nil, "https://"},
		{"credentials", &keys.Remote{URL: "https://me:secret@auth.example.com/"}, nil, "it has credentials in it, which logs would show; let Remote.Client send them"},
		{"plain http", &keys.Remote{URL: "http://auth.example.com/"}, nil, "InsecureHTTP"},
		{"a name that starts like loopback", &keys.Remote{URL: "http://127.0.0.1.example.com/"}, nil, "InsecureHTTP"},
		{"below localhost, which a resolver may be asked for", &keys.Remote{URL: "http://keycloak.localhost/"}, nil, "InsecureHTTP"},
		{"a name that ends like localhost", &keys.Remote{URL: "http://notlocalhost/"}, nil, "InsecureHTTP"},
		{"issuer that is no URL", &keys.Remote{}, []string{"my-issuer"}, `the issuer "my-issuer" cannot be asked for its keys: it does not start with https://; set URL`},
		{"issuer with a query", &keys.Remote{}, []string{"https://auth.example.com/?a"}, "query"},
		{"issuer with a fragment", &keys.Remote{}, []string{"https://auth.example.com/#"}, "fragment"},
		{"issuer with plain http", &keys.Remote{}, []string{"https://auth.example.com", "http://auth.example.com"}, "InsecureHTTP"},
		{"issuer with a dot segment", &keys.Remote{}, []string{"https://auth.example.com/a/../b"}, "dot segment"},
		{"issuer with an escaped dot segment", &keys.Remote{}, []string{"https://auth.example.com/a/%2e%2e/b"}, "dot segment"},
		{"issuer with a dot segment behind a backslash", &keys.Remote{}, []string{`https://auth.example.com/a\..\b`}, "dot segment"},
		{"FreshFor", &keys.Remote{FreshFor: -1}, nil, "FreshFor"},
		{"MinInterval", &keys.Remote{MinInterval: -1}, nil, "MinInterval"},
		{"Timeout", &keys.Remote{Timeout: -1}, nil, "Timeout"},
		{"FreshFor without a unit", &keys.Remote{FreshFor: 600}, nil, "FreshFor: 600ns is less than 1s, the shortest time that can be meant: " +
			"a number without a unit counts as nanoseconds; write 600*time.Second"},
		{"StaleFor without a unit", &keys.Remote{StaleFor: 86400}, nil, "StaleFor: 86.4µs is less than 1s"},
		{"MinInterval without a unit", &keys.Remote{MinInterval: 5}, nil, "MinInterval: 5ns is less than 1ms"},
		{"Timeout without a unit", &keys.Remote{Timeout: 5}, nil, "write 5*time.Second"},
		{"Timeout in milliseconds without a unit", &keys.Remote{Timeout: 5000}, nil, "write 5000*time.Millisecond"},
		{"FreshFor just too short", &keys.Remote{FreshFor: time.Second - 1}, nil, "FreshFor: 999.999999ms is less than 1s"},
		{"StaleFor just too short", &keys.Remote{StaleFor: time.Second - 1}, nil, "StaleFor: 999.999999ms is less than 1s"},
		{"MinInterval just too short", &keys.Remote{MinInterval: time.Millisecond - 1}, nil, "MinInterval: 999.999µs is less than 1ms"},
		{"Timeout just too short", &keys.Remote{Timeout: time.Millisecond - 1}, nil, "Timeout: 999.999µs is less than 1ms"},
		{"the shortest durations", &keys.Remote{FreshFor: time.Second, StaleFor: time.Second, MinInterval: time.Millisecond, Timeout: time.Millisecond}, nil, ""},
		{"no StaleFor", &keys.Remote{StaleFor: -1}, nil, ""},
		{"no algorithms", &keys.Remote{Algorithms: []string{}}, nil, "Algorithms: the list is empty"},
		{"ML-DSA for keys without alg", &keys.Remote{Algorithms: []string{"ES256", "ML-DSA-44"}}, nil, `Algorithms: "ML-DSA-44" is not for keys without alg`},
		{"symmetric algorithm", &keys.Remote{Algorithms: []string{"HS256"}}, nil, `Algorithms: "HS256" is not one of`},
		{"Algorithms and Parse", &keys.Remote{Algorithms: []string{"RS256"}, Parse: func([]byte) ([]*jwtgate.Key, error) { return nil, nil }}, nil, "Parse"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.remote.CheckIssuers(tt.issuers)
			if tt.problem == "" {
				assert.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.problem)
			assert.NotContains(t, err.Error(), "secret")
			// A Remote that New has not checked refuses the address when it is asked for keys.
			issuers := tt.issuers
			switch {
			case tt.remote.URL != "":
				issuers = []string{issuer}
			case !strings.Contains(tt.problem, "issuer"):
				issuers = nil
			}
			for _, issuer := range issuers {
				_, err := tt.remote.Keys(t.Context(), issuer, "")
				assert.Error(t, err)
			}
		})
	}

	for _, d := range []time.Duration{math.MinInt64, 1, 600} {
		t.Run(fmt.Sprintf("durations of %d that New has not seen", d), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, serves(oneKeySet("1", edKey())))
				remote, _ := server.remote()
				remote.FreshFor, remote.StaleFor, remote.MinInterval, remote.Timeout = d, d, d, d
				for range 100 {
					assert.Len(t, lookUp(t, remote, issuer, "1"), 1)
					assert.Empty(t, lookUp(t, remote, issuer, "2"))
					time.Sleep(time.Millisecond)
				}
				assert.Equal(t, uint64(2), remote.Stats()[0].Fetches)
			})
		})
	}
	t.Run("all problems at once", func(t *testing.T) {
		t.Parallel()
		err := (&keys.Remote{URL: "auth", FreshFor: -1, Algorithms: []string{"none"}}).CheckIssuers(nil)
		assert.ErrorContains(t, err, "URL")
		assert.ErrorContains(t, err, "FreshFor")
		assert.ErrorContains(t, err, `"none"`)
		assert.Contains(t, errorOfNew(t, &keys.Remote{URL: "auth"}), "keys.Remote: URL: it does not start with https://")
	})
}

// acceptance 50
func TestRemote_ShowsNoSecrets(t *testing.T) {
	t.Parallel()
	remote := &keys.Remote{URL: "https://me:secret@auth.example.com/keys", Client: &http.Client{}}
	_, err := remote.Keys(t.Context(), issuer, "")
	require.Error(t, err)
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", remote, remote, remote, remote, remote), err.Error(),
		fmt.Sprintf("%+v", remote.Stats()), fmt.Sprint(&keys.Remote{URL: "https://a b:secret@"}),
	} {
		assert.NotContains(t, text, "secret")
	}
	assert.Equal(t, "keys.Remote https://auth.example.com/keys", fmt.Sprintf("%#v", &keys.Remote{URL: "https://auth.example.com/keys"}))
	assert.Equal(t, "keys.Remote", fmt.Sprint(&keys.Remote{}))
}

// Keys without alg, such as those of Entra ID, get the algorithms of Remote.Algorithms.
func TestRemote_Algorithms(t *testing.T) {
	t.Parallel()
	set := jwkSet(
		jwkOf(&rsaKey().PublicKey).with("kid", "rsa"), jwkOf(&p256Key().PublicKey).with("kid", "p256"),
		jwkOf(&p384Key().PublicKey).with("kid", "p384"), jwkOf(public(edKey())).with("kid", "ed"),
		jwkOf(&otherRSAKey().PublicKey).with("kid", "says").with("alg", "RS512"),
	)
	for _, tt := range []struct {
		algorithms []string
		want       []string
	}{
		{nil, []string{"rsa RS256", "p256 ES256", "p384 ES384", "ed EdDSA", "says RS512"}},
		{[]string{"RS256", "PS256"}, []string{"rsa RS256", "rsa PS256", "says RS512"}},
		{[]string{"ES384", "Ed25519", "EdDSA"}, []string{"p384 ES384", "ed EdDSA", "says RS512"}},
		{[]string{"ES512"}, []string{"says RS512"}},
	} {
		t.Run(fmt.Sprint(tt.algorithms), func(t *testing.T) {
			t.Parallel()
			server := newTCPServer(t, serves(set))
			remote, _ := server.remote()
			remote.Algorithms = tt.algorithms
			newGate(t, remote)
			assert.Equal(t, tt.want, lookUp(t, remote, issuer, ""))
		})
	}
}

func TestRemote_Parse(t *testing.T) {
	t.Parallel()
	good := func(text []byte) ([]*jwtgate.Key, error) {
		var certificates map[string]string
		if err := json.Unmarshal(text, &certificates); err != nil {
			return nil, err
		}
		var ks []*jwtgate.Key
		for id, certificate := range certificates {
			k, err := jwtgate.NewKey(id, certificate, public(edKey()))
			if err != nil {
				return nil, err
			}
			ks = append(ks, k)
		}
		return ks, nil
	}
	server := newTCPServer(t, serves([]byte(`{"1":"EdDSA"}`)))
	remote, _ := server.remote()
	remote.Parse = good
	assert.NoError(t, verify(t, remote, signEdDSA(t, edKey(), "1")))

	for _, tt := range []struct {
		name    string
		parse   func([]byte) ([]*jwtgate.Key, error)
		problem string
	}{
		{"an error", func([]byte) ([]*jwtgate.Key, error) { return nil, errors.New("bad content") }, "bad content"},
		{"no key", func([]byte) ([]*jwtgate.Key, error) { return nil, nil }, "there is no key"},
		{"a nil key", func([]byte) ([]*jwtgate.Key, error) { return []*jwtgate.Key{nil}, nil }, "key 1"},
		{"a panic", func([]byte) ([]*jwtgate.Key, error) { panic("oh") }, "panicked: oh"},
		{"too many", func([]byte) (ks []*jwtgate.Key, _ error) {
			for i := range 1001 {
				ks = append(ks, newKey(t, strconv.Itoa(i), "EdDSA", public(edKey())))
			}
			return ks, nil
		}, "it has 1001 keys"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			remote, _ := server.remote()
			remote.Parse = tt.parse
			err := verify(t, remote, signEdDSA(t, edKey(), "1"))
			assert.ErrorIs(t, err, jwtgate.ErrUnavailable)
			assert.ErrorContains(t, err, tt.problem)
		})
	}
}

// acceptance 27, 28: an odd key is skipped and logged once, and the other keys are used.
func TestRemote_OddKeys(t *testing.T) {
	t.Parallel()
	good := jwkOf(public(edKey())).with("kid", "good")
	ec := jwkOf(&p256Key().PublicKey)
	for _, tt := range []struct {
		name    string
		odd     any
		problem string // in the log; "" if the key is used
	}{
		{"unknown kty", jwk{"kty": "XYZ", "kid": "odd"}, "kty"},
		{"ML-DSA", jwk{"kty": "AKP", "alg": "ML-DSA-44", "kid": "odd", "pub": "AAAA"}, "ML-DSA-44"},
		{"malformed n", jwkOf(&rsaKey().PublicKey).with("kid", "odd").with("n", "!!!"), "n is not base64url"},
		{"off-curve point", ec.with("kid", "odd").with("x", ec["y"]), "not a point"},
		{"numeric kid", ec.with("kid", 1), "kid is not a string"},
		{"use=enc", ec.with("kid", "odd").with("use", "enc"), `use "enc"`},
		{"key_ops=[encrypt]", ec.with("kid", "odd").with("key_ops", []string{"encrypt"}), "key_ops"},
		{"oct", jwk{"kty": "oct", "kid": "odd", "k": base64url(randomSecret(32))}, "private member"},
		{"private", ec.with("kid", "odd").with("d", base64url(p256Key().D.FillBytes(make([]byte, 32)))), "private"},
		{"RSA-1024", jwkOf(&weakRSAKey().PublicKey).with("kid", "odd"), "1024 bits"},
		{"no object", 1, "not a JSON object"},
		{"duplicate kid", jwkOf(public(otherEdKey())).with("kid", "good"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, serves(jwkSet(tt.odd, good)))
				remote, log := server.remote()
				gate := newGate(t, remote)
				assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "good")))
				for range 3 {
					require.NoError(t, remote.Refresh(t.Context(), ""))
					server.respond(serves(append(jwkSet(tt.odd, good), ' ')))
				}
				assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "good")))

				synctest.Wait()
				lines := log.drain()
				if tt.problem == "" {
					assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "good")), "all keys of an ID are tried")
					assert.NotContains(t, strings.Join(lines, "\n"), "skipped")
					return
				}
				assert.Equal(t, 1, strings.Count(strings.Join(lines, "\n"), "key skipped"), "logged once: %q", lines)
				assert.Contains(t, strings.ReplaceAll(strings.Join(lines, "\n"), `\"`, `"`), tt.problem)
				assert.Equal(t, 1, remote.Stats()[0].Keys)
			})
		})
	}
}

// The longest Durations do not overflow: keys are fetched once and then used for ever.
func TestRemote_LongDurations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, nil)
		server.respond(tenants(server.url, oneKeySet("1", edKey())))
		remote, _ := server.remote()
		remote.URL, remote.FreshFor, remote.StaleFor, remote.MinInterval = "", math.MaxInt64, math.MaxInt64, math.MaxInt64
		for range 3 {
			assert.Equal(t, []string{"1 EdDSA"}, lookUp(t, remote, server.url+"/a", "1"))
			assert.Empty(t, lookUp(t, remote, server.url+"/a", "2"))
			assert.Equal(t, []string{"1 EdDSA"}, lookUp(t, remote, server.url+"/b", "1"))
			time.Sleep(100 * 24 * time.Hour)
		}
		assert.Equal(t, uint64(3), remote.Stats()[0].Fetches, "one for the keys, and two in search of the other key")
	})
}

func TestRemote_Refresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, fails(500))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		err := remote.Refresh(t.Context(), issuer)
		assert.ErrorContains(t, err, "keys.Remote: GET "+server.url+"/jwks: status 500")
		assert.ErrorContains(t, gate.Ready(t.Context()), "status 500", "no fetch so soon after a failure")
		assert.Equal(t, int64(1), server.fetches.Load())

		server.respond(serves(oneKeySet("1", edKey())))
		assert.NoError(t, remote.Refresh(t.Context(), issuer), "Refresh does not wait for the backoff")
		assert.NoError(t, gate.Ready(t.Context()))
		for range 10 {
			assert.NoError(t, remote.Refresh(t.Context(), ""), "nor for the limit of fetches")
		}
		assert.Equal(t, int64(12), server.fetches.Load())
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
		server.close()
		assert.Error(t, remote.Refresh(t.Context(), issuer))
		assert.NoError(t, gate.Ready(t.Context()), "Ready needs keys, not a fetch that succeeds")
	})
}

// Concurrent calls of Refresh share fetches. Each gets keys of a fetch that began after the call.
func TestRemote_RefreshIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, afterDelay(time.Second, serves(oneKeySet("1", edKey()))))
		remote, _ := server.remote()
		concurrently(50, func(int) { assert.NoError(t, remote.Refresh(t.Context(), "")) })
		assert.LessOrEqual(t, server.fetches.Load(), int64(2))

		var first sync.WaitGroup
		first.Go(func() { assert.NoError(t, remote.Refresh(t.Context(), "")) })
		time.Sleep(time.Second / 2)
		server.respond(serves(oneKeySet("2", otherEdKey())))
		assert.NoError(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, []string{"2 EdDSA"}, lookUp(t, remote, issuer, ""))
		first.Wait()
	})
}

func TestRemote_Stats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, fails(500))
		remote, _ := server.remote()
		assert.Empty(t, remote.Stats(), "no issuer yet")
		gate := newGate(t, remote)
		assert.Equal(t, []keys.RemoteStats{{}}, remote.Stats())

		requireUnavailable(t, answerTo(gate, t.Context(), signEdDSA(t, edKey(), "1")))
		stats := remote.Stats()
		require.Len(t, stats, 1)
		assert.ErrorContains(t, stats[0].Err, "status 500")
		stats[0].Err = nil
		assert.Equal(t, keys.RemoteStats{Fetches: 1, Failures: 1, FailuresInARow: 1}, stats[0])

		server.respond(serves(oneKeySet("1", edKey())))
		time.Sleep(time.Minute)
		require.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
		for range 10 {
			require.Equal(t, 401, statusOf(t, gate, signEdDSA(t, edKey(), "2")))
		}
		time.Sleep(time.Second)
		assert.Equal(t, keys.RemoteStats{
			URL: "http://127.0.0.1/jwks", Keys: 1, Age: time.Second, KeysUsableFor: 24*time.Hour + 10*time.Minute - time.Second, Fetches: 3, Failures: 1, LimitedLookups: 9,
		}, remote.Stats()[0])
	})
}

// After a fetch, no connection and no goroutine of the connection is left.
func TestRemote_LeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make func(h http.Handler) *httptest.Server
	}{
		{"HTTP", httptest.NewServer},
		{"HTTPS", httptest.NewTLSServer},
		{"HTTP/2", func(h http.Handler) *httptest.Server {
			s := httptest.NewUnstartedServer(h)
			s.EnableHTTP2 = true
			s.StartTLS()
			return s
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := tt.make(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.name == "HTTP/2" {
					assert.Equal(t, 2, r.ProtoMajor)
				}
				serves(oneKeySet("1", edKey()))(w, r)
			}))
			defer server.Close()
			var open gauge
			transport := server.Client().Transport.(*http.Transport).Clone()
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return countConn(c, &open), nil
			}
			remote := &keys.Remote{URL: server.URL, Client: &http.Client{Transport: transport}, Timeout: hangLimit}
			for range 5 {
				require.NoError(t, remote.Refresh(t.Context(), ""))
			}
			waitUntil(t, func() bool { return open.now.Load() == 0 }, "the client closes its connections")
			waitUntil(t, func() bool {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				return !bytes.Contains(stacks, []byte(server.Listener.Addr().String()))
			}, "no goroutine is left for the server's address")
		})
	}
}

// This test counts goroutines, so it is not parallel.
func TestRemote_LeavesNoGoroutine(t *testing.T) {
	server := newTCPServer(t, serves(oneKeySet("1", edKey())))
	failing := newTCPServer(t, fails(500))
	before := runtime.NumGoroutine()
	remote, _ := server.remote()
	failed, _ := failing.remote()
	for range 3 {
		require.NoError(t, remote.Refresh(t.Context(), ""))
		require.Error(t, failed.Refresh(t.Context(), ""))
	}
	waitUntil(t, func() bool { return runtime.NumGoroutine() <= before }, "as many goroutines as before the fetches")
}
