package jwttest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jwtgate/jwtgate"
)

func (e *sourceTest) report(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.problem == nil {
		e.problem = err
	}
}

func (e *sourceTest) failed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem != nil
}

// A question is what a source is asked.
type question struct{ issuer, kid string }

var errStuck = errors.New("has not returned")

// A reply is what a call of Keys returned.
type reply struct {
	keys []*jwtgate.Key
	err  error
	text string // of err
}

// ask calls Keys, and reports what does not keep to its promises.
func (e *sourceTest) ask(t *testing.T, issuer, kid string) reply {
	return e.askWithin(t, t.Context(), returnsWithin, issuer, kid)
}

func (e *sourceTest) askWithin(t *testing.T, ctx context.Context, longest time.Duration, issuer, kid string) reply {
	if e.failed() {
		return reply{}
	}
	r, err := e.call(ctx, timeoutFor(t, longest), issuer, kid)
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
func (e *sourceTest) call(ctx context.Context, within time.Duration, issuer, kid string) (reply, error) {
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
func timeoutFor(t *testing.T, d time.Duration) time.Duration {
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
	repeats := strings.Contains(text, kidMark)
	if repeats && len(text) > maxErrorBytes {
		return fmt.Errorf("returned an error of %d bytes that repeats the key ID; cut it, as with %%.40q: %q", len(text), text)
	}
	printable := func(c rune) bool { return strconv.IsPrint(c) || !repeats && (c == '\n' || c == '\t') }
	if strings.ContainsFunc(text, func(c rune) bool { return !printable(c) }) || !utf8.ValidString(text) {
		return fmt.Errorf("returned an error with control characters; quote the key ID, as with %%.40q: %q", text)
	}
	return nil
}

// compare returns an error if an answer contradicts one that was given before.
func (e *sourceTest) compare(q question, answer string) error {
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
		if k.ID() != "" && kid != "" && k.ID() != kid || count[k.Algorithm()] == maxTriedKeys {
			continue
		}
		count[k.Algorithm()]++
		list = append(list, k.String())
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
