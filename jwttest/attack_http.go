package jwttest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// authorization adds requests without credentials, and with an Authorization header that
// is malformed or repeated.
func (f *family) authorization() {
	good := f.good()
	expired := f.tokenWithClaims(f.claimsWith("exp", f.fromNow(-time.Hour)))
	basic := base64.StdEncoding.EncodeToString([]byte("bearer:" + good))

	none := f.withRule("RFC 6750 section 3.1; RFC 9110 section 15.5.2")
	none.refuseRequest(required, "none", "no credentials at all", requestWith())
	none.refuseRequest(required, "none-by-post", "no credentials, with POST", request{method: "POST"})
	none.refuseRequest(required, "none-by-head", "no credentials, with HEAD", request{method: "HEAD"})
	none.refuseRequest(jwtgateOnly, "none-by-options", "a preflight request without credentials", request{method: "OPTIONS", lines: []string{
		"Origin: https://app.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"}})
	none.refuseRequest(required, "method-overridden", "no credentials, and a header that asks for another method", requestWith("X-HTTP-Method-Override: OPTIONS"))

	for _, tt := range []struct {
		name  string
		level requirementLevel
		sends string
		value string
	}{
		{"empty", required, "an empty header", ""},
		{"scheme-alone", required, "the scheme and nothing else", "Bearer"},
		{"scheme-and-space", required, "the scheme and a space", "Bearer "},
		{"token-alone", required, "a good token without scheme", good},
		{"no-space", required, "a good token right after the scheme", "Bearer" + good},
		{"tab", recommended, "a tab after the scheme", "Bearer\t" + good},
		{"space-and-tab", recommended, "a space and a tab after the scheme", "Bearer \t" + good},
		{"no-break-space", required, "a no-break space after the scheme", "Bearer\u00a0" + good},
		{"zero-width-space", required, "a zero-width space before a good token", "Bearer \u200b" + good},
		{"byte-order-mark", required, "a byte order mark before the scheme", "\ufeffBearer " + good},
		{"colon", required, "a colon after the scheme", "Bearer: " + good},
		{"equals-sign", required, "an equals sign after the scheme", "Bearer=" + good},
		{"comma-behind-scheme", required, "a comma after the scheme", "Bearer, " + good},
		{"comma-before-scheme", required, "a comma before the scheme", ", Bearer " + good},
		{"comma-at-the-end", required, "a comma after a good token", "Bearer " + good + ","},
		{"semicolon-at-the-end", required, "a semicolon after a good token", "Bearer " + good + ";"},
		{"colon-at-the-end", required, "a colon after a good token", "Bearer " + good + ":"},
		{"double-quotes", required, "a good token in double quotes", `Bearer "` + good + `"`},
		{"single-quotes", required, "a good token in single quotes", `Bearer '` + good + `'`},
		{"angle-brackets", required, "a good token in angle brackets", `Bearer <` + good + `>`},
		{"braces", required, "a good token in braces", `Bearer {` + good + `}`},
		{"all-in-quotes", required, "scheme and token in double quotes", `"Bearer ` + good + `"`},
		{"parameter-token", required, "a good token as a parameter", `Bearer token="` + good + `"`},
		{"parameter-access-token", required, "a good token as a parameter without quotes", `Bearer access_token=` + good},
		{"parameter-before", required, "a parameter before a good token", `Bearer realm="api" ` + good},
		{"parameter-behind", required, "a parameter after a good token", `Bearer ` + good + ` realm="api"`},
		{"two-tokens", required, "a good token twice", "Bearer " + good + " " + good},
		{"good-and-expired", required, "a good token and an expired one", "Bearer " + good + " " + expired},
		{"expired-and-good", required, "an expired token and a good one", "Bearer " + expired + " " + good},
		{"two-tokens-by-comma", required, "two good tokens in a list", "Bearer " + good + "," + good},
		{"two-credentials", required, "two good credentials in a list", "Bearer " + good + ", Bearer " + good},
		{"bearer-and-basic", required, "Bearer and Basic in a list", "Bearer " + good + ", Basic eDp5"},
		{"basic-and-bearer", required, "Basic and Bearer in a list", "Basic eDp5, Bearer " + good},
		{"scheme-twice", required, "the scheme twice", "Bearer Bearer " + good},
		{"basic-with-token", required, "a good token as the credentials of Basic", "Basic " + good},
		{"basic-with-token-as-password", required, "a good token as a password", "Basic " + basic},
		{"digest", required, "a good token as the credentials of Digest", "Digest " + good},
		{"negotiate", required, "a good token as the credentials of Negotiate", "Negotiate " + good},
		{"scheme-token", required, "a scheme called Token", "Token " + good},
		{"scheme-jwt", required, "a scheme called JWT", "JWT " + good},
		{"scheme-longer", required, "a scheme that begins with Bearer", "BearerX " + good},
		{"scheme-shorter", required, "the first letters of Bearer as the scheme", "Beare " + good},
		{"scheme-mac", required, "a good token as the parameter of another scheme", `MAC id="` + good + `"`},
		{"scheme-look-alike", required, "a scheme with a Cyrillic letter", "B\u0435arer " + good},
		{"scheme-full-width", required, "a scheme in full-width letters", "\uff22\uff45\uff41\uff52\uff45\uff52 " + good},
		{"scheme-percent-encoded", required, "a scheme with an encoded letter", "%42earer " + good},
		{"space-percent-encoded", required, "an encoded space after the scheme", "Bearer%20" + good},
		{"plus-for-space", required, "a plus sign after the scheme", "Bearer+" + good},
		{"underscore-for-space", required, "an underscore after the scheme", "Bearer_" + good},
		{"control-character-before", required, "a control character before a good token", "Bearer \x01" + good},
		{"control-character-behind", required, "a control character after a good token", "Bearer " + good + "\x1f"},
		{"delete-character", required, "a DEL after a good token", "Bearer " + good + "\x7f"},
		// RFC 9110 section 5.5 lets a server replace a NUL by a space.
		{"nul-behind", jwtgateOnly, "a NUL after a good token", "Bearer " + good + "\x00"},
		{"nul-within", required, "a NUL within a good token", "Bearer " + good[:9] + "\x00" + good[9:]},
		{"vertical-tab", required, "a vertical tab after the scheme", "Bearer\v" + good},
		{"form-feed", required, "a form feed after the scheme", "Bearer\f" + good},
		{"line-separator", required, "a line separator after the scheme", "Bearer\u2028" + good},
		{"next-line-character", required, "a NEL after the scheme", "Bearer\u0085" + good},
		{"not-utf-8", required, "a byte that is not UTF-8 after a good token", "Bearer " + good + "\xff"},
		{"null", required, "the word null", "Bearer null"},
		{"undefined", required, "the word undefined", "Bearer undefined"},
		{"true", required, "the word true", "Bearer true"},
		{"asterisk", required, "an asterisk", "Bearer *"},
		{"equals-signs-alone", required, "padding and nothing else", "Bearer =="},
		{"object", required, "a printed JavaScript object", "Bearer [object Object]"},
		{"placeholder", required, "a placeholder that was not replaced", "Bearer ${TOKEN}"},
	} {
		f.refuseRequest(tt.level, tt.name, tt.sends, requestWith("Authorization: "+tt.value))
	}
	if f.target.Prover == nil {
		f.refuseRequest(recommended, "dpop", "a good bearer token under the scheme of DPoP", requestWith("Authorization: DPoP "+good))
	}

	// RFC 9110 forbids the sender to repeat the header (MUST). RFC 6750 asks the
	// service to answer with an error (SHOULD).
	repeated := f.withRule("RFC 9110 section 5.3; RFC 6750 section 3.1")
	for _, tt := range []struct{ name, sends, first, second string }{
		{"repeated", "the header twice", "Bearer " + good, "Bearer " + good},
		{"repeated-good-expired", "the header twice, with a good token and an expired one", "Bearer " + good, "Bearer " + expired},
		{"repeated-expired-good", "the header twice, with an expired token and a good one", "Bearer " + expired, "Bearer " + good},
		{"repeated-good-basic", "the header twice, with Bearer and Basic", "Bearer " + good, "Basic eDp5"},
		{"repeated-basic-good", "the header twice, with Basic and Bearer", "Basic eDp5", "Bearer " + good},
		{"repeated-good-garbage", "the header twice, with a good token and garbage", "Bearer " + good, "x"},
		{"repeated-garbage-good", "the header twice, with garbage and a good token", "Bearer a.b.c", "Bearer " + good},
	} {
		repeated.refuseRequest(recommended, tt.name, tt.sends, requestWith("Authorization: "+tt.first, "Authorization: "+tt.second))
	}
	// An empty header is no credentials, so a service may take these for one header.
	repeated.refuseRequest(jwtgateOnly, "repeated-good-empty", "the header twice, first with a good token, then empty", requestWith("Authorization: Bearer "+good, "Authorization: "))
	repeated.refuseRequest(jwtgateOnly, "repeated-empty-good", "the header twice, first empty, then with a good token", requestWith("Authorization: ", "Authorization: Bearer "+good))
	repeated.refuseRequest(recommended, "repeated-in-other-case", "the header twice, with its name in two cases", requestWith("Authorization: Bearer "+good, "AUTHORIZATION: Bearer "+good))
	repeated.refuseRequest(recommended, "repeated-apart", "the header twice, with another header between", requestWith("Authorization: Bearer "+good, "X-A: b", "authorization: Bearer "+expired))
	repeated.refuseRequest(recommended, "repeated-thrice", "the header three times", requestWith("Authorization: Bearer "+good, "Authorization: Bearer "+good, "Authorization: Bearer "+good))

	// Where RFC 9112 lets a server repair the line, the level is that of what the service
	// then sees: a carriage return becomes a space, and a line feed may end the line.
	wire := f.withRule("RFC 9112 sections 2.2, 5.1 and 5.2")
	for _, tt := range []struct {
		name  string
		level requirementLevel
		sends string
		line  string
	}{
		{"token-folded", required, "a good token folded into two lines", "Authorization: Bearer " + good[:20] + "\r\n " + good[20:]},
		{"token-folded-by-tab", required, "a good token folded by a tab", "Authorization: Bearer " + good[:20] + "\r\n\t" + good[20:]},
		{"second-token-folded", required, "a second good token in a folded line", "Authorization: Bearer " + good + "\r\n Bearer " + good},
		{"folded-behind-another", required, "the header in a folded line of another header", "X-Note: a\r\n Authorization: Bearer " + good},
		{"folded-behind-basic", required, "a good token folded after Basic", "Authorization: Basic eDp5\r\n Bearer " + good},
		{"space-before-colon", required, "a space before the colon", "Authorization : Bearer " + good},
		{"tab-before-colon", required, "a tab before the colon", "Authorization\t: Bearer " + good},
		{"no-colon", required, "no colon", "Authorization Bearer " + good},
		{"space-before-name", required, "a space before the name", " Authorization: Bearer " + good},
		{"nul-in-name", required, "a NUL after the name", "Authorization\x00: Bearer " + good},
		{"bare-carriage-return", required, "a carriage return after a good token", "Authorization: Bearer " + good + "\rX-A: b"},
		{"carriage-return-at-the-end", jwtgateOnly, "two carriage returns after a good token", "Authorization: Bearer " + good + "\r"},
		{"carriage-return-for-space", jwtgateOnly, "a carriage return after the scheme", "Authorization: Bearer\r" + good},
		{"bare-line-feed-within", required, "a line feed within a good token", "Authorization: Bearer " + good[:20] + "\n" + good[20:]},
		{"second-header-behind-line-feed", recommended, "a second header after a line feed", "Authorization: Basic eDp5\nAuthorization: Bearer " + good},
		{"behind-the-header", required, "the header after the empty line", "X-A: b\r\n\r\nAuthorization: Bearer " + good},
	} {
		r := requestWith(tt.line)
		r.only = overTCP
		wire.refuseRequest(tt.level, tt.name, tt.sends, r)
	}
	wire = f.withRule("RFC 9110 section 6.5.1")
	wire.refuseRequest(required, "in-a-trailer", "the header in an announced trailer", request{
		method: "POST", lines: []string{"Transfer-Encoding: chunked", "Trailer: Authorization"},
		body: "1\r\nx\r\n0\r\nAuthorization: Bearer " + good + "\r\n\r\n", only: overTCP})
	wire.refuseRequest(required, "in-a-trailer-unannounced", "the header in a trailer", request{
		method: "POST", lines: []string{"Transfer-Encoding: chunked"},
		body: "0\r\nAuthorization: Bearer " + good + "\r\n\r\n", only: overTCP})
}

// otherPlaces adds good tokens in places where a service must not look for a token.
func (f *family) otherPlaces() {
	good := f.good()
	with := func(query string) func(string) string {
		return func(target string) string {
			if strings.Contains(target, "?") {
				return target + "&" + query
			}
			return target + "?" + query
		}
	}

	query := f.withRule("RFC 6750 sections 2.3 and 5.3; RFC 9700 section 4.3.2")
	for _, name := range []string{
		"access_token", "token", "jwt", "bearer", "id_token", "auth_token", "authorization", "Authorization",
		"bearer_token", "auth", "api_key", "key", "assertion", "access-token", "ACCESS_TOKEN", "access_token[]",
	} {
		query.refuseRequest(recommended, "query-"+name, "a good token as "+name+" in the query", request{retarget: with(name + "=" + good)})
	}
	query.refuseRequest(recommended, "query-with-scheme", "the whole value of the header in the query", request{retarget: with("authorization=Bearer%20" + good)})
	query.refuseRequest(recommended, "query-beside-expired", "a good token in the query beside an expired one in the header",
		request{retarget: with("access_token=" + good), lines: []string{"Authorization: Bearer " + f.tokenWithClaims(f.claimsWith("exp", f.fromNow(-time.Hour)))}})
	query.refuseRequest(recommended, "query-beside-basic", "a good token in the query beside Basic in the header",
		request{retarget: with("access_token=" + good), lines: []string{"Authorization: Basic eDp5"}})
	query.refuseRequest(recommended, "query-twice", "a good token in the query twice", request{retarget: with("access_token=" + good + "&access_token=" + good)})
	query.refuseRequest(recommended, "user-information", "a good token as the password in the URL", request{retarget: func(target string) string { return "http://Bearer:" + good + "@" + host + target }})
	query.refuseRequest(recommended, "path-parameter", "a good token after a semicolon in the path", request{retarget: func(target string) string {
		path, _, _ := strings.Cut(target, "?")
		return path + ";access_token=" + good
	}})

	body := f.withRule("RFC 6750 section 2.2")
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, name := range []string{"access_token", "token", "jwt", "id_token", "authorization", "assertion", "client_assertion"} {
		body.refuseRequest(recommended, "form-"+name, "a good token as "+name+" in a form", request{
			method: http.MethodPost, lines: []string{form}, body: url.Values{name: {good}}.Encode()})
	}
	body.refuseRequest(recommended, "form-by-put", "a good token in a form, with PUT", request{method: http.MethodPut, lines: []string{form}, body: "access_token=" + good})
	body.refuseRequest(recommended, "form-by-get", "a good token in a form, with GET", request{method: http.MethodGet, lines: []string{form}, body: "access_token=" + good})
	body.refuseRequest(recommended, "form-of-other-type", "a good token in a body that is not a form", request{method: http.MethodPost, lines: []string{"Content-Type: text/plain"}, body: "access_token=" + good})
	body.refuseRequest(recommended, "json-body", "a good token in a JSON body", request{method: http.MethodPost, lines: []string{"Content-Type: application/json"}, body: `{"access_token":"` + good + `"}`})
	body.refuseRequest(recommended, "jwt-body", "a good token as the body", request{method: http.MethodPost, lines: []string{"Content-Type: application/jwt"}, body: good})
	body.refuseRequest(recommended, "multipart-body", "a good token in a multipart form", request{method: http.MethodPost, lines: []string{"Content-Type: multipart/form-data; boundary=x"},
		body: "--x\r\nContent-Disposition: form-data; name=access_token\r\n\r\n" + good + "\r\n--x--\r\n"})

	cookie := f.withRule("RFC 6750 section 2")
	for _, name := range []string{
		"access_token", "token", "jwt", "session", "id_token", "Authorization", "auth", "auth_token", "bearer", "AccessToken",
		"__Host-session", "__Secure-token", "next-auth.session-token", "CF_Authorization",
	} {
		cookie.refuseRequest(recommended, "cookie-"+name, "a good token in the cookie "+name, requestWith("Cookie: "+name+"="+good))
	}
	cookie.refuseRequest(recommended, "cookie-beside-expired", "a good token in a cookie beside an expired one in the header",
		requestWith("Cookie: access_token="+good, "Authorization: Bearer "+f.tokenWithClaims(f.claimsWith("exp", f.fromNow(-time.Hour)))))

	header := f.withRule("RFC 6750 section 2.1")
	for _, name := range []string{
		"X-Auth-Token", "X-Access-Token", "X-Authorization", "X-JWT", "X-Id-Token", "X-API-Key", "Token", "JWT", "Access-Token",
		"Bearer", "Auth", "Authentication", "Proxy-Authorization", "X-Forwarded-Authorization", "X-Forwarded-Access-Token",
		"X-Original-Authorization", "X-Auth-Request-Access-Token", "X-JWT-Assertion", "X-Goog-IAP-JWT-Assertion", "X-Amzn-Oidc-Data",
		"X-Amzn-Oidc-Accesstoken", "X-MS-TOKEN-AAD-ACCESS-TOKEN", "Cf-Access-Jwt-Assertion", "X-Serverless-Authorization",
		"X-Endpoint-API-UserInfo", "WWW-Authenticate", "Authorization2", "Authorization_", "HTTP_AUTHORIZATION", "X-User-Token",
		"Sec-WebSocket-Protocol", "DPoP", "Client-Assertion",
	} {
		header.refuseRequest(recommended, "header-"+name, "a good token in the header "+name, requestWith(name+": "+good))
		header.refuseRequest(recommended, "header-"+name+"-with-scheme", "a good token with its scheme in the header "+name, requestWith(name+": Bearer "+good))
	}
	header.refuseRequest(recommended, "websocket-protocol", "a good token as a WebSocket subprotocol", requestWith(
		"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
		"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io."+encode(good)))
}

// sizes adds tokens and headers that are far longer than a token needs to be. net/http
// itself refuses a header of more than a megabyte.
func (f *family) sizes() {
	// padded returns a good token of about n bytes.
	padded := func(n int) string {
		pad := n
		for {
			token := f.tokenWithClaims(f.claimsWith("pad", quote(strings.Repeat("x", pad))))
			if len(token) <= n+2 { // no base64 text has 4k+1 characters
				return token
			}
			pad -= (len(token)-n)*3/4 + 1
		}
	}
	// No RFC limits the length of a token. Refusing a good token for its length is
	// a rule of jwtgate.
	for _, tt := range []struct {
		name, sends string
		bytes       int
	}{
		{"16-kilobytes", "a good token just longer than 16 KiB", 16<<10 + 4},
		{"20-kilobytes", "a good token of 20 KB", 20 << 10},
		{"32-kilobytes", "a good token of 32 KB", 32 << 10},
		{"64-kilobytes", "a good token of 64 KB", 64 << 10},
		{"256-kilobytes", "a good token of 256 KB", 256 << 10},
		{"1-megabyte", "a good token of a megabyte", 1<<20 - 1000},
		{"2-megabytes", "a good token of two megabytes", 2 << 20},
	} {
		f.refuse(jwtgateOnly, tt.name, tt.sends, padded(tt.bytes))
	}
	header, claims, signature := splitToken(f.good())
	for _, tt := range []struct{ name, sends, token string }{
		{"a-million-dots", "a million dots", strings.Repeat(".", 1_000_000)},
		{"a-million-dots-behind", "a good token with a million dots at the end", f.good() + strings.Repeat(".", 1_000_000)},
		{"a-million-letters", "a million letters", strings.Repeat("A", 1_000_000)},
		{"a-million-equals-signs", "a good token with a million equals signs", f.good() + strings.Repeat("=", 1_000_000)},
		{"long-header", "a header of a megabyte", strings.Repeat("e30", 1_000_000/3) + "." + claims + "." + signature},
		{"long-claims", "claims of a megabyte", header + "." + strings.Repeat("e30", 1_000_000/3) + "." + signature},
		{"long-signature", "a signature of a megabyte", header + "." + claims + "." + strings.Repeat("AAAA", 250_000)},
		{"deep-header", "a forged header of 200,000 brackets", encode(`{"alg":`+strings.Repeat("[", 200_000)) + "." + claims + "." + signature},
		{"deep-claims", "forged claims of 200,000 brackets", header + "." + encode(`{"iss":`+strings.Repeat("[", 200_000)) + "." + signature},
		{"wide-header", "a forged header of 50,000 parameters", encode(`{"alg":"none"`+members(50_000, `"a%d":0`)+`}`) + "." + claims + "." + signature},
		{"wide-claims", "forged claims of 50,000 members", header + "." + encode(`{"a":0`+members(50_000, `"a%d":0`)+`}`) + "." + signature},
		{"wide-audience", "a forged aud of 100,000 strings", header + "." + encode(f.claimsWith("aud", `["x"`+strings.Repeat(`,"x"`, 100_000)+`]`)) + "." + signature},
	} {
		f.refuse(required, tt.name, tt.sends, tt.token)
	}
	f.refuse(jwtgateOnly, "long-number", "an exp of ten thousand digits", f.tokenWithClaims(f.claimsWith("exp", "1"+strings.Repeat("0", 10_000))))
	f.refuse(jwtgateOnly, "long-exponent", "an exp with an exponent of ten thousand digits", f.tokenWithClaims(f.claimsWith("exp", "1e"+strings.Repeat("9", 10_000))))
	good := "Authorization: Bearer " + f.good()
	f.withRule("RFC 9110 section 5.3; RFC 6750 section 3.1").refuseRequest(recommended, "many-lines", "the header a thousand times", request{lines: strings.Split(strings.TrimSuffix(strings.Repeat(good+"\n", 1000), "\n"), "\n")})
	f.refuseRequest(required, "long-scheme", "a scheme of a hundred kilobytes", requestWith("Authorization: "+strings.Repeat("Bearer", 17_000)+" "+f.good()))
	f.refuseRequest(required, "many-spaces", "a million spaces and no token", requestWith("Authorization: Bearer"+strings.Repeat(" ", 1_000_000)+"x"))
}
