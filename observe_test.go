package jwtgate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

func ExampleAuditLog() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{} // they differ from run to run
			}
			return a
		},
	}))
	gate, err := jwtgate.New(options(func(o *jwtgate.Options) { o.Observe = jwtgate.AuditLog(logger) }))
	if err != nil {
		panic(err)
	}
	handler := gate.Handler(writeSubject)
	serve(handler, request("GET", "Authorization: Bearer "+hs256Token(nil)))
	serve(handler, request("GET", "Authorization: Bearer "+hs256Token(map[string]any{"exp": 0})))
	// Output:
	// level=INFO msg="jwtgate: allow" token.iss=https://auth.example.com/ token.sub=alice token.jti=token-1 method=GET path=/path decision=allow
	// level=WARN msg="jwtgate: deny" status=401 reason=expired error="jwtgate: token expired: exp was 1970-01-01T00:00:00Z, 20454 days ago; the leeway is 30s (status 401)" method=GET path=/path decision=deny
}

// The log has refusals only. The first request is let through and leaves no record.
func ExampleAuditLog_refusals() {
	audit := jwtgate.AuditLog(slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{} // they differ from run to run
			}
			return a
		},
	})))
	gate, err := jwtgate.New(options(func(o *jwtgate.Options) {
		o.Observe = func(ctx context.Context, e jwtgate.Event) {
			if e.Err != nil {
				audit(ctx, e)
			}
		}
	}))
	if err != nil {
		panic(err)
	}
	handler := gate.Handler(writeSubject)
	serve(handler, request("GET", "Authorization: Bearer "+hs256Token(nil)))
	serve(handler, request("GET", "Authorization: Bearer "+hs256Token(map[string]any{"exp": 0})))
	// Output:
	// level=WARN msg="jwtgate: deny" status=401 reason=expired error="jwtgate: token expired: exp was 1970-01-01T00:00:00Z, 20454 days ago; the leeway is 30s (status 401)" method=GET path=/path decision=deny
}

func ExampleAuditLogPseudonymous() {
	// The key was made with: openssl rand -hex 32
	key := []byte("b04ff1ac07a9ddbba8f5a1b0ef4f0d4b5b3f4c2e7ac0f6de8a9f1d7d2f8e6c35")
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{} // they differ from run to run
			}
			return a
		},
	}))
	gate, err := jwtgate.New(options(func(o *jwtgate.Options) { o.Observe = jwtgate.AuditLogPseudonymous(logger, key) }))
	if err != nil {
		panic(err)
	}
	serve(gate.Handler(writeSubject), request("GET", "Authorization: Bearer "+hs256Token(nil)))

	// With the key, the records of alice can be found.
	fmt.Println(jwtgate.Pseudonym(key, "https://auth.example.com/", "alice"))
	// Output:
	// level=INFO msg="jwtgate: allow" token.iss=https://auth.example.com/ token.sub=pseudonym-5fd7e1b309d5fa18d00fc0e02b53cc6e token.jti=token-1 method=GET path=/path decision=allow
	// pseudonym-5fd7e1b309d5fa18d00fc0e02b53cc6e
}

// takesTime makes each decision of a gate take one or two seconds of synctest's clock, so that
// Event.Duration is positive. On the real clock, a decision may take less than one tick.
func takesTime(o *jwtgate.Options) {
	o.Now = func() time.Time { time.Sleep(time.Second); return now }
	extract := o.Extract
	if extract == nil {
		extract = jwtgate.Bearer
	}
	o.Extract = func(r *http.Request) (string, error) { time.Sleep(time.Second); return extract(r) }
}

func TestObserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // see takesTime
		down := errors.New("the database is down")
		var validate error
		var events []jwtgate.Event
		var contexts []context.Context
		gate := newGate(t, takesTime, func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error { return validate }
			o.Observe = func(ctx context.Context, e jwtgate.Event) {
				contexts = append(contexts, ctx)
				events = append(events, e)
			}
		})
		good := "Authorization: Bearer " + hs256Token(nil)
		last := func(t *testing.T) jwtgate.Event {
			t.Helper()
			require.Len(t, events, 1)
			e := events[0]
			require.Len(t, contexts, 1)
			events, contexts = nil, nil
			assert.Positive(t, e.Duration)
			return e
		}

		r := request("GET", good)
		serve(gate.Handler(writeSubject), r)
		assert.Equal(t, r.Context(), contexts[0])
		e := last(t)
		assert.Same(t, r, e.Request)
		assert.Equal(t, "alice", e.Token.Subject)
		assert.NoError(t, e.Err)

		serve(gate.Handler(writeSubject), request("GET"))
		e = last(t)
		assert.Nil(t, e.Token)
		requireRefused(t, e.Err, 401, jwtgate.ErrNoToken)

		serve(gate.Optional(writeSubject), request("GET"))
		e = last(t)
		assert.Nil(t, e.Token)
		assert.NoError(t, e.Err)
		assert.True(t, e.Err == nil, "Err must not be a nil *Error")

		serve(gate.Require(jwtgate.Scope("admin")).Handler(writeSubject), request("GET", good))
		e = last(t)
		assert.Equal(t, "alice", e.Token.Subject, "the event has the token, which was verified")
		requireRefused(t, e.Err, 403, jwtgate.ErrForbidden)

		validate = down
		serve(gate.Handler(writeSubject), request("GET", good))
		e = last(t)
		assert.Equal(t, "alice", e.Token.Subject)
		requireRefused(t, e.Err, 503, down)
		validate = nil

		serve(gate.Handler(writeSubject), request("GET", good+"x"))
		e = last(t)
		assert.Nil(t, e.Token)
		requireRefused(t, e.Err, 401, jwtgate.ErrSignature)

		_, err := gate.Verify(t.Context(), hs256Token(nil))
		require.NoError(t, err)
		e = last(t)
		assert.Nil(t, e.Request)
		assert.Equal(t, "alice", e.Token.Subject)
		_, err = gate.Check(request("GET", good))
		require.NoError(t, err)
		last(t)

		// A gate inside another gate of its family reports only refusals.
		serve(gate.Handler(gate.Handler(writeSubject)), request("GET", good))
		last(t)
		serve(gate.Handler(gate.Require(jwtgate.Scope("admin")).Handler(writeSubject)), request("GET", good))
		require.Len(t, events, 2)
		assert.NoError(t, events[0].Err)
		requireRefused(t, events[1].Err, 403, jwtgate.ErrForbidden)
		assert.Equal(t, "alice", events[1].Token.Subject)
	})
}

// A token is checked at the time at which it was found, also if the gate has read the clock before
// to know how long the decision takes.
func TestObserveDoesNotChangeTheTime(t *testing.T) {
	t.Parallel()
	for _, observe := range []func(context.Context, jwtgate.Event){nil, func(context.Context, jwtgate.Event) {}} {
		for wait, status := range map[time.Duration]int{0: 200, 9 * time.Second: 200, 11 * time.Second: 401} {
			synctest.Test(t, func(t *testing.T) {
				gate := newGate(t, func(o *jwtgate.Options) {
					o.Now, o.Leeway, o.Observe = nil, -1, observe
					o.Extract = func(r *http.Request) (string, error) {
						time.Sleep(wait)
						return jwtgate.Bearer(r)
					}
				})
				plain := newGate(t, func(o *jwtgate.Options) { o.Now, o.Leeway, o.Observe = nil, -1, observe })
				start := time.Now()
				r := request("GET", "Authorization: Bearer "+hs256Token(map[string]any{"iat": start.Unix(), "exp": start.Add(10 * time.Second).Unix()}))
				assert.Equal(t, status, serve(gate.Handler(writeSubject), r).Code)
				assert.Equal(t, status, serve(plain.Handler(writeSubject), r).Code)
			})
		}
	}
}

func TestAuditLog(t *testing.T) {
	var log bytes.Buffer
	// acceptance 33: the audit log escapes values even if the slog handler does not.
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	observe := jwtgate.AuditLog(logger)
	r := request("GET")
	r.Method = "G\nET"
	r.URL.Path = "/a\nb\x1b[31m" + strings.Repeat("x", 1000)
	observe(t.Context(), jwtgate.Event{Request: r})
	assert.Contains(t, log.String(), `"decision":"anonymous"`)
	assert.NotContains(t, log.String(), `a\nb`)
	assert.NotContains(t, log.String(), "query")
	assert.Less(t, log.Len(), 512)

	log.Reset()
	observe(t.Context(), jwtgate.Event{Err: jwtgate.ErrUnavailable, Request: &http.Request{Method: "GET"}})
	assert.Contains(t, log.String(), `"level":"ERROR"`)
	assert.Contains(t, log.String(), `"reason":"unavailable"`)
	log.Reset()
	observe(t.Context(), jwtgate.Event{Token: &jwtgate.Token{Subject: "\xff"}})
	assert.Contains(t, log.String(), `\\xff`)

	log.Reset()
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(logger)
	jwtgate.AuditLog(nil)(t.Context(), jwtgate.Event{Token: &jwtgate.Token{Subject: "alice"}})
	assert.Contains(t, log.String(), `"sub":"alice"`)
	assert.Contains(t, log.String(), `"decision":"allow"`)
}

// An auditedGate is a gate with a log of its decisions.
type auditedGate struct {
	*jwtgate.Gate
	log *bytes.Buffer
}

// newAuditedGate returns a gate whose Options.Observe is made by audit. Use it inside synctest.Test.
func newAuditedGate(t *testing.T, audit func(*slog.Logger) func(context.Context, jwtgate.Event), change ...func(*jwtgate.Options)) auditedGate {
	t.Helper()
	log := new(bytes.Buffer)
	observe := audit(slog.New(slog.NewJSONHandler(log, nil)))
	change = slices.Concat(change, []func(*jwtgate.Options){takesTime, func(o *jwtgate.Options) { o.Observe = observe }})
	return auditedGate{newGate(t, change...), log}
}

// record returns the only record of the log, without time and duration, and empties the log.
func (g auditedGate) record(t *testing.T) map[string]any {
	t.Helper()
	var record map[string]any
	require.NoError(t, json.Unmarshal(g.log.Bytes(), &record), "%s", g.log)
	g.log.Reset()
	assert.Positive(t, record["duration"])
	delete(record, "duration")
	delete(record, "time")
	return record
}

func auditLogPseudonymous(logger *slog.Logger) func(context.Context, jwtgate.Event) {
	return jwtgate.AuditLogPseudonymous(logger, pseudonymKey)
}

var pseudonymKey = []byte("0123456789abcdef0123456789abcdef")

func TestAuditLogRecords(t *testing.T) {
	t.Parallel()
	const pseudonym = "pseudonym-64e8ac79411b5802911f7697975d4551"
	good := "Authorization: Bearer " + hs256Token(nil)
	for _, test := range []struct {
		name     string
		validate error
		decide   func(g *jwtgate.Gate)
		want     map[string]any
		error    string // only in the record of AuditLog
		verified bool
	}{
		{
			name:     "a good token",
			decide:   func(g *jwtgate.Gate) { serve(g.Handler(writeSubject), request("PUT", good)) },
			want:     map[string]any{"level": "INFO", "msg": "jwtgate: allow", "decision": "allow", "method": "PUT", "path": "/path"},
			verified: true,
		},
		{
			name:     "no HTTP",
			decide:   func(g *jwtgate.Gate) { g.Verify(context.Background(), hs256Token(nil)) },
			want:     map[string]any{"level": "INFO", "msg": "jwtgate: allow", "decision": "allow"},
			verified: true,
		},
		{
			name:   "anonymous request",
			decide: func(g *jwtgate.Gate) { serve(g.Optional(writeSubject), request("GET")) },
			want:   map[string]any{"level": "INFO", "msg": "jwtgate: anonymous", "decision": "anonymous", "method": "GET", "path": "/path"},
		},
		{
			name:   "no token",
			decide: func(g *jwtgate.Gate) { serve(g.Handler(writeSubject), request("GET")) },
			want: map[string]any{"level": "WARN", "msg": "jwtgate: deny", "decision": "deny", "method": "GET", "path": "/path",
				"status": 401.0, "reason": "no_token"},
			error: `jwtgate: no token: the request has no header "Authorization" (status 401)`,
		},
		{
			name: "an unverified token",
			decide: func(g *jwtgate.Gate) {
				serve(g.Handler(writeSubject), request("GET", "Authorization: Bearer "+hs256Token(map[string]any{"sub": "mallory"})+"x"))
			},
			want: map[string]any{"level": "WARN", "msg": "jwtgate: deny", "decision": "deny", "method": "GET", "path": "/path",
				"status": 401.0, "reason": "signature"},
			error: "jwtgate: bad signature: the signature has 33 bytes, and HS256 makes 32: the token was cut or changed (status 401)",
		},
		{
			name: "too few rights",
			decide: func(g *jwtgate.Gate) {
				serve(g.Require(jwtgate.Scope("admin")).Handler(writeSubject), request("GET", good))
			},
			want: map[string]any{"level": "WARN", "msg": "jwtgate: deny", "decision": "deny", "method": "GET", "path": "/path",
				"status": 403.0, "reason": "forbidden"},
			error:    `jwtgate: not enough rights: lacks scope "admin"; the token has "orders:read orders:write" (status 403)`,
			verified: true,
		},
		{
			name:     "an error that names the subject",
			validate: errors.New("the account of alice cannot be read"),
			decide:   func(g *jwtgate.Gate) { serve(g.Handler(writeSubject), request("GET", good)) },
			want: map[string]any{"level": "ERROR", "msg": "jwtgate: deny", "decision": "deny", "method": "GET", "path": "/path",
				"status": 503.0, "reason": "unavailable"},
			error:    "jwtgate: Options.Validate failed: the account of alice cannot be read; to refuse the token, wrap ErrRevoked or ErrForbidden (status 503)",
			verified: true,
		},
		{
			name:     "client that went away", // acceptance 61
			validate: errors.New("pq: canceling statement due to user request"),
			decide: func(g *jwtgate.Gate) {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				serve(g.Handler(writeSubject), request("GET", good).WithContext(ctx))
			},
			want: map[string]any{"level": "INFO", "msg": "jwtgate: deny", "decision": "deny", "method": "GET", "path": "/path",
				"status": 503.0, "reason": "canceled"},
			error: "jwtgate: client went away: Options.Validate failed: pq: canceling statement due to user request; " +
				"to refuse the token, wrap ErrRevoked or ErrForbidden (status 503)",
			verified: true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				validate := func(o *jwtgate.Options) {
					o.Validate = func(context.Context, *jwtgate.Token) error { return test.validate }
				}
				plain, pseudonymous := newAuditedGate(t, jwtgate.AuditLog, validate), newAuditedGate(t, auditLogPseudonymous, validate)

				test.decide(pseudonymous.Gate)
				assert.NotContains(t, pseudonymous.log.String(), "alice")
				want := maps.Clone(test.want)
				if test.verified {
					want["token"] = map[string]any{"iss": issuer, "sub": pseudonym, "jti": "token-1"}
				}
				assert.Equal(t, want, pseudonymous.record(t))

				test.decide(plain.Gate)
				if test.verified {
					want["token"] = map[string]any{"iss": issuer, "sub": "alice", "jti": "token-1"}
				}
				if test.error != "" {
					want["error"] = test.error
				}
				assert.Equal(t, want, plain.record(t))
			})
		})
	}
}

// No record has a token or a control character in it, wherever a client puts one.
func TestAuditLogOfHostileRequests(t *testing.T) {
	t.Parallel()
	jwt := hs256Token(map[string]any{"jti": strings.Repeat("0123456789", 4)})
	short := sign("HS256", secret, `{"alg":"HS256"}`, `{"sub":"alice"}`) // short enough for a header parameter
	const control = "\n\x1b[31m\u202e\x00\x7f\xff"
	withHeader := func(member string) *http.Request {
		return request("GET", "Authorization: Bearer "+sign("HS256", secret, `{"alg":"HS256",`+member+`}`, claimsJSON(nil)))
	}
	withClaims := func(changes map[string]any) *http.Request {
		return request("GET", "Authorization: Bearer "+hs256Token(changes))
	}
	withPath := func(path string) *http.Request {
		r := request("GET", "Authorization: Bearer "+jwt)
		r.URL = must(url.Parse(path))
		return r
	}

	for name, r := range map[string]*http.Request{
		"in the path":               withPath("/verify/" + jwt + "/now"),
		"in the path without end":   withPath("/verify/" + jwt[:strings.LastIndex(jwt, ".")+1]),
		"in the path without start": withPath("/verify/" + jwt[5:]),
		"in the path after a word":  withPath("/token_" + jwt),
		"in the path with its name": withPath("/token=" + jwt + ";x"),
		"in a long path":            withPath("/" + strings.Repeat("x", 50) + "/" + jwt),
		"escaped twice":             withPath("/" + strings.ReplaceAll(jwt, ".", "%252E")),
		"with its scheme":           withPath("/Bearer%20" + jwt),
		"in the query":              withPath("/?access_token=" + jwt),
		"two in the path":           withPath("/" + jwt + "/" + short),
		"control in the path":       withPath("/" + url.PathEscape(control)),
		"as the method":             {Method: short, URL: &url.URL{Path: "/"}},
		"control in the method":     {Method: "GET" + control, URL: &url.URL{Path: "/"}},
		"no path":                   {Method: "CONNECT", Host: short},
		"without a scheme":          request("GET", "Authorization: "+short),
		"as the scheme":             request("GET", "Authorization: "+short+" x"),
		"two headers":               request("GET", "Authorization: Bearer "+jwt, "Authorization: Bearer "+short),
		"two tokens":                request("GET", "Authorization: Bearer "+jwt+" "+short),
		"as the algorithm":          request("GET", "Authorization: Bearer "+sign("HS256", secret, `{"alg":"`+short+`"}`, claimsJSON(nil))),
		"as the key ID":             withHeader(`"kid":"` + short + `"`),
		"as the type":               withHeader(`"kid":"1","typ":"` + short + `"`),
		"control in the key ID":     withHeader(`"kid":"\n\u001b[31m\u202e\u0000\u007f"`),
		"as the issuer":             withClaims(map[string]any{"iss": short}),
		"as the audience":           withClaims(map[string]any{"aud": []string{"a", short}}),
		"control in the audience":   withClaims(map[string]any{"aud": "\n\x1b[31m\u202e\x00\x7f"}),
		"as the ID":                 withClaims(map[string]any{"jti": short}),
		"control in subject and ID": withClaims(map[string]any{"sub": "\x1b[31m", "jti": "\u202e"}),
		"in an error of Extract":    request("GET", "X-Token: "+jwt),
		"control in such an error":  request("GET", "X-Token: "+strings.Repeat("x", 500)+strings.Repeat(control, 1000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, audit := range []func(*slog.Logger) func(context.Context, jwtgate.Event){jwtgate.AuditLog, auditLogPseudonymous} {
					gate := newAuditedGate(t, audit, func(o *jwtgate.Options) {
						o.Keys = keys.Static(must(jwtgate.NewKey("1", "HS256", secret)))
						o.Extract = func(r *http.Request) (string, error) {
							if token := r.Header.Get("X-Token"); token != "" {
								return "", fmt.Errorf("cannot make anything of %s", token)
							}
							return jwtgate.Bearer(r)
						}
					})
					serve(gate.Handler(writeSubject), r)
					for _, token := range []string{jwt, short} {
						// The header segment may be logged: it is not secret.
						for _, segment := range strings.Split(token, ".")[1:] {
							assert.NotContains(t, gate.log.String(), segment[:20])
							assert.NotContains(t, gate.log.String(), segment[len(segment)-20:])
						}
					}
					eachString(gate.record(t), func(s string) {
						assert.LessOrEqual(t, len(s), 520)
						assert.NotContains(t, s, "\uFFFD", "the JSON handler writes U+FFFD for bytes that are not UTF-8")
						for _, c := range s {
							assert.True(t, strconv.IsPrint(c), "%q", s)
						}
					})
				}
			})
		})
	}
}

// eachString calls f for each string in v, a value decoded from JSON.
func eachString(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case map[string]any:
		for _, member := range v {
			eachString(member, f)
		}
	}
}

func TestAuditLogPath(t *testing.T) {
	t.Parallel()
	token := hs256Token(nil)
	for path, want := range map[string]string{
		"/orders/4711":                       "/orders/4711",
		"/static/jquery.min.js":              "/static/jquery.min.js",
		"/v1.2.3/a.b.c/e30.e30.e30":          "/v1.2.3/a.b.c/e30.e30.e30", // {} is not the header of a token
		"/eyebrow.tar.gz":                    "/eyebrow.tar.gz",
		"/keyJson.schema.json":               "/keyJson.schema.json",
		"/eyJwYWdlIjoyfQ":                    "/eyJwYWdlIjoyfQ", // a cursor, {"page":2}
		"/eyJwYWdlIjoyfQ/next":               "/eyJwYWdlIjoyfQ/next",
		"/eyJ":                               "/eyJ",
		".":                                  ".",
		"":                                   "",
		"/ö/日本":                              "/ö/日本",
		"/" + token:                          "/[token]",
		"/a/" + token + "/b":                 "/a/[token]/b",
		"/a;t=" + token + ";b":               "/a;t=[token];b",
		"/" + token + "/x/" + token:          "/[token]/x/[token]",
		"/x." + token:                        "/x.[token]",
		"/" + token + "==":                   "/[token]",
		"/ewogImFsZyI6ICJFUzI1NiIgfQ.e30.x/": "/[token]/", // a header with line breaks
		"/eyAiYWxnIjoibm9uZSJ9.e30.":         "/[token]",
		"/IHsiYWxnIjoibm9uZSJ9.e30.":         "/[token]",
		// RFC 7516 section 3.1
		"/eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.Y2lwaGVy.dGFn/x": "/[token]/x",
		"/" + token + strings.Repeat("/a", 3000):                        `"/[token]` + strings.Repeat("/a", 43) + "/...",
		"/" + strings.Repeat("a/", 2040) + token + token:                `"/` + strings.Repeat("a/", 47) + "...",
		"/" + token + strings.Repeat("%", 4096):                         `/[token]...`,
		"/" + strings.Repeat("a", 200):                                  `"/` + strings.Repeat("a", 94) + "...",
		"/" + strings.Repeat("a", 199):                                  "/" + strings.Repeat("a", 199),
	} {
		t.Run(path[:min(len(path), 40)], func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			observe := jwtgate.AuditLog(slog.New(slog.NewJSONHandler(&log, nil)))
			observe(t.Context(), jwtgate.Event{Request: &http.Request{URL: &url.URL{Path: path}}})
			var record struct{ Path string }
			require.NoError(t, json.Unmarshal(log.Bytes(), &record))
			assert.Equal(t, want, record.Path)
		})
	}
}

func TestAuditLogErrorText(t *testing.T) {
	t.Parallel()
	const start = "jwtgate: "
	long := strings.Repeat("a", 512-len(start)-len(" (status 503)"))
	cut := func(text string) string { return text[:254] + "..." + text[len(text)-255:] } // the end has the cause
	cutRune := strings.Repeat("a", 253-len(start)) + "é" + strings.Repeat("a", 600)
	for text, want := range map[string]string{
		"short, with é":                     start + "short, with é (status 503)",
		"two\nlines":                        `"jwtgate: two\nlines (status 503)"`,
		long:                                start + long + " (status 503)",
		long + "a":                          cut(start + long + "a (status 503)"),
		cutRune:                             strings.Replace(cut(start+cutRune+" (status 503)"), "\xc3", "", 1),
		strings.Repeat("\x1b", 600):         cut(`"` + start + strings.Repeat(`\x1b`, 600) + ` (status 503)"`),
		long + " " + hs256Token(nil) + ".":  cut(start + long + " [token] (status 503)"),
		"of " + hs256Token(nil) + ", sorry": start + "of [token], sorry (status 503)",
	} {
		t.Run(text[:min(len(text), 40)], func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			observe := jwtgate.AuditLog(slog.New(slog.NewJSONHandler(&log, nil)))
			observe(t.Context(), jwtgate.Event{Err: errors.New(text)})
			var record struct{ Error string }
			require.NoError(t, json.Unmarshal(log.Bytes(), &record))
			assert.Equal(t, want, record.Error)
		})
	}
}

func TestPseudonym(t *testing.T) {
	t.Parallel()
	alice := jwtgate.Pseudonym(pseudonymKey, issuer, "alice")
	// printf 25:https://auth.example.com/alice | openssl dgst -sha256 -mac HMAC -macopt key:0123456789abcdef0123456789abcdef
	assert.Equal(t, "pseudonym-64e8ac79411b5802911f7697975d4551", alice)
	for _, other := range []string{
		jwtgate.Pseudonym(pseudonymKey, issuer, "bob"),
		jwtgate.Pseudonym(pseudonymKey, issuer+"a", "lice"),
		jwtgate.Pseudonym(pseudonymKey, "", issuer+"alice"),
		jwtgate.Pseudonym(bytes.ToUpper(pseudonymKey), issuer, "alice"),
	} {
		assert.NotEqual(t, alice, other)
		assert.Len(t, other, len(alice))
	}
	// The length keeps these two apart, although the subject starts like the end of a length.
	assert.NotEqual(t, jwtgate.Pseudonym(pseudonymKey, "a", "1:b"), jwtgate.Pseudonym(pseudonymKey, "a1:", "b"))
	assert.Empty(t, jwtgate.Pseudonym(pseudonymKey, issuer, ""), "the subject of an anonymous request")

	for _, length := range []int{0, 31} {
		key := make([]byte, length)
		says := fmt.Sprintf(": the key has %d bytes; pass at least 32 random ones, or subjects can be found by guessing; "+
			"make one with: openssl rand -hex 32", length)
		assert.PanicsWithValue(t, "jwtgate.Pseudonym"+says, func() { jwtgate.Pseudonym(key, issuer, "alice") })
		assert.PanicsWithValue(t, "jwtgate.AuditLogPseudonymous"+says, func() { jwtgate.AuditLogPseudonymous(nil, key) })
	}
}

func TestAuditLogPseudonymousCopiesTheKey(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	key := bytes.Clone(pseudonymKey)
	observe := jwtgate.AuditLogPseudonymous(slog.New(slog.NewTextHandler(&log, nil)), key)
	clear(key)
	observe(t.Context(), jwtgate.Event{Token: &jwtgate.Token{Issuer: issuer, Subject: "alice"}})
	assert.Contains(t, log.String(), " token.sub="+jwtgate.Pseudonym(pseudonymKey, issuer, "alice")+" ")
}

// A reflectingHandler ignores slog.LogValuer and prints the fields of values.
type reflectingHandler struct {
	slog.Handler
	out io.Writer
}

func (h reflectingHandler) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(h.out, "%s=%+v\n", a.Key, a.Value.Any())
		return true
	})
	return nil
}

func TestAuditLogWithAHandlerThatReflects(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	observe := jwtgate.AuditLog(slog.New(reflectingHandler{slog.NewTextHandler(io.Discard, nil), &log}))
	observe(t.Context(), jwtgate.Event{Token: &jwtgate.Token{Subject: "alice\n", KeyID: "key-1"}})
	assert.Contains(t, log.String(), `alice\n`)
	assert.NotContains(t, log.String(), "key-1", "KeyID is not for logs")
}
