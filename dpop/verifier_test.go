package dpop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
)

const invalidProof = "invalid_dpop_proof"

func TestGoodProofs(t *testing.T) {
	t.Parallel()
	for _, c := range []*client{p256Client, ed25519Client, {"EdDSA", ed25519Client.key}, rsaClient()} {
		t.Run(c.alg, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, &dpop.Verifier{})
			token := c.token()
			for range 3 { // the second time the client is known
				proof := c.draft("GET", "https://api.example.com/orders", token).sign()
				w := send(gate, newRequest("GET", "/orders?x=y", "Authorization: DPoP "+token, "DPoP: "+proof))
				assert.NoError(t, w.err)
				w = send(gate, newRequest("GET", "/orders?x=y", "Authorization: DPoP "+token, "DPoP: "+proof))
				assert.Equal(t, invalidProof, w.code(), "again")
			}
		})
	}
}

// with returns a change of one member of a header or of claims. nil removes it.
func with(name string, value any) func(map[string]any) {
	return func(m map[string]any) { m[name] = value }
}

// A hostile proof, or a good one that looks odd, in each of the ways that a client can
// choose. Each is sent by a client that is not known and by one that is.
func TestProofs(t *testing.T) {
	t.Parallel()
	const url = "https://api.example.com/orders/42"
	token := p256Client.token()
	jwk := func(changes map[string]any) map[string]any {
		key := p256Client.jwk()
		maps.Copy(key, changes)
		return key
	}
	x := p256Client.jwk()["x"].(string)
	for _, tt := range []struct {
		name   string
		header func(map[string]any)
		claims func(map[string]any)
		draft  func(*draft)
		sent   func(r *http.Request, proof string) // sets the headers in place of the usual ones
		code   string                              // "" if the request passes
		reason string
	}{
		{name: "good"},
		{name: "with other claims and parameters", claims: with("foo", map[string]any{"a": 1}), header: with("foo", "bar")},
		{name: "with exp", claims: with("exp", now.Add(time.Minute).Unix())},
		{name: "ended by its own exp", claims: with("exp", now.Add(-time.Minute).Unix()), code: invalidProof, reason: "exp was"},
		{name: "nonce null", claims: with("nonce", json.RawMessage("null"))},
		{name: "a nonce that is not needed", claims: with("nonce", "abc")},
		{name: "nonce a number", claims: with("nonce", 1), code: invalidProof, reason: "nonce is not a string"},

		// acceptance 69
		{name: "no proof", sent: func(*http.Request, string) {}, code: invalidProof, reason: "the request has no header DPoP"},
		{name: "two lines", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{proof, proof} }, code: invalidProof, reason: "2 lines"},
		{name: "two proofs in one line", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{proof + ", " + proof} }, code: invalidProof, reason: "5 segments"},
		{name: "the name in another spelling", sent: func(r *http.Request, proof string) { r.Header["DPoP"] = []string{proof} }, code: invalidProof, reason: `an adapter wrote "DPoP"`},
		{name: "a second spelling beside it", sent: func(r *http.Request, proof string) {
			r.Header["Dpop"], r.Header["dPOP"] = []string{proof}, []string{proof}
		}, code: invalidProof, reason: `an adapter wrote "dPOP"`},
		{name: "empty", sent: func(r *http.Request, _ string) { r.Header["Dpop"] = []string{""} }, code: invalidProof, reason: "no JWT"},

		// acceptance 70
		{name: "too long", claims: with("fill", strings.Repeat("x", 8<<10)), code: invalidProof, reason: "the limit is 8192"},
		{name: "a space before it", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{" " + proof} }, code: invalidProof, reason: "no JWT"},
		{name: "a line break in it", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{proof[:9] + "\n" + proof[9:]} }, code: invalidProof, reason: "no JWT"},
		{name: "with its scheme", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{"DPoP " + proof} }, code: invalidProof, reason: "no JWT"},
		{name: "without signature", sent: func(r *http.Request, proof string) {
			r.Header["Dpop"] = []string{proof[:strings.LastIndexByte(proof, '.')+1]}
		}, code: invalidProof, reason: "no JWT"},
		{name: "without its dots", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{strings.ReplaceAll(proof, ".", "")} }, code: invalidProof, reason: "no JWT"},
		{name: "padded", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{proof + "=="} }, code: invalidProof, reason: "no JWT"},
		{name: "loose base64 in the signature", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{looser(proof)} }, code: invalidProof, reason: "base64url"},
		{name: "loose base64 in the claims", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{looserClaims(proof)} }, code: invalidProof, reason: "base64url"},
		{name: "JSON serialisation", sent: func(r *http.Request, _ string) { r.Header["Dpop"] = []string{`{"payload":"e30","signatures":[]}`} }, code: invalidProof, reason: "no JWT"},
		{name: "a member of the claims twice", draft: func(d *draft) { d.rawClaims = strings.Replace(text(d.claims), "{", `{"htm":"POST",`, 1) }, code: invalidProof, reason: `"htm" occurs twice`},
		{name: "a member of the header twice", draft: func(d *draft) { d.rawHeader = strings.Replace(text(d.header), "{", `{"typ":"at+jwt",`, 1) }, code: invalidProof, reason: `"typ" occurs twice`},
		{name: "a member of jwk twice", draft: func(d *draft) { d.rawHeader = strings.Replace(text(d.header), `"kty"`, `"kty":"RSA","kty"`, 1) }, code: invalidProof, reason: `"kty" occurs twice`},
		{name: "members that differ in letter case", claims: with("HTM", "GET"), code: invalidProof, reason: "letter case"},
		{name: "claims that are no object", draft: func(d *draft) { d.rawClaims = "[]" }, code: invalidProof, reason: "not a JSON object"},
		{name: "header that is no object", draft: func(d *draft) { d.rawHeader = `"x"` }, code: invalidProof, reason: "not a JSON object"},

		// acceptance 71
		{name: "no jti", claims: with("jti", nil), code: invalidProof, reason: "jti is missing"},
		{name: "jti null", claims: with("jti", json.RawMessage("null")), code: invalidProof, reason: "jti is not a string"},
		{name: "jti empty", claims: with("jti", ""), code: invalidProof, reason: "jti is missing or empty"},
		{name: "jti a number", claims: with("jti", 7), code: invalidProof, reason: "jti is not a string"},
		{name: "no htm", claims: with("htm", nil), code: invalidProof, reason: "htm is missing"},
		{name: "htm an array", claims: with("htm", []string{"GET"}), code: invalidProof, reason: "htm is not a string"},
		{name: "no htu", claims: with("htu", nil), code: invalidProof, reason: "htu is missing"},
		{name: "htu null", claims: with("htu", json.RawMessage("null")), code: invalidProof, reason: "htu is not a string"},
		{name: "no iat", claims: with("iat", nil), code: invalidProof, reason: "iat is missing"},
		{name: "iat null", claims: with("iat", json.RawMessage("null")), code: invalidProof, reason: "iat is not a number"},
		{name: "iat a string", claims: with("iat", fmt.Sprint(now.Unix())), code: invalidProof, reason: "iat is not a number"},
		{name: "iat negative", claims: with("iat", -1), code: invalidProof, reason: "iat is not a number"},
		{name: "iat in milliseconds", claims: with("iat", now.UnixMilli()), code: invalidProof, reason: "iat is not a number"},
		{name: "iat with a fraction", claims: with("iat", float64(now.Unix())+0.25)},
		{name: "no ath", claims: with("ath", nil), code: invalidProof, reason: "ath is missing"},
		{name: "ath true", claims: with("ath", true), code: invalidProof, reason: "ath is not a string"},

		// acceptance 72
		{name: "no typ", header: with("typ", nil), code: invalidProof, reason: `typ is missing, wanted is "dpop+jwt"`},
		{name: "typ of an access token", header: with("typ", "at+jwt"), code: invalidProof, reason: `typ is "at+jwt"`},
		{name: "typ JWT", header: with("typ", "JWT"), code: invalidProof, reason: `typ is "JWT"`},
		{name: "typ a number", header: with("typ", 1), code: invalidProof, reason: "typ is not a string"},
		{name: "typ with its prefix", header: with("typ", "application/dpop+jwt")},
		{name: "typ in upper case", header: with("typ", "DPOP+JWT")},
		{name: "alg none", header: with("alg", "none"), code: invalidProof, reason: `alg is "none", accepted is ES256`},
		{name: "no alg", header: with("alg", nil), code: invalidProof, reason: `alg is ""`},
		{name: "alg HS256", header: with("alg", "HS256"), code: invalidProof, reason: `alg is "HS256"`},
		{name: "alg that is not offered", header: with("alg", "ES384"), code: invalidProof, reason: `alg is "ES384"`},
		{name: "alg in lower case", header: with("alg", "es256"), code: invalidProof, reason: `alg is "es256"`},
		{name: "alg that is not the key's", header: with("alg", "PS256"), code: invalidProof, reason: "alg is PS256, and the key in jwk is for ES256"},
		{name: "alg that is not that of jwk", header: with("jwk", jwk(map[string]any{"alg": "ES384"})), code: invalidProof, reason: `alg is ES256, and jwk is for "ES384"`},
		{name: "crit", header: with("crit", []string{"exp"}), code: invalidProof, reason: "crit"},
		{name: "b64 false", header: with("b64", false), code: invalidProof, reason: "b64"},

		// acceptance 73
		{name: "signature of another key", draft: func(d *draft) { d.client = otherClient }, code: invalidProof, reason: "the signature was not made with the key in jwk"},
		{name: "signature in DER", sent: func(r *http.Request, proof string) { r.Header["Dpop"] = []string{inDER(proof)} }, code: invalidProof, reason: "signature"},
		{name: "no jwk", header: with("jwk", nil), code: invalidProof, reason: "jwk is missing"},
		{name: "no jwk but kid", header: func(h map[string]any) { delete(h, "jwk"); h["kid"] = p256Client.thumbprint() }, code: invalidProof, reason: "jwk is missing"},
		{name: "no jwk but jku and x5c", header: func(h map[string]any) {
			delete(h, "jwk")
			h["jku"], h["x5c"] = "https://evil.example/jwks", []string{"MII"}
		}, code: invalidProof, reason: "jwk is missing"},
		{name: "kid and jku beside jwk", header: func(h map[string]any) { h["kid"], h["jku"] = "../../etc/passwd", "https://evil.example/jwks" }},
		{name: "jwk null", header: with("jwk", json.RawMessage("null")), code: invalidProof, reason: "jwk: not a JSON object"},
		{name: "jwk a string", header: with("jwk", text(p256Client.jwk())), code: invalidProof, reason: "jwk: not a JSON object"},
		{name: "private jwk", header: with("jwk", jwk(map[string]any{"d": x})), code: invalidProof, reason: `private member "d"`},
		{name: "jwk with a private member of RSA", header: with("jwk", jwk(map[string]any{"p": x})), code: invalidProof, reason: `private member "p"`},
		{name: "jwk with a secret", header: with("jwk", jwk(map[string]any{"k": x})), code: invalidProof, reason: `private member "k"`},
		{name: "jwk with an empty private member", header: with("jwk", jwk(map[string]any{"d": ""}))},
		{name: "jwk for encryption", header: with("jwk", jwk(map[string]any{"use": "enc"})), code: invalidProof, reason: `use "enc"`},
		{name: "jwk with padded numbers", header: with("jwk", jwk(map[string]any{"x": x + "="})), code: invalidProof, reason: "x is not base64url"},
		{name: "jwk with a zero before a number", header: with("jwk", jwk(map[string]any{"x": "AA" + x})), code: invalidProof, reason: "jwk: x"},
		{name: "jwk with trailing bits", header: with("jwk", jwk(map[string]any{"x": x[:42] + string(x[42]+1)})), code: invalidProof, reason: "jwk: x"},
		{name: "point off its curve", header: with("jwk", jwk(map[string]any{"y": x})), code: invalidProof, reason: "not a point on P-256"},
		{name: "oct", header: with("jwk", map[string]any{"kty": "oct"}), code: invalidProof, reason: "symmetric key"},
		{name: "RSA of 1024 bits", header: func(h map[string]any) {
			h["alg"], h["jwk"] = "PS256", map[string]any{"kty": "RSA", "e": "AQAB", "n": encode(append([]byte{0x80}, make([]byte, 127)...))[:170] + "E"}
		}, code: invalidProof, reason: "1024 bits"},
		{name: "Ed25519 of small order", header: func(h map[string]any) {
			h["alg"], h["jwk"] = "EdDSA", map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(append([]byte{1}, make([]byte, 31)...))}
		}, code: invalidProof, reason: "small order"},
		{name: "X25519", header: func(h map[string]any) {
			h["alg"], h["jwk"] = "EdDSA", map[string]any{"kty": "OKP", "crv": "X25519", "x": x}
		}, code: invalidProof, reason: "X25519"},

		// acceptance 74
		{name: "htm of another method", claims: with("htm", "POST"), code: invalidProof, reason: `htm is "POST", wanted is "GET"`},
		{name: "htm in lower case", claims: with("htm", "get"), code: invalidProof, reason: `htm is "get", wanted is "GET"`},
		{name: "htu of another scheme", claims: with("htu", "http://api.example.com/orders/42"), code: invalidProof, reason: "htu is"},
		{name: "htu of another host", claims: with("htu", "https://evil.example/orders/42"), code: invalidProof, reason: `htu is "https://evil.example/orders/42", wanted is "https://api.example.com/orders/42"`},
		{name: "htu of another port", claims: with("htu", "https://api.example.com:8443/orders/42"), code: invalidProof, reason: "htu is"},
		{name: "htu of another path", claims: with("htu", "https://api.example.com/orders/43"), code: invalidProof, reason: "htu is"},
		{name: "htu without its path", claims: with("htu", "https://api.example.com"), code: invalidProof, reason: "htu is"},
		{name: "htu without its host", claims: with("htu", "/orders/42"), code: invalidProof, reason: "htu is"},
		// acceptance 75
		{name: "htu with a query", claims: with("htu", url+"?a=b")},
		{name: "htu in another spelling", claims: with("htu", "HTTPS://API.Example.COM:443/./x/../orders/%34%32#a")},

		// acceptance 77
		{name: "too old", claims: with("iat", now.Add(-61*time.Second).Unix()), code: invalidProof, reason: "iat was 1m1s ago, wanted is 1m at most"},
		{name: "as old as allowed", claims: with("iat", now.Add(-60*time.Second).Unix())},
		{name: "of the future", claims: with("iat", now.Add(31*time.Second).Unix()), code: invalidProof, reason: "iat is 31s ahead"},
		{name: "of a clock that is a little ahead", claims: with("iat", now.Add(30*time.Second).Unix())},
		{name: "of the year 1970", claims: with("iat", 0), code: invalidProof, reason: "iat was"},

		// acceptance 78
		{name: "ath of another token", claims: with("ath", p256Client.draft("", "", "other").claims["ath"]), code: invalidProof, reason: "ath is"},
		{name: "ath of the token with its scheme", claims: with("ath", p256Client.draft("", "", "DPoP "+token).claims["ath"]), code: invalidProof, reason: "ath is"},
		{name: "ath padded", claims: func(c map[string]any) { c["ath"] = c["ath"].(string) + "=" }, code: invalidProof, reason: "ath is"},
		{name: "ath in hexadecimal", claims: func(c map[string]any) {
			c["ath"] = fmt.Sprintf("%x", must(base64.RawURLEncoding.DecodeString(c["ath"].(string))))
		}, code: invalidProof, reason: "ath is"},
		{name: "ath with trailing bits", claims: func(c map[string]any) { c["ath"] = looser(c["ath"].(string)) }, code: invalidProof, reason: "ath is"},
		{name: "a good proof by another key", draft: func(d *draft) { *d = *otherClient.draft("GET", url, token) }, code: "invalid_token", reason: "the token is bound to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, known := range []bool{false, true} {
				v := &dpop.Verifier{}
				gate := newGate(t, v)
				good := func() *http.Request {
					return newRequest("GET", "/orders/42", "Authorization: DPoP "+token, "DPoP: "+p256Client.draft("GET", url, token).sign())
				}
				if known {
					require.NoError(t, send(gate, good()).err)
				}
				remembered := v.Stats().Proofs
				d := p256Client.draft("GET", url, token)
				if tt.header != nil {
					tt.header(d.header)
				}
				if tt.claims != nil {
					tt.claims(d.claims)
				}
				if tt.draft != nil {
					tt.draft(d)
				}
				proof := d.sign()
				r := newRequest("GET", "/orders/42?a=b", "Authorization: DPoP "+token)
				if tt.sent != nil {
					tt.sent(r, proof)
				} else {
					r.Header.Set("DPoP", proof)
				}
				w := send(gate, r)
				if tt.code == "" {
					assert.NoError(t, w.err)
					assert.Equal(t, remembered+1, v.Stats().Proofs)
					continue
				}
				require.Error(t, w.err)
				assert.Equal(t, 401, w.Code)
				assert.Equal(t, tt.code, w.code(), "%v", w.err)
				assert.Contains(t, w.err.Error(), tt.reason)
				assert.LessOrEqual(t, len(w.err.Error()), 280)
				assert.NotContains(t, w.err.Error(), proof)
				assert.NotContains(t, w.err.Error(), token)
				assert.NotContains(t, w.Body.String(), "htu")
				if tt.code == invalidProof {
					assert.ErrorIs(t, w.err, jwtgate.ErrProof)
					var e *jwtgate.Error
					require.ErrorAs(t, w.err, &e)
					assert.Equal(t, "proof", e.Reason())
				}
				assert.Equal(t, remembered, v.Stats().Proofs, "a refused proof is not used up")
				assert.NoError(t, send(gate, good()).err, "the next one is not harmed")
			}
		})
	}
}

// looser returns a text in base64url with trailing bits that are not zero.
func looser(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + alphabet[last+1:last+2]
}

// looserClaims is looser for the claims of a proof.
func looserClaims(proof string) string {
	segments := strings.Split(proof, ".")
	if len(segments[1])%4 == 0 {
		segments[1] += "A"
	} else {
		segments[1] = looser(segments[1])
	}
	return strings.Join(segments, ".")
}

// split returns the signing input and the signature of a proof.
func split(proof string) (input string, signature []byte) {
	dot := strings.LastIndexByte(proof, '.')
	return proof[:dot+1], must(base64.RawURLEncoding.DecodeString(proof[dot+1:]))
}

// inDER returns a proof with the same signature in DER.
func inDER(proof string) string {
	input, signature := split(proof)
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return input + encode(must(asn1.Marshal(struct{ R, S *big.Int }{r, s})))
}

// twin returns a proof with the other signature that verifies for ECDSA: n-s in place of s.
func twin(proof string) string {
	input, signature := split(proof)
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s)
	return input + encode(append(signature[:32:32], s.FillBytes(make([]byte, 32))...))
}

// acceptance 79: a proof is good once, whatever is changed about it without the key.
func TestReplay(t *testing.T) {
	t.Parallel()
	const url = "https://api.example.com/orders"
	token := p256Client.token()
	send := func(gate *jwtgate.Gate, proof string) string {
		return send(gate, newRequest("GET", "/orders", "Authorization: DPoP "+token, "DPoP: "+proof)).code()
	}
	t.Run("again", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, &dpop.Verifier{})
		proof := p256Client.draft("GET", url, token).sign()
		assert.Empty(t, send(gate, proof))
		assert.Equal(t, invalidProof, send(gate, proof))
		assert.Equal(t, invalidProof, send(gate, twin(proof)), "the twin of the signature")
	})
	t.Run("the twin first", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, &dpop.Verifier{})
		proof := p256Client.draft("GET", url, token).sign()
		assert.Empty(t, send(gate, twin(proof)))
		assert.Equal(t, invalidProof, send(gate, proof))
	})
	t.Run("signed anew in other forms", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, &dpop.Verifier{})
		d := p256Client.draft("GET", url, token)
		assert.Empty(t, send(gate, d.sign()))
		escaped := fmt.Sprintf(`"\u%04x%s"`, d.claims["jti"].(string)[0], d.claims["jti"].(string)[1:])
		for name, change := range map[string]func(*draft){
			"header with white space":     func(d *draft) { d.rawHeader = " " + text(d.header) },
			"header with one more":        func(d *draft) { d.header["kid"] = "2" },
			"jwk with one more":           func(d *draft) { d.header["jwk"].(map[string]any)["kid"] = "2" },
			"jti escaped":                 func(d *draft) { d.claims["jti"] = json.RawMessage(escaped) },
			"a newer iat":                 func(d *draft) { d.claims["iat"] = now.Add(time.Second).Unix() },
			"with a query and upper case": func(d *draft) { d.claims["htu"] = "HTTPS://API.EXAMPLE.COM/orders?2" },
		} {
			again := *d
			again.header, again.claims = maps.Clone(d.header), maps.Clone(d.claims)
			again.header["jwk"] = p256Client.jwk()
			change(&again)
			assert.Equal(t, invalidProof, send(gate, again.sign()), name)
		}
	})
	t.Run("another method, URL or token", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, &dpop.Verifier{})
		proof := p256Client.draft("GET", url, token).sign()
		other := p256Client.token(map[string]any{"jti": "2"})
		for _, r := range []*http.Request{
			newRequest("POST", "/orders", "Authorization: DPoP "+token, "DPoP: "+proof),
			newRequest("GET", "/orders/1", "Authorization: DPoP "+token, "DPoP: "+proof),
			newRequest("GET", "/orders", "Authorization: DPoP "+other, "DPoP: "+proof),
		} {
			_, err := gate.Check(r)
			assert.ErrorIs(t, err, jwtgate.ErrProof)
		}
		assert.Empty(t, send(gate, proof), "it is not used up")
	})
	t.Run("RSA key with a zero before its modulus", func(t *testing.T) {
		t.Parallel()
		c := rsaClient()
		gate := newGate(t, &dpop.Verifier{})
		token := c.token()
		d := c.draft("GET", url, token)
		again := *d
		again.header = maps.Clone(d.header)
		n := c.key.Public().(*rsa.PublicKey).N.Bytes()
		again.header["jwk"] = map[string]any{"kty": "RSA", "n": encode(append([]byte{0}, n...)), "e": "AAEAAQ"}
		line := "Authorization: DPoP " + token
		_, err := gate.Check(newRequest("GET", "/orders", line, "DPoP: "+d.sign()))
		require.NoError(t, err)
		_, err = gate.Check(newRequest("GET", "/orders", line, "DPoP: "+again.sign()))
		assert.ErrorContains(t, err, "used before")
	})
	t.Run("the same jti by another key", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, &dpop.Verifier{})
		for _, c := range []*client{p256Client, otherClient, ed25519Client} {
			token := c.token()
			d := c.draft("GET", url, token)
			d.claims["jti"] = "1"
			_, err := gate.Check(newRequest("GET", "/orders", "Authorization: DPoP "+token, "DPoP: "+d.sign()))
			assert.NoError(t, err)
		}
	})
	for name, gates := range map[string]func(t *testing.T) []*jwtgate.Gate{
		"at once on one server": func(t *testing.T) []*jwtgate.Gate { return []*jwtgate.Gate{newGate(t, &dpop.Verifier{})} },
		"at once with one Verifier": func(t *testing.T) []*jwtgate.Gate {
			v := &dpop.Verifier{}
			return []*jwtgate.Gate{newGate(t, v), newGate(t, v)}
		},
		"at once on two servers": func(t *testing.T) []*jwtgate.Gate {
			store := &store{}
			return []*jwtgate.Gate{newGate(t, &dpop.Verifier{Replays: store}), newGate(t, &dpop.Verifier{Replays: store})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := gates(t)
			for range 10 {
				proof := p256Client.draft("GET", url, token).sign()
				codes := make([]string, 100)
				var all sync.WaitGroup
				for i := range codes {
					all.Go(func() { codes[i] = send(servers[i%len(servers)], proof) })
				}
				all.Wait()
				slices.Sort(codes)
				assert.Equal(t, append([]string{""}, slices.Repeat([]string{invalidProof}, 99)...), codes)
			}
		})
	}
}

// A store is a Replays that two servers share.
type store struct {
	mu    sync.Mutex
	used  map[[32]byte]time.Time
	err   error
	calls int
}

func (s *store) Use(_ context.Context, id [32]byte, until time.Time) (fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.err != nil {
		return true, s.err
	}
	if s.used == nil {
		s.used = map[[32]byte]time.Time{}
	}
	_, found := s.used[id]
	s.used[id] = until
	return !found, nil
}

// acceptance 82
func TestStoreFails(t *testing.T) {
	t.Parallel()
	token := p256Client.token()
	for _, failure := range []error{
		errors.New("connection refused"), context.DeadlineExceeded, context.Canceled,
		jwtgate.ErrForbidden, jwtgate.ErrRevoked, &jwtgate.Error{Status: 403, Err: jwtgate.ErrForbidden},
	} {
		s := &store{err: failure}
		gate := newGate(t, &dpop.Verifier{Replays: s})
		proof := p256Client.draft("GET", "https://api.example.com/", token).sign()
		r := newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+proof)
		w := send(gate, r)
		assert.Equal(t, 503, w.Code, "%v", failure)
		assert.Equal(t, "5", w.Header().Get("Retry-After"))
		require.ErrorIs(t, w.err, jwtgate.ErrUnavailable)
		assert.ErrorContains(t, w.err, "looking for used proofs")
		s.err = nil
		assert.NoError(t, send(gate, r).err, "nobody is locked out after")
	}
}

// acceptance 82
func TestUnderVerify(t *testing.T) {
	t.Parallel()
	_, err := newGate(t, &dpop.Verifier{}).Verify(t.Context(), p256Client.token())
	assert.ErrorContains(t, err, "there is no request that a proof could be for")
	assert.ErrorIs(t, err, jwtgate.ErrProof)
}

// acceptance 82: with nested gates one proof is used once, and a remembered token does not
// replace its proof.
func TestNestedGatesAndRememberedTokens(t *testing.T) {
	t.Parallel()
	s := &store{}
	gate := newGate(t, &dpop.Verifier{Replays: s}, func(o *jwtgate.Options) { o.CacheSize = 16 })
	handler := gate.Handler(gate.Require(jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { return nil })).
		Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})))
	token := p256Client.token()
	for i := range 3 {
		proof := p256Client.draft("GET", "https://api.example.com/", token).sign()
		for _, want := range []int{200, 401} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+proof))
			assert.Equal(t, want, w.Code)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, newRequest("GET", "/", "Authorization: DPoP "+token))
		assert.Equal(t, 401, w.Code, "without a proof")
		assert.Equal(t, 2*(i+1), s.calls)
	}
}

// What Replays.Use gets: an id that depends on key and jti only, and a time that covers
// that in which the proof is accepted.
func TestWhatReplaysGets(t *testing.T) {
	t.Parallel()
	token := p256Client.token()
	for _, tt := range []struct {
		name   string
		maxAge time.Duration
		iat    time.Time
		until  time.Duration
	}{
		{"by iat", 0, now.Add(-20 * time.Second), 70 * time.Second},
		{"by a later iat", 5 * time.Minute, now.Add(30 * time.Second), 6 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &store{}
			v := dpop.Verifier{Replays: s, MaxAge: tt.maxAge}
			d := p256Client.draft("GET", "https://api.example.com/", token)
			d.claims["iat"] = tt.iat.Unix()
			require.NoError(t, send(newGate(t, &v), newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+d.sign())).err)
			require.Len(t, s.used, 1)
			for _, until := range s.used {
				assert.Equal(t, now.Add(tt.until), until.UTC())
			}
			assert.Zero(t, v.Stats())
		})
	}
}

// The examples of RFC 9449 sections 4.1 and 7.1.
func TestRFC9449(t *testing.T) {
	t.Parallel()
	const (
		header     = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
		forToken   = header + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
		forOrders  = header + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
		token      = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
		thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	)
	v := &dpop.Verifier{
		URLs: []string{"https://resource.example.org", "https://server.example.com"},
		Now:  func() time.Time { return time.Unix(1562262620, 0) },
	}
	require.NoError(t, v.CheckConfirmer())
	ask := func(method, target, proof, jkt string) error {
		return v.Confirm(newRequest(method, target, "Authorization: DPoP "+token, "DPoP: "+proof), &jwtgate.Token{}, jkt)
	}
	assert.ErrorContains(t, ask("GET", "/protectedresource", forOrders, thumbprint[:42]+"J"), "thumbprint "+thumbprint)
	assert.ErrorContains(t, ask("GET", "/protectedresource", twin(forOrders)[:len(forOrders)-4]+"AAAA", thumbprint), "signature")
	assert.NoError(t, ask("GET", "/protectedresource", forOrders, thumbprint))
	assert.ErrorContains(t, ask("GET", "/protectedresource", forOrders, thumbprint), "used before")
	// A proof for the token endpoint has no ath.
	assert.ErrorContains(t, ask("POST", "/token", forToken, thumbprint), "ath is missing")
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	key := make([]byte, 32)
	for _, tt := range []struct {
		name string
		v    *dpop.Verifier
		want string
	}{
		{"nil", nil, "Confirmer 1 is nil"},
		{"no URLs", &dpop.Verifier{}, "URLs: the list is empty"},
		{"http", &dpop.Verifier{URLs: []string{"http://api.example.com"}}, "plain http"},
		{"no scheme", &dpop.Verifier{URLs: []string{"api.example.com"}}, "does not start with https://"},
		{"no host", &dpop.Verifier{URLs: []string{"https:///orders"}}, "has no host"},
		{"credentials", &dpop.Verifier{URLs: []string{"https://u:p@api.example.com"}}, "credentials"},
		{"query", &dpop.Verifier{URLs: []string{"https://api.example.com?"}}, "query"},
		{"fragment", &dpop.Verifier{URLs: []string{"https://api.example.com#"}}, "fragment"},
		{"placeholder", &dpop.Verifier{URLs: []string{"https://{host}/"}}, "URL"},
		{"placeholder in the path", &dpop.Verifier{URLs: []string{"https://api.example.com/{tenant}"}}, "was a placeholder not replaced?"},
		{"not ASCII", &dpop.Verifier{URLs: []string{"https://münchen.example"}}, "xn--"},
		{"not a URL", &dpop.Verifier{URLs: []string{"https://a b"}}, "URL"},
		{"white space", &dpop.Verifier{URLs: []string{" https://api.example.com"}}, "URL"},
		{"twice", &dpop.Verifier{URLs: []string{"https://api.example.com", "https://API.example.com:443/"}}, "twice"},
		{"no algorithm", &dpop.Verifier{Algorithms: []string{}}, "Algorithms: the list is empty"},
		{"none", &dpop.Verifier{Algorithms: []string{"none"}}, `"none" is not an asymmetric algorithm`},
		{"HS256", &dpop.Verifier{Algorithms: []string{"ES256", "HS256"}}, `"HS256" is not an asymmetric algorithm`},
		{"negative MaxAge", &dpop.Verifier{MaxAge: -1}, "negative"},
		{"MaxAge without unit", &dpop.Verifier{MaxAge: 60}, "MaxAge: "},
		{"long MaxAge", &dpop.Verifier{MaxAge: 6 * time.Minute}, "more than 5m0s"},
		{"no nonce key", &dpop.Verifier{NonceKeys: [][]byte{}}, "NonceKeys: the list is empty"},
		{"short nonce key", &dpop.Verifier{NonceKeys: [][]byte{key, key[:31]}}, "key 2 has 31 bytes"},
		{"nonce key twice", &dpop.Verifier{NonceKeys: [][]byte{key, key}}, "key 2 is there twice"},
		{"nil Replays", &dpop.Verifier{Replays: (*store)(nil)}, "nil *dpop_test.store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := jwtgate.New(jwtgate.Options{Confirm: []jwtgate.Confirmer{tt.v}})
			require.Error(t, err)
			assert.ErrorContains(t, err, tt.want)
			if tt.v == nil {
				return
			}
			// It is closed, whoever uses it all the same.
			assert.Error(t, tt.v.CheckConfirmer())
			assert.ErrorIs(t, tt.v.Confirm(newRequest("GET", "/"), nil, ""), jwtgate.ErrUnavailable)
			h := http.Header{}
			tt.v.SetHeader(h, newRequest("GET", "/"))
			assert.Empty(t, h)
			assert.Zero(t, tt.v.Stats())
			assert.Nil(t, tt.v.Challenge())
		})
	}
}

// acceptance 81: what the challenge offers.
func TestChallenge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ list, want []string }{
		{nil, []string{"ES256", "EdDSA", "Ed25519", "PS256"}},
		{[]string{"Ed25519"}, []string{"EdDSA", "Ed25519"}},
		{[]string{"EdDSA", "ES512", "Ed25519", "ES512"}, []string{"EdDSA", "Ed25519", "ES512"}},
	} {
		v := &dpop.Verifier{Algorithms: tt.list}
		w := send(newGate(t, v), newRequest("GET", "/"))
		assert.Equal(t, []string{`DPoP realm="api", algs="` + strings.Join(tt.want, " ") + `"`}, w.Header()["Www-Authenticate"])
		assert.NotContains(t, w.Header(), "Dpop-Nonce")
	}
	v := &dpop.Verifier{Algorithms: []string{"ES384"}}
	gate := newGate(t, v)
	token := p384Client.token()
	assert.NoError(t, send(gate, newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+p384Client.draft("GET", "https://api.example.com/", token).sign())).err)
	token = p256Client.token()
	assert.Equal(t, invalidProof, send(gate, newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+p256Client.draft("GET", "https://api.example.com/", token).sign())).code())
}

// Nobody's key is confused with another's, however many clients are remembered.
func TestManyClients(t *testing.T) {
	t.Parallel()
	gate := newGate(t, &dpop.Verifier{})
	clients := make([]*client, 40)
	for i := range clients {
		clients[i] = &client{"ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	}
	for range 3 {
		for i, c := range clients {
			token := c.token()
			proof := c.draft("GET", "https://api.example.com/", token).sign()
			other := clients[(i+1)%len(clients)].token()
			assert.Equal(t, invalidProof, send(gate, newRequest("GET", "/", "Authorization: DPoP "+other, "DPoP: "+proof)).code())
			forged := c.draft("GET", "https://api.example.com/", other).sign()
			assert.Equal(t, "invalid_token", send(gate, newRequest("GET", "/", "Authorization: DPoP "+other, "DPoP: "+forged)).code())
			assert.NoError(t, send(gate, newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+proof)).err)
		}
	}
}

// acceptance 50
func TestNothingSecretIsPrinted(t *testing.T) {
	t.Parallel()
	v := &dpop.Verifier{URLs: []string{"https://api.example.com"}, NonceKeys: [][]byte{[]byte("a secret of thirty-two characters")}}
	require.NoError(t, v.CheckConfirmer())
	for _, value := range []any{v, []jwtgate.Confirmer{v}, jwtgate.Options{Confirm: []jwtgate.Confirmer{v}}, struct{ V *dpop.Verifier }{v}, v.Stats()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			text := fmt.Sprintf(verb, value)
			for _, hidden := range []string{"a secret", "97 32 115 101", "6120736563", "0x61, 0x20, 0x73"} {
				assert.NotContains(t, text, hidden, "%T with %s", value, verb)
			}
		}
	}
	assert.Equal(t, `dpop.Verifier for "https://api.example.com"`, fmt.Sprint(v))
	assert.Equal(t, "nil dpop.Verifier", fmt.Sprintf("%v", (*dpop.Verifier)(nil)))
}

// Confirm, called by other code than a gate, does not rely on what a gate has checked.
func TestConfirmByItself(t *testing.T) {
	t.Parallel()
	v := &dpop.Verifier{URLs: []string{"https://api.example.com"}, Now: func() time.Time { return now }}
	token := p256Client.token()
	for name, lines := range map[string][]string{
		"no token":       nil,
		"as Bearer":      {"Bearer " + token},
		"two tokens":     {"DPoP " + token, "DPoP " + token},
		"without scheme": {token},
	} {
		r := newRequest("GET", "/", "DPoP: "+p256Client.draft("GET", "https://api.example.com/", token).sign())
		r.Header["Authorization"] = lines
		err := v.Confirm(r, nil, p256Client.thumbprint())
		assert.ErrorIs(t, err, jwtgate.ErrProof, name)
		assert.ErrorContains(t, err, "no single Authorization line", name)
	}
	var none *dpop.Verifier
	assert.Error(t, none.CheckConfirmer())
	assert.ErrorIs(t, none.Confirm(newRequest("GET", "/"), nil, ""), jwtgate.ErrUnavailable)
}

// Only a client that has signed a proof is remembered, so that a stranger with a stolen token
// cannot displace the others.
func TestStrangersAreNotRemembered(t *testing.T) {
	t.Parallel()
	v := &dpop.Verifier{}
	gate := newGate(t, v)
	token := p256Client.token()
	ask := func(kid string, signer *client) error {
		d := p256Client.draft("GET", "https://api.example.com/", token)
		d.header["kid"], d.client = kid, signer
		return send(gate, newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+d.sign())).err
	}
	for i := range 50 {
		assert.Error(t, ask(fmt.Sprint(i), otherClient))
	}
	assert.Zero(t, dpop.Remembered(v))
	for range 2 {
		assert.NoError(t, ask("1", p256Client))
		assert.Equal(t, 1, dpop.Remembered(v))
	}
	// Nor is a long header, which would need much memory.
	d := p256Client.draft("GET", "https://api.example.com/", token)
	d.header["x"] = strings.Repeat("x", 2<<10)
	assert.NoError(t, send(gate, newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+d.sign())).err)
	assert.Equal(t, 1, dpop.Remembered(v))
}
