package mtls_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/mtls"
)

// der is a certificate as far as the header readers are concerned. Its base64 has both
// kinds of padding and both characters that base64url lacks, in one of its forms.
var der = bytes.Repeat([]byte{0xfb, 0xff, 0x30}, 20)

// acceptance 86
func TestClientCert(t *testing.T) {
	t.Parallel()
	std := base64.StdEncoding.EncodeToString
	padded := append(bytes.Clone(der), 0x01)
	for _, tt := range []struct {
		name    string
		headers []string
		der     []byte // of the token; nil means der
		text    string // of the refusal; "" if the request passes
	}{
		{"one byte sequence", []string{"Client-Cert: :" + std(der) + ":"}, nil, ""},
		{"with padding", []string{"Client-Cert: :" + std(padded) + ":"}, padded, ""},
		{"with the chain beside it", []string{"Client-Cert: :" + std(der) + ":", "Client-Cert-Chain: :" + std(padded) + ":"}, nil, ""},
		{"only in the chain", []string{"Client-Cert: :" + std(padded) + ":", "Client-Cert-Chain: :" + std(der) + ":"}, nil, "and the token is bound to"},
		{"another certificate", []string{"Client-Cert: :" + std(padded) + ":"}, nil, "and the token is bound to"},
		{"no header", nil, nil, "the request has no Client-Cert, which the proxy sends if the client has a certificate"},
		{"an empty header", []string{"Client-Cert: "}, nil, "the request has no Client-Cert"},
		{"no certificate", []string{"Client-Cert: ::"}, []byte{}, "Client-Cert is ::, so the client sent no certificate"},
		{"one colon", []string{"Client-Cert: :"}, []byte{}, "not one byte sequence"},
		{"two lines", []string{"Client-Cert: :" + std(padded) + ":", "Client-Cert: :" + std(der) + ":"}, nil, "the request has 2 lines of Client-Cert, wanted is one"},
		{"the same line twice", []string{"Client-Cert: :" + std(der) + ":", "Client-Cert: :" + std(der) + ":"}, nil, "2 lines"},
		{"an empty line first", []string{"Client-Cert: ", "Client-Cert: :" + std(der) + ":"}, nil, "2 lines"},
		{"another spelling beside it", []string{"Client-Cert: :" + std(der) + ":", "client-cert: :" + std(padded) + ":"}, nil, `an adapter wrote "client-cert"`},
		{"another spelling alone", []string{"CLIENT-CERT: :" + std(der) + ":"}, nil, `an adapter wrote "CLIENT-CERT"`},
		{"a mixed spelling beside it", []string{"Client-Cert: :" + std(der) + ":", "Client-cert: x"}, nil, `an adapter wrote "Client-cert"`},
		{"a list", []string{"Client-Cert: :" + std(der) + ":, :" + std(padded) + ":"}, nil, "base64 with padding"},
		{"parameters", []string{"Client-Cert: :" + std(der) + ":;a=1"}, nil, "not one byte sequence"},
		{"white space around it", []string{"Client-Cert: : " + std(der) + ":"}, nil, "base64 with padding"},
		{"a line break in it", []string{"Client-Cert: :" + std(der)[:8] + "\n" + std(der)[8:] + ":"}, nil, "not one byte sequence"},
		{"no colons", []string{"Client-Cert: " + std(der)}, nil, "not one byte sequence"},
		{"base64url", []string{"Client-Cert: :" + base64.URLEncoding.EncodeToString(der) + ":"}, nil, "base64 with padding"},
		{"no padding", []string{"Client-Cert: :" + base64.RawStdEncoding.EncodeToString(padded) + ":"}, padded, "base64 with padding"},
		{"trailing bits", []string{"Client-Cert: :" + strings.Replace(std(padded), "AQ==", "AR==", 1) + ":"}, padded, "base64 with padding"},
		{"hexadecimal", []string{"Client-Cert: :" + hex.EncodeToString(der) + "!:"}, nil, "base64 with padding"},
		{"PEM", []string{"Client-Cert: -----BEGIN%20CERTIFICATE-----%0A"}, nil, "not one byte sequence"},
		{"too long", []string{"Client-Cert: :" + strings.Repeat("AAAA", 1<<14) + ":"}, nil, "Client-Cert has more than 65536 bytes"},
		{"the header of Envoy", []string{"X-Forwarded-Client-Cert: Hash=" + hexSHA256(der)}, nil, "no Client-Cert"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			testReader(t, mtls.ClientCert, tt.headers, tt.der, tt.text)
		})
	}
}

func hexSHA256(der []byte) string {
	digest := sha256.Sum256(der)
	return hex.EncodeToString(digest[:])
}

func testReader(t *testing.T, read func(*http.Request) ([32]byte, error), headers []string, bound []byte, text string) {
	if bound == nil {
		bound = der
	}
	g := guard(t, mtls.Verifier{Thumbprint: read})
	w := request(t, g, boundTo(t, bound), headers...)
	if text == "" {
		require.Equal(t, 200, w.Code, "%v", g.refusal)
		return
	}
	require.Equal(t, 401, w.Code)
	g.requireRefused(t, text)
}

// acceptance 86
func TestXFCC(t *testing.T) {
	t.Parallel()
	right, wrong := "Hash="+hexSHA256(der), "Hash="+hexSHA256([]byte("of the client itself"))
	for _, tt := range []struct {
		name    string
		headers []string
		text    string // of the refusal; "" if the request passes
	}{
		{"Hash alone", []string{right}, ""},
		{"all that Envoy writes", []string{`By=spiffe://example.com/front;` + right + `;Cert="-----BEGIN%20CERTIFICATE-----%0A";Subject="CN=a,O=b;c=\"d\\\"";URI=spiffe://example.com/client;DNS=a.example;DNS=b.example`}, ""},
		{"an empty value", []string{"By=;" + right + `;Subject="";URI=`}, ""},
		{"upper case", []string{"Hash=" + strings.ToUpper(hexSHA256(der))}, ""},
		{"another certificate", []string{wrong}, "and the token is bound to"},
		{"no header", nil, "the request has no X-Forwarded-Client-Cert"},
		{"an empty header", []string{""}, "the request has no X-Forwarded-Client-Cert"},
		{"no Hash", []string{`By=a;Subject="CN=a"`}, "no Hash of 64 hexadecimal digits"},
		{"a short Hash", []string{right[:len(right)-2]}, "no Hash of 64"},
		{"a long Hash", []string{right + "00"}, "no Hash of 64"},
		{"no hexadecimal", []string{right[:len(right)-1] + "g"}, "no Hash of 64"},
		{"an empty Hash", []string{"Hash="}, "no Hash of 64"},
		{"a Hash in quotes", []string{`Hash="` + hexSHA256(der) + `"`}, "no Hash of 64"},
		{"SHA-1", []string{"Hash=" + hexSHA256(der)[:40]}, "no Hash of 64"},
		{"two elements", []string{wrong + ",By=a;" + right}, "more than one Hash"},
		{"two elements, one without Hash", []string{right + ",By=a"}, "more than one element"},
		{"two elements, the first without Hash", []string{"By=a," + right}, "more than one element"},
		{"an element that is empty", []string{right + ","}, "more than one element"},
		{"two lines", []string{wrong, right}, "the request has 2 lines of X-Forwarded-Client-Cert"},
		{"two of Hash", []string{wrong + ";" + right}, "more than one Hash"},
		{"two of Hash in different case", []string{wrong + ";hASH=" + hexSHA256(der)}, "more than one Hash"},
		{"Hash in the URI of the client's certificate", []string{"By=a;" + wrong + ";URI=spiffe://a;" + right}, "more than one Hash"},
		{"an element that hides the one of Envoy in quotes", []string{right + `;Subject=",By=a;` + wrong + `;URI=x"`}, "more than one Hash"},
		{"Hash in the subject", []string{wrong + `;Subject="CN=` + right + `"`}, "more than one Hash"},
		{"quotes that do not end", []string{right + `;Subject="CN=a`}, "not a list of pairs"},
		{"quotes that end in a backslash", []string{right + `;Subject="CN=a\`}, "not a list of pairs"},
		{"an escaped quote at the end", []string{right + `;Subject="CN=a\"`}, "not a list of pairs"},
		{"text after the quotes", []string{right + `;Subject="CN=a"b`}, "not a list of pairs"},
		{"a quote in a value", []string{right + `;URI=a"b`}, "not a list of pairs"},
		{"a quote in a name", []string{right + `;"URI"=a`}, "not a list of pairs"},
		{"no equals sign", []string{right + ";URI"}, "not a list of pairs"},
		{"a space before Hash", []string{"By=a; " + right}, "no Hash of 64"},
		{"the certificate itself", []string{":" + base64.StdEncoding.EncodeToString(der) + ":"}, "not a list of pairs"},
		{"too long", []string{right + ";URI=" + strings.Repeat("a", 1<<16)}, "X-Forwarded-Client-Cert has more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var lines []string
			for _, value := range tt.headers {
				lines = append(lines, "X-Forwarded-Client-Cert: "+value)
			}
			testReader(t, mtls.XFCC, lines, nil, tt.text)
		})
	}
	t.Run("another spelling", func(t *testing.T) {
		t.Parallel()
		testReader(t, mtls.XFCC, []string{"X-Forwarded-Client-Cert: " + right, "x-forwarded-client-cert: " + wrong}, nil, `an adapter wrote "x-forwarded-client-cert"`)
		testReader(t, mtls.XFCC, []string{"Client-Cert: :" + base64.StdEncoding.EncodeToString(der) + ":"}, nil, "no X-Forwarded-Client-Cert")
	})
}

// acceptance 86: a header counts only where Thumbprint names its reader, and then the
// certificate of the connection, which is the proxy's, does not count.
func TestHeadersCountOnlyIfNamed(t *testing.T) {
	t.Parallel()
	own, stolen := selfSigned(t, newKey(t)), selfSigned(t, newKey(t))
	claim := []string{
		"Client-Cert: :" + base64.StdEncoding.EncodeToString(stolen.Certificate[0]) + ":",
		"X-Forwarded-Client-Cert: Hash=" + hexSHA256(stolen.Certificate[0]),
	}
	for name, tt := range map[string]struct {
		verifier mtls.Verifier
		wins     tls.Certificate
		loses    tls.Certificate
	}{
		"TLS":         {mtls.Verifier{}, own, stolen},
		"Client-Cert": {mtls.Verifier{Thumbprint: mtls.ClientCert}, stolen, own},
		"XFCC":        {mtls.Verifier{Thumbprint: mtls.XFCC}, stolen, own},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, guard(t, tt.verifier), false)
			c := client(server, &own, 2, tls.VersionTLS13)
			status, _, _ := get(t, c, server.URL, boundTo(t, tt.wins.Certificate[0]), claim...)
			assert.Equal(t, 200, status)
			status, _, _ = get(t, c, server.URL, boundTo(t, tt.loses.Certificate[0]), claim...)
			assert.Equal(t, 401, status)
		})
	}
}

func FuzzClientCert(f *testing.F) {
	for _, value := range []string{
		":" + base64.StdEncoding.EncodeToString(der) + ":", ":AA==:", ":AB==:", "::", ":", "", ":AAAA:, :AAAA:", ":AAAA:;a=1", ":A\nAAA:", "AAAA", ":-_-_:",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Client-Cert"] = []string{value}
		got, err := mtls.ClientCert(r)
		if err != nil {
			assert.Zero(t, got)
			assert.LessOrEqual(t, len(err.Error()), 250)
			return
		}
		// There is one way to write a certificate.
		decoded, err := base64.StdEncoding.DecodeString(strings.Trim(value, ":"))
		require.NoError(t, err)
		require.NotEmpty(t, decoded)
		assert.Equal(t, ":"+base64.StdEncoding.EncodeToString(decoded)+":", value)
		assert.Equal(t, sha256.Sum256(decoded), got)
	})
}

func FuzzXFCC(f *testing.F) {
	hash := "Hash=" + hexSHA256(der)
	for _, value := range []string{
		hash, "By=a;" + hash + `;Subject="CN=a,O=\"b\"";URI=c;DNS=d`, hash + "," + hash, hash + ";" + hash, hash + `;Subject="`, hash + `;Subject="\`,
		hash + ",", hash + ";", ";" + hash, "=" + hash, "", "Hash=", `Hash="` + hexSHA256(der) + `"`, hash + `;URI=a"b"`, hash + `;URI="a"b`,
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["X-Forwarded-Client-Cert"] = []string{value}
		got, err := mtls.XFCC(r)
		if err != nil {
			assert.Zero(t, got)
			assert.LessOrEqual(t, len(err.Error()), 250)
			return
		}
		// What is accepted is the only Hash that is there. So the Hash that Envoy adds to
		// what a client wrote always counts.
		lower := strings.ToLower(value)
		require.Equal(t, 1, strings.Count(lower, "hash="))
		assert.Contains(t, lower, "hash="+hex.EncodeToString(got[:]))
		for _, added := range []string{",By=a;" + hash, ";" + hash, ";URI=a;" + hash + `"`} {
			r.Header["X-Forwarded-Client-Cert"] = []string{value + added}
			_, err := mtls.XFCC(r)
			require.Error(t, err)
		}
	})
}
