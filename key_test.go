package jwtgate_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// NewKey makes a key with an ID, for an algorithm that keys.Public does not choose by default.
func ExampleNewKey() {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	key, err := jwtgate.NewKey("2026-01", "PS256", &private.PublicKey)
	if err != nil {
		panic(err)
	}
	fmt.Println(key)
	// Output:
	// key "2026-01" for PS256
}

// A custom source answers from memory. It returns no key and no error if there is no such key, and an
// error if it cannot know.
func ExampleKeySourceFunc() {
	key, err := jwtgate.NewKey("2026-01", "HS256", []byte("a secret of thirty-two bytes...."))
	if err != nil {
		panic(err)
	}
	var vault sync.Map // kept up to date by a goroutine of yours
	vault.Store("2026-01", key)
	source := jwtgate.KeySourceFunc(func(_ context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
		if issuer != "https://auth.example.com/" {
			return nil, errors.New("these are the keys of another issuer")
		}
		key, ok := vault.Load(kid)
		if !ok {
			return nil, nil // the token is refused
		}
		return []*jwtgate.Key{key.(*jwtgate.Key)}, nil
	})

	for _, kid := range []string{"2026-01", "2025-12"} {
		keys, err := source.Keys(context.Background(), "https://auth.example.com/", kid)
		fmt.Println(keys, err)
	}
	// Output:
	// [key "2026-01" for HS256] <nil>
	// [] <nil>
}

// NewKey refuses weak keys, private keys, keys of another type, and public keys used as secrets.
// acceptance 20
func TestNewKeyRefuses(t *testing.T) {
	t.Parallel()
	rsaPublic := publicKey(rsaKey()).(*rsa.PublicKey)
	rsaOf := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.Add(n, big.NewInt(1))
	}
	rsaWith := func(e int) *rsa.PublicKey { return &rsa.PublicKey{N: rsaPublic.N, E: e} }
	p256 := publicKey(p256Key()).(*ecdsa.PublicKey)
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).PublicKey
	ed := publicKey(edKey()).(ed25519.PublicKey)
	pkix := must(x509.MarshalPKIXPublicKey(rsaPublic))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate := must(x509.CreateCertificate(rand.Reader, template, template, rsaPublic, rsaKey()))
	jwk := fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB"}`, base64url(rsaPublic.N.Bytes()))
	var (
		nilRSA   *rsa.PublicKey
		nilECDSA *ecdsa.PublicKey
	)
	for _, tt := range []struct {
		name      string
		algorithm string
		material  any
		message   string
	}{
		{"unknown algorithm", "HS257", secret, "not supported; use one of HS256"},
		{"none", "none", secret, "not supported"},
		{"no algorithm", "", secret, "not supported"},
		{"nothing", "HS256", nil, "the key is nil"},
		{"nothing for RSA", "RS256", nil, "the key is nil"},
		{"empty secret", "HS256", []byte{}, "the secret is empty; was a setting not loaded? HS256 needs at least 32 bytes; make one with: openssl rand -hex 32"},
		{"nil secret", "HS256", []byte(nil), "the secret is empty; was a setting not loaded?"},
		{"blank secret", "HS256", bytes.Repeat([]byte(" \n"), 32), "the secret is nothing but white space; was a setting not loaded?"},
		{"short file name as the secret", "HS256", []byte("/run/secrets/jwt"), "has 16 bytes and HS256 needs at least 32 (RFC 7518 section 3.2); it looks like the name of a file"},
		{"short address as the secret", "HS256", []byte("https://vault/jwt"), "it looks like an address"},
		{"short secret", "HS256", secret[:31], "has 31 bytes and HS256 needs at least 32"},
		{"short secret for HS384", "HS384", secret, "has 32 bytes and HS384 needs at least 48"},
		{"short secret for HS512", "HS512", make([]byte, 63), "has 63 bytes and HS512 needs at least 64"},
		{"PEM to be parsed", "RS256", []byte("-----BEGIN"), "a []uint8 was given and RS256 needs an *rsa.PublicKey; parse a PEM with keys.PEM"},
		{"secret a string", "HS256", string(secret), "convert a secret with []byte(s)"},
		// acceptance 19
		{"PEM as the secret", "HS256", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix}), "looks like a public key"},
		{"PEM after white space", "HS256", append([]byte("\n "), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pkix})...), "looks like a public key"},
		{"DER as the secret", "HS256", pkix, "looks like a public key"},
		{"PKCS #1 as the secret", "HS256", x509.MarshalPKCS1PublicKey(rsaPublic), "looks like a public key"},
		{"certificate in DER as the secret", "HS256", certificate, "looks like a public key"},
		{"JWK as the secret", "HS256", []byte(jwk), "looks like a public key"},
		{"SSH key as the secret", "HS256", []byte("ssh-rsa " + base64url(pkix)), "looks like a public key"},
		{"OpenSSH ECDSA key as the secret", "HS256", []byte("ecdsa-sha2-nistp256 " + base64url(pkix)), "looks like a public key"},
		{"PEM in base64 as the secret", "HS256", []byte(base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix}))), "looks like a public key"},
		{"PEM without its armour as the secret", "HS256", []byte(base64.StdEncoding.EncodeToString(pkix)[:64] + "\n" + base64.StdEncoding.EncodeToString(pkix)[64:]), "looks like a public key"},
		{"DER in base64url as the secret", "HS256", []byte(base64url(pkix)), "looks like a public key"},
		{"DER in hex as the secret", "HS256", []byte(hex.EncodeToString(pkix)), "looks like a public key"},
		{"JWK Set in base64 as the secret", "HS256", []byte(base64url(`{"keys":[` + jwk + `]}`)), "looks like a public key"},
		{"JWKs after a byte order mark as the secret", "HS256", []byte("\ufeff[" + jwk + "]"), "looks like a public key"},
		{"public key for HS256", "HS256", rsaPublic, "a *rsa.PublicKey was given and HS256 needs a []byte secret"},
		{"private key", "RS256", rsaKey(), "pass its Public()"},
		{"private ECDSA key", "ES256", p256Key(), "pass its Public()"},
		{"private Ed25519 key", "EdDSA", edKey(), "pass its Public()"},
		{"RSA by value", "RS256", *rsaPublic, "a rsa.PublicKey was given and RS256 needs an *rsa.PublicKey"},
		{"nil RSA", "RS256", nilRSA, "the RSA key is nil"},
		{"zero RSA", "PS256", &rsa.PublicKey{}, "the RSA key is nil"},
		{"RSA of 1024 bits", "RS256", &rsa.PublicKey{N: rsaOf(1024), E: 65537}, "has 1024 bits"},
		{"RSA of 2047 bits", "PS384", &rsa.PublicKey{N: rsaOf(2047), E: 65537}, "has 2047 bits"},
		{"RSA of 8193 bits", "RS512", &rsa.PublicKey{N: rsaOf(8193), E: 65537}, "has 8193 bits"},
		{"RSA with an even modulus", "RS256", &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}, "odd"},
		{"RSA with a negative modulus", "RS256", &rsa.PublicKey{N: new(big.Int).Neg(rsaPublic.N), E: 65537}, "positive"},
		{"RSA exponent 0", "RS256", rsaWith(0), "exponent 0"},
		{"RSA exponent 1", "RS256", rsaWith(1), "exponent 1"},
		{"RSA exponent 65536", "RS256", rsaWith(65536), "exponent 65536"},
		{"RSA exponent negative", "RS256", rsaWith(-3), "exponent -3"},
		{"RSA exponent 2^31-2", "RS256", rsaWith(1<<31 - 2), "exponent"},
		{"RSA exponent of MaxInt", "RS256", rsaWith(math.MaxInt - 1 + math.MaxInt>>32&1), "exponent"}, // MaxInt-1 on 32 bits, where MaxInt is allowed
		{"RSA of 8192 bits with exponent 2^31-1", "RS256", &rsa.PublicKey{N: rsaOf(8192), E: 1<<31 - 1},
			"has 8192 bits and the exponent 2147483647, so verifying with it is slow; over 4096 bits use the exponent 65537"},
		{"RSA of 4097 bits with exponent 65539", "PS256", &rsa.PublicKey{N: rsaOf(4097), E: 65539}, "slow"},
		{"RSA of 4097 bits with exponent 65535", "PS256", &rsa.PublicKey{N: rsaOf(4097), E: 65535}, "slow"},
		{"RSA of 4104 bits with exponent 259", "RS384", &rsa.PublicKey{N: rsaOf(4104), E: 259}, "slow"},
		{"RSA for ES256", "ES256", rsaPublic, "needs an *ecdsa.PublicKey"},
		{"nil ECDSA", "ES256", nilECDSA, "the ECDSA key is nil"},
		{"zero ECDSA", "ES256", &ecdsa.PublicKey{}, "the ECDSA key is nil"},
		{"ECDSA without a point", "ES256", &ecdsa.PublicKey{Curve: elliptic.P256()}, "the ECDSA key is nil"},
		{"ECDSA on a nil curve", "ES256", &ecdsa.PublicKey{Curve: (*elliptic.CurveParams)(nil), X: p256.X, Y: p256.Y}, "the ECDSA key is nil"},
		{"ECDSA off the curve", "ES256", &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}, "not a point"},
		{"ECDSA at infinity", "ES256", &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)}, "not a point"},
		{"P-256 for ES384", "ES384", p256, "needs a key on curve P-384, not P-256"},
		{"P-256 for ES512", "ES512", p256, "needs a key on curve P-521, not P-256"},
		{"P-224", "ES256", &p224, "not P-224"},
		{"ECDSA for EdDSA", "EdDSA", p256, "needs an ed25519.PublicKey"},
		{"nil Ed25519", "EdDSA", ed25519.PublicKey(nil), "has 0 bytes"},
		{"short Ed25519", "Ed25519", ed[:31], "has 31 bytes"},
		{"Ed25519 as bytes", "EdDSA", []byte(ed), "a []uint8 was given"},
		{"Ed25519 zero", "EdDSA", ed25519.PublicKey(make([]byte, 32)), "small order"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := jwtgate.NewKey("k", tt.algorithm, tt.material)
			require.ErrorContains(t, err, tt.message)
			assert.Nil(t, k)
			assert.True(t, strings.HasPrefix(err.Error(), "jwtgate: key "), err)
		})
	}

	_, err := jwtgate.NewKey(strings.Repeat("k", 257), "HS256", secret)
	require.ErrorContains(t, err, "longer than 256 bytes")
	_, err = jwtgate.NewKey(strings.Repeat("k", 256), "HS256", secret)
	require.NoError(t, err)
}

func TestNewKeyAcceptsStrongKeys(t *testing.T) {
	t.Parallel()
	for _, algorithm := range append(allAlgorithms, "Ed25519") {
		private := privateKey(strings.Replace(algorithm, "Ed25519", "EdDSA", 1))
		k, err := jwtgate.NewKey("k", algorithm, publicKey(private))
		require.NoError(t, err)
		assert.Equal(t, "k", k.ID())
		assert.Equal(t, strings.Replace(algorithm, "Ed25519", "EdDSA", 1), k.Algorithm())
	}
	for _, bits := range []int{2048, 2560, 3072, 4096, 4097, 6144, 7680, 8192} {
		exponents := []int{3, 5, 17, 37, 257, 65537}
		if bits <= 4096 {
			exponents = append(exponents, 259, 65535, 65539, 1<<31-1)
		}
		for _, e := range exponents {
			for _, algorithm := range []string{"RS256", "PS256"} {
				_, err := jwtgate.NewKey("", algorithm, rsaModulus(bits, e))
				require.NoError(t, err, "%d bits, exponent %d", bits, e)
			}
		}
	}
	assert.Empty(t, (&jwtgate.Key{}).Algorithm())
}

// rsaModulus returns a public key of the given size, for which nobody has the private key.
func rsaModulus(bits, e int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	return &rsa.PublicKey{N: n.Sub(n, big.NewInt(1)), E: e}
}

// BenchmarkForgedRSA shows what a forged token costs with the slowest keys that NewKey accepts, compared
// with a usual key.
func BenchmarkForgedRSA(b *testing.B) {
	for _, key := range []*rsa.PublicKey{
		rsaModulus(2048, 65537), rsaModulus(4096, 65537), // usual
		rsaModulus(4096, 1<<31-1), rsaModulus(8192, 65537), rsaModulus(8192, 255), // slow
	} {
		b.Run(fmt.Sprintf("%d bits, exponent %d", key.N.BitLen(), key.E), func(b *testing.B) {
			gate := newGate(b, func(o *jwtgate.Options) { o.Keys = keys.Public(key) })
			token := base64url(`{"alg":"RS256"}`) + "." + base64url(claimsJSON(nil)) + "." + base64url(make([]byte, key.Size()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := gate.Verify(b.Context(), token); !errors.Is(err, jwtgate.ErrSignature) {
					b.Fatal(err)
				}
			}
		})
	}
}

// NewKey refuses an Ed25519 key of small order, because anybody can forge signatures for it. The test
// forges one for each refused key: with S zero and R the neutral point, a signature is valid for
// about one message in eight, or more.
func TestNewKeyRefusesEd25519OfSmallOrder(t *testing.T) {
	t.Parallel()
	for _, y := range []string{
		strings.Repeat("00", 32), "01" + strings.Repeat("00", 31),
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ec" + strings.Repeat("ff", 30) + "7f",
	} {
		for _, sign := range []byte{0, 0x80} {
			point := ed25519.PublicKey(must(hex.DecodeString(y)))
			point[31] |= sign
			_, err := jwtgate.NewKey("", "EdDSA", point)
			require.ErrorContains(t, err, "small order", "%x", point)

			signature := make([]byte, ed25519.SignatureSize)
			signature[0] = 1
			forged := false
			for i := range 500 {
				forged = forged || ed25519.Verify(point, fmt.Append(nil, i), signature)
			}
			assert.True(t, forged, "%x", point)
		}
	}
}

// NewKey refuses bytes that are not a point of the curve. About half of all byte strings are points.
func TestNewKeyRefusesEd25519OffTheCurve(t *testing.T) {
	t.Parallel()
	for _, y := range []string{"ed", "ee", "ff"} { // p, p+1 and 2^255-1 are not reduced modulo p
		_, err := jwtgate.NewKey("", "EdDSA", ed25519.PublicKey(must(hex.DecodeString(y+strings.Repeat("ff", 30)+"7f"))))
		require.ErrorContains(t, err, "not a point", y)
	}
	on := 0
	for i := range 256 {
		point := ed25519.PublicKey(bytes.Repeat([]byte{byte(i)}, 32))
		point[31] &= 0x3f
		if _, err := jwtgate.NewKey("", "EdDSA", point); err == nil {
			on++
		}
	}
	assert.InDelta(t, 128, on, 48)
	for range 50 {
		point, _, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		_, err = jwtgate.NewKey("", "EdDSA", point)
		require.NoError(t, err)
	}
}

// NewKey copies its argument, so a caller may change it afterwards.
func TestNewKeyCopies(t *testing.T) {
	t.Parallel()
	mine := bytes.Clone(secret)
	rsaMine := &rsa.PublicKey{N: new(big.Int).Set(publicKey(rsaKey()).(*rsa.PublicKey).N), E: 65537}
	edMine := bytes.Clone(publicKey(edKey()).(ed25519.PublicKey))
	source := keys.Static(
		must(jwtgate.NewKey("", "HS256", mine)),
		must(jwtgate.NewKey("", "RS256", rsaMine)),
		must(jwtgate.NewKey("", "EdDSA", ed25519.PublicKey(edMine))))
	gate := newGate(t, func(o *jwtgate.Options) { o.Keys = source })
	clear(mine)
	rsaMine.N.SetInt64(15)
	clear(edMine)
	for algorithm, private := range map[string]any{"HS256": secret, "RS256": rsaKey(), "EdDSA": edKey()} {
		_, err := gate.Verify(t.Context(), sign(algorithm, private, fmt.Sprintf(`{"alg":%q}`, algorithm), claimsJSON(nil)))
		require.NoError(t, err, algorithm)
	}
}

func TestKeyEqual(t *testing.T) {
	t.Parallel()
	public := publicKey(privateKey("RS256"))
	k := must(jwtgate.NewKey("k", "RS256", public))
	var none *jwtgate.Key
	for _, tt := range []struct {
		name  string
		a, b  *jwtgate.Key
		equal bool
	}{
		{"the same", k, k, true},
		{"made anew", k, must(jwtgate.NewKey("k", "RS256", public)), true},
		{"two names of an algorithm", newKey("k", "EdDSA"), must(jwtgate.NewKey("k", "Ed25519", publicKey(privateKey("EdDSA")))), true},
		{"another ID", k, must(jwtgate.NewKey("K", "RS256", public)), false},
		{"another algorithm", k, must(jwtgate.NewKey("k", "PS256", public)), false},
		{"another material", must(jwtgate.NewKey("k", "HS256", secret)), must(jwtgate.NewKey("k", "HS256", []byte(strings.Repeat("o", 32)))), false},
		{"nil", k, nil, false},
		{"nil and nil", none, nil, true},
		{"the zero Key", k, new(jwtgate.Key), false},
		{"nil and the zero Key", none, new(jwtgate.Key), false},
		{"two zero Keys", new(jwtgate.Key), new(jwtgate.Key), true},
	} {
		assert.Equal(t, tt.equal, tt.a.Equal(tt.b), tt.name)
		assert.Equal(t, tt.equal, tt.b.Equal(tt.a), tt.name)
	}
}
