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

import (
	"errors"
	"hash/maphash"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

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

// Parse reads src as one JSON object and appends its members to dst, in their
// order. All of src is checked, nested values included, before anything is
// returned.
func Parse[T text](src T, dst []Member[T]) ([]Member[T], error) {
	if err := Walk(src, func(m Member[T]) { dst = append(dst, m) }); err != nil {
		return nil, err
	}
	return dst, nil
}

// Walk reads src as Parse does and hands each member to visit, for callers that
// keep a few of many. An error means that nothing visit was told counts.
func Walk[T text](src T, visit func(Member[T])) error {
	seen := pool.Get().(*names)
	defer pool.Put(seen)
	seen.hashes = seen.hashes[:0]

	p := parser[T]{src: src, seen: seen}
	p.space()
	if err := p.object(1, visit); err != nil {
		return err
	}
	p.space()
	if p.pos < len(src) {
		return ErrTrailing
	}
	return nil
}

// Find returns the raw value of the first member of src that is called name.
// It reads no further than that value, so it tells nothing of the rest of src
// and is for peeking at input that Parse checks later, or has checked already.
func Find[T text](src T, name string) (value T, found bool, err error) {
	p := parser[T]{src: src}
	p.space()
	if !p.accept('{') {
		return value, false, ErrSyntax
	}
	for first := true; ; first = false {
		more, err := p.next(first, '}')
		if err != nil || !more {
			return value, false, err
		}
		m, err := p.member(1)
		if err != nil {
			return value, false, err
		}
		if string(m.Name) == name {
			return m.Value, true, nil
		}
	}
}

// String returns the text of a raw value that Parse or Find has returned,
// with escapes resolved. ok is false if the value is not a string.
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

// Elements appends the raw elements of an array that Parse or Find has
// returned to dst. ok is false if the value is not an array.
func Elements[T text](raw T, dst []T) (elements []T, ok bool) {
	p := parser[T]{src: raw}
	if !p.accept('[') {
		return dst, false
	}
	for first := true; ; first = false {
		more, err := p.next(first, ']')
		if err != nil || !more {
			return dst, err == nil
		}
		start := p.pos
		if err := p.value(1); err != nil {
			return dst, false
		}
		dst = append(dst, raw[start:p.pos])
	}
}

// parser is a position in src. With seen it checks that names are distinct.
type parser[T text] struct {
	src  T
	pos  int
	seen *names
}

func (p *parser[T]) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

func (p *parser[T]) accept(c byte) bool {
	if p.pos < len(p.src) && p.src[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// next moves to the next element of an object or array, past the comma that
// must stand before all but the first; more is false at the closing bracket.
func (p *parser[T]) next(first bool, closing byte) (more bool, err error) {
	p.space()
	if p.accept(closing) {
		return false, nil
	}
	if !first {
		if !p.accept(',') {
			return false, ErrSyntax
		}
		p.space()
	}
	return true, nil
}

// member reads `"name": value` inside an object at the given depth.
func (p *parser[T]) member(depth int) (m Member[T], err error) {
	start := p.pos + 1
	escaped, err := p.str()
	if err != nil {
		return m, err
	}
	m.Name = p.src[start : p.pos-1]
	if escaped {
		m.Name = T(unescape(m.Name))
	}
	p.space()
	if !p.accept(':') {
		return m, ErrSyntax
	}
	p.space()
	start = p.pos
	if err := p.value(depth); err != nil {
		return m, err
	}
	m.Value = p.src[start:p.pos]
	return m, nil
}

// object reads an object whose own depth is given and hands its members to
// yield, unless that is nil.
func (p *parser[T]) object(depth int, yield func(Member[T])) error {
	if depth > MaxDepth {
		return ErrDepth
	}
	if !p.accept('{') {
		return ErrSyntax
	}
	var outer int
	if p.seen != nil {
		outer = len(p.seen.hashes)
	}
	for first := true; ; first = false {
		more, err := p.next(first, '}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		m, err := p.member(depth)
		if err != nil {
			return err
		}
		if p.seen != nil {
			p.seen.hashes = append(p.seen.hashes, foldedHash(p.seen, m.Name))
		}
		if yield != nil {
			yield(m)
		}
	}
	if p.seen != nil {
		if !p.seen.distinct(outer) {
			return ErrDuplicate
		}
		p.seen.hashes = p.seen.hashes[:outer]
	}
	return nil
}

func (p *parser[T]) array(depth int) error {
	if depth > MaxDepth {
		return ErrDepth
	}
	p.pos++ // the bracket that brought us here
	for first := true; ; first = false {
		more, err := p.next(first, ']')
		if err != nil || !more {
			return err
		}
		if err := p.value(depth); err != nil {
			return err
		}
	}
}

// value reads any value inside an object or array of the given depth.
func (p *parser[T]) value(depth int) error {
	if p.pos >= len(p.src) {
		return ErrSyntax
	}
	switch p.src[p.pos] {
	case '"':
		_, err := p.str()
		return err
	case '{':
		return p.object(depth+1, nil)
	case '[':
		return p.array(depth + 1)
	case 't':
		return p.literal("true")
	case 'f':
		return p.literal("false")
	case 'n':
		return p.literal("null")
	default:
		return p.number()
	}
}

func (p *parser[T]) literal(word string) error {
	if len(p.src)-p.pos < len(word) || string(p.src[p.pos:p.pos+len(word)]) != word {
		return ErrSyntax
	}
	p.pos += len(word)
	return nil
}

// number reads a number of less than 1e308. What is far beyond is infinite to
// one parser and an error to another (RFC 8259 section 6, RFC 7493 section 2.2),
// and converting it to be sure would cost the reader more than the sender.
func (p *parser[T]) number() error {
	p.accept('-')
	// What follows a leading zero can only be a fraction or an exponent; a
	// further digit is left for next to refuse.
	start := p.pos
	if !p.accept('0') && !p.digits() {
		return ErrSyntax
	}
	whole := p.src[start:p.pos]
	var fraction T
	if p.accept('.') {
		start = p.pos
		if !p.digits() {
			return ErrSyntax
		}
		fraction = p.src[start:p.pos]
	}
	exponent := 0
	if p.accept('e') || p.accept('E') {
		sign := 1
		if !p.accept('+') && p.accept('-') {
			sign = -1
		}
		start = p.pos
		if !p.digits() {
			return ErrSyntax
		}
		for i := start; i < p.pos && exponent < 1<<26; i++ { // more than any input is long
			exponent = 10*exponent + int(p.src[i]-'0')
		}
		exponent *= sign
	}
	if magnitude(whole, fraction)+exponent >= 308 {
		return ErrNumber
	}
	return nil
}

// magnitude returns the power of ten of the first digit that is not zero, or a
// very small number if there is none.
func magnitude[T text](whole, fraction T) int {
	if whole[0] != '0' {
		return len(whole) - 1
	}
	for i := 0; i < len(fraction); i++ {
		if fraction[i] != '0' {
			return -1 - i
		}
	}
	return -1 << 30
}

// digits reads digits and tells whether there was one.
func (p *parser[T]) digits() bool {
	start := p.pos
	for p.pos < len(p.src) && p.src[p.pos]-'0' <= 9 {
		p.pos++
	}
	return p.pos > start
}

// str reads a string, quotes included, and tells whether it has escapes.
func (p *parser[T]) str() (escaped bool, err error) {
	if !p.accept('"') {
		return false, ErrSyntax
	}
	src, i := p.src, p.pos
	for i < len(src) {
		switch c := src[i]; {
		case c == '"':
			p.pos = i + 1
			return escaped, nil
		case c == '\\':
			n := escape(src[i:])
			if n == 0 {
				return false, ErrSyntax
			}
			escaped = true
			i += n
		case c < ' ':
			return false, ErrSyntax
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRuneInString(string(src[i:min(i+utf8.UTFMax, len(src))]))
			if r == utf8.RuneError && n == 1 {
				return false, ErrUTF8
			}
			i += n
		}
	}
	return false, ErrSyntax
}

// escape returns the length of the escape sequence src starts with, a
// surrogate pair counting as one, or 0 if there is none. A lone surrogate is
// no character, and what replaces it differs between parsers (RFC 8259
// section 8.2).
func escape[T text](src T) int {
	if len(src) < 2 {
		return 0
	}
	switch src[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		r, ok := hex4(src)
		switch {
		case !ok:
			return 0
		case !utf16.IsSurrogate(r):
			return 6
		}
		low, ok := hex4(src[6:])
		if !ok || utf16.DecodeRune(r, low) == unicode.ReplacementChar {
			return 0
		}
		return 12
	}
	return 0
}

// hex4 reads `\uXXXX`.
func hex4[T text](src T) (r rune, ok bool) {
	if len(src) < 6 || src[0] != '\\' || src[1] != 'u' {
		return 0, false
	}
	for i := 2; i < 6; i++ {
		c := rune(src[i])
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | c
	}
	return r, true
}

// unescape resolves the escapes of a string that str has checked.
func unescape[T text](inner T) []byte {
	out := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); {
		if inner[i] != '\\' {
			out = append(out, inner[i])
			i++
			continue
		}
		n := escape(inner[i:])
		switch c := inner[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(inner[i:])
			if n == 12 {
				low, _ := hex4(inner[i+6:])
				r = utf16.DecodeRune(r, low)
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
		i += n
	}
	return out
}

// names holds the hashes of the member names of the objects being read, those
// of the innermost last, and room to work in.
type names struct {
	hashes []uint64
	table  []uint64
	folded []byte
}

var (
	pool = sync.Pool{New: func() any { return new(names) }}
	seed = maphash.MakeSeed()
)

// foldedHash returns a hash that is the same for names encoding/json takes
// for the same struct field.
func foldedHash[T text](n *names, name T) uint64 {
	folded := n.folded[:0]
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			folded = append(folded, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(string(name[i:min(i+utf8.UTFMax, len(name))]))
		folded = utf8.AppendRune(folded, foldRune(r))
		i += size
	}
	n.folded = folded
	return maphash.Bytes(seed, folded)
}

// foldRune returns the smallest of the runes that are r in another case.
func foldRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

// distinct tells whether no two hashes from index outer on are the same. Equal
// names have equal hashes, so no duplicate goes unseen; two different names
// share one by a chance of 2^-64, and then an object is refused in error.
func (n *names) distinct(outer int) bool {
	hashes := n.hashes[outer:]
	if len(hashes) <= 16 {
		for i, h := range hashes {
			for _, other := range hashes[:i] {
				if h == other {
					return false
				}
			}
		}
		return true
	}

	// A table keeps the cost linear for whoever sends an object of thousands
	// of members. Zero marks an empty place, so the hash 0 becomes 1.
	size := 1
	for size < 2*len(hashes) {
		size <<= 1
	}
	if cap(n.table) < size {
		n.table = make([]uint64, size)
	}
	table := n.table[:size]
	clear(table)
	for _, h := range hashes {
		h = max(h, 1)
		i := int(h & uint64(size-1))
		for table[i] != 0 {
			if table[i] == h {
				return false
			}
			i = (i + 1) & (size - 1)
		}
		table[i] = h
	}
	return true
}
