package jwtgate_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Bearer distinguishes a token, no token, and a bad request.
func ExampleBearer() {
	for _, authorization := range []string{"Bearer abc", "bearer  abc", "Basic abc", "Bearer abc def", "Bearer", ""} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", authorization)
		token, err := jwtgate.Bearer(r)
		fmt.Printf("%-14s  %q  no token: %t  bad request: %t\n", authorization, token,
			errors.Is(err, jwtgate.ErrNoToken), errors.Is(err, jwtgate.ErrRequest))
	}
	// Output:
	// Bearer abc      "abc"  no token: false  bad request: false
	// bearer  abc     "abc"  no token: false  bad request: false
	// Basic abc       ""  no token: true  bad request: false
	// Bearer abc def  ""  no token: false  bad request: true
	// Bearer          ""  no token: false  bad request: true
	//                 ""  no token: true  bad request: false
}

// A gateway uses Authorization for itself and passes the token on in another header. The gateway
// must not let clients set that header.
func ExampleHeader() {
	extract := jwtgate.Header("X-Forwarded-Access-Token") // for Options.Extract
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Forwarded-Access-Token", "from-the-gateway")
	fmt.Println(extract(r))
	r.Header.Add("X-Forwarded-Access-Token", "from-somebody-else")
	_, err := extract(r)
	fmt.Println(err)
	// Output:
	// from-the-gateway <nil>
	// bad request: more than one line of header "X-Forwarded-Access-Token"
}

// A web page keeps its token in a cookie. Browsers also send the cookie with requests that other
// sites make, so CrossOriginProtection rejects those requests first.
func ExampleCookie() {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256([]byte("a secret of thirty-two bytes....")),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Extract:   jwtgate.Cookie("__Host-session"),
		Now:       fixedClock(now), // for this example only, whose token has a fixed expiry
	})
	if err != nil {
		log.Fatal(err)
	}
	handler := http.NewCrossOriginProtection().Handler(gate.Handler(writeSubject))

	for _, site := range []string{"same-origin", "cross-site"} {
		r := httptest.NewRequest("POST", "/orders", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: hs256Token(nil)})
		r.Header.Set("Sec-Fetch-Site", site) // set by the browser
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(site, w.Code)
	}
	// Output:
	// same-origin 200
	// cross-site 403
}

func ExampleFirstOf() {
	// Programs send the token in the Authorization header, a web page in a cookie. If a request has
	// both, the header counts.
	extract := jwtgate.FirstOf(jwtgate.Bearer, jwtgate.Cookie("__Host-session"))
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "__Host-session", Value: "from-the-cookie"})
	fmt.Println(extract(r))
	r.Header.Set("Authorization", "Bearer from-the-header")
	fmt.Println(extract(r))
	// Output:
	// from-the-cookie <nil>
	// from-the-header <nil>
}

// Header and Cookie refuse ambiguous requests, and FirstOf tries extractors in order.
// acceptance 8
func TestExtractors(t *testing.T) {
	t.Parallel()
	cookie := jwtgate.Cookie("session")
	header := jwtgate.Header("x-token")
	first := jwtgate.FirstOf(jwtgate.Bearer, header, cookie)
	for _, tt := range []struct {
		name    string
		extract jwtgate.Extractor
		lines   []string
		want    string
		err     error
	}{
		{"header", header, []string{"X-Token: abc"}, "abc", nil},
		{"header missing", header, nil, "", jwtgate.ErrNoToken},
		{"header empty", header, []string{"X-Token: "}, "", jwtgate.ErrNoToken}, // acceptance 4
		{"header white space", header, []string{"X-Token:  \t"}, "", jwtgate.ErrNoToken},
		{"header twice, once empty", header, []string{"X-Token: ", "X-Token: abc"}, "", jwtgate.ErrRequest},
		{"header twice", header, []string{"X-Token: abc", "X-Token: abc"}, "", jwtgate.ErrRequest},
		{"cookie", cookie, []string{"Cookie: a=b; session=abc; c=d"}, "abc", nil},
		{"cookie missing", cookie, []string{"Cookie: a=b"}, "", jwtgate.ErrNoToken},
		{"cookie empty", cookie, []string{"Cookie: session="}, "", jwtgate.ErrNoToken},
		{"cookie in quotes", cookie, []string{`Cookie: a=b; session="abc" ; c=d`}, "abc", nil},
		{"cookie empty in quotes", cookie, []string{`Cookie: session=""`}, "", jwtgate.ErrNoToken},
		{"cookie with one quote", cookie, []string{`Cookie: session="`}, `"`, nil},
		{"cookie with a quote in front", cookie, []string{`Cookie: session="abc`}, `"abc`, nil},
		{"cookie with quotes twice", cookie, []string{`Cookie: session=""abc""`}, `"abc"`, nil},
		{"cookie with a space before the quotes", cookie, []string{`Cookie: session= "abc"`}, `"abc"`, nil},
		{"cookie in quotes twice", cookie, []string{`Cookie: session="abc"; session="abc"`}, "", jwtgate.ErrRequest},
		{"cookie with white space", cookie, []string{"Cookie: a=b;\tsession = abc "}, "abc", nil},
		{"cookie twice", cookie, []string{"Cookie: session=abc; session=def"}, "", jwtgate.ErrRequest},
		{"cookie in two lines", cookie, []string{"Cookie: session=abc", "Cookie: session=def"}, "", jwtgate.ErrRequest},
		{"cookie twice, one malformed", cookie, []string{`Cookie: session=a"b; session=abc`}, "", jwtgate.ErrRequest},
		{"cookie twice, one empty", cookie, []string{"Cookie: session; session=abc"}, "", jwtgate.ErrRequest},
		{"cookie in another case", cookie, []string{"Cookie: Session=abc"}, "", jwtgate.ErrNoToken},
		{"cookie with a longer name", cookie, []string{"Cookie: xsession=abc; session2=def"}, "", jwtgate.ErrNoToken},
		{"cookie with an equals sign", cookie, []string{"Cookie: session=a=b"}, "a=b", nil},
		{"FirstOf: none", first, nil, "", jwtgate.ErrNoToken},
		{"FirstOf: cookie", first, []string{"Cookie: session=c"}, "c", nil},
		{"FirstOf: header before cookie", first, []string{"Cookie: session=c", "X-Token: h"}, "h", nil},
		{"FirstOf: bearer before all", first, []string{"Cookie: session=c", "X-Token: h", "Authorization: Bearer b"}, "b", nil},
		{"FirstOf: Basic is none", first, []string{"Cookie: session=c", "Authorization: Basic eDp5"}, "c", nil},
		{"FirstOf: an empty line is none", first, []string{"Cookie: session=c", "X-Token: ", "Authorization: "}, "c", nil},
		{"FirstOf: two empty lines", first, []string{"Cookie: session=c", "Authorization: ", "Authorization: "}, "", jwtgate.ErrRequest},
		{"FirstOf: a bad token is not skipped", first, []string{"Cookie: session=c", "Authorization: Bearer b b"}, "", jwtgate.ErrRequest},
		{"too many cookies", cookie, []string{"Cookie: session=abc" + strings.Repeat(";", 3000)}, "", jwtgate.ErrRequest},
		{"largest number of cookies", cookie, []string{"Cookie: session=abc" + strings.Repeat(";", 2999)}, "abc", nil},
		{"FirstOf: two cookies", first, []string{"Cookie: session=c; session=d"}, "", jwtgate.ErrRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.extract(request("GET", tt.lines...))
			assert.Equal(t, tt.want, got)
			if tt.err == nil {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, tt.err)
			}

			gate := newGate(t, func(o *jwtgate.Options) { o.Extract = tt.extract })
			status := 401 // the extracted value, abc, is not a JWT
			if errors.Is(tt.err, jwtgate.ErrRequest) {
				status = 400
			}
			assert.Equal(t, status, serve(gate.Handler(writeSubject), request("GET", tt.lines...)).Code)
		})
	}

	t.Run("an extractor that failed is not skipped", func(t *testing.T) {
		t.Parallel()
		down := func(*http.Request) (string, error) {
			return "", fmt.Errorf("%w: the session store: %w", jwtgate.ErrNoToken, context.DeadlineExceeded)
		}
		gate := newGate(t, func(o *jwtgate.Options) { o.Extract = jwtgate.FirstOf(down, cookie) })
		assert.Equal(t, 503, serve(gate.Optional(writeSubject), request("GET", "Cookie: session="+hs256Token(nil))).Code)
		assert.Equal(t, 503, serve(gate.Optional(writeSubject), request("GET")).Code)
	})

	// acceptance 43: an extractor that joins ErrNoToken with another error could not find out.
	t.Run("no token and something else", func(t *testing.T) {
		t.Parallel()
		lost := errors.New("the session store lost its index")
		for name, tt := range map[string]struct {
			err    error
			status int // under Optional
		}{
			"alone":                  {jwtgate.ErrNoToken, 200},
			"wrapped":                {fmt.Errorf("no session: %w", jwtgate.ErrNoToken), 200},
			"joined with itself":     {errors.Join(jwtgate.ErrNoToken, fmt.Errorf("again: %w", jwtgate.ErrNoToken)), 200},
			"joined alone":           {errors.Join(nil, jwtgate.ErrNoToken), 200},
			"Error":                  {&jwtgate.Error{Status: 401, Err: jwtgate.ErrNoToken}, 200},
			"joined":                 {errors.Join(jwtgate.ErrNoToken, lost), 400},
			"two verbs":              {fmt.Errorf("%w: %w", jwtgate.ErrNoToken, lost), 400},
			"joined, wrapped":        {fmt.Errorf("session: %w", errors.Join(lost, jwtgate.ErrNoToken)), 400},
			"joined deep inside":     {errors.Join(jwtgate.ErrNoToken, errors.Join(jwtgate.ErrNoToken, lost)), 400},
			"Error with joined Err":  {&jwtgate.Error{Status: 401, Err: errors.Join(jwtgate.ErrNoToken, lost)}, 401},
			"joined with an Error":   {errors.Join(&jwtgate.Error{Status: 401, Err: jwtgate.ErrNoToken}, lost), 401},
			"joined with ErrExpired": {errors.Join(jwtgate.ErrNoToken, jwtgate.ErrExpired), 401},
		} {
			extract := func(*http.Request) (string, error) { return "", tt.err }
			r := request("GET", "Cookie: session="+hs256Token(nil))
			gate := newGate(t, func(o *jwtgate.Options) { o.Extract = extract })
			assert.Equal(t, tt.status, serve(gate.Optional(writeSubject), r).Code, name)
			if tt.status != 200 {
				_, err := gate.Check(r)
				var e *jwtgate.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, tt.status, e.Status, name)
				assert.NotEqual(t, "no_token", e.Reason(), name)
			}
			// FirstOf goes on to the good cookie after "no token" only.
			gate = newGate(t, func(o *jwtgate.Options) { o.Extract = jwtgate.FirstOf(extract, cookie) })
			assert.Equal(t, tt.status, serve(gate.Optional(writeSubject), r).Code, "FirstOf: %s", name)
			assert.Equal(t, tt.status == 200, serve(gate.Handler(writeSubject), r).Code == 200, "FirstOf: %s", name)
		}
	})

	t.Run("cookie accepted", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) { o.Extract = cookie })
		assert.Equal(t, 200, serve(gate.Handler(writeSubject), request("GET", "Cookie: session="+hs256Token(nil))).Code)
		assert.Equal(t, 200, serve(gate.Handler(writeSubject), request("GET", `Cookie: session="`+hs256Token(nil)+`"`)).Code)
		assert.Equal(t, 401, serve(gate.Handler(writeSubject), request("GET", `Cookie: session=""`+hs256Token(nil)+`""`)).Code)
	})
}

// Cookie removes the quotes that net/http removes. acceptance 8
func TestCookieQuotes(t *testing.T) {
	t.Parallel()
	extract := jwtgate.Cookie("session")
	for _, line := range []string{`session=abc`, `session="abc"`, ` session="abc" ;x="y"`, "session=\"abc\"\t", `session="a.b-c"`, `session="abc`, `session=abc"`, `session=""`, `session="`, `session= "abc"`, `session="""`} {
		r := request("GET")
		r.Header["Cookie"] = []string{line}
		got, err := extract(r)
		theirs, theirErr := r.Cookie("session")
		switch {
		case theirErr != nil: // net/http skips a malformed cookie; its value here is no token
			assert.True(t, strings.Contains(got, `"`), "%s: %q", line, got)
		case theirs.Value == "":
			assert.ErrorIs(t, err, jwtgate.ErrNoToken, line)
		default:
			assert.NoError(t, err, line)
			assert.Equal(t, theirs.Value, got, line)
		}
	}
}

// An adapter of another server may write header names as they came. acceptance 4, 6
func TestExtractors_NonCanonicalNames(t *testing.T) {
	t.Parallel()
	good := hs256Token(nil)
	first := jwtgate.FirstOf(jwtgate.Bearer, jwtgate.Cookie("session"))
	for _, tt := range []struct {
		name    string
		extract jwtgate.Extractor
		header  http.Header
		status  int
	}{
		{"canonical", jwtgate.Bearer, http.Header{"Authorization": {"Bearer " + good}}, 200},
		{"lower case", jwtgate.Bearer, http.Header{"authorization": {"Bearer " + good}}, 400},
		{"lower case, by default", nil, http.Header{"authorization": {"Bearer " + good}}, 400},
		{"upper case", jwtgate.Bearer, http.Header{"AUTHORIZATION": {"Bearer " + good}}, 400},
		{"mixed case", jwtgate.Bearer, http.Header{"authoriZation": {"Bearer " + good}}, 400},
		{"empty", jwtgate.Bearer, http.Header{"authorization": {""}}, 400},
		{"without lines", jwtgate.Bearer, http.Header{"authorization": nil}, 400},
		{"beside an empty list", jwtgate.Bearer, http.Header{"Authorization": nil, "authoriZation": {"Bearer " + good}}, 400},
		{"lower case beside canonical", jwtgate.Bearer, http.Header{"Authorization": {"Bearer " + good}, "authorization": {"Bearer " + good}}, 400},
		{"upper case beside canonical", jwtgate.Bearer, http.Header{"Authorization": {"Bearer " + good}, "AUTHORIZATION": {"Basic eDp5"}}, 400},
		{"another name of the same length", jwtgate.Bearer, http.Header{"authorisation": {"Bearer " + good}}, 200},
		{"header", jwtgate.Header("X-Token"), http.Header{"x-token": {good}}, 400},
		{"header beside canonical", jwtgate.Header("X-Token"), http.Header{"X-Token": {good}, "x-token": {good}}, 400},
		{"cookie", jwtgate.Cookie("session"), http.Header{"cookie": {"session=" + good}}, 400},
		{"cookie beside canonical", jwtgate.Cookie("session"), http.Header{"Cookie": {"session=" + good}, "cookie": {"a=b"}}, 400},
		{"FirstOf: cookie", first, http.Header{"cookie": {"session=" + good}}, 400},
		{"FirstOf: authorization beside a good cookie", first, http.Header{"authorization": {"Bearer " + good}, "Cookie": {"session=" + good}}, 400},
		{"a header that no extractor reads", first, http.Header{"Authorization": {"Bearer " + good}, "accept": {"x"}, "cookie": {"a=b"}}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) { o.Extract = tt.extract })
			r := request("GET")
			r.Header = tt.header
			assert.Equal(t, tt.status, serve(gate.Optional(writeSubject), r).Code)
			if tt.status == 400 {
				_, err := gate.Check(r)
				requireRefused(t, err, 400, jwtgate.ErrRequest)
				assert.ErrorContains(t, err, "adapter")
			}
		})
	}
}

// The log says what came in place of a token, without the token itself. acceptance 50
func TestExtractorTexts(t *testing.T) {
	t.Parallel()
	token := hs256Token(nil)
	first := jwtgate.FirstOf(jwtgate.Bearer, jwtgate.Header("X-Token"), jwtgate.Cookie("session"))
	for _, tt := range []struct {
		extract jwtgate.Extractor
		lines   []string
		text    string
	}{
		{nil, nil, `no token: the request has no header "Authorization"`},
		{nil, []string{"Authorization: "}, `no token: no value in header "Authorization"`},
		{nil, []string{"Authorization: " + token}, `no token: the Authorization header has a token without "Bearer " before it`},
		{nil, []string{"Authorization: opaque"}, `no token: the Authorization header has one word, without "Bearer " before it`},
		{nil, []string{"Authorization: " + token + " x"}, `no token: the Authorization header has a token without "Bearer " before it`},
		{nil, []string{"Authorization: JWT " + token}, `no token: wanted is the scheme Bearer, and the Authorization header has "JWT"`},
		{nil, []string{"Authorization: averylongsecretwithoutscheme x"}, `no token: the Authorization header has a scheme other than Bearer`},
		{nil, []string{"Authorization: Bearer: " + token}, `bad request: the Authorization header has no space after Bearer but ":"`},
		{nil, []string{"Authorization: bearer\t" + token}, `bad request: the Authorization header has no space after Bearer but "\t"`},
		{nil, []string{"Authorization: Bearer\u00a0" + token}, `bad request: the Authorization header has no space after Bearer but "\u00a0"`},
		{nil, []string{"Authorization: Bearer" + token}, `no token: the Authorization header has no space after Bearer`},
		{nil, []string{"Authorization: Bearer%20" + token}, `no token: the Authorization header has no space after Bearer`},
		{nil, []string{`Authorization: "Bearer ` + token + `"`}, `bad request: the Authorization header does not start with a scheme, such as "Bearer ": its first word has the character "\""`},
		{nil, []string{"Authorization:  Bearer " + token}, `bad request: the Authorization header starts with a space`},
		{nil, []string{"Authorization: Bearer"}, `bad request: nothing follows Bearer in the Authorization header`},
		{nil, []string{"Authorization: Bearer  "}, `bad request: nothing follows Bearer in the Authorization header`},
		{nil, []string{"Authorization: Bearer bearer " + token}, `bad request: the word Bearer comes twice before the token`},
		{nil, []string{`Authorization: Bearer "` + token + `"`}, `bad request: what follows Bearer is not one token: it has the character "\""`},
		{jwtgate.Bearer, []string{"Authorization: Bearer " + token + "\u00e9"}, `bad request: what follows Bearer is not one token: it has the character "\u00e9"`},
		{nil, []string{"Authorization: Bearer =="}, `bad request: what follows Bearer is not a token: it has only equals signs`},
		{jwtgate.Cookie("session"), []string{"Cookie: a=b"}, `no token: the request has no cookie "session"`},
		{jwtgate.Cookie("session"), []string{"Cookie: session="}, `no token: no value in cookie "session"`},
		{first, nil, `no token: the request has no header "Authorization", no header "X-Token", no cookie "session"`},
		{jwtgate.FirstOf(first, jwtgate.Cookie("other")), nil, `no token: the request has no header "Authorization", no header "X-Token", no cookie "session", no cookie "other"`},
		{jwtgate.FirstOf(first, jwtgate.Header("X-Other")), []string{"X-Other: "}, `no token: no value in header "X-Other"`},
		{first, []string{"X-Token: "}, `no token: no value in header "X-Token"`},
		{first, []string{"Authorization: " + token, "X-Token: "}, `no token: the Authorization header has a token without "Bearer " before it`},
	} {
		_, err := newGate(t, func(o *jwtgate.Options) { o.Extract = tt.extract }).Check(request("GET", tt.lines...))
		var e *jwtgate.Error
		require.ErrorAs(t, err, &e)
		assert.EqualError(t, e.Err, tt.text)
		assert.NotContains(t, err.Error(), token[:10])
		assert.Less(t, len(err.Error()), 250)
	}
	r := request("GET")
	r.Header["authorization"] = []string{"Bearer " + token}
	_, err := jwtgate.Bearer(r)
	assert.EqualError(t, err, `bad request: the header map must have the key Authorization, as http.Header.Set writes it, but an adapter wrote "authorization"`)
}

var (
	bearerGrammar = regexp.MustCompile(`^[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)$`)
	bearerScheme  = regexp.MustCompile(`^[Bb][Ee][Aa][Rr][Ee][Rr]( |$)`)
	otherScheme   = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+( |$)")
)

// FuzzBearer compares Bearer with the grammar of RFC 9110 section 11.4 and RFC 6750 section 2.1,
// which the patterns above express as regular expressions.
func FuzzBearer(f *testing.F) {
	for _, value := range []string{"", " \t", "Bearer", "Bearer ", "bearer abc", "Bearer  a.b-c_d~e+f/g==", "Bearer a b", "Basic eDp5", "Bearer\tx", "Bearer =", " Bearer x", "Bearer x,y"} {
		f.Add(value, "")
		f.Add(value, "Bearer x")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		r := &http.Request{Header: http.Header{"Authorization": {first}}}
		if second != "" {
			r.Header.Add("Authorization", second)
		}
		token, err := jwtgate.Bearer(r)
		parts := bearerGrammar.FindStringSubmatch(first)
		switch {
		case second != "":
			require.ErrorIs(t, err, jwtgate.ErrRequest)
		case strings.Trim(first, " \t\r\n") == "":
			require.ErrorIs(t, err, jwtgate.ErrNoToken)
		case parts != nil:
			require.NoError(t, err)
			require.Equal(t, parts[1], token)
		case otherScheme.MatchString(first) && !bearerScheme.MatchString(first):
			require.ErrorIs(t, err, jwtgate.ErrNoToken)
		default:
			require.ErrorIs(t, err, jwtgate.ErrRequest)
		}
		require.Equal(t, err != nil, token == "")
	})
}
