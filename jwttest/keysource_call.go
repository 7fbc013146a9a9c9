package jwttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jwtgate/jwtgate"
)

// A checkedSource calls a source and checks the answers. It records the first promise
// that the source breaks as problem, and does not call the source while there is one.
type checkedSource struct {
	source jwtgate.KeySource
	limits limits
	label  string // marks the goroutines that calls of the source start

	mu      sync.Mutex
	answers map[question]string // the usable keys of the first answer to each question
	problem error               // the first of the current subtest
}

// limits say how long to wait before a call counts as stuck and a goroutine as
// left behind.
type limits struct {
	call      time.Duration // for a call whose context does not end
	endedCall time.Duration // for a call whose context has ended, or ends soon
	goroutine time.Duration // for goroutines to end after their calls
}

// usualLimits are the limits of TestKeySource. They are longer than the usual timeout of
// a request, because the machine may be busy.
var usualLimits = limits{call: 10 * time.Second, endedCall: 3 * time.Second, goroutine: 3 * time.Second}

const (
	// maxErrorBytes is the greatest length of an error that contains a key ID.
	maxErrorBytes = 256
	// maxTriedKeys is the number of keys of an algorithm that a gate tries for a token.
	maxTriedKeys = 4
	// kidMark is a key ID that no source knows. It is also a part of nearly all hostile
	// key IDs: an error that contains kidMark repeats a key ID.
	kidMark = "jwttest-kid"
)

// A question is the arguments of a call of Keys, without the context.
type question struct{ issuer, kid string }

// errStuck is the problem of a call that does not return.
var errStuck = errors.New("has not returned")

// A reply is the result of a call of Keys.
type reply struct {
	keys []*jwtgate.Key
	err  error
	text string // of err; "" if err is nil
}

// call calls Keys with the context of t and checks the answer.
func (s *checkedSource) call(t *testing.T, issuer, kid string) reply {
	return s.callWithin(t, t.Context(), s.limits.call, issuer, kid)
}

// callWithin calls Keys and checks the answer. It reports a call that takes longer
// than limit. The reply is empty if there is a problem.
func (s *checkedSource) callWithin(t *testing.T, ctx context.Context, limit time.Duration, issuer, kid string) reply {
	if s.failed() {
		return reply{}
	}
	r, err := s.callOnGoroutine(ctx, beforeDeadline(t, limit), func(ctx context.Context) ([]*jwtgate.Key, error) {
		return s.source.Keys(ctx, issuer, kid)
	})
	if err == nil {
		err = r.check()
	}
	if err == nil && r.err == nil {
		err = s.compare(question{issuer, kid}, usable(r.keys, kid))
	}
	if err != nil {
		s.report(fmt.Errorf("Keys(ctx, %q, %.80q) %w", issuer, kid, err))
		return reply{}
	}
	return r
}

// recheckWithin calls Recheck, if the source is a Rechecker, and checks the answer. It
// reports a call that takes longer than limit. It returns no keys if there is a problem.
func (s *checkedSource) recheckWithin(t *testing.T, ctx context.Context, limit time.Duration, q recheck) []*jwtgate.Key {
	source, ok := s.source.(jwtgate.Rechecker)
	if !ok || s.failed() {
		return nil
	}
	before := slices.Clone(q.tried)
	r, err := s.callOnGoroutine(ctx, beforeDeadline(t, limit), func(ctx context.Context) ([]*jwtgate.Key, error) {
		return source.Recheck(ctx, q.issuer, q.kid, q.algorithm, q.tried), nil
	})
	if err == nil {
		err = r.check()
	}
	for n, k := range r.keys {
		if err == nil && slices.ContainsFunc(q.tried, k.Equal) {
			err = fmt.Errorf("returned a key that was tried, number %d of %d; leave out each key that equals one of tried", n+1, len(r.keys))
		}
	}
	if err == nil && !slices.Equal(before, q.tried) {
		err = errors.New("changed the slice tried; copy it first")
	}
	if err != nil {
		s.report(fmt.Errorf("Recheck(ctx, %q, %.80q, %q, %d keys) %w", q.issuer, q.kid, q.algorithm, len(q.tried), err))
		return nil
	}
	return r.keys
}

// A recheck is the arguments of a call of Recheck, without the context.
type recheck struct {
	issuer, kid, algorithm string
	tried                  []*jwtgate.Key
}

// callOnGoroutine calls ask on another goroutine, so that the test continues if the
// source panics, ends its goroutine or does not return.
func (s *checkedSource) callOnGoroutine(ctx context.Context, within time.Duration, ask func(context.Context) ([]*jwtgate.Key, error)) (reply, error) {
	var r reply
	err := errors.New("ended its goroutine with runtime.Goexit, or with a method such as Fatal of testing.T")
	done := make(chan struct{})
	go pprof.Do(ctx, pprof.Labels("jwttest", s.label), func(ctx context.Context) {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panicked: %v\n%s", p, debug.Stack())
			}
		}()
		r.keys, r.err = ask(ctx)
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
		if ctx.Err() != nil {
			return reply{}, fmt.Errorf("%w within %v although its context has ended; return when the context ends", errStuck, within)
		}
		return reply{}, fmt.Errorf("%w within %v", errStuck, within)
	}
}

// beforeDeadline returns d, or less if the deadline of the test is near: the report of
// go test about its timeout would not name the call.
func beforeDeadline(t *testing.T, d time.Duration) time.Duration {
	if deadline, ok := t.Deadline(); ok {
		return min(d, time.Until(deadline)/4)
	}
	return d
}

// check returns an error if the reply would be wrong for every question.
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

// checkError returns an error if text, the text of an error of the source, must not be
// logged: if it is not printable, or has more than maxErrorBytes and repeats the key ID.
// A text without the key ID may have line breaks, like the text of errors.Join.
func checkError(text string) error {
	repeatsKeyID := strings.Contains(text, kidMark)
	if repeatsKeyID && len(text) > maxErrorBytes {
		return fmt.Errorf("returned an error of %d bytes that repeats the key ID; cut it, for example with %%.40q: %q", len(text), text)
	}
	printable := func(c rune) bool { return strconv.IsPrint(c) || !repeatsKeyID && (c == '\n' || c == '\t') }
	if strings.ContainsFunc(text, func(c rune) bool { return !printable(c) }) || !utf8.ValidString(text) {
		return fmt.Errorf("returned an error with control characters; quote the key ID, for example with %%.40q: %q", text)
	}
	return nil
}

// compare returns an error if answer differs from an earlier answer to q.
func (s *checkedSource) compare(q question, answer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, ok := s.answers[q]
	if !ok {
		s.answers[q] = answer
		return nil
	}
	if answer != before {
		return fmt.Errorf("returned [%s], and before [%s], without an error; return the same keys each time, or an error", answer, before)
	}
	return nil
}

// usable lists the keys that a gate would try for a token with kid, sorted. The order of
// keys matters only if an algorithm has more than maxTriedKeys of them.
func usable(keys []*jwtgate.Key, kid string) string {
	count := map[string]int{}
	var list []string
	for _, k := range keys {
		if k.ID() != "" && kid != "" && k.ID() != kid || count[k.Algorithm()] == maxTriedKeys {
			continue
		}
		count[k.Algorithm()]++
		list = append(list, k.String())
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// report sets the problem, unless there is one already.
func (s *checkedSource) report(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem == nil {
		s.problem = err
	}
}

// failed reports whether there is a problem.
func (s *checkedSource) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem != nil
}

// goroutines returns the number of goroutines that calls of the source have
// started. It does not count those of other tests: they do not have the label.
func (s *checkedSource) goroutines() (count int) {
	var profile bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&profile, 1) // writing to a buffer never fails
	same := 0                                      // number of goroutines with the current stack
	for line := range strings.Lines(profile.String()) {
		if number, _, ok := strings.Cut(line, " @ "); ok {
			same, _ = strconv.Atoi(number)
		} else if strings.HasPrefix(line, "# labels:") && strings.Contains(line, s.label) {
			count += same
		}
	}
	return count
}
