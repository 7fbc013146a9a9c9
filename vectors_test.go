package jwtgate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// A vector is an example from an RFC, with its keys.
type vector struct {
	Keys      []string
	Algorithm string
	Token     string          // in the compact serialisation
	JSON      json.RawMessage // or in a JSON serialisation

	jwks []jwk
}

// A jwk is a JSON Web Key. The files leave out members that a verifier does not need, such as private
// ones, and all others are strings.
type jwk map[string]string

// readVector returns the vector with the given name, such as "RFC 7515 A.1".
func readVector(t testing.TB, name string) vector {
	t.Helper()
	rfc, section, _ := strings.Cut(strings.TrimPrefix(name, "RFC "), " ")
	var file struct {
		Keys     map[string]jwk
		Examples map[string]vector
	}
	require.NoError(t, json.Unmarshal(must(os.ReadFile("testdata/vectors/rfc"+rfc+".json")), &file))
	require.Contains(t, file.Examples, section)
	v := file.Examples[section]
	for _, name := range v.Keys {
		require.Contains(t, file.Keys, name)
		v.jwks = append(v.jwks, file.Keys[name])
	}
	return v
}

// newGate returns a gate with the keys of v. Its clock is one minute before the examples expire. It
// checks only the signature and the times, unless change asks for more.
func (v vector) newGate(t testing.TB, change ...func(*jwtgate.Options)) *jwtgate.Gate {
	t.Helper()
	return newGate(t, append([]func(*jwtgate.Options){func(o *jwtgate.Options) {
		o.Keys = v.source()
		o.Issuers, o.AnyIssuer = nil, true
		o.Audiences, o.AnyAudience = nil, true
		o.AllowNoSubject = true
		o.Now = fixedClock(vectorExpires.Add(-time.Minute))
	}}, change...)...)
}

func (v vector) source() jwtgate.KeySource {
	var all []jwtgate.KeySource
	for _, k := range v.jwks {
		if k["kty"] == "oct" {
			all = append(all, keys.Static(must(jwtgate.NewKey(k["kid"], "HS256", k.octets("k")))))
			continue
		}
		if strings.HasPrefix(v.Algorithm, "PS") {
			// The RFC gives the RSA key no alg, and package keys would use it for RS256.
			k = maps.Clone(k)
			k["alg"] = v.Algorithm
		}
		all = append(all, jwkSet(k))
	}
	return jwtgate.KeySourceFunc(func(ctx context.Context, issuer, kid string) (found []*jwtgate.Key, err error) {
		for _, source := range all {
			ks, err := source.Keys(ctx, issuer, kid)
			if err != nil {
				return nil, err
			}
			found = append(found, ks...)
		}
		return found, nil
	})
}

func jwkSet(jwks ...jwk) jwtgate.KeySource {
	return keys.JWKS(must(json.Marshal(map[string]any{"keys": jwks})))
}

func (k jwk) octets(member string) []byte {
	return must(base64.RawURLEncoding.DecodeString(k[member]))
}

// vectorExpires is the exp of all examples with claims.
var vectorExpires = time.Unix(1300819380, 0).UTC()

// An example whose payload is claims is accepted until it expires.
func TestVectorsWithClaims(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, issuer, typ string }{
		{"RFC 7515 A.1", "joe", "JWT"}, // and RFC 7519 section 3.1
		{"RFC 7515 A.2", "joe", ""},
		{"RFC 7515 A.3", "joe", ""},
		{"RFC 7520 6 signed", "hobbiton.example", "JWT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := readVector(t, tt.name)
			gateAt := func(now time.Time) *jwtgate.Gate {
				return v.newGate(t, func(o *jwtgate.Options) {
					o.Issuers, o.AnyIssuer = []string{tt.issuer}, false
					o.Leeway = time.Minute
					o.Now = fixedClock(now)
				})
			}
			gate := gateAt(vectorExpires.Add(-time.Minute))
			got, err := gate.Verify(t.Context(), v.Token)
			require.NoError(t, err)
			assert.Equal(t, tt.issuer, got.Issuer)
			assert.Equal(t, vectorExpires, got.Expires)
			assert.Equal(t, v.Algorithm, got.Algorithm)
			assert.Equal(t, tt.typ, got.Type)
			assert.Empty(t, got.KeyID)
			assert.Empty(t, got.Subject)
			assert.Empty(t, got.Audience)

			var all map[string]any
			require.NoError(t, got.Decode(&all))
			assert.Len(t, all, 3)
			var some struct {
				Issuer  string `json:"iss"`
				Expires int64  `json:"exp"`
				Root    bool   `json:"http://example.com/is_root"`
			}
			require.NoError(t, got.Decode(&some))
			assert.Equal(t, tt.issuer, some.Issuer)
			assert.Equal(t, vectorExpires.Unix(), some.Expires)
			assert.True(t, some.Root)

			// acceptance 34
			_, err = gateAt(vectorExpires.Add(time.Minute-1)).Verify(t.Context(), v.Token)
			require.NoError(t, err)
			_, err = gateAt(vectorExpires.Add(time.Minute)).Verify(t.Context(), v.Token)
			requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrExpired)

			requireForgeriesRefused(t, gate, v.Token)
			// Changing the last digit of exp to 1 leaves the payload valid claims.
			header, rest, _ := strings.Cut(v.Token, ".")
			payload, signature, _ := strings.Cut(rest, ".")
			digit := strings.Index(string(must(base64.RawURLEncoding.DecodeString(payload))), "1300819380") + 9
			_, err = gate.Verify(t.Context(), header+"."+withBitChanged(payload, digit)+"."+signature)
			requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrSignature)
		})
	}
}

// An example whose payload is plain text is refused although its signature is good. The error is about
// the claims, because the gate reads the payload only after it has verified the signature.
func TestVectorsWithText(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"RFC 7515 A.4",
		"RFC 7520 4.1",
		"RFC 7520 4.2",
		"RFC 7520 4.3",
		"RFC 7520 4.4",
		"RFC 8037 A.4", // A.5 verifies the same token
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := readVector(t, name)
			gate := v.newGate(t)
			requireSignedText(t, gate, v.Token)
			requireForgeriesRefused(t, gate, v.Token)
			header, rest, _ := strings.Cut(v.Token, ".")
			payload, signature, _ := strings.Cut(rest, ".")
			for _, i := range bytesToChange(payload) {
				_, err := gate.Verify(t.Context(), header+"."+withBitChanged(payload, i)+"."+signature)
				requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrSignature)
			}
		})
	}
}

// RFC 7520 gives its RSA key and its EC key the same ID.
func TestVectorsWithTheSameKeyID(t *testing.T) {
	t.Parallel()
	gate := readVector(t, "RFC 7520 4.8").newGate(t)
	// acceptance 29
	for _, name := range []string{"RFC 7520 4.1", "RFC 7520 4.3", "RFC 7520 4.4"} {
		requireSignedText(t, gate, readVector(t, name).Token)
	}
}

// requireSignedText requires gate to verify the signature of token and then to refuse its payload.
func requireSignedText(t testing.TB, gate *jwtgate.Gate, token string) {
	t.Helper()
	_, err := gate.Verify(t.Context(), token)
	requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrMalformed)
	require.ErrorContains(t, err, "claims")
}

// requireForgeriesRefused requires gate to refuse token with each of several changes to its signature.
func requireForgeriesRefused(t testing.TB, gate *jwtgate.Gate, token string) {
	t.Helper()
	dot := strings.LastIndexByte(token, '.')
	for _, i := range bytesToChange(token[dot+1:]) {
		_, err := gate.Verify(t.Context(), token[:dot+1]+withBitChanged(token[dot+1:], i))
		requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrSignature)
	}
}

// bytesToChange returns the indexes of the first, the middle and the last decoded byte of segment.
func bytesToChange(segment string) []int {
	n := base64.RawURLEncoding.DecodedLen(len(segment))
	return []int{0, n / 2, n - 1}
}

// withBitChanged returns segment with the lowest bit of decoded byte i changed.
func withBitChanged(segment string, i int) string {
	b := must(base64.RawURLEncoding.DecodeString(segment))
	b[i] ^= 1
	return base64url(b)
}

// An unsecured token is refused because it has no signature. With a signature added, it is refused
// because its alg is none.
func TestVectorsUnsecured(t *testing.T) {
	t.Parallel()
	v := readVector(t, "RFC 7515 A.5") // and RFC 7519 section 6.1
	good := readVector(t, "RFC 7515 A.1")
	gate := good.newGate(t)
	_, err := gate.Verify(t.Context(), good.Token)
	require.NoError(t, err)
	_, goodRest, _ := strings.Cut(good.Token, ".")
	_, rest, _ := strings.Cut(v.Token, ".")
	require.Equal(t, goodRest[:len(rest)], rest, "the content of both is the same")

	// acceptance 18
	requireFormRefused(t, gate, v.Token)
	_, err = gate.Verify(t.Context(), v.Token+goodRest[len(rest):])
	requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrAlgorithm)
}

// A token in a JSON serialisation is refused although its signature is good (RFC 7519 section 1).
func TestVectorsInJSON(t *testing.T) {
	t.Parallel()
	// acceptance 13
	for _, name := range []string{
		"RFC 7515 A.6",
		"RFC 7515 A.7",
		"RFC 7520 4.6 general",
		"RFC 7520 4.6 flattened",
		"RFC 7520 4.7 general",
		"RFC 7520 4.7 flattened",
		"RFC 7520 4.8",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := readVector(t, name)
			gate := v.newGate(t)
			type signer struct {
				Protected, Signature string
				Header               struct{ Alg string }
			}
			var form struct {
				signer     // of the flattened form
				Signatures []signer
				Payload    string
			}
			require.NoError(t, json.Unmarshal(v.JSON, &form))
			if form.Signatures == nil {
				form.Signatures = []signer{form.signer}
			}
			require.NotEmpty(t, form.Payload)
			for _, s := range form.Signatures {
				input := s.Protected + "." + form.Payload
				if s.Protected == "" {
					// Without a protected header the token has no compact form, so a gate cannot check
					// the signature.
					signature := must(base64.RawURLEncoding.DecodeString(s.Signature))
					require.NoError(t, jwt.GetSigningMethod(s.Header.Alg).Verify(input, signature, v.material(t, s.Header.Alg)))
				} else if _, err := gate.Verify(t.Context(), input+"."+s.Signature); err != nil {
					requireSignedText(t, gate, input+"."+s.Signature)
				}
			}
			requireFormRefused(t, gate, string(v.JSON))
		})
	}
}

// material returns the key that golang-jwt needs to verify signatures of algorithm.
func (v vector) material(t testing.TB, algorithm string) any {
	t.Helper()
	kty := map[string]string{"HS256": "oct", "ES512": "EC"}[algorithm]
	i := slices.IndexFunc(v.jwks, func(k jwk) bool { return k["kty"] == kty })
	require.GreaterOrEqual(t, i, 0)
	if k := v.jwks[i]; kty == "EC" {
		point := slices.Concat([]byte{4}, k.octets("x"), k.octets("y"))
		return must(ecdsa.ParseUncompressedPublicKey(elliptic.P521(), point))
	}
	return v.jwks[i].octets("k")
}

// TestVectorsDetached uses the token of RFC 7520 section 4.4 without its payload.
func TestVectorsDetached(t *testing.T) {
	t.Parallel()
	v := readVector(t, "RFC 7520 4.5")
	header, signature, _ := strings.Cut(v.Token, "..")
	whole := strings.Split(readVector(t, "RFC 7520 4.4").Token, ".")
	require.Equal(t, []string{header, signature}, []string{whole[0], whole[2]})
	// acceptance 13
	requireFormRefused(t, v.newGate(t), v.Token)
}

// An encrypted token is refused, even if it contains a signed one: the gate decrypts nothing.
// Encryption does not show who made a token, because the key to encrypt with is public.
func TestVectorsEncrypted(t *testing.T) {
	t.Parallel()
	// acceptance 23
	for _, name := range []string{
		"RFC 7519 A.1",
		"RFC 7519 A.2",         // around the token of RFC 7515 A.2
		"RFC 7520 6 encrypted", // around the token of the same section
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFormRefused(t, readVector(t, "RFC 7515 A.2").newGate(t), readVector(t, name).Token)
		})
	}
}

// requireFormRefused requires gate to refuse token before it reads the claims.
func requireFormRefused(t testing.TB, gate *jwtgate.Gate, token string) {
	t.Helper()
	got, err := gate.Verify(t.Context(), token)
	requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrMalformed)
	require.ErrorContains(t, err, "segment")
	require.Nil(t, got)
}

// mldsaVectors returns the examples of the authors of RFC 9964, one for each algorithm.
func mldsaVectors(t testing.TB) (all []vector) {
	for _, name := range []string{"RFC 9964 ML-DSA-44", "RFC 9964 ML-DSA-65", "RFC 9964 ML-DSA-87"} {
		all = append(all, readVector(t, name))
	}
	return all
}
