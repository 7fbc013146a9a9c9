package jws

import (
	"errors"
	"fmt"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

// MaxKeyID is the longest kid header parameter that is read, in bytes.
const MaxKeyID = 256

// maxName bounds alg and typ, so that no unverified header decides how much
// is allocated for it.
const maxName = 128

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
