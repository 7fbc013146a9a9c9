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

// segments adds tokens with another number or order of segments.
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
		{"four-empty-within", "an empty segment inside", header + ".." + claims + "." + signature},
		{"five", "five segments", header + "." + claims + "." + signature + "." + claims + "." + signature},
		{"five-empty", "two empty segments at the end", good + ".."},
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
		{"nothing-but-signed", "an empty header and empty claims, signed as they are", f.signed(".")},
		{"nothing-but-signature", "a signature after two dots", ".." + signature},
		{"no-signature", "an empty signature", header + "." + claims + "."},
		{"claims-first", "claims and header in the wrong order", f.signed(claims + "." + header)},
		{"signature-first", "the signature first", signature + "." + header + "." + claims},
		{"header-thrice", "the header three times", header + "." + header + "." + header},
		{"claims-twice", "the claims in place of the header", f.signed(claims + "." + claims)},
		{"header-twice", "the header in place of the claims", f.signed(header + "." + header)},
		{"colons", "colons for dots", header + ":" + claims + ":" + signature},
		{"tildes", "tildes for dots", header + "~" + claims + "~" + signature},
		{"tilde-behind", "a good token as SD-JWT, with a tilde at the end", good + "~"},
		{"disclosure-behind", "a good token as SD-JWT, with a disclosure at the end", good + "~" + encode(`["salt","sub","admin"]`) + "~"},
		{"slashes", "slashes for dots", header + "/" + claims + "/" + signature},
		{"hyphens", "hyphens for dots", header + "-" + claims + "-" + signature},
		{"full-width-dots", "full-width dots", header + "\uff0e" + claims + "\uff0e" + signature},
		{"encoded-dots", "percent-encoded dots", header + "%2E" + claims + "%2E" + signature},
		{"ideographic-dots", "ideographic full stops", header + "\u3002" + claims + "\u3002" + signature},
	} {
		f.refuse(required, tt.name, tt.sends, tt.token)
	}
}

// encodings adds tokens whose segments are not base64url without padding. A token with
// a changed header or changed claims is signed after the change.
func (f *family) encodings() {
	headerText, claimsText := withUnusedBits(f.header.String()), withUnusedBits(f.claims.String())
	header, claims := encode(headerText), encode(claimsText)
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
	atEnd := func(s string) func(string) string { return func(segment string) string { return segment + s } }
	atStart := func(s string) func(string) string { return func(segment string) string { return s + segment } }
	add("padding", "padding", func(s string) string { return s + padding(s) })
	add("one-equals-sign", "an equals sign at the end", func(s string) string {
		if padding(s) == "=" {
			return s + "=="
		}
		return s + "="
	})
	add("three-equals-signs", "three equals signs", atEnd("==="))
	add("equals-sign-before", "an equals sign at the start", atStart("="))
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
	add("one-character-more", "a lone character at the end", func(s string) string { return s + "AAAA"[:(5-len(s)%4)%4] })
	add("one-character-less", "a character missing", func(s string) string { return s[:len(s)-1] })
	add("encoded-twice", "base64url of base64url", func(s string) string { return encode(s) })

	// Over HTTP a line break would end the header line, so these tokens cannot come from
	// a client of net/http. They test the decoder alone, and only under Target.Strict.
	breaks := f.withRule("RFC 7515 section 2; RFC 4648 section 3.3; RFC 9110 section 5.5 keeps line breaks out of HTTP")
	for _, tt := range []struct {
		name, sends string
		change      func(string) string
	}{
		{"line-feed-within", "a line feed", insert("\n")},
		{"line-break-within", "a line break", insert("\r\n")},
		{"carriage-return-within", "a carriage return", insert("\r")},
		{"line-feed-behind", "a line feed at the end", atEnd("\n")},
		{"line-feed-before", "a line feed at the start", atStart("\n")},
	} {
		for _, part := range []struct{ name, token string }{
			{"header", f.signed(tt.change(header) + "." + claims)},
			{"claims", f.signed(header + "." + tt.change(claims))},
			{"signature", header + "." + claims + "." + tt.change(signature)},
		} {
			r := bearer(part.token)
			r.only = directly
			breaks.refuseRequest(jwtgateOnly, tt.name+"-in-"+part.name, tt.sends+" in the "+part.name, r)
		}
	}

	standard := strings.NewReplacer("-", "+", "_", "/")
	special := `"` + strings.Repeat(">", 9) + strings.Repeat("?", 9) + `"`
	withSpecial, inHeader := encode(f.claimsWith("x", special)), encode(f.headerWith("x", special))
	f.refuse(required, "standard-alphabet-in-header", "the alphabet of base64 in the header", f.signed(standard.Replace(inHeader)+"."+claims))
	f.refuse(required, "standard-alphabet-in-claims", "the alphabet of base64 in the claims", f.signed(header+"."+standard.Replace(withSpecial)))
	f.refuse(required, "standard-alphabet-of-original", "the alphabet of base64 in the claims, changed after signing", header+"."+standard.Replace(withSpecial)+"."+strings.SplitN(f.signed(header+"."+withSpecial), ".", 3)[2])
	f.refuse(required, "padding-of-original", "padding after the claims, changed after signing", header+"."+claims+padding(claims)+"."+signature)
	f.refuse(required, "percent-encoded-padding", "percent-encoded padding after the claims", f.signed(header+"."+claims+"%3D"))
	f.refuse(required, "hex", "header and claims in hex", f.signed(fmt.Sprintf("%x.%x", headerText, claimsText)))
	f.refuse(required, "base32-like", "claims in upper case", f.signed(header+"."+strings.ToUpper(claims)))
	f.refuse(required, "not-encoded", "header and claims that are not encoded", f.signed(headerText+"."+claimsText))
	f.refuse(required, "header-not-encoded", "a header that is not encoded", f.signed(headerText+"."+claims))
	f.refuse(required, "token-encoded", "a good token in base64url", encode(good))
	f.refuse(required, "token-percent-encoded", "a good token with one letter percent-encoded", fmt.Sprintf("%%%02X", good[0])+good[1:])
	f.refuse(required, "token-backwards", "the characters of a good token in reverse order", string(reversed([]byte(good))))

	// If a service accepts two encodings of a token, its denylist or cache sees two
	// tokens.
	canonical := f.withRule("RFC 4648 section 3.5")
	if s, ok := nonCanonical(header); ok {
		canonical.refuse(jwtgateOnly, "unused-bits-in-header", "unused bits that are not zero in the header", f.signed(s+"."+claims))
	}
	if s, ok := nonCanonical(claims); ok {
		canonical.refuse(jwtgateOnly, "unused-bits-in-claims", "unused bits that are not zero in the claims", f.signed(header+"."+s))
		canonical.refuse(required, "unused-bits-of-original", "unused bits that are not zero in the claims, changed after signing", header+"."+s+"."+signature)
	}
	if s, ok := nonCanonical(signature); ok {
		canonical.refuse(jwtgateOnly, "unused-bits-in-signature", "unused bits that are not zero in the signature", header+"."+claims+"."+s)
	}
}

// serialisations adds the JSON serialisations of a good token (RFC 7515 section 7.2).
// A JWT always has the compact serialisation (RFC 7519 section 1).
func (f *family) serialisations() {
	header, claims, signature := splitToken(f.good())
	flattened := fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, claims, header, signature)
	general := fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, claims, header, signature)
	unprotected := fmt.Sprintf(`{"payload":%q,"header":{"alg":"none"},"signature":""}`, claims)
	mixed := fmt.Sprintf(`{"payload":%q,"protected":%q,"header":{"x":1},"signature":%q}`, claims, header, signature)
	for _, tt := range []struct{ name, sends, text string }{
		{"flattened", "the flattened JSON serialisation", flattened},
		{"general", "the general JSON serialisation", general},
		{"unprotected", "the flattened JSON serialisation with alg none in the unprotected header", unprotected},
		{"mixed", "the flattened JSON serialisation with an unprotected header", mixed},
		{"polyglot", "a JSON serialisation that contains a good token", `{"payload":"` + header + "." + claims + "." + signature + `"}`},
		{"polyglot-with-dots", "a JSON serialisation that has three segments, because it contains two dots", fmt.Sprintf(`{"a":".%s.","payload":%q}`, claims, claims)},
		{"array", "an array of the three segments", fmt.Sprintf(`[%q,%q,%q]`, header, claims, signature)},
		{"object", "a good token as a member", `{"access_token":"` + f.good() + `"}`},
	} {
		f.refuse(required, tt.name, tt.sends, tt.text)
		f.refuse(required, tt.name+"-encoded", tt.sends+", in base64url", encode(tt.text))
	}
	f.refuseRequest(required, "flattened-in-body", "the flattened JSON serialisation as the body", request{
		method: "POST", lines: []string{"Content-Type: application/jose+json"}, body: flattened})
}

// encrypted adds JWEs (RFC 7516). Anybody can encrypt a token for a public key, so
// a JWE proves nothing about its sender.
func (f *family) encrypted() {
	unsigned := encode(f.headerWith("alg", `"none"`)) + "." + encode(f.claims.String()) + "."
	// jwe returns plain, encrypted with key, in compact serialisation.
	jwe := func(header string, key, encryptedKey []byte, plain string) string {
		protected := encode(header)
		gcm := must(cipher.NewGCM(must(aes.NewCipher(key))))
		nonce := make([]byte, gcm.NonceSize())
		sealed := gcm.Seal(nil, nonce, []byte(plain), []byte(protected))
		cut := len(sealed) - gcm.Overhead()
		return strings.Join([]string{protected, encode(encryptedKey), encode(nonce), encode(sealed[:cut]), encode(sealed[cut:])}, ".")
	}
	key := bytes.Repeat([]byte{7}, 32)
	zeroKey := make([]byte, 32)
	f.refuse(required, "direct-with-null-key", "an unsigned token encrypted with a key of zeros", jwe(`{"alg":"dir","enc":"A256GCM","cty":"JWT"}`, zeroKey, nil, unsigned))
	f.refuse(required, "direct-claims", "claims encrypted with a key of zeros", jwe(`{"alg":"dir","enc":"A256GCM"}`, zeroKey, nil, f.claims.String()))
	f.refuse(required, "direct-signed", "a good token encrypted with a key of zeros", jwe(`{"alg":"dir","enc":"A256GCM","cty":"JWT","typ":"JWT"}`, zeroKey, nil, f.good()))
	switch k := f.target.Key.(type) {
	case *rsa.PrivateKey:
		wrapped := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, &k.PublicKey, key, nil))
		f.refuse(required, "for-the-public-key", "an unsigned token encrypted for the service's public key", jwe(`{"alg":"RSA-OAEP-256","enc":"A256GCM","cty":"JWT"}`, key, wrapped, unsigned))
		f.refuse(required, "claims-for-the-public-key", "claims encrypted for the service's public key", jwe(`{"alg":"RSA-OAEP-256","enc":"A256GCM"}`, key, wrapped, f.claims.String()))
	case []byte:
		if len(k) >= 32 {
			f.refuse(required, "direct-with-the-secret", "claims encrypted with the secret that signs", jwe(`{"alg":"dir","enc":"A256GCM"}`, k[:32], nil, f.claims.String()))
		}
	}
	f.refuse(required, "password-with-many-rounds", "a billion rounds of PBKDF2", jwe(`{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2s":"c2FsdHNhbHQ","p2c":1000000000}`, key, make([]byte, 40), unsigned))
	f.refuse(required, "compressed", "a compressed JWE", jwe(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`, zeroKey, nil, strings.Repeat("\x00", 1000)))
	f.refuse(required, "alg-none", "a JWE whose alg is none", jwe(`{"alg":"none","enc":"A256GCM"}`, zeroKey, nil, f.claims.String()))
	f.refuse(required, "alg-of-signature", "a JWE whose alg is for signatures", jwe(f.header.with("enc", `"A256GCM"`).String(), zeroKey, nil, f.claims.String()))
	f.refuse(required, "five-segments-of-a-token", "a good token with two more segments", func() string {
		header, claims, signature := splitToken(f.good())
		return header + "." + claims + "." + signature + ".AAAA.AAAA"
	}())
	f.refuse(required, "serialised-as-json", "a JWE as JSON", `{"protected":"`+encode(`{"alg":"dir","enc":"A256GCM"}`)+`","iv":"AAAA","ciphertext":"AAAA","tag":"AAAA"}`)
	// A token of three segments is a JWS, whose header must not have the enc and zip of a
	// JWE.
	for _, tt := range []struct {
		name   string
		level  requirementLevel
		header object
	}{
		{"enc", recommended, f.header.with("enc", `"A256GCM"`)},
		{"enc-null", jwtgateOnly, f.header.with("enc", `null`)},
		{"enc-and-zip", recommended, f.header.with("enc", `"A128CBC-HS256"`).with("zip", `"DEF"`)},
	} {
		f.refuse(tt.level, "header-with-"+tt.name, "a JWS with the header of a JWE", f.tokenWithHeader(tt.header.String()))
	}
}

// nested adds tokens that contain a token, and tokens whose cty says that they do.
func (f *family) nested() {
	good := f.good()
	unsigned := encode(f.headerWith("alg", `"none"`)) + "." + encode(f.claims.String()) + "."
	for _, tt := range []struct{ name, cty string }{
		{"JWT", `"JWT"`},
		{"jwt", `"jwt"`},
		{"jWt", `"jWt"`},
		{"application-jwt", `"application/jwt"`},
		{"application-JWT", `"application/JWT"`},
		{"escaped", `"J\u0057T"`},
	} {
		// Some issuers write this cty into tokens that are not nested. RFC 7519 section 7.2
		// takes the claims for a token then, which is refused.
		f.accept(jwtgateOnly, "cty-"+tt.name, "claims under a header whose cty says that the payload is a token", f.tokenWithHeader(f.headerWith("cty", tt.cty)))
		f.refuse(jwtgateOnly, "token-in-cty-"+tt.name, "a good token as the payload of a good signature", f.token(f.headerWith("cty", tt.cty), good))
		f.refuse(required, "unsigned-in-cty-"+tt.name, "an unsigned token as the payload of a good signature", f.token(f.headerWith("cty", tt.cty), unsigned))
	}
	f.refuse(required, "without-cty", "a good token in place of the claims", f.tokenWithClaims(good))
	f.refuse(required, "as-string", "a good token as a JSON string in place of the claims", f.tokenWithClaims(quote(good)))
	f.refuse(required, "as-member", "a good token as the only claim", f.tokenWithClaims(`{"jwt":`+quote(good)+`}`))
	f.refuse(required, "claims-as-member", "the claims inside another claim", f.tokenWithClaims(`{"claims":`+f.claims.String()+`}`))
	f.refuse(required, "around-forged", "a forged token with a good token as a fourth segment", f.forged(f.header, f.target.Algorithm, attackersKey(f.target.Algorithm))+"."+encode(good))
}
