package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate"
)

// An issuerKeys has the keys of one issuer, and decides when to fetch new ones.
// A Remote with a URL has a single issuerKeys, which all issuers share.
//
//	NO KEYS --success--> FRESH --untilDue is 0--> DUE --failure--> FAILING
//
//	from any state:  success -> FRESH, usableFor is 0 -> NO KEYS
//	if it has keys:  failure -> FAILING, confirmed withdrawal -> FRESH with an empty set
//
//	state    request for a known key         request for an unknown key
//	NO KEYS  cannot occur                    starts a fetch, and waits for it
//	FRESH    gets the key                    starts a fetch, and waits for it;
//	                                         beyond the limit of unknownKeys, gets no key
//	DUE      gets the key, starts a fetch    starts a fetch, and waits for it
//	FAILING  gets the key                    gets the error of the last fetch
//
// After a failure untilDue is the rest of the backoff. At its end FAILING becomes
// like DUE. NO KEYS has a backoff too, in which requests get the error of the last
// fetch. In any state, a request for an unknown key waits for a fetch in flight. If
// the set has keys without ID, a request for an unknown key gets them where the table
// says an error or no key.
//
// A request whose token no key verifies asks again by recheck.
//
// In any state at most one fetch is in flight. A request starts it (see
// maybeStart), or Refresh. It runs on its own goroutine, goes on if all
// requests that wait for it are cancelled, and always ends in finish.
//
// Keys are in use until a fetch replaces them, or until usableFor is 0.
type issuerKeys struct {
	settings   *settings
	newcomers  *newcomerLimit
	issuer     string      // "" if Remote.URL is set
	namedByNew atomic.Bool // New has named the issuer, so it is never forgotten

	// current is never nil. A request that finds its key there needs neither mu
	// nor the time.
	current atomic.Pointer[snapshot]

	// lastStarted is the number of the last fetch that has begun; 0 if none has.
	// It is changed under mu and read without.
	lastStarted atomic.Uint64

	mu sync.Mutex // guards the fields below

	inFlight *pendingFetch // nil if no fetch is in flight
	lastDone uint64        // number of the last fetch that has ended; 0 if none has
	lastErr  error         // why that fetch failed; nil if it succeeded
	failures int           // how many fetches have failed in a row
	logged   loggedFailure // the last record in the log of these failures

	failingSince time.Time // when the first of these failures was; zero if there is none

	// These times are compared by elapsed, which counts the time in which the machine
	// was suspended.
	fetchedAt time.Time     // when the last fetch succeeded; zero if none has
	keysLast  time.Duration // how long after fetchedAt the current keys may be used
	endedAt   time.Time     // when the last fetch ended; zero if none has
	pause     time.Duration // how long after endedAt a request starts a fetch

	emptySince time.Time // since when each answer of the issuer is an empty set; zero if the last one is not

	alarm *time.Timer // raises actionDue

	unknown        unknownKeys // limits the fetches for unknown key IDs and rechecks
	newcomerTokens int         // taken from newcomers; 0 if this issuer is not a newcomer
	rechecking     int         // how many calls of recheck wait

	counters RemoteStats // without the fields that stats sets

	clock     clockLog
	discovery reminder // that discovery fails

	limited       reminder // of limitedReports
	limitedLogged uint64   // LimitedLookups at the last one

	last fetchResult // of the last fetch that succeeded

	discovered discovery // belongs to the fetch in flight while there is one
}

// settings are the fields of a Remote that its issuers need, with defaults filled
// in.
type settings struct {
	name        string // of the Remote, for errors and logs
	fetcher     fetcher
	minInterval time.Duration
	unlimited   bool // every unknown key ID and every recheck causes a fetch
	timeout     time.Duration
	slots       *fetchSlots
	logger      *slog.Logger // nil means slog.Default
}

// fromIssuer returns the keys for a request that the snapshot alone cannot answer. It
// waits for a fetch if need be, and for a second fetch if the first one began before
// the request came, but not longer than ctx and the timeout.
func (k *issuerKeys) fromIssuer(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	minFetch := k.nextFetch()
	var waiting context.Context // has the timeout for both fetches together
	for first := true; ; first = false {
		found, pending, limited, err := k.answer(issuer, kid, minFetch, first)
		if limited != nil {
			limited.log(k.settings.logger, k.issuer)
		}
		if pending == nil {
			return found, err
		}
		if waiting == nil {
			var cancel context.CancelFunc
			waiting, cancel = context.WithTimeout(ctx, k.settings.timeout)
			defer cancel()
		}
		if err := pending.wait(waiting); err != nil {
			return nil, k.withIssuer(fmt.Errorf("waiting for keys: %w", err))
		}
	}
}

// refresh waits for a fetch that begins after the call, and returns its error.
func (k *issuerKeys) refresh(ctx context.Context) error {
	minFetch := k.nextFetch()
	for {
		pending, err := k.ensureFetch(minFetch)
		if pending == nil {
			return err
		}
		if err := pending.wait(ctx); err != nil {
			return k.withIssuer(fmt.Errorf("waiting for keys: %w", err))
		}
	}
}

// stats returns the counters.
func (k *issuerKeys) stats() RemoteStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.counters
	s.Issuer, s.Err, s.Fetches = k.issuer, k.lastErr, k.lastStarted.Load()
	now := time.Now()
	s.FailuresInARow = k.failures
	if k.failures > 0 {
		s.FailingFor = elapsed(k.failingSince, now)
	}
	if k.hasKeys(now) {
		s.Keys = len(k.current.Load().set.all)
		s.Withdrawn = s.Keys == 0
	}
	if s.Keys > 0 {
		s.Age, s.KeysUsableFor = elapsed(k.fetchedAt, now), k.usableFor(now)
	}
	return s
}

// usableFor returns how much longer the current keys may be used. The caller holds mu, as
// for the next two methods.
func (k *issuerKeys) usableFor(now time.Time) time.Duration {
	return k.keysLast - elapsed(k.fetchedAt, now)
}

// hasKeys reports whether there are keys that may be used. The set that they are in may
// be empty, if the issuer has withdrawn all keys.
func (k *issuerKeys) hasKeys(now time.Time) bool {
	return k.current.Load().set != nil && k.usableFor(now) > 0
}

// untilDue returns how long it takes until a request starts a fetch although it needs none.
func (k *issuerKeys) untilDue(now time.Time) time.Duration {
	return k.pause - elapsed(k.endedAt, now)
}

// unneeded reports whether the issuer may be forgotten, and since when its keys
// have not been needed. The zero time means that there are no keys.
func (k *issuerKeys) unneeded(now time.Time) (since time.Time, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.namedByNew.Load() || k.inFlight != nil {
		return since, false
	}
	if !k.hasKeys(now) {
		return since, true
	}
	// Once a fetch was due, a request would have started it. While fetches fail,
	// requests may have used the keys without starting one.
	return k.endedAt.Add(k.pause), k.lastErr == nil && k.untilDue(now) <= 0
}

// nextFetch returns the number of the first fetch that begins after the call. An
// earlier fetch may have missed a key that the issuer has added meanwhile. nextFetch
// needs no lock: start increments lastStarted before the fetch sends a request.
func (k *issuerKeys) nextFetch() uint64 { return k.lastStarted.Load() + 1 }

// answer decides about a request: it returns keys, an error, neither if there is
// no such key, or the fetch that the request has to wait for before it asks again.
// minFetch is the number of the first fetch that is new enough for the request: the
// result of nextFetch when the request came. first is true the first time that a request
// asks.
func (k *issuerKeys) answer(issuer, kid string, minFetch uint64, first bool) (
	found []*jwtgate.Key, pending *pendingFetch, limited *limitedReport, err error,
) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	s := k.current.Load()
	if s.set != nil && !k.hasKeys(now) {
		s = new(snapshot)
		k.current.Store(s)
	}
	found, conclusive := s.find(issuer, kid)
	done := k.lastDone >= minFetch // a fetch that began after the request came has ended
	if first && !conclusive && s.set != nil {
		k.unknown.see(kid, now)
	}
	if k.inFlight == nil && !done {
		k.maybeStart(now, kid, conclusive)
	}
	if s.actionDue.Load() {
		k.setAlarm(now)
	}
	switch {
	case conclusive:
		return found, nil, nil, nil
	case k.inFlight != nil && !done:
		return nil, k.inFlight, nil, nil
	case len(found) > 0:
		return found, nil, nil, nil // keys without ID, one of which may have signed the token
	case k.lastErr != nil:
		return nil, nil, nil, &outage{k.lastErr, k.untilDue(now)}
	case s.set == nil:
		return nil, nil, nil, &outage{k.withIssuer(errors.New("the keys were out of date as soon as they came")), 0}
	case done:
		return nil, nil, nil, nil
	}
	return nil, nil, k.countLimited(kid, now), nil
}

// countLimited counts a lookup of kid that the limits have kept from starting a fetch. It
// returns what to log about it, or nil. The caller holds mu.
func (k *issuerKeys) countLimited(kid string, now time.Time) *limitedReport {
	k.counters.LimitedLookups++
	if !k.limited.isDue(now, limitedInterval) {
		return nil
	}
	r := &limitedReport{kid, k.unknown.whyNot(kid, now), k.counters.LimitedLookups - k.limitedLogged}
	k.limitedLogged = k.counters.LimitedLookups
	return r
}

// maybeStart starts a fetch if one is due, or if a request needs a key that is not
// conclusively known, as far as the limits allow. The caller holds mu,
// and no fetch is in flight.
func (k *issuerKeys) maybeStart(now time.Time, kid string, conclusive bool) {
	if k.untilDue(now) <= 0 {
		if k.takeNewcomerToken(now) {
			k.start(now, true, nil)
		}
		return
	}
	if conclusive || k.lastErr != nil {
		return
	}
	if k.settings.unlimited {
		k.start(now, false, nil)
	} else if search := k.unknown.allow(kid, now, k.settings.minInterval); search != nil {
		k.start(now, false, search)
	}
}

// ensureFetch returns a fetch to wait for, which it starts if none is in flight.
// If a fetch with the number minFetch or a later one has ended, it returns the error of
// the last fetch instead.
func (k *issuerKeys) ensureFetch(minFetch uint64) (pending *pendingFetch, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lastDone >= minFetch {
		return nil, k.lastErr
	}
	if k.inFlight == nil {
		k.start(time.Now(), false, nil)
	}
	return k.inFlight, nil
}

// takeNewcomerToken reports whether the limit for newcomers allows a fetch. It
// always does if the issuer is not a newcomer. The token for the first fetch was
// taken when the issuer was admitted.
func (k *issuerKeys) takeNewcomerToken(now time.Time) bool {
	if k.newcomerTokens == 0 || k.lastStarted.Load() == 0 {
		return true
	}
	if !k.newcomers.take(now) {
		return false
	}
	k.newcomerTokens++
	return true
}

// start starts a fetch. The caller holds mu, and no fetch is in flight. With
// revalidate the server may answer that the keys have not changed, and so may a cache on
// the way. A fetch for an unknown key does not allow that, since a cache may not know of
// the key yet. A fetch after a failure does not allow the server to say so either, since
// a server may answer plain requests and fail on conditional ones.
// search is nil unless the fetch is for an unknown key.
func (k *issuerKeys) start(now time.Time, revalidate bool, search *search) {
	f := &pendingFetch{number: k.lastStarted.Add(1), startedAt: now, done: make(chan struct{}), late: make(chan struct{}), search: search}
	f.slot = k.settings.slots.request(k.urgency(now, revalidate))
	k.inFlight = f
	k.setAlarm(now)
	last := k.last
	if !revalidate || k.lastErr != nil {
		last.etag = ""
	}
	inBackground(
		func() (fetchResult, error) {
			ctx, end := f.begin(k.settings.timeout)
			defer end()
			return k.settings.fetcher.fetch(ctx, k.issuer, last, &k.discovered, !revalidate)
		},
		func(o outcome[fetchResult]) { k.finish(f, o.value, o.err) })
}

// urgency returns how soon a fetch gets a slot. With revalidate, the fetch is a due one. The
// caller holds mu.
func (k *issuerKeys) urgency(now time.Time, revalidate bool) (r rank, order int) {
	switch {
	case k.lastErr != nil || k.newcomerTokens > 0:
		return rankDoubted, k.failures
	case k.fetchedAt.IsZero():
		return rankFirst, 0
	case revalidate && k.hasKeys(now):
		return rankRefresh, 0
	}
	return rankWanted, 0
}

// finish records the outcome of a fetch, wakes the requests that wait for it, and
// then writes the log.
func (k *issuerKeys) finish(f *pendingFetch, result fetchResult, err error) {
	err = k.withIssuer(err)
	k.mu.Lock()
	now := time.Now()
	hasKeys := k.hasKeys(now)
	if hasKeys && k.confirmsWithdrawal(f, result, now) {
		result.set, err = newSet(nil, nil), nil
	}
	r := fetchReport{
		err: err, meaning: result.meaning, first: k.fetchedAt.IsZero(), failures: k.failures,
		failingFor: elapsed(cmp.Or(k.failingSince, now), now),
	}
	refund := 0
	k.endedAt = now
	if err != nil {
		k.fail(result, now)
		r.failures++
	} else {
		r.url, r.skipped = result.url, newlySkipped(k.last.skipped, result.skipped)
		r.before, r.after = k.last.set, result.set
		k.succeed(f, result, now)
		refund, k.newcomerTokens = k.newcomerTokens, 0
		r.clock = k.clock.check(result.clockAhead, now)
		if result.discoveryErr == nil {
			k.discovery = reminder{}
		} else if k.discovery.isDue(now, reminderInterval) {
			r.discoveryErr = k.withIssuer(result.discoveryErr)
		}
	}
	k.lastErr = err
	k.lastDone = f.number
	k.inFlight = nil
	if k.hasKeys(now) {
		r.usableFor = k.usableFor(now)
	}
	r.isNew = k.logged.isNew(r, now)
	k.setAlarm(now)
	k.mu.Unlock()
	close(f.done)
	if refund > 0 {
		k.newcomers.refund(refund)
	}
	r.log(k.settings.logger, k.settings.name, k.issuer)
}

// fail records that a fetch has failed. The caller holds mu.
func (k *issuerKeys) fail(result fetchResult, now time.Time) {
	k.counters.Failures++
	if k.failures++; k.failures == 1 {
		k.failingSince = now
	}
	hasKeys := k.hasKeys(now)
	k.pause = max(backoff(k.failures, hasKeys), limitRetryAfter(result.retryAfter, hasKeys))
	if result.meaning == withdrawn {
		k.pause = max(k.pause, k.settings.minInterval)
	}
	if result.meaning != unreachable {
		k.keysLast = min(k.keysLast, elapsed(k.fetchedAt, now)+k.settings.fetcher.freshFor)
	}
}

// succeed makes the set that a fetch brought the current one. The caller holds mu.
func (k *issuerKeys) succeed(f *pendingFetch, result fetchResult, now time.Time) {
	k.failures, k.failingSince = 0, time.Time{}
	k.fetchedAt, k.keysLast = now, result.freshFor+k.settings.fetcher.staleFor
	if result.fromKnown {
		k.keysLast = min(k.keysLast, k.settings.fetcher.usableFor(&k.discovered, now))
	}
	k.pause = refreshAfter(result.freshFor)
	k.counters.URL, k.counters.ClockAhead = result.url, result.clockAhead
	s := newSnapshot(result.set)
	k.current.Store(s)
	if f.search != nil {
		_, found := s.find(k.issuer, f.search.kid)
		k.unknown.finish(f.search, found, now)
	}
	k.last = result
}

// confirmsWithdrawal reports whether f brought an empty set at least MinInterval after
// another fetch did, and no fetch between them said anything else. It records what f
// brought. The caller holds mu.
func (k *issuerKeys) confirmsWithdrawal(f *pendingFetch, result fetchResult, now time.Time) bool {
	switch {
	case result.meaning == withdrawn && k.emptySince.IsZero():
		k.emptySince = now
	case result.meaning == withdrawn:
		return elapsed(k.emptySince, f.startedAt) >= k.settings.minInterval
	case result.meaning == unpublished || result.set != nil:
		k.emptySince = time.Time{}
	}
	return false
}

// alarmInterval is the longest time between two calls of setAlarm while requests come. A
// timer does not count the time in which the machine is suspended, and a request that
// does nothing but look up its key does not look at the clock.
const alarmInterval = time.Minute

// setAlarm sets the timer that makes a request act when a fetch is due or the keys must not
// be used any longer. The caller holds mu.
func (k *issuerKeys) setAlarm(now time.Time) {
	if k.alarm != nil {
		k.alarm.Stop()
	}
	s := k.current.Load()
	if s.set == nil {
		return // every request calls fromIssuer
	}
	wait := min(k.usableFor(now), alarmInterval)
	if k.inFlight == nil {
		wait = min(wait, k.untilDue(now))
	}
	s.actionDue.Store(false)
	// The timer refers to the snapshot only, so that a Remote that is no longer
	// used can be collected before the timer fires.
	k.alarm = time.AfterFunc(wait, func() { s.actionDue.Store(true) })
}

// withIssuer adds the name of the source to err, and the issuer or the URL. It does not
// repeat an address that err starts with, whole or cut. It returns nil for nil.
func (k *issuerKeys) withIssuer(err error) error {
	if err == nil {
		return nil
	}
	address := strings.TrimSuffix(k.issuer, "/")
	if k.issuer == "" {
		address = strings.TrimPrefix(k.settings.name, "keys.Remote ")
	}
	switch {
	case strings.HasPrefix(err.Error(), "GET "+address), errors.As(err, new(*discoveryError)):
		return fmt.Errorf("keys.Remote: %w", err)
	case k.issuer == "":
		return fmt.Errorf("%s: %w", k.settings.name, err)
	}
	return fmt.Errorf("keys.Remote: issuer %.100q: %w", k.issuer, err)
}

// A snapshot is what a request reads without locking.
type snapshot struct {
	set *set // nil if there are no keys in use
	// byID has what find returns for the IDs of the keys and for "", if that does not
	// depend on the issuer. Otherwise it is nil.
	byID map[string][]*jwtgate.Key
	// actionDue is set when a fetch is due, when the keys must not be used any longer,
	// and each alarmInterval. The next request then calls fromIssuer, which acts.
	actionDue atomic.Bool
}

func newSnapshot(s *set) *snapshot {
	if s.issuers != nil {
		return &snapshot{set: s}
	}
	return &snapshot{set: s, byID: s.byID}
}

// find returns the keys that may have signed a token of issuer that names kid.
// conclusive is false if kid may name a key that a new fetch would bring.
func (s *snapshot) find(issuer, kid string) (found []*jwtgate.Key, conclusive bool) {
	found, known := s.set.find(issuer, kid)
	return found, known && !s.set.mayNameNewKey(kid)
}

// A pendingFetch is an attempt to get new keys. All requests that need its outcome
// share it.
type pendingFetch struct {
	number    uint64 // 1 for the first fetch of the issuer
	startedAt time.Time
	slot      *slotRequest  // the fetch begins when it has the slot
	late      chan struct{} // closed when the deadline of the fetch passes
	done      chan struct{} // closed when the outcome is recorded
	search    *search       // the unknown key that the fetch is for; nil if there is none
}

// begin waits for the slot of the fetch, and returns the context of the fetch. end must be
// called when the fetch has ended. The slot is given back then, or at the deadline of the
// fetch if that is earlier: a client that ignores its context must not hold a slot.
func (f *pendingFetch) begin(timeout time.Duration) (ctx context.Context, end func()) {
	<-f.slot.granted
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	stop := context.AfterFunc(ctx, func() {
		close(f.late)
		f.slot.release()
	})
	return ctx, func() {
		if stop() {
			f.slot.release()
		}
		cancel()
	}
}

// wait waits until the fetch has ended and returns nil. It returns the error of
// ctx if that ends first. It also returns when the fetch's own deadline passes,
// even if the HTTP client hangs. That deadline counts from when the fetch gets a slot.
func (f *pendingFetch) wait(ctx context.Context) error {
	f.slot.want()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return f.gaveUp(ctx.Err())
	case <-f.late:
	}
	select {
	case <-f.done:
		return nil
	default:
		return context.DeadlineExceeded
	}
}

// gaveUp returns the error of a request that waits no longer because of err.
func (f *pendingFetch) gaveUp(err error) error {
	if !f.slot.hasSlot() {
		return fmt.Errorf("too many fetches for other issuers are in flight: %w", err)
	}
	return err
}
