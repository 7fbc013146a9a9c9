package keys_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Each constructor names what it was given instead of its keys, and what to do.
func TestFormsOfKeys(t *testing.T) {
	t.Parallel()
	public, private := publicPEM(public(edKey())), must(x509.MarshalPKCS8PrivateKey(edKey()))
	der, privatePEM := pkixDER(&rsaKey().PublicKey), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	block := func(name string, content []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: name, Bytes: content}))
	}
	key := jwkOf(&rsaKey().PublicKey).String()
	set := string(jwkSet(key))
	const (
		address  = "https://auth.example.com/.well-known/jwks.json"
		page     = "<!DOCTYPE html><title>Sign in</title>"
		metadata = `{"issuer":"https://auth.example.com","jwks_uri":"` + address + `"}`
		token    = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	)
	fromPEM := func(s string) jwtgate.KeySource { return keys.PEM([]byte(s)) }
	fromJWKS := func(s string) jwtgate.KeySource { return keys.JWKS([]byte(s)) }
	certificates := `{"a":"-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"}`
	inFile := func(s string) jwtgate.KeySource {
		source, _ := newFileSource(t, []byte(s))
		return source
	}
	atPath := func(s string) jwtgate.KeySource { return &keys.File{Path: s, Logger: slog.New(slog.DiscardHandler)} }
	hs256 := func(s string) jwtgate.KeySource { return keys.HS256([]byte(s)) }
	for _, tt := range []struct {
		name   string
		source func(string) jwtgate.KeySource
		given  string
		want   string
	}{
		{"JWKS, nothing", fromJWKS, "\n", "keys.JWKS: it is not a JWK Set: it is empty; was a file or a setting not loaded?"},
		{"JWKS, an address", fromJWKS, address, "it is an address; keys.Remote fetches the JWK Set of an address"},
		{"JWKS, a file name", fromJWKS, "/etc/keys/jwks.json", "it is the name of a file; keys.File reads a file"},
		{"JWKS, PEM", fromJWKS, public, "it is a PEM text; use keys.PEM"},
		{"JWKS, one key", fromJWKS, key, `it is a single JWK; put {"keys":[...]} around it`},
		{"JWKS, an array", fromJWKS, "[" + key + "]", `it is an array of JWKs; put {"keys":[...]} around it`},
		{"JWKS, a discovery document", fromJWKS, metadata, "it is a discovery document; its jwks_uri is the address of the set"},
		{"JWKS, base64 of a set", fromJWKS, base64.StdEncoding.EncodeToString([]byte(set)), "encoded in base64 or hex once more; decode it first"},
		{"JWKS, a page", fromJWKS, page, `it is an HTML page; a JWK Set starts with {"keys":[`},
		{"JWKS, certificates by key ID", fromJWKS, certificates, "it is a JSON object with PEM texts in it; ask the issuer for its JWK Set"},
		{"JWKS, in quotes", fromJWKS, "'" + set + "'", "it is not a JWK Set: it is JSON in quotes; remove the quotes, and what escapes quotes inside"},
		{"JWKS, as a JSON string", fromJWKS, string(must(json.Marshal(set))), "it is JSON in quotes; remove the quotes, and what escapes quotes inside"},
		{"JWKS, UTF-16", fromJWKS, inUTF16(set), "it is text in UTF-16, as PowerShell writes it; save it as UTF-8"},
		{"JWKS, PEM with literal line breaks", fromJWKS, strings.ReplaceAll(public, "\n", `\n`), "it is a PEM text; use keys.PEM"},
		{"JWKS, SAML metadata", fromJWKS, "<?xml version='1.0'?><EntityDescriptor/>", "it is an XML document; if it is SAML metadata, ask the issuer for its JWK Set"},
		{"JWKS, a token", fromJWKS, token, "it is a token; it is signed with a key and is not the key"},
		{"JWKS, DER", fromJWKS, string(der), "it is a key in DER"},
		{"JWKS, SSH", fromJWKS, "ssh-ed25519 AAAAC3Nz me@host", "it is an SSH public key; keys.PEM reads a key in PEM"},
		{"JWKS, a set cut short", fromJWKS, set[:len(set)-1], "keys.JWKS: it is not a JWK Set: its JSON ends too early"},
		{"JWKS, a comma too many", fromJWKS, `{"keys":[],}`, "its JSON has a mistake after byte 1"},
		{"JWKS, words", fromJWKS, "public", `it starts with "p" and not with {`},
		{"JWKS, private keys", fromJWKS, `{"keys":[{"kty":"RSA","d":"AA"},{"kty":"oct","k":"AA"}]}`, `it has no usable key: key 1: it has the private member "d", so it is a private key; key 2: it has the private member "k", so it is a secret, which keys.HS256 takes`},
		{"JWKS, no keys", fromJWKS, `{"keys":[]}`, "it has no usable key: its keys array is empty"},

		{"PEM, nothing", fromPEM, "", "keys.PEM: the PEM text is empty; was a file or a setting not loaded?"},
		{"PEM, a file name", fromPEM, "keys/public.pem", "it has no PEM block: it is the name of a file; keys.File reads a file"},
		{"PEM, an address", fromPEM, address, "it is an address; keys.Remote fetches"},
		{"PEM, a set", fromPEM, set, "it is a JWK Set; use keys.JWKS"},
		{"PEM, one JWK", fromPEM, key, "it is a single JWK; put"},
		{"PEM, a name before", fromPEM, "PUBLIC_KEY=" + strings.ReplaceAll(public, "\n", `\n`), "something comes before -----BEGIN in its line; remove it"},
		{"PEM, a comment sign", fromPEM, "# " + strings.ReplaceAll(public, "\n", "\n# "), "something comes before -----BEGIN in its line; remove it"},
		{"PEM, in one quote", fromPEM, `"` + public, "something comes before -----BEGIN in its line; remove it"},
		{"PEM, in two pairs of quotes", fromPEM, `'"` + public + `"'`, "something comes before -----BEGIN in its line; remove it"},
		{"PEM, line breaks escaped twice", fromPEM, strings.ReplaceAll(public, "\n", `\\n`), "there are backslashes in it; remove them, and keep the line breaks"},
		{"PEM, another name at its end", fromPEM, strings.Replace(public, "END PUBLIC", "END RSA PUBLIC", 1), "the name in its END line is not that of its BEGIN line; copy it again"},
		{"PEM, percent signs", fromPEM, strings.ReplaceAll(public, "\n", "%0A"), "its first block is damaged; copy it again"},
		{"PEM, UTF-16", fromPEM, inUTF16(public), "it has no PEM block: it is text in UTF-16, as PowerShell writes it; save it as UTF-8"},
		{"PEM, a private key with literal line breaks", fromPEM, strings.ReplaceAll(privatePEM, "\n", `\n`), "it is a private key, and verifying needs only the public key; extract it with: openssl pkey -pubout"},
		{"PEM, an encrypted private key on one line", fromPEM, "-----BEGIN RSA PRIVATE KEY----- Proc-Type: 4,ENCRYPTED AAAA -----END RSA PRIVATE KEY-----", "it is a private key, and verifying needs only the public key"},
		{"PEM, a private key cut short", fromPEM, privatePEM[:60], "it is a private key, and verifying needs only the public key"},
		{"PEM, cut short", fromPEM, public[:len(public)/2], "it has no END line; copy it again"},
		{"PEM, certificates by key ID", fromPEM, certificates, "it is a JSON object with PEM texts in it; pass one PEM text alone"},
		{"PEM, without its lines", fromPEM, base64.StdEncoding.EncodeToString(der), "it is a key in base64 without its BEGIN and END lines; put -----BEGIN PUBLIC KEY-----"},
		{"PEM, in base64", fromPEM, base64.StdEncoding.EncodeToString([]byte(public)), "once more; decode it first"},
		{"PEM, DER", fromPEM, string(der), "convert it with: openssl pkey -pubin -inform DER"},
		{"PEM, SSH", fromPEM, "ssh-ed25519 AAAAC3Nz me@host", "convert it with: ssh-keygen -e -m PKCS8"},
		{"PEM, a page", fromPEM, page, "it is an HTML page; a public key starts with -----BEGIN PUBLIC KEY-----"},
		{"PEM, a private key", fromPEM, privatePEM, "it is a private key, and verifying needs only the public key; extract it with: openssl pkey -pubout"},
		{"PEM, a private key of OpenSSH", fromPEM, block("OPENSSH PRIVATE KEY", private), "extract it with: ssh-keygen -e -m PKCS8"},
		{"PEM, a request for a certificate", fromPEM, block("CERTIFICATE REQUEST", der), `a "CERTIFICATE REQUEST" block was found; use PUBLIC KEY`},
		{"PEM, a wrong name", fromPEM, block("RSA PUBLIC KEY", der), "its BEGIN line says RSA PUBLIC KEY, but it is a PUBLIC KEY; correct its BEGIN and END lines"},
		{"PEM, a private key under a wrong name", fromPEM, block("PUBLIC KEY", private), "says PUBLIC KEY, but it is a PRIVATE KEY"},
		{"PEM, no key in it", fromPEM, block("PUBLIC KEY", []byte("hello")), "block 1: it is no PUBLIC KEY that can be read: "},

		{"file, nothing", inFile, "", "the PEM text is empty; was a file or a setting not loaded?"},
		{"file, a page", inFile, page, "it has no PEM block: it is an HTML page"},
		{"file, DER", inFile, string(der), "it is a key in DER, the binary form of PEM; convert it"},
		{"file, UTF-16", inFile, inUTF16(set), "it is text in UTF-16, as PowerShell writes it; save it as UTF-8"},
		{"file, a set in quotes", inFile, `"` + set + `"`, "it is JSON in quotes; remove the quotes"},
		{"file, a set cut short after a byte order mark", inFile, "\ufeff" + set[:len(set)-1], "it is not a JWK Set: its JSON ends too early"},
		{"file, one JWK", inFile, key, `it is a single JWK; put {"keys":[...]} around it`},
		{"file, a discovery document", inFile, metadata, "it is a discovery document"},
		{"file, a set cut short", inFile, set[:len(set)-1], "its JSON ends too early"},

		{"path, an address", atPath, address, "keys.File: Path is an address; use keys.Remote, which fetches keys from an address"},
		{"path, PEM", atPath, public, "keys.File: Path is a PEM text instead of the name of a file; use keys.PEM"},
		{"path, PEM with literal line breaks", atPath, strings.ReplaceAll(public, "\n", `\n`), "keys.File: Path is a PEM text instead of the name of a file; use keys.PEM"},
		{"path, a private key", atPath, privatePEM, "keys.File: Path is a PEM text instead of the name of a file"},
		{"path, a set", atPath, set, "keys.File: Path is a JWK Set instead of the name of a file; use keys.JWKS"},
		{"path, a token", atPath, token, "keys.File: Path is a token instead of the name of a file"},

		{"secret, a file name", hs256, "/run/secrets/jwt", "it looks like the name of a file: pass the secret that is there"},
		{"secret, nothing", hs256, "", "the secret is empty; was a setting not loaded?"},
		{"secret, a private key", hs256, privatePEM, "looks like a public key or certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			source := tt.source(tt.given)
			text := errorOfNew(t, source)
			assert.Contains(t, text, tt.want)
			assert.NotContains(t, text, "invalid character")
			assert.NotContains(t, text, "\n")
			assert.Less(t, len(text), 400)
			// acceptance 50
			shown := text + keyText(source)
			assert.NotContains(t, shown, base64.StdEncoding.EncodeToString(private)[:20])
			assert.NotContains(t, shown, token)
		})
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

func keyText(source jwtgate.KeySource) string {
	if f, ok := source.(*keys.File); ok {
		return slog.AnyValue(f).String()
	}
	return ""
}

// A set that a server sends with a byte order mark is read. acceptance 92
func TestRemote_ByteOrderMark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(append([]byte("\ufeff"), oneKeySet("a", edKey())...)))
		remote, _ := server.remote()
		assert.Equal(t, []string{"a EdDSA"}, lookUp(t, remote, issuer, "a"))
	})
}

// The error of a file that cannot be read has its path once.
func TestFile_NamesItsPathOnce(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	missing := filepath.Join(directory, "public.pem")
	for path, want := range map[string]string{
		missing:   "keys.File " + missing + ": cannot open it: no such file or directory",
		directory: "keys.File " + directory + ": cannot read it: is a directory",
	} {
		source := &keys.File{Path: path}
		err := source.CheckIssuers(nil)
		require.EqualError(t, err, want)
		pathError := new(os.PathError)
		assert.ErrorAs(t, err, &pathError)
	}
}

// The error of a fetch says what came instead of a JWK Set, and has the address once.
func TestRemote_NamesWhatCame(t *testing.T) {
	t.Parallel()
	typed := func(mediaType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{mediaType}
			w.Write([]byte(body))
		}
	}
	const json = "application/json"
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // after the address
	}{
		{"a page", typed("text/html; charset=utf-8", "<!doctype html><title>Sign in</title>"), "it is an HTML page (text/html; charset=utf-8), not a JWK Set"},
		{"a page as JSON", typed(json, "\n<html>"), "it is an HTML page (application/json), not a JWK Set"},
		{"a long page", typed("text/html", "<html>"+strings.Repeat("<p>", 10000)), "it is an HTML page (text/html), not a JWK Set"},
		{"a hostile media type", typed("text/html; "+strings.Repeat("x", 5000), "<html>"), "it is an HTML page (text/html; " + strings.Repeat("x", 49) + "), not a JWK Set"},
		{"SAML metadata", typed("application/samlmetadata+xml", "<EntityDescriptor/>"), "it is an XML document (application/samlmetadata+xml), not a JWK Set"},
		{"text", typed("text/plain", "not found"), "it is other text (text/plain), not a JWK Set"},
		{"PEM", typed("application/x-pem-file", publicPEM(public(edKey()))), "it is a PEM text (application/x-pem-file), not a JWK Set"},
		{"compressed", typed(json, "\x1f\x8b\x08\x00"), "it is compressed data (application/json), not a JWK Set"},
		{"nothing", typed(json, ""), "it is empty, not a JWK Set"},
		{"a discovery document", typed(json, `{"issuer":"a","jwks_uri":"b"}`), "it is not a JWK Set: it is a discovery document, whose jwks_uri is the address of the set"},
		{"a page after a byte order mark", typed(json, "\ufeff<html>"), "it is an HTML page (application/json), not a JWK Set"},
		{"UTF-16", typed(json, inUTF16(`{"keys":[]}`)), "it is text in UTF-16, as PowerShell writes it (application/json), not a JWK Set"},
		{"a JSON string", typed(json, `"{\"keys\":[]}"`), "it is JSON in quotes (application/json), not a JWK Set"},
		{"one key", typed(json, jwkOf(public(edKey())).String()), "it is a single JWK, not a JWK Set"},
		{"an error", typed(json, `{"error":"x"}`), "it is not a JWK Set: it has no member keys"},
		{"a set cut short", typed(json, `{"keys":[`), "it is not a JWK Set: its JSON ends too early"},
		{"500", fails(500), "status 500"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.example/sign-in?to=jwks", http.StatusFound)
		}, "it redirects to another origin, https://login.example:443, which is not followed"},
		{"no answer", neverAnswers, "no answer in time while waiting for the answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, tt.answer)
				remote, log := server.remote()
				err := remote.Refresh(t.Context(), issuer)
				require.Error(t, err)
				if tt.name != "no answer" { // Refresh may report the end of its own wait
					assert.EqualError(t, err, "keys.Remote: GET "+server.url+"/jwks: "+tt.want)
				}
				synctest.Wait()
				records := log.drain()
				require.Len(t, records, 1)
				assert.Equal(t, 1, strings.Count(records[0], server.url), records[0])
				assert.Contains(t, records[0], tt.want)
			})
		})
	}
}
