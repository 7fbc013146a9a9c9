// Package suite has tests that all HTTP programs share. The programs have the same
// routes: GET / is public, GET /me requires a token, and POST /orders requires a scope.
// All routes answer with the subject.
package suite

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A Start is a function that starts a program on loopback and returns the program's
// URL. The program verifies tokens with keys from source.
type Start func(t *testing.T, source jwtgate.KeySource) (url string)

// Serve returns the Start of a program that is a net/http handler.
func Serve(newHandler func(jwtgate.KeySource) (http.Handler, error)) Start {
	return func(t *testing.T, source jwtgate.KeySource) string {
		handler, err := newHandler(source)
		require.NoError(t, err)
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
}

// An Answer is the part of a response that the tests compare.
type Answer struct {
	Status    int
	Challenge string // WWW-Authenticate
	Body      string
}

// Subject returns the answer of a handler that was called for subject.
func Subject(subject string) Answer {
	return Answer{http.StatusOK, "", fmt.Sprintf("subject: %q\n", subject)}
}

// The refusals, byte for byte. A handler that is called after a refusal, or an error
// handler of the framework, would append to the body.
var (
	noToken = Answer{http.StatusUnauthorized, `Bearer realm="api"`,
		`{"error":"unauthorized","error_description":"This request needs an access token."}` + "\n"}
	badRequest = refusal(http.StatusBadRequest, "", "invalid_request", "The request does not carry its access token in the form this service expects.")
	badToken   = refusal(http.StatusUnauthorized, "", "invalid_token", "The access token is not valid.")
	expired    = refusal(http.StatusUnauthorized, "", "invalid_token", "The access token has expired.")
	forbidden  = refusal(http.StatusForbidden, `, scope="orders:write"`, "insufficient_scope", "The access token does not grant what this request needs.")
	cannotTell = Answer{http.StatusServiceUnavailable, "",
		`{"error":"temporarily_unavailable","error_description":"The access token cannot be verified at the moment. Try again later."}` + "\n"}
)

func refusal(status int, scope, code, description string) Answer {
	return Answer{status,
		fmt.Sprintf(`Bearer realm="api"%s, error=%q, error_description=%q`, scope, code, description),
		fmt.Sprintf("{\"error\":%q,\"error_description\":%q}\n", code, description)}
}

// Send sends a request with the given Authorization lines. Like Do, it may be
// called from any goroutine of the test.
func Send(t *testing.T, method, url string, authorization ...string) (Answer, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if !assert.NoError(t, err) {
		return Answer{}, nil
	}
	if authorization != nil {
		request.Header["Authorization"] = authorization
	}
	return Do(t, http.DefaultClient, request)
}

// Do sends a request with client.
func Do(t *testing.T, client *http.Client, request *http.Request) (Answer, http.Header) {
	t.Helper()
	response, err := client.Do(request)
	if !assert.NoError(t, err) {
		return Answer{}, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	assert.NoError(t, err)
	return Answer{response.StatusCode, response.Header.Get("WWW-Authenticate"), string(body)}, response.Header
}

// Token returns a token of issuer for the programs.
func Token(issuer *jwttest.Issuer, changes map[string]any) string {
	return issuer.Token(claims(changes))
}

// Source returns a key source for the keys of issuer. The source fetches them from a
// fixed URL. Discovery would not find them, because the tokens of Token name
// demo.Issuer.
func Source(issuer *jwttest.Issuer) jwtgate.KeySource {
	return &keys.Remote{
		URL:     issuer.URL + "/jwks",
		Timeout: time.Minute, // so that a slow machine does not fail the test
		Logger:  slog.New(slog.DiscardHandler),
	}
}

func claims(changes map[string]any) map[string]any {
	claims := map[string]any{"iss": demo.Issuer, "aud": demo.Audience}
	maps.Copy(claims, changes)
	return claims
}

// Test tests the answers to good and bad requests, the answers while keys are
// unavailable, and the answers to many users at once.
func Test(t *testing.T, start Start) {
	t.Run("answers", func(t *testing.T) {
		t.Parallel()
		testAnswers(t, start)
	})
	t.Run("keys unavailable", func(t *testing.T) {
		t.Parallel()
		testUnavailable(t, start)
	})
	t.Run("many users at once", func(t *testing.T) {
		t.Parallel()
		testUsers(t, start)
	})
}

func testAnswers(t *testing.T, start Start) {
	issuer := jwttest.NewIssuer(t)
	url := start(t, Source(issuer))
	alice := "Bearer " + Token(issuer, nil)
	writer := "Bearer " + Token(issuer, map[string]any{"sub": "bob", "scope": "orders:read orders:write"})
	forged := "Bearer " + issuer.Forge(nil, claims(nil))

	for _, test := range []struct {
		name, method, path string
		authorization      []string
		want               Answer
	}{
		{"public", "GET", "/", nil, Subject("")},
		{"public, with a token", "GET", "/", []string{alice}, Subject("")},
		{"public, with a bad token", "GET", "/", []string{forged}, Subject("")},
		{"no token", "GET", "/me", nil, noToken},
		{"another scheme", "GET", "/me", []string{"Basic YWxpY2U6c2VjcmV0"}, noToken},
		{"two headers, the first good", "GET", "/me", []string{alice, forged}, badRequest},
		{"two headers, the last good", "GET", "/me", []string{forged, alice}, badRequest},
		{"two tokens", "GET", "/me", []string{alice + ", " + alice}, badRequest},
		{"no token after the scheme", "GET", "/me", []string{"Bearer"}, badRequest},
		{"not a JWT", "GET", "/me", []string{"Bearer secret"}, badToken},
		{"forged", "GET", "/me", []string{forged}, badToken},
		{"another audience", "GET", "/me", []string{"Bearer " + Token(issuer, map[string]any{"aud": "https://mail.example.com"})}, badToken},
		{"expired", "GET", "/me", []string{"Bearer " + Token(issuer, map[string]any{"exp": time.Now().Add(-time.Hour)})}, expired},
		{"good", "GET", "/me", []string{alice}, Subject("alice")},
		{"scheme in another case", "GET", "/me", []string{"bearer" + alice[len("Bearer"):]}, Subject("alice")},
		{"long token", "GET", "/me", []string{"Bearer " + Token(issuer, map[string]any{"groups": make([]bool, 2000)})}, Subject("alice")},
		{"scope missing", "POST", "/orders", []string{alice}, forbidden},
		{"scope", "POST", "/orders", []string{writer}, Subject("bob")},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, header := Send(t, test.method, url+test.path, test.authorization...)
			assert.Equal(t, test.want, got)
			if got.Status != http.StatusOK {
				assert.Equal(t, "application/json", header.Get("Content-Type"))
				assert.Equal(t, "no-store", header.Get("Cache-Control"))
			}
		})
	}
}

func testUnavailable(t *testing.T, start Start) {
	issuer := jwttest.NewIssuer(t)
	issuer.Down(http.StatusServiceUnavailable)
	url := start(t, Source(issuer))

	got, header := Send(t, "GET", url+"/me", "Bearer "+Token(issuer, nil))
	assert.Equal(t, cannotTell, got)
	assert.Regexp(t, `^[1-9][0-9]*$`, header.Get("Retry-After"))

	got, _ = Send(t, "GET", url+"/me")
	assert.Equal(t, noToken.Status, got.Status)
	got, _ = Send(t, "GET", url+"/")
	assert.Equal(t, Subject(""), got)
}

// testUsers tests that no user gets the answer for another user, for example because
// the framework reuses a context.
func testUsers(t *testing.T, start Start) {
	issuer := jwttest.NewIssuer(t)
	url := start(t, Source(issuer))
	var users sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprintf("user-%d-%s", i, "0123456789"[i:]) // of different lengths
		reader := "Bearer " + Token(issuer, map[string]any{"sub": name})
		writer := "Bearer " + Token(issuer, map[string]any{"sub": name, "scope": "orders:write"})
		users.Go(func() {
			for range 25 {
				for _, step := range []struct {
					method, path  string
					authorization []string
					want          Answer
				}{
					{"GET", "/me", []string{reader}, Subject(name)},
					{"GET", "/", []string{reader}, Subject("")},
					{"GET", "/me", nil, noToken},
					{"POST", "/orders", []string{writer}, Subject(name)},
					{"POST", "/orders", []string{reader}, forbidden},
				} {
					got, _ := Send(t, step.method, url+step.path, step.authorization...)
					assert.Equal(t, step.want, got, step.path)
				}
			}
		})
	}
	users.Wait()
}

// Attack sends the hostile requests of jwttest.Attack to a program.
func Attack(t *testing.T, newHandler func(jwtgate.KeySource) (http.Handler, error)) {
	secret := []byte("a secret of this test and of nobody else")
	handler, err := newHandler(keys.HS256(secret))
	require.NoError(t, err)
	jwttest.Attack(t, handler, jwttest.Target{
		Key: secret, Algorithm: "HS256", Issuer: demo.Issuer, Audience: demo.Audience,
		Routes: []jwttest.Route{{Path: "/me"}}, Strict: true,
	})
}
