package jwk_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jwk"
)

// The public keys of RFC 7517 appendix A.1 and RFC 8037 appendix A.2.
const (
	rsaJWK = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_` +
		`BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs` +
		`8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls` +
		`1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	ecJWK = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",` +
		`"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1","issuer":"https://auth.example.com/"}`
	edJWK = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
)

func TestParse(t *testing.T) {
	t.Parallel()
	rsaKey, err := jwk.Parse([]byte(rsaJWK), "")
	require.NoError(t, err)
	assert.Equal(t, 2048, rsaKey.Public.(*rsa.PublicKey).N.BitLen())
	assert.Equal(t, 65537, rsaKey.Public.(*rsa.PublicKey).E)
	rsaKey.Public = nil
	assert.Equal(t, &jwk.Key{ID: "2011-04-29", Algorithm: "RS256", Algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}}, rsaKey)

	ecKey, err := jwk.Parse([]byte(ecJWK), "")
	require.NoError(t, err)
	assert.Equal(t, "P-256", ecKey.Public.(*ecdsa.PublicKey).Params().Name)
	ecKey.Public = nil
	assert.Equal(t, &jwk.Key{ID: "1", Issuer: "https://auth.example.com/", Algorithms: []string{"ES256"}}, ecKey)

	edKey, err := jwk.Parse([]byte(edJWK), "")
	require.NoError(t, err)
	assert.Len(t, edKey.Public.(ed25519.PublicKey), ed25519.PublicKeySize)
	edKey.Public = nil
	assert.Equal(t, &jwk.Key{Algorithms: []string{"EdDSA"}}, edKey)
}

// acceptance 91
func TestParse_EmptyMembers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, jwk string
		members   []string
		empty     []string // values that say nothing
	}{
		{"strings of RSA", rsaJWK, []string{"use", "issuer", "d", "p", "q", "dp", "dq", "qi", "k", "crv", "x", "y", "priv"}, []string{"null", `""`}},
		{"strings of EC", ecJWK, []string{"alg", "d", "p", "q", "dp", "dq", "qi", "k", "n", "e"}, []string{"null", `""`}},
		{"strings of Ed25519", edJWK, []string{"alg", "use", "kid", "issuer", "d", "y", "n", "e"}, []string{"null", `""`}},
		{"arrays", edJWK, []string{"key_ops", "oth", "x5c"}, []string{"null", "[]", "[ ]"}},
	} {
		want, err := jwk.Parse([]byte(tt.jwk), "")
		require.NoError(t, err)
		for _, value := range tt.empty {
			all := ""
			for _, member := range tt.members {
				all += fmt.Sprintf(`,"%s":%s`, member, value)
			}
			k, err := jwk.Parse([]byte(strings.TrimSuffix(tt.jwk, "}")+all+"}"), "")
			require.NoError(t, err, "%s: %s", tt.name, value)
			assert.Equal(t, want, k, "%s: %s", tt.name, value)
		}
	}
	// Empty members still count as members: no name may occur twice.
	_, err := jwk.Parse([]byte(strings.TrimSuffix(edJWK, "}")+`,"d":null,"d":"AAAA"}`), "")
	require.ErrorContains(t, err, "twice")
}

func TestParse_Refuses(t *testing.T) {
	t.Parallel()
	with := func(jwk, member string) string { return strings.TrimSuffix(jwk, "}") + "," + member + "}" }
	for _, tt := range []struct {
		name    string
		jwk     string
		problem string
	}{
		{"nothing", ``, "not a JSON object"},
		{"an array", `[` + edJWK + `]`, "not a JSON object"},
		{"data after it", edJWK + edJWK, "data after"},
		{"a member twice", with(edJWK, `"crv":"Ed25519"`), "twice"},
		{"more than 64 KiB", with(edJWK, `"x5c":"`+strings.Repeat("A", jwk.MaxKeyBytes)+`"`), "it has more than 65536 bytes"},
		{"a private key", with(edJWK, `"d":"AAAA"`), `the private member "d"`},
		{"a private key after empty members", with(edJWK, `"p":null,"oth":[],"d":"AAAA"`), `the private member "d"`},
		{"other primes", with(rsaJWK, `"oth":[{}]`), `the private member "oth"`},
		{"an array for a string", with(edJWK, `"d":[]`), `the private member "d"`},
		{"a string for an array", with(edJWK, `"key_ops":""`), "key_ops is not an array"},
		{"false for a string", with(edJWK, `"use":false`), "use is not a string"},
		{"a required member that is null", strings.Replace(rsaJWK, `"e":"AQAB"`, `"e":null`, 1), "n or e is missing"},
		{"a required member that is empty", `{"kty":""}`, "kty is missing"},
		{"a secret", `{"kty":"oct"}`, "symmetric"},
		{"a secret that is empty", `{"kty":"oct","k":null}`, "symmetric"},
		{"for encryption", with(edJWK, `"use":"enc"`), "not for signatures"},
		{"not for verifying", with(edJWK, `"key_ops":["sign"]`), "key_ops"},
		{"another kty", `{"kty":"` + strings.Repeat("x", 1000) + `"}`, "is not supported"},
		{"another crv", strings.Replace(edJWK, "Ed25519", "X25519", 1), `crv "X25519" is not supported`},
		{"a point off the curve", strings.Replace(ecJWK, "FyM", "FyI", 1), "x and y are not a point on P-256"},
		{"padding", strings.Replace(edJWK, "URo", "URo=", 1), "x is not base64url"},
		{"a large exponent", strings.Replace(rsaJWK, "AQAB", "gAAAAQ", 1), "e is larger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := jwk.Parse([]byte(tt.jwk), "")
			assert.Nil(t, k)
			require.ErrorContains(t, err, tt.problem)
			assert.Less(t, len(err.Error()), 100)
		})
	}
}

// acceptance 90
func TestParse_Use(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ use, wanted, problem string }{
		{`"sig"`, "", ""},
		{`""`, "", ""},
		{`null`, "", ""},
		{`"jwt-svid"`, "", `it is for use "jwt-svid", not for signatures`},
		{`"jwt-svid"`, "jwt-svid", ""},
		{`"sig"`, "jwt-svid", `it is for use "sig", and "jwt-svid" is wanted`},
		{`"x509-svid"`, "jwt-svid", `it is for use "x509-svid", and "jwt-svid" is wanted`},
		{`"JWT-SVID"`, "jwt-svid", `it is for use "JWT-SVID", and "jwt-svid" is wanted`},
		{`""`, "jwt-svid", `it has no use, and "jwt-svid" is wanted`},
		{`null`, "jwt-svid", `it has no use, and "jwt-svid" is wanted`},
		{`"sig"`, "sig", `it is for use "sig", and "sig" is wanted`},
		{`"enc"`, "enc", `it is for use "enc", and "enc" is wanted`},
	} {
		k, err := jwk.Parse([]byte(strings.TrimSuffix(edJWK, "}")+`,"use":`+tt.use+"}"), tt.wanted)
		if tt.problem == "" {
			require.NoError(t, err, "%s %q", tt.use, tt.wanted)
			continue
		}
		assert.Nil(t, k)
		useError := new(jwk.UseError)
		require.ErrorAs(t, err, &useError)
		assert.EqualError(t, err, tt.problem)
	}
}

// The alg of a key of kty AKP says which kind of key it is (RFC 9964).
func TestParse_AKP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, jwk, problem string }{
		{"no alg", `{"kty":"AKP","pub":"AAAA"}`, "alg is missing, which a key of kty AKP must have"},
		{"an empty alg", `{"kty":"AKP","alg":"","pub":"AAAA"}`, "alg is missing"},
		{"an alg of another kty", `{"kty":"AKP","alg":"ES256","pub":"AAAA"}`, `alg "ES256" is not supported for kty AKP`},
		{"another case", `{"kty":"AKP","alg":"ml-dsa-44","pub":"AAAA"}`, `alg "ml-dsa-44" is not supported`},
		{"another algorithm", `{"kty":"AKP","alg":"SLH-DSA-SHA2-128s","pub":"AAAA"}`, "is not supported for kty AKP"},
		{"no pub", `{"kty":"AKP","alg":"ML-DSA-44"}`, "pub is missing"},
		{"an empty pub", `{"kty":"AKP","alg":"ML-DSA-44","pub":""}`, "pub is missing"},
		{"pub is no string", `{"kty":"AKP","alg":"ML-DSA-44","pub":1}`, "pub is not a string"},
		{"pub with padding", `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA=="}`, "pub is not base64url"},
		{"a short pub", `{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}`, "ML-DSA-44"},
		{"a private key", `{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA","priv":"AAAA"}`, `the private member "priv"`},
		{"another use", `{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA","use":"enc"}`, "not for signatures"},
	} {
		k, err := jwk.Parse([]byte(tt.jwk), "")
		assert.Nil(t, k, tt.name)
		require.ErrorContains(t, err, tt.problem, tt.name)
		assert.Less(t, len(err.Error()), 100)
	}
	assert.Nil(t, jwk.Algorithms("a string"))
}

func TestReadSet(t *testing.T) {
	t.Parallel()
	set := func(n int) []byte { return []byte(`{"a":1,"keys":[` + strings.Repeat("{},", n-1) + "{}]}") }
	for _, tt := range []struct {
		document []byte
		keys     int
		problem  string // "" for none
	}{
		{[]byte(`{"keys":[]}`), 0, ""},
		{[]byte(`{"keys":[{},{}],"keys":[1]}`), 1, ""},
		// acceptance 92
		{[]byte("\ufeff{\"keys\":[{}]}"), 1, ""},
		{[]byte("\ufeff\r\n{\"keys\":[{}]}\n"), 1, ""},
		{[]byte("\ufeff\ufeff{\"keys\":[]}"), 0, `it starts with "\ufeff" and not with {`},
		{[]byte("\ufeff"), 0, "it is not a JWK Set: it is empty"},
		{[]byte("\ufeff{\"keys\":[{}"), 0, "it is not a JWK Set: its JSON ends too early"},
		{set(1000), 1000, ""},
		{set(1001), 0, "it has more than the 1000 keys that are read"},
		{nil, 0, "it is not a JWK Set: it is empty"},
		{[]byte(`{"Keys":[]}`), 0, "it is not a JWK Set: it has no member keys"},
		{[]byte(`{"jwks_uri":"https://a.example"}`), 0, "it is a discovery document, whose jwks_uri is the address of the set"},
		{[]byte(`{"keys":1}`), 0, "it is not a JWK Set: its member keys is not an array"},
		{[]byte(`[]`), 0, `it is not a JWK Set: it starts with "[" and not with {`},
		{[]byte(`<html>`), 0, `it is not a JWK Set: it starts with "<" and not with {`},
		{[]byte(" \n"), 0, "it is not a JWK Set: it is empty"},
		{[]byte(`{"keys":[{},]}`), 0, "it is not a JWK Set: its JSON has a mistake after byte 1"},
		{[]byte(`{"keys":[{}`), 0, "it is not a JWK Set: its JSON ends too early"},
		{[]byte(`{"keys":[]}{}`), 0, "it is not a JWK Set: there is data after it"},
	} {
		keys, err := jwk.ReadSet(tt.document)
		assert.Len(t, keys, tt.keys)
		if tt.problem == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, tt.problem)
		}
	}
}

// FuzzParse checks that Parse accepts nothing private and nothing for another
// purpose, that the point of an EC key is on its curve, and that errors are short.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		rsaJWK, ecJWK, edJWK, `{}`, `[]`, `null`, `{"kty":"oct","k":"AAAA"}`, `{"kty":"RSA","n":"AA","e":"gAAAAQ"}`,
		strings.Replace(edJWK, "}", `,"key_ops":["sign","verify"],"use":"sig"}`, 1),
		strings.Replace(edJWK, "}", `,"\u0064":"AAAA"}`, 1),
		strings.Replace(ecJWK, "FyM", "FyM\\n", 1),
		`{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}`,
		`{"kty":"OKP","crv":"Ed25519","x":""}`,
		`{"kty":"RSA","KTY":"RSA","foo":[{"a":1,"a":2}]}`,
		strings.Replace(edJWK, "}", `,"d":null,"k":"","oth":[],"key_ops":[],"use":"","alg":null}`, 1),
		strings.Replace(ecJWK, "}", `,"d":[],"oth":[null]}`, 1),
		strings.Replace(edJWK, "}", `,"use":"jwt-svid"}`, 1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, use := range []string{"enc", "jwt-svid"} {
			k, err := jwk.Parse(raw, use)
			assert.Equal(t, err != nil, k == nil)
			if err == nil {
				var members map[string]any
				require.NoError(t, json.Unmarshal(raw, &members))
				assert.Equal(t, "jwt-svid", use)
				assert.Equal(t, use, members["use"])
			}
		}
		k, err := jwk.Parse(raw, "")
		if err != nil {
			assert.Nil(t, k)
			assert.Less(t, len(err.Error()), 300)
			return
		}
		var members map[string]any
		require.NoError(t, json.Unmarshal(raw, &members))
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "priv", "k"} {
			assert.Empty(t, members[name])
		}
		assert.Contains(t, []any{nil, "", "sig"}, members["use"])
		if operations := members["key_ops"]; operations != nil && len(operations.([]any)) > 0 {
			assert.Contains(t, operations, "verify")
		}
		assert.NotEmpty(t, k.Algorithms)
		assert.Equal(t, jwk.Algorithms(k.Public), k.Algorithms)
		switch p := k.Public.(type) {
		case *rsa.PublicKey:
			assert.Equal(t, "RSA", members["kty"])
		case *ecdsa.PublicKey:
			_, err := p.ECDH()
			assert.NoError(t, err)
			assert.Equal(t, p.Params().Name, members["crv"])
		case ed25519.PublicKey:
			assert.Equal(t, "Ed25519", members["crv"])
		default:
			t.Errorf("%T", p)
		}
	})
}
