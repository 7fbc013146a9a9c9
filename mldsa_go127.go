//go:build go1.27

package jwtgate

import (
	"crypto/mldsa"
	"errors"
	"fmt"
)

// mldsaAlgorithms returns ML-DSA-44, ML-DSA-65 and ML-DSA-87 (RFC 9964). The context of
// signatures is empty, and the message is not hashed before.
func mldsaAlgorithms() (all []*algorithm) {
	for _, p := range []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()} {
		all = append(all, &algorithm{name: p.String(), newVerify: newMLDSAVerify, size: p.SignatureSize()})
	}
	return all
}

func newMLDSAVerify(alg *algorithm, material any) (verifyFunc, []byte, error) {
	key, ok := material.(*mldsa.PublicKey)
	if !ok {
		return nil, nil, wrongKind(alg, "an *mldsa.PublicKey", material)
	}
	if key == nil || key.Equal(&mldsa.PublicKey{}) {
		return nil, nil, errors.New("the ML-DSA key is nil or empty")
	}
	if name := key.Parameters().String(); name != alg.name {
		return nil, nil, fmt.Errorf("%s needs a key for %s, not for %s", alg.name, alg.name, name)
	}
	verify := func(_ string, input, signature []byte) bool {
		return mldsa.Verify(key, input, signature, nil) == nil
	}
	return verify, key.Bytes(), nil
}
