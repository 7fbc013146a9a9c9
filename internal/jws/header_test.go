package jws_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/jws"
)

func TestParseHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		data string
		want jws.Header
	}{
		{"algorithm", `{"alg":"RS256"}`, jws.Header{Algorithm: "RS256"}},
		{"all", `{"alg":"RS256","kid":"k1","typ":"at+jwt"}`, jws.Header{Algorithm: "RS256", KeyID: "k1", Type: "at+jwt", HasType: true}},
		{"order does not matter", ` { "typ" : "JWT" , "kid" : "k1" , "alg" : "ES256" } `, jws.Header{Algorithm: "ES256", KeyID: "k1", Type: "JWT", HasType: true}},
		{"escapes", `{"\u0061lg":"\u0052S256","kid":"k\u0031"}`, jws.Header{Algorithm: "RS256", KeyID: "k1"}},
		{"no parameters", `{}`, jws.Header{}}, // acceptance 18: a missing algorithm stays missing
		{"an empty typ is not an absent typ", `{"alg":"RS256","typ":""}`, jws.Header{Algorithm: "RS256", HasType: true}},
		{"an empty kid", `{"alg":"RS256","kid":""}`, jws.Header{Algorithm: "RS256"}},
		{"values are unchanged", `{"alg":"nOnE","kid":"K1 ","typ":"At+JWT"}`, jws.Header{Algorithm: "nOnE", KeyID: "K1 ", Type: "At+JWT", HasType: true}},
		{"a kid that is a path", `{"alg":"RS256","kid":"../../etc/passwd\u0000"}`, jws.Header{Algorithm: "RS256", KeyID: "../../etc/passwd\x00"}},
		// acceptance 24
		{"kid null", `{"alg":"RS256","kid":null}`, jws.Header{Algorithm: "RS256"}},
		// acceptance 16
		{"names of an inner object that differ in letter case", `{"alg":"RS256","x":{"a":1,"A":2,"c":[{"k":1,"\u212a":2}]}}`, jws.Header{Algorithm: "RS256"}},
		{"the longest kid", `{"alg":"RS256","kid":"` + strings.Repeat("k", 256) + `"}`, jws.Header{Algorithm: "RS256", KeyID: strings.Repeat("k", 256)}},
		{"the longest kid, escaped", `{"alg":"RS256","kid":"` + strings.Repeat(`\u006b`, 256) + `"}`, jws.Header{Algorithm: "RS256", KeyID: strings.Repeat("k", 256)}},
		{"the longest typ", `{"alg":"RS256","typ":"` + strings.Repeat("t", 128) + `"}`, jws.Header{Algorithm: "RS256", Type: strings.Repeat("t", 128), HasType: true}},
		// acceptance 22
		{
			"keys and URLs of keys",
			`{"alg":"RS256","jwk":{"kty":"oct","k":"AAAA","alg":"HS256","kid":"evil"},"jku":"https://evil.example/jwks","x5u":"https://evil.example/x5u","x5c":["MIIB"],"x5t":"a","x5t#S256":"b","kid":"k1"}`,
			jws.Header{Algorithm: "RS256", KeyID: "k1"},
		},
		{"unknown parameters", `{"alg":"RS256","foo":{"alg":"none","kid":1,"crit":["a"]},"bar":[1]}`, jws.Header{Algorithm: "RS256"}},
		// acceptance 23
		{"cty of a nested token", `{"alg":"RS256","cty":"JWT"}`, jws.Header{Algorithm: "RS256"}},
		{"cty with a media type", `{"alg":"RS256","cty":"application/jwt"}`, jws.Header{Algorithm: "RS256"}},
		{"cty a number", `{"alg":"RS256","cty":1}`, jws.Header{Algorithm: "RS256"}},
		{"cty null", `{"alg":"RS256","cty":null}`, jws.Header{Algorithm: "RS256"}},
		{"another content type", `{"alg":"RS256","cty":"text/plain"}`, jws.Header{Algorithm: "RS256"}},
		{"a content type without slash", `{"alg":"RS256","cty":"json"}`, jws.Header{Algorithm: "RS256"}},
		{"a content type that starts with JWT", `{"alg":"RS256","cty":"JWTs"}`, jws.Header{Algorithm: "RS256"}},
		{"an access token as content type", `{"alg":"RS256","cty":"at+jwt"}`, jws.Header{Algorithm: "RS256"}},
		{"an empty content type", `{"alg":"RS256","cty":""}`, jws.Header{Algorithm: "RS256"}},
		{"a long content type", `{"alg":"RS256","cty":"` + strings.Repeat("x", 2000) + `"}`, jws.Header{Algorithm: "RS256"}},
		// acceptance 17
		{"b64 true, which is the default", `{"alg":"RS256","b64":true}`, jws.Header{Algorithm: "RS256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := jws.ParseHeader([]byte(tt.data))
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestParseHeader_Refuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		data string
		want any // an error, or a part of the text of an error
	}{
		// acceptance 15
		{"empty", ``, jsonobj.ErrNotObject},
		{"an array", `[{"alg":"RS256"}]`, jsonobj.ErrNotObject},
		{"null", `null`, jsonobj.ErrNotObject},
		{"a string", `"RS256"`, jsonobj.ErrNotObject},
		{"a byte order mark", "\ufeff" + `{"alg":"RS256"}`, jsonobj.ErrNotObject},
		{"trailing data", `{"alg":"RS256"}{}`, jsonobj.ErrTrailing},
		{"a trailing NUL", `{"alg":"RS256"}` + "\x00", jsonobj.ErrTrailing},
		{"invalid UTF-8", "{\"alg\":\"RS256\",\"kid\":\"\xff\"}", jsonobj.ErrUTF8},
		{"invalid UTF-8 in an unknown parameter", "{\"alg\":\"RS256\",\"foo\":[\"\xc0\xaf\"]}", jsonobj.ErrUTF8},
		{"a lone surrogate", `{"alg":"RS256","kid":"\ud800"}`, jsonobj.ErrSurrogate},
		{"nesting too deep", `{"alg":"RS256","foo":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, jsonobj.ErrDepth},

		// acceptance 16
		{"alg twice", `{"alg":"RS256","alg":"HS256"}`, jsonobj.ErrDuplicate},
		{"alg twice, escaped", `{"alg":"RS256","\u0061lg":"HS256"}`, jsonobj.ErrDuplicate},
		{"alg twice, in different case", `{"alg":"RS256","ALG":"HS256"}`, jsonobj.ErrDuplicate},
		{"kid twice, once with the Kelvin sign", "{\"alg\":\"RS256\",\"kid\":\"a\",\"\u212aid\":\"b\"}", jsonobj.ErrDuplicate},
		{"a duplicate in an unknown parameter", `{"alg":"RS256","foo":[{"a":1,"a":2}]}`, jsonobj.ErrDuplicate},

		// acceptance 17
		{"crit", `{"alg":"RS256","crit":["exp"],"exp":1}`, jws.ErrCritical},
		{"crit with b64", `{"alg":"RS256","crit":["b64"],"b64":false}`, jws.ErrCritical},
		{"crit with b64 true", `{"alg":"RS256","crit":["b64"],"b64":true}`, jws.ErrCritical},
		{"empty crit", `{"alg":"RS256","crit":[]}`, jws.ErrCritical},
		{"null crit", `{"alg":"RS256","crit":null}`, jws.ErrCritical},
		{"crit that is a string", `{"alg":"RS256","crit":"exp"}`, jws.ErrCritical},
		{"crit, escaped", `{"alg":"RS256","cr\u0069t":["exp"]}`, jws.ErrCritical},
		{"b64 false", `{"alg":"RS256","b64":false}`, jws.ErrUnencoded},
		{"b64 null", `{"alg":"RS256","b64":null}`, jws.ErrUnencoded},
		{"b64 a string", `{"alg":"RS256","b64":"true"}`, jws.ErrUnencoded},
		{"b64 a number", `{"alg":"RS256","b64":1}`, jws.ErrUnencoded},

		// acceptance 18
		{"alg a number", `{"alg":256}`, "alg is not a string"},
		{"alg null", `{"alg":null}`, "alg is not a string"},
		{"alg an array", `{"alg":["RS256"]}`, "alg is not a string"},
		{"alg an object", `{"alg":{"RS256":true}}`, "alg is not a string"},
		{"alg a bool", `{"alg":true}`, "alg is not a string"},
		{"alg too long", `{"alg":"` + strings.Repeat("R", 129) + `"}`, "alg is longer than 128 bytes"},
		{"alg far too long", `{"alg":"` + strings.Repeat("R", 5000) + `"}`, "alg is longer than 128 bytes"},

		// acceptance 23
		{"enc", `{"alg":"RSA-OAEP","enc":"A256GCM"}`, jws.ErrEncrypted},
		{"enc, null", `{"alg":"RS256","enc":null}`, jws.ErrEncrypted},

		// acceptance 24
		{"kid a number", `{"alg":"RS256","kid":1}`, "kid is not a string"},
		{"kid an array", `{"alg":"RS256","kid":["k1"]}`, "kid is not a string"},
		{"kid an object", `{"alg":"RS256","kid":{}}`, "kid is not a string"},
		{"kid too long", `{"alg":"RS256","kid":"` + strings.Repeat("k", 257) + `"}`, "kid is longer than 256 bytes"},
		{"kid too long in bytes", `{"alg":"RS256","kid":"` + strings.Repeat("é", 129) + `"}`, "kid is longer than 256 bytes"},
		{"kid far too long", `{"alg":"RS256","kid":"` + strings.Repeat("k", 10000) + `"}`, "kid is longer than 256 bytes"},
		{"kid too long, escaped", `{"alg":"RS256","kid":"` + strings.Repeat(`\u006b`, 257) + `"}`, "kid is longer than 256 bytes"},

		// acceptance 25
		{"typ a number", `{"alg":"RS256","typ":1}`, "typ is not a string"},
		{"typ null", `{"alg":"RS256","typ":null}`, "typ is not a string"},
		{"typ an array", `{"alg":"RS256","typ":["JWT"]}`, "typ is not a string"},
		{"typ too long", `{"alg":"RS256","typ":"` + strings.Repeat("t", 129) + `"}`, "typ is longer than 128 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := jws.ParseHeader([]byte(tt.data))
			require.Error(t, err)
			switch want := tt.want.(type) {
			case error:
				assert.ErrorIs(t, err, want)
			case string:
				assert.ErrorContains(t, err, want)
			}
			assert.Zero(t, got)
			assert.Less(t, len(err.Error()), 100)
		})
	}
}

// acceptance 25: Options.Types compares these values.
func TestMediaType(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ value, want string }{
		{"JWT", "application/jwt"},
		{"jwt", "application/jwt"},
		{"jWt", "application/jwt"},
		{"application/jwt", "application/jwt"},
		{"Application/JWT", "application/jwt"},
		{"at+jwt", "application/at+jwt"},
		{"AT+JWT", "application/at+jwt"},
		{"application/at+jwt", "application/at+jwt"},
		{"APPLICATION/AT+JWT", "application/at+jwt"},
		{"dpop+jwt", "application/dpop+jwt"},
		{"", "application/"},
		{"/", "/"},
		{"text/plain", "text/plain"},
		{"application/application/jwt", "application/application/jwt"},
		{" JWT", "application/ jwt"},
		{"JWT ", "application/jwt "},
		{"JWT;v=1", "application/jwt;v=1"},
		// Letters outside ASCII are unchanged.
		{"\u212aWT", "application/\u212awt"},
		{"ÅT", "application/Åt"},
		{"J\u017fT", "application/j\u017ft"},
		{"@[`{", "application/@[`{"},
	} {
		assert.Equal(t, tt.want, jws.MediaType(tt.value), "%q", tt.value)
	}
}

func sameHeader(t *testing.T, data []byte) {
	h, err := jws.ParseHeader(data)
	if err != nil {
		require.Zero(t, h)
		return
	}
	var theirs map[string]any
	require.NoError(t, json.Unmarshal(data, &theirs))
	for name, ours := range map[string]string{"alg": h.Algorithm, "kid": h.KeyID, "typ": h.Type} {
		value, there := theirs[name]
		if !there || name == "kid" && value == nil {
			value = ""
		}
		require.Equal(t, value, ours, name)
		if name == "typ" {
			require.Equal(t, there, h.HasType)
		}
		require.True(t, utf8.ValidString(ours))
	}
	require.LessOrEqual(t, len(h.KeyID), jws.MaxKeyID)
	require.NotContains(t, theirs, "crit")
	require.NotContains(t, theirs, "enc")
	if b64, there := theirs["b64"]; there {
		require.Equal(t, true, b64)
	}

	// encoding/json ignores letter case when it fills a struct. No name in another case overwrites
	// alg.
	var folded struct {
		Algorithm string `json:"alg"`
	}
	if json.Unmarshal(data, &folded) == nil && h.Algorithm != "" {
		require.Equal(t, h.Algorithm, folded.Algorithm)
	}
}

func BenchmarkParseHeader(b *testing.B) {
	data := []byte(`{"alg":"RS256","kid":"2025-11-key-1","typ":"at+jwt"}`)
	b.Run("jws", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := jws.ParseHeader(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var h struct {
				Algorithm string `json:"alg"`
				KeyID     string `json:"kid"`
				Type      string `json:"typ"`
			}
			if err := json.Unmarshal(data, &h); err != nil {
				b.Fatal(err)
			}
		}
	})
}
