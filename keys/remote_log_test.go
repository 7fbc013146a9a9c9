package keys_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRemote_Logs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, log := server.remote()
		logged := func() string {
			t.Helper()
			synctest.Wait()
			records := log.drain()
			require.Len(t, records, 1)
			_, record, _ := strings.Cut(records[0], " ") // without the time
			return record
		}
		const source = "source=keys.Remote" // url or error has the address
		url := "url=" + server.url + "/jwks"

		require.NoError(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, `level=INFO msg="jwtgate: keys fetched" `+source+" "+url+" keys=1", logged())
		require.NoError(t, remote.Refresh(t.Context(), ""))
		server.respond(serves(oneKeySet("2", edKey())))
		require.NoError(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, `level=INFO msg="jwtgate: key set changed" `+source+" "+url+" keys=1 added=2 removed=1", logged())
		server.respond(fails(500))
		require.Error(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, `level=WARN msg="jwtgate: keys cannot be fetched, the old ones stay in use" `+source+
			fmt.Sprintf(" error=%q", "keys.Remote: GET "+server.url+"/jwks: status 500")+" keys_usable_for=24h10m", logged())
		time.Sleep(90 * time.Second)
		server.respond(fails(503))
		require.Error(t, remote.Refresh(t.Context(), "")) // no other record of the same outage
		server.respond(serves(oneKeySet("2", edKey())))
		require.NoError(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, `level=INFO msg="jwtgate: keys fetched again" `+source+" "+url+" keys=1 failed_for=1m30s failures=2", logged())
	})
}

// A set that differs at each fetch, or only in the order of its keys, does not fill the log.
func TestRemote_LogIsBounded(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	good := jwkOf(public(edKey())).with("kid", "1")
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		most   int
	}{
		{"other keys each time", func(w http.ResponseWriter, _ *http.Request) {
			all := []any{good}
			for range 99 {
				all = append(all, jwk{"kty": fmt.Sprint(n.Add(1), strings.Repeat("x", 60))})
			}
			w.Write(jwkSet(all...))
		}, 10 * (1 + 5 + 1)},
		{"another order each time", func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1)%2 == 0 {
				w.Write(jwkSet(good, jwk{"kty": "XYZ"}))
			} else {
				w.Write(jwkSet(jwk{"kty": "XYZ"}, good))
			}
		}, 10 + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, tt.answer)
				remote, log := server.remote()
				for range 10 {
					require.NoError(t, remote.Refresh(t.Context(), ""))
				}
				synctest.Wait()
				assert.LessOrEqual(t, len(log.drain()), tt.most)
			})
		})
	}
}

// If the logger panics, the record is lost, and the program goes on.
func TestRemote_BrokenLogger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		var records atomic.Int32
		remote.Logger = slog.New(slog.NewTextHandler(writerFunc(func([]byte) (int, error) { records.Add(1); panic("no log today") }), nil))
		require.NoError(t, remote.Refresh(t.Context(), ""))
		synctest.Wait()
		assert.Equal(t, int32(1), records.Load())
		require.NoError(t, remote.Refresh(t.Context(), ""))
	})
}
