package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

func TestJWKS(t *testing.T) {
	t.Parallel()
	rsaJWK, p256JWK, edJWK := jwkOf(&rsaKey().PublicKey), jwkOf(&p256Key().PublicKey), jwkOf(public(edKey()))
	null := json.RawMessage("null")
	for _, tt := range []struct {
		name    string
		jwk     any
		key     string
		method  jwt.SigningMethod
		private any
	}{
		{"RSA", rsaJWK, " RS256", jwt.SigningMethodRS256, rsaKey()},
		{"P-256", p256JWK, " ES256", jwt.SigningMethodES256, p256Key()},
		{"P-384", jwkOf(&p384Key().PublicKey), " ES384", jwt.SigningMethodES384, p384Key()},
		{"P-521", jwkOf(&p521Key().PublicKey), " ES512", jwt.SigningMethodES512, p521Key()},
		{"Ed25519", edJWK, " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"kid", edJWK.with("kid", "k1"), "k1 EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"the longest kid", edJWK.with("kid", strings.Repeat("k", 256)), strings.Repeat("k", 256) + " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		// acceptance 91
		{"empty kid", edJWK.with("kid", ""), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"null kid", edJWK.with("kid", null), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"empty alg", p256JWK.with("alg", ""), " ES256", jwt.SigningMethodES256, p256Key()},
		{"null alg", rsaJWK.with("alg", null), " RS256", jwt.SigningMethodRS256, rsaKey()},
		{"empty use", rsaJWK.with("use", ""), " RS256", jwt.SigningMethodRS256, rsaKey()},
		{"null use", edJWK.with("use", null), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"empty key_ops", rsaJWK.with("key_ops", []string{}), " RS256", jwt.SigningMethodRS256, rsaKey()},
		{"null key_ops", edJWK.with("key_ops", null), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"empty issuer", edJWK.with("issuer", ""), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"null issuer", edJWK.with("issuer", null), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"no other primes", rsaJWK.with("oth", []any{}), " RS256", jwt.SigningMethodRS256, rsaKey()},
		{"private members that are null", rsaJWK.with("d", null).with("p", null).with("q", null), " RS256", jwt.SigningMethodRS256, rsaKey()},
		{"JsonWebKey of .NET, RSA", dotNET(rsaJWK.with("kid", "k1").with("alg", "PS256").with("use", "sig")), "k1 PS256", jwt.SigningMethodPS256, rsaKey()},
		{"JsonWebKey of .NET, EC", dotNET(p256JWK), " ES256", jwt.SigningMethodES256, p256Key()},
		{"RS256", rsaJWK.with("alg", "RS256"), " RS256", jwt.SigningMethodRS256, rsaKey()},
		{"RS512", rsaJWK.with("alg", "RS512"), " RS512", jwt.SigningMethodRS512, rsaKey()},
		{"PS256", rsaJWK.with("alg", "PS256"), " PS256", jwt.SigningMethodPS256, rsaKey()},
		{"PS384", rsaJWK.with("alg", "PS384"), " PS384", jwt.SigningMethodPS384, rsaKey()},
		{"ES256", p256JWK.with("alg", "ES256"), " ES256", jwt.SigningMethodES256, p256Key()},
		{"EdDSA", edJWK.with("alg", "EdDSA"), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"EdDSA by its newer name", edJWK.with("alg", "Ed25519"), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"use", edJWK.with("use", "sig"), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"key_ops", edJWK.with("key_ops", []string{"sign", "verify"}), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"use and key_ops", edJWK.with("use", "sig").with("key_ops", []string{"verify"}), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"key_ops with unknown values", edJWK.with("key_ops", []any{1, nil, "verify"}), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"unknown members", rsaJWK.with("x5c", []string{"MIIB"}).with("x5t", "abc").with("x5t#S256", "abc").with("x5u", "https://evil.example/").with("exp", 1).with("foo", jwk{"d": "x"}), " RS256", jwt.SigningMethodRS256, rsaKey()},
		{"x5c that is not looked at", edJWK.with("x5c", []string{base64.StdEncoding.EncodeToString(newCertificate(t, rsaKey()))}), " EdDSA", jwt.SigningMethodEdDSA, edKey()},
		{"exponent with a leading zero", rsaJWK.with("e", "AAEAAQ"), " RS256", jwt.SigningMethodRS256, rsaKey()},
		{"escapes", `{"\u006bty":"\u004fKP","crv":"Ed25519","x":"` + base64url(public(edKey())) + `"}`, " EdDSA", jwt.SigningMethodEdDSA, edKey()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			source := keys.JWKS(jwkSet(tt.jwk))
			newGate(t, source)
			assert.Equal(t, []string{tt.key}, lookUp(t, source, issuer, ""))
			kid := strings.Fields(" " + tt.key)[0]
			if strings.HasPrefix(tt.key, " ") {
				kid = "any"
			}
			assert.NoError(t, verify(t, source, sign(t, tt.method, tt.private, kid)))
			assert.NoError(t, verify(t, source, sign(t, tt.method, tt.private, "")))
		})
	}
}

// dotNET returns the JSON that ASP.NET Core makes of a JsonWebKey with the members of j: it has all members that
// a JWK can have, and some more.
func dotNET(j jwk) jwk {
	all := jwk{"key_ops": []string{}, "oth": nil, "x5c": []string{}, "keyOps": []string{}, "additionalData": jwk{}, "keyId": j["kid"], "keySize": 2048,
		"hasPrivateKey": false, "cryptoProviderFactory": jwk{"cryptoProviderCache": jwk{}, "cacheSignatureProviders": true}}
	for _, name := range []string{"alg", "crv", "d", "dp", "dq", "e", "k", "kid", "n", "p", "q", "qi", "use", "x", "x5t", "x5t#S256", "x5tS256", "x5u", "y"} {
		all[name] = nil
	}
	maps.Copy(all, j)
	return all
}

// RSA exponents at the limits of those that are accepted. The keys sign nothing.
func TestJWKS_Exponents(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		bits uint
		e    int64
		used bool
	}{
		{2048, 0, false},
		{2048, 1, false},
		{2048, 2, false},
		{2048, 3, true},
		{2048, 17, true},
		{2048, 65536, false},
		{2048, 65537, true},
		{2048, 1<<31 - 1, true},
		{2048, 1 << 31, false},
		{2048, 1<<31 + 1, false},
		{2048, 1<<32 + 1, false},
		{2048, 1<<32 + 65537, false},
		{4096, 1<<31 - 1, true},
		{4104, 1<<31 - 1, false}, // acceptance 20
		{8192, 3, true},
		{8192, 37, true},
		{8192, 65537, true},
		{8192, 65539, false},
		{8192, 1<<31 - 1, false},
	} {
		n := new(big.Int).Lsh(big.NewInt(1), tt.bits)
		n.Sub(n, big.NewInt(1))
		odd := jwkOf(&rsaKey().PublicKey).with("kid", "odd").with("n", base64url(n.Bytes())).with("e", base64url(big.NewInt(tt.e).Bytes()))
		source := keys.JWKS(jwkSet(odd, jwkOf(public(edKey())).with("kid", "good")))
		newGate(t, source)
		assert.Equal(t, tt.used, slices.Contains(lookUp(t, source, issuer, ""), "odd RS256"), "%d bits, %d", tt.bits, tt.e)
	}
}

func TestJWKS_SkipsWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	rsaJWK := jwkOf(&otherRSAKey().PublicKey).with("kid", "odd")
	ecJWK := jwkOf(&p256Key().PublicKey).with("kid", "odd")
	edJWK := jwkOf(public(otherEdKey())).with("kid", "odd")
	null := json.RawMessage("null")
	n := rsaJWK["n"].(string)
	x, y := must(base64.RawURLEncoding.DecodeString(ecJWK["x"].(string))), must(base64.RawURLEncoding.DecodeString(ecJWK["y"].(string)))
	raw := func(j jwk, more string) string { return strings.TrimSuffix(j.String(), "}") + more + "}" }

	for _, tt := range []struct {
		name string
		odd  any
	}{
		// acceptance 27
		{"no object", `"key"`},
		{"null", `null`},
		{"an array", `[]`},
		{"an empty object", `{}`},
		{"no kty", edJWK.without("kty")},
		{"empty kty", edJWK.with("kty", "")},
		{"numeric kty", edJWK.with("kty", 1)},
		{"null kty", edJWK.with("kty", null)},
		{"unknown kty", edJWK.with("kty", "XYZ")},
		{"unknown kty, long", edJWK.with("kty", strings.Repeat("XYZ\n", 1000))},
		{"kty in another case", rsaJWK.with("kty", "rsa")},
		{"kty of another key", rsaJWK.with("kty", "EC")},
		{"ML-DSA", jwk{"kty": "AKP", "alg": "ML-DSA-65", "kid": "odd", "pub": strings.Repeat("AAAA", 651)}},
		{"numeric kid", rsaJWK.with("kid", 1)},
		{"kid in an array", rsaJWK.with("kid", []string{"odd"})},
		{"kid too long", rsaJWK.with("kid", strings.Repeat("k", 257))},
		{"alg that does not sign", rsaJWK.with("alg", "RSA-OAEP-256")},
		{"alg of key agreement", ecJWK.with("alg", "ECDH-ES+A128KW")},
		{"alg none", rsaJWK.with("alg", "none")},
		{"alg of secp256k1", ecJWK.with("alg", "ES256K")},
		{"alg in another case", rsaJWK.with("alg", "rs256")},
		{"numeric alg", rsaJWK.with("alg", 256)},
		// acceptance 19
		{"alg of a secret", rsaJWK.with("alg", "HS256")},
		{"alg of another kind", rsaJWK.with("alg", "ES256")},
		{"alg of another curve", ecJWK.with("alg", "ES384")},
		{"alg of another kind of curve", edJWK.with("alg", "ES256")},

		// acceptance 28
		{"use enc", rsaJWK.with("use", "enc")},
		{"use in capitals", rsaJWK.with("use", "SIG")},
		{"use unknown", rsaJWK.with("use", strings.Repeat("tls", 1000))},
		{"use a number", rsaJWK.with("use", 1)},
		{"key_ops without verify", rsaJWK.with("key_ops", []string{"encrypt", "wrapKey"})},
		{"key_ops sign alone", rsaJWK.with("key_ops", []string{"sign"})},
		{"key_ops in capitals", rsaJWK.with("key_ops", []string{"VERIFY"})},
		{"key_ops a string", rsaJWK.with("key_ops", "verify")},
		{"key_ops with use enc", rsaJWK.with("key_ops", []string{"verify"}).with("use", "enc")},
		{"symmetric", jwk{"kty": "oct", "kid": "odd", "alg": "HS256", "k": base64url(randomSecret(32))}},
		{"symmetric without its secret", jwk{"kty": "oct", "kid": "odd"}},
		{"symmetric with a public key beside", rsaJWK.with("kty", "oct")},
		{"a secret beside a public key", rsaJWK.with("k", base64url(randomSecret(32)))},
		{"private RSA", rsaJWK.with("d", base64url(otherRSAKey().D.Bytes()))},
		{"private RSA, primes alone", rsaJWK.with("p", base64url(otherRSAKey().Primes[0].Bytes()))},
		{"private EC", ecJWK.with("d", base64url(p256Key().D.FillBytes(make([]byte, 32))))},
		{"private Ed25519", edJWK.with("d", base64url(otherEdKey().Seed()))},
		{"private member, escaped", raw(edJWK, `,"\u0064":"AAAA"`)},

		// acceptance 20
		{"RSA of 1024 bits", jwkOf(&weakRSAKey().PublicKey).with("kid", "odd")},
		{"RSA of 8193 bits", rsaJWK.with("n", base64url(modulus(8193).Bytes()))},
		{"RSA with an even modulus", rsaJWK.with("n", base64url(new(big.Int).Sub(otherRSAKey().N, big.NewInt(1)).Bytes()))},
		{"even exponent", rsaJWK.with("e", base64url([]byte{1, 0, 0}))},
		{"exponent 2^31+1", rsaJWK.with("e", base64url([]byte{0x80, 0, 0, 1}))},
		{"exponent 2^64+65537", rsaJWK.with("e", base64url([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1}))},
		{"exponent of a thousand bytes", rsaJWK.with("e", base64url(bytes.Repeat([]byte{1}, 1000)))},
		{"Ed25519 of small order", edJWK.with("x", base64url(make([]byte, 32)))},

		{"n with characters that are not base64url", rsaJWK.with("n", "!!!")},
		{"n in the other alphabet", rsaJWK.with("n", "+/+/"+n)},
		{"n with padding", rsaJWK.with("n", n+"==")},
		{"n with a line break", rsaJWK.with("n", n[:64]+"\r\n"+n[64:])},
		{"n with a line break at its end", rsaJWK.with("n", n+"\n")},
		{"n with a space", rsaJWK.with("n", n[:64]+" "+n[64:])},
		{"n with trailing bits", rsaJWK.with("n", strings.TrimRight(n, n[len(n)-1:])+otherTrailingBits(n))},
		{"n as a number", raw(rsaJWK.without("n"), `,"n":`+otherRSAKey().N.String())},
		{"n null", rsaJWK.with("n", null)},
		{"n empty", rsaJWK.with("n", "")},
		{"n cut short", rsaJWK.with("n", n[:100])},
		{"no n", rsaJWK.without("n")},
		{"no e", rsaJWK.without("e")},
		{"e empty", rsaJWK.with("e", "")},
		{"e as a number", rsaJWK.with("e", 65537)},
		{"certificate alone", jwk{"kty": "RSA", "kid": "odd", "x5c": []string{base64.StdEncoding.EncodeToString(newCertificate(t, otherRSAKey()))}}},

		{"point off the curve", ecJWK.with("y", base64url(append(bytes.Clone(y[:31]), y[31]^1)))},
		{"point of zeros", ecJWK.with("x", base64url(make([]byte, 32))).with("y", base64url(make([]byte, 32)))},
		{"point beyond the field", ecJWK.with("x", base64url(bytes.Repeat([]byte{0xff}, 32)))},
		{"x cut short", ecJWK.with("x", base64url(x[:31]))},
		{"y cut short", ecJWK.with("y", base64url(y[1:]))},
		{"x with a leading zero", ecJWK.with("x", base64url(append([]byte{0}, x...)))},
		{"x and y of other lengths", ecJWK.with("x", base64url(append(bytes.Clone(x), y[0]))).with("y", base64url(y[1:]))},
		{"no y", ecJWK.without("y")},
		{"no x", ecJWK.without("x")},
		{"no crv", ecJWK.without("crv")},
		{"crv of another curve", ecJWK.with("crv", "P-384")},
		{"crv secp256k1", ecJWK.with("crv", "secp256k1")},
		{"crv P-224", ecJWK.with("crv", "P-224")},
		{"crv of another kty", ecJWK.with("crv", "Ed25519")},
		{"crv in another case", ecJWK.with("crv", "p-256")},
		{"crv a number", ecJWK.with("crv", 256)},
		{"X25519", edJWK.with("crv", "X25519")},
		{"Ed448", edJWK.with("crv", "Ed448").with("x", base64url(make([]byte, 57)))},
		{"Ed25519 cut short", edJWK.with("x", base64url(public(otherEdKey())[:31]))},
		{"Ed25519 without x", edJWK.without("x")},
		{"Ed25519 with one byte more", edJWK.with("x", base64url(append(bytes.Clone(public(otherEdKey())), 0)))},

		{"private RSA, other primes", rsaJWK.with("oth", []any{jwk{"r": "AQAB"}})},
		{"private member beside empty ones", edJWK.with("p", null).with("k", "").with("d", base64url(otherEdKey().Seed()))},
		{"private member that is empty and one that is not", raw(edJWK, `,"d":null,"d":"AAAA"`)},
		{"private member that is an array", edJWK.with("d", []any{})},
		{"use false", rsaJWK.with("use", false)},

		{"issuer a number", edJWK.with("issuer", 1)},

		{"a member twice", raw(rsaJWK, `,"kid":"odd"`)},
		{"a member twice with another value", raw(rsaJWK, `,"n":"`+n+`"`)},
		{"a member twice, escaped", raw(rsaJWK, `,"\u006b\u0069d":"good"`)},
		{"a member in two cases", raw(rsaJWK, `,"KTY":"RSA"`)},
		{"a duplicate deep inside", raw(rsaJWK, `,"foo":[{"a":1,"a":2}]`)},
		{"invalid UTF-8", raw(rsaJWK, ",\"foo\":\"\xff\"")},
		{"a lone surrogate", raw(rsaJWK, `,"foo":"\ud800"`)},
		{"nesting too deep", raw(rsaJWK, `,"foo":`+strings.Repeat("[", 32)+strings.Repeat("]", 32))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			good, alsoGood := jwkOf(public(edKey())).with("kid", "good"), jwkOf(&p384Key().PublicKey).with("kid", "also good")
			source := keys.JWKS(jwkSet(good, tt.odd, alsoGood))
			newGate(t, source)
			assert.Equal(t, []string{"good EdDSA", "also good ES384"}, lookUp(t, source, issuer, ""))
			assert.Empty(t, lookUp(t, source, issuer, "odd"))
			assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "good")))
			assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodES384, p384Key(), "also good")))
			for _, forged := range []string{
				sign(t, jwt.SigningMethodRS256, otherRSAKey(), "odd"),
				sign(t, jwt.SigningMethodES256, p256Key(), "odd"),
				sign(t, jwt.SigningMethodEdDSA, otherEdKey(), "odd"),
			} {
				assert.ErrorIs(t, verify(t, source, forged), jwtgate.ErrUnknownKey)
			}

			// In a set of its own, the error of the set gives the reason.
			problem := errorOfUnusable(t, keys.JWKS(jwkSet(tt.odd)))
			assert.Contains(t, problem, "keys.JWKS: it has no usable key: key 1: ")
			_, reason, _ := strings.Cut(problem, "key 1: ")
			// acceptance 33
			assert.Less(t, len(reason), 256)
			assert.NotContains(t, reason, "\n")
		})
	}
}

// otherTrailingBits returns the last character of a base64url segment with an unused bit set. The segment
// would still decode to the same bytes in a lenient decoder.
func otherTrailingBits(segment string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, segment[len(segment)-1])|1])
}

func TestJWKS_NotASet(t *testing.T) {
	t.Parallel()
	good := jwkOf(public(edKey())).String()
	many := func(n int) []byte {
		var jwks []any
		for i := range n {
			jwks = append(jwks, jwkOf(public(edKey())).with("kid", fmt.Sprint(i)))
		}
		return jwkSet(jwks...)
	}
	for _, tt := range []struct {
		name     string
		document string
		problem  string
	}{
		{"nothing", ``, "it is not a JWK Set"},
		{"no JSON", `hello`, "it is not a JWK Set"},
		{"HTML", `<html><body>502 Bad Gateway</body></html>`, "it is not a JWK Set"},
		{"PEM", publicPEM(public(edKey())), "it is not a JWK Set"},
		{"null", `null`, "it is not a JWK Set"},
		{"an array of keys", `[` + good + `]`, "it is not a JWK Set"},
		{"one key", good, `it is a single JWK; put {"keys":[...]} around it`},
		{"an error", `{"error":"not_found"}`, "it is not a JWK Set: it has no member keys"},
		{"a discovery document", `{"issuer":"https://auth.example.com","jwks_uri":"https://auth.example.com/jwks"}`, "it is a discovery document; its jwks_uri is the address of the set"},
		{"keys null", `{"keys":null}`, "keys is not an array"},
		{"keys an object", `{"keys":{"a":` + good + `}}`, "keys is not an array"},
		{"keys a string", `{"keys":"` + good[:0] + `"}`, "keys is not an array"},
		{"keys in another case", `{"Keys":[` + good + `]}`, "it has no member keys"},
		{"data after it", string(jwkSet(good)) + "x", "it is not a JWK Set"},
		{"another set after it", string(jwkSet(good)) + string(jwkSet(good)), "it is not a JWK Set"},
		{"cut short", `{"keys":[` + good, "it is not a JWK Set"},
		{"cut short in a key", `{"keys":[{"kty":`, "it is not a JWK Set"},
		{"cut short in another member", `{"a":[1,`, "it is not a JWK Set"},
		{"cut short after a name", `{"keys"`, "it is not a JWK Set"},
		{"cut short after keys", `{"keys":[]`, "it is not a JWK Set"},
		{"a name that is no string", `{1:[]}`, "it is not a JWK Set"},
		{"two byte order marks", "\ufeff\ufeff" + string(jwkSet(good)), `it starts with "\ufeff" and not with {`},
		{"a byte order mark inside", `{` + "\ufeff" + `"keys":[` + good + `]}`, "its JSON has a mistake after byte 1"},
		{"empty", `{"keys":[]}`, "it has no usable key"},
		{"1,001 keys", string(many(1001)), "it has more than the 1000 keys that are read"},
		{"1,000 unusable keys", `{"keys":[` + strings.Repeat(`{},`, 999) + `{}]}`, "key 3: kty is missing; and 997 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			problem := errorOfUnusable(t, keys.JWKS([]byte(tt.document)))
			assert.Contains(t, problem, "keys.JWKS: ")
			assert.Contains(t, problem, tt.problem)
		})
	}

	t.Run("1,000 keys", func(t *testing.T) {
		t.Parallel()
		source := keys.JWKS(many(1000))
		newGate(t, source)
		assert.Len(t, lookUp(t, source, issuer, ""), 1000)
		assert.Equal(t, []string{"999 EdDSA"}, lookUp(t, source, issuer, "999"))
	})
	// acceptance 92
	t.Run("a byte order mark", func(t *testing.T) {
		t.Parallel()
		set := slices.Concat([]byte("\ufeff"), jwkSet(good))
		inFile, _ := newFileSource(t, set)
		for _, source := range []jwtgate.KeySource{keys.JWKS(set), inFile} {
			newGate(t, source)
			assert.Equal(t, []string{" EdDSA"}, lookUp(t, source, issuer, ""))
			assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "")))
		}
	})
	t.Run("members beside keys", func(t *testing.T) {
		t.Parallel()
		source := keys.JWKS([]byte(`{"foo":[{"kty":"oct","k":"AAAA"}],"Keys":[],"keys":[` + good + `],"bar":null}`))
		newGate(t, source)
		assert.Equal(t, []string{" EdDSA"}, lookUp(t, source, issuer, ""))
	})
}

// A set in which half of a thousand keys have no ID is as cheap as any other: for each ID, it has only those keys
// that a gate may try.
func TestJWKS_ManyKeysWithoutID(t *testing.T) {
	t.Parallel()
	p := newEd25519()
	var first, last []any // the keys of p are the first and the last ones without ID
	for i := range 500 {
		first = append(first, jwkOf(public(edKey())).with("kid", fmt.Sprint(i)))
		last = append(last, jwkOf(public(otherEdKey())))
	}
	last[3], last[499] = jwkOf(public(p)), jwkOf(&p256Key().PublicKey)
	source := keys.JWKS(jwkSet(append(first, last...)...))
	newGate(t, source)
	assert.Len(t, lookUp(t, source, issuer, ""), 1000)
	assert.Equal(t, []string{"7 EdDSA", " EdDSA", " EdDSA", " EdDSA", " EdDSA", " ES256"}, lookUp(t, source, issuer, "7"))
	assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "7")))
	assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodES256, p256Key(), "7")))
	// acceptance 29: the key with the ID and three of those without.
	assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, otherEdKey(), "7")))
	assert.ErrorIs(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, p, "7")), jwtgate.ErrSignature)
	assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, p, "unknown")))

	// With issuer members, the keys that a gate may try depend on the issuer.
	for i := range last {
		last[i] = last[i].(jwk).with("issuer", map[bool]string{true: issuerA, false: issuerB}[i < 490])
	}
	source = keys.JWKS(jwkSet(append(first, last...)...))
	assert.Equal(t, []string{"7 EdDSA", " EdDSA", " EdDSA", " EdDSA", " EdDSA"}, lookUp(t, source, issuerA, "7"))
	assert.Equal(t, []string{"7 EdDSA", " EdDSA", " EdDSA", " EdDSA", " EdDSA", " ES256"}, lookUp(t, source, issuerB, "7"))
	assert.Equal(t, []string{"7 EdDSA"}, lookUp(t, source, issuer, "7"))
	assert.Len(t, lookUp(t, source, issuerA, "unknown"), 490)
}

func TestJWKS_KeyIDs(t *testing.T) {
	t.Parallel()
	var private []ed25519.PrivateKey
	var jwks []any
	for _, kid := range []string{"a", "A", "a", "", "a", "a", "a"} {
		p := newEd25519()
		private = append(private, p)
		jwks = append(jwks, jwkOf(public(p)).with("kid", kid))
	}
	source := keys.JWKS(jwkSet(jwks...))
	token := func(key int, kid string) string { return sign(t, jwt.SigningMethodEdDSA, private[key], kid) }

	// acceptance 29: the first four keys with that ID are tried.
	for _, key := range []int{0, 2, 4, 5} {
		assert.NoError(t, verify(t, source, token(key, "a")), "key %d", key)
	}
	assert.ErrorIs(t, verify(t, source, token(6, "a")), jwtgate.ErrSignature)
	assert.ErrorIs(t, verify(t, source, token(1, "a")), jwtgate.ErrSignature)
	assert.NoError(t, verify(t, source, token(1, "A")))
	assert.ErrorIs(t, verify(t, source, token(0, "A")), jwtgate.ErrSignature)
	// The key without ID is tried for every key ID.
	assert.NoError(t, verify(t, source, token(3, "A")))
	assert.NoError(t, verify(t, source, token(3, "b")))
	assert.ErrorIs(t, verify(t, source, token(0, "b")), jwtgate.ErrSignature)
	// acceptance 30
	for _, key := range []int{0, 1, 2, 3} {
		assert.NoError(t, verify(t, source, token(key, "")), "key %d", key)
	}
	assert.ErrorIs(t, verify(t, source, token(4, "")), jwtgate.ErrSignature)

	named := keys.JWKS(jwkSet(jwks[0], jwks[1]))
	assert.ErrorIs(t, verify(t, named, token(0, "b")), jwtgate.ErrUnknownKey)
	assert.ErrorIs(t, verify(t, named, token(0, "a ")), jwtgate.ErrUnknownKey)
	assert.ErrorIs(t, verify(t, named, token(0, "a\x00")), jwtgate.ErrUnknownKey)
}

func TestJWKS_Issuer(t *testing.T) {
	t.Parallel()
	const (
		tenant  = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"
		pattern = "https://login.microsoftonline.com/{tenantid}/v2.0"
	)
	edJWK := jwkOf(public(edKey()))
	source := keys.JWKS(jwkSet(
		edJWK.with("kid", "one").with("issuer", tenant),
		edJWK.with("kid", "each").with("issuer", pattern),
		edJWK.with("kid", "free"),
		edJWK.with("kid", "shared").with("issuer", issuerA),
		jwkOf(public(otherEdKey())).with("kid", "shared").with("issuer", issuerB),
		jwkOf(&p256Key().PublicKey).with("issuer", issuerA),
	))

	for _, tt := range []struct {
		issuer string
		want   []string
	}{
		{tenant, []string{"one EdDSA", "each EdDSA", "free EdDSA"}},
		{"https://login.microsoftonline.com/another/v2.0", []string{"each EdDSA", "free EdDSA"}},
		{"https://login.microsoftonline.com/x/v2.0", []string{"each EdDSA", "free EdDSA"}},
		{"https://login.microsoftonline.com/{tenantid}/v2.0", []string{"each EdDSA", "free EdDSA"}},
		{"https://login.microsoftonline.com//v2.0", []string{"free EdDSA"}},
		{"https://login.microsoftonline.com/v2.0", []string{"free EdDSA"}},
		{"https://login.microsoftonline.com/a/b/v2.0", []string{"free EdDSA"}},
		{"https://login.microsoftonline.com/a?b/v2.0", []string{"free EdDSA"}},
		{"https://login.microsoftonline.com/a#b/v2.0", []string{"free EdDSA"}},
		{"https://login.microsoftonline.com/a/v2.0/", []string{"free EdDSA"}},
		{"https://login.microsoftonline.com/a/v1.0", []string{"free EdDSA"}},
		{"https://evil.example/https://login.microsoftonline.com/a/v2.0", []string{"free EdDSA"}},
		{"https://LOGIN.microsoftonline.com/a/v2.0", []string{"free EdDSA"}},
		{issuerA, []string{"free EdDSA", "shared EdDSA", " ES256"}},
		{"https://A.example/", []string{"free EdDSA"}},
		{"", []string{"free EdDSA"}},
	} {
		assert.Equal(t, tt.want, lookUp(t, source, tt.issuer, ""), tt.issuer)
	}
	assert.Equal(t, []string{"each EdDSA"}, lookUp(t, source, "https://login.microsoftonline.com/x/v2.0", "each"))
	assert.Empty(t, lookUp(t, source, issuerB, "each"))
	assert.Equal(t, []string{" ES256"}, lookUp(t, source, issuerA, "unknown"))
	assert.Empty(t, lookUp(t, source, issuerB, "unknown"))

	for _, source := range []jwtgate.KeySource{
		keys.JWKS(jwkSet(edJWK.with("issuer", pattern))),
		func() jwtgate.KeySource { f, _ := newFileSource(t, jwkSet(edJWK.with("issuer", pattern))); return f }(),
	} {
		_, err := jwtgate.New(jwtgate.Options{Keys: source, Issuers: []string{tenant, issuerB}, Audiences: []string{audience}})
		require.ErrorContains(t, err, `another issuer than "`+issuerB+`"`)
		assert.NotContains(t, err.Error(), tenant)
		_, err = jwtgate.New(jwtgate.Options{Keys: source, AnyIssuer: true, Audiences: []string{audience}})
		require.ErrorContains(t, err, `another issuer than ""`)
	}

	// acceptance 32: keys of different issuers in one set.
	gate, err := jwtgate.New(jwtgate.Options{Keys: source, Issuers: []string{issuerA, issuerB, tenant}, Audiences: []string{audience}})
	require.NoError(t, err)
	verify := func(issuer string, private ed25519.PrivateKey, kid string) error {
		_, err := gate.Verify(t.Context(), signFor(t, issuer, jwt.SigningMethodEdDSA, private, kid))
		return err
	}
	assert.NoError(t, verify(issuerA, edKey(), "shared"))
	assert.NoError(t, verify(issuerB, otherEdKey(), "shared"))
	assert.ErrorIs(t, verify(issuerA, otherEdKey(), "shared"), jwtgate.ErrSignature)
	assert.ErrorIs(t, verify(issuerB, edKey(), "shared"), jwtgate.ErrSignature)
	assert.ErrorIs(t, verify(issuerB, edKey(), "each"), jwtgate.ErrUnknownKey)
	assert.NoError(t, verify(tenant, edKey(), "each"))
}

func TestJWKS_LogsWhatItSkips(t *testing.T) {
	lines := captureDefaultLog(t)
	secret := base64url(randomSecret(32))
	source := keys.JWKS(jwkSet(
		jwkOf(public(edKey())).with("kid", "good"),
		jwk{"kty": "oct", "kid": "secret", "k": secret},
		jwkOf(&weakRSAKey().PublicKey).with("kid", "weak\nlevel=ERROR msg=forged"),
		jwkOf(&rsaKey().PublicKey).with("use", "enc"),
		jwk{"kty": strings.Repeat("\x1b[31mkty", 500)},
	))
	for range 3 {
		newGate(t, source)
		assert.NoError(t, verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "good")))
	}

	log := strings.TrimSpace(lines.String())
	require.Len(t, strings.Split(log, "\n"), 4, log)
	for i, line := range strings.Split(log, "\n") {
		assert.Contains(t, line, "level=WARN")
		assert.Contains(t, line, "source=keys.JWKS")
		assert.Contains(t, line, fmt.Sprintf("key %d: ", i+2))
		// acceptance 33
		assert.Less(t, len(line), 512)
		assert.NotContains(t, line, "\x1b")
		assert.NotContains(t, line, "level=ERROR msg=forged\n")
	}
	// acceptance 50
	assert.NotContains(t, log, secret)
}

func TestJWKS_LogsFewOfManySkippedKeys(t *testing.T) {
	lines := captureDefaultLog(t)
	newGate(t, keys.JWKS([]byte(`{"keys":[`+strings.Repeat(`{},`, 999)+jwkOf(public(edKey())).String()+`]}`)))
	log := strings.Split(strings.TrimSpace(lines.String()), "\n")
	require.Len(t, log, 6)
	assert.Contains(t, log[4], `error="key 5: kty is missing"`)
	assert.Contains(t, log[5], `error="994 more keys cannot be used"`)
}

func TestJWKS_LogsNothingWithoutReason(t *testing.T) {
	lines := captureDefaultLog(t)
	newGate(t, keys.JWKS(jwkSet(jwkOf(public(edKey())))))
	errorOfUnusable(t, keys.JWKS(jwkSet(`{}`))) // the problem is in the error
	assert.Empty(t, lines.String())
}
