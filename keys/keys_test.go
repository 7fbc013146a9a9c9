package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"path/filepath"
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

// TestMain discards what sources log to slog.Default. A test reads it with captureDefaultLog.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	prepareDefaultTransport()
	os.Exit(m.Run())
}

// Private keys, each made on first use.
var (
	rsaKey      = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSAKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	weakRSAKey  = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
	p224Key     = sync.OnceValue(func() *ecdsa.PrivateKey { return newECDSA(elliptic.P224()) })
	p256Key     = sync.OnceValue(func() *ecdsa.PrivateKey { return newECDSA(elliptic.P256()) })
	p384Key     = sync.OnceValue(func() *ecdsa.PrivateKey { return newECDSA(elliptic.P384()) })
	p521Key     = sync.OnceValue(func() *ecdsa.PrivateKey { return newECDSA(elliptic.P521()) })
	edKey       = sync.OnceValue(newEd25519)
	otherEdKey  = sync.OnceValue(newEd25519)
)

func newECDSA(curve elliptic.Curve) *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(curve, rand.Reader))
}

func newEd25519() ed25519.PrivateKey {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return must(private, err)
}

func public(private ed25519.PrivateKey) ed25519.PublicKey {
	return private.Public().(ed25519.PublicKey)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newCertificate returns a self-signed certificate that has expired. Key sources do not look at its dates.
func newCertificate(t testing.TB, private crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "auth.example.com"},
		NotBefore:    time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2002, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	return der
}

func pkixDER(public any) []byte { return must(x509.MarshalPKIXPublicKey(public)) }

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func publicPEM(public any) string { return string(pemBlock("PUBLIC KEY", pkixDER(public))) }

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newKey(t testing.TB, id, algorithm string, material any) *jwtgate.Key {
	t.Helper()
	k, err := jwtgate.NewKey(id, algorithm, material)
	require.NoError(t, err)
	return k
}

func randomSecret(size int) []byte {
	secret := make([]byte, size)
	_, _ = rand.Read(secret)
	// HS256 and its siblings refuse a secret that looks like a line of text. This one never does.
	secret[0] = 0xff
	return secret
}

// A jwk holds the members of a JSON Web Key. Tests change them with its methods.
type jwk map[string]any

// jwkOf returns a public key as a JWK without kid and alg.
func jwkOf(public any) jwk {
	switch p := public.(type) {
	case *rsa.PublicKey:
		return jwk{"kty": "RSA", "n": base64url(p.N.Bytes()), "e": base64url(big.NewInt(int64(p.E)).Bytes())}
	case *ecdsa.PublicKey:
		point := must(p.Bytes())[1:]
		return jwk{"kty": "EC", "crv": p.Params().Name, "x": base64url(point[:len(point)/2]), "y": base64url(point[len(point)/2:])}
	case ed25519.PublicKey:
		return jwk{"kty": "OKP", "crv": "Ed25519", "x": base64url(p)}
	}
	panic("no such key")
}

func (j jwk) with(name string, value any) jwk {
	changed := maps.Clone(j)
	changed[name] = value
	return changed
}

func (j jwk) without(names ...string) jwk {
	changed := maps.Clone(j)
	for _, name := range names {
		delete(changed, name)
	}
	return changed
}

func (j jwk) String() string { return string(must(json.Marshal(map[string]any(j)))) }

// jwkSet returns a JWK Set with the given keys. Each is a jwk or JSON text.
func jwkSet(jwks ...any) []byte {
	var texts []string
	for _, j := range jwks {
		texts = append(texts, fmt.Sprint(j))
	}
	return []byte(`{"keys":[` + strings.Join(texts, ",") + `]}`)
}

// oneKeySet returns a JWK Set with one key, whose ID is kid.
func oneKeySet(kid string, private ed25519.PrivateKey) []byte {
	return jwkSet(jwkOf(public(private)).with("kid", kid))
}

// sign returns a token that newGate accepts if its key does. An empty kid means a token without kid.
func sign(t testing.TB, method jwt.SigningMethod, key any, kid string) string {
	t.Helper()
	return signFor(t, issuer, method, key, kid)
}

func signFor(t testing.TB, issuer string, method jwt.SigningMethod, key any, kid string) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": issuer, "sub": "alice", "aud": audience, "exp": time.Now().Add(time.Hour).Unix(),
	})
	if kid != "" {
		token.Header["kid"] = kid
	}
	signed, err := token.SignedString(key)
	require.NoError(t, err)
	return signed
}

func signEdDSA(t testing.TB, private ed25519.PrivateKey, kid string) string {
	t.Helper()
	return sign(t, jwt.SigningMethodEdDSA, private, kid)
}

func newGate(t testing.TB, source jwtgate.KeySource) *jwtgate.Gate {
	t.Helper()
	gate, err := jwtgate.New(jwtgate.Options{Keys: source, Issuers: []string{issuer}, Audiences: []string{audience}})
	require.NoError(t, err)
	return gate
}

// newGateWithFixedClock returns a gate like newGate's that also remembers tokens. Its clock stands still, so that
// tokens do not expire while a test waits for hours.
func newGateWithFixedClock(t testing.TB, source jwtgate.KeySource) *jwtgate.Gate {
	t.Helper()
	now := time.Now()
	gate, err := jwtgate.New(jwtgate.Options{
		Keys: source, Issuers: []string{issuer}, Audiences: []string{audience}, CacheSize: 100,
		Now: func() time.Time { return now },
	})
	require.NoError(t, err)
	return gate
}

// verify verifies token with the keys of source.
func verify(t testing.TB, source jwtgate.KeySource, token string) error {
	t.Helper()
	_, err := newGate(t, source).Verify(t.Context(), token)
	return err
}

// errorOfNew requires jwtgate.New to refuse source, and returns the text of the error.
func errorOfNew(t testing.TB, source jwtgate.KeySource) string {
	t.Helper()
	_, err := jwtgate.New(jwtgate.Options{Keys: source, Issuers: []string{issuer}, Audiences: []string{audience}})
	require.Error(t, err)
	assert.ErrorContains(t, err, "Options.Keys: ")
	return err.Error()
}

// errorOfUnusable is errorOfNew for a source without a usable key. Its Keys must fail too, rather than return no
// key.
func errorOfUnusable(t testing.TB, source jwtgate.KeySource) string {
	t.Helper()
	ks, err := source.Keys(t.Context(), issuer, "")
	assert.Error(t, err)
	assert.Empty(t, ks)
	return errorOfNew(t, source)
}

// lookUp calls source.Keys and returns the keys as "ID algorithm".
func lookUp(t testing.TB, source jwtgate.KeySource, issuer, kid string) []string {
	t.Helper()
	ks, err := source.Keys(t.Context(), issuer, kid)
	require.NoError(t, err)
	var all []string
	for _, k := range ks {
		all = append(all, k.ID()+" "+k.Algorithm())
	}
	return all
}

// concurrently calls f on n goroutines and returns when all calls have returned.
func concurrently(n int, f func(i int)) {
	// In a synctest bubble, Go may take a new WaitGroup for one of another bubble, and end the program
	// (go.dev/issue/75285).
	ended := make(chan struct{})
	for i := range n {
		go func() {
			defer func() { ended <- struct{}{} }()
			f(i)
		}()
	}
	for range n {
		<-ended
	}
}

// A logBuffer is a writer for a text log. It is safe for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// drain returns the records since the last call, one a line.
func (l *logBuffer) drain() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	if l.buf.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(l.buf.String()), "\n")
}

// captureDefaultLog returns a buffer for what slog.Default logs until the test ends. The test must not be
// parallel.
func captureDefaultLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	var lines bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&lines, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &lines
}

// acceptance 50
func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	secret := []byte("a-secret-of-32-bytes-0123456789-")
	untrimmed := []byte("a-secret-of-32-bytes-0123456789-\n")
	short := []byte("a-secret-of-32-b")

	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, secret, 0o600))
	file := &keys.File{Path: path, Logger: slog.New(slog.DiscardHandler), Parse: func(content []byte) ([]*jwtgate.Key, error) {
		k, err := jwtgate.NewKey("k1", "HS256", content)
		return []*jwtgate.Key{k}, err
	}}
	require.NoError(t, file.CheckIssuers(nil))

	key := newKey(t, "k1", "HS256", secret)
	_, wrongKind := jwtgate.NewKey("k1", "RS256", secret)
	_, aString := jwtgate.NewKey("k1", "HS256", string(secret))
	_, tooShort := jwtgate.NewKey("k1", "HS256", short)
	private := edKey()
	privatePEM := pemBlock("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private)))
	_, privateKey := jwtgate.NewKey("k1", "EdDSA", private)
	source := keys.HS256(secret)
	gate := newGate(t, source)
	_, refused := gate.Verify(t.Context(), sign(t, jwt.SigningMethodHS512, secret, ""))
	check := func(source jwtgate.KeySource) error {
		return source.(interface{ CheckIssuers([]string) error }).CheckIssuers(nil)
	}

	// The secrets, in each form in which fmt prints bytes and big numbers.
	secrets := [][]byte{[]byte("a-secret-of-32-b"), private.Seed(), p256Key().D.Bytes()}
	var forms []string
	for _, s := range secrets {
		forms = append(forms, string(s), hex.EncodeToString(s), strings.ToUpper(hex.EncodeToString(s)), fmt.Sprintf("% x", s), fmt.Sprintf("%# x", s),
			strings.Trim(fmt.Sprint(s), "[]"), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", s), "[]byte{"), "}"), strings.Trim(fmt.Sprintf("%o", s), "[]"),
			base64.StdEncoding.EncodeToString(s[:15]), base64.RawURLEncoding.EncodeToString(s[:15]), new(big.Int).SetBytes(s).String())
	}

	for _, tt := range []struct {
		name  string
		value any
	}{
		{"source", source},
		{"source in options", jwtgate.Options{Keys: source}},
		{"sources by issuer", keys.ByIssuer{issuer: source}},
		{"static source", keys.Static(key)},
		{"joined sources", keys.Join(source, file)},
		{"joined sources in options", jwtgate.Options{Keys: keys.Join(source, file)}},
		{"file", file},
		{"file in options", jwtgate.Options{Keys: file}},
		{"pointer to a key", key},
		{"key", *key},
		{"keys", []*jwtgate.Key{key}},
		{"key in a struct", struct{ Key *jwtgate.Key }{key}},
		{"key by value in a struct", struct{ Key jwtgate.Key }{*key}},
		{"key in a field that fmt cannot call methods of", struct{ key jwtgate.Key }{*key}},
		{"nil key", (*jwtgate.Key)(nil)},
		{"zero key", jwtgate.Key{}},
		{"gate", gate},
		{"source of a short secret", keys.HS256(short)},
		{"source of a private key", keys.Public(private)},
		{"error: short secret", check(keys.HS256(short))},
		{"error: untrimmed secret", check(keys.HS256(untrimmed))},
		{"error: five secrets", check(keys.HS256(secret, secret, secret, secret, secret))},
		{"error: too short", tooShort},
		{"error: a secret for an RSA algorithm", wrongKind},
		{"error: a string", aString},
		{"error: a private key", privateKey},
		{"error: a private key given to Public", check(keys.Public(private))},
		{"error: a private key as PEM", check(keys.PEM(privatePEM))},
		{"error: a secret given to PEM", check(keys.PEM(secret))},
		{"error: a secret given to JWKS", check(keys.JWKS(secret))},
		{"error: a symmetric JWK", check(keys.JWKS(jwkSet(`{"kty":"oct","kid":"k1","k":"` + base64url(secret) + `"}`)))},
		{"error: a private JWK", check(keys.JWKS(jwkSet(jwkOf(&p256Key().PublicKey).with("d", base64url(p256Key().D.Bytes())))))},
		{"error: refused token", refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var printed []string
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "% x", "%o", "%c", "%U", "%t", "%p", "%T"} {
				printed = append(printed, fmt.Sprintf(verb, tt.value))
			}
			var line strings.Builder
			slog.New(slog.NewTextHandler(&line, nil)).Info("value", "value", tt.value)
			slog.New(slog.NewJSONHandler(&line, nil)).Info("value", "value", tt.value)
			printed = append(printed, line.String())
			if asJSON, err := json.Marshal(tt.value); err == nil {
				printed = append(printed, string(asJSON))
			}
			for _, p := range printed {
				for _, form := range forms {
					assert.NotContains(t, p, form)
				}
			}
		})
	}

	assert.Equal(t, `key "k1" for HS256`, fmt.Sprint(key))
	assert.Equal(t, `key "k1" for HS256`, fmt.Sprintf("%#v", *key))
}

// acceptance 55: if the source has no keys, the answer is 503, not a refusal of the token.
func TestSourceWithoutKeys_Unavailable(t *testing.T) {
	t.Parallel()
	// A KeySourceFunc has no CheckIssuers method, so New cannot find the mistake.
	source := keys.HS256([]byte("too short"))
	err := verify(t, jwtgate.KeySourceFunc(source.Keys), sign(t, jwt.SigningMethodHS256, []byte("too short"), ""))
	var e *jwtgate.Error
	require.True(t, errors.As(err, &e))
	assert.Equal(t, 503, e.Status)
}

func TestCheckIssuers_OfGoodSources(t *testing.T) {
	t.Parallel()
	for _, source := range []jwtgate.KeySource{keys.HS256(randomSecret(32)), keys.Public(public(edKey())), keys.Static(newKey(t, "a", "EdDSA", public(edKey())))} {
		checker, ok := source.(interface{ CheckIssuers([]string) error })
		require.True(t, ok)
		for _, issuers := range [][]string{nil, {""}, {issuer}, {issuer, "https://other.example/"}} {
			assert.NoError(t, checker.CheckIssuers(issuers))
		}
	}
}

// A source copies what it is given: later changes do not matter.
func TestSourcesCopyMaterial(t *testing.T) {
	t.Parallel()
	t.Run("secret", func(t *testing.T) {
		t.Parallel()
		secret := randomSecret(32)
		token := sign(t, jwt.SigningMethodHS256, secret, "")
		source := keys.HS256(secret)
		clear(secret)
		assert.NoError(t, verify(t, source, token))
		assert.ErrorIs(t, verify(t, source, sign(t, jwt.SigningMethodHS256, secret, "")), jwtgate.ErrSignature)
	})
	t.Run("RSA", func(t *testing.T) {
		t.Parallel()
		given := &rsa.PublicKey{N: new(big.Int).Set(rsaKey().N), E: rsaKey().E}
		source := keys.Public(given)
		given.N.Set(otherRSAKey().N)
		assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodRS256, rsaKey(), "")))
	})
	t.Run("Ed25519", func(t *testing.T) {
		t.Parallel()
		given := bytes.Clone(public(edKey()))
		source := keys.Public(ed25519.PublicKey(given))
		clear(given)
		assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "")))
	})
	t.Run("list of keys", func(t *testing.T) {
		t.Parallel()
		given := []*jwtgate.Key{newKey(t, "a", "EdDSA", public(edKey()))}
		source := keys.Static(given...)
		given[0] = newKey(t, "a", "EdDSA", public(otherEdKey()))
		assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "a")))
	})
}
