package jsonobj

// Why not encoding/json? It accepts duplicate names, invalid UTF-8 and lone surrogates. With its
// Decoder and checks for these, the middleware takes 4.7 times as long for a request with HS256
// (2.1 times with Go 1.27). The Decoder of encoding/json/v2 (package jsontext) accepts names that
// differ only in letter case. With a check for these, the middleware takes about 23 % longer.
// Before Go 1.27, jsontext is an experiment. This command measures both with parser.go and
// strings.go replaced:
//
//	go -C bench run ./own json jsonv2

import (
	"math"
	"unicode/utf8"
)

// A parser parses src. Each method takes the index to start at and returns the index after the
// parsed text. On a syntax error a method sets err and returns a negative index.
type parser[T text] struct {
	src     T
	seen    *names          // to detect duplicate names; nil in find and elements, which only skip values
	foldAll bool            // letter case is ignored in inner objects too
	visit   func(Member[T]) // is called for each member of the outermost object; nil: fields is used
	fields  []Field         // the members of the outermost object
	err     error
}

// document parses one object that is all of src.
func (p *parser[T]) document() error {
	if uint64(len(p.src)) > math.MaxUint32 {
		return ErrSyntax // the offsets of a Field have 32 bits
	}
	p.seen = namesPool.Get().(*names)
	defer namesPool.Put(p.seen)
	p.seen.cut(0)

	i := skip(p.src, 0)
	if !has(p.src, i, '{') {
		return ErrNotObject
	}
	i = p.object(i, 1)
	if i >= 0 && skip(p.src, i) < len(p.src) {
		p.fail(ErrTrailing)
	}
	return p.err
}

// find implements Find.
func (p *parser[T]) find(name string) (value T, found bool, err error) {
	i := skip(p.src, 0)
	if !has(p.src, i, '{') {
		return value, false, ErrNotObject
	}
	i = skip(p.src, i+1)
	for first := true; ; first = false {
		var more bool
		if i, more = p.next(i, first, '}'); !more {
			return value, false, p.err
		}
		var f Field
		if i = p.member(i, 1, &f); i < 0 {
			return value, false, p.err
		}
		if string(Name(p.src, &f)) == name {
			return Value(p.src, &f), true, nil
		}
	}
}

// elements implements Elements.
func (p *parser[T]) elements(dst []T) (elements []T, ok bool) {
	if !has(p.src, 0, '[') {
		return dst, false
	}
	i := skip(p.src, 1)
	for first := true; ; first = false {
		var more bool
		if i, more = p.next(i, first, ']'); !more {
			return dst, i > 0
		}
		start := i
		if i, _ = p.value(i, 1); i < 0 {
			return dst, false
		}
		dst = append(dst, p.src[start:i])
	}
}

// fail records err and returns the index that means failure.
func (p *parser[T]) fail(err error) int {
	p.err = err
	return -1
}

// skip returns the index of the first byte at or after i that is not whitespace.
func skip[T text](src T, i int) int {
	for i < len(src) && src[i] <= ' ' && (src[i] == ' ' || src[i] == '\t' || src[i] == '\n' || src[i] == '\r') {
		i++
	}
	return i
}

// has reports whether the byte at index i is c.
func has[T text](src T, i int, c byte) bool { return i < len(src) && src[i] == c }

// next returns the index of the next element of an object or array, which follows a comma unless
// the element is the first. If there are no more elements, next returns the index after the closing
// bracket, and more is false. If first is true, i must be the index after any whitespace.
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

// member parses `"name": value` in an object at the given depth.
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

// object parses an object at the given depth. The byte at i is the opening brace.
func (p *parser[T]) object(i, depth int) int {
	if depth > MaxDepth {
		return p.fail(ErrDepth)
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
			var hash uint64
			if depth == 1 || p.foldAll {
				hash = foldedHash(p.seen, Name(p.src, &f))
			} else {
				hash = exactHash(p.seen, Name(p.src, &f))
			}
			p.seen.add(hash, f.nameStart)
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
		if err := duplicateIn(p.src, p.seen, outer); err != nil {
			return p.fail(err)
		}
		p.seen.cut(outer)
	}
	return i
}

// array parses an array at the given depth. The byte at i is the opening bracket.
func (p *parser[T]) array(i, depth int) int {
	if depth > MaxDepth {
		return p.fail(ErrDepth)
	}
	i = skip(p.src, i+1)
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

// value parses a value in an object or array at the given depth. escaped reports whether the value
// is a string with escapes.
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

// literal parses true, false or null.
func (p *parser[T]) literal(i int, word string) int {
	if len(p.src)-i < len(word) || string(p.src[i:i+len(word)]) != word {
		return p.fail(ErrSyntax)
	}
	return i + len(word)
}

// number parses a number of magnitude less than 1e308. Greater numbers are infinite to some parsers
// and an error to others (RFC 8259 section 6, RFC 7493 section 2.2). The digits are counted and not
// converted, because converting a long number would cost more than sending it.
func (p *parser[T]) number(i int) int {
	src := p.src
	if has(src, i, '-') {
		i++
	}
	// Only a fraction or an exponent can follow a leading zero. The caller refuses a further digit,
	// because it is neither a comma nor a bracket.
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
			if exponent < 1<<26 { // greater than the length of any input: more digits change nothing
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

// digits returns the index after the digits that start at i.
func digits[T text](src T, i int) int {
	for i < len(src) && src[i]-'0' <= 9 {
		i++
	}
	return i
}

// magnitude returns the power of ten of the first nonzero digit. It returns a very small number if
// all digits are zero.
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

// str parses a string with its quotes. escaped reports whether the string has escapes.
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
				return p.fail(escapeError(src[i:])), false
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
