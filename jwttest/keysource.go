package jwttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// TestKeySource tests that source keeps to what [jwtgate.KeySource] asks for, in
// subtests of t. Run it under the race detector too:
//
//	func TestSource(t *testing.T) {
//		jwttest.TestKeySource(t, keys.ByIssuer{"https://auth.example.com/": newVault(t)})
//	}
//
// A [keys.ByIssuer] is asked for each of its issuers, so this is how to name one.
// Any other source is asked for the issuer "", as under Options.AnyIssuer, and
// for a made-up one at which nobody listens, unless its CheckIssuers refuses
// them. One that knows neither of the two has no keys for them and fails, since a
// source without keys can break no promise. One that answers with errors alone
// may pass, so a source can be tested in an outage too. The keys must not change
// while the test lasts.
//
// What is asked of a source:
//
//   - It lists the keys of an issuer if no key ID is given, and finds each by its
//     ID. No key is nil or the zero Key.
//   - It gives the same answer each time, except for an error, which is always
//     possible, and leaves alone the slices that it has returned.
//   - It treats key IDs as hostile: control characters, paths, URLs, invalid
//     UTF-8, 256 bytes. They lead to no panic and to no request, and if an error
//     repeats one, the error is printable and has at most 256 bytes.
//   - It returns, at once if the context has ended or ends meanwhile: with an
//     error, or with the answer it would have given anyway.
//   - It is safe for concurrent use.
//   - Calls leave no goroutines behind, those that gave up included.
//
// It makes several hundred calls for each issuer.
func TestKeySource(t *testing.T, source jwtgate.KeySource) {
	t.Helper()
	if source == nil {
		t.Fatal("the source is nil")
	}
	e := &sourceTest{source: source, label: rand.Text(), known: map[string][]string{}, given: map[question]string{}}
	if e.chooseIssuers(); e.problem != nil {
		t.Fatal(e.problem)
	}
	for _, tt := range []struct {
		name string
		test func(*testing.T)
	}{
		{"lists its keys", e.listsKeys},
		{"answers the same again", e.repeats},
		{"takes any key ID", e.takesAnyKeyID},
		{"returns when the context ends", e.heedsContext},
		{"is safe for concurrent use", e.worksConcurrently},
		{"leaves no goroutine behind", e.leavesNoGoroutine},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e.problem = nil
			if tt.test(t); e.problem != nil {
				t.Error(e.problem)
			}
		})
		if errors.Is(e.problem, errStuck) {
			return // the other tests would only wait as long again
		}
	}
}

const (
	// returnsWithin is for sources that wait for somebody. It is more than the
	// usual timeout of a request to an upstream.
	returnsWithin = 10 * time.Second
	// leavesWithin is for calls whose context has ended, and for goroutines
	// after their calls. On a busy machine at once takes its time.
	leavesWithin = 3 * time.Second
	// mostErrorBytes is how long an error that repeats a key ID may be.
	maxErrorBytes = 256
	// mostTried is how many keys a gate tries for one token.
	maxTriedKeys = 4
	// mostKnown is how many key IDs of an issuer are asked for again and again.
	maxKnownKeyIDs = 8
	// mark is in all key IDs that no source knows, to find them in errors.
	kidMark = "jwttest-kid"
	// stranger is the made-up issuer. A source that fetches keys from it fails
	// without leaving this machine, since no server has port 0.
	unreachableIssuer = "http://127.0.0.1:0/jwttest"
)

// An exam is what is known of the source that is being tested.
type sourceTest struct {
	source  jwtgate.KeySource
	issuers []string
	label   string              // of the goroutines that its calls start
	known   map[string][]string // key IDs, by issuer

	mu      sync.Mutex
	given   map[question]string // what a gate makes of the answers so far
	problem error               // the first of a test; after it the source is not called
}

func (e *sourceTest) chooseIssuers() {
	check := func([]string) error { return nil }
	if c, ok := e.source.(interface{ CheckIssuers([]string) error }); ok {
		check = c.CheckIssuers
	}
	if all, ok := e.source.(keys.ByIssuer); ok {
		e.issuers = slices.Sorted(maps.Keys(all))
		e.problem = check(e.issuers)
		return
	}
	var refused []error
	for _, issuer := range []string{"", unreachableIssuer} {
		if err := check([]string{issuer}); err != nil {
			refused = append(refused, fmt.Errorf("CheckIssuers with the issuer %q: %w", issuer, err))
		} else {
			e.issuers = append(e.issuers, issuer)
		}
	}
	if len(e.issuers) == 0 {
		e.problem = fmt.Errorf("%w\n%s", errors.Join(refused...), nameTheIssuer)
	}
}

const nameTheIssuer = "to name an issuer that the source has keys of, pass keys.ByIssuer with both"

func (e *sourceTest) listsKeys(t *testing.T) {
	empty := true
	for _, issuer := range e.issuers {
		listed := e.ask(t, issuer, "")
		empty = empty && listed.err == nil && len(listed.keys) == 0
		for _, k := range listed.keys {
			if k.ID() != "" && len(e.known[issuer]) < maxKnownKeyIDs && !slices.Contains(e.known[issuer], k.ID()) {
				e.known[issuer] = append(e.known[issuer], k.ID())
			}
		}
		for _, k := range listed.keys {
			found := e.ask(t, issuer, k.ID())
			same := func(other *jwtgate.Key) bool { return other.String() == k.String() }
			if found.err == nil && !slices.ContainsFunc(found.keys, same) {
				e.report(fmt.Errorf("Keys(ctx, %q, %q) does not return the %v, which it lists without a key ID", issuer, k.ID(), k))
			}
		}
	}
	if empty {
		e.report(fmt.Errorf("there is no key for any of the issuers %q, and no error that says why; %s", e.issuers, nameTheIssuer))
	}
}

func (e *sourceTest) repeats(t *testing.T) {
	for range 5 {
		for _, issuer := range e.issuers {
			e.inTurn(t, issuer, append([]string{"", kidMark}, e.known[issuer]...))
		}
	}
}

// inTurn asks for each of kids and sees to it that the answers stay as they are.
func (e *sourceTest) inTurn(t *testing.T, issuer string, kids []string) {
	var before, copied [][]*jwtgate.Key
	for _, kid := range kids {
		r := e.ask(t, issuer, kid)
		before, copied = append(before, r.keys), append(copied, slices.Clone(r.keys))
	}
	for n := range before {
		if !slices.Equal(before[n], copied[n]) {
			e.report(fmt.Errorf("the slice that Keys(ctx, %q, %q) returned was changed later; return one that stays as it is", issuer, kids[n]))
		}
	}
}

func (e *sourceTest) takesAnyKeyID(t *testing.T) {
	var requested atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requested.Store(&r.URL.Path)
	}))
	defer server.Close()
	for _, issuer := range e.issuers {
		for _, kid := range append(hostileKeyIDs(server.URL), similarKeyIDs(e.known[issuer])...) {
			e.ask(t, issuer, kid)
		}
	}
	if path := requested.Load(); path != nil {
		e.report(fmt.Errorf("the source has requested an address that a key ID named, %q; a key ID is to be compared and for nothing else", *path))
	}
}

// hostile returns key IDs as an attacker may send them, some of which lead to
// url.
func hostileKeyIDs(url string) []string {
	kids := []string{
		"\x00", "\r\nX-Injected: true", "\nlevel=INFO msg=forged", "\x1b[2J", "\u202e", "\u2028", "\x7f", "\u0080",
		"\xff\xfe", "\xc0\xaf", "\xed\xa0\x80",
		"/../../../../../../etc/passwd", "..\\..\\windows\\win.ini", "/dev/zero", "%2e%2e%2f", "%00",
		"' OR '1'='1", "'; DROP TABLE keys; --", "`id`", "$(id)", "; id", "${jndi:ldap://127.0.0.1:0/}", "{{7*7}}",
		"%s%s%n%d", "%!s(MISSING)", "*", "?", "#", "[", "{", `"`, `\`, "é", "e\u0301", "\ufeff", " ",
	}
	for i, kid := range kids {
		kids[i] = kidMark + kid
	}
	for _, start := range []string{"../../../../../../", "/", "file:///", " ", "\x00", "\xff", "-"} {
		kids = append(kids, start+kidMark)
	}
	for _, fill := range []string{"A", "\x00", "\n", "\xff", "/", "../", "%", `"`, "é"} {
		kids = append(kids, (kidMark + strings.Repeat(fill, 256))[:256]) // the longest that a gate passes on
	}
	return append(kids, url+"/"+kidMark, url+"/"+kidMark+"?", strings.TrimPrefix(url, "http:")+"/"+kidMark, "0", "-1", "null", ".", "..")
}

// similar returns key IDs that are almost the known ones.
func similarKeyIDs(known []string) (kids []string) {
	for _, kid := range known[:min(3, len(known))] {
		for _, other := range []string{kid + "\x00", kid + " ", " " + kid, kid + "/../" + kid, strings.ToUpper(kid), strings.ToLower(kid), kid[1:]} {
			if len(other) <= 256 {
				kids = append(kids, other)
			}
		}
	}
	return kids
}

func (e *sourceTest) heedsContext(t *testing.T) {
	for _, issuer := range e.issuers {
		for _, kid := range append([]string{"", kidMark}, e.known[issuer]...) {
			for _, end := range []func(context.Context) context.Context{cancelled, afterDeadline, cancelledSoon} {
				e.askWithin(t, end(t.Context()), leavesWithin, issuer, kid)
			}
		}
	}
}

func cancelled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

func afterDeadline(ctx context.Context) context.Context {
	ctx, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	cancel()
	return ctx
}

// cancelledSoon returns a context that may end before the call or during it.
func cancelledSoon(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(time.Millisecond, cancel)
	return ctx
}

func (e *sourceTest) worksConcurrently(t *testing.T) {
	var workers sync.WaitGroup
	for n := range 8 {
		workers.Go(func() {
			for round := range 10 {
				for _, issuer := range e.issuers {
					kids := append([]string{"", kidMark, kidMark + strconv.Itoa(n)}, e.known[issuer]...)
					first := (n + round) % len(kids)
					e.inTurn(t, issuer, slices.Concat(kids[first:], kids[:first]))
				}
			}
		})
	}
	workers.Wait()
}

func (e *sourceTest) leavesNoGoroutine(t *testing.T) {
	const calls = 100
	for _, issuer := range e.issuers {
		before := e.goroutines()
		for n := range calls {
			ctx := t.Context()
			if n%2 == 0 {
				ctx = cancelled(ctx) // where a goroutine is left that has nobody to tell
			}
			e.askWithin(t, ctx, returnsWithin, issuer, kidMark+strconv.Itoa(n))
		}
		// Some may have a reason, but not one for each call.
		left := func() int { return e.goroutines() - before }
		for end := time.Now().Add(timeoutFor(t, leavesWithin)); left() > calls/5 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if n := left(); n > calls/5 {
			e.report(fmt.Errorf("%d calls of Keys for the issuer %q, half of them with a context that had ended, have left %d goroutines behind", calls, issuer, n))
		}
	}
}

// goroutines returns how many there are that calls of the source have started.
// Those of other tests do not count: theirs have another label or none.
func (e *sourceTest) goroutines() (count int) {
	var profile bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&profile, 1) // a buffer takes everything
	same := 0                                      // with the stack that the line before tells of
	for line := range strings.Lines(profile.String()) {
		if number, _, ok := strings.Cut(line, " @ "); ok {
			same, _ = strconv.Atoi(number)
		} else if strings.HasPrefix(line, "# labels:") && strings.Contains(line, e.label) {
			count += same
		}
	}
	return count
}
