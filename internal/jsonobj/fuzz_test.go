package jsonobj_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

// reasons are the reasons to refuse an object that encoding/json accepts. reasonsAgainst finds them
// without code of the parser.
type reasons struct {
	invalidUTF8, loneSurrogate, tooDeep, duplicate, outOfRange bool
}

func (r reasons) none() bool { return r == reasons{} }

func reasonsAgainst(t *testing.T, src []byte) reasons {
	r := reasons{invalidUTF8: !utf8.Valid(src), loneSurrogate: hasLoneSurrogate(src)}

	// The names of each open object, the outermost first; nil for an array.
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
			r.duplicate = r.duplicate || slices.ContainsFunc(open[n-1], func(other string) bool {
				return name == other || n == 1 && strings.EqualFold(name, other) // letter case matters in inner objects
			})
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

// hasLoneSurrogate reports whether src, which must be valid JSON, has the escape of a lone
// surrogate.
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
			i++ // skip the escaped character, which may be a backslash
		}
	}
	return false
}

// foldsInside reports whether names of one object in src differ only in letter case.
func foldsInside(t *testing.T, src []byte) bool {
	var inside func(v any) bool
	inside = func(v any) bool {
		switch v := v.(type) {
		case []any:
			return slices.ContainsFunc(v, inside)
		case map[string]any:
			for name, value := range v {
				for other := range v {
					if name != other && strings.EqualFold(name, other) {
						return true
					}
				}
				if inside(value) {
					return true
				}
			}
		}
		return false
	}
	return inside(decode(t, src))
}

// FuzzParse compares the parser with encoding/json. encoding/json accepts every object that the
// parser accepts and finds the same names and values. The parser refuses an object that
// encoding/json accepts only for one of the reasons.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"sub":"alice","SUB":"admin"}`, `{"sub":1,"\u0073ub":2}`, `{"a":"\ud83d\ude00","b":"\ud83d"}`,
		"{\"a\":\"\xff\"}", `{"a":{"b":[1,{"c":"d","C":"e"}]}}`, `{"a":{"b":1,"\u0062":2}}`, `{"a":[{"\u212a":1,"k":2}]}`, `{"n":-0.5e+10,"m":01}`, `{"a":[],"b":{},"c":null,"d":true,"e":false} `,
		typicalClaims, nested(32, "{["), nested(33, "[{"), manyMembers(20), strings.Replace(manyMembers(20), "m19", "M0", 1),
		"{\"\u212aid\":1,\"kid\":2}", `{"a\\u0041":"\\ud800"}`, `{"":{"":""}}`, `{"a":1}{"b":2}`, `[{"a":1}]`, "null",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		members, err := parse(t, string(src))
		sameFind(t, src, members, err)

		accepted := json.Valid(src) && bytes.HasPrefix(bytes.TrimLeft(src, " \t\r\n"), []byte("{"))
		if !accepted {
			require.Error(t, err, "encoding/json does not accept the input")
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
				require.ErrorIs(t, err, jsonobj.ErrSurrogate)
				require.True(t, against.loneSurrogate)
			}
			return
		}
		require.True(t, against.none(), "%+v", against)
		require.Equal(t, foldsInside(t, src), jsonobj.Folds(src))

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

// sameFind checks that Find agrees with Parse, and that Find returns valid JSON even from input
// that Parse refuses.
func sameFind(t *testing.T, src []byte, members []member, parseErr error) {
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
