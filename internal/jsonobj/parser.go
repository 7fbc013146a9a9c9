package jsonobj

import "math"

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

// find implements Find.
func (p *parser[T]) find(name string) (value T, found bool, err error) {
	i := skip(p.src, 0)
	if !has(p.src, i, '{') {
		return value, false, ErrSyntax
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
