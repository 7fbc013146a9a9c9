package jwtgate_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
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

// The gate guards a whole mux. One route also requires a scope.
func Example() {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256([]byte("a secret of thirty-two bytes....")),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Now:       fixedClock(now), // for this example only, whose token has a fixed expiry
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
		r.Header.Set("Authorization", "Bearer "+hs256Token(nil))
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

// The gate guards one route. The other route is public.
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
	r.Header.Set("Authorization", "Bearer "+hs256Token(nil))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println("/me", w.Code, w.Body)
	// Output:
	// /health 200 fine
	// /me 401 {"error":"unauthorized","error_description":"This request needs an access token."}
	// /me 200 hello alice
}

// One scope allows reading orders, and another scope allows deleting them. The challenge of a refusal lists
// the required scopes.
func ExampleGate_Require() {
	gate, err := jwtgate.New(options())
	if err != nil {
		log.Fatal(err)
	}
	read := gate.Require(jwtgate.Scope("orders:read"))
	remove := read.Require(jwtgate.Scope("orders:delete"))
	mux := http.NewServeMux()
	mux.Handle("GET /orders", read.Handler(writeSubject))
	mux.Handle("DELETE /orders", remove.Handler(writeSubject))

	for _, method := range []string{"GET", "DELETE"} {
		r := httptest.NewRequest(method, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+hs256Token(map[string]any{"scope": "orders:read"}))
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
	for _, authorization := range []string{"", "Bearer " + hs256Token(nil), "Bearer " + hs256Token(map[string]any{"exp": 0})} {
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

// Check is for frameworks that do not use http.Handler.
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

// A readiness probe reports that the service has no keys yet.
func ExampleGate_Ready() {
	issuer := httptest.NewServer(http.NotFoundHandler())
	issuer.Close() // the issuer is down

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
		if err := gate.Ready(ctx); err != nil { // err names each issuer without keys
			http.Error(w, "no keys to verify tokens with", http.StatusServiceUnavailable)
		}
	})
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/ready", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 503 no keys to verify tokens with
}

func TestHandlerAnswers(t *testing.T) {
	t.Parallel()
	good := hs256Token(nil)
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
		{"good token", []string{"Authorization: Bearer " + good}, 200, ""},
		// acceptance 1
		{"no header", nil, 401, bare},
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
		{"empty line", []string{"Authorization: "}, 401, bare}, // acceptance 4
		{"white space", []string{"Authorization:  \t "}, 401, bare},
		{"two lines, one empty", []string{"Authorization: Bearer " + good, "Authorization: "}, 400, bad}, // acceptance 6
		{"two empty lines", []string{"Authorization: ", "Authorization: "}, 400, bad},
		{"token alone", []string{"Authorization: " + good}, 401, bare}, // the token is read as the name of a scheme
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
		// The credential is a token68, but not a token that the gate accepts.
		{"not a JWT", []string{"Authorization: Bearer abc"}, 401, invalid},
		{"base64 alphabet", []string{"Authorization: Bearer a+/~b="}, 401, invalid},
		{"expired", []string{"Authorization: Bearer " + hs256Token(map[string]any{"exp": 0})}, 401, expired},
		// acceptance 41
		{"scope missing", []string{"Authorization: Bearer " + good, "X-Strict: yes"}, 403, forbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t)
			handler := gate.Handler(writeSubject)
			r := request("GET", tt.lines...)
			if r.Header.Get("X-Strict") != "" {
				handler = gate.Require(jwtgate.Scope("admin")).Handler(writeSubject)
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

// The gate reads no token from the query, the body, a cookie or another header.
// acceptance 7
func TestHandlerReadsOnlyAuthorization(t *testing.T) {
	t.Parallel()
	good := hs256Token(nil)
	form := url.Values{"access_token": {good}}.Encode()
	r := httptest.NewRequest("POST", "/?"+form, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Proxy-Authorization", "Bearer "+good)
	r.Header.Set("X-Access-Token", good)
	r.AddCookie(&http.Cookie{Name: "access_token", Value: good})
	w := serve(newGate(t).Handler(writeSubject), r)
	assert.Equal(t, 401, w.Code)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	assert.Equal(t, form, string(body), "the gate must leave the body unread")
}

// The refusal of a HEAD request has the same headers, and no body.
// acceptance 11
func TestHandlerHEAD(t *testing.T) {
	t.Parallel()
	w := serve(newGate(t).Handler(writeSubject), request("HEAD"))
	assert.Equal(t, 401, w.Code)
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.NotEmpty(t, w.Header().Get("WWW-Authenticate"))
	assert.Empty(t, w.Body.String())
}

// A CORS preflight without a token is refused, unless middleware outside the gate answers it.
// acceptance 12
func TestHandlerRefusesPreflight(t *testing.T) {
	t.Parallel()
	r := request("OPTIONS", "Origin: https://app.example.com", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")
	gate := newGate(t)
	assert.Equal(t, 401, serve(gate.Handler(writeSubject), r).Code)
	outside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "OPTIONS" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		gate.Handler(writeSubject).ServeHTTP(w, r)
	})
	assert.Equal(t, 204, serve(outside, r).Code)
}

// Optional lets a request without credentials pass, and refuses bad credentials as Handler does.
// acceptance 43
func TestOptional(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	optional := gate.Optional(writeSubject)
	good := "Authorization: Bearer " + hs256Token(nil)
	for _, tt := range []struct {
		name   string
		lines  []string
		status int
		body   string
	}{
		{"no token", nil, 200, ",false"},
		{"another scheme", []string{"Authorization: Basic eDp5"}, 200, ",false"},
		{"good", []string{good}, 200, "alice,true"},
		{"expired", []string{"Authorization: Bearer " + hs256Token(map[string]any{"exp": 0})}, 401, ""},
		{"forged", []string{good + "x"}, 401, ""},
		{"malformed", []string{"Authorization: Bearer x"}, 401, ""},
		{"empty", []string{"Authorization: Bearer "}, 400, ""},
		{"empty line", []string{"Authorization: "}, 200, ",false"}, // acceptance 4
		{"two empty lines", []string{"Authorization: ", "Authorization: "}, 400, ""},
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
	t.Run("keys unavailable", func(t *testing.T) {
		t.Parallel()
		down := newGate(t, func(o *jwtgate.Options) { o.Keys = failingSource(errors.New("down")) })
		assert.Equal(t, 503, serve(down.Optional(writeSubject), request("GET", good)).Code)
		assert.Equal(t, 200, serve(down.Optional(writeSubject), request("GET")).Code)
	})
	t.Run("with a rule", func(t *testing.T) {
		t.Parallel()
		admin := gate.Require(jwtgate.Scope("admin")).Optional(writeSubject)
		assert.Equal(t, 200, serve(admin, request("GET")).Code)
		assert.Equal(t, 403, serve(admin, request("GET", good)).Code)
	})
	t.Run("extractor without token", func(t *testing.T) {
		t.Parallel()
		for _, err := range []error{nil, jwtgate.ErrNoToken, fmt.Errorf("looked: %w", jwtgate.ErrNoToken)} {
			gate := newGate(t, func(o *jwtgate.Options) { o.Extract = func(*http.Request) (string, error) { return "", err } })
			assert.Equal(t, 200, serve(gate.Optional(writeSubject), request("GET")).Code)
			assert.Equal(t, 401, serve(gate.Handler(writeSubject), request("GET")).Code)
		}
		// An extractor can choose another status.
		unsure := &jwtgate.Error{Status: 503, Err: jwtgate.ErrNoToken}
		gate := newGate(t, func(o *jwtgate.Options) { o.Extract = func(*http.Request) (string, error) { return "", unsure } })
		assert.Equal(t, 503, serve(gate.Optional(writeSubject), request("GET")).Code)
	})
}

// A mistake in the code that sets up a gate panics with a message that says how to correct it.
// acceptance 49
func TestSetUpMistakesPanic(t *testing.T) {
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
		"nil gate":                {"check the error of New", func() { nilGate.Handler(writeSubject) }},
		"nil gate, Optional":      {"check the error of New", func() { nilGate.Optional(writeSubject) }},
		"nil gate, Require":       {"check the error of New", func() { nilGate.Require(jwtgate.Scope("a")) }},
		"Require without rules":   {"at least one", func() { gate.Require() }},
		"Require of a nil rule":   {"rule 2 is nil", func() { gate.Require(jwtgate.Scope("a"), nil) }},
		"Require of a nil func":   {"rule 1 is nil", func() { gate.Require(jwtgate.RuleFunc(nil)) }},
		"Scope of nothing":        {"at least one scope", func() { jwtgate.Scope() }},
		"Scope of a list":         {"not one scope", func() { jwtgate.Scope("a b") }},
		"Scope of empty text":     {"not one scope", func() { jwtgate.Scope("a", "") }},
		"Scope with a quote":      {"not one scope", func() { jwtgate.Scope(`a"`) }},
		"Claim without name":      {"name the claim", func() { jwtgate.Claim("", "x") }},
		"NoClaim without names":   {"name at least one claim", func() { jwtgate.NoClaim() }},
		"NoClaim with no name":    {"one of the names is empty", func() { jwtgate.NoClaim("at_hash", "") }},
		"NoClaim with a pointer":  {"jwtgate.NoClaim: \"/a~2\" is not a JSON Pointer", func() { jwtgate.NoClaim("/a~2") }},
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
	good := "Authorization: Bearer " + hs256Token(nil)
	var zero jwtgate.Gate
	for name, handler := range map[string]http.Handler{
		"Handler":  zero.Handler(writeSubject),
		"Optional": zero.Optional(writeSubject),
		"Require":  zero.Require(jwtgate.Scope("a")).Handler(writeSubject),
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
		_, err = gate.Verify(t.Context(), hs256Token(nil))
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
		return []*jwtgate.Key{nil, newKey("", "ES256")}, nil
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

// One issuer does not answer. A probe that waits a second blames this issuer and no other.
func TestReadyWithinASecond(t *testing.T) {
	t.Parallel()
	const hangs = "https://hangs.example"
	issuers := []string{"https://a.example", hangs, "https://b.example"}
	synctest.Test(t, func(t *testing.T) {
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Issuers = issuers
			o.Keys = jwtgate.KeySourceFunc(func(ctx context.Context, issuer, _ string) ([]*jwtgate.Key, error) {
				if issuer == hangs {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				time.Sleep(time.Second / 2)
				return []*jwtgate.Key{newKey("", "ES256")}, nil
			})
		})
		for _, tt := range []struct {
			name  string
			probe func(context.Context) error
			took  time.Duration
			err   string // "" for none
		}{
			{"all", gate.Ready, time.Second, `jwtgate: keys of issuer "https://hangs.example": context deadline exceeded`},
			{"any", gate.ReadyForAny, time.Second / 2, ""},
			{"one", func(ctx context.Context) error { return gate.ReadyFor(ctx, issuers[0]) }, time.Second / 2, ""},
			{"one that hangs", func(ctx context.Context) error { return gate.ReadyFor(ctx, hangs) }, time.Second,
				`jwtgate: keys of issuer "https://hangs.example": context deadline exceeded`},
			{"one that is not trusted", func(ctx context.Context) error { return gate.ReadyFor(ctx, "https://a.example/") }, 0,
				`jwtgate: keys of issuer "https://a.example/": issuer not trusted: iss is "https://a.example/" and trusted is "https://a.example": they differ in the slash at the end`},
		} {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := tt.probe(ctx)
			cancel()
			assert.Equal(t, tt.took, time.Since(start), tt.name)
			if tt.err == "" {
				assert.NoError(t, err, tt.name)
			} else {
				assert.EqualError(t, err, tt.err, tt.name)
			}
		}
	})
}

func TestReadyForAny(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	options := func(change func(*jwtgate.Options)) *jwtgate.Gate {
		return newGate(t, func(o *jwtgate.Options) { o.Keys = failingSource(down); change(o) })
	}
	gate := options(func(o *jwtgate.Options) { o.Issuers = []string{"https://a.example", "https://b.example"} })
	err := gate.ReadyForAny(t.Context())
	require.ErrorIs(t, err, down)
	assert.ErrorContains(t, err, "https://a.example")
	assert.ErrorContains(t, err, "https://b.example")

	trusting := options(func(o *jwtgate.Options) {
		o.Issuers, o.TrustIssuer = nil, func(issuer string) bool { return issuer == "https://a.example" }
	})
	require.NoError(t, trusting.Ready(t.Context()), "the issuers are not known")
	require.NoError(t, trusting.ReadyForAny(t.Context()))
	require.ErrorIs(t, trusting.ReadyFor(t.Context(), "https://a.example"), down)
	require.ErrorIs(t, trusting.ReadyFor(t.Context(), "https://b.example"), jwtgate.ErrIssuer)
	require.ErrorIs(t, trusting.ReadyFor(t.Context(), ""), jwtgate.ErrIssuer)

	anyIssuer := options(func(o *jwtgate.Options) { o.Issuers, o.AnyIssuer = nil, true })
	require.ErrorIs(t, anyIssuer.ReadyFor(t.Context(), "https://a.example"), down)
	require.ErrorIs(t, anyIssuer.ReadyForAny(t.Context()), down)

	for _, zero := range []*jwtgate.Gate{nil, {}} {
		require.ErrorIs(t, zero.ReadyFor(t.Context(), issuer), jwtgate.ErrUnavailable)
		require.ErrorIs(t, zero.ReadyForAny(t.Context()), jwtgate.ErrUnavailable)
	}

	// The panic of a source reaches the caller, who may recover.
	panicking := newGate(t, func(o *jwtgate.Options) {
		o.Keys = jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) { panic("no keys today") })
	})
	assert.PanicsWithValue(t, "no keys today", func() { _ = panicking.Ready(t.Context()) })
}

// Handlers behind a gate can panic, hijack, flush, and use trailers and uploads as without a gate.
// acceptance 46
func TestHandlerKeepsServerFeatures(t *testing.T) {
	gate := newGate(t)
	good := "Bearer " + hs256Token(nil)

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
		server := httptest.NewServer(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(0); err != nil { // 0: the file is not kept in memory
				http.Error(w, err.Error(), 400)
				return
			}
			fmt.Fprint(w, len(must(os.ReadDir(os.TempDir()))))
		})))
		defer server.Close()
		r := must(http.NewRequest("POST", server.URL, strings.NewReader(
			"--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n"+strings.Repeat("f", 1000)+"\r\n--x--\r\n")))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		r.Header.Set("Authorization", good)
		response := must(server.Client().Do(r))
		assert.Equal(t, "1", string(must(io.ReadAll(response.Body))))
		response.Body.Close()
		// net/http removes the files after it has sent the response. Close waits until it has.
		server.Close()
		assert.Empty(t, must(os.ReadDir(os.TempDir())))
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
	assert.Equal(t, "42", string(must(io.ReadAll(response.Body))), "the handler must see a trailer that no Trailer header announced")

	response, err = get("/trailer")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, "42", response.Trailer.Get("X-Sum"))
}

// These requests are sent as bytes over TCP, so that net/http parses their headers. acceptance 3, 4, 6
func TestHandlerOverTCP(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newGate(t).Handler(writeSubject))
	t.Cleanup(server.Close)
	good := hs256Token(nil)
	for name, tt := range map[string]struct {
		header string
		status int
	}{
		"good":                 {"Authorization: Bearer " + good, 200},
		"name in upper case":   {"AUTHORIZATION: Bearer " + good, 200},
		"white space around":   {"Authorization: \t Bearer " + good + " \t", 200},
		"no white space":       {"Authorization:Bearer " + good, 200},
		"two lines":            {"Authorization: Bearer " + good + "\r\nauthorization: Bearer " + good, 400},
		"folded":               {"Authorization: Bearer\r\n " + good, 200}, // net/http replaces the line break by one space
		"folded token":         {"Authorization: Bearer " + good[:20] + "\r\n " + good[20:], 400},
		"space before colon":   {"Authorization : Bearer " + good, 400},
		"NUL":                  {"Authorization: Bearer " + good + "\x00", 400},
		"bare carriage return": {"Authorization: Bearer " + good + "\r", 400},
		"empty":                {"Authorization:", 401},
		"white space":          {"Authorization: \t ", 401},
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

// TestAllocations limits how often the whole middleware allocates, not counting the allocations of
// the signature check. The number is the same on every machine.
func TestAllocations(t *testing.T) {
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if jwtgate.Subject(r.Context()) != "alice" {
			t.Error("not alice")
		}
	})
	allocations := func(handler http.Handler, token string, status int) float64 {
		r := request("GET", "Authorization: Bearer "+token)
		w := &discardingWriter{header: http.Header{}}
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
		token := sign(algorithm, privateKey(algorithm), fmt.Sprintf(`{"typ":"at+jwt","alg":%q,"kid":"k1"}`, algorithm), claimsJSON(map[string]any{
			"nbf": now.Unix(), "client_id": "web", "name": "Alice", "email": "alice@example.com", "roles": []string{"admin", "user"},
		}))
		dot := strings.LastIndexByte(token, '.')
		signature := must(base64.RawURLEncoding.DecodeString(token[dot+1:]))
		method, public := jwt.GetSigningMethod(algorithm), publicKey(privateKey(algorithm))
		bare := leastAllocations(func() { require.NoError(t, method.Verify(token[:dot], signature, public)) })
		if algorithm == "HS256" {
			bare = 0 // the gate reuses its HMAC states
		}
		source := func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("k1", algorithm)) }
		cached := func(o *jwtgate.Options) { o.CacheSize = 16 }
		assert.LessOrEqual(t, allocations(newGate(t, source).Handler(next), token, 200)-bare, 4.0, algorithm)
		assert.LessOrEqual(t, allocations(newGate(t, source, cached).Handler(next), token, 200), 2.0, algorithm+", remembered")
	}

	gate := newGate(t, func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("k1", "HS256")) }).Handler(next)
	for name, header := range map[string]string{
		"unknown kid": `{"alg":"HS256","kid":"k2"}`,
		"wrong alg":   `{"alg":"RS256","kid":"k1"}`,
		"none":        `{"alg":"none"}`,
		"no header":   ``,
	} {
		small := allocations(gate, sign("HS256", secret, header, claimsJSON(nil)), 401)
		large := allocations(gate, sign("HS256", secret, header, claimsJSON(map[string]any{"x": strings.Repeat("x", 11_000)})), 401)
		assert.LessOrEqual(t, small, 16.0, name)
		assert.Equal(t, small, large, name)
	}
}

// leastAllocations returns the least number of allocations of f in 50 runs. A single run may count
// more, because the garbage collector empties each sync.Pool, and the race detector makes a
// sync.Pool drop values at random.
func leastAllocations(f func()) float64 {
	least := math.Inf(1)
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}

// A discardingWriter is a ResponseWriter that allocates nothing.
type discardingWriter struct {
	header http.Header
	status int
}

func (d *discardingWriter) Header() http.Header { return d.header }

func (d *discardingWriter) Write(b []byte) (int, error) { return len(b), nil }

func (d *discardingWriter) WriteHeader(status int) { d.status = status }

// Fifty clients send requests while the source returns another set of keys at each call.
// acceptance 45, for keys in memory
func TestConcurrentRequestsWhileKeysRotate(t *testing.T) {
	t.Parallel()
	old, young := must(jwtgate.NewKey("old", "HS256", secret)), must(jwtgate.NewKey("young", "HS256", bytes.Repeat([]byte("y"), 32)))
	sets := [][]*jwtgate.Key{{old, young}, {young, old}, {old}}
	var asked atomic.Uint64
	gate := newGate(t, func(o *jwtgate.Options) {
		o.CacheSize = 8
		o.Keys = jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) {
			return sets[asked.Add(1)%uint64(len(sets))], nil
		})
	})
	handler := gate.Handler(gate.Require(jwtgate.Scope("orders:read")).Handler(writeSubject))
	shared := request("GET", "Authorization: Bearer "+sign("HS256", secret, `{"alg":"HS256","kid":"old"}`, claimsJSON(nil)))
	var serving sync.WaitGroup
	for range 50 {
		serving.Go(func() {
			for i := range 20 {
				user := fmt.Sprintf("user-%d", i)
				good := sign("HS256", secret, `{"alg":"HS256","kid":"old"}`, claimsJSON(map[string]any{"sub": user}))
				w := serve(handler, request("GET", "Authorization: Bearer "+good))
				assert.Equal(t, 200, w.Code)
				assert.Equal(t, user+",true", w.Body.String())
				forged := sign("HS256", secret, `{"alg":"HS256","kid":"young"}`, claimsJSON(map[string]any{"sub": user}))
				assert.Equal(t, 401, serve(handler, request("GET", "Authorization: Bearer "+forged)).Code)
			}
			// The gate does not write to this request, so goroutines can share it.
			assert.Equal(t, 200, serve(handler, shared).Code)
		})
	}
	serving.Wait()
}

// The source waits until the request's context ends, as keys.Remote waits for a fetch. acceptance 47
func TestCancelledRequestStopsWaiting(t *testing.T) {
	t.Parallel()
	gate := newGate(t, func(o *jwtgate.Options) {
		o.Keys = jwtgate.KeySourceFunc(func(ctx context.Context, _, _ string) ([]*jwtgate.Key, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := serve(gate.Handler(writeSubject), request("GET", "Authorization: Bearer "+hs256Token(nil)).WithContext(ctx))
	assert.Equal(t, 503, w.Code)
}

// A client that goes away is no outage of the service, wherever the check waits. acceptance 61
func TestClientThatGoesAway(t *testing.T) {
	t.Parallel()
	ended := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	ofDriver := func(ctx context.Context) error { <-ctx.Done(); return errors.New("driver: bad connection") }
	slowly := func(ctx context.Context) error { <-ctx.Done(); return nil }
	token := "Bearer " + hs256Token(map[string]any{"cnf": map[string]any{"jkt": "x"}})
	type waiting func(*jwtgate.Options, func(context.Context) error)
	keySource := func(o *jwtgate.Options, wait func(context.Context) error) {
		source := o.Keys
		o.Keys = jwtgate.KeySourceFunc(func(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
			if err := wait(ctx); err != nil {
				return nil, err
			}
			return source.Keys(ctx, issuer, kid)
		})
	}
	validate := func(o *jwtgate.Options, wait func(context.Context) error) {
		o.Validate = func(ctx context.Context, _ *jwtgate.Token) error { return wait(ctx) }
	}
	confirm := func(o *jwtgate.Options, wait func(context.Context) error) {
		confirmBy(o, func(r *http.Request, _ *jwtgate.Token) error { return wait(r.Context()) })
	}
	extract := func(o *jwtgate.Options, wait func(context.Context) error) {
		o.Extract = func(r *http.Request) (string, error) {
			if err := wait(r.Context()); err != nil {
				return "", err
			}
			return jwtgate.Bearer(r)
		}
	}
	for _, tt := range []struct {
		name   string
		where  waiting
		wait   func(context.Context) error
		gone   string // the reason if the client goes away
		late   string // the reason if a deadline passes
		status int
	}{
		{"keys", keySource, ended, "canceled", "unavailable", 503},
		{"keys, another error", keySource, ofDriver, "canceled", "unavailable", 503},
		{"Validate", validate, ended, "canceled", "unavailable", 503},
		{"Validate, another error", validate, ofDriver, "canceled", "unavailable", 503},
		{"Extract", extract, ended, "canceled", "unavailable", 503},
		{"Extract, another error", extract, ofDriver, "request", "request", 400},
		{"Confirm", confirm, ended, "canceled", "unavailable", 503},
		{"Confirm, another error", confirm, ofDriver, "claim", "claim", 401},
		{"Validate, slow and content", validate, slowly, "", "", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for reason, end := range map[string]func() (context.Context, context.CancelFunc){
					tt.gone: func() (context.Context, context.CancelFunc) {
						ctx, cancel := context.WithCancel(t.Context())
						time.AfterFunc(time.Second, cancel)
						return ctx, cancel
					},
					tt.late: func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), time.Second) },
				} {
					var seen error
					gate := newGate(t, func(o *jwtgate.Options) {
						confirmBy(o, func(*http.Request, *jwtgate.Token) error { return nil })
						o.Observe = func(_ context.Context, e jwtgate.Event) { seen = e.Err }
						tt.where(o, tt.wait)
					})
					ctx, cancel := end()
					w := serve(gate.Optional(writeSubject), request("GET", "Authorization: "+token).WithContext(ctx))
					assert.Equal(t, tt.status, w.Code)
					var e *jwtgate.Error
					if errors.As(seen, &e) {
						assert.Equal(t, reason, e.Reason(), "%v", seen)
						assert.Equal(t, reason == "canceled", errors.Is(seen, jwtgate.ErrCanceled))
						assert.Equal(t, reason == "canceled", errors.Is(seen, context.Canceled))
						assert.Equal(t, reason == "unavailable", errors.Is(seen, jwtgate.ErrUnavailable))
					} else {
						assert.Empty(t, reason)
					}
					cancel()
				}
			})
		})
	}

	t.Run("the context of Validate itself is canceled", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error { return context.Canceled }
		})
		_, err := gate.Check(request("GET", "Authorization: Bearer "+hs256Token(nil)))
		requireRefused(t, err, 503, jwtgate.ErrUnavailable)
		assert.NotErrorIs(t, err, jwtgate.ErrCanceled, "the client has not gone away")
	})
}

// BenchmarkHandler compares the whole middleware with a handler without a gate.
func BenchmarkHandler(b *testing.B) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	r := request("GET", "Authorization: Bearer "+hs256Token(nil))
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

// Require changes neither the gate it is called on nor other gates derived from that gate.
func TestRequireDoesNotChangeTheGate(t *testing.T) {
	t.Parallel()
	gate := newGate(t).Require(jwtgate.Scope("orders:read"), jwtgate.Scope("orders:write")).Require(jwtgate.Claim("iss", issuer))
	admin, other := gate.Require(jwtgate.Scope("admin")), gate.Require(jwtgate.Claim("sub", "alice"))
	for g, status := range map[*jwtgate.Gate]int{gate: 200, admin: 403, other: 200} {
		assert.Equal(t, status, serve(g.Handler(writeSubject), request("GET", "Authorization: Bearer "+hs256Token(nil))).Code)
	}
}
