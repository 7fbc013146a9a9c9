package jwttest

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate"
)

// A Case is what tests see of an attackCase.
type Case struct {
	Family, Name, Rule, Sends string
	Level                     string
	Accept                    bool
	Bytes                     []byte
	Request                   func(context.Context) *http.Request // as the handler gets it when it is called directly
	OnlyTCP                   bool
}

// Corpus returns the cases for a target.
func Corpus(target Target) ([]Case, error) {
	all, err := newCases(target, addresses{"http://127.0.0.1:1", "https://127.0.0.1:1"})
	var cases []Case
	for _, c := range all {
		cases = append(cases, Case{
			Family: c.family, Name: c.name, Rule: c.rule, Sends: c.sends, Level: c.level.String(), Accept: c.accept,
			Bytes: c.request.bytes(), Request: c.request.http, OnlyTCP: c.request.only == overTCP,
		})
	}
	return cases, err
}

// Families returns the names of all families.
func Families() []string {
	var names []string
	for _, f := range families {
		names = append(names, f.name)
	}
	return names
}

// AttackMostlyDirectly is Attack, but sends over TCP only the families given and the
// cases that exist only over TCP.
func AttackMostlyDirectly(t *testing.T, handler http.Handler, target Target, overTCPToo ...string) {
	t.Helper()
	runAttack(t, handler, target, settings{
		overTCPToo: func(family string) bool { return slices.Contains(overTCPToo, family) },
		timeout:    30 * time.Second,
		shortened:  3 * time.Second,
	})
}

// AttackImpatiently is Attack with other timeouts.
func AttackImpatiently(t *testing.T, handler http.Handler, target Target, timeout, shortened time.Duration) {
	t.Helper()
	runAttack(t, handler, target, settings{
		overTCPToo: func(string) bool { return true },
		timeout:    timeout,
		shortened:  shortened,
	})
}

// CheckKeySource is TestKeySource with the time limits of a test that must not
// depend on the speed of the machine.
func CheckKeySource(t *testing.T, source jwtgate.KeySource, call, endedCall, goroutine time.Duration) {
	t.Helper()
	testKeySource(t, source, limits{call: call, endedCall: endedCall, goroutine: goroutine})
}
