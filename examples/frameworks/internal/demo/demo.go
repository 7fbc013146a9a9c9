// Package demo makes tokens to try the programs with. It stands for an issuer
// that shares a secret with them.
package demo

import (
	"fmt"
	"log"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The issuer, and the audience of its tokens. Each program names them itself.
const (
	Issuer   = "https://auth.example.com/"
	Audience = "https://api.example.com"
)

// Token returns a token for alice, which is good for an hour, but for what
// changes says of the claims.
func Token(secret []byte, changes map[string]any) string {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": Issuer,
		"aud": Audience,
		"sub": "alice",
		"iat": now.Unix(),
		"exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, changes)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		log.Fatal(err) // claims that are no JSON
	}
	return token
}

// PrintCurl prints requests for an HTTP program at url: of anybody, of alice,
// of alice who lacks a scope, and of alice who has it.
func PrintCurl(url string, secret []byte) {
	token, writer := Token(secret, nil), Token(secret, map[string]any{"scope": "orders:write"})
	fmt.Printf("curl -i %s/\n\n", url)
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" %s/me\n\n", token, url)
	fmt.Printf("curl -i -X POST -H \"Authorization: Bearer %s\" %s/orders\n\n", token, url)
	fmt.Printf("curl -i -X POST -H \"Authorization: Bearer %s\" %s/orders\n", writer, url)
}
