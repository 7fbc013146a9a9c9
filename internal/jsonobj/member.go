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

// A Field is the position of a member in the input of Scan.
type Field struct {
	name  Span
	Value Span
}

// A Span is the position of a name or a value in the input of Scan. It has offsets rather than
// pointers, so it also applies to a copy of the input. The zero Span is the position of nothing.
//
// It is one number, because the compiler moves a struct of several small fields slowly.
type Span uint64

const (
	maxLength = 1<<31 - 1 // of an input: offsets have 31 bits

	hasEscapes  = 1 << 62 // a string has escapes
	hasNonASCII = 1 << 63 // a string has characters beyond ASCII that are not escaped
)

func newSpan(start, end int, flags Span) Span { return Span(start) | Span(end)<<31 | flags }

func (s Span) start() int { return int(s & maxLength) }
func (s Span) end() int   { return int(s >> 31 & maxLength) }

// Before reports whether s starts before other.
func (s Span) Before(other Span) bool { return s.start() < other.start() }

// inner returns what a string of src has between its quotes.
func inner[T text](src T, s Span) T { return src[s.start()+1 : s.end()-1] }

// decoded is inner for a string with escapes, which it decodes.
func decoded[T text](src T, s Span) T { return T(unescape(inner(src, s))) }

// Name returns the name of the member without quotes and with escapes decoded. src is the input of
// Scan or a copy of it.
func Name[T text](src T, f *Field) T {
	if f.name&hasEscapes != 0 {
		return decoded(src, f.name)
	}
	return inner(src, f.name)
}

// Raw returns a value without surrounding whitespace. src is the input of Scan or a copy of it.
func Raw[T text](src T, value Span) T { return src[value.start():value.end()] }

// Text returns a value as a string with escapes decoded. ok is false if the value is not a string.
// src is the input of Scan or a copy of it.
func Text[T text](src T, value Span) (t T, ok bool) {
	switch {
	case src[value.start()] != '"':
		return t, false
	case value&hasEscapes != 0:
		return decoded(src, value), true
	}
	return inner(src, value), true
}
