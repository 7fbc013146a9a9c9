package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
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
)

const (
	keyID    = "key-1"
	issuer   = "https://auth.example.com/"
	audience = "https://api.example.com"
	subject  = "auth0|64f0c1a2b3d4e5f6a7b8c9d0"
	leeway   = 30 * time.Second
)

// A keyPair signs and verifies for one algorithm. With HS256 both are the secret.
type keyPair struct{ private, public any }

// ours are the keys of the issuer. strangers are keys that no gate trusts. A key is made
// at first use, because each process runs only a few of the benchmarks.
var ours, strangers = newKeys(), newKeys()

func newKeys() map[string]func() keyPair {
	return map[string]func() keyPair{
		"HS256": sync.OnceValue(func() keyPair {
			secret := make([]byte, 32)
			rand.Read(secret)
			return keyPair{secret, secret}
		}),
		"RS256": sync.OnceValue(func() keyPair {
			key := must(rsa.GenerateKey(rand.Reader, 2048))
			return keyPair{key, &key.PublicKey}
		}),
		"ES256": sync.OnceValue(func() keyPair {
			key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
			return keyPair{key, &key.PublicKey}
		}),
		"EdDSA": sync.OnceValue(func() keyPair {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			return must(keyPair{private, public}, err)
		}),
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// header returns the JSON of the header that the gates expect, with changes.
func header(alg string, changes map[string]any) string {
	return text(map[string]any{"alg": alg, "kid": keyID, "typ": "JWT"}, changes)
}

// payload returns the JSON of the twelve claims of a typical access token, with
// changes.
func payload(changes map[string]any) string {
	now := time.Now()
	return text(map[string]any{
		"iss": issuer, "aud": audience, "sub": subject,
		"exp": now.Add(time.Hour).Unix(), "nbf": now.Add(-time.Minute).Unix(), "iat": now.Add(-time.Minute).Unix(),
		"jti": "8d1f2c3b4a59687f", "client_id": "web-shop", "scope": "orders:read orders:write",
		"tenant": "acme", "roles": []string{"customer"}, "auth_time": now.Add(-time.Hour).Unix(),
	}, changes)
}

// text returns the JSON of members with changes. A change to nil removes the member.
func text(members, changes map[string]any) string {
	maps.Copy(members, changes)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	return string(must(json.Marshal(members)))
}

// sign makes a token from the JSON of its header and claims.
func sign(alg string, key any, header, payload string) string {
	input := encode(header) + "." + encode(payload)
	return input + "." + encode(string(must(jwt.GetSigningMethod(alg).Sign(input, key))))
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// goodToken returns a typical access token.
func goodToken(alg string) string {
	return sign(alg, ours[alg]().private, header(alg, nil), payload(nil))
}

// tokenWithClaims returns a good HS256 token with the given number of claims. Its length is size,
// or up to three bytes less.
func tokenWithClaims(claims, size int) string {
	now := time.Now()
	members := map[string]any{
		"iss": issuer, "aud": audience, "sub": subject,
		"exp": now.Add(time.Hour).Unix(), "nbf": now.Add(-time.Minute).Unix(), "iat": now.Add(-time.Minute).Unix(),
	}
	for i := len(members); i < claims-1; i++ {
		members[fmt.Sprintf("c%d", i)] = i % 10
	}
	// The last claim is text that fills the token up to size.
	fill := func(n int) string {
		members["fill"] = strings.Repeat("x", n)
		return sign("HS256", ours["HS256"]().private, header("HS256", nil), text(members, nil))
	}
	return fill((size - len(fill(0))) * 3 / 4)
}

// A badToken is a token that must be refused. The benchmarks measure the refusal by
// gates for RS256.
type badToken struct {
	name  string
	token func() string
}

var badTokens = []badToken{
	{"unknown-kid", func() string {
		return sign("RS256", strangers["RS256"]().private, header("RS256", map[string]any{"kid": "key-2"}), payload(nil))
	}},
	{"alg-none", func() string {
		return encode(header("none", map[string]any{"kid": nil})) + "." + encode(payload(nil)) + "."
	}},
	{"alg-confusion", func() string { // HS256 with the public key as the secret
		der := must(x509.MarshalPKIXPublicKey(ours["RS256"]().public))
		return sign("HS256", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), header("HS256", nil), payload(nil))
	}},
	{"no-dots", func() string { return strings.ReplaceAll(goodToken("RS256"), ".", "") }},
	{"bad-base64", func() string { // a character of the standard alphabet in the claims
		token := []byte(goodToken("RS256"))
		token[len(encode(header("RS256", nil)))+100] = '+'
		return string(token)
	}},
	{"forged", func() string { return forged(payload(nil)) }},
	{"expired", func() string {
		return sign("RS256", ours["RS256"]().private, header("RS256", nil), payload(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}))
	}},
}

// forged returns a token that is signed with another key but has our key ID.
func forged(payload string) string {
	return sign("RS256", strangers["RS256"]().private, header("RS256", nil), payload)
}

// forgedOf returns bad tokens of about the given size.
func forgedOf(size int) []badToken {
	claims := payload(map[string]any{"fill": strings.Repeat("x", (size-len(forged(payload(nil))))*3/4)})
	stranger := strangers["RS256"]().private
	return []badToken{
		{"unknown-kid", func() string { return sign("RS256", stranger, header("RS256", map[string]any{"kid": "key-2"}), claims) }},
		{"wrong-alg", func() string { return sign("HS256", strangers["HS256"]().private, header("HS256", nil), claims) }},
		{"bad-base64", func() string { return strings.Replace(forged(claims), "eHh4", "eH+4", 1) }}, // in the fill claim
		{"forged", func() string { return forged(claims) }},
	}
}

// newRequest returns a request with a token, as a server would receive it.
func newRequest(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// A response is an http.ResponseWriter with a small cost that does not depend on what
// is written. It keeps only the status.
type response struct {
	header http.Header
	status int
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(p), nil
}

// serve calls the handler and returns the status of its answer.
func (w *response) serve(handler http.Handler, r *http.Request) int {
	clear(w.header)
	w.status = 0
	handler.ServeHTTP(w, r)
	return w.status
}

func newResponse() *response { return &response{header: http.Header{}} }

func TestTokenSizes(t *testing.T) {
	t.Parallel()
	var claims map[string]any
	assert.NoError(t, json.Unmarshal([]byte(payload(nil)), &claims))
	assert.Len(t, claims, 12)
	for alg, size := range map[string]int{"HS256": 500, "RS256": 799, "ES256": 543, "EdDSA": 543} {
		assert.Len(t, goodToken(alg), size)
	}
	for count, size := range map[int]int{100: manySmall, 1000: manyLarge} {
		token := tokenWithClaims(count, size)
		claims = nil
		assert.NoError(t, json.Unmarshal(must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])), &claims))
		assert.Len(t, claims, count)
		assert.InDelta(t, size-2, len(token), 2)
		assert.LessOrEqual(t, len(token), size)
	}
	for _, size := range []int{forgedSmall, forgedLarge} {
		for _, bad := range forgedOf(size) {
			assert.InDelta(t, size, len(bad.token()), 400, bad.name) // the signature of HS256 is shorter
		}
	}
}
