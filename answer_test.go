package jwtgate_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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

// Deny removes headers that describe the body that the handler meant to send. Without a request that
// passed a gate, Deny keeps Content-Encoding like http.Error: middleware that compresses may have set it.
func TestDenyRemovesHeadersOfAnotherBody(t *testing.T) {
	t.Parallel()
	body := func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) { io.WriteString(w, "no") }
	for _, onDeny := range []func(http.ResponseWriter, *http.Request, *jwtgate.Error){nil, body} {
		w := httptest.NewRecorder()
		for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
			w.Header().Set(name, "x")
		}
		newGate(t, func(o *jwtgate.Options) { o.OnDeny = onDeny }).Deny(w, request("GET"), jwtgate.ErrForbidden)
		for _, name := range []string{"Content-Length", "ETag", "Last-Modified"} {
			assert.Empty(t, w.Header().Get(name), name)
		}
		assert.Equal(t, "x", w.Header().Get("Content-Encoding"))
	}
}

// compress compresses what next writes, and says so before it calls next, as CompressHandler of
// gorilla/handlers does.
func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		compressor := gzip.NewWriter(w)
		defer compressor.Close()
		w.Header().Set("Content-Encoding", "gzip")
		next.ServeHTTP(&compressingWriter{w, compressor}, r)
	})
}

type compressingWriter struct {
	http.ResponseWriter
	compressor *gzip.Writer
}

func (c *compressingWriter) Write(p []byte) (int, error) { return c.compressor.Write(p) }

// A valueWriter is a ResponseWriter that is a struct and that cannot be compared.
type valueWriter struct {
	http.ResponseWriter
	_ func()
}

func byValue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(valueWriter{ResponseWriter: w}, r)
	})
}

// The client can read a refusal of the gate and of a handler, with compression outside and inside the
// gate. acceptance 60
func TestRefusalsAreReadable(t *testing.T) {
	t.Parallel()
	const (
		standard  = `{"error":"insufficient_scope"`
		anonymous = `{"error":"unauthorized"`
	)
	type middleware = func(http.Handler) http.Handler
	var gate *jwtgate.Gate
	page := func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) { io.WriteString(w, "a page") }
	header := func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
		w.Header().Set("Content-Encoding", "br")
	}
	encoded := func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
		w.Header().Set("Content-Encoding", "deflate")
		io.WriteString(w, "a page, deflated")
	}
	missing := func(w http.ResponseWriter, r *http.Request, _ *jwtgate.Error) {
		http.ServeFile(w, r, "testdata/no such page")
	}
	deny := func(w http.ResponseWriter, r *http.Request) { gate.Deny(w, r, jwtgate.ErrForbidden) }
	denyEncoded := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		deny(w, r)
	}
	nestedEncoded := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		gate.Require(jwtgate.Scope("admin")).Handler(writeSubject).ServeHTTP(w, r)
	}
	for _, tt := range []struct {
		name     string
		onDeny   func(http.ResponseWriter, *http.Request, *jwtgate.Error)
		outside  middleware // of the gate
		inside   middleware
		handler  http.HandlerFunc // nil: the request has no token, and the gate refuses it
		encoding string
		body     string // starts with it
	}{
		{"the gate", nil, compress, nil, nil, "gzip", anonymous},
		{"the gate, with OnDeny", page, compress, nil, nil, "gzip", "a page"},
		{"the gate, with OnDeny that writes nothing", header, compress, nil, nil, "gzip", anonymous},
		{"the gate, with OnDeny that finds no page", missing, compress, nil, nil, "gzip", "404 page not found"},
		{"the gate, with OnDeny that encodes", encoded, nil, nil, nil, "deflate", "a page, deflated"},
		{"the handler", nil, compress, nil, deny, "gzip", standard},
		{"the handler, with OnDeny", page, compress, nil, deny, "gzip", "a page"},
		{"the handler, with OnDeny that writes nothing", header, compress, nil, deny, "gzip", standard},
		{"the handler, which meant to send something encoded", nil, nil, nil, denyEncoded, "", standard},
		{"the handler, which meant to send something encoded, with OnDeny", page, nil, nil, denyEncoded, "", "a page"},
		{"the handler, which meant to send something encoded, with OnDeny that writes nothing", header, nil, nil, denyEncoded, "", standard},
		{"the handler, which meant to send something encoded, compressed", nil, compress, nil, denyEncoded, "gzip", standard},
		{"a nested gate, in a handler that meant to send something encoded", nil, nil, nil, nestedEncoded, "", standard},
		{"a nested gate, in a handler that meant to send something encoded, compressed", nil, compress, nil, nestedEncoded, "gzip", standard},
		{"the handler, with compression inside the gate", nil, nil, compress, deny, "gzip", standard},
		{"the handler, with compression inside the gate, and OnDeny", page, nil, compress, deny, "gzip", "a page"},
		{"the handler, with writers that cannot be compared", nil, func(next http.Handler) http.Handler { return compress(byValue(next)) }, byValue, deny, "gzip", standard},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gate = newGate(t, func(o *jwtgate.Options) { o.OnDeny = tt.onDeny })
			var handler http.Handler = writeSubject
			r := request("GET")
			if tt.handler != nil {
				handler = tt.handler
				r.Header.Set("Authorization", "Bearer "+hs256Token(nil))
			}
			if tt.inside != nil {
				handler = tt.inside(handler)
			}
			handler = gate.Handler(handler)
			if tt.outside != nil {
				handler = tt.outside(handler)
			}
			w := serve(handler, r)
			assert.GreaterOrEqual(t, w.Code, 400)
			assert.Equal(t, tt.encoding, w.Header().Get("Content-Encoding"))
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			var body io.Reader = w.Body
			if tt.encoding == "gzip" {
				body = must(gzip.NewReader(w.Body))
			}
			assert.Contains(t, string(must(io.ReadAll(body))), tt.body)
		})
	}
}

// A challenge of another scheme that middleware has set is kept beside the one of the gate. acceptance 2
func TestChallengeOfAnotherScheme(t *testing.T) {
	t.Parallel()
	const basic, bearer = `Basic realm="x"`, `Bearer realm="api"`
	for _, tt := range []struct {
		name        string
		given, want []string
		err         error
	}{
		{"none", nil, []string{bearer}, jwtgate.ErrNoToken},
		{"another", []string{basic}, []string{basic, bearer}, jwtgate.ErrNoToken},
		{"the same", []string{bearer}, []string{bearer}, jwtgate.ErrNoToken},
		{"both", []string{bearer, basic}, []string{bearer, basic}, jwtgate.ErrNoToken},
		{"outage", []string{basic}, []string{basic}, jwtgate.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			all := append(slices.Clone(tt.given), "of others")
			w.Header()["Www-Authenticate"] = all[:len(tt.given)]
			if tt.given == nil {
				w.Header().Del("WWW-Authenticate")
			}
			newGate(t).Deny(w, request("GET"), tt.err)
			assert.Equal(t, tt.want, w.Header().Values("WWW-Authenticate"))
			assert.Equal(t, "of others", all[len(tt.given)], "Deny must not write into the memory of the given slice")
		})
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
// Of AnyOf it lists those of the first alternative, and of AllOf all.
// acceptance 41, 57, 68
func TestScopeInChallenge(t *testing.T) {
	t.Parallel()
	gate := newGate(t, func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Scope("orders:read")} }).
		Require(jwtgate.Scope("orders:write", "admin")).
		Require(jwtgate.AnyOf(jwtgate.AllOf(jwtgate.Scope("eu"), jwtgate.Scope("gold")), jwtgate.Scope("us")), jwtgate.Scope("admin"))
	scope := func(lines ...string) (int, string) {
		w := serve(gate.Handler(writeSubject), request("GET", lines...))
		return w.Code, w.Header().Get("WWW-Authenticate")
	}

	status, challenge := scope()
	assert.Equal(t, 401, status)
	assert.Equal(t, `Bearer realm="api", scope="orders:read orders:write admin eu gold"`, challenge)

	status, challenge = scope("Authorization: Bearer " + hs256Token(nil))
	assert.Equal(t, 403, status)
	assert.Contains(t, challenge, `scope="orders:read orders:write admin eu gold", error="insufficient_scope"`)

	status, challenge = scope("Authorization: Bearer " + hs256Token(map[string]any{"scope": "orders:read orders:write admin"}))
	assert.Equal(t, 403, status)
	assert.Contains(t, challenge, `scope="orders:read orders:write admin eu gold", error=`)

	status, _ = scope("Authorization: Bearer " + hs256Token(map[string]any{"scope": "orders:read orders:write admin eu"}))
	assert.Equal(t, 403, status, "AllOf")

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
		gate.Deny(w, request("GET"), jwtgate.ErrForbidden)
		assert.Equal(t, 403, w.Code)
		assert.Empty(t, w.Header().Get("Content-Length"))
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

// OnDeny that serves a page refuses all the same. A success would mean "allowed" to a proxy that asks
// for permission, such as nginx with auth_request. acceptance 54
func TestOnDenyServesAPage(t *testing.T) {
	t.Parallel()
	type onDeny = func(http.ResponseWriter, *http.Request, *jwtgate.Error)
	directory := t.TempDir()
	page := strings.Repeat("please sign in\n", 20_000) // longer than the buffers of net/http
	file := filepath.Join(directory, "page.html")
	require.NoError(t, os.WriteFile(file, []byte(page), 0o600))
	modified := must(os.Stat(file)).ModTime()
	const etag = `"1"`
	served := map[string]onDeny{
		"http.ServeFile": func(w http.ResponseWriter, r *http.Request, _ *jwtgate.Error) {
			w.Header().Set("ETag", etag)
			http.ServeFile(w, r, file)
		},
		"http.ServeFileFS": func(w http.ResponseWriter, r *http.Request, _ *jwtgate.Error) {
			w.Header().Set("ETag", etag)
			http.ServeFileFS(w, r, os.DirFS(directory), "page.html")
		},
		"http.FileServer": func(w http.ResponseWriter, r *http.Request, _ *jwtgate.Error) {
			w.Header().Set("ETag", etag)
			http.FileServer(http.Dir(directory)).ServeHTTP(w, r)
		},
		"http.ServeContent": func(w http.ResponseWriter, r *http.Request, _ *jwtgate.Error) {
			w.Header().Set("ETag", etag)
			http.ServeContent(w, r, "page.html", modified, strings.NewReader(page))
		},
		"io.Copy of a file": func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			f := must(os.Open(file))
			defer f.Close()
			w.WriteHeader(http.StatusOK)
			_, _ = io.Copy(w, f)
		},
	}
	for name, onDeny := range served {
		gate := newGate(t, func(o *jwtgate.Options) { o.OnDeny = onDeny })
		headers := make(chan http.Header, 1) // of the request that the gate got
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gate.Handler(writeSubject).ServeHTTP(w, r)
			headers <- r.Header.Clone()
		}))
		t.Cleanup(server.Close)
		past, future := modified.Add(-time.Hour).UTC().Format(http.TimeFormat), modified.Add(time.Hour).UTC().Format(http.TimeFormat)
		for _, line := range []string{
			"X-None: of them", "If-None-Match: " + etag, "If-None-Match: *", "If-Modified-Since: " + future, "If-Match: \"other\"",
			"If-Unmodified-Since: " + past, "Range: bytes=0-3", "Range: bytes=0-3,5-9", "Range: bytes=999999999-",
			"If-Range: " + etag + "\nRange: bytes=0-3",
		} {
			for _, method := range []string{"GET", "HEAD"} {
				t.Run(name+"/"+method+" "+line, func(t *testing.T) {
					r := must(http.NewRequest(method, server.URL+"/page.html", nil))
					r.Header.Set("Accept-Encoding", "identity")
					for one := range strings.SplitSeq(line, "\n") {
						name, value, _ := strings.Cut(one, ": ")
						r.Header.Set(name, value)
					}
					response, err := server.Client().Do(r)
					require.NoError(t, err)
					body := string(must(io.ReadAll(response.Body)))
					response.Body.Close()
					assert.Equal(t, 401, response.StatusCode)
					assert.Equal(t, "no-store", response.Header.Get("Cache-Control"))
					assert.Equal(t, `Bearer realm="api"`, response.Header.Get("WWW-Authenticate"))
					if method == "GET" {
						assert.True(t, body == page, "the page must be whole")
					}
					header := <-headers
					for name := range r.Header {
						assert.Equal(t, r.Header.Get(name), header.Get(name), "the gate must not change the request")
					}
				})
			}
		}
	}
}

// OnDeny cannot answer with a status that lets the client in, unless the error is inside the answer.
// acceptance 54
func TestOnDenyStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status      int
		contentType string
		want        int
	}{
		{200, "", 401}, {200, "text/html", 401}, {201, "", 401}, {202, "", 401}, {204, "", 401}, {206, "", 401}, {299, "", 401},
		{101, "", 401}, {304, "", 401}, {304, "application/grpc", 401}, {101, "application/grpc", 401},
		{300, "", 300}, {301, "", 301}, {302, "", 302}, {303, "", 303}, {307, "", 307}, {308, "", 308},
		{400, "", 400}, {403, "", 403}, {404, "", 404}, {418, "", 418}, {429, "", 429}, {500, "", 500}, {503, "", 503},
		{200, "application/grpc", 200}, {200, "application/grpc+proto", 200}, {200, "Application/GRPC; x=y", 200},
		{200, "application/grpc-web", 200}, {200, "application/grpc-web+json", 200}, {200, "application/grpc-web-text+proto", 200},
		{200, "application/connect+proto", 200}, {200, "application/connect+json", 200},
		{200, "application/connect", 401}, {200, "application/connected+json", 401}, {200, "application/proto", 401},
		{200, "application/json", 401}, {200, "application/grpcx", 401}, {200, "text/html; application/grpc", 401},
		{200, "x/application/grpc", 401},
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.contentType), func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			newGate(t, func(o *jwtgate.Options) {
				o.OnDeny = func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
					w.Header().Set("Content-Type", tt.contentType)
					w.WriteHeader(tt.status)
				}
			}).Deny(w, nil, jwtgate.ErrNoToken)
			assert.Equal(t, tt.want, w.Code)
			assert.Empty(t, w.Body.String(), "OnDeny has answered")
		})
	}
}

// OnDeny may parse an upload and may be a router, although it gets a copy of the request.
// acceptance 58, 59
func TestOnDenyHandsBackItsRequest(t *testing.T) {
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} { // Unix, Windows
		t.Setenv(name, t.TempDir())
	}
	mux := http.NewServeMux()
	files := -1
	mux.HandleFunc("POST /{page}", func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.ParseMultipartForm(0))
		files = len(must(fs.ReadDir(os.DirFS(os.TempDir()), ".")))
	})
	gate := newGate(t, func(o *jwtgate.Options) {
		o.OnDeny = func(w http.ResponseWriter, r *http.Request, _ *jwtgate.Error) { mux.ServeHTTP(w, r) }
	})
	var pattern, value string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gate.Handler(writeSubject).ServeHTTP(w, r)
		pattern, value = r.Pattern, r.PathValue("page")
	}))
	defer server.Close()
	r := must(http.NewRequest("POST", server.URL+"/upload", strings.NewReader(
		"--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n"+strings.Repeat("f", 1000)+"\r\n--x--\r\n")))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	r.Header.Set("If-None-Match", "*")
	response, err := server.Client().Do(r)
	require.NoError(t, err)
	response.Body.Close()
	server.Close() // waits until net/http has removed the files
	assert.Equal(t, 401, response.StatusCode)
	assert.Equal(t, 1, files)
	assert.Empty(t, must(os.ReadDir(os.TempDir())))
	assert.Equal(t, "POST /{page}", pattern)
	assert.Equal(t, "upload", value)
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
