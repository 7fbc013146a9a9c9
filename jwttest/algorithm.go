package jwttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"maps"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// signingMethods maps the name of an algorithm to its implementation. It does not
// use the registry of golang-jwt, which any package of the program can change.
var signingMethods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256, "HS384": jwt.SigningMethodHS384, "HS512": jwt.SigningMethodHS512,
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384, "RS512": jwt.SigningMethodRS512,
	"PS256": jwt.SigningMethodPS256, "PS384": jwt.SigningMethodPS384, "PS512": jwt.SigningMethodPS512,
	"ES256": jwt.SigningMethodES256, "ES384": jwt.SigningMethodES384, "ES512": jwt.SigningMethodES512,
	"EdDSA": jwt.SigningMethodEdDSA, "Ed25519": jwt.SigningMethodEdDSA,
}

var (
	algorithmNames = slices.Sorted(maps.Keys(signingMethods))
	// hashes maps the number in the name of an algorithm to its hash.
	hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}
	// curves maps an ECDSA algorithm to its curve (RFC 7518 section 3.4).
	curves = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}
)

// kind returns the first two letters of an algorithm, which say what key it needs:
// "HS", "RS", "PS", "ES" or "Ed".
func kind(algorithm string) string { return algorithm[:2] }

// coordinates returns the coordinates of a public key, padded to the size of its
// curve (RFC 7518 section 6.2.1.2).
func coordinates(k *ecdsa.PublicKey) (x, y []byte) {
	point := must(k.Bytes()) // the byte 4, then x and y
	size := (len(point) - 1) / 2
	return point[1 : 1+size], point[1+size:]
}

// encode returns s in base64url without padding.
func encode[T ~string | ~[]byte](s T) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// must returns v, and panics if err is not nil. It is only for operations that cannot
// fail with the keys that this package has made or checked.
func must[T any](v T, err error) T {
	if err != nil {
		panic("jwttest: " + err.Error())
	}
	return v
}

// must2 is must for two values.
func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic("jwttest: " + err.Error())
	}
	return a, b
}
