// Package jws reads the compact serialisation of a JSON Web Signature
// (RFC 7515 section 7.1) and its header. It accepts exactly one encoding of each
// header, payload and signature.
package jws

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// A Compact is a token split into its segments, which are still encoded. The zero Compact has none.
type Compact struct {
	token         []byte
	first, second int // where the dots are
}

// Header returns the first segment.
func (c Compact) Header() []byte { return c.token[:c.first] }

// Payload returns the second segment.
func (c Compact) Payload() []byte { return c.token[c.first+1 : c.second] }

// Signature returns the third segment.
func (c Compact) Signature() []byte { return c.token[c.second+1:] }

// SigningInput returns the bytes that were signed: header, dot, payload.
func (c Compact) SigningInput() []byte { return c.token[:c.second] }

// Split splits token at its dots. It returns a SegmentsError unless token consists of three
// non-empty segments of base64url characters. The segments are slices of token.
func Split(token []byte) (Compact, error) {
	c, err := Cut(token)
	if err != nil || !inAlphabet(c.Header()) || !inAlphabet(c.Payload()) || !inAlphabet(c.Signature()) {
		return Compact{}, segmentsError(token)
	}
	return c, nil
}

// segmentsError returns the error of a token that is not three segments of base64url.
func segmentsError(token []byte) error {
	const scheme = "bearer "
	e := &SegmentsError{
		Scheme:   len(token) >= len(scheme) && bytes.EqualFold(token[:len(scheme)], []byte(scheme)),
		Segments: 1 + bytes.Count(token, []byte(".")),
	}
	for _, word := range noValues {
		if string(token) == word {
			e.NoValue = word
		}
	}
	if e.Segments != 3 {
		return e // this says enough, and the token may have thousands of segments
	}
	segments := bytes.Split(token, []byte("."))
	e.Empty = 1 + slices.IndexFunc(segments, func(s []byte) bool { return len(s) == 0 })
	if i := slices.IndexFunc(segments, func(s []byte) bool { return !inAlphabet(s) }); i >= 0 {
		at := slices.IndexFunc(segments[i], func(c byte) bool { return !inAlphabet([]byte{c}) })
		e.Character, _ = utf8.DecodeRune(segments[i][at:])
	}
	return e
}

// Cut splits token at its first two dots. It returns ErrSegments if a segment is missing or empty.
// Unlike Split, it does not validate characters: callers must decode every segment. A third dot is
// part of the signature; AppendDecoded refuses it.
func Cut(token []byte) (c Compact, err error) {
	first := bytes.IndexByte(token, '.')
	if first <= 0 {
		return c, ErrSegments
	}
	second := first + 1 + bytes.IndexByte(token[first+1:], '.')
	if second <= first+1 || second == len(token)-1 {
		return c, ErrSegments
	}
	return Compact{token, first, second}, nil
}

// LooksLikeToken reports whether s is three segments of base64url of which the first is the start
// of a JSON object, as in "eyJhbGciOi". It is for log messages and decides nothing.
func LooksLikeToken[T string | []byte](s T) bool {
	c, err := Split([]byte(s))
	return err == nil && bytes.HasPrefix(c.Header(), []byte("eyJ"))
}
