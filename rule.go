package jwtgate

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

// A Rule decides whether a verified token is good enough. It must be safe for
// concurrent use and do no I/O: Options.Validate is for that.
//
// What a failure means depends on where the rule stands: in [Options] it says
// that the token is none of ours (401), in [Gate.Require] that it does not
// grant enough (403). An error that wraps one of the package's sentinels, or is
// an [*Error], chooses its own answer.
//
// Under [Gate.Verify] the request has the context and nothing else.
type Rule interface {
	Check(r *http.Request, t *Token) error
}

// RuleFunc makes a function a [Rule].
type RuleFunc func(r *http.Request, t *Token) error

// Check calls f.
func (f RuleFunc) Check(r *http.Request, t *Token) error { return f(r, t) }

// Scope returns a rule that asks for every one of the given scopes. It panics
// without any, and for one that is not a scope-token (RFC 6749 section 3.3),
// such as a list in one string.
//
// A challenge names the scopes of a rule that is given to [Gate.Require] as it is.
// Inside a rule of your own they are named only to a client whose token lacks
// one, and only if your rule returns the error of this one.
func Scope(all ...string) Rule {
	if len(all) == 0 {
		panic("jwtgate.Scope: name at least one scope; without any, every token would pass")
	}
	for _, s := range all {
		if s == "" || strings.Contains(s, " ") || ascii(s) != s {
			panic(fmt.Sprintf("jwtgate.Scope: %q is not one scope; pass each as an argument of its own, "+
				"without spaces, quotes or characters beyond ASCII", s))
		}
	}
	return scopeRule(slices.Clone(all))
}

type scopeRule []string

func (s scopeRule) Check(_ *http.Request, t *Token) error {
	for _, scope := range s {
		if !slices.Contains(t.Scopes, scope) {
			return &scopeError{scope: strings.Join(s, " "), missing: scope}
		}
	}
	return nil
}

// A scopeError is what a Scope rule fails with. It becomes 401 or 403 by where
// the rule stands, so it cannot be an Error yet.
type scopeError struct{ scope, missing string }

func (e *scopeError) Error() string {
	return ErrForbidden.Error() + ": lacks scope " + quote(e.missing)
}
func (e *scopeError) Unwrap() error { return ErrForbidden }

// scopesOf returns what the Scope rules among rules ask for together. Rules
// inside AnyOf ask for none of it for certain.
func scopesOf(rules []Rule) (all []string) {
	for _, rule := range rules {
		if s, ok := rule.(scopeRule); ok {
			all = append(all, s...)
		}
	}
	return all
}

// mergeScopes returns a list with each scope of base and of more once.
func mergeScopes(base []string, more string) string {
	var all []string
	for _, s := range append(slices.Clone(base), strings.Fields(more)...) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return strings.Join(all, " ")
}

// Claim returns a rule that asks for a claim with one of the given values:
// roles, groups, a tenant. The claim is a value or an array that holds one. A
// string is compared exactly; true, false and integers are compared as they are
// written in JSON.
//
// A name that starts with a slash is a JSON Pointer (RFC 6901), such as
// "/realm_access/roles"; any other is the name of a claim as it stands, dots
// and slashes included.
//
// Claim panics without a name, without values, for an empty one, and for a
// malformed pointer.
func Claim(name string, oneOf ...string) Rule {
	if name == "" {
		panic("jwtgate.Claim: name the claim")
	}
	if len(oneOf) == 0 {
		panic(fmt.Sprintf("jwtgate.Claim: name the values of %q that are good enough; without any, no check would be left", name))
	}
	if slices.Contains(oneOf, "") {
		panic(fmt.Sprintf("jwtgate.Claim: one of the values of %q is empty, and an empty claim would pass; was a setting not loaded?", name))
	}
	rule := claimRule{name: name, path: []string{name}, oneOf: slices.Clone(oneOf)}
	if name[0] == '/' {
		rule.path = strings.Split(name[1:], "/")
		for i, step := range rule.path {
			if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(step), "~") {
				panic(fmt.Sprintf("jwtgate.Claim: %q is not a JSON Pointer: ~ stands only in ~0 and ~1", name))
			}
			rule.path[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		}
	}
	return &rule
}

type claimRule struct {
	name  string
	path  []string
	oneOf []string
}

func (c *claimRule) Check(_ *http.Request, t *Token) error {
	if t.verified == nil {
		return refuse(ErrForbidden, "the token was made by hand and has no claims", "")
	}
	value := t.verified.record.payload
	for _, step := range c.path {
		var ok bool
		if value, ok = child(value, step); !ok {
			return refuse(ErrForbidden, "no claim", c.name)
		}
	}
	if c.matches(value) {
		return nil
	}
	elements, _ := jsonobj.Elements(value, nil)
	if slices.ContainsFunc(elements, c.matches) {
		return nil
	}
	return refuse(ErrForbidden, "not one of the accepted values in claim", c.name)
}

// child returns the member or array element of value that step names.
func child(value, step string) (string, bool) {
	if elements, ok := jsonobj.Elements(value, nil); ok {
		i, err := strconv.Atoi(step)
		if err != nil || strconv.Itoa(i) != step || i < 0 || i >= len(elements) {
			return "", false
		}
		return elements[i], true
	}
	value, ok, err := jsonobj.Find(value, step)
	return value, ok && err == nil
}

func (c *claimRule) matches(raw string) bool {
	if s, ok := jsonobj.String(raw); ok {
		return slices.Contains(c.oneOf, s)
	}
	return (raw == "true" || raw == "false" || isInteger(raw)) && slices.Contains(c.oneOf, raw)
}

// isInteger tells whether raw, a JSON value, is an integer literal: no
// fraction, no exponent.
func isInteger(raw string) bool {
	digits := strings.TrimPrefix(raw, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// AnyOf returns a rule that passes where one of the given rules does. If none
// does, it fails with the first error that means "cannot tell now" (503), or
// else with the first refusal. It panics without rules, and for a nil one.
func AnyOf(rules ...Rule) Rule {
	if len(rules) == 0 {
		panic("jwtgate.AnyOf: pass at least one rule")
	}
	mustRules("jwtgate.AnyOf", rules)
	return anyOf(slices.Clone(rules))
}

type anyOf []Rule

func (a anyOf) Check(r *http.Request, t *Token) error {
	var first, unsure error
	for _, rule := range a {
		err := rule.Check(r, t)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		if unsure == nil && toError(err, fromRequire).Status == http.StatusServiceUnavailable {
			unsure = err
		}
	}
	if unsure != nil {
		return unsure
	}
	return first
}

// mustRules panics if one of rules is nil.
func mustRules(caller string, rules []Rule) {
	for i, rule := range rules {
		if isNil(rule) {
			panic(fmt.Sprintf("%s: rule %d is nil", caller, i+1))
		}
	}
}
