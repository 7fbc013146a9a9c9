package jws

import (
	"errors"
	"fmt"
)

// Reasons for a refusal. Their texts contain no part of the input.
var (
	ErrSegments  = errors.New("not three non-empty base64url segments")
	ErrEncoding  = errors.New("segment is not canonical base64url: perhaps the token was cut")
	ErrCritical  = errors.New("crit is set, and no extension is supported")
	ErrUnencoded = errors.New("b64 is not true, and only base64url payloads are supported (RFC 7797)")
	ErrEncrypted = errors.New("enc is set: the token is encrypted, and only signed tokens are supported")
)

// A SegmentsError says why a token is not three segments. It wraps ErrSegments.
type SegmentsError struct {
	Scheme    bool   // the token starts with "Bearer "
	NoValue   string // one of noValues, if that is the whole token
	Segments  int    // separated by dots
	Empty     int    // which of three segments is empty, from 1 on; 0 if none is
	Character rune   // the first one outside the alphabet, if everything else is right
}

// noValues has the words that programs write for a missing value.
var noValues = [...]string{"undefined", "null", "None", "nil", "NaN", "true", "false"}

// audienceAdvice is for a client that got another kind of token than it wanted.
const audienceAdvice = "Some issuers make signed JWTs only if the client names an audience"

// Error returns a text that has at most one character of the token.
func (e *SegmentsError) Error() string {
	switch {
	case e.Scheme:
		return `it starts with "Bearer "; wanted is the token alone`
	case e.NoValue != "":
		return fmt.Sprintf("it is the word %q: the client has no token", e.NoValue)
	case e.Segments == 1:
		return "it has 1 segment, and a token has 3, separated by dots: an opaque token is no JWT. " + audienceAdvice
	case e.Segments == 5:
		return "it has 5 segments, as an encrypted token has; a signed token has 3. " + audienceAdvice
	case e.Segments == 2:
		return "it has 2 segments, and a token has 3: it was cut, or is an opaque token and no JWT"
	case e.Segments != 3:
		return fmt.Sprintf("it has %d segments, and a token has 3", e.Segments)
	case e.Empty == 3:
		return "segment 3, the signature, is empty: the token is not signed"
	case e.Empty > 0:
		return fmt.Sprintf("segment %d of 3 is empty", e.Empty)
	}
	return fmt.Sprintf("it has the character %+q, which is not in base64url", string(e.Character))
}

// Unwrap returns ErrSegments.
func (e *SegmentsError) Unwrap() error { return ErrSegments }
