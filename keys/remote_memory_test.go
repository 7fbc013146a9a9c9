package keys_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/keys"
)

// A body must not take more memory than it may have bytes, whatever it claims.
func TestRemote_MemoryOfAFetch(t *testing.T) { // alone: it measures
	var members []byte
	for i := 0; len(members) < 1_000_000; i++ {
		members = fmt.Appendf(members, `"%x":0,`, i)
	}
	manyKeys := []byte(`{"keys":[` + strings.Repeat(`{},`, 300_000) + `{}]}`)
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		most   uint64 // in MiB
	}{
		{"100 MB", writes100MB, 5},
		{"1 MiB of members", serves(append([]byte("{"), append(members, `"keys":[]}`...)...)), 8},
		{"10,000 keys", serves([]byte(`{"keys":[` + strings.Repeat(`{"kty":"OKP"},`, 9_999) + `{"kty":"OKP"}]}`)), 5},
		{"300,000 keys", serves(manyKeys), 8},
		// These are taken out of the set whole before they are found too long.
		{"a key of 1 MiB", serves([]byte(`{"keys":[{` + string(members) + `"x":0}]}`)), 8},
		{"a key with 500,000 operations", serves([]byte(`{"keys":[{"key_ops":[` + strings.Repeat("0,", 500_000) + `0]}]}`)), 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newTCPServer(t, tt.answer)
			remote, _ := server.remote()
			peak := peakHeap(func() { assert.Error(t, remote.Refresh(t.Context(), "")) })
			assert.Less(t, peak, tt.most<<20)
		})
	}
}

// The header of an answer is bounded too, unless a client of the user's has
// another opinion.
func TestRemote_MemoryOfAHeader(t *testing.T) { // alone: it measures
	var header bytes.Buffer
	for i := 0; header.Len() < 5_000_000; i++ {
		fmt.Fprintf(&header, "%x:\r\n", i)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			for _, part := range [][]byte{[]byte("HTTP/1.1 200 OK\r\n"), header.Bytes(), []byte("Content-Length: 2\r\n\r\n{}")} {
				c.Write(part)
			}
			c.Close()
		}
	}()
	remote := &keys.Remote{URL: "http://" + listener.Addr().String() + "/", Logger: slog.New(slog.DiscardHandler)}
	peak := peakHeap(func() { assert.Error(t, remote.Refresh(t.Context(), "")) })
	assert.Less(t, peak, uint64(5<<20))
}

// peakHeap returns by how much the heap has grown at most while f ran, the
// server's part included.
func peakHeap(f func()) uint64 {
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	defer debug.SetGCPercent(debug.SetGCPercent(5)) // what can be given back does not count
	runtime.GC()
	before, peak := heap(), uint64(0)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				if now := heap(); now > before {
					peak = max(peak, now-before)
				}
			}
		}
	})
	f()
	close(done)
	watching.Wait()
	return peak
}

// What is kept for a set of ten keys.
func TestRemote_MemoryOfASet(t *testing.T) { // alone: it measures
	var jwks []any
	for i := range 10 {
		jwks = append(jwks, jwkOf(&rsaKey().PublicKey).with("kid", fmt.Sprintf("key-%d", i)).
			with("x5c", []string{strings.Repeat("A", 1500)}))
	}
	server := newTCPServer(t, serves(jwkSet(jwks...)))
	const sources = 50
	all := make([]*keys.Remote, sources)
	warm, _ := server.remote()
	require.NoError(t, warm.Refresh(t.Context(), ""))
	before := heapInUse()
	for i := range all {
		all[i], _ = server.remote()
		require.NoError(t, all[i].Refresh(t.Context(), ""))
	}
	held := int64(heapInUse()) - int64(before)
	assert.Less(t, held/sources, int64(64<<10))
	t.Logf("%d bytes for each", held/sources)
	runtime.KeepAlive(all)
}

// acceptance 56
func TestRemote_MemoryIsBounded(t *testing.T) { // alone: it measures
	nowhere := roundTripperFunc(func(r *http.Request) (*http.Response, error) { return nil, errors.New("nobody there") })
	server := newTCPServer(t, serves(oneKeySet("1", edKey())))
	for _, tt := range []struct {
		name   string
		remote *keys.Remote
		ask    func(r *keys.Remote, i int)
	}{
		{"issuers", &keys.Remote{Client: &http.Client{Transport: nowhere}, MinInterval: time.Millisecond}, func(r *keys.Remote, i int) {
			_, err := r.Keys(t.Context(), fmt.Sprintf("https://tenant-%d.example", i), "1")
			assert.Error(t, err)
		}},
		{"key IDs", &keys.Remote{URL: server.url}, func(r *keys.Remote, i int) {
			ks, err := r.Keys(t.Context(), issuer, fmt.Sprint("random-", i))
			assert.NoError(t, err)
			assert.Empty(t, ks)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range 10_000 {
				tt.ask(tt.remote, -i)
			}
			before := heapInUse()
			for i := range 1_000_000 {
				tt.ask(tt.remote, i)
			}
			assert.Less(t, heapInUse(), before+2<<20)
			assert.LessOrEqual(t, len(tt.remote.Stats()), 1000)
			runtime.KeepAlive(tt.remote)
		})
	}
}

// heapInUse returns the size of the heap without garbage.
func heapInUse() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestRemote_AllocatesNothing(t *testing.T) {
	server := newTCPServer(t, serves(jwkSet(jwkOf(public(edKey())).with("kid", "1"), jwkOf(&rsaKey().PublicKey).with("kid", "2"),
		jwkOf(&p256Key().PublicKey).with("kid", "3").with("issuer", issuer))))
	remote, _ := server.remote()
	require.NoError(t, remote.Refresh(t.Context(), ""))
	for _, kid := range []string{"1", "2", "3", ""} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { remote.Keys(t.Context(), issuer, kid) }), kid)
	}
}

// A Remote that nobody has any more is collected, timers or not.
func TestRemote_IsCollected(t *testing.T) {
	t.Parallel()
	server := newTCPServer(t, serves(oneKeySet("1", edKey())))
	remote, _ := server.remote()
	require.NoError(t, remote.Refresh(t.Context(), ""))
	collected := make(chan struct{})
	runtime.AddCleanup(remote, func(c chan struct{}) { close(c) }, collected)
	remote = nil
	assert.Eventually(t, func() bool {
		runtime.GC()
		select {
		case <-collected:
			return true
		default:
			return false
		}
	}, 10*time.Second, 10*time.Millisecond)
}
