package jwttest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
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

// TestKeySource tests in subtests of t that source keeps the promises of
// [jwtgate.KeySource]. Run the test with the race detector too:
//
//	func TestSource(t *testing.T) {
//		jwttest.TestKeySource(t, keys.ByIssuer{"https://auth.example.com/": newVault(t)})
//	}
//
// Wrap the source in a [keys.ByIssuer], as in the example, to name the issuers whose
// keys it has. TestKeySource calls a source that is not wrapped for two issuers: for
// "", as a gate with Options.AnyIssuer does, and for an issuer that does not exist. If
// the source is a [jwtgate.IssuerChecker] and refuses one of the two, TestKeySource
// leaves that issuer out.
//
// A source that returns no key and no error for all these issuers fails: without
// keys the other tests would prove nothing. A source that only returns errors may
// pass, so you can test a source in an outage too. The keys must not change during
// the test.
//
// TestKeySource tests these promises:
//
//   - Without a key ID the source lists the keys of the issuer. With the ID of a
//     listed key it returns that key. No key is nil or the zero Key. The method KeysFor
//     of a [jwtgate.AlgorithmSource] returns each listed key for its algorithm.
//   - The source returns the same answer each time, or an error. It does not change a
//     slice that it has returned.
//   - Hostile key IDs do no harm: control characters, paths, URLs, invalid UTF-8, 256
//     bytes. They cause no panic, and no request to an address in them. An error that
//     contains a key ID is printable and at most 256 bytes long.
//   - If the context has ended or ends during the call, the source returns at once,
//     with an error or with its usual answer.
//   - The source is safe for concurrent use.
//   - The source leaves no goroutines behind, even if the context of a call has ended.
//   - The method Recheck of a [jwtgate.Rechecker] returns no nil or zero Key and no key
//     that equals a tried one, does not change the tried keys or a slice that it has
//     returned, and keeps the promises about key IDs, the context, concurrent use and
//     goroutines. It may find no keys.
//
// TestKeySource makes several hundred calls for each issuer.
func TestKeySource(t *testing.T, source jwtgate.KeySource) {
	t.Helper()
	testKeySource(t, source, usualLimits)
}

func testKeySource(t *testing.T, source jwtgate.KeySource, limits limits) {
	t.Helper()
	if source == nil {
		t.Fatal("jwttest.TestKeySource: the source is nil")
	}
	s := &sourceTest{
		checkedSource: &checkedSource{source: source, limits: limits, label: rand.Text(), answers: map[question]string{}},
		known:         map[string][]string{},
	}
	if s.chooseIssuers(); s.problem != nil {
		t.Fatal(s.problem)
	}
	for _, tt := range []struct {
		name string
		test func(*testing.T)
	}{
		{"lists its keys", s.listsItsKeys},
		{"answers the same again", s.answersTheSameAgain},
		{"takes any key ID", s.takesAnyKeyID},
		{"returns when the context ends", s.returnsWhenContextEnds},
		{"is safe for concurrent use", s.isSafeForConcurrentUse},
		{"leaves no goroutine behind", s.leavesNoGoroutine},
		{"looks again", s.looksAgain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.problem = nil
			if tt.test(t); s.problem != nil {
				t.Error(s.problem)
			}
		})
		if errors.Is(s.problem, errStuck) {
			return // the other tests would wait as long again
		}
	}
}

const (
	// maxKnownKeyIDs is how many of an issuer's key IDs the subtests use.
	maxKnownKeyIDs = 8
	// unreachableIssuer is the issuer that does not exist. A source that fetches its
	// keys fails without a request to another machine: no server has port 0.
	unreachableIssuer = "http://127.0.0.1:0/jwttest"
)

// A sourceTest is the test of one source.
type sourceTest struct {
	*checkedSource
	issuers []string            // for which the subtests call the source
	known   map[string][]string // the key IDs that the source has listed, by issuer
}

// chooseIssuers sets s.issuers. It sets s.problem if the CheckIssuers of the source
// refuses the issuers of a keys.ByIssuer, or both issuers of another source.
func (s *sourceTest) chooseIssuers() {
	check := func([]string) error { return nil }
	if c, ok := s.source.(jwtgate.IssuerChecker); ok {
		check = c.CheckIssuers
	}
	if byIssuer, ok := s.source.(keys.ByIssuer); ok {
		s.issuers = slices.Sorted(maps.Keys(byIssuer))
		s.problem = check(s.issuers)
		return
	}
	var refused []error
	for _, issuer := range []string{"", unreachableIssuer} {
		if err := check([]string{issuer}); err != nil {
			refused = append(refused, fmt.Errorf("CheckIssuers with the issuer %q: %w", issuer, err))
		} else {
			s.issuers = append(s.issuers, issuer)
		}
	}
	if len(s.issuers) == 0 {
		s.problem = fmt.Errorf("%w\n%s", errors.Join(refused...), nameTheIssuer)
	}
}

// nameTheIssuer is the advice for a source that has no keys of the issuers it was called
// for.
const nameTheIssuer = "to name an issuer that the source has keys of, pass keys.ByIssuer with the issuer and the source"

// listsItsKeys collects the known key IDs, and checks that the source finds each key
// that it lists.
func (s *sourceTest) listsItsKeys(t *testing.T) {
	empty := true
	for _, issuer := range s.issuers {
		listed := s.call(t, issuer, "")
		empty = empty && listed.err == nil && len(listed.keys) == 0
		for _, k := range listed.keys {
			if k.ID() != "" && len(s.known[issuer]) < maxKnownKeyIDs && !slices.Contains(s.known[issuer], k.ID()) {
				s.known[issuer] = append(s.known[issuer], k.ID())
			}
		}
		for _, k := range listed.keys {
			found := s.call(t, issuer, k.ID())
			same := func(other *jwtgate.Key) bool { return other.String() == k.String() }
			if found.err == nil && !slices.ContainsFunc(found.keys, same) {
				s.report(fmt.Errorf("Keys(ctx, %q, %q) does not return the %v, which it lists without a key ID", issuer, k.ID(), k))
			}
			s.findsForAlgorithm(t, issuer, k)
		}
	}
	if empty {
		s.report(fmt.Errorf("there is no key for any of the issuers %q, and no error; %s", s.issuers, nameTheIssuer))
	}
}

// findsForAlgorithm checks that KeysFor returns k for its algorithm, if the source is an
// AlgorithmSource.
func (s *sourceTest) findsForAlgorithm(t *testing.T, issuer string, k *jwtgate.Key) {
	source, ok := s.source.(jwtgate.AlgorithmSource)
	if !ok || s.failed() {
		return
	}
	keysFor := func(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
		return source.KeysFor(ctx, issuer, kid, k.Algorithm())
	}
	ofAlgorithm := &checkedSource{
		source: jwtgate.KeySourceFunc(keysFor), limits: s.limits, label: s.label, answers: map[question]string{},
	}
	for _, kid := range []string{k.ID(), ""} {
		found := ofAlgorithm.call(t, issuer, kid)
		if ofAlgorithm.failed() {
			s.report(fmt.Errorf("KeysFor with %q: %w", k.Algorithm(), ofAlgorithm.problem))
			return
		}
		same := func(other *jwtgate.Key) bool { return other.String() == k.String() }
		if found.err == nil && !slices.ContainsFunc(found.keys, same) {
			s.report(fmt.Errorf("KeysFor(ctx, %q, %q, %q) does not return the %v, which Keys lists", issuer, kid, k.Algorithm(), k))
		}
	}
}

// answersTheSameAgain calls the source again. callWithin compares the answers.
func (s *sourceTest) answersTheSameAgain(t *testing.T) {
	for range 5 {
		for _, issuer := range s.issuers {
			s.callEach(t, issuer, append([]string{"", kidMark}, s.known[issuer]...))
		}
	}
}

// callEach calls the source with each of kids, and then checks that no call has changed
// a slice that an earlier call returned.
func (s *sourceTest) callEach(t *testing.T, issuer string, kids []string) {
	var returned, copies [][]*jwtgate.Key
	for _, kid := range kids {
		r := s.call(t, issuer, kid)
		returned, copies = append(returned, r.keys), append(copies, slices.Clone(r.keys))
	}
	for n := range returned {
		if !slices.Equal(returned[n], copies[n]) {
			s.report(fmt.Errorf("the slice that Keys(ctx, %q, %q) returned was changed later; return a slice that nothing changes", issuer, kids[n]))
		}
	}
}

// takesAnyKeyID calls the source with hostile key IDs.
func (s *sourceTest) takesAnyKeyID(t *testing.T) {
	s.withHostileKeyIDs(func(issuer, kid string) { s.call(t, issuer, kid) })
}

// withHostileKeyIDs calls call with hostile key IDs for each issuer, and reports a request
// to an address in a key ID.
func (s *sourceTest) withHostileKeyIDs(call func(issuer, kid string)) {
	var requested atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requested.Store(&r.URL.Path)
	}))
	defer server.Close()
	for _, issuer := range s.issuers {
		for _, kid := range append(hostileKeyIDs(server.URL), similarKeyIDs(s.known[issuer])...) {
			call(issuer, kid)
		}
	}
	if path := requested.Load(); path != nil {
		s.report(fmt.Errorf("the source has requested an address that a key ID named, %q; only compare a key ID with the IDs of your keys", *path))
	}
}

// hostileKeyIDs returns key IDs that an attacker may send. Some are addresses
// below url.
func hostileKeyIDs(url string) []string {
	kids := []string{
		"\x00", "\r\nX-Injected: true", "\nlevel=INFO msg=forged", "\x1b[2J", "\u202e", "\u2028", "\x7f", "\u0080",
		"\xff\xfe", "\xc0\xaf", "\xed\xa0\x80",
		"/../../../../../../etc/passwd", "..\\..\\windows\\win.ini", "/dev/zero", "%2e%2e%2f", "%00",
		"' OR '1'='1", "'; DROP TABLE keys; --", "`id`", "$(id)", "; id", "${jndi:ldap://127.0.0.1:0/}", "{{7*7}}",
		"%s%s%n%d", "%!s(MISSING)", "*", "?", "#", "[", "{", `"`, `\`, "é", "e\u0301", "\ufeff", " ",
	}
	for i, ending := range kids {
		kids[i] = kidMark + ending
	}
	for _, start := range []string{"../../../../../../", "/", "file:///", " ", "\x00", "\xff", "-"} {
		kids = append(kids, start+kidMark)
	}
	for _, fill := range []string{"A", "\x00", "\n", "\xff", "/", "../", "%", `"`, "é"} {
		kids = append(kids, (kidMark + strings.Repeat(fill, 256))[:256]) // a gate refuses longer key IDs itself
	}
	return append(kids, url+"/"+kidMark, url+"/"+kidMark+"?", strings.TrimPrefix(url, "http:")+"/"+kidMark, "0", "-1", "null", ".", "..")
}

// similarKeyIDs returns key IDs that differ slightly from the known ones.
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

// returnsWhenContextEnds checks that a call returns if its context has ended, or ends during
// the call.
func (s *sourceTest) returnsWhenContextEnds(t *testing.T) {
	for _, issuer := range s.issuers {
		for _, kid := range append([]string{"", kidMark}, s.known[issuer]...) {
			for _, ended := range []func(context.Context) context.Context{cancelled, afterDeadline, cancelledSoon} {
				s.callWithin(t, ended(t.Context()), s.limits.endedCall, issuer, kid)
			}
		}
	}
}

// cancelled returns a context that is cancelled.
func cancelled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// afterDeadline returns a context whose deadline has passed.
func afterDeadline(ctx context.Context) context.Context {
	ctx, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	cancel()
	return ctx
}

// cancelledSoon returns a context that is cancelled after a millisecond, which may be
// before, during or after the call.
func cancelledSoon(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(time.Millisecond, cancel)
	return ctx
}

// isSafeForConcurrentUse makes concurrent calls. callWithin compares the answers with
// the earlier ones.
func (s *sourceTest) isSafeForConcurrentUse(t *testing.T) {
	var workers sync.WaitGroup
	for n := range 8 {
		workers.Go(func() {
			for round := range 10 {
				for _, issuer := range s.issuers {
					kids := append([]string{"", kidMark, kidMark + strconv.Itoa(n)}, s.known[issuer]...)
					first := (n + round) % len(kids)
					s.callEach(t, issuer, slices.Concat(kids[first:], kids[:first]))
				}
			}
		})
	}
	workers.Wait()
}

// leavesNoGoroutine checks that the number of goroutines does not grow with the
// number of calls.
func (s *sourceTest) leavesNoGoroutine(t *testing.T) {
	s.countGoroutines(t, "Keys", func(ctx context.Context, issuer string, n int) {
		s.callWithin(t, ctx, s.limits.call, issuer, kidMark+strconv.Itoa(n))
	})
}

// countGoroutines makes calls of a method for each issuer, and reports if the number of
// goroutines grows with their number.
func (s *sourceTest) countGoroutines(t *testing.T, method string, call func(ctx context.Context, issuer string, n int)) {
	const calls = 100
	for _, issuer := range s.issuers {
		before := s.goroutines()
		for n := range calls {
			ctx := t.Context()
			if n%2 == 0 {
				ctx = cancelled(ctx) // the method may return early and leave a goroutine behind
			}
			call(ctx, issuer, n)
		}
		// A source may keep a few goroutines, for example to refresh its keys.
		left := func() int { return s.goroutines() - before }
		for end := time.Now().Add(beforeDeadline(t, s.limits.goroutine)); left() > calls/5 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if n := left(); n > calls/5 {
			s.report(fmt.Errorf("%d calls of %s for the issuer %q, half of them with a context that had ended, have left %d goroutines behind; "+
				"a goroutine that sends a key must end even if %[2]s has returned and nobody receives", calls, method, issuer, n))
		}
	}
}

// looksAgain calls Recheck, if the source is a Rechecker.
func (s *sourceTest) looksAgain(t *testing.T) {
	if _, ok := s.source.(jwtgate.Rechecker); !ok {
		return
	}
	questions := map[string][]recheck{} // by issuer
	for _, issuer := range s.issuers {
		questions[issuer] = s.rechecks(t, issuer)
	}
	askAll := func(issuer string, ask func(recheck) []*jwtgate.Key) {
		var returned, copies [][]*jwtgate.Key
		for _, q := range questions[issuer] {
			found := ask(q)
			returned, copies = append(returned, found), append(copies, slices.Clone(found))
		}
		for n, q := range questions[issuer] {
			if !slices.Equal(returned[n], copies[n]) {
				s.report(fmt.Errorf("the slice that Recheck(ctx, %q, %q, %q, %d keys) returned was changed later; return a slice that nothing changes",
					q.issuer, q.kid, q.algorithm, len(q.tried)))
			}
		}
	}
	call := func(q recheck) []*jwtgate.Key { return s.recheckWithin(t, t.Context(), s.limits.call, q) }
	for _, issuer := range s.issuers {
		askAll(issuer, call)
		for _, ended := range []func(context.Context) context.Context{cancelled, afterDeadline, cancelledSoon} {
			askAll(issuer, func(q recheck) []*jwtgate.Key {
				return s.recheckWithin(t, ended(t.Context()), s.limits.endedCall, q)
			})
		}
	}
	s.withHostileKeyIDs(func(issuer, kid string) {
		q := questions[issuer][0]
		q.kid = kid
		call(q)
	})
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for _, issuer := range s.issuers {
				askAll(issuer, call)
			}
		})
	}
	workers.Wait()
	s.countGoroutines(t, "Recheck", func(ctx context.Context, issuer string, n int) {
		s.recheckWithin(t, ctx, s.limits.call, questions[issuer][n%len(questions[issuer])])
	})
}

// rechecks returns arguments for Recheck: without key ID, with an unknown key ID and with
// known ones, for an algorithm of a listed key, once with no tried key and once with those
// that a gate would have tried.
func (s *sourceTest) rechecks(t *testing.T, issuer string) (all []recheck) {
	algorithm := "RS256" // if the source lists no key
	for _, kid := range append([]string{"", kidMark}, s.known[issuer]...) {
		found := s.call(t, issuer, kid).keys
		if len(found) > 0 {
			algorithm = found[0].Algorithm()
		}
		q := recheck{issuer: issuer, kid: kid, algorithm: algorithm}
		all = append(all, q)
		for _, k := range found {
			if k.Algorithm() == q.algorithm && (k.ID() == "" || kid == "" || k.ID() == kid) && len(q.tried) < maxTriedKeys {
				q.tried = append(q.tried, k)
			}
		}
		all = append(all, q)
	}
	return all
}
