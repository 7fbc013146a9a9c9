package jsonobj

import (
	"bytes"
	"encoding/json"
	"encoding/json/jsontext"
	"math"
	"math/big"
	"strconv"
	"sync"
	"unicode/utf8"
)

// parser reads src with jsontext.Decoder, which refuses invalid UTF-8 and lone
// surrogates. Duplicate names are left to names: the decoder does not see those
// that differ in case only, and does not report both. Depth and the range of numbers are checked here.
type parser[T text] struct {
	src     T
	names   *names
	foldAll bool
	visit   func(Member[T])
	fields  []Field
	d       *jsontext.Decoder
}

// A decoder reads from its buffer in place.
type decoder struct {
	buffer bytes.Buffer
	jsontext.Decoder
}

var (
	decoders   = sync.Pool{New: func() any { return new(decoder) }}
	duplicates = jsontext.AllowDuplicateNames(true)
)

// open begins at the start of src. The decoder goes back to decoders.
func (p *parser[T]) open() *decoder {
	d := decoders.Get().(*decoder)
	d.buffer = *bytes.NewBuffer([]byte(p.src))
	d.Reset(&d.buffer, duplicates)
	p.d = &d.Decoder
	return d
}

func (p *parser[T]) document() error {
	if len(p.src) > maxLength {
		return ErrSyntax
	}
	defer decoders.Put(p.open())
	p.names.open = p.names.open[:0]
	if p.d.PeekKind() != '{' {
		return ErrNotObject
	}
	if err := p.object(1); err != nil {
		return err
	}
	if skip(p.src, p.offset()) < len(p.src) {
		return ErrTrailing
	}
	return nil
}

func (p *parser[T]) find(name string) (value T, found bool, err error) {
	defer decoders.Put(p.open())
	if p.d.PeekKind() != '{' {
		return value, false, ErrNotObject
	}
	if _, err := p.d.ReadToken(); err != nil {
		return value, false, p.refused()
	}
	for p.d.PeekKind() != '}' {
		var f Field
		if err := p.member(1, &f); err != nil {
			return value, false, err
		}
		if string(Name(p.src, &f)) == name {
			return Raw(p.src, f.Value), true, nil
		}
	}
	if _, err := p.d.ReadToken(); err != nil {
		return value, false, p.refused()
	}
	return value, false, nil
}

func (p *parser[T]) elements(dst []T) (elements []T, ok bool) {
	defer decoders.Put(p.open())
	if p.d.PeekKind() != '[' {
		return dst, false
	}
	if _, err := p.d.ReadToken(); err != nil {
		return dst, false
	}
	for p.d.PeekKind() != ']' {
		raw, err := p.d.ReadValue()
		if err != nil {
			return dst, false
		}
		end := p.offset()
		dst = append(dst, p.src[end-len(raw):end])
	}
	_, err := p.d.ReadToken()
	return dst, err == nil
}

func (p *parser[T]) offset() int { return int(p.d.InputOffset()) }

// refused returns the reason why the decoder has refused src.
func (p *parser[T]) refused() error {
	if !utf8.ValidString(string(p.src)) {
		return ErrUTF8
	}
	if json.Valid([]byte(p.src)) {
		return ErrSurrogate // encoding/json accepts it
	}
	return ErrSyntax
}

func (p *parser[T]) object(depth int) error {
	if depth > MaxDepth {
		return ErrDepth
	}
	if _, err := p.d.ReadToken(); err != nil {
		return p.refused()
	}
	members := &p.fields
	if p.names != nil && (depth > 1 || p.visit != nil) {
		members = &p.names.open
	}
	before := len(*members)
	for p.d.PeekKind() != '}' {
		var f Field
		if err := p.member(depth, &f); err != nil {
			return err
		}
		if p.names == nil {
			continue
		}
		*members = append(*members, f)
		if depth == 1 && p.visit != nil {
			p.visit(Member[T]{Name: Name(p.src, &f), Value: Raw(p.src, f.Value)})
		}
	}
	if _, err := p.d.ReadToken(); err != nil {
		return p.refused()
	}
	if p.names == nil {
		return nil
	}
	if err := duplicateIn(p.src, p.names, (*members)[before:], depth == 1 || p.foldAll); err != nil {
		return err
	}
	if members == &p.names.open {
		p.names.open = p.names.open[:before]
	}
	return nil
}

func (p *parser[T]) member(depth int, f *Field) error {
	name, err := p.d.ReadValue()
	if err != nil {
		return p.refused()
	}
	end := p.offset()
	f.name = newSpan(end-len(name), end, flagsOf(name))
	start, flags, err := p.value(depth)
	f.Value = newSpan(start, p.offset(), flags)
	return err
}

func (p *parser[T]) value(depth int) (start int, flags Span, err error) {
	switch kind := p.d.PeekKind(); kind {
	case '{', '[':
		start = skip(p.src, p.offset())
		if p.src[start] == ':' || p.src[start] == ',' {
			start = skip(p.src, start+1)
		}
		if kind == '{' {
			return start, 0, p.object(depth + 1)
		}
		return start, 0, p.array(depth + 1)
	default:
		raw, err := p.d.ReadValue()
		if err != nil {
			return 0, 0, p.refused()
		}
		if kind == '0' && tooLarge(raw) {
			return 0, 0, ErrNumber
		}
		if kind == '"' {
			flags = flagsOf(raw)
		}
		return p.offset() - len(raw), flags, nil
	}
}

// flagsOf returns the flags of a string that the decoder has accepted.
func flagsOf(quoted []byte) (flags Span) {
	for _, c := range quoted {
		switch {
		case c == '\\':
			flags |= hasEscapes
		case c >= utf8.RuneSelf:
			flags |= hasNonASCII
		}
	}
	return flags
}

func (p *parser[T]) array(depth int) error {
	if depth > MaxDepth {
		return ErrDepth
	}
	if _, err := p.d.ReadToken(); err != nil {
		return p.refused()
	}
	for p.d.PeekKind() != ']' {
		if _, _, err := p.value(depth); err != nil {
			return err
		}
	}
	if _, err := p.d.ReadToken(); err != nil {
		return p.refused()
	}
	return nil
}

func skip[T text](src T, i int) int {
	for i < len(src) && (src[i] == ' ' || src[i] == '\t' || src[i] == '\n' || src[i] == '\r') {
		i++
	}
	return i
}

// tooLarge reports whether a number is 1e308 or more in either direction.
func tooLarge(number []byte) bool {
	short := len(number) < 300
	for i := 0; i < len(number) && short; i++ {
		short = number[i]|0x20 != 'e'
	}
	if short {
		return false
	}
	f, _ := strconv.ParseFloat(string(number), 64)
	if f = math.Abs(f); f != 1e308 {
		return f > 1e308
	}
	exact, _, err := big.ParseFloat(string(number), 10, 1<<14, big.ToZero)
	if err != nil {
		return true
	}
	power, _, _ := big.ParseFloat("1e308", 10, 1<<14, big.ToZero)
	return exact.Abs(exact).Cmp(power) >= 0
}
