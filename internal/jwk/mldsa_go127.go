//go:build go1.27

package jwk

import (
	"crypto"
	"crypto/mldsa"
	"fmt"
)

// NeedsNewerGo returns nil: this version of Go knows ML-DSA.
func NeedsNewerGo([]byte) error { return nil }

// newMLDSA returns the key for an algorithm, whose name is known, in the encoding of FIPS
// 204 (RFC 9964).
func newMLDSA(algorithm string, pub []byte) (crypto.PublicKey, error) {
	for _, p := range []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()} {
		if p.String() != algorithm {
			continue
		}
		if len(pub) != p.PublicKeySize() {
			return nil, fmt.Errorf("pub has %d bytes, and a key for %s has %d", len(pub), algorithm, p.PublicKeySize())
		}
		key, err := mldsa.NewPublicKey(p, pub)
		if err != nil {
			return nil, fmt.Errorf("pub is no key for %s: %w", algorithm, err)
		}
		return key, nil
	}
	return nil, fmt.Errorf("%s is not supported", algorithm)
}

// mldsaAlgorithms is [Algorithms] for a key of ML-DSA. It returns nil for other keys.
func mldsaAlgorithms(public crypto.PublicKey) []string {
	key, ok := public.(*mldsa.PublicKey)
	if !ok || key == nil || key.Equal(&mldsa.PublicKey{}) {
		return nil
	}
	return []string{key.Parameters().String()}
}
