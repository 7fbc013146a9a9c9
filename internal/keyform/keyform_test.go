package keyform_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/keyform"
)

func TestOf(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	for _, tt := range []struct {
		name  string
		given string
		want  keyform.Form
	}{
		{"nothing", "", keyform.Empty},
		{"white space", " \r\n\t", keyform.Empty},
		{"a byte order mark", "\ufeff\n", keyform.Empty},
		{"PEM", "\n" + text, keyform.PEM},
		{"PEM after text", "Bag Attributes\n" + text, keyform.PEM},
		{"PEM with literal line breaks", strings.ReplaceAll(text, "\n", `\n`), keyform.PEM},
		{"PEM in quotes", `"` + text + `"`, keyform.PEM},
		{"set in quotes", `'{"keys":[]}'`, keyform.QuotedJSON},
		{"set as a JSON string", `"{\"keys\":[]}"`, keyform.QuotedJSON},
		{"quotes alone", `""`, keyform.OtherText},
		{"set in UTF-16", inUTF16(`{"keys":[]}`), keyform.UTF16},
		{"PEM in UTF-16", inUTF16(strings.ReplaceAll(text, "\n", "\r\n")), keyform.UTF16},
		{"big-endian UTF-16", "\xfe\xff\x00{\x00}", keyform.UTF16},
		{"half a character of UTF-16", inUTF16("{}")[:5], keyform.OtherBinary},
		{"binary data after the mark of UTF-16", "\xff\xfe\x01\x00", keyform.OtherBinary},
		{"base64 without armour", base64.StdEncoding.EncodeToString(public), keyform.BareBase64},
		{"base64 of a private key", base64.StdEncoding.EncodeToString(pkcs8), keyform.BareBase64},
		{"base64 with line breaks", base64.StdEncoding.EncodeToString(public)[:64] + "\n" + base64.StdEncoding.EncodeToString(public)[64:], keyform.BareBase64},
		{"base64 of PEM", base64.StdEncoding.EncodeToString([]byte(text)), keyform.Encoded},
		{"base64 of a set", base64.RawURLEncoding.EncodeToString([]byte(`{"keys":[]}`)), keyform.Encoded},
		{"hex of PEM", hex.EncodeToString([]byte(text)), keyform.Encoded},
		{"DER", string(public), keyform.DER},
		{"private DER", string(pkcs8), keyform.DER},
		{"certificate in DER", string(certificate), keyform.DER},
		{"OpenSSH", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@host", keyform.SSH},
		{"RFC 4716", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA", keyform.SSH},
		{"set", `{"keys":[]}`, keyform.JWKSet},
		{"set after a byte order mark", "\ufeff{\"keys\":[]}", keyform.JWKSet},
		{"JWK", `{"kty":"RSA"}`, keyform.JWK},
		{"array of JWKs", `[{"kty":"RSA"}]`, keyform.JWKArray},
		{"metadata", `{"issuer":"https://a.example","jwks_uri":"https://a.example/jwks"}`, keyform.Metadata},
		{"an error as JSON", `{"error":"not_found"}`, keyform.JSON},
		{"broken JSON", `{"keys":[`, keyform.BrokenJSON},
		{"token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", keyform.Token},
		{"page", "\n<!DOCTYPE html>\n<title>Sign in</title>", keyform.HTML},
		{"page without doctype", `<!-- proxy --><HTML lang="en">`, keyform.HTML},
		{"SAML metadata", `<?xml version="1.0"?><EntityDescriptor/>`, keyform.XML},
		{"gzip", "\x1f\x8b\x08\x00\x00", keyform.Compressed},
		{"URL", "https://auth.example.com/jwks\n", keyform.Address},
		{"absolute name", "/etc/keys/public", keyform.FileName},
		{"relative name", "public.pem", keyform.FileName},
		{"name on Windows", `C:\keys\public`, keyform.FileName},
		{"URL of a file", "file:///etc/keys", keyform.FileName},
		{"name in JSON", "keys/jwks.json", keyform.FileName},
		{"random base64", "/9j/4AAQSkZJRgABAQAAAQABAAD", keyform.OtherText},
		{"a word", "public", keyform.OtherText},
		{"random bytes", "\x00\x01\xfe\xff", keyform.OtherBinary},
	} {
		assert.Equal(t, tt.want, keyform.Of([]byte(tt.given)), tt.name)
	}
}

// inUTF16 returns text in UTF-16, little-endian, with a byte order mark.
func inUTF16(text string) string {
	encoded := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		encoded = binary.LittleEndian.AppendUint16(encoded, unit)
	}
	return string(encoded)
}

// Text that can be decoded again and again is decoded once. Otherwise each round would multiply the work by
// four, and this test would not end.
func TestOf_Nested(t *testing.T) {
	t.Parallel()
	nested := "QUJD"
	for len(nested) < 4<<10 {
		nested = base64.RawStdEncoding.EncodeToString([]byte(nested))
	}
	assert.Equal(t, keyform.OtherText, keyform.Of([]byte(nested)))
}

func TestSecretHint(t *testing.T) {
	t.Parallel()
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(i*97 + 131)
	}
	const decode = " characters; if the issuer uses the 32 bytes that it encodes, decode it first"
	for _, tt := range []struct {
		name, secret, want string
	}{
		{"hex", hex.EncodeToString(raw), "the secret is hex text of 64" + decode},
		{"hex in capitals", strings.ToUpper(hex.EncodeToString(raw)), "the secret is hex text of 64" + decode},
		{"base64", base64.StdEncoding.EncodeToString(raw), "the secret is base64 text of 44" + decode},
		{"base64 without padding", base64.RawStdEncoding.EncodeToString(raw), "the secret is base64 text of 43" + decode},
		{"base64url", base64.URLEncoding.EncodeToString(raw), "the secret is base64 text of 44" + decode},
		{"base64url without padding", base64.RawURLEncoding.EncodeToString(raw), "the secret is base64 text of 43" + decode},
		{"a line break at the end", base64.StdEncoding.EncodeToString(raw) + "\n", "the secret ends with a line break; if the issuer's does not, trim it"},
		{"CRLF at the end", "correct horse battery staple correct\r\n", "the secret ends with a line break; if the issuer's does not, trim it"},
		{"a space at the end", "correct horse battery staple correct ", "the secret has white space around it; if the issuer's has none, trim it"},
		{"byte order mark", "\ufeffcorrect horse battery staple correct", "the secret starts with a byte order mark; if the issuer's does not, save it without"},
		{"placeholder of a shell", "${JWT_SECRET_OF_THE_ENVIRONMENT}", "the secret looks like a placeholder that was not replaced"},
		{"placeholder of a template", "{{ .Values.jwt.secret.of.the.chart }}", "the secret looks like a placeholder that was not replaced"},
		{"placeholder of a manual", "<put-your-secret-of-32-bytes-here>", "the secret looks like a placeholder that was not replaced"},
		{"braces in a passphrase", "correct {horse} battery ${staple} correct", ""},
		{"quotes", `"correct horse battery staple correct"`, "the secret is in quotes; if the issuer's is not, remove them"},
		{"a file name", "/run/secrets/jwtgate/hs256/secret.txt", "the secret looks like the name of a file; if the issuer uses the secret that is there, read it first"},
		{"an address", "https://vault.example.com/v1/secret/jwt", "the secret looks like an address; if the issuer uses the secret that is there, read it first"},

		{"random bytes", string(raw), ""},
		{"random bytes that end like a line", string(raw[:31]) + "\n", ""},
		{"a passphrase", "a secret of thirty-two bytes....", ""},
		{"a passphrase of letters", "correcthorsebatterystaplecorrecthorse", ""},
		{"a passphrase of words", "My-Super-Secret-Signing-Key-For-Production-2026", ""},
		{"a UUID", "550e8400-e29b-41d4-a716-446655440000", ""},
		{"hex of 15 bytes", strings.Repeat("ab", 15), ""},
		{"letters of base64, and one too many", base64.RawStdEncoding.EncodeToString(raw)[:41], ""},
	} {
		assert.Equal(t, tt.want, keyform.SecretHint([]byte(tt.secret)), tt.name)
	}
}

// Nearly every secret of openssl rand -base64 is recognised, and hardly any of random bytes is.
func TestSecretHint_Random(t *testing.T) {
	t.Parallel()
	encoded, plain := 0, 0
	for range 1000 {
		raw := make([]byte, 32)
		_, _ = rand.Read(raw)
		if keyform.SecretHint([]byte(base64.RawURLEncoding.EncodeToString(raw))) != "" {
			encoded++
		}
		if keyform.SecretHint(raw) != "" {
			plain++
		}
	}
	assert.Greater(t, encoded, 970)
	assert.Less(t, plain, 5)
}
