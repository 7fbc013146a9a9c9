package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/syncbuf"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requests returns the lines of the access log, without their times.
func requests(t *testing.T, log *syncbuf.Buffer) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(log.String()) {
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		if record["msg"] == "request" {
			for _, name := range []string{"time", "level", "msg", "duration"} {
				delete(record, name)
			}
			lines = append(lines, record)
		}
	}
	return lines
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	bearer := func(claims jwt.MapClaims) string {
		if claims["exp"] == nil {
			claims["exp"] = time.Now().Add(time.Hour).Unix()
		}
		claims["iss"], claims["aud"], claims["sub"] = issuer, audience, "alice"
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(private)
		require.NoError(t, err)
		return "Bearer " + token
	}
	good := bearer(jwt.MapClaims{})

	for name, test := range map[string]struct {
		request, authorization string
		line                   string // as JSON
	}{
		"accepted":      {"GET /orders/7", good, `{"method": "GET", "route": "GET /orders/{id}", "status": 200, "iss": "https://auth.example.com/", "sub": "alice"}`},
		"no rights":     {"DELETE /orders/7", good, `{"method": "DELETE", "route": "DELETE /orders/{id}", "status": 403, "iss": "https://auth.example.com/", "sub": "alice", "refused": "forbidden"}`},
		"expired":       {"GET /orders/7", bearer(jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}), `{"method": "GET", "route": "GET /orders/{id}", "status": 401, "iss": "", "sub": "", "refused": "expired"}`},
		"no token":      {"GET /orders/7", "", `{"method": "GET", "route": "GET /orders/{id}", "status": 401, "iss": "", "sub": "", "refused": "no_token"}`},
		"anonymous":     {"GET /front", "", `{"method": "GET", "route": "GET /front", "status": 200, "iss": "", "sub": ""}`},
		"known":         {"GET /front", good, `{"method": "GET", "route": "GET /front", "status": 200, "iss": "https://auth.example.com/", "sub": "alice"}`},
		"public":        {"GET /health", good, `{"method": "GET", "route": "GET /health", "status": 200}`}, // nobody verified the token
		"unknown route": {"GET /nothing", good, `{"method": "GET", "route": "", "status": 404}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged syncbuf.Buffer
			handler, err := newHandler(public, slog.New(slog.NewJSONHandler(&logged, nil)))
			require.NoError(t, err)
			send(t, handler, test.request, test.authorization)
			lines := requests(t, &logged)
			require.Len(t, lines, 1)
			got, err := json.Marshal(lines[0])
			require.NoError(t, err)
			assert.JSONEq(t, test.line, string(got))
		})
	}
}

// send sends a request to a server with the handler, and returns after the handler has.
func send(t *testing.T, handler http.Handler, request, authorization string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // net/http logs panics
	server.Start()
	defer server.Close()
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	require.NoError(t, err)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := server.Client().Do(r)
	if err == nil { // a handler that panics closes the connection
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
}

// Requests that are served at once do not get each other's users.
func TestUsersAreNotMixed(t *testing.T) {
	t.Parallel()
	identity := jwttest.NewIssuer(t)
	options := identity.Options()
	options.Observe = remember
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	mux := http.NewServeMux()
	for i := range 20 {
		mux.Handle(fmt.Sprintf("GET /user-%d", i), gate.Handler(say("hello")))
	}
	var logged syncbuf.Buffer
	server := httptest.NewServer(accessLog(slog.New(slog.NewJSONHandler(&logged, nil)), mux))
	var group sync.WaitGroup
	for i := range 20 {
		user := fmt.Sprintf("user-%d", i)
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/"+user, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+identity.Token(map[string]any{"sub": user}))
		group.Go(func() {
			response, err := server.Client().Do(r)
			if assert.NoError(t, err) {
				assert.NoError(t, response.Body.Close())
			}
		})
	}
	group.Wait()
	server.Close() // waits for the handlers
	lines := requests(t, &logged)
	require.Len(t, lines, 20)
	for _, line := range lines {
		assert.Equal(t, line["route"], fmt.Sprintf("GET /%s", line["sub"]))
	}
}

func TestHandlers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		status  int
	}{
		"writes nothing":               {func(http.ResponseWriter, *http.Request) {}, 200},
		"writes a body":                {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }, 200},
		"writes two statuses":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(200) }, 404},
		"sends hints first":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(404) }, 404},
		"panics":                       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0},
		"panics after it has answered": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); panic(http.ErrAbortHandler) }, 202},
		"flushes": {func(w http.ResponseWriter, _ *http.Request) {
			if http.NewResponseController(w).Flush() != nil {
				w.WriteHeader(500)
			}
		}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged syncbuf.Buffer
			send(t, accessLog(slog.New(slog.NewJSONHandler(&logged, nil)), test.handler), "GET /", "")
			lines := requests(t, &logged)
			require.Len(t, lines, 1)
			assert.EqualValues(t, test.status, lines[0]["status"])
		})
	}
}

// A gate without an access log outside works.
func TestNoHolder(t *testing.T) {
	t.Parallel()
	assert.NotPanics(t, func() { remember(context.Background(), jwtgate.Event{}) })
}
