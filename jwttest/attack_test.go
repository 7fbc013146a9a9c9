package jwttest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	attackIssuer   = "https://auth.example.com/"
	attackAudience = "https://api.example.com"
)

// attackKeys returns a key for an algorithm or a kind of algorithm. The keys are made
// once, because making an RSA key is slow.
var attackKeys = map[string]func() any{
	"HS": func() any { return []byte(strings.Repeat("secret..", 8)) },
	"RS": attackRSA, "PS": attackRSA,
	"ES256": sync.OnceValue(func() any { return attackMust(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
	"ES384": sync.OnceValue(func() any { return attackMust(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }),
	"ES512": sync.OnceValue(func() any { return attackMust(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) }),
	"Ed": sync.OnceValue(func() any {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return attackMust(key, err)
	}),
}

var attackRSA = sync.OnceValue(func() any { return attackMust(rsa.GenerateKey(rand.Reader, 2048)) })

func attackMust[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func attackTarget(algorithm string) jwttest.Target {
	name := algorithm[:2]
	if name == "ES" {
		name = algorithm
	}
	return jwttest.Target{
		Key: attackKeys[name](), Algorithm: algorithm, KeyID: "Key-1",
		Issuer: attackIssuer, Audience: attackAudience, Strict: true,
	}
}

// verifyingKey returns the key with which the service verifies tokens of target.
func verifyingKey(target jwttest.Target) any {
	if signer, ok := target.Key.(crypto.Signer); ok {
		return signer.Public()
	}
	return target.Key
}

// attackOptions returns the options of a gate that accepts the tokens of target.
func attackOptions(target jwttest.Target) jwtgate.Options {
	return jwtgate.Options{
		Keys:      keys.Static(attackMust(jwtgate.NewKey(target.KeyID, target.Algorithm, verifyingKey(target)))),
		Issuers:   []string{target.Issuer},
		Audiences: []string{target.Audience},
	}
}

func attackGate(t *testing.T, o jwtgate.Options) http.Handler {
	t.Helper()
	gate, err := jwtgate.New(o)
	require.NoError(t, err)
	return gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "jwttest", jwtgate.Subject(r.Context()))
	}))
}

// sameForAllAlgorithms are the families whose cases do not depend on the algorithm.
var sameForAllAlgorithms = []string{
	"authorization", "other-places", "guessed-secret", "kid", "crit", "segments", "base64", "json-header", "json-claims", "duplicate",
	"serialisation", "nested", "times", "issuer", "audience", "subject", "type", "bound", "size",
}

// perAlgorithm returns the families whose cases depend on the algorithm.
func perAlgorithm() []string {
	return slices.DeleteFunc(jwttest.Families(), func(family string) bool { return slices.Contains(sameForAllAlgorithms, family) })
}

// A gate withstands all cases, including those where jwtgate is stricter than the
// RFCs.
//
// HS256 runs in full, directly and over TCP. net/http reads a request in the same way
// for every algorithm, so the other subtests send a case over TCP only if it depends on
// the algorithm or exists only over TCP.
func TestAttack(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA", "PS256", "ES384"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && slices.Contains([]string{"RS256", "PS256", "ES384"}, algorithm) {
				t.Skip("short: signing with these algorithms is slow")
			}
			target := attackTarget(algorithm)
			// PS256 and ES384 differ from RS256 and ES256 only in the signature.
			if algorithm == "PS256" || algorithm == "ES384" || testing.Short() && algorithm != "HS256" {
				target.Skip = sameForAllAlgorithms
			}
			handler := attackGate(t, attackOptions(target))
			if algorithm == "HS256" && !testing.Short() {
				jwttest.Attack(t, handler, target)
			} else {
				jwttest.AttackMostlyDirectly(t, handler, target, perAlgorithm()...)
			}
		})
	}

	t.Run("cache", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("short: the cases are those of HS256")
		}
		target := attackTarget("HS256")
		target.Skip = []string{"size"}
		o := attackOptions(target)
		o.CacheSize = 1000
		jwttest.AttackMostlyDirectly(t, attackGate(t, o), target)
	})

	t.Run("remote keys", func(t *testing.T) {
		t.Parallel()
		target := attackTarget("ES256")
		target.Skip = []string{"size"}
		set := attackKeySet(t, target)
		issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(set)
		}))
		t.Cleanup(issuer.Close)
		o := attackOptions(target)
		o.Keys = &keys.Remote{URL: issuer.URL, Logger: slog.New(slog.DiscardHandler)}
		jwttest.AttackMostlyDirectly(t, attackGate(t, o), target)
	})

	// A handler may refuse a request by closing the connection without an answer.
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		target := attackTarget("HS256")
		target.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool { return family == "valid" || family == "none" })
		gate := attackGate(t, attackOptions(target))
		jwttest.Attack(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if statusBehind(gate, r) >= 400 {
				panic(http.ErrAbortHandler)
			}
		}), target)
	})

	// An informational status is not the answer.
	t.Run("early hints", func(t *testing.T) {
		t.Parallel()
		target := attackTarget("HS256")
		target.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool { return family == "valid" || family == "none" })
		gate := attackGate(t, attackOptions(target))
		jwttest.Attack(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusProcessing)
			w.WriteHeader(http.StatusEarlyHints)
			gate.ServeHTTP(w, r)
		}), target)
	})

	// The transport of a proxy refuses the header values that net/http keeps from handlers, so the
	// proxy answers 502 to them if it is called directly.
	t.Run("proxy", func(t *testing.T) {
		t.Parallel()
		target := attackTarget("HS256")
		target.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool {
			return slices.Contains([]string{"valid", "authorization", "segments", "base64"}, family)
		})
		guarded := httptest.NewServer(attackGate(t, attackOptions(target)))
		t.Cleanup(guarded.Close)
		proxy := &httputil.ReverseProxy{
			Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(attackMust(url.Parse(guarded.URL))) },
			ErrorLog: log.New(io.Discard, "", 0),
		}
		jwttest.Attack(t, proxy, target)
	})

	// Nearly every field of the Target differs from its default.
	t.Run("profile of RFC 9068", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("short: the cases are those of HS256")
		}
		target := attackTarget("HS256")
		target.KeyID = ""
		target.Header = map[string]any{"typ": "at+jwt"}
		target.Claims = map[string]any{"scope": "orders:write", "aud": []string{"https://other.example", attackAudience}}
		target.Routes = []jwttest.Route{{Method: "PUT", Path: "/orders?id=1"}}
		target.Now = func() time.Time { return time.Date(2026, time.January, 1, 0, 30, 0, 0, time.UTC) }
		target.Skip = []string{"size"}
		o := attackOptions(target)
		o.RFC9068, o.Now = true, target.Now
		gate, err := jwtgate.New(o)
		require.NoError(t, err)
		mux := http.NewServeMux()
		mux.Handle("PUT /orders", gate.Require(jwtgate.Scope("orders:write")).Handler(http.RedirectHandler("/orders/1", http.StatusSeeOther)))
		jwttest.Attack(t, mux, target)
	})
}

// statusBehind returns the status of the answer of handler to r.
func statusBehind(handler http.Handler, r *http.Request) int {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Code
}

// attackKeySet returns the JWK Set of an ECDSA target.
func attackKeySet(t *testing.T, target jwttest.Target) []byte {
	t.Helper()
	key, ok := target.Key.(*ecdsa.PrivateKey)
	require.True(t, ok)
	point, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	half := (len(point) - 1) / 2
	return fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":%q,"kid":%q,"use":"sig","x":%q,"y":%q}]}`, key.Params().Name, target.KeyID,
		base64.RawURLEncoding.EncodeToString(point[1:1+half]), base64.RawURLEncoding.EncodeToString(point[1+half:]))
}

// attackCorpora returns the cases for an algorithm. They are made once, because
// signing more than a thousand tokens with RSA is slow.
var attackCorpora = map[string]func() ([]jwttest.Case, error){
	"HS256": sync.OnceValues(func() ([]jwttest.Case, error) { return jwttest.Corpus(attackTarget("HS256")) }),
	"RS256": sync.OnceValues(func() ([]jwttest.Case, error) { return jwttest.Corpus(attackTarget("RS256")) }),
	"ES256": sync.OnceValues(func() ([]jwttest.Case, error) { return jwttest.Corpus(attackTarget("ES256")) }),
	"EdDSA": sync.OnceValues(func() ([]jwttest.Case, error) { return jwttest.Corpus(attackTarget("EdDSA")) }),
}

// attackAlgorithms returns the algorithms of attackCorpora. In short mode it returns two
// of them: RS256 takes longer than all others together.
func attackAlgorithms() []string {
	if testing.Short() {
		return []string{"HS256", "ES256"}
	}
	return []string{"HS256", "RS256", "ES256", "EdDSA"}
}

var (
	printable = regexp.MustCompile(`^[!-~]+$`)
	citation  = regexp.MustCompile(`^(RFC \d+|OpenID) .*section`)
)

// Every case has a printable name, cites a section, and differs from all others in
// its name and in what it sends.
func TestAttackCorpus(t *testing.T) {
	t.Parallel()
	for _, algorithm := range attackAlgorithms() {
		cases, err := attackCorpora[algorithm]()
		require.NoError(t, err)
		assert.Equal(t, "valid/plain", cases[0].Family+"/"+cases[0].Name)
		names, requests, valid, fromRFCs := map[string]bool{}, map[string]string{}, 0, 0
		var families []string
		perFamily := map[string]int{}
		for _, c := range cases {
			path := c.Family + "/" + c.Name
			assert.False(t, names[path], "two cases are called %s", path)
			names[path] = true
			assert.Empty(t, requests[string(c.Bytes)], "%s sends the same", path)
			requests[string(c.Bytes)] = path
			assert.Regexp(t, printable, path)
			assert.Regexp(t, citation, c.Rule, path)
			if perFamily[c.Family]++; perFamily[c.Family] == 1 {
				families = append(families, c.Family)
			}
			if c.Accept {
				valid++
			}
			if c.Level == "MUST" || c.Level == "SHOULD" {
				fromRFCs++
			}
		}
		assert.GreaterOrEqual(t, len(cases), 400)
		assert.GreaterOrEqual(t, fromRFCs, 400)
		assert.GreaterOrEqual(t, valid, 40)

		var list strings.Builder
		for _, family := range families {
			fmt.Fprintf(&list, " %s %d", family, perFamily[family])
		}
		t.Logf("%s: %d cases, %d of them valid; %d decided by an RFC:%s", algorithm, len(cases), valid, fromRFCs, list.String())
	}
}

// No case is firmer than the RFC: a case that the RFC leaves to the service is only for
// Strict.
func TestAttackLevels(t *testing.T) {
	t.Parallel()
	target := attackTarget("HS256")
	target.KeyID = ""
	cases, err := jwttest.Corpus(target)
	require.NoError(t, err)
	const strictOnly = "a rule of jwtgate; the RFC leaves the choice to the service"
	for path, want := range map[string]struct {
		level  string
		accept bool
	}{
		// RFC 9112 section 2.2: a line feed may end a line.
		"authorization/second-header-behind-line-feed": {"SHOULD", false},
		// RFC 9112 section 2.2 and RFC 9110 section 5.5: these may become spaces.
		"authorization/carriage-return-at-the-end": {strictOnly, false},
		"authorization/carriage-return-for-space":  {strictOnly, false},
		"authorization/nul-behind":                 {strictOnly, false},
		// A client cannot send them over HTTP.
		"base64/line-feed-within-in-signature": {strictOnly, false},
		"base64/line-break-within-in-claims":   {strictOnly, false},
		// acceptance 4
		"authorization/empty":               {"MUST", false},
		"authorization/repeated-good-empty": {strictOnly, false},
		"authorization/repeated-empty-good": {strictOnly, false},
		// acceptance 16
		"duplicate/depth-2-case":     {"MUST", true},
		"duplicate/in-an-array-case": {"MUST", true},
		"duplicate/sub-upper":        {strictOnly, false},
		// acceptance 23
		"nested/cty-JWT":             {strictOnly, true},
		"nested/unsigned-in-cty-JWT": {"MUST", false},
		// acceptance 24
		"kid/a-null":   {strictOnly, true},
		"kid/a-number": {"SHOULD", false},
		// acceptance 39
		"subject/null":           {strictOnly, false},
		"subject/jti-null":       {strictOnly, true},
		"subject/azp-null":       {strictOnly, true},
		"subject/client_id-null": {strictOnly, true},
		"subject/scope-null":     {strictOnly, true},
		"subject/scp-null":       {strictOnly, true},
		// acceptance 62
		"type/events-without-typ": {"SHOULD", false},
		"type/logout-without-typ": {"SHOULD", false},
	} {
		i := slices.IndexFunc(cases, func(c jwttest.Case) bool { return c.Family+"/"+c.Name == path })
		if assert.GreaterOrEqual(t, i, 0, path) {
			assert.Equal(t, want.level, cases[i].Level, path)
			assert.Equal(t, want.accept, cases[i].Accept, path)
		}
	}
}

// The error for a mistake in a Target names the field.
func TestAttackTarget(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*jwttest.Target)
		err    string
	}{
		{"no algorithm", func(t *jwttest.Target) { t.Algorithm = "" }, "Target.Algorithm"},
		{"none", func(t *jwttest.Target) { t.Algorithm = "none" }, "Target.Algorithm"},
		{"no key", func(t *jwttest.Target) { t.Key = nil }, "Target.Key"},
		{"key of another kind", func(t *jwttest.Target) { t.Algorithm = "RS256" }, "Target.Key"},
		{"public key", func(t *jwttest.Target) { t.Key = &ecdsa.PublicKey{} }, "Target.Key"},
		{"curve of another algorithm", func(t *jwttest.Target) { t.Algorithm = "ES384" }, "Target.Key"},
		{"nil key", func(t *jwttest.Target) { t.Key = (*ecdsa.PrivateKey)(nil) }, "Target.Key"},
		{"claim that is no JSON", func(t *jwttest.Target) { t.Claims = map[string]any{"x": make(chan int)} }, "Target.Claims"},
		{"header that is no JSON", func(t *jwttest.Target) { t.Header = map[string]any{"x": make(chan int)} }, "Target.Header"},
		{"path without slash", func(t *jwttest.Target) { t.Routes = []jwttest.Route{{Path: "orders"}} }, "Target.Routes[0]"},
		{"path with a NUL", func(t *jwttest.Target) { t.Routes = []jwttest.Route{{}, {Path: "/or\x00ders"}} }, "Target.Routes[1]"},
		{"method that is none", func(t *jwttest.Target) { t.Routes = []jwttest.Route{{Method: "G ET"}} }, "Target.Routes[0]"},
		{"credentials in a route", func(t *jwttest.Target) {
			t.Routes = []jwttest.Route{{Header: http.Header{"authorization": {"Basic eDp5"}}}}
		}, "Attack sets itself"},
		{"header name that is none", func(t *jwttest.Target) { t.Routes = []jwttest.Route{{Header: http.Header{"a b": {"c"}}}} }, `"a b"`},
		{"header value with a line break", func(t *jwttest.Target) {
			t.Routes = []jwttest.Route{{Header: http.Header{"X-A": {"b\r\nAuthorization: c"}}}}
		}, "X-A"},
		{"Prover that is not made", func(t *jwttest.Target) { t.Prover = &jwttest.Prover{} }, "Target.Prover: make it with NewProver"},
		{"URL of a Prover with a query", proverAt("https://api.example.com?a=b"), `Target.Prover: its URL "https://api.example.com?a=b"`},
		{"URL of a Prover without a host", proverAt("/api"), `Target.Prover: its URL "/api"`},
		{"no such family", func(t *jwttest.Target) { *t = attackTarget("HS256"); t.Skip = []string{"time"} }, `"time"`},
		{"no such case", func(t *jwttest.Target) { *t = attackTarget("HS256"); t.Skip = []string{"times/exp"} }, `"times/exp"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := attackTarget("ES256")
			tt.change(&target)
			_, err := jwttest.Corpus(target)
			assert.ErrorContains(t, err, tt.err)
		})
	}

	// Skip may name a case that only Strict adds.
	for _, strict := range []bool{true, false} {
		target := attackTarget("HS256")
		target.Strict, target.Skip = strict, []string{"times/exp-1e300", "bound"}
		cases, err := jwttest.Corpus(target)
		require.NoError(t, err)
		assert.False(t, slices.ContainsFunc(cases, func(c jwttest.Case) bool { return c.Name == "exp-1e300" || c.Family == "bound" }))
	}

	// A Target without issuer, audience and subject has no cases about them.
	target := jwttest.Target{Key: []byte("short"), Algorithm: "HS256", Claims: map[string]any{"sub": nil, "exp": nil}}
	target.Skip = []string{"size", "times/nbf-1e300"}
	cases, err := jwttest.Corpus(target)
	require.NoError(t, err)
	for _, c := range cases {
		assert.Contains(t, []string{"MUST", "SHOULD"}, c.Level, c.Name)
		assert.NotContains(t, []string{"issuer", "audience", "subject", "size"}, c.Family)
		assert.NotContains(t, []string{"times/exp-missing", "times/nbf-1e300"}, c.Family+"/"+c.Name)
	}
}

// proverAt returns a change of a Target: a Prover with a URL.
func proverAt(url string) func(*jwttest.Target) {
	return func(target *jwttest.Target) {
		target.Prover = jwttest.NewProver(&fakeT{})
		target.Prover.URL = url
	}
}

// childProcess is an environment variable. It is set in the process in which Attack
// fails, whose output has the reports.
const childProcess = "JWTTEST_ATTACK_ON_BROKEN"

// Attack finds the holes of broken handlers, and reports no other cases. Each handler is
// attacked only with the families of the cases that the table names.
func TestAttackFindsHoles(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: attacks some thirty handlers, in another process")
	}
	hs, rs := attackTarget("HS256"), attackTarget("RS256")
	for _, target := range []*jwttest.Target{&hs, &rs} {
		target.Strict, target.Skip = false, []string{"size", "other-places", "json-header", "json-claims"}
	}
	all := hs
	all.Skip = nil
	secret := func(*jwt.Token) (any, error) { return hs.Key, nil }
	allClaims := []jwt.ParserOption{jwt.WithIssuer(attackIssuer), jwt.WithAudience(attackAudience), jwt.WithExpirationRequired()}
	parse := func(key jwt.Keyfunc, o ...jwt.ParserOption) http.Handler {
		return byHand(func(token string) bool {
			_, err := jwt.NewParser(o...).Parse(token, key)
			return err == nil
		})
	}
	gate := attackMust(jwtgate.New(attackOptions(hs))).Handler(answer)
	pem := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: attackMust(x509.MarshalPKIXPublicKey(verifyingKey(rs)))})

	for _, tt := range []struct {
		name    string
		target  jwttest.Target
		handler http.Handler
		finds   []string // texts in the report
		not     []string // texts that are not in the report
	}{
		{"algorithm of the token", rs, parse(func(t *jwt.Token) (any, error) {
			if _, ok := t.Method.(*jwt.SigningMethodHMAC); ok {
				return pem, nil
			}
			return verifyingKey(rs), nil
		}, allClaims...), []string{
			"GOT IN: confusion/hs256-pkix-pem\n", "GOT IN: confusion/hs512-pkix-pem\n", "GOT IN: algorithm/own-key-PS256\n",
			"RFC 8725 sections 2.1 and 3.1 (MUST)", "200 OK, called directly; 200 OK, over TCP",
		}, []string{"confusion/hs256-modulus", "GOT IN: signature/"}},

		{"no expiry", hs, parse(secret, jwt.WithValidMethods([]string{"HS256"}), jwt.WithoutClaimsValidation()), []string{
			"GOT IN: times/exp-an-hour-ago\n", "GOT IN: times/exp-missing\n", "GOT IN: times/nbf-in-an-hour\n",
			"RFC 7519 section 4.1.4 (MUST)", "sends    a token that expired an hour ago",
		}, []string{"GOT IN: signature/", "GOT IN: none/"}},

		{"prefix of the audience", hs, byHand(func(token string) bool {
			parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(attackIssuer), jwt.WithExpirationRequired()).Parse(token, secret)
			if err != nil {
				return false
			}
			audience, err := parsed.Claims.GetAudience()
			return err == nil && slices.ContainsFunc(audience, func(a string) bool { return strings.HasPrefix(a, attackAudience) })
		}), []string{
			"GOT IN: audience/suffixed\n", "GOT IN: audience/suffixed-in-array\n", "GOT IN: audience/nul-and-more\n", "RFC 7519 section 4.1.3",
		}, []string{"GOT IN: audience/other\n", "GOT IN: audience/cut\n", "GOT IN: times/exp-an-hour-ago\n"}},

		{"not verified", hs, byHand(func(token string) bool {
			claims := jwt.MapClaims{}
			_, _, err := jwt.NewParser().ParseUnverified(token, claims)
			return err == nil && jwt.NewValidator(allClaims...).Validate(claims) == nil
		}), []string{
			"GOT IN: none/unsigned-none\n", "GOT IN: signature/random\n", "GOT IN: kid/unknown-key\n", "GOT IN: guessed-secret/hs256-secret\n",
		}, []string{"GOT IN: issuer/other\n"}},

		{"first of two headers", hs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			only := r.Clone(r.Context())
			only.Header = http.Header{}
			if value := r.Header.Get("Authorization"); value != "" {
				only.Header.Set("Authorization", value)
			}
			gate.ServeHTTP(w, only)
		}), []string{
			"GOT IN: authorization/repeated-good-expired\n", "GOT IN: authorization/repeated-in-other-case\n", "RFC 9110 section 5.3",
		}, []string{"GOT IN: authorization/repeated-expired-good\n", "GOT IN: none/"}},

		{"nobody gets in", hs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }), []string{
			"REFUSED ALTHOUGH VALID: valid/plain\n", "401 Unauthorized, called directly; 401 Unauthorized, over TCP", "Nothing else was tried",
		}, []string{"GOT IN"}},

		{"closes every connection", hs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), []string{
			"REFUSED ALTHOUGH VALID: valid/plain\n", "no answer (the handler closed the connection), called directly; no answer (", "Nothing else was tried",
		}, []string{"GOT IN", "PANICKED"}},

		{"answers and then closes the connection", hs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if statusBehind(gate, r) >= 400 {
				w.WriteHeader(http.StatusOK)
				panic(http.ErrAbortHandler)
			}
		}), []string{
			"GOT IN: none/unsigned-none\n", "200 OK, called directly; no answer (",
		}, []string{"REFUSED ALTHOUGH VALID: valid/", "PANICKED: none/"}},

		{"nobody but the usual gets in", hs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer e") {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			gate.ServeHTTP(w, r)
		}), []string{
			"REFUSED ALTHOUGH VALID: valid/scheme-in-lower-case\n", "REFUSED ALTHOUGH VALID: valid/two-spaces\n", "RFC 9110 sections 5.1, 5.5 and 11.1 (MUST)",
		}, []string{"GOT IN"}},

		{"key from the header", hs, parse(func(t *jwt.Token) (any, error) {
			address, _ := t.Header["jku"].(string)
			if response, err := http.Get(address); err == nil {
				response.Body.Close()
			}
			return hs.Key, nil
		}, allClaims...), []string{
			"FETCHED: header-key/jku\n", "FETCHED: header-key/jku-with-user\n", "RFC 8725 section 3.10",
		}, []string{"FETCHED: header-key/x5u"}},

		{"file named by kid", hs, parse(func(t *jwt.Token) (any, error) {
			if kid, _ := t.Header["kid"].(string); kid != hs.KeyID {
				return os.ReadFile(filepath.Join("/etc/keys", kid))
			}
			return hs.Key, nil
		}, allClaims...), []string{"GOT IN: kid/injected-dev-null-relative\n"}, []string{"GOT IN: kid/injected-sql-union\n"}},

		{"claims in any letter case", hs, byHand(func(token string) bool {
			var claims struct {
				jwt.RegisteredClaims
			}
			_, err := jwt.NewParser(append(allClaims, jwt.WithValidMethods([]string{"HS256"}))...).ParseWithClaims(token, &claims, secret)
			return err == nil
		}), []string{
			"GOT IN: duplicate/exp-bad-and-upper\n", "GOT IN: duplicate/aud-bad-and-title\n", "RFC 7519 section 4 (MUST)",
		}, []string{"GOT IN: audience/other\n"}},

		{"panics", hs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
				_ = strings.Split(token, ".")[2]
			}
			gate.ServeHTTP(w, r)
		}), []string{
			"PANICKED: segments/two\n", "index out of range", "over TCP",
		}, []string{"GOT IN"}},

		// The handler is not broken. It uses golang-jwt with all its checks.
		{"careful", all, parse(secret, append(allClaims, jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuedAt(), jwt.WithStrictDecoding())...),
			[]string{"GOT IN: crit/unknown\n", "jwttest.Attack: of "}, []string{"GOT IN: none/", "GOT IN: signature/", "GOT IN: times/exp-an-hour-ago\n"}},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			if tt.name == "file named by kid" && runtime.GOOS == "windows" {
				t.Skip("there is no /dev/null")
			}
			t.Parallel()
			if inChild() {
				jwttest.Attack(t, tt.handler, withFamiliesOf(tt.target, slices.Concat(tt.finds, tt.not)))
				return
			}
			report, ok := reportsOfChild(t, "TestAttackFindsHoles")[t.Name()]
			require.True(t, ok, "Attack found nothing")
			for _, want := range tt.finds {
				assert.True(t, strings.Contains(report, want), "%q is not in the report", want)
			}
			for _, unwanted := range tt.not {
				assert.False(t, strings.Contains(report, unwanted), "%q is in the report", unwanted)
			}
			var findings []string
			for line := range strings.SplitSeq(report, "\n") {
				if match := finding.FindStringSubmatch(line); match != nil {
					findings = append(findings, match[1])
				}
			}
			t.Logf("%d findings: %s", len(findings), strings.Join(findings, ", "))
			if first := strings.Index(report, tt.finds[0]); first >= 0 {
				block, _, _ := strings.Cut(report[first:], "--- FAIL")
				t.Logf("such as\n%s", block)
			}
		})
	}
}

// anyFinding matches the first line of a report.
var anyFinding = regexp.MustCompile(`(?m)^ +(?:\S+: )?(?:GOT IN|REFUSED ALTHOUGH VALID|FETCHED|PANICKED|UNPROVED|FAILED INSIDE|NO ANSWER|NOT SENT|NOTHING PROVED|WRONG STATUS): `)

var finding = regexp.MustCompile(`^ +(?:\S+: )?((?:GOT IN|REFUSED ALTHOUGH VALID|FETCHED|PANICKED): \S+)$`)

// withFamiliesOf returns target with only the families that texts name. If a text is
// "GOT IN", which is about all cases, or target skips no family, it returns target
// unchanged.
func withFamiliesOf(target jwttest.Target, texts []string) jwttest.Target {
	if len(target.Skip) == 0 {
		return target
	}
	named := map[string]bool{}
	for _, text := range texts {
		if text == "GOT IN" {
			return target
		}
		if match := familyOf.FindStringSubmatch(text); match != nil {
			named[match[1]] = true
		}
	}
	target.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool { return family == "valid" || named[family] })
	return target
}

var familyOf = regexp.MustCompile(`^[A-Z ]+: ([a-z-]+)/`)

// inChild reports whether this is the process in which Attack fails.
func inChild() bool { return os.Getenv(childProcess) != "" }

// reportsOfChild runs a test in another process, where it fails, and returns the report
// of each subtest by its name. It runs each test once.
func reportsOfChild(t *testing.T, test string) map[string]string {
	t.Helper()
	run, _ := childRuns.LoadOrStore(test, sync.OnceValue(func() map[string]string {
		command := exec.Command(os.Args[0], "-test.run=^"+test+"$")
		command.Env = append(os.Environ(), childProcess+"=1")
		output, _ := command.CombinedOutput() // the tests of the process fail
		reports := map[string]string{}
		for _, part := range strings.Split(string(output), "\n    --- FAIL: ")[1:] {
			name, report, _ := strings.Cut(part, " ")
			reports[name] = report
		}
		return reports
	}))
	return run.(func() map[string]string)()
}

var childRuns sync.Map // of tests to functions that return reports

// unindented returns a report without the indentation of its lines.
func unindented(report string) string { return indentation.ReplaceAllString(report, "\n") }

var indentation = regexp.MustCompile(`\n +`)

var answer = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// byHand returns a typical handwritten middleware around a verification function.
func byHand(good func(token string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || !good(strings.TrimLeft(token, " ")) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
}

// A refusal does not hang, and allocates memory in proportion to the size of the request.
//
// The test is not parallel, because it counts all allocations of the process. It logs
// the slowest refusal, and fails only for a refusal that takes a minute.
func TestAttackCosts(t *testing.T) {
	if testing.Short() {
		t.Skip("short: measures each refusal alone, which is slow")
	}
	const (
		perByte = 64
		// The answer has a few headers and a line of JSON. sync.Pool may have
		// dropped its buffers. Each verification with RSA allocates big numbers.
		fixed = 16 << 10
		slow  = 10 * time.Millisecond
	)
	// A garbage collection would empty the pools of the gate.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	for _, algorithm := range []string{"HS256", "RS256"} {
		target := attackTarget(algorithm)
		handler := attackGate(t, attackOptions(target))
		cases, err := attackCorpora[algorithm]()
		require.NoError(t, err)
		once := func(c jwttest.Case) (took time.Duration, allocated uint64) {
			r, w := c.Request(t.Context()), &discard{header: http.Header{}}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			handler.ServeHTTP(w, r)
			took = time.Since(start)
			runtime.ReadMemStats(&after)
			assert.GreaterOrEqual(t, w.status, 400)
			return took, after.TotalAlloc - before.TotalAlloc
		}
		var slowest, largest string
		var mostTime time.Duration
		var mostBytes uint64
		for _, c := range cases {
			if c.Accept || c.OnlyTCP {
				continue
			}
			path, limit := c.Family+"/"+c.Name, uint64(perByte*len(c.Bytes)+fixed)
			took, allocated := once(c)
			if took > slow || allocated > limit {
				// The machine may be busy, and a pool may have been empty: take the
				// median of the times and the least of the allocations.
				times := []time.Duration{took}
				for range 4 {
					again, bytes := once(c)
					times, allocated = append(times, again), min(allocated, bytes)
				}
				slices.Sort(times)
				took = times[len(times)/2]
			}
			if took > mostTime {
				mostTime, slowest = took, path
			}
			if allocated > mostBytes {
				mostBytes, largest = allocated, path
			}
			assert.Less(t, took, hang, path)
			assert.LessOrEqual(t, allocated, limit, "bytes allocated for %s, which has %d", path, len(c.Bytes))
		}
		t.Logf("%s: the slowest refusal took %v (%s), the largest allocated %d bytes (%s)", algorithm, mostTime, slowest, mostBytes, largest)
	}
}

// discard is a ResponseWriter that allocates nothing.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
