package jws_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jws"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, token                string
		header, payload, signature string
	}{
		{"shortest", "a.b.c", "a", "b", "c"},
		{"every character", alphabet + "." + alphabet + "." + alphabet, alphabet, alphabet, alphabet},
		{"a real token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln", "eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiJhbGljZSJ9", "c2ln"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := jws.Split([]byte(tt.token))
			require.NoError(t, err)
			assert.Equal(t, tt.header, string(got.Header()))
			assert.Equal(t, tt.payload, string(got.Payload()))
			assert.Equal(t, tt.signature, string(got.Signature()))
			assert.Equal(t, tt.header+"."+tt.payload, string(got.SigningInput()))
		})
	}
}

func TestSplit_Refuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, token string }{
		// acceptance 13
		{"empty", ""},
		{"one segment", "abc"},
		{"two segments", "abc.def"},
		{"two segments and a final dot", "abc.def."},
		{"four segments", "abc.def.ghi.jkl"},
		{"five segments: JWE", "abc.def.ghi.jkl.mno"},
		{"six segments", "a.b.c.d.e.f"},
		{"one dot", "."},
		{"two dots", ".."},
		{"three dots", "..."},
		{"no header", ".def.ghi"},
		{"no payload", "abc..ghi"},
		{"no signature", "abc.def."},
		{"a leading dot", ".abc.def.ghi"},
		{"a trailing dot", "abc.def.ghi."},
		{"the JSON serialisation", `{"payload":"abc","protected":"def","signature":"ghi"}`},
		{"the JSON serialisation with dots", `{"a":"b.c.d"}`},
		{"standard base64: plus", "ab+c.def.ghi"},
		{"standard base64: slash", "abc.de/f.ghi"},
		{"percent-encoded dots", "abc%2Edef%2Eghi"},
		{"a full-width dot", "abc\uff0edef\uff0eghi"},
		{"a full-width letter", "ａbc.def.ghi"},
		{"a Cyrillic letter", "аbc.def.ghi"},
		{"a list of tokens", "abc.def.ghi,abc.def.ghi"},
		{"with its scheme", "Bearer abc.def.ghi"},
		// acceptance 14
		{"padding in the header", "YWJjZA==.def.ghi"},
		{"padding in the payload", "abc.YWJjZA==.ghi"},
		{"padding in the signature", "abc.def.YWJjZA=="},
		{"padding before a dot", "abc=.def.ghi"},
		{"a leading space", " abc.def.ghi"},
		{"a trailing space", "abc.def.ghi "},
		{"a space inside", "abc.d ef.ghi"},
		{"a trailing line break", "abc.def.ghi\n"},
		{"a line break inside", "abc.de\r\nf.ghi"},
		{"a tab", "abc.def\t.ghi"},
		{"a NUL", "abc.def.ghi\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := jws.Split([]byte(tt.token))
			assert.ErrorIs(t, err, jws.ErrSegments)
			assert.Zero(t, got)
		})
	}
}

// acceptance 13: each of the 256 bytes, in each segment.
func TestSplit_Alphabet(t *testing.T) {
	t.Parallel()
	for b := range 256 {
		if b == '.' {
			continue
		}
		inside := strings.IndexByte(alphabet, byte(b)) >= 0
		for _, at := range []int{0, 1, 2, 3, 4, 6, 8, 9} {
			token := []byte("aa.bb.ccc")
			token = append(token[:at], append([]byte{byte(b)}, token[at:]...)...)
			got, err := jws.Split(token)
			if !inside {
				assert.ErrorIs(t, err, jws.ErrSegments, "%q", token)
				continue
			}
			if assert.NoError(t, err, "%q", token) {
				assert.Equal(t, string(token), string(got.SigningInput())+"."+string(got.Signature()))
			}
		}
	}
}

// The error says what is wrong with the token, and has at most one character of it. acceptance 13
func TestSplit_Errors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ token, text string }{
		{"undefined", `it is the word "undefined": the client has no token`},
		{"opaque", "it has 1 segment, and a token has 3, separated by dots: an opaque token is no JWT. Some issuers make signed JWTs only if the client names an audience"},
		{"a.b", "it has 2 segments, and a token has 3: it was cut, or is an opaque token and no JWT"},
		{"a.b.c.d", "it has 4 segments, and a token has 3"},
		{"a.b.c.d.e", "it has 5 segments, as an encrypted token has; a signed token has 3. Some issuers make signed JWTs only if the client names an audience"},
		{"a.b.", "segment 3, the signature, is empty: the token is not signed"},
		{"a..c", "segment 2 of 3 is empty"},
		{".b.c", "segment 1 of 3 is empty"},
		{"..", "segment 1 of 3 is empty"},
		{"Bearer a.b.c", `it starts with "Bearer "; wanted is the token alone`},
		{"bearer  a.b.c", `it starts with "Bearer "; wanted is the token alone`},
		{"a.b.c\n", `it has the character "\n", which is not in base64url`},
		{"a.b=.c", `it has the character "=", which is not in base64url`},
		{"a.\x00b.c?", `it has the character "\x00", which is not in base64url`},
		{"a.b.c\u00e9", `it has the character "\u00e9", which is not in base64url`},
		{"a.b.c\xff", `it has the character "\ufffd", which is not in base64url`},
	} {
		_, err := jws.Split([]byte(tt.token))
		require.ErrorIs(t, err, jws.ErrSegments)
		assert.EqualError(t, err, tt.text)
	}
}

func TestLooksLikeToken(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln": true,
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.":     false,
		"eyJhbGciOiJIUzI1NiJ9":                           false, "a.b.c": false, "": false, `{"a":"b.c.d"}`: false,
	} {
		assert.Equal(t, want, jws.LooksLikeToken(s), s)
		assert.Equal(t, want, jws.LooksLikeToken([]byte(s)), s)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	got, err := jws.Cut([]byte("a!.b?.c.d\n"))
	require.NoError(t, err)
	for want, segment := range map[string][]byte{"a!": got.Header(), "b?": got.Payload(), "c.d\n": got.Signature(), "a!.b?": got.SigningInput()} {
		assert.Equal(t, want, string(segment))
	}
	for _, token := range []string{"", ".", "..", "a", "a.b", "a.b.", "a..c", ".b.c", "...", "a.."} {
		got, err := jws.Cut([]byte(token))
		assert.ErrorIs(t, err, jws.ErrSegments, "%q", token)
		assert.Zero(t, got, "%q", token)
	}
}

// FuzzToken checks that each accepted token has one encoding: encoding its decoded segments gives
// the same token. It also checks that encoding/json reads an accepted header in the same way.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln", "a.b.c", "YQ.YQ.YQ", "YR.YQ.YQ", "YQ.YWJ.YQ", "YQ==.YQ.YQ", "YQ.YQ\n.YQ", "YQ.YQ", "..", "a.b.c.d.e",
		"e30.e30.AA", `{"payload":"e30","signatures":[]}`, "YQ.YQ.YQ ",
	} {
		f.Add([]byte(seed))
	}
	for _, header := range []string{
		`{"alg":"RS256","kid":"k1","typ":"JWT"}`, `{"alg":"RS256","ALG":"none"}`, `{"ALG":"RS256","Kid":"a"}`, `{"alg":"ES256","jwk":{"kty":"EC"}}`, `{"alg":"RS256","crit":["b64"],"b64":false}`,
		`{"alg":"\u0052S256","kid":"\ud83d\ude00"}`, `{"alg":null}`, `{"alg":"dir","enc":"A128GCM"}`, `{"alg":"RS256","cty":"jwt"}`, "{\"alg\":\"\xff\"}",
	} {
		f.Add([]byte(base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30.AA"))
	}
	f.Fuzz(func(t *testing.T, token []byte) {
		// The input is also tried as a header, because the fuzzer mutates plain JSON more
		// effectively than encoded JSON.
		sameHeader(t, token)

		before := bytes.Clone(token)
		c, err := jws.Split(token)
		require.Equal(t, before, token, "the token is not written to")
		if err != nil {
			return
		}
		var again []byte
		for i, segment := range [][]byte{c.Header(), c.Payload(), c.Signature()} {
			require.NotEmpty(t, segment)
			decoded, err := jws.AppendDecoded(nil, segment)
			if err != nil {
				return
			}
			if i == 0 {
				sameHeader(t, decoded)
			} else {
				again = append(again, '.')
			}
			again = base64.RawURLEncoding.AppendEncode(again, decoded)
		}
		require.Equal(t, string(token), string(again))
		require.Equal(t, string(token), string(c.SigningInput())+"."+string(c.Signature()))
	})
}
