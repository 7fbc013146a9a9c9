package jwtgate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/keys"
)

// A rule chooses its own answer: before a payment, the user must have signed in within the last ten
// minutes (RFC 9470).
func ExampleError() {
	recent := jwtgate.RuleFunc(func(_ *http.Request, t *jwtgate.Token) error {
		var claims struct {
			AuthTime int64 `json:"auth_time"`
		}
		if err := t.Decode(&claims); err != nil {
			return err
		}
		if now.Sub(time.Unix(claims.AuthTime, 0)) > 10*time.Minute { // use time.Now() in place of now
			return &jwtgate.Error{Status: 401, Code: "insufficient_user_authentication", Err: errors.New("signed in too long ago")}
		}
		return nil
	})
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	token := hs256Token(map[string]any{"auth_time": now.Add(-time.Hour).Unix()})
	w := serve(gate.Require(recent).Handler(writeSubject), request("POST", "Authorization: Bearer "+token))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 401 Bearer realm="api", error="insufficient_user_authentication", error_description="The access token is not valid."
}

// Reason makes a good metric label: it has only a few values, whatever clients send.
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
	handler := gate.Handler(writeSubject)
	for _, token := range []string{hs256Token(nil), hs256Token(map[string]any{"exp": 0}), hs256Token(map[string]any{"aud": "x"}), "undefined"} {
		serve(handler, request("GET", "Authorization: Bearer "+token))
	}
	fmt.Println(counts)
	// Output:
	// map[allowed:1 audience:1 expired:1 malformed:1]
}

// TestErrorsToAnswers is the table from error to status, for each place that an error can come from.
// acceptance 10, 55
func TestErrorsToAnswers(t *testing.T) {
	t.Parallel()
	plain := errors.New("some trouble")
	wrap := func(err error) error { return fmt.Errorf("looking: %w", err) }
	const (
		options = iota // Options.Rules
		confirm
		require
		validate
		source
		extract
		caller // Gate.Deny
		places
	)
	for _, tt := range []struct {
		name   string
		err    error
		status [places]int
		code   string // of the challenge, in every place with the same status as the first place
	}{
		{"plain", plain, [...]int{401, 401, 403, 503, 503, 400, 503}, "invalid_token"},
		{"forbidden", jwtgate.ErrForbidden, [...]int{401, 401, 403, 403, 403, 403, 403}, "invalid_token"},
		{"no token", wrap(jwtgate.ErrNoToken), [...]int{401, 401, 401, 401, 401, 401, 401}, ""},
		{"request", wrap(jwtgate.ErrRequest), [...]int{400, 400, 400, 400, 400, 400, 400}, "invalid_request"},
		{"unavailable", wrap(jwtgate.ErrUnavailable), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"no token and deadline", errors.Join(jwtgate.ErrNoToken, context.DeadlineExceeded), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"no token and unavailable", errors.Join(jwtgate.ErrNoToken, jwtgate.ErrUnavailable), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"no token and another", errors.Join(jwtgate.ErrNoToken, plain), [...]int{401, 401, 403, 503, 503, 400, 503}, "invalid_token"},
		{"no token twice", fmt.Errorf("%w: %w", jwtgate.ErrNoToken, wrap(jwtgate.ErrNoToken)), [...]int{401, 401, 401, 401, 401, 401, 401}, ""},
		{"no token and expired", fmt.Errorf("%w: %w", jwtgate.ErrNoToken, jwtgate.ErrExpired), [...]int{401, 401, 401, 401, 401, 401, 401}, "invalid_token"},
		{"no token and forbidden", wrap(errors.Join(jwtgate.ErrForbidden, jwtgate.ErrNoToken)), [...]int{401, 401, 403, 403, 403, 403, 403}, "invalid_token"},
		{"cancelled", wrap(context.Canceled), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"deadline", wrap(context.DeadlineExceeded), [...]int{503, 503, 503, 503, 503, 503, 503}, ""},
		{"revoked", wrap(jwtgate.ErrRevoked), [...]int{401, 401, 401, 401, 401, 401, 401}, "invalid_token"},
		{"expired", jwtgate.ErrExpired, [...]int{401, 401, 401, 401, 401, 401, 401}, "invalid_token"},
		{"Error with status", &jwtgate.Error{Status: 403, Code: "insufficient_scope", Err: plain}, [...]int{403, 403, 403, 403, 403, 403, 403}, "insufficient_scope"},
		{"Error with status, wrapped", wrap(&jwtgate.Error{Status: 401, Code: "insufficient_user_authentication", Err: plain}), [...]int{401, 401, 401, 401, 401, 401, 401}, "insufficient_user_authentication"},
		{"Error without status", &jwtgate.Error{Err: plain}, [...]int{401, 401, 403, 503, 503, 400, 503}, "invalid_token"},
		{"Error with status 200", &jwtgate.Error{Status: 200, Err: plain}, [...]int{401, 401, 403, 503, 503, 400, 503}, "invalid_token"},
		{"Error with status 500", &jwtgate.Error{Status: 500, Err: jwtgate.ErrRevoked}, [...]int{401, 401, 401, 401, 401, 401, 401}, "invalid_token"},
		{"nil Error", (*jwtgate.Error)(nil), [...]int{401, 401, 403, 503, 503, 400, 503}, "invalid_token"},
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
						confirmBy(o, rule)
					case validate:
						o.Validate = func(context.Context, *jwtgate.Token) error { return tt.err }
					case source:
						o.Keys = failingSource(tt.err)
					case extract:
						o.Extract = func(*http.Request) (string, error) { return "", tt.err }
					}
				})
				if place == require {
					gate = gate.Require(rule)
				}
				handler := gate.Handler(writeSubject)
				if place == caller {
					handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { gate.Deny(w, r, tt.err) })
				}
				r := request("GET", "Authorization: Bearer "+hs256Token(map[string]any{"cnf": map[string]any{"jkt": "x"}}))
				if place != confirm {
					r = request("GET", "Authorization: Bearer "+hs256Token(nil))
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
					// The error always matches the sentinel of its status.
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

func TestReason(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		jwtgate.ErrNoToken: "no_token", jwtgate.ErrRequest: "request", jwtgate.ErrMalformed: "malformed",
		jwtgate.ErrAlgorithm: "algorithm", jwtgate.ErrUnknownKey: "unknown_key", jwtgate.ErrSignature: "signature",
		jwtgate.ErrExpired: "expired", jwtgate.ErrNotYetValid: "not_yet_valid", jwtgate.ErrIssuer: "issuer",
		jwtgate.ErrAudience: "audience", jwtgate.ErrType: "type", jwtgate.ErrClaim: "claim",
		jwtgate.ErrRevoked: "revoked", jwtgate.ErrForbidden: "forbidden", jwtgate.ErrUnavailable: "unavailable",
		jwtgate.ErrCanceled: "canceled",
	} {
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error { return fmt.Errorf("wrapped: %w", err) }
		})
		_, got := gate.Verify(t.Context(), hs256Token(nil))
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

	// acceptance 33: values of a token are escaped and truncated.
	for _, claims := range []map[string]any{
		{"iss": "https://evil.example/\nlevel=INFO msg=forged\u2028\u202e"},
		{"iss": strings.Repeat("\u0001", 1000)},
		{"iss": "https\nlevel=INFO msg=forged\x1b[31m://auth.example.com/"}, // differs from issuer in the scheme
		{"iss": strings.Repeat("x", 900) + "://auth.example.com"},
		{"aud": []string{strings.Repeat("\U0010ffff", 1000)}},
	} {
		_, err := newGate(t).Verify(t.Context(), hs256Token(claims))
		require.Error(t, err)
		assert.Less(t, len(err.Error()), 256)
		assert.NotRegexp(t, `[^ -~]`, err.Error())
	}
	_, err := newGate(t, func(o *jwtgate.Options) { o.Keys = failingSource(nil) }).
		Verify(t.Context(), sign("HS256", secret, `{"alg":"HS256","kid":"`+strings.Repeat(`\n`, 256)+`"}`, claimsJSON(nil)))
	requireRefused(t, err, 401, jwtgate.ErrUnknownKey)
	assert.Less(t, len(err.Error()), 256)
	assert.NotContains(t, err.Error(), "\n")
}

// A rule may return the same Error each time, because a gate adds scopes to a copy.
func TestErrorsOfRulesAreCopied(t *testing.T) {
	t.Parallel()
	shared := &jwtgate.Error{Status: 403, Code: "insufficient_scope", Scope: "a", Err: errors.New("too little")}
	rule := jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { return shared })
	_, err := newGate(t).Require(rule, jwtgate.Scope("b")).Verify(t.Context(), hs256Token(nil))
	var e *jwtgate.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "b a", e.Scope)
	assert.Equal(t, "a", shared.Scope)
}

// No value of the package prints a key, a token or a signature, whatever the fmt verb.
// acceptance 50
func TestNothingSecretIsPrinted(t *testing.T) {
	t.Parallel()
	token := hs256Token(nil)
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

// proofFor returns the header lines of a request with a bound token and a DPoP proof for
// url. The proof is good.
func proofFor(url string) []string {
	encode := base64.RawURLEncoding.EncodeToString
	point := must(p256Key().(*ecdsa.PrivateKey).PublicKey.Bytes())
	key := `{"crv":"P-256","kty":"EC","x":"` + encode(point[1:33]) + `","y":"` + encode(point[33:]) + `"}`
	thumbprint := sha256.Sum256([]byte(key))
	token := hs256Token(map[string]any{"cnf": map[string]any{"jkt": encode(thumbprint[:])}})
	hash := sha256.Sum256([]byte(token))
	claims := fmt.Sprintf(`{"jti":"1","htm":"GET","htu":%q,"iat":%d,"ath":%q}`, url, now.Unix(), encode(hash[:]))
	proof := sign("ES256", p256Key(), `{"typ":"dpop+jwt","alg":"ES256","jwk":`+key+`}`, claims)
	return []string{"Authorization: DPoP " + token, "DPoP: " + proof}
}

// The "In the log" line in the doc comment of each sentinel is the text of a real error.
func TestErrorsAreAsDocumented(t *testing.T) {
	t.Parallel()
	down := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer down.Close()
	transport := down.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, down.Listener.Addr().String())
	}
	defer transport.CloseIdleConnections()

	bearer := func(token string) []string { return []string{"Authorization: Bearer " + token} }
	with := func(claim string, value any) []string { return bearer(hs256Token(map[string]any{claim: value})) }
	named := func(kid string, key any) []string {
		return bearer(sign("ES256", key, `{"alg":"ES256","kid":"`+kid+`"}`, claimsJSON(nil)))
	}
	first := func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("2026-01", "ES256")) }
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	none := func(*jwtgate.Options) {}
	tried := map[string]struct {
		change func(*jwtgate.Options)
		lines  []string
	}{
		"ErrNoToken":     {none, []string{"Authorization: Basic YWxpY2U6c2VjcmV0"}},
		"ErrRequest":     {none, []string{"Authorization: Bearer a", "Authorization: Bearer b"}},
		"ErrMalformed":   {none, bearer("opaque")},
		"ErrAlgorithm":   {none, bearer(sign("RS512", rsaKey(), `{"alg":"RS512"}`, claimsJSON(nil)))},
		"ErrUnknownKey":  {func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("2025-12", "ES256")) }, named("2026-01", p256Key())},
		"ErrSignature":   {first, named("2026-01", other)},
		"ErrExpired":     {none, with("exp", time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC).Unix())},
		"ErrNotYetValid": {none, with("iat", time.Date(2026, time.January, 1, 1, 0, 0, 0, time.UTC).Unix())},
		"ErrIssuer":      {none, with("iss", "https://auth.example.com")},
		"ErrAudience":    {none, with("aud", "https://mail.example.com")},
		"ErrType":        {none, bearer(sign("HS256", secret, `{"alg":"HS256","typ":"logout+jwt"}`, claimsJSON(nil)))},
		"ErrClaim":       {none, with("exp", nil)},
		"ErrRevoked": {func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error {
				return fmt.Errorf("%w: signed out on all devices", jwtgate.ErrRevoked)
			}
		}, with("sub", "alice")},
		"ErrForbidden": {none, with("scope", "orders:read")},
		"ErrProof": {func(o *jwtgate.Options) {
			o.Confirm = []jwtgate.Confirmer{&dpop.Verifier{URLs: []string{"https://shop.example.com"}, Now: func() time.Time { return now }}}
		}, proofFor("https://api.example.com/orders")},
		"ErrAuthentication": {func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Authenticated(0, "mfa")} }, with("acr", "pwd")},
		"ErrCanceled":       {func(o *jwtgate.Options) { o.Keys = failingSource(context.Canceled) }, with("sub", "alice")},
		"ErrUnavailable": {func(o *jwtgate.Options) {
			o.Issuers = []string{"https://auth.example.com"}
			o.Keys = &keys.Remote{
				Client:  &http.Client{Transport: transport},
				Timeout: time.Minute, // the default of 5 seconds could end on a busy machine
				Logger:  slog.New(slog.DiscardHandler),
			}
		}, with("iss", "https://auth.example.com")},
	}

	documented := regexp.MustCompile(`(?m)((?:^//.*\n)+)^var (Err\w+) = `).FindAllStringSubmatch(string(must(os.ReadFile("errors.go"))), -1)
	require.Len(t, documented, len(tried))
	for _, m := range documented {
		comment := strings.ReplaceAll(regexp.MustCompile(`(?m)^// ?`).ReplaceAllString(m[1], ""), "\n\n", "\x00")
		comment = strings.ReplaceAll(comment, "\n", " ")
		tt, ok := tried[m[2]]
		require.True(t, ok, m[2])
		gate := newGate(t, tt.change)
		if m[2] == "ErrForbidden" {
			gate = gate.Require(jwtgate.Scope("orders:delete"))
		}
		ctx, cancel := context.WithCancel(t.Context())
		if m[2] == "ErrCanceled" {
			cancel()
		}
		r := request("GET", tt.lines...).WithContext(ctx)
		if m[2] == "ErrProof" {
			r.RequestURI = "/orders"
		}
		_, err := gate.Check(r)
		cancel()
		var e *jwtgate.Error
		require.ErrorAs(t, err, &e)
		assert.Contains(t, comment, fmt.Sprintf("\x00In the log: %v\x00What to do: ", e.Err))
		assert.Contains(t, comment, fmt.Sprintf("tatus %d", e.Status), m[2])
		assert.Contains(t, comment, "reason "+e.Reason(), m[2])
	}
}
