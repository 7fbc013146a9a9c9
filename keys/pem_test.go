package keys_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

func TestPEM(t *testing.T) {
	t.Parallel()
	rsaPEM := publicPEM(&rsaKey().PublicKey)
	ecPEM := publicPEM(&p256Key().PublicKey)
	edPEM := publicPEM(public(edKey()))
	rsaToken := sign(t, jwt.SigningMethodRS256, rsaKey(), "any")
	ecToken := sign(t, jwt.SigningMethodES256, p256Key(), "")
	edToken := sign(t, jwt.SigningMethodEdDSA, edKey(), "")
	for _, tt := range []struct {
		name       string
		text       string
		algorithms []string
		tokens     []string
	}{
		{"RSA", rsaPEM, []string{" RS256"}, []string{rsaToken}},
		{"RSA, PKCS #1", string(pemBlock("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey))), []string{" RS256"}, []string{rsaToken}},
		{"P-256", ecPEM, []string{" ES256"}, []string{ecToken}},
		{"P-384", publicPEM(&p384Key().PublicKey), []string{" ES384"}, []string{sign(t, jwt.SigningMethodES384, p384Key(), "")}},
		{"P-521", publicPEM(&p521Key().PublicKey), []string{" ES512"}, []string{sign(t, jwt.SigningMethodES512, p521Key(), "")}},
		{"Ed25519", edPEM, []string{" EdDSA"}, []string{edToken}},
		{"certificate of an RSA key, expired", string(pemBlock("CERTIFICATE", newCertificate(t, rsaKey()))), []string{" RS256"}, []string{rsaToken}},
		{"certificate of an EC key", string(pemBlock("CERTIFICATE", newCertificate(t, p256Key()))), []string{" ES256"}, []string{ecToken}},
		{"certificate of an Ed25519 key", string(pemBlock("CERTIFICATE", newCertificate(t, edKey()))), []string{" EdDSA"}, []string{edToken}},
		{"several blocks", rsaPEM + ecPEM + edPEM, []string{" RS256", " ES256", " EdDSA"}, []string{rsaToken, ecToken, edToken}},
		{"several kinds of blocks", string(pemBlock("CERTIFICATE", newCertificate(t, rsaKey()))) + "\n" + edPEM, []string{" RS256", " EdDSA"}, []string{rsaToken, edToken}},
		{"four keys for one algorithm", publicPEM(&otherRSAKey().PublicKey) + publicPEM(&otherRSAKey().PublicKey) + publicPEM(&otherRSAKey().PublicKey) + rsaPEM, []string{" RS256", " RS256", " RS256", " RS256"}, []string{rsaToken}},
		{"text before", "The key of auth.example.com:\n" + edPEM, []string{" EdDSA"}, []string{edToken}},
		{"text between", edPEM + "and the next one\n" + ecPEM, []string{" EdDSA", " ES256"}, []string{edToken, ecToken}},
		{"space around", " \t\n" + edPEM + "\n\n \t", []string{" EdDSA"}, []string{edToken}},
		{"line breaks of Windows", strings.ReplaceAll(edPEM, "\n", "\r\n"), []string{" EdDSA"}, []string{edToken}},
		{"no line break at the end", strings.TrimSpace(edPEM), []string{" EdDSA"}, []string{edToken}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			source := keys.PEM([]byte(tt.text))
			newGate(t, source)
			assert.Equal(t, tt.algorithms, lookUp(t, source, issuer, ""))
			for _, token := range tt.tokens {
				assert.NoError(t, verify(t, source, token))
			}
		})
	}
}

// Line breaks that were changed on the way through settings and templates change no key. acceptance 92
func TestPEM_ChangedLines(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		publicPEM(&rsaKey().PublicKey),
		publicPEM(public(edKey())) + publicPEM(&p256Key().PublicKey),
		string(pemBlock("CERTIFICATE", newCertificate(t, p256Key()))) + publicPEM(public(edKey())),
	} {
		want := lookUp(t, keys.PEM([]byte(text)), issuer, "")
		for name, change := range changesOfLines {
			changed := change(text)
			inFile, _ := newFileSource(t, []byte(changed))
			for _, source := range []jwtgate.KeySource{keys.PEM([]byte(changed)), inFile} {
				newGate(t, source)
				assert.Equal(t, want, lookUp(t, source, issuer, ""), name)
			}
		}
	}
	for name, change := range changesOfLines {
		source := keys.PEM([]byte(change(publicPEM(&rsaKey().PublicKey))))
		assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodRS256, rsaKey(), "")), name)
		assert.ErrorIs(t, verify(t, source, sign(t, jwt.SigningMethodRS256, otherRSAKey(), "")), jwtgate.ErrSignature, name)
	}
}

// changesOfLines are what settings and templates do to the line breaks of a PEM text.
var changesOfLines = map[string]func(string) string{
	"a byte order mark":                  func(s string) string { return "\ufeff" + s },
	"literal line breaks":                func(s string) string { return strings.ReplaceAll(s, "\n", `\n`) },
	"literal line breaks of Windows":     func(s string) string { return strings.ReplaceAll(s, "\n", `\r\n`) },
	"literal line breaks, and real ones": func(s string) string { return strings.ReplaceAll(s, "\n", `\n`+"\n") },
	"literal line breaks in quotes":      func(s string) string { return `"` + strings.ReplaceAll(s, "\n", `\n`) + "\"\n" },
	"single quotes":                      func(s string) string { return "'" + s + "'" },
	"quotes after a byte order mark":     func(s string) string { return "\ufeff\"" + s + "\"\r\n" },
	"spaces instead of line breaks":      func(s string) string { return strings.ReplaceAll(s, "\n", " ") },
	"no line breaks":                     func(s string) string { return strings.ReplaceAll(s, "\n", "") },
	"carriage returns":                   func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
	"indented by spaces":                 func(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") },
	"indented by a tab, in quotes":       func(s string) string { return "\"\n\t" + strings.ReplaceAll(s, "\n", "\n\t") + `"` },
	"a space at the end of lines":        func(s string) string { return strings.ReplaceAll(s, "\n", " \n") },
}

// FuzzPEM checks that a text gives a key for each of its blocks or an error, and that a text with keys gives the
// same keys after each change of its lines.
func FuzzPEM(f *testing.F) {
	block := "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"
	f.Add("")
	f.Add("the key\n" + block + block)
	for _, change := range changesOfLines {
		f.Add(change(block))
	}
	f.Add(block[:60] + "\n" + block)
	f.Add(strings.Replace(block, "\n", "\nComment: a\n\n", 1))
	f.Add(strings.ReplaceAll(block, "\n", "") + "-----BEGIN PUBLIC KEY----------END -----BEGIN -----END PUBLIC KEY-----")
	f.Add(strings.ReplaceAll(block, "\n", `\\n`))
	f.Fuzz(func(t *testing.T, text string) {
		ks, err := keys.PEM([]byte(text)).Keys(t.Context(), "", "")
		if err != nil {
			require.Empty(t, ks)
			require.Less(t, len(err.Error()), 400)
			return
		}
		require.Len(t, ks, strings.Count(text, "-----BEGIN "))
		require.NotContains(t, text, "-----BEGIN PRIVATE KEY-----")
		if strings.ContainsAny(text, "\\\"'\ufeff\r:") || !strings.HasPrefix(text, "-----BEGIN ") {
			return // it has been changed already, or has text before or between its blocks
		}
		for name, change := range changesOfLines {
			changed, err := keys.PEM([]byte(change(text))).Keys(t.Context(), "", "")
			require.NoError(t, err, name)
			require.Len(t, changed, len(ks), name)
		}
	})
}

func TestPEM_Refuses(t *testing.T) {
	t.Parallel()
	edPEM := publicPEM(public(edKey()))
	for _, tt := range []struct {
		name    string
		text    string
		problem string
	}{
		{"nothing", "", "keys.PEM: the PEM text is empty"},
		{"space", " \n\t ", "keys.PEM: the PEM text is empty"},
		{"no PEM", "hello", "-----BEGIN PUBLIC KEY-----"},
		{"a file name", "/etc/keys/public.pem", "it has no PEM block: it is the name of a file; keys.File reads a file"},
		{"DER", string(pkixDER(public(edKey()))), "no PEM block: it is a key in DER, the binary form of PEM; convert it with: openssl pkey -pubin -inform DER"},
		{"a JWK Set", string(jwkSet(jwkOf(public(edKey())))), "no PEM block: it is a JWK Set; use keys.JWKS"},
		{"only base64", strings.Split(edPEM, "\n")[1], "no PEM block: it is a key in base64 without its BEGIN and END lines; put -----BEGIN PUBLIC KEY-----"},
		{"a private key", string(pemBlock("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(edKey())))), "private key"},
		{"a private key, PKCS #1", string(pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()))), "openssl pkey -pubout"},
		{"a private key, SEC 1", string(pemBlock("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p256Key())))), "private key"},
		{"an encrypted private key", string(pemBlock("ENCRYPTED PRIVATE KEY", []byte("x"))), "private key"},
		{"a private key after a public one", edPEM + string(pemBlock("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(edKey())))), "block 2: it is a private key"},
		{"a certificate request", string(pemBlock("CERTIFICATE REQUEST", []byte("x"))), `"CERTIFICATE REQUEST"`},
		{"an unknown block", string(pemBlock("FOO", []byte("x"))), `"FOO"`},
		{"an unknown block with a long name", string(pemBlock(strings.Repeat("FOO", 1000), []byte("x"))), "FOOFOO"},
		{"a block of garbage", string(pemBlock("PUBLIC KEY", []byte("garbage"))), "block 1: "},
		{"a certificate of garbage", string(pemBlock("CERTIFICATE", []byte("garbage"))), "block 1: "},
		{"PKIX called PKCS #1", string(pemBlock("RSA PUBLIC KEY", pkixDER(&rsaKey().PublicKey))), "block 1: "},
		{"PKCS #1 called PKIX", string(pemBlock("PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey))), "block 1: "},
		{"X25519", publicPEM(must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey()), "its key is for another use (ecdh.PublicKey); signatures need RSA, ECDSA or Ed25519"},
		{"five keys for one algorithm", strings.Repeat(edPEM, 5), "5 keys for EdDSA"},
		{"text after", edPEM + "and so on", "after block 1 there is something that is no PEM block"},
		{"a block cut short after a whole one", edPEM + edPEM[:60], "after block 1"},
		{"a block cut short", edPEM[:60], "no PEM block: it has no END line"},
		// encoding/pem skips a damaged block, so its key would be missing without a word.
		{"a damaged block before a whole one", strings.Replace(edPEM, "MCow", "MC*w", 1) + edPEM, ""},
		// acceptance 20
		{"P-224", publicPEM(&p224Key().PublicKey), "not on P-256, P-384 or P-521"},
		{"RSA of 1024 bits", publicPEM(&weakRSAKey().PublicKey), "1024 bits"},
		{"certificate of a weak key", string(pemBlock("CERTIFICATE", newCertificate(t, weakRSAKey()))), "1024 bits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			problem := errorOfUnusable(t, keys.PEM([]byte(tt.text)))
			assert.Contains(t, problem, "keys.PEM: ")
			assert.Contains(t, problem, tt.problem)
			assert.Less(t, len(problem), 400)
		})
	}
}

func TestPEM_DoesNotKeepTheText(t *testing.T) {
	t.Parallel()
	text := []byte(publicPEM(public(edKey())))
	before := bytes.Clone(text)
	source := keys.PEM(text)
	assert.Equal(t, before, text)
	clear(text)
	assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "")))
}
