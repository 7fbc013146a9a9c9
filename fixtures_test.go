package jwtgate_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://api.example.com"
)

// now is the time in all tests that do not tell another one.
var now = time.Date(2026, time.January, 1, 0, 30, 0, 0, time.UTC)

func fixedClock(t time.Time) func() time.Time { return func() time.Time { return t } }

var secret = []byte("a secret of thirty-two bytes....")

// allAlgorithms is every algorithm under its usual name.
var allAlgorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512",
	"PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// private returns a private key for an algorithm, the same at each call.
func privateKey(algorithm string) any {
	if strings.HasPrefix(algorithm, "HS") {
		return []byte(strings.Repeat("secret..", 8))
	}
	return map[string]func() any{
		"RS": rsaKey, "PS": rsaKey, "Ed": edKey,
		"ES256": p256Key, "ES384": p384Key, "ES512": p521Key,
	}[map[bool]string{true: algorithm, false: algorithm[:2]}[algorithm[:2] == "ES"]]()
}

var (
	rsaKey = sync.OnceValue(func() any { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	edKey  = sync.OnceValue(func() any {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return must(key, err)
	})
	p256Key = sync.OnceValue(func() any { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key = sync.OnceValue(func() any { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521Key = sync.OnceValue(func() any { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
)

// public returns what a verifier of a private key needs.
func publicKey(private any) any {
	if signer, ok := private.(crypto.Signer); ok {
		return signer.Public()
	}
	return private
}

func newKey(kid, algorithm string) *jwtgate.Key {
	return must(jwtgate.NewKey(kid, algorithm, publicKey(privateKey(algorithm))))
}

func base64url[T string | []byte](s T) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign signs any header and payload, well-formed or not.
func sign(algorithm string, private any, header, payload string) string {
	return signEncoded(algorithm, private, base64url(header)+"."+base64url(payload))
}

func signEncoded(algorithm string, private any, input string) string {
	return input + "." + base64url(must(jwt.GetSigningMethod(algorithm).Sign(input, private)))
}

// claims returns the claims of a good token with some of them replaced, or
// left out where the value is nil.
func claimsWith(changes map[string]any) map[string]any {
	all := map[string]any{
		"iss": issuer, "sub": "alice", "aud": audience, "jti": "token-1",
		"scope": "orders:read orders:write",
		"iat":   now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

func claimsJSON(changes map[string]any) string {
	return string(must(json.Marshal(claimsWith(changes))))
}

// hs256 returns a token signed with secret.
func hs256Token(changes map[string]any) string {
	return sign("HS256", secret, `{"alg":"HS256"}`, claimsJSON(changes))
}

// options returns those of a gate that accepts hs256(nil).
func options(change ...func(*jwtgate.Options)) jwtgate.Options {
	o := jwtgate.Options{
		Keys:      keys.HS256(secret),
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		Now:       fixedClock(now),
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func newGate(t testing.TB, change ...func(*jwtgate.Options)) *jwtgate.Gate {
	t.Helper()
	gate, err := jwtgate.New(options(change...))
	require.NoError(t, err)
	return gate
}

func failingSource(err error) jwtgate.KeySource {
	return jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) { return nil, err })
}

// subject answers with the subject it finds.
var writeSubject = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

// requireRefused asserts what every refusal has in common, and which it is.
func requireRefused(t testing.TB, err error, status int, sentinel error) *jwtgate.Error {
	t.Helper()
	var e *jwtgate.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, status, e.Status, "%v", err)
	require.ErrorIs(t, err, sentinel)
	return e
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

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
