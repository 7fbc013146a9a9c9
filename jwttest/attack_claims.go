package jwttest

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// times adds tokens that are expired, not yet valid, or have a malformed time. The
// times differ from now by more than any leeway.
func (f *family) times() {
	const (
		hour = time.Hour
		year = 365 * 24 * time.Hour
	)
	date := quote(f.now.Add(hour).UTC().Format(time.RFC3339))

	expiry := f.withRule("RFC 7519 section 4.1.4")
	for _, tt := range []struct {
		name  string
		level requirementLevel
		sends string
		exp   string
	}{
		{"exp-an-hour-ago", required, "a token that expired an hour ago", f.fromNow(-hour)},
		{"exp-ten-minutes-ago", recommended, "a token that expired ten minutes ago, which is more than a leeway of a few minutes", f.fromNow(-10 * time.Minute)},
		{"exp-a-day-ago", required, "a token that expired a day ago", f.fromNow(-24 * hour)},
		{"exp-years-ago", required, "a token that expired ten years ago", f.fromNow(-10 * year)},
		{"exp-with-fraction-ago", required, "a token that expired an hour ago, with a fraction of a second", f.fromNow(-hour) + ".999"},
		{"exp-with-exponent-ago", required, "a token that expired an hour ago, written with an exponent", f.fromNow(-hour) + "00e-2"},
		{"exp-zero", required, "an exp of 0, which is 1970 and not never", "0"},
		{"exp-minus-zero", required, "an exp of -0", "-0"},
		{"exp-zero-with-fraction", required, "an exp of 0.0", "0.0"},
		{"exp-one", required, "an exp of 1", "1"},
		{"exp-negative", required, "an exp before 1970", "-1"},
		{"exp-very-negative", required, "an exp of -1e300", "-1e300"},
		{"exp-least-integer", required, "an exp of the least 64-bit integer", "-9223372036854775808"},
		{"exp-below-integers", required, "an exp below all 64-bit integers", "-9223372036854775809"},
		{"exp-small", required, "an exp close to zero", "1e-300"},
		{"exp-1e300", jwtgateOnly, "an exp of 1e300", "1e300"},
		{"exp-1e19", jwtgateOnly, "an exp of 1e19", "1e19"},
		{"exp-greatest-integer", jwtgateOnly, "an exp of the greatest 64-bit integer", "9223372036854775807"},
		{"exp-beyond-integers", jwtgateOnly, "an exp above all 64-bit integers", "9223372036854775808"},
		{"exp-beyond-unsigned", jwtgateOnly, "an exp above all unsigned 64-bit integers", "18446744073709551616"},
		{"exp-many-digits", jwtgateOnly, "an exp of 40 digits", strings.Repeat("9", 40)},
		{"exp-in-milliseconds", jwtgateOnly, "an exp in milliseconds, which is thousands of years away", f.fromNow(hour) + "000"},
		{"exp-in-the-year-10000", jwtgateOnly, "an exp beyond the year 9999", "253402300800"},
	} {
		expiry.refuse(tt.level, tt.name, tt.sends, f.tokenWithClaims(f.claimsWith("exp", tt.exp)))
	}
	missing := f.withRule("RFC 9068 section 2.2; optional in RFC 7519 section 4.1.4")
	if f.claims.value("exp") != "" {
		missing.refuse(recommended, "exp-missing", "a token without exp, which never expires", f.tokenWithClaims(f.claimsWith("exp", "")))
		missing.refuse(recommended, "no-times", "a token without exp, nbf and iat", f.tokenWithClaims(f.claims.without("exp").without("iat").without("nbf").String()))
		missing.refuse(recommended, "exp-in-header", "a token with exp only in the header", f.token(f.headerWith("exp", f.fromNow(hour)), f.claimsWith("exp", "")))
		missing.refuse(recommended, "exp-deeper", "a token with exp only inside another claim", f.tokenWithClaims(f.claims.without("exp").with("a", `{"exp":`+f.fromNow(hour)+`}`).String()))
		missing.refuse(recommended, "exp-by-other-name", "a token with expires_at and expires_in", f.tokenWithClaims(f.claims.without("exp").with("expires_at", f.fromNow(hour)).with("expires_in", "3600").String()))
		missing.refuse(recommended, "exp-with-space", "a token whose exp is called \"exp \"", f.tokenWithClaims(f.claims.without("exp").with("exp ", f.fromNow(hour)).String()))
	}
	expiry.refuse(required, "exp-good-in-header", "an exp that has passed, and a good one in the header", f.token(f.headerWith("exp", f.fromNow(hour)), f.claimsWith("exp", f.fromNow(-hour))))
	expiry.refuse(required, "exp-long-life", "an exp that has passed, and an iat that is new", f.tokenWithClaims(f.claims.with("exp", f.fromNow(-hour)).with("iat", f.fromNow(0)).String()))

	start := f.withRule("RFC 7519 section 4.1.5")
	for _, tt := range []struct {
		name  string
		level requirementLevel
		sends string
		nbf   string
	}{
		{"nbf-in-an-hour", required, "a token that becomes valid in an hour", f.fromNow(hour)},
		{"nbf-in-ten-minutes", recommended, "a token that becomes valid in ten minutes", f.fromNow(10 * time.Minute)},
		{"nbf-in-a-day", required, "a token that becomes valid tomorrow", f.fromNow(24 * hour)},
		{"nbf-in-years", required, "a token that becomes valid in ten years", f.fromNow(10 * year)},
		{"nbf-with-fraction", required, "a token that becomes valid in an hour, with a fraction of a second", f.fromNow(hour) + ".001"},
		{"nbf-with-exponent", required, "a token that becomes valid in an hour, written with an exponent", f.fromNow(hour) + "00e-2"},
		{"nbf-in-milliseconds", required, "an nbf in milliseconds, which is thousands of years away", f.fromNow(-hour) + "000"},
		{"nbf-in-the-year-9999", required, "an nbf in the year 9999", "253402300799"},
		{"nbf-in-the-year-10000", required, "an nbf beyond the year 9999", "253402300800"},
		{"nbf-1e300", required, "an nbf of 1e300, which overflows to the past", "1e300"},
		{"nbf-1e19", required, "an nbf of 1e19", "1e19"},
		{"nbf-greatest-integer", required, "an nbf of the greatest 64-bit integer", "9223372036854775807"},
		{"nbf-beyond-integers", required, "an nbf above all 64-bit integers", "9223372036854775808"},
		{"nbf-beyond-unsigned", required, "an nbf above all unsigned 64-bit integers", "18446744073709551616"},
		{"nbf-negative", jwtgateOnly, "an nbf before 1970", "-1"},
		{"nbf-very-negative", jwtgateOnly, "an nbf of -1e300", "-1e300"},
	} {
		start.refuse(tt.level, tt.name, tt.sends, f.tokenWithClaims(f.claimsWith("nbf", tt.nbf)))
	}

	issued := f.withRule("RFC 7519 section 4.1.6")
	for _, tt := range []struct{ name, sends, iat string }{
		{"iat-in-an-hour", "a token issued an hour in the future", f.fromNow(hour)},
		{"iat-in-a-day", "a token issued tomorrow", f.fromNow(24 * hour)},
		{"iat-in-years", "a token issued ten years in the future", f.fromNow(10 * year)},
		{"iat-in-milliseconds", "an iat in milliseconds", f.fromNow(-hour) + "000"},
		{"iat-in-the-year-9999", "an iat in the year 9999", "253402300799"},
		{"iat-1e300", "an iat of 1e300", "1e300"},
		{"iat-beyond-integers", "an iat above all 64-bit integers", "9223372036854775808"},
		{"iat-negative", "an iat before 1970", "-1"},
		{"iat-very-negative", "an iat of -1e300", "-1e300"},
	} {
		issued.refuse(jwtgateOnly, tt.name, tt.sends, f.tokenWithClaims(f.claimsWith("iat", tt.iat)))
	}

	for _, claim := range []struct {
		name, rule string
		level      requirementLevel
		good       string
	}{
		{"exp", "RFC 7519 section 4.1.4", required, f.fromNow(hour)},
		{"nbf", "RFC 7519 section 4.1.5", required, f.fromNow(-hour)},
		{"iat", "RFC 7519 section 4.1.6", recommended, f.fromNow(-hour)},
	} {
		f := f.withRule(claim.rule)
		for _, tt := range []struct{ name, value string }{
			{"number-as-text", quote(claim.good)},
			{"fraction-as-text", quote(claim.good + ".5")},
			{"date-as-text", date},
			{"word", `"never"`},
			{"nan-as-text", `"NaN"`},
			{"infinity-as-text", `"Infinity"`},
			{"empty-text", `""`},
			{"null", `null`},
			{"true", `true`},
			{"false", `false`},
			{"array", `[` + claim.good + `]`},
			{"empty-array", `[]`},
			{"nested-array", `[[` + claim.good + `]]`},
			{"object", `{"$date":` + claim.good + `}`},
			{"empty-object", `{}`},
		} {
			f.refuse(claim.level, claim.name+"-a-"+tt.name, "a token whose "+claim.name+" is "+tt.value, f.tokenWithClaims(f.claimsWith(claim.name, tt.value)))
		}
	}
}

// issuers adds tokens with a good signature and a wrong iss, such as that of another
// tenant or of an issuer that shares the key.
func (f *family) issuers() {
	issuer := f.target.Issuer
	if issuer == "" {
		return
	}
	for _, tt := range []struct{ name, iss string }{
		{"other", "https://evil.example/"},
		{"suffixed", issuer + ".evil.example"},
		{"suffixed-path", issuer + "/evil"},
		{"suffixed-letter", issuer + "x"},
		{"prefixed", "https://evil.example/" + issuer},
		{"prefixed-letter", "x" + issuer},
		{"cut", issuer[:len(issuer)-1]},
		{"cut-to-half", issuer[:len(issuer)/2]},
		{"slash", toggleSlash(issuer)},
		{"two-slashes", issuer + "//"},
		{"upper-case", strings.ToUpper(issuer)},
		{"lower-case", strings.ToLower(issuer)},
		{"space-behind", issuer + " "},
		{"space-before", " " + issuer},
		{"newline-behind", issuer + "\n"},
		{"nul-behind", issuer + "\x00"},
		{"nul-and-more", issuer + "\x00.evil.example"},
		{"query", issuer + "?x"},
		{"fragment", issuer + "#x"},
		{"dot-segment", issuer + "/."},
		{"percent-encoded", strings.Replace(issuer, issuer[len(issuer)/2:len(issuer)/2+1], fmt.Sprintf("%%%02X", issuer[len(issuer)/2]), 1)},
		{"look-alike", lookAlike(issuer)},
		{"zero-width-space", issuer + "\u200b"},
		{"list", issuer + ",https://evil.example/"},
		{"list-by-space", "https://evil.example/ " + issuer},
		{"quoted", `"` + issuer + `"`},
		{"asterisk", "*"},
		{"audience", cmp.Or(f.target.Audience, "audience")},
		{"long", issuer + strings.Repeat("x", 5000)},
	} {
		if tt.iss != issuer {
			f.refuse(required, tt.name, "the right key, and an iss that the service does not trust", f.tokenWithClaims(f.claimsWith("iss", quote(tt.iss))))
		}
	}
	if u, err := url.Parse(issuer); err == nil && u.Host != "" {
		change := func(change func(*url.URL)) string {
			changed := *u
			change(&changed)
			return changed.String()
		}
		for _, tt := range []struct{ name, iss string }{
			{"port", change(func(u *url.URL) { u.Host = u.Hostname() + ":443" })},
			{"other-port", change(func(u *url.URL) { u.Host = u.Hostname() + ":8443" })},
			{"host-in-upper-case", change(func(u *url.URL) { u.Host = strings.ToUpper(u.Host) })},
			{"host-with-dot", change(func(u *url.URL) { u.Host = u.Hostname() + "." })},
			{"host-prefixed", change(func(u *url.URL) { u.Host = "evil-" + u.Host })},
			{"host-below", change(func(u *url.URL) { u.Host = "evil." + u.Host })},
			{"user", change(func(u *url.URL) { u.User = url.User("evil") })},
			{"http", change(func(u *url.URL) { u.Scheme = "http" })},
			{"no-scheme", u.Host + u.Path},
			{"other-path", change(func(u *url.URL) { u.Path = "/evil/" })},
		} {
			if tt.iss != issuer {
				f.refuse(required, tt.name, "the right key, and an iss that the service does not trust", f.tokenWithClaims(f.claimsWith("iss", quote(tt.iss))))
			}
		}
	}
	good := quote(issuer)
	for _, tt := range []struct {
		name  string
		level requirementLevel
		iss   string
	}{
		{"missing", recommended, ``},
		{"empty", required, `""`},
		{"null", required, `null`},
		{"number", required, `1`},
		{"true", required, `true`},
		{"array", required, `[` + good + `]`},
		{"array-of-two", required, `["https://evil.example/",` + good + `]`},
		{"array-of-two-turned", required, `[` + good + `,"https://evil.example/"]`},
		{"object", required, `{` + good + `:true}`},
		{"object-with-iss", required, `{"iss":` + good + `}`},
		{"string-of-array", required, quote(`[` + good + `]`)},
	} {
		f.refuse(tt.level, "a-"+tt.name, "the right key, and an iss that is "+cmp.Or(tt.iss, "missing"), f.tokenWithClaims(f.claimsWith("iss", tt.iss)))
	}
	f.refuse(recommended, "deeper", "an iss only inside another claim", f.tokenWithClaims(f.claims.without("iss").with("a", `{"iss":`+good+`}`).String()))
	f.refuse(recommended, "in-header", "an iss only in the header", f.token(f.headerWith("iss", good), f.claimsWith("iss", "")))
	f.refuse(required, "good-in-header", "another iss, and the right one in the header", f.token(f.headerWith("iss", good), f.claimsWith("iss", `"https://evil.example/"`)))
}

// toggleSlash adds a slash to the end of s, or removes it.
func toggleSlash(s string) string {
	if strings.HasSuffix(s, "/") {
		return strings.TrimSuffix(s, "/")
	}
	return s + "/"
}

// lookAlike replaces a Latin letter with a Cyrillic letter that looks the same.
func lookAlike(s string) string {
	for _, letter := range []struct{ latin, cyrillic string }{{"a", "\u0430"}, {"e", "\u0435"}, {"o", "\u043e"}} {
		if strings.Contains(s, letter.latin) {
			return strings.Replace(s, letter.latin, letter.cyrillic, 1)
		}
	}
	return s + "\u0430"
}

// audiences adds tokens with a good signature and a wrong aud.
func (f *family) audiences() {
	audience := f.target.Audience
	if audience == "" {
		return
	}
	for _, tt := range []struct{ name, aud string }{
		{"other", "https://other.example"},
		{"suffixed", audience + ".evil.example"},
		{"suffixed-letter", audience + "x"},
		{"suffixed-path", audience + "/admin"},
		{"prefixed", "https://evil.example/" + audience},
		{"prefixed-letter", "x" + audience},
		{"cut", audience[:len(audience)-1]},
		{"cut-to-half", audience[:(len(audience)+1)/2]},
		{"first-letter", audience[:1]},
		{"slash", toggleSlash(audience)},
		{"upper-case", strings.ToUpper(audience)},
		{"space-behind", audience + " "},
		{"space-before", " " + audience},
		{"newline-behind", audience + "\n"},
		{"nul-behind", audience + "\x00"},
		{"nul-and-more", audience + "\x00x"},
		{"query", audience + "?x"},
		{"fragment", audience + "#x"},
		{"port", audience + ":443"},
		{"look-alike", lookAlike(audience)},
		{"zero-width-space", audience + "\u200b"},
		{"list-by-space", audience + " https://other.example"},
		{"list-by-comma", "https://other.example," + audience},
		{"string-of-array", `["` + audience + `"]`},
		{"quoted", `"` + audience + `"`},
		{"asterisk", "*"},
		{"pattern", ".*"},
		{"wildcard", "https://*"},
		{"percent", "%"},
		{"issuer", cmp.Or(f.target.Issuer, "issuer")},
		{"space", " "},
	} {
		if tt.aud == audience {
			continue
		}
		f.refuse(required, tt.name, "a token whose aud is not the service's audience", f.tokenWithClaims(f.claimsWith("aud", quote(tt.aud))))
		switch tt.name {
		case "other", "suffixed", "cut", "slash", "upper-case", "asterisk", "list-by-space":
			f.refuse(required, tt.name+"-in-array", "a token whose aud array does not contain the service's audience", f.tokenWithClaims(f.claimsWith("aud", "["+quote(tt.aud)+`,"x"]`)))
		}
	}
	good := quote(audience)
	for _, tt := range []struct {
		name  string
		level requirementLevel
		aud   string
	}{
		{"missing", required, ``},
		{"empty", required, `""`},
		{"null", required, `null`},
		{"number", required, `1`},
		{"zero", required, `0`},
		{"true", required, `true`},
		{"false", required, `false`},
		{"empty-array", required, `[]`},
		{"array-of-empty", required, `[""]`},
		{"array-of-null", required, `[null]`},
		{"array-of-number", required, `[1]`},
		{"array-of-true", required, `[true]`},
		{"nested-array", required, `[[` + good + `]]`},
		{"array-of-object", required, `[{` + good + `:true}]`},
		{"object", required, `{` + good + `:true}`},
		{"object-with-aud", required, `{"aud":` + good + `}`},
		{"object-with-index", required, `{"0":` + good + `}`},
		{"empty-object", required, `{}`},
		{"array-with-number", recommended, `[` + good + `,1]`},
		{"array-with-null", recommended, `[null,` + good + `]`},
		{"array-with-array", recommended, `[` + good + `,[]]`},
		{"array-with-object", recommended, `[{},` + good + `]`},
	} {
		f.refuse(tt.level, "a-"+tt.name, "a token whose aud is "+cmp.Or(tt.aud, "missing"), f.tokenWithClaims(f.claimsWith("aud", tt.aud)))
	}
	f.refuse(required, "deeper", "an aud only inside another claim", f.tokenWithClaims(f.claims.without("aud").with("a", `{"aud":`+good+`}`).String()))
	f.refuse(required, "in-header", "an aud only in the header", f.token(f.headerWith("aud", good), f.claimsWith("aud", "")))
	f.refuse(required, "as-azp", "the service's audience as azp, and another aud", f.tokenWithClaims(f.claims.with("aud", `"https://other.example"`).with("azp", good).String()))
	f.refuse(required, "as-client", "the service's audience as client_id, and another aud", f.tokenWithClaims(f.claims.with("aud", `"https://other.example"`).with("client_id", good).String()))
	f.refuse(required, "as-resource", "the service's audience as resource, and another aud", f.tokenWithClaims(f.claims.with("aud", `"https://other.example"`).with("resource", good).String()))
	f.refuse(required, "as-scope", "the service's audience as scope, and no aud", f.tokenWithClaims(f.claims.without("aud").with("scope", good).String()))
}

// subjects adds tokens with a missing or malformed sub, and with other claims about the
// user, the client and the token that are malformed or null.
func (f *family) subjects() {
	if f.claims.value("sub") == "" {
		return
	}
	good := f.claims.value("sub")
	for _, tt := range []struct {
		name  string
		level requirementLevel
		sub   string
	}{
		{"null", jwtgateOnly, `null`},
		{"number", recommended, `42`},
		{"zero", recommended, `0`},
		{"fraction", recommended, `1.5`},
		{"true", recommended, `true`},
		{"false", recommended, `false`},
		{"array", recommended, `[` + good + `]`},
		{"array-of-two", recommended, `[` + good + `,"admin"]`},
		{"empty-array", recommended, `[]`},
		{"object", recommended, `{"id":` + good + `}`},
		{"empty-object", recommended, `{}`},
		{"empty", jwtgateOnly, `""`},
		{"missing", jwtgateOnly, ``},
		{"1025-bytes", jwtgateOnly, quote(strings.Repeat("s", 1025))},
		{"1025-bytes-by-escapes", jwtgateOnly, `"` + strings.Repeat(`\u0073`, 1025) + `"`},
		{"4-kilobytes", jwtgateOnly, quote(strings.Repeat("s", 4096))},
	} {
		f.refuse(tt.level, tt.name, "a token whose sub is "+abbreviated(cmp.Or(tt.sub, "missing")), f.tokenWithClaims(f.claimsWith("sub", tt.sub)))
	}
	f.refuse(jwtgateOnly, "deeper", "a sub only inside another claim", f.tokenWithClaims(f.claims.without("sub").with("a", `{"sub":`+good+`}`).String()))
	f.refuse(jwtgateOnly, "in-header", "a sub only in the header", f.token(f.headerWith("sub", good), f.claimsWith("sub", "")))
	for _, claim := range []string{"client_id", "jti", "azp"} {
		f.withRule("RFC 9068 section 2.2; RFC 7519 section 4.1.7").refuse(jwtgateOnly, claim+"-a-number", "a token whose "+claim+" is a number", f.tokenWithClaims(f.claimsWith(claim, "1")))
	}
	// Some issuers write null for a claim that they leave out. A service may need the claims
	// that the Target sets, and the profile of RFC 9068 needs jti and client_id.
	for _, claim := range []string{"jti", "azp", "client_id", "scope", "scp"} {
		_, needed := f.target.Claims[claim]
		if needed || f.isAccessToken() && (claim == "jti" || claim == "client_id") {
			continue
		}
		f.withRule("RFC 9068 section 2.2; RFC 7519 section 4.1.7").accept(jwtgateOnly, claim+"-null", "a token whose "+claim+" is null", f.tokenWithClaims(f.claimsWith(claim, "null")))
	}
}
