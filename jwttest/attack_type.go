package jwttest

import (
	"strings"
)

// types adds tokens whose typ says that the issuer signed them for another purpose, and
// security events without such a typ.
func (f *family) types() {
	goodType := strings.ToLower(strings.Trim(f.header.value("typ"), `"`))
	for _, tt := range []struct{ name, typ, rule string }{
		{"dpop-proof", "dpop+jwt", "RFC 9449 section 4.2"},
		{"logout-token", "logout+jwt", "OpenID Connect Back-Channel Logout 1.0 section 2.4"},
		{"security-event", "secevent+jwt", "RFC 8417 section 2.3"},
		{"status-list", "statuslist+jwt", "Token Status List section 5.1"},
		{"request-object", "oauth-authz-req+jwt", "RFC 9101 section 10.8"},
		{"introspection-answer", "token-introspection+jwt", "RFC 9701 section 5"},
		{"client-authentication", "client-authentication+jwt", ""},
		{"entity-statement", "entity-statement+jwt", "OpenID Federation 1.0 section 3"},
		{"key-binding", "kb+jwt", "RFC 9901 section 4.3"},
		{"credential", "dc+sd-jwt", ""},
		{"credential-proof", "openid4vci-proof+jwt", ""},
		{"wallet-attestation", "oauth-client-attestation+jwt", ""},
		{"transaction-token", "txntoken+jwt", ""},
		{"passport", "passport", "RFC 8225 section 4.1"},
		{"jose", "JOSE", "RFC 7515 section 4.1.9"},
		{"jose-json", "JOSE+JSON", "RFC 7515 section 4.1.9"},
	} {
		if tt.typ == goodType {
			continue
		}
		rule := f.rule
		if tt.rule != "" {
			rule += "; " + tt.rule
		}
		f := f.withRule(rule)
		f.refuse(recommended, tt.name, "a token of another kind, "+tt.typ, f.tokenWithHeader(f.headerWith("typ", quote(tt.typ))))
		f.refuse(recommended, tt.name+"-long", "a token of another kind, application/"+tt.typ, f.tokenWithHeader(f.headerWith("typ", quote("application/"+tt.typ))))
		if upper := strings.ToUpper(tt.typ); upper != tt.typ {
			f.refuse(recommended, tt.name+"-in-upper-case", "a token of another kind, "+upper, f.tokenWithHeader(f.headerWith("typ", quote(upper))))
		}
	}
	// A claim called events makes a token a security event, whatever its typ is. RFC 8417
	// section 2.3 recommends a typ and does not require it.
	for _, tt := range []struct{ name, rule, sends, events, typ string }{
		{"events-without-typ", "RFC 8417 section 2.2", "a security event without typ", `{"https://schemas.openid.net/secevent/risc/event-type/account-disabled":{"reason":"hijacking"}}`, ""},
		{"events-under-jwt", "RFC 8417 section 2.2", "a security event whose typ is JWT", `{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{}}`, `"JWT"`},
		{"logout-without-typ", "OpenID Connect Back-Channel Logout 1.0 section 2.4", "a logout token without typ", `{"http://schemas.openid.net/event/backchannel-logout":{}}`, ""},
		{"logout-under-jwt", "OpenID Connect Back-Channel Logout 1.0 section 2.4", "a logout token whose typ is JWT", `{"http://schemas.openid.net/event/backchannel-logout":{}}`, `"JWT"`},
	} {
		claims := f.claims.with("events", tt.events)
		if strings.HasPrefix(tt.name, "logout") {
			claims = claims.with("sid", `"session-1"`)
		}
		f.withRule(f.rule+"; "+tt.rule).refuse(recommended, tt.name, tt.sends, f.token(f.headerWith("typ", tt.typ), claims.String()))
	}
	if f.isAccessToken() {
		f.withRule(f.rule+"; RFC 8417 section 2.2").refuse(jwtgateOnly, "events-in-access-token", "a security event whose typ is that of an access token",
			f.tokenWithClaims(f.claimsWith("events", `{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{}}`)))
	}
	for _, tt := range []struct{ name, typ string }{
		{"unknown", `"x"`},
		{"with-parameters", `"application/jwt; charset=utf-8"`},
		{"of-another-tree", `"text/jwt"`},
		{"space-behind", `"JWT "`},
		{"space-before", `" JWT"`},
		{"nul-behind", `"JWT\u0000"`},
		{"empty", `""`},
		{"slash", `"/"`},
		{"prefix-alone", `"application/"`},
		{"long", quote(strings.Repeat("jwt", 100))},
		{"number", `1`},
		{"null", `null`},
		{"true", `true`},
		{"array", `["JWT"]`},
		{"object", `{"typ":"JWT"}`},
	} {
		f.refuse(jwtgateOnly, "a-"+tt.name, "a token whose typ is "+abbreviated(tt.typ), f.tokenWithHeader(f.headerWith("typ", tt.typ)))
	}
}

// isAccessToken reports whether the typ of good tokens is that of RFC 9068.
func (f *family) isAccessToken() bool {
	typ := strings.ToLower(strings.Trim(f.header.value("typ"), `"`))
	return strings.TrimPrefix(typ, "application/") == "at+jwt"
}

// bound adds tokens that are bound to a key by cnf (RFC 7800), sent without a proof
// of possession of that key.
func (f *family) bound() {
	key := jwk(publicKey(attackersKey("ES256"))).String()
	proven := "without a proof"
	if f.target.Prover != nil {
		proven = "with a proof of another key"
	}
	for _, tt := range []struct{ name, cnf string }{
		{"jkt", `{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`},
		{"x5t", `{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`},
		{"jwk", `{"jwk":` + key + `}`},
		{"jwe", `{"jwe":"a.b.c.d.e"}`},
		{"kid", `{"kid":"k"}`},
		{"jku", `{"jku":"https://evil.example/keys","kid":"k"}`},
		{"two", `{"jkt":"a","kid":"k"}`},
		{"unknown", `{"x":1}`},
		{"empty", `{}`},
		{"null", `null`},
		{"string", `"jkt"`},
		{"empty-string", `""`},
		{"number", `1`},
		{"false", `false`},
		{"array", `[{"jkt":"a"}]`},
		{"empty-array", `[]`},
	} {
		f.refuse(jwtgateOnly, tt.name, "a token bound to a key by cnf "+abbreviated(tt.cnf)+", "+proven, f.tokenWithClaims(f.claimsWith("cnf", tt.cnf)))
	}
	token := f.tokenWithClaims(f.claimsWith("cnf", `{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`))
	f.refuseRequest(jwtgateOnly, "jkt-under-dpop", "a token bound to a key, with the DPoP scheme and "+proven, requestWith("Authorization: DPoP "+token))
	proof := f.forged(object{{"typ", `"dpop+jwt"`}, {"jwk", key}}, "ES256", attackersKey("ES256"))
	f.refuseRequest(jwtgateOnly, "jkt-with-other-proof", "a token bound to a key, with a proof made with another key", requestWith("Authorization: Bearer "+token, "DPoP: "+proof))
	certificate := f.tokenWithClaims(f.claimsWith("cnf", `{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`))
	f.refuseRequest(jwtgateOnly, "x5t-with-header", "a token bound to a certificate, and a certificate in a header that any client can set", requestWith("Authorization: Bearer "+certificate, "X-Client-Cert: "+encode("certificate")))
}
