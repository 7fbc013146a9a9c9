package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// An issuer has keys and signs any header and claims with them, valid or not.
type issuer struct {
	secret    []byte
	nonceKey  []byte            // for DPoP
	signers   map[string]signer // by key ID
	accepted  jwtgate.KeySource // the public keys
	publicPEM []byte            // the public key of RS256
}

// A signer has two keys for one algorithm.
type signer struct {
	method jwt.SigningMethod
	key    any // the issuer's key
	other  any // a key that no gate trusts
}

// The IDs of the issuer's keys.
const (
	idES256 = "es-1"
	idRS256 = "rs-1"
	idEdDSA = "ed-1"
	idHS256 = "hs-1"
)

func newIssuer() (*issuer, error) {
	i := &issuer{secret: []byte(rand.Text() + rand.Text()), nonceKey: []byte(rand.Text() + rand.Text()), signers: map[string]signer{}}
	i.signers[idHS256] = signer{jwt.SigningMethodHS256, i.secret, []byte(rand.Text() + rand.Text())}
	var public []*jwtgate.Key
	for _, kind := range []struct {
		id     string
		method jwt.SigningMethod
		make   func() (crypto.Signer, error)
	}{
		{idES256, jwt.SigningMethodES256, func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
		{idRS256, jwt.SigningMethodRS256, func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }},
		{idEdDSA, jwt.SigningMethodEdDSA, func() (crypto.Signer, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		}},
	} {
		key, err := kind.make()
		if err != nil {
			return nil, err
		}
		other, err := kind.make()
		if err != nil {
			return nil, err
		}
		i.signers[kind.id] = signer{kind.method, key, other}
		k, err := jwtgate.NewKey(kind.id, kind.method.Alg(), key.Public())
		if err != nil {
			return nil, err
		}
		public = append(public, k)
		if kind.id == idRS256 {
			der, err := x509.MarshalPKIXPublicKey(key.Public())
			if err != nil {
				return nil, err
			}
			i.publicPEM = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		}
	}
	i.accepted = keys.Static(public...)
	return i, nil
}

// mint returns a token with the header and the claims of f, byte for byte, and the
// signature that f asks for. The key decides the signing algorithm, even if the
// header names another. The signature "confused" is HS256 with the public RSA key.
func (i *issuer) mint(f form) (string, error) {
	s, ok := i.signers[f.Key]
	if !ok {
		return "", fmt.Errorf("key: unknown key %q", f.Key)
	}
	encode := base64.RawURLEncoding.EncodeToString
	header := encode([]byte(f.Header)) + "."
	input := header + encode([]byte(f.Claims))
	signed := input
	switch f.Signature {
	case "none":
		return input + ".", nil
	case "right", "loose":
	case "another":
		s.key = s.other
	case "tampered":
		signed = header + encode([]byte("{}"))
	case "confused":
		s = signer{method: jwt.SigningMethodHS256, key: i.publicPEM}
	default:
		return "", fmt.Errorf("signature: unknown choice %q", f.Signature)
	}
	signature, err := s.method.Sign(signed, s.key)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	token := input + "." + encode(signature)
	if f.Signature == "loose" {
		token = withPaddingBit(token)
	}
	return token, nil
}

// withPaddingBit returns the token with an unused bit of its last character set
// (RFC 4648 section 3.5). Lenient decoders ignore the bit and get the same bytes. All
// of the issuer's signatures have a length that leaves unused bits.
func withPaddingBit(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])|1])
}

// nonceAt returns the nonce that a gate with NonceKeys gives to clients at a time.
func (i *issuer) nonceAt(at time.Time) string {
	v := i.verifier(form{URLs: "https://api.example.com", Nonces: true}, func() time.Time { return at })
	header := http.Header{}
	v.SetHeader(header, &http.Request{})
	return header.Get("DPoP-Nonce")
}
