package keys_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
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
	"github.com/jwtgate/jwtgate/keys"
)

// A keyServer is the key server of an issuer. It counts what it is asked and
// answers as its test wants it to.
type keyServer struct {
	url         string // with http and a loopback address
	client      *http.Client
	close       func() // refuses connections from then on
	fetches     atomic.Int64
	requests    gauge // under way
	connections gauge // open at the client's end; counted in a bubble only
	answer      atomic.Pointer[http.HandlerFunc]
}

// A gauge is a number and the most it has ever been.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) add(n int64) {
	now := g.now.Add(n)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
}

func (s *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.fetches.Add(1)
	s.requests.add(1)
	defer s.requests.add(-1)
	(*s.answer.Load())(w, r)
}

// now has the server answer so from now on.
func (s *keyServer) now(answer http.HandlerFunc) { s.answer.Store(&answer) }

// remote returns a source with the keys of the server, and its log.
func (s *keyServer) remote() (*keys.Remote, *lines) {
	log := &lines{}
	return &keys.Remote{URL: s.url + "/jwks", Client: s.client, Logger: slog.New(slog.NewTextHandler(log, nil))}, log
}

// newServer returns a server on loopback.
func newServer(t testing.TB, answer http.HandlerFunc) *keyServer {
	t.Helper()
	s := &keyServer{}
	s.now(answer)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url, s.client, s.close = server.URL, server.Client(), server.Close
	return s
}

// newPipeServer returns a server for a bubble of synctest, in which time passes
// while all wait, and nothing may wait for what is outside: a network of pipes
// takes the place of loopback.
func newPipeServer(t testing.TB, answer http.HandlerFunc) *keyServer {
	t.Helper()
	s := &keyServer{url: "http://127.0.0.1"}
	s.now(answer)
	network := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{}), open: &s.connections}
	server := &http.Server{Handler: s}
	go server.Serve(network)
	s.client = &http.Client{Transport: &http.Transport{DialContext: network.dial}}
	s.close = func() { server.Close() }
	t.Cleanup(s.close)
	return s
}

type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
	open     *gauge
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accepted <- theirs:
		return counted(ours, p.open), nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

type countedConn struct {
	net.Conn
	open *gauge
	once sync.Once
}

func counted(c net.Conn, open *gauge) net.Conn {
	open.add(1)
	return &countedConn{Conn: c, open: open}
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.add(-1) })
	return c.Conn.Close()
}

// What a server may answer.
func serves(document []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(document) }
}
func servesWith(name, value string, document []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(name, value)
		w.Write(document)
	}
}
func fails(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}
func slowly(d time.Duration, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(d)
		then(w, r)
	}
}
func writes100MB(w http.ResponseWriter, _ *http.Request) {
	for range 100 {
		if _, err := w.Write(mebibyte); err != nil {
			return
		}
	}
}

var mebibyte = bytes.Repeat([]byte(" "), 1<<20)

func hangsUp(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

// hangs until the client leaves.
func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func signed(t testing.TB, private ed25519.PrivateKey, kid string) string {
	t.Helper()
	return sign(t, jwt.SigningMethodEdDSA, private, kid)
}

// answerTo sends a token through a gate, as a handler's client would see it.
func answerTo(gate *jwtgate.Gate, ctx context.Context, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w
}

func statusOf(t testing.TB, gate *jwtgate.Gate, token string) int {
	t.Helper()
	return answerTo(gate, t.Context(), token).Code
}

// requireUnavailable asks for a 503 that says when to come back, and returns the
// seconds.
func requireUnavailable(t testing.TB, w *httptest.ResponseRecorder) int {
	t.Helper()
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Empty(t, w.Header().Get("WWW-Authenticate"))
	seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, seconds, 1)
	return seconds
}

// together calls f n times at once and returns when all have returned.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func TestRemote_FloodOfUnknownKeyIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, slowly(50*time.Millisecond, serves(withID("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		good := signed(t, edKey(), "1")
		require.Equal(t, 200, statusOf(t, gate, good))
		time.Sleep(time.Minute) // the limiter is full again
		server.fetches.Store(0)

		start := time.Now()
		together(200, func(i int) {
			assert.Equal(t, 401, statusOf(t, gate, signed(t, otherEdKey(), fmt.Sprintf("random-%d", i))))
		})
		assert.LessOrEqual(t, time.Since(start), 100*time.Millisecond, "two fetches")
		assert.LessOrEqual(t, server.fetches.Load(), int64(2))

		start = time.Now()
		for i := range 1000 {
			assert.Equal(t, 401, statusOf(t, gate, signed(t, otherEdKey(), fmt.Sprintf("more-%d", i))))
		}
		assert.Zero(t, time.Since(start), "no request waits for the limiter")
		assert.LessOrEqual(t, server.fetches.Load(), int64(2))
		assert.Equal(t, 200, statusOf(t, gate, good))

		// It goes on for a minute, ten a second.
		for i := range 600 {
			time.Sleep(100 * time.Millisecond)
			assert.Equal(t, 401, statusOf(t, gate, signed(t, otherEdKey(), fmt.Sprintf("on-%d", i))))
		}
		assert.InDelta(t, 2+60/5, server.fetches.Load(), 1, "one each MinInterval")
		assert.Equal(t, int64(1), server.requests.most.Load(), "one at a time")
		// The first 200 shared two fetches, and each later one cost a token.
		assert.Equal(t, 1000+600-uint64(server.fetches.Load()-2), remote.Stats()[0].Limited)
	})
}

// A token without kid, or with a bad signature, is no reason to ask the issuer
// anything.
func TestRemote_ForgedSignaturesFetchNothing(t *testing.T) {
	t.Parallel()
	server := newServer(t, serves(withID("1", edKey())))
	remote, _ := server.remote()
	gate := newGate(t, remote)
	require.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1")))
	server.fetches.Store(0)

	for _, kid := range []string{"1", ""} {
		forged := signed(t, otherEdKey(), kid)
		for range 1000 {
			_, err := gate.Verify(t.Context(), forged)
			assert.ErrorIs(t, err, jwtgate.ErrSignature)
		}
	}
	_, err := gate.Verify(t.Context(), signFor(t, "https://stranger.example/", jwt.SigningMethodEdDSA, otherEdKey(), "2"))
	assert.ErrorIs(t, err, jwtgate.ErrIssuer)
	assert.Zero(t, server.fetches.Load())
}

func TestRemote_Rotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, slowly(50*time.Millisecond, serves(withID("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		require.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1")))

		server.now(slowly(50*time.Millisecond, serves(withID("2", otherEdKey()))))
		server.fetches.Store(0)
		start := time.Now()
		token := signed(t, otherEdKey(), "2")
		together(50, func(int) { assert.Equal(t, 200, statusOf(t, gate, token)) })
		assert.Equal(t, int64(1), server.fetches.Load())
		assert.Equal(t, 50*time.Millisecond, time.Since(start), "at once")
		assert.Equal(t, 401, statusOf(t, gate, signed(t, edKey(), "1")), "the old key is gone")
	})
}

func TestRemote_RotationAfterAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(withID("1", edKey())))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		for i := range 300 { // 30 seconds of it, and it ends at any moment
			time.Sleep(100 * time.Millisecond)
			require.Equal(t, 401, statusOf(t, gate, signed(t, otherEdKey(), fmt.Sprintf("random-%d", i))))
		}

		server.now(slowly(50*time.Millisecond, serves(withID("2", otherEdKey()))))
		server.fetches.Store(0)
		start := time.Now()
		token := signed(t, otherEdKey(), "2")
		var accepted atomic.Int32
		together(50, func(int) {
			for statusOf(t, gate, token) != 200 {
				if !assert.Less(t, time.Since(start), 5*time.Second) { // MinInterval
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			accepted.Add(1)
		})
		assert.Equal(t, int32(50), accepted.Load())
		assert.Equal(t, int64(1), server.fetches.Load())
	})
}

// A fetch that began before the rotation cannot know the new key. Whoever comes
// while it is under way has another one behind it.
func TestRemote_RotationDuringAFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, slowly(time.Second, serves(withID("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		var first sync.WaitGroup
		first.Go(func() { assert.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1"))) })
		time.Sleep(time.Second / 2)
		server.now(serves(withID("2", otherEdKey())))
		assert.Equal(t, 200, statusOf(t, gate, signed(t, otherEdKey(), "2")))
		first.Wait()
		assert.Equal(t, int64(2), server.fetches.Load())
	})
}

// acceptance 10, 55: what a server may do wrong. Known keys serve on through all
// of it.
func TestRemote_ServerFaults(t *testing.T) {
	t.Parallel()
	good := withID("1", edKey())
	manyKeys := make([]any, 10_000)
	for i := range manyKeys {
		manyKeys[i] = jwk{"kty": "OKP", "kid": strconv.Itoa(i)}
	}
	justTooMany := make([]any, 101)
	for i := range justTooMany {
		justTooMany[i] = jwkOf(public(edKey())).with("kid", strconv.Itoa(i))
	}
	redirects := func(target string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }
	}
	elsewhere := newServer(t, serves(good))
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		reason string
	}{
		{"500", fails(500), "status 500"},
		{"404", fails(404), "status 404"},
		{"401", fails(401), "status 401"},
		{"429", fails(429), "status 429"},
		{"204", fails(204), "status 204"},
		{"500 with a good set", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); w.Write(good) }, "status 500"},
		{"304 that nobody asked for", fails(304), "status 304"},
		{"connection closed", hangsUp, "EOF"},
		{"connection closed in the body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10000")
			w.Write(good)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "unexpected EOF"},
		{"garbage", serves(bytes.Repeat([]byte("\x00\xff{["), 100)), "it is not a JWK Set"},
		{"nothing", serves(nil), "it is not a JWK Set"},
		{"HTML", servesWith("Content-Type", "text/html", []byte("<!doctype html><title>Maintenance</title>")), "it is not a JWK Set"},
		{"cut short", serves(good[:len(good)-1]), "it is not a JWK Set"},
		{"an empty set", serves(document()), "it has no usable key"},
		{"an empty object", serves([]byte("{}")), "keys is not an array"},
		{"only keys of no use", serves(document(jwk{"kty": "oct", "k": "AAAA"}, 1)), "it has no usable key"},
		{"101 keys", serves(document(justTooMany...)), "more than the 100 keys that are read"},
		{"10,000 keys", serves(document(manyKeys...)), "more than the 100 keys that are read"},
		{"1 MiB and a byte", serves(append(good, bytes.Repeat([]byte(" "), 1<<20+1-len(good))...)), "more than 1048576 bytes"},
		{"100 MB", writes100MB, "more than 1048576 bytes"},
		{"100 MB announced", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(100<<20))
			writes100MB(w, r)
		}, "more than 1048576 bytes"},
		{"redirect to http elsewhere", redirects("http://keys.example/jwks"), "another origin"},
		{"redirect to another port", redirects(elsewhere.url + "/jwks"), "another origin"},
		{"redirect to https", redirects("https://127.0.0.1/jwks"), "another origin"},
		{"redirect to a file", redirects("file:///etc/passwd"), "another origin"},
		{"redirect in a loop", redirects("/jwks"), "more than 3 redirects"},
		{"redirect to nowhere", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, "status 302"},
		{"redirect to a long address", redirects("https://" + strings.Repeat("a", 5000) + ".example/redirect"), "..."},
		{"no answer", hangs, "context deadline exceeded"},
		{"a body without an end", func(w http.ResponseWriter, r *http.Request) {
			w.Write(good)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "context deadline exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, serves(good))
			remote, log := server.remote()
			if tt.reason == "context deadline exceeded" {
				remote.Timeout = 500 * time.Millisecond
			}
			gate := newGate(t, remote)
			require.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1")))
			log.wait(t)

			server.now(tt.answer)
			unknown := signed(t, otherEdKey(), "2")
			for range 20 {
				requireUnavailable(t, answerTo(gate, t.Context(), unknown))
				require.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1")))
			}
			require.Eventually(t, func() bool { return remote.Stats()[0].Failures > 0 }, 5*time.Second, time.Millisecond)
			_, err := gate.Verify(t.Context(), unknown)
			require.ErrorIs(t, err, jwtgate.ErrUnavailable)
			assert.ErrorContains(t, err, tt.reason)
			if strings.Contains(tt.reason, "redirect") {
				var theirs *url.Error
				assert.ErrorAs(t, err, &theirs)
			}
			stats := remote.Stats()[0]
			assert.Equal(t, 1, stats.Keys)
			assert.ErrorContains(t, stats.Err, tt.reason)
			assert.Equal(t, int64(0), elsewhere.fetches.Load())

			failure := log.wait(t)
			assert.Contains(t, failure[0], `msg="jwtgate: keys cannot be fetched, the old ones stay in use"`)
			// acceptance 33
			assert.Less(t, len(failure[0]), 600)
			assert.Len(t, failure, 1)

			server.now(serves(withID("2", otherEdKey())))
			require.Eventually(t, func() bool { return statusOf(t, gate, unknown) == 200 }, 10*time.Second, 20*time.Millisecond)
			assert.Contains(t, strings.Join(log.wait(t), "\n"), "keys fetched again")
			assert.NoError(t, remote.Stats()[0].Err)
		})
	}
}

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
			server := newServer(t, tt.answer)
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

// acceptance 10
func TestRemote_DownAtStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		down http.HandlerFunc
	}{{"500", fails(500)}, {"connection closed", hangsUp}, {"no answer", hangs}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, tt.down)
				remote, log := server.remote()
				gate := newGate(t, remote) // starts all the same
				assert.Zero(t, server.fetches.Load())
				token := signed(t, edKey(), "1")
				require.Error(t, gate.Ready(t.Context()))
				for range 1000 {
					requireUnavailable(t, answerTo(gate, t.Context(), token))
				}
				assert.Equal(t, int64(1), server.fetches.Load(), "the rest did not wait for the backoff to end")
				synctest.Wait()
				lines := log.take()
				require.Len(t, lines, 1)
				assert.Contains(t, lines[0], "level=ERROR")

				server.now(serves(withID("1", edKey())))
				start := time.Now()
				for statusOf(t, gate, token) != 200 {
					require.Less(t, time.Since(start), 30*time.Second)
					time.Sleep(100 * time.Millisecond)
				}
				assert.NoError(t, gate.Ready(t.Context()))
				assert.Equal(t, int64(2), server.fetches.Load())
			})
		})
	}
}

// While it is down, an issuer is asked ever less often, and found to be back
// within half a minute.
func TestRemote_Backoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(withID("1", edKey())))
		remote, log := server.remote()
		gate := newGate(t, remote)
		known, unknown := signed(t, edKey(), "1"), signed(t, otherEdKey(), "2")
		require.Equal(t, 200, statusOf(t, gate, known))
		synctest.Wait()
		log.take()

		server.now(fails(503))
		time.Sleep(8 * time.Minute) // time for a refresh
		server.fetches.Store(0)
		start := time.Now()
		var gaps []time.Duration
		var before int64
		last := start
		for time.Since(start) < 5*time.Minute {
			assert.Equal(t, 200, statusOf(t, gate, known))
			synctest.Wait()
			if time.Since(start) > time.Second { // unknown IDs make no difference
				seconds := requireUnavailable(t, answerTo(gate, t.Context(), unknown))
				assert.LessOrEqual(t, seconds, 30)
			}
			if n := server.fetches.Load(); n > before {
				gaps = append(gaps, time.Since(last))
				last, before = time.Now(), n
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.Greater(t, len(gaps), 12)
		assert.Less(t, len(gaps), 30)
		for i, gap := range gaps[1:] {
			most := min(30*time.Second, time.Second/2<<min(i, 6))
			assert.Greater(t, gap, most/2-200*time.Millisecond)
			assert.Less(t, gap, most+200*time.Millisecond)
		}
		assert.Greater(t, slices.Max(gaps[8:])-slices.Min(gaps[8:]), 200*time.Millisecond, "chance has a part in it")
		synctest.Wait()
		assert.Len(t, log.take(), 1, "one record for all of it")

		server.now(serves(withID("2", otherEdKey())))
		start = time.Now()
		for statusOf(t, gate, unknown) != 200 {
			require.Less(t, time.Since(start), 30*time.Second)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		assert.Contains(t, strings.Join(log.take(), "\n"), "keys fetched again")

		// The next outage is a new one.
		time.Sleep(time.Minute)
		server.now(fails(503))
		assert.Equal(t, 1, requireUnavailable(t, answerTo(gate, t.Context(), signed(t, edKey(), "3"))))
	})
}

func TestRemote_HangingServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(withID("1", edKey())))
		other := newPipeServer(t, serves(withID("1", edKey())))
		remote, _ := server.remote()
		otherRemote, _ := other.remote()
		gate, err := jwtgate.New(jwtgate.Options{
			Keys:      keys.ByIssuer{issuerA: remote, issuerB: otherRemote},
			Issuers:   []string{issuerA, issuerB},
			Audiences: []string{audience},
		})
		require.NoError(t, err)
		ofA := func(private ed25519.PrivateKey, kid string) string {
			return signFor(t, issuerA, jwt.SigningMethodEdDSA, private, kid)
		}
		known, unknown := ofA(edKey(), "1"), ofA(otherEdKey(), "2")
		require.Equal(t, 200, statusOf(t, gate, known))
		server.connections.most.Store(0)

		server.now(slowly(time.Minute, fails(500)))
		var callers sync.WaitGroup
		for i := range 200 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				start := time.Now()
				requireUnavailable(t, answerTo(gate, t.Context(), unknown))
				assert.LessOrEqual(t, time.Since(start), 5*time.Second) // Timeout

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start = time.Now()
				requireUnavailable(t, answerTo(gate, ctx, unknown))
				assert.LessOrEqual(t, time.Since(start), time.Second)

				start = time.Now()
				assert.Equal(t, 200, statusOf(t, gate, known))
				assert.Equal(t, 200, statusOf(t, gate, signFor(t, issuerB, jwt.SigningMethodEdDSA, edKey(), "1")))
				assert.Zero(t, time.Since(start), "others are not affected")
			})
		}
		callers.Wait()
		assert.Less(t, server.fetches.Load(), int64(10))
		assert.Equal(t, int64(1), server.connections.most.Load(), "one at a time")
		time.Sleep(time.Minute) // the server's handlers come back
	})
}

// A client that does not mind its context holds up no request, and there is
// still no second fetch beside its own.
func TestRemote_ClientThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(withID("1", edKey())))
		remote, _ := server.remote()
		var calls atomic.Int32
		stuck := make(chan struct{})
		transport := server.client.Transport
		remote.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if calls.Add(1) == 2 {
				<-stuck
			}
			return transport.RoundTrip(r)
		})}
		gate := newGate(t, remote)
		known, unknown := signed(t, edKey(), "1"), signed(t, otherEdKey(), "2")
		require.Equal(t, 200, statusOf(t, gate, known))

		start := time.Now()
		requireUnavailable(t, answerTo(gate, t.Context(), unknown))
		assert.Equal(t, 5*time.Second, time.Since(start))
		for range 100 {
			requireUnavailable(t, answerTo(gate, t.Context(), unknown))
		}
		assert.Equal(t, 5*time.Second, time.Since(start), "later ones know that it is over time")
		assert.ErrorIs(t, remote.Refresh(t.Context(), ""), context.DeadlineExceeded)
		assert.Equal(t, int32(2), calls.Load())

		server.now(serves(withID("2", otherEdKey())))
		close(stuck)
		synctest.Wait()
		assert.NoError(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, 200, statusOf(t, gate, unknown))
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A client may do worse than fail. The fetch runs on a goroutine where a panic
// would end the program.
func TestRemote_BrokenClient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		client roundTripper
		reason string
	}{
		{"panics", func(*http.Request) (*http.Response, error) { panic("no client today") }, "no client today"},
		{"ends its goroutine", func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil }, "did not return"},
		{"fails like a token", func(*http.Request) (*http.Response, error) { return nil, jwtgate.ErrSignature }, "bad signature"},
		{"fails like a gate", func(*http.Request) (*http.Response, error) { return nil, &jwtgate.Error{Status: 401} }, "status 401"},
		{"fails like a request without a token", func(*http.Request) (*http.Response, error) { return nil, jwtgate.ErrNoToken }, "no token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			remote := &keys.Remote{URL: "https://auth.example.com/jwks", Client: &http.Client{Transport: tt.client}}
			gate := newGate(t, remote)
			for range 2 {
				requireUnavailable(t, answerTo(gate, t.Context(), signed(t, edKey(), "1")))
			}
			assert.ErrorContains(t, remote.Refresh(t.Context(), ""), tt.reason)
			assert.Equal(t, uint64(2), remote.Stats()[0].Failures)
			// acceptance 43: an outage lets nobody through as anonymous.
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+signed(t, edKey(), "1"))
			w := httptest.NewRecorder()
			gate.Optional(http.NotFoundHandler()).ServeHTTP(w, r)
			requireUnavailable(t, w)
		})
	}
}

// A body may do anything that a Read can.
func TestRemote_BrokenBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		body io.Reader
	}{
		{"panics", reading(func([]byte) (int, error) { panic("no body today") })},
		{"goes on to return nothing", reading(func([]byte) (int, error) { return 0, nil })},
		{"returns less than nothing", reading(func([]byte) (int, error) { return -5, nil })},
		{"returns more than there is room for", reading(func(p []byte) (int, error) { return len(p) + 1, nil })},
		{"fails", reading(func([]byte) (int, error) { return 0, errors.New("line\nbreak\x1b[2J") })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			remote := &keys.Remote{URL: "https://auth.example.com/", Timeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
			remote.Client = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(tt.body)}, nil
			})}
			require.Error(t, remote.Refresh(t.Context(), ""))
			require.Eventually(t, func() bool { return remote.Stats()[0].Failures > 0 }, 5*time.Second, time.Millisecond, "the fetch has ended")
			// acceptance 33
			_, err := newGate(t, remote).Verify(t.Context(), signed(t, edKey(), "1"))
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), "\x1b")
		})
	}
}

type reading func([]byte) (int, error)

func (r reading) Read(p []byte) (int, error) { return r(p) }

// A logger that panics costs its records, and not the program.
func TestRemote_BrokenLogger(t *testing.T) {
	t.Parallel()
	server := newServer(t, serves(withID("1", edKey())))
	remote, _ := server.remote()
	var records atomic.Int32
	remote.Logger = slog.New(slog.NewTextHandler(writing(func([]byte) (int, error) { records.Add(1); panic("no log today") }), nil))
	require.NoError(t, remote.Refresh(t.Context(), ""))
	assert.Eventually(t, func() bool { return records.Load() == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, remote.Refresh(t.Context(), ""))
}

type writing func([]byte) (int, error)

func (w writing) Write(p []byte) (int, error) { return w(p) }

// A set that is always another one, or in another order, does not fill the log.
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
			w.Write(document(all...))
		}, 10 * (1 + 5 + 1)},
		{"another order each time", func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1)%2 == 0 {
				w.Write(document(good, jwk{"kty": "XYZ"}))
			} else {
				w.Write(document(jwk{"kty": "XYZ"}, good))
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
				assert.LessOrEqual(t, len(log.take()), tt.most)
			})
		})
	}
}

// Keys that were too old when they came are no reason to refuse a token.
func TestRemote_StaleAtOnce(t *testing.T) {
	t.Parallel()
	server := newServer(t, serves(withID("1", edKey())))
	remote, _ := server.remote()
	remote.FreshFor, remote.StaleFor = time.Nanosecond, -1
	gate := newGate(t, remote)
	for range 50 {
		if w := answerTo(gate, t.Context(), signed(t, edKey(), "1")); w.Code != 200 {
			requireUnavailable(t, w)
		}
	}
}

// A key without ID beside others is tried for tokens that name one, but does not
// stand for those that are not there yet.
func TestRemote_KeysWithAndWithoutID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		anyID := jwkOf(&p256Key().PublicKey)
		server := newPipeServer(t, serves(document(jwkOf(public(edKey())).with("kid", "1"), anyID)))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		require.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1")))
		server.now(serves(document(jwkOf(public(otherEdKey())).with("kid", "2"), anyID)))
		assert.Equal(t, 200, statusOf(t, gate, signed(t, otherEdKey(), "2")), "at once")

		server.now(fails(500))
		byAny := sign(t, jwt.SigningMethodES256, p256Key(), "named somehow")
		for range 5 {
			assert.Equal(t, 200, statusOf(t, gate, byAny))
		}
		assert.Equal(t, 200, statusOf(t, gate, sign(t, jwt.SigningMethodES256, p256Key(), "")))
		assert.LessOrEqual(t, server.fetches.Load(), int64(3))
	})
}

// A server that cannot answer whether something has changed is asked outright.
func TestRemote_RevalidationFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		etag := servesWith("Etag", `"v1"`, withID("1", edKey()))
		server := newPipeServer(t, etag)
		remote, _ := server.remote()
		gate := withoutExpiry(t, remote)
		token := signed(t, edKey(), "1")
		require.Equal(t, 200, statusOf(t, gate, token))
		server.now(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(500)
				return
			}
			etag(w, r)
		})
		time.Sleep(9 * time.Minute)
		for range 2 {
			require.Equal(t, 200, statusOf(t, gate, token))
			time.Sleep(time.Minute)
		}
		assert.NoError(t, remote.Stats()[0].Err)
		assert.Equal(t, uint64(1), remote.Stats()[0].Failures)
	})
	t.Run("a new key behind a cache", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			server := newPipeServer(t, servesWith("Etag", `"v1"`, withID("1", edKey())))
			remote, _ := server.remote()
			gate := newGate(t, remote)
			require.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1")))
			server.now(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("If-None-Match") != "" {
					w.WriteHeader(304)
					return
				}
				w.Write(withID("2", otherEdKey()))
			})
			assert.Equal(t, 200, statusOf(t, gate, signed(t, otherEdKey(), "2")))
		})
	})
}

// One who has to wait for two fetches still waits no longer than for one.
func TestRemote_WaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, slowly(4*time.Second, serves(withID("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		var first sync.WaitGroup
		first.Go(func() { assert.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1"))) })
		time.Sleep(time.Second / 2)
		start := time.Now()
		requireUnavailable(t, answerTo(gate, t.Context(), signed(t, edKey(), "2")))
		assert.Equal(t, 5*time.Second, time.Since(start)) // Timeout
		first.Wait()
		time.Sleep(10 * time.Second)
	})
}

// acceptance 47
func TestRemote_FirstCallerCancels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, slowly(time.Second, serves(withID("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		token := signed(t, edKey(), "1")
		ctx, cancel := context.WithCancel(t.Context())
		var first, others sync.WaitGroup
		start := time.Now()
		first.Go(func() {
			_, err := gate.Verify(ctx, token)
			assert.ErrorIs(t, err, context.Canceled)
			assert.ErrorIs(t, err, jwtgate.ErrUnavailable)
			assert.Equal(t, time.Second/2, time.Since(start))
		})
		synctest.Wait()
		for range 20 {
			others.Go(func() { assert.Equal(t, 200, statusOf(t, gate, token)) })
		}
		time.Sleep(time.Second / 2)
		cancel()
		first.Wait()
		others.Wait()
		assert.Equal(t, int64(1), server.fetches.Load())
		assert.Equal(t, time.Second, time.Since(start))
	})
}

// A request whose client has left already still has its token judged by the
// keys that are there.
func TestRemote_CancelledBefore(t *testing.T) {
	t.Parallel()
	server := newServer(t, serves(withID("1", edKey())))
	remote, _ := server.remote()
	require.NoError(t, remote.Refresh(t.Context(), ""))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ks, err := remote.Keys(ctx, issuer, "1")
	assert.NoError(t, err)
	assert.Len(t, ks, 1)
	assert.ErrorIs(t, remote.Refresh(ctx, ""), context.Canceled)
}

// acceptance 27, 28
func TestRemote_OddKeys(t *testing.T) {
	t.Parallel()
	good := jwkOf(public(edKey())).with("kid", "good")
	ec := jwkOf(&p256Key().PublicKey)
	for _, tt := range []struct {
		name    string
		odd     any
		problem string // "" if it is a key like others
	}{
		{"unknown kty", jwk{"kty": "XYZ", "kid": "odd"}, "kty"},
		{"ML-DSA", jwk{"kty": "AKP", "alg": "ML-DSA-44", "kid": "odd", "pub": "AAAA"}, "kty"},
		{"malformed n", jwkOf(&rsaKey().PublicKey).with("kid", "odd").with("n", "!!!"), "n is not base64url"},
		{"off-curve point", ec.with("kid", "odd").with("x", ec["y"]), "not a point"},
		{"numeric kid", ec.with("kid", 1), "kid is not a string"},
		{"use=enc", ec.with("kid", "odd").with("use", "enc"), `use "enc"`},
		{"key_ops=[encrypt]", ec.with("kid", "odd").with("key_ops", []string{"encrypt"}), "key_ops"},
		{"oct", jwk{"kty": "oct", "kid": "odd", "k": base64url(secretOf(32))}, "private member"},
		{"private", ec.with("kid", "odd").with("d", base64url(p256Key().D.FillBytes(make([]byte, 32)))), "private"},
		{"RSA-1024", jwkOf(&weakRSAKey().PublicKey).with("kid", "odd"), "1024 bits"},
		{"no object", 1, "not a JSON object"},
		{"duplicate kid", jwkOf(public(otherEdKey())).with("kid", "good"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, serves(document(tt.odd, good)))
				remote, log := server.remote()
				gate := newGate(t, remote)
				assert.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "good")))
				for range 3 {
					require.NoError(t, remote.Refresh(t.Context(), ""))
					server.now(serves(append(document(tt.odd, good), ' ')))
				}
				assert.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "good")))

				synctest.Wait()
				lines := log.take()
				if tt.problem == "" {
					assert.Equal(t, 200, statusOf(t, gate, signed(t, otherEdKey(), "good")), "all keys of an ID are tried")
					assert.NotContains(t, strings.Join(lines, "\n"), "skipped")
					return
				}
				assert.Equal(t, 1, strings.Count(strings.Join(lines, "\n"), "key skipped"), "it is told once: %q", lines)
				assert.Contains(t, strings.ReplaceAll(strings.Join(lines, "\n"), `\"`, `"`), tt.problem)
				assert.Equal(t, 1, remote.Stats()[0].Keys)
			})
		})
	}
}

func TestRemote_CacheControl(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	for _, tt := range []struct {
		name     string
		header   string
		age      string
		freshFor time.Duration
		want     time.Duration // until it is fetched again
	}{
		{"no header", "", "", 0, 8 * minute},
		{"no header, FreshFor", "", "", minute, 48 * time.Second},
		{"other directives", "public, must-revalidate, s-maxage=5", "", 0, 8 * minute},
		{"max-age=0", "max-age=0", "", 0, 48 * time.Second},
		{"max-age=5", "max-age=5", "", 0, 48 * time.Second},
		{"max-age=300", "public, max-age=300", "", 0, 4 * minute},
		{"letter case", "Public,MAX-AGE=300", "", 0, 4 * minute},
		{"quoted", `max-age="300"`, "", 0, 4 * minute},
		{"with Age", "max-age=3600", "3300", 0, 4 * minute},
		{"with an Age beyond", "max-age=3600", "4000", 0, 48 * time.Second},
		{"max-age=1 year", "max-age=31536000", "", 0, 8 * minute},
		{"max-age=1 year, FreshFor", "max-age=31536000", "", 48 * time.Hour, 24 * time.Hour / 5 * 4},
		{"max-age beyond numbers", "max-age=99999999999999999999", "", 0, 8 * minute},
		{"malformed max-age", "max-age=soon", "", 0, 48 * time.Second},
		{"negative max-age", "max-age=-1", "", 0, 48 * time.Second},
		{"no-store", "no-store", "", 0, 48 * time.Second},
		{"no-cache beside max-age", "max-age=600, no-cache", "", 0, 48 * time.Second},
		{"in two lines", "public\nmax-age=300", "", 0, 4 * minute},
		{"max-age=0, short FreshFor", "max-age=0", "", 10 * time.Second, 8 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, func(w http.ResponseWriter, _ *http.Request) {
					if tt.header != "" {
						w.Header()["Cache-Control"] = strings.Split(tt.header, "\n")
					}
					if tt.age != "" {
						w.Header().Set("Age", tt.age)
					}
					w.Write(withID("1", edKey()))
				})
				remote, _ := server.remote()
				remote.FreshFor = tt.freshFor
				gate := withoutExpiry(t, remote)
				token := signed(t, edKey(), "1")
				require.Equal(t, 200, statusOf(t, gate, token))
				for range 3 {
					before := server.fetches.Load()
					for range 100 {
						time.Sleep((tt.want - time.Second) / 100)
						require.Equal(t, 200, statusOf(t, gate, token))
					}
					synctest.Wait()
					require.Equal(t, before, server.fetches.Load(), "never a fetch per request")
					time.Sleep(2 * time.Second)
					for range 100 {
						require.Equal(t, 200, statusOf(t, gate, token))
					}
					synctest.Wait()
					require.Equal(t, before+1, server.fetches.Load())
				}
			})
		})
	}
}

// withoutExpiry returns a gate for tokens of newGate's kind that are used long
// after they were signed.
func withoutExpiry(t testing.TB, source jwtgate.KeySource) *jwtgate.Gate {
	t.Helper()
	now := time.Now()
	gate, err := jwtgate.New(jwtgate.Options{
		Keys: source, Issuers: []string{issuer}, Audiences: []string{audience}, CacheSize: 100,
		Now: func() time.Time { return now },
	})
	require.NoError(t, err)
	return gate
}

func TestRemote_Revalidation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full, unchanged atomic.Int32
		etag, set := `"v1"`, withID("1", edKey())
		server := newPipeServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") == etag {
				if unchanged.Add(1)%2 == 0 { // it need not repeat what still holds
					w.Header().Set("Etag", etag)
					w.Header().Set("Cache-Control", "max-age=300")
				}
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("Etag", etag)
			w.Header().Set("Cache-Control", "max-age=300")
			full.Add(1)
			w.Write(set)
		})
		remote, log := server.remote()
		gate := withoutExpiry(t, remote)
		first, second := signed(t, edKey(), "1"), signed(t, otherEdKey(), "2")
		require.Equal(t, 200, statusOf(t, gate, first))
		synctest.Wait()
		log.take()
		for i := range 5 {
			time.Sleep(241 * time.Second) // four fifths of max-age
			assert.Equal(t, 200, statusOf(t, gate, first))
			synctest.Wait()
			assert.Equal(t, int32(i+1), unchanged.Load())
			assert.Less(t, remote.Stats()[0].Age, time.Second, "it is as good as new")
		}
		assert.Equal(t, int32(1), full.Load())
		assert.Empty(t, log.take(), "nothing has changed")

		etag, set = `"v2"`, withID("2", otherEdKey())
		assert.Equal(t, 200, statusOf(t, gate, second))
		assert.Equal(t, 401, statusOf(t, gate, first))
		assert.Equal(t, int32(2), full.Load())
		synctest.Wait()
		assert.Contains(t, strings.Join(log.take(), "\n"), "key set changed")
	})
}

// acceptance 48
func TestRemote_KeyRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		both := document(jwkOf(public(edKey())).with("kid", "1"), jwkOf(public(otherEdKey())).with("kid", "2"))
		server := newPipeServer(t, serves(both))
		remote, _ := server.remote()
		gate := withoutExpiry(t, remote) // remembers tokens
		gone, stays := signed(t, edKey(), "1"), signed(t, otherEdKey(), "2")
		without := signed(t, edKey(), "")
		for range 2 {
			require.Equal(t, 200, statusOf(t, gate, gone))
			require.Equal(t, 200, statusOf(t, gate, stays))
			require.Equal(t, 200, statusOf(t, gate, without))
		}

		server.now(serves(withID("2", otherEdKey())))
		time.Sleep(8*time.Minute + time.Second)
		assert.Equal(t, 200, statusOf(t, gate, stays)) // starts the refresh
		synctest.Wait()
		assert.Equal(t, 401, statusOf(t, gate, gone))
		assert.Equal(t, 401, statusOf(t, gate, without))
		assert.Equal(t, 200, statusOf(t, gate, stays))
	})
}

func TestRemote_Stale(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name             string
		staleFor, usable time.Duration
	}{
		{"default", 0, 10*time.Minute + 24*time.Hour},
		{"an hour", time.Hour, 70 * time.Minute},
		{"none", -1, 10 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, serves(withID("1", edKey())))
				remote, log := server.remote()
				remote.StaleFor = tt.staleFor
				gate := withoutExpiry(t, remote)
				token, unknown := signed(t, edKey(), "1"), signed(t, otherEdKey(), "2")
				require.Equal(t, 200, statusOf(t, gate, token))
				start := time.Now()

				server.now(fails(500))
				for time.Since(start) < tt.usable-time.Second {
					require.Equal(t, 200, statusOf(t, gate, token), time.Since(start))
					time.Sleep(min(time.Minute, tt.usable-time.Since(start)-time.Second/2))
				}
				synctest.Wait()
				log.take()
				time.Sleep(time.Second)
				requireUnavailable(t, answerTo(gate, t.Context(), token))
				requireUnavailable(t, answerTo(gate, t.Context(), unknown))
				assert.Zero(t, remote.Stats()[0].Keys)
				time.Sleep(time.Minute)
				requireUnavailable(t, answerTo(gate, t.Context(), token))
				synctest.Wait()
				assert.Contains(t, strings.Join(log.take(), "\n"), "level=ERROR", "it is told that keys are out of use")

				server.now(serves(withID("1", edKey())))
				time.Sleep(31 * time.Second)
				assert.Equal(t, 200, statusOf(t, gate, token))
			})
		})
	}
	t.Run("in a fetch that hangs", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			server := newPipeServer(t, serves(withID("1", edKey())))
			remote, _ := server.remote()
			remote.StaleFor = -1
			gate := withoutExpiry(t, remote)
			token := signed(t, edKey(), "1")
			require.Equal(t, 200, statusOf(t, gate, token))
			server.now(hangs)
			time.Sleep(10*time.Minute - time.Second)
			assert.Equal(t, 200, statusOf(t, gate, token))
			time.Sleep(2 * time.Second)
			requireUnavailable(t, answerTo(gate, t.Context(), token))
		})
	})
}

// Idle for hours, a service has its keys at hand when a request comes, and new
// ones right after.
func TestRemote_Idle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, slowly(time.Second, serves(withID("1", edKey()))))
		remote, _ := server.remote()
		gate := withoutExpiry(t, remote)
		token := signed(t, edKey(), "1")
		require.Equal(t, 200, statusOf(t, gate, token))
		time.Sleep(20 * time.Hour)
		assert.Equal(t, int64(1), server.fetches.Load(), "nothing is fetched for nobody")
		start := time.Now()
		assert.Equal(t, 200, statusOf(t, gate, token))
		assert.Zero(t, time.Since(start))
		time.Sleep(2 * time.Second)
		assert.Equal(t, int64(2), server.fetches.Load())
		time.Sleep(25 * time.Hour)
		start = time.Now()
		assert.Equal(t, 200, statusOf(t, gate, token))
		assert.Equal(t, time.Second, time.Since(start), "those are too old for anything")
	})
}

// acceptance 45
func TestRemote_RotatesUnderLoad(t *testing.T) {
	t.Parallel()
	const versions = 200
	var privates [versions]ed25519.PrivateKey
	var sets [versions][]byte
	var tokens [versions]string
	for i := range versions {
		privates[i] = newEd25519()
		kid := fmt.Sprintf("version-%d", i)
		tokens[i] = signed(t, privates[i], kid)
		sets[i] = document(jwkOf(public(edKey())).with("kid", "kept"), jwkOf(public(privates[i])).with("kid", kid))
	}
	kept, forged, never := signed(t, edKey(), "kept"), signed(t, otherEdKey(), "kept"), signed(t, otherEdKey(), "never")

	var published atomic.Int32
	server := newServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(sets[published.Load()]) })
	remote, _ := server.remote()
	remote.FreshFor, remote.MinInterval = 10*time.Millisecond, 10*time.Millisecond
	gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: []string{issuer}, Audiences: []string{audience}, CacheSize: 64})
	require.NoError(t, err)
	require.NoError(t, gate.Ready(t.Context()))

	stop := make(chan struct{})
	var rotating sync.WaitGroup
	rotating.Go(func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				if published.Load() < versions-1 {
					published.Add(1)
				}
			}
		}
	})
	var rotated atomic.Int32
	together(10_000, func(i int) {
		_, err := gate.Verify(t.Context(), kept)
		assert.NoError(t, err)
		switch i % 3 {
		case 0:
			_, err = gate.Verify(t.Context(), forged)
			assert.ErrorIs(t, err, jwtgate.ErrSignature)
		case 1:
			_, err = gate.Verify(t.Context(), never)
			assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
		case 2:
			// Some version that is, was or will be the published one.
			version := int32(i % versions)
			_, err = gate.Verify(t.Context(), tokens[version])
			if err != nil {
				assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
			} else {
				rotated.Add(1)
				assert.LessOrEqual(t, version, published.Load(), "accepted before it was published")
			}
		}
	})
	close(stop)
	rotating.Wait()
	require.NotZero(t, published.Load())
	last := published.Load()
	require.NoError(t, remote.Refresh(t.Context(), ""))
	_, err = gate.Verify(t.Context(), tokens[last])
	assert.NoError(t, err)
	_, err = gate.Verify(t.Context(), tokens[0])
	assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
	assert.Equal(t, int64(1), server.requests.most.Load(), "one fetch at a time")
}

// An etag that no request could carry is none.
func TestRemote_LongEtag(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Get("If-None-Match"))
		servesWith("Etag", `"`+strings.Repeat("e", 100_000)+`"`, withID("1", edKey()))(w, r)
	})
	remote, _ := server.remote()
	for range 3 {
		require.NoError(t, remote.Refresh(t.Context(), ""))
	}
}

// Whoever wants keys for ever, or none but those of the start, may say so.
func TestRemote_LongDurations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, nil)
		server.now(tenants(server.url, withID("1", edKey())))
		remote, _ := server.remote()
		remote.URL, remote.FreshFor, remote.StaleFor, remote.MinInterval = "", math.MaxInt64, math.MaxInt64, math.MaxInt64
		for range 3 {
			assert.Equal(t, []string{"1 EdDSA"}, names(t, remote, server.url+"/a", "1"))
			assert.Empty(t, names(t, remote, server.url+"/a", "2"))
			assert.Equal(t, []string{"1 EdDSA"}, names(t, remote, server.url+"/b", "1"))
			time.Sleep(100 * 24 * time.Hour)
		}
		assert.Equal(t, uint64(2), remote.Stats()[0].Fetches)
	})
}

func TestRemote_Refresh(t *testing.T) {
	t.Parallel()
	server := newServer(t, fails(500))
	remote, _ := server.remote()
	gate := newGate(t, remote)
	err := remote.Refresh(t.Context(), issuer)
	assert.ErrorContains(t, err, "keys.Remote "+server.url+"/jwks: GET "+server.url+"/jwks: status 500")
	assert.ErrorContains(t, gate.Ready(t.Context()), "status 500", "that was just now")
	assert.Equal(t, int64(1), server.fetches.Load())

	server.now(serves(withID("1", edKey())))
	assert.NoError(t, remote.Refresh(t.Context(), issuer), "whatever the backoff")
	assert.NoError(t, gate.Ready(t.Context()))
	for range 10 {
		assert.NoError(t, remote.Refresh(t.Context(), ""), "whatever the limit")
	}
	assert.Equal(t, int64(12), server.fetches.Load())
	assert.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1")))
	server.close()
	assert.Error(t, remote.Refresh(t.Context(), issuer))
	assert.NoError(t, gate.Ready(t.Context()), "there are keys")
}

// Of many who refresh at once, all get keys of that moment or later, by two
// fetches at most.
func TestRemote_RefreshIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, slowly(time.Second, serves(withID("1", edKey()))))
		remote, _ := server.remote()
		together(50, func(int) { assert.NoError(t, remote.Refresh(t.Context(), "")) })
		assert.LessOrEqual(t, server.fetches.Load(), int64(2))

		var first sync.WaitGroup
		first.Go(func() { assert.NoError(t, remote.Refresh(t.Context(), "")) })
		time.Sleep(time.Second / 2)
		server.now(serves(withID("2", otherEdKey())))
		assert.NoError(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, []string{"2 EdDSA"}, names(t, remote, issuer, ""))
		first.Wait()
	})
}

func TestRemote_Stats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, fails(500))
		remote, _ := server.remote()
		assert.Empty(t, remote.Stats(), "nobody has asked yet")
		gate := newGate(t, remote)
		assert.Equal(t, []keys.RemoteStats{{}}, remote.Stats())

		requireUnavailable(t, answerTo(gate, t.Context(), signed(t, edKey(), "1")))
		stats := remote.Stats()
		require.Len(t, stats, 1)
		assert.ErrorContains(t, stats[0].Err, "status 500")
		stats[0].Err = nil
		assert.Equal(t, keys.RemoteStats{Fetches: 1, Failures: 1}, stats[0])

		server.now(serves(withID("1", edKey())))
		time.Sleep(time.Minute)
		require.Equal(t, 200, statusOf(t, gate, signed(t, edKey(), "1")))
		for range 10 {
			require.Equal(t, 401, statusOf(t, gate, signed(t, edKey(), "2")))
		}
		time.Sleep(time.Second)
		assert.Equal(t, keys.RemoteStats{
			URL: "http://127.0.0.1/jwks", Keys: 1, Age: time.Second, Fetches: 3, Failures: 1, Limited: 9,
		}, remote.Stats()[0])
	})
}

func TestRemote_Logs(t *testing.T) {
	t.Parallel()
	server := newServer(t, serves(withID("1", edKey())))
	remote, log := server.remote()
	told := func() string {
		t.Helper()
		lines := log.wait(t)
		require.Len(t, lines, 1)
		_, line, _ := strings.Cut(lines[0], " ") // without the time
		return line
	}
	source := fmt.Sprintf("source=%q", "keys.Remote "+server.url+"/jwks")
	url := "url=" + server.url + "/jwks"

	require.NoError(t, remote.Refresh(t.Context(), ""))
	assert.Equal(t, `level=INFO msg="jwtgate: keys fetched" `+source+" "+url+" keys=1", told())
	require.NoError(t, remote.Refresh(t.Context(), ""))
	server.now(serves(withID("2", edKey())))
	require.NoError(t, remote.Refresh(t.Context(), ""))
	assert.Equal(t, `level=INFO msg="jwtgate: key set changed" `+source+" "+url+" keys=1", told())
	server.now(fails(500))
	require.Error(t, remote.Refresh(t.Context(), ""))
	assert.Equal(t, `level=WARN msg="jwtgate: keys cannot be fetched, the old ones stay in use" `+source+
		fmt.Sprintf(" error=%q", "keys.Remote "+server.url+"/jwks: GET "+server.url+"/jwks: status 500"), told())
	server.now(fails(404))
	require.Error(t, remote.Refresh(t.Context(), ""))
	server.now(serves(withID("2", edKey())))
	require.NoError(t, remote.Refresh(t.Context(), ""))
	assert.Equal(t, `level=INFO msg="jwtgate: keys fetched again" `+source+" "+url+" keys=1", told())
}

// wait is take, if need be after something has been logged.
func (l *lines) wait(t testing.TB) []string {
	t.Helper()
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.buf.Len() > 0
	}, 5*time.Second, time.Millisecond)
	return l.take()
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
	server := newServer(t, serves([]byte(`{"1":"EdDSA"}`)))
	remote, _ := server.remote()
	remote.Parse = good
	assert.NoError(t, verify(t, remote, signed(t, edKey(), "1")))

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
			for i := range 101 {
				ks = append(ks, newKey(t, strconv.Itoa(i), "EdDSA", public(edKey())))
			}
			return ks, nil
		}, "it has 101 keys"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			remote, _ := server.remote()
			remote.Parse = tt.parse
			err := verify(t, remote, signed(t, edKey(), "1"))
			assert.ErrorIs(t, err, jwtgate.ErrUnavailable)
			assert.ErrorContains(t, err, tt.problem)
		})
	}
}

// Keys without alg, as Entra ID has them.
func TestRemote_Algorithms(t *testing.T) {
	t.Parallel()
	set := document(
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
			server := newServer(t, serves(set))
			remote, _ := server.remote()
			remote.Algorithms = tt.algorithms
			newGate(t, remote)
			assert.Equal(t, tt.want, names(t, remote, issuer, ""))
		})
	}
}

func TestRemote_RefusesSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		remote  *keys.Remote
		issuers []string
		problem string // "" for none
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
		{"another scheme", &keys.Remote{URL: "ftp://auth.example.com/"}, nil, "https://"},
		{"credentials", &keys.Remote{URL: "https://me:secret@auth.example.com/"}, nil, "leave them to Client"},
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
		{"no algorithms", &keys.Remote{Algorithms: []string{}}, nil, "Algorithms: the list is empty"},
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
			for _, issuer := range append(tt.issuers, issuer) {
				// One that New has not seen does not do better.
				if tt.remote.URL != "" || strings.Contains(tt.problem, "issuer") {
					_, err := tt.remote.Keys(t.Context(), issuer, "")
					assert.Error(t, err)
				}
			}
		})
	}

	t.Run("those that nobody has checked", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			server := newPipeServer(t, serves(withID("1", edKey())))
			remote, _ := server.remote()
			remote.FreshFor, remote.StaleFor, remote.MinInterval, remote.Timeout = math.MinInt64, math.MinInt64, math.MinInt64, math.MinInt64
			for range 100 {
				assert.Len(t, names(t, remote, issuer, "1"), 1)
				assert.Empty(t, names(t, remote, issuer, "2"))
			}
			assert.Equal(t, uint64(2), remote.Stats()[0].Fetches)
		})
	})
	t.Run("all problems at once", func(t *testing.T) {
		t.Parallel()
		err := (&keys.Remote{URL: "auth", FreshFor: -1, Algorithms: []string{"none"}}).CheckIssuers(nil)
		assert.ErrorContains(t, err, "URL")
		assert.ErrorContains(t, err, "FreshFor")
		assert.ErrorContains(t, err, `"none"`)
		assert.Contains(t, refusal(t, &keys.Remote{URL: "auth"}), "keys.Remote: URL: it does not start with https://")
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

// Nothing is left running where nothing is fetched.
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
				serves(withID("1", edKey()))(w, r)
			}))
			defer server.Close()
			var open gauge
			transport := server.Client().Transport.(*http.Transport).Clone()
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return counted(c, &open), nil
			}
			remote := &keys.Remote{URL: server.URL, Client: &http.Client{Transport: transport}}
			for range 5 {
				require.NoError(t, remote.Refresh(t.Context(), ""))
			}
			assert.Eventually(t, func() bool { return open.now.Load() == 0 }, 5*time.Second, time.Millisecond)
			assert.Eventually(t, func() bool {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				return !bytes.Contains(stacks, []byte(server.Listener.Addr().String()))
			}, 5*time.Second, time.Millisecond)
		})
	}
}

func TestRemote_LeavesNoGoroutine(t *testing.T) { // alone: it counts
	server := newServer(t, serves(withID("1", edKey())))
	failing := newServer(t, fails(500))
	before := runtime.NumGoroutine()
	remote, _ := server.remote()
	failed, _ := failing.remote()
	for range 3 {
		require.NoError(t, remote.Refresh(t.Context(), ""))
		require.Error(t, failed.Refresh(t.Context(), ""))
	}
	// Not with Eventually, which has a goroutine of its own.
	for start := time.Now(); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		require.Less(t, time.Since(start), 5*time.Second)
	}
}

func TestRemote_AllocatesNothing(t *testing.T) {
	server := newServer(t, serves(document(jwkOf(public(edKey())).with("kid", "1"), jwkOf(&rsaKey().PublicKey).with("kid", "2"),
		jwkOf(&p256Key().PublicKey).with("kid", "3").with("issuer", issuer))))
	remote, _ := server.remote()
	require.NoError(t, remote.Refresh(t.Context(), ""))
	for _, kid := range []string{"1", "2", "3", ""} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { remote.Keys(t.Context(), issuer, kid) }), kid)
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

// What is kept for a set of ten keys.
func TestRemote_MemoryOfASet(t *testing.T) { // alone: it measures
	var jwks []any
	for i := range 10 {
		jwks = append(jwks, jwkOf(&rsaKey().PublicKey).with("kid", fmt.Sprintf("key-%d", i)).
			with("x5c", []string{strings.Repeat("A", 1500)}))
	}
	server := newServer(t, serves(document(jwks...)))
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

// A Remote that nobody has any more is collected, timers or not.
func TestRemote_IsCollected(t *testing.T) {
	t.Parallel()
	server := newServer(t, serves(withID("1", edKey())))
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

// What a request pays for its key once the keys are there, from one key to a
// thousand. "in a map" is what a lookup costs in any case.
func BenchmarkKeys(b *testing.B) {
	kid := func(i int) string { return fmt.Sprintf("2025-11-24-key-%d", i) }
	discovered := func(b *testing.B, issuers, size int) (*keys.Remote, string) {
		set := make([]any, size)
		for i := range set {
			set[i] = jwkOf(public(edKey())).with("kid", kid(i))
		}
		server := newServer(b, nil)
		server.now(tenants(server.url, document(set...)))
		remote, _ := server.remote()
		remote.URL, remote.FreshFor = "", time.Hour
		for i := range issuers {
			require.NoError(b, remote.Refresh(b.Context(), fmt.Sprintf("%s/realms/%d", server.url, i)))
		}
		return remote, fmt.Sprintf("%s/realms/%d", server.url, issuers/2)
	}
	for _, size := range []int{1, 10, 100, 1000} {
		all := map[string]*jwtgate.Key{}
		var list []*jwtgate.Key
		for i := range size {
			k := newKey(b, kid(i), "EdDSA", public(edKey()))
			all[kid(i)], list = k, append(list, k)
		}
		wanted := kid(size / 2)
		b.Run(fmt.Sprintf("in a map/keys=%d", size), func(b *testing.B) {
			for b.Loop() {
				if all[wanted] == nil {
					b.Fatal("no key")
				}
			}
		})
		lookups(b, fmt.Sprintf("Static/keys=%d", size), keys.Static(list...), issuer, wanted)
		if size <= 100 {
			remote, issuer := discovered(b, 1, size)
			lookups(b, fmt.Sprintf("Remote/issuers=1/keys=%d", size), remote, issuer, wanted)
		}
		if size >= 10 {
			remote, issuer := discovered(b, 10, size/10)
			lookups(b, fmt.Sprintf("Remote/issuers=10/keys=%d", size), remote, issuer, kid(size/20))
		}
	}
}

func lookups(b *testing.B, name string, source jwtgate.KeySource, issuer, kid string) {
	ctx := b.Context()
	ask := func() {
		if ks, err := source.Keys(ctx, issuer, kid); err != nil || len(ks) != 1 {
			b.Error("no key")
		}
	}
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask()
		}
	})
	b.Run(name+"/parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				ask()
			}
		})
	})
}
