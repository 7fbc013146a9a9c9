package jwttest

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// jsonHeader adds tokens with a malformed header.
func (f *family) jsonHeader() {
	f.malformedJSON("the header", f.header, f.tokenWithHeader)
}

// jsonClaims adds tokens with malformed claims.
func (f *family) jsonClaims() {
	f.malformedJSON("the claims", f.claims, f.tokenWithClaims)
}

// malformedJSON adds tokens with a good signature whose header or claims are not a
// JSON object (RFC 8259), or an object that two parsers read differently. o is the
// good object, and signed returns a signed token with the given text in place of o.
func (f *family) malformedJSON(what string, o object, signed func(string) string) {
	good := o.String()
	inner := good[1 : len(good)-1]
	last := `"` + o[len(o)-1].name + `":`
	// extra returns the object with one more member, which has the value v.
	extra := func(v string) string { return o.with("x", v).String() }
	for _, tt := range []struct{ name, sends, text string }{
		{"space", "a space", " "},
		{"array", "an object in an array", "[" + good + "]"},
		{"empty-array", "an empty array", "[]"},
		{"array-of-members", "an array of the members", `[["` + o[0].name + `",` + o[0].value + `]]`},
		{"string", "an object in a string", quote(good)},
		{"empty-string", "an empty string", `""`},
		{"null", "null", "null"},
		{"true", "true", "true"},
		{"number", "a number", "1"},
		{"empty-object", "an empty object", "{}"},
		{"two-objects", "the object twice", good + good},
		{"two-lines", "the object twice, in two lines", good + "\n" + good},
		{"object-behind", "an empty object at the end", good + "{}"},
		{"object-before", "an empty object at the start", "{}" + good},
		{"brace-behind", "a brace at the end", good + "}"},
		{"brace-before", "a brace at the start", "{" + good},
		{"comma-behind", "a comma at the end", good + ","},
		{"semicolon-behind", "a semicolon at the end", good + ";"},
		{"letter-behind", "a letter at the end", good + "x"},
		{"nul-behind", "a NUL at the end", good + "\x00"},
		{"nul-before", "a NUL at the start", "\x00" + good},
		{"null-behind", "null at the end", good + "null"},
		{"end-of-text-behind", "an EOT at the end", good + "\x04"},
		{"not-closed", "the closing brace missing", good[:len(good)-1]},
		{"not-opened", "the opening brace missing", good[1:]},
		{"closed-by-bracket", "a bracket for the closing brace", good[:len(good)-1] + "]"},
		{"cut", "half of the object", good[:len(good)/2]},
		{"comma-at-the-end", "a comma after the last member", "{" + inner + ",}"},
		{"comma-at-the-start", "a comma before the first member", "{," + inner + "}"},
		{"two-commas", "two commas", "{" + inner + `,,"x":1}`},
		{"no-comma", "a comma missing", "{" + inner + ` "x":1}`},
		{"semicolon-for-comma", "a semicolon for a comma", "{" + inner + `;"x":1}`},
		{"no-colon", "a colon missing", strings.Replace(good, last, strings.TrimSuffix(last, ":")+" ", 1)},
		{"equals-for-colon", "an equals sign for a colon", strings.Replace(good, last, strings.TrimSuffix(last, ":")+"=", 1)},
		{"two-colons", "two colons", strings.Replace(good, last, last+":", 1)},
		{"no-value", "a value missing", "{" + inner + `,"x":}`},
		{"no-name", "a name missing", "{" + inner + `,:1}`},
		{"name-alone", "a name without value", "{" + inner + `,"x"}`},
		{"value-twice", "two values", "{" + inner + `,"x":1 2}`},
		{"unquoted-name", "a name without quotes", "{" + inner + `,x:1}`},
		{"number-as-name", "a number as a name", "{" + inner + `,1:1}`},
		{"null-as-name", "null as a name", "{" + inner + `,null:1}`},
		{"single-quoted-name", "a name in single quotes", "{" + inner + `,'x':1}`},
		{"single-quoted-value", "a value in single quotes", extra(`'x'`)},
		{"all-single-quotes", "single quotes for double ones", strings.ReplaceAll(good, `"`, `'`)},
		{"typographic-quotes", "typographic quotes", extra("\u201cx\u201d")},
		{"backticks", "a value in backticks", extra("`x`")},
		{"line-comment", "a comment at the end", good + " // x"},
		{"line-comment-within", "a comment inside", "{// x\n" + inner + "}"},
		{"block-comment", "a block comment at the end", good + "/* x */"},
		{"block-comment-within", "a block comment inside", "{/* x */" + inner + "}"},
		{"hash-comment", "a comment after a hash", good + " # x"},
		{"html-comment", "an HTML comment", good + "<!-- x -->"},
		{"form-feed", "a form feed at the start", "\f" + good},
		{"vertical-tab", "a vertical tab inside", "{\v" + inner + "}"},
		{"no-break-space", "a no-break space at the end", good + "\u00a0"},
		{"line-separator", "a line separator inside", "{\u2028" + inner + "}"},
		{"byte-behind-that-is-no-character", "a byte at the end that is not UTF-8", good + "\xff"},
		{"utf-16", "UTF-16", utf16LE("\ufeff" + good)},
		{"utf-16-without-mark", "UTF-16 without a byte order mark", utf16LE(good)},
		{"raw-tab", "a tab in a string", extra("\"a\tb\"")},
		{"raw-newline", "a line feed in a string", extra("\"a\nb\"")},
		{"raw-carriage-return", "a carriage return in a string", extra("\"a\rb\"")},
		{"raw-nul", "a NUL in a string", extra("\"a\x00b\"")},
		{"raw-control-character", "a control character in a string", extra("\"a\x1fb\"")},
		{"raw-newline-in-name", "a line feed in a name", o.with("x\ny", "1").String()},
		{"escaped-newline", "a backslash at the end of a line", extra("\"a\\\nb\"")},
		{"escape-x", "an escape as in C", extra(`"\x41"`)},
		{"escape-0", "an octal escape", extra(`"\0"`)},
		{"escape-a", "an undefined escape", extra(`"\a"`)},
		{"escape-quote", "a single quote escaped", extra(`"\'"`)},
		{"escape-capital-u", `an escape with \U`, extra(`"\U00000041"`)},
		{"escape-short", "an escape of three digits", extra(`"\u004"`)},
		{"escape-braces", "an escape in braces", extra(`"\u{41}"`)},
		{"escape-not-hex", "an escape that is not hex", extra(`"\u00g1"`)},
		{"escape-cut", "a string that ends in a backslash", "{" + inner + `,"x":"\"}`},
		{"string-not-closed", "a string that does not end", "{" + inner + `,"x":"}`},
		{"NaN", "NaN", extra(`NaN`)},
		{"Infinity", "Infinity", extra(`Infinity`)},
		{"negative-Infinity", "-Infinity", extra(`-Infinity`)},
		{"hex-number", "a number in hex", extra(`0x10`)},
		{"octal-number", "a number in octal", extra(`0o17`)},
		{"leading-zero", "a number with a leading zero", extra(`01`)},
		{"leading-zero-negative", "a negative number with a leading zero", extra(`-01`)},
		{"plus-sign", "a number with a plus sign", extra(`+1`)},
		{"minus-alone", "a minus sign", extra(`-`)},
		{"two-minuses", "two minus signs", extra(`--1`)},
		{"no-integer-part", "a number that begins with a point", extra(`.5`)},
		{"no-fraction", "a number that ends in a point", extra(`1.`)},
		{"no-exponent", "a number without its exponent", extra(`1e`)},
		{"exponent-sign-alone", "a number with the sign of an exponent alone", extra(`1e+`)},
		{"two-points", "a number with two points", extra(`1.2.3`)},
		{"digit-groups", "a number with an underscore", extra(`1_000`)},
		{"digit-groups-by-comma", "a number with a thousands separator", extra(`1,000`)},
		{"big-integer", "a BigInt of JavaScript", extra(`1n`)},
		{"full-width-digit", "a full-width digit", extra("\uff11")},
		{"True", "True", extra(`True`)},
		{"TRUE", "TRUE", extra(`TRUE`)},
		{"None", "None", extra(`None`)},
		{"undefined", "undefined", extra(`undefined`)},
		{"nul-word", "nul", extra(`nul`)},
		{"nulll", "nulll", extra(`nulll`)},
		{"array-not-closed", "an array that does not end", "{" + inner + `,"x":[1`},
		{"array-with-comma", "an array with a comma at its end", extra(`[1,]`)},
		{"array-of-commas", "an array of commas", extra(`[,]`)},
		{"array-closed-by-brace", "an array that ends in a brace", extra(`[1}`)},
		{"thousand-brackets-open", "a thousand brackets that do not close", "{" + inner + `,"x":` + strings.Repeat("[", 1000)},
		{"encoded-twice", "base64 of the object", base64.StdEncoding.EncodeToString([]byte(good))},
		{"form", "a form", "alg=" + f.target.Algorithm + "&sub=jwttest"},
		{"yaml", "YAML", "alg: " + f.target.Algorithm + "\nsub: jwttest"},
		{"xml", "XML", "<alg>" + f.target.Algorithm + "</alg>"},
		{"cbor", "CBOR", "\xa1\x63alg\x65" + f.target.Algorithm},
		{"javascript", "JavaScript", "(" + good + ")"},
		{"assignment", "an assignment", "x=" + good},
		{"xssi-prefix", "the prefix that prevents script inclusion", ")]}'\n" + good},
		{"text-sequence", "a JSON text sequence", "\x1e" + good + "\n"},
	} {
		f.refuse(required, tt.name, what+", malformed: "+tt.sends, signed(tt.text))
	}

	utf8 := f.withRule(f.rule + "; RFC 8725 section 3.7; RFC 8259 section 8.1")
	for _, tt := range []struct{ name, sends, bytes string }{
		{"byte-ff", "the byte FF", "\xff"},
		{"lone-continuation", "a continuation byte alone", "\x80"},
		{"cut-sequence", "a sequence that is cut", "\xe2\x82"},
		{"latin-1", "a letter of Latin-1", "\xe9"},
		{"overlong-slash", "a slash of two bytes", "\xc0\xaf"},
		{"overlong-letter", "a letter of two bytes", "\xc1\xa1"},
		{"overlong-nul", "a NUL of two bytes", "\xc0\x80"},
		{"overlong-three", "a slash of three bytes", "\xe0\x80\xaf"},
		{"surrogate-encoded", "an encoded surrogate", "\xed\xa0\x80"},
		{"beyond-unicode", "a code point beyond Unicode", "\xf4\x90\x80\x80"},
		{"five-bytes", "a sequence of five bytes", "\xf8\x88\x80\x80\x80"},
	} {
		utf8.refuse(required, "utf-8-"+tt.name, what+" with "+tt.sends+" in a value", signed(extra(`"a`+tt.bytes+`b"`)))
		utf8.refuse(required, "utf-8-"+tt.name+"-in-name", what+" with "+tt.sends+" in a name", signed(o.with("x"+tt.bytes, "1").String()))
	}
	utf8.refuse(recommended, "byte-order-mark", what+" after a byte order mark", signed("\ufeff"+good))

	surrogates := f.withRule("RFC 8259 section 8.2; RFC 7493 section 2.1")
	for _, tt := range []struct{ name, text string }{
		{"high", `\ud800`}, {"low", `\udc00`}, {"reversed", `\udc00\ud800`}, {"high-and-letter", `\ud800\u0041`}, {"two-high", `\ud800\ud800`},
	} {
		surrogates.refuse(jwtgateOnly, "lone-surrogate-"+tt.name, what+" with a lone surrogate", signed(extra(`"`+tt.text+`"`)))
	}
	surrogates.refuse(jwtgateOnly, "lone-surrogate-in-name", what+" with a lone surrogate in a name", signed(o.with(`x\ud800`, "1").String()))

	limits := f.withRule("RFC 8259 sections 6 and 9; RFC 7493 section 2.2")
	for _, tt := range []struct{ name, sends, value string }{
		{"beyond-double", "a number beyond a double", `1e309`},
		{"beyond-double-negative", "a negative number beyond a double", `-1e400`},
		{"beyond-double-in-array", "a number beyond a double in an array", `[[1e999]]`},
		{"400-digits", "a number of 400 digits", strings.Repeat("9", 400)},
		{"33-levels", "33 levels of arrays", nest(32, "[", "]")},
		{"33-levels-of-objects", "33 levels of objects", strings.Repeat(`{"x":`, 32) + "1" + strings.Repeat("}", 32)},
		{"1000-levels", "a thousand levels of arrays", nest(1000, "[", "]")},
		{"1000-levels-of-objects", "a thousand levels of objects", strings.Repeat(`{"x":`, 1000) + "1" + strings.Repeat("}", 1000)},
		{"1000-levels-mixed", "a thousand levels of arrays and objects", strings.Repeat(`[{"x":`, 500) + "1" + strings.Repeat("}]", 500)},
	} {
		limits.refuse(jwtgateOnly, tt.name, what+" with "+tt.sends, signed(extra(tt.value)))
	}
}

// utf16LE returns s in UTF-16, little-endian.
func utf16LE(s string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// duplicates adds tokens with duplicate members, and with claims or parameters whose names
// differ only in letter case, which encoding/json takes for the same name. RFC 7519 section 4
// lets a parser use the last of two duplicates, but never a member of another name.
func (f *family) duplicates() {
	own := quote(f.target.Algorithm)
	for _, tt := range []struct {
		name   string
		level  requirementLevel
		sends  string
		header object
	}{
		{"alg-none-last", required, "alg twice, none last", f.header.withLast("alg", `"none"`)},
		{"alg-none-first", jwtgateOnly, "alg twice, none first", f.header.withFirst("alg", `"none"`)},
		{"alg-same", jwtgateOnly, "alg twice, the same", f.header.withLast("alg", own)},
		{"alg-escaped-last", required, "alg twice, none last and escaped", f.header.withLast(`\u0061lg`, `"none"`)},
		{"alg-escaped-first", jwtgateOnly, "alg twice, none first and escaped", f.header.withFirst(`al\u0067`, `"none"`)},
		{"alg-case-last", jwtgateOnly, "alg and ALG, which says none", f.header.withLast("ALG", `"none"`)},
		{"alg-case-first", jwtgateOnly, "Alg, which says none, and alg", f.header.withFirst("Alg", `"none"`)},
		{"alg-case-escaped", jwtgateOnly, "alg and escaped ALG", f.header.withLast(`\u0041LG`, `"none"`)},
		{"alg-case-only", required, "ALG and no alg", f.header.without("alg").withFirst("ALG", own)},
		{"alg-case-only-title", required, "Alg and no alg", f.header.without("alg").withFirst("Alg", own)},
		{"alg-none-and-case", required, "alg, which says none, and ALG", f.header.with("alg", `"none"`).withLast("ALG", own)},
		{"alg-none-and-case-first", required, "ALG, and alg, which says none", f.header.with("alg", `"none"`).withFirst("aLg", own)},
		{"kid-twice", jwtgateOnly, "kid twice", f.header.without("kid").withLast("kid", `"a"`).withLast("kid", quote(cmp.Or(f.target.KeyID, "b")))},
		{"kid-case", jwtgateOnly, "kid and KID", f.header.with("kid", quote(cmp.Or(f.target.KeyID, "b"))).withLast("KID", `"a"`)},
		{"kid-kelvin", jwtgateOnly, "kid with a Kelvin sign for k", f.header.with("kid", quote(cmp.Or(f.target.KeyID, "b"))).withLast("\u212aid", `"a"`)},
		{"typ-twice", jwtgateOnly, "typ twice", f.header.withFirst("typ", `"dpop+jwt"`).with("typ", `"JWT"`).withLast("typ", cmp.Or(f.header.value("typ"), `"JWT"`))},
		{"typ-twice-bad-last", recommended, "typ twice, of another kind last", f.header.withLast("typ", `"dpop+jwt"`).withLast("typ", `"logout+jwt"`)},
		{"typ-case", jwtgateOnly, "typ and TYP", f.header.withLast("TYP", `"at+jwt"`).withLast("Typ", `"x"`)},
		{"crit-twice", recommended, "crit twice", f.header.withLast("crit", `["a"]`).withLast("crit", `[]`)},
		{"unknown-twice", jwtgateOnly, "an unknown parameter twice", f.header.withLast("x", "1").withLast("x", "1")},
		{"unknown-case", jwtgateOnly, "an unknown parameter in two letter cases", f.header.withLast("x", "1").withLast("X", "1")},
		{"within-a-parameter", jwtgateOnly, "a member twice within a parameter", f.header.with("jwk", `{"kty":"oct","kty":"RSA"}`)},
		{"within-an-array", jwtgateOnly, "a member twice within an array", f.header.with("x", `[1,{"a":1,"a":2}]`)},
		{"empty-name", jwtgateOnly, "two members with an empty name", f.header.withLast("", "1").withLast("", "2")},
	} {
		f.refuse(tt.level, "header-"+tt.name, tt.sends, f.tokenWithHeader(tt.header.String()))
	}

	// A pair is a good and a bad value of a claim.
	type pair struct{ name, good, bad string }
	pairs := []pair{
		{"exp", f.fromNow(time.Hour), f.fromNow(-time.Hour)},
		{"nbf", f.fromNow(-time.Hour), f.fromNow(time.Hour)},
	}
	if f.target.Issuer != "" {
		pairs = append(pairs, pair{"iss", f.claims.value("iss"), `"https://evil.example/"`})
	}
	if f.target.Audience != "" {
		pairs = append(pairs, pair{"aud", f.claims.value("aud"), `"https://other.example"`})
	}
	for _, p := range pairs {
		upper, title := strings.ToUpper(p.name), strings.ToUpper(p.name[:1])+p.name[1:]
		escaped := fmt.Sprintf(`\u%04x%s`, p.name[0], p.name[1:])
		o := f.claims.without(p.name)
		for _, tt := range []struct {
			name   string
			level  requirementLevel
			sends  string
			claims object
		}{
			{"bad-last", required, "a good " + p.name + ", then a bad " + p.name, o.withFirst(p.name, p.good).withLast(p.name, p.bad)},
			{"bad-first", jwtgateOnly, "a bad " + p.name + ", then a good " + p.name, o.withFirst(p.name, p.bad).withLast(p.name, p.good)},
			{"same", jwtgateOnly, "the same " + p.name + " twice", o.withFirst(p.name, p.good).withLast(p.name, p.good)},
			{"escaped-bad-last", required, "a good " + p.name + ", then a bad " + p.name + " with an escaped name", o.withFirst(p.name, p.good).withLast(escaped, p.bad)},
			{"escaped-bad-first", jwtgateOnly, "a bad " + p.name + " with an escaped name, then a good " + p.name, o.withFirst(escaped, p.bad).withLast(p.name, p.good)},
			{"bad-and-upper", required, "a bad " + p.name + ", then a good " + upper, o.withFirst(p.name, p.bad).withLast(upper, p.good)},
			{"upper-and-bad", required, "a good " + upper + ", then a bad " + p.name, o.withFirst(upper, p.good).withLast(p.name, p.bad)},
			{"bad-and-title", required, "a bad " + p.name + ", then a good " + title, o.withFirst(p.name, p.bad).withLast(title, p.good)},
			{"good-and-upper", jwtgateOnly, "a good " + p.name + ", then a bad " + upper, o.withFirst(p.name, p.good).withLast(upper, p.bad)},
			{"upper-and-good", jwtgateOnly, "a bad " + upper + ", then a good " + p.name, o.withFirst(upper, p.bad).withLast(p.name, p.good)},
		} {
			f.refuse(tt.level, p.name+"-"+tt.name, tt.sends, f.tokenWithClaims(tt.claims.String()))
		}
		switch p.name {
		case "iss", "aud", "exp":
			f.refuse(recommended, p.name+"-upper-only", upper+" and no "+p.name, f.tokenWithClaims(o.withLast(upper, p.good).String()))
			f.refuse(recommended, p.name+"-title-only", title+" and no "+p.name, f.tokenWithClaims(o.withLast(title, p.good).String()))
		}
	}

	for _, tt := range []struct {
		name, sends string
		claims      object
	}{
		{"sub-admin-last", "sub twice, admin last", f.claims.withLast("sub", `"admin"`)},
		{"sub-admin-first", "sub twice, admin first", f.claims.withFirst("sub", `"admin"`)},
		{"sub-escaped", "sub twice, admin last and escaped", f.claims.withLast(`s\u0075b`, `"admin"`)},
		{"sub-upper", "sub and SUB", f.claims.withLast("SUB", `"admin"`)},
		{"sub-title-first", "Sub and sub", f.claims.withFirst("Sub", `"admin"`)},
		{"sub-long-s", "sub with a long s", f.claims.withLast("\u017fub", `"admin"`)},
		{"sub-long-s-escaped", "sub with a long s, escaped", f.claims.withLast(`\u017fub`, `"admin"`)},
		{"iat-twice", "iat twice", f.claims.withLast("iat", f.fromNow(0))},
		{"jti-twice", "jti twice", f.claims.withLast("jti", `"a"`).withLast("jti", `"b"`)},
		{"scope-twice", "scope twice", f.claims.without("scope").withLast("scope", `"read"`).withLast("scope", `"admin"`)},
		{"scope-case", "scope and Scope", f.claims.without("scope").withLast("scope", `"read"`).withLast("Scope", `"admin"`)},
		{"unknown-twice", "an unknown claim twice", f.claims.withLast("x", "1").withLast("x", "1")},
		{"depth-2", "a member twice at depth 2", f.claims.withLast("realm_access", `{"roles":[],"roles":["admin"]}`)},
		{"depth-2-escaped", "a member twice at depth 2, once escaped", f.claims.withLast("realm_access", `{"roles":[],"role\u0073":["admin"]}`)},
		{"depth-3", "a member twice at depth 3", f.claims.withLast("a", `{"b":{"c":1,"c":2}}`)},
		{"in-an-array", "a member twice in an array", f.claims.withLast("a", `[{"b":1,"b":2}]`)},
		{"depth-31", "a member twice at depth 31", f.claims.withLast("a", strings.Repeat("[", 29)+`{"b":1,"b":2}`+strings.Repeat("]", 29))},
		{"behind-thousand", "a member twice, with a thousand others between", f.claims.withLast("x", "1").withLast("y", `0`+members(1000, `"c%d":%[1]d`)).withLast("x", "2")},
		{"empty-name", "two claims with an empty name", f.claims.withLast("", "1").withLast("", "2")},
		{"act", "sub twice in the actor", f.claims.withLast("act", `{"sub":"a","sub":"b"}`)},
	} {
		f.refuse(jwtgateOnly, tt.name, tt.sends, f.tokenWithClaims(tt.claims.String()))
	}

	// Inside a claim names are data, such as the client IDs of an issuer. Names that differ
	// in letter case are different names.
	f.accept(required, "depth-2-case", "a member in two cases at depth 2", f.tokenWithClaims(f.claims.withLast("resource_access", `{"app":{"roles":[]},"App":{"roles":["reader"]}}`).String()))
	f.accept(required, "in-an-array-case", "a member in two cases in an array", f.tokenWithClaims(f.claims.withLast("a", `[0,[{"b":1,"B":2}]]`).String()))
	f.accept(jwtgateOnly, "header-depth-2-case", "a member in two cases within a header parameter", f.tokenWithHeader(f.header.with("x", `{"a":1,"A":2}`).String()))
}
