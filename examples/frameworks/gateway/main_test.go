package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/suite"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var secret = []byte("a secret of this test and of nobody else")

// inFrontOf starts upstream and returns a constructor of a gateway in front of it.
func inFrontOf(t *testing.T, upstream http.Handler) func(jwtgate.KeySource) (http.Handler, error) {
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	return func(source jwtgate.KeySource) (http.Handler, error) { return newHandler(source, target) }
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	suite.Test(t, suite.Serve(inFrontOf(t, http.HandlerFunc(hello))))
}

func TestAttack(t *testing.T) {
	t.Parallel()
	suite.Attack(t, inFrontOf(t, http.HandlerFunc(hello)))
}

func TestWhatTheServiceSees(t *testing.T) {
	t.Parallel()
	seen := make(chan *http.Request, 1)
	start := suite.Serve(inFrontOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = bufio.NewReader(r.Body).WriteTo(w) // the trailers come after the body
		seen <- r
	})))
	at, err := url.Parse(start(t, keys.HS256(secret)))
	require.NoError(t, err)

	alice := "Authorization: Bearer " + demo.Token(secret, map[string]any{"scope": "orders:write"}) + "\r\n"
	for _, test := range []struct {
		name, request string
		user          []string
	}{
		{"user", "GET /me HTTP/1.1\r\n" + alice, []string{"alice"}},
		{"nobody", "GET / HTTP/1.1\r\n", nil},
		{"a token on a public route", "GET / HTTP/1.1\r\n" + alice, nil},
		{"user forged", "GET /me HTTP/1.1\r\nx-user: mallory\r\nX-User: mallory\r\n" + alice, []string{"alice"}},
		{"user forged by nobody", "GET / HTTP/1.1\r\nX-User: mallory\r\n", nil},
		{"user in other spellings", "GET /me HTTP/1.1\r\nX_User: mallory\r\nx.user: mallory\r\nX~User: mallory\r\n" + alice, []string{"alice"}},
		{"user made hop-by-hop", "GET /me HTTP/1.1\r\nConnection: X-User, x-user\r\n" + alice, []string{"alice"}},
		{"all of them by nobody", "GET / HTTP/1.1\r\nConnection: X-User\r\nX-User: mallory\r\nX_USER: mallory\r\n", nil},
		{"user in the trailers", "POST /orders HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-User\r\n" + alice +
			"\r\n1\r\nx\r\n0\r\nX-User: mallory\r\nX_User: mallory\r\n", []string{"alice"}},
		{"forwarded", "GET /me HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n" +
			"Forwarded: for=10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\n" + alice, []string{"alice"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			line, rest, _ := strings.Cut(test.request, "\r\n")
			response := send(t, at.Host, line+"\r\nHost: api.example.com\r\n"+rest+"\r\n")
			require.Equal(t, http.StatusOK, response.StatusCode)
			r := <-seen
			assert.Equal(t, test.user, r.Header["X-User"])
			for name := range r.Header {
				assert.NotRegexp(t, `(?i)^x[^-]`, name)
			}
			assert.NotContains(t, r.Header, "Authorization")
			assert.Equal(t, []string{"127.0.0.1"}, r.Header["X-Forwarded-For"])
			assert.Equal(t, []string{"api.example.com"}, r.Header["X-Forwarded-Host"])
			assert.Equal(t, []string{"http"}, r.Header["X-Forwarded-Proto"])
			assert.NotContains(t, r.Header, "Forwarded")
			assert.Empty(t, r.Trailer.Get("X-User"))
			assert.NotContains(t, r.Trailer, "X_user")
		})
	}
}

// send sends a request byte for byte. An http.Client would change it.
func send(t *testing.T, host, request string) *http.Response {
	conn, err := net.Dial("tcp", host)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte(request))
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response
}

func TestSubjectsThatAHeaderChanges(t *testing.T) {
	t.Parallel()
	at := suite.Serve(inFrontOf(t, http.HandlerFunc(hello)))(t, keys.HS256(secret))
	for _, subject := range []string{" alice", "alice ", "alice\t", "alice\r\nX-Role: admin", "al\x00ice", "älice"} {
		got, _ := suite.Send(t, "GET", at+"/me", "Bearer "+demo.Token(secret, map[string]any{"sub": subject}))
		assert.Equal(t, http.StatusUnauthorized, got.Status, fmt.Sprintf("%q", subject))
	}
	got, _ := suite.Send(t, "GET", at+"/me", "Bearer "+demo.Token(secret, map[string]any{"sub": "auth0|5f7c8ec7"}))
	assert.Equal(t, suite.Subject("auth0|5f7c8ec7"), got)
}

// TestUnlistedPaths sends paths that a service might read as a guarded path.
func TestUnlistedPaths(t *testing.T) {
	t.Parallel()
	at := suite.Serve(inFrontOf(t, http.HandlerFunc(hello)))(t, keys.HS256(secret))
	for _, path := range []string{"/orders/", "/orders%2F", "/ORDERS", "/me/", "/me;x", "/.%2fme", "/%2e%2e/me"} {
		for _, method := range []string{"GET", "POST"} {
			got, _ := suite.Send(t, method, at+path)
			assert.GreaterOrEqual(t, got.Status, 400, method+" "+path)
		}
	}
}
