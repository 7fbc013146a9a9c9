// Package demo signs access tokens for the examples, in place of an identity provider. A
// service never signs access tokens.
package demo

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"log"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// keyID names the only key of a Signer.
const keyID = "demo-1"

// A Signer signs tokens with EdDSA and a key of its own.
type Signer struct{ private ed25519.PrivateKey }

// NewSigner returns a Signer with a new key.
func NewSigner() *Signer {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err) // the system has no random numbers
	}
	return &Signer{private}
}

// PublicKey returns the key that verifies the tokens.
func (s *Signer) PublicKey() ed25519.PublicKey { return s.private.Public().(ed25519.PublicKey) }

// Token returns a token with claims, and with iat and an exp in an hour unless claims has
// them. If claims cannot be written as JSON, it ends the program.
func (s *Signer) Token(claims map[string]any) string {
	now := time.Now()
	all := jwt.MapClaims{"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, all)
	token.Header["kid"] = keyID
	signed, err := token.SignedString(s.private)
	if err != nil {
		log.Fatal(err)
	}
	return signed
}

// An Issuer is a Signer that publishes its key on this machine, as identity providers do.
type Issuer struct {
	*Signer
	URL    string // the iss of its tokens and the address of its metadata
	server *http.Server
}

// StartIssuer returns an Issuer with a new key, on a free port.
func StartIssuer() (*Issuer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &Issuer{Signer: NewSigner(), URL: "http://" + listener.Addr().String()}
	mux := http.NewServeMux()
	mux.Handle("GET /.well-known/openid-configuration", document(map[string]string{
		"issuer":   i.URL,
		"jwks_uri": i.URL + "/jwks",
	}))
	mux.Handle("GET /jwks", document(map[string]any{
		"keys": []map[string]string{{
			"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": keyID,
			"x": base64.RawURLEncoding.EncodeToString(i.PublicKey()),
		}},
	}))
	i.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go i.server.Serve(listener)
	return i, nil
}

// document returns a handler that sends content as JSON.
func document(content any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(content); err != nil {
			log.Print(err) // the client closed the connection
		}
	})
}

// Token is like that of Signer, with the URL of i as iss unless claims has an iss.
func (i *Issuer) Token(claims map[string]any) string {
	all := map[string]any{"iss": i.URL}
	maps.Copy(all, claims)
	return i.Signer.Token(all)
}

// Close stops the server.
func (i *Issuer) Close() error { return i.server.Close() }
