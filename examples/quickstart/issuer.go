package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// keyID names the issuer's only key.
const keyID = "quickstart-1"

// A localIssuer signs access tokens. It stands for the identity provider that a
// real service trusts, and is all of this program that signs anything.
type localIssuer struct {
	url  string // the iss of its tokens
	jwks []byte // its public key, as a JWK Set
	key  *ecdsa.PrivateKey
}

// newIssuer returns an issuer with a new key.
func newIssuer(url string) (*localIssuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes() // 4, then the coordinates
	if err != nil {
		return nil, err
	}
	jwks, err := json.Marshal(map[string]any{
		"keys": []map[string]string{{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": keyID,
			"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
		}},
	})
	if err != nil {
		return nil, err
	}
	return &localIssuer{url: url, jwks: jwks, key: key}, nil
}

// token returns a token that lets alice read her orders, but for what changes
// says of the claims.
func (i *localIssuer) token(changes jwt.MapClaims) (string, error) {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss":   i.url,
		"aud":   audience,
		"sub":   "alice",
		"scope": "orders:read",
		"iat":   now.Unix(),
		"exp":   now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, changes)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = keyID
	signed, err := token.SignedString(i.key)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return signed, nil
}
