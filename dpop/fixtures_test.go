package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://api.example.com"
)

// now is the time of all gates and Verifiers, unless a test has a clock of its own.
var now = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

// issuerKey signs access tokens.
var issuerKey = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encode[T string | []byte](data T) string {
	return base64.RawURLEncoding.EncodeToString([]byte(data))
}

// A client has a key and makes proofs.
type client struct {
	alg string
	key crypto.Signer
}

var (
	p256Client    = &client{"ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	otherClient   = &client{"ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	p384Client    = &client{"ES384", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))}
	ed25519Client = &client{"Ed25519", newEd25519()}
	rsaClient     = sync.OnceValue(func() *client { return &client{"PS256", must(rsa.GenerateKey(rand.Reader, 2048))} })
)

func newEd25519() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

// jwk returns the members of the public key.
func (c *client) jwk() map[string]any {
	switch key := c.key.Public().(type) {
	case *ecdsa.PublicKey:
		point := must(key.Bytes())
		n := len(point) / 2
		return map[string]any{"kty": "EC", "crv": key.Params().Name, "x": encode(point[1 : 1+n]), "y": encode(point[1+n:])}
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode([]byte(key))}
	}
	panic(c.alg)
}

// thumbprint returns the thumbprint of the key (RFC 7638). json.Marshal writes the members
// in the order of their names, without white space.
func (c *client) thumbprint() string {
	sum := sha256.Sum256(must(json.Marshal(c.jwk())))
	return encode(sum[:])
}

// sign signs a JWT.
func sign(alg string, key any, header, claims string) string {
	if alg == "Ed25519" {
		alg = "EdDSA"
	}
	input := encode(header) + "." + encode(claims)
	return input + "." + encode(must(jwt.GetSigningMethod(alg).Sign(input, key)))
}

// token returns an access token that is bound to the key of c.
func (c *client) token(changes ...map[string]any) string {
	claims := map[string]any{
		"iss": issuer, "aud": audience, "sub": "alice", "exp": now.Add(24 * time.Hour).Unix(),
		"cnf": map[string]any{"jkt": c.thumbprint()},
	}
	for _, change := range changes {
		maps.Copy(claims, change)
	}
	return sign("ES256", issuerKey, `{"alg":"ES256","typ":"at+jwt"}`, text(claims))
}

// text returns the JSON of members. A member that is nil is left out.
func text(members map[string]any) string {
	members = maps.Clone(members)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	return string(must(json.Marshal(members)))
}

// A draft is a proof that is not signed yet.
type draft struct {
	client         *client
	header, claims map[string]any
	rawHeader      string // in place of header
	rawClaims      string
}

// draft returns a good proof for a request at now.
func (c *client) draft(method, url, token string) *draft {
	hash := sha256.Sum256([]byte(token))
	return &draft{
		client: c,
		header: map[string]any{"typ": "dpop+jwt", "alg": c.alg, "jwk": c.jwk()},
		claims: map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": now.Unix(), "ath": encode(hash[:])},
	}
}

func (d *draft) sign() string {
	header, claims := d.rawHeader, d.rawClaims
	if header == "" {
		header = text(d.header)
	}
	if claims == "" {
		claims = text(d.claims)
	}
	return sign(d.client.alg, d.client.key, header, claims)
}

// newGate returns a gate with a Verifier.
func newGate(t testing.TB, v *dpop.Verifier, changes ...func(*jwtgate.Options)) *jwtgate.Gate {
	t.Helper()
	if v.Now == nil {
		v.Now = func() time.Time { return now }
	}
	if v.URLs == nil {
		v.URLs = []string{"https://api.example.com"}
	}
	o := jwtgate.Options{
		Keys:      keys.Static(must(jwtgate.NewKey("", "ES256", &issuerKey.PublicKey))),
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		Confirm:   []jwtgate.Confirmer{v},
		Now:       v.Now,
	}
	for _, change := range changes {
		change(&o)
	}
	gate, err := jwtgate.New(o)
	require.NoError(t, err)
	return gate
}

// newRequest returns a request with header lines such as "DPoP: x".
func newRequest(method, target string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// send sends a request to gate, and returns the answer and the reason for the log.
func send(gate *jwtgate.Gate, r *http.Request) answer {
	w := httptest.NewRecorder()
	_, err := gate.Check(r)
	if err != nil {
		gate.Deny(w, r, err)
	}
	return answer{w, err}
}

type answer struct {
	*httptest.ResponseRecorder
	err error // nil if the request has passed
}

// code returns the error code of the DPoP challenge, and "" if the request has passed.
func (a answer) code() string {
	if a.err == nil {
		return ""
	}
	for _, challenge := range a.Header()["Www-Authenticate"] {
		if !strings.HasPrefix(challenge, "DPoP ") {
			continue
		}
		_, after, found := strings.Cut(challenge, ` error="`)
		if found {
			code, _, _ := strings.Cut(after, `"`)
			return code
		}
	}
	return "no code"
}

// serve calls handler and returns its answer.
func serve(handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}
