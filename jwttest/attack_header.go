package jwttest

import (
	"cmp"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// headerKeys adds tokens that contain the attacker's key, or an address of the
// attackersServer.
func (f *family) headerKeys() {
	algorithm := f.target.Algorithm
	if kind(algorithm) == "HS" {
		algorithm = "RS256"
	}
	key := attackersKey(algorithm)
	signer := key.(crypto.Signer)
	der := base64.StdEncoding.EncodeToString(certificate(signer))
	digest := sha256.Sum256([]byte(der))
	attackersJWK := jwk(publicKey(key)).with("alg", quote(algorithm))
	header := f.header.with("alg", quote(algorithm))

	for _, tt := range []struct {
		name   string
		header object
	}{
		{"jwk", header.with("jwk", attackersJWK.String())},
		{"jwk-without-kid", header.without("kid").with("jwk", attackersJWK.with("use", `"sig"`).String())},
		{"jwk-with-kid", header.with("kid", `"attacker"`).with("jwk", attackersJWK.with("kid", `"attacker"`).String())},
		{"jwk-with-kid-of-service", header.with("jwk", attackersJWK.with("kid", quote(cmp.Or(f.target.KeyID, "1"))).String())},
		{"jwk-set", header.with("jwk", `{"keys":[`+attackersJWK.String()+`]}`)},
		{"jwk-array", header.with("jwk", `[`+attackersJWK.String()+`]`)},
		{"jwk-as-text", header.with("jwk", quote(attackersJWK.String()))},
		{"jwks", header.with("jwks", `{"keys":[`+attackersJWK.String()+`]}`)},
		{"x5c", header.with("x5c", `["`+der+`"]`)},
		{"x5c-as-text", header.with("x5c", `"`+der+`"`)},
		{"x5c-without-kid", header.without("kid").with("x5c", `["`+der+`","`+der+`"]`)},
		{"x5t", header.with("x5t", quote(encode(digest[:20])))},
		{"x5t-s256", header.with("x5t#S256", quote(encode(digest[:])))},
	} {
		f.refuse(required, tt.name, "a key of the attacker, which is in the header", f.forged(tt.header, algorithm, key))
	}
	secret := jwk(attackersSecret).with("alg", `"HS256"`)
	f.refuse(required, "jwk-secret", "a secret of the attacker, which is in the header", f.forged(f.header.with("jwk", secret.String()), "HS256", attackersSecret))
	f.refuse(required, "jwk-empty-secret", "an empty secret, which is in the header", f.forged(f.header.with("jwk", `{"kty":"oct","k":""}`), "HS256", []byte{}))
	if own := publicKey(f.target.Key); own != nil {
		f.refuse(required, "jwk-public-as-secret", "the service's public key as a secret, which is in the header",
			f.forged(f.header.with("jwk", jwk([]byte(jwk(own).String())).String()), "HS256", []byte(jwk(own).String())))
	}

	// addAddress adds a token that the attacker has signed, with an address of the
	// attacker's key in a header parameter. It adds the same with a good token, because a
	// service may request the address although it already has the key.
	addAddress := func(server, name, parameter string, value func(address string) string) {
		sends := "a key of the attacker, at an address in the header's " + parameter
		address := server + "/" + f.name + "/" + name
		f.add(attackCase{name: name, sends: sends, namesServer: true, request: bearer(f.forged(
			header.with("kid", quote(algorithm)).with(parameter, value(address)), algorithm, key))})
		address += "-good"
		good := f.header.with(parameter, value(address))
		if parameter != "kid" { // a token with another kid is not good
			f.add(attackCase{name: name + "-good", sends: "the right key, and an address in the header's " + parameter, accept: true, level: jwtgateOnly, namesServer: true,
				rule: "RFC 7515 sections 4.1.2 and 4.1.5; RFC 8725 section 3.10", request: bearer(f.tokenWithHeader(good.String()))})
		}
	}
	// around returns a function that quotes an address with a prefix before its host and a
	// suffix at its end.
	around := func(prefix, suffix string) func(string) string {
		return func(address string) string {
			scheme, rest, _ := strings.Cut(address, "://")
			return quote(scheme + "://" + prefix + rest + suffix)
		}
	}
	plain := around("", "")
	for _, tt := range []struct {
		name, parameter string
		value           func(string) string
	}{
		{"jku", "jku", plain},
		{"jku-with-extension", "jku", around("", "/jwks.json")},
		{"jku-with-user", "jku", around("trusted.example@", "")},
		{"jku-with-fragment", "jku", around("", "#https://trusted.example/jwks")},
		{"jku-with-query", "jku", around("", "?x=https://trusted.example/jwks")},
		{"jku-array", "jku", func(a string) string { return "[" + plain(a) + "]" }},
		{"jku-object", "jku", func(a string) string { return `{"url":` + plain(a) + "}" }},
		{"jwks-uri", "jwks_uri", plain},
		{"x5u", "x5u", plain},
		{"x5u-with-extension", "x5u", around("", "/chain.pem")},
		{"x5u-array", "x5u", func(a string) string { return "[" + plain(a) + "]" }},
		{"jwk-as-address", "jwk", plain},
		{"x5c-as-address", "x5c", func(a string) string { return "[" + plain(a) + "]" }},
		{"kid-as-address", "kid", plain},
		{"iss-in-header", "iss", plain},
	} {
		addAddress(f.attackers.http, tt.name, tt.parameter, tt.value)
		addAddress(f.attackers.https, tt.name+"-over-https", tt.parameter, tt.value)
	}
	for _, server := range []struct{ url, suffix string }{{f.attackers.http, ""}, {f.attackers.https, "-over-https"}} {
		both := server.url + "/" + f.name + "/jku-and-x5u" + server.suffix
		f.add(attackCase{name: "jku-and-x5u" + server.suffix, sends: "a key of the attacker, at two addresses in the header", namesServer: true, request: bearer(
			f.forged(header.with("jku", quote(both)).with("x5u", quote(both)), algorithm, key))})
		if f.target.Issuer == "" {
			continue
		}
		name := "iss" + server.suffix
		issuer := server.url + "/" + f.name + "/" + name
		claims := f.claimsWith("iss", quote(issuer))
		input := encode(header.with("kid", quote(algorithm)).String()) + "." + encode(claims)
		f.add(attackCase{name: name, sends: "a key of the attacker, and the attacker's server as iss", namesServer: true, rule: "RFC 8725 section 3.8",
			request: bearer(input + "." + encode(sign(algorithm, key, input)))})
		f.add(attackCase{name: name + "-good", sends: "the right key, and the attacker's server as iss", namesServer: true, rule: "RFC 8725 section 3.8",
			request: bearer(f.tokenWithClaims(f.claimsWith("iss", quote(issuer+"-good"))))})
	}
}

// keyIDs adds tokens with a hostile, malformed or unknown kid. A token with a hostile kid
// is signed with the secret that a verifier finds if it uses the kid as a path, a query
// or a command.
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
		f.refuse(required, "injected-"+tt.name, "a kid of "+quote(tt.kid)+", signed with the secret that a service finds if it uses the kid as a path, query or command",
			f.forged(f.header.with("kid", quote(tt.kid)), "HS256", []byte(tt.secret)))
	}
	f.refuse(required, "unknown-key", "a key of the attacker, and the kid of that key",
		f.forged(f.header.with("kid", `"attacker"`), f.target.Algorithm, attackersKey(f.target.Algorithm)))
	f.refuse(required, "without-kid", "a key of the attacker, and no kid",
		f.forged(f.header.without("kid").with("x", "1"), f.target.Algorithm, attackersKey(f.target.Algorithm)))

	f = f.withRule("RFC 7515 section 4.1.4")
	kid := quote(cmp.Or(f.target.KeyID, "1"))
	for _, tt := range []struct{ name, kid string }{
		{"number", `1`},
		{"zero", `0`},
		{"fraction", `1.5`},
		{"true", `true`},
		{"array", `[` + kid + `]`},
		{"empty-array", `[]`},
		{"object", `{"kid":` + kid + `}`},
		{"nested-array", `[[` + kid + `]]`},
	} {
		f.refuse(recommended, "a-"+tt.name, "the right key, and a kid that is not a string: "+tt.kid, f.tokenWithHeader(f.headerWith("kid", tt.kid)))
	}
	f.accept(jwtgateOnly, "a-null", "the right key, and a kid of null, which some issuers write for none", f.tokenWithHeader(f.headerWith("kid", "null")))
	f.refuse(jwtgateOnly, "257-bytes", "the right key, and a kid of 257 bytes", f.tokenWithHeader(f.headerWith("kid", quote(strings.Repeat("k", 257)))))
	f.refuse(jwtgateOnly, "257-bytes-by-escapes", "the right key, and a kid of 257 escapes", f.tokenWithHeader(f.headerWith("kid", `"`+strings.Repeat(`\u006b`, 257)+`"`)))
	f.refuse(jwtgateOnly, "8-kilobytes", "the right key, and a kid of 8 KB", f.tokenWithHeader(f.headerWith("kid", quote(strings.Repeat("k", 8000)))))

	if f.target.KeyID == "" {
		return // the key has no ID, so the service may accept any kid
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
		f.refuse(jwtgateOnly, "near-"+tt.name, "the right key, and a kid that differs slightly from its ID", f.tokenWithHeader(f.headerWith("kid", quote(tt.kid))))
	}
}

// critical adds tokens with a crit (RFC 7515 section 4.1.11) or a b64 (RFC 7797) that a
// verifier must not ignore.
func (f *family) critical() {
	for _, tt := range []struct {
		name   string
		level  requirementLevel
		header object
	}{
		{"unknown", required, f.header.with("crit", `["x-policy"]`).with("x-policy", `"deny"`)},
		{"unknown-address", required, f.header.with("crit", `["http://example.com/deny"]`).with("http://example.com/deny", `true`)},
		{"unknown-first", required, f.header.withFirst("x-policy", `"deny"`).withFirst("crit", `["x-policy"]`)},
		{"two-unknown", required, f.header.with("crit", `["x-a","x-b"]`).with("x-a", `1`).with("x-b", `2`)},
		{"exp", required, f.header.with("crit", `["exp"]`).with("exp", f.fromNow(time.Hour))},
		{"escaped", required, f.header.with(`cr\u0069t`, `["x-policy"]`).with("x-policy", `1`)},
		{"escaped-within", required, f.header.with("crit", `["x-polic\u0079"]`).with("x-policy", `1`)},
		{"absent-parameter", required, f.header.with("crit", `["x-policy"]`)},
		{"hundred", required, f.header.with("crit", `["a0"`+members(99, `"a%d"`)+`]`)},
		{"b64-and-unknown", required, f.header.with("crit", `["b64","x-policy"]`).with("b64", `true`).with("x-policy", `1`)},
		{"empty", recommended, f.header.with("crit", `[]`)},
		{"null", recommended, f.header.with("crit", `null`)},
		{"string", recommended, f.header.with("crit", `"x-policy"`).with("x-policy", `1`)},
		{"number", recommended, f.header.with("crit", `1`)},
		{"true", recommended, f.header.with("crit", `true`)},
		{"false", recommended, f.header.with("crit", `false`)},
		{"object", recommended, f.header.with("crit", `{"x-policy":1}`).with("x-policy", `1`)},
		{"of-numbers", recommended, f.header.with("crit", `[1]`).with("1", `1`)},
		{"of-null", recommended, f.header.with("crit", `[null]`)},
		{"nested", recommended, f.header.with("crit", `[["x-policy"]]`).with("x-policy", `1`)},
		{"empty-name", recommended, f.header.with("crit", `[""]`).with("", `1`)},
		{"alg", recommended, f.header.with("crit", `["alg"]`)},
		{"kid", recommended, f.header.with("crit", `["kid"]`)},
		{"itself", recommended, f.header.with("crit", `["crit"]`)},
		{"repeated", recommended, f.header.with("crit", `["x-policy","x-policy"]`).with("x-policy", `1`)},
	} {
		f.refuse(tt.level, tt.name, "a header that says crit "+tt.header.value("crit")+tt.header.value(`cr\u0069t`), f.tokenWithHeader(tt.header.String()))
	}

	f = f.withRule("RFC 7797 sections 3, 6 and 7")
	for _, tt := range []struct {
		name   string
		level  requirementLevel
		header object
	}{
		{"b64-false-and-critical", required, f.header.with("b64", `false`).with("crit", `["b64"]`)},
		{"b64-true-and-critical", jwtgateOnly, f.header.with("b64", `true`).with("crit", `["b64"]`)},
		{"b64-false", recommended, f.header.with("b64", `false`)},
		{"b64-null", jwtgateOnly, f.header.with("b64", `null`)},
		{"b64-zero", jwtgateOnly, f.header.with("b64", `0`)},
		{"b64-as-text", jwtgateOnly, f.header.with("b64", `"false"`)},
		{"b64-true-as-text", jwtgateOnly, f.header.with("b64", `"true"`)},
		{"b64-array", jwtgateOnly, f.header.with("b64", `[false]`)},
		{"b64-false-escaped", recommended, f.header.with(`\u00624`, `1`).with(`b\u00364`, `false`)},
	} {
		f.refuse(tt.level, tt.name, "an encoded payload under a header with b64", f.tokenWithHeader(tt.header.String()))
	}
	claims := f.claims.String()
	header := encode(f.header.with("b64", `false`).with("crit", `["b64"]`).String())
	signature := encode(sign(f.target.Algorithm, f.target.Key, header+"."+claims))
	f.refuse(required, "unencoded", "a payload that is not encoded", header+"."+claims+"."+signature)
	f.refuse(required, "unencoded-and-detached", "a payload that is not encoded, and not sent", header+".."+signature)
	f.refuse(required, "unencoded-but-sent-so", "a payload that was encoded after it was signed", header+"."+encode(claims)+"."+signature)
}
