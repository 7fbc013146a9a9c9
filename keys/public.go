package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/jwk"
)

// Public returns a source with public keys of an issuer:
//
//   - an *rsa.PublicKey, for RS256;
//   - an *ecdsa.PublicKey, for the algorithm of its curve (ES256, ES384, ES512);
//   - an ed25519.PublicKey, for EdDSA;
//   - an *mldsa.PublicKey, for the algorithm of its parameters (ML-DSA-44, ML-DSA-65,
//     ML-DSA-87), in a program that was built with Go 1.27 or later.
//
// A token may be signed with any of the keys, whatever key ID it names. There may
// be at most four keys for one algorithm. For RS384, PS256 and so on, or for a
// key with an ID, use [Static] with [jwtgate.NewKey].
func Public(public ...crypto.PublicKey) jwtgate.KeySource {
	var ks []*jwtgate.Key
	for i, p := range public {
		k, err := publicKey(p)
		if err != nil {
			return failed("keys.Public", fmt.Errorf("key %d: %w", i+1, err))
		}
		ks = append(ks, k)
	}
	return newFixed("keys.Public", ks)
}

// publicKey returns a key without ID for the usual algorithm of its kind.
func publicKey(public crypto.PublicKey) (*jwtgate.Key, error) {
	algorithm := "RS256"
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if p == nil {
			return nil, errors.New("the ECDSA key is nil")
		}
		algorithms := jwk.Algorithms(p)
		if len(algorithms) == 0 {
			return nil, errors.New("the ECDSA key is not on P-256, P-384 or P-521")
		}
		algorithm = algorithms[0]
	case ed25519.PublicKey:
		algorithm = "EdDSA"
	case *rsa.PublicKey:
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return nil, fmt.Errorf("a %T was given; verifying takes the public key: pass its Public()", public)
	case nil:
		return nil, errors.New("the key is nil")
	default:
		algorithms := jwk.Algorithms(public)
		if len(algorithms) == 0 {
			return nil, fmt.Errorf("a %T was given; use an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey", public)
		}
		algorithm = algorithms[0]
	}
	return jwtgate.NewKey("", algorithm, public)
}
