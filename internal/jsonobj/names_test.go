package jsonobj_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

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
				if double[0] == 'M' {
					assert.NoError(t, err, "%s comes last in an inner object", double)
				} else {
					assert.ErrorIs(t, err, jsonobj.ErrDuplicate, "%s comes last in an inner object", double)
				}
				_, err = parse(t, strings.TrimSuffix(src, "}")+`,"inner":`+src+`,"`+double+`":true}`)
				assert.ErrorIs(t, err, jsonobj.ErrDuplicate, "%s comes after an inner object with the same names", double)
			}
		})
	}
}

// Two names are duplicates if Unicode folds them to the same name, as encoding/json does, and not
// otherwise.
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
		// A struct with one field. encoding/json sets it if the names match.
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

// Names of any length are duplicates if they differ only in letter case, and not otherwise.
func TestParse_CaseAtAnyLength(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 40; size++ {
		name := strings.Repeat("client_id@[`{k", 3)[:size]
		for at := range size {
			upper := name[:at] + strings.ToUpper(name[at:at+1]) + name[at+1:]
			_, err := parse(t, `{"`+name+`":0,"`+upper+`":1}`)
			assert.ErrorIs(t, err, jsonobj.ErrDuplicate, upper)
			for _, flipped := range []string{string(name[at] ^ 0x20), "\u017f"} { // bit 0x20 is the case of letters only
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

// Names with the same first and last characters are not duplicates.
func TestParse_SimilarNames(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"%d", "p-%d", "tier%d_abc", "limit_%d_hours", "%d00000", "000000%d"} {
		var src strings.Builder
		for i := range 5_000 {
			fmt.Fprintf(&src, `,"`+format+`":0`, i)
		}
		_, err := parse(t, "{"+src.String()[1:]+"}")
		assert.NoError(t, err, format)
	}
}
