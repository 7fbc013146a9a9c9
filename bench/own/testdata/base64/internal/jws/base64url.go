package jws

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// strict refuses trailing bits that are not zero. It skips line breaks.
var strict = base64.RawURLEncoding.Strict()

func AppendDecoded(dst, segment []byte) ([]byte, error) {
	if bytes.IndexByte(segment, '\n') >= 0 || bytes.IndexByte(segment, '\r') >= 0 {
		return dst, ErrEncoding
	}
	decoded, err := strict.AppendDecode(dst, segment)
	if err != nil {
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
