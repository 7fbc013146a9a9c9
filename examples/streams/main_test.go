package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A service is a server and a client that are connected by pipes, so that they run in the
// bubble of a synctest: there an hour takes no time.
type service struct {
	t       *testing.T
	key     ed25519.PrivateKey
	verdict atomic.Pointer[error] // what Validate returns
	client  *http.Client
}

func start(t *testing.T) *service {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	s := &service{t: t, key: private}
	handler, err := newHandler(public, func(context.Context, *jwtgate.Token) error {
		if err := s.verdict.Load(); err != nil {
			return *err
		}
		return nil
	})
	require.NoError(t, err)
	listener := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	go server.Serve(listener)
	transport := &http.Transport{DialContext: listener.dial}
	s.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
	})
	return s
}

// token returns a token that expires in an hour, unless claims say otherwise.
func (s *service) token(claims jwt.MapClaims) string {
	s.t.Helper()
	all := jwt.MapClaims{"iss": issuer, "aud": audience, "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, all).SignedString(s.key)
	require.NoError(s.t, err)
	return token
}

// open sends a request. It returns the answer with its body open.
func (s *service) open(method, path string, header http.Header) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://feed.example.com"+path, nil)
	require.NoError(s.t, err)
	r.Header = header
	response, err := s.client.Do(r)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// A stream returns the next message and, at the end of the stream, the farewell.
type stream func() (message, farewell string)

// webSocket opens a WebSocket with the token in a subprotocol.
func (s *service) webSocket(token string) stream {
	s.t.Helper()
	conn, response, err := websocket.Dial(s.t.Context(), "ws://feed.example.com/ws", &websocket.DialOptions{
		HTTPClient: s.client, Subprotocols: []string{"feed.v1", "bearer." + token},
	})
	require.NoError(s.t, err)
	assert.Equal(s.t, "feed.v1", conn.Subprotocol())
	for name, values := range response.Header {
		assert.NotContains(s.t, strings.Join(values, ""), token, name)
	}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	return func() (string, string) {
		_, message, err := conn.Read(s.t.Context())
		if closed := new(websocket.CloseError); errors.As(err, closed) {
			return "", closed.Reason
		}
		require.NoError(s.t, err)
		return string(message), ""
	}
}

// events gets a ticket, and opens a stream of events with its cookie.
func (s *service) events(token string) stream {
	s.t.Helper()
	response := s.open("POST", "/ticket", bearer(token))
	require.Equal(s.t, http.StatusNoContent, response.StatusCode)
	require.Len(s.t, response.Cookies(), 1)
	cookie := response.Cookies()[0]
	response = s.open("GET", "/events", http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}})
	require.Equal(s.t, http.StatusOK, response.StatusCode)
	require.Equal(s.t, "text/event-stream", response.Header.Get("Content-Type"))
	lines := bufio.NewScanner(response.Body)
	return func() (string, string) {
		end := false
		for lines.Scan() {
			if lines.Text() == "event: end" {
				end = true
			} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if end {
					return "", data
				}
				return data, ""
			}
		}
		return "", "closed without farewell"
	}
}

// streamsOf has both kinds of streams.
var streamsOf = map[string]func(*service, string) stream{
	"WebSocket": (*service).webSocket, "EventSource": (*service).events,
}

func TestEnd(t *testing.T) {
	t.Parallel()
	for kind, open := range streamsOf {
		for name, test := range map[string]struct {
			after    time.Duration // when verdict becomes the result of Validate
			verdict  error
			farewell string
			end      time.Duration // when the stream ends at the latest
		}{
			"expires":             {0, nil, "token expired", time.Hour + leeway},
			"revoked":             {10 * time.Minute, jwtgate.ErrRevoked, "token not accepted", 11 * time.Minute},
			"no rights any more":  {10 * time.Minute, jwtgate.ErrForbidden, "token not accepted", 11 * time.Minute},
			"outage of the list":  {10 * time.Minute, errors.New("no connection"), "try again later", 11 * time.Minute},
			"revoked at the last": {time.Hour, jwtgate.ErrRevoked, "token expired", time.Hour + leeway},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := start(t)
					opened := time.Now()
					next := open(s, s.token(nil))
					if test.verdict != nil {
						time.AfterFunc(test.after+time.Second, func() { s.verdict.Store(&test.verdict) })
					}
					messages := 0
					for {
						message, farewell := next()
						if farewell != "" {
							assert.Equal(t, test.farewell, farewell)
							break
						}
						assert.Equal(t, "news for alice", message)
						messages++
					}
					lived := time.Since(opened)
					assert.LessOrEqual(t, lived, test.end)
					assert.Greater(t, lived, test.end-time.Minute)
					assert.InDelta(t, lived.Seconds()/interval.Seconds(), messages, 1)
				})
			})
		}
	}
}

// A client that goes away, and one that does not read, do not keep the handler.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		header http.Header
		leave  bool
	}{
		"events, closed":      {nil, true},
		"events, not read":    {nil, false},
		"WebSocket, closed":   {http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}, true},
		"WebSocket, not read": {http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				public, private, err := ed25519.GenerateKey(nil)
				require.NoError(t, err)
				s := &service{t: t, key: private}
				handler, err := newHandler(public, nil)
				require.NoError(t, err)
				returned := make(chan time.Time, 1)
				listener := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					handler.ServeHTTP(w, r)
					returned <- time.Now()
				})}
				go server.Serve(listener)
				defer server.Close()
				conn, err := listener.dial(t.Context(), "", "")
				require.NoError(t, err)
				defer conn.Close()
				path := "/events"
				if test.header != nil {
					path = "/ws"
				}
				r, err := http.NewRequest("GET", "http://feed.example.com"+path, nil)
				require.NoError(t, err)
				for name, values := range test.header {
					r.Header[name] = values
				}
				r.Header.Set("Authorization", "Bearer "+s.token(nil))
				opened := time.Now()
				require.NoError(t, r.Write(conn))
				_, err = http.ReadResponse(bufio.NewReader(conn), r)
				require.NoError(t, err)
				if test.leave {
					require.NoError(t, conn.Close())
				}
				assert.LessOrEqual(t, (<-returned).Sub(opened), time.Minute)
			})
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		good := s.token(nil)
		late := s.token(jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()})
		ticket := http.Header{"Cookie": {ticketName + "=" + good}}
		upgrade := func(pairs ...string) http.Header {
			h := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
			for i := 0; i < len(pairs); i += 2 {
				h.Add(pairs[i], pairs[i+1])
			}
			return h
		}
		for name, test := range map[string]struct {
			request string
			header  http.Header
			status  int
		}{
			"events without a token":                    {"GET /events", nil, 401},
			"events with an expired cookie":             {"GET /events", http.Header{"Cookie": {ticketName + "=" + late}}, 401},
			"token in the URL":                          {"GET /events?access_token=" + good, nil, 401},
			"ticket for a ticket":                       {"POST /ticket", ticket, 401},
			"ticket without a token":                    {"POST /ticket", nil, 401},
			"WebSocket without a token":                 {"GET /ws", upgrade("Sec-WebSocket-Protocol", "feed.v1"), 401},
			"WebSocket with an expired token":           {"GET /ws", upgrade("Sec-WebSocket-Protocol", "feed.v1, bearer."+late), 401},
			"WebSocket with two tokens":                 {"GET /ws", upgrade("Sec-WebSocket-Protocol", "bearer."+good+", bearer."+good), 400},
			"WebSocket with two tokens on two lines":    {"GET /ws", upgrade("Sec-WebSocket-Protocol", "bearer."+good, "Sec-WebSocket-Protocol", "bearer."+good), 400},
			"WebSocket with an empty token":             {"GET /ws", upgrade("Sec-WebSocket-Protocol", "feed.v1, bearer."), 400},
			"WebSocket of another site, with a cookie":  {"GET /ws", upgrade("Cookie", ticketName+"="+good, "Origin", "https://evil.example"), 403},
			"WebSocket of this site, with a cookie":     {"GET /ws", upgrade("Cookie", ticketName+"="+good, "Origin", "http://feed.example.com"), 101},
			"WebSocket of a program, with a header":     {"GET /ws", upgrade("Authorization", "Bearer "+good), 101},
			"a good cookie does not replace a bad name": {"GET /ws", upgrade("Cookie", ticketName+"="+good, "Sec-WebSocket-Protocol", "bearer."+late), 401},
		} {
			method, path, _ := strings.Cut(test.request, " ")
			assert.Equal(t, test.status, s.open(method, path, test.header).StatusCode, name)
		}
	})
}

func TestTicket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		response := s.open("POST", "/ticket", bearer(s.token(nil)))
		require.Len(t, response.Cookies(), 1)
		cookie := response.Cookies()[0]
		assert.Equal(t, 60, cookie.MaxAge)
		assert.True(t, cookie.Secure)
		assert.True(t, cookie.HttpOnly)
		assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
		assert.Empty(t, cookie.Domain)
		assert.Equal(t, "/", cookie.Path)
	})
}

// Without a gate the handlers serve nothing.
func TestNoGate(t *testing.T) {
	t.Parallel()
	s := new(streams)
	for name, handler := range map[string]http.HandlerFunc{"ticket": ticket, "webSocket": s.webSocket, "events": s.events} {
		recorder := httptest.NewRecorder()
		handler(recorder, httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, http.StatusInternalServerError, recorder.Code, name)
	}
}

// A pipeListener accepts connections that are pipes in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
