package jwtgate_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Guarding a whole mux, and one of its routes more strictly.
func Example() {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256([]byte("a secret of thirty-two bytes....")),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Now:       at(now), // for this example alone: its token is an old one
	})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "orders of", jwtgate.Subject(r.Context()))
	})
	mux.Handle("DELETE /orders", gate.Require(jwtgate.Scope("orders:delete")).Handler(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	server := httptest.NewServer(gate.Handler(mux))
	defer server.Close()

	for _, method := range []string{"GET", "DELETE"} {
		r, _ := http.NewRequest(method, server.URL+"/orders", nil)
		r.Header.Set("Authorization", "Bearer "+hs256(nil))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(response.StatusCode, strings.TrimSpace(string(body)))
	}
	// Output:
	// 200 orders of alice
	// 403 {"error":"insufficient_scope","error_description":"The access token does not grant what this request needs."}
}

// The keys come from the issuer, and are first fetched when a token comes.
func ExampleNew() {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Rules:     []jwtgate.Rule{jwtgate.Claim("client_id", "web", "mobile")},
		MaxAge:    12 * time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = gate.Check(httptest.NewRequest("GET", "/orders", nil))
	fmt.Println(err)
	// Output:
	// jwtgate: no token (status 401)
}

// What New has to say about options that would leave the door open.
func ExampleNew_wrong() {
	_, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256([]byte("too short")),
		Audiences: []string{""}, // an environment variable that was not set
	})
	fmt.Println(err)
	// Output:
	// jwtgate.New: Options.Issuers: none; list the iss values to trust, or set AnyIssuer if the tokens have none
	// Options.Audiences: the empty string is in it, which would match an empty claim; was a setting not loaded? Otherwise remove it
	// Options.Keys: keys.HS256: secret 1: jwtgate: key for "HS256": the secret has 9 bytes and HS256 needs at least 32 (RFC 7518 section 3.2); make one with: openssl rand -hex 32
}

// Some routes are guarded, and others are for everybody.
func ExampleGate_Handler() {
	gate, err := jwtgate.New(options())
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	mux.Handle("GET /me", gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", jwtgate.Subject(r.Context()))
	})))

	for _, path := range []string{"/health", "/me"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(path, w.Code, strings.TrimSpace(w.Body.String()))
	}
	r := httptest.NewRequest("GET", "/me", nil)
	r.Header.Set("Authorization", "Bearer "+hs256(nil))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println("/me", w.Code, w.Body)
	// Output:
	// /health 200 fine
	// /me 401 {"error":"unauthorized","error_description":"This request needs an access token."}
	// /me 200 hello alice
}

// Whoever may read orders may not delete them. The challenge names the scope that
// is wanted.
func ExampleGate_Require() {
	gate, err := jwtgate.New(options())
	if err != nil {
		log.Fatal(err)
	}
	read := gate.Require(jwtgate.Scope("orders:read"))
	remove := read.Require(jwtgate.Scope("orders:delete"))
	mux := http.NewServeMux()
	mux.Handle("GET /orders", read.Handler(subject))
	mux.Handle("DELETE /orders", remove.Handler(subject))

	for _, method := range []string{"GET", "DELETE"} {
		r := httptest.NewRequest(method, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+hs256(map[string]any{"scope": "orders:read"}))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(method, w.Code)
		if challenge := w.Header().Get("WWW-Authenticate"); challenge != "" {
			fmt.Println(challenge)
		}
	}
	// Output:
	// GET 200
	// DELETE 403
	// Bearer realm="api", scope="orders:read orders:delete", error="insufficient_scope", error_description="The access token does not grant what this request needs."
}

func ExampleGate_Optional() {
	gate, err := jwtgate.New(options())
	if err != nil {
		log.Fatal(err)
	}
	greet := gate.Optional(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, ok := jwtgate.FromContext(r.Context()); ok {
			fmt.Fprintln(w, "hello", token.Subject)
			return
		}
		fmt.Fprintln(w, "hello stranger")
	}))
	for _, authorization := range []string{"", "Bearer " + hs256(nil), "Bearer " + hs256(map[string]any{"exp": 0})} {
		r := httptest.NewRequest("GET", "/", nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		greet.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 hello stranger
	// 200 hello alice
	// 401 {"error":"invalid_token","error_description":"The access token has expired."}
}

// For frameworks with handlers of their own.
func ExampleGate_Check() {
	gate, err := jwtgate.New(options())
	if err != nil {
		log.Fatal(err)
	}
	handle := func(w http.ResponseWriter, r *http.Request) {
		token, err := gate.Check(r)
		if err != nil {
			gate.Deny(w, r, err)
			return
		}
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		fmt.Fprintln(w, "hello", jwtgate.Subject(r.Context()))
	}
	w := httptest.NewRecorder()
	handle(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 401 Bearer realm="api"
}

// Messages of a queue carry tokens too. One that cannot be verified now is left
// there for later.
func ExampleGate_Verify() {
	gate, err := jwtgate.New(options())
	if err != nil {
		log.Fatal(err)
	}
	for _, credential := range []string{hs256(nil), hs256(map[string]any{"exp": 0})} {
		token, err := gate.Verify(context.Background(), credential)
		switch {
		case errors.Is(err, jwtgate.ErrUnavailable):
			fmt.Println("put back")
		case err != nil:
			fmt.Println("dropped:", err)
		default:
			fmt.Println("done for", token.Subject)
		}
	}
	// Output:
	// done for alice
	// dropped: jwtgate: token expired: exp was 1970-01-01T00:00:00Z (status 401)
}

// A readiness probe: a service without keys gets no requests yet.
func ExampleGate_Ready() {
	issuer := httptest.NewServer(http.NotFoundHandler())
	issuer.Close() // it is down

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{Logger: slog.New(slog.DiscardHandler)},
		Issuers:   []string{issuer.URL},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := gate.Ready(ctx); err != nil { // which tells of each issuer
			http.Error(w, "no keys to verify tokens with", http.StatusServiceUnavailable)
		}
	})
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/ready", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 503 no keys to verify tokens with
}

func ExampleDecode() {
	type myClaims struct {
		Email string `json:"email"`
		Plan  string `json:"plan"`
	}
	gate, err := jwtgate.New(options())
	if err != nil {
		log.Fatal(err)
	}
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := jwtgate.Decode[myClaims](r.Context())
		fmt.Println(claims.Email, claims.Plan, err)
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+hs256(map[string]any{"email": "alice@example.com", "plan": "gold"}))
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// alice@example.com gold <nil>
}

// A handler is tested alone with a token made by hand.
func ExampleNewContext() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("hello", jwtgate.Subject(r.Context()))
	})
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(jwtgate.NewContext(r.Context(), &jwtgate.Token{Subject: "alice"}))
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// hello alice
}

// What counts as a token in the Authorization header, and what as none.
func ExampleBearer() {
	for _, authorization := range []string{"Bearer abc", "bearer  abc", "Basic abc", "Bearer abc def", "Bearer"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", authorization)
		token, err := jwtgate.Bearer(r)
		fmt.Printf("%-14s  %q  no token: %t  bad request: %t\n", authorization, token,
			errors.Is(err, jwtgate.ErrNoToken), errors.Is(err, jwtgate.ErrRequest))
	}
	// Output:
	// Bearer abc      "abc"  no token: false  bad request: false
	// bearer  abc     "abc"  no token: false  bad request: false
	// Basic abc       ""  no token: true  bad request: false
	// Bearer abc def  ""  no token: false  bad request: true
	// Bearer          ""  no token: false  bad request: true
}

// A gateway has its own use for Authorization, and passes the token on in another
// header. It must not let a client set that.
func ExampleHeader() {
	extract := jwtgate.Header("X-Forwarded-Access-Token") // for Options.Extract
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Forwarded-Access-Token", "from-the-gateway")
	fmt.Println(extract(r))
	r.Header.Add("X-Forwarded-Access-Token", "from-somebody-else")
	_, err := extract(r)
	fmt.Println(err)
	// Output:
	// from-the-gateway <nil>
	// bad request: more than one line of header "X-Forwarded-Access-Token"
}

// A web page keeps its token in a cookie. Browsers attach that to the requests of
// other sites as well, which have to be kept out first.
func ExampleCookie() {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256([]byte("a secret of thirty-two bytes....")),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Extract:   jwtgate.Cookie("__Host-session"),
		Now:       at(now), // for this example alone: its token is an old one
	})
	if err != nil {
		log.Fatal(err)
	}
	handler := http.NewCrossOriginProtection().Handler(gate.Handler(subject))

	for _, site := range []string{"same-origin", "cross-site"} {
		r := httptest.NewRequest("POST", "/orders", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: hs256(nil)})
		r.Header.Set("Sec-Fetch-Site", site) // as the browser has it
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(site, w.Code)
	}
	// Output:
	// same-origin 200
	// cross-site 403
}

func ExampleFirstOf() {
	// An API for programs and for a web page: the header counts, and the cookie
	// where there is none.
	extract := jwtgate.FirstOf(jwtgate.Bearer, jwtgate.Cookie("__Host-session"))
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "__Host-session", Value: "from-the-cookie"})
	fmt.Println(extract(r))
	r.Header.Set("Authorization", "Bearer from-the-header")
	fmt.Println(extract(r))
	// Output:
	// from-the-cookie <nil>
	// from-the-header <nil>
}

// subject answers with the subject it finds.
var subject = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, ok := jwtgate.FromContext(r.Context())
	fmt.Fprintf(w, "%s,%t", jwtgate.Subject(r.Context()), ok)
})

// request returns one with the given lines of header, "Name: value".
func request(method string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, "/path?query", nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandlerAnswers(t *testing.T) {
	t.Parallel()
	good := hs256(nil)
	const (
		bare      = `Bearer realm="api"`
		bad       = `Bearer realm="api", error="invalid_request", error_description="The request does not carry its access token in the form this service expects."`
		invalid   = `Bearer realm="api", error="invalid_token", error_description="The access token is not valid."`
		expired   = `Bearer realm="api", error="invalid_token", error_description="The access token has expired."`
		forbidden = `Bearer realm="api", scope="admin", error="insufficient_scope", error_description="The access token does not grant what this request needs."`
	)
	for _, tt := range []struct {
		name      string
		lines     []string
		status    int
		challenge string
	}{
		{"good", []string{"Authorization: Bearer " + good}, 200, ""},
		// acceptance 1
		{"nothing", nil, 401, bare},
		// acceptance 3
		{"lower case", []string{"Authorization: bearer " + good}, 200, ""},
		{"upper case", []string{"Authorization: BEARER " + good}, 200, ""},
		{"several spaces", []string{"Authorization: Bearer    " + good}, 200, ""},
		{"tab", []string{"Authorization: Bearer\t" + good}, 400, bad},
		{"space and tab", []string{"Authorization: Bearer \t" + good}, 400, bad},
		{"spaces and tab", []string{"Authorization: Bearer  \t" + good}, 400, bad},
		{"no-break space", []string{"Authorization: Bearer\u00a0" + good}, 400, bad},
		// acceptance 4
		{"scheme alone", []string{"Authorization: Bearer"}, 400, bad},
		{"scheme and space", []string{"Authorization: Bearer "}, 400, bad},
		{"empty line", []string{"Authorization: "}, 400, bad},
		{"token alone", []string{"Authorization: " + good}, 401, bare}, // reads as a scheme
		{"two tokens", []string{"Authorization: Bearer " + good + " " + good}, 400, bad},
		{"two credentials", []string{"Authorization: Bearer " + good + ", Basic eDp5"}, 400, bad},
		{"quoted", []string{`Authorization: Bearer "` + good + `"`}, 400, bad},
		{"parameter", []string{`Authorization: Bearer token="` + good + `"`}, 400, bad},
		{"equals signs alone", []string{"Authorization: Bearer =="}, 400, bad},
		{"equals sign within", []string{"Authorization: Bearer a=b"}, 400, bad},
		{"trailing space", []string{"Authorization: Bearer " + good + " "}, 400, bad},
		{"trailing comma", []string{"Authorization: Bearer " + good + ","}, 400, bad},
		{"control character", []string{"Authorization: Bearer " + good + "\x01"}, 400, bad},
		{"leading space", []string{"Authorization:  Bearer " + good}, 400, bad},
		{"leading comma", []string{"Authorization: ,Bearer " + good}, 400, bad},
		{"colon", []string{"Authorization: Bearer: " + good}, 400, bad},
		// acceptance 5
		{"Basic", []string{"Authorization: Basic YWxpY2U6c2VjcmV0"}, 401, bare},
		{"Digest", []string{`Authorization: Digest username="alice", uri="/"`}, 401, bare},
		{"DPoP", []string{"Authorization: DPoP " + good}, 401, bare},
		{"longer scheme", []string{"Authorization: BearerX " + good}, 401, bare},
		{"shorter scheme", []string{"Authorization: Beare " + good}, 401, bare},
		// acceptance 6
		{"two lines", []string{"Authorization: Bearer " + good, "Authorization: Bearer " + good}, 400, bad},
		{"two lines, one Basic", []string{"Authorization: Basic eDp5", "Authorization: Bearer " + good}, 400, bad},
		{"two lines, one empty", []string{"Authorization: Bearer " + good, "Authorization: "}, 400, bad},
		// A token68 that is no token.
		{"not a JWT", []string{"Authorization: Bearer abc"}, 401, invalid},
		{"base64 alphabet", []string{"Authorization: Bearer a+/~b="}, 401, invalid},
		{"expired", []string{"Authorization: Bearer " + hs256(map[string]any{"exp": 0})}, 401, expired},
		// acceptance 41
		{"too little", []string{"Authorization: Bearer " + good, "X-Strict: yes"}, 403, forbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t)
			handler := gate.Handler(subject)
			r := request("GET", tt.lines...)
			if r.Header.Get("X-Strict") != "" {
				handler = gate.Require(jwtgate.Scope("admin")).Handler(subject)
			}
			w := serve(handler, r)
			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, tt.challenge, w.Header().Get("WWW-Authenticate"))
			if tt.status == 200 {
				assert.Equal(t, "alice,true", w.Body.String())
				assert.Empty(t, w.Header().Get("Cache-Control"))
				return
			}
			requireDenial(t, w)
			assert.NotContains(t, w.Body.String(), good)
		})
	}
}

// requireDenial asserts what all refusals have in common. acceptance 11
func requireDenial(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var body map[string]string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), w.Body.String())
	assert.NotEmpty(t, body["error"])
	assert.NotEmpty(t, body["error_description"])
	assert.Len(t, body, 2)
}

// acceptance 7
func TestHandlerLooksAtNothingElse(t *testing.T) {
	t.Parallel()
	good := hs256(nil)
	form := url.Values{"access_token": {good}}.Encode()
	r := httptest.NewRequest("POST", "/?"+form, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Proxy-Authorization", "Bearer "+good)
	r.Header.Set("X-Access-Token", good)
	r.AddCookie(&http.Cookie{Name: "access_token", Value: good})
	w := serve(newGate(t).Handler(subject), r)
	assert.Equal(t, 401, w.Code)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	assert.Equal(t, form, string(body), "the body was read")
}

// acceptance 11
func TestHandlerHEAD(t *testing.T) {
	t.Parallel()
	w := serve(newGate(t).Handler(subject), request("HEAD"))
	assert.Equal(t, 401, w.Code)
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.NotEmpty(t, w.Header().Get("WWW-Authenticate"))
	assert.Empty(t, w.Body.String())
}

// acceptance 12
func TestHandlerExemptsNoPreflight(t *testing.T) {
	t.Parallel()
	r := request("OPTIONS", "Origin: https://app.example.com", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")
	gate := newGate(t)
	assert.Equal(t, 401, serve(gate.Handler(subject), r).Code)
	outside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "OPTIONS" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		gate.Handler(subject).ServeHTTP(w, r)
	})
	assert.Equal(t, 204, serve(outside, r).Code)
}

// acceptance 8
func TestExtractors(t *testing.T) {
	t.Parallel()
	cookie := jwtgate.Cookie("session")
	header := jwtgate.Header("x-token")
	first := jwtgate.FirstOf(jwtgate.Bearer, header, cookie)
	for _, tt := range []struct {
		name    string
		extract jwtgate.Extractor
		lines   []string
		want    string
		err     error
	}{
		{"header", header, []string{"X-Token: abc"}, "abc", nil},
		{"header missing", header, nil, "", jwtgate.ErrNoToken},
		{"header empty", header, []string{"X-Token: "}, "", jwtgate.ErrRequest},
		{"header twice", header, []string{"X-Token: abc", "X-Token: abc"}, "", jwtgate.ErrRequest},
		{"cookie", cookie, []string{"Cookie: a=b; session=abc; c=d"}, "abc", nil},
		{"cookie missing", cookie, []string{"Cookie: a=b"}, "", nil},
		{"cookie empty", cookie, []string{"Cookie: session="}, "", nil},
		{"cookie with white space", cookie, []string{"Cookie: a=b;\tsession = abc "}, "abc", nil},
		{"cookie twice", cookie, []string{"Cookie: session=abc; session=def"}, "", jwtgate.ErrRequest},
		{"cookie in two lines", cookie, []string{"Cookie: session=abc", "Cookie: session=def"}, "", jwtgate.ErrRequest},
		{"cookie twice, one malformed", cookie, []string{`Cookie: session=a"b; session=abc`}, "", jwtgate.ErrRequest},
		{"cookie twice, one empty", cookie, []string{"Cookie: session; session=abc"}, "", jwtgate.ErrRequest},
		{"cookie in another case", cookie, []string{"Cookie: Session=abc"}, "", nil},
		{"cookie with a longer name", cookie, []string{"Cookie: xsession=abc; session2=def"}, "", nil},
		{"cookie with an equals sign", cookie, []string{"Cookie: session=a=b"}, "a=b", nil},
		{"first, none", first, nil, "", jwtgate.ErrNoToken},
		{"first, cookie", first, []string{"Cookie: session=c"}, "c", nil},
		{"first, header before cookie", first, []string{"Cookie: session=c", "X-Token: h"}, "h", nil},
		{"first, bearer before all", first, []string{"Cookie: session=c", "X-Token: h", "Authorization: Bearer b"}, "b", nil},
		{"first, Basic is none", first, []string{"Cookie: session=c", "Authorization: Basic eDp5"}, "c", nil},
		{"first, a bad one is not passed over", first, []string{"Cookie: session=c", "Authorization: Bearer b b"}, "", jwtgate.ErrRequest},
		{"too many cookies", cookie, []string{"Cookie: session=abc" + strings.Repeat(";", 3000)}, "", jwtgate.ErrRequest},
		{"as many cookies as may be", cookie, []string{"Cookie: session=abc" + strings.Repeat(";", 2999)}, "abc", nil},
		{"first, two cookies", first, []string{"Cookie: session=c; session=d"}, "", jwtgate.ErrRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.extract(request("GET", tt.lines...))
			assert.Equal(t, tt.want, got)
			if tt.err == nil {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, tt.err)
			}

			gate := newGate(t, func(o *jwtgate.Options) { o.Extract = tt.extract })
			status := 401 // abc is no token either
			if errors.Is(tt.err, jwtgate.ErrRequest) {
				status = 400
			}
			assert.Equal(t, status, serve(gate.Handler(subject), request("GET", tt.lines...)).Code)
		})
	}

	t.Run("one that could not look is not passed over", func(t *testing.T) {
		t.Parallel()
		down := func(*http.Request) (string, error) {
			return "", fmt.Errorf("%w: the session store: %w", jwtgate.ErrNoToken, context.DeadlineExceeded)
		}
		gate := newGate(t, func(o *jwtgate.Options) { o.Extract = jwtgate.FirstOf(down, cookie) })
		assert.Equal(t, 503, serve(gate.Optional(subject), request("GET", "Cookie: session="+hs256(nil))).Code)
		assert.Equal(t, 503, serve(gate.Optional(subject), request("GET")).Code)
	})

	t.Run("cookie accepted", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) { o.Extract = cookie })
		assert.Equal(t, 200, serve(gate.Handler(subject), request("GET", "Cookie: session="+hs256(nil))).Code)
		assert.Equal(t, 401, serve(gate.Handler(subject), request("GET", `Cookie: session="`+hs256(nil)+`"`)).Code)
	})
}

// acceptance 43
func TestOptional(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	optional := gate.Optional(subject)
	good := "Authorization: Bearer " + hs256(nil)
	for _, tt := range []struct {
		name   string
		lines  []string
		status int
		body   string
	}{
		{"no token", nil, 200, ",false"},
		{"another scheme", []string{"Authorization: Basic eDp5"}, 200, ",false"},
		{"good", []string{good}, 200, "alice,true"},
		{"expired", []string{"Authorization: Bearer " + hs256(map[string]any{"exp": 0})}, 401, ""},
		{"forged", []string{good + "x"}, 401, ""},
		{"malformed", []string{"Authorization: Bearer x"}, 401, ""},
		{"empty", []string{"Authorization: Bearer "}, 400, ""},
		{"twice", []string{good, good}, 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := serve(optional, request("GET", tt.lines...))
			assert.Equal(t, tt.status, w.Code)
			if tt.status == 200 {
				assert.Equal(t, tt.body, w.Body.String())
			}
		})
	}
	t.Run("keys not to be had", func(t *testing.T) {
		t.Parallel()
		down := newGate(t, func(o *jwtgate.Options) { o.Keys = failing(errors.New("down")) })
		assert.Equal(t, 503, serve(down.Optional(subject), request("GET", good)).Code)
		assert.Equal(t, 200, serve(down.Optional(subject), request("GET")).Code)
	})
	t.Run("with a rule", func(t *testing.T) {
		t.Parallel()
		admin := gate.Require(jwtgate.Scope("admin")).Optional(subject)
		assert.Equal(t, 200, serve(admin, request("GET")).Code)
		assert.Equal(t, 403, serve(admin, request("GET", good)).Code)
	})
	t.Run("extractor without token", func(t *testing.T) {
		t.Parallel()
		for _, err := range []error{nil, jwtgate.ErrNoToken, fmt.Errorf("looked: %w", jwtgate.ErrNoToken)} {
			gate := newGate(t, func(o *jwtgate.Options) { o.Extract = func(*http.Request) (string, error) { return "", err } })
			assert.Equal(t, 200, serve(gate.Optional(subject), request("GET")).Code)
			assert.Equal(t, 401, serve(gate.Handler(subject), request("GET")).Code)
		}
		// One that chose another answer gets that.
		unsure := &jwtgate.Error{Status: 503, Err: jwtgate.ErrNoToken}
		gate := newGate(t, func(o *jwtgate.Options) { o.Extract = func(*http.Request) (string, error) { return "", unsure } })
		assert.Equal(t, 503, serve(gate.Optional(subject), request("GET")).Code)
	})
}

func failing(err error) jwtgate.KeySource {
	return jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) { return nil, err })
}

// acceptance 41, 57
func TestScopeInChallenge(t *testing.T) {
	t.Parallel()
	gate := newGate(t, func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Scope("orders:read")} }).
		Require(jwtgate.Scope("orders:write", "admin")).
		Require(jwtgate.AnyOf(jwtgate.Scope("eu", "gold"), jwtgate.Scope("us")), jwtgate.Scope("admin"))
	scope := func(lines ...string) (int, string) {
		w := serve(gate.Handler(subject), request("GET", lines...))
		return w.Code, w.Header().Get("WWW-Authenticate")
	}

	status, challenge := scope()
	assert.Equal(t, 401, status)
	assert.Equal(t, `Bearer realm="api", scope="orders:read orders:write admin"`, challenge)

	status, challenge = scope("Authorization: Bearer " + hs256(nil))
	assert.Equal(t, 403, status)
	assert.Contains(t, challenge, `scope="orders:read orders:write admin", error="insufficient_scope"`)

	status, challenge = scope("Authorization: Bearer " + hs256(map[string]any{"scope": "orders:read orders:write admin"}))
	assert.Equal(t, 403, status)
	assert.Contains(t, challenge, `scope="orders:read orders:write admin eu gold", error=`)

	status, _ = scope("Authorization: Bearer " + hs256(map[string]any{"scope": "admin orders:read orders:write us"}))
	assert.Equal(t, 200, status)

	// A rule of Options says whose tokens are ours: 401.
	status, challenge = scope("Authorization: Bearer " + hs256(map[string]any{"scope": "admin orders:write us"}))
	assert.Equal(t, 401, status)
	assert.Contains(t, challenge, `error="invalid_token"`)

	// A refusal for another reason names no scope.
	_, challenge = scope("Authorization: Bearer " + hs256(map[string]any{"exp": 0}))
	assert.NotContains(t, challenge, "scope")
}

// Gates of one family inside one another.
func TestNestedGates(t *testing.T) {
	t.Parallel()

	// nested returns two gates of a family around change and h, and how often
	// the inner one verified and the outer one did.
	nested := func(t *testing.T, cacheSize int, change func(*http.Request) *http.Request) (handler http.Handler, verified *int) {
		verified = new(int)
		gate := newGate(t, func(o *jwtgate.Options) {
			o.CacheSize = cacheSize
			o.Validate = func(context.Context, *jwtgate.Token) error { *verified++; return nil }
		})
		inner := gate.Handler(subject)
		return gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, change(r))
		})), verified
	}
	alice := "Bearer " + hs256(nil)
	mallory := "Bearer " + hs256(map[string]any{"sub": "mallory"})

	for _, tt := range []struct {
		name   string
		change func(*http.Request) *http.Request
		status int
		body   string
		again  bool // verified again
	}{
		{"same request", func(r *http.Request) *http.Request { return r }, 200, "alice,true", false},
		{"prefix stripped", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.URL.Path = "/"
			return r
		}, 200, "alice,true", false},
		// acceptance 51
		{"other credentials", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", mallory)
			return r
		}, 200, "mallory,true", true},
		{"bad credentials", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", alice+"x")
			return r
		}, 401, "", false},
		{"no credentials", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Del("Authorization")
			return r
		}, 401, "", false},
		{"credentials twice", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Add("Authorization", alice)
			return r
		}, 400, "", false},
		{"other method", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Method = "DELETE"
			return r
		}, 200, "alice,true", true},
		{"other target", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.RequestURI = "/other"
			return r
		}, 200, "alice,true", true},
		{"other DPoP proof", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Set("DPoP", "proof")
			return r
		}, 200, "alice,true", true},
		{"other host", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Host = "other.example.com"
			return r
		}, 200, "alice,true", true},
		{"a request of its own", func(r *http.Request) *http.Request {
			sub := must(http.NewRequestWithContext(r.Context(), "GET", "/path?query", nil))
			sub.Header.Set("Authorization", alice)
			return sub
		}, 200, "alice,true", true},
		// acceptance 52
		{"token made by hand", func(r *http.Request) *http.Request {
			return r.WithContext(jwtgate.NewContext(r.Context(), &jwtgate.Token{Subject: "root", Expires: now.Add(time.Hour)}))
		}, 200, "alice,true", true},
		{"copy of the token", func(r *http.Request) *http.Request {
			token, _ := jwtgate.FromContext(r.Context())
			copied := *token
			copied.Subject = "root"
			return r.WithContext(jwtgate.NewContext(r.Context(), &copied))
		}, 200, "alice,true", true},
		{"token hidden", func(r *http.Request) *http.Request {
			return r.WithContext(jwtgate.NewContext(r.Context(), nil))
		}, 200, "alice,true", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := 1
			if tt.again {
				want = 2
			}
			for _, cacheSize := range []int{0, 16} {
				handler, verified := nested(t, cacheSize, tt.change)
				for range 3 { // from the second on a token may be remembered
					*verified = 0
					w := serve(handler, request("GET", "Authorization: "+alice))
					assert.Equal(t, tt.status, w.Code)
					if tt.status == 200 {
						assert.Equal(t, tt.body, w.Body.String())
					}
					assert.Equal(t, want, *verified)
				}
			}
		})
	}

	t.Run("another family", func(t *testing.T) { // acceptance 52
		t.Parallel()
		other := newGate(t, func(o *jwtgate.Options) { o.Audiences = []string{"https://other.example.com"} })
		w := serve(newGate(t).Handler(other.Handler(subject)), request("GET", "Authorization: "+alice))
		assert.Equal(t, 401, w.Code)
		same := newGate(t) // the same options make another family all the same
		w = serve(newGate(t).Handler(same.Handler(subject)), request("GET", "Authorization: "+alice))
		assert.Equal(t, 200, w.Code)
	})

	t.Run("expired in between", func(t *testing.T) {
		t.Parallel()
		clock := now
		gate := newGate(t, func(o *jwtgate.Options) { o.Now = func() time.Time { return clock } })
		inner := gate.Handler(subject)
		w := serve(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			clock = clock.Add(2 * time.Hour)
			inner.ServeHTTP(w, r)
		})), request("GET", "Authorization: "+alice))
		assert.Equal(t, 401, w.Code)
	})

	t.Run("too old in between", func(t *testing.T) {
		t.Parallel()
		clock := now
		gate := newGate(t, func(o *jwtgate.Options) { o.Now = func() time.Time { return clock }; o.MaxAge = 10 * time.Minute })
		inner := gate.Handler(subject)
		w := serve(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			clock = clock.Add(20 * time.Minute)
			inner.ServeHTTP(w, r)
		})), request("GET", "Authorization: "+alice))
		assert.Equal(t, 401, w.Code)
	})

	t.Run("refused before", func(t *testing.T) {
		t.Parallel()
		// What Observe was shown beside a refusal never passes a gate.
		var refused *jwtgate.Token
		revoked := jwtgate.ErrRevoked
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error { return revoked }
			o.Observe = func(_ context.Context, e jwtgate.Event) { refused = e.Token }
		})
		r := request("GET", "Authorization: "+alice)
		_, err := gate.Check(r)
		require.ErrorIs(t, err, jwtgate.ErrRevoked)
		require.NotNil(t, refused)
		_, err = gate.Check(r.WithContext(jwtgate.NewContext(r.Context(), refused)))
		require.ErrorIs(t, err, jwtgate.ErrRevoked)
	})

	t.Run("granted for no request", func(t *testing.T) {
		t.Parallel()
		// Neither a token that was refused, nor one that Verify took, stands for
		// a request with as little in it as can be.
		for _, cacheSize := range []int{0, 4} {
			var seen *jwtgate.Token
			var revoked error
			gate := newGate(t, func(o *jwtgate.Options) {
				o.CacheSize = cacheSize
				o.Validate = func(context.Context, *jwtgate.Token) error { return revoked }
				o.Observe = func(_ context.Context, e jwtgate.Event) { seen = e.Token }
			})
			for _, revoked = range []error{nil, jwtgate.ErrRevoked} {
				_, err := gate.Verify(t.Context(), strings.TrimPrefix(alice, "Bearer "))
				require.Equal(t, revoked == nil, err == nil)
				require.NotNil(t, seen)
				bare := (&http.Request{Header: http.Header{"Authorization": {alice}}}).WithContext(jwtgate.NewContext(t.Context(), seen))
				revoked = jwtgate.ErrRevoked
				_, err = gate.Check(bare)
				require.ErrorIs(t, err, jwtgate.ErrRevoked)
			}
		}
	})

	t.Run("written over", func(t *testing.T) { // acceptance 52
		t.Parallel()
		for _, cacheSize := range []int{0, 4} {
			gate := newGate(t, func(o *jwtgate.Options) { o.CacheSize = cacheSize })
			inner := gate.Require(jwtgate.Scope("root")).Handler(subject)
			handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				token, _ := jwtgate.FromContext(r.Context())
				*token = jwtgate.Token{Subject: "root", Scopes: []string{"root"}, Expires: now.Add(time.Hour)}
				inner.ServeHTTP(w, r)
			}))
			for range 2 {
				assert.Equal(t, 403, serve(handler, request("GET", "Authorization: "+alice)).Code)
			}
		}
	})

	t.Run("each applies its own rules", func(t *testing.T) {
		t.Parallel()
		asked := 0
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Rules = []jwtgate.Rule{jwtgate.RuleFunc(func(r *http.Request, _ *jwtgate.Token) error {
				if asked++; r.Pattern == "/nobody" {
					return errors.New("not here")
				}
				return nil
			})}
		})
		mux := http.NewServeMux()
		mux.Handle("/read", gate.Require(jwtgate.Scope("orders:read")).Handler(subject))
		mux.Handle("/admin", gate.Require(jwtgate.Scope("admin")).Handler(subject))
		mux.Handle("/nobody", gate.Handler(subject))
		handler := gate.Handler(mux)
		for path, status := range map[string]int{"/read": 200, "/admin": 403, "/nobody": 401} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Authorization", alice)
			assert.Equal(t, status, serve(handler, r).Code, path)
		}
		assert.Equal(t, 6, asked)
	})

	t.Run("anonymous inside of authenticated", func(t *testing.T) { // acceptance 51
		t.Parallel()
		gate := newGate(t)
		inner := gate.Optional(subject)
		w := serve(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			r.Header.Del("Authorization")
			inner.ServeHTTP(w, r)
		})), request("GET", "Authorization: "+alice))
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, ",false", w.Body.String(), "the parent's identity was lent")
	})

	t.Run("requests that came from no server", func(t *testing.T) {
		t.Parallel()
		confirmed := 0
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Confirm = jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { confirmed++; return nil })
		})
		r := must(http.NewRequest("GET", "https://a.example.com/a", nil))
		r.Header.Set("Authorization", "Bearer "+hs256(map[string]any{"cnf": 1}))
		token, err := gate.Check(r)
		require.NoError(t, err)
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		_, err = gate.Check(r)
		require.NoError(t, err)
		assert.Equal(t, 1, confirmed)
		r.URL.Path = "/b"
		_, err = gate.Check(r)
		require.NoError(t, err)
		assert.Equal(t, 2, confirmed)
	})

	t.Run("after Check", func(t *testing.T) {
		t.Parallel()
		verified := 0
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error { verified++; return nil }
		})
		r := request("GET", "Authorization: "+alice)
		token, err := gate.Check(r)
		require.NoError(t, err)
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		assert.Equal(t, 200, serve(gate.Handler(subject), r).Code)
		assert.Equal(t, 1, verified)

		// A token of Verify belongs to no request.
		token, err = gate.Verify(t.Context(), strings.TrimPrefix(alice, "Bearer "))
		require.NoError(t, err)
		r = request("GET", "Authorization: "+alice)
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		assert.Equal(t, 200, serve(gate.Handler(subject), r).Code)
		assert.Equal(t, 3, verified)
	})
}

// acceptance 49
func TestMistakesAtSetUp(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	var nilGate *jwtgate.Gate
	var nilMux *http.ServeMux
	for name, tt := range map[string]struct {
		message string
		mistake func()
	}{
		"nil handler":             {"nil handler", func() { gate.Handler(nil) }},
		"nil HandlerFunc":         {"nil handler", func() { gate.Handler(http.HandlerFunc(nil)) }},
		"nil mux":                 {"nil handler", func() { gate.Handler(nilMux) }},
		"nil handler of Optional": {"Optional of a nil handler", func() { gate.Optional(nil) }},
		"nil gate":                {"check the error of New", func() { nilGate.Handler(subject) }},
		"nil gate, Optional":      {"check the error of New", func() { nilGate.Optional(subject) }},
		"nil gate, Require":       {"check the error of New", func() { nilGate.Require(jwtgate.Scope("a")) }},
		"Require without rules":   {"at least one", func() { gate.Require() }},
		"Require of a nil rule":   {"rule 2 is nil", func() { gate.Require(jwtgate.Scope("a"), nil) }},
		"Require of a nil func":   {"rule 1 is nil", func() { gate.Require(jwtgate.RuleFunc(nil)) }},
		"Scope of nothing":        {"at least one scope", func() { jwtgate.Scope() }},
		"Scope of a list":         {"not one scope", func() { jwtgate.Scope("a b") }},
		"Scope of emptiness":      {"not one scope", func() { jwtgate.Scope("a", "") }},
		"Scope with a quote":      {"not one scope", func() { jwtgate.Scope(`a"`) }},
		"Claim without name":      {"name the claim", func() { jwtgate.Claim("", "x") }},
		"Claim without values":    {"no check would be left", func() { jwtgate.Claim("roles") }},
		"Claim of an empty value": {"was a setting not loaded", func() { jwtgate.Claim("client_id", "web", "") }},
		"Claim of a bad pointer":  {"not a JSON Pointer", func() { jwtgate.Claim("/a~2b", "x") }},
		"AnyOf nothing":           {"at least one rule", func() { jwtgate.AnyOf() }},
		"AnyOf nil":               {"rule 1 is nil", func() { jwtgate.AnyOf(nil) }},
		"FirstOf nothing":         {"at least one extractor", func() { jwtgate.FirstOf() }},
		"FirstOf nil":             {"extractor 2 is nil", func() { jwtgate.FirstOf(jwtgate.Bearer, nil) }},
		"Header Authorization":    {"use jwtgate.Bearer", func() { jwtgate.Header("authoriZation") }},
		"Header without name":     {"not the name of a header", func() { jwtgate.Header("") }},
		"Header with a colon":     {"not the name of a header", func() { jwtgate.Header("X-Token:") }},
		"Cookie without name":     {"not the name of a cookie", func() { jwtgate.Cookie("") }},
		"Cookie with a space":     {"not the name of a cookie", func() { jwtgate.Cookie("a b") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				message, _ := recover().(string)
				assert.Contains(t, message, tt.message)
				assert.True(t, strings.HasPrefix(message, "jwtgate"), message)
			}()
			tt.mistake()
		})
	}
}

// acceptance 49
func TestZeroGateRefusesEverything(t *testing.T) {
	t.Parallel()
	good := "Authorization: Bearer " + hs256(nil)
	var zero jwtgate.Gate
	for name, handler := range map[string]http.Handler{
		"Handler":  zero.Handler(subject),
		"Optional": zero.Optional(subject),
		"Require":  zero.Require(jwtgate.Scope("a")).Handler(subject),
	} {
		for _, lines := range [][]string{nil, {good}} {
			w := serve(handler, request("GET", lines...))
			assert.Equal(t, 503, w.Code, name)
			requireDenial(t, w)
		}
	}
	for _, gate := range []*jwtgate.Gate{&zero, nil} {
		_, err := gate.Check(request("GET", good))
		requireRefused(t, err, 503, jwtgate.ErrUnavailable)
		_, err = gate.Verify(t.Context(), hs256(nil))
		requireRefused(t, err, 503, jwtgate.ErrUnavailable)
		require.Error(t, gate.Ready(t.Context()))
		w := httptest.NewRecorder()
		gate.Deny(w, request("GET"), jwtgate.ErrNoToken)
		assert.Equal(t, 401, w.Code)
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	source := jwtgate.KeySourceFunc(func(_ context.Context, issuer, _ string) ([]*jwtgate.Key, error) {
		switch issuer {
		case "https://down.example":
			return nil, down
		case "https://empty.example":
			return nil, nil
		}
		return []*jwtgate.Key{nil, key("", "ES256")}, nil
	})
	ready := func(change func(*jwtgate.Options)) error {
		return newGate(t, func(o *jwtgate.Options) { o.Keys = source; change(o) }).Ready(t.Context())
	}
	assert.NoError(t, ready(func(*jwtgate.Options) {}))
	err := ready(func(o *jwtgate.Options) {
		o.Issuers = []string{issuer, "https://down.example", "https://empty.example"}
	})
	assert.ErrorIs(t, err, down)
	assert.ErrorContains(t, err, "https://empty.example")
	assert.NotContains(t, err.Error(), issuer)
	assert.ErrorContains(t, ready(func(o *jwtgate.Options) { o.Algorithms = []string{"RS256"} }), "accepted algorithm")
	assert.NoError(t, ready(func(o *jwtgate.Options) { o.Issuers = nil; o.AnyIssuer = true }))
	assert.NoError(t, ready(func(o *jwtgate.Options) { o.Issuers = nil; o.TrustIssuer = func(string) bool { return true } }))
}

// acceptance 46
func TestHandlerStaysOutOfTheWay(t *testing.T) {
	gate := newGate(t)
	good := "Bearer " + hs256(nil)

	t.Run("ResponseWriter", func(t *testing.T) {
		var got http.ResponseWriter
		w := httptest.NewRecorder()
		gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = w })).
			ServeHTTP(w, request("GET", "Authorization: "+good))
		assert.Same(t, w, got)
	})

	mux := http.NewServeMux()
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(conn, "HTTP/1.1 299 Hijacked\r\nConnection: close\r\n\r\n")
			conn.Close()
		}
	})
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "42")
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		io.WriteString(w, r.Trailer.Get("X-Sum"))
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(0); err != nil { // files do not stay in memory
			http.Error(w, err.Error(), 400)
			return
		}
		fmt.Fprint(w, len(must(os.ReadDir(os.TempDir()))))
	})
	server := httptest.NewServer(gate.Handler(mux))
	t.Cleanup(server.Close)
	get := func(path string) (*http.Response, error) {
		r := must(http.NewRequest("GET", server.URL+path, nil))
		r.Header.Set("Authorization", good)
		return server.Client().Do(r)
	}

	t.Run("uploaded files are removed", func(t *testing.T) {
		for _, name := range []string{"TMPDIR", "TMP", "TEMP"} { // Unix, Windows
			t.Setenv(name, t.TempDir())
		}
		r := must(http.NewRequest("POST", server.URL+"/upload", strings.NewReader(
			"--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n"+strings.Repeat("f", 1000)+"\r\n--x--\r\n")))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		r.Header.Set("Authorization", good)
		response := must(server.Client().Do(r))
		assert.Equal(t, "1", string(must(io.ReadAll(response.Body))))
		response.Body.Close()
		assert.EventuallyWithT(t, func(t *assert.CollectT) {
			assert.Empty(t, must(os.ReadDir(os.TempDir())))
		}, 5*time.Second, time.Millisecond)
	})

	_, err := get("/panic")
	require.Error(t, err)
	response, err := get("/hijack")
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, 299, response.StatusCode)
	conn := must(net.Dial("tcp", server.Listener.Addr().String()))
	defer conn.Close()
	fmt.Fprintf(conn, "POST /trailers HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\nX-Sum: 42\r\n\r\n", good)
	response, err = http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Equal(t, "42", string(must(io.ReadAll(response.Body))), "a trailer that was not announced")

	response, err = get("/trailer")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, "42", response.Trailer.Get("X-Sum"))
}

// What exists only as bytes on the wire. acceptance 3, 4, 6
func TestHandlerOnTheWire(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newGate(t).Handler(subject))
	t.Cleanup(server.Close)
	good := hs256(nil)
	for name, tt := range map[string]struct {
		header string
		status int
	}{
		"good":                 {"Authorization: Bearer " + good, 200},
		"name in upper case":   {"AUTHORIZATION: Bearer " + good, 200},
		"white space around":   {"Authorization: \t Bearer " + good + " \t", 200},
		"no white space":       {"Authorization:Bearer " + good, 200},
		"two lines":            {"Authorization: Bearer " + good + "\r\nauthorization: Bearer " + good, 400},
		"folded":               {"Authorization: Bearer\r\n " + good, 200}, // net/http unfolds into one space
		"folded token":         {"Authorization: Bearer " + good[:20] + "\r\n " + good[20:], 400},
		"space before colon":   {"Authorization : Bearer " + good, 400},
		"NUL":                  {"Authorization: Bearer " + good + "\x00", 400},
		"bare carriage return": {"Authorization: Bearer " + good + "\r", 400},
		"empty":                {"Authorization:", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\nConnection: close\r\n\r\n", tt.header)
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			response.Body.Close()
			assert.Equal(t, tt.status, response.StatusCode)
		})
	}
}

// What the whole middleware allocates, beyond what the bare signature check
// does. It does not depend on the machine, and must not grow.
func TestAllocations(t *testing.T) {
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if jwtgate.Subject(r.Context()) != "alice" {
			t.Error("not alice")
		}
	})
	allocations := func(handler http.Handler, token string, status int) float64 {
		r := request("GET", "Authorization: Bearer "+token)
		w := &discarded{header: http.Header{}}
		serve := func() {
			w.status = 200
			clear(w.header)
			handler.ServeHTTP(w, r)
		}
		n := leastAllocations(serve)
		require.Equal(t, status, w.status)
		return n
	}

	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		token := sign(algorithm, private(algorithm), fmt.Sprintf(`{"typ":"at+jwt","alg":%q,"kid":"k1"}`, algorithm), payload(map[string]any{
			"nbf": now.Unix(), "client_id": "web", "name": "Alice", "email": "alice@example.com", "roles": []string{"admin", "user"},
		}))
		dot := strings.LastIndexByte(token, '.')
		signature := must(base64.RawURLEncoding.DecodeString(token[dot+1:]))
		method, public := jwt.GetSigningMethod(algorithm), public(private(algorithm))
		bare := leastAllocations(func() { require.NoError(t, method.Verify(token[:dot], signature, public)) })
		if algorithm == "HS256" {
			bare = 0 // the gate keeps its keyed hashes
		}
		source := func(o *jwtgate.Options) { o.Keys = keys.Static(key("k1", algorithm)) }
		cached := func(o *jwtgate.Options) { o.CacheSize = 16 }
		assert.LessOrEqual(t, allocations(newGate(t, source).Handler(next), token, 200)-bare, 4.0, algorithm)
		assert.LessOrEqual(t, allocations(newGate(t, source, cached).Handler(next), token, 200), 2.0, algorithm+", remembered")
	}

	gate := newGate(t, func(o *jwtgate.Options) { o.Keys = keys.Static(key("k1", "HS256")) }).Handler(next)
	for name, header := range map[string]string{
		"unknown kid": `{"alg":"HS256","kid":"k2"}`,
		"wrong alg":   `{"alg":"RS256","kid":"k1"}`,
		"none":        `{"alg":"none"}`,
		"no header":   ``,
	} {
		small := allocations(gate, sign("HS256", secret, header, payload(nil)), 401)
		large := allocations(gate, sign("HS256", secret, header, payload(map[string]any{"x": strings.Repeat("x", 11_000)})), 401)
		assert.LessOrEqual(t, small, 16.0, name)
		assert.Equal(t, small, large, name)
	}
}

// leastAllocations returns what f allocates when nothing takes away the room
// it uses again, as the garbage collector and the race detector do at times.
func leastAllocations(f func()) float64 {
	least := math.Inf(1)
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}

// discarded is a ResponseWriter that allocates nothing.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }

// A request's token is one, whoever asks for it first and whether it was
// remembered or not.
func TestOneTokenForARequest(t *testing.T) {
	type otherKey struct{}
	t.Parallel()
	for _, size := range []int{0, 16} {
		gate := newGate(t, func(o *jwtgate.Options) { o.CacheSize = size })
		handler := gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx := context.WithValue(r.Context(), otherKey{}, "value")
			assert.Equal(t, "alice", jwtgate.Subject(ctx))
			var asking sync.WaitGroup
			tokens := make([]*jwtgate.Token, 8)
			for i := range tokens {
				asking.Go(func() {
					assert.Equal(t, "alice", jwtgate.Subject(ctx))
					tokens[i], _ = jwtgate.FromContext(ctx)
				})
			}
			asking.Wait()
			for _, token := range tokens {
				assert.Same(t, tokens[0], token)
			}
			tokens[0].Subject = "changed"
			assert.Equal(t, "changed", jwtgate.Subject(ctx), "the handler's own changes are seen")
			claims, err := jwtgate.Decode[map[string]any](ctx)
			assert.NoError(t, err)
			assert.Equal(t, "alice", claims["sub"])
			assert.Equal(t, "value", ctx.Value(otherKey{}))
			assert.Nil(t, r.Context().Value("no such key"))
		}))
		for range 3 {
			serve(handler, request("GET", "Authorization: Bearer "+hs256(nil)))
		}
	}
}

// The context with the token behaves like one of package context.
func TestHandler_Context(t *testing.T) {
	t.Parallel()
	outer, cancel := context.WithCancelCause(context.Background())
	var inner context.Context
	serve(newGate(t).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inner = r.Context() })),
		request("GET", "Authorization: Bearer "+hs256(nil)).WithContext(outer))
	require.NotNil(t, inner)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.Equal(t, "context.Background.WithCancel.WithValue(jwtgate.Token)", fmt.Sprintf(verb, inner))
	}
	assert.Equal(t, "context.Background.WithCancel.WithValue(jwtgate.Token).WithCancel", fmt.Sprint(must2(context.WithCancel(inner))))
	derived, stop := context.WithTimeout(inner, time.Hour)
	defer stop()
	require.NoError(t, derived.Err())
	cancel(errors.New("gone"))
	<-derived.Done()
	assert.EqualError(t, context.Cause(derived), "gone")
	assert.ErrorIs(t, inner.Err(), context.Canceled)
	assert.Equal(t, "alice", jwtgate.Subject(derived))
}

func must2[T, U any](v T, _ U) T { return v }

// What a context holds that is none of ours is not printed.
func TestHandler_ContextInside(t *testing.T) {
	t.Parallel()
	type tenant struct {
		context.Context
		secret string
	}
	var inner context.Context
	serve(newGate(t).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inner = r.Context() })),
		request("GET", "Authorization: Bearer "+hs256(nil)).WithContext(&tenant{context.Background(), "s3cret"}))
	require.NotNil(t, inner)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.Equal(t, "*jwtgate_test.tenant.WithValue(jwtgate.Token)", fmt.Sprintf(verb, inner))
	}
}

// Whoever keeps a Token keeps nothing of its request.
func TestTokenOutlivesItsRequest(t *testing.T) {
	for _, size := range []int{0, 16} {
		var kept []*jwtgate.Token
		gate := newGate(t, func(o *jwtgate.Options) {
			o.CacheSize = size
			o.Observe = func(_ context.Context, e jwtgate.Event) { kept = append(kept, e.Token) }
		})
		type key struct{}
		handle := func() weak.Pointer[[1 << 20]byte] {
			large := new([1 << 20]byte)
			serve(gate.Handler(subject), request("GET", "Authorization: Bearer "+hs256(nil)).WithContext(context.WithValue(t.Context(), key{}, large)))
			return weak.Make(large)
		}
		for range 2 {
			large := handle()
			runtime.GC()
			runtime.GC()
			assert.Nil(t, large.Value())
		}
		assert.Len(t, kept, 2)
		runtime.KeepAlive(kept)
	}
}

// acceptance 53
func TestTokensAreApart(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 16} {
		gate := newGate(t, func(o *jwtgate.Options) { o.CacheSize = size })
		token := hs256(map[string]any{"aud": []string{audience, "x"}})
		for range 3 {
			got, err := gate.Verify(t.Context(), token)
			require.NoError(t, err)
			assert.Equal(t, []string{audience, "x"}, got.Audience)
			assert.Equal(t, []string{"orders:read", "orders:write"}, got.Scopes)
			got.Audience[0], got.Scopes[0], got.Subject = "changed", "changed", "changed"
			_ = append(got.Scopes[:1], "changed")
		}
	}
}

// acceptance 48
func TestRememberedTokens(t *testing.T) {
	t.Parallel()
	clock := now
	var current atomic.Pointer[[]*jwtgate.Key]
	set := func(ks ...*jwtgate.Key) { current.Store(&ks) }
	set(must(jwtgate.NewKey("k", "HS256", secret)))
	var invalid, down error
	trusted := true
	var events []jwtgate.Event
	gate := newGate(t, func(o *jwtgate.Options) {
		o.CacheSize = 2
		o.Now = func() time.Time { return clock }
		o.Issuers = nil
		o.TrustIssuer = func(string) bool { return trusted }
		o.MaxAge = 20 * time.Minute
		o.Keys = jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) { return *current.Load(), down })
		o.Validate = func(context.Context, *jwtgate.Token) error { return invalid }
		o.Observe = func(_ context.Context, e jwtgate.Event) { events = append(events, e) }
	})
	token := sign("HS256", secret, `{"alg":"HS256","kid":"k"}`, payload(map[string]any{"exp": now.Add(10 * time.Minute).Unix()}))
	verify := func() error {
		got, err := gate.Verify(t.Context(), token)
		if err == nil {
			assert.Equal(t, "alice", got.Subject)
		}
		return err
	}
	cached := func() bool { return events[len(events)-1].Cached }

	require.NoError(t, verify())
	assert.False(t, cached())
	require.NoError(t, verify())
	assert.True(t, cached())

	// A key made anew is the same key; one with other material is not.
	set(must(jwtgate.NewKey("k", "HS256", secret)))
	require.NoError(t, verify())
	assert.True(t, cached())
	set(must(jwtgate.NewKey("k", "HS256", []byte(strings.Repeat("x", 32)))))
	require.ErrorIs(t, verify(), jwtgate.ErrSignature)
	set()
	require.ErrorIs(t, verify(), jwtgate.ErrUnknownKey)
	set(must(jwtgate.NewKey("k", "HS256", secret)))
	require.NoError(t, verify())

	// A key that is given another ID, which its tokens have named all along, is
	// verified with anew.
	set(must(jwtgate.NewKey("", "HS256", secret)))
	require.NoError(t, verify())
	assert.False(t, cached())
	require.NoError(t, verify())
	assert.True(t, cached())

	down = errors.New("connection refused")
	requireRefused(t, verify(), 503, down)
	down = nil
	trusted = false
	require.ErrorIs(t, verify(), jwtgate.ErrIssuer)
	trusted = true
	invalid = jwtgate.ErrRevoked
	require.ErrorIs(t, verify(), jwtgate.ErrRevoked)
	invalid = nil
	require.NoError(t, verify())

	// Another token in its place, even one that differs in its last byte only.
	_, err := gate.Verify(t.Context(), token+"A")
	require.Error(t, err)

	clock = now.Add(10*time.Minute + 30*time.Second)
	require.ErrorIs(t, verify(), jwtgate.ErrExpired)
	clock = now.Add(-time.Hour)
	require.ErrorIs(t, verify(), jwtgate.ErrNotYetValid)
}

// acceptance 56
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("verifies 20,000 tokens")
	}
	gate := newGate(t, func(o *jwtgate.Options) {
		o.Issuers = nil
		o.TrustIssuer = func(string) bool { return true }
		o.CacheSize = 100
	})
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			header := fmt.Sprintf(`{"alg":"HS256","kid":"k%d"}`, i)
			_, err := gate.Verify(t.Context(), sign("HS256", secret, header, payload(map[string]any{"iss": fmt.Sprintf("https://%d.example", i), "sub": fmt.Sprint(i)})))
			require.NoError(t, err)
		}
	}
	fill(0, 1000)
	before := heapInUse()
	fill(1000, 20_000)
	assert.Less(t, heapInUse(), before+1<<20)
}

func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// acceptance 45, for keys that are in memory
func TestConcurrentRequestsWhileKeysRotate(t *testing.T) {
	t.Parallel()
	old, young := must(jwtgate.NewKey("old", "HS256", secret)), must(jwtgate.NewKey("young", "HS256", bytes.Repeat([]byte("y"), 32)))
	var current atomic.Pointer[[]*jwtgate.Key]
	current.Store(&[]*jwtgate.Key{old, young})
	gate := newGate(t, func(o *jwtgate.Options) {
		o.CacheSize = 8
		o.Keys = jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) { return *current.Load(), nil })
	})
	handler := gate.Handler(gate.Require(jwtgate.Scope("orders:read")).Handler(subject))
	stop := make(chan struct{})
	var rotating, serving sync.WaitGroup
	rotating.Go(func() {
		sets := [][]*jwtgate.Key{{old, young}, {young, old}, {old}}
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				current.Store(&sets[i%len(sets)])
			}
		}
	})
	for i := range 1000 {
		serving.Go(func() {
			user := fmt.Sprintf("user-%d", i%20)
			good := sign("HS256", secret, `{"alg":"HS256","kid":"old"}`, payload(map[string]any{"sub": user}))
			w := serve(handler, request("GET", "Authorization: Bearer "+good))
			assert.Equal(t, 200, w.Code)
			assert.Equal(t, user+",true", w.Body.String())
			forged := sign("HS256", secret, `{"alg":"HS256","kid":"young"}`, payload(map[string]any{"sub": user}))
			assert.Equal(t, 401, serve(handler, request("GET", "Authorization: Bearer "+forged)).Code)
		})
	}
	shared := request("GET", "Authorization: Bearer "+sign("HS256", secret, `{"alg":"HS256","kid":"old"}`, payload(nil)))
	for range 50 { // a request is not written to, so that one can serve many tests
		serving.Go(func() { assert.Equal(t, 200, serve(handler, shared).Code) })
	}
	serving.Wait()
	close(stop)
	rotating.Wait()
}

// acceptance 47, for a source that fetches
func TestClientsCancellationEndsTheWait(t *testing.T) {
	t.Parallel()
	gate := newGate(t, func(o *jwtgate.Options) {
		o.Keys = jwtgate.KeySourceFunc(func(ctx context.Context, _, _ string) ([]*jwtgate.Key, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := serve(gate.Handler(subject), request("GET", "Authorization: Bearer "+hs256(nil)).WithContext(ctx))
	assert.Equal(t, 503, w.Code)
}

var (
	bearerGrammar = regexp.MustCompile(`^[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)$`)
	bearerScheme  = regexp.MustCompile(`^[Bb][Ee][Aa][Rr][Ee][Rr]( |$)`)
	otherScheme   = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+( |$)")
)

// FuzzBearer holds the reading of the Authorization header against the grammar
// of RFC 9110 and RFC 6750, written down another way.
func FuzzBearer(f *testing.F) {
	for _, value := range []string{"", "Bearer", "Bearer ", "bearer abc", "Bearer  a.b-c_d~e+f/g==", "Bearer a b", "Basic eDp5", "Bearer\tx", "Bearer =", " Bearer x", "Bearer x,y"} {
		f.Add(value, "")
		f.Add(value, "Bearer x")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		r := &http.Request{Header: http.Header{"Authorization": {first}}}
		if second != "" {
			r.Header.Add("Authorization", second)
		}
		token, err := jwtgate.Bearer(r)
		parts := bearerGrammar.FindStringSubmatch(first)
		switch {
		case second != "":
			require.ErrorIs(t, err, jwtgate.ErrRequest)
		case parts != nil:
			require.NoError(t, err)
			require.Equal(t, parts[1], token)
		case otherScheme.MatchString(first) && !bearerScheme.MatchString(first):
			require.ErrorIs(t, err, jwtgate.ErrNoToken)
		default:
			require.ErrorIs(t, err, jwtgate.ErrRequest)
		}
		require.Equal(t, err != nil, token == "")
	})
}

// The whole middleware beside a handler without it.
func BenchmarkHandler(b *testing.B) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	r := request("GET", "Authorization: Bearer "+hs256(nil))
	for _, bb := range []struct {
		name    string
		handler http.Handler
	}{
		{"none", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(jwtgate.NewContext(r.Context(), nil)))
		})},
		{"HS256", newGate(b).Handler(next)},
		{"HS256 nested", func() http.Handler { g := newGate(b); return g.Handler(g.Handler(next)) }()},
		{"HS256 cached", newGate(b, func(o *jwtgate.Options) { o.CacheSize = 16 }).Handler(next)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				bb.handler.ServeHTTP(w, r)
			}
		})
	}
}
