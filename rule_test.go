package jwtgate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

func ExampleScope() {
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	_, err = gate.Require(jwtgate.Scope("orders:read", "orders:delete")).Check(
		request("GET", "Authorization: Bearer "+hs256Token(nil)))
	fmt.Println(err)
	// Output:
	// jwtgate: not enough rights: lacks scope "orders:delete"; the token has "orders:read orders:write" (status 403)
}

func ExampleClaim() {
	// Keycloak puts roles into an object, so this rule follows a JSON Pointer.
	admin := jwtgate.Claim("/realm_access/roles", "admin", "superuser")
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	token := hs256Token(map[string]any{"realm_access": map[string]any{"roles": []string{"user", "admin"}}})
	_, err = gate.Require(admin).Check(request("GET", "Authorization: Bearer "+token))
	fmt.Println(err)
	// Output:
	// <nil>
}

func ExampleAnyOf() {
	rule := jwtgate.AnyOf(jwtgate.Scope("admin"), jwtgate.Claim("sub", "alice"))
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	_, err = gate.Require(rule).Check(request("GET", "Authorization: Bearer "+hs256Token(nil)))
	fmt.Println(err)
	// Output:
	// <nil>
}

// A custom rule requires the tenant in the path to be the client_id of the token.
func ExampleRuleFunc() {
	tenant := jwtgate.RuleFunc(func(r *http.Request, t *jwtgate.Token) error {
		if r.PathValue("tenant") != t.ClientID {
			return errors.New("the tenant is another one")
		}
		return nil
	})
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/{tenant}/orders", gate.Require(tenant).Handler(writeSubject))
	for _, client := range []string{"acme", "other"} {
		r := must(http.NewRequest("GET", "/acme/orders", nil))
		r.Header.Set("Authorization", "Bearer "+hs256Token(map[string]any{"client_id": client}))
		fmt.Println(serve(mux, r).Code)
	}
	// Output:
	// 200
	// 403
}

func TestClaim(t *testing.T) {
	t.Parallel()
	token := hs256Token(map[string]any{
		"role": "admin", "roles": []any{"user", "admin", 7, true, nil}, "verified": true, "tenant": 42, "rate": 1.5, "nothing": nil,
		"realm_access":             map[string]any{"roles": []string{"a", "b"}, "": "empty"},
		"https://example.com/role": "gold", "a/b": "slash", "m~n": "tilde", "/x": "leading", "a.b": "dot",
		"list": []any{[]string{"nested"}, map[string]any{"k": "v"}}, "escaped": "\u00e9\n\"",
	})
	gate := newGate(t)
	for _, tt := range []struct {
		name   string
		oneOf  []string
		passes bool
	}{
		{"role", []string{"admin"}, true},
		{"role", []string{"user", "admin"}, true},
		{"role", []string{"Admin"}, false},
		{"role", []string{"adm"}, false},
		{"Role", []string{"admin"}, false},
		{"roles", []string{"admin"}, true},
		{"roles", []string{"7"}, true},
		{"roles", []string{"true"}, true},
		{"roles", []string{"null", "root"}, false},
		{"missing", []string{"x"}, false},
		{"verified", []string{"true"}, true},
		{"verified", []string{"false"}, false},
		{"tenant", []string{"42"}, true},
		{"tenant", []string{"42.0", "4"}, false},
		{"rate", []string{"1.5"}, false},
		{"nothing", []string{"null"}, false},
		{"realm_access", []string{"a", `{"roles":["a","b"]}`}, false},
		{"/realm_access/roles", []string{"b"}, true},
		{"/realm_access/roles/1", []string{"b"}, true},
		{"/realm_access/roles/2", []string{"b"}, false},
		{"/realm_access/roles/01", []string{"b"}, false},
		{"/realm_access/roles/-1", []string{"b"}, false},
		{"/realm_access/roles/x", []string{"b"}, false},
		{"/realm_access/", []string{"empty"}, true},
		{"/realm_access/missing", []string{"b"}, false},
		{"/role/deeper", []string{"admin"}, false},
		{"realm_access.roles", []string{"a"}, false},
		{"https://example.com/role", []string{"gold"}, true},
		{"a/b", []string{"slash"}, true},
		{"a.b", []string{"dot"}, true},
		{"/a~1b", []string{"slash"}, true},
		{"/m~0n", []string{"tilde"}, true},
		{"/~1x", []string{"leading"}, true},
		{"list", []string{"nested", "v"}, false},
		{"/list/0", []string{"nested"}, true},
		{"/list/1/k", []string{"v"}, true},
		{"escaped", []string{"\u00e9\n\""}, true},
		{"sub", []string{"alice"}, true},
	} {
		t.Run(fmt.Sprint(tt.name, tt.oneOf), func(t *testing.T) {
			t.Parallel()
			got, err := gate.Require(jwtgate.Claim(tt.name, tt.oneOf...)).Verify(t.Context(), token)
			if tt.passes {
				require.NoError(t, err)
				assert.NotNil(t, got)
				return
			}
			requireRefused(t, err, 403, jwtgate.ErrForbidden)
		})
	}
	require.ErrorIs(t, jwtgate.Claim("sub", "alice").Check(nil, &jwtgate.Token{Subject: "alice"}), jwtgate.ErrForbidden)
}

// The issuer makes ID tokens with the typ and the aud of access tokens. Only ID tokens have at_hash.
func ExampleNoClaim() {
	gate, err := jwtgate.New(options(func(o *jwtgate.Options) {
		o.Rules = []jwtgate.Rule{jwtgate.NoClaim("at_hash")}
	}))
	if err != nil {
		panic(err)
	}
	handler := gate.Handler(writeSubject)
	accessToken, idToken := hs256Token(nil), hs256Token(map[string]any{"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"})
	for _, token := range []string{accessToken, idToken} {
		fmt.Println(serve(handler, request("GET", "Authorization: Bearer "+token)).Code)
	}
	// Output:
	// 200
	// 401
}

// NoClaim refuses by presence: the value of the claim does not matter.
func TestNoClaim(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	for _, tt := range []struct {
		name   string
		claims map[string]any
		names  []string
		passes bool
	}{
		{"absent", nil, []string{"at_hash"}, true},
		{"a string", map[string]any{"at_hash": "x"}, []string{"at_hash"}, false},
		{"an empty string", map[string]any{"at_hash": ""}, []string{"at_hash"}, false},
		{"null", map[string]any{"at_hash": json.RawMessage("null")}, []string{"at_hash"}, false},
		{"false", map[string]any{"at_hash": false}, []string{"at_hash"}, false},
		{"an object", map[string]any{"at_hash": map[string]any{}}, []string{"at_hash"}, false},
		{"the second of two names", map[string]any{"nonce": "n"}, []string{"at_hash", "nonce"}, false},
		{"neither of two names", map[string]any{"c_hash": "n"}, []string{"at_hash", "nonce"}, true},
		{"an escaped name", map[string]any{"at_hash": 1}, []string{"at_hash"}, false},
		{"another letter case", map[string]any{"AT_HASH": "x"}, []string{"at_hash"}, true},
		{"inside another claim", map[string]any{"x": map[string]any{"at_hash": 1}}, []string{"at_hash"}, true},
		{"a pointer", map[string]any{"x": map[string]any{"at_hash": nil}}, []string{"/x/at_hash"}, false},
		{"a pointer into a string", map[string]any{"x": "at_hash"}, []string{"/x/at_hash"}, true},
		{"a pointer to an element", map[string]any{"x": []any{1, nil}}, []string{"/x/1"}, false},
		{"a pointer beyond the last element", map[string]any{"x": []any{1, nil}}, []string{"/x/2"}, true},
		{"a pointer with escapes", map[string]any{"a/b": map[string]any{"~": 1}}, []string{"/a~1b/~0"}, false},
		{"a name with a slash", map[string]any{"https://example.com/id_token": true}, []string{"https://example.com/id_token"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rule := jwtgate.NoClaim(tt.names...)
			claims := claimsJSON(tt.claims)
			if tt.name == "an escaped name" {
				claims = strings.Replace(claims, `"at_hash"`, `"at\u005fhash"`, 1)
			}
			token := sign("HS256", secret, `{"alg":"HS256"}`, claims)
			_, err := gate.Require(rule).Verify(t.Context(), token)
			_, early := newGate(t, func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{rule} }).Verify(t.Context(), token)
			if tt.passes {
				require.NoError(t, err)
				require.NoError(t, early)
				return
			}
			requireRefused(t, err, 403, jwtgate.ErrForbidden)
			requireRefused(t, early, 401, jwtgate.ErrClaim)
		})
	}
	require.ErrorIs(t, jwtgate.NoClaim("at_hash").Check(nil, &jwtgate.Token{}), jwtgate.ErrForbidden, "a hand-made Token")

	names := []string{"at_hash"}
	rule := jwtgate.NoClaim(names...)
	names[0] = "x"
	_, err := gate.Require(rule).Verify(t.Context(), hs256Token(map[string]any{"at_hash": "x"}))
	require.Error(t, err, "the rule has its own copy of the names")
	for _, names := range [][]string{nil, {""}, {"at_hash", ""}, {"/a~2"}, {"/~"}} {
		assert.Panics(t, func() { jwtgate.NoClaim(names...) }, "%q", names)
	}
}

// A structRule is a rule whose value cannot be nil.
type structRule struct{ err error }

func (r structRule) Check(*http.Request, *jwtgate.Token) error { return r.err }

func TestRuleOfStructType(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	_, err := gate.Require(structRule{}).Verify(t.Context(), hs256Token(nil))
	require.NoError(t, err)
	_, err = gate.Require(&structRule{errors.New("no")}).Verify(t.Context(), hs256Token(nil))
	require.Error(t, err)
}

func TestScope(t *testing.T) {
	t.Parallel()
	for scope, passes := range map[string]bool{"orders:read": true, "orders:rea": false, "orders": false, "orders:read2": false, "Orders:read": false} {
		err := jwtgate.Scope(scope).Check(nil, &jwtgate.Token{Scopes: []string{"x", "orders:read"}})
		assert.Equal(t, passes, err == nil, scope)
	}
}

// The log says what a rule wanted and what the token has, and in Options.Rules, where the answer is
// 401, it does not speak of rights. acceptance 33
func TestRuleTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\U0001f600", 300)
	token := hs256Token(map[string]any{
		"token_use": "id", "roles": []any{"a", "b", 7, nil, map[string]any{}, []int{1}}, "many": strings.Split(strings.Repeat("role ", 99), " "),
		"tenant": 42, "yes": true, "object": map[string]any{"a": 1}, "empty": []int{}, "long": long, "longs": []string{long, long}, long: long,
	})
	rule := func(err error) jwtgate.Rule {
		return jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { return err })
	}
	for _, tt := range []struct {
		rule jwtgate.Rule
		text string
	}{
		{jwtgate.Claim("token_use", "access"), `claim "token_use" is "id", wanted "access"`},
		{jwtgate.Claim("token_use", "access", "api"), `claim "token_use" is "id", wanted one of "access", "api"`},
		{jwtgate.Claim("token_use", strings.Split("access1 access2 access3 access4 access5 access6", " ")...), `claim "token_use" is "id", wanted one of "access1", "access2", "access3", "access4" and 2 more`},
		{jwtgate.Claim("roles", "admin"), `claim "roles" is ["a", "b", 7, null, an object, an array], wanted "admin"`},
		{jwtgate.Claim("many", "admin"), `claim "many" is ["role", "role", "role", "role", "role", "role" and 94 more], wanted "admin"`},
		{jwtgate.Claim("tenant", "7"), `claim "tenant" is 42, wanted "7"`},
		{jwtgate.Claim("yes", "false"), `claim "yes" is true, wanted "false"`},
		{jwtgate.Claim("object", "a"), `claim "object" is an object, wanted "a"`},
		{jwtgate.Claim("/object/a", "2"), `claim "/object/a" is 1, wanted "2"`},
		{jwtgate.Claim("empty", "a"), `claim "empty" is [], wanted "a"`},
		{jwtgate.Claim("x", "a"), `no claim "x", wanted "a"`},
		{jwtgate.Claim("object/a", "1"), `no claim "object/a", wanted "1"; a path into a claim starts with a slash`},
		{jwtgate.Claim("object.a", "1"), `no claim "object.a", wanted "1"; a path into a claim starts with a slash and has slashes for dots`},
		{jwtgate.Claim("https://example.com/x", "1"), `no claim "https://example.com/x", wanted "1"`},
		{jwtgate.NoClaim("token_use"), `the token has a claim that NoClaim excludes: "token_use"`},
		{jwtgate.Scope("orders:delete"), `lacks scope "orders:delete"; the token has "orders:read orders:write"`},
		{jwtgate.AnyOf(jwtgate.Scope("admin"), jwtgate.Claim("x", "a")), `no alternative passes: lacks scope "admin"; the token has "orders:read orders:wr... | no claim "x", wanted "a"`},
		{jwtgate.AnyOf(jwtgate.Claim("x", "a")), `no claim "x", wanted "a"`},
		{jwtgate.AnyOf(jwtgate.Claim("a", "1"), jwtgate.Claim("b", "2"), rule(errors.New("not you")), jwtgate.Claim("c", "3")), `no alternative passes: no claim "a", wanted "1" | no claim "b", wanted "2" | not you (and 1 more)`},
		{rule(fmt.Errorf("%w: partners only", jwtgate.ErrForbidden)), "partners only"},
	} {
		_, err := newGate(t, func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{tt.rule} }).Verify(t.Context(), token)
		e := requireRefused(t, err, 401, jwtgate.ErrClaim)
		assert.EqualError(t, e.Err, "claim not accepted: "+tt.text)
		require.ErrorIs(t, err, jwtgate.ErrForbidden, "the error of the rule is wrapped")
		assert.Equal(t, "claim", e.Reason())

		_, err = newGate(t).Require(tt.rule).Verify(t.Context(), token)
		e = requireRefused(t, err, 403, jwtgate.ErrForbidden)
		assert.EqualError(t, e.Err, "not enough rights: "+tt.text)
		assert.Less(t, len(err.Error()), 256)
	}
	for _, bounded := range []jwtgate.Rule{jwtgate.Claim("long", long+"x", long+"y"), jwtgate.Claim("longs", long+"x", long+"y"), jwtgate.Claim(long, "x"), jwtgate.Claim(long+"y", "x")} {
		_, err := newGate(t).Require(bounded).Verify(t.Context(), token)
		requireRefused(t, err, 403, jwtgate.ErrForbidden)
		assert.Less(t, len(err.Error()), 256)
		assert.NotRegexp(t, `[^ -~]`, err.Error())
	}

	// An AnyOf whose first error is not ErrForbidden does not speak of rights either.
	_, err := newGate(t, func(o *jwtgate.Options) {
		o.Rules = []jwtgate.Rule{jwtgate.AnyOf(rule(errors.New("not you")), jwtgate.Claim("x", "a"))}
	}).Verify(t.Context(), token)
	assert.EqualError(t, err, `jwtgate: no alternative passes: not you | no claim "x", wanted "a" (status 401)`)

	// The text has at most the first scopes, as they were when the rule was asked.
	scopes := strings.Split("a b c d e f g h i j", " ")
	err = jwtgate.Scope("x").Check(nil, &jwtgate.Token{Scopes: scopes})
	scopes[0] = "changed"
	assert.EqualError(t, err, `not enough rights: lacks scope "x"; the token has "a b c d e f g h" and 2 more`)
	assert.EqualError(t, jwtgate.Scope("x").Check(nil, &jwtgate.Token{}), `not enough rights: lacks scope "x"; the token has no scope and no scp; a Claim rule checks roles and permissions`)
}

func TestAnyOf(t *testing.T) {
	t.Parallel()
	rule := func(err error) jwtgate.Rule {
		return jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { return err })
	}
	first, second := errors.New("first"), errors.New("second")
	down := fmt.Errorf("asking: %w", jwtgate.ErrUnavailable)
	for name, tt := range map[string]struct {
		errs []error
		want error
	}{
		"one passes":                  {[]error{first, nil}, nil},
		"one passes, one unavailable": {[]error{down, nil}, nil},
		"all refuse":                  {[]error{first, second}, first},
		"one unavailable":             {[]error{first, down, second}, down},
		"one with status 503":         {[]error{first, &jwtgate.Error{Status: 503, Err: second}}, second},
	} {
		var rules []jwtgate.Rule
		for _, err := range tt.errs {
			rules = append(rules, rule(err))
		}
		err := jwtgate.AnyOf(rules...).Check(nil, &jwtgate.Token{})
		if tt.want == nil {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorIs(t, err, tt.want, name)
		}
	}
}
