package jsonobj

import (
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A text is the input of a function: a string or a byte slice.
type text interface{ string | []byte }

// plain[c] reports whether c is an ASCII character that needs no escape in a string.
var plain = func() (set [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		set[c] = c != '"' && c != '\\'
	}
	return set
}()

// word returns the eight bytes at index i of src, the first in the low bits. The compiler makes one
// load of it.
func word[T text](src T, i int) uint64 {
	b := src[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// notPlain returns a word whose lowest bit that is set belongs to the first byte of w that is not
// plain. It returns 0 if all eight are plain.
//
// The high bit of a byte of w says that it is beyond ASCII. For an ASCII byte, subtracting n sets the
// high bit if the byte is less than n. It also borrows from the next byte then, so what it says of
// later bytes may be wrong.
func notPlain(w uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^each*'"', w^each*'\\' // zero in place of that character
	return (w | (w - each*' ') | (quote - each) | (backslash - each)) & high
}

// escape returns the length of the escape sequence at the start of src, or 0 if the sequence is
// invalid. A surrogate pair is one sequence. A lone surrogate is invalid: it is no character, and
// parsers differ in the replacement for it (RFC 8259 section 8.2).
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

// escapeError returns the reason why escape has refused the start of src.
func escapeError[T text](src T) error {
	if _, ok := hex4(src); !ok {
		return ErrSyntax
	}
	if rest := src[6:]; len(rest) > 1 && rest[0] == '\\' && rest[1] == 'u' {
		if _, ok := hex4(rest); !ok {
			return ErrSyntax
		}
	}
	return ErrSurrogate
}

// hex4 parses `\uXXXX`.
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

// unescape decodes the escapes of a string that str has accepted. inner is the string without
// quotes.
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
