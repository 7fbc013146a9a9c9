package jwtgate

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/charset"
	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/jws"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// Authenticated returns a rule that requires a user who has signed in lately or strongly
// enough (RFC 9470): auth_time is at most within ago, by the clock and the leeway of the
// gate, and acr is one of the given values. within 0 means any time, and no acr means any
// way. A client can then send its user to sign in again (step-up authentication):
//
//	mux.Handle("POST /transfers", gate.Require(jwtgate.Authenticated(10*time.Minute, "mfa")).Handler(create))
//
// A token that does not meet the rule is answered with 401 and the code
// insufficient_user_authentication, whether the rule is in [Options.Rules] or in
// [Gate.Require]. The challenge has acr_values, in the given order of preference, and
// max_age in seconds. It also has the scopes of the gate if the token lacks one. The
// claims are those of RFC 9068 section 2.2.1. They are missing in tokens of many
// issuers, which are then refused.
//
// within is rounded up to whole seconds. Authenticated panics if within is 0 and there is
// no acr, if within is negative or positive and less than a second, and for an acr that is
// empty or has a space or a character that a challenge cannot have.
func Authenticated(within time.Duration, acr ...string) Rule {
	switch {
	case within == 0 && len(acr) == 0:
		panic("jwtgate.Authenticated: pass the longest time since the user signed in, or the accepted values of acr")
	case within < 0:
		panic(fmt.Sprintf("jwtgate.Authenticated: %v is negative; pass 0 if the time does not matter", within))
	case within > 0 && within < time.Second:
		panic("jwtgate.Authenticated: " + logtext.TooShort(within, time.Second))
	}
	for _, value := range acr {
		if value == "" || strings.Contains(value, " ") || !charset.Challenge.Only(value) {
			panic(fmt.Sprintf("jwtgate.Authenticated: %q is not one value of acr; pass each as an argument of its own, "+
				"without spaces, quotes or characters beyond ASCII", value))
		}
	}
	rule := &authenticatedRule{within: within, acr: slices.Clone(acr), params: map[string]string{}}
	if len(acr) > 0 {
		rule.params["acr_values"] = strings.Join(acr, " ")
	}
	if within > 0 {
		rule.params["max_age"] = strconv.FormatInt(int64((within+time.Second-1)/time.Second), 10)
	}
	return rule
}

type authenticatedRule struct {
	within time.Duration
	acr    []string
	params map[string]string // of the challenge
}

const codeInsufficientAuthentication = "insufficient_user_authentication"

func (a *authenticatedRule) Check(_ *http.Request, t *Token) error {
	err := a.check(t)
	if err == nil {
		return nil
	}
	return &Error{Status: http.StatusUnauthorized, Code: codeInsufficientAuthentication, Params: a.params, Err: err}
}

func (a *authenticatedRule) check(t *Token) error {
	if t.origin == nil {
		return refuse(ErrAuthentication, "the token was made by hand and has no claims", "")
	}
	claims := t.origin.verified.claims
	if len(a.acr) > 0 {
		raw, found, _ := jsonobj.Find(claims, "acr")
		if acr, ok := jsonobj.String(raw); !found || !ok || !slices.Contains(a.acr, acr) {
			return refuseWith(ErrAuthentication, func() string {
				text := "acr is missing"
				if found {
					text = "acr is " + describeClaim(raw)
				}
				return text + ", wanted is " + logtext.List(a.acr, 80)
			})
		}
	}
	if a.within == 0 {
		return nil
	}
	raw, found, _ := jsonobj.Find(claims, "auth_time")
	if !found {
		return refuse(ErrAuthentication, "auth_time is missing, so it is not known when the user has signed in", "")
	}
	signedIn, ok := jws.Date(raw)
	if !ok {
		return refuseWith(ErrAuthentication, func() string { return "auth_time is " + dateText(raw) })
	}
	f := t.origin.verified.family
	now := f.now()
	switch {
	case now.Sub(signedIn)-f.leeway > a.within:
		return refuseWith(ErrAuthentication, func() string {
			return "the user has signed in " + logtext.Duration(now.Sub(signedIn)) + " ago, wanted is " + logtext.Duration(a.within) + " at most"
		})
	case signedIn.Sub(now) > f.leeway:
		return refuseWith(ErrAuthentication, func() string {
			return "auth_time is " + logtext.Duration(signedIn.Sub(now)) + " ahead of this machine's clock"
		})
	}
	return nil
}

// authenticatedOf returns the rules of Authenticated among rules, also inside AllOf.
func authenticatedOf(rules []Rule) (all allOf) {
	for _, rule := range rules {
		switch rule := rule.(type) {
		case *authenticatedRule:
			all = append(all, rule)
		case allOf:
			all = append(all, authenticatedOf(rule)...)
		}
	}
	return all
}
