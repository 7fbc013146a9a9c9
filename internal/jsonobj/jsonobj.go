// Package jsonobj reads JSON objects (RFC 8259) in exactly one way.
//
// It refuses what parsers read differently from one another: a member that
// stands twice at any depth, siblings that differ only in letter case (which
// encoding/json would merge into one struct field), invalid UTF-8, lone
// surrogates, numbers from 1e308 up, data after the object and
// deep nesting. What passes is split
// into members without being decoded: values stay raw until somebody needs
// them.
//
// Every function reads a string or a byte slice. What it returns refers to
// that input, except for names and strings written with escapes.
package jsonobj

import "errors"

// MaxDepth is the deepest nesting that is read; the outermost object counts
// as one level.
const MaxDepth = 32

// The reasons why an object is refused. They name no part of the input.
var (
	ErrSyntax    = errors.New("not a JSON object")
	ErrTrailing  = errors.New("data after the JSON object")
	ErrDepth     = errors.New("JSON nested too deeply")
	ErrUTF8      = errors.New("JSON is not valid UTF-8")
	ErrNumber    = errors.New("JSON number out of range")
	ErrDuplicate = errors.New("JSON member stands twice")
)

type text interface{ string | []byte }

// A Member is one name with its value.
type Member[T text] struct {
	Name  T // without quotes, escapes resolved
	Value T // as it stands in the input, without surrounding whitespace
}

// A Field is where a member stands in the input of Scan. It has no pointer into
// the input, so that the input may be copied and what is kept of it be taken
// from the copy.
type Field struct {
	nameStart, nameEnd   uint32 // of the inside of the quotes
	valueStart, valueEnd uint32
	nameEscaped          bool
	valueEscaped         bool // that is a string, and has escapes
}

// Name returns the member's name, without quotes, escapes resolved. src is the
// input of Scan or a copy of it.
func Name[T text](src T, f *Field) T {
	name := src[f.nameStart:f.nameEnd]
	if f.nameEscaped {
		return T(unescape(name))
	}
	return name
}

// Value returns the member's value as it stands in src, without surrounding
// whitespace.
func Value[T text](src T, f *Field) T { return src[f.valueStart:f.valueEnd] }

// Text returns the text of the member's value, with escapes resolved. ok is
// false if the value is not a string.
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

// Scan reads src as one JSON object and appends the places of its members to
// dst, in their order. All of src is checked, nested values included. Beside an
// error nothing is appended.
func Scan[T text](src T, dst []Field) ([]Field, error) {
	p := parser[T]{src: src, fields: dst}
	if err := p.all(); err != nil {
		return p.fields[:len(dst)], err // with the room it has grown
	}
	return p.fields, nil
}

// Parse is Scan with the members themselves.
func Parse[T text](src T, dst []Member[T]) ([]Member[T], error) {
	if err := Walk(src, func(m Member[T]) { dst = append(dst, m) }); err != nil {
		return nil, err
	}
	return dst, nil
}

// Walk reads src as Parse does and hands each member to visit, for callers that
// keep a few of many. An error means that nothing visit was told counts.
func Walk[T text](src T, visit func(Member[T])) error {
	p := parser[T]{src: src, visit: visit}
	return p.all()
}

// Find returns the raw value of the first member of src that is called name.
// It reads no further than that value, so it tells nothing of the rest of src
// and is for input that Scan has checked already, or will.
func Find[T text](src T, name string) (value T, found bool, err error) {
	p := parser[T]{src: src}
	return p.find(name)
}

// String returns the text of a raw value that one of this package's functions
// has returned, with escapes resolved. ok is false if the value is not a string.
func String[T text](raw T) (s string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' {
			return string(unescape(inner)), true
		}
	}
	return string(inner), true
}

// Elements appends the raw elements of an array that one of this package's
// functions has returned to dst. ok is false if the value is not an array.
func Elements[T text](raw T, dst []T) (elements []T, ok bool) {
	p := parser[T]{src: raw}
	return p.elements(dst)
}
