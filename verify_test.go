package jwtgate_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// A message from a queue carries a token. A message whose token cannot be verified now is put back.
func ExampleGate_Verify() {
	gate, err := jwtgate.New(options())
	if err != nil {
		log.Fatal(err)
	}
	for _, credential := range []string{hs256Token(nil), hs256Token(map[string]any{"exp": 0})} {
		token, err := gate.Verify(context.Background(), credential)
		switch {
		case errors.Is(err, jwtgate.ErrUnavailable):
			fmt.Println("put back")
		case err != nil:
			fmt.Println("dropped:", err)
		default:
			fmt.Println("done for", token.Subject)
		}
	}
	// Output:
	// done for alice
	// dropped: jwtgate: token expired: exp was 1970-01-01T00:00:00Z, 20454 days ago; the leeway is 30s (status 401)
}

func TestVerifyAlgorithms(t *testing.T) {
	t.Parallel()
	for _, name := range append(allAlgorithms, "Ed25519") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method := name
			if name == "Ed25519" {
				method = "EdDSA"
			}
			gate := newGate(t, func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("k1", method)) })
			header := fmt.Sprintf(`{"typ":"JWT","alg":%q,"kid":"k1"}`, name)
			token := sign(method, privateKey(method), header, claimsJSON(nil))
			for range 2 { // the second time the gate remembers the header
				got, err := gate.Verify(t.Context(), token)
				require.NoError(t, err)
				assert.Equal(t, "alice", got.Subject)
				assert.Equal(t, name, got.Algorithm)
				assert.Equal(t, "k1", got.KeyID)
				assert.Equal(t, "JWT", got.Type)
			}

			// One character of the signature is changed.
			forged := []byte(token)
			i := len(forged) - 10
			forged[i] ^= 1
			if forged[i] == token[i]|0x20 || !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", rune(forged[i])) {
				forged[i] = 'A' + (token[i]+1)%26
			}
			_, err := gate.Verify(t.Context(), string(forged))
			requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrSignature)
		})
	}
}

// Every token of the table is a good token with one defect, and the gate refuses it for that defect.
func TestVerifyRefusesMalformedTokens(t *testing.T) {
	t.Parallel()
	good := hs256Token(nil)
	header, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	signed := func(input string) string { return signEncoded("HS256", secret, input) }

	for _, tt := range []struct{ name, token string }{
		// acceptance 13
		{"one segment", header},
		{"two segments", header + "." + body},
		{"four segments", good + "." + signature},
		{"five segments", good + "." + body + "." + signature},
		{"dots only", ".."},
		{"ten thousand dots", strings.Repeat(".", 10_000)},
		{"no header", "." + body + "." + signature},
		{"no claims", signed(header + ".")},
		{"no signature", header + "." + body + "."},
		{"leading dot", "." + good},
		{"JSON serialisation", fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, body, header, signature)},
		{"standard base64", signed(header + "." + strings.Replace(body, "a", "+", 1))},
		{"not ASCII", signed(header + "." + body + "é")},
		{"NUL", signed(header + "." + body + "\x00")},
		{"percent sign", signed(header + "." + body + "%3D")},
		// acceptance 14
		{"padded header", signed(header + "=." + body)},
		{"padded claims", signed(header + "." + body + "=")},
		{"padded signature", good + "="},
		{"leading space", " " + good},
		{"trailing space", good + " "},
		{"line break in claims", signed(header + "." + body[:8] + "\n" + body[8:])},
		{"carriage return in header", signed(header[:8] + "\r\n" + header[8:] + "." + body)},
		{"line break at the end", good + "\n"},
		{"trailing bits in header", signed(withTrailingBits(base64url(`{"alg":"HS256"} `)) + "." + body)},
		{"trailing bits in claims", signed(header + "." + withTrailingBits(base64url(claimsJSON(map[string]any{"x": strings.Repeat("x", 4-len(claimsJSON(nil)+`,"x":""`)%3)}))))},
		{"trailing bits in signature", header + "." + body + "." + withTrailingBits(signature)},
		{"lone character at the end", signed(header + "." + body + "AAA"[:(5-len(body)%4)%4])},
		// acceptance 15, 16 for the header
		{"header is not JSON", sign("HS256", secret, `alg=HS256`, claimsJSON(nil))},
		{"header is an array", sign("HS256", secret, `["HS256"]`, claimsJSON(nil))},
		{"header is null", sign("HS256", secret, `null`, claimsJSON(nil))},
		{"header with data behind", sign("HS256", secret, `{"alg":"HS256"}{}`, claimsJSON(nil))},
		{"header with a comma behind", sign("HS256", secret, `{"alg":"HS256",}`, claimsJSON(nil))},
		{"header with invalid UTF-8", sign("HS256", secret, "{\"alg\":\"HS256\",\"x\":\"\xff\"}", claimsJSON(nil))},
		{"header with a byte order mark", sign("HS256", secret, "\ufeff{\"alg\":\"HS256\"}", claimsJSON(nil))},
		{"header nested too deeply", sign("HS256", secret, `{"alg":"HS256","x":`+strings.Repeat("[", 32)+strings.Repeat("]", 32)+`}`, claimsJSON(nil))},
		{"duplicate alg", sign("HS256", secret, `{"alg":"none","alg":"HS256"}`, claimsJSON(nil))},
		{"alg in two cases", sign("HS256", secret, `{"alg":"HS256","Alg":"none"}`, claimsJSON(nil))},
		{"alg twice by an escape", sign("HS256", secret, `{"alg":"HS256","\u0061lg":"none"}`, claimsJSON(nil))},
		{"duplicate within a parameter", sign("HS256", secret, `{"alg":"HS256","jwk":{"k":1,"k":2}}`, claimsJSON(nil))},
		// acceptance 17
		{"crit", sign("HS256", secret, `{"alg":"HS256","crit":["exp"],"exp":1}`, claimsJSON(nil))},
		{"empty crit", sign("HS256", secret, `{"alg":"HS256","crit":[]}`, claimsJSON(nil))},
		{"null crit", sign("HS256", secret, `{"alg":"HS256","crit":null}`, claimsJSON(nil))},
		{"b64 false", sign("HS256", secret, `{"alg":"HS256","b64":false}`, claimsJSON(nil))},
		{"b64 false and critical", sign("HS256", secret, `{"alg":"HS256","b64":false,"crit":["b64"]}`, claimsJSON(nil))},
		{"b64 as a string", sign("HS256", secret, `{"alg":"HS256","b64":"true"}`, claimsJSON(nil))},
		// acceptance 23
		{"JWE header in three segments", sign("HS256", secret, `{"alg":"HS256","enc":"A256GCM"}`, claimsJSON(nil))},
		{"nested token as claims", signed(header + "." + base64url(good))},
		{"nested token as claims, with cty", sign("HS256", secret, `{"alg":"HS256","cty":"JWT"}`, good)},
		// acceptance 24
		{"kid is a number", sign("HS256", secret, `{"alg":"HS256","kid":1}`, claimsJSON(nil))},
		{"kid is an array", sign("HS256", secret, `{"alg":"HS256","kid":["a"]}`, claimsJSON(nil))},
		{"kid of 257 bytes", sign("HS256", secret, `{"alg":"HS256","kid":"`+strings.Repeat("k", 257)+`"}`, claimsJSON(nil))},
		{"kid of 257 bytes by escapes", sign("HS256", secret, `{"alg":"HS256","kid":"`+strings.Repeat(`\u006b`, 257)+`"}`, claimsJSON(nil))},
		{"alg is a number", sign("HS256", secret, `{"alg":256}`, claimsJSON(nil))},
		{"typ is a number", sign("HS256", secret, `{"alg":"HS256","typ":1}`, claimsJSON(nil))},
		// acceptance 15, 16 for the claims
		{"claims are not JSON", sign("HS256", secret, `{"alg":"HS256"}`, `iss=x`)},
		{"claims are an array", sign("HS256", secret, `{"alg":"HS256"}`, `[`+claimsJSON(nil)+`]`)},
		{"claims are a string", sign("HS256", secret, `{"alg":"HS256"}`, `"x"`)},
		{"claims with data behind", sign("HS256", secret, `{"alg":"HS256"}`, claimsJSON(nil)+`{}`)},
		{"claims with NUL behind", sign("HS256", secret, `{"alg":"HS256"}`, claimsJSON(nil)+"\x00")},
		{"claims with invalid UTF-8", sign("HS256", secret, `{"alg":"HS256"}`, strings.Replace(claimsJSON(nil), "alice", "al\xffce", 1))},
		{"claims with an overlong encoding", sign("HS256", secret, `{"alg":"HS256"}`, strings.Replace(claimsJSON(nil), "alice", "al\xc1\xa9ce", 1))},
		{"claims with a lone surrogate", sign("HS256", secret, `{"alg":"HS256"}`, strings.Replace(claimsJSON(nil), "alice", `al\ud800ce`, 1))},
		{"claims with a number beyond a double", hs256Token(map[string]any{"x": json.RawMessage("1e309")})},
		{"header with a number beyond a double", sign("HS256", secret, `{"alg":"HS256","x":[-1e555]}`, claimsJSON(nil))},
		{"claims with a control character", sign("HS256", secret, `{"alg":"HS256"}`, strings.Replace(claimsJSON(nil), "alice", "al\tce", 1))},
		{"claims nested too deeply", hs256Token(map[string]any{"x": json.RawMessage(strings.Repeat("[", 32) + strings.Repeat("]", 32))})},
		{"duplicate sub", sign("HS256", secret, `{"alg":"HS256"}`, `{"sub":"admin",`+claimsJSON(nil)[1:])},
		{"sub in two cases", hs256Token(map[string]any{"SUB": "admin"})},
		{"sub in two cases of Unicode", hs256Token(map[string]any{"\u017fub": "admin"})},
		{"sub twice by an escape", sign("HS256", secret, `{"alg":"HS256"}`, `{"\u0073ub":"admin",`+claimsJSON(nil)[1:])},
		{"duplicate iss behind", sign("HS256", secret, `{"alg":"HS256"}`, strings.TrimSuffix(claimsJSON(nil), "}")+`,"iss":"https://evil.example"}`)},
		{"duplicate at depth", hs256Token(map[string]any{"realm_access": json.RawMessage(`{"roles":[],"roles":["admin"]}`)})},
		{"duplicate at depth by an escape", hs256Token(map[string]any{"realm_access": json.RawMessage(`{"roles":[],"\u0072oles":["admin"]}`)})},
		// acceptance 26
		{"longer than 16 KiB", hs256Token(map[string]any{"x": strings.Repeat("x", 16<<10)})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := newGate(t).Verify(t.Context(), tt.token)
			e := requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrMalformed)
			assert.Equal(t, "invalid_token", e.Code)
			assert.Equal(t, "malformed", e.Reason())
			assert.Nil(t, got)
		})
	}
}

// Some issuers write these, and nothing in them has two readings.
func TestVerifyAcceptsHarmlessHabits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, header string
		claims       map[string]any
	}{
		// acceptance 23
		{"cty JWT", `{"alg":"HS256","cty":"JWT"}`, nil},
		{"cty jwt", `{"alg":"HS256","cty":"jWt"}`, nil},
		{"cty application/jwt", `{"alg":"HS256","cty":"application/JWT"}`, nil},
		{"cty is a number", `{"alg":"HS256","cty":1}`, nil},
		// acceptance 24
		{"kid is null", `{"alg":"HS256","kid":null}`, nil},
		// acceptance 16
		{"two cases at depth", `{"alg":"HS256"}`, map[string]any{"realm_access": []any{map[string]any{"roles": 1, "Roles": 2}}}},
		{"two cases at depth in the header", `{"alg":"HS256","x":{"roles":1,"Roles":2}}`, nil},
		{"client IDs that differ in case", `{"alg":"HS256"}`, map[string]any{"resource_access": map[string]any{"web": 1, "Web": 2, "\u212aey": 3, "key": 4}}},
		{"a claim and a member of another", `{"alg":"HS256"}`, map[string]any{"x": map[string]any{"SUB": "admin"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t)
			for range 2 { // the second time the gate remembers the header
				got, err := gate.Verify(t.Context(), sign("HS256", secret, tt.header, claimsJSON(tt.claims)))
				require.NoError(t, err)
				assert.Equal(t, "alice", got.Subject)
				assert.Empty(t, got.KeyID)
			}
		})
	}
}

// The text of a malformed token says which rule it breaks, with at most the names of members.
func TestMalformedTexts(t *testing.T) {
	t.Parallel()
	good := hs256Token(nil)
	header := func(s string) string { return sign("HS256", secret, s, claimsJSON(nil)) }
	claims := func(s string) string { return sign("HS256", secret, `{"alg":"HS256"}`, s) }
	for _, tt := range []struct{ token, text string }{
		{"Bearer " + good, `it starts with "Bearer "; wanted is the token alone`},
		{"undefined", `it is the word "undefined": the client has no token`},
		{"opaque", "it has 1 segment, and a token has 3, separated by dots: an opaque token is no JWT. Some issuers make signed JWTs only if the client names an audience"},
		{good + "\n", `it has the character "\n", which is not in base64url`},
		{good[:strings.LastIndexByte(good, '.')+1], "segment 3, the signature, is empty: the token is not signed"},
		{"a.b.c.d.e", "it has 5 segments, as an encrypted token has; a signed token has 3. Some issuers make signed JWTs only if the client names an audience"},
		{header(`{"alg":"HS256","alg":"none"}`), `header: the member "alg" occurs twice`},
		{header(`{"alg":"HS256","b64":false}`), "header: b64 is not true, and only base64url payloads are supported (RFC 7797)"},
		{header(`{"alg":"HS256","crit":["exp"]}`), "header: crit is set, and no extension is supported"},
		{header(`{"alg":"HS256","enc":"A256GCM"}`), "header: enc is set: the token is encrypted, and only signed tokens are supported"},
		{claims(`{"sub":"a","SUB":"b"}`), `claims: the members "sub" and "SUB" differ only in letter case`},
		{claims(`{"x":{"y":1,"y":2}}`), `claims: the member "y" occurs twice`},
		{claims(`{"sub":"\ud800"}`), `claims: JSON has a \u escape of half a character (a lone surrogate)`},
		{claims(`{"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`), "claims: JSON nested deeper than 32 levels"},
		{claims(`{"sub":"a",}`), "claims: not valid JSON"},
		{claims(`["a"]`), "claims: not a JSON object"},
		{claims(good), "claims: the payload is itself a token, not a JSON object"},
	} {
		_, err := newGate(t).Verify(t.Context(), tt.token)
		var e *jwtgate.Error
		require.ErrorAs(t, err, &e)
		assert.EqualError(t, e.Err, "malformed token: "+tt.text)
		assert.Less(t, len(err.Error()), 256)
	}

	// The header of a gateway has the scheme too.
	gate := newGate(t, func(o *jwtgate.Options) { o.Extract = jwtgate.Header("X-Token") })
	_, err := gate.Check(request("GET", "X-Token: Bearer "+good))
	requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrMalformed)
	assert.ErrorContains(t, err, `it starts with "Bearer "`)
}

// withTrailingBits changes the unused bits of the last character of a base64url segment. A lenient
// decoder decodes both segments to the same bytes.
func withTrailingBits(segment string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(segment) - 1
	if len(segment)%4 == 0 {
		panic("the last character has no unused bits")
	}
	return segment[:last] + string(alphabet[strings.IndexByte(alphabet, segment[last])^1])
}

func TestVerifyMaxTokenBytes(t *testing.T) {
	t.Parallel()
	// acceptance 26: a token that is too long is not decoded, so the gate does not see its bad character.
	token := hs256Token(nil)
	exact := newGate(t, func(o *jwtgate.Options) { o.MaxTokenBytes = len(token) })
	_, err := exact.Verify(t.Context(), token)
	require.NoError(t, err)
	_, err = exact.Verify(t.Context(), token+"!")
	e := requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrMalformed)
	assert.ErrorContains(t, e, "Options.MaxTokenBytes is 287")
}

// The key decides the algorithm. A token with another alg is refused.
func TestVerifyKeyDecidesAlgorithm(t *testing.T) {
	t.Parallel()
	rsaPublic := publicKey(rsaKey()).(*rsa.PublicKey)

	for _, tt := range []struct {
		name   string
		keys   jwtgate.KeySource
		header string
		method string
		key    any
	}{
		// acceptance 18
		{"alg missing", keys.HS256(secret), `{"typ":"JWT"}`, "HS256", secret},
		{"alg empty", keys.HS256(secret), `{"alg":""}`, "HS256", secret},
		{"alg none", keys.HS256(secret), `{"alg":"none"}`, "HS256", secret},
		{"alg None", keys.HS256(secret), `{"alg":"None"}`, "HS256", secret},
		{"alg nOnE", keys.HS256(secret), `{"alg":"nOnE"}`, "HS256", secret},
		{"alg unknown", keys.HS256(secret), `{"alg":"HS257"}`, "HS256", secret},
		{"alg in lower case", keys.HS256(secret), `{"alg":"hs256"}`, "HS256", secret},
		{"alg with a space", keys.HS256(secret), `{"alg":"HS256 "}`, "HS256", secret},
		{"Alg instead of alg", keys.HS256(secret), `{"Alg":"HS256"}`, "HS256", secret},
		// acceptance 19
		{"HS256 with the public modulus", keys.Public(rsaPublic), `{"alg":"HS256"}`, "HS256", rsaPublic.N.Bytes()},
		{"PS256 for an RS256 key", keys.Public(rsaPublic), `{"alg":"PS256"}`, "PS256", rsaKey()},
		{"RS256 for a PS256 key", keys.Static(newKey("", "PS256")), `{"alg":"RS256"}`, "RS256", rsaKey()},
		{"RS512 for an RS256 key", keys.Public(rsaPublic), `{"alg":"RS512"}`, "RS512", rsaKey()},
		{"HS512 for an HS256 key", keys.HS256(secret), `{"alg":"HS512"}`, "HS512", secret},
		{"ES256 for a P-384 key", keys.Static(newKey("", "ES384")), `{"alg":"ES256"}`, "ES256", p256Key()},
		{"EdDSA for an ES256 key", keys.Static(newKey("", "ES256")), `{"alg":"EdDSA"}`, "EdDSA", edKey()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) { o.Keys = tt.keys })
			_, err := gate.Verify(t.Context(), sign(tt.method, tt.key, tt.header, claimsJSON(nil)))
			requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrAlgorithm)
		})
	}

	t.Run("outside the list", func(t *testing.T) { // acceptance 18
		t.Parallel()
		source := keys.Static(newKey("", "RS256"), newKey("", "ES256"))
		gate := newGate(t, func(o *jwtgate.Options) { o.Keys = source; o.Algorithms = []string{"ES256"} })
		_, err := gate.Verify(t.Context(), sign("RS256", rsaKey(), `{"alg":"RS256"}`, claimsJSON(nil)))
		requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrAlgorithm)
		_, err = gate.Verify(t.Context(), sign("ES256", p256Key(), `{"alg":"ES256"}`, claimsJSON(nil)))
		require.NoError(t, err)
	})

	t.Run("unsigned", func(t *testing.T) { // acceptance 18
		t.Parallel()
		input := base64url(`{"alg":"none"}`) + "." + base64url(claimsJSON(nil))
		_, err := newGate(t).Verify(t.Context(), input+".")
		requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrMalformed)
		_, err = newGate(t).Verify(t.Context(), input+".AA")
		requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrAlgorithm)
	})
}

// Each signature has one accepted form.
func TestVerifySignatureForms(t *testing.T) {
	t.Parallel()

	t.Run("ECDSA", func(t *testing.T) { // acceptance 21
		t.Parallel()
		for algorithm, size := range map[string]int{"ES256": 32, "ES384": 48, "ES512": 66} {
			gate := newGate(t, func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("", algorithm)) })
			input := base64url(fmt.Sprintf(`{"alg":%q}`, algorithm)) + "." + base64url(claimsJSON(nil))
			signed := must(jwt.GetSigningMethod(algorithm).Sign(input, privateKey(algorithm)))
			zero := make([]byte, size)
			h := map[string]crypto.Hash{"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512}[algorithm].New()
			h.Write([]byte(input))
			der := must(ecdsa.SignASN1(rand.Reader, privateKey(algorithm).(*ecdsa.PrivateKey), h.Sum(nil)))
			order := privateKey(algorithm).(*ecdsa.PrivateKey).Params().N.FillBytes(make([]byte, size))

			_, err := gate.Verify(t.Context(), input+"."+base64url(signed))
			require.NoError(t, err)
			for name, signature := range map[string][]byte{
				"r zero":        append(zero, signed[size:]...),
				"s zero":        append(signed[:size:size], zero...),
				"both zero":     make([]byte, 2*size),
				"r the order":   append(order, signed[size:]...),
				"s the order":   append(signed[:size:size], order...),
				"one too short": signed[:2*size-1],
				"one too long":  append(signed[:2*size:2*size], 0),
				"zero in front": append([]byte{0}, signed...),
				"DER":           der,
				"r alone":       signed[:size],
			} {
				_, err := gate.Verify(t.Context(), input+"."+base64url(signature))
				assert.ErrorIs(t, err, jwtgate.ErrSignature, "%s %s", algorithm, name)
			}
		}
	})

	t.Run("RSA-PSS salt is as long as the hash", func(t *testing.T) {
		t.Parallel()
		for algorithm, hash := range map[string]crypto.Hash{"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512} {
			gate := newGate(t, func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("", algorithm)) })
			input := base64url(fmt.Sprintf(`{"alg":%q}`, algorithm)) + "." + base64url(claimsJSON(nil))
			h := hash.New()
			h.Write([]byte(input))
			for _, salt := range []int{0, 20, hash.Size() - 1, hash.Size(), hash.Size() + 1, rsa.PSSSaltLengthAuto} {
				signature := must(rsa.SignPSS(rand.Reader, rsaKey().(*rsa.PrivateKey), hash, h.Sum(nil), &rsa.PSSOptions{SaltLength: salt}))
				_, err := gate.Verify(t.Context(), input+"."+base64url(signature))
				if salt == hash.Size() {
					assert.NoError(t, err)
				} else {
					assert.ErrorIs(t, err, jwtgate.ErrSignature, "%s, salt of %d", algorithm, salt)
				}
			}
		}
	})

	t.Run("HMAC is compared whole", func(t *testing.T) {
		t.Parallel()
		token := hs256Token(nil)
		input := token[:strings.LastIndexByte(token, '.')]
		signature := must(base64.RawURLEncoding.DecodeString(token[len(input)+1:]))
		for n := 1; n < len(signature); n++ {
			_, err := newGate(t).Verify(t.Context(), input+"."+base64url(signature[:n]))
			require.ErrorIs(t, err, jwtgate.ErrSignature, "cut to %d bytes", n)
		}
		_, err := newGate(t).Verify(t.Context(), input+"."+base64url(append(signature, 0)))
		require.ErrorIs(t, err, jwtgate.ErrSignature)
	})

	t.Run("Ed25519 S is reduced", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("", "EdDSA")) })
		input := base64url(`{"alg":"EdDSA"}`) + "." + base64url(claimsJSON(nil))
		signature := must(jwt.SigningMethodEdDSA.Sign(input, edKey()))
		_, err := gate.Verify(t.Context(), input+"."+base64url(signature))
		require.NoError(t, err)
		// S plus the order of the group is another encoding of the same number (RFC 8032 section 5.1.7).
		order := must(base64.StdEncoding.DecodeString("7dP1XBpjEljWnPei3vneFAAAAAAAAAAAAAAAAAAAABA="))
		carry := 0
		for i, b := range order {
			carry += int(signature[32+i]) + int(b)
			signature[32+i] = byte(carry)
			carry >>= 8
		}
		_, err = gate.Verify(t.Context(), input+"."+base64url(signature))
		require.ErrorIs(t, err, jwtgate.ErrSignature)
	})
}

// acceptance 22: the gate ignores header parameters that carry or name a key.
func TestVerifyIgnoresKeysInTheHeader(t *testing.T) {
	t.Parallel()
	attacker := must(rsa.GenerateKey(rand.Reader, 2048))
	jwk := fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB"}`, base64url(attacker.N.Bytes()))
	gate := newGate(t, func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("", "RS256")) })
	for _, extra := range []string{
		`"jwk":` + jwk, `"jku":"https://evil.example/jwks"`, `"x5u":"https://evil.example/cert"`, `"x5c":["MIIB"]`,
		`"jwk":1,"jku":1,"x5u":1,"x5c":1`, `"x5t":"x","x5t#S256":"x"`,
	} {
		header := `{"alg":"RS256",` + extra + `}`
		_, err := gate.Verify(t.Context(), sign("RS256", attacker, header, claimsJSON(nil)))
		require.ErrorIs(t, err, jwtgate.ErrSignature, extra)
		_, err = gate.Verify(t.Context(), sign("RS256", rsaKey(), header, claimsJSON(nil)))
		require.NoError(t, err, extra)
	}
	// acceptance 23: the gate ignores cty.
	_, err := gate.Verify(t.Context(), sign("RS256", rsaKey(), `{"alg":"RS256","cty":"application/json"}`, claimsJSON(nil)))
	require.NoError(t, err)
	_, err = gate.Verify(t.Context(), sign("RS256", rsaKey(), `{"alg":"RS256","cty":"`+strings.Repeat("x", 2000)+`"}`, claimsJSON(nil)))
	require.NoError(t, err)
}

// typ must be one of Options.Types, by default absent, JWT or at+jwt, and at+jwt under RFC9068.
// acceptance 25
func TestVerifyType(t *testing.T) {
	t.Parallel()
	profile := map[string]any{"client_id": "web"}
	for _, tt := range []struct {
		name     string
		types    []string
		rfc9068  bool
		typ      string // as JSON; "" if the header has no typ
		accepted bool
	}{
		{"absent", nil, false, ``, true},
		{"JWT", nil, false, `"JWT"`, true},
		{"jwt", nil, false, `"jwt"`, true},
		{"application/jwt", nil, false, `"Application/JWT"`, true},
		{"at+jwt", nil, false, `"at+jwt"`, true},
		{"application/at+jwt", nil, false, `"application/AT+JWT"`, true},
		{"empty", nil, false, `""`, false},
		{"with parameters", nil, false, `"application/jwt; charset=utf-8"`, false},
		{"of another tree", nil, false, `"text/jwt"`, false},
		{"application/ alone", nil, false, `"application/"`, false},
		{"Kelvin sign", []string{"k"}, false, "\"\u212a\"", false},
		{"dpop+jwt", nil, false, `"dpop+jwt"`, false},
		{"logout+jwt", nil, false, `"logout+jwt"`, false},
		{"secevent+jwt", nil, false, `"application/secevent+jwt"`, false},
		{"statuslist+jwt", nil, false, `"statuslist+jwt"`, false},
		{"oauth-authz-req+jwt", nil, false, `"oauth-authz-req+jwt"`, false},
		{"JOSE", nil, false, `"JOSE"`, false},
		{"listed", []string{"secevent+jwt"}, false, `"application/secevent+jwt"`, true},
		{"listed, absent", []string{"secevent+jwt"}, false, ``, false},
		{"listed, another", []string{"secevent+jwt"}, false, `"JWT"`, false},
		{"only absent listed", []string{""}, false, ``, true},
		{"only absent listed, JWT", []string{""}, false, `"JWT"`, false},
		{"RFC9068", nil, true, `"at+jwt"`, true},
		{"RFC9068, long form", nil, true, `"application/at+jwt"`, true},
		{"RFC9068, JWT", nil, true, `"JWT"`, false},
		{"RFC9068, absent", nil, true, ``, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) { o.Types = tt.types; o.RFC9068 = tt.rfc9068 })
			header := `{"alg":"HS256"}`
			if tt.typ != "" {
				header = `{"alg":"HS256","typ":` + tt.typ + `}`
			}
			_, err := gate.Verify(t.Context(), sign("HS256", secret, header, claimsJSON(profile)))
			if tt.accepted {
				require.NoError(t, err)
			} else {
				requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrType)
			}
		})
	}
}

// The gate asks the source for no key of an iss that is only similar to a trusted one, because the
// source might fetch.
func TestVerifyAsksForNoSimilarIssuer(t *testing.T) {
	t.Parallel()
	asked := 0
	gate := newGate(t, func(o *jwtgate.Options) {
		o.Keys = jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) {
			asked++
			return nil, nil
		})
	})
	for _, iss := range []string{strings.ToUpper(issuer), issuer + "x", issuer + "/", strings.TrimSuffix(issuer, "/"), " " + issuer, ""} {
		_, err := gate.Verify(t.Context(), hs256Token(map[string]any{"iss": iss}))
		requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrIssuer)
	}
	assert.Zero(t, asked)
	_, err := gate.Verify(t.Context(), hs256Token(nil))
	requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrUnknownKey)
	assert.Equal(t, 1, asked)
}

// The gate tries at most four keys that have the algorithm and the ID of the token.
func TestVerifyKeys(t *testing.T) {
	t.Parallel()
	other := []byte(strings.Repeat("o", 32))
	hs := func(kid string, secret []byte) *jwtgate.Key { return must(jwtgate.NewKey(kid, "HS256", secret)) }
	source := func(ks ...*jwtgate.Key) jwtgate.KeySource {
		return jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) { return ks, nil })
	}
	right, wrong := hs("", secret), hs("", other)
	for _, tt := range []struct {
		name   string
		source jwtgate.KeySource
		kid    string
		err    error
	}{
		{"key without ID", source(right), "whatever", nil},
		{"key with the ID", source(hs("a", other), hs("b", secret)), "b", nil},
		// acceptance 29
		{"ID in another case", source(hs("B", secret)), "b", jwtgate.ErrUnknownKey},
		{"two keys with one ID", source(hs("a", other), hs("a", secret)), "a", nil},
		{"fourth of one ID", source(hs("a", other), hs("a", other), hs("a", other), hs("a", secret)), "a", nil},
		{"fifth of one ID", source(hs("a", other), hs("a", other), hs("a", other), hs("a", other), hs("a", secret)), "a", jwtgate.ErrSignature},
		{"right key under another ID", source(hs("a", secret), hs("b", other)), "b", jwtgate.ErrSignature},
		// acceptance 30
		{"no kid, fourth key", source(hs("a", other), hs("b", other), hs("c", other), hs("d", secret)), "", nil},
		{"no kid, fifth key", source(hs("a", other), hs("b", other), hs("c", other), hs("d", other), hs("e", secret)), "", jwtgate.ErrSignature},
		{"keys for other algorithms or IDs do not count", source(newKey("a", "RS256"), newKey("a", "ES256"), hs("b", other), hs("c", other), hs("d", other), hs("a", secret)), "a", nil},
		{"no keys", source(), "a", jwtgate.ErrUnknownKey},
		{"nil and zero keys", source(nil, &jwtgate.Key{}), "a", jwtgate.ErrUnknownKey},
		{"nil and zero keys beside a good one", source(nil, &jwtgate.Key{}, right), "a", nil},
		{"key for another algorithm", source(newKey("a", "RS256")), "a", jwtgate.ErrAlgorithm},
		{"wrong key", source(wrong), "a", jwtgate.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) { o.Keys = tt.source })
			header := `{"alg":"HS256"}`
			if tt.kid != "" {
				header = fmt.Sprintf(`{"alg":"HS256","kid":%q}`, tt.kid)
			}
			_, err := gate.Verify(t.Context(), sign("HS256", secret, header, claimsJSON(nil)))
			if tt.err == nil {
				require.NoError(t, err)
			} else {
				requireRefused(t, err, http.StatusUnauthorized, tt.err)
			}
		})
	}
}

// A keysForAlgorithm is an AlgorithmSource whose method Keys must not be called.
type keysForAlgorithm func(kid, algorithm string) ([]*jwtgate.Key, error)

func (keysForAlgorithm) Keys(context.Context, string, string) ([]*jwtgate.Key, error) {
	return nil, errors.New("Keys was called instead of KeysFor")
}

func (f keysForAlgorithm) KeysFor(_ context.Context, _, kid, algorithm string) ([]*jwtgate.Key, error) {
	return f(kid, algorithm)
}

// A gate calls KeysFor instead of Keys. The error of KeysFor matters only if none of its keys verifies the token.
func TestAlgorithmSource(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	right, wrong := must(jwtgate.NewKey("", "HS256", secret)), newKey("", "HS256")
	for _, cacheSize := range []int{0, 10} {
		var keys []*jwtgate.Key
		var problem error
		var asked []string
		gate := newGate(t, func(o *jwtgate.Options) {
			o.CacheSize = cacheSize
			o.Keys = keysForAlgorithm(func(kid, algorithm string) ([]*jwtgate.Key, error) {
				asked = append(asked, kid+" "+algorithm)
				return keys, problem
			})
		})
		token := sign("HS256", secret, `{"alg":"HS256","kid":"k"}`, claimsJSON(nil))
		for _, tt := range []struct {
			name    string
			keys    []*jwtgate.Key
			problem error
			refusal error // nil if the token is accepted
			status  int
		}{
			{"a key", []*jwtgate.Key{right}, nil, nil, 0},
			{"a key and an error", []*jwtgate.Key{wrong, right}, down, nil, 0},
			{"an error", nil, down, down, 503},
			{"another key and an error", []*jwtgate.Key{wrong, newKey("", "ES256"), nil}, down, down, 503},
			{"another key and a refusal", []*jwtgate.Key{wrong}, jwtgate.ErrRevoked, jwtgate.ErrRevoked, 401},
			{"another key", []*jwtgate.Key{wrong}, nil, jwtgate.ErrSignature, 401},
			{"no key", nil, nil, jwtgate.ErrUnknownKey, 401},
			{"a key for another algorithm", []*jwtgate.Key{newKey("", "ES256")}, nil, jwtgate.ErrAlgorithm, 401},
		} {
			asked, keys, problem = nil, tt.keys, tt.problem
			_, err := gate.Verify(t.Context(), token)
			if tt.refusal == nil {
				require.NoError(t, err, tt.name)
			} else {
				requireRefused(t, err, tt.status, tt.refusal)
			}
			assert.Subset(t, []string{"k HS256"}, asked, tt.name)
			assert.NotEmpty(t, asked, tt.name)
		}

		asked, keys, problem = nil, []*jwtgate.Key{right}, nil
		assert.NoError(t, gate.Ready(t.Context()))
		assert.Contains(t, asked, " HS256")
		assert.Contains(t, asked, " EdDSA")
		problem = down
		assert.ErrorIs(t, gate.Ready(t.Context()), down)
	}
}

// A rechecker is a Rechecker that records what Recheck is asked.
type rechecker struct {
	jwtgate.KeySourceFunc
	more  []*jwtgate.Key
	asked []string
}

func (r *rechecker) Recheck(_ context.Context, issuer, kid, algorithm string, tried []*jwtgate.Key) []*jwtgate.Key {
	r.asked = append(r.asked, fmt.Sprint(issuer, " ", kid, " ", algorithm, " ", tried))
	return r.more
}

// acceptance 93: a gate asks a Rechecker for other keys, once for a token, if no key verifies the signature or a
// key with the right ID is for another algorithm. A failure there is no outage.
func TestRechecker(t *testing.T) {
	t.Parallel()
	hs := func(kid string, fill string) *jwtgate.Key {
		return must(jwtgate.NewKey(kid, "HS256", []byte(strings.Repeat(fill, 32))))
	}
	list := func(ks ...*jwtgate.Key) []*jwtgate.Key { return ks }
	right, old, es := must(jwtgate.NewKey("k", "HS256", secret)), hs("k", "o"), newKey("k", "ES256")
	const withOld, withNone = `k HS256 [key "k" for HS256]`, `k HS256 []`
	down := errors.New("down")
	for _, tt := range []struct {
		name    string
		keys    []*jwtgate.Key // of Keys
		problem error          // of Keys
		more    []*jwtgate.Key // of Recheck
		asked   string         // "" if Recheck is not called
		refusal error          // nil if the token is accepted
		text    string         // of the refusal
	}{
		{"replaced", list(old), nil, list(right), withOld, nil, ""},
		{"replaced by one without ID", list(old), nil, list(must(jwtgate.NewKey("", "HS256", secret))), withOld, nil, ""},
		{"for another algorithm before", list(es), nil, list(es, right), withNone, nil, ""},
		{"among keys that do not fit", list(old), nil, list(nil, &jwtgate.Key{}, es, hs("other", "x"), old, hs("k", "x"), right), withOld, nil, ""},
		{"the fourth", list(old), nil, list(hs("k", "1"), hs("k", "2"), hs("k", "3"), right), withOld, nil, ""},

		{"no others", list(old), nil, nil, withOld, jwtgate.ErrSignature, `not made with the only secret for kid "k"`},
		{"the tried one", list(old), nil, list(old), withOld, jwtgate.ErrSignature, `not made with the only secret for kid "k"`},
		{"the tried one, made anew", list(old), nil, list(hs("k", "o")), withOld, jwtgate.ErrSignature, `not made with the only secret for kid "k"`},
		{"another wrong one", list(old), nil, list(hs("k", "x")), withOld, jwtgate.ErrSignature, "made with none of the 2 secrets tried"},
		{"the fifth", list(old), nil, list(hs("k", "1"), hs("k", "2"), hs("k", "3"), hs("k", "4"), right), withOld, jwtgate.ErrSignature, "made with none of the 5 secrets tried"},
		{"the right one under another ID", list(old), nil, list(must(jwtgate.NewKey("x", "HS256", secret))), withOld, jwtgate.ErrSignature, "the only secret"},
		{"still for another algorithm", list(es), nil, list(es), withNone, jwtgate.ErrAlgorithm, `key "k" is for ES256`},
		{"a wrong one for the algorithm", list(es), nil, list(hs("k", "x")), withNone, jwtgate.ErrSignature, "the only secret"},

		{"not asked for a good token", list(right), nil, nil, "", nil, ""},
		{"not asked for an unknown key", list(hs("x", "x")), nil, list(right), "", jwtgate.ErrUnknownKey, "no key with that ID"},
		{"not asked without keys", nil, nil, list(right), "", jwtgate.ErrUnknownKey, "no key with that ID"},
		{"not asked in an outage", nil, down, list(right), "", jwtgate.ErrUnavailable, "down"},
	} {
		for _, cacheSize := range []int{0, 10} {
			t.Run(fmt.Sprintf("%s, CacheSize %d", tt.name, cacheSize), func(t *testing.T) {
				t.Parallel()
				source := &rechecker{more: tt.more, KeySourceFunc: func(context.Context, string, string) ([]*jwtgate.Key, error) { return tt.keys, tt.problem }}
				gate := newGate(t, func(o *jwtgate.Options) { o.Keys, o.CacheSize = source, cacheSize })
				token := sign("HS256", secret, `{"alg":"HS256","kid":"k"}`, claimsJSON(nil))
				for round := range 2 { // a remembered token whose key Keys does not return is verified as a new one
					source.asked = nil
					_, err := gate.Verify(t.Context(), token)
					if tt.refusal == nil {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, tt.refusal)
						assert.ErrorContains(t, err, tt.text)
					}
					if tt.asked == "" {
						assert.Empty(t, source.asked, "round %d", round)
					} else {
						assert.Equal(t, []string{issuer + " " + tt.asked}, source.asked, "round %d", round)
					}
				}
			})
		}
	}
	t.Run("not asked about a signature of the wrong length", func(t *testing.T) {
		t.Parallel()
		source := &rechecker{KeySourceFunc: func(context.Context, string, string) ([]*jwtgate.Key, error) { return list(right), nil }}
		gate := newGate(t, func(o *jwtgate.Options) { o.Keys = source })
		token := sign("HS256", secret, `{"alg":"HS256","kid":"k"}`, claimsJSON(nil))
		_, err := gate.Verify(t.Context(), token[:len(token)-3])
		require.ErrorIs(t, err, jwtgate.ErrSignature)
		assert.Empty(t, source.asked)
	})
}

// The gate asks the source only for keys of trusted issuers. It asks for no keys if it refuses the
// token without them.
func TestVerifyAsksForKeysOfTrustedIssuersOnly(t *testing.T) {
	t.Parallel()
	type question struct{ issuer, kid string }
	for _, tt := range []struct {
		name   string
		token  string
		change func(*jwtgate.Options)
		asked  []question
	}{
		{"trusted", sign("HS256", secret, `{"alg":"HS256","kid":"k"}`, claimsJSON(nil)), nil, []question{{issuer, "k"}}},
		{"second issuer", hs256Token(map[string]any{"iss": "https://b.example"}),
			func(o *jwtgate.Options) { o.Issuers = []string{issuer, "https://b.example"} }, []question{{"https://b.example", ""}}},
		{"any issuer", hs256Token(nil), func(o *jwtgate.Options) { o.Issuers = nil; o.AnyIssuer = true }, []question{{"", ""}}},
		{"untrusted issuer", hs256Token(map[string]any{"iss": "https://evil.example"}), nil, nil},
		{"not approved", hs256Token(nil), func(o *jwtgate.Options) { o.Issuers = nil; o.TrustIssuer = func(string) bool { return false } }, nil},
		{"no issuer", hs256Token(map[string]any{"iss": nil}), nil, nil},
		{"unsupported alg", sign("HS256", secret, `{"alg":"none","kid":"k"}`, claimsJSON(nil)), nil, nil},
		{"malformed", hs256Token(nil) + "=", nil, nil},
		{"malformed before iss", sign("HS256", secret, `{"alg":"HS256"}`, `{"a":nil,`+claimsJSON(nil)[1:]), nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked []question
			gate := newGate(t, func(o *jwtgate.Options) {
				if tt.change != nil {
					tt.change(o)
				}
				o.Keys = jwtgate.KeySourceFunc(func(_ context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
					asked = append(asked, question{issuer, kid})
					return nil, nil
				})
			})
			_, err := gate.Verify(t.Context(), tt.token)
			require.Error(t, err)
			assert.Equal(t, tt.asked, asked)
		})
	}
}

// An error of the key source is 503, even if the source also returns keys.
// acceptance 10, 55
func TestVerifyUnavailableKeys(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"any error":        errors.New("dial tcp: connection refused"),
		"unavailable":      fmt.Errorf("fetching: %w", jwtgate.ErrUnavailable),
		"deadline":         context.DeadlineExceeded,
		"with Retry-After": &jwtgate.Error{Status: http.StatusServiceUnavailable, RetryAfter: 17 * time.Second, Err: jwtgate.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) {
				o.Keys = jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) {
					return []*jwtgate.Key{must(jwtgate.NewKey("", "HS256", secret))}, err
				})
			})
			_, got := gate.Verify(t.Context(), hs256Token(nil))
			e := requireRefused(t, got, http.StatusServiceUnavailable, err)
			assert.Empty(t, e.Code)
			assert.Equal(t, "unavailable", e.Reason())
			if name == "with Retry-After" {
				assert.Equal(t, 17*time.Second, e.RetryAfter)
			}
		})
	}
}

func TestVerifyWithoutToken(t *testing.T) {
	t.Parallel()
	_, err := newGate(t).Verify(t.Context(), "")
	e := requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrNoToken)
	assert.Empty(t, e.Code)
}

func TestVerifyRules(t *testing.T) {
	t.Parallel()
	type contextKey struct{}
	var seen *http.Request
	gate := newGate(t, func(o *jwtgate.Options) {
		o.Rules = []jwtgate.Rule{jwtgate.RuleFunc(func(r *http.Request, _ *jwtgate.Token) error { seen = r; return nil })}
	})
	_, err := gate.Verify(context.WithValue(t.Context(), contextKey{}, "here"), hs256Token(nil))
	require.NoError(t, err)
	// Verify has no request, but a rule gets an empty one that it can read without a panic.
	assert.Equal(t, "here", seen.Context().Value(contextKey{}))
	assert.Empty(t, seen.URL.Path)
	assert.Empty(t, seen.Header.Get("Accept"))
	seen.Header.Set("X", "y")
	_, err = gate.Verify(t.Context(), hs256Token(nil))
	require.NoError(t, err)
	assert.Empty(t, seen.Header.Get("X"))

	_, err = gate.Require(jwtgate.Scope("admin")).Verify(t.Context(), hs256Token(nil))
	e := requireRefused(t, err, http.StatusForbidden, jwtgate.ErrForbidden)
	assert.Equal(t, "admin", e.Scope)
}

// A refusal allocates less than 4 KiB, even for a token of 11 KB.
func TestRefusalsAllocateLittle(t *testing.T) {
	gate := newGate(t)
	signature := base64url(strings.Repeat("x", 32))
	token := func(header, payload string) string {
		return base64url(header) + "." + base64url(payload) + "." + signature
	}
	fill := func(s string) string { return strings.TrimSuffix(strings.Repeat(s, 11_000/len(s)), ",") }
	for name, token := range map[string]string{
		"unknown algorithm":      token(`{"alg":"x","x":"`+fill("x")+`"}`, claimsJSON(nil)),
		"many header parameters": token(`{"alg":"HS256",`+fill(`"a":0,`)+`}`, claimsJSON(nil)),
		"numbers in the header":  token(`{"alg":"HS256","x":[`+fill("1014003855441344542789772e284,")+`]}`, claimsJSON(nil)),
		"numbers in the claims":  token(`{"alg":"HS256"}`, `{"x":[`+fill("1014003855441344542789772e284,")+`]}`),
		"nested arrays":          token(`{"alg":"HS256"}`, `{"x":`+fill("[")+`}`),
		"long issuer":            token(`{"alg":"HS256"}`, `{"iss":"`+fill("i")+`"}`),
		"bad base64":             token(`{"alg":"HS256"}`, fill("x"))[:11_000] + "A." + signature,
		"bad signature":          token(`{"alg":"HS256"}`, claimsJSON(map[string]any{"x": fill("x")})),
		"dots":                   fill("."),
	} {
		_, err := gate.Verify(t.Context(), token) // allocates the buffers that later calls reuse
		require.Error(t, err, name)
		// The least of 50, because the garbage collector empties each sync.Pool, and the race detector
		// makes a sync.Pool drop values at random.
		least := uint64(math.MaxUint64)
		for range 50 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = gate.Verify(t.Context(), token)
			runtime.ReadMemStats(&after)
			least = min(least, after.TotalAlloc-before.TotalAlloc)
		}
		assert.Less(t, least, uint64(4096), name)
	}
}

// An interopFile has tokens that other libraries signed, with their keys.
type interopFile struct {
	Now    int64 // the time of the gate, in seconds since 1970
	Tokens []struct {
		Library, Algorithm, Kid, Token, Secret, PEM, Certificate string
		JWK                                                      json.RawMessage
	}
}

func readInterop(t testing.TB, name string) (file interopFile) {
	require.NoError(t, json.Unmarshal(must(os.ReadFile("testdata/interop/"+name)), &file))
	require.NotEmpty(t, file.Tokens)
	return file
}

// mldsaTokens returns tokens of the algorithms of RFC 9964, which need Go 1.27.
func mldsaTokens(t testing.TB) interopFile { return readInterop(t, "mldsa.json") }

// TestVerifyInterop verifies tokens that libraries in other languages signed.
func TestVerifyInterop(t *testing.T) {
	t.Parallel()
	file := readInterop(t, "tokens.json")
	libraries := map[string]bool{}
	for _, tt := range file.Tokens {
		library, _, _ := strings.Cut(tt.Library, " ")
		libraries[library] = true
		t.Run(tt.Kid, func(t *testing.T) {
			t.Parallel()
			sources := map[string]jwtgate.KeySource{}
			if tt.Secret != "" {
				secret := must(base64.RawURLEncoding.DecodeString(tt.Secret))
				sources["secret"] = keys.Static(must(jwtgate.NewKey(tt.Kid, tt.Algorithm, secret)))
			} else {
				sources["JWK"] = keys.JWKS([]byte(`{"keys":[` + string(tt.JWK) + `]}`))
			}
			if tt.PEM != "" {
				sources["PEM"] = keys.PEM([]byte(tt.PEM))
			}
			if tt.Certificate != "" {
				sources["certificate"] = keys.PEM([]byte(tt.Certificate))
			}
			for name, source := range sources {
				gate := newGate(t, func(o *jwtgate.Options) {
					o.Keys = source
					o.Now = fixedClock(time.Unix(file.Now, 0))
				})
				got, err := gate.Verify(t.Context(), tt.Token)
				require.NoError(t, err, name)
				assert.Equal(t, "alice", got.Subject)
				assert.Equal(t, tt.Algorithm, got.Algorithm)
				assert.Equal(t, []string{"orders:read", "orders:write"}, got.Scopes)
				var extra struct{ Name string }
				require.NoError(t, got.Decode(&extra))
				assert.Equal(t, "Zo\u00eb \u4e2d\u6587 \U0001d11e", extra.Name)
			}
		})
	}
	assert.GreaterOrEqual(t, len(libraries), 2)
}

// FuzzVerifyAgreesWithGolangJWT signs any header and claims. If the gate accepts the token,
// golang-jwt in its strictest configuration accepts it too, and both read the same claims.
func FuzzVerifyAgreesWithGolangJWT(f *testing.F) {
	for _, header := range []string{
		`{"alg":"HS256"}`, `{"alg":"HS256","typ":"JWT","kid":"k"}`, `{"typ":"at+jwt","alg":"HS256","x5c":[1]}`,
		`{"alg":"HS256","crit":["b64"],"b64":false}`, ` { "\u0061lg" : "HS256" } `, `{"alg":"HS256","Alg":"none"}`,
	} {
		f.Add([]byte(header), []byte(claimsJSON(nil)))
	}
	for _, changes := range []map[string]any{
		{"nbf": now.Unix()}, {"exp": 1.7672292e9}, {"exp": json.RawMessage("1e300")}, {"aud": []string{"x", audience}},
		{"sub": nil}, {"big": json.RawMessage("12345678901234567890123")}, {"SUB": "x"}, {"scope": []string{"a"}},
		{"name": "Zo\u00eb \U0001d11e"}, {"deep": []any{map[string]any{"a": []any{nil, true}}}},
	} {
		f.Add([]byte(`{"alg":"HS256"}`), []byte(claimsJSON(changes)))
	}
	f.Add([]byte(`{"alg":"HS256"}`), []byte(strings.ReplaceAll(claimsJSON(nil), "/", `\/`)))

	gate := newGate(f, func(o *jwtgate.Options) { o.Leeway = -1 })
	strict := jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
		jwt.WithTimeFunc(fixedClock(now)))
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		token := sign("HS256", secret, string(header), string(claims))
		got, err := gate.Verify(t.Context(), token)
		if err != nil {
			return
		}
		theirs, err := strict.Parse(token, func(*jwt.Token) (any, error) { return secret, nil })
		require.NoError(t, err)

		ours := jwt.MapClaims{}
		require.NoError(t, got.Decode(&ours))
		require.Equal(t, theirs.Claims, ours)
		subject, err := theirs.Claims.GetSubject()
		require.NoError(t, err)
		require.Equal(t, subject, got.Subject)
		audiences, err := theirs.Claims.GetAudience()
		require.NoError(t, err)
		require.Equal(t, []string(audiences), got.Audience)
		expires, err := theirs.Claims.GetExpirationTime()
		require.NoError(t, err)
		require.WithinDuration(t, expires.Time, got.Expires, time.Second)
		require.Equal(t, theirs.Header["alg"], got.Algorithm)
	})
}

// FuzzVerify gives the gate arbitrary tokens. The gate never panics, every token it accepts has the
// signature that the key makes, and every refusal has status 401.
func FuzzVerify(f *testing.F) {
	good := hs256Token(nil)
	for _, token := range []string{good, good + "=", good + "\n", "." + good, good[:len(good)-1], strings.ToUpper(good), "..", "a.b.c", ""} {
		f.Add(token)
	}
	gate := newGate(f)
	f.Fuzz(func(t *testing.T, token string) {
		got, err := gate.Verify(t.Context(), token)
		if err == nil {
			require.NotNil(t, got)
			input := token[:strings.LastIndexByte(token, '.')]
			require.Equal(t, signEncoded("HS256", secret, input), token)
			return
		}
		var e *jwtgate.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, http.StatusUnauthorized, e.Status)
		require.Less(t, len(err.Error()), 256) // acceptance 33
		require.NotContains(t, err.Error(), secret)
	})
}

// FuzzVerifyOnlyTheOriginal changes a genuine token step by step: its bytes, its structure, and
// parts that come from a second genuine token. The gate accepts only the tokens that were signed, to
// the byte. (ES256 has a second valid form of each signature. No step makes that form.)
func FuzzVerifyOnlyTheOriginal(f *testing.F) {
	type pair struct {
		gate     *jwtgate.Gate
		subjects map[string]string // by genuine token
		tokens   [2]string
	}
	var pairs []pair
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		k := newKey("k1", algorithm)
		p := pair{gate: newGate(f, func(o *jwtgate.Options) { o.Keys = keys.Static(k); o.CacheSize = 16 }), subjects: map[string]string{}}
		for i, subject := range []string{"alice", "bob"} {
			p.tokens[i] = sign(algorithm, privateKey(algorithm), `{"alg":"`+algorithm+`","kid":"k1"}`, claimsJSON(map[string]any{"sub": subject}))
			p.subjects[p.tokens[i]] = subject
		}
		pairs = append(pairs, p)
	}
	for step := range byte(14) {
		f.Add(byte(0), []byte{step, 0, 3, 'x'})
		f.Add(byte(3), []byte{step, 1, 5, '='})
		f.Add(byte(2), []byte{step, 2, 0, '.', step, 2, 0, '.'})
	}
	f.Fuzz(func(t *testing.T, choice byte, steps []byte) {
		p := pairs[int(choice)%len(pairs)]
		parts, others := strings.Split(p.tokens[0], "."), strings.Split(p.tokens[1], ".")
		for ; len(steps) >= 4 && len(parts) > 0; steps = steps[4:] {
			i, at, c := int(steps[1])%len(parts), int(steps[2]), string(rune(steps[3]))
			part := parts[i]
			at = min(at, len(part))
			text, err := base64.RawURLEncoding.DecodeString(part)
			place := min(at, len(text))
			switch steps[0] % 14 {
			case 0: // insert
				parts[i] = part[:at] + c + part[at:]
			case 1: // delete
				parts[i] = part[:at] + part[min(at+1, len(part)):]
			case 2: // replace
				parts[i] = part[:at] + c + part[min(at+1, len(part)):]
			case 3: // truncate
				parts[i] = part[:at]
			case 4: // take the other token's segment
				parts[i] = others[i%3]
			case 5: // add a segment
				parts = slices.Insert(parts, i, part)
			case 6: // remove a segment
				parts = slices.Delete(parts, i, i+1)
			case 7: // swap two segments
				parts[0], parts[i] = parts[i], parts[0]
			case 8: // change the trailing bits
				if err == nil && len(part)%4 > 1 && !strings.ContainsAny(part, "\r\n") {
					parts[i] = withTrailingBits(part)
				}
			case 9: // encode as standard base64, with padding
				if err == nil {
					parts[i] = base64.StdEncoding.EncodeToString(text)
				}
			case 10: // insert into the decoded text
				parts[i] = base64url(slices.Insert(slices.Clone(text), place, []byte(c)...))
			case 11: // flip a bit
				if place < len(text) {
					text[place] ^= 1 << (steps[3] % 8)
					parts[i] = base64url(text)
				}
			case 12: // add a duplicate of sub, with an escape in its name
				parts[i] = base64url(bytes.Replace(text, []byte("{"), []byte(`{"su\u0062":"`+c+`",`), 1))
			case 13: // add white space between the JSON members
				parts[i] = base64url(bytes.ReplaceAll(text, []byte(","), []byte(" , ")))
			}
		}
		token := strings.Join(parts, ".")
		got, err := p.gate.Verify(t.Context(), token)
		if subject, genuine := p.subjects[token]; genuine {
			require.NoError(t, err)
			require.Equal(t, subject, got.Subject)
			return
		}
		require.Error(t, err, token)
	})
}

// BenchmarkVerify compares Verify with the bare check of the same signature, for each algorithm.
func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		token := sign(algorithm, privateKey(algorithm), fmt.Sprintf(`{"typ":"JWT","alg":%q,"kid":"k1"}`, algorithm), claimsJSON(map[string]any{
			"nbf": now.Unix(), "client_id": "web", "name": "Alice", "email": "alice@example.com", "roles": []string{"admin", "user"},
		}))
		dot := strings.LastIndexByte(token, '.')
		signature := must(base64.RawURLEncoding.DecodeString(token[dot+1:]))
		b.Run(algorithm+"/bare", func(b *testing.B) {
			method, key := jwt.GetSigningMethod(algorithm), publicKey(privateKey(algorithm))
			b.ReportAllocs()
			for b.Loop() {
				if err := method.Verify(token[:dot], signature, key); err != nil {
					b.Fatal(err)
				}
			}
		})
		for name, size := range map[string]int{"gate": 0, "cached": 16} {
			b.Run(algorithm+"/"+name, func(b *testing.B) {
				gate := newGate(b, func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("k1", algorithm)); o.CacheSize = size })
				b.ReportAllocs()
				for b.Loop() {
					if _, err := gate.Verify(b.Context(), token); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
