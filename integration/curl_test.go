package integration_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/jwtgate/jwtgate/mtls"
)

// A certificate is a self-signed one of a client, in files for curl.
type certificate struct {
	cert, key  string // paths
	pem        string
	thumbprint string // for cnf
}

func newCertificate(t *testing.T, name string) certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return certificateFor(t, name, private)
}

// certificateFor returns a certificate for a key. Each call makes another one.
func certificateFor(t *testing.T, name string, private *ecdsa.PrivateKey) certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	hash := sha256.Sum256(der)
	c := certificate{
		cert: filepath.Join(t.TempDir(), "cert.pem"), key: filepath.Join(t.TempDir(), "key.pem"),
		pem:        string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		thumbprint: base64.RawURLEncoding.EncodeToString(hash[:]),
	}
	require.NoError(t, os.WriteFile(c.cert, []byte(c.pem), 0o600))
	require.NoError(t, os.WriteFile(c.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return c
}

// startTLS starts a service that asks its clients for certificates, and accepts tokens that
// are bound to them. It returns its URL and the path of a file with its certificate.
func startTLS(t *testing.T, options jwtgate.Options) (address, caFile string) {
	t.Helper()
	options.Confirm = []jwtgate.Confirmer{mtls.Verifier{}}
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s, resumed: %t\n", jwtgate.Subject(r.Context()), r.Proto, r.TLS.DidResume)
	})))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	return server.URL, caFile
}

// curl runs curl and returns its output: the body and the status of each answer.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangGuard)
	defer cancel()
	command := exec.CommandContext(ctx, "curl", append([]string{"--disable", "--silent", "--show-error", "--noproxy", "*", "--write-out", "%{http_code}\n"}, args...)...)
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// TestCertificatesWithCurl sends tokens that are bound to certificates with curl.
// acceptance 85, 86
func TestCertificatesWithCurl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl in the PATH")
	}
	issuer := jwttest.NewIssuer(t)
	address, ca := startTLS(t, issuer.Options())
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	own, renewed, other := certificateFor(t, "alice", private), certificateFor(t, "alice", private), newCertificate(t, "alice")
	bound := issuer.Token(map[string]any{"cnf": map[string]string{"x5t#S256": own.thumbprint}})
	with := func(c certificate) []string { return []string{"--cert", c.cert, "--key", c.key} }
	const notBound = `{"error":"invalid_token","error_description":"The access token is not valid."}` + "\n401\n"
	const refused = `{"error":"invalid_token","error_description":"The proof that the sender holds the key of the access token is not valid."}` + "\n401\n"

	for _, test := range []struct {
		name  string
		token string
		args  []string
		want  string
	}{
		{"the certificate, HTTP/1.1", bound, append(with(own), "--http1.1", address), "alice HTTP/1.1, resumed: false\n200\n"},
		{"the certificate, HTTP/2", bound, append(with(own), "--http2", address), "alice HTTP/2.0, resumed: false\n200\n"},
		{"one connection for two requests", bound, append(with(own), "--http2", address, address),
			strings.Repeat("alice HTTP/2.0, resumed: false\n200\n", 2)},
		{"resumed session", bound, append(with(own), "--http1.1", "--header", "Connection: close", "--tlsv1.3", address, address),
			"alice HTTP/1.1, resumed: false\n200\nalice HTTP/1.1, resumed: true\n200\n"},
		{"no certificate", bound, []string{address}, refused},
		{"another certificate", bound, append(with(other), address), refused},
		{"another certificate, resumed session", bound,
			append(with(other), "--http1.1", "--header", "Connection: close", address, address), refused + refused},
		{"a renewed certificate for the same key", bound, append(with(renewed), address), refused},
		{"a token that is not bound", issuer.Token(nil), append(with(own), address), notBound},
		{"the header of a proxy, no certificate", bound,
			[]string{"--header", "Client-Cert: :" + base64.StdEncoding.EncodeToString(derOf(t, own)) + ":", address}, refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, curl(t, append([]string{"--cacert", ca, "--oauth2-bearer", test.token}, test.args...)...))
		})
	}
}

func derOf(t *testing.T, c certificate) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(c.pem))
	require.NotNil(t, block)
	return block.Bytes
}

// TestCertificateBoundTokensOfNPM is about tokens that oidc-provider has bound to a
// certificate.
// acceptance 85
func TestCertificateBoundTokensOfNPM(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl in the PATH")
	}
	issuer := startNodeProvider(t, npmDir(t))
	address, ca := startTLS(t, jwtgate.Options{
		Keys: &keys.Remote{Timeout: hangGuard}, Issuers: []string{issuer}, Audiences: []string{audience}, RFC9068: true,
	})
	own, other := newCertificate(t, "service"), newCertificate(t, "service")

	form := url.Values{"grant_type": {"client_credentials"}, "resource": {audience}, "scope": {"orders:read"}}
	request, err := http.NewRequestWithContext(t.Context(), "POST", issuer+"/token", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("X-Client-Certificate", url.PathEscape(own.pem))
	request.SetBasicAuth("bound", "secret")
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var got struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal(body, &got))
	require.NotEmpty(t, got.AccessToken, "%s", body)

	send := func(args ...string) string {
		return curl(t, append([]string{"--cacert", ca, "--oauth2-bearer", got.AccessToken, address}, args...)...)
	}
	assert.Equal(t, "bound HTTP/2.0, resumed: false\n200\n", send("--cert", own.cert, "--key", own.key))
	assert.True(t, strings.HasSuffix(send("--cert", other.cert, "--key", other.key), "\n401\n"))
	assert.True(t, strings.HasSuffix(send(), "\n401\n"))
}
