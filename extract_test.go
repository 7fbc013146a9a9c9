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
	for _, authorization := range []string{"Bearer abc", "bearer  abc", "Basic abc", "Bearer abc def", "Bearer"} {
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
		{"header empty", header, []string{"X-Token: "}, "", jwtgate.ErrRequest},
		{"header twice", header, []string{"X-Token: abc", "X-Token: abc"}, "", jwtgate.ErrRequest},
		{"cookie", cookie, []string{"Cookie: a=b; session=abc; c=d"}, "abc", nil},
		{"cookie missing", cookie, []string{"Cookie: a=b"}, "", nil},
		{"cookie empty", cookie, []string{"Cookie: session="}, "", nil},
		{"cookie with white space", cookie, []string{"Cookie: a=b;\tsession = abc "}, "abc", nil},
		{"cookie twice", cookie, []string{"Cookie: session=abc; session=def"}, "", jwtgate.ErrRequest},
		{"cookie in two lines", cookie, []string{"Cookie: session=abc", "Cookie: session=def"}, "", jwtgate.ErrRequest},
		{"cookie twice, one malformed", cookie, []string{`Cookie: session=a"b; session=abc`}, "", jwtgate.ErrRequest},
		{"cookie twice, one empty", cookie, []string{"Cookie: session; session=abc"}, "", jwtgate.ErrRequest},
		{"cookie in another case", cookie, []string{"Cookie: Session=abc"}, "", nil},
		{"cookie with a longer name", cookie, []string{"Cookie: xsession=abc; session2=def"}, "", nil},
		{"cookie with an equals sign", cookie, []string{"Cookie: session=a=b"}, "a=b", nil},
		{"FirstOf: none", first, nil, "", jwtgate.ErrNoToken},
		{"FirstOf: cookie", first, []string{"Cookie: session=c"}, "c", nil},
		{"FirstOf: header before cookie", first, []string{"Cookie: session=c", "X-Token: h"}, "h", nil},
		{"FirstOf: bearer before all", first, []string{"Cookie: session=c", "X-Token: h", "Authorization: Bearer b"}, "b", nil},
		{"FirstOf: Basic is none", first, []string{"Cookie: session=c", "Authorization: Basic eDp5"}, "c", nil},
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

	t.Run("cookie accepted", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) { o.Extract = cookie })
		assert.Equal(t, 200, serve(gate.Handler(writeSubject), request("GET", "Cookie: session="+hs256Token(nil))).Code)
		assert.Equal(t, 401, serve(gate.Handler(writeSubject), request("GET", `Cookie: session="`+hs256Token(nil)+`"`)).Code)
	})
}

var (
	bearerGrammar = regexp.MustCompile(`^[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)$`)
	bearerScheme  = regexp.MustCompile(`^[Bb][Ee][Aa][Rr][Ee][Rr]( |$)`)
	otherScheme   = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+( |$)")
)

// FuzzBearer compares Bearer with the grammar of RFC 9110 section 11.4 and RFC 6750 section 2.1,
// which the patterns above express as regular expressions.
func FuzzBearer(f *testing.F) {
	for _, value := range []string{"", "Bearer", "Bearer ", "bearer abc", "Bearer  a.b-c_d~e+f/g==", "Bearer a b", "Basic eDp5", "Bearer\tx", "Bearer =", " Bearer x", "Bearer x,y"} {
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
