package jwttest

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// unsecured says none in all ways that somebody may read as such, once without
// a signature and once with one that is good for the token as it stands.
func (f *family) unsecured() {
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
		input := encode(f.head("alg", tt.alg)) + "." + encode(f.claims.String())
		tries := "a header with alg " + or(tt.alg, "left out")
		f.refuse(required, "unsigned-"+tt.name, tries+" and no signature", input+".")
		f.refuse(required, "signed-"+tt.name, tries+" and a good signature", f.signed(input))
	}
	input := encode(f.head("alg", `"none"`)) + "." + encode(f.claims.String())
	f.refuse(required, "without-last-dot", "alg none and two segments", input)
	f.refuse(required, "signature-of-one-byte", "alg none and a signature of one byte", input+".AA")
	f.refuse(required, "signature-none", "alg none and the word none for a signature", input+".none")
	_, _, signature := split(f.good())
	f.refuse(required, "signature-of-another", "alg none and the signature of a good token", input+"."+signature)
	f.refuse(required, "typ-none", "alg none and nothing else in the header", encode(`{"alg":"none"}`)+"."+encode(f.claims.String())+".")
	f.refuse(required, "without-header", "an empty header and no signature", encode(`{}`)+"."+encode(f.claims.String())+".")
}

// algorithms names one algorithm and signs with another.
func (f *family) algorithms() {
	own := f.target.Algorithm
	claims := encode(f.claims.String())
	for _, alg := range algorithmNames {
		if signingMethods[alg] == signingMethods[own] {
			continue
		}
		header := f.head("alg", quote(alg))
		f.refuse(required, "relabelled-"+alg, "a good signature under a header that says "+alg, f.withHeader(header))
		if kind(alg) == kind(own) && kind(own) != "ES" || kind(alg)+kind(own) == "RSPS" || kind(alg)+kind(own) == "PSRS" {
			input := encode(header) + "." + claims
			f.refuse(required, "own-key-"+alg, "the right key, used for "+alg, input+"."+encode(sign(alg, f.target.Key, input)))
		}
		// The attacker's key of another kind, under her header and under the
		// right one.
		f.refuse(required, "other-key-"+alg, "a key of the attacker for "+alg, f.forged(f.header, alg, attackersKey(alg)))
		input := encode(f.header.String()) + "." + claims
		if alg == "Ed25519" {
			continue // signs as EdDSA does
		}
		f.refuse(required, "mislabelled-"+alg, "a signature by "+alg+" of the attacker under the right header", input+"."+encode(sign(alg, attackersKey(alg), input)))
	}
	f.refuse(required, "other-key", "a key of the attacker for the right algorithm", f.forged(f.header, own, attackersKey(own)))

	f = f.under("RFC 7515 section 4.1.1; RFC 8725 section 3.1")
	for _, tt := range []struct{ name, alg string }{
		{"lower-case", quote(strings.ToLower(own))},
		{"mixed-case", `"` + swapCase(own) + `"`},
		{"space-behind", quote(own + " ")},
		{"space-before", quote(" " + own)},
		{"newline-behind", quote(own + "\n")},
		{"nul-behind", quote(own + "\x00")},
		{"full-width", quote("\uff28" + own[1:])},
		{"longer", quote(own + "0")},
		{"shorter", quote(own[:len(own)-1])},
		{"hyphenated", quote(own[:2] + "-" + own[2:])},
		{"SHA", quote(own[:2] + "SHA" + own[2:])},
		{"jose-long-name", `"HMACSHA256"`},
		{"java-name", `"SHA256withRSA"`},
		{"oid", `"1.2.840.113549.1.1.11"`},
		{"uri", `"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"`},
		{"cose-number", `-7`},
		{"number", `256`},
		{"negative-number-as-text", `"-7"`},
		{"true", `true`},
		{"array", `[` + quote(own) + `]`},
		{"array-with-none", `["none",` + quote(own) + `]`},
		{"object", `{"name":` + quote(own) + `}`},
		{"nested-array", `[[` + quote(own) + `]]`},
		{"RS1", `"RS1"`},
		{"HS1", `"HS1"`},
		{"ES256K", `"ES256K"`},
		{"Ed448", `"Ed448"`},
		{"A256KW", `"A256KW"`},
		{"dir", `"dir"`},
		{"RSA-OAEP", `"RSA-OAEP"`},
		{"asterisk", `"*"`},
		{"path", `"../HS256"`},
		{"long", quote(strings.Repeat(own, 1000))},
	} {
		f.refuse(required, "named-"+tt.name, "a good signature under alg "+shortest(tt.alg), f.withHeader(f.head("alg", tt.alg)))
	}
}

// swapCase changes the letter case of all but the first letter.
func swapCase(s string) string {
	lower := strings.ToLower(s[1:])
	if lower == s[1:] {
		lower = strings.ToUpper(s[1:])
	}
	return s[:1] + lower
}

func shortest(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

// confusion signs with what the public key looks like, for verifiers that let
// the token choose between a key and a secret.
func (f *family) confusion() {
	key := public(f.target.Key)
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
			f.refuse(required, "mislabelled-"+form.name, "HMAC with the public key as the secret, under the right header",
				input+"."+encode(sign("HS256", form.secret, input)))
		}
	}
}

// guessedSecrets signs with what a secret is when nobody has set one.
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
		{"issuer", or(f.target.Issuer, "issuer")},
		{"audience", or(f.target.Audience, "audience")},
		{"key-id", or(f.target.KeyID, "kid")},
		{"algorithm", f.target.Algorithm},
		{"subject", "jwttest"},
	} {
		f.refuse(required, "hs256-"+tt.name, "HS256 with a secret that can be guessed", f.forged(f.header, "HS256", []byte(tt.secret)))
	}
	f.refuse(required, "hs384-empty", "HS384 with an empty secret", f.forged(f.header, "HS384", []byte{}))
	f.refuse(required, "hs512-empty", "HS512 with an empty secret", f.forged(f.header, "HS512", []byte{}))
	f.refuse(required, "hs512-secret", "HS512 with a secret that can be guessed", f.forged(f.header, "HS512", []byte("secret")))
}

// headerKeys lets the token name its own key, or where to get it.
func (f *family) headerKeys() {
	algorithm := f.target.Algorithm
	if kind(algorithm) == "HS" {
		algorithm = "RS256"
	}
	key := attackersKey(algorithm)
	signer := key.(crypto.Signer)
	der := base64.StdEncoding.EncodeToString(certificate(signer))
	digest := sha256.Sum256([]byte(der))
	keySet := jwk(public(key)).with("alg", quote(algorithm))
	header := f.header.with("alg", quote(algorithm))

	// The attacker's key, in the header.
	for _, tt := range []struct {
		name   string
		header object
	}{
		{"jwk", header.with("jwk", keySet.String())},
		{"jwk-without-kid", header.without("kid").with("jwk", keySet.with("use", `"sig"`).String())},
		{"jwk-with-kid", header.with("kid", `"attacker"`).with("jwk", keySet.with("kid", `"attacker"`).String())},
		{"jwk-with-kid-of-service", header.with("jwk", keySet.with("kid", quote(or(f.target.KeyID, "1"))).String())},
		{"jwk-set", header.with("jwk", `{"keys":[`+keySet.String()+`]}`)},
		{"jwk-array", header.with("jwk", `[`+keySet.String()+`]`)},
		{"jwk-as-text", header.with("jwk", quote(keySet.String()))},
		{"jwks", header.with("jwks", `{"keys":[`+keySet.String()+`]}`)},
		{"x5c", header.with("x5c", `["`+der+`"]`)},
		{"x5c-as-text", header.with("x5c", `"`+der+`"`)},
		{"x5c-without-kid", header.without("kid").with("x5c", `["`+der+`","`+der+`"]`)},
		{"x5t", header.with("x5t", quote(encode(digest[:20])))},
		{"x5t-s256", header.with("x5t#S256", quote(encode(digest[:])))},
	} {
		f.refuse(required, tt.name, "a key of the attacker, which the header has", f.forged(tt.header, algorithm, key))
	}
	secret := jwk(attackersSecret).with("alg", `"HS256"`)
	f.refuse(required, "jwk-secret", "a secret of the attacker, which the header has", f.forged(f.header.with("jwk", secret.String()), "HS256", attackersSecret))
	f.refuse(required, "jwk-empty-secret", "an empty secret, which the header has", f.forged(f.header.with("jwk", `{"kty":"oct","k":""}`), "HS256", []byte{}))
	if own := public(f.target.Key); own != nil {
		f.refuse(required, "jwk-public-as-secret", "the service's public key as a secret, which the header has",
			f.forged(f.header.with("jwk", jwk([]byte(jwk(own).String())).String()), "HS256", []byte(jwk(own).String())))
	}

	// The attacker's key, somewhere else. The token that the service's key
	// signed shows whether it is fetched all the same.
	named := func(name, parameter string, value func(address string) string) {
		tries := "a key of the attacker, at an address in the header's " + parameter
		address := f.baitURL + "/" + f.name + "/" + name
		f.add(probe{name: name, tries: tries, bait: true, request: f.bearer(f.forged(
			header.with("kid", quote(algorithm)).with(parameter, value(address)), algorithm, key))})
		address += "-good"
		good := f.header.with(parameter, value(address))
		if parameter != "kid" && parameter != "alg" {
			f.add(probe{name: name + "-good", tries: "the right key, and an address in the header's " + parameter, accept: true, firm: ours, bait: true,
				rule: "RFC 7515 sections 4.1.2 and 4.1.5; RFC 8725 section 3.10", request: f.bearer(f.withHeader(good.String()))})
		}
	}
	text := func(prefix, suffix string) func(string) string {
		return func(address string) string {
			scheme, rest, _ := strings.Cut(address, "://")
			return quote(scheme + "://" + prefix + rest + suffix)
		}
	}
	plain := text("", "")
	for _, tt := range []struct {
		name, parameter string
		value           func(string) string
	}{
		{"jku", "jku", plain},
		{"jku-with-extension", "jku", text("", "/jwks.json")},
		{"jku-with-user", "jku", text("trusted.example@", "")},
		{"jku-with-fragment", "jku", text("", "#https://trusted.example/jwks")},
		{"jku-with-query", "jku", text("", "?x=https://trusted.example/jwks")},
		{"jku-array", "jku", func(a string) string { return "[" + plain(a) + "]" }},
		{"jku-object", "jku", func(a string) string { return `{"url":` + plain(a) + "}" }},
		{"jwks-uri", "jwks_uri", plain},
		{"x5u", "x5u", plain},
		{"x5u-with-extension", "x5u", text("", "/chain.pem")},
		{"x5u-array", "x5u", func(a string) string { return "[" + plain(a) + "]" }},
		{"jwk-as-address", "jwk", plain},
		{"x5c-as-address", "x5c", func(a string) string { return "[" + plain(a) + "]" }},
		{"kid-as-address", "kid", plain},
		{"iss-in-header", "iss", plain},
	} {
		named(tt.name, tt.parameter, tt.value)
	}
	both := f.baitURL + "/" + f.name + "/jku-and-x5u"
	f.add(probe{name: "jku-and-x5u", tries: "a key of the attacker, at two addresses in the header", bait: true, request: f.bearer(
		f.forged(header.with("jku", quote(both)).with("x5u", quote(both)), algorithm, key))})
	if f.target.Issuer != "" {
		issuer := f.baitURL + "/" + f.name + "/iss"
		claims := f.body("iss", quote(issuer))
		input := encode(header.with("kid", quote(algorithm)).String()) + "." + encode(claims)
		f.add(probe{name: "iss", tries: "a key of the attacker, who is the issuer", bait: true, rule: "RFC 8725 section 3.8",
			request: f.bearer(input + "." + encode(sign(algorithm, key, input)))})
		f.add(probe{name: "iss-good", tries: "the right key, and an issuer with a server of its own", bait: true, rule: "RFC 8725 section 3.8",
			request: f.bearer(f.withClaims(f.body("iss", quote(issuer+"-good"))))})
	}
}

// keyIDs abuses kid. What a wrong one may do depends on how keys are found by
// it, so that it is signed with what the verifier would find.
func (f *family) keyIDs() {
	for _, tt := range []struct{ name, kid, secret string }{
		{"dev-null", "/dev/null", ""},
		{"dev-null-relative", "../../../../../../../dev/null", ""},
		{"dev-null-with-nul", "../../../../../../../dev/null\x00.pem", ""},
		{"windows-nul", `..\..\..\..\NUL`, ""},
		{"kernel-setting", "/proc/sys/kernel/randomize_va_space", "2\n"},
		{"kernel-setting-relative", "../../../../../../proc/sys/kernel/randomize_va_space", "2\n"},
		{"file-address", "file:///dev/null", ""},
		{"data-address", "data:text/plain,secret", "secret"},
		{"data-address-in-base64", "data:;base64,c2VjcmV0", "secret"},
		{"directory", "/", ""},
		{"current-directory", ".", ""},
		{"sql-union", "x' UNION SELECT 'secret' -- ", "secret"},
		{"sql-union-double-quotes", `x" UNION SELECT "secret" -- `, "secret"},
		{"sql-union-number", "0 UNION SELECT 'secret'", "secret"},
		{"sql-or", "' OR '1'='1", ""},
		{"sql-stacked", "x'; SELECT 'secret'; -- ", "secret"},
		{"shell", "x; echo secret #", "secret\n"},
		{"shell-substitution", "$(echo secret)", "secret"},
		{"pipe", "|echo secret", "secret\n"},
		{"ldap", "*)(uid=*", ""},
		{"nosql", `{"$ne":null}`, ""},
		{"template", "{{'secret'}}", "secret"},
		{"expression", "${'secret'}", "secret"},
		{"prototype", "__proto__", ""},
		{"constructor", "constructor", ""},
		{"line-break", "x\r\nSet-Cookie: a=b", ""},
		{"asterisk", "*", ""},
		{"percent", "%", ""},
	} {
		f.refuse(required, "injected-"+tt.name, "a kid of "+quote(tt.kid)+", and the secret that this may find",
			f.forged(f.header.with("kid", quote(tt.kid)), "HS256", []byte(tt.secret)))
	}
	f.refuse(required, "unknown-key", "a key of the attacker with an ID of hers",
		f.forged(f.header.with("kid", `"attacker"`), f.target.Algorithm, attackersKey(f.target.Algorithm)))
	f.refuse(required, "without-kid", "a key of the attacker without ID",
		f.forged(f.header.without("kid").with("x", "1"), f.target.Algorithm, attackersKey(f.target.Algorithm)))

	f = f.under("RFC 7515 section 4.1.4")
	kid := quote(or(f.target.KeyID, "1"))
	for _, tt := range []struct{ name, kid string }{
		{"number", `1`},
		{"zero", `0`},
		{"fraction", `1.5`},
		{"null", `null`},
		{"true", `true`},
		{"array", `[` + kid + `]`},
		{"empty-array", `[]`},
		{"object", `{"kid":` + kid + `}`},
		{"nested-array", `[[` + kid + `]]`},
	} {
		f.refuse(advised, "a-"+tt.name, "the right key, and a kid that is no string: "+tt.kid, f.withHeader(f.head("kid", tt.kid)))
	}
	f.refuse(ours, "257-bytes", "the right key, and a kid of 257 bytes", f.withHeader(f.head("kid", quote(strings.Repeat("k", 257)))))
	f.refuse(ours, "257-bytes-by-escapes", "the right key, and a kid of 257 escapes", f.withHeader(f.head("kid", `"`+strings.Repeat(`\u006b`, 257)+`"`)))
	f.refuse(ours, "8-kilobytes", "the right key, and a kid of 8 KB", f.withHeader(f.head("kid", quote(strings.Repeat("k", 8000)))))

	if f.target.KeyID == "" {
		return // the key has no ID, and a token may name any
	}
	id := f.target.KeyID
	for _, tt := range []struct{ name, kid string }{
		{"other", "another"},
		{"upper-case", strings.ToUpper(id)},
		{"lower-case", strings.ToLower(id)},
		{"longer", id + "x"},
		{"shorter", id[:len(id)-1]},
		{"space-behind", id + " "},
		{"space-before", " " + id},
		{"newline-behind", id + "\n"},
		{"nul-behind", id + "\x00"},
		{"nul-and-more", id + "\x00.pem"},
		{"path-before", "./" + id},
		{"path-through", "x/../" + id},
		{"percent-encoded", fmt.Sprintf("%%%02X", id[0]) + id[1:]},
		{"quoted", `"` + id + `"`},
		{"zero-width-space", id + "\u200b"},
		{"list", id + ",x"},
	} {
		if tt.kid == id || tt.kid == "" {
			continue
		}
		f.refuse(ours, "near-"+tt.name, "the right key under an ID that is not quite its own", f.withHeader(f.head("kid", quote(tt.kid))))
	}
}

// critical marks as critical what a verifier does not know.
func (f *family) critical() {
	for _, tt := range []struct {
		name   string
		firm   firmness
		header object
	}{
		{"unknown", required, f.header.with("crit", `["x-policy"]`).with("x-policy", `"deny"`)},
		{"unknown-address", required, f.header.with("crit", `["http://example.com/deny"]`).with("http://example.com/deny", `true`)},
		{"unknown-first", required, f.header.before("x-policy", `"deny"`).before("crit", `["x-policy"]`)},
		{"two-unknown", required, f.header.with("crit", `["x-a","x-b"]`).with("x-a", `1`).with("x-b", `2`)},
		{"exp", required, f.header.with("crit", `["exp"]`).with("exp", f.at(time.Hour))},
		{"escaped", required, f.header.with(`cr\u0069t`, `["x-policy"]`).with("x-policy", `1`)},
		{"escaped-within", required, f.header.with("crit", `["x-polic\u0079"]`).with("x-policy", `1`)},
		{"absent-parameter", required, f.header.with("crit", `["x-policy"]`)},
		{"hundred", required, f.header.with("crit", `["a0"`+members(99, `"a%d"`)+`]`)},
		{"b64-and-unknown", required, f.header.with("crit", `["b64","x-policy"]`).with("b64", `true`).with("x-policy", `1`)},
		{"empty", advised, f.header.with("crit", `[]`)},
		{"null", advised, f.header.with("crit", `null`)},
		{"string", advised, f.header.with("crit", `"x-policy"`).with("x-policy", `1`)},
		{"number", advised, f.header.with("crit", `1`)},
		{"true", advised, f.header.with("crit", `true`)},
		{"false", advised, f.header.with("crit", `false`)},
		{"object", advised, f.header.with("crit", `{"x-policy":1}`).with("x-policy", `1`)},
		{"of-numbers", advised, f.header.with("crit", `[1]`).with("1", `1`)},
		{"of-null", advised, f.header.with("crit", `[null]`)},
		{"nested", advised, f.header.with("crit", `[["x-policy"]]`).with("x-policy", `1`)},
		{"empty-name", advised, f.header.with("crit", `[""]`).with("", `1`)},
		{"alg", advised, f.header.with("crit", `["alg"]`)},
		{"kid", advised, f.header.with("crit", `["kid"]`)},
		{"itself", advised, f.header.with("crit", `["crit"]`)},
		{"repeated", advised, f.header.with("crit", `["x-policy","x-policy"]`).with("x-policy", `1`)},
	} {
		f.refuse(tt.firm, tt.name, "a header that says crit "+tt.header.value("crit")+tt.header.value(`cr\u0069t`), f.withHeader(tt.header.String()))
	}

	f = f.under("RFC 7797 sections 3, 6 and 7")
	for _, tt := range []struct {
		name   string
		firm   firmness
		header object
	}{
		{"b64-false-and-critical", required, f.header.with("b64", `false`).with("crit", `["b64"]`)},
		{"b64-true-and-critical", ours, f.header.with("b64", `true`).with("crit", `["b64"]`)},
		{"b64-false", advised, f.header.with("b64", `false`)},
		{"b64-null", ours, f.header.with("b64", `null`)},
		{"b64-zero", ours, f.header.with("b64", `0`)},
		{"b64-as-text", ours, f.header.with("b64", `"false"`)},
		{"b64-true-as-text", ours, f.header.with("b64", `"true"`)},
		{"b64-array", ours, f.header.with("b64", `[false]`)},
		{"b64-false-escaped", advised, f.header.with(`\u00624`, `1`).with(`b\u00364`, `false`)},
	} {
		f.refuse(tt.firm, tt.name, "a payload that is encoded under a header that says otherwise", f.withHeader(tt.header.String()))
	}
	claims := f.claims.String()
	header := encode(f.header.with("b64", `false`).with("crit", `["b64"]`).String())
	signature := encode(sign(f.target.Algorithm, f.target.Key, header+"."+claims))
	f.refuse(required, "unencoded", "a payload that is not encoded", header+"."+claims+"."+signature)
	f.refuse(required, "unencoded-and-detached", "a payload that is not encoded, and not sent", header+".."+signature)
	f.refuse(required, "unencoded-but-sent-so", "a payload that was encoded after it was signed", header+"."+encode(claims)+"."+signature)
}

// segments cuts tokens in other than three.
func (f *family) segments() {
	good := f.good()
	header, claims, signature := split(good)
	for _, tt := range []struct{ name, tries, token string }{
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
		f.refuse(required, tt.name, tt.tries, tt.token)
	}
}

// encodings spells segments otherwise than base64url has them. Where header or
// claims are changed, the signature is of the text as it stands.
func (f *family) encodings() {
	h, p := ragged(f.header.String()), ragged(f.claims.String())
	header, claims := encode(h), encode(p)
	good := f.signed(header + "." + claims)
	_, _, signature := split(good)
	padding := func(segment string) string { return strings.Repeat("=", (4-len(segment)%4)%4) }
	add := func(name, tries string, change func(string) string) {
		f.refuse(required, name+"-in-header", tries+" in the header", f.signed(change(header)+"."+claims))
		f.refuse(required, name+"-in-claims", tries+" in the claims", f.signed(header+"."+change(claims)))
		if changed := change(signature); changed != signature {
			f.refuse(required, name+"-in-signature", tries+" in the signature", header+"."+claims+"."+changed)
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
		name, tries string
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
			f.send(required, tt.name+"-in-"+part.name, tt.tries+" in the "+part.name, r)
		}
	}

	standard := strings.NewReplacer("-", "+", "_", "/")
	special := `"` + strings.Repeat(">", 9) + strings.Repeat("?", 9) + `"`
	withSpecial, inHeader := encode(f.body("x", special)), encode(f.head("x", special))
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
	loose := f.under("RFC 4648 section 3.5")
	if s, ok := respell(header); ok {
		loose.refuse(ours, "unused-bits-in-header", "bits that stand for nothing in the header", f.signed(s+"."+claims))
	}
	if s, ok := respell(claims); ok {
		loose.refuse(ours, "unused-bits-in-claims", "bits that stand for nothing in the claims", f.signed(header+"."+s))
		loose.refuse(required, "unused-bits-of-original", "bits that stand for nothing in the claims, signed before", header+"."+s+"."+signature)
	}
	if s, ok := respell(signature); ok {
		loose.refuse(ours, "unused-bits-in-signature", "bits that stand for nothing in the signature", header+"."+claims+"."+s)
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
	header, claims, signature := split(f.good())
	flattened := fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, claims, header, signature)
	general := fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, claims, header, signature)
	unprotected := fmt.Sprintf(`{"payload":%q,"header":{"alg":"none"},"signature":""}`, claims)
	mixed := fmt.Sprintf(`{"payload":%q,"protected":%q,"header":{"x":1},"signature":%q}`, claims, header, signature)
	for _, tt := range []struct{ name, tries, text string }{
		{"flattened", "the flattened JSON serialisation", flattened},
		{"general", "the general JSON serialisation", general},
		{"unprotected", "the flattened JSON serialisation with alg none outside", unprotected},
		{"mixed", "the flattened JSON serialisation with a header outside", mixed},
		{"polyglot", "a JSON serialisation with a compact one within", `{"payload":"` + header + "." + claims + "." + signature + `"}`},
		{"polyglot-with-dots", "a JSON serialisation that three dots divide", fmt.Sprintf(`{"a":".%s.","payload":%q}`, claims, claims)},
		{"array", "an array of the three segments", fmt.Sprintf(`[%q,%q,%q]`, header, claims, signature)},
		{"object", "a good token as a member", `{"access_token":"` + f.good() + `"}`},
	} {
		f.refuse(required, tt.name, tt.tries, tt.text)
		f.refuse(required, tt.name+"-encoded", tt.tries+", in base64url", encode(tt.text))
	}
	f.send(required, "flattened-in-body", "the flattened JSON serialisation as the body", request{
		method: "POST", lines: []string{"Content-Type: application/jose+json"}, body: flattened})
}

// encrypted sends JWE, which anybody can make for a public key: what is
// encrypted is not thereby vouched for.
func (f *family) encrypted() {
	unsigned := encode(f.head("alg", `"none"`)) + "." + encode(f.claims.String()) + "."
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
		header, claims, signature := split(f.good())
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
		{"enc-null", ours, f.header.with("enc", `null`)},
		{"enc-and-zip", advised, f.header.with("enc", `"A128CBC-HS256"`).with("zip", `"DEF"`)},
	} {
		f.refuse(tt.firm, "header-with-"+tt.name, "three segments under a header of JWE", f.withHeader(tt.header.String()))
	}
}

// nested wraps a token in a token.
func (f *family) nested() {
	good := f.good()
	unsigned := encode(f.head("alg", `"none"`)) + "." + encode(f.claims.String()) + "."
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
		f.refuse(tt.firm, "cty-"+tt.name, "claims under a header that says they are a token", f.withHeader(f.head("cty", tt.cty)))
		f.refuse(ours, "token-in-cty-"+tt.name, "a good token within a good signature", f.token(f.head("cty", tt.cty), good))
		f.refuse(required, "unsigned-in-cty-"+tt.name, "an unsigned token within a good signature", f.token(f.head("cty", tt.cty), unsigned))
	}
	for _, tt := range []struct{ name, cty string }{
		{"number", `1`}, {"null", `null`}, {"array", `["JWT"]`}, {"object", `{}`}, {"true", `true`},
	} {
		f.refuse(ours, "cty-a-"+tt.name, "a cty that is no string", f.withHeader(f.head("cty", tt.cty)))
	}
	f.refuse(required, "without-cty", "a good token as the claims", f.withClaims(good))
	f.refuse(required, "as-string", "a good token as a JSON string for claims", f.withClaims(quote(good)))
	f.refuse(required, "as-member", "a good token as the only claim", f.withClaims(`{"jwt":`+quote(good)+`}`))
	f.refuse(required, "claims-as-member", "the claims one level deeper", f.withClaims(`{"claims":`+f.claims.String()+`}`))
	f.refuse(required, "around-forged", "a forged token that a good one is the claims of", f.forged(f.header, f.target.Algorithm, attackersKey(f.target.Algorithm))+"."+encode(good))
}
