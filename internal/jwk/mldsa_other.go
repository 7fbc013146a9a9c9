//go:build !go1.27

package jwk

import (
	"bytes"
	"crypto"
	"fmt"
	"runtime"
)

// NeedsNewerGo returns an error if der is a public key or a certificate that names ML-DSA,
// which Go knows since version 1.27.
func NeedsNewerGo(der []byte) error {
	for i, name := range []string{"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"} {
		// 2.16.840.1.101.3.4.3.17 and the next two (RFC 9881 section 2)
		if bytes.Contains(der, []byte{6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, byte(17 + i)}) {
			return needsNewerGo(name)
		}
	}
	return nil
}

func needsNewerGo(algorithm string) error {
	return fmt.Errorf("%s needs Go 1.27 or later; this program was built with %s", algorithm, runtime.Version())
}

func newMLDSA(algorithm string, _ []byte) (crypto.PublicKey, error) {
	return nil, needsNewerGo(algorithm)
}

func mldsaAlgorithms(crypto.PublicKey) []string { return nil }
