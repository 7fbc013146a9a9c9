package jwttest

import (
	"strings"
	"time"
)

// valid adds good requests in all the forms that a service has to accept, however
// strict it is.
func (f *family) valid() {
	good := f.good()
	f.accept(required, "plain", "a good token in the usual form", good)

	wire := f.withRule("RFC 9110 sections 5.1, 5.5 and 11.1")
	for _, tt := range []struct {
		name, sends, line string
		only              delivery
	}{
		{"scheme-in-lower-case", "the scheme as bearer", "Authorization: bearer " + good, ""},
		{"scheme-in-upper-case", "the scheme as BEARER", "Authorization: BEARER " + good, ""},
		{"scheme-in-mixed-case", "the scheme as bEaReR", "Authorization: bEaReR " + good, ""},
		{"header-name-in-lower-case", "the header as authorization", "authorization: Bearer " + good, ""},
		{"header-name-in-upper-case", "the header as AUTHORIZATION", "AUTHORIZATION: Bearer " + good, ""},
		{"no-space-after-colon", "no white space before the value", "Authorization:Bearer " + good, overTCP},
		{"white-space-around", "white space around the value", "Authorization: \t Bearer " + good + " \t", overTCP},
	} {
		r := requestWith(tt.line)
		r.only = tt.only
		wire.add(attackCase{name: tt.name, sends: tt.sends, accept: true, request: r})
	}
	wire = f.withRule("RFC 9110 section 11.4")
	wire.add(attackCase{name: "two-spaces", sends: "two spaces after the scheme", accept: true, request: requestWith("Authorization: Bearer  " + good)})
	wire.add(attackCase{name: "many-spaces", sends: "nine spaces after the scheme", accept: true, request: requestWith("Authorization: Bearer         " + good)})
	wire = f.withRule("RFC 9110 section 2.5")
	old := bearer(good)
	old.protocol, old.only = "HTTP/1.0", overTCP
	wire.add(attackCase{name: "http-1.0", sends: "an HTTP/1.0 request", accept: true, request: old})

	wire = f.withRule("RFC 6750 section 2.1")
	for _, tt := range []struct{ name, line string }{
		{"beside-cookies", "Cookie: a=b; session=c"},
		{"beside-another-header", "X-Auth-Token: none.of.this"},
		{"beside-proxy-credentials", "Proxy-Authorization: Basic eDp5"},
	} {
		wire.add(attackCase{name: tt.name, sends: "a good token beside " + tt.line, level: recommended, accept: true, request: requestWith(tt.line, "Authorization: Bearer "+good)})
	}

	f = f.withRule("RFC 8259 sections 2, 4 and 7")
	reversed := func(o object) object {
		var r object
		for _, m := range o {
			r = r.withFirst(m.name, m.value)
		}
		return r
	}
	spaced := func(o object) string {
		return strings.NewReplacer(`":`, "\" :\t", `{`, "\r\n { ", `,"`, "\n,\r\t\"").Replace(o.String()) + " \n"
	}
	escaped := func(o object) string {
		return strings.NewReplacer(`"alg"`, `"\u0061l\u0067"`, `"sub"`, `"\u0073ub"`, `"exp"`, `"ex\u0070"`, `/`, `\/`).Replace(o.String())
	}
	for _, tt := range []struct{ name, sends, token string }{
		{"header-reversed", "the header's members in another order", f.tokenWithHeader(reversed(f.header).String())},
		{"claims-reversed", "the claims in another order", f.tokenWithClaims(reversed(f.claims).String())},
		{"header-with-white-space", "white space in the JSON of the header", f.tokenWithHeader(spaced(f.header))},
		{"claims-with-white-space", "white space in the JSON of the claims", f.tokenWithClaims(spaced(f.claims))},
		{"header-with-escapes", "escaped characters in the JSON of the header", f.tokenWithHeader(escaped(f.header))},
		{"claims-with-escapes", "escaped characters in the JSON of the claims", f.tokenWithClaims(escaped(f.claims))},
		{"claims-beyond-ascii", "characters of many scripts", f.tokenWithClaims(f.claimsWith("name", "\"Zo\u00eb \u4e2d\u6587 \U0001d11e\""))},
		{"surrogate-pair", "one character as two escapes", f.tokenWithClaims(f.claimsWith("name", `"\ud834\udd1e"`))},
		{"escaped-nul", "an escaped NUL in an unknown claim", f.tokenWithClaims(f.claimsWith("note", `"a\u0000b"`))},
		{"large-number", "a number with more digits than a double has", f.tokenWithClaims(f.claimsWith("big", `123456789012345678901234567890`))},
		{"small-number", "a number close to zero", f.tokenWithClaims(f.claimsWith("small", `-1.5e-300`))},
		{"empty-name", "a claim with an empty name", f.tokenWithClaims(f.claimsWith("", `"x"`))},
		{"same-name-at-two-depths", "a name in an object and in a nested object", f.tokenWithClaims(f.claimsWith("act", `{"sub":"other","act":{"sub":"third"}}`))},
		{"many-claims", "a hundred unknown claims", f.tokenWithClaims(f.claimsWith("c0", `0`+members(99, `"c%d":%[1]d`)))},
	} {
		f.accept(required, tt.name, tt.sends, tt.token)
	}

	f = f.withRule("RFC 7515 section 4; RFC 7519 section 4")
	f.accept(required, "unknown-parameter", "an unknown header parameter that is not critical", f.tokenWithHeader(f.headerWith("x-trace", `{"id":[1,null,true]}`)))
	f.accept(required, "unknown-claim", "an unknown claim", f.tokenWithClaims(f.claimsWith("x-trace", `{"id":[1,null,true]}`)))
	f.accept(jwtgateOnly, "b64-true", "b64 with its default value", f.tokenWithHeader(f.headerWith("b64", `true`)))
	f.accept(jwtgateOnly, "content-type", "a cty that does not say JWT", f.tokenWithHeader(f.headerWith("cty", `"json"`)))
	f.accept(jwtgateOnly, "depth-32", "claims nested 32 levels deep, which is the most that jwtgate accepts", f.tokenWithClaims(f.claimsWith("deep", nest(31, "[", "]"))))
	f.accept(jwtgateOnly, "8-kilobytes", "a token of 8 KB", f.tokenWithClaims(f.claimsWith("pad", quote(strings.Repeat("x", 5500)))))

	f = f.withRule("RFC 7519 sections 2, 4.1.4 and 4.1.5")
	if f.claims.value("exp") != "" {
		f.accept(required, "exp-with-fraction", "exp with a fraction", f.tokenWithClaims(f.claimsWith("exp", f.fromNow(time.Hour)+".75")))
		f.accept(required, "exp-with-exponent", "exp with an exponent", f.tokenWithClaims(f.claimsWith("exp", f.fromNow(time.Hour)+"0e-1")))
		f.accept(jwtgateOnly, "exp-in-the-year-9999", "exp at the end of the year 9999", f.tokenWithClaims(f.claimsWith("exp", "253402300799")))
	}
	f.accept(required, "nbf-an-hour-ago", "nbf in the past", f.tokenWithClaims(f.claimsWith("nbf", f.fromNow(-time.Hour))))
	f.accept(required, "nbf-with-fraction", "nbf in the past, with a fraction", f.tokenWithClaims(f.claimsWith("nbf", f.fromNow(-time.Hour)+".5")))

	if audience := f.claims.value("aud"); strings.HasPrefix(audience, `"`) {
		f = f.withRule("RFC 7519 section 4.1.3")
		f.accept(required, "aud-array-of-one", "aud as an array", f.tokenWithClaims(f.claimsWith("aud", `[`+audience+`]`)))
		f.accept(required, "aud-array-ours-first", "aud as an array with the service's audience first", f.tokenWithClaims(f.claimsWith("aud", `[`+audience+`,"https://other.example"]`)))
		f.accept(required, "aud-array-ours-last", "aud as an array with the service's audience last", f.tokenWithClaims(f.claimsWith("aud", `["a","b",`+audience+`]`)))
	}
	if strings.HasPrefix(f.header.value("typ"), `"`) {
		typ := strings.Trim(f.header.value("typ"), `"`)
		f = f.withRule("RFC 7515 section 4.1.9; RFC 2045 section 5.1")
		f.accept(recommended, "typ-in-lower-case", "typ in lower case", f.tokenWithHeader(f.header.with("typ", quote(strings.ToLower(typ))).with("x", "1").String()))
		f.accept(recommended, "typ-in-upper-case", "typ in upper case", f.tokenWithHeader(f.header.with("typ", quote(strings.ToUpper(typ))).with("x", "2").String()))
		if !strings.Contains(typ, "/") {
			f.accept(recommended, "typ-with-application", "typ as a full media type", f.tokenWithHeader(f.headerWith("typ", quote("application/"+typ))))
		}
	}
	if f.target.Algorithm == "EdDSA" {
		f = f.withRule("RFC 9864 section 2.2")
		f.accept(jwtgateOnly, "alg-ed25519", "alg Ed25519, the name of EdDSA with Ed25519 in RFC 9864", f.tokenWithHeader(f.headerWith("alg", `"Ed25519"`)))
	}
}
