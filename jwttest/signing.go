package jwttest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A signingKey is a private key or a secret for one algorithm.
type signingKey struct {
	id        string
	algorithm string
	private   any
}

// newSigningKey makes a new key for algorithm.
func newSigningKey(id, algorithm string) (*signingKey, error) {
	method, ok := signingAlgorithms[algorithm]
	if !ok {
		return nil, fmt.Errorf("the algorithm %q is not supported; use one of %s",
			algorithm, strings.Join(slices.Sorted(maps.Keys(signingAlgorithms)), ", "))
	}
	private, err := method.newKey()
	return &signingKey{id: id, algorithm: algorithm, private: private}, err
}

// isSecret reports whether k is a secret, which is never published.
func (k *signingKey) isSecret() bool {
	_, ok := k.private.([]byte)
	return ok
}

// sign returns a token in compact serialisation (RFC 7515 section 7.1), signed with
// private: k.private, or the forger's key for Issuer.Forge. header changes the default
// header, which has the algorithm and the ID of k.
func (k *signingKey) sign(private any, header, claims map[string]any) (string, error) {
	header = withChanges(map[string]any{"alg": k.algorithm, "kid": k.id, "typ": "JWT"}, header)
	var parts []string
	for _, part := range []struct {
		name    string
		members map[string]any
	}{{"header", header}, {"claims", claims}} {
		text, err := json.Marshal(part.members)
		if err != nil {
			return "", fmt.Errorf("its %s cannot be written as JSON: %w", part.name, err)
		}
		parts = append(parts, encode(text))
	}
	input := strings.Join(parts, ".")
	signature, err := signingAlgorithms[k.algorithm].Sign(input, private)
	return input + "." + encode(signature), err
}

// jwk returns the public key as a JSON Web Key (RFC 7517 section 4, RFC 7518
// section 6, RFC 8037 section 2).
func (k *signingKey) jwk() map[string]string {
	jwk := map[string]string{"kid": k.id, "alg": k.algorithm, "use": "sig"}
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		jwk["kty"] = "RSA"
		jwk["n"] = encode(private.N.Bytes())
		jwk["e"] = encode(big.NewInt(int64(private.E)).Bytes())
	case *ecdsa.PrivateKey:
		x, y := coordinates(&private.PublicKey)
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", private.Params().Name, encode(x), encode(y)
	case ed25519.PrivateKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", encode(private.Public().(ed25519.PublicKey))
	}
	return jwk
}

// A signingAlgorithm is an algorithm with the functions that make its keys.
type signingAlgorithm struct {
	jwt.SigningMethod
	newKey func() (any, error)
	// forgersKey returns the key that Issuer.Forge signs with. The key is made once,
	// because making an RSA key is slow.
	forgersKey func() (any, error)
}

// signingAlgorithms maps the name of each algorithm to its signingAlgorithm.
var signingAlgorithms = func() map[string]signingAlgorithm {
	all, forgersKeys := map[string]signingAlgorithm{}, map[string]func() (any, error){}
	for name, method := range signingMethods {
		var newKey func() (any, error)
		keyType := kind(name)
		switch keyType {
		case "HS":
			newKey = newSecret
		case "RS", "PS":
			newKey, keyType = newRSA, "RSA"
		case "ES":
			newKey, keyType = newECDSA(curves[name]), name
		default:
			newKey = newEd25519
		}
		if forgersKeys[keyType] == nil {
			forgersKeys[keyType] = sync.OnceValues(newKey)
		}
		all[name] = signingAlgorithm{method, newKey, forgersKeys[keyType]}
	}
	return all
}()

func newSecret() (any, error) {
	secret := make([]byte, 64) // enough for HS512
	_, err := rand.Read(secret)
	return secret, err
}

func newRSA() (any, error) { return rsa.GenerateKey(rand.Reader, 2048) }

func newECDSA(curve elliptic.Curve) func() (any, error) {
	return func() (any, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
}

func newEd25519() (any, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

// defaultAudience is the aud of tokens, unless the test changes it.
const defaultAudience = "https://api.example.com"

// defaultClaims returns the claims of a good token.
func defaultClaims(issuer, audience string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": issuer,
		"aud": audience,
		"sub": "alice",
		"iat": now.Unix(),
		"exp": now.Add(time.Hour).Unix(),
		"jti": rand.Text(),
	}
}

// withChanges applies changes to members and returns members. A nil value removes
// a member, and a time.Time becomes a NumericDate.
func withChanges(members, changes map[string]any) map[string]any {
	for name, value := range changes {
		switch value := value.(type) {
		case nil:
			delete(members, name)
		case time.Time:
			members[name] = value.Unix() // RFC 7519 section 2, NumericDate
		default:
			members[name] = value
		}
	}
	return members
}
