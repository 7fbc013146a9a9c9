// Package demo makes tokens for trying the programs. It takes the place of an issuer
// that shares a secret with the programs.
package demo

import (
	"fmt"
	"log"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer and Audience are the iss and aud of the tokens. Each program repeats them in
// its options.
const (
	Issuer   = "https://auth.example.com/"
	Audience = "https://api.example.com"
)

// Token returns a token for alice that is valid for an hour. The claims in changes are
// added or replaced.
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
		log.Fatal(err) // changes cannot be encoded as JSON
	}
	return token
}

// PrintCurl prints requests for an HTTP program at url: without a token, with a token,
// with a token that lacks the required scope, and with a token that has the scope.
func PrintCurl(url string, secret []byte) {
	token, writer := Token(secret, nil), Token(secret, map[string]any{"scope": "orders:write"})
	fmt.Printf("curl -i %s/\n\n", url)
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" %s/me\n\n", token, url)
	fmt.Printf("curl -i -X POST -H \"Authorization: Bearer %s\" %s/orders\n\n", token, url)
	fmt.Printf("curl -i -X POST -H \"Authorization: Bearer %s\" %s/orders\n", writer, url)
}
