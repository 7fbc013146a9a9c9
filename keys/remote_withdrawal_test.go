package keys_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// refreshed waits until the keys of a Remote with the default FreshFor are due, and makes a request that starts
// the fetch.
func refreshed(t *testing.T, gate *jwtgate.Gate, token string) {
	t.Helper()
	time.Sleep(8*time.Minute + time.Second)
	require.Equal(t, 200, statusOf(t, gate, token))
	synctest.Wait()
}

// acceptance 94: an empty set that a second fetch confirms withdraws all keys.
func TestRemote_Withdrawal(t *testing.T) {
	t.Parallel()
	svid := jwkOf(public(edKey())).with("kid", "1").with("use", "jwt-svid")
	forCertificates := jwkOf(public(edKey())).with("kid", "1").with("use", "x509-svid")
	for _, tt := range []struct {
		name          string
		use           string
		before, after []byte
	}{
		{"an empty set", "", oneKeySet("1", edKey()), jwkSet()},
		{"a SPIFFE bundle that is empty", "jwt-svid", jwkSet(svid), jwkSet()},
		{"a SPIFFE bundle with keys for certificates only", "jwt-svid", jwkSet(svid, forCertificates), jwkSet(forCertificates)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, serves(tt.before))
				remote, log := server.remote()
				remote.Use = tt.use
				gate := newGateWithFixedClock(t, remote) // remembers tokens
				known, unknown, withoutID := signEdDSA(t, edKey(), "1"), signEdDSA(t, otherEdKey(), "2"), signEdDSA(t, edKey(), "")
				require.Equal(t, 200, statusOf(t, gate, known))

				synctest.Wait() // a request need not wait until the fetch is logged
				log.drain()
				server.respond(serves(tt.after))
				refreshed(t, gate, known)
				records := log.drain()
				require.Len(t, records, 1)
				assert.Contains(t, records[0], "level=ERROR")
				assert.Contains(t, records[0], "the key set of the issuer is empty, and the old keys end if the next fetch confirms that")
				assert.Equal(t, int64(2), server.fetches.Load())
				time.Sleep(5*time.Second - 1) // MinInterval
				assert.Equal(t, 200, statusOf(t, gate, known))
				assert.Equal(t, 503, statusOf(t, gate, unknown))
				assert.Equal(t, int64(2), server.fetches.Load())
				assert.False(t, remote.Stats()[0].Withdrawn)

				time.Sleep(time.Nanosecond)
				synctest.Wait()
				assert.Equal(t, 200, statusOf(t, gate, known)) // starts the second fetch
				synctest.Wait()
				assert.Equal(t, int64(3), server.fetches.Load())
				for _, token := range []string{known, unknown, withoutID} {
					_, err := gate.Verify(t.Context(), token)
					assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
					assert.Equal(t, 401, statusOf(t, gate, token))
				}
				records = log.drain()
				require.NotEmpty(t, records)
				assert.Contains(t, records[0], "level=ERROR")
				assert.Contains(t, records[0], "the issuer has withdrawn all keys")
				assert.Contains(t, records[0], "keys=0 removed=1")
				stats := remote.Stats()[0]
				assert.True(t, stats.Withdrawn)
				assert.Zero(t, stats.Keys)
				assert.Zero(t, stats.KeysUsableFor)
				assert.NoError(t, stats.Err)

				// The set stays empty: that is no outage.
				time.Sleep(10 * time.Hour)
				assert.Equal(t, 401, statusOf(t, gate, known))
				synctest.Wait()
				for _, record := range log.drain() {
					assert.NotContains(t, record, "level=ERROR")
				}
				server.respond(serves(tt.before))
				time.Sleep(30 * time.Second) // for the key ID that was looked for in vain
				assert.Equal(t, 200, statusOf(t, gate, known))
				assert.False(t, remote.Stats()[0].Withdrawn)
			})
		})
	}
}

// An empty set that is not confirmed withdraws nothing.
func TestRemote_NotWithdrawn(t *testing.T) {
	t.Parallel()
	good, empty := serves(oneKeySet("1", edKey())), serves(jwkSet())
	refresh := func(h http.HandlerFunc) func(*testing.T, *keyServer, *keys.Remote) {
		return func(t *testing.T, s *keyServer, remote *keys.Remote) {
			s.respond(h)
			_ = remote.Refresh(t.Context(), "")
		}
	}
	wait := func(d time.Duration) func(*testing.T, *keyServer, *keys.Remote) {
		return func(*testing.T, *keyServer, *keys.Remote) { time.Sleep(d) }
	}
	for _, tt := range []struct {
		name      string
		withdrawn bool
		steps     []func(*testing.T, *keyServer, *keys.Remote)
	}{
		{"two fetches at once", false, []func(*testing.T, *keyServer, *keys.Remote){refresh(empty), refresh(empty), wait(5*time.Second - 1), refresh(empty)}},
		{"MinInterval later", true, []func(*testing.T, *keyServer, *keys.Remote){refresh(empty), wait(5 * time.Second), refresh(empty)}},
		{"keys between", false, []func(*testing.T, *keyServer, *keys.Remote){refresh(empty), wait(3 * time.Second), refresh(good), wait(3 * time.Second), refresh(empty)}},
		{"unusable keys between", false, []func(*testing.T, *keyServer, *keys.Remote){
			refresh(empty), wait(3 * time.Second), refresh(serves(jwkSet(jwk{"kty": "oct"}))), wait(3 * time.Second), refresh(empty)}},
		{"an outage between", true, []func(*testing.T, *keyServer, *keys.Remote){refresh(empty), wait(3 * time.Second), refresh(fails(500)), wait(3 * time.Second), refresh(empty)}},
		{"nothing but unusable keys", false, []func(*testing.T, *keyServer, *keys.Remote){
			refresh(serves(jwkSet(jwk{"kty": "oct"}))), wait(6 * time.Second), refresh(serves(jwkSet(jwk{"kty": "oct"})))}},
		{"no member keys", false, []func(*testing.T, *keyServer, *keys.Remote){refresh(serves([]byte("{}"))), wait(6 * time.Second), refresh(serves([]byte("{}")))}},
		{"keys is null", false, []func(*testing.T, *keyServer, *keys.Remote){refresh(serves([]byte(`{"keys":null}`))), wait(6 * time.Second), refresh(serves([]byte(`{"keys":null}`)))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, good)
				remote, _ := server.remote()
				gate, token := newGateWithFixedClock(t, remote), signEdDSA(t, edKey(), "1")
				require.Equal(t, 200, statusOf(t, gate, token))
				for _, step := range tt.steps {
					step(t, server, remote)
				}
				want := 200
				if tt.withdrawn {
					want = 401
				}
				assert.Equal(t, want, statusOf(t, gate, token))
			})
		})
	}
}

// An issuer that has never published a key withdraws none.
func TestRemote_EmptyFromTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(jwkSet()))
		remote, _ := server.remote()
		gate, token := newGateWithFixedClock(t, remote), signEdDSA(t, edKey(), "1")
		for range 100 {
			requireUnavailable(t, answerTo(gate, t.Context(), token))
			time.Sleep(time.Second)
		}
		assert.Error(t, gate.Ready(t.Context()))
		server.respond(serves(oneKeySet("1", edKey())))
		time.Sleep(5 * time.Second)
		assert.Equal(t, 200, statusOf(t, gate, token))
	})
}

// StaleFor is for an issuer that cannot be reached. An issuer that answers without a usable key ends its keys
// after FreshFor.
func TestRemote_Unpublished(t *testing.T) {
	t.Parallel()
	bad := jwkSet(jwk{"kty": "oct", "k": "AAAA"})
	onlyKeys := func(answer http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/jwks") {
				answer(w, r)
				return
			}
			fmt.Fprint(w, `{"issuer":"http://127.0.0.1","jwks_uri":"http://127.0.0.1/jwks"}`)
		}
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		usable time.Duration // after the first such answer
	}{
		{"404", fails(404), 10 * time.Minute},
		{"410", fails(410), 10 * time.Minute},
		{"404 for the keys", onlyKeys(fails(404)), 10 * time.Minute},
		{"unusable keys", onlyKeys(serves(bad)), 10 * time.Minute},
		{"500", fails(500), 24 * time.Hour},
		{"403", fails(403), 24 * time.Hour},
		{"HTML", serves([]byte("<!doctype html>")), 24 * time.Hour},
		{"an empty object", onlyKeys(serves([]byte("{}"))), 24 * time.Hour},
		{"no answer", neverAnswers, 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, onlyKeys(serves(oneKeySet("1", edKey()))))
				remote, log := server.discoveringRemote()
				now := time.Now()
				gate, err := jwtgate.New(jwtgate.Options{
					Keys: remote, Issuers: []string{server.url}, Audiences: []string{audience}, Now: func() time.Time { return now },
				})
				require.NoError(t, err)
				token := signFor(t, server.url, jwt.SigningMethodEdDSA, edKey(), "1")
				require.Equal(t, 200, statusOf(t, gate, token))
				server.respond(tt.answer)
				synctest.Wait()
				log.drain()
				refreshed(t, gate, token)
				time.Sleep(6 * time.Second) // for an issuer that hangs
				synctest.Wait()
				records := log.drain()
				require.Len(t, records, 1)
				level := "level=ERROR"
				if tt.usable > time.Hour {
					level = "level=WARN"
				}
				assert.Contains(t, records[0], level)

				start := time.Now()
				for time.Since(start) < tt.usable-10*time.Second {
					require.Equal(t, 200, statusOf(t, gate, token), time.Since(start))
					time.Sleep(min(time.Minute, tt.usable-10*time.Second-time.Since(start)))
				}
				if tt.usable < time.Hour {
					time.Sleep(10 * time.Second)
					requireUnavailable(t, answerTo(gate, t.Context(), token))
				}
				server.respond(onlyKeys(serves(oneKeySet("1", edKey()))))
				time.Sleep(30 * time.Second)
				assert.Equal(t, 200, statusOf(t, gate, token))
				time.Sleep(10 * time.Minute)
				assert.Equal(t, 200, statusOf(t, gate, token), "a fetch that succeeds ends it")
			})
		})
	}
}
