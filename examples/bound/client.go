package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A client does what client libraries for DPoP do. It has a key, makes a proof for each
// request, and takes new nonces from the answers. The service needs none of this file. It
// must not be used by several goroutines at once.
type client struct {
	key   *ecdsa.PrivateKey
	jwk   map[string]string // the public key
	nonce string            // the latest that the service has given
	http  http.Client
}

func newClient() (*client, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil, err
	}
	return &client{
		key: key,
		jwk: map[string]string{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])},
		// A request waits for Redis, and then gets an answer.
		http: http.Client{Timeout: time.Minute},
	}, nil
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// thumbprint returns the thumbprint of the key (RFC 7638), which the issuer writes into
// the client's tokens. [json.Marshal] sorts the members and writes no white space, as the
// RFC wants it.
func (c *client) thumbprint() (string, error) {
	text, err := json.Marshal(c.jwk)
	sum := sha256.Sum256(text)
	return encode(sum[:]), err
}

// proof returns a proof for one request (RFC 9449 section 4.2).
func (c *client) proof(method, url, token string) (string, error) {
	hash := sha256.Sum256([]byte(token))
	claims := jwt.MapClaims{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix(), "ath": encode(hash[:])}
	if c.nonce != "" {
		claims["nonce"] = c.nonce
	}
	unsigned := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	unsigned.Header["typ"], unsigned.Header["jwk"] = "dpop+jwt", c.jwk
	return unsigned.SignedString(c.key)
}

// get requests a path of a server with a new proof. If the service wants another nonce,
// get tries once more. A load balancer would choose the server: the proof is for the URL
// that clients know.
func (c *client) get(ctx context.Context, server, path, token string) (*http.Response, error) {
	for try := 1; ; try++ {
		proof, err := c.proof("GET", serviceURL+path, token)
		if err != nil {
			return nil, err
		}
		response, err := c.send(ctx, server, path, "DPoP "+token, proof)
		if err != nil || try == 2 || !wantsNonce(response) {
			return response, err
		}
		_ = response.Body.Close()
	}
}

// send sends one request, and remembers the nonce of the answer. proof is "" for none.
func (c *client) send(ctx context.Context, server, path, authorization, proof string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", server+path, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", server, err)
	}
	r.Header.Set("Authorization", authorization)
	if proof != "" {
		r.Header.Set("DPoP", proof)
	}
	response, err := c.http.Do(r)
	if err == nil && response.Header.Get("DPoP-Nonce") != "" {
		c.nonce = response.Header.Get("DPoP-Nonce")
	}
	return response, err
}

// wantsNonce reports whether a request was refused because its proof has no good nonce
// (RFC 9449 section 9).
func wantsNonce(response *http.Response) bool {
	return response.StatusCode == http.StatusUnauthorized &&
		strings.Contains(response.Header.Get("WWW-Authenticate"), `error="use_dpop_nonce"`)
}
