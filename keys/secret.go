package keys

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/jwtgate/jwtgate"
)

// HS256 returns a source with secrets that the issuer shares with this service
// (RFC 7518 section 3.2). There may be at most four. A token may be signed with
// any of them, whatever key ID it names: during a rotation, pass the new secret
// first and then the old ones. The gate tries them in that order.
//
// A secret is used byte for byte and must have at least 32 bytes. Many issuers show
// theirs as base64 or hex text and sign with the bytes that it encodes: decode such a
// text first. Convert any other string s with []byte(s).
func HS256(secrets ...[]byte) jwtgate.KeySource { return newSecrets("HS256", secrets) }

// HS384 is like [HS256]. Each secret must have at least 48 bytes.
func HS384(secrets ...[]byte) jwtgate.KeySource { return newSecrets("HS384", secrets) }

// HS512 is like [HS256]. Each secret must have at least 64 bytes.
func HS512(secrets ...[]byte) jwtgate.KeySource { return newSecrets("HS512", secrets) }

func newSecrets(algorithm string, secrets [][]byte) jwtgate.KeySource {
	constructor := "keys." + algorithm
	var ks []*jwtgate.Key
	for i, s := range secrets {
		k, err := jwtgate.NewKey("", algorithm, s)
		if err == nil && looksUntrimmed(s) {
			err = errors.New("the secret is text that ends with a line break, which is probably not part of it; " +
				"trim it with bytes.TrimSpace")
		}
		if err != nil {
			return failed(constructor, fmt.Errorf("secret %d: %w", i+1, err))
		}
		ks = append(ks, k)
	}
	return newFixed(constructor, ks)
}

// looksUntrimmed reports whether secret is printable text that ends with a line
// break, as a program reads it from a file. 32 random bytes look like that once in
// 10^15.
func looksUntrimmed(secret []byte) bool {
	text := bytes.TrimRight(secret, "\r\n")
	return len(text) < len(secret) && !bytes.ContainsFunc(text, func(c rune) bool {
		return (c < ' ' || c > '~') && c != '\r' && c != '\n'
	})
}
