package mtls_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/jwtgate/jwtgate/mtls"
)

const (
	issuer   = "https://auth.example.com/"
	audience = "https://api.example.com"
)

var secret = []byte("a secret of thirty-two bytes....")

// token returns a good token with the given cnf, or without one if cnf is nil.
func token(t testing.TB, cnf any) string {
	claims := jwt.MapClaims{"iss": issuer, "aud": audience, "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	if cnf != nil {
		claims["cnf"] = cnf
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	require.NoError(t, err)
	return signed
}

// boundTo returns a token that is bound to a certificate.
func boundTo(t testing.TB, der []byte) string {
	return token(t, map[string]string{"x5t#S256": thumbprint(der)})
}

func thumbprint(der []byte) string {
	digest := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// A guarded is a handler behind a gate with a Verifier, and the last refusal of the gate.
type guarded struct {
	http.Handler
	gate    *jwtgate.Gate
	refusal *jwtgate.Error
}

func guard(t testing.TB, v mtls.Verifier, change ...func(*jwtgate.Options)) *guarded {
	g := &guarded{}
	o := jwtgate.Options{
		Keys: keys.HS256(secret), Issuers: []string{issuer}, Audiences: []string{audience},
		Confirm: []jwtgate.Confirmer{v},
		Observe: func(_ context.Context, e jwtgate.Event) {
			g.refusal = nil
			errors.As(e.Err, &g.refusal)
		},
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	g.gate, err = jwtgate.New(o)
	require.NoError(t, err)
	g.Handler = g.gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resumed := r.TLS != nil && r.TLS.DidResume
		fmt.Fprintf(w, "%s HTTP/%d resumed=%t", jwtgate.Subject(r.Context()), r.ProtoMajor, resumed)
	}))
	return g
}

// requireRefused requires the last refusal to be 401 invalid_token with a text for the log.
func (g *guarded) requireRefused(t testing.TB, text string) {
	t.Helper()
	require.NotNil(t, g.refusal)
	assert.Equal(t, 401, g.refusal.Status)
	assert.Equal(t, "invalid_token", g.refusal.Code)
	require.ErrorIs(t, g.refusal, jwtgate.ErrProof)
	assert.Equal(t, "proof", g.refusal.Reason())
	assert.Contains(t, g.refusal.Error(), "proof not accepted: ")
	assert.Equal(t, 1, strings.Count(g.refusal.Error(), "proof not accepted"))
	assert.Contains(t, g.refusal.Error(), text)
	assert.LessOrEqual(t, len(g.refusal.Err.Error()), 260)
}

// newKey returns a private key for a certificate.
func newKey(t testing.TB) crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// selfSigned returns a certificate of key that key has signed.
func selfSigned(t testing.TB, key crypto.Signer) tls.Certificate {
	template := &x509.Certificate{SerialNumber: serial(t), Subject: pkix.Name{CommonName: "client"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// issuedBy returns a certificate that ca has signed, with ca behind it.
func issuedBy(t testing.TB, ca tls.Certificate) tls.Certificate {
	parent, err := x509.ParseCertificate(ca.Certificate[0])
	require.NoError(t, err)
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: serial(t), Subject: pkix.Name{CommonName: "leaf"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), ca.PrivateKey)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der, ca.Certificate[0]}, PrivateKey: key}
}

func serial(t testing.TB) *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	require.NoError(t, err)
	return n
}

// serve starts a server, with TLS and HTTP/2 unless plain is true.
func serve(t testing.TB, h http.Handler, plain bool) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	if plain {
		server.Start()
	} else {
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		server.StartTLS()
	}
	t.Cleanup(server.Close)
	return server
}

// client returns a client of server that has a certificate, or none if it is nil. It makes
// a new connection for each request if config changes nothing else.
func client(server *httptest.Server, certificate *tls.Certificate, protocol int, version uint16) *http.Client {
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.DisableKeepAlives = protocol == 1
	transport.ForceAttemptHTTP2 = protocol == 2
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{}
	}
	transport.TLSClientConfig.MaxVersion = version
	transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if protocol == 1 {
		transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	if certificate != nil {
		// The server names no CAs, so the client sends any certificate.
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return &http.Client{Transport: transport}
}

func get(t testing.TB, c *http.Client, url, bearer string, headers ...string) (int, string, string) {
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+bearer)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	response, err := c.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body), response.Header.Get("WWW-Authenticate")
}

// acceptance 84 and 85
func TestVerifier(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	own, renewed, other := selfSigned(t, key), selfSigned(t, key), selfSigned(t, newKey(t))
	leaf := issuedBy(t, own) // its chain has own as the CA
	leafBehindOther := tls.Certificate{Certificate: [][]byte{other.Certificate[0], own.Certificate[0]}, PrivateKey: other.PrivateKey}
	for _, tt := range []struct {
		name   string
		bound  []byte
		client *tls.Certificate
		plain  bool   // HTTP without TLS
		text   string // of the refusal; "" if the request passes
	}{
		{"the certificate, self-signed", own.Certificate[0], &own, false, ""},
		{"the certificate, of a CA", leaf.Certificate[0], &leaf, false, ""},
		{"no certificate", own.Certificate[0], nil, false, "the client sent none"},
		{"another certificate", own.Certificate[0], &other, false, "the client's certificate has the SHA-256 \"" + thumbprint(other.Certificate[0]) + "\", and the token is bound to \"" + thumbprint(own.Certificate[0]) + `"`},
		{"the certificate was renewed with the same key", own.Certificate[0], &renewed, false, "renewed"},
		{"the CA of the chain", own.Certificate[0], &leaf, false, "and the token is bound to"},
		{"the certificate behind another", own.Certificate[0], &leafBehindOther, false, "and the token is bound to"},
		{"no TLS", own.Certificate[0], nil, true, "did not come over TLS"},
	} {
		for _, protocol := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, HTTP/%d", tt.name, protocol), func(t *testing.T) {
				t.Parallel()
				if tt.plain && protocol == 2 {
					t.Skip("HTTP/2 without TLS")
				}
				g := guard(t, mtls.Verifier{})
				server := serve(t, g, tt.plain)
				status, body, challenge := get(t, client(server, tt.client, protocol, tls.VersionTLS13), server.URL, boundTo(t, tt.bound))
				if tt.text == "" {
					require.Equal(t, 200, status, "%v", g.refusal)
					assert.Equal(t, fmt.Sprintf("alice HTTP/%d resumed=false", protocol), body)
					return
				}
				require.Equal(t, 401, status)
				assert.Contains(t, challenge, `error="invalid_token"`)
				assert.NotContains(t, challenge+body, "certificate", "clients get fixed texts")
				g.requireRefused(t, tt.text)
			})
		}
	}
}

// acceptance 85
func TestVerifier_ResumedSession(t *testing.T) {
	t.Parallel()
	own, other := selfSigned(t, newKey(t)), selfSigned(t, newKey(t))
	for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t, mtls.Verifier{})
			server := serve(t, g, false)
			c := client(server, &own, 1, version)
			for _, want := range []string{"alice HTTP/1 resumed=false", "alice HTTP/1 resumed=true", "alice HTTP/1 resumed=true"} {
				status, body, _ := get(t, c, server.URL, boundTo(t, own.Certificate[0]))
				require.Equal(t, 200, status)
				require.Equal(t, want, body)
			}
			status, _, _ := get(t, c, server.URL, boundTo(t, other.Certificate[0]))
			require.Equal(t, 401, status, "a resumed session is no certificate of somebody else")
			g.requireRefused(t, thumbprint(own.Certificate[0]))
		})
	}
	t.Run("without a certificate", func(t *testing.T) {
		t.Parallel()
		g := guard(t, mtls.Verifier{})
		server := serve(t, g, false)
		c := client(server, nil, 1, tls.VersionTLS13)
		for range 2 {
			status, _, _ := get(t, c, server.URL, boundTo(t, own.Certificate[0]))
			require.Equal(t, 401, status)
			g.requireRefused(t, "the client sent none")
		}
	})
}

// acceptance 84: there is one way to write the value.
func TestVerifier_Value(t *testing.T) {
	t.Parallel()
	der := []byte("a certificate")
	right := thumbprint(der)
	digest := sha256.Sum256(der)
	last := right[len(right)-1]
	sibling := right[:len(right)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", last)+1])
	loose, err := base64.RawURLEncoding.DecodeString(sibling)
	require.NoError(t, err)
	require.Equal(t, digest[:], loose, "another text of the same bytes")
	v := mtls.Verifier{Thumbprint: func(r *http.Request) ([32]byte, error) {
		if r.Header.Get("Authorization") == "" {
			return [32]byte{}, errors.New("no certificate")
		}
		return digest, nil
	}}
	for _, tt := range []struct {
		name, value string
		status      int
		text        string
	}{
		{"right", right, 200, ""},
		{"padding", right + "=", 401, "it must be the SHA-256 of a certificate in 43 characters of base64url without padding"},
		{"a space after it", right + " ", 401, "43 characters"},
		{"a space before it", " " + right, 401, "43 characters"},
		{"a line break", right[:20] + "\n" + right[20:], 401, "43 characters"},
		{"trailing bits", sibling, 401, "and the token is bound to \"" + sibling},
		{"the alphabet of base64", base64.RawStdEncoding.EncodeToString(digest[:]), 401, "and the token is bound to"},
		{"hexadecimal", hex.EncodeToString(digest[:]), 401, "43 characters"},
		{"empty", "", 401, `x5t#S256 of cnf is ""`},
		{"long", strings.Repeat("A", 100_000), 401, `AAAA...; it must be`},
		{"another case", strings.ToLower(right), 401, "and the token is bound to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "the alphabet of base64" && tt.value == right {
				t.Skip("the digest has no byte that shows")
			}
			g := guard(t, v, func(o *jwtgate.Options) { o.MaxTokenBytes = 1 << 20 })
			w := request(t, g, token(t, map[string]string{"x5t#S256": tt.value}))
			require.Equal(t, tt.status, w.Code)
			if tt.status == 401 {
				g.requireRefused(t, tt.text)
			}
		})
	}
	for name, cnf := range map[string]any{
		"another member too":     map[string]string{"x5t#S256": right, "jkt": right},
		"the name in lower case": map[string]string{"x5t#s256": right},
		"a list":                 map[string]any{"x5t#S256": []string{right}},
		"no cnf":                 nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, 401, request(t, guard(t, v), token(t, cnf)).Code)
		})
	}
}

// request returns the answer of h to a request with the token and the headers.
func request(t testing.TB, h http.Handler, bearer string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+bearer)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestVerifier_UnderVerify(t *testing.T) {
	t.Parallel()
	der := []byte("a certificate")
	for name, v := range map[string]mtls.Verifier{"TLS": {}, "Client-Cert": {Thumbprint: mtls.ClientCert}, "XFCC": {Thumbprint: mtls.XFCC}} {
		g := guard(t, v)
		_, err := g.gate.Verify(t.Context(), boundTo(t, der))
		require.ErrorIs(t, err, jwtgate.ErrProof, name)
	}
}

// A remembered token is checked as well, and a nested gate asks again.
func TestVerifier_Remembered(t *testing.T) {
	t.Parallel()
	own, other := selfSigned(t, newKey(t)), selfSigned(t, newKey(t))
	inner := guard(t, mtls.Verifier{}, func(o *jwtgate.Options) { o.CacheSize = 10 })
	server := serve(t, inner.gate.Handler(inner), false)
	bearer := boundTo(t, own.Certificate[0])
	for range 2 {
		status, _, _ := get(t, client(server, &own, 2, tls.VersionTLS13), server.URL, bearer)
		require.Equal(t, 200, status)
		status, _, _ = get(t, client(server, &other, 2, tls.VersionTLS13), server.URL, bearer)
		require.Equal(t, 401, status)
	}
}

func TestVerifier_Thumbprint(t *testing.T) {
	t.Parallel()
	der := []byte("a certificate")
	for _, tt := range []struct {
		name   string
		err    error
		status int
		text   string
	}{
		{"its own error", errors.New("no header X-Cert"), 401, "proof not accepted: no header X-Cert"},
		{"an outage", fmt.Errorf("%w: the store of certificates is down", jwtgate.ErrUnavailable), 503, "the store of certificates is down"},
		{"an error of the gate", &jwtgate.Error{Status: 400, Code: "invalid_request", Err: errors.New("two headers")}, 400, "two headers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := guard(t, mtls.Verifier{Thumbprint: func(*http.Request) ([32]byte, error) { return sha256.Sum256(der), tt.err }})
			require.Equal(t, tt.status, request(t, g, boundTo(t, der)).Code, "an error counts, whatever comes with it")
			assert.Contains(t, g.refusal.Error(), tt.text)
		})
	}
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		thumbprint func(*http.Request) ([32]byte, error)
		problem    string
	}{
		{"a certificate out of nothing", func(r *http.Request) ([32]byte, error) { return sha256.Sum256([]byte(r.Header.Get("X-Cert"))), nil },
			"Confirm: mtls.Verifier: Thumbprint accepts a request without a certificate; it must return an error"},
		{"a panic", func(r *http.Request) ([32]byte, error) { return sha256.Sum256(r.TLS.PeerCertificates[0].Raw), nil },
			"Confirm: mtls.Verifier: Thumbprint panics for a request without a certificate (runtime error: invalid memory address or nil pointer dereference); it must return an error"},
	} {
		_, err := jwtgate.New(jwtgate.Options{
			Keys: keys.HS256(secret), Issuers: []string{issuer}, Audiences: []string{audience},
			Confirm: []jwtgate.Confirmer{mtls.Verifier{Thumbprint: tt.thumbprint}},
		})
		require.ErrorContains(t, err, tt.problem, tt.name)
	}
	for _, v := range []jwtgate.ConfirmerChecker{mtls.Verifier{}, &mtls.Verifier{}, mtls.Verifier{Thumbprint: mtls.ClientCert}, mtls.Verifier{Thumbprint: mtls.XFCC}} {
		assert.NoError(t, v.CheckConfirmer())
		assert.Equal(t, "x5t#S256", v.Method())
	}
	// A nil Verifier cannot be meant.
	_, err := jwtgate.New(jwtgate.Options{
		Keys: keys.HS256(secret), Issuers: []string{issuer}, Audiences: []string{audience}, Confirm: []jwtgate.Confirmer{(*mtls.Verifier)(nil)},
	})
	require.ErrorContains(t, err, "Confirmer 1 is nil")
}
