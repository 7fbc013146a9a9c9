// Package jws reads the compact serialisation of a JSON Web Signature
// (RFC 7515 section 7.1) and its header, and accepts exactly one spelling of
// what was signed and of its signature.
package jws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

// MaxKeyID is the longest kid header parameter that is read, in bytes.
const MaxKeyID = 256

// maxName bounds alg and typ, so that no unverified header decides how much
// is allocated for it.
const maxName = 128

// Reasons that callers tell apart from the malformed rest. They name no part
// of the input.
var (
	ErrSegments  = errors.New("not three non-empty base64url segments")
	ErrEncoding  = errors.New("segment is not canonical base64url")
	ErrCritical  = errors.New("header has crit")
	ErrEncrypted = errors.New("token is encrypted")
	ErrNested    = errors.New("content is itself a JWT")
)

// alphabet has the characters of base64url in the order of their values (RFC
// 4648 section 5). There is no padding: RFC 7515 section 2 leaves it out.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// outside marks what is not in the alphabet.
const outside = 1 << 31

// values has, for each of the four characters that make three bytes, the bits
// that it adds to them, or outside.
var values = func() (v [4][256]uint32) {
	for place := range v {
		for c := range v[place] {
			v[place][c] = outside
		}
		for bits, c := range []byte(alphabet) {
			v[place][c] = uint32(bits) << (18 - 6*place)
		}
	}
	return v
}()

// inAlphabet tells whether s has no character outside the alphabet.
func inAlphabet(s []byte) bool {
	v := &values[3]
	for len(s) >= 8 {
		if (v[s[0]]|v[s[1]]|v[s[2]]|v[s[3]]|v[s[4]]|v[s[5]]|v[s[6]]|v[s[7]])&outside != 0 {
			return false
		}
		s = s[8:]
	}
	for _, c := range s {
		if v[c]&outside != 0 {
			return false
		}
	}
	return true
}

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

// AppendDecoded appends what a segment of a Compact stands for to dst. It
// refuses, as encoding/base64 does not, line breaks, and bits at the end that
// are not zero, which would make several spellings of one token (RFC 4648
// section 3.5). Beside an error it appends nothing.
func AppendDecoded(dst, segment []byte) ([]byte, error) {
	size := len(segment) / 4 * 3
	switch len(segment) % 4 {
	case 1:
		return dst, ErrEncoding
	case 2:
		size++
	case 3:
		size += 2
	}
	// Eight characters become six bytes, but are written as eight.
	const spare = 2
	dst = slices.Grow(dst, size+spare)
	out := dst[len(dst) : len(dst)+size+spare]

	var seen uint32
	first, second, third, fourth := &values[0], &values[1], &values[2], &values[3]
	for len(segment) >= 8 {
		high := first[segment[0]] | second[segment[1]] | third[segment[2]] | fourth[segment[3]]
		low := first[segment[4]] | second[segment[5]] | third[segment[6]] | fourth[segment[7]]
		seen |= high | low
		binary.BigEndian.PutUint64(out, uint64(high)<<40|uint64(low)<<16)
		segment, out = segment[8:], out[6:]
	}
	if len(segment) >= 4 {
		group := first[segment[0]] | second[segment[1]] | third[segment[2]] | fourth[segment[3]]
		seen |= group
		out[0], out[1], out[2] = byte(group>>16), byte(group>>8), byte(group)
		segment, out = segment[4:], out[3:]
	}
	switch len(segment) {
	case 2:
		group := first[segment[0]] | second[segment[1]]
		if group&0xffff != 0 {
			return dst, ErrEncoding
		}
		seen |= group
		out[0] = byte(group >> 16)
	case 3:
		group := first[segment[0]] | second[segment[1]] | third[segment[2]]
		if group&0xff != 0 {
			return dst, ErrEncoding
		}
		seen |= group
		out[0], out[1] = byte(group>>16), byte(group>>8)
	}
	if seen&outside != 0 {
		return dst, ErrEncoding
	}
	return dst[:len(dst)+size], nil
}

// A Header has the header parameters a verifier acts on. jku, jwk, x5u, x5c
// and the rest are not among them: a key is never taken from the token it is
// to verify (RFC 8725 section 3.10).
type Header struct {
	Algorithm string // "" if absent
	KeyID     string // "" if absent
	Type      string
	HasType   bool // tells an empty typ from none
}

// ParseHeader reads a decoded header. Parameters that would change the meaning
// of the token (crit, b64, a nested or encrypted content) are refused, since
// none of them is understood here (RFC 7515 section 4.1.11).
func ParseHeader(data []byte) (Header, error) {
	var h Header
	var refused error
	err := jsonobj.Walk(data, func(m jsonobj.Member[[]byte]) {
		if err := h.read(m); err != nil && refused == nil {
			refused = err
		}
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return Header{}, err
	}
	return h, nil
}

// read takes a parameter over into h.
func (h *Header) read(m jsonobj.Member[[]byte]) (err error) {
	switch string(m.Name) {
	case "alg":
		h.Algorithm, err = text("alg", m.Value, maxName)
	case "kid":
		h.KeyID, err = text("kid", m.Value, MaxKeyID)
	case "typ":
		h.HasType = true
		h.Type, err = text("typ", m.Value, maxName)
	case "cty":
		err = checkContentType(m.Value)
	case "crit":
		err = ErrCritical
	case "b64":
		// RFC 7797: any value but true changes what was signed.
		if string(m.Value) != "true" {
			err = ErrCritical
		}
	case "enc":
		// Its presence is what tells JWE from JWS (RFC 7516 section 9).
		err = ErrEncrypted
	}
	return err
}

func text(name string, raw []byte, limit int) (string, error) {
	// Every byte of a string takes at most six in its raw form.
	if len(raw) > 6*limit+2 {
		return "", fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	s, ok := jsonobj.String(raw)
	if !ok {
		return "", fmt.Errorf("%s is not a string", name)
	}
	if len(s) > limit {
		return "", fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return s, nil
}

// checkContentType refuses a payload that is a token again (RFC 7519 section
// 5.2). Other values say nothing that matters here.
func checkContentType(raw []byte) error {
	if raw[0] != '"' {
		return errors.New("cty is not a string")
	}
	cty, err := text("cty", raw, maxName)
	if err == nil && MediaType(cty) == "application/jwt" {
		return ErrNested
	}
	return nil
}

// MediaType returns the media type that a typ or cty value stands for: in
// lower case, and with "application/" before it if it has no slash (RFC 7515
// section 4.1.9).
func MediaType(value string) string {
	lower := make([]byte, 0, len("application/")+len(value))
	slash := false
	for i := range len(value) {
		c := value[i]
		// Letters of ASCII alone: a media type has no others, and Unicode
		// would let the Kelvin sign pass for a k.
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		slash = slash || c == '/'
		lower = append(lower, c)
	}
	if slash {
		return string(lower)
	}
	return "application/" + string(lower)
}
