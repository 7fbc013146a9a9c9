package jwtgate_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/witness"
)

// withoutMiddleware is what a handler without a gate is wrapped in.
func withoutMiddleware(next http.Handler) http.Handler { return next }

// startHTTP returns a Start of HTTP/1.1 or HTTP/2 servers.
func startHTTP(http2 bool) witness.Start {
	return func(handler http.Handler) (string, http.RoundTripper, func()) {
		server := httptest.NewUnstartedServer(handler)
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // panics
		if http2 {
			server.EnableHTTP2 = true
			server.StartTLS()
		} else {
			server.Start()
		}
		return server.URL, server.Client().Transport, server.Close
	}
}

// The client, the handler and middleware outside see the same with and without a gate, whatever
// feature of net/http the handler uses. acceptance 46, 58, 59
func TestGateIsInvisible(t *testing.T) {
	gate := newGate(t)
	for _, protocol := range []struct {
		name  string
		start witness.Start
	}{
		{"HTTP/1.1", startHTTP(false)},
		{"HTTP/2", startHTTP(true)},
	} {
		for _, c := range witness.Cases() {
			if (c.HTTP1 || testing.Short()) && protocol.name != "HTTP/1.1" {
				continue
			}
			t.Run(protocol.name+"/"+c.Name, func(t *testing.T) {
				run := func(middleware func(http.Handler) http.Handler, header http.Header) (witness.Record, error) {
					for _, name := range []string{"TMPDIR", "TMP", "TEMP"} { // Unix, Windows
						t.Setenv(name, t.TempDir())
					}
					return c.Run(protocol.start, middleware, header)
				}
				good := http.Header{"Authorization": {"Bearer " + hs256Token(nil)}}
				want, err := run(withoutMiddleware, good)
				require.NoError(t, err)
				if protocol.name == "HTTP/1.1" { // the HTTP/2 server of Go 1.27.0 leaves uploads behind by itself
					require.Empty(t, want.Files)
				}
				for name, middleware := range map[string]func(http.Handler) http.Handler{
					"Handler":  gate.Handler,
					"Optional": gate.Optional,
					"nested": func(next http.Handler) http.Handler {
						return gate.Handler(newGate(t).Handler(gate.Require(jwtgate.Scope("orders:read")).Handler(next)))
					},
				} {
					got, err := run(middleware, good)
					require.NoError(t, err)
					assert.Equal(t, want, got, name)
				}
			})
		}
	}
}

// The records of TestGateIsInvisible are not empty: they have what the cases are about.
func TestWitnessSees(t *testing.T) {
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, t.TempDir())
	}
	seen := map[string]string{}
	for _, c := range witness.Cases() {
		record, err := c.Run(startHTTP(false), withoutMiddleware, nil)
		require.NoError(t, err)
		seen[c.Name] = fmt.Sprintf("client %q\nhandler %q\noutside %q\n", record.Client, record.Handler, record.Outside)
	}
	for name, want := range map[string][]string{
		"flush":                         {"first,second", "flush: <nil>"},
		"hijack":                        {"299"},
		"informational responses":       {`"103 Link=`, `"102 `},
		"expect 100-continue":           {"100 Continue"},
		"trailers of the request":       {`X-Announced=[\"1\"]`, `X-Unannounced=[\"2\"]`},
		"trailers of the response":      {`X-Sum=[\"42\"]`, `X-Unannounced=[\"43\"]`},
		"upload and panic":              {"1 files", "panic: after the upload", "multipart form true"},
		"panic in a route, recovered":   {`pattern \"GET /users/{id}/{rest...}\", id \"7\", rest \"a/b\"`, "panic: of the route"},
		"panic in the middle of a body": {"the body ends in an error"},
		"deadlines":                     {"write deadline: <nil>", "read deadline: <nil>"},
		"read deadline that has passed": {"deadline exceeded: true"},
		"full duplex":                   {`body \"234\"`, "got 1,3 bytes"},
		"client that goes away":         {"context: context canceled"},
		"form of a body":                {"post form true map[a:[2] b:[3]]"},
	} {
		for _, part := range want {
			assert.Contains(t, seen[name], part, name)
		}
	}
}

// Two guarded handlers may serve one request at once. The race detector finds a gate that writes to it.
func TestGatesShareARequest(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	for name, r := range map[string]*http.Request{
		"without a body": request("GET"),
		"with a body":    httptest.NewRequest("POST", "/", strings.NewReader("hello")),
		"with a form already parsed": func() *http.Request {
			r := httptest.NewRequest("GET", "/?a=1", nil)
			must(0, r.ParseForm())
			return r
		}(),
		"with a route already": func() *http.Request {
			r := request("GET")
			r.Pattern = "/path"
			return r
		}(),
		"over HTTP/2, of unknown length": func() *http.Request {
			r := httptest.NewRequest("POST", "/", struct{ io.Reader }{strings.NewReader("hello")})
			r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
			return r
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.Header.Set("Authorization", "Bearer "+hs256Token(nil))
			var serving sync.WaitGroup
			for _, handler := range []http.Handler{gate.Handler(writeSubject), gate.Optional(writeSubject), newGate(t).Handler(gate.Handler(writeSubject))} {
				serving.Go(func() {
					for range 20 {
						assert.Equal(t, 200, serve(handler, r).Code)
					}
				})
			}
			serving.Wait()
			assert.Nil(t, r.Trailer)
		})
	}
}

// A router outside the gate keeps its path values: requests that it made with the same context share
// their memory. acceptance 58
func TestPathValuesOfAnOuterRouter(t *testing.T) {
	t.Parallel()
	inner := http.NewServeMux()
	inner.HandleFunc("/{other}/{id}", func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "2", r.PathValue("id"))
		r.SetPathValue("own", "3")
	})
	guarded := newGate(t).Handler(inner)
	outer := http.NewServeMux()
	outer.HandleFunc("/{id}/", func(w http.ResponseWriter, r *http.Request) {
		shared := r.WithContext(r.Context())
		guarded.ServeHTTP(w, r)
		assert.Equal(t, "/{other}/{id}", r.Pattern, "it is what the innermost router has set")
		assert.Equal(t, "1", r.PathValue("id"))
		assert.Equal(t, "/{id}/", shared.Pattern)
		assert.Equal(t, "1", shared.PathValue("id"))
		assert.Empty(t, r.PathValue("own"))
	})
	r := httptest.NewRequest("GET", "/1/2", nil)
	r.Header.Set("Authorization", "Bearer "+hs256Token(nil))
	assert.Equal(t, 200, serve(outer, r).Code)
}
