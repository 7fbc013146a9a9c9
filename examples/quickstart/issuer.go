package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// keyID names the issuer's only key.
const keyID = "quickstart-1"

// A localIssuer takes the place of an identity provider: it signs access tokens and
// publishes its key.
type localIssuer struct {
	url    string // the iss of its tokens and the address of its metadata
	key    *ecdsa.PrivateKey
	server *http.Server
}

// startIssuer returns an issuer with a new key, on a free port of this machine.
func startIssuer() (*localIssuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes() // the byte 4, then both coordinates
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	url := "http://" + listener.Addr().String()

	mux := http.NewServeMux()
	mux.Handle("GET /.well-known/openid-configuration", document(map[string]string{
		"issuer":   url,
		"jwks_uri": url + "/jwks",
	}))
	mux.Handle("GET /jwks", document(map[string]any{
		"keys": []map[string]string{{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": keyID,
			"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
		}},
	}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)
	return &localIssuer{url: url, key: key, server: server}, nil
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

func (i *localIssuer) close() error { return i.server.Close() }

// token returns a token that lets alice read her orders. The claims in changes
// are added or replaced.
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
