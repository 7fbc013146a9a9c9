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

// The tests of the package share these: the clock, keys, tokens that a gate accepts, gates, and
// requests.

const (
	issuer   = "https://auth.example.com/"
	audience = "https://api.example.com"
)

// now is the time of every gate, unless a test sets another clock.
var now = time.Date(2026, time.January, 1, 0, 30, 0, 0, time.UTC)

// fixedClock returns an Options.Now that always returns t.
func fixedClock(t time.Time) func() time.Time { return func() time.Time { return t } }

// secret is the HS256 key of hs256Token and of newGate.
var secret = []byte("a secret of thirty-two bytes....")

// allAlgorithms lists every supported algorithm. Ed25519 is another name of EdDSA.
var allAlgorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512",
	"PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// privateKey returns a key that signs with algorithm, the same one at each call.
func privateKey(algorithm string) any {
	if strings.HasPrefix(algorithm, "HS") {
		return []byte(strings.Repeat("secret..", 8))
	}
	switch algorithm {
	case "ES256":
		return p256Key()
	case "ES384":
		return p384Key()
	case "ES512":
		return p521Key()
	case "EdDSA":
		return edKey()
	default: // RS256 to PS512
		return rsaKey()
	}
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

// publicKey returns the public key of private, or private itself if it is a secret.
func publicKey(private any) any {
	if signer, ok := private.(crypto.Signer); ok {
		return signer.Public()
	}
	return private
}

// newKey returns the key that verifies tokens signed with privateKey(algorithm).
func newKey(kid, algorithm string) *jwtgate.Key {
	return must(jwtgate.NewKey(kid, algorithm, publicKey(privateKey(algorithm))))
}

// base64url encodes s as the segments of a token are encoded.
func base64url[T string | []byte](s T) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign returns a token with the given header and payload. It signs malformed ones too.
func sign(algorithm string, private any, header, payload string) string {
	return signEncoded(algorithm, private, base64url(header)+"."+base64url(payload))
}

// signEncoded appends a signature to input, which is two encoded segments and a dot.
func signEncoded(algorithm string, private any, input string) string {
	return input + "." + base64url(must(jwt.GetSigningMethod(algorithm).Sign(input, private)))
}

// claimsWith returns the claims of a token that newGate accepts, with changes made to them. A
// change to nil removes the claim.
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

// claimsJSON returns claimsWith(changes) as JSON.
func claimsJSON(changes map[string]any) string {
	return string(must(json.Marshal(claimsWith(changes))))
}

// hs256Token returns a token with claimsWith(changes), signed with secret.
func hs256Token(changes map[string]any) string {
	return sign("HS256", secret, `{"alg":"HS256"}`, claimsJSON(changes))
}

// options returns the options of a gate that accepts hs256Token(nil), with changes made to them.
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

// newGate returns a gate with options(change...).
func newGate(t testing.TB, change ...func(*jwtgate.Options)) *jwtgate.Gate {
	t.Helper()
	gate, err := jwtgate.New(options(change...))
	require.NoError(t, err)
	return gate
}

// failingSource returns a source that returns err and no keys.
func failingSource(err error) jwtgate.KeySource {
	return jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) { return nil, err })
}

// writeSubject writes the subject in the request's context, a comma, and whether the context has
// a token: "alice,true" or ",false".
var writeSubject = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, ok := jwtgate.FromContext(r.Context())
	fmt.Fprintf(w, "%s,%t", jwtgate.Subject(r.Context()), ok)
})

// request returns a request with the given header lines, each of the form "Name: value".
func request(method string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, "/path?query", nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
	}
	return r
}

// serve returns what h responds to r.
func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// requireRefused requires err to be an *Error with the given status that wraps sentinel.
func requireRefused(t testing.TB, err error, status int, sentinel error) *jwtgate.Error {
	t.Helper()
	var e *jwtgate.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, status, e.Status, "%v", err)
	require.ErrorIs(t, err, sentinel)
	return e
}

// requireDenial asserts the headers and the body that all denials have in common. acceptance 11
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

// must returns v. It panics if err is not nil.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A confirmer is a Confirmer for the member method of cnf.
type confirmer struct {
	method  string
	confirm func(*http.Request, *jwtgate.Token) error
}

func (c confirmer) Method() string { return c.method }

func (c confirmer) Confirm(r *http.Request, t *jwtgate.Token, _ string) error { return c.confirm(r, t) }

// confirmBy sets Confirm to Confirmers for keys and for certificates. Tokens that are not bound pass too.
func confirmBy(o *jwtgate.Options, confirm func(*http.Request, *jwtgate.Token) error) {
	o.AllowUnbound = true
	o.Confirm = []jwtgate.Confirmer{confirmer{"jkt", confirm}, confirmer{"x5t#S256", confirm}}
}
