package jwtgate

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jwtgate/jwtgate/internal/charset"
	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/logtext"
	"github.com/jwtgate/jwtgate/internal/typednil"
)

// A Rule decides whether a verified token is sufficient. It must be safe for
// concurrent use and must do no I/O; Options.Validate may. To make a Rule of a function
// f, write RuleFunc(f).
//
// The answer to a rule's error depends on where the rule is used. In
// [Options.Rules] the error means that the token is not meant for this service:
// 401. In [Gate.Require] it means that the token does not grant enough: 403. An
// error that wraps an [*Error] or a sentinel of this package chooses its own answer,
// with one exception: in Options.Rules, ErrForbidden is answered with 401.
//
// Under [Gate.Verify] the method, the URL and the header of the request are empty. The
// URL and the header are not nil.
type Rule interface {
	// Check returns nil if t is sufficient for r, and otherwise the reason.
	Check(r *http.Request, t *Token) error
}

// RuleFunc is a function that is a [Rule].
type RuleFunc func(r *http.Request, t *Token) error

// Check returns f(r, t).
func (f RuleFunc) Check(r *http.Request, t *Token) error { return f(r, t) }

// Scope returns a rule that requires all of the given scopes. Scope panics if there
// are none, and for a scope that is not a scope-token (RFC 6749 section 3.3), such
// as a list in one string. A rule that requires one of two scopes is
// AnyOf(Scope("a"), Scope("b")).
//
// The challenges for a missing token and for a missing scope list the scopes of all rules
// of the gate, those inside [AllOf] included, and of [AnyOf] those of the first
// alternative. If your own Rule calls Check of the rule that
// Scope returns, return the error or wrap it: then the 403 lists the scopes.
func Scope(all ...string) Rule {
	if len(all) == 0 {
		panic("jwtgate.Scope: name at least one scope; without any, every token would pass")
	}
	for _, s := range all {
		if s == "" || strings.Contains(s, " ") || !charset.Challenge.Only(s) {
			panic(fmt.Sprintf("jwtgate.Scope: %q is not one scope; pass each as an argument of its own, "+
				"without spaces, quotes or characters beyond ASCII", s))
		}
	}
	return scopeRule(slices.Clone(all))
}

type scopeRule []string

// maxScopesLogged limits the scopes of a token that a refusal logs.
const maxScopesLogged = 8

func (s scopeRule) Check(_ *http.Request, t *Token) error {
	for _, scope := range s {
		if !slices.Contains(t.Scopes, scope) {
			// t belongs to the caller, who may change it before the error is printed.
			granted := slices.Clone(t.Scopes[:min(len(t.Scopes), maxScopesLogged)])
			return &scopeError{scope: strings.Join(s, " "), missing: scope, granted: granted, more: len(t.Scopes) - len(granted)}
		}
	}
	return nil
}

// scopesOf returns the scopes of all Scope rules among rules, also inside AllOf. Of AnyOf
// it takes the first alternative: any one is enough, and the first is the one that the
// program prefers.
func scopesOf(rules []Rule) (all []string) {
	for _, rule := range rules {
		switch rule := rule.(type) {
		case scopeRule:
			all = append(all, rule...)
		case allOf:
			all = append(all, scopesOf(rule)...)
		case anyOf:
			all = append(all, scopesOf(rule[:1])...)
		}
	}
	return all
}

// mergeScopes returns the scopes of base and of more, each once. more and the result
// are space-separated.
func mergeScopes(base []string, more string) string {
	var all []string
	for _, s := range append(slices.Clone(base), strings.Fields(more)...) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return strings.Join(all, " ")
}

// Claim returns a rule that requires a claim with one of the given values: a role,
// a group, a tenant. The claim is one of these values, or an array that contains one
// of them. Strings are compared exactly. Integers, true and false are compared as they
// are written in JSON: Claim("email_verified", "true").
//
// Claim is also the rule for roles, which each issuer writes into a claim of its own:
// Claim("roles", "admin", "owner") requires one of two roles.
//
// A name that starts with a slash is a JSON Pointer (RFC 6901), such as
// "/realm_access/roles". Any other name is the name of a top-level claim, dots and
// slashes included.
//
// Claim panics if the name is empty or a malformed pointer, if there are no values,
// and if one of them is empty.
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
	return &claimRule{claimPath: newClaimPath("jwtgate.Claim", name), oneOf: slices.Clone(oneOf)}
}

type claimRule struct {
	claimPath
	oneOf []string
}

func (c *claimRule) Check(_ *http.Request, t *Token) error {
	if t.origin == nil {
		return errMadeByHand
	}
	value, ok := c.find(t.origin.verified.claims)
	if !ok {
		return refuseWith(ErrForbidden, c.missing)
	}
	if c.matches(value) {
		return nil
	}
	elements, _ := jsonobj.Elements(value, nil)
	if slices.ContainsFunc(elements, c.matches) {
		return nil
	}
	return refuseWith(ErrForbidden, func() string {
		text := "claim " + logtext.QuoteUpTo(c.name, 48) + " is " + describeClaim(value) + c.wanted()
		if s, ok := jsonobj.String(value); ok {
			for _, name := range strings.FieldsFunc(s, separatesNames) {
				if slices.Contains(c.oneOf, name) {
					return text + "; the list must be a JSON array"
				}
			}
		}
		return text
	})
}

// missing says that the token lacks the claim.
func (c *claimRule) missing() string {
	text := "no claim " + logtext.QuoteUpTo(c.name, 64) + c.wanted()
	dots, slashes := strings.Contains(c.name, "."), strings.Contains(c.name, "/")
	if c.name[0] != '/' && dots != slashes { // a name with both is probably a URL
		text += "; a path into a claim starts with a slash"
		if dots {
			text += " and has slashes for dots"
		}
	}
	return text
}

// wanted says which values are accepted.
func (c *claimRule) wanted() string {
	if len(c.oneOf) == 1 {
		return ", wanted " + logtext.QuoteUpTo(c.oneOf[0], 50)
	}
	return ", wanted one of " + logtext.List(c.oneOf, 50)
}

// describeClaim returns raw, a JSON value, for a log: strings quoted, the elements of an
// array, and the kind of an object.
func describeClaim(raw string) string {
	if elements, ok := jsonobj.Elements(raw, nil); ok {
		return "[" + logtext.ListFunc(elements, 50, describeElement) + "]"
	}
	return describeElement(raw)
}

// describeElement is describeClaim without the elements of an array.
func describeElement(raw string) string {
	if s, ok := jsonobj.String(raw); ok {
		return logtext.QuoteUpTo(s, 50)
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return cutText(raw, 32)
}

// errMadeByHand is the refusal of a Token that no gate verified.
var errMadeByHand = refuse(ErrForbidden, "the token was made by hand and has no claims", "")

// NoClaim returns a rule that refuses a token with any of the named claims, whatever
// its value, null included. Names are written as for [Claim].
//
// Use NoClaim in [Options.Rules] where an issuer makes access tokens and ID tokens
// alike, with the same typ and the same aud. NoClaim("at_hash") then keeps ID tokens
// out: at_hash is the hash of the access token that was issued beside the ID token
// (OpenID Connect Core 1.0 section 3.1.3.6), and an access token has none. at_hash is
// optional in ID tokens that come from the token endpoint, so check first that your
// issuer writes it.
//
// NoClaim panics if there are no names, and if one of them is empty or a malformed
// pointer.
func NoClaim(names ...string) Rule {
	if len(names) == 0 {
		panic("jwtgate.NoClaim: name at least one claim; without any, every token would pass")
	}
	var rule noClaimRule
	for _, name := range names {
		if name == "" {
			panic("jwtgate.NoClaim: one of the names is empty; was a setting not loaded?")
		}
		rule = append(rule, newClaimPath("jwtgate.NoClaim", name))
	}
	return rule
}

type noClaimRule []claimPath

func (n noClaimRule) Check(_ *http.Request, t *Token) error {
	if t.origin == nil {
		return errMadeByHand
	}
	for _, path := range n {
		if _, found := path.find(t.origin.verified.claims); found {
			return refuse(ErrForbidden, "the token has a claim that NoClaim excludes:", path.name)
		}
	}
	return nil
}

// A claimPath leads to one value among the claims of a token.
type claimPath struct {
	name  string   // as the user wrote it
	steps []string // names of members and indexes of elements, from the outside inward
}

// newClaimPath returns the path that name means: a JSON Pointer if it starts with a
// slash, and otherwise the name of a top-level claim. It panics for a malformed
// pointer.
func newClaimPath(caller, name string) claimPath {
	path := claimPath{name: name, steps: []string{name}}
	if name[0] != '/' {
		return path
	}
	path.steps = strings.Split(name[1:], "/")
	for i, step := range path.steps {
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(step), "~") {
			panic(fmt.Sprintf("%s: %q is not a JSON Pointer: ~ may occur only in ~0 and ~1", caller, name))
		}
		path.steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
	}
	return path
}

// find returns the raw value that p leads to. claims is a JSON object.
func (p *claimPath) find(claims string) (value string, found bool) {
	value = claims
	for _, step := range p.steps {
		if value, found = child(value, step); !found {
			return "", false
		}
	}
	return value, true
}

// child returns the member or array element of value that step, a reference token
// of a JSON Pointer, names.
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

// matches reports whether raw, a JSON value, is one of the accepted values.
func (c *claimRule) matches(raw string) bool {
	if s, ok := jsonobj.String(raw); ok {
		return slices.Contains(c.oneOf, s)
	}
	return (raw == "true" || raw == "false" || isInteger(raw)) && slices.Contains(c.oneOf, raw)
}

// isInteger reports whether raw, a JSON value, is an integer without fraction and
// exponent.
func isInteger(raw string) bool {
	digits := strings.TrimPrefix(raw, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// AllOf returns a rule that passes if all of the given rules pass. It returns the error of
// the first one that does not. It is for use inside [AnyOf]: [Gate.Require] takes several
// rules itself. AllOf panics if there are no rules, and for a nil rule.
func AllOf(rules ...Rule) Rule {
	if len(rules) == 0 {
		panic("jwtgate.AllOf: pass at least one rule; without any, every token would pass")
	}
	mustRules("jwtgate.AllOf", rules)
	return allOf(slices.Clone(rules))
}

type allOf []Rule

func (a allOf) Check(r *http.Request, t *Token) error {
	for _, rule := range a {
		if err := rule.Check(r, t); err != nil {
			return err
		}
	}
	return nil
}

// AnyOf returns a rule that passes if at least one of the given rules passes. If none
// passes, and an error is answered with 503, it returns that error. Otherwise it returns
// an error that wraps the first error, and whose text has the first three. A challenge
// names the scopes of the first rule. AnyOf panics if there are no rules, and for a nil
// rule.
func AnyOf(rules ...Rule) Rule {
	if len(rules) == 0 {
		panic("jwtgate.AnyOf: pass at least one rule")
	}
	mustRules("jwtgate.AnyOf", rules)
	return anyOf(slices.Clone(rules))
}

type anyOf []Rule

func (a anyOf) Check(r *http.Request, t *Token) error {
	var unavailable error
	var refused []error
	for _, rule := range a {
		err := rule.Check(r, t)
		if err == nil {
			return nil
		}
		refused = append(refused, err)
		if unavailable == nil && toError(err, fromRequire).Status == http.StatusServiceUnavailable {
			unavailable = err
		}
	}
	switch {
	case unavailable != nil:
		return unavailable
	case len(refused) == 1:
		return refused[0]
	}
	return &anyOfError{refused}
}

// An anyOfError is the error of AnyOf. It wraps the first error.
type anyOfError struct{ refused []error }

func (e *anyOfError) Error() string {
	if errors.Is(e.refused[0], ErrForbidden) {
		return ErrForbidden.Error() + ": " + e.details()
	}
	return e.details()
}

// details returns the text without that of ErrForbidden.
func (e *anyOfError) details() string {
	const limit = 3
	var texts []string
	for _, err := range e.refused[:min(len(e.refused), limit)] {
		text := detailsOf(err)
		if len(text) > 60 {
			text = strings.ToValidUTF8(text[:57], "") + "..."
		}
		texts = append(texts, text)
	}
	more := ""
	if n := len(e.refused) - limit; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return "no alternative passes: " + strings.Join(texts, " | ") + more
}

func (e *anyOfError) Unwrap() error { return e.refused[0] }

// mustRules panics if one of rules is nil.
func mustRules(caller string, rules []Rule) {
	for i, rule := range rules {
		if typednil.Is(rule) {
			panic(fmt.Sprintf("%s: rule %d is nil", caller, i+1))
		}
	}
}
