package jsonobj

import (
	"errors"

	"github.com/jwtgate/jwtgate/internal/logtext"
)

// MaxDepth is the maximum nesting depth. The outermost object is the first level.
const MaxDepth = 32

// Reasons for a refusal. Their texts contain no part of the input.
var (
	ErrNotObject = errors.New("not a JSON object")
	ErrSyntax    = errors.New("not valid JSON")
	ErrTrailing  = errors.New("data after the JSON object")
	ErrDepth     = errors.New("JSON nested deeper than 32 levels")
	ErrUTF8      = errors.New("JSON is not valid UTF-8")
	ErrSurrogate = errors.New(`JSON has a \u escape of half a character (a lone surrogate)`)
	ErrNumber    = errors.New("JSON number of 1e308 or more")
	ErrDuplicate = errors.New("JSON member occurs twice")
)

// A DuplicateError says which members of an object have the same name, or names that differ only in
// letter case. It wraps ErrDuplicate.
type DuplicateError struct {
	First, Second string // the names, cut to 64 bytes
	Identical     bool   // false if the names differ in letter case
}

// Error returns a text with the names, escaped and cut.
func (e *DuplicateError) Error() string {
	if e.Identical {
		return "the member " + logtext.QuoteUpTo(e.First, 64) + " occurs twice"
	}
	return "the members " + logtext.QuoteUpTo(e.First, 64) + " and " + logtext.QuoteUpTo(e.Second, 64) + " differ only in letter case"
}

// Unwrap returns ErrDuplicate.
func (e *DuplicateError) Unwrap() error { return ErrDuplicate }

// A Member is a name with its value.
type Member[T text] struct {
	Name  T // without quotes, with escapes decoded
	Value T // raw, without surrounding whitespace
}

// A Field is the position of a member in the input of Scan. It contains offsets rather than
// pointers, so it also applies to a copy of the input.
type Field struct {
	nameStart, nameEnd   uint32 // without the quotes
	valueStart, valueEnd uint32
	nameEscaped          bool // the name has escapes
	valueEscaped         bool // the value is a string with escapes
}

// Name returns the name of the member without quotes and with escapes decoded. src is the input of
// Scan or a copy of it.
func Name[T text](src T, f *Field) T {
	name := src[f.nameStart:f.nameEnd]
	if f.nameEscaped {
		return T(unescape(name))
	}
	return name
}

// Value returns the raw value of the member, without surrounding whitespace. src is the input of
// Scan or a copy of it.
func Value[T text](src T, f *Field) T { return src[f.valueStart:f.valueEnd] }

// Text returns the value of the member as a string with escapes decoded. ok is false if the value
// is not a string. src is the input of Scan or a copy of it.
func Text[T text](src T, f *Field) (t T, ok bool) {
	if src[f.valueStart] != '"' {
		return t, false
	}
	t = src[f.valueStart+1 : f.valueEnd-1]
	if f.valueEscaped {
		t = T(unescape(t))
	}
	return t, true
}
