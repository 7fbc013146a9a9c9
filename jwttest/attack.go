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

// A Target is what [Attack] has to know of a service: how to make a token that
// it accepts.
type Target struct {
	_ struct{} // keyed literals only: fields will be added

	// Key signs the service's tokens with Algorithm, which is one of those of
	// [github.com/jwtgate/jwtgate.NewKey]: a []byte secret, an *rsa.PrivateKey,
	// an *ecdsa.PrivateKey or an ed25519.PrivateKey. Make one for the test:
	// tokens signed with it show in reports.
	Key       any
	Algorithm string
	// KeyID is the ID under which the service has the key. Leave it empty if the
	// key has none there and tokens may name any: then no token names one.
	KeyID string
	// Issuer and Audience are the iss and aud that the service expects. If one is
	// empty, tokens go without, and no case plays with it.
	Issuer, Audience string

	// Header and Claims are what else a good token has, such as scope or typ. A
	// nil value leaves out what is there by default: typ, sub, exp, iat, jti and
	// client_id. The sub of the tokens is "jwttest" unless Claims has another.
	Header, Claims map[string]any

	// Method and Path are of a request that is answered with a status below 400
	// if its token is good. Empty, they mean GET and "/".
	Method, Path string

	// Strict adds the cases where an RFC lets a service choose and jwtgate is the
	// stricter, such as a member that stands twice. Without it there are those
	// where an RFC says MUST or SHOULD.
	Strict bool
	// Skip leaves out cases, or whole families of them, by the names in the
	// reports: "times/exp-missing", "carriage".
	Skip []string

	// Now is the service's clock; nil means [time.Now].
	Now func() time.Time
}

// Attack sends hostile requests to a handler, whatever library guards it, and
// fails t for each that gets in, with a report: what it sends, the rule it
// breaks and how firm that is, and how to run it alone. Good requests in
// unusual forms are among them, so that a gate which refuses everything fails
// too.
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
// A request got in if its status is below 400: a redirect to a page that signs
// users in is a way to refuse, but not one that an API should have. Any other
// status is a refusal, and so is a connection that is closed without an answer.
// It is also a failure if the handler panics, does not answer within half a
// minute, or fetches an address that a token names.
//
// Each case is a subtest called family/case. It is sent twice, by calling the
// handler and over TCP through a server on loopback, unless it is one that
// exists in one of the two only. What net/http itself refuses counts as refused:
// it is between the handler and whoever attacks it.
//
// The families, in their order:
//
//   - valid: good requests in all the forms that a service has to expect
//   - authorization: the grammar of the header, repeated and folded headers, trailers
//   - carriage: good tokens in the query, the body, cookies and other headers
//   - none, algorithm, confusion, guessed-secret: unsigned tokens, and such as
//     choose how they are verified
//   - header-key, kid: tokens that bring their own key, or say where to find it
//   - crit, encrypted, nested, serialisation: what changes the meaning of a token
//   - segments, base64, json-header, json-claims, duplicate: what is not quite a
//     token, or is more than one to different readers
//   - signature, hmac, rsa, ecdsa, eddsa: signatures that are not the token's
//   - times, issuer, audience, subject, type, bound: tokens of the right key that
//     are not good here, not now, or not from this client
//   - size: up to two megabytes
//
// Tokens are sent in the Authorization header. The handler is called from
// several goroutines, but by one at a time. Attack listens on loopback, and
// panics if it cannot.
func Attack(t *testing.T, handler http.Handler, target Target) {
	t.Helper()
	if handler == nil {
		t.Fatal("jwttest.Attack: the handler is nil")
	}
	b := newBait()
	t.Cleanup(b.server.Close)
	cases, err := newCorpus(target, b.server.URL)
	if err != nil {
		t.Fatalf("jwttest.Attack: %v", err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of each bad request
	server.Start()
	t.Cleanup(server.Close)
	a := &attack{handler: handler, address: server.Listener.Addr().String(), bait: b}

	if report := a.try(t, cases[0]); report != "" {
		t.Fatalf("%s\n\nNothing else was tried: where a plain good token is refused, refusing tells nothing.\n"+
			"If the service is as it should be, the Target is not.", report)
	}
	var summary []string
	for family, cases := range byFamily(cases) {
		wrong := 0
		t.Run(family, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					if report := a.try(t, c); report != "" {
						wrong++
						t.Error(report)
					}
				})
			}
		})
		if wrong > 0 {
			summary = append(summary, fmt.Sprintf("%d of %d in %s", wrong, len(cases), family))
		}
	}
	if summary != nil {
		t.Logf("jwttest.Attack: of %d cases these went wrong, and many of a family may be one hole: %s", len(cases), strings.Join(summary, ", "))
	}
	// Some fetch only after they have answered.
	for _, path := range b.remainingHits() {
		t.Errorf("FETCHED: %s, at some time after it was answered\n\n%s", strings.TrimPrefix(path, "/"), fetched)
	}
}

// attack is what the cases of one Attack share.
type attack struct {
	handler http.Handler
	address string
	bait    *bait
}

// patience is how long an answer may take. It is there to end a test, not to
// judge the handler.
const answerTimeout = 30 * time.Second

// try sends the request of a case in both ways and returns a report, "" if all
// is well.
func (a *attack) try(t *testing.T, p attackCase) string {
	t.Helper()
	verdict := ""
	var statuses []string
	for _, w := range []delivery{directly, overTCP} {
		if p.request.only != "" && p.request.only != w {
			continue
		}
		send := a.callHandler
		if w == overTCP {
			send = a.sendOverTCP
		}
		ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
		status, err := send(ctx, p.request)
		cancel()
		in := status > 0 && status < 400
		switch {
		case errors.Is(err, errPanic):
			verdict = "PANICKED"
		case errors.Is(err, errNotSent):
			verdict = "NOT SENT"
		case errors.Is(err, os.ErrDeadlineExceeded):
			verdict = cmp.Or(verdict, "NO ANSWER")
		case in && !p.accept:
			verdict = cmp.Or(verdict, "GOT IN")
		case !in && p.accept:
			verdict = cmp.Or(verdict, "REFUSED ALTHOUGH VALID")
		}
		outcome := fmt.Sprintf("%d %s", status, http.StatusText(status))
		if status == 0 {
			outcome = fmt.Sprintf("no answer (%v)", err)
		}
		statuses = append(statuses, outcome+", "+string(w))
	}
	report := ""
	if verdict != "" {
		report = p.report(t.Name(), verdict, strings.Join(statuses, "; "))
	}
	if p.bait && a.bait.takeHit(p.path()) {
		p.rule, p.firm = "RFC 8725 section 3.10", advised
		report = strings.TrimPrefix(report+"\n\n", "\n\n") + p.report(t.Name(), "FETCHED", strings.Join(statuses, "; ")) + "\n\n" + fetched
	}
	return report
}

const fetched = "The service requested an address that only a token had named. Whoever sends one so chooses\n" +
	"what the service connects to, and perhaps which keys it trusts."

var errPanic = errors.New("the handler panicked")

// call sends a request by calling the handler.
func (a *attack) callHandler(ctx context.Context, r request) (status int, err error) {
	w := httptest.NewRecorder()
	done := make(chan error, 1)
	go func() {
		defer func() {
			p := recover()
			if p == nil || p == http.ErrAbortHandler { // which closes the connection, no more
				done <- nil
				return
			}
			done <- fmt.Errorf("%w: %v", errPanic, p)
		}()
		a.handler.ServeHTTP(w, r.http(ctx))
	}()
	select {
	case err := <-done:
		if err != nil {
			return 0, err
		}
		return w.Code, nil
	case <-ctx.Done():
		return 0, os.ErrDeadlineExceeded
	}
}

// errNotSent is for what no handler is to blame for.
var errNotSent = errors.New("cannot connect to the server on loopback")

// dial sends a request over a connection of its own.
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
	// A server may answer and close before it has read everything, so the
	// answer counts and not what became of the writing.
	_, written := connection.Write(r.bytes())
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: r.method})
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		return 0, cmp.Or(written, err)
	}
	response.Body.Close()
	return response.StatusCode, nil
}
