package keys_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Fixed keys, so that the seeds of FuzzJWKS do not change: from examples of RFCs, and two that were generated for
// this file.
const (
	rfc7515RSA = `{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`
	rfc7515EC  = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	rfc8037OKP = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	rfc7515Oct = `{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}`
	oursOnP384 = `{"kty":"EC","crv":"P-384","x":"T-RMqabt_CHZaDWOmXNimPqywWcCaMcItaUuuwQ2nSx2fW6Su-9U_qs5DMagvTii","y":"2e5N0N9w2DZfbsKN2-hY2RHMR9utlqwk8-j0Krl3xfJnosiS9B9xSa9X_lmIPI8n"}`
	oursOnP521 = `{"kty":"EC","crv":"P-521","x":"AIuGQ9-Ciq5pCGQczYqoHlenRGD-Z5eMars38ORCaJGCVPdfbNGwuNdfZfXBMz8Ll58juvd4mHZGZTT0_X1snzW7","y":"ASiMO9VOdB4xlUBOayqg18Hh8bh5PHlGq93YrnElgArhmrxC-sbxD7pQ7nCELXYqu4avbPYSUE7QDqLKCXRAPGRT"}`
	shortMLDSA = `{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}`
)

// zeroMLDSA is a key of 1312 zero bytes.
var zeroMLDSA = `{"kty":"AKP","alg":"ML-DSA-44","pub":"` + strings.Repeat("A", 1750) + `"}`

func TestJWKS_KeysOfTheRFCs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ jwk, key string }{
		{rfc7515RSA, " RS256"},
		{rfc7515EC, " ES256"},
		{rfc8037OKP, " EdDSA"},
		{oursOnP384, " ES384"},
		{oursOnP521, " ES512"},
	} {
		source := keys.JWKS(jwkSet(tt.jwk))
		newGate(t, source)
		assert.Equal(t, []string{tt.key}, lookUp(t, source, issuer, ""))
	}
	assert.Contains(t, errorOfUnusable(t, keys.JWKS(jwkSet(rfc7515Oct))), `private member "k"`)
	assert.Contains(t, errorOfUnusable(t, keys.JWKS(jwkSet(`{"kty":"oct"}`))), "symmetric")
	assert.Contains(t, errorOfUnusable(t, keys.JWKS(jwkSet(shortMLDSA))), "ML-DSA-44")
}

// FuzzJWKS compares each key of a set with its JWK, which the test reads with encoding/json: the JWK must be
// public, meant for verifying, and of the kind that the algorithm of the key needs. Then it makes one used JWK
// private, symmetric, for encryption or ambiguous. The set must lose that key and no other.
func FuzzJWKS(f *testing.F) {
	all := []string{rfc7515RSA, rfc7515EC, rfc8037OKP, oursOnP384, oursOnP521, rfc7515Oct, shortMLDSA, zeroMLDSA}
	for i, j := range all {
		f.Add(jwkSet(j), uint8(i))
		f.Add(jwkSet(j, all[(i+1)%len(all)]), uint8(i))
	}
	with := func(j, more string) string { return strings.TrimSuffix(j, "}") + more + "}" }
	f.Add(jwkSet(with(rfc7515RSA, `,"kid":"a","alg":"PS256","use":"sig","key_ops":["verify"]`), with(rfc7515EC, `,"kid":"a","use":"enc"`)), uint8(0))
	f.Add(jwkSet(with(rfc8037OKP, `,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"`), rfc7515EC), uint8(1))
	f.Add(jwkSet(with(rfc8037OKP, `,"alg":"Ed25519","issuer":"https://a.example/{tenantid}/v2.0"`), with(rfc7515RSA, `,"issuer":"https://a.example/"`)), uint8(2))
	f.Add(jwkSet(with(rfc7515RSA, `,"alg":"HS256"`), with(rfc7515EC, `,"kty":"oct"`), with(rfc7515EC, `,"KTY":"oct"`)), uint8(3))
	f.Add([]byte(`{"keys":[],"keys":[`+rfc7515EC+`]}`), uint8(4))
	f.Add([]byte(`{"keys":null}`), uint8(5))
	f.Add(jwkSet(with(rfc7515RSA, `,"d":null,"k":"","oth":[],"key_ops":[],"use":"","alg":null,"issuer":null,"kid":""`), with(rfc7515EC, `,"d":"","oth":[{}]`)), uint8(6))

	f.Fuzz(func(t *testing.T, set []byte, choice uint8) {
		check := func(source jwtgate.KeySource) error {
			return source.(interface{ CheckIssuers([]string) error }).CheckIssuers(nil)
		}
		source := keys.JWKS(set)
		var read struct{ jwks []json.RawMessage }
		var members map[string]json.RawMessage
		isSet := json.Unmarshal(set, &members) == nil && json.Unmarshal(members["keys"], &read.jwks) == nil && len(read.jwks) <= 1000
		if err := check(source); err != nil {
			ks, keysErr := source.Keys(t.Context(), "", "")
			require.Empty(t, ks)
			require.Equal(t, err, keysErr)
		} else {
			require.True(t, isSet)
		}
		if !isSet {
			return
		}

		// The keys of a set are those that its JWKs give in sets of their own.
		var usable []int
		total := 0
		for i, raw := range read.jwks {
			k := onlyKey(t, raw)
			if k == nil {
				continue
			}
			usable = append(usable, i)
			requirePublic(t, raw, k)
			if issuerOf(raw) == "" {
				total++
			}
		}
		if len(usable) == 0 {
			require.Error(t, check(source))
			return
		}
		require.NoError(t, check(source))
		ks, err := source.Keys(t.Context(), "", "")
		require.NoError(t, err)
		require.Len(t, ks, total)

		// Each of these members makes a JWK unusable, whatever its other members are.
		i := usable[int(choice)%len(usable)]
		body := bytes.TrimLeft(read.jwks[i][1:], " \t\r\n")
		for _, first := range []string{
			`"d":"AQAB"`, `"d":[]`, `"k":"AQAB"`, `"p":"AQAB"`, `"q":"AQAB"`, `"dp":"AQAB"`, `"dq":"AQAB"`, `"qi":"AQAB"`, `"oth":[{}]`, `"priv":"AQAB"`, `"\u0064":"AQAB"`,
			`"kty":"oct"`, `"use":"enc"`, `"key_ops":["encrypt"]`, `"alg":"none"`, `"alg":"HS256"`, `"a":1,"A":2`, `"a":{"b":1,"b":2}`, "\"a\":\"\xff\"",
		} {
			changed := slices.Concat([]byte("{"+first+","), body)
			require.Nil(t, onlyKey(t, changed), "%s was added", first)

			jwks := slices.Clone(read.jwks)
			jwks[i] = changed
			source := keys.JWKS(slices.Concat([]byte(`{"keys":[`), bytes.Join(asBytes(jwks), []byte(",")), []byte(`]}`)))
			ks, err := source.Keys(t.Context(), "", "")
			if len(usable) == 1 {
				require.Error(t, err)
				continue
			}
			require.NoError(t, err)
			left := total
			if issuerOf(read.jwks[i]) == "" {
				left--
			}
			require.Len(t, ks, left)
		}
	})
}

// onlyKey returns the key of a set that has raw as its only JWK, or nil if raw is skipped.
func onlyKey(t *testing.T, raw json.RawMessage) *jwtgate.Key {
	source := keys.JWKS(jwkSet(string(raw)))
	issuer := strings.Replace(issuerOf(raw), "{tenantid}", "tenant", 1)
	ks, err := source.Keys(t.Context(), issuer, "")
	if err != nil {
		require.Empty(t, ks)
		return nil
	}
	require.Len(t, ks, 1)
	if issuer != "" {
		for _, other := range []string{"", issuer + "/", "x" + issuer, "https://other.example/"} {
			if other == issuer {
				continue
			}
			ks, err := source.Keys(t.Context(), other, "")
			require.NoError(t, err)
			if !strings.Contains(issuerOf(raw), "{tenantid}") {
				require.Empty(t, ks)
			}
		}
	}
	return ks[0]
}

// issuerOf returns the issuer member of a JWK, or "" if there is none.
func issuerOf(raw json.RawMessage) string {
	var members map[string]any
	_ = json.Unmarshal(raw, &members)
	issuer, _ := members["issuer"].(string)
	return issuer
}

func requirePublic(t *testing.T, raw json.RawMessage, k *jwtgate.Key) {
	var members map[string]any
	require.NoError(t, json.Unmarshal(raw, &members))
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "priv", "k"} {
		require.Empty(t, members[name])
	}
	require.Contains(t, []any{nil, "", "sig"}, members["use"])
	if operations := members["key_ops"]; operations != nil && len(operations.([]any)) > 0 {
		require.Contains(t, operations, "verify")
	}
	kinds := map[string][]string{
		"RSA": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
		"EC":  {"ES256", "ES384", "ES512"},
		"OKP": {"EdDSA"},
		"AKP": {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}, // since Go 1.27
	}
	require.Contains(t, kinds[members["kty"].(string)], k.Algorithm())
	if alg := members["alg"]; alg != nil && alg != "" && alg != "Ed25519" {
		require.Equal(t, alg, k.Algorithm())
	}
	kid, _ := members["kid"].(string)
	require.Equal(t, kid, k.ID())
	require.LessOrEqual(t, len(k.ID()), 256)
	require.Equal(t, fmt.Sprintf("%v", k), fmt.Sprintf("%#v", *k))
}

func asBytes(raws []json.RawMessage) [][]byte {
	var all [][]byte
	for _, raw := range raws {
		all = append(all, raw)
	}
	return all
}
