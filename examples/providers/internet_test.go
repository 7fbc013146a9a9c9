package providers_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The keys of the tests. ours and ours2 are the provider's: it publishes both.
// theirs belongs to another issuer.
var (
	ours   = sync.OnceValue(newKey)
	ours2  = sync.OnceValue(newKey)
	theirs = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// A visit is a request with a token, and its expected answer.
type visit struct {
	route  jwtgate.Rule // a rule of the route in addition to the recipe; nil: none
	token  string
	status int
	want   string // the subject and the scopes, or the reason of the refusal
}

// passes returns a visit that is accepted, with the subject and the scopes.
func passes(token, subjectAndScopes string) visit {
	return visit{token: token, status: http.StatusOK, want: subjectAndScopes}
}

// refused returns a visit that is refused with 401 for the given reason.
func refused(token, reason string) visit {
	return visit{token: token, status: http.StatusUnauthorized, want: reason}
}

// onRoute returns v as a request to a route with a rule.
func onRoute(route jwtgate.Rule, v visit) visit {
	v.route = route
	return v
}

// forbidden returns a visit of a route whose rule refuses the token.
func forbidden(route jwtgate.Rule, token string) visit {
	return visit{route: route, token: token, status: http.StatusForbidden, want: "forbidden"}
}

// visitAll sends each token to a handler behind a gate with the options.
func visitAll(t *testing.T, options jwtgate.Options, visits map[string]visit) {
	t.Helper()
	visitAllIn(t, "Authorization", "Bearer ", options, visits)
}

// visitAllIn is visitAll with the tokens in another header, behind a prefix.
func visitAllIn(t *testing.T, header, prefix string, options jwtgate.Options, visits map[string]visit) {
	t.Helper()
	// Most refusals have status 401, so the tests compare the reason too.
	options.OnDeny = func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) { w.Header().Set("Reason", e.Reason()) }
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := jwtgate.FromContext(r.Context())
		fmt.Fprint(w, strings.Join(append([]string{jwtgate.Subject(r.Context())}, token.Scopes...), " "))
	})
	for name, v := range visits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guarded := gate
			if v.route != nil {
				guarded = gate.Require(v.route)
			}
			r := httptest.NewRequest(http.MethodGet, "https://api.example.com/", nil)
			r.Header.Set(header, prefix+v.token)
			w := httptest.NewRecorder()
			guarded.Handler(handler).ServeHTTP(w, r)
			assert.Equal(t, v.status, w.Code)
			if v.status == http.StatusOK {
				assert.Equal(t, v.want, w.Body.String())
			} else {
				assert.Equal(t, v.want, w.Header().Get("Reason"))
			}
		})
	}
}

// online connects the recipe to a server that stands in for the internet. pages maps each
// URL to its JSON document. The test fails if a page is not requested, or if another URL is
// requested.
func online(t *testing.T, options jwtgate.Options, pages map[string]any) jwtgate.Options {
	t.Helper()
	var hosts []string
	for address := range pages {
		u, err := url.Parse(address)
		require.NoError(t, err)
		hosts = append(hosts, u.Hostname())
	}
	var requested sync.Map
	server := serveTLS(t, hosts, func(w http.ResponseWriter, r *http.Request) {
		address := "https://" + r.Host + r.URL.Path
		requested.Store(address, true)
		page, ok := pages[address]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		json.NewEncoder(w).Encode(page)
	})
	t.Cleanup(func() {
		got := map[string]any{}
		requested.Range(func(address, _ any) bool { got[address.(string)] = pages[address.(string)]; return true })
		assert.Equal(t, pages, got, "the pages that were requested")
	})

	remote := options.Keys.(*keys.Remote)
	remote.Logger = slog.New(slog.DiscardHandler)
	remote.Timeout = time.Minute // so that a slow machine does not fail the test
	remote.Client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: authority().pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}}
	return options
}

// serveTLS starts a server with a certificate for the hosts.
func serveTLS(t *testing.T, hosts []string, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{authority().issue(t, hosts)}}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // clients that trust another CA cause errors
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// A ca is a certification authority.
type ca struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
	pem         []byte // the certificate
}

// authority is the CA that the clients of the tests trust.
var authority = sync.OnceValue(newCA)

func newCA() *ca {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der := newCertificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "providers_test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, &key.PublicKey, key)
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return &ca{certificate, key, pool, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue returns a certificate for the hosts and the loopback addresses.
func (c *ca) issue(t *testing.T, hosts []string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der := newCertificate(&x509.Certificate{
		DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}, c.certificate, &key.PublicKey, c.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// newCertificate returns a certificate signed by signer. If parent is nil, the
// certificate is self-signed.
func newCertificate(template, parent *x509.Certificate, public, signer any) (der []byte) {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		panic(err)
	}
	return der
}

// certificateOf returns a self-signed certificate of a signing key. Providers publish
// such certificates with their keys.
func certificateOf(key *rsa.PrivateKey) (der []byte) {
	return newCertificate(&x509.Certificate{Subject: pkix.Name{CommonName: "signing key"}}, nil, &key.PublicKey, key)
}

// jwk returns a public key as a JWK: kty, n, e and the given members.
func jwk(key *rsa.PrivateKey, members map[string]any) map[string]any {
	all := map[string]any{
		"kty": "RSA",
		"n":   base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e":   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}
	maps.Copy(all, members)
	return all
}

// jwkWithCertificate returns a JWK that also has the members x5c and x5t.
func jwkWithCertificate(key *rsa.PrivateKey, members map[string]any) map[string]any {
	der := certificateOf(key)
	thumbprint := sha1.Sum(der)
	all := jwk(key, members)
	all["x5c"] = []string{base64.StdEncoding.EncodeToString(der)}
	all["x5t"] = base64.RawURLEncoding.EncodeToString(thumbprint[:])
	return all
}

// jwks returns a JWK Set.
func jwks(keys ...map[string]any) map[string]any { return map[string]any{"keys": keys} }

// with returns the claims with changes applied. The value nil removes a claim.
func with(claims, changes jwt.MapClaims) jwt.MapClaims {
	all := maps.Clone(claims)
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return all
}

// fresh returns the claims with iat a minute ago and exp in an hour.
func fresh(claims jwt.MapClaims) jwt.MapClaims {
	return with(claims, jwt.MapClaims{"iat": ago(time.Minute), "exp": ago(-time.Hour)})
}

func ago(d time.Duration) int64 { return time.Now().Add(-d).Unix() }

// A tokenMaker makes tokens with the same key and header and similar claims.
type tokenMaker struct {
	t      *testing.T
	key    *rsa.PrivateKey
	header map[string]any
	claims jwt.MapClaims
}

// token returns a token with changes applied to the claims, as with does.
func (m tokenMaker) token(changes jwt.MapClaims) string {
	m.t.Helper()
	return sign(m.t, m.key, m.header, with(m.claims, changes))
}

// withKey returns a tokenMaker that signs with another key. The header names kid as the key ID.
// If kid is empty, the header falsely names the old key.
func (m tokenMaker) withKey(key *rsa.PrivateKey, kid string) tokenMaker {
	m.key = key
	if kid != "" {
		m.header = with(m.header, map[string]any{"kid": kid})
	}
	return m
}

// sign returns a token signed with RS256. It adds alg to the header.
func sign(t *testing.T, key *rsa.PrivateKey, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	return signBy(t, jwt.SigningMethodRS256, key, header, claims)
}

func signBy(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header = maps.Clone(header)
	token.Header["alg"] = method.Alg()
	text, err := token.SignedString(key)
	require.NoError(t, err)
	return text
}

// quoted returns text as a JSON string.
func quoted(text []byte) string {
	quoted, err := json.Marshal(string(text))
	if err != nil {
		panic(err)
	}
	return string(quoted)
}
