package jwttest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
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
//			Path:   "/orders",
//		})
//	}
//
// A request gets in if the status of the answer is below 400. A redirect to a
// sign-in page therefore counts as getting in: an API should answer 401. Any
// other status is a refusal, and so is a connection that is closed without an
// answer. A case also fails if the handler panics, does not answer within half a
// minute, or fetches an address that a token names.
//
// Each case is a subtest named family/case. The report of a failed case says what
// the request sends, which rule the service breaks, whether the RFC says MUST or
// SHOULD, and how to run the case alone.
//
// Attack sends each request twice: it calls the handler directly, and it sends the
// request over TCP to a server on loopback. A few requests can be sent in only one of
// these ways. A request that net/http itself refuses counts as refused, because
// net/http is part of the service.
//
// The families of cases:
//
//   - valid: good requests in every form that a service has to accept
//   - authorization: malformed, repeated and folded Authorization headers, and trailers
//   - carriage: good tokens outside the Authorization header, in the query, the body,
//     cookies and other headers, which the service must ignore
//   - none, algorithm, confusion, guessed-secret: unsigned tokens, and tokens that
//     choose how they are verified
//   - header-key, kid: tokens that contain their own key, or say where to find it
//   - crit, encrypted, nested, serialisation: headers and formats that change the
//     meaning of a token
//   - segments, base64, json-header, json-claims, duplicate: malformed tokens, and
//     tokens that two parsers read differently
//   - signature, hmac, rsa, ecdsa, eddsa: wrong signatures
//   - times, issuer, audience, subject, type, bound: tokens with a good signature
//     that are expired, meant for another service, of another kind, or sent by a
//     client that does not prove possession of the token's key
//   - size: requests of up to two megabytes
//
// The service must take tokens from the Authorization header. If it takes them from
// another place too, such as a cookie, put the cases of carriage for that place into
// Target.Skip.
//
// Attack calls the handler from several goroutines, but never from two at once. Attack
// listens on loopback, and panics if it cannot.
func Attack(t *testing.T, handler http.Handler, target Target) {
	t.Helper()
	runAttack(t, handler, target, func(string) bool { return true })
}

// runAttack is Attack, but sends a case over TCP only if overTCPToo returns true for
// its family, or if the case can be sent only over TCP.
func runAttack(t *testing.T, handler http.Handler, target Target, overTCPToo func(family string) bool) {
	t.Helper()
	if handler == nil {
		t.Fatal("jwttest.Attack: the handler is nil")
	}
	attackers := newAttackersServer()
	t.Cleanup(attackers.Close)
	cases, err := newCases(target, attackers.URL)
	if err != nil {
		t.Fatalf("jwttest.Attack: %v", err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // net/http logs each malformed request
	server.Start()
	t.Cleanup(server.Close)
	a := &attack{handler: handler, address: server.Listener.Addr().String(), attackers: attackers, overTCPToo: overTCPToo}

	if report := a.try(t, cases[0]); report != "" {
		t.Fatalf("%s\n\nNothing else was tried: a service must pass this plain good request first. If it refuses every token,\n"+
			"its refusals of bad tokens prove nothing. Check that the Target fits the service: Key, Algorithm and KeyID;\n"+
			"Issuer and Audience; the Header and Claims that the service requires; Method and Path; Now.", report)
	}
	var summary []string
	for family, cases := range byFamily(cases) {
		failed := 0
		t.Run(family, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					if report := a.try(t, c); report != "" {
						failed++
						t.Error(report)
					}
				})
			}
		})
		if failed > 0 {
			summary = append(summary, fmt.Sprintf("%d of %d in %s", failed, len(cases), family))
		}
	}
	if summary != nil {
		t.Logf("jwttest.Attack: of %d cases these failed (one hole can fail many cases of a family): %s", len(cases), strings.Join(summary, ", "))
	}
	// A service may fetch an address after it has answered the request.
	for _, path := range attackers.remainingHits() {
		t.Errorf("FETCHED: %s, after the request was answered\n\n%s", strings.TrimPrefix(path, "/"), fetched)
	}
}

// An attack is the state that the cases of one Attack share.
type attack struct {
	handler    http.Handler
	address    string // of a server with handler
	attackers  *attackersServer
	overTCPToo func(family string) bool
}

// answerTimeout is how long Attack waits for an answer before it reports NO ANSWER.
const answerTimeout = 30 * time.Second

// try sends the request of a case and returns a report. The report is "" if the
// service passes.
func (a *attack) try(t *testing.T, c attackCase) string {
	t.Helper()
	verdict := ""
	var outcomes []string
	for _, d := range []delivery{directly, overTCP} {
		if !a.delivers(c, d) {
			continue
		}
		send := a.callHandler
		if d == overTCP {
			send = a.sendOverTCP
		}
		ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
		status, err := send(ctx, c.request)
		cancel()
		gotIn := status > 0 && status < 400
		switch {
		case errors.Is(err, errPanic):
			verdict = "PANICKED"
		case errors.Is(err, errNotSent):
			verdict = "NOT SENT"
		case errors.Is(err, os.ErrDeadlineExceeded):
			verdict = cmp.Or(verdict, "NO ANSWER")
			err = fmt.Errorf("after %v", answerTimeout)
		case gotIn && !c.accept:
			verdict = cmp.Or(verdict, "GOT IN")
		case !gotIn && c.accept:
			verdict = cmp.Or(verdict, "REFUSED ALTHOUGH VALID")
		}
		outcome := fmt.Sprintf("%d %s", status, http.StatusText(status))
		if status == 0 {
			outcome = fmt.Sprintf("no answer (%v)", err)
		}
		outcomes = append(outcomes, outcome+", "+string(d))
	}
	outcome := strings.Join(outcomes, "; ")
	report := ""
	if verdict != "" {
		report = c.report(t.Name(), verdict, outcome)
	}
	if c.namesServer && a.attackers.takeHit(c.path()) {
		c.rule, c.level = "RFC 8725 section 3.10", recommended
		report = strings.TrimPrefix(report+"\n\n", "\n\n") + c.report(t.Name(), "FETCHED", outcome) + "\n\n" + fetched
	}
	return report
}

// delivers reports whether Attack sends the request of c by d.
func (a *attack) delivers(c attackCase, d delivery) bool {
	if c.request.only != "" {
		return d == c.request.only
	}
	return d == directly || a.overTCPToo(c.family)
}

// fetched explains the verdict FETCHED.
const fetched = "The service requested an address that it found in the token. The sender of a token thereby\n" +
	"chooses what the service connects to, and perhaps which keys the service trusts. Request only\n" +
	"addresses that the service is configured with."

// errPanic is the error of callHandler for a handler that panics.
var errPanic = errors.New("the handler panicked")

// errAborted is the error of callHandler for a handler that panics with
// [http.ErrAbortHandler], after which a server closes the connection.
var errAborted = errors.New("the handler closed the connection")

// callHandler sends a request by calling the handler. A status of 0 means that
// there is no answer.
func (a *attack) callHandler(ctx context.Context, r request) (status int, err error) {
	w := httptest.NewRecorder()
	w.Code = 0 // until the handler answers
	done := make(chan error, 1)
	go func() {
		defer func() {
			switch p := recover(); p {
			case nil:
				w.WriteHeader(http.StatusOK) // does nothing if the handler has answered
				done <- nil
			case http.ErrAbortHandler:
				done <- errAborted
			default:
				done <- fmt.Errorf("%w: %v", errPanic, p)
			}
		}()
		a.handler.ServeHTTP(w, r.http(ctx))
	}()
	select {
	case err := <-done:
		if errors.Is(err, errPanic) {
			return 0, err
		}
		return w.Code, err
	case <-ctx.Done():
		return 0, os.ErrDeadlineExceeded
	}
}

// errNotSent is the error of sendOverTCP if there is no connection, which is not the
// fault of the handler.
var errNotSent = errors.New("cannot connect to the server on loopback")

// sendOverTCP sends a request over a new connection. A status of 0 means that
// there is no answer.
func (a *attack) sendOverTCP(ctx context.Context, r request) (status int, err error) {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", a.address)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNotSent, err)
	}
	defer connection.Close()
	deadline, _ := ctx.Deadline()
	if err := connection.SetDeadline(deadline); err != nil {
		return 0, err
	}
	// A server may answer and close the connection before it has read the whole
	// request. Write then fails although there is an answer to read.
	_, writeErr := connection.Write(r.bytes())
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: r.method})
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		return 0, cmp.Or(writeErr, err)
	}
	response.Body.Close()
	return response.StatusCode, nil
}
