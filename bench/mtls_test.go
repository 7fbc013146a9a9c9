package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/mtls"
	"github.com/stretchr/testify/assert"
)

// BenchmarkMTLS measures a request with an ES256 token that is bound to the certificate
// of the TLS connection, and with the same token without cnf at a gate without Confirm.
func BenchmarkMTLS(b *testing.B) {
	for _, c := range bindings(b) {
		b.Run("token="+c.name, c.run)
	}
}

func bindings(tb testing.TB) []contender {
	// A certificate of a typical size, about 700 bytes.
	key := ours["ES256"]().private.(*ecdsa.PrivateKey)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1 << 60), NotAfter: time.Now().Add(time.Hour),
		Subject:  pkix.Name{CommonName: "client-1.example.com", Organization: []string{"Example Corporation"}, OrganizationalUnit: []string{"Payments"}, Country: []string{"DE"}},
		DNSNames: []string{"client-1.example.com", "client-1.internal.example.com"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, OCSPServer: []string{"http://ocsp.ca.example.com/"},
		IssuingCertificateURL: []string{"http://ca.example.com/ca.crt"}, CRLDistributionPoints: []string{"http://ca.example.com/ca.crl"},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	connection := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{must(x509.ParseCertificate(der))}}
	thumbprint := sha256.Sum256(der)
	unbound := goodToken("ES256")
	bound := sign("ES256", key, header("ES256", nil), payload(map[string]any{
		"cnf": map[string]string{"x5t#S256": base64.RawURLEncoding.EncodeToString(thumbprint[:])},
	}))
	confirm := func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{mtls.Verifier{}} }
	over := func(name, token string, changes ...func(*jwtgate.Options)) contender {
		handler := newGate(tb, "ES256", changes...).Handler(afterGate)
		return contender{name, func(testing.TB) func() bool {
			r, w := newRequest(token), newResponse()
			r.TLS = connection
			return func() bool { return w.serve(handler, r) == http.StatusNoContent }
		}}
	}
	return []contender{
		over("unbound", unbound),
		over("bound", bound, confirm),
		over("unbound-cached", unbound, remembering(1000)),
		over("bound-cached", bound, confirm, remembering(1000)),
		{"sha256", func(testing.TB) func() bool { return func() bool { return sha256.Sum256(der) == thumbprint } }},
	}
}

// The benchmark measures a check: another certificate is refused.
func TestMTLSIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range bindings(t) {
		assert.True(t, c.newRun(t)(), c.name)
	}
	gate := newGate(t, "ES256", func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{mtls.Verifier{}} })
	token := sign("ES256", ours["ES256"]().private, header("ES256", nil), payload(map[string]any{"cnf": map[string]string{"x5t#S256": "x"}}))
	_, err := gate.Check(newRequest(token))
	assert.ErrorIs(t, err, jwtgate.ErrProof)
}
