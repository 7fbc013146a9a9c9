// Package jsonobj parses JSON objects (RFC 8259) strictly. It refuses the following input, which
// parsers read differently or cannot read at all:
//
//   - duplicate names in an object, at any depth
//   - names of the outermost object that differ only in letter case, which encoding/json would
//     store in the same struct field
//   - invalid UTF-8 and lone surrogates
//   - numbers of magnitude 1e308 or more
//   - data after the object
//   - nesting deeper than MaxDepth
//
// The package splits an object into its members and leaves the values raw. Callers decode only the
// values they need.
//
// All functions but Scan accept a string or a byte slice. The results are slices of the input, except for
// names and strings with escapes, which are decoded into new memory.
package jsonobj

// A Scanner finds the members of objects. It has memory that it uses again for each object. The zero
// Scanner is ready for use. A Scanner is not safe for concurrent use.
type Scanner struct {
	parser parser[[]byte]
	names  names
}

// Scan parses src as one JSON object and returns the positions of its members, in the order of src. It
// checks all of src, including nested values. The result is valid until Scan is called again.
func (s *Scanner) Scan(src []byte) ([]Field, error) {
	s.parser = parser[[]byte]{src: src, names: &s.names, fields: s.parser.fields[:0]}
	if err := s.parser.document(); err != nil {
		return nil, err
	}
	return s.parser.fields, nil
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
	n := namesPool.Get().(*names)
	defer namesPool.Put(n)
	p := parser[T]{src: src, names: n, visit: visit}
	return p.document()
}

// Folds reports whether an object inside of src, at any depth, has names that differ only in letter
// case. src must be an object that Scan accepts. Scan refuses such names in the outermost object
// only: the names further inside are often data, such as client IDs.
func Folds[T text](src T) bool {
	n := namesPool.Get().(*names)
	defer namesPool.Put(n)
	p := parser[T]{src: src, names: n, foldAll: true, visit: func(Member[T]) {}}
	return p.document() != nil
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
