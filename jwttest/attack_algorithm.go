package jwttest

import (
	"cmp"
	"strings"
)

// algNone adds tokens whose alg is none, in every form that a verifier may take for
// none. Each is sent without a signature and with a good one.
func (f *family) algNone() {
	for _, tt := range []struct{ name, alg string }{
		{"none", `"none"`},
		{"None", `"None"`},
		{"NONE", `"NONE"`},
		{"nOnE", `"nOnE"`},
		{"NoNe", `"NoNe"`},
		{"nonE", `"nonE"`},
		{"noNE", `"noNE"`},
		{"nONE", `"nONE"`},
		{"escaped", `"n\u006fne"`},
		{"space-behind", `"none "`},
		{"space-before", `" none"`},
		{"tab-behind", `"none\t"`},
		{"newline-behind", `"none\n"`},
		{"nul-behind", `"none\u0000"`},
		{"nul-before-algorithm", `"none\u0000HS256"`},
		{"zero-width-space", `"none\u200b"`},
		{"full-width", `"\uff4e\uff4f\uff4e\uff45"`},
		{"look-alike", `"n\u043ene"`},
		{"quoted-twice", `"\"none\""`},
		{"empty", `""`},
		{"space", `" "`},
		{"null", `null`},
		{"null-as-text", `"null"`},
		{"false", `false`},
		{"zero", `0`},
		{"array", `["none"]`},
		{"empty-array", `[]`},
		{"object", `{"alg":"none"}`},
		{"list", `"none,` + f.target.Algorithm + `"`},
		{"absent", ``},
	} {
		input := encode(f.headerWith("alg", tt.alg)) + "." + encode(f.claims.String())
		sends := "a header with alg " + cmp.Or(tt.alg, "left out")
		f.refuse(required, "unsigned-"+tt.name, sends+" and no signature", input+".")
		f.refuse(required, "signed-"+tt.name, sends+" and a good signature", f.signed(input))
	}
	input := encode(f.headerWith("alg", `"none"`)) + "." + encode(f.claims.String())
	f.refuse(required, "without-last-dot", "alg none and two segments", input)
	f.refuse(required, "signature-of-one-byte", "alg none and a signature of one byte", input+".AA")
	f.refuse(required, "signature-none", "alg none and the word none as the signature", input+".none")
	_, _, signature := splitToken(f.good())
	f.refuse(required, "signature-of-another", "alg none and the signature of a good token", input+"."+signature)
	f.refuse(required, "typ-none", "alg none and nothing else in the header", encode(`{"alg":"none"}`)+"."+encode(f.claims.String())+".")
	f.refuse(required, "without-header", "an empty header and no signature", encode(`{}`)+"."+encode(f.claims.String())+".")
}

// algorithms adds tokens that name one algorithm and are signed with another.
func (f *family) algorithms() {
	right := f.target.Algorithm
	claims := encode(f.claims.String())
	for _, alg := range algorithmNames {
		if signingMethods[alg] == signingMethods[right] {
			continue
		}
		header := f.headerWith("alg", quote(alg))
		f.refuse(required, "relabelled-"+alg, "a good signature under a header that says "+alg, f.tokenWithHeader(header))
		if kind(alg) == kind(right) && kind(right) != "ES" || kind(alg)+kind(right) == "RSPS" || kind(alg)+kind(right) == "PSRS" {
			input := encode(header) + "." + claims
			f.refuse(required, "own-key-"+alg, "the right key, used for "+alg, input+"."+encode(sign(alg, f.target.Key, input)))
		}
		// The attacker's key of another kind, under a matching header and under the
		// header of a good token.
		f.refuse(required, "other-key-"+alg, "a key of the attacker for "+alg, f.forged(f.header, alg, attackersKey(alg)))
		input := encode(f.header.String()) + "." + claims
		if alg == "Ed25519" {
			continue // its signatures are those of EdDSA
		}
		f.refuse(required, "mislabelled-"+alg, "a signature of the attacker with "+alg+", under the header of a good token", input+"."+encode(sign(alg, attackersKey(alg), input)))
	}
	f.refuse(required, "other-key", "a key of the attacker for the right algorithm", f.forged(f.header, right, attackersKey(right)))

	f = f.withRule("RFC 7515 section 4.1.1; RFC 8725 section 3.1")
	for _, tt := range []struct{ name, alg string }{
		{"lower-case", quote(strings.ToLower(right))},
		{"mixed-case", `"` + swapCase(right) + `"`},
		{"space-behind", quote(right + " ")},
		{"space-before", quote(" " + right)},
		{"newline-behind", quote(right + "\n")},
		{"nul-behind", quote(right + "\x00")},
		{"full-width", quote("\uff28" + right[1:])},
		{"longer", quote(right + "0")},
		{"shorter", quote(right[:len(right)-1])},
		{"hyphenated", quote(right[:2] + "-" + right[2:])},
		{"SHA", quote(right[:2] + "SHA" + right[2:])},
		{"jose-long-name", `"HMACSHA256"`},
		{"java-name", `"SHA256withRSA"`},
		{"oid", `"1.2.840.113549.1.1.11"`},
		{"uri", `"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"`},
		{"cose-number", `-7`},
		{"number", `256`},
		{"negative-number-as-text", `"-7"`},
		{"true", `true`},
		{"array", `[` + quote(right) + `]`},
		{"array-with-none", `["none",` + quote(right) + `]`},
		{"object", `{"name":` + quote(right) + `}`},
		{"nested-array", `[[` + quote(right) + `]]`},
		{"RS1", `"RS1"`},
		{"HS1", `"HS1"`},
		{"ES256K", `"ES256K"`},
		{"Ed448", `"Ed448"`},
		{"A256KW", `"A256KW"`},
		{"dir", `"dir"`},
		{"RSA-OAEP", `"RSA-OAEP"`},
		{"asterisk", `"*"`},
		{"path", `"../HS256"`},
		{"long", quote(strings.Repeat(right, 1000))},
	} {
		f.refuse(required, "named-"+tt.name, "a good signature under alg "+abbreviated(tt.alg), f.tokenWithHeader(f.headerWith("alg", tt.alg)))
	}
}

// swapCase changes the case of all letters except the first.
func swapCase(s string) string {
	lower := strings.ToLower(s[1:])
	if lower == s[1:] {
		lower = strings.ToUpper(s[1:])
	}
	return s[:1] + lower
}

// confusion adds tokens with an HMAC whose secret is the public key, which everybody
// knows. A verifier that lets the token choose the algorithm uses the public key as the
// secret of an HMAC.
func (f *family) confusion() {
	key := publicKey(f.target.Key)
	if key == nil {
		return
	}
	for _, form := range publicForms(key) {
		f.refuse(required, "hs256-"+form.name, "HS256 with the public key as the secret", f.forged(f.header, "HS256", form.secret))
		switch form.name {
		case "pkix-pem", "pkix-der", "jwk", "pkcs1-pem", "point":
			f.refuse(required, "hs384-"+form.name, "HS384 with the public key as the secret", f.forged(f.header, "HS384", form.secret))
			f.refuse(required, "hs512-"+form.name, "HS512 with the public key as the secret", f.forged(f.header, "HS512", form.secret))
			f.refuse(required, "without-kid-"+form.name, "HS256 with the public key as the secret, and no kid",
				f.forged(f.header.without("kid").with("x", "1"), "HS256", form.secret))
			input := encode(f.header.String()) + "." + encode(f.claims.String())
			f.refuse(required, "mislabelled-"+form.name, "HMAC with the public key as the secret, under the header of a good token",
				input+"."+encode(sign("HS256", form.secret, input)))
		}
	}
}

// guessedSecrets adds tokens that are signed with secrets that an attacker guesses, such
// as those of examples.
func (f *family) guessedSecrets() {
	for _, tt := range []struct{ name, secret string }{
		{"empty", ""},
		{"space", " "},
		{"newline", "\n"},
		{"secret", "secret"},
		{"Secret", "Secret"},
		{"password", "password"},
		{"changeme", "changeme"},
		{"key", "key"},
		{"test", "test"},
		{"jwt-io", "your-256-bit-secret"},
		{"jwt-io-long", "a-string-secret-at-least-256-bits-long"},
		{"rfc-7515", "\x03\x23\x35\x4b\x2b\x0f\xa5\xbc\x83\x7e\x06\x65\x77\x7b\xa6\x8f\x5a\xb3\x28\xe6\xf0\x54\xc9\x28\xa9\x0f\x84\xb2\xd2\x50\x2e\xbf" +
			"\xd3\xfb\x5a\x92\xd2\x06\x47\xef\x96\x8a\xb4\xc3\x77\x62\x3d\x22\x3d\x2e\x21\x72\x05\x2e\x4f\x08\xc0\xcd\x9a\xf5\x67\xd0\x80\xa3"},
		{"null", "null"},
		{"undefined", "undefined"},
		{"nil", "<nil>"},
		{"none", "none"},
		{"false", "false"},
		{"zero", "0"},
		{"empty-object", "{}"},
		{"empty-array", "[]"},
		{"js-object", "[object Object]"},
		{"variable", "${JWT_SECRET}"},
		{"variable-name", "JWT_SECRET"},
		{"issuer", cmp.Or(f.target.Issuer, "issuer")},
		{"audience", cmp.Or(f.target.Audience, "audience")},
		{"key-id", cmp.Or(f.target.KeyID, "kid")},
		{"algorithm", f.target.Algorithm},
		{"subject", "jwttest"},
	} {
		f.refuse(required, "hs256-"+tt.name, "HS256 with a secret that is easy to guess, "+quote(abbreviated(tt.secret)), f.forged(f.header, "HS256", []byte(tt.secret)))
	}
	f.refuse(required, "hs384-empty", "HS384 with an empty secret", f.forged(f.header, "HS384", []byte{}))
	f.refuse(required, "hs512-empty", "HS512 with an empty secret", f.forged(f.header, "HS512", []byte{}))
	f.refuse(required, "hs512-secret", "HS512 with a secret that is easy to guess", f.forged(f.header, "HS512", []byte("secret")))
}
