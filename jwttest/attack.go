package jwttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Attack sends more than a thousand hostile requests to handler, and fails t for
// each request that gets in. The handler may use any library. Attack also sends good
// requests in unusual forms and fails t if one is refused, so a service that
// refuses everything fails too.
//
//	func TestOrders(t *testing.T) {
//		jwttest.Attack(t, service, jwttest.Target{
//			Key: key, Algorithm: "ES256", KeyID: "test-key",
//			Issuer: "https://auth.example.com/", Audience: "https://api.example.com",
//			Claims: map[string]any{"scope": "orders:read"},
//			Routes: []jwttest.Route{{Path: "/orders"}, {Method: "POST", Path: "/orders", Body: "{}"}},
//		})
//	}
//
// Switch rate limits off for the test, and limits on failed sign-ins too.
//
// # What the answers mean
//
// A request gets in if the status of the answer is below 400. A redirect to a
// sign-in page therefore counts as getting in: an API should answer 401. For services that
// answer refusals with 200, and for handlers that serve anonymous requests, set
// Target.GotIn. Answers that let nobody in mean:
//
//   - 400 to 499, except 429, refuse the request. So do 501 and 505, and a connection
//     that is closed without an answer.
//   - 429 and 503 are no verdict on the token. If the service still passes good requests,
//     Attack reports the case as UNPROVED.
//   - A refusal in the family dpop with another status than the 401 or 400 that a gate
//     answers is reported as WRONG STATUS, if Target.Strict is set.
//   - Any other status from 500 is a fault of the service, which a token must not cause.
//     Attack reports the case as FAILED INSIDE.
//
// A case also fails if the handler panics, does not answer within half a minute, or
// connects to an address that a token names. After the first request without an answer
// Attack waits for 3 seconds only.
//
// Each case is a subtest named family/case. The report of a failed case says what
// the request sends, which rule the service breaks, whether the RFC says MUST or
// SHOULD, and how to run the case alone.
//
// # The good request between the cases
//
// A service that refuses every request, for example because of a rate limit, seems to
// refuse every hostile one. Attack therefore repeats the plain good request after 15
// cases, at the end of each family, and after each case that fails without getting in. It
// also sends a good token that the service has not seen, because a service may remember the
// plain one. The new token has an additional claim, which a service must ignore.
// If the service refuses the good request, Attack reports NOTHING PROVED, with the cases
// that were refused since it last passed. The rest of the family is not sent. Attack
// tries the good request again before the next family. If the service still refuses
// it, or refuses it for the third time, Attack stops. Attack also stops after 30 cases
// that are UNPROVED.
//
// # How requests are sent
//
// Attack sends each request twice: it calls the handler directly, and it sends the
// request over TCP, with HTTP/1.1, to a server on loopback. A few requests can be sent in
// only one of these ways. A request that net/http itself refuses counts as refused,
// because net/http is part of the service. For such a request, 503 and a fault in the
// direct call do not count. A gRPC server needs HTTP/2: attack the
// middleware that guards it, around a handler that does nothing.
//
// Attack calls the handler from several goroutines, but sends a request only after the
// answer to the one before. Attack listens on loopback, and fails t if it cannot.
//
// # The cases
//
// The families of cases:
//
//   - valid: good requests in every form that a service has to accept
//   - authorization: malformed, repeated and folded Authorization headers, and trailers
//   - other-places: good tokens outside the Authorization header, in the query, the body,
//     cookies and other headers, which the service must ignore
//   - none, algorithm, confusion, guessed-secret: unsigned tokens, and tokens that
//     choose how they are verified
//   - header-key, kid: tokens that contain their own key, or say where to find it. The
//     addresses are those of a server with HTTP and of one with HTTPS, whose certificate
//     is self-signed. A connection is enough to fail a case.
//   - crit, encrypted, nested, serialisation: headers and formats that change the
//     meaning of a token
//   - segments, base64, json-header, json-claims, duplicate: malformed tokens, and
//     tokens that two parsers read differently
//   - signature, hmac, rsa, ecdsa, eddsa: wrong signatures
//   - times, issuer, audience, subject, type, bound: tokens with a good signature
//     that are expired, meant for another service, of another kind, or sent by a
//     client that does not prove possession of the token's key
//   - dpop: with Target.Prover, tokens that are bound to a DPoP key, with more than 300 bad
//     proofs: for another request or another token, by another key, malformed, old, without
//     the service's nonce, or used before; one is sent a hundred times at once. Good proofs
//     in unusual forms are among them
//   - size: requests of up to two megabytes
//
// With Target.Prover the requests of all families come with the scheme DPoP and a proof.
//
// The first route of Target.Routes gets all cases, and each other route the first hostile
// case of each family. On twenty routes this takes about a second longer.
//
// The service must take tokens from the Authorization header. If it takes them from
// another place too, such as a cookie, put the cases of other-places for that place into
// Target.Skip.
func Attack(t *testing.T, handler http.Handler, target Target) {
	t.Helper()
	runAttack(t, handler, target, settings{
		overTCPToo: func(string) bool { return true },
		timeout:    30 * time.Second,
		shortened:  3 * time.Second,
	})
}

// settings are what the tests of this package change.
type settings struct {
	// overTCPToo reports whether the cases of a family are sent over TCP too. A case
	// that can be sent only over TCP is sent in any case.
	overTCPToo func(family string) bool
	timeout    time.Duration // for an answer
	shortened  time.Duration // the timeout after the first request without an answer
}

func runAttack(t *testing.T, handler http.Handler, target Target, s settings) {
	t.Helper()
	if handler == nil {
		t.Fatal("jwttest.Attack: the handler is nil")
	}
	a := newAttack(t, handler, target, s)
	cases, err := newCases(target, a.attackers.addresses())
	if err != nil {
		t.Fatalf("jwttest.Attack: %v", err)
	}
	if a.minter, err = newMinter(target); err != nil {
		t.Fatalf("jwttest.Attack: %v", err)
	}

	first := &round{attack: a, good: cases[0], route: target.firstRoute()}
	if r := a.try(cases[0]); r.verdict != passed {
		t.Fatalf("%s\n\nNothing else was tried: a service must pass this plain good request first. If it refuses every token,\n"+
			"its refusals of bad tokens prove nothing. Check that the Target fits the service: Key, Algorithm and KeyID;\n"+
			"Issuer and Audience; the Header and Claims that the service requires; Routes; GotIn; Now;\n"+
			"with Prover, its URL and its algorithm.", cases[0].report(t.Name(), r))
	}
	var summary []string
	for family, cases := range byFamily(cases) {
		if a.stopped {
			break
		}
		failed := 0
		t.Run(family, func(t *testing.T) {
			if first.resume(t) {
				failed = first.send(t, cases)
			}
		})
		if failed > 0 {
			summary = append(summary, fmt.Sprintf("%d of %d in %s", failed, len(cases), family))
		}
	}
	for _, route := range target.otherRoutes() {
		if a.stopped {
			break
		}
		good, samples := cases[0].on(route), samplesFor(route, cases)
		failed := 0
		t.Run(route.name(), func(t *testing.T) {
			if r := a.try(good); r.verdict != passed {
				failed++
				t.Fatalf("%s\n\nNothing else was tried on this route: Target.Routes must have requests that pass each time they are sent.", good.report(t.Name(), r))
			}
			failed = (&round{attack: a, good: good, route: route}).send(t, samples)
		})
		if failed > 0 {
			summary = append(summary, fmt.Sprintf("%d of %d on %s", failed, len(samples), route.name()))
		}
	}
	if summary != nil {
		t.Logf("jwttest.Attack: of %d cases these failed (one hole can fail many cases of a family): %s", a.sent, strings.Join(summary, ", "))
	}
	if a.stopped {
		t.Errorf("jwttest.Attack stopped after %d cases. The cases that it did not send prove nothing.", a.sent)
	}
	// A service may fetch an address after it has answered the request.
	for _, path := range a.attackers.remainingHits() {
		t.Errorf("FETCHED: %s, after the request was answered\n\n%s", path, explanations[fetched])
	}
}

// A round sends cases to one route. Between the cases it repeats the plain good request
// of that route, because a service that refuses every request seems to pass every
// hostile case.
type round struct {
	*attack
	good    attackCase
	route   Route    // of good
	refused []string // the hostile cases that the service has refused since good last passed
	waiting int      // the number of cases since good last passed
	lost    bool     // the service refuses good
}

// repeatAfter is the number of cases after which a round repeats the good request.
const repeatAfter = 15

// send sends the cases, each in a subtest, and returns how many of them failed. It
// returns early if the service refuses the good request.
func (r *round) send(t *testing.T, cases []attackCase) (failed int) {
	for _, c := range cases {
		t.Run(c.subtest(), func(t *testing.T) {
			if !r.applies(c) {
				t.Skip("the service decides by the other of nonce and iat (RFC 9449 section 4.3)")
			}
			if report := r.sendCase(t.Name(), c); report != "" {
				failed++
				t.Error(report)
			}
		})
		if r.waiting >= repeatAfter {
			r.repeatGood(t)
		}
		if r.lost {
			return failed
		}
	}
	if r.waiting > 0 {
		r.repeatGood(t)
	}
	return failed
}

// sendCase sends a case and returns a report, which is "" if the service passes. test is
// the name of the subtest.
func (r *round) sendCase(test string, c attackCase) string {
	result := r.try(c)
	r.sent++
	r.waiting++
	if !c.accept && !result.gotIn {
		r.refused = append(r.refused, c.path())
	}
	report := ""
	if result.verdict != passed {
		report = c.report(test, result)
	}
	switch result.verdict {
	case unproved, refusedValid, failedInside, noAnswer, panicked:
		// Either this request is special, or the service now treats every request so.
		if good, got := r.tryGood(); got.verdict != passed {
			r.lost = true
			loss := r.lossReport(good, got)
			if result.verdict == panicked || result.verdict == noAnswer {
				return report + "\n\n" + loss // the case may be the cause
			}
			return loss
		}
		r.refused, r.waiting = nil, 0
		r.reported[result.verdict]++
		if (result.verdict == unproved || result.verdict == failedInside) && r.reported[result.verdict] > fullReports {
			report, _, _ = strings.Cut(report, "\n")
			report += " (" + result.outcome + "), as above"
		}
		if r.reported[unproved] == maxUnproved {
			r.lost, r.stopped = true, true
			report += fmt.Sprintf("\n\nNOT SENT: all further cases. The service gave no verdict on %d cases", maxUnproved)
		}
	}
	if result.fetched {
		c.rule, c.level, result.verdict = "RFC 8725 section 3.10", recommended, fetched
		report = strings.TrimPrefix(report+"\n\n", "\n\n") + c.report(test, result)
	}
	return report
}

// fullReports is how many cases without a verdict, and how many failures inside, are
// reported in full. Often all have one cause.
const fullReports = 10

// maxUnproved is how many cases may stay without a verdict before Attack stops.
const maxUnproved = 30

// repeatGood sends the good request, and fails t if the service refuses it.
func (r *round) repeatGood(t *testing.T) {
	t.Helper()
	if good, result := r.tryGood(); result.verdict != passed {
		r.lost = true
		t.Error(r.lossReport(good, result))
		return
	}
	r.refused, r.waiting = nil, 0
}

// tryGood sends the plain good request, and then the same request with a token that the
// service has not seen: a service that remembers the plain token may pass it, and refuse
// every other token because there were too many bad ones. tryGood returns the last
// request that it sent.
func (r *round) tryGood() (attackCase, result) {
	result := r.try(r.good)
	if result.verdict != passed {
		return r.good, result
	}
	r.fresh++
	fresh := r.good
	fresh.name, fresh.template = "new-token", bearer(r.minter.freshToken(r.fresh))
	fresh.request = fresh.template.on(r.route)
	return fresh, r.try(fresh)
}

// resume reports whether the service passes the good request. If the last family ended
// early, resume sends the good request again, so that a short disturbance does not end
// the attack. It stops the attack if the service still refuses it, or if this was the
// third disturbance.
func (r *round) resume(t *testing.T) bool {
	t.Helper()
	if !r.lost {
		return true
	}
	r.losses++
	good, result := r.tryGood()
	switch {
	case result.verdict != passed:
		r.stopped = true
		what := "the plain good request"
		if good.name != r.good.name {
			what = "good tokens that it has not seen"
		}
		t.Errorf("NOT SENT: all further cases. The service still refuses %s: %s", what, result.outcome)
	case r.losses == maxLosses:
		r.stopped = true
		t.Errorf("NOT SENT: all further cases. The service has refused the plain good request %d times, but not always", r.losses)
	default:
		t.Log("The service passes the plain good request again.")
		r.refused, r.waiting, r.lost = nil, 0, false
	}
	return !r.stopped
}

// maxLosses is how often a service may refuse the good request before Attack stops.
const maxLosses = 3

// An attack is the state that the rounds of one Attack share.
type attack struct {
	settings
	handler   http.Handler
	gotIn     func(*http.Response) bool // Target.GotIn
	address   string                    // of a server with handler
	attackers *attackersServer
	panics    panics          // of the handler behind the server
	reached   atomic.Bool     // the server has called the handler
	serving   sync.RWMutex    // held for reading while the server calls the handler
	answering sync.Mutex      // held while gotIn is called
	minter    *minter         // of good tokens
	fresh     int             // the number of good tokens that the service had not seen
	sent      int             // cases
	reported  map[verdict]int // how many cases had a verdict while the good request passed
	losses    int             // how often the good request was refused, except the last time
	stopped   bool            // the service refuses the good request, or does so too often
}

// newAttack starts the servers of an attack. They stop when t ends.
func newAttack(t *testing.T, handler http.Handler, target Target, s settings) *attack {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("jwttest.Attack needs a port on loopback: %v", err)
	}
	a := &attack{
		settings: s, handler: handler, gotIn: target.GotIn, address: listener.Addr().String(),
		attackers: newAttackersServer(t), reported: map[verdict]int{},
	}
	if a.gotIn == nil {
		a.gotIn = func(r *http.Response) bool { return r.StatusCode < http.StatusBadRequest }
	}
	server := &http.Server{
		Handler:  a.panics.recorded(a.counted(handler)),
		ErrorLog: log.New(io.Discard, "", 0), // net/http logs each malformed request
	}
	go server.Serve(listener)
	t.Cleanup(func() {
		// Shutdown would wait five seconds for a connection without a request.
		server.Close()
		ended := make(chan struct{})
		go func() {
			a.serving.Lock()
			defer a.serving.Unlock()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(a.timeout): // a handler that hangs must not keep the test from ending
		}
	})
	return a
}

// try sends the request of a case in all ways that the case allows.
func (a *attack) try(c attackCase) result {
	r := result{verdict: passed}
	var outcomes []string
	if c.namesServer {
		a.attackers.expect(c.path())
	}
	for _, d := range []delivery{directly, overTCP} {
		if !a.delivers(c, d) {
			continue
		}
		send := a.callHandler
		if d == overTCP {
			send = a.sendOverTCP
		}
		ctx, cancel := context.WithTimeout(context.Background(), a.timeout)
		e := &exchange{attack: a, deliver: send, ctx: ctx, sent: c.request}
		got := e.sendCase(c)
		r.sent = e.sent
		cancel()
		outcome := fmt.Sprintf("%d %s", got.status, http.StatusText(got.status))
		if got.status == 0 {
			outcome = fmt.Sprintf("no answer (%v)", got.err)
		}
		if errors.Is(got.err, os.ErrDeadlineExceeded) {
			outcome = fmt.Sprintf("no answer after %v", a.timeout)
			a.timeout = a.shortened
		}
		outcomes = append(outcomes, outcome+", "+string(d))
		v := got.verdict(c.accept)
		if v == passed && !c.accept && a.minter.target.Strict && c.status != 0 && got.status != c.status && (d == directly || a.reached.Load()) {
			v = wrongStatus
		}
		// net/http refuses some requests before it calls the handler. That a direct call
		// with such a request makes the handler fail is no fault: a proxy cannot pass on
		// every value of a header.
		failed := func(v verdict) bool { return v == failedInside || v == unproved }
		switch {
		case c.request.only == directly && failed(v):
			v = passed
		case d == overTCP && !a.reached.Swap(false) && failed(r.verdict):
			r.verdict = passed
		}
		r.verdict = max(r.verdict, v)
		r.gotIn = r.gotIn || got.gotIn
		r.stack = cmp.Or(r.stack, got.stack)
		if r.status == 0 || v == r.verdict {
			r.status = got.status
		}
	}
	r.outcome = strings.Join(outcomes, "; ")
	r.fetched = c.namesServer && a.attackers.takeHit(c.path())
	return r
}

// delivers reports whether Attack sends the request of c by d.
func (a *attack) delivers(c attackCase, d delivery) bool {
	if c.request.only != "" {
		return d == c.request.only
	}
	return d == directly || a.overTCPToo(c.family)
}
