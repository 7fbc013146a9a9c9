//go:build go1.27

package jwtgate_test

import (
	"crypto/mldsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// furtherAlgorithms are the algorithms of newer versions of Go, for the error that lists
// all.
const furtherAlgorithms = ", ML-DSA-44, ML-DSA-65, ML-DSA-87"

var mldsaParameters = []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()}

// mldsaKey returns a private key, the same one at each call with the same seed.
func mldsaKey(p mldsa.Parameters, seed byte) *mldsa.PrivateKey {
	return must(mldsa.NewPrivateKey(p, append(make([]byte, 31), seed)))
}

// mldsaToken returns a token with claimsJSON(nil).
func mldsaToken(key *mldsa.PrivateKey, header string, o *mldsa.Options) string {
	input := base64url(header) + "." + base64url(claimsJSON(nil))
	return input + "." + base64url(must(key.Sign(nil, []byte(input), o)))
}

// The examples of the authors of RFC 9964. Their payload is plain text, so the gate
// verifies the signature and then refuses the payload.
func TestMLDSAVectors(t *testing.T) {
	t.Parallel()
	for _, v := range mldsaVectors(t) {
		t.Run(v.Algorithm, func(t *testing.T) {
			t.Parallel()
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

// Tokens that another implementation has signed, with its keys as JWK and as PEM.
func TestMLDSAInterop(t *testing.T) {
	t.Parallel()
	file := mldsaTokens(t)
	for _, tt := range file.Tokens {
		for name, source := range map[string]jwtgate.KeySource{
			"JWK": keys.JWKS([]byte(`{"keys":[` + string(tt.JWK) + `]}`)),
			"PEM": keys.PEM([]byte(tt.PEM)),
		} {
			t.Run(tt.Kid+" "+name, func(t *testing.T) {
				t.Parallel()
				gate := newGate(t, func(o *jwtgate.Options) {
					o.Keys, o.Now, o.Algorithms = source, fixedClock(time.Unix(file.Now, 0)), []string{tt.Algorithm}
				})
				got, err := gate.Verify(t.Context(), tt.Token)
				require.NoError(t, err)
				assert.Equal(t, "alice", got.Subject)
				assert.Equal(t, tt.Algorithm, got.Algorithm)
				requireForgeriesRefused(t, gate, tt.Token)
			})
		}
	}
}

func TestMLDSA(t *testing.T) {
	t.Parallel()
	for i, p := range mldsaParameters {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			private := mldsaKey(p, 1)
			key, err := jwtgate.NewKey("k", p.String(), private.PublicKey())
			require.NoError(t, err)
			assert.Equal(t, p.String(), key.Algorithm())
			gate := newGate(t, func(o *jwtgate.Options) { o.Keys = keys.Static(key) })
			header := `{"alg":"` + p.String() + `","kid":"k"}`
			token, err := gate.Verify(t.Context(), mldsaToken(private, header, nil))
			require.NoError(t, err)
			assert.Equal(t, p.String(), token.Algorithm)

			next := mldsaParameters[(i+1)%3]
			for name, tt := range map[string]struct {
				token    string
				sentinel error
			}{
				"another key": {mldsaToken(mldsaKey(p, 2), header, nil), jwtgate.ErrSignature},
				// RFC 9964: the context is empty.
				"a context":                   {mldsaToken(private, header, &mldsa.Options{Context: "jwt"}), jwtgate.ErrSignature},
				"other parameters":            {mldsaToken(mldsaKey(next, 1), header, nil), jwtgate.ErrSignature},
				"the alg of other parameters": {mldsaToken(private, `{"alg":"`+next.String()+`"}`, nil), jwtgate.ErrAlgorithm},
				"the alg in lower case":       {mldsaToken(private, `{"alg":"`+strings.ToLower(p.String())+`"}`, nil), jwtgate.ErrAlgorithm},
				"the alg without parameters":  {mldsaToken(private, `{"alg":"ML-DSA"}`, nil), jwtgate.ErrAlgorithm},
				// acceptance 19: the public key as the secret
				"HS256": {sign("HS256", private.PublicKey().Bytes(), `{"alg":"HS256"}`, claimsJSON(nil)), jwtgate.ErrAlgorithm},
			} {
				_, err := gate.Verify(t.Context(), tt.token)
				require.ErrorIs(t, err, tt.sentinel, name)
			}
			whole := mldsaToken(private, header, nil)
			dot := strings.LastIndexByte(whole, '.')
			signature := must(base64.RawURLEncoding.DecodeString(whole[dot+1:]))
			_, err = gate.Verify(t.Context(), whole[:dot+1]+base64url(signature[1:]))
			requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrSignature)
			assert.ErrorContains(t, err, fmt.Sprintf("%s makes %d: the token was cut", p, p.SignatureSize()))

			_, err = newGate(t, func(o *jwtgate.Options) {
				o.Keys, o.Algorithms = keys.Join(keys.Static(key), keys.HS256(secret)), []string{"HS256"}
			}).Verify(t.Context(), mldsaToken(private, header, nil))
			requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrAlgorithm)
		})
	}
}

func TestMLDSANewKeyRefuses(t *testing.T) {
	t.Parallel()
	private := mldsaKey(mldsa.MLDSA44(), 1)
	for _, tt := range []struct {
		name, algorithm string
		material        any
		message         string
	}{
		{"other parameters", "ML-DSA-65", private.PublicKey(), "ML-DSA-65 needs a key for ML-DSA-65, not for ML-DSA-44"},
		{"a private key", "ML-DSA-44", private, "a *mldsa.PrivateKey was given; verifying takes the public key: pass its Public()"},
		{"bytes", "ML-DSA-44", private.PublicKey().Bytes(), "a []uint8 was given and ML-DSA-44 needs an *mldsa.PublicKey"},
		{"a nil key", "ML-DSA-44", (*mldsa.PublicKey)(nil), "the ML-DSA key is nil or empty"},
		{"an empty key", "ML-DSA-44", &mldsa.PublicKey{}, "the ML-DSA key is nil or empty"},
		{"nothing", "ML-DSA-44", nil, "the key is nil"},
		{"another kind", "ML-DSA-44", publicKey(rsaKey()), "a *rsa.PublicKey was given and ML-DSA-44 needs an *mldsa.PublicKey"},
		{"for another kind", "RS256", private.PublicKey(), "a *mldsa.PublicKey was given and RS256 needs an *rsa.PublicKey"},
		{"the name of the family", "ML-DSA", private.PublicKey(), "the algorithm is not supported; use one of HS256"},
	} {
		_, err := jwtgate.NewKey("", tt.algorithm, tt.material)
		require.ErrorContains(t, err, tt.message, tt.name)
	}
}

func TestMLDSAKeySources(t *testing.T) {
	t.Parallel()
	for _, p := range mldsaParameters {
		private := mldsaKey(p, 1)
		token := mldsaToken(private, `{"alg":"`+p.String()+`"}`, nil)
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		certificate := must(x509.CreateCertificate(rand.Reader, template, template, private.Public(), private))
		spki := must(x509.MarshalPKIXPublicKey(private.Public()))
		jwk := map[string]any{"kty": "AKP", "alg": p.String(), "pub": base64url(private.PublicKey().Bytes()), "kid": "k"}
		for name, source := range map[string]jwtgate.KeySource{
			"Public":      keys.Public(private.Public()),
			"PEM":         keys.PEM(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
			"certificate": keys.PEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})),
			"JWKS":        keys.JWKS(must(json.Marshal(map[string]any{"keys": []any{jwk}}))),
		} {
			gate := newGate(t, func(o *jwtgate.Options) { o.Keys = source })
			_, err := gate.Verify(t.Context(), token)
			require.NoError(t, err, name)
		}
		// The seed never belongs into a published set (RFC 9964).
		jwk["priv"] = base64url(private.Bytes())
		_, err := jwtgate.New(options(func(o *jwtgate.Options) {
			o.Keys = keys.JWKS(must(json.Marshal(map[string]any{"keys": []any{jwk}})))
		}))
		require.ErrorContains(t, err, `it has the private member "priv", so it is a private key`)
		_, err = jwtgate.New(options(func(o *jwtgate.Options) {
			o.Keys = keys.PEM(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(private))}))
		}))
		require.ErrorContains(t, err, "it is a private key")
	}
}
