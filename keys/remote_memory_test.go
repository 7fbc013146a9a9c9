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
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/keys"
)

// The tests of this file measure the heap or allocations. They are not parallel, so that no other test runs
// meanwhile. TestRemote_IsCollected measures nothing and is parallel.

// A document costs a bounded amount of memory, whatever the server sends.
func TestRemote_MemoryOfAFetch(t *testing.T) {
	if testing.Short() {
		t.Skip("short: measures the heap, which is slow")
	}
	var members []byte
	for i := 0; len(members) < 1_000_000; i++ {
		members = fmt.Appendf(members, `"%x":0,`, i)
	}
	manyKeys := []byte(`{"keys":[` + strings.Repeat(`{},`, 300_000) + `{}]}`)
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		peak   uint64 // in MiB
		total  uint64 // in MiB, for a build with -race too
	}{
		{"100 MB", writes100MB, 5, 8},
		{"1 MiB of members", serves(append([]byte("{"), append(members, `"keys":[]}`...)...)), 8, 50},
		{"10,000 keys", serves([]byte(`{"keys":[` + strings.Repeat(`{"kty":"OKP"},`, 9_999) + `{"kty":"OKP"}]}`)), 5, 5},
		{"300,000 keys", serves(manyKeys), 8, 8},
		// The set is split into whole keys before a key is found too long.
		{"a key of 1 MiB", serves([]byte(`{"keys":[{` + string(members) + `"x":0}]}`)), 8, 12},
		{"a key with 500,000 operations", serves([]byte(`{"keys":[{"key_ops":[` + strings.Repeat("0,", 500_000) + `0]}]}`)), 8, 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newTCPServer(t, tt.answer)
			remote, _ := server.remote()
			peak, total := heapUse(func() { assert.Error(t, remote.Refresh(t.Context(), "")) })
			assert.Less(t, peak, tt.peak<<20)
			assert.Less(t, total, tt.total<<20)
		})
	}
}

// The client of a Remote without Client reads at most 64 KiB of response header. The header here has 5 MB.
func TestRemote_MemoryOfAHeader(t *testing.T) {
	if testing.Short() {
		t.Skip("short: measures the heap, which is slow")
	}
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
	remote := &keys.Remote{URL: "http://" + listener.Addr().String() + "/", Timeout: hangLimit, Logger: slog.New(slog.DiscardHandler)}
	_, total := heapUse(func() { assert.Error(t, remote.Refresh(t.Context(), "")) })
	assert.Less(t, total, uint64(5<<20))
}

// heapUse returns how many bytes f and its server allocate, and by how much the heap grows at most.
//
// The total does not depend on when the garbage collector runs. The peak is sampled each millisecond, so a busy
// machine may miss it, which lets a test pass. It cannot make a test fail: at 5 percent, the collector makes
// goroutines that allocate help it, however slow the machine is.
func heapUse(f func()) (peak, total uint64) {
	read := func() (stats runtime.MemStats) {
		runtime.ReadMemStats(&stats)
		return stats
	}
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	runtime.GC()
	before := read()
	done := make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				if now := read().HeapAlloc; now > before.HeapAlloc {
					peak = max(peak, now-before.HeapAlloc)
				}
			}
		}
	})
	f()
	total = read().TotalAlloc - before.TotalAlloc
	close(done)
	sampling.Wait()
	return peak, total
}

// A Remote keeps at most 64 KiB for a set of ten RSA keys.
func TestRemote_MemoryOfASet(t *testing.T) {
	var jwks []any
	for i := range 10 {
		jwks = append(jwks, jwkOf(&rsaKey().PublicKey).with("kid", fmt.Sprintf("key-%d", i)).
			with("x5c", []string{strings.Repeat("A", 1500)}))
	}
	server := newDirectServer(serves(jwkSet(jwks...)))
	const sources = 50
	all := make([]*keys.Remote, sources)
	first, _ := server.remote() // for what the first fetch of a program sets up
	require.NoError(t, first.Refresh(t.Context(), ""))
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

// acceptance 56: made-up issuers and key IDs do not fill the memory. 100,000 lookups that each kept 3 bytes would
// exceed the limit.
func TestRemote_MemoryIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func() *keys.Remote
		ask  func(t *testing.T, r *keys.Remote, i int)
	}{
		{"issuers", func() *keys.Remote {
			refusing := roundTripperFunc(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })
			return &keys.Remote{Client: &http.Client{Transport: refusing}, MinInterval: time.Millisecond}
		}, func(t *testing.T, r *keys.Remote, i int) {
			_, err := r.Keys(t.Context(), fmt.Sprintf("https://tenant-%07d.example", i), "1")
			assert.Error(t, err)
		}},
		{"key IDs", func() *keys.Remote {
			remote, _ := newDirectServer(serves(oneKeySet("1", edKey()))).remote()
			remote.Logger = slog.New(slog.DiscardHandler)
			return remote
		}, func(t *testing.T, r *keys.Remote, i int) {
			ks, err := r.Keys(t.Context(), issuer, fmt.Sprint("random-", i))
			assert.NoError(t, err)
			assert.Empty(t, ks)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				remote := tt.make()
				n := 0
				ask := func(lookups, eachSecond int) {
					for range lookups {
						if n++; n%eachSecond == 0 {
							time.Sleep(time.Second)
						}
						tt.ask(t, remote, n)
					}
					synctest.Wait()
				}
				ask(10_000, 10) // enough for 1,000 issuers: there is one new one each second, after the first hundred
				before := heapInUse()
				lookups := 100_000
				if testing.Short() {
					lookups /= 5
				}
				ask(lookups, 100)
				after := heapInUse()
				assert.Less(t, after, before+256<<10)
				t.Logf("the heap grows by %d bytes", int64(after)-int64(before))
				assert.LessOrEqual(t, len(remote.Stats()), 1000)
				runtime.KeepAlive(remote)
			})
		})
	}
}

// heapInUse returns the size of the heap without garbage.
func heapInUse() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // what sync.Pool gave up in the first run
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestRemote_AllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newDirectServer(serves(jwkSet(jwkOf(public(edKey())).with("kid", "1"), jwkOf(&rsaKey().PublicKey).with("kid", "2"),
			jwkOf(&p256Key().PublicKey).with("kid", "3").with("issuer", issuer))))
		remote, _ := server.remote()
		require.NoError(t, remote.Refresh(t.Context(), ""))
		synctest.Wait() // for the fetch to end, which allocates
		ctx := t.Context()
		for _, kid := range []string{"1", "2", "3", ""} {
			assert.Zero(t, testing.AllocsPerRun(100, func() { remote.Keys(ctx, issuer, kid) }), kid)
		}
	})
}

// A Remote that nothing refers to is collected, although it has a timer for its next refresh.
func TestRemote_IsCollected(t *testing.T) {
	t.Parallel()
	server := newTCPServer(t, serves(oneKeySet("1", edKey())))
	remote, _ := server.remote()
	require.NoError(t, remote.Refresh(t.Context(), ""))
	collected := make(chan struct{})
	runtime.AddCleanup(remote, func(c chan struct{}) { close(c) }, collected)
	remote = nil
	waitUntil(t, func() bool {
		runtime.GC()
		select {
		case <-collected:
			return true
		default:
			return false
		}
	}, "the Remote is collected")
}
