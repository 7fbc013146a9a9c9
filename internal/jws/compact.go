// Package jws reads the compact serialisation of a JSON Web Signature
// (RFC 7515 section 7.1) and its header, and accepts exactly one spelling of
// what was signed and of its signature.
package jws

import (
	"bytes"
	"errors"
)

// Reasons that callers tell apart from the malformed rest. They name no part
// of the input.
var (
	ErrSegments  = errors.New("not three non-empty base64url segments")
	ErrEncoding  = errors.New("segment is not canonical base64url")
	ErrCritical  = errors.New("header has crit")
	ErrEncrypted = errors.New("token is encrypted")
	ErrNested    = errors.New("content is itself a JWT")
)

// A Compact is a token cut into its segments, still encoded.
type Compact struct {
	Header, Payload, Signature []byte
	SigningInput               []byte // header, dot, payload: what was signed
}

// Split cuts token at its dots. There must be two, and nothing else outside
// the base64url alphabet. What it returns refers to token.
func Split(token []byte) (Compact, error) {
	c, err := Cut(token)
	if err != nil || !inAlphabet(c.Header) || !inAlphabet(c.Payload) || !inAlphabet(c.Signature) {
		return Compact{}, ErrSegments
	}
	return c, nil
}

// Cut is Split without the alphabet, which AppendDecoded looks at too. A third
// dot is then in the signature.
func Cut(token []byte) (c Compact, err error) {
	// Five segments are JWE (RFC 7516 section 3.1), any other number is
	// nothing.
	first := bytes.IndexByte(token, '.')
	if first <= 0 {
		return c, ErrSegments
	}
	second := first + 1 + bytes.IndexByte(token[first+1:], '.')
	if second <= first+1 || second == len(token)-1 {
		return c, ErrSegments
	}
	c.Header = token[:first]
	c.Payload = token[first+1 : second]
	c.Signature = token[second+1:]
	c.SigningInput = token[:second]
	return c, nil
}
