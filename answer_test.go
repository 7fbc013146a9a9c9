package jwtgate_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

func ExampleGate_Deny() {
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	// The handler refuses a request that the gate let pass.
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if jwtgate.Subject(r.Context()) != "bob" {
			gate.Deny(w, r, fmt.Errorf("%w: the order is bob's", jwtgate.ErrForbidden))
			return
		}
	}))
	w := serve(handler, request("GET", "Authorization: Bearer "+hs256Token(nil)))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 403 {"error":"insufficient_scope","error_description":"The access token does not grant what this request needs."}
}

// Deny answers a nil error with 503, and never lets the request pass.
func TestDenyWithoutError(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	newGate(t).Deny(w, request("GET"), nil)
	assert.Equal(t, 503, w.Code)
}

// Deny removes headers that describe the body that the handler meant to send.
func TestDenyRemovesHeadersOfAnotherBody(t *testing.T) {
	t.Parallel()
	body := func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) { io.WriteString(w, "no") }
	for _, onDeny := range []func(http.ResponseWriter, *http.Request, *jwtgate.Error){nil, body} {
		w := httptest.NewRecorder()
		for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
			w.Header().Set(name, "x")
		}
		newGate(t, func(o *jwtgate.Options) { o.OnDeny = onDeny }).Deny(w, request("GET"), jwtgate.ErrForbidden)
		for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
			assert.Empty(t, w.Header().Get(name), name)
		}
	}
}

// A ResponseWriter that embeds another one and overrides Write sees the body that Deny writes.
func TestDenyCallsWriteOfTheResponseWriter(t *testing.T) {
	t.Parallel()
	w := &recordingWriter{ResponseRecorder: httptest.NewRecorder()}
	newGate(t).Deny(w, request("GET"), jwtgate.ErrClaim)
	assert.Equal(t, w.Body.String(), w.seen.String())
	assert.NotEmpty(t, w.seen.String())
}

// A recordingWriter keeps a copy of the body.
type recordingWriter struct {
	*httptest.ResponseRecorder
	seen bytes.Buffer
}

func (l *recordingWriter) Write(p []byte) (int, error) {
	l.seen.Write(p)
	return l.ResponseRecorder.Write(p)
}

// acceptance 2, 9
func TestChallenge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		realm string
		err   *jwtgate.Error
		want  string
	}{
		{"bare", "", &jwtgate.Error{Status: 401}, `Bearer realm="api"`},
		{"realm", "my service", &jwtgate.Error{Status: 401}, `Bearer realm="my service"`},
		{"realm with quotes", `a "b" \c`, &jwtgate.Error{Status: 401}, `Bearer realm="a \"b\" \\c"`},
		{"scope", "", &jwtgate.Error{Status: 401, Scope: "a b"}, `Bearer realm="api", scope="a b"`},
		{"scope with forbidden characters", "", &jwtgate.Error{Status: 401, Scope: "a\"\\\r\n\x00b\u00e9"}, `Bearer realm="api", scope="ab"`},
		{"code with forbidden characters", "", &jwtgate.Error{Status: 401, Code: "a\"b\r\nX: y"},
			`Bearer realm="api", error="abX: y", error_description="The access token is not valid."`},
		{"no code beside 403", "", &jwtgate.Error{Status: 403}, `Bearer realm="api"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) { o.Realm = tt.realm })
			w := httptest.NewRecorder()
			gate.Deny(w, request("GET"), tt.err)
			assert.Equal(t, []string{tt.want}, w.Header().Values("WWW-Authenticate"))
			requireDenial(t, w)
		})
	}
}

// acceptance 2: the challenge of the zero Gate has a realm too.
func TestChallengeOfTheZeroGate(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	new(jwtgate.Gate).Deny(w, httptest.NewRequest("GET", "/", nil), jwtgate.ErrNoToken)
	assert.Equal(t, `Bearer realm="api"`, w.Header().Get("WWW-Authenticate"))
}

// If a request has no token or lacks a scope, the challenge lists the scopes that the gate requires.
// acceptance 41, 57
func TestScopeInChallenge(t *testing.T) {
	t.Parallel()
	gate := newGate(t, func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Scope("orders:read")} }).
		Require(jwtgate.Scope("orders:write", "admin")).
		Require(jwtgate.AnyOf(jwtgate.Scope("eu", "gold"), jwtgate.Scope("us")), jwtgate.Scope("admin"))
	scope := func(lines ...string) (int, string) {
		w := serve(gate.Handler(writeSubject), request("GET", lines...))
		return w.Code, w.Header().Get("WWW-Authenticate")
	}

	status, challenge := scope()
	assert.Equal(t, 401, status)
	assert.Equal(t, `Bearer realm="api", scope="orders:read orders:write admin"`, challenge)

	status, challenge = scope("Authorization: Bearer " + hs256Token(nil))
	assert.Equal(t, 403, status)
	assert.Contains(t, challenge, `scope="orders:read orders:write admin", error="insufficient_scope"`)

	status, challenge = scope("Authorization: Bearer " + hs256Token(map[string]any{"scope": "orders:read orders:write admin"}))
	assert.Equal(t, 403, status)
	assert.Contains(t, challenge, `scope="orders:read orders:write admin eu gold", error=`)

	status, _ = scope("Authorization: Bearer " + hs256Token(map[string]any{"scope": "admin orders:read orders:write us"}))
	assert.Equal(t, 200, status)

	// A token that fails a rule of Options is not valid for this service: 401 instead of 403.
	status, challenge = scope("Authorization: Bearer " + hs256Token(map[string]any{"scope": "admin orders:write us"}))
	assert.Equal(t, 401, status)
	assert.Contains(t, challenge, `error="invalid_token"`)

	// A challenge for another reason lists no scopes.
	_, challenge = scope("Authorization: Bearer " + hs256Token(map[string]any{"exp": 0}))
	assert.NotContains(t, challenge, "scope")
}

// Retry-After is a whole number of seconds, at least one. The default is 5.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	for d, want := range map[time.Duration]string{0: "5", time.Millisecond: "1", 1500 * time.Millisecond: "2", time.Minute: "60", -time.Hour: "1"} {
		w := httptest.NewRecorder()
		gate.Deny(w, request("GET"), &jwtgate.Error{Status: 503, RetryAfter: d})
		assert.Equal(t, want, w.Header().Get("Retry-After"))
	}
}

// OnDeny may write the status and the body. The gate sends what OnDeny leaves out.
// acceptance 54
func TestOnDeny(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		onDeny   func(http.ResponseWriter, *http.Request, *jwtgate.Error)
		status   int
		body     string
		location string
	}{
		{"body alone", func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
			fmt.Fprint(w, "no: ", e.Reason())
		}, 401, "no: expired", ""},
		{"io.Copy", func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
			_, _ = io.Copy(w, strings.NewReader("no"))
		}, 401, "no", ""},
		{"flush first", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			_ = http.NewResponseController(w).Flush()
			fmt.Fprint(w, "no")
		}, 401, "no", ""},
		{"flush alone", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			w.(http.Flusher).Flush()
		}, 401, "", ""},
		{"early hints", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			w.WriteHeader(http.StatusEarlyHints)
			fmt.Fprint(w, "no")
		}, 401, "no", ""},
		{"redirect", func(w http.ResponseWriter, r *http.Request, _ *jwtgate.Error) {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		}, 303, "<a href=\"/login\">See Other</a>.\n\n", "/login"},
		{"http.Error", func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
			http.Error(w, "no", e.Status)
		}, 401, "no\n", ""},
		{"nothing", func(http.ResponseWriter, *http.Request, *jwtgate.Error) {}, 401,
			"{\"error\":\"invalid_token\",\"error_description\":\"The access token has expired.\"}\n", ""},
		{"header alone", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			w.Header().Set("Location", "/nowhere")
		}, 401, "{\"error\":\"invalid_token\",\"error_description\":\"The access token has expired.\"}\n", "/nowhere"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) { o.OnDeny = tt.onDeny })
			server := httptest.NewServer(gate.Handler(writeSubject))
			defer server.Close()
			r := must(http.NewRequest("GET", server.URL, nil))
			r.Header.Set("Authorization", "Bearer "+hs256Token(map[string]any{"exp": 0}))
			response, err := http.DefaultTransport.RoundTrip(r)
			require.NoError(t, err)
			body := must(io.ReadAll(response.Body))
			response.Body.Close()
			assert.Equal(t, tt.status, response.StatusCode)
			assert.Equal(t, tt.body, string(body))
			assert.Equal(t, tt.location, response.Header.Get("Location"))
			assert.Contains(t, response.Header.Get("WWW-Authenticate"), "invalid_token")
		})
	}
	t.Run("does not change the answer", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) {
			o.OnDeny = func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
				e.Status = 200
				w.Header().Set("Content-Length", "3")
			}
		})
		w := httptest.NewRecorder()
		w.Header().Set("Content-Encoding", "gzip") // set by a handler before it called Deny
		gate.Deny(w, request("GET"), jwtgate.ErrForbidden)
		assert.Equal(t, 403, w.Code)
		assert.Empty(t, w.Header().Get("Content-Length"))
		assert.Empty(t, w.Header().Get("Content-Encoding"))
		requireDenial(t, w)
	})
	t.Run("finds the headers set", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) {
			o.OnDeny = func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
				assert.Equal(t, 503, e.Status)
				assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
				assert.Equal(t, "5", w.Header().Get("Retry-After"))
			}
		})
		gate.Deny(httptest.NewRecorder(), request("GET"), jwtgate.ErrUnavailable)
	})
}

// FuzzChallenge parses the challenge by the grammar of RFC 9110 section 11.6.1: one scheme, and
// each parameter at most once.
func FuzzChallenge(f *testing.F) {
	f.Add("api", "invalid_token", "a b", 401)
	f.Add(`"\`, `"`, "\r\nSet-Cookie: x", 403)
	f.Add("", "", "", 400)
	f.Fuzz(func(t *testing.T, realm, code, scope string, status int) {
		gate, err := jwtgate.New(options(func(o *jwtgate.Options) { o.Realm = realm }))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		gate.Deny(w, request("GET"), &jwtgate.Error{Status: status, Code: code, Scope: scope})
		challenge := w.Header().Get("WWW-Authenticate")
		if w.Code == 503 {
			require.Empty(t, challenge)
			return
		}
		parameters := parseChallenge(t, challenge)
		if realm == "" {
			realm = "api"
		}
		require.Equal(t, realm, parameters["realm"])
		for name, value := range parameters {
			require.Contains(t, []string{"realm", "scope", "error", "error_description"}, name)
			if name != "realm" {
				require.Regexp(t, `^[ !#-\[\]-~]+$`, value)
			}
		}
		requireDenial(t, w)
	})
}

// parseChallenge returns the parameters of a Bearer challenge.
func parseChallenge(t *testing.T, challenge string) map[string]string {
	rest, ok := strings.CutPrefix(challenge, "Bearer ")
	require.True(t, ok, challenge)
	parameters := map[string]string{}
	for rest != "" {
		name, quoted, ok := strings.Cut(rest, `="`)
		require.True(t, ok, challenge)
		var value strings.Builder
		i := 0
		for ; quoted[i] != '"'; i++ {
			if quoted[i] == '\\' {
				i++
			}
			value.WriteByte(quoted[i])
		}
		require.NotContains(t, parameters, name)
		parameters[name] = value.String()
		rest = quoted[i+1:]
		if rest != "" {
			rest, ok = strings.CutPrefix(rest, ", ")
			require.True(t, ok, challenge)
		}
	}
	require.NotEmpty(t, parameters)
	return parameters
}
