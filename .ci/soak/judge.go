package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// facts are what the judge knows about one request. A time is zero if it has not come.
type facts struct {
	sent, answered time.Time

	forged bool // no gate may ever accept the token
	secret bool // the key is in the memory of the service, and is never withdrawn

	// Of the key of the token.
	published time.Time // when the issuer began to publish it
	withdrawn time.Time // when the issuer ceased to publish it
	replaces  bool      // it has the ID of the key before it
	known     time.Time // when the gate received a set with the key
	gone      time.Time // when the gate received a set without the key, after that

	// Of the issuer, as this gate sees it.
	lastGood time.Time // when the gate received the last usable set, before the request
	latest   time.Time // the same, before the answer
	missing  time.Time // when the gate received the first answer without keys since lastGood
	back     bool      // a usable set came after missing, before the answer
	faultEnd time.Time // when the last fault of the issuer ended: answered if it goes on
	noise    bool      // tokens came that use up the limit for unknown keys

	// Of this process.
	resumed time.Time     // when the clients began to send requests, after a pause
	slack   time.Duration // how much later than stated something may happen
	stalled bool          // the process stood still for so long that a fetch may have failed
}

// limits are what the documentation of a source states.
type limits struct {
	notice   time.Duration // from a change until it must be noticed, if the issuer is up
	replaced time.Duration // the same for a key replaced under its old ID
	exact    bool          // a new key is found by its first request, unless there is noise
	stale    time.Duration // after lastGood the keys may be out of use
	staleMax time.Duration // after lastGood the keys must be out of use
	missing  time.Duration // the same after missing, if that is earlier
	timeout  time.Duration // of a fetch
	backoff  bool          // failures delay the next attempt
}

// remoteLimits are those of keys.Remote with the fields of newRemote.
var remoteLimits = limits{
	notice:   freshFor*4/5 + timeout,
	replaced: minInterval + timeout,
	exact:    true,
	stale:    freshFor + staleFor,
	staleMax: freshFor + staleFor,
	missing:  freshFor,
	timeout:  timeout,
	backoff:  true,
}

// fileLimits are those of keys.File, which looks at its file once a second. The last look
// before a fault is up to a second older than the fault. StaleFor counts from a second after
// the look, and its end is noticed by a look too.
var fileLimits = limits{
	notice: time.Second, stale: fileStaleFor, staleMax: fileStaleFor + 2*time.Second,
	replaced: time.Second, missing: fileStaleFor, timeout: time.Second,
}

// These are the reasons for which an answer is accepted. All but right are windows,
// which the documentation states.
const (
	right           = "right"
	windowWithdrawn = "withdrawn key still accepted: the new set is not fetched yet"
	windowLimited   = "new key refused with 401: other unknown keys use up the limit"
	windowReplaced  = "key under an old ID refused with 401: within MinInterval"
	windowFile      = "new key refused with 401: the file changed less than a second ago"
	windowOutage    = "answered with 503: the issuer fails, or has failed until just now"
	windowNoKeys    = "known key answered with 503: the keys are stale in an outage"
	windowStalled   = "answered with 503: this process stood still"
)

// A verdict has, for each status, the reason why the answer is accepted. "" means that
// the answer is wrong.
type verdict struct{ ok, unauthorized, unavailable string }

func (v verdict) of(status int) string {
	switch status {
	case http.StatusOK:
		return v.ok
	case http.StatusUnauthorized:
		return v.unauthorized
	case http.StatusServiceUnavailable:
		return v.unavailable
	}
	return ""
}

// expect returns which answers to a request are accepted.
func (l limits) expect(f facts) verdict {
	switch {
	case f.secret && f.forged:
		return verdict{unauthorized: right}
	case f.secret:
		return verdict{ok: right}
	case f.forged:
		return verdict{unauthorized: right, unavailable: l.unknownInOutage(f)}
	}
	v := verdict{ok: right}
	withdrawn := !f.withdrawn.IsZero() && !f.withdrawn.After(f.answered)
	known := !f.known.IsZero() && f.sent.After(f.known.Add(f.slack))
	if withdrawn {
		v.ok, v.unauthorized = windowWithdrawn, right
		if !f.gone.IsZero() && f.sent.After(f.gone.Add(f.slack)) || f.sent.After(l.noticedBy(f, f.withdrawn)) {
			v.ok = ""
		}
	}
	if f.sent.After(l.staleBy(f)) {
		v.ok = ""
	}
	if !withdrawn && !known {
		noticed := later(f.published, f.resumed).Add(l.notice + f.slack)
		switch {
		case f.replaces && !f.sent.After(f.published.Add(l.replaced+f.slack)):
			v.unauthorized = windowReplaced
		case !l.exact && !f.sent.After(noticed):
			v.unauthorized = windowFile
		case l.exact && f.noise && !f.sent.After(noticed):
			v.unauthorized = windowLimited
		}
	}
	v.unavailable = l.unknownInOutage(f)
	// From gone on, a withdrawn key is an unknown key.
	if known && f.gone.IsZero() {
		v.unavailable = ""
		switch {
		case f.answered.Before(l.staleFrom(f)):
		case l.inOutage(f):
			v.unavailable = windowNoKeys
		case f.stalled:
			v.unavailable = windowStalled
		}
	}
	return v
}

// unknownInOutage returns why a token of an unknown key may be answered with 503.
func (l limits) unknownInOutage(f facts) string {
	switch {
	case l.inOutage(f):
		return windowOutage
	case f.stalled:
		return windowStalled
	}
	return ""
}

// inOutage reports whether the last fetch of the gate may have failed.
func (l limits) inOutage(f facts) bool {
	switch {
	case f.faultEnd.IsZero():
		return false
	case f.lastGood.After(f.faultEnd):
		return !f.sent.After(f.lastGood.Add(f.slack))
	}
	return !f.sent.After(f.faultEnd.Add(l.recovery(f) + f.slack))
}

// recovery returns how long after a fault the next fetch has ended. A fetch that hung
// when the fault ended takes until its timeout. Then comes the backoff, which is at most
// twice as long as all the time before it, because it doubles with each failure and at
// most half of it is left out.
func (l limits) recovery(f facts) time.Duration {
	if !l.backoff {
		return l.notice
	}
	failing := f.faultEnd.Sub(f.lastGood) + l.timeout
	backoff := min(30*time.Second, max(2*failing+time.Second/2, retryAfter))
	return l.timeout + backoff + l.timeout
}

// noticedBy returns when a change at the given time must have been noticed. A source looks
// for changes when requests come.
func (l limits) noticedBy(f facts, change time.Time) time.Time {
	by := later(change, f.resumed).Add(l.notice + f.slack)
	if f.faultEnd.After(f.lastGood) {
		by = later(by, f.faultEnd.Add(l.recovery(f)+f.slack))
	}
	return by
}

// later returns the later one of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// staleFrom returns when the keys may be out of use.
func (l limits) staleFrom(f facts) time.Time {
	from := f.lastGood.Add(l.stale)
	if !l.exact { // when keys.File has looked last is not known
		from = from.Add(-f.slack)
	}
	if end := f.missing.Add(l.missing); !f.missing.IsZero() && end.Before(from) {
		return end
	}
	return from
}

// staleBy returns when the keys must be out of use. A request may have waited for keys.
func (l limits) staleBy(f facts) time.Time {
	by := f.latest.Add(l.staleMax + f.slack)
	if end := f.missing.Add(l.missing + f.slack); !f.missing.IsZero() && !f.back && end.Before(by) {
		by = end
	}
	return by
}

// A stallMeter measures how long goroutines of this process wait for a processor, so
// that the verdicts do not depend on the speed and the load of the machine.
type stallMeter struct {
	mu     sync.Mutex
	recent [40]time.Duration // the longest stall of each of the last seconds
	second int64
	last   time.Time // when record was called last
	worst  time.Duration
}

const stallTick = 5 * time.Millisecond

// watch measures until stop is closed.
func (m *stallMeter) watch(stop <-chan struct{}) {
	for {
		start := time.Now()
		select {
		case <-stop:
			return
		case <-time.After(stallTick):
		}
		m.record(time.Now(), time.Since(start)-stallTick)
	}
}

func (m *stallMeter) record(now time.Time, stall time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = now
	second := now.Unix()
	for ; m.second < second; m.second++ {
		if second-m.second > int64(len(m.recent)) {
			m.second = second - int64(len(m.recent))
		}
		m.recent[(m.second+1)%int64(len(m.recent))] = 0
	}
	i := second % int64(len(m.recent))
	m.recent[i] = max(m.recent[i], stall)
	m.worst = max(m.worst, stall)
}

// overall returns the longest stall of all.
func (m *stallMeter) overall() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.worst
}

// longest returns the longest stall of the last seconds, up to now.
func (m *stallMeter) longest(now time.Time) (longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.last.IsZero() { // other goroutines may run again before watch does
		longest = max(0, now.Sub(m.last)-stallTick)
	}
	for _, stall := range m.recent {
		longest = max(longest, stall)
	}
	return longest
}

// A tally counts the answers and keeps the first failures.
type tally struct {
	mu       sync.Mutex
	start    time.Time
	requests int
	statuses map[int]int
	windows  map[string]*windowCount
	kinds    map[string]*kindCount
	acts     map[string]int
	wrong    map[string]int // by what is wrong
	failures []string       // the first maxFailures in detail
}

const maxFailures = 5

type windowCount struct {
	answers int
	latest  time.Duration // after the event that opens the window
}

type kindCount struct{ ok, unauthorized, unavailable int }

func newTally() *tally {
	return &tally{
		start: time.Now(), statuses: map[int]int{},
		windows: map[string]*windowCount{}, kinds: map[string]*kindCount{}, acts: map[string]int{}, wrong: map[string]int{},
	}
}

// count counts an answer that is accepted for the given reason. after is the time
// since the event that opens the window.
func (t *tally) count(kind string, status int, reason string, after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests++
	t.statuses[status]++
	k := t.kinds[kind]
	if k == nil {
		k = &kindCount{}
		t.kinds[kind] = k
	}
	switch status {
	case http.StatusOK:
		k.ok++
	case http.StatusUnauthorized:
		k.unauthorized++
	case http.StatusServiceUnavailable:
		k.unavailable++
	}
	if reason == right || reason == "" {
		return
	}
	w := t.windows[reason]
	if w == nil {
		w = &windowCount{}
		t.windows[reason] = w
	}
	w.answers++
	w.latest = max(w.latest, after)
}

// What may be wrong with an answer.
const (
	badAccepted = "bad tokens accepted"
	goodRefused = "good tokens refused outside of the windows"
	otherWrong  = "other wrong answers"
)

// fail counts a failure. detail is called for the first ones only.
func (t *tally) fail(what string, detail func() string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrong[what]++
	if len(t.failures) < maxFailures {
		t.failures = append(t.failures, detail())
	}
}

// line is the line that the program prints each ten seconds.
func (t *tally) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	inWindows := 0
	for _, w := range t.windows {
		inWindows += w.answers
	}
	return fmt.Sprintf("%4.0f s  %7d requests: %d of 200, %d of 401, %d of 503; %d in windows; %d wrong",
		time.Since(t.start).Seconds(), t.requests, t.statuses[200], t.statuses[401], t.statuses[503], inWindows, t.failed())
}

// failed returns the number of failures. The caller holds mu.
func (t *tally) failed() (n int) {
	for _, count := range t.wrong {
		n += count
	}
	return n
}
