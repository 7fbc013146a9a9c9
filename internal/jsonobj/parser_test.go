package jsonobj_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

func TestParse_Refuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		src  string
		want error
	}{
		// acceptance 15
		{"empty", "", jsonobj.ErrNotObject},
		{"space", " ", jsonobj.ErrNotObject},
		{"an array", `[]`, jsonobj.ErrNotObject},
		{"a string", `"a"`, jsonobj.ErrNotObject},
		{"a number", `1`, jsonobj.ErrNotObject},
		{"null", `null`, jsonobj.ErrNotObject},
		{"a byte order mark", "\ufeff{}", jsonobj.ErrNotObject},
		{"UTF-16", "{\x00}\x00", jsonobj.ErrSyntax},
		{"no end", `{`, jsonobj.ErrSyntax},
		{"no end after a name", `{"a"`, jsonobj.ErrSyntax},
		{"no end after a colon", `{"a":`, jsonobj.ErrSyntax},
		{"no end after a value", `{"a":1`, jsonobj.ErrSyntax},
		{"no end after a comma", `{"a":1,`, jsonobj.ErrSyntax},
		{"no end of a string", `{"a":"b`, jsonobj.ErrSyntax},
		{"no end of an escape", `{"a":"\`, jsonobj.ErrSyntax},
		{"no end of an array", `{"a":[1`, jsonobj.ErrSyntax},
		{"no end of an inner object", `{"a":{"b":1}`, jsonobj.ErrSyntax},
		{"no value", `{"a":}`, jsonobj.ErrSyntax},
		{"no colon", `{"a" 1}`, jsonobj.ErrSyntax},
		{"no name", `{:1}`, jsonobj.ErrSyntax},
		{"a name without quotes", `{a:1}`, jsonobj.ErrSyntax},
		{"a name in single quotes", `{'a':1}`, jsonobj.ErrSyntax},
		{"a number for a name", `{1:1}`, jsonobj.ErrSyntax},
		{"a comma too many", `{"a":1,}`, jsonobj.ErrSyntax},
		{"a comma first", `{,"a":1}`, jsonobj.ErrSyntax},
		{"two commas", `{"a":1,,"b":2}`, jsonobj.ErrSyntax},
		{"no comma", `{"a":1 "b":2}`, jsonobj.ErrSyntax},
		{"a semicolon", `{"a":1;"b":2}`, jsonobj.ErrSyntax},
		{"a comma too many in an array", `{"a":[1,]}`, jsonobj.ErrSyntax},
		{"a comma first in an array", `{"a":[,1]}`, jsonobj.ErrSyntax},
		{"no comma in an array", `{"a":[1 2]}`, jsonobj.ErrSyntax},
		{"the wrong bracket after an array", `{"a":[1}}`, jsonobj.ErrSyntax},
		{"the wrong bracket after an object", `{"a":{"b":1]}`, jsonobj.ErrSyntax},
		{"a comment", `{"a":1/**/}`, jsonobj.ErrSyntax},
		{"whitespace that JSON does not allow", "{\"a\":\u00a01}", jsonobj.ErrSyntax},
		{"a vertical tab", "{\v}", jsonobj.ErrSyntax},
		{"a form feed", "{\f}", jsonobj.ErrSyntax},
		{"a NUL", "{\x00}", jsonobj.ErrSyntax},

		{"data after the object", `{}x`, jsonobj.ErrTrailing},
		{"another object", `{} {}`, jsonobj.ErrTrailing},
		{"a bracket too many", `{"a":1}}`, jsonobj.ErrTrailing},
		{"a NUL after the object", "{}\x00", jsonobj.ErrTrailing},
		{"a comma after the object", `{},`, jsonobj.ErrTrailing},

		{"a control character in a name", "{\"a\tb\":1}", jsonobj.ErrSyntax},
		{"an unknown escape", `{"a":"\x41"}`, jsonobj.ErrSyntax},
		{"an escaped single quote", `{"a":"\'"}`, jsonobj.ErrSyntax},
		{"an escape with too few digits", `{"a":"\u004"}`, jsonobj.ErrSyntax},
		{"an escape with a letter that is no hex digit", `{"a":"\u00g1"}`, jsonobj.ErrSyntax},
		{"an escape with a capital U", `{"a":"\U00000041"}`, jsonobj.ErrSyntax},

		{"a lone high surrogate", `{"a":"\ud800"}`, jsonobj.ErrSurrogate},
		{"a lone low surrogate", `{"a":"\udc00"}`, jsonobj.ErrSurrogate},
		{"a lone surrogate in a name", `{"\ud800":1}`, jsonobj.ErrSurrogate},
		{"a high surrogate before a character", `{"a":"\ud800x"}`, jsonobj.ErrSurrogate},
		{"a high surrogate before another escape", `{"a":"\ud800\n12345"}`, jsonobj.ErrSurrogate},
		{"a high surrogate before an escape that is no surrogate", `{"a":"\ud800\u0041"}`, jsonobj.ErrSurrogate},
		{"two high surrogates", `{"a":"\ud800\ud800"}`, jsonobj.ErrSurrogate},
		{"two surrogates in the wrong order", `{"a":"\ude00\ud83d"}`, jsonobj.ErrSurrogate},
		{"half a pair at the end of data", `{"a":"\ud83d\ude`, jsonobj.ErrSyntax},

		{"a byte that starts no character", "{\"a\":\"\xff\"}", jsonobj.ErrUTF8},
		{"a continuation byte alone", "{\"a\":\"\x80\"}", jsonobj.ErrUTF8},
		{"a character cut short", "{\"a\":\"\xe2\x82\"}", jsonobj.ErrUTF8},
		{"a character cut short by the end of data", "{\"a\":\"\xe2\x82", jsonobj.ErrUTF8},
		{"an overlong slash", "{\"a\":\"\xc0\xaf\"}", jsonobj.ErrUTF8},
		{"a surrogate encoded in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", jsonobj.ErrUTF8},
		{"beyond the last code point", "{\"a\":\"\xf4\x90\x80\x80\"}", jsonobj.ErrUTF8},
		{"Latin-1 in a name", "{\"caf\xe9\":1}", jsonobj.ErrUTF8},
		{"invalid UTF-8 deep inside", "{\"a\":[{\"b\":[\"\xff\"]}]}", jsonobj.ErrUTF8},
		{"invalid UTF-8 at the end", "{\"a\":1,\"b\":\"ok\",\"c\":\"\xff\"}", jsonobj.ErrUTF8},

		// acceptance 16
		{"a member twice", `{"sub":"alice","sub":"admin"}`, jsonobj.ErrDuplicate},
		{"a member twice with one value", `{"sub":"alice","sub":"alice"}`, jsonobj.ErrDuplicate},
		{"a member twice, far apart", `{"sub":1,"a":{"b":{}},"c":[{}],"sub":2}`, jsonobj.ErrDuplicate},
		{"a member twice in an object behind another member", `{"a":1,"b":{"c":1,"c":2}}`, jsonobj.ErrDuplicate},
		{"an escaped duplicate", `{"sub":1,"\u0073ub":2}`, jsonobj.ErrDuplicate},
		{"two escapes of one name", `{"a\/b":1,"a\u002fb":2}`, jsonobj.ErrDuplicate},
		{"an escaped pair and its character", `{"😀":1,"\ud83d\ude00":2}`, jsonobj.ErrDuplicate},
		{"the empty name twice", `{"":1,"":2}`, jsonobj.ErrDuplicate},
		{"in another case", `{"sub":1,"SUB":2}`, jsonobj.ErrDuplicate},
		{"one letter in another case", `{"aud":1,"aUd":2}`, jsonobj.ErrDuplicate},
		{"in another case, escaped", `{"sub":1,"\u0053ub":2}`, jsonobj.ErrDuplicate},
		{"long s", `{"sub":1,"ſub":2}`, jsonobj.ErrDuplicate},
		{"long s, escaped", `{"Sub":1,"\u017fub":2}`, jsonobj.ErrDuplicate},
		{"Kelvin sign", "{\"kid\":1,\"\u212aid\":2}", jsonobj.ErrDuplicate},
		{"Kelvin sign and capital", "{\"Kid\":1,\"\u212aid\":2}", jsonobj.ErrDuplicate},
		{"Angstrom sign", "{\"å\":1,\"\u212b\":2}", jsonobj.ErrDuplicate},
		{"final sigma", `{"σ":1,"ς":2}`, jsonobj.ErrDuplicate},
		{"capital sharp s", `{"ß":1,"ẞ":2}`, jsonobj.ErrDuplicate},
		{"Cyrillic", `{"роль":1,"РОЛЬ":2}`, jsonobj.ErrDuplicate},
		{"beyond the basic plane", `{"𐐀":1,"𐐨":2}`, jsonobj.ErrDuplicate},
		{"in an inner object", `{"a":{"b":1,"b":2}}`, jsonobj.ErrDuplicate},
		{"in an inner object, twice by an escape", `{"a":{"b":1,"\u0062":2}}`, jsonobj.ErrDuplicate},
		{"in an object of an array", `{"a":[1,[{"b":1,"b":2}]]}`, jsonobj.ErrDuplicate},
		{"around an inner object", `{"a":1,"b":{"c":1,"d":{"e":1}},"A":2}`, jsonobj.ErrDuplicate},
		{"after an inner object of the same name", `{"a":{"a":1},"a":2}`, jsonobj.ErrDuplicate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(t, tt.src)
			assert.ErrorIs(t, err, tt.want)
			assert.Nil(t, got)
		})
	}
}

func TestParse_ControlCharacters(t *testing.T) {
	t.Parallel()
	for c := range rune(' ') {
		_, err := parse(t, `{"a":"`+string(c)+`"}`)
		assert.ErrorIs(t, err, jsonobj.ErrSyntax, "%U in a value", c)
		_, err = parse(t, `{"`+string(c)+`":1}`)
		assert.ErrorIs(t, err, jsonobj.ErrSyntax, "%U in a name", c)
		_, err = parse(t, fmt.Sprintf(`{"\u%04x":"\u%04X"}`, c, c))
		assert.NoError(t, err, "%U escaped", c)
	}
}

func TestParse_Numbers(t *testing.T) {
	t.Parallel()
	for _, number := range []string{
		"0", "-0", "1", "-1", "10", "1234567890", "9007199254740993", "0.0", "-0.5", "1.25", "0e0", "1e5", "1E5", "1e+5", "1E-5",
		"0.1e01", "-12.50e-03", "9.99e307", "-1e307", "1e-400", "0e999", "0.0e99999999999", "-0E400", strings.Repeat("9", 308), "0." + strings.Repeat("3", 2000),
		"0." + strings.Repeat("0", 1000) + "1e1308", "1e-99999999999999999999999", "123456789012345678901234567890.123456789012345678901234567890",
	} {
		for _, src := range []string{`{"n":` + number + `}`, `{"n": ` + number + ` }`} {
			got, err := parse(t, src)
			require.NoError(t, err, src)
			assert.Equal(t, []member{{"n", number}}, got, "the digits are unchanged")
		}
		_, err := parse(t, `{"n":[`+number+`,`+number+`]}`)
		assert.NoError(t, err)
	}
	for _, number := range []string{
		"1e308", "-1e309", "1e400", "10e307", "0.001e311", strings.Repeat("9", 309), "1e99999999999999999999",
		"0." + strings.Repeat("0", 1000) + "1e1309", "1e" + strings.Repeat("0", 2000) + "308",
	} {
		for _, src := range []string{`{"n":` + number + `}`, `{"a":[{"n":` + number + `}]}`} {
			_, err := parse(t, src)
			assert.ErrorIs(t, err, jsonobj.ErrNumber, src)
		}
	}
	for _, number := range []string{
		"", "-", "+1", "--1", "01", "00", "-01", "-00", "1.", ".5", "-.5", "1.e5", "1e", "1e+", "1e-", "1e+-5", "1e5.5", "1.2.3", "e5", "-e5",
		"1,5", "1_000", "1 000", "0x10", "0b1", "0o7", "1f", "1n", "NaN", "nan", "Infinity", "-Infinity", "inf", "∞", "١", "１", "1\x00",
	} {
		src := `{"n":` + number + `}`
		_, err := parse(t, src)
		assert.ErrorIs(t, err, jsonobj.ErrSyntax, src)
		assert.False(t, json.Valid([]byte(src)), src)
	}
}

func TestParse_Literals(t *testing.T) {
	t.Parallel()
	for _, literal := range []string{
		"tru", "t", "truee", "True", "TRUE", "fals", "f", "falsey", "False", "nul", "n", "nulll", "Null", "undefined", "nil", "yes", "trUe", "true1",
	} {
		src := `{"a":` + literal + `}`
		_, err := parse(t, src)
		assert.ErrorIs(t, err, jsonobj.ErrSyntax, src)
		_, err = parse(t, `{"a":`+literal)
		assert.ErrorIs(t, err, jsonobj.ErrSyntax, "at the end of data: %s", literal)
	}
}

// nested returns an object with the given number of nesting levels. The brackets of the levels
// repeat pattern.
func nested(levels int, pattern string) string {
	before, after := []byte(`{"a":`), []byte("}")
	for i := 1; i < levels; i++ {
		if pattern[i%len(pattern)] == '{' {
			before = append(before, `{"a":`...)
			after = append(after, '}')
		} else {
			before = append(before, '[')
			after = append(after, ']')
		}
	}
	slices.Reverse(after)
	return string(before) + "1" + string(after)
}

// acceptance 15
func TestParse_Depth(t *testing.T) {
	t.Parallel()
	require.Equal(t, 32, jsonobj.MaxDepth)
	for _, pattern := range []string{"{", "[", "{[", "{{[", "[[{"} {
		for _, levels := range []int{1, 2, 31, 32} {
			src := nested(levels, pattern)
			_, err := parse(t, src)
			assert.NoError(t, err, src)
		}
		for _, levels := range []int{33, 34, 1000} {
			src := nested(levels, pattern)
			require.True(t, json.Valid([]byte(src)))
			_, err := parse(t, src)
			assert.ErrorIs(t, err, jsonobj.ErrDepth, src)
		}
	}

	t.Run("siblings do not add up", func(t *testing.T) {
		t.Parallel()
		deep := nested(31, "{[")
		_, err := parse(t, `{"a":`+deep+`,"b":`+deep+`,"c":1}`)
		assert.NoError(t, err)
		// 31 levels in an array in an object: 33 levels.
		_, err = parse(t, `{"a":`+deep+`,"b":[`+deep+`]}`)
		assert.ErrorIs(t, err, jsonobj.ErrDepth)
	})
	t.Run("brackets inside strings do not count", func(t *testing.T) {
		t.Parallel()
		_, err := parse(t, `{"a":"`+strings.Repeat("[{", 100)+`"}`)
		assert.NoError(t, err)
	})
	t.Run("a million brackets", func(t *testing.T) {
		t.Parallel()
		_, err := parse(t, `{"a":`+strings.Repeat("[", 1e6))
		assert.ErrorIs(t, err, jsonobj.ErrDepth)
		_, err = parse(t, strings.Repeat(`{"a":`, 1e6))
		assert.ErrorIs(t, err, jsonobj.ErrDepth)
	})
}

// Input that ends early is refused, wherever it ends.
func TestParse_EndsEarly(t *testing.T) {
	t.Parallel()
	src := `{"a" : [-1, 2.5e-10, "\u00e9\ud83d\ude00", true], "b":{"c":null, "\u00e9":-12345678901234567890, "d":[]}, "e":false}`
	_, err := parse(t, src)
	require.NoError(t, err)
	for end := range len(src) {
		_, err := parse(t, src[:end])
		assert.Error(t, err, src[:end])
	}
}

// Strings are parsed eight bytes at a time. Each byte is accepted or refused at each place
// among these, and near the end of the input, as encoding/json does. So is each byte in a number.
func TestParse_EveryByteAtEveryPlace(t *testing.T) {
	t.Parallel()
	for _, format := range []string{`{"a":"%s"}`, `{"%s":1}`, `{"a":"%s","after":"something after it"}`, `{"%s":1,"after":"something after it"}`} {
		for size := range 20 {
			for at := range size {
				for b := range 256 {
					text := []byte(strings.Repeat("x", size))
					text[at] = byte(b)
					src := fmt.Sprintf(format, text)
					_, err := jsonobj.Parse(src, nil)
					if want := json.Valid([]byte(src)) && utf8.ValidString(src); want != (err == nil) {
						t.Errorf("%q: %v", src, err)
					}
				}
			}
		}
	}
	for _, format := range []string{`{"a":%s}`, `{"a":%s,"b":"something after it"}`, `{"a":[%s]}`} {
		for size := 1; size < 20; size++ {
			for at := range size {
				for b := range 256 {
					number := []byte(strings.Repeat("7", size))
					number[at] = byte(b)
					src := fmt.Sprintf(format, number)
					var value map[string]any
					want := json.Unmarshal([]byte(src), &value) == nil // fails for a number beyond a float64
					if _, err := jsonobj.Parse(src, nil); want != (err == nil) {
						t.Errorf("%q: %v", src, err)
					}
				}
			}
		}
	}
}
