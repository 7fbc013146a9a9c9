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
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

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
	e := &exam{source: source, label: rand.Text(), known: map[string][]string{}, given: map[question]string{}}
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
	mostErrorBytes = 256
	// mostTried is how many keys a gate tries for one token.
	mostTried = 4
	// mostKnown is how many key IDs of an issuer are asked for again and again.
	mostKnown = 8
	// mark is in all key IDs that no source knows, to find them in errors.
	mark = "jwttest-kid"
	// stranger is the made-up issuer. A source that fetches keys from it fails
	// without leaving this machine, since no server has port 0.
	stranger = "http://127.0.0.1:0/jwttest"
)

var errStuck = errors.New("has not returned")

// An exam is what is known of the source that is being tested.
type exam struct {
	source  jwtgate.KeySource
	issuers []string
	label   string              // of the goroutines that its calls start
	known   map[string][]string // key IDs, by issuer

	mu      sync.Mutex
	given   map[question]string // what a gate makes of the answers so far
	problem error               // the first of a test; after it the source is not called
}

func (e *exam) report(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.problem == nil {
		e.problem = err
	}
}

func (e *exam) failed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem != nil
}

// A question is what a source is asked.
type question struct{ issuer, kid string }

func (e *exam) chooseIssuers() {
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
	for _, issuer := range []string{"", stranger} {
		if err := check([]string{issuer}); err != nil {
			refused = append(refused, fmt.Errorf("CheckIssuers with the issuer %q: %w", issuer, err))
		} else {
			e.issuers = append(e.issuers, issuer)
		}
	}
	if len(e.issuers) == 0 {
		e.problem = fmt.Errorf("%w\n%s", errors.Join(refused...), nameOne)
	}
}

const nameOne = "to name an issuer that the source has keys of, pass keys.ByIssuer with both"

func (e *exam) listsKeys(t *testing.T) {
	empty := true
	for _, issuer := range e.issuers {
		listed := e.ask(t, issuer, "")
		empty = empty && listed.err == nil && len(listed.keys) == 0
		for _, k := range listed.keys {
			if k.ID() != "" && len(e.known[issuer]) < mostKnown && !slices.Contains(e.known[issuer], k.ID()) {
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
		e.report(fmt.Errorf("there is no key for any of the issuers %q, and no error that says why; %s", e.issuers, nameOne))
	}
}

func (e *exam) repeats(t *testing.T) {
	for range 5 {
		for _, issuer := range e.issuers {
			e.inTurn(t, issuer, append([]string{"", mark}, e.known[issuer]...))
		}
	}
}

// inTurn asks for each of kids and sees to it that the answers stay as they are.
func (e *exam) inTurn(t *testing.T, issuer string, kids []string) {
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

func (e *exam) takesAnyKeyID(t *testing.T) {
	var requested atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requested.Store(&r.URL.Path)
	}))
	defer server.Close()
	for _, issuer := range e.issuers {
		for _, kid := range append(hostile(server.URL), similar(e.known[issuer])...) {
			e.ask(t, issuer, kid)
		}
	}
	if path := requested.Load(); path != nil {
		e.report(fmt.Errorf("the source has requested an address that a key ID named, %q; a key ID is to be compared and for nothing else", *path))
	}
}

// hostile returns key IDs as an attacker may send them, some of which lead to
// url.
func hostile(url string) []string {
	kids := []string{
		"\x00", "\r\nX-Injected: true", "\nlevel=INFO msg=forged", "\x1b[2J", "\u202e", "\u2028", "\x7f", "\u0080",
		"\xff\xfe", "\xc0\xaf", "\xed\xa0\x80",
		"/../../../../../../etc/passwd", "..\\..\\windows\\win.ini", "/dev/zero", "%2e%2e%2f", "%00",
		"' OR '1'='1", "'; DROP TABLE keys; --", "`id`", "$(id)", "; id", "${jndi:ldap://127.0.0.1:0/}", "{{7*7}}",
		"%s%s%n%d", "%!s(MISSING)", "*", "?", "#", "[", "{", `"`, `\`, "é", "e\u0301", "\ufeff", " ",
	}
	for i, kid := range kids {
		kids[i] = mark + kid
	}
	for _, start := range []string{"../../../../../../", "/", "file:///", " ", "\x00", "\xff", "-"} {
		kids = append(kids, start+mark)
	}
	for _, fill := range []string{"A", "\x00", "\n", "\xff", "/", "../", "%", `"`, "é"} {
		kids = append(kids, (mark + strings.Repeat(fill, 256))[:256]) // the longest that a gate passes on
	}
	return append(kids, url+"/"+mark, url+"/"+mark+"?", strings.TrimPrefix(url, "http:")+"/"+mark, "0", "-1", "null", ".", "..")
}

// similar returns key IDs that are almost the known ones.
func similar(known []string) (kids []string) {
	for _, kid := range known[:min(3, len(known))] {
		for _, other := range []string{kid + "\x00", kid + " ", " " + kid, kid + "/../" + kid, strings.ToUpper(kid), strings.ToLower(kid), kid[1:]} {
			if len(other) <= 256 {
				kids = append(kids, other)
			}
		}
	}
	return kids
}

func (e *exam) heedsContext(t *testing.T) {
	for _, issuer := range e.issuers {
		for _, kid := range append([]string{"", mark}, e.known[issuer]...) {
			for _, end := range []func(context.Context) context.Context{cancelled, late, cancelledSoon} {
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

func late(ctx context.Context) context.Context {
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

func (e *exam) worksConcurrently(t *testing.T) {
	var workers sync.WaitGroup
	for n := range 8 {
		workers.Go(func() {
			for round := range 10 {
				for _, issuer := range e.issuers {
					kids := append([]string{"", mark, mark + strconv.Itoa(n)}, e.known[issuer]...)
					first := (n + round) % len(kids)
					e.inTurn(t, issuer, slices.Concat(kids[first:], kids[:first]))
				}
			}
		})
	}
	workers.Wait()
}

func (e *exam) leavesNoGoroutine(t *testing.T) {
	const calls = 100
	for _, issuer := range e.issuers {
		before := e.goroutines()
		for n := range calls {
			ctx := t.Context()
			if n%2 == 0 {
				ctx = cancelled(ctx) // where a goroutine is left that has nobody to tell
			}
			e.askWithin(t, ctx, returnsWithin, issuer, mark+strconv.Itoa(n))
		}
		// Some may have a reason, but not one for each call.
		left := func() int { return e.goroutines() - before }
		for end := time.Now().Add(limit(t, leavesWithin)); left() > calls/5 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if n := left(); n > calls/5 {
			e.report(fmt.Errorf("%d calls of Keys for the issuer %q, half of them with a context that had ended, have left %d goroutines behind", calls, issuer, n))
		}
	}
}

// goroutines returns how many there are that calls of the source have started.
// Those of other tests do not count: theirs have another label or none.
func (e *exam) goroutines() (count int) {
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

// A reply is what a call of Keys returned.
type reply struct {
	keys []*jwtgate.Key
	err  error
	text string // of err
}

// ask calls Keys, and reports what does not keep to its promises.
func (e *exam) ask(t *testing.T, issuer, kid string) reply {
	return e.askWithin(t, t.Context(), returnsWithin, issuer, kid)
}

func (e *exam) askWithin(t *testing.T, ctx context.Context, longest time.Duration, issuer, kid string) reply {
	if e.failed() {
		return reply{}
	}
	r, err := e.call(ctx, limit(t, longest), issuer, kid)
	if err == nil {
		err = r.check()
	}
	if err == nil && r.err == nil {
		err = e.compare(question{issuer, kid}, usable(r.keys, kid))
	}
	if err != nil {
		e.report(fmt.Errorf("Keys(ctx, %q, %.80q) %w", issuer, kid, err))
		return reply{}
	}
	return r
}

// call calls Keys on another goroutine, so that nothing it does ends or stops
// the test.
func (e *exam) call(ctx context.Context, within time.Duration, issuer, kid string) (reply, error) {
	var r reply
	err := errors.New("ended its goroutine")
	done := make(chan struct{})
	go pprof.Do(ctx, pprof.Labels("jwttest", e.label), func(ctx context.Context) {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panicked: %v\n%s", p, debug.Stack())
			}
		}()
		r.keys, r.err = e.source.Keys(ctx, issuer, kid)
		if r.err != nil {
			r.text = r.err.Error()
		}
		err = nil
	})
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-done:
		return r, err
	case <-timer.C:
		return reply{}, fmt.Errorf("%w within %v", errStuck, within)
	}
}

// limit returns d, or less if the tests have to end soon: go test would not say
// which call it was.
func limit(t *testing.T, d time.Duration) time.Duration {
	if deadline, ok := t.Deadline(); ok {
		return min(d, time.Until(deadline)/4)
	}
	return d
}

// check returns what is wrong with an answer whatever the question was.
func (r reply) check() error {
	if r.err != nil {
		return checkError(r.text)
	}
	for n, k := range r.keys {
		switch {
		case k == nil:
			return fmt.Errorf("returned a nil key, number %d of %d; leave it out", n+1, len(r.keys))
		case k.Algorithm() == "":
			return fmt.Errorf("returned the zero Key, number %d of %d, which verifies nothing; make keys with jwtgate.NewKey", n+1, len(r.keys))
		}
	}
	return nil
}

// checkError looks for what a key ID can do to a log. Without one, an error may
// have several lines, as those of errors.Join.
func checkError(text string) error {
	repeats := strings.Contains(text, mark)
	if repeats && len(text) > mostErrorBytes {
		return fmt.Errorf("returned an error of %d bytes that repeats the key ID; cut it, as with %%.40q: %q", len(text), text)
	}
	printable := func(c rune) bool { return strconv.IsPrint(c) || !repeats && (c == '\n' || c == '\t') }
	if strings.ContainsFunc(text, func(c rune) bool { return !printable(c) }) || !utf8.ValidString(text) {
		return fmt.Errorf("returned an error with control characters; quote the key ID, as with %%.40q: %q", text)
	}
	return nil
}

// compare returns an error if an answer contradicts one that was given before.
func (e *exam) compare(q question, answer string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, ok := e.given[q]
	if !ok {
		e.given[q] = answer
		return nil
	}
	if answer != before {
		return fmt.Errorf("returned [%s], and before [%s], without an error", answer, before)
	}
	return nil
}

// usable tells which of keys a gate would use for a token that names kid. Their
// order does not matter, unless some are left out because of it.
func usable(keys []*jwtgate.Key, kid string) string {
	count := map[string]int{}
	var list []string
	for _, k := range keys {
		if k.ID() != "" && kid != "" && k.ID() != kid || count[k.Algorithm()] == mostTried {
			continue
		}
		count[k.Algorithm()]++
		list = append(list, k.String())
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
