package jws

import (
	"fmt"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

// MaxKeyID is the maximum length of the kid header parameter in bytes. ParseHeader refuses a longer
// one.
const MaxKeyID = 256

// maxName is the maximum length of alg and typ in bytes. It limits the memory that an unverified
// header can allocate.
const maxName = 128

// A Header contains the header parameters that a verifier uses. All others are ignored, among them
// jku, jwk, x5u and x5c: a key is never taken from the token that it verifies (RFC 8725 section
// 3.10).
type Header struct {
	Algorithm string // "" if absent
	KeyID     string // "" if absent or null
	Type      string // "" if absent or empty
	HasType   bool   // false if typ is absent; an empty typ is present
}

// ParseHeader parses a decoded header. It refuses parameters that change the meaning of the token,
// because it supports none of them (RFC 7515 section 4.1.11): crit, a b64 other than true, and enc.
// It ignores cty: some issuers write JWT into tokens that are not nested, and the payload of a
// nested token is no JSON object.
func ParseHeader(data []byte) (Header, error) {
	var h Header
	var refused error
	err := jsonobj.Walk(data, func(m jsonobj.Member[[]byte]) {
		if err := h.set(m); err != nil && refused == nil {
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

// set sets the field of h for parameter m, or refuses m.
func (h *Header) set(m jsonobj.Member[[]byte]) (err error) {
	switch string(m.Name) {
	case "alg":
		h.Algorithm, err = shortString("alg", m.Value, maxName)
	case "kid":
		if string(m.Value) == "null" {
			break // some issuers write null where they have no key ID
		}
		h.KeyID, err = shortString("kid", m.Value, MaxKeyID)
	case "typ":
		h.HasType = true
		h.Type, err = shortString("typ", m.Value, maxName)
	case "crit":
		err = ErrCritical
	case "b64":
		// Any value but true changes the bytes that were signed (RFC 7797 section 3).
		if string(m.Value) != "true" {
			err = ErrUnencoded
		}
	case "enc":
		// A header with enc belongs to a JWE, not to a JWS (RFC 7516 section 9).
		err = ErrEncrypted
	}
	return err
}

// shortString returns the string that raw encodes. It returns an error that names the parameter if
// raw is not a string of at most limit bytes.
func shortString(name string, raw []byte, limit int) (string, error) {
	// An escape such as \u006b takes six bytes for one. Longer values are refused before they are
	// decoded.
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

// MediaType returns the media type of a typ value in lower case. It prepends "application/"
// to a value without a slash (RFC 7515 section 4.1.9).
func MediaType(value string) string {
	lower := make([]byte, 0, len("application/")+len(value))
	slash := false
	for i := range len(value) {
		c := value[i]
		// Only ASCII letters are lowered. Unicode would turn the Kelvin sign into a k.
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
