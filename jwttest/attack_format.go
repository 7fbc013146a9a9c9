package jwttest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"strings"
)

// segments cuts tokens in other than three.
func (f *family) segments() {
	good := f.good()
	header, claims, signature := splitToken(good)
	for _, tt := range []struct{ name, sends, token string }{
		{"one", "the header alone", header},
		{"one-claims", "the claims alone", claims},
		{"two", "header and claims", header + "." + claims},
		{"two-with-signature", "claims and signature", claims + "." + signature},
		{"two-joined", "header and claims without a dot", header + claims + "." + signature},
		{"four", "a fourth segment", good + "." + signature},
		{"four-empty", "an empty fourth segment", good + "."},
		{"four-before", "a segment before the header", header + "." + good},
		{"four-empty-before", "an empty segment before the header", "." + good},
		{"four-empty-within", "an empty segment within", header + ".." + claims + "." + signature},
		{"five", "five segments", header + "." + claims + "." + signature + "." + claims + "." + signature},
		{"five-empty", "two empty segments behind", good + ".."},
		{"six", "two good tokens joined by a dot", good + "." + good},
		{"seven", "seven segments", good + "." + good + "." + signature},
		{"three-letters", "a letter in each segment", "a.b.c"},
		{"three-pairs", "a byte in each segment", "AA.AA.AA"},
		{"dot", "a dot", "."},
		{"two-dots", "two dots", ".."},
		{"three-dots", "three dots", "..."},
		{"four-dots", "four dots", "...."},
		{"no-header", "an empty header", "." + claims + "." + signature},
		{"no-claims", "empty claims", header + ".." + signature},
		{"no-claims-but-signed", "empty claims, signed as they are", f.signed(header + ".")},
		{"no-header-but-signed", "an empty header, signed as it is", f.signed("." + claims)},
		{"nothing-but-signed", "nothing, signed as it is", f.signed(".")},
		{"nothing-but-signature", "a signature behind two dots", ".." + signature},
		{"no-signature", "an empty signature", header + "." + claims + "."},
		{"claims-first", "claims and header exchanged", f.signed(claims + "." + header)},
		{"signature-first", "the signature before the rest", signature + "." + header + "." + claims},
		{"header-thrice", "the header three times", header + "." + header + "." + header},
		{"claims-twice", "the claims for header and claims", f.signed(claims + "." + claims)},
		{"header-twice", "the header for header and claims", f.signed(header + "." + header)},
		{"colons", "colons for dots", header + ":" + claims + ":" + signature},
		{"tildes", "tildes for dots", header + "~" + claims + "~" + signature},
		{"tilde-behind", "a good token as SD-JWT, with a tilde behind", good + "~"},
		{"disclosure-behind", "a good token as SD-JWT, with a disclosure behind", good + "~" + encode(`["salt","sub","admin"]`) + "~"},
		{"slashes", "slashes for dots", header + "/" + claims + "/" + signature},
		{"hyphens", "hyphens for dots", header + "-" + claims + "-" + signature},
		{"full-width-dots", "full-width dots", header + "\uff0e" + claims + "\uff0e" + signature},
		{"encoded-dots", "percent-encoded dots", header + "%2E" + claims + "%2E" + signature},
		{"ideographic-dots", "ideographic full stops", header + "\u3002" + claims + "\u3002" + signature},
	} {
		f.refuse(required, tt.name, tt.sends, tt.token)
	}
}

// encodings spells segments otherwise than base64url has them. Where header or
// claims are changed, the signature is of the text as it stands.
func (f *family) encodings() {
	h, p := withUnusedBits(f.header.String()), withUnusedBits(f.claims.String())
	header, claims := encode(h), encode(p)
	good := f.signed(header + "." + claims)
	_, _, signature := splitToken(good)
	padding := func(segment string) string { return strings.Repeat("=", (4-len(segment)%4)%4) }
	add := func(name, sends string, change func(string) string) {
		f.refuse(required, name+"-in-header", sends+" in the header", f.signed(change(header)+"."+claims))
		f.refuse(required, name+"-in-claims", sends+" in the claims", f.signed(header+"."+change(claims)))
		if changed := change(signature); changed != signature {
			f.refuse(required, name+"-in-signature", sends+" in the signature", header+"."+claims+"."+changed)
		}
	}
	insert := func(s string) func(string) string {
		return func(segment string) string { return segment[:8] + s + segment[8:] }
	}
	behind := func(s string) func(string) string { return func(segment string) string { return segment + s } }
	before := func(s string) func(string) string { return func(segment string) string { return s + segment } }
	add("padding", "padding", func(s string) string { return s + padding(s) })
	add("one-equals-sign", "an equals sign behind", func(s string) string {
		if padding(s) == "=" {
			return s + "=="
		}
		return s + "="
	})
	add("three-equals-signs", "three equals signs", behind("==="))
	add("equals-sign-before", "an equals sign before", before("="))
	add("equals-sign-within", "an equals sign", insert("="))
	add("plus-within", "a plus sign", insert("+"))
	add("slash-within", "a slash", insert("/"))
	add("tilde-within", "a tilde", insert("~"))
	add("space-within", "a space", insert(" "))
	add("tab-within", "a tab", insert("\t"))
	add("nul-within", "a NUL", insert("\x00"))
	add("asterisk-within", "an asterisk", insert("*"))
	add("comma-within", "a comma", insert(","))
	add("percent-encoded-letter", "a percent-encoded letter", func(s string) string { return s[:4] + fmt.Sprintf("%%%02X", s[4]) + s[5:] })
	add("full-width-letter", "a full-width letter", func(s string) string { return s[:4] + string(rune(s[4])+0xfee0) + s[5:] })
	add("one-character-more", "a lone character behind", func(s string) string { return s + "AAAA"[:(5-len(s)%4)%4] })
	add("one-character-less", "a character missing", func(s string) string { return s[:len(s)-1] })
	add("encoded-twice", "base64url of base64url", func(s string) string { return encode(s) })

	// What breaks lines on the wire exists only within a process.
	for _, tt := range []struct {
		name, sends string
		change      func(string) string
	}{
		{"line-feed-within", "a line feed", insert("\n")},
		{"line-break-within", "a line break", insert("\r\n")},
		{"carriage-return-within", "a carriage return", insert("\r")},
		{"line-feed-behind", "a line feed behind", behind("\n")},
		{"line-feed-before", "a line feed before", before("\n")},
	} {
		for _, part := range []struct{ name, token string }{
			{"header", f.signed(tt.change(header) + "." + claims)},
			{"claims", f.signed(header + "." + tt.change(claims))},
			{"signature", header + "." + claims + "." + tt.change(signature)},
		} {
			r := f.bearer(part.token)
			r.only = directly
			f.refuseRequest(required, tt.name+"-in-"+part.name, tt.sends+" in the "+part.name, r)
		}
	}

	standard := strings.NewReplacer("-", "+", "_", "/")
	special := `"` + strings.Repeat(">", 9) + strings.Repeat("?", 9) + `"`
	withSpecial, inHeader := encode(f.claimsWith("x", special)), encode(f.headerWith("x", special))
	f.refuse(required, "standard-alphabet-in-header", "the alphabet of base64 in the header", f.signed(standard.Replace(inHeader)+"."+claims))
	f.refuse(required, "standard-alphabet-in-claims", "the alphabet of base64 in the claims", f.signed(header+"."+standard.Replace(withSpecial)))
	f.refuse(required, "standard-alphabet-of-original", "the alphabet of base64 in the claims, signed before", header+"."+standard.Replace(withSpecial)+"."+strings.SplitN(f.signed(header+"."+withSpecial), ".", 3)[2])
	f.refuse(required, "padding-of-original", "padding behind the claims, signed before", header+"."+claims+padding(claims)+"."+signature)
	f.refuse(required, "percent-encoded-padding", "percent-encoded padding behind the claims", f.signed(header+"."+claims+"%3D"))
	f.refuse(required, "hex", "header and claims in hex", f.signed(fmt.Sprintf("%x.%x", h, p)))
	f.refuse(required, "base32-like", "claims in upper case", f.signed(header+"."+strings.ToUpper(claims)))
	f.refuse(required, "not-encoded", "header and claims that are not encoded", f.signed(h+"."+p))
	f.refuse(required, "header-not-encoded", "a header that is not encoded", f.signed(h+"."+claims))
	f.refuse(required, "token-encoded", "a good token in base64url", encode(good))
	f.refuse(required, "token-percent-encoded", "a good token with one letter percent-encoded", fmt.Sprintf("%%%02X", good[0])+good[1:])
	f.refuse(required, "token-backwards", "a good token from right to left", backwards(good))

	// Two spellings of a value are two strings for one token, which a denylist
	// or a cache then takes for two tokens.
	loose := f.withRule("RFC 4648 section 3.5")
	if s, ok := otherSpelling(header); ok {
		loose.refuse(stricter, "unused-bits-in-header", "bits that stand for nothing in the header", f.signed(s+"."+claims))
	}
	if s, ok := otherSpelling(claims); ok {
		loose.refuse(stricter, "unused-bits-in-claims", "bits that stand for nothing in the claims", f.signed(header+"."+s))
		loose.refuse(required, "unused-bits-of-original", "bits that stand for nothing in the claims, signed before", header+"."+s+"."+signature)
	}
	if s, ok := otherSpelling(signature); ok {
		loose.refuse(stricter, "unused-bits-in-signature", "bits that stand for nothing in the signature", header+"."+claims+"."+s)
	}
}

func backwards(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// serialisations sends the same as JSON (RFC 7515 section 7.2), which is never
// a JWT.
func (f *family) serialisations() {
	header, claims, signature := splitToken(f.good())
	flattened := fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, claims, header, signature)
	general := fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, claims, header, signature)
	unprotected := fmt.Sprintf(`{"payload":%q,"header":{"alg":"none"},"signature":""}`, claims)
	mixed := fmt.Sprintf(`{"payload":%q,"protected":%q,"header":{"x":1},"signature":%q}`, claims, header, signature)
	for _, tt := range []struct{ name, sends, text string }{
		{"flattened", "the flattened JSON serialisation", flattened},
		{"general", "the general JSON serialisation", general},
		{"unprotected", "the flattened JSON serialisation with alg none outside", unprotected},
		{"mixed", "the flattened JSON serialisation with a header outside", mixed},
		{"polyglot", "a JSON serialisation with a compact one within", `{"payload":"` + header + "." + claims + "." + signature + `"}`},
		{"polyglot-with-dots", "a JSON serialisation that three dots divide", fmt.Sprintf(`{"a":".%s.","payload":%q}`, claims, claims)},
		{"array", "an array of the three segments", fmt.Sprintf(`[%q,%q,%q]`, header, claims, signature)},
		{"object", "a good token as a member", `{"access_token":"` + f.good() + `"}`},
	} {
		f.refuse(required, tt.name, tt.sends, tt.text)
		f.refuse(required, tt.name+"-encoded", tt.sends+", in base64url", encode(tt.text))
	}
	f.refuseRequest(required, "flattened-in-body", "the flattened JSON serialisation as the body", request{
		method: "POST", lines: []string{"Content-Type: application/jose+json"}, body: flattened})
}

// encrypted sends JWE, which anybody can make for a public key: what is
// encrypted is not thereby vouched for.
func (f *family) encrypted() {
	unsigned := encode(f.headerWith("alg", `"none"`)) + "." + encode(f.claims.String()) + "."
	compact := func(header string, key, encryptedKey []byte, plain string) string {
		protected := encode(header)
		gcm := must(cipher.NewGCM(must(aes.NewCipher(key))))
		nonce := make([]byte, gcm.NonceSize())
		sealed := gcm.Seal(nil, nonce, []byte(plain), []byte(protected))
		cut := len(sealed) - gcm.Overhead()
		return strings.Join([]string{protected, encode(encryptedKey), encode(nonce), encode(sealed[:cut]), encode(sealed[cut:])}, ".")
	}
	key := bytes.Repeat([]byte{7}, 32)
	nothing := make([]byte, 32)
	f.refuse(required, "direct-with-null-key", "an unsigned token encrypted with a key of zeros", compact(`{"alg":"dir","enc":"A256GCM","cty":"JWT"}`, nothing, nil, unsigned))
	f.refuse(required, "direct-claims", "claims encrypted with a key of zeros", compact(`{"alg":"dir","enc":"A256GCM"}`, nothing, nil, f.claims.String()))
	f.refuse(required, "direct-signed", "a good token encrypted with a key of zeros", compact(`{"alg":"dir","enc":"A256GCM","cty":"JWT","typ":"JWT"}`, nothing, nil, f.good()))
	switch k := f.target.Key.(type) {
	case *rsa.PrivateKey:
		wrapped := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, &k.PublicKey, key, nil))
		f.refuse(required, "for-the-public-key", "an unsigned token encrypted for the service's public key", compact(`{"alg":"RSA-OAEP-256","enc":"A256GCM","cty":"JWT"}`, key, wrapped, unsigned))
		f.refuse(required, "claims-for-the-public-key", "claims encrypted for the service's public key", compact(`{"alg":"RSA-OAEP-256","enc":"A256GCM"}`, key, wrapped, f.claims.String()))
	case []byte:
		if len(k) >= 32 {
			f.refuse(required, "direct-with-the-secret", "claims encrypted with the secret that signs", compact(`{"alg":"dir","enc":"A256GCM"}`, k[:32], nil, f.claims.String()))
		}
	}
	f.refuse(required, "password-with-many-rounds", "a billion rounds of PBKDF2", compact(`{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2s":"c2FsdHNhbHQ","p2c":1000000000}`, key, make([]byte, 40), unsigned))
	f.refuse(required, "compressed", "a compressed JWE", compact(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`, nothing, nil, strings.Repeat("\x00", 1000)))
	f.refuse(required, "alg-none", "a JWE whose alg is none", compact(`{"alg":"none","enc":"A256GCM"}`, nothing, nil, f.claims.String()))
	f.refuse(required, "alg-of-signature", "a JWE whose alg is one for signatures", compact(f.header.with("enc", `"A256GCM"`).String(), nothing, nil, f.claims.String()))
	f.refuse(required, "five-segments-of-a-token", "a good token with two more segments", func() string {
		header, claims, signature := splitToken(f.good())
		return header + "." + claims + "." + signature + ".AAAA.AAAA"
	}())
	f.refuse(required, "serialised-as-json", "a JWE as JSON", `{"protected":"`+encode(`{"alg":"dir","enc":"A256GCM"}`)+`","iv":"AAAA","ciphertext":"AAAA","tag":"AAAA"}`)
	// In three segments it is not one, but a header that says so is not JWS's.
	for _, tt := range []struct {
		name   string
		firm   firmness
		header object
	}{
		{"enc", advised, f.header.with("enc", `"A256GCM"`)},
		{"enc-null", stricter, f.header.with("enc", `null`)},
		{"enc-and-zip", advised, f.header.with("enc", `"A128CBC-HS256"`).with("zip", `"DEF"`)},
	} {
		f.refuse(tt.firm, "header-with-"+tt.name, "three segments under a header of JWE", f.tokenWithHeader(tt.header.String()))
	}
}

// nested wraps a token in a token.
func (f *family) nested() {
	good := f.good()
	unsigned := encode(f.headerWith("alg", `"none"`)) + "." + encode(f.claims.String()) + "."
	for _, tt := range []struct {
		name string
		firm firmness
		cty  string
	}{
		{"JWT", required, `"JWT"`},
		{"jwt", advised, `"jwt"`},
		{"jWt", advised, `"jWt"`},
		{"application-jwt", advised, `"application/jwt"`},
		{"application-JWT", advised, `"application/JWT"`},
		{"escaped", required, `"J\u0057T"`},
	} {
		f.refuse(tt.firm, "cty-"+tt.name, "claims under a header that says they are a token", f.tokenWithHeader(f.headerWith("cty", tt.cty)))
		f.refuse(stricter, "token-in-cty-"+tt.name, "a good token within a good signature", f.token(f.headerWith("cty", tt.cty), good))
		f.refuse(required, "unsigned-in-cty-"+tt.name, "an unsigned token within a good signature", f.token(f.headerWith("cty", tt.cty), unsigned))
	}
	for _, tt := range []struct{ name, cty string }{
		{"number", `1`}, {"null", `null`}, {"array", `["JWT"]`}, {"object", `{}`}, {"true", `true`},
	} {
		f.refuse(stricter, "cty-a-"+tt.name, "a cty that is no string", f.tokenWithHeader(f.headerWith("cty", tt.cty)))
	}
	f.refuse(required, "without-cty", "a good token as the claims", f.tokenWithClaims(good))
	f.refuse(required, "as-string", "a good token as a JSON string for claims", f.tokenWithClaims(quote(good)))
	f.refuse(required, "as-member", "a good token as the only claim", f.tokenWithClaims(`{"jwt":`+quote(good)+`}`))
	f.refuse(required, "claims-as-member", "the claims one level deeper", f.tokenWithClaims(`{"claims":`+f.claims.String()+`}`))
	f.refuse(required, "around-forged", "a forged token that a good one is the claims of", f.forged(f.header, f.target.Algorithm, attackersKey(f.target.Algorithm))+"."+encode(good))
}
