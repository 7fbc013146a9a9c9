package keys_test

import (
	"fmt"
	"log/slog"
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

// The tests of this file play incidents. Somebody who is called at night, and has nothing but the log with its
// default level, must see what is wrong, since when, and until when it can be borne.

// playIncident returns a gate with three issuers on one server, and a function that returns the records of level
// Info and above since its last call, without their times.
func playIncident(t *testing.T, handler http.HandlerFunc) (server *keyServer, remote *keys.Remote, gate *jwtgate.Gate, logged func() []string) {
	t.Helper()
	server = newPipeServer(t, handler)
	remote, log := server.discoveringRemote()
	now := time.Now()
	gate, err := jwtgate.New(jwtgate.Options{
		Keys: remote, Issuers: []string{server.url + "/a", server.url + "/b", server.url + "/c"}, Audiences: []string{audience},
		Observe: jwtgate.AuditLog(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))),
		Now:     func() time.Time { return now },
	})
	require.NoError(t, err)
	require.NoError(t, gate.Ready(t.Context()))
	synctest.Wait()
	log.drain()
	return server, remote, gate, func() []string {
		synctest.Wait()
		records := log.drain()
		for i, record := range records {
			_, records[i], _ = strings.Cut(record, " ")
			require.Less(t, len(record), 1000)
		}
		return records
	}
}

// The issuer accepts connections and never answers, for 30 hours.
func TestIncident_IssuerHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, remote, gate, logged := playIncident(t, tenants("http://127.0.0.1", oneKeySet("1", edKey())))
		token := signFor(t, server.url+"/a", jwt.SigningMethodEdDSA, edKey(), "1")
		server.respond(neverAnswers)
		start := time.Now()
		var records []string
		for time.Since(start) < 30*time.Hour {
			answerTo(gate, t.Context(), token)
			time.Sleep(20 * time.Second)
			for _, record := range logged() {
				if !strings.Contains(record, "jwtgate: deny") {
					records = append(records, record)
				}
			}
		}
		// One reminder each quarter of an hour, or at the next failure after it, and one when the keys end.
		require.True(t, 115 < len(records) && len(records) <= 122, len(records))
		for _, record := range records {
			assert.Contains(t, record, `issuer=http://127.0.0.1/a source=keys.Remote error="keys.Remote: GET http://127.0.0.1/a/.well-known/openid-configuration: `)
			assert.Contains(t, record, "waiting for the answer")
		}
		assert.Contains(t, records[0], `level=WARN msg="jwtgate: keys cannot be fetched, the old ones stay in use"`)
		assert.Contains(t, records[0], "keys_usable_for=24h")
		assert.Contains(t, records[4], "failing_for=1h")
		assert.Contains(t, records[4], "keys_usable_for=23h")
		assert.Regexp(t, `failures=\d\d\d? `, records[4]+" ")
		last := records[len(records)-1]
		assert.Contains(t, last, `level=ERROR msg="jwtgate: keys cannot be fetched, and there are none in use"`)
		assert.Contains(t, last, "failing_for=29h")
		assert.NotContains(t, last, "keys_usable_for")

		stats := remote.Stats()[0]
		assert.Greater(t, stats.FailingFor, 29*time.Hour)
		assert.Greater(t, stats.FailuresInARow, 1000)
		assert.Zero(t, stats.KeysUsableFor)
		assert.ErrorContains(t, stats.Err, "waiting for the answer")

		server.respond(tenants(server.url, oneKeySet("1", edKey())))
		time.Sleep(30 * time.Second)
		assert.Equal(t, 200, statusOf(t, gate, token))
		records = logged()
		require.NotEmpty(t, records)
		assert.Regexp(t, `^level=INFO msg="jwtgate: keys fetched again" .* failed_for=(29|30)h\S* failures=\d+$`, records[len(records)-1])
	})
}

// The issuer rotates its key while somebody sends tokens with invented key IDs.
func TestIncident_RotationDuringAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, remote, gate, logged := playIncident(t, tenants("http://127.0.0.1", oneKeySet("1", edKey())))
		flood := func(d time.Duration) {
			for n := range int(d / (100 * time.Millisecond)) {
				kid := fmt.Sprintf("invented-%d-%d", time.Now().Unix(), n)
				require.Equal(t, 401, statusOf(t, gate, signFor(t, server.url+"/a", jwt.SigningMethodEdDSA, edKey(), kid)))
				time.Sleep(100 * time.Millisecond)
			}
		}
		flood(5 * time.Minute)
		records := logged()
		require.Len(t, records, 5, "one record a minute")
		for _, record := range records {
			assert.Regexp(t, `^level=WARN msg="jwtgate: an unknown key ID was not looked for" issuer=http://127.0.0.1/a source=keys.Remote `+
				`kid=invented-\S+ reason="tokens with other unknown key IDs have used up the limit, see MinInterval" lookups=\d+$`, record)
		}
		server.respond(tenants(server.url, jwkSet(jwkOf(public(edKey())).with("kid", "1"), jwkOf(public(otherEdKey())).with("kid", "2"))))
		fresh := signFor(t, server.url+"/a", jwt.SigningMethodEdDSA, otherEdKey(), "2")
		for range 3 {
			statusOf(t, gate, fresh)
		}
		assert.Equal(t, 200, statusOf(t, gate, fresh))
		assert.Contains(t, strings.Join(logged(), "\n"), `level=INFO msg="jwtgate: key set changed" issuer=http://127.0.0.1/a source=keys.Remote `+
			`url=http://127.0.0.1/a/jwks keys=2 added=2`)
		assert.Greater(t, remote.Stats()[0].LimitedLookups, uint64(2000))
	})
}

// The issuer has withdrawn a key that clients still have tokens of.
func TestIncident_KeyWithdrawn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		both := jwkSet(jwkOf(public(edKey())).with("kid", "2026-01"), jwkOf(public(otherEdKey())).with("kid", "2026-02"))
		server, _, gate, logged := playIncident(t, tenants("http://127.0.0.1", both))
		old := signFor(t, server.url+"/a", jwt.SigningMethodEdDSA, edKey(), "2026-01")
		require.Equal(t, 200, statusOf(t, gate, old))
		server.respond(tenants(server.url, jwkSet(jwkOf(public(otherEdKey())).with("kid", "2026-02"), jwkOf(&p256Key().PublicKey).with("kid", "2026-03"))))
		refreshed(t, gate, old)
		assert.Equal(t, []string{`level=INFO msg="jwtgate: key set changed" issuer=http://127.0.0.1/a source=keys.Remote ` +
			`url=http://127.0.0.1/a/jwks keys=2 added=2026-03 removed=2026-01`}, logged())
		for range 10 {
			assert.Equal(t, 401, statusOf(t, gate, old))
			time.Sleep(time.Second)
		}
		assert.Equal(t, []string{`level=WARN msg="jwtgate: an unknown key ID was not looked for" issuer=http://127.0.0.1/a source=keys.Remote ` +
			`kid=2026-01 reason="the issuer did not have it less than 30s ago" lookups=1`}, logged())
	})
}

// The clock of this host, or that of the issuer, is wrong.
func TestIncident_ClockIsOff(t *testing.T) {
	t.Parallel()
	const tolerated = 30 * time.Second // the default of Options.Leeway
	for _, tt := range []struct {
		name    string
		ahead   time.Duration // how far this host is ahead of the issuer
		records string
	}{
		{"right", 0, ""},
		{"a little ahead", tolerated, ""},
		{"a little behind", -tolerated, ""},
		{"ahead", 7 * time.Minute, "ahead by 6m59s"},
		{"behind", -7 * time.Hour, "behind by "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				document := tenants("http://127.0.0.1", oneKeySet("1", edKey()))
				ahead := tt.ahead
				server, remote, gate, logged := playIncident(t, document)
				server.respond(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Date", time.Now().Add(-ahead).UTC().Format(http.TimeFormat))
					document(w, r)
				})
				token := signFor(t, server.url+"/a", jwt.SigningMethodEdDSA, edKey(), "1")
				refreshed(t, gate, token)
				records := logged()
				if tt.records == "" {
					assert.Empty(t, records)
					return
				}
				require.Len(t, records, 1)
				assert.Contains(t, records[0], `level=WARN msg="jwtgate: the clock of this host is `+tt.records)
				assert.InDelta(t, tt.ahead, remote.Stats()[0].ClockAhead, float64(2*time.Second))
				assert.Empty(t, logged())
				refreshed(t, gate, token) // no reminder yet
				assert.Empty(t, logged())
				refreshed(t, gate, token)
				assert.Len(t, logged(), 1, "a reminder after a quarter of an hour")

				ahead = 0
				refreshed(t, gate, token)
				records = logged()
				require.Len(t, records, 1)
				assert.Contains(t, records[0], `level=INFO msg="jwtgate: the clock of this host agrees with the issuer's again"`)
				assert.Zero(t, remote.Stats()[0].ClockAhead)
			})
		})
	}
}

// One of three issuers is down.
func TestIncident_OneOfThreeIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := tenants("http://127.0.0.1", oneKeySet("1", edKey()))
		server, remote, gate, logged := playIncident(t, all)
		server.respond(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/b") {
				w.WriteHeader(502)
				return
			}
			all(w, r)
		})
		for range 60 {
			for _, name := range []string{"a", "b", "c"} {
				require.Equal(t, 200, statusOf(t, gate, signFor(t, server.url+"/"+name, jwt.SigningMethodEdDSA, edKey(), "1")))
			}
			time.Sleep(time.Minute)
		}
		records := logged()
		require.NotEmpty(t, records)
		for _, record := range records {
			assert.Contains(t, record, "issuer=http://127.0.0.1/b ")
			assert.Contains(t, record, "status 502")
		}
		assert.Len(t, records, 4, "one each quarter of an hour")
		stats := remote.Stats()
		require.Len(t, stats, 3)
		for i, failing := range []bool{false, true, false} {
			assert.Equal(t, failing, stats[i].FailingFor > 0, stats[i].Issuer)
		}
		assert.NoError(t, gate.ReadyFor(t.Context(), server.url+"/c"))
	})
}

// The issuer restarts with new keys under the old ID, and its metadata is gone. The keys are still where they were.
func TestIncident_KeyReplacedAndMetadataGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, remote, gate, logged := playIncident(t, tenants("http://127.0.0.1", oneKeySet("1", edKey())))
		replaced := tenants("http://127.0.0.1", oneKeySet("1", otherEdKey()))
		server.respond(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/.well-known/") {
				w.WriteHeader(502)
				return
			}
			replaced(w, r)
		})
		token := signFor(t, server.url+"/a", jwt.SigningMethodEdDSA, otherEdKey(), "1")
		require.Equal(t, 200, statusOf(t, gate, token))
		records := logged()
		require.Len(t, records, 2)
		assert.Contains(t, records[0], `level=WARN msg="jwtgate: discovery failed, and the keys are from the address that it named before" issuer=http://127.0.0.1/a`)
		assert.Contains(t, records[0], `/a/.well-known/openid-configuration: status 502`)
		assert.Contains(t, records[1], `level=INFO msg="jwtgate: key set changed" issuer=http://127.0.0.1/a source=keys.Remote url=http://127.0.0.1/a/jwks keys=1 replaced=1`)
		assert.NoError(t, remote.Stats()[0].Err)
		refreshed(t, gate, token)
		assert.Empty(t, logged(), "no reminder yet")
		refreshed(t, gate, token)
		assert.Len(t, logged(), 1, "a reminder after a quarter of an hour")
	})
}
