package jwttest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/jwttest"
)

// dpopTarget returns a target for services that accept tokens bound to a DPoP key, with
// only the given families.
func dpopTarget(t testing.TB, families ...string) jwttest.Target {
	t.Helper()
	target := attackTarget("ES256")
	target.Prover = jwttest.NewProver(t)
	target.Prover.URL = "https://api.example.com"
	target.Routes = []jwttest.Route{{Path: "/shop/Orders?page=1"}}
	target.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool { return family == "valid" || slices.Contains(families, family) })
	return target
}

// reaching returns a handler that marks its answers, and the Target.GotIn that finds the
// mark: a refused request must not reach the handler, whatever its status is.
func reaching() (http.Handler, func(*http.Response) bool) {
	const mark = "X-Reached"
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(mark, "yes") }),
		func(r *http.Response) bool { return r.Header.Get(mark) != "" }
}

// A gate with a dpop.Verifier withstands all cases, in each way to configure it.
//
// acceptance 69-81 and 83
func TestAttackOnDPoP(t *testing.T) {
	t.Parallel()
	nonceKeys := [][]byte{[]byte(strings.Repeat("nonce key ", 4))}
	for _, tt := range []struct {
		name     string
		families []string
		verifier func(*dpop.Verifier)
		options  func(*jwtgate.Options)
		target   func(*jwttest.Target)
		nested   bool
		overTCP  bool
	}{
		{name: "without nonces", families: jwttest.Families(), overTCP: true},
		{name: "with nonces", families: []string{"dpop"}, verifier: func(v *dpop.Verifier) { v.NonceKeys = nonceKeys }, overTCP: true},
		{name: "beside bearer tokens", families: []string{"dpop", "bound", "authorization"}, options: func(o *jwtgate.Options) { o.AllowUnbound = true }},
		{name: "with a cache", families: []string{"dpop"}, options: func(o *jwtgate.Options) { o.CacheSize = 1000 }},
		{name: "with a cache and nonces", families: []string{"dpop"}, options: func(o *jwtgate.Options) { o.CacheSize = 1000 }, verifier: func(v *dpop.Verifier) { v.NonceKeys = nonceKeys }},
		{name: "nested gates", families: []string{"dpop"}, nested: true},
		{name: "nested gates with nonces", families: []string{"dpop"}, nested: true, verifier: func(v *dpop.Verifier) { v.NonceKeys = nonceKeys }},
		{name: "Ed25519", families: []string{"dpop"}, target: func(target *jwttest.Target) { target.Prover.SetAlgorithm("Ed25519") }},
		{name: "PS256", families: []string{"dpop"}, target: func(target *jwttest.Target) { target.Prover.SetAlgorithm("PS256") }},
		{name: "behind a proxy that takes a prefix off", families: []string{"dpop"},
			verifier: func(v *dpop.Verifier) {
				v.URLs = []string{"https://other.example.org", "https://example.com/behind/proxy"}
			},
			target: func(target *jwttest.Target) { target.Prover.URL = "https://example.com/behind/proxy" }},
		{name: "at the root", families: []string{"dpop"}, target: func(target *jwttest.Target) { target.Routes = nil }},
		{name: "several routes by another clock", families: []string{"dpop"},
			verifier: func(v *dpop.Verifier) { v.Now = attackClock },
			options:  func(o *jwtgate.Options) { o.Now = attackClock },
			target: func(target *jwttest.Target) {
				target.Now = attackClock
				target.Routes = []jwttest.Route{{Method: "POST", Path: "/a%20b/c", Body: "x"}, {Path: "/d"}}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && !tt.overTCP {
				t.Skip("short: the cases are the same")
			}
			target := dpopTarget(t, tt.families...)
			verifier := &dpop.Verifier{URLs: []string{"https://api.example.com"}}
			if tt.verifier != nil {
				tt.verifier(verifier)
			}
			if tt.target != nil {
				tt.target(&target)
			}
			o := attackOptions(target)
			o.Confirm = []jwtgate.Confirmer{verifier}
			if tt.options != nil {
				tt.options(&o)
			}
			gate, err := jwtgate.New(o)
			require.NoError(t, err)
			var handler http.Handler
			handler, target.GotIn = reaching()
			if tt.nested {
				handler = gate.Require(jwtgate.Claim("sub", "jwttest")).Handler(handler)
			}
			handler = gate.Handler(handler)
			var overTCPToo []string
			if tt.overTCP && !testing.Short() {
				overTCPToo = []string{"valid", "authorization", "dpop"}
			}
			jwttest.AttackMostlyDirectly(t, handler, target, overTCPToo...)
		})
	}
}

func attackClock() time.Time { return time.Date(2026, time.March, 1, 12, 0, 7, 0, time.UTC) }

// The family dpop has hostile and good cases in each class, and each says which it is.
func TestAttackCorpusOfDPoP(t *testing.T) {
	t.Parallel()
	cases, err := jwttest.Corpus(dpopTarget(t, "dpop"))
	require.NoError(t, err)
	hostile, good, names := map[string]int{}, 0, map[string]bool{}
	total := 0
	for _, c := range cases {
		if c.Family != "dpop" {
			continue
		}
		assert.False(t, names[c.Name], "two cases are called %s", c.Name)
		names[c.Name] = true
		assert.Regexp(t, printable, c.Name)
		assert.Regexp(t, citation, c.Rule, c.Name)
		class, _, _ := strings.Cut(c.Name, "-")
		assert.True(t, strings.HasPrefix(c.Sends, class+": "), "%s does not say its class in %q", c.Name, c.Sends)
		if c.Accept {
			good++
			continue
		}
		total++
		hostile[class]++
	}
	for _, class := range []string{
		"header", "form", "claims", "typ", "alg", "signature", "jwk", "htm", "htu", "host", "nonce", "iat", "ath", "binding", "replay", "scheme",
	} {
		assert.GreaterOrEqual(t, hostile[class], 8, class)
	}
	assert.GreaterOrEqual(t, total, 300)
	assert.GreaterOrEqual(t, good, 40)
	t.Logf("%d hostile and %d good: %v", total, good, hostile)

	target := dpopTarget(t, "dpop")
	target.Prover = nil
	cases, err = jwttest.Corpus(target)
	require.NoError(t, err)
	assert.False(t, slices.ContainsFunc(cases, func(c jwttest.Case) bool { return c.Family == "dpop" }))
}
