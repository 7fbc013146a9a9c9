package migration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A trial is a request and the outcomes of three services: the one before the move, the
// same with all options of the library, and the one after the move. An outcome is a
// status and, if the handler got another name than the user's, that name.
type trial struct {
	sent                  string // a key of signer.requests
	before, strict, after string
}

// A library is a library that services move away from.
type library struct {
	heading string // of its section in README.md
	user    any    // the user in its tokens
	claim   string // the claim with the user

	// start returns the handlers of a service and a signer of tokens for it.
	start func(*testing.T) (before, strict, after http.Handler, s *signer)

	stricter []trial  // the gate is stricter than the service before
	looser   []trial  // the gate differs and is not stricter
	refused  []string // refused by all three with the same status
	clients  []answer // answers of the service before
}

// An answer is the part of a response that README.md shows.
type answer struct {
	sent, status, challenge, body string
}

var libraries = []library{
	{
		heading: "golang-jwt",
		user:    "alice",
		claim:   "sub",
		start: func(t *testing.T) (_, _, _ http.Handler, s *signer) {
			s = newSigner(t, "RS256")
			return must(t)(golangJWTBefore(s.publicKey)), must(t)(golangJWTStrict(s.publicKey)), must(t)(golangJWTAfter(s.publicKey)), s
		},
		stricter: []trial{
			{"no `exp`", "200", "401", "401"},
			{"`iat` an hour ahead", "200", "401", "401"},
			{"no `iss`", "200", "401", "401"},
			{"another `iss`", "200", "401", "401"},
			{"no `aud`", "200", "401", "401"},
			{"another `aud`", "200", "401", "401"},
			{"padding bits that are not zero", "200", "401", "401"},
			{"no `sub`", "200 as nobody", "200 as nobody", "401"},
			{"an empty `sub`", "200 as nobody", "200 as nobody", "401"},
			{"`sub` twice", "200 as mallory", "200 as mallory", "401"},
			{"`SUB` beside `sub`", "200 as mallory", "200 as mallory", "401"},
			{"`alg` twice", "200", "200", "401"},
			{"`exp` as a string", "200", "200", "401"},
			{"`crit` with an unknown name", "200", "200", "401"},
			{"`typ` of a logout token", "200", "200", "401"},
			{"`cnf` of a certificate, and none sent", "200", "200", "401"},
			{"`cnf` of a DPoP key, and no proof", "200", "200", "401"},
			{"claims that are not UTF-8", "200", "200", "401"},
			{"20 KiB of token", "200", "200", "401"},
			{"a second `Authorization` after the good one", "200", "200", "400"},
		},
		looser: []trial{
			{"`exp` 10 seconds ago", "401", "200", "200"},
			{"two spaces after `Bearer`", "401", "401", "200"},
		},
		refused: []string{"`exp` an hour ago", "`nbf` an hour ahead", "`alg` none", "the right key with another algorithm",
			"HS256 with the public key as its secret", "claims that were changed", "padding in base64", "more after the claims",
			"a token in the query", "a token in a cookie"},
		clients: []answer{
			{"no token", "401", "", "Invalid token: no token present in request"},
			{"`Basic` credentials", "401", "", "Invalid token: no token present in request"},
			{"`exp` an hour ago", "401", "", "Invalid token: token has invalid claims: token is expired"},
			{"claims that were changed", "401", "", "Invalid token: token signature is invalid: crypto/rsa: verification error"},
		},
	},
	{
		heading: "auth0/go-jwt-middleware",
		user:    "alice",
		claim:   "sub",
		start: func(t *testing.T) (_, _, _ http.Handler, s *signer) {
			s = newSigner(t, "RS256")
			s.issuer = publish(t, s)
			return must(t)(auth0Before(s.issuer, audience)), must(t)(auth0Strict(s.issuer, audience)), must(t)(auth0After(s.issuer, audience)), s
		},
		stricter: []trial{
			{"no `exp`", "200", "401", "401"},
			{"no `sub`", "200 as nobody", "401", "401"},
			{"an empty `sub`", "200 as nobody", "401", "401"},
			{"`sub` twice", "200 as mallory", "200 as mallory", "401"},
			{"`SUB` beside `sub`", "200", "200", "401"},
			{"`alg` twice", "200", "200", "401"},
			{"`exp` as a string", "200", "200", "401"},
			{"`crit` with an unknown name", "200", "200", "401"},
			{"`typ` of a logout token", "200", "200", "401"},
			{"`cnf` of a certificate, and none sent", "200", "200", "401"},
			{"padding bits that are not zero", "200", "200", "401"},
			{"padding in base64", "200", "200", "401"},
			{"base64 instead of base64url", "200", "200", "401"},
			{"claims that are not UTF-8", "200", "200", "401"},
			{"20 KiB of token", "200", "200", "401"},
			{"a tab after `Bearer`", "200", "200", "400"},
		},
		looser: []trial{
			{"`exp` 10 seconds ago", "401", "200", "200"},
		},
		refused: []string{"`exp` an hour ago", "`nbf` an hour ahead", "`iat` an hour ahead", "no `iss`", "another `iss`", "no `aud`", "another `aud`",
			"`cnf` of a DPoP key, and no proof", "`alg` none", "the right key with another algorithm", "HS256 with the public key as its secret",
			"claims that were changed", "more after the claims", "a second `Authorization` after the good one", "a token in the query", "a token in a cookie"},
		clients: []answer{
			{"no token", "401", `Bearer realm="api" and DPoP algs="..."`, `{"error":"invalid_token"}`},
			{"`Basic` credentials", "400", `Bearer realm="api" and DPoP algs="..."`, `{"error":"invalid_request","error_code":"invalid_request"}`},
			{"`exp` an hour ago", "401", `Bearer realm="api", error="invalid_token", error_description="The access token expired" and DPoP algs="..."`,
				`{"error":"invalid_token","error_description":"The access token expired","error_code":"token_expired"}`},
			{"another `aud`", "401", `Bearer realm="api", error="invalid_token", error_description="The access token audience does not match" and DPoP algs="..."`,
				`{"error":"invalid_token","error_description":"The access token audience does not match","error_code":"invalid_audience"}`},
		},
	},
	{
		heading: "labstack/echo-jwt",
		user:    "alice",
		claim:   "sub",
		start: func(t *testing.T) (_, _, _ http.Handler, s *signer) {
			s = newSigner(t, "HS256")
			return echoJWTBefore(s.secret), echoJWTStrict(s.secret), must(t)(echoJWTAfter(s.secret)), s
		},
		stricter: []trial{
			{"no `exp`", "200", "401", "401"},
			{"`exp` 0", "200", "401", "401"},
			{"`iat` an hour ahead", "200", "401", "401"},
			{"no `iss`", "200", "401", "401"},
			{"another `iss`", "200", "401", "401"},
			{"no `aud`", "200", "401", "401"},
			{"another `aud`", "200", "401", "401"},
			{"padding bits that are not zero", "200", "401", "401"},
			{"no `sub`", "200 as <nil>", "200 as <nil>", "401"},
			{"an empty `sub`", "200 as nobody", "200 as nobody", "401"},
			{"the number 1234567 as `sub`", "200 as 1.234567e+06", "200 as 1.234567e+06", "401"},
			{"`sub` twice", "200 as mallory", "200 as mallory", "401"},
			{"`SUB` beside `sub`", "200", "200", "401"},
			{"`alg` twice", "200", "200", "401"},
			{"`crit` with an unknown name", "200", "200", "401"},
			{"`typ` of a logout token", "200", "200", "401"},
			{"`cnf` of a certificate, and none sent", "200", "200", "401"},
			{"`cnf` of a DPoP key, and no proof", "200", "200", "401"},
			{"claims that are not UTF-8", "200", "200", "401"},
			{"20 KiB of token", "200", "200", "401"},
			{"a second `Authorization` after the good one", "200", "200", "400"},
			{"a second `Authorization` before the good one", "200", "200", "400"},
		},
		looser: []trial{
			{"`exp` 10 seconds ago", "401", "200", "200"},
			{"two spaces after `Bearer`", "401", "401", "200"},
		},
		refused: []string{"`exp` an hour ago", "`nbf` an hour ahead", "`exp` as a string", "`alg` none", "the right key with another algorithm",
			"claims that were changed", "padding in base64", "more after the claims", "a token in the query", "a token in a cookie"},
		clients: []answer{
			{"no token", "401", "", `{"message":"missing or malformed jwt"}`},
			{"`Basic` credentials", "401", "", `{"message":"missing or malformed jwt"}`},
			{"`exp` an hour ago", "401", "", `{"message":"invalid or expired jwt"}`},
			{"claims that were changed", "401", "", `{"message":"invalid or expired jwt"}`},
		},
	},
	{
		heading: "go-chi/jwtauth",
		user:    123,
		claim:   "user_id",
		start: func(t *testing.T) (_, _, _ http.Handler, s *signer) {
			s = newSigner(t, "HS256")
			return jwtauthBefore(s.secret), jwtauthStrict(s.secret), must(t)(jwtauthAfter(s.secret)), s
		},
		stricter: []trial{
			{"no `exp`", "200", "401", "401"},
			{"no `iss`", "200", "401", "401"},
			{"another `iss`", "200", "401", "401"},
			{"no `aud`", "200", "401", "401"},
			{"another `aud`", "200", "401", "401"},
			{"a token in a cookie", "200", "401", "401"},
			{"no `user_id`", "200 as <nil>", "401", "401"},
			{"an empty `user_id`", "200 as nobody", "200 as nobody", "401"},
			{"`user_id` twice", "200 as mallory", "200 as mallory", "401"},
			{"`USER_ID` beside `user_id`", "200", "200", "401"},
			{"`alg` twice", "200", "200", "401"},
			{"`exp` 0", "200", "200", "401"},
			{"`exp` as a string", "200", "200", "401"},
			{"`crit` with an unknown name", "200", "200", "401"},
			{"`typ` of a logout token", "200", "200", "401"},
			{"`cnf` of a certificate, and none sent", "200", "200", "401"},
			{"`cnf` of a DPoP key, and no proof", "200", "200", "401"},
			{"padding bits that are not zero", "200", "200", "401"},
			{"padding in base64", "200", "200", "401"},
			{"base64 instead of base64url", "200", "200", "401"},
			{"claims that are not UTF-8", "200", "200", "401"},
			{"more after the claims", "200", "200", "401"},
			{"20 KiB of token", "200", "200", "401"},
			{"a second `Authorization` after the good one", "200", "200", "400"},
		},
		looser: []trial{
			{"`exp` 10 seconds ago", "401", "200", "200"},
			{"the number 1234567 as `user_id`", "200 as 1.234567e+06", "200 as 1.234567e+06", "200 as 1234567"},
		},
		refused: []string{"`exp` an hour ago", "`nbf` an hour ahead", "`iat` an hour ahead", "`alg` none", "the right key with another algorithm",
			"claims that were changed", "a token in the query"},
		clients: []answer{
			{"no token", "401", "", "no token found"},
			{"`Basic` credentials", "401", "", "no token found"},
			{"`exp` an hour ago", "401", "", "token is expired"},
			{"claims that were changed", "401", "", "token is unauthorized"},
		},
	},
}

// after are the answers of all services after the move.
var after = []answer{
	{"no token", "401", `Bearer realm="api"`, `{"error":"unauthorized","error_description":"This request needs an access token."}`},
	{"`Basic` credentials", "401", `Bearer realm="api"`, `{"error":"unauthorized","error_description":"This request needs an access token."}`},
	{"`Bearer` and two words", "400", `Bearer realm="api", error="invalid_request", error_description="The request does not carry its access token in the form this service expects."`,
		`{"error":"invalid_request","error_description":"The request does not carry its access token in the form this service expects."}`},
	{"`exp` an hour ago", "401", `Bearer realm="api", error="invalid_token", error_description="The access token has expired."`,
		`{"error":"invalid_token","error_description":"The access token has expired."}`},
	{"another `aud`", "401", `Bearer realm="api", error="invalid_token", error_description="The access token is not valid."`,
		`{"error":"invalid_token","error_description":"The access token is not valid."}`},
}

func TestTrials(t *testing.T) {
	t.Parallel()
	for _, l := range libraries {
		t.Run(l.heading, func(t *testing.T) {
			t.Parallel()
			before, strict, after, s := l.start(t)
			services := []string{serve(t, before), serve(t, strict), serve(t, after)}
			requests := s.requests(l.claim, l.user)

			trials := append(slices.Concat(l.stricter, l.looser), trial{"a good token", "200", "200", "200"}, trial{"`bearer` in lower case", "200", "200", "200"},
				trial{"`typ` of an access token", "200", "200", "200"})
			for _, sent := range l.refused {
				trials = append(trials, trial{sent: sent})
			}
			for _, tt := range trials {
				prepare, ok := requests[tt.sent]
				require.True(t, ok, tt.sent)
				got := trial{sent: tt.sent}
				for i, answer := range []*string{&got.before, &got.strict, &got.after} {
					*answer = outcome(ask(t, services[i], prepare), l.user)
				}
				if tt.before == "" { // one of l.refused
					assert.Regexp(t, "^4", got.before, tt.sent)
					tt.before, tt.strict, tt.after = got.before, got.before, got.before
				}
				assert.Equal(t, tt, got)
			}
		})
	}
}

func TestClients(t *testing.T) {
	t.Parallel()
	for _, l := range libraries {
		t.Run(l.heading, func(t *testing.T) {
			t.Parallel()
			before, _, now, s := l.start(t)
			requests := s.requests(l.claim, l.user)
			for _, tt := range []struct {
				service string
				want    []answer
			}{{serve(t, before), l.clients}, {serve(t, now), after}} {
				for _, want := range tt.want {
					assert.Equal(t, want, seen(want.sent, ask(t, tt.service, requests[want.sent])))
				}
			}
		})
	}
}

// outcome returns the outcome of a response in the notation of a trial.
func outcome(r *response, user any) string {
	who, ok := strings.CutPrefix(r.body, "hello")
	who = strings.TrimSpace(who)
	switch {
	case r.StatusCode != http.StatusOK:
		return fmt.Sprint(r.StatusCode)
	case !ok:
		return "200 with " + r.body
	case who == "":
		return "200 as nobody"
	case who != fmt.Sprint(user):
		return "200 as " + who
	}
	return "200"
}

// seen returns the part of a response that README.md shows.
func seen(sent string, r *response) answer {
	challenges := strings.Join(r.Header["Www-Authenticate"], " and ")
	challenges = strings.ReplaceAll(challenges, validator.DPoPSupportedAlgorithms, "...") // ten names
	return answer{sent, fmt.Sprint(r.StatusCode), challenges, r.body}
}

// A response is an http.Response with its body, which has been read.
type response struct {
	*http.Response
	body string
}

// ask sends a request over TCP. prepare changes the request first.
func ask(t *testing.T, service string, prepare func(*http.Request)) *response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", service+"/me", nil)
	require.NoError(t, err)
	prepare(r)
	answer, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return &response{answer, strings.TrimSpace(string(body))}
}

// serve returns the URL of a service on loopback.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// must returns the handler that a constructor returned, or ends the test.
func must(t *testing.T) func(http.Handler, error) http.Handler {
	return func(h http.Handler, err error) http.Handler {
		t.Helper()
		require.NoError(t, err)
		return h
	}
}
