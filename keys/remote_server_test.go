package keys_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// hangLimit is how long a test that waits for something real, such as a TCP connection, waits before it
// fails. A machine under load comes nowhere near: a test that reaches hangLimit hangs.
const hangLimit = 2 * time.Minute

// waitUntil polls until condition returns true.
func waitUntil(t testing.TB, condition func() bool, what string) {
	t.Helper()
	for start := time.Now(); !condition(); time.Sleep(time.Millisecond) {
		require.Less(t, time.Since(start), hangLimit, what)
	}
}

// A keyServer is the key server of an issuer. It counts the requests it gets and answers them with respond's
// handler. There are three kinds:
//
//   - newTCPServer listens on loopback. It cannot be used in a synctest bubble.
//   - newPipeServer speaks HTTP through in-memory connections.
//   - newDirectServer speaks no HTTP: its client calls the handler.
type keyServer struct {
	url         string // http, with a loopback address
	client      *http.Client
	timeout     time.Duration // for the Timeout of Remotes; 0 is their default
	close       func()        // later connections are refused
	handler     atomic.Pointer[http.HandlerFunc]
	fetches     atomic.Int64 // requests so far
	inFlight    gauge        // requests
	connections gauge        // that the client holds open; of a pipe server
	strayDials  atomic.Int64 // connections that the client wanted to other addresses; of a pipe server
}

// newTCPServer returns a server on loopback. Timeout of its Remotes is hangLimit: the default of 5 seconds
// would refuse tokens on a machine that is busy enough.
func newTCPServer(t testing.TB, handler http.HandlerFunc) *keyServer {
	t.Helper()
	s := &keyServer{timeout: hangLimit}
	s.respond(handler)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url, s.client, s.close = server.URL, server.Client(), server.Close
	return s
}

// newPipeServer returns a server for a synctest bubble, where the clock advances when all goroutines wait.
// The client reaches it through net.Pipe, because synctest does not count waiting for a TCP connection.
func newPipeServer(t testing.TB, handler http.HandlerFunc) *keyServer {
	t.Helper()
	s := &keyServer{url: "http://127.0.0.1"}
	s.respond(handler)
	listener := &pipeListener{accepted: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: s}
	go server.Serve(listener)
	s.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			if address != "127.0.0.1:80" {
				s.strayDials.Add(1)
				return nil, errors.New("connection refused")
			}
			c, err := listener.dial(ctx)
			if err != nil {
				return nil, err
			}
			return countConn(c, &s.connections), nil
		},
	}}
	s.close = func() { server.Close() }
	t.Cleanup(s.close)
	return s
}

// newDirectServer returns a server whose client calls the handler. It is for tests with thousands of fetches,
// and for tests that measure the heap, which connections would blur.
func newDirectServer(handler http.HandlerFunc) *keyServer {
	s := &keyServer{url: "http://127.0.0.1", timeout: hangLimit}
	s.respond(handler)
	s.client = &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result(), nil
	})}
	return s
}

// remote returns a Remote with the JWK Set of the server, and its log.
func (s *keyServer) remote() (*keys.Remote, *logBuffer) {
	log := &logBuffer{}
	return &keys.Remote{
		URL: s.url + "/jwks", Client: s.client, Timeout: s.timeout, Logger: slog.New(slog.NewTextHandler(log, nil)),
	}, log
}

// discoveringRemote returns a Remote that discovers the keys of issuers on the server, and its log.
func (s *keyServer) discoveringRemote() (*keys.Remote, *logBuffer) {
	remote, log := s.remote()
	remote.URL = ""
	return remote, log
}

// respond makes handler answer all later requests.
func (s *keyServer) respond(handler http.HandlerFunc) { s.handler.Store(&handler) }

func (s *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.fetches.Add(1)
	s.inFlight.add(1)
	defer s.inFlight.add(-1)
	(*s.handler.Load())(w, r)
}

// A gauge is a number, with the largest value it has had.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) add(n int64) {
	now := g.now.Add(n)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
}

// A pipeListener is a net.Listener for connections made by its dial method.
type pipeListener struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.accepted <- server:
		return client, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// A countedConn takes itself off a gauge when it is closed.
type countedConn struct {
	net.Conn
	open *gauge
	once sync.Once
}

func countConn(c net.Conn, open *gauge) net.Conn {
	open.add(1)
	return &countedConn{Conn: c, open: open}
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.add(-1) })
	return c.Conn.Close()
}

// serves answers with a document.
func serves(document []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(document) }
}

// servesWith answers with a header field and a document.
func servesWith(name, value string, document []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(name, value)
		w.Write(document)
	}
}

// fails answers with a status and no body.
func fails(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// afterDelay sleeps before it answers. The sleep does not end when the client leaves.
func afterDelay(d time.Duration, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(d)
		then(w, r)
	}
}

// neverAnswers waits until the client leaves.
func neverAnswers(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// closesConnection closes the connection without an answer.
func closesConnection(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// writes100MB writes 100 MiB of spaces, or as many as the client reads.
func writes100MB(w http.ResponseWriter, _ *http.Request) {
	for range 100 {
		if _, err := w.Write(mebibyte); err != nil {
			return
		}
	}
}

var mebibyte = bytes.Repeat([]byte(" "), 1<<20)

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// answerTo returns a gate's answer to a request with token. The handler behind the gate answers 200.
func answerTo(gate *jwtgate.Gate, ctx context.Context, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w
}

// statusOf returns the status of a gate's answer to a request with token.
func statusOf(t testing.TB, gate *jwtgate.Gate, token string) int {
	t.Helper()
	return answerTo(gate, t.Context(), token).Code
}

// requireUnavailable requires an answer with 503 and Retry-After, and returns the seconds of Retry-After.
func requireUnavailable(t testing.TB, w *httptest.ResponseRecorder) int {
	t.Helper()
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Empty(t, w.Header().Get("WWW-Authenticate"))
	seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, seconds, 1)
	return seconds
}
