package jwtgate_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	var nilRule jwtgate.RuleFunc
	var nilSource *source
	for _, tt := range []struct {
		name    string
		change  func(*jwtgate.Options)
		message string
	}{
		{"no keys", func(o *jwtgate.Options) { o.Keys = nil }, "Options.Keys: none; use one of package keys"},
		{"keys a nil func", func(o *jwtgate.Options) { o.Keys = jwtgate.KeySourceFunc(nil) }, "Options.Keys: none"},
		{"keys a nil pointer", func(o *jwtgate.Options) { o.Keys = nilSource }, "Options.Keys: none"},
		{"keys not usable", func(o *jwtgate.Options) { o.Keys = keys.PEM([]byte("x")) }, "Options.Keys: keys.PEM: it has no PEM block"},
		{"keys complain", func(o *jwtgate.Options) { o.Keys = &source{err: errors.New("no route")} }, "Options.Keys: no route"},
		{"no issuers", func(o *jwtgate.Options) { o.Issuers = nil }, "Options.Issuers: none; list the iss values"},
		{"empty issuers", func(o *jwtgate.Options) { o.Issuers = []string{} }, "Options.Issuers: the list is empty"},
		{"empty issuer", func(o *jwtgate.Options) { o.Issuers = []string{issuer, ""} }, "Options.Issuers: the empty string"},
		{"issuer not trimmed", func(o *jwtgate.Options) { o.Issuers = []string{issuer + "\n"} }, "trim it"},
		{"issuer too long", func(o *jwtgate.Options) { o.Issuers = []string{strings.Repeat("i", 1025)} }, "longer than 1024 bytes"},
		{"issuers and any", func(o *jwtgate.Options) { o.AnyIssuer = true }, "keep one"},
		{"issuers and function", func(o *jwtgate.Options) { o.TrustIssuer = func(string) bool { return true } }, "keep one"},
		{"function and any", func(o *jwtgate.Options) {
			o.Issuers = nil
			o.AnyIssuer = true
			o.TrustIssuer = func(string) bool { return true }
		}, "keep one"},
		{"no audiences", func(o *jwtgate.Options) { o.Audiences = nil }, "Options.Audiences: none; list the aud values"},
		{"empty audiences", func(o *jwtgate.Options) { o.Audiences = []string{} }, "Options.Audiences: none"},
		{"empty audience", func(o *jwtgate.Options) { o.Audiences = []string{""} }, "Options.Audiences: the empty string"},
		{"audience not trimmed", func(o *jwtgate.Options) { o.Audiences = []string{" " + audience} }, "trim it"},
		{"audiences and any", func(o *jwtgate.Options) { o.AnyAudience = true }, "leave them unchecked"},
		{"nil rule", func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Scope("a"), nil} }, "Options.Rules: rule 2 is nil"},
		{"nil rule func", func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{nilRule} }, "Options.Rules: rule 1 is nil"},
		{"nil confirm func", func(o *jwtgate.Options) { o.Confirm = nilRule }, "Options.Confirm"},
		{"unknown algorithm", func(o *jwtgate.Options) { o.Algorithms = []string{"RS257"} }, `Options.Algorithms: "RS257" is not supported; use some of HS256`},
		{"algorithm none", func(o *jwtgate.Options) { o.Algorithms = []string{"none"} }, `"none" is not supported`},
		{"algorithm in lower case", func(o *jwtgate.Options) { o.Algorithms = []string{"hs256"} }, `"hs256" is not supported`},
		{"empty algorithms", func(o *jwtgate.Options) { o.Algorithms = []string{} }, "Options.Algorithms: the list is empty"},
		{"empty types", func(o *jwtgate.Options) { o.Types = []string{} }, "Options.Types: the list is empty"},
		{"type not trimmed", func(o *jwtgate.Options) { o.Types = []string{"JWT "} }, "not a media type"},
		{"types and profile", func(o *jwtgate.Options) { o.Types = []string{"JWT"}; o.RFC9068 = true }, "Options.Types: RFC9068 asks for at+jwt"},
		{"profile and any issuer", func(o *jwtgate.Options) { o.Issuers = nil; o.AnyIssuer = true; o.RFC9068 = true }, "Options.AnyIssuer: RFC9068"},
		{"profile and any audience", func(o *jwtgate.Options) { o.Audiences = nil; o.AnyAudience = true; o.RFC9068 = true }, "Options.AnyAudience: RFC9068"},
		{"profile and no subject", func(o *jwtgate.Options) { o.AllowNoSubject = true; o.RFC9068 = true }, "Options.AllowNoSubject: RFC9068"},
		{"profile and no expiry", func(o *jwtgate.Options) { o.AllowNoExpiry = true; o.RFC9068 = true }, "Options.AllowNoExpiry: RFC9068"},
		{"leeway too long", func(o *jwtgate.Options) { o.Leeway = 5*time.Minute + 1 }, "Options.Leeway"},
		{"subject claim a path", func(o *jwtgate.Options) { o.SubjectClaim = "/user/id" }, "Options.SubjectClaim"},
		{"subject claim not trimmed", func(o *jwtgate.Options) { o.SubjectClaim = " sub" }, "Options.SubjectClaim"},
		{"negative MaxAge", func(o *jwtgate.Options) { o.MaxAge = -1 }, "Options.MaxAge"},
		{"negative MaxTokenBytes", func(o *jwtgate.Options) { o.MaxTokenBytes = -1 }, "Options.MaxTokenBytes"},
		{"huge MaxTokenBytes", func(o *jwtgate.Options) { o.MaxTokenBytes = 1<<20 + 1 }, "Options.MaxTokenBytes"},
		{"negative CacheSize", func(o *jwtgate.Options) { o.CacheSize = -1 }, "Options.CacheSize"},
		{"huge CacheSize", func(o *jwtgate.Options) { o.CacheSize = 1<<20 + 1 }, "Options.CacheSize"},
		{"realm with a line break", func(o *jwtgate.Options) { o.Realm = "a\r\nSet-Cookie: x" }, "Options.Realm"},
		{"realm beyond ASCII", func(o *jwtgate.Options) { o.Realm = "größe" }, "Options.Realm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate, err := jwtgate.New(options(tt.change))
			require.ErrorContains(t, err, tt.message)
			assert.True(t, strings.HasPrefix(err.Error(), "jwtgate.New: "), err)
			assert.NotContains(t, err.Error(), "\n", "one mistake, one problem")
			assert.Nil(t, gate)
		})
	}
}

func TestNewReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := jwtgate.New(jwtgate.Options{})
	require.Error(t, err)
	for _, field := range []string{"Keys", "Issuers", "Audiences"} {
		assert.ErrorContains(t, err, "Options."+field+":")
	}
	broken := errors.New("broken")
	_, err = jwtgate.New(jwtgate.Options{Keys: &source{err: broken}, MaxAge: -1})
	assert.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "Options.MaxAge")
}

// source tells what CheckIssuers was asked.
type source struct {
	jwtgate.KeySource
	err   error
	asked []string
	calls int
}

func (s *source) CheckIssuers(issuers []string) error {
	s.asked, s.calls = issuers, s.calls+1
	return s.err
}

func TestNewAsksTheSource(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*jwtgate.Options)
		want   []string
	}{
		"listed":   {func(o *jwtgate.Options) { o.Issuers = []string{"a", "b"} }, []string{"a", "b"}},
		"any":      {func(o *jwtgate.Options) { o.Issuers = nil; o.AnyIssuer = true }, []string{""}},
		"function": {func(o *jwtgate.Options) { o.Issuers = nil; o.TrustIssuer = func(string) bool { return true } }, nil},
	} {
		s := &source{}
		newGate(t, tt.change, func(o *jwtgate.Options) { o.Keys = s })
		assert.Equal(t, tt.want, s.asked, name)
		assert.Equal(t, 1, s.calls, name)
	}
}

func TestNewCopiesSlices(t *testing.T) {
	t.Parallel()
	o := options(func(o *jwtgate.Options) {
		o.Rules = []jwtgate.Rule{jwtgate.Scope("orders:read")}
		o.Algorithms = []string{"HS256"}
		o.Types = []string{""}
	})
	gate, err := jwtgate.New(o)
	require.NoError(t, err)
	o.Issuers[0], o.Audiences[0], o.Algorithms[0], o.Types[0] = "x", "x", "RS256", "x"
	o.Rules[0] = jwtgate.Scope("x")
	_, err = gate.Verify(t.Context(), hs256(nil))
	require.NoError(t, err)

	rules := []jwtgate.Rule{jwtgate.Scope("orders:read")}
	strict := gate.Require(rules...)
	rules[0] = jwtgate.Scope("x")
	_, err = strict.Verify(t.Context(), hs256(nil))
	require.NoError(t, err)
}

// A gate derived from another does not change it, nor its siblings.
func TestRequireLeavesTheGateAlone(t *testing.T) {
	t.Parallel()
	gate := newGate(t).Require(jwtgate.Scope("orders:read"), jwtgate.Scope("orders:write")).Require(jwtgate.Claim("iss", issuer))
	admin, other := gate.Require(jwtgate.Scope("admin")), gate.Require(jwtgate.Claim("sub", "alice"))
	for g, status := range map[*jwtgate.Gate]int{gate: 200, admin: 403, other: 200} {
		assert.Equal(t, status, serve(g.Handler(subject), request("GET", "Authorization: Bearer "+hs256(nil))).Code)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	// The time is the machine's where no other is told.
	gate := newGate(t, func(o *jwtgate.Options) { o.Now = nil })
	_, err := gate.Verify(t.Context(), hs256(map[string]any{"iat": nil, "exp": time.Now().Add(time.Minute).Unix()}))
	require.NoError(t, err)
	_, err = gate.Verify(t.Context(), hs256(map[string]any{"iat": nil, "exp": time.Now().Add(-time.Minute).Unix()}))
	require.ErrorIs(t, err, jwtgate.ErrExpired)

	// EdDSA and Ed25519 are one algorithm, under either name.
	for _, name := range []string{"EdDSA", "Ed25519"} {
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Algorithms = []string{name}
			o.Keys = keys.Static(must(jwtgate.NewKey("", name, public(edKey()))))
		})
		for _, alg := range []string{"EdDSA", "Ed25519"} {
			_, err := gate.Verify(t.Context(), sign("EdDSA", edKey(), `{"alg":"`+alg+`"}`, payload(nil)))
			require.NoError(t, err)
		}
	}
}

// A gate is used as a middleware value, such as routers take.
var _ func(http.Handler) http.Handler = (&jwtgate.Gate{}).Handler
