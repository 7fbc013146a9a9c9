package jsonobj_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

type member = jsonobj.Member[string]

// parse reads src as a string and as bytes, which must come to the same.
func parse(t testing.TB, src string) ([]member, error) {
	t.Helper()
	fromString, err := jsonobj.Parse(src, nil)
	fromBytes, bytesErr := jsonobj.Parse([]byte(src), nil)
	require.Equal(t, err, bytesErr)
	require.Len(t, fromBytes, len(fromString))
	for i, m := range fromBytes {
		require.Equal(t, fromString[i], member{Name: string(m.Name), Value: string(m.Value)})
	}
	sameFields(t, src, fromString, err)
	sameFields(t, []byte(src), fromString, err)
	return fromString, err
}

// sameFields checks that Scan comes to the same as Parse did, and appends.
func sameFields[T string | []byte](t testing.TB, src T, members []member, parseErr error) {
	t.Helper()
	room, err := jsonobj.Scan(`{"room":0}`, nil)
	require.NoError(t, err)
	fields, err := jsonobj.Scan(src, room)
	require.Equal(t, parseErr, err)
	require.Len(t, fields, 1+len(members))
	require.Equal(t, room[0], fields[0])
	for i, m := range members {
		f := &fields[1+i]
		require.Equal(t, m, member{Name: string(jsonobj.Name(src, f)), Value: string(jsonobj.Value(src, f))})
		want, isString := jsonobj.String(m.Value)
		text, ok := jsonobj.Text(src, f)
		require.Equal(t, isString, ok)
		require.Equal(t, want, string(text))
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		src  string
		want []member
	}{
		{"empty object", `{}`, nil},
		{"empty object with space", " \t\r\n{ \t\r\n} \t\r\n", nil},
		{"one member", `{"sub":"alice"}`, []member{{"sub", `"alice"`}}},
		{"order is kept", `{"b":1,"a":2,"c":3}`, []member{{"b", "1"}, {"a", "2"}, {"c", "3"}}},
		{"space around everything", " { \"a\" \t:\r\n 1 , \"b\" : [ 1 , 2 ] } ", []member{{"a", "1"}, {"b", "[ 1 , 2 ]"}}},
		{"literals", `{"t":true,"f":false,"n":null}`, []member{{"t", "true"}, {"f", "false"}, {"n", "null"}}},
		{"values stay raw", `{"a":{"b":[1, {"c": "\u0041"}]}}`, []member{{"a", `{"b":[1, {"c": "\u0041"}]}`}}},
		{"empty values", `{"s":"","a":[],"o":{}}`, []member{{"s", `""`}, {"a", "[]"}, {"o", "{}"}}},
		{"empty name", `{"":1}`, []member{{"", "1"}}},
		{"brackets inside strings", `{"a":"}],{[\"","b":"\\"}`, []member{{"a", `"}],{[\""`}, {"b", `"\\"`}}},
		{"escaped name", `{"\u0073ub":1}`, []member{{"sub", "1"}}},
		{"every short escape in a name", `{"\"\\\/\b\f\n\r\t":1}`, []member{{"\"\\/\b\f\n\r\t", "1"}}},
		{"hex digits in both cases", `{"\u00e9\u00E9":1}`, []member{{"éé", "1"}}},
		{"surrogate pair in a name", `{"\ud83d\ude00\uD83D\uDE01":1}`, []member{{"😀😁", "1"}}},
		{"surrogate pair in a value", `{"a":"\uD83D\ude00"}`, []member{{"a", `"\uD83D\ude00"`}}},
		{"escaped NUL", `{"a\u0000b":"\u0000"}`, []member{{"a\x00b", `"\u0000"`}}},
		{"replacement character spelt out", `{"\ufffd":"` + "\ufffd" + `"}`, []member{{"\ufffd", "\"\ufffd\""}}},
		{"characters of two, three and four bytes", `{"é":"€","😀":"é"}`, []member{{"é", `"€"`}, {"😀", `"é"`}}},
		{"DEL and line separators are no control characters", "{\"\x7f\u2028\u2029\u0085\":1}", []member{{"\x7f\u2028\u2029\u0085", "1"}}},
		{"names that differ by more than case", `{"sub":1,"sub ":2,"su":3,"s_ub":4,"s-ub":5}`, []member{{"sub", "1"}, {"sub ", "2"}, {"su", "3"}, {"s_ub", "4"}, {"s-ub", "5"}}},
		{"one name in parent, child and siblings' children", `{"a":{"a":1},"b":{"a":{"b":1}},"c":[{"a":1},{"a":1}]}`, []member{{"a", `{"a":1}`}, {"b", `{"a":{"b":1}}`}, {"c", `[{"a":1},{"a":1}]`}}},
		// No sequence of code points is normalised: é is not e with an accent.
		{"composed and decomposed", "{\"\u00e9\":1,\"e\u0301\":2}", []member{{"\u00e9", "1"}, {"e\u0301", "2"}}},
		// Folding is simple: one rune for one rune.
		{"sharp s is not two s", `{"ß":1,"ss":2}`, []member{{"ß", "1"}, {"ss", "2"}}},
		{"the Turkish letters i", `{"i":1,"ı":2,"İ":3}`, []member{{"i", "1"}, {"ı", "2"}, {"İ", "3"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(t, tt.src)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
			assert.True(t, json.Valid([]byte(tt.src)))
		})
	}
}

func TestParse_Refuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		src  string
		want error
	}{
		// acceptance 15
		{"nothing", "", jsonobj.ErrSyntax},
		{"space", " ", jsonobj.ErrSyntax},
		{"an array", `[]`, jsonobj.ErrSyntax},
		{"a string", `"a"`, jsonobj.ErrSyntax},
		{"a number", `1`, jsonobj.ErrSyntax},
		{"null", `null`, jsonobj.ErrSyntax},
		{"a byte order mark", "\ufeff{}", jsonobj.ErrSyntax},
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
		{"space that is not JSON's", "{\"a\":\u00a01}", jsonobj.ErrSyntax},
		{"a vertical tab", "{\v}", jsonobj.ErrSyntax},
		{"a form feed", "{\f}", jsonobj.ErrSyntax},
		{"a NUL", "{\x00}", jsonobj.ErrSyntax},

		{"data after the object", `{}x`, jsonobj.ErrTrailing},
		{"another object", `{} {}`, jsonobj.ErrTrailing},
		{"a bracket too many", `{"a":1}}`, jsonobj.ErrTrailing},
		{"a NUL after the object", "{}\x00", jsonobj.ErrTrailing},
		{"a comma after the object", `{},`, jsonobj.ErrTrailing},

		{"a control character in a name", "{\"a\tb\":1}", jsonobj.ErrSyntax},
		{"an escape that is none", `{"a":"\x41"}`, jsonobj.ErrSyntax},
		{"an escaped single quote", `{"a":"\'"}`, jsonobj.ErrSyntax},
		{"an escape of too few digits", `{"a":"\u004"}`, jsonobj.ErrSyntax},
		{"an escape with a digit that is none", `{"a":"\u00g1"}`, jsonobj.ErrSyntax},
		{"an escape with a capital U", `{"a":"\U00000041"}`, jsonobj.ErrSyntax},

		{"a lone high surrogate", `{"a":"\ud800"}`, jsonobj.ErrSyntax},
		{"a lone low surrogate", `{"a":"\udc00"}`, jsonobj.ErrSyntax},
		{"a lone surrogate in a name", `{"\ud800":1}`, jsonobj.ErrSyntax},
		{"a high surrogate before a character", `{"a":"\ud800x"}`, jsonobj.ErrSyntax},
		{"a high surrogate before another escape", `{"a":"\ud800\n12345"}`, jsonobj.ErrSyntax},
		{"a high surrogate before an escape that is no surrogate", `{"a":"\ud800\u0041"}`, jsonobj.ErrSyntax},
		{"two high surrogates", `{"a":"\ud800\ud800"}`, jsonobj.ErrSyntax},
		{"two surrogates in the wrong order", `{"a":"\ude00\ud83d"}`, jsonobj.ErrSyntax},
		{"half a pair at the end of data", `{"a":"\ud83d\ude`, jsonobj.ErrSyntax},

		{"a byte that starts nothing", "{\"a\":\"\xff\"}", jsonobj.ErrUTF8},
		{"a continuation byte alone", "{\"a\":\"\x80\"}", jsonobj.ErrUTF8},
		{"a character cut short", "{\"a\":\"\xe2\x82\"}", jsonobj.ErrUTF8},
		{"a character cut short by the end of data", "{\"a\":\"\xe2\x82", jsonobj.ErrUTF8},
		{"an overlong slash", "{\"a\":\"\xc0\xaf\"}", jsonobj.ErrUTF8},
		{"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", jsonobj.ErrUTF8},
		{"beyond the last code point", "{\"a\":\"\xf4\x90\x80\x80\"}", jsonobj.ErrUTF8},
		{"Latin-1 in a name", "{\"caf\xe9\":1}", jsonobj.ErrUTF8},
		{"invalid UTF-8 deep inside", "{\"a\":[{\"b\":[\"\xff\"]}]}", jsonobj.ErrUTF8},
		{"invalid UTF-8 after all else", "{\"a\":1,\"b\":\"ok\",\"c\":\"\xff\"}", jsonobj.ErrUTF8},

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
		{"in an inner object, in another case", `{"a":{"b":1,"B":2}}`, jsonobj.ErrDuplicate},
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
			assert.Equal(t, []member{{"n", number}}, got, "every digit stays")
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

// nested returns an object of which the innermost value is the given number of
// levels deep, the levels being the brackets of pattern in turn.
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
		// 31 levels inside one, an array around it, and one more.
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

// manyMembers returns an object with members called m0, m1 and so on.
func manyMembers(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"m%d":%d`, i, i)
	}
	b.WriteByte('}')
	return b.String()
}

func TestParse_ManyMembers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 15, 16, 17, 18, 32, 33, 64, 1000, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			src := manyMembers(n)
			got, err := parse(t, src)
			require.NoError(t, err)
			require.Len(t, got, n)
			for i, m := range got {
				assert.Equal(t, member{fmt.Sprintf("m%d", i), fmt.Sprint(i)}, m)
			}
			_, err = parse(t, `{"outer":[`+src+","+src+`]}`)
			assert.NoError(t, err)

			// acceptance 16
			for _, double := range []string{"m0", "M0", `\u006d0`, fmt.Sprintf("m%d", n-1), fmt.Sprintf("M%d", n/2)} {
				doubled := strings.TrimSuffix(src, "}") + `,"` + double + `":true}`
				_, err := parse(t, doubled)
				assert.ErrorIs(t, err, jsonobj.ErrDuplicate, "%s comes last", double)
				_, err = parse(t, `{"`+double+`":true,`+strings.TrimPrefix(src, "{"))
				assert.ErrorIs(t, err, jsonobj.ErrDuplicate, "%s comes first", double)
				_, err = parse(t, `{"outer":{"inner":`+doubled+`}}`)
				assert.ErrorIs(t, err, jsonobj.ErrDuplicate, "%s comes last in an inner object", double)
				_, err = parse(t, strings.TrimSuffix(src, "}")+`,"inner":`+src+`,"`+double+`":true}`)
				assert.ErrorIs(t, err, jsonobj.ErrDuplicate, "%s comes after an inner object with the same names", double)
			}
		})
	}
}

// Names that are one name to encoding/json are one name here: all that Unicode
// knows as cases of one letter, and no others.
func TestParse_FoldsAsUnicodeDoes(t *testing.T) {
	t.Parallel()
	var previous rune
	for r := rune(0x20); r <= unicode.MaxRune; r++ {
		other := unicode.SimpleFold(r)
		if other == r || !utf8.ValidRune(r) {
			continue
		}
		_, err := jsonobj.Parse(fmt.Sprintf(`{"x%c":1,"x%c":2}`, r, other), nil)
		if !errors.Is(err, jsonobj.ErrDuplicate) {
			t.Errorf("%U and %U: %v", r, other, err)
		}
		if previous != 0 && !strings.EqualFold(string(r), string(previous)) {
			_, err = jsonobj.Parse(fmt.Sprintf(`{"x%c":1,"x%c":2}`, r, previous), nil)
			if err != nil {
				t.Errorf("%U and %U: %v", r, previous, err)
			}
		}
		previous = r
	}
}

func TestParse_RefusesWhatEncodingJSONWouldMerge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field, name string
		merged      bool
	}{
		{"sub", "sub", true},
		{"sub", "SUB", true},
		{"sub", "ſub", true},
		{"kid", "\u212aid", true},
		{"å", "\u212b", true},
		{"ß", "ẞ", true},
		{"σ", "ς", true},
		{"ß", "ss", false},
		{"ß", "SS", false},
		{"i", "ı", false},
		{"i", "İ", false},
		{"client_id", "clientId", false},
		{"client_id", "client-id", false},
		{"é", "e\u0301", false},
	} {
		// A struct with one field, which encoding/json fills or leaves.
		into := reflect.New(reflect.StructOf([]reflect.StructField{{
			Name: "F",
			Type: reflect.TypeFor[string](),
			Tag:  reflect.StructTag(`json:"` + tt.field + `"`),
		}}))
		require.NoError(t, json.Unmarshal([]byte(`{"`+tt.name+`":"set"}`), into.Interface()))
		require.Equal(t, tt.merged, into.Elem().Field(0).String() == "set", "encoding/json: %s and %s", tt.field, tt.name)

		_, err := parse(t, `{"`+tt.field+`":"a","`+tt.name+`":"b"}`)
		if tt.merged {
			assert.ErrorIs(t, err, jsonobj.ErrDuplicate, "%s and %s", tt.field, tt.name)
		} else {
			assert.NoError(t, err, "%s and %s", tt.field, tt.name)
		}
	}
}

func TestParse_Appends(t *testing.T) {
	t.Parallel()
	room := make([]member, 0, 4)
	got, err := jsonobj.Parse(`{"a":1}`, room)
	require.NoError(t, err)
	got, err = jsonobj.Parse(`{"a":2}`, got)
	require.NoError(t, err)
	assert.Equal(t, []member{{"a", "1"}, {"a", "2"}}, got)
	assert.Equal(t, 4, cap(got), "the room given is used")
}

// Names of any length are duplicates in another case, and in no other way.
func TestParse_CaseAtAnyLength(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 40; size++ {
		name := strings.Repeat("client_id@[`{k", 3)[:size]
		for at := range size {
			upper := name[:at] + strings.ToUpper(name[at:at+1]) + name[at+1:]
			_, err := parse(t, `{"`+name+`":0,"`+upper+`":1}`)
			assert.ErrorIs(t, err, jsonobj.ErrDuplicate, upper)
			for _, flipped := range []string{string(name[at] ^ 0x20), "\u017f"} { // the case of letters alone
				other := name[:at] + flipped + name[at+1:]
				_, err := parse(t, `{"`+name+`":0,"`+other+`":1}`)
				if strings.EqualFold(name, other) {
					assert.ErrorIs(t, err, jsonobj.ErrDuplicate, other)
				} else if json.Valid([]byte(`"` + other + `"`)) {
					assert.NoError(t, err, other)
				}
			}
		}
	}
}

// Names that share their first characters and their last are no duplicates.
func TestParse_SimilarNames(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"%d", "p-%d", "tier%d_abc", "limit_%d_hours", "%d00000", "000000%d"} {
		var src strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&src, `,"`+format+`":0`, i)
		}
		_, err := parse(t, "{"+src.String()[1:]+"}")
		assert.NoError(t, err, format)
	}
}

// A Field serves for a copy of what was scanned, and no pointer leads back.
func TestScan_Copies(t *testing.T) {
	t.Parallel()
	src := []byte(`{"a":"b","\u0063":"\u0064"}`)
	fields, err := jsonobj.Scan(src, nil)
	require.NoError(t, err)
	kept := string(src)
	clear(src)
	require.Len(t, fields, 2)
	for i, want := range []string{"a", "c"} {
		assert.Equal(t, want, jsonobj.Name(kept, &fields[i]))
	}
	for i, want := range []string{"b", "d"} {
		text, ok := jsonobj.Text(kept, &fields[i])
		assert.True(t, ok)
		assert.Equal(t, want, text)
	}
}

// Room that a refused object has taken is there for the next.
func TestScan_KeepsRoom(t *testing.T) {
	t.Parallel()
	fields, err := jsonobj.Scan(strings.TrimSuffix(manyMembers(100), "}"), nil)
	require.ErrorIs(t, err, jsonobj.ErrSyntax)
	assert.Empty(t, fields)
	assert.GreaterOrEqual(t, cap(fields), 100)
}

func TestParse_ErrorsNameNoInput(t *testing.T) {
	t.Parallel()
	for _, src := range []string{`{"s3cret"`, `{"s3cret":1,"s3cret":2}`, `{"s3cret":1} s3cret`, "{\"s3cret\":\"\xff\"}", nested(40, "{")} {
		_, err := parse(t, src)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

func TestParse_Concurrently(t *testing.T) {
	t.Parallel()
	long := manyMembers(100)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 50 {
				_, err := jsonobj.Parse(long, nil)
				assert.NoError(t, err)
				_, err = jsonobj.Parse(`{"a":{"b":1,"B":2}}`, nil)
				assert.ErrorIs(t, err, jsonobj.ErrDuplicate)
				got, err := jsonobj.Parse(fmt.Appendf(nil, `{"n%d":%d}`, i, i), nil)
				if assert.NoError(t, err) {
					assert.Equal(t, fmt.Sprint("n", i), string(got[0].Name))
				}
			}
		})
	}
	wg.Wait()
}

func TestFind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		src   string
		want  string
		found bool
		err   error
	}{
		{"the only member", `{"iss":"a"}`, `"a"`, true, nil},
		{"the first", `{"iss":"a","b":1}`, `"a"`, true, nil},
		{"the last", `{"a":1,"b":{"c":[]},"iss":["a"]}`, `["a"]`, true, nil},
		{"with space", " { \"a\" : 1 , \"iss\" : 1.5 } ", `1.5`, true, nil},
		{"an escaped name", `{"\u0069ss":"a"}`, `"a"`, true, nil},
		{"the first of two", `{"iss":1,"iss":2}`, `1`, true, nil},
		{"none", `{"a":1}`, "", false, nil},
		{"none in an empty object", ` { } `, "", false, nil},
		{"not in another case", `{"ISS":1,"Iss":2}`, "", false, nil},
		{"not in an inner object", `{"a":{"iss":1},"b":[{"iss":2}]}`, "", false, nil},
		{"not among values", `{"a":"iss","b":"\"iss\":1"}`, "", false, nil},
		{"it reads no further", `{"iss":"a"!!`, `"a"`, true, nil},
		{"no object", `["iss"]`, "", false, jsonobj.ErrSyntax},
		{"nothing", ``, "", false, jsonobj.ErrSyntax},
		{"bad before", `{"a":x,"iss":1}`, "", false, jsonobj.ErrSyntax},
		{"no comma before", `{"a":1"iss":1}`, "", false, jsonobj.ErrSyntax},
		{"a bad value", `{"iss":"a`, "", false, jsonobj.ErrSyntax},
		{"a bad name", `{"iss`, "", false, jsonobj.ErrSyntax},
		{"invalid UTF-8 before", "{\"a\":\"\xff\",\"iss\":1}", "", false, jsonobj.ErrUTF8},
		{"too deep", `{"iss":` + nested(32, "[") + `}`, "", false, jsonobj.ErrDepth},
		{"deep enough", `{"iss":` + nested(31, "[") + `}`, nested(31, "["), true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, found, err := jsonobj.Find(tt.src, "iss")
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.found, found)
			assert.ErrorIs(t, err, tt.err)

			gotBytes, found, err := jsonobj.Find([]byte(tt.src), "iss")
			assert.Equal(t, tt.want, string(gotBytes))
			assert.Equal(t, tt.found, found)
			assert.ErrorIs(t, err, tt.err)
		})
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		raw  string
		want string
		ok   bool
	}{
		{"empty", `""`, "", true},
		{"plain", `"alice"`, "alice", true},
		{"not ASCII", `"é€😀"`, "é€😀", true},
		{"every short escape", `"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t", true},
		{"an escaped backslash before u", `"\\u0041"`, `\u0041`, true},
		{"hex", `"a\u0041\u00e9\u20AC\ud83d\ude00z"`, "aAé€😀z", true},
		{"NUL", `"\u0000"`, "\x00", true},
		{"the last code point", `"\udbff\udfff"`, "\U0010ffff", true},
		{"a number", `1`, "", false},
		{"a long number", `12345`, "", false},
		{"null", `null`, "", false},
		{"an array of a string", `["a"]`, "", false},
		{"an object", `{"a":"b"}`, "", false},
		{"nothing", ``, "", false},
		{"one quote", `"`, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := jsonobj.String(tt.raw)
			assert.Equal(t, tt.ok, ok)
			assert.Equal(t, tt.want, got)
			got, ok = jsonobj.String([]byte(tt.raw))
			assert.Equal(t, tt.ok, ok)
			assert.Equal(t, tt.want, got)
		})
	}
}

// What String returns of bytes stays when the bytes are used again.
func TestString_Copies(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`"alice"`, `"\u0061lice"`} {
		b := []byte(raw)
		s, ok := jsonobj.String(b)
		require.True(t, ok)
		clear(b)
		assert.Equal(t, "alice", s)
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		raw  string
		want []string
		ok   bool
	}{
		{"empty", `[]`, nil, true},
		{"empty with space", "[ \n ]", nil, true},
		{"one", `["a"]`, []string{`"a"`}, true},
		{"several kinds", `["a",1,null,true,{"b":[1]},[2,[3]]]`, []string{`"a"`, "1", "null", "true", `{"b":[1]}`, "[2,[3]]"}, true},
		{"space is left out", "[ \"a\" ,\t1 , [ 2 ] ]", []string{`"a"`, "1", "[ 2 ]"}, true},
		{"commas and brackets inside strings", `["a,b]","[\"c"]`, []string{`"a,b]"`, `"[\"c"`}, true},
		{"as deep as can be", strings.TrimSuffix(strings.TrimPrefix(nested(32, "["), `{"a":`), "}"), []string{strings.Repeat("[", 30) + "1" + strings.Repeat("]", 30)}, true},
		{"a string", `"[]"`, nil, false},
		{"an object", `{}`, nil, false},
		{"a number", `1`, nil, false},
		{"null", `null`, nil, false},
		{"nothing", ``, nil, false},
		{"no end", `[`, nil, false},
		{"no end after an element", `["a"`, []string{`"a"`}, false},
		{"a comma too many", `[1,]`, []string{"1"}, false},
		{"no comma", `[1 2]`, []string{"1"}, false},
		{"no element", `[,]`, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := jsonobj.Elements(tt.raw, nil)
			assert.Equal(t, tt.ok, ok)
			assert.Equal(t, tt.want, got)
			gotBytes, ok := jsonobj.Elements([]byte(tt.raw), nil)
			assert.Equal(t, tt.ok, ok)
			require.Len(t, gotBytes, len(tt.want))
			for i, element := range gotBytes {
				assert.Equal(t, tt.want[i], string(element))
			}
		})
	}

	got, ok := jsonobj.Elements(`["b"]`, []string{`"a"`})
	assert.True(t, ok)
	assert.Equal(t, []string{`"a"`, `"b"`}, got, "elements are appended")
}

// reasons are what may be wrong with an object that encoding/json takes. Each
// is found here by other means than the parser's own.
type reasons struct {
	invalidUTF8, loneSurrogate, tooDeep, duplicate, outOfRange bool
}

func (r reasons) none() bool { return r == reasons{} }

func reasonsAgainst(t *testing.T, src []byte) reasons {
	r := reasons{invalidUTF8: !utf8.Valid(src), loneSurrogate: hasLoneSurrogate(src)}

	// The names of each object that is open, outermost first; nil for arrays.
	var open [][]string
	type state struct{ object, value bool }
	var states []state
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return r
		}
		require.NoError(t, err)
		if n := len(states); n > 0 && states[n-1].object && !states[n-1].value && token != json.Delim('}') {
			name := token.(string)
			r.duplicate = r.duplicate || slices.ContainsFunc(open[n-1], func(other string) bool { return strings.EqualFold(name, other) })
			open[n-1] = append(open[n-1], name)
			states[n-1].value = true
			continue
		}
		if n := len(states); n > 0 {
			states[n-1].value = false
		}
		if number, ok := token.(json.Number); ok {
			f, err := number.Float64()
			r.outOfRange = r.outOfRange || err != nil || math.Abs(f) >= 1e308
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open = append(open, nil)
			states = append(states, state{object: token == json.Delim('{')})
			r.tooDeep = r.tooDeep || len(states) > 32
		case json.Delim('}'), json.Delim(']'):
			open, states = open[:len(open)-1], states[:len(states)-1]
		}
	}
}

// hasLoneSurrogate expects valid JSON.
func hasLoneSurrogate(src []byte) bool {
	unit := func(s []byte) (n int) {
		if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
			return -1
		}
		fmt.Sscanf(string(s[2:6]), "%x", &n)
		return n
	}
	for i := 0; i < len(src); i++ {
		if src[i] != '\\' {
			continue
		}
		switch u := unit(src[i:]); {
		case 0xd800 <= u && u < 0xdc00:
			if low := unit(src[i+6:]); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		case 0xdc00 <= u && u <= 0xdfff:
			return true
		case u < 0:
			i++ // past the character that is escaped, which may be a backslash
		}
	}
	return false
}

// FuzzParse holds the parser against encoding/json. Whatever it takes,
// encoding/json takes, with the same names and the same values; and it takes
// all that encoding/json takes, but for the reasons declared.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"sub":"alice","SUB":"admin"}`, `{"sub":1,"\u0073ub":2}`, `{"a":"\ud83d\ude00","b":"\ud83d"}`,
		"{\"a\":\"\xff\"}", `{"a":{"b":[1,{"c":"d","C":"e"}]}}`, `{"n":-0.5e+10,"m":01}`, `{"a":[],"b":{},"c":null,"d":true,"e":false} `,
		typicalClaims, nested(32, "{["), nested(33, "[{"), manyMembers(20), strings.Replace(manyMembers(20), "m19", "M0", 1),
		"{\"\u212aid\":1,\"kid\":2}", `{"a\\u0041":"\\ud800"}`, `{"":{"":""}}`, `{"a":1}{"b":2}`, `[{"a":1}]`, "null",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		members, err := parse(t, string(src))
		inPeeking(t, src, members, err)

		takes := json.Valid(src) && bytes.HasPrefix(bytes.TrimLeft(src, " \t\r\n"), []byte("{"))
		if !takes {
			require.Error(t, err, "encoding/json takes no such thing")
			return
		}
		against := reasonsAgainst(t, src)
		if err != nil {
			switch {
			case errors.Is(err, jsonobj.ErrUTF8):
				require.True(t, against.invalidUTF8)
			case errors.Is(err, jsonobj.ErrDepth):
				require.True(t, against.tooDeep)
			case errors.Is(err, jsonobj.ErrDuplicate):
				require.True(t, against.duplicate)
			case errors.Is(err, jsonobj.ErrNumber):
				require.True(t, against.outOfRange)
			default:
				require.True(t, against.loneSurrogate, "%v", err)
			}
			return
		}
		require.True(t, against.none(), "%+v", against)

		var raw map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(src, &raw))
		require.Len(t, raw, len(members))
		again := []byte("{")
		for i, m := range members {
			require.Contains(t, raw, m.Name)
			require.Equal(t, string(bytes.TrimSpace(raw[m.Name])), m.Value)
			require.Equal(t, decode(t, raw[m.Name]), decode(t, []byte(m.Value)))
			sameString(t, m.Value)
			sameElements(t, m.Value)

			name, err := json.Marshal(m.Name)
			require.NoError(t, err)
			if i > 0 {
				again = append(again, ',')
			}
			again = append(append(append(again, name...), ':'), m.Value...)
		}
		reread, err := parse(t, string(append(again, '}')))
		require.NoError(t, err)
		require.Equal(t, members, reread)
	})
}

// inPeeking checks that Find agrees with Parse, and returns nothing but JSON
// from what Parse does not take.
func inPeeking(t *testing.T, src []byte, members []member, parseErr error) {
	for _, name := range []string{"iss", "a", "", "no such name"} {
		value, found, err := jsonobj.Find(src, name)
		if found {
			require.NoError(t, err)
			require.True(t, json.Valid(value))
		}
		if parseErr != nil {
			continue
		}
		require.NoError(t, err)
		i := slices.IndexFunc(members, func(m member) bool { return m.Name == name })
		require.Equal(t, i >= 0, found)
		if found {
			require.Equal(t, members[i].Value, string(value))
		}
	}
	if parseErr == nil {
		for _, m := range members {
			value, found, err := jsonobj.Find(src, m.Name)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, m.Value, string(value))
		}
	}
}

func decode(t *testing.T, src []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

func sameString(t *testing.T, raw string) {
	var want *string
	isString := json.Unmarshal([]byte(raw), &want) == nil && want != nil
	got, ok := jsonobj.String(raw)
	require.Equal(t, isString, ok)
	if ok {
		require.Equal(t, *want, got)
	}
}

func sameElements(t *testing.T, raw string) {
	var want []json.RawMessage
	isArray := json.Unmarshal([]byte(raw), &want) == nil && want != nil
	got, ok := jsonobj.Elements(raw, nil)
	require.Equal(t, isArray, ok)
	require.Len(t, got, len(want))
	for i := range got {
		require.Equal(t, string(bytes.TrimSpace(want[i])), got[i])
	}
}

const typicalClaims = `{"iss":"https://auth.example.com/","sub":"auth0|5f7c8ec7c33c6c004bbafe82",` +
	`"aud":["https://api.example.com","https://auth.example.com/userinfo"],"exp":1767229200,"nbf":1767225600,"iat":1767225600,` +
	`"jti":"id-0123456789abcdef","client_id":"my-client","scope":"openid profile orders:read orders:write",` +
	`"name":"Alice","email":"alice@example.com","roles":["admin","user"]}`

func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct {
		name string
		src  string
	}{
		{"12 claims", typicalClaims},
		{"1000 members", manyMembers(1000)},
	} {
		data := []byte(bb.src)
		b.Run(bb.name+"/jsonobj", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			var members []member
			var err error
			for b.Loop() {
				if members, err = jsonobj.Parse(bb.src, members[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bb.name+"/encoding-json raw", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				var members map[string]json.RawMessage
				if err := json.Unmarshal(data, &members); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bb.name+"/encoding-json any", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				var members map[string]any
				if err := json.Unmarshal(data, &members); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
