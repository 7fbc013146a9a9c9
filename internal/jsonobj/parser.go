package jsonobj

// Why not encoding/json? It accepts duplicate names, invalid UTF-8 and lone surrogates. With its
// Decoder and checks for these, the middleware takes 5 times as long for a request with HS256
// (2.2 times with Go 1.27). The Decoder of encoding/json/v2 (package jsontext) accepts names that
// differ only in letter case. With a check for these, the middleware takes about 36 % longer.
// Before Go 1.27, jsontext is an experiment. This command measures both with parser.go and
// strings.go replaced:
//
//	go -C bench run ./own json jsonv2

import (
	"math/bits"
	"unicode/utf8"
)

// A parser parses src. Each method takes the index to start at and returns the index after the
// parsed text. On a syntax error a method sets err and returns a negative index.
type parser[T text] struct {
	src     T
	names   *names          // to detect duplicate names; nil in find and elements, which only skip values
	foldAll bool            // letter case is ignored in inner objects too
	visit   func(Member[T]) // is called for each member of the outermost object; nil: fields is used
	fields  []Field         // the members of the outermost object; only if visit is nil
	err     error
}

// document parses one object that is all of src. names must be set.
func (p *parser[T]) document() error {
	if len(p.src) > maxLength {
		return ErrSyntax
	}
	p.names.open = p.names.open[:0]

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
	if len(p.src) > maxLength {
		return value, false, ErrSyntax
	}
	i := skip(p.src, 0)
	if !has(p.src, i, '{') {
		return value, false, ErrNotObject
	}
	i, more := p.first(i+1, '}')
	for more {
		var f Field
		if f, i = p.member(i, 1); i < 0 {
			break
		}
		if string(Name(p.src, &f)) == name {
			return Raw(p.src, f.Value), true, nil
		}
		i, more = p.next(i, '}')
	}
	return value, false, p.err
}

// elements implements Elements.
func (p *parser[T]) elements(dst []T) (elements []T, ok bool) {
	if !has(p.src, 0, '[') {
		return dst, false
	}
	i, more := p.first(1, ']')
	for more {
		start := i
		if i, _ = p.value(i, 1); i < 0 {
			break
		}
		dst = append(dst, p.src[start:i])
		i, more = p.next(i, ']')
	}
	return dst, i > 0
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

// first returns the index of the first element of an object or array, or the index after the closing
// bracket if there is none. i is the index after the opening bracket.
func (p *parser[T]) first(i int, closing byte) (at int, more bool) {
	i = skip(p.src, i)
	if has(p.src, i, closing) {
		return i + 1, false
	}
	return i, true
}

// next returns the index of the next element of an object or array, or the index after the closing
// bracket if there is none. i is the index after an element.
func (p *parser[T]) next(i int, closing byte) (at int, more bool) {
	if i+1 < len(p.src) && p.src[i] == ',' && p.src[i+1] > ' ' { // the usual case
		return i + 1, true
	}
	return p.nextSpaced(i, closing)
}

// nextSpaced is next for all other cases.
func (p *parser[T]) nextSpaced(i int, closing byte) (at int, more bool) {
	i = skip(p.src, i)
	switch {
	case has(p.src, i, closing):
		return i + 1, false
	case has(p.src, i, ','):
		return skip(p.src, i+1), true
	}
	return p.fail(ErrSyntax), false
}

// member parses `"name": value` in an object at the given depth.
func (p *parser[T]) member(i, depth int) (f Field, after int) {
	start := i
	i, flags := p.str(i)
	if i < 0 {
		return f, i
	}
	f.name = newSpan(start, i, flags)
	if i+1 < len(p.src) && p.src[i] == ':' && p.src[i+1] > ' ' { // the usual case
		start = i + 1
	} else {
		if i = skip(p.src, i); !has(p.src, i, ':') {
			return f, p.fail(ErrSyntax)
		}
		start = skip(p.src, i+1)
	}
	if i, flags = p.value(start, depth); i < 0 {
		return f, i
	}
	f.Value = newSpan(start, i, flags)
	return f, i
}

// object parses an object at the given depth. The byte at i is the opening brace.
func (p *parser[T]) object(i, depth int) int {
	if depth > MaxDepth {
		return p.fail(ErrDepth)
	}
	// duplicateIn needs all members of an object at its end. Those of the outermost object
	// are also the result of Scan. find and elements set no names, and keep no members.
	keep := p.names != nil
	members := &p.fields
	if keep && (depth > 1 || p.visit != nil) {
		members = &p.names.open
	}
	before := len(*members)
	i, more := p.first(i+1, '}')
	for more {
		var f Field
		if f, i = p.member(i, depth); i < 0 {
			return i
		}
		if keep {
			*members = append(*members, f)
		}
		if depth == 1 && p.visit != nil {
			p.visit(Member[T]{Name: Name(p.src, &f), Value: Raw(p.src, f.Value)})
		}
		i, more = p.next(i, '}')
	}
	if i < 0 || !keep {
		return i
	}
	if err := duplicateIn(p.src, p.names, (*members)[before:], depth == 1 || p.foldAll); err != nil {
		return p.fail(err)
	}
	if members == &p.names.open {
		p.names.open = p.names.open[:before]
	}
	return i
}

// array parses an array at the given depth. The byte at i is the opening bracket.
func (p *parser[T]) array(i, depth int) int {
	if depth > MaxDepth {
		return p.fail(ErrDepth)
	}
	i, more := p.first(i+1, ']')
	for more {
		if i, _ = p.value(i, depth); i < 0 {
			break
		}
		i, more = p.next(i, ']')
	}
	return i
}

// value parses a value in an object or array at the given depth. flags are those of a Span.
func (p *parser[T]) value(i, depth int) (after int, flags Span) {
	if i >= len(p.src) {
		return p.fail(ErrSyntax), 0
	}
	switch c := p.src[i]; {
	case c == '"':
		return p.str(i)
	case c-'0' <= 9 || c == '-':
		return p.number(i), 0
	case c == '[':
		return p.array(i, depth+1), 0
	case c == '{':
		return p.object(i, depth+1), 0
	case c == 't':
		return p.literal(i, "true"), 0
	case c == 'f':
		return p.literal(i, "false"), 0
	case c == 'n':
		return p.literal(i, "null"), 0
	}
	return p.fail(ErrSyntax), 0
}

// literal parses true, false or null.
func (p *parser[T]) literal(i int, want string) int {
	if len(p.src)-i < len(want) || string(p.src[i:i+len(want)]) != want {
		return p.fail(ErrSyntax)
	}
	return i + len(want)
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

// str parses a string with its quotes. flags are those of a Span.
func (p *parser[T]) str(i int) (after int, flags Span) {
	src := p.src
	if !has(src, i, '"') {
		return p.fail(ErrSyntax), 0
	}
	for i++; i+8 <= len(src); i += 8 {
		if special := notPlain(word(src, i)); special != 0 {
			i += bits.TrailingZeros64(special) / 8
			if src[i] == '"' { // the usual case
				return i + 1, 0
			}
			break
		}
	}
	return p.rest(i)
}

// rest parses a string from index i on, which is behind its opening quote.
func (p *parser[T]) rest(i int) (after int, flags Span) {
	src := p.src
	for i < len(src) {
		switch c := src[i]; {
		case plain[c]:
			i++
		case c == '"':
			return i + 1, flags
		case c == '\\':
			n := escape(src[i:])
			if n == 0 {
				return p.fail(escapeError(src[i:])), 0
			}
			flags |= hasEscapes
			i += n
		case c < ' ':
			return p.fail(ErrSyntax), 0
		default:
			r, n := utf8.DecodeRuneInString(string(src[i:min(i+utf8.UTFMax, len(src))]))
			if r == utf8.RuneError && n == 1 {
				return p.fail(ErrUTF8), 0
			}
			flags |= hasNonASCII
			i += n
		}
	}
	return p.fail(ErrSyntax), 0
}
