package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

var hmacs = []struct {
	algorithm string
	method    jwt.SigningMethod
	source    func(...[]byte) jwtgate.KeySource
	size      int
}{
	{"HS256", jwt.SigningMethodHS256, keys.HS256, 32},
	{"HS384", jwt.SigningMethodHS384, keys.HS384, 48},
	{"HS512", jwt.SigningMethodHS512, keys.HS512, 64},
}

func TestHS(t *testing.T) {
	t.Parallel()
	for _, tt := range hmacs {
		t.Run(tt.algorithm, func(t *testing.T) {
			t.Parallel()
			secret, previous := randomSecret(tt.size), randomSecret(tt.size+1)
			source := tt.source(secret, previous)

			assert.Equal(t, []string{" " + tt.algorithm, " " + tt.algorithm}, lookUp(t, source, issuer, ""))
			assert.Equal(t, []string{" " + tt.algorithm, " " + tt.algorithm}, lookUp(t, source, "", "any"))
			for _, kid := range []string{"", "k1", "k2"} {
				assert.NoError(t, verify(t, source, sign(t, tt.method, secret, kid)))
				assert.NoError(t, verify(t, source, sign(t, tt.method, previous, kid)))
				assert.ErrorIs(t, verify(t, source, sign(t, tt.method, randomSecret(tt.size), kid)), jwtgate.ErrSignature)
			}
			for _, other := range hmacs {
				if other.algorithm != tt.algorithm {
					// acceptance 19
					assert.ErrorIs(t, verify(t, source, sign(t, other.method, secret, "")), jwtgate.ErrAlgorithm)
				}
			}

			t.Run("four secrets", func(t *testing.T) {
				t.Parallel()
				source := tt.source(randomSecret(tt.size), randomSecret(tt.size), randomSecret(tt.size), secret)
				assert.NoError(t, verify(t, source, sign(t, tt.method, secret, "")))
			})
			t.Run("five secrets", func(t *testing.T) {
				t.Parallel()
				problem := errorOfUnusable(t, tt.source(randomSecret(tt.size), randomSecret(tt.size), randomSecret(tt.size), randomSecret(tt.size), secret))
				assert.Contains(t, problem, "5 keys for "+tt.algorithm)
			})
			t.Run("no secret", func(t *testing.T) {
				t.Parallel()
				assert.Contains(t, errorOfUnusable(t, tt.source()), "keys."+tt.algorithm+": there is no key")
			})
			// acceptance 20
			t.Run("short secret", func(t *testing.T) {
				t.Parallel()
				problem := errorOfUnusable(t, tt.source(randomSecret(tt.size-1)))
				assert.Contains(t, problem, "keys."+tt.algorithm+": secret 1: ")
				assert.Contains(t, problem, fmt.Sprintf("has %d bytes and %s needs at least %d", tt.size-1, tt.algorithm, tt.size))
			})
			t.Run("short second secret", func(t *testing.T) {
				t.Parallel()
				assert.Contains(t, errorOfUnusable(t, tt.source(secret, []byte("short"))), "secret 2: ")
			})
			t.Run("empty secret", func(t *testing.T) {
				t.Parallel()
				assert.Contains(t, errorOfUnusable(t, tt.source([]byte{})), "the secret is empty; was a setting not loaded?")
				assert.Contains(t, errorOfUnusable(t, tt.source(nil)), "the secret is empty; was a setting not loaded?")
			})
		})
	}
}

// sshKey returns a public key as a line of OpenSSH's authorized_keys (RFC 4253 section 6.6).
func sshKey(kind string, parts ...[]byte) string {
	var wire []byte
	for _, part := range append([][]byte{[]byte(kind)}, parts...) {
		wire = binary.BigEndian.AppendUint32(wire, uint32(len(part)))
		wire = append(wire, part...)
	}
	return kind + " " + base64.StdEncoding.EncodeToString(wire) + " alice@example.com"
}

func TestHS_LooksPublic(t *testing.T) {
	t.Parallel()
	rsaPublic, ecPublic := &rsaKey().PublicKey, &p256Key().PublicKey
	for _, tt := range []struct {
		name   string
		secret []byte
	}{
		// acceptance 19, 20
		{"PEM of an RSA key", pemBlock("PUBLIC KEY", pkixDER(rsaPublic))},
		{"PEM of an RSA key, PKCS #1", pemBlock("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(rsaPublic))},
		{"PEM of an EC key", pemBlock("PUBLIC KEY", pkixDER(ecPublic))},
		{"PEM of an Ed25519 key", pemBlock("PUBLIC KEY", pkixDER(public(edKey())))},
		{"PEM of a certificate", pemBlock("CERTIFICATE", newCertificate(t, rsaKey()))},
		{"PEM of a private key", pemBlock("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(p256Key())))},
		{"PEM with its line breaks trimmed", bytes.TrimSpace(pemBlock("PUBLIC KEY", pkixDER(rsaPublic)))},
		{"PEM with space before it", append([]byte("\n  "), pemBlock("PUBLIC KEY", pkixDER(rsaPublic))...)},
		{"PEM with line breaks of Windows", bytes.ReplaceAll(pemBlock("PUBLIC KEY", pkixDER(rsaPublic)), []byte("\n"), []byte("\r\n"))},
		{"PEM without line breaks", bytes.ReplaceAll(pemBlock("PUBLIC KEY", pkixDER(rsaPublic)), []byte("\n"), nil)},
		{"PEM with explanatory text before it", append([]byte("Bag Attributes: <No Attributes>\nsubject=CN = auth\n"), pemBlock("CERTIFICATE", newCertificate(t, rsaKey()))...)},
		{"DER of an RSA key", pkixDER(rsaPublic)},
		{"DER of an RSA key, PKCS #1", x509.MarshalPKCS1PublicKey(rsaPublic)},
		{"DER of an EC key", pkixDER(ecPublic)},
		{"DER of an Ed25519 key", pkixDER(public(edKey()))},
		{"DER of a certificate", newCertificate(t, p256Key())},
		{"JWK", []byte(jwkOf(rsaPublic).String())},
		{"JWK with space", []byte(" {\n \"kty\" : \"EC\", \"crv\": \"P-256\" }\n")},
		{"JWK Set", jwkSet(jwkOf(rsaPublic))},
		{"OpenSSH RSA key", []byte(sshKey("ssh-rsa", big.NewInt(int64(rsaPublic.E)).Bytes(), append([]byte{0}, rsaPublic.N.Bytes()...)))},
		{"OpenSSH Ed25519 key", []byte(sshKey("ssh-ed25519", public(edKey())))},
		{"OpenSSH ECDSA key", []byte(sshKey("ecdsa-sha2-nistp256", []byte("nistp256"), must(ecPublic.Bytes())))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			problem := errorOfUnusable(t, keys.HS256(tt.secret))
			assert.Contains(t, problem, "looks like a public key")
			assert.Contains(t, problem, "RS256", "the error says what to use instead")
		})
	}
}

func TestHS_Untrimmed(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("0123456789abcdef", 4)
	for _, tt := range []struct{ name, secret string }{
		{"line break", line + "\n"},
		{"line break of Windows", line + "\r\n"},
		{"several line breaks", line + "\n\n"},
		{"with punctuation and spaces", "correct horse battery staple, " + line + "~!\n"},
		// The output of "openssl rand -base64 64" has lines of 64 characters.
		{"two lines of base64", line + "\n" + "0123456789abcdefghi/+A==\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, hmac := range hmacs {
				assert.Contains(t, errorOfUnusable(t, hmac.source([]byte(tt.secret))), "bytes.TrimSpace")
			}
		})
	}

	for _, tt := range []struct{ name, secret string }{
		{"trimmed", line},
		{"random bytes that end like a line", "\x00\xff" + line + "\n"},
		{"line breaks within", line[:32] + "\n" + line[32:]},
		{"a space at its end", line + " "},
		{"JSON that is no key", `{"password":"` + line + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			secret := []byte(tt.secret)
			assert.NoError(t, verify(t, keys.HS512(secret), sign(t, jwt.SigningMethodHS512, secret, "")))
		})
	}
}

// acceptance 19: a token that is signed with HMAC, and any encoding of a public key as the secret, is refused.
func TestPublicKeyAsSecret(t *testing.T) {
	t.Parallel()
	rsaPublic, ecPublic, edPublic := &rsaKey().PublicKey, &p256Key().PublicKey, public(edKey())
	source := keys.Public(rsaPublic, ecPublic, edPublic)
	for name, secret := range map[string][]byte{
		"RSA PEM":           pemBlock("PUBLIC KEY", pkixDER(rsaPublic)),
		"RSA PEM, trimmed":  bytes.TrimSpace(pemBlock("PUBLIC KEY", pkixDER(rsaPublic))),
		"RSA PEM, PKCS #1":  pemBlock("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(rsaPublic)),
		"RSA DER":           pkixDER(rsaPublic),
		"RSA DER, PKCS #1":  x509.MarshalPKCS1PublicKey(rsaPublic),
		"RSA JWK":           []byte(jwkOf(rsaPublic).String()),
		"RSA modulus":       rsaPublic.N.Bytes(),
		"RSA modulus, text": []byte(base64url(rsaPublic.N.Bytes())),
		"EC PEM":            pemBlock("PUBLIC KEY", pkixDER(ecPublic)),
		"EC DER":            pkixDER(ecPublic),
		"EC point":          must(ecPublic.Bytes()),
		"Ed25519 PEM":       pemBlock("PUBLIC KEY", pkixDER(edPublic)),
		"Ed25519 DER":       pkixDER(edPublic),
		"Ed25519 key":       edPublic,
		"nothing":           {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, hmac := range hmacs {
				assert.ErrorIs(t, verify(t, source, sign(t, hmac.method, secret, "")), jwtgate.ErrAlgorithm)
			}
		})
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		algorithm string
		public    crypto.PublicKey
		method    jwt.SigningMethod
		private   any
	}{
		{"RS256", &rsaKey().PublicKey, jwt.SigningMethodRS256, rsaKey()},
		{"ES256", &p256Key().PublicKey, jwt.SigningMethodES256, p256Key()},
		{"ES384", &p384Key().PublicKey, jwt.SigningMethodES384, p384Key()},
		{"ES512", &p521Key().PublicKey, jwt.SigningMethodES512, p521Key()},
		{"EdDSA", public(edKey()), jwt.SigningMethodEdDSA, edKey()},
	} {
		t.Run(tt.algorithm, func(t *testing.T) {
			t.Parallel()
			source := keys.Public(tt.public)
			assert.Equal(t, []string{" " + tt.algorithm}, lookUp(t, source, issuer, ""))
			assert.NoError(t, verify(t, source, sign(t, tt.method, tt.private, "")))
			assert.NoError(t, verify(t, source, sign(t, tt.method, tt.private, "any ID")))
		})
	}

	t.Run("one algorithm each", func(t *testing.T) {
		t.Parallel()
		// acceptance 19
		source := keys.Public(&rsaKey().PublicKey)
		for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512} {
			assert.ErrorIs(t, verify(t, source, sign(t, method, rsaKey(), "")), jwtgate.ErrAlgorithm, method.Alg())
		}
	})
	t.Run("all kinds together", func(t *testing.T) {
		t.Parallel()
		source := keys.Public(&rsaKey().PublicKey, &p256Key().PublicKey, &p384Key().PublicKey, &p521Key().PublicKey, public(edKey()))
		assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodRS256, rsaKey(), "")))
		assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodES384, p384Key(), "")))
		assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "")))
	})
}

func TestPublic_Refuses(t *testing.T) {
	t.Parallel()
	edPublic := public(edKey())
	five := func(p crypto.PublicKey) []crypto.PublicKey { return []crypto.PublicKey{p, p, p, p, p} }
	for _, tt := range []struct {
		name    string
		public  []crypto.PublicKey
		problem string
	}{
		{"none", nil, "keys.Public: there is no key"},
		{"nil", []crypto.PublicKey{nil}, "keys.Public: key 1: the key is nil"},
		{"nil after a good one", []crypto.PublicKey{edPublic, nil}, "keys.Public: key 2: the key is nil"},
		{"five keys", five(edPublic), "5 keys for EdDSA"},
		{"RSA private key", []crypto.PublicKey{rsaKey()}, "pass its Public()"},
		{"ECDSA private key", []crypto.PublicKey{p256Key()}, "key 1: a *ecdsa.PrivateKey was given; verifying takes the public key: pass its Public()"},
		{"Ed25519 private key", []crypto.PublicKey{edKey()}, "pass its Public()"},
		{"RSA key by value", []crypto.PublicKey{rsaKey().PublicKey}, "a rsa.PublicKey was given; use an *rsa.PublicKey"},
		{"ECDSA key by value", []crypto.PublicKey{p256Key().PublicKey}, "a ecdsa.PublicKey was given"},
		{"pointer to an Ed25519 key", []crypto.PublicKey{&edPublic}, "a *ed25519.PublicKey was given"},
		{"ECDH key", []crypto.PublicKey{must(p256Key().ECDH()).PublicKey()}, "a *ecdh.PublicKey was given"},
		{"X25519 key", []crypto.PublicKey{must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey()}, "a *ecdh.PublicKey was given"},
		{"PEM", []crypto.PublicKey{pemBlock("PUBLIC KEY", pkixDER(edPublic))}, "a []uint8 was given"},
		{"PEM as a string", []crypto.PublicKey{publicPEM(edPublic)}, "a string was given"},
		{"certificate", []crypto.PublicKey{must(x509.ParseCertificate(newCertificate(t, rsaKey())))}, "a *x509.Certificate was given"},
		// acceptance 20
		{"typed nil, RSA", []crypto.PublicKey{(*rsa.PublicKey)(nil)}, "nil"},
		{"typed nil, ECDSA", []crypto.PublicKey{(*ecdsa.PublicKey)(nil)}, "key"},
		{"typed nil, Ed25519", []crypto.PublicKey{ed25519.PublicKey(nil)}, "0 bytes"},
		{"typed nil, RSA private key", []crypto.PublicKey{(*rsa.PrivateKey)(nil)}, "pass its Public()"},
		{"zero RSA key", []crypto.PublicKey{&rsa.PublicKey{}}, "nil"},
		{"zero ECDSA key", []crypto.PublicKey{&ecdsa.PublicKey{}}, "key"},
		{"ECDSA key without a point", []crypto.PublicKey{&ecdsa.PublicKey{Curve: elliptic.P256()}}, "the ECDSA key is"},
		{"ECDSA key of zeros", []crypto.PublicKey{&ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)}}, "point"},
		{"point off the curve", []crypto.PublicKey{&ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}}, "point"},
		{"P-224", []crypto.PublicKey{&p224Key().PublicKey}, "not on P-256, P-384 or P-521"},
		{"RSA of 1024 bits", []crypto.PublicKey{&weakRSAKey().PublicKey}, "1024 bits"},
		{"RSA of 8193 bits", []crypto.PublicKey{&rsa.PublicKey{N: modulus(8193), E: 65537}}, "8193 bits"},
		{"RSA with an even modulus", []crypto.PublicKey{&rsa.PublicKey{N: new(big.Int).Add(rsaKey().N, big.NewInt(1)), E: 65537}}, "modulus"},
		{"RSA with a negative modulus", []crypto.PublicKey{&rsa.PublicKey{N: new(big.Int).Neg(rsaKey().N), E: 65537}}, "modulus"},
		{"RSA with an even exponent", []crypto.PublicKey{&rsa.PublicKey{N: rsaKey().N, E: 65536}}, "exponent"},
		{"RSA with exponent 1", []crypto.PublicKey{&rsa.PublicKey{N: rsaKey().N, E: 1}}, "exponent"},
		{"RSA without exponent", []crypto.PublicKey{&rsa.PublicKey{N: rsaKey().N}}, "exponent"},
		{"RSA with a negative exponent", []crypto.PublicKey{&rsa.PublicKey{N: rsaKey().N, E: -3}}, "exponent"},
		{"Ed25519 cut short", []crypto.PublicKey{edPublic[:31]}, "31 bytes"},
		{"Ed25519 of small order", []crypto.PublicKey{ed25519.PublicKey(make([]byte, 32))}, "small order"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, errorOfUnusable(t, keys.Public(tt.public...)), tt.problem)
		})
	}
}

// modulus returns an odd number of that many bits. It is good enough as the modulus of a key that is refused or
// not used.
func modulus(bits uint) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return n.Add(n, big.NewInt(1))
}

func TestStatic(t *testing.T) {
	t.Parallel()
	a := newKey(t, "a", "EdDSA", public(edKey()))
	b := newKey(t, "b", "PS256", &rsaKey().PublicKey)
	anyID := newKey(t, "", "ES256", &p256Key().PublicKey)
	source := keys.Static(a, b, anyID)

	assert.Equal(t, []string{"a EdDSA", "b PS256", " ES256"}, lookUp(t, source, issuer, ""))
	assert.Equal(t, []string{"a EdDSA", " ES256"}, lookUp(t, source, issuer, "a"))
	assert.Equal(t, []string{"b PS256", " ES256"}, lookUp(t, source, "https://other.example/", "b"))
	assert.Equal(t, []string{" ES256"}, lookUp(t, source, issuer, "c"))

	assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "a")))
	assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodPS256, rsaKey(), "b")))
	// acceptance 30
	assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodPS256, rsaKey(), "")))
	assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodES256, p256Key(), "c")))
	assert.ErrorIs(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "b")), jwtgate.ErrAlgorithm)
	assert.ErrorIs(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "c")), jwtgate.ErrAlgorithm)
	// acceptance 29
	assert.ErrorIs(t, verify(t, keys.Static(a), sign(t, jwt.SigningMethodEdDSA, edKey(), "A")), jwtgate.ErrUnknownKey)
}

func TestStatic_KeysWithOneID(t *testing.T) {
	t.Parallel()
	var private []ed25519.PrivateKey
	var four []*jwtgate.Key
	for range 4 {
		p := newEd25519()
		private = append(private, p)
		four = append(four, newKey(t, "same", "EdDSA", public(p)))
	}
	// acceptance 29
	for i, p := range private {
		assert.NoError(t, verify(t, keys.Static(four...), sign(t, jwt.SigningMethodEdDSA, p, "same")), "key %d", i)
	}
}

func TestStatic_Refuses(t *testing.T) {
	t.Parallel()
	key := func(id, algorithm string) *jwtgate.Key {
		if algorithm == "EdDSA" {
			return newKey(t, id, algorithm, public(edKey()))
		}
		return newKey(t, id, algorithm, &rsaKey().PublicKey)
	}
	for _, tt := range []struct {
		name    string
		keys    []*jwtgate.Key
		problem string
	}{
		{"none", nil, "keys.Static: there is no key"},
		{"nil", []*jwtgate.Key{nil}, "key 1 was not made by jwtgate.NewKey"},
		{"nil after a good one", []*jwtgate.Key{key("a", "EdDSA"), nil}, "key 2 was not made by jwtgate.NewKey"},
		{"zero", []*jwtgate.Key{{}}, "key 1 was not made by jwtgate.NewKey"},
		{"five without ID", slices.Repeat([]*jwtgate.Key{key("", "RS256")}, 5), "5 keys for RS256"},
		{"five with one ID", slices.Repeat([]*jwtgate.Key{key("a", "RS256")}, 5), "5 keys for RS256"},
		{"five for one ID", []*jwtgate.Key{key("a", "RS256"), key("a", "RS256"), key("", "RS256"), key("", "RS256"), key("", "RS256")}, "5 keys for RS256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, errorOfUnusable(t, keys.Static(tt.keys...)), tt.problem)
		})
	}

	t.Run("many keys with different IDs or algorithms", func(t *testing.T) {
		t.Parallel()
		var many []*jwtgate.Key
		for i := range 50 {
			many = append(many, key(fmt.Sprint(i), "RS256"))
		}
		many = append(many, slices.Repeat([]*jwtgate.Key{key("", "PS256")}, 4)...)
		many = append(many, slices.Repeat([]*jwtgate.Key{key("", "EdDSA")}, 4)...)
		many = append(many, slices.Repeat([]*jwtgate.Key{key("", "RS256")}, 3)...)
		source := keys.Static(many...)
		newGate(t, source)
		assert.Len(t, lookUp(t, source, issuer, "7"), 1+4+4+3)
	})
}

// Keys of a static source allocates nothing.
func TestStatic_AllocatesNothing(t *testing.T) {
	source := keys.Static(newKey(t, "a", "EdDSA", public(edKey())), newKey(t, "", "RS256", &rsaKey().PublicKey))
	for _, kid := range []string{"", "a", "unknown"} {
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			if ks, err := source.Keys(t.Context(), issuer, kid); err != nil || len(ks) == 0 {
				t.Error(ks, err)
			}
		}))
	}
}
