package jsonobj

import (
	"encoding/json"
	"strconv"
	"unicode/utf16"
)

// A text is the input of a function: a string or a byte slice.
type text interface{ string | []byte }

// escapes reports whether a quoted string that the decoder has accepted has
// escapes. The decoder replaces a lone surrogate; escapes refuses it.
func escapes[T text](quoted T) (found bool, err error) {
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		found = true
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
			return true, ErrSurrogate
		}
		i += 6
	}
	return found, nil
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
