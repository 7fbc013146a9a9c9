package integration_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	workload    = "spiffe://prod.example.org/shop/frontend"
	svidService = "spiffe://prod.example.org/orders"
)

// svidKeys are the keys of two trust domains. The SPIFFE bundle of the first has those
// whose names do not say that they belong elsewhere.
type svidKeys map[string]crypto.Signer

func newSVIDKeys(t *testing.T) svidKeys {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	all := svidKeys{"rsa": rsaKey}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521(), "of another domain": elliptic.P256(), "x509": elliptic.P256()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		all[name] = key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	all["ed25519"] = ed
	return all
}

// bundle returns the bundle of a trust domain with the named keys for JWT-SVIDs, and with
// the key x509 for X.509 SVIDs.
func (k svidKeys) bundle(t *testing.T, domain string, names ...string) *spiffebundle.Bundle {
	b := spiffebundle.New(spiffeid.RequireTrustDomainFromString(domain))
	for _, name := range names {
		require.NoError(t, b.AddJWTAuthority(name, k[name].Public()))
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "SPIRE"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		URIs: []*url.URL{{Scheme: "spiffe", Host: domain}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k["x509"].Public(), k["x509"])
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	b.AddX509Authority(certificate)
	b.SetRefreshHint(5 * time.Minute)
	b.SetSequenceNumber(7)
	return b
}

// svid returns a JWT-SVID, as SPIRE signs them. A header or claim that is nil is left out.
func (k svidKeys) svid(t *testing.T, alg jose.SignatureAlgorithm, key string, header, changes map[string]any) string {
	claims := map[string]any{
		"sub": workload, "aud": []string{svidService},
		"exp": time.Now().Add(5 * time.Minute).Unix(), "iat": time.Now().Add(-time.Second).Unix(),
	}
	maps.Copy(claims, changes)
	isAbsent := func(_ string, value any) bool { return value == nil }
	maps.DeleteFunc(claims, isAbsent)
	all := map[string]any{"kid": key, "typ": "JWT"}
	maps.Copy(all, header)
	maps.DeleteFunc(all, isAbsent)
	options := &jose.SignerOptions{}
	for name, value := range all {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: k[key]}, options)
	require.NoError(t, err)
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := signer.Sign(payload)
	require.NoError(t, err)
	text, err := signed.CompactSerialize()
	require.NoError(t, err)
	return text
}

// A bundleEndpoint is a server with the bundle of a trust domain.
type bundleEndpoint struct {
	*httptest.Server
	bundle atomic.Pointer[spiffebundle.Bundle]
}

func serveBundle(t *testing.T, bundle *spiffebundle.Bundle) *bundleEndpoint {
	e := &bundleEndpoint{}
	e.bundle.Store(bundle)
	e.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		document, err := e.bundle.Load().Marshal()
		assert.NoError(t, err)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	}))
	t.Cleanup(e.Close)
	return e
}

// options returns the options of the recipe with the bundle of e.
func (e *bundleEndpoint) options() jwtgate.Options {
	options := providers.SPIFFE("prod.example.org", e.URL, svidService)
	remote := options.Keys.(*keys.Remote)
	remote.Client, remote.Timeout, remote.Logger = e.Client(), hangGuard, slog.New(slog.DiscardHandler)
	return options
}

// The gate and go-spiffe read the same bundle and agree about each SVID, except where the
// table says why not.
func TestSPIFFE(t *testing.T) {
	t.Parallel()
	all := newSVIDKeys(t)
	bundle := all.bundle(t, "prod.example.org", "rsa", "p256", "p384", "p521", "ed25519")
	options, now := serveBundle(t, bundle).options(), time.Now()
	options.Now = func() time.Time { return now } // a slow machine does not change a verdict
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	// go-spiffe also has the bundle of another trust domain, and chooses by sub.
	bundles := spiffebundle.NewSet(bundle, all.bundle(t, "dev.example.org", "of another domain"))

	type changes = map[string]any
	es256 := func(header, claims changes) string { return all.svid(t, jose.ES256, "p256", header, claims) }
	sub := func(sub any) string { return es256(nil, changes{"sub": sub}) }
	good := es256(nil, nil)
	parts := strings.Split(good, ".")
	const yes, no = true, false
	for _, tt := range []struct {
		name     string
		svid     string
		accepted bool // by both, unless differs is set; then by go-spiffe only
		differs  string
	}{
		{"ES256", good, yes, ""},
		{"ES384", all.svid(t, jose.ES384, "p384", nil, nil), yes, ""},
		{"ES512", all.svid(t, jose.ES512, "p521", nil, nil), yes, ""},
		{"RS256", all.svid(t, jose.RS256, "rsa", nil, nil), yes, ""},
		{"RS384", all.svid(t, jose.RS384, "rsa", nil, nil), yes, ""},
		{"RS512", all.svid(t, jose.RS512, "rsa", nil, nil), yes, ""},
		{"PS256", all.svid(t, jose.PS256, "rsa", nil, nil), yes, ""},
		{"PS384", all.svid(t, jose.PS384, "rsa", nil, nil), yes, ""},
		{"PS512", all.svid(t, jose.PS512, "rsa", nil, nil), yes, ""},
		{"EdDSA", all.svid(t, jose.EdDSA, "ed25519", nil, nil), no, ""},
		{"no typ", es256(changes{"typ": nil}, nil), yes, ""},
		{"typ JOSE", es256(changes{"typ": "JOSE"}, nil), yes, ""},
		{"typ at+jwt", es256(changes{"typ": "at+jwt"}, nil), no, ""},
		{"typ wit+jwt", es256(changes{"typ": "wit+jwt"}, nil), no, ""},
		{"several audiences", es256(nil, changes{"aud": []string{"billing", svidService}}), yes, ""},
		{"one audience", es256(nil, changes{"aud": svidService}), yes, ""},
		{"another audience", es256(nil, changes{"aud": []string{"billing"}}), no, ""},
		{"no audience", es256(nil, changes{"aud": nil}), no, ""},
		{"an empty list of audiences", es256(nil, changes{"aud": []string{}}), no, ""},
		{"no exp", es256(nil, changes{"exp": nil}), no, ""},
		{"expired", es256(nil, changes{"exp": time.Now().Add(-time.Hour).Unix()}), no, ""},
		{"not yet valid", es256(nil, changes{"nbf": time.Now().Add(time.Hour).Unix()}), no, ""},
		{"no iat", es256(nil, changes{"iat": nil}), yes, ""},
		{"an issuer", es256(nil, changes{"iss": "https://spire.example.org"}), yes, ""},
		{"further claims", es256(nil, changes{"role": "admin", "a": changes{"b": 1}}), yes, ""},
		{"no subject", sub(nil), no, ""},
		{"an empty subject", sub(""), no, ""},
		{"no SPIFFE ID", sub("frontend"), no, ""},
		{"another scheme", sub("https://prod.example.org/shop/frontend"), no, ""},
		{"the scheme in upper case", sub("SPIFFE://prod.example.org/shop/frontend"), no, ""},
		{"no trust domain", sub("spiffe:///shop"), no, ""},
		{"the trust domain in upper case", sub("spiffe://PROD.example.org/shop/frontend"), no, ""},
		{"a port", sub("spiffe://prod.example.org:443/shop"), no, ""},
		{"user information", sub("spiffe://root@prod.example.org/shop"), no, ""},
		{"a query", sub("spiffe://prod.example.org/shop?a"), no, ""},
		{"a fragment", sub("spiffe://prod.example.org/shop#a"), no, ""},
		{"a slash at the end", sub("spiffe://prod.example.org/shop/"), no, ""},
		{"only a slash", sub("spiffe://prod.example.org/"), no, ""},
		{"an empty segment", sub("spiffe://prod.example.org/a//b"), no, ""},
		{"a dot segment", sub("spiffe://prod.example.org/a/../b"), no, ""},
		{"three dots", sub("spiffe://prod.example.org/.../b"), yes, ""},
		{"a percent sign", sub("spiffe://prod.example.org/a%2Fb"), no, ""},
		{"all characters", sub("spiffe://prod.example.org/azAZ09-._"), yes, ""},
		{"a longer trust domain", sub("spiffe://prod.example.org.evil.example/shop"), no, ""},
		{"the other trust domain, signed with ours", sub("spiffe://dev.example.org/shop"), no, ""},
		{"ours, signed by the other trust domain", all.svid(t, jose.ES256, "of another domain", nil, nil), no, ""},
		{"ours, signed by the other trust domain with our kid", all.svid(t, jose.ES256, "of another domain", changes{"kid": "p256"}, nil), no, ""},
		{"a key for X.509", all.svid(t, jose.ES256, "x509", nil, nil), no, ""},
		{"an unknown kid", es256(changes{"kid": "other"}, nil), no, ""},
		{"another signature", parts[0] + "." + parts[1] + "." + strings.Split(es256(nil, changes{"role": "admin"}), ".")[2], no, ""},
		{"no signature", parts[0] + "." + parts[1] + ".", no, ""},
		{"two segments", parts[0] + "." + parts[1], no, ""},
		{"white space after it", good + " ", no, ""},

		{"the other trust domain", all.svid(t, jose.ES256, "of another domain", nil, changes{"sub": "spiffe://dev.example.org/shop"}), yes,
			"the gate has one bundle"},
		{"the trust domain itself", sub("spiffe://prod.example.org"), yes, "no workload has this ID"},
		{"a long SPIFFE ID", sub("spiffe://prod.example.org/" + strings.Repeat("a", 1024)), yes, "a subject has at most 1024 bytes"},
		{"bound to a key", es256(nil, changes{"cnf": changes{"jkt": "a"}}), yes, "Options.Confirm is not set"},
		{"issued in the future", es256(nil, changes{"iat": now.Add(50 * time.Second).Unix()}), yes, "the leeway is 30 seconds, and a minute with go-spiffe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, theirs := jwtsvid.ParseAndValidate(tt.svid, bundles, []string{svidService})
			assert.Equal(t, tt.accepted, theirs == nil, "go-spiffe: %v", theirs)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", "Bearer "+tt.svid)
			token, ours := gate.Check(r)
			assert.Equal(t, tt.accepted && tt.differs == "", ours == nil, "jwtgate: %v", ours)
			if ours == nil {
				verified, err := jwtsvid.ParseInsecure(tt.svid, []string{svidService})
				require.NoError(t, err)
				assert.Equal(t, verified.ID.String(), token.Subject)
				assert.ElementsMatch(t, verified.Audience, token.Audience)
			}
		})
	}

	// These the gate accepts and go-spiffe does not. The kid is optional (JWT-SVID section
	// 2.2), and typ is a media type, whose letter case does not matter (RFC 7515 section
	// 4.1.9).
	for name, svid := range map[string]string{"no kid": es256(changes{"kid": nil}, nil), "typ jwt": es256(changes{"typ": "jwt"}, nil)} {
		_, theirs := jwtsvid.ParseAndValidate(svid, bundles, []string{svidService})
		assert.Error(t, theirs, name)
		_, ours := gate.Verify(t.Context(), svid)
		assert.NoError(t, ours, name)
	}
}

// A key that joins the bundle is used, and one that leaves it is not (SPIFFE Trust Domain
// and Bundle section 4).
func TestSPIFFERotation(t *testing.T) {
	t.Parallel()
	all := newSVIDKeys(t)
	endpoint := serveBundle(t, all.bundle(t, "prod.example.org", "p256"))
	options := endpoint.options()
	remote := options.Keys.(*keys.Remote)
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	accepted := func() (names []string) {
		for _, svid := range []struct {
			key string
			alg jose.SignatureAlgorithm
		}{{"p256", jose.ES256}, {"p384", jose.ES384}} {
			if _, err := gate.Verify(t.Context(), all.svid(t, svid.alg, svid.key, nil, nil)); err == nil {
				names = append(names, svid.key)
			} else {
				assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
			}
		}
		return names
	}
	require.NoError(t, gate.Ready(t.Context()))
	for _, names := range [][]string{{"p256"}, {"p256", "p384"}, {"p384"}} {
		endpoint.bundle.Store(all.bundle(t, "prod.example.org", names...))
		require.NoError(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, names, accepted())
	}
}
