// Package jsonobj parses JSON objects (RFC 8259) strictly. It refuses the following input, which parsers
// read differently or cannot read at all:
//
//   - duplicate names in an object, at any depth
//   - names in one object that differ only in letter case, which encoding/json would store in the
//     same struct field
//   - invalid UTF-8 and lone surrogates
//   - numbers of magnitude 1e308 or more
//   - data after the object
//   - nesting deeper than MaxDepth
//
// The package splits an object into its members and leaves the values raw. Callers decode only the
// values they need.
//
// All functions accept a string or a byte slice. The results are slices of the input, except for
// names and strings with escapes, which are decoded into new memory.
package jsonobj

import "errors"

// MaxDepth is the maximum nesting depth. The outermost object is the first level.
const MaxDepth = 32

// Reasons for a refusal. Their texts contain no part of the input.
var (
	ErrSyntax    = errors.New("not a JSON object")
	ErrTrailing  = errors.New("data after the JSON object")
	ErrDepth     = errors.New("JSON nested too deeply")
	ErrUTF8      = errors.New("JSON is not valid UTF-8")
	ErrNumber    = errors.New("JSON number out of range")
	ErrDuplicate = errors.New("JSON member stands twice")
)

type text interface{ string | []byte }

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

// Scan parses src as one JSON object and appends the positions of its members to dst, in the order
// of src. It checks all of src, including nested values. If it returns an error, no position is
// appended; the returned slice has the length of dst and may have more capacity.
func Scan[T text](src T, dst []Field) ([]Field, error) {
	p := parser[T]{src: src, fields: dst}
	if err := p.document(); err != nil {
		return p.fields[:len(dst)], err
	}
	return p.fields, nil
}

// Parse parses src as Scan does and appends the members themselves to dst. If it returns an error,
// the returned slice is nil.
func Parse[T text](src T, dst []Member[T]) ([]Member[T], error) {
	if err := Walk(src, func(m Member[T]) { dst = append(dst, m) }); err != nil {
		return nil, err
	}
	return dst, nil
}

// Walk parses src as Parse does and calls visit for each member. If Walk returns an error, the
// caller must discard everything that visit has received.
func Walk[T text](src T, visit func(Member[T])) error {
	p := parser[T]{src: src, visit: visit}
	return p.document()
}

// Find returns the raw value of the first member of src with the given name. Letter case matters.
// Find stops after that value and does not detect duplicate names, so src must be checked with Scan
// before or after.
func Find[T text](src T, name string) (value T, found bool, err error) {
	p := parser[T]{src: src}
	return p.find(name)
}

// String decodes a raw value. ok is false if the value is not a string. raw must be a value that a
// function of this package has returned.
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

// Elements appends the raw elements of an array to dst. ok is false if the value is not an array.
// raw must be a value that a function of this package has returned.
func Elements[T text](raw T, dst []T) (elements []T, ok bool) {
	p := parser[T]{src: raw}
	return p.elements(dst)
}
