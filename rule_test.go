package jwtgate_test

import (
	"errors"
	"fmt"
	"net/http"
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
	// jwtgate: not enough rights: lacks scope "orders:delete" (status 403)
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
