package jsonobj_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

type member = jsonobj.Member[string]

// parse parses src as a string and as bytes and requires the same result.
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
	return fromString, err
}

// sameFields checks that Scan agrees with the result of Parse, also after a refused object.
func sameFields(t testing.TB, src string, members []member, parseErr error) {
	t.Helper()
	var scanner jsonobj.Scanner
	_, err := scanner.Scan([]byte(`{"a":{"b":1,"b":2}}`))
	require.ErrorIs(t, err, jsonobj.ErrDuplicate)
	fields, err := scanner.Scan([]byte(src))
	require.Equal(t, parseErr, err)
	require.Len(t, fields, len(members))
	for i, m := range members {
		f := &fields[i]
		require.Equal(t, m, member{Name: jsonobj.Name(src, f), Value: jsonobj.Raw(src, f.Value)})
		want, isString := jsonobj.String(m.Value)
		text, ok := jsonobj.Text([]byte(src), f.Value)
		require.Equal(t, isString, ok)
		require.Equal(t, want, string(text))
		require.False(t, f.Value.Before(f.Value))
		if i > 0 {
			require.True(t, fields[i-1].Value.Before(f.Value))
			require.False(t, f.Value.Before(fields[i-1].Value))
		}
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
		{"replacement character", `{"\ufffd":"` + "\ufffd" + `"}`, []member{{"\ufffd", "\"\ufffd\""}}},
		{"characters of two, three and four bytes", `{"é":"€","😀":"é"}`, []member{{"é", `"€"`}, {"😀", `"é"`}}},
		{"DEL and line separators are no control characters", "{\"\x7f\u2028\u2029\u0085\":1}", []member{{"\x7f\u2028\u2029\u0085", "1"}}},
		{"names that differ by more than case", `{"sub":1,"sub ":2,"su":3,"s_ub":4,"s-ub":5}`, []member{{"sub", "1"}, {"sub ", "2"}, {"su", "3"}, {"s_ub", "4"}, {"s-ub", "5"}}},
		{"one name in parent, child and siblings' children", `{"a":{"a":1},"b":{"a":{"b":1}},"c":[{"a":1},{"a":1}]}`, []member{{"a", `{"a":1}`}, {"b", `{"a":{"b":1}}`}, {"c", `[{"a":1},{"a":1}]`}}},
		// acceptance 16
		{"inner names that differ in case", `{"a":{"b":1,"B":2},"c":[{"d":1,"D":2}]}`, []member{{"a", `{"b":1,"B":2}`}, {"c", `[{"d":1,"D":2}]`}}},
		// Code points are not normalised: é differs from e with a combining accent.
		{"composed and decomposed", "{\"\u00e9\":1,\"e\u0301\":2}", []member{{"\u00e9", "1"}, {"e\u0301", "2"}}},
		// Case folding is simple: it maps one rune to one rune.
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

// A Span applies to a copy of the input and does not refer to the input.
func TestScan_Copies(t *testing.T) {
	t.Parallel()
	src := []byte(`{"a":"b","\u0063":"\u0064"}`)
	var scanner jsonobj.Scanner
	fields, err := scanner.Scan(src)
	require.NoError(t, err)
	kept := string(src)
	clear(src)
	require.Len(t, fields, 2)
	for i, want := range []string{"a", "c"} {
		assert.Equal(t, want, jsonobj.Name(kept, &fields[i]))
	}
	for i, want := range []string{"b", "d"} {
		text, ok := jsonobj.Text(kept, fields[i].Value)
		assert.True(t, ok)
		assert.Equal(t, want, text)
	}
}

// Only the error of a duplicate has a part of the input.
func TestParse_ErrorsNameNoInput(t *testing.T) {
	t.Parallel()
	for _, src := range []string{`{"s3cret"`, `{"s3cret":1,"b":2,"b":"s3cret"}`, `{"s3cret":1} s3cret`, `{"s3cret":"\ud800"}`, "{\"s3cret\":\"\xff\"}", nested(40, "{")} {
		_, err := parse(t, src)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

// The error of a duplicate says which members have the same name, in a bounded number of bytes.
// acceptance 16, 33
func TestParse_DuplicateError(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 10_000)
	for _, tt := range []struct{ src, text string }{
		{`{"sub":1,"a":{"sub":2},"sub":3}`, `the member "sub" occurs twice`},
		{`{"sub":1,"a":2,"\u0073ub":3}`, `the member "sub" occurs twice`},
		{`{"sub":1,"a":2,"SUB":3}`, `the members "sub" and "SUB" differ only in letter case`},
		{`{"x":{"sub":1},"SUB":2,"sub":3}`, `the members "SUB" and "sub" differ only in letter case`},
		{`{"a":1,"b":[{"c":{"roles":1,"Roles":2,"roles":3}}]}`, `the member "roles" occurs twice`},
		{"{\"kid\":1,\"\u212aid\":2}", `the members "kid" and "\u212aid" differ only in letter case`},
		{`{"a\nb":1,"a\u000ab":2}`, `the member "a\nb" occurs twice`},
		{`{"a\"b":1,"a\"b":2}`, `the member "a\"b" occurs twice`},
		{`{"":1,"":2}`, `the member "" occurs twice`},
		{strings.TrimSuffix(manyMembers(100), "}") + `,"M42":1}`, `the members "m42" and "M42" differ only in letter case`},
		{strings.TrimSuffix(manyMembers(100), "}") + `,"m42":1}`, `the member "m42" occurs twice`},
		{`{"` + long + `":1,"` + long + `":2}`, `the member "` + long[:60] + `... occurs twice`},
		{`{"` + long + `":1,"` + long[1:] + `N":2}`, `the members "` + long[:60] + `... and "` + long[:60] + `... differ only in letter case`},
		{`{"` + strings.Repeat(`\ud83d\ude00`, 100) + `":1,"` + strings.Repeat("😀", 100) + `":2}`, `the member "` + strings.Repeat(`\U0001f600`, 6) + `... occurs twice`},
	} {
		_, err := parse(t, tt.src)
		require.ErrorIs(t, err, jsonobj.ErrDuplicate)
		assert.EqualError(t, err, tt.text)
		var d *jsonobj.DuplicateError
		require.ErrorAs(t, err, &d)
		assert.LessOrEqual(t, len(d.First)+len(d.Second), 128)
	}
}

// Folds finds the names in inner objects that encoding/json would store in one field.
// acceptance 16
func TestFolds(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{
		`{}`:                                   false,
		`{"a":1,"b":{"a":1,"b":2}}`:            false,
		`{"a":{"b":1,"B":2}}`:                  true,
		`{"a":[1,[{"k":1,"c":2,"\u212a":3}]]}`: true,
		`{"a":{"B":1},"c":{"b":1}}`:            false,
	} {
		assert.Equal(t, want, jsonobj.Folds(src), src)
		assert.Equal(t, want, jsonobj.Folds([]byte(src)), src)
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
				_, err = jsonobj.Parse(`{"a":{"b":1,"b":2}}`, nil)
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
		{"input after the value is not read", `{"iss":"a"!!`, `"a"`, true, nil},
		{"no object", `["iss"]`, "", false, jsonobj.ErrNotObject},
		{"nothing", ``, "", false, jsonobj.ErrNotObject},
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

// The result of String does not change when the bytes are overwritten.
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
		{"elements of several kinds", `["a",1,null,true,{"b":[1]},[2,[3]]]`, []string{`"a"`, "1", "null", "true", `{"b":[1]}`, "[2,[3]]"}, true},
		{"surrounding space is removed", "[ \"a\" ,\t1 , [ 2 ] ]", []string{`"a"`, "1", "[ 2 ]"}, true},
		{"commas and brackets inside strings", `["a,b]","[\"c"]`, []string{`"a,b]"`, `"[\"c"`}, true},
		{"the maximum depth", strings.TrimSuffix(strings.TrimPrefix(nested(32, "["), `{"a":`), "}"), []string{strings.Repeat("[", 30) + "1" + strings.Repeat("]", 30)}, true},
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
