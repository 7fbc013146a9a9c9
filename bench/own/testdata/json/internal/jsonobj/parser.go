package jsonobj

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// parser reads src token by token with json.Decoder. What the decoder accepts
// and this package refuses is checked beside it: invalid UTF-8, lone
// surrogates, depth, the range of numbers, and duplicate names.
type parser[T text] struct {
	src     T
	names   *names
	foldAll bool
	visit   func(Member[T])
	fields  []Field
	d       *json.Decoder
}

func (p *parser[T]) open() error {
	if len(p.src) > maxLength {
		return ErrSyntax
	}
	src := []byte(p.src)
	if !utf8.Valid(src) {
		return ErrUTF8
	}
	p.d = json.NewDecoder(bytes.NewReader(src))
	p.d.UseNumber()
	return nil
}

func (p *parser[T]) document() error {
	if err := p.open(); err != nil {
		return err
	}
	p.names.open = p.names.open[:0]
	if start, err := p.d.Token(); err != nil || start != json.Delim('{') {
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
	if err := p.open(); err != nil {
		return value, false, err
	}
	if start, err := p.d.Token(); err != nil || start != json.Delim('{') {
		return value, false, ErrNotObject
	}
	for p.d.More() {
		var f Field
		if err := p.member(1, &f); err != nil {
			return value, false, err
		}
		if string(Name(p.src, &f)) == name {
			return Raw(p.src, f.Value), true, nil
		}
	}
	if _, err := p.d.Token(); err != nil {
		return value, false, ErrSyntax
	}
	return value, false, nil
}

func (p *parser[T]) elements(dst []T) (elements []T, ok bool) {
	if len(p.src) == 0 || p.src[0] != '[' || p.open() != nil {
		return dst, false
	}
	if _, err := p.d.Token(); err != nil {
		return dst, false
	}
	var raw json.RawMessage
	for p.d.More() {
		if p.d.Decode(&raw) != nil {
			return dst, false
		}
		end := p.offset()
		dst = append(dst, p.src[end-len(raw):end])
	}
	_, err := p.d.Token()
	return dst, err == nil
}

func (p *parser[T]) offset() int { return int(p.d.InputOffset()) }

// object reads an object after its opening brace.
func (p *parser[T]) object(depth int) error {
	members := &p.fields
	if p.names != nil && (depth > 1 || p.visit != nil) {
		members = &p.names.open
	}
	before := len(*members)
	for p.d.More() {
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
	if _, err := p.d.Token(); err != nil {
		return ErrSyntax
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

func (p *parser[T]) member(depth int, f *Field) (err error) {
	start := skip(p.src, p.offset())
	if start < len(p.src) && p.src[start] == ',' {
		start = skip(p.src, start+1)
	}
	if _, err := p.d.Token(); err != nil {
		return ErrSyntax
	}
	end := p.offset()
	flags, err := flagsOf(p.src[start:end])
	if err != nil {
		return err
	}
	f.name = newSpan(start, end, flags)
	start = skip(p.src, end)
	if start < len(p.src) && p.src[start] == ':' {
		start = skip(p.src, start+1)
	}
	flags, err = p.value(depth, start)
	f.Value = newSpan(start, p.offset(), flags)
	return err
}

// value reads the value that begins at start.
func (p *parser[T]) value(depth, start int) (flags Span, err error) {
	token, err := p.d.Token()
	if err != nil {
		return 0, ErrSyntax
	}
	switch token := token.(type) {
	case json.Delim:
		if depth++; depth > MaxDepth {
			return 0, ErrDepth
		}
		if token == '{' {
			return 0, p.object(depth)
		}
		return 0, p.array(depth)
	case string:
		return flagsOf(p.src[start:p.offset()])
	case json.Number:
		if tooLarge(string(token)) {
			return 0, ErrNumber
		}
	}
	return 0, nil
}

func (p *parser[T]) array(depth int) error {
	for p.d.More() {
		start := skip(p.src, p.offset())
		if start < len(p.src) && p.src[start] == ',' {
			start = skip(p.src, start+1)
		}
		if _, err := p.value(depth, start); err != nil {
			return err
		}
	}
	if _, err := p.d.Token(); err != nil {
		return ErrSyntax
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
func tooLarge(number string) bool {
	short := len(number) < 300
	for i := 0; i < len(number) && short; i++ {
		short = number[i]|0x20 != 'e'
	}
	if short {
		return false
	}
	f, _ := strconv.ParseFloat(number, 64)
	if f = math.Abs(f); f != 1e308 {
		return f > 1e308
	}
	exact, _, err := big.ParseFloat(number, 10, 1<<14, big.ToZero)
	if err != nil {
		return true
	}
	power, _, _ := big.ParseFloat("1e308", 10, 1<<14, big.ToZero)
	return exact.Abs(exact).Cmp(power) >= 0
}
