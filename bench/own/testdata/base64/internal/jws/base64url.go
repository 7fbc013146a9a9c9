package jws

import (
	"encoding/base64"
	"strings"
)

// strict refuses trailing bits that are not zero. It skips line breaks, which
// make the result shorter than the segment promises.
var strict = base64.RawURLEncoding.Strict()

func AppendDecoded(dst, segment []byte) ([]byte, error) {
	decoded, err := strict.AppendDecode(dst, segment)
	if err != nil || len(segment)%4 == 1 || len(decoded)-len(dst) != strict.DecodedLen(len(segment)) {
		return dst, ErrEncoding
	}
	return decoded, nil
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// inAlphabet runs for tokens that are refused only.
func inAlphabet(s []byte) bool {
	for _, c := range s {
		if strings.IndexByte(alphabet, c) < 0 {
			return false
		}
	}
	return true
}
