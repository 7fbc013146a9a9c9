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

// signingMethods has golang-jwt's methods by their package variables, since any
// package of the program can overwrite its registry.
var signingMethods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256, "HS384": jwt.SigningMethodHS384, "HS512": jwt.SigningMethodHS512,
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384, "RS512": jwt.SigningMethodRS512,
	"PS256": jwt.SigningMethodPS256, "PS384": jwt.SigningMethodPS384, "PS512": jwt.SigningMethodPS512,
	"ES256": jwt.SigningMethodES256, "ES384": jwt.SigningMethodES384, "ES512": jwt.SigningMethodES512,
	"EdDSA": jwt.SigningMethodEdDSA, "Ed25519": jwt.SigningMethodEdDSA,
}

var (
	algorithmNames = slices.Sorted(maps.Keys(signingMethods))
	hashes         = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}
	curves         = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}
)

// kind returns "HS", "RS", "PS", "ES" or "Ed".
func kind(algorithm string) string { return algorithm[:2] }

func coordinates(k *ecdsa.PublicKey) (x, y []byte) {
	point := must(k.Bytes()) // 4, x, y
	size := (len(point) - 1) / 2
	return point[1 : 1+size], point[1+size:]
}

func encode[T ~string | ~[]byte](s T) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// must is for what cannot fail with keys that were checked or made here.
func must[T any](v T, err error) T {
	if err != nil {
		panic("jwttest.Attack: " + err.Error())
	}
	return v
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic("jwttest.Attack: " + err.Error())
	}
	return a, b
}
