package jsonobj

import (
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A text is the input of a function: a string or a byte slice.
type text interface{ string | []byte }

// flagsOf returns the flags of a quoted string that the decoder has accepted.
// The decoder replaces a lone surrogate; flagsOf refuses it.
func flagsOf[T text](quoted T) (flags Span, err error) {
	for i := 0; i < len(quoted); i++ {
		if quoted[i] >= utf8.RuneSelf {
			flags |= hasNonASCII
		}
		if quoted[i] != '\\' {
			continue
		}
		flags |= hasEscapes
		i++
		if quoted[i] != 'u' {
			continue
		}
		high := hex4(quoted[i+1:])
		i += 4
		if !utf16.IsSurrogate(high) {
			continue
		}
		if i+7 > len(quoted) || quoted[i+1] != '\\' || quoted[i+2] != 'u' ||
			utf16.DecodeRune(high, hex4(quoted[i+3:])) == '\ufffd' {
			return flags, ErrSurrogate
		}
		i += 6
	}
	return flags, nil
}

func hex4[T text](digits T) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16)
	return rune(n)
}

func unescape[T text](inner T) []byte {
	quoted := make([]byte, 0, len(inner)+2)
	quoted = append(append(append(quoted, '"'), inner...), '"')
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic(err) // the parser has accepted it
	}
	return []byte(s)
}
