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
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
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
	i := skip(src, 0)
	if !has(src, i, '{') {
		return value, false, ErrSyntax
	}
	i = skip(src, i+1)
	for first := true; ; first = false {
		var more bool
		if i, more = p.next(i, first, '}'); !more {
			return value, false, p.err
		}
		var f Field
		if i = p.member(i, 1, &f); i < 0 {
			return value, false, p.err
		}
		if string(Name(src, &f)) == name {
			return Value(src, &f), true, nil
		}
	}
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
	if !has(raw, 0, '[') {
		return dst, false
	}
	p := parser[T]{src: raw}
	i := skip(raw, 1)
	for first := true; ; first = false {
		var more bool
		if i, more = p.next(i, first, ']'); !more {
			return dst, i > 0
		}
		start := i
		if i, _ = p.value(i, 1); i < 0 {
			return dst, false
		}
		dst = append(dst, raw[start:i])
	}
}

// parser reads src. Its methods take the index that they begin at and return
// the one after what they have read, or a negative one if it is not what it
// should be; err then says why.
type parser[T text] struct {
	src    T
	seen   *names          // in which distinct names are looked for; nil: not at all
	visit  func(Member[T]) // told of the members of the outermost object,
	fields []Field         // or if it is nil, what they are appended to
	err    error
}

// all reads one object and nothing else.
func (p *parser[T]) all() error {
	if uint64(len(p.src)) > math.MaxUint32 {
		return ErrSyntax // no Field could tell its places
	}
	p.seen = pool.Get().(*names)
	defer pool.Put(p.seen)
	p.seen.hashes = p.seen.hashes[:0]

	i := p.object(skip(p.src, 0), 1)
	if i >= 0 && skip(p.src, i) < len(p.src) {
		p.fail(ErrTrailing)
	}
	return p.err
}

func (p *parser[T]) fail(err error) int {
	p.err = err
	return -1
}

// skip returns the index of the first byte from i on that is not whitespace.
func skip[T text](src T, i int) int {
	for i < len(src) && src[i] <= ' ' && (src[i] == ' ' || src[i] == '\t' || src[i] == '\n' || src[i] == '\r') {
		i++
	}
	return i
}

// has tells whether c stands at index i.
func has[T text](src T, i int, c byte) bool { return i < len(src) && src[i] == c }

// next moves to the next element of an object or array, past the comma that
// must stand before all but the first, or past the closing bracket; more tells
// which. No whitespace is at i if first is set.
func (p *parser[T]) next(i int, first bool, closing byte) (after int, more bool) {
	if !first {
		i = skip(p.src, i)
	}
	switch {
	case has(p.src, i, closing):
		return i + 1, false
	case first:
		return i, true
	case has(p.src, i, ','):
		return skip(p.src, i+1), true
	}
	return p.fail(ErrSyntax), false
}

// member reads `"name": value` inside an object at the given depth.
func (p *parser[T]) member(i, depth int, f *Field) int {
	f.nameStart = uint32(i) + 1
	if i, f.nameEscaped = p.str(i); i < 0 {
		return i
	}
	f.nameEnd = uint32(i) - 1
	if i = skip(p.src, i); !has(p.src, i, ':') {
		return p.fail(ErrSyntax)
	}
	i = skip(p.src, i+1)
	f.valueStart = uint32(i)
	i, f.valueEscaped = p.value(i, depth)
	f.valueEnd = uint32(i)
	return i
}

// object reads an object whose own depth is given.
func (p *parser[T]) object(i, depth int) int {
	if depth > MaxDepth {
		return p.fail(ErrDepth)
	}
	if !has(p.src, i, '{') {
		return p.fail(ErrSyntax)
	}
	var outer int
	if p.seen != nil {
		outer = len(p.seen.hashes)
	}
	i = skip(p.src, i+1)
	for first := true; ; first = false {
		var more bool
		if i, more = p.next(i, first, '}'); !more {
			break
		}
		var f Field
		if i = p.member(i, depth, &f); i < 0 {
			return i
		}
		if p.seen != nil {
			p.seen.hashes = append(p.seen.hashes, foldedHash(p.seen, Name(p.src, &f)))
			switch {
			case depth > 1:
			case p.visit != nil:
				p.visit(Member[T]{Name: Name(p.src, &f), Value: Value(p.src, &f)})
			default:
				p.fields = append(p.fields, f)
			}
		}
	}
	if p.seen != nil && i > 0 {
		if !p.seen.distinct(outer) {
			return p.fail(ErrDuplicate)
		}
		p.seen.hashes = p.seen.hashes[:outer]
	}
	return i
}

func (p *parser[T]) array(i, depth int) int {
	if depth > MaxDepth {
		return p.fail(ErrDepth)
	}
	i = skip(p.src, i+1) // past the bracket that brought us here
	for first := true; ; first = false {
		var more bool
		if i, more = p.next(i, first, ']'); !more {
			return i
		}
		if i, _ = p.value(i, depth); i < 0 {
			return i
		}
	}
}

// value reads any value inside an object or array of the given depth, and tells
// whether it is a string with escapes.
func (p *parser[T]) value(i, depth int) (after int, escaped bool) {
	if i >= len(p.src) {
		return p.fail(ErrSyntax), false
	}
	switch p.src[i] {
	case '"':
		return p.str(i)
	case '{':
		return p.object(i, depth+1), false
	case '[':
		return p.array(i, depth+1), false
	case 't':
		return p.literal(i, "true"), false
	case 'f':
		return p.literal(i, "false"), false
	case 'n':
		return p.literal(i, "null"), false
	default:
		return p.number(i), false
	}
}

func (p *parser[T]) literal(i int, word string) int {
	if len(p.src)-i < len(word) || string(p.src[i:i+len(word)]) != word {
		return p.fail(ErrSyntax)
	}
	return i + len(word)
}

// number reads a number of less than 1e308. What is far beyond is infinite to
// one parser and an error to another (RFC 8259 section 6, RFC 7493 section 2.2),
// and converting it to be sure would cost the reader more than the sender.
func (p *parser[T]) number(i int) int {
	src := p.src
	if has(src, i, '-') {
		i++
	}
	// What follows a leading zero can only be a fraction or an exponent; a
	// further digit is left for next to refuse.
	start := i
	if has(src, i, '0') {
		i++
	} else if i = digits(src, i); i == start {
		return p.fail(ErrSyntax)
	}
	whole := src[start:i]
	var fraction T
	if has(src, i, '.') {
		start = i + 1
		if i = digits(src, start); i == start {
			return p.fail(ErrSyntax)
		}
		fraction = src[start:i]
	}
	exponent := 0
	if has(src, i, 'e') || has(src, i, 'E') {
		i++
		sign := 1
		if has(src, i, '+') {
			i++
		} else if has(src, i, '-') {
			i++
			sign = -1
		}
		start = i
		if i = digits(src, i); i == start {
			return p.fail(ErrSyntax)
		}
		for _, c := range []byte(src[start:i]) {
			if exponent < 1<<26 { // more than any input is long
				exponent = 10*exponent + int(c-'0')
			}
		}
		exponent *= sign
	}
	if magnitude(whole, fraction)+exponent >= 308 {
		return p.fail(ErrNumber)
	}
	return i
}

// digits returns the index after the digits at i.
func digits[T text](src T, i int) int {
	for i < len(src) && src[i]-'0' <= 9 {
		i++
	}
	return i
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

// str reads a string, quotes included, and tells whether it has escapes.
func (p *parser[T]) str(i int) (after int, escaped bool) {
	src := p.src
	if !has(src, i, '"') {
		return p.fail(ErrSyntax), false
	}
	for i++; ; {
		for i < len(src) && plain[src[i]] {
			i++
		}
		if i == len(src) {
			return p.fail(ErrSyntax), false
		}
		switch c := src[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			n := escape(src[i:])
			if n == 0 {
				return p.fail(ErrSyntax), false
			}
			escaped = true
			i += n
		case c < ' ':
			return p.fail(ErrSyntax), false
		default:
			r, n := utf8.DecodeRuneInString(string(src[i:min(i+utf8.UTFMax, len(src))]))
			if r == utf8.RuneError && n == 1 {
				return p.fail(ErrUTF8), false
			}
			i += n
		}
	}
}

// plain has the bytes of a string that stand for themselves and are ASCII.
var plain = func() (set [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		set[c] = c != '"' && c != '\\'
	}
	return set
}()

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
	if len(name) <= maxShort {
		if h, ok := shortHash(name); ok {
			return h
		}
	}
	folded := n.folded[:0]
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			folded = append(folded, lower(c))
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(string(name[i:min(i+utf8.UTFMax, len(name))]))
		folded = utf8.AppendRune(folded, foldRune(r))
		i += size
	}
	n.folded = folded
	if len(folded) <= maxShort {
		// Some letters beyond ASCII are others of ASCII in another case.
		if h, ok := shortHash(folded); ok {
			return h
		}
	}
	return maphash.Bytes(seed, folded)
}

// shortHash is foldedHash for names of up to maxShort ASCII characters, which most
// are: such a name fits two words, and maphash takes longer to begin than they
// take to mix. ok is false for a name with other characters.
func shortHash[T text](name T) (h uint64, ok bool) {
	var a, b uint64
	switch n := len(name); {
	case n >= 8:
		a, b = word(name[:8]), word(name[n-8:])
	case n >= 4:
		a, b = half(name[:4]), half(name[n-4:])
	case n > 0:
		a = uint64(name[0]) | uint64(name[n/2])<<8 | uint64(name[n-1])<<16
	}
	if (a|b)&high != 0 {
		return 0, false
	}
	// A folded multiplication with numbers that nobody outside knows, another
	// one for each length: the same words may be of names of different length.
	x, y := bits.Mul64(lowerWord(a)^secret[0], lowerWord(b)^secret[1+len(name)])
	return x ^ y, true
}

const maxShort = 16

var secret = func() (numbers [2 + maxShort]uint64) {
	for i := range numbers {
		numbers[i] = rand.Uint64()
	}
	return numbers
}()

// Eight bytes at a time: one in each, and the high bit of each.
const (
	each = 0x0101010101010101
	high = 0x8080808080808080
)

func word[T text](s T) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func half[T text](s T) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}

// lowerWord is lower for the eight ASCII characters of a word. Adding to each
// what it lacks to 128 sets the high bit of those from 'A' on, and of those
// beyond 'Z'; no sum carries over into the next.
func lowerWord(w uint64) uint64 {
	letters := (w + each*(128-'A')) &^ (w + each*(128-'Z'-1)) & high
	return w | letters>>2
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// foldRune returns one of the runes that are r in another case, the same for
// all of them: the smallest, or if that is of ASCII, the lower.
func foldRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			if next < utf8.RuneSelf {
				return rune(lower(byte(next)))
			}
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
		var seen uint64 // a bit for each hash, by its last six
		for i, h := range hashes {
			bit := uint64(1) << (h & 63)
			if seen&bit != 0 && slices.Contains(hashes[:i], h) {
				return false
			}
			seen |= bit
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
