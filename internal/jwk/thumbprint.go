package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
)

// Thumbprint returns the SHA-256 thumbprint of a public key (RFC 7638). ok is false unless
// [Algorithms] knows the key.
//
// The thumbprint is computed from the key and not from its JWK, so a key has the same
// thumbprint however its JWK was written.
func Thumbprint(public crypto.PublicKey) (thumbprint [sha256.Size]byte, ok bool) {
	if len(Algorithms(public)) == 0 {
		return thumbprint, false
	}
	// The members are in the order of their names, without white space (RFC 7638 section 3).
	var text string
	encode := base64.RawURLEncoding.EncodeToString
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p == nil || p.N == nil {
			return thumbprint, false
		}
		text = `{"e":"` + encode(big.NewInt(int64(p.E)).Bytes()) + `","kty":"RSA","n":"` + encode(p.N.Bytes()) + `"}`
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, x and y
		if err != nil {
			return thumbprint, false
		}
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		text = `{"crv":"` + p.Params().Name + `","kty":"EC","x":"` + encode(x) + `","y":"` + encode(y) + `"}`
	case ed25519.PublicKey:
		text = `{"crv":"Ed25519","kty":"OKP","x":"` + encode(p) + `"}` // RFC 8037 section 2
	}
	return sha256.Sum256([]byte(text)), true
}
