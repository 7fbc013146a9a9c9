package jwtgate_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

// A rule with an answer of its own: the user has to sign in anew, as RFC 9470 has
// it, before money moves.
func ExampleError() {
	recent := jwtgate.RuleFunc(func(_ *http.Request, t *jwtgate.Token) error {
		var claims struct {
			AuthTime int64 `json:"auth_time"`
		}
		if err := t.Decode(&claims); err != nil {
			return err
		}
		if now.Sub(time.Unix(claims.AuthTime, 0)) > 10*time.Minute { // now is time.Now() elsewhere
			return &jwtgate.Error{Status: 401, Code: "insufficient_user_authentication", Err: errors.New("signed in too long ago")}
		}
		return nil
	})
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	token := hs256(map[string]any{"auth_time": now.Add(-time.Hour).Unix()})
	w := serve(gate.Require(recent).Handler(subject), request("POST", "Authorization: Bearer "+token))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 401 Bearer realm="api", error="insufficient_user_authentication", error_description="The access token is not valid."
}

// The reason is a label of a metric: one of a few, whatever a client sends.
func ExampleError_Reason() {
	counts := map[string]int{} // a counter of your metrics library, safe for concurrent use
	gate, err := jwtgate.New(options(func(o *jwtgate.Options) {
		o.Observe = func(_ context.Context, e jwtgate.Event) {
			result := "allowed"
			var refusal *jwtgate.Error
			if errors.As(e.Err, &refusal) {
				result = refusal.Reason()
			}
			counts[result]++
		}
	}))
	if err != nil {
		panic(err)
	}
	handler := gate.Handler(subject)
	for _, token := range []string{hs256(nil), hs256(map[string]any{"exp": 0}), hs256(map[string]any{"aud": "x"}), "undefined"} {
		serve(handler, request("GET", "Authorization: Bearer "+token))
	}
	fmt.Println(counts)
	// Output:
	// map[allowed:1 audience:1 expired:1 malformed:1]
}

func ExampleGate_Deny() {
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	// A handler that finds out late that the request must be refused.
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if jwtgate.Subject(r.Context()) != "bob" {
			gate.Deny(w, r, fmt.Errorf("%w: the order is bob's", jwtgate.ErrForbidden))
			return
		}
	}))
	w := serve(handler, request("GET", "Authorization: Bearer "+hs256(nil)))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 403 {"error":"insufficient_scope","error_description":"The access token does not grant what this request needs."}
}

// The table from error to answer, for each place an error can come from.
// acceptance 10, 55
func TestErrorsToAnswers(t *testing.T) {
	t.Parallel()
	plain := errors.New("some trouble")
	wrap := func(err error) error { return fmt.Errorf("looking: %w", err) }
	const (
		options = iota // a rule of Options
		confirm
		require
		validate
		source
		extract
		caller // of Deny
		places
	)
	for _, tt := range []struct {
		name   string
		err    error
		status [places]int
		code   string // where the status is that of the first place
	}{
		{"plain", plain, [...]int{401, 401, 403, 503, 503, 400, 503}, "invalid_token"},
		{"forbidden", jwtgate.ErrForbidden, [...]int{401, 401, 403, 403, 403, 403, 403}, "invalid_token"},
		{"no token", wrap(jwtgate.ErrNoToken), [...]int{401, 401, 401, 401, 401, 401, 401}, ""},
		{"request", wrap(jwtgate.ErrRequest), [...]int{400, 400, 400, 400, 400, 400, 400}, "invalid_request"},
		{"unavailable", wrap(jwtgate.ErrUnavailable), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"unavailable, so no token", errors.Join(jwtgate.ErrNoToken, context.DeadlineExceeded), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"unavailable, and no token", errors.Join(jwtgate.ErrNoToken, jwtgate.ErrUnavailable), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"cancelled", wrap(context.Canceled), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"deadline", wrap(context.DeadlineExceeded), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"revoked", wrap(jwtgate.ErrRevoked), [...]int{401, 401, 401, 401, 401, 401, 401}, "invalid_token"},
		{"expired", jwtgate.ErrExpired, [...]int{401, 401, 401, 401, 401, 401, 401}, "invalid_token"},
		{"own answer", &jwtgate.Error{Status: 403, Code: "insufficient_scope", Err: plain}, [...]int{403, 403, 403, 403, 403, 403, 403}, "insufficient_scope"},
		{"own answer, wrapped", wrap(&jwtgate.Error{Status: 401, Code: "insufficient_user_authentication", Err: plain}), [...]int{401, 401, 401, 401, 401, 401, 401}, "insufficient_user_authentication"},
		{"own answer without status", &jwtgate.Error{Err: plain}, [...]int{401, 401, 403, 503, 503, 400, 503}, "invalid_token"},
		{"own answer that would let pass", &jwtgate.Error{Status: 200, Err: plain}, [...]int{401, 401, 403, 503, 503, 400, 503}, "invalid_token"},
		{"own answer of another kind", &jwtgate.Error{Status: 500, Err: jwtgate.ErrRevoked}, [...]int{401, 401, 401, 401, 401, 401, 401}, "invalid_token"},
		{"nil of its type", (*jwtgate.Error)(nil), [...]int{401, 401, 403, 503, 503, 400, 503}, "invalid_token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for place, status := range tt.status {
				rule := jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { return tt.err })
				gate := newGate(t, func(o *jwtgate.Options) {
					switch place {
					case options:
						o.Rules = []jwtgate.Rule{rule}
					case confirm:
						o.Confirm = rule
					case validate:
						o.Validate = func(context.Context, *jwtgate.Token) error { return tt.err }
					case source:
						o.Keys = failing(tt.err)
					case extract:
						o.Extract = func(*http.Request) (string, error) { return "", tt.err }
					}
				})
				if place == require {
					gate = gate.Require(rule)
				}
				handler := gate.Handler(subject)
				if place == caller {
					handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { gate.Deny(w, r, tt.err) })
				}
				r := request("GET", "Authorization: Bearer "+hs256(map[string]any{"cnf": 1}))
				if place != confirm {
					r = request("GET", "Authorization: Bearer "+hs256(nil))
				}
				w := serve(handler, r)
				assert.Equal(t, status, w.Code, "place %d", place)
				requireDenial(t, w)
				assert.NotContains(t, w.Body.String(), "trouble")
				assert.NotContains(t, fmt.Sprint(w.Header()), "trouble")
				challenge := w.Header().Get("WWW-Authenticate")
				if status == 503 {
					assert.Empty(t, challenge)
					assert.Equal(t, "5", w.Header().Get("Retry-After"))
					continue
				}
				assert.Empty(t, w.Header().Get("Retry-After"))
				if place == options && tt.code == "" {
					assert.NotContains(t, challenge, "error")
				} else if status == tt.status[options] && tt.code != "" {
					assert.Contains(t, challenge, fmt.Sprintf("error=%q", tt.code))
				}

				if place != caller {
					_, err := gate.Check(r)
					var e *jwtgate.Error
					if !assert.ErrorAs(t, err, &e) {
						continue
					}
					assert.Equal(t, status, e.Status)
					// Whatever was returned, one of the sentinels tells.
					switch status {
					case 400:
						assert.ErrorIs(t, err, jwtgate.ErrRequest)
					case 403:
						assert.ErrorIs(t, err, jwtgate.ErrForbidden)
					case 503:
						assert.ErrorIs(t, err, jwtgate.ErrUnavailable)
					default:
						assert.Contains(t, []string{"no_token", "revoked", "expired", "claim"}, e.Reason())
						assert.Equal(t, e.Reason() == "claim", errors.Is(err, jwtgate.ErrClaim))
					}
				}
			}
		})
	}
}

func TestDenyWithoutError(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	newGate(t).Deny(w, request("GET"), nil)
	assert.Equal(t, 503, w.Code)
}

// A handler that has begun to describe its own body may still refuse.
func TestDenyDropsWhatWasSaidOfAnotherBody(t *testing.T) {
	t.Parallel()
	body := func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) { io.WriteString(w, "no") }
	for _, onDeny := range []func(http.ResponseWriter, *http.Request, *jwtgate.Error){nil, body} {
		w := httptest.NewRecorder()
		for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
			w.Header().Set(name, "x")
		}
		newGate(t, func(o *jwtgate.Options) { o.OnDeny = onDeny }).Deny(w, request("GET"), jwtgate.ErrForbidden)
		for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
			assert.Empty(t, w.Header().Get(name), name)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	for d, want := range map[time.Duration]string{0: "5", time.Millisecond: "1", 1500 * time.Millisecond: "2", time.Minute: "60", -time.Hour: "1"} {
		w := httptest.NewRecorder()
		gate.Deny(w, request("GET"), &jwtgate.Error{Status: 503, RetryAfter: d})
		assert.Equal(t, want, w.Header().Get("Retry-After"))
	}
}

func TestReason(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		jwtgate.ErrNoToken: "no_token", jwtgate.ErrRequest: "request", jwtgate.ErrMalformed: "malformed",
		jwtgate.ErrAlgorithm: "algorithm", jwtgate.ErrUnknownKey: "unknown_key", jwtgate.ErrSignature: "signature",
		jwtgate.ErrExpired: "expired", jwtgate.ErrNotYetValid: "not_yet_valid", jwtgate.ErrIssuer: "issuer",
		jwtgate.ErrAudience: "audience", jwtgate.ErrType: "type", jwtgate.ErrClaim: "claim",
		jwtgate.ErrRevoked: "revoked", jwtgate.ErrForbidden: "forbidden", jwtgate.ErrUnavailable: "unavailable",
	} {
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error { return fmt.Errorf("wrapped: %w", err) }
		})
		_, got := gate.Verify(t.Context(), hs256(nil))
		var e *jwtgate.Error
		require.ErrorAs(t, got, &e)
		assert.Equal(t, want, e.Reason())
		require.ErrorIs(t, got, err)
	}
	assert.Equal(t, "claim", (&jwtgate.Error{Status: 401, Err: errors.New("x")}).Reason())
	assert.Equal(t, "claim", (&jwtgate.Error{Status: 401}).Reason())
	assert.Equal(t, "unavailable", (&jwtgate.Error{}).Reason())
	var none *jwtgate.Error
	assert.Equal(t, "unavailable", none.Reason())
	assert.False(t, errors.Is(none, jwtgate.ErrUnavailable))
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "jwtgate: status 401", (&jwtgate.Error{Status: 401}).Error())
	assert.Equal(t, "jwtgate: token revoked (status 401)", (&jwtgate.Error{Status: 401, Err: jwtgate.ErrRevoked}).Error())

	// acceptance 33: what a token says is escaped and cut.
	for _, claims := range []map[string]any{
		{"iss": "https://evil.example/\nlevel=INFO msg=forged\u2028\u202e"},
		{"iss": strings.Repeat("\u0001", 1000)},
		{"aud": []string{strings.Repeat("\U0010ffff", 1000)}},
	} {
		_, err := newGate(t).Verify(t.Context(), hs256(claims))
		require.Error(t, err)
		assert.Less(t, len(err.Error()), 256)
		assert.NotRegexp(t, `[^ -~]`, err.Error())
	}
	_, err := newGate(t, func(o *jwtgate.Options) { o.Keys = failing(nil) }).
		Verify(t.Context(), sign("HS256", secret, `{"alg":"HS256","kid":"`+strings.Repeat(`\n`, 256)+`"}`, payload(nil)))
	requireRefused(t, err, 401, jwtgate.ErrUnknownKey)
	assert.Less(t, len(err.Error()), 256)
	assert.NotContains(t, err.Error(), "\n")
}

// acceptance 2, 9
func TestChallenge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		realm string
		err   *jwtgate.Error
		want  string
	}{
		{"bare", "", &jwtgate.Error{Status: 401}, `Bearer realm="api"`},
		{"realm", "my service", &jwtgate.Error{Status: 401}, `Bearer realm="my service"`},
		{"realm with quotes", `a "b" \c`, &jwtgate.Error{Status: 401}, `Bearer realm="a \"b\" \\c"`},
		{"scope", "", &jwtgate.Error{Status: 401, Scope: "a b"}, `Bearer realm="api", scope="a b"`},
		{"scope with what has no place there", "", &jwtgate.Error{Status: 401, Scope: "a\"\\\r\n\x00b\u00e9"}, `Bearer realm="api", scope="ab"`},
		{"code with what has no place there", "", &jwtgate.Error{Status: 401, Code: "a\"b\r\nX: y"},
			`Bearer realm="api", error="abX: y", error_description="The access token is not valid."`},
		{"no code beside 403", "", &jwtgate.Error{Status: 403}, `Bearer realm="api"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) { o.Realm = tt.realm })
			w := httptest.NewRecorder()
			gate.Deny(w, request("GET"), tt.err)
			assert.Equal(t, []string{tt.want}, w.Header().Values("WWW-Authenticate"))
			requireDenial(t, w)
		})
	}
}

// A rule may return one Error each time. What a gate adds to it is not for the others.
func TestErrorsOfRulesAreCopied(t *testing.T) {
	t.Parallel()
	shared := &jwtgate.Error{Status: 403, Code: "insufficient_scope", Scope: "a", Err: errors.New("too little")}
	rule := jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { return shared })
	_, err := newGate(t).Require(rule, jwtgate.Scope("b")).Verify(t.Context(), hs256(nil))
	var e *jwtgate.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "b a", e.Scope)
	assert.Equal(t, "a", shared.Scope)
}

// acceptance 2: the zero Gate has a realm to send too.
func TestChallengeOfTheZeroGate(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	new(jwtgate.Gate).Deny(w, httptest.NewRequest("GET", "/", nil), jwtgate.ErrNoToken)
	assert.Equal(t, `Bearer realm="api"`, w.Header().Get("WWW-Authenticate"))
}

// acceptance 54
func TestOnDeny(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		onDeny   func(http.ResponseWriter, *http.Request, *jwtgate.Error)
		status   int
		body     string
		location string
	}{
		{"body alone", func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
			fmt.Fprint(w, "no: ", e.Reason())
		}, 401, "no: expired", ""},
		{"io.Copy", func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
			_, _ = io.Copy(w, strings.NewReader("no"))
		}, 401, "no", ""},
		{"flush first", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			_ = http.NewResponseController(w).Flush()
			fmt.Fprint(w, "no")
		}, 401, "no", ""},
		{"flush alone", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			w.(http.Flusher).Flush()
		}, 401, "", ""},
		{"early hints", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			w.WriteHeader(http.StatusEarlyHints)
			fmt.Fprint(w, "no")
		}, 401, "no", ""},
		{"redirect", func(w http.ResponseWriter, r *http.Request, _ *jwtgate.Error) {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		}, 303, "<a href=\"/login\">See Other</a>.\n\n", "/login"},
		{"http.Error", func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
			http.Error(w, "no", e.Status)
		}, 401, "no\n", ""},
		{"nothing", func(http.ResponseWriter, *http.Request, *jwtgate.Error) {}, 401,
			"{\"error\":\"invalid_token\",\"error_description\":\"The access token has expired.\"}\n", ""},
		{"header alone", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			w.Header().Set("Location", "/nowhere")
		}, 401, "{\"error\":\"invalid_token\",\"error_description\":\"The access token has expired.\"}\n", "/nowhere"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) { o.OnDeny = tt.onDeny })
			server := httptest.NewServer(gate.Handler(subject))
			defer server.Close()
			r := must(http.NewRequest("GET", server.URL, nil))
			r.Header.Set("Authorization", "Bearer "+hs256(map[string]any{"exp": 0}))
			response, err := http.DefaultTransport.RoundTrip(r)
			require.NoError(t, err)
			body := must(io.ReadAll(response.Body))
			response.Body.Close()
			assert.Equal(t, tt.status, response.StatusCode)
			assert.Equal(t, tt.body, string(body))
			assert.Equal(t, tt.location, response.Header.Get("Location"))
			assert.Contains(t, response.Header.Get("WWW-Authenticate"), "invalid_token")
		})
	}
	t.Run("does not change the answer", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) {
			o.OnDeny = func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
				e.Status = 200
				w.Header().Set("Content-Length", "3")
			}
		})
		w := httptest.NewRecorder()
		w.Header().Set("Content-Encoding", "gzip") // of a handler that thought better of it
		gate.Deny(w, request("GET"), jwtgate.ErrForbidden)
		assert.Equal(t, 403, w.Code)
		assert.Empty(t, w.Header().Get("Content-Length"))
		assert.Empty(t, w.Header().Get("Content-Encoding"))
		requireDenial(t, w)
	})
	t.Run("finds the headers set", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) {
			o.OnDeny = func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
				assert.Equal(t, 503, e.Status)
				assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
				assert.Equal(t, "5", w.Header().Get("Retry-After"))
			}
		})
		gate.Deny(httptest.NewRecorder(), request("GET"), jwtgate.ErrUnavailable)
	})
}

// acceptance 50
func TestNothingSecretIsPrinted(t *testing.T) {
	t.Parallel()
	token := hs256(nil)
	signature := token[strings.LastIndexByte(token, '.')+1:]
	var event jwtgate.Event
	o := options(func(o *jwtgate.Options) {
		o.CacheSize = 4
		o.Observe = func(_ context.Context, e jwtgate.Event) { event = e }
	})
	gate, err := jwtgate.New(o)
	require.NoError(t, err)
	good, err := gate.Check(request("GET", "Authorization: Bearer "+token))
	require.NoError(t, err)
	accepted := event
	_, noScheme := gate.Check(request("GET", "Authorization: "+token))
	require.ErrorIs(t, noScheme, jwtgate.ErrNoToken)
	_, refused := gate.Verify(t.Context(), token[:len(token)-2])
	require.Error(t, refused)
	_, err = jwtgate.NewKey("", "HS256", []byte("s3cret"))
	require.Error(t, err)
	k := must(jwtgate.NewKey("k", "HS256", secret))

	printed := []any{accepted, &accepted, noScheme, struct{ k jwtgate.Key }{*k}, o, &o, *gate, gate, *good, good, *k, k, []*jwtgate.Key{k}, o.Keys, event, refused, err,
		jwtgate.NewContext(t.Context(), good), jwtgate.Cookie("x"), jwtgate.Scope("a"), jwtgate.Claim("a", "b")}
	hidden := []string{string(secret), "s3cret", token, signature, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Trim(fmt.Sprint(secret), "[]")}
	assert.NotContains(t, noScheme.Error(), token[:10])
	digest := sha256.Sum256([]byte("1 k HS256 32 " + string(secret)))
	hidden = append(hidden, strings.Trim(fmt.Sprint(digest), "[]"), fmt.Sprintf("%x", digest))
	hidden = append(hidden, strings.Trim(fmt.Sprintf("%#v", secret), "[]byte{}"))
	for _, value := range printed {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			text := fmt.Sprintf(verb, value)
			for _, secret := range hidden {
				assert.NotContains(t, text, secret, "%T with %s", value, verb)
			}
		}
	}
	assert.Equal(t, `key "k" for HS256`, fmt.Sprint(k))
}

// FuzzChallenge reads whatever challenge comes out back by the grammar of RFC
// 9110 section 11.6.1: one scheme, and each parameter once.
func FuzzChallenge(f *testing.F) {
	f.Add("api", "invalid_token", "a b", 401)
	f.Add(`"\`, `"`, "\r\nSet-Cookie: x", 403)
	f.Add("", "", "", 400)
	f.Fuzz(func(t *testing.T, realm, code, scope string, status int) {
		gate, err := jwtgate.New(options(func(o *jwtgate.Options) { o.Realm = realm }))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		gate.Deny(w, request("GET"), &jwtgate.Error{Status: status, Code: code, Scope: scope})
		challenge := w.Header().Get("WWW-Authenticate")
		if w.Code == 503 {
			require.Empty(t, challenge)
			return
		}
		parameters := parseChallenge(t, challenge)
		if realm == "" {
			realm = "api"
		}
		require.Equal(t, realm, parameters["realm"])
		for name, value := range parameters {
			require.Contains(t, []string{"realm", "scope", "error", "error_description"}, name)
			if name != "realm" {
				require.Regexp(t, `^[ !#-\[\]-~]+$`, value)
			}
		}
		requireDenial(t, w)
	})
}

func parseChallenge(t *testing.T, challenge string) map[string]string {
	rest, ok := strings.CutPrefix(challenge, "Bearer ")
	require.True(t, ok, challenge)
	parameters := map[string]string{}
	for rest != "" {
		name, quoted, ok := strings.Cut(rest, `="`)
		require.True(t, ok, challenge)
		var value strings.Builder
		i := 0
		for ; quoted[i] != '"'; i++ {
			if quoted[i] == '\\' {
				i++
			}
			value.WriteByte(quoted[i])
		}
		require.NotContains(t, parameters, name)
		parameters[name] = value.String()
		rest = quoted[i+1:]
		if rest != "" {
			rest, ok = strings.CutPrefix(rest, ", ")
			require.True(t, ok, challenge)
		}
	}
	require.NotEmpty(t, parameters)
	return parameters
}

// A ResponseWriter that looks at what is written sees the body, whatever other
// methods it has got from the one it embeds.
func TestDenyWrites(t *testing.T) {
	t.Parallel()
	w := &looking{ResponseRecorder: httptest.NewRecorder()}
	newGate(t).Deny(w, request("GET"), jwtgate.ErrClaim)
	assert.Equal(t, w.Body.String(), w.seen.String())
	assert.NotEmpty(t, w.seen.String())
}

type looking struct {
	*httptest.ResponseRecorder
	seen bytes.Buffer
}

func (l *looking) Write(p []byte) (int, error) {
	l.seen.Write(p)
	return l.ResponseRecorder.Write(p)
}
