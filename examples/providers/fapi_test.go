package providers_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFAPI(t *testing.T) {
	t.Parallel()
	const (
		bank = "https://auth.bank.example"
		api  = "https://api.bank.example"
	)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	edPublic, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	point, err := ec.PublicKey.Bytes()
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	server := httptest.NewUnstartedServer(nil)
	options := online(t, providers.FAPI(bank, api, "https://"+server.Listener.Addr().String()), map[string]any{
		bank + "/.well-known/openid-configuration": map[string]any{"issuer": bank, "jwks_uri": bank + "/jwks"},
		bank + "/jwks": jwks(
			jwk(ours(), map[string]any{"kid": "rsa"}), // without alg
			jwk(ours2(), map[string]any{"kid": "rs256", "alg": "RS256"}),
			map[string]any{"kty": "EC", "crv": "P-256", "kid": "ec", "x": encode(point[1:33]), "y": encode(point[33:])},
			map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(edPublic)},
		),
	})

	own, other := authority().issue(t, nil), newCA() // a certificate of a CA, and a self-signed one
	selfSigned := tls.Certificate{Certificate: [][]byte{other.certificate.Raw}, PrivateKey: other.key}
	thumbprint := sha256.Sum256(own.Certificate[0])
	claims := fresh(jwt.MapClaims{
		"iss": bank, "sub": "alice", "aud": api, "scope": "accounts",
		"cnf": map[string]any{"x5t#S256": encode(thumbprint[:])},
	})
	signed := func(method jwt.SigningMethod, key any, kid string, changes jwt.MapClaims) string {
		return signBy(t, method, key, map[string]any{"kid": kid}, with(claims, changes))
	}
	good := signed(jwt.SigningMethodES256, ec, "ec", nil)
	boundTo := func(der []byte) string {
		digest := sha256.Sum256(der)
		return signed(jwt.SigningMethodES256, ec, "ec", jwt.MapClaims{"cnf": map[string]any{"x5t#S256": encode(digest[:])}})
	}

	options.OnDeny = func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) { w.Header().Set("Reason", e.Reason()) }
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	server.Config.Handler = gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = providers.FAPITLS()
	server.TLS.Certificates = []tls.Certificate{authority().issue(t, nil)}
	server.StartTLS()
	t.Cleanup(server.Close)
	client := func(certificate *tls.Certificate, version uint16, suites ...uint16) *http.Client {
		config := &tls.Config{RootCAs: authority().pool, MaxVersion: version, MinVersion: tls.VersionTLS10, CipherSuites: suites}
		if certificate != nil {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
		}
		transport := &http.Transport{TLSClientConfig: config}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}

	const ok = ""
	for _, tt := range []struct {
		name, token string
		certificate *tls.Certificate
		reason      string // of the refusal
	}{
		{"ES256", good, &own, ok},
		{"PS256", signed(jwt.SigningMethodPS256, ours(), "rsa", nil), &own, ok},
		{"Ed25519", signed(jwt.SigningMethodEdDSA, ed, "ed", nil), &own, ok},
		{"self-signed certificate", boundTo(selfSigned.Certificate[0]), &selfSigned, ok},

		{"RS256", signed(jwt.SigningMethodRS256, ours(), "rsa", nil), &own, "algorithm"},
		{"RS256 with a key that is for it", signed(jwt.SigningMethodRS256, ours2(), "rs256", nil), &own, "algorithm"},
		{"PS384", signed(jwt.SigningMethodPS384, ours(), "rsa", nil), &own, "algorithm"},
		{"none", signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "ec", nil), &own, "malformed"},
		{"not bound", signed(jwt.SigningMethodES256, ec, "ec", jwt.MapClaims{"cnf": nil}), &own, "claim"},
		{"bound to a DPoP key", signed(jwt.SigningMethodES256, ec, "ec", jwt.MapClaims{"cnf": map[string]any{"jkt": "a"}}), &own, "claim"},
		{"another certificate", good, &selfSigned, "proof"},
		{"no certificate", good, nil, "proof"},
		{"expired", signed(jwt.SigningMethodES256, ec, "ec", jwt.MapClaims{"exp": ago(time.Minute)}), &own, "expired"},
		{"issued in 20 seconds", signed(jwt.SigningMethodES256, ec, "ec", jwt.MapClaims{"iat": ago(-20 * time.Second)}), &own, ok},
		{"issued in 61 seconds", signed(jwt.SigningMethodES256, ec, "ec", jwt.MapClaims{"iat": ago(-61 * time.Second)}), &own, "not_yet_valid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+tt.token)
			response, err := client(tt.certificate, tls.VersionTLS13).Do(r)
			require.NoError(t, err)
			response.Body.Close()
			assert.Equal(t, tt.reason, response.Header.Get("Reason"))
			assert.Equal(t, map[bool]int{true: 200, false: 401}[tt.reason == ok], response.StatusCode)
		})
	}

	t.Run("DPoP", func(t *testing.T) {
		for algorithm, status := range map[string]int{"ES256": 200, "Ed25519": 200, "PS256": 200, "RS256": 401} {
			prover := jwttest.NewProver(t)
			prover.SetAlgorithm(algorithm)
			bound := signed(jwt.SigningMethodES256, ec, "ec", jwt.MapClaims{"cnf": prover.Confirmation()})
			c := client(nil, tls.VersionTLS13)
			c.Transport = prover.Transport(c.Transport, bound)
			response, err := c.Get(server.URL + "/accounts?page=2")
			require.NoError(t, err)
			response.Body.Close()
			assert.Equal(t, status, response.StatusCode, algorithm)
		}
	})
	t.Run("in the query", func(t *testing.T) {
		response, err := client(&own, tls.VersionTLS13).Get(server.URL + "?access_token=" + good)
		require.NoError(t, err)
		response.Body.Close()
		assert.Equal(t, 401, response.StatusCode)
		assert.Equal(t, "no_token", response.Header.Get("Reason"))
	})
	t.Run("TLS", func(t *testing.T) {
		for _, tt := range []struct {
			name    string
			version uint16
			suite   uint16
			ok      bool
		}{
			{"1.2, recommended", tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, true},
			{"1.2, CBC", tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, false},
			{"1.2, not recommended", tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, false},
			{"1.1", tls.VersionTLS11, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, false},
		} {
			_, err := client(&own, tt.version, tt.suite).Get(server.URL)
			assert.Equal(t, tt.ok, err == nil, "%s: %v", tt.name, err)
		}
	})
}
