package keys

import (
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
//	NO KEYS --success--> FRESH --refreshAt--> DUE --failure--> FAILING
//
//	from any state:  success -> FRESH, staleAt -> NO KEYS
//	if it has keys:  failure -> FAILING
//
//	state    request for a known key         request for an unknown key
//	NO KEYS  cannot occur                    starts a fetch, and waits for it
//	FRESH    gets the key                    starts a fetch, and waits for it;
//	                                         beyond the limit of unknownKeys, gets no key
//	DUE      gets the key, starts a fetch    starts a fetch, and waits for it
//	FAILING  gets the key                    gets the error of the last fetch
//
// After a failure refreshAt is the end of the backoff. From then on FAILING is
// like DUE. NO KEYS has a backoff too, in which requests get the error of the last
// fetch. In any state, a request for an unknown key waits for a fetch in flight. If
// the set has keys without ID, a request for an unknown key gets them where the table
// says an error or no key.
//
// In any state at most one fetch is in flight. A request starts it (see
// maybeStart), or Refresh. It runs on its own goroutine, goes on if all
// requests that wait for it are cancelled, and always ends in finish.
//
// Keys are in use until a fetch replaces them, or until staleAt.
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

	fetchedAt time.Time   // when the last fetch succeeded; zero if none has
	refreshAt time.Time   // from then on a request starts a fetch
	staleAt   time.Time   // from then on the current keys must not be used
	alarm     *time.Timer // raises actionDue at the next of these times

	unknown        unknownKeys // limits the fetches for unknown key IDs
	newcomerTokens int         // taken from newcomers; 0 if this issuer is not a newcomer

	counters RemoteStats // without Issuer, Keys, Age, Fetches and Err, which stats adds
	hadKeys  bool        // keys were in use when the last fetch ended

	last fetchResult // of the last fetch that succeeded
}

// settings are the fields of a Remote that its issuers need, with defaults filled
// in.
type settings struct {
	name        string // of the Remote, for errors and logs
	fetcher     fetcher
	staleFor    time.Duration
	minInterval time.Duration
	unlimited   bool // every unknown key ID causes a fetch
	timeout     time.Duration
	logger      *slog.Logger // nil means slog.Default
}

// fromIssuer returns the keys for a request that the snapshot alone cannot answer. It
// waits for a fetch if need be, and for a second fetch if the first one began before
// the request came, but not longer than ctx and the timeout.
func (k *issuerKeys) fromIssuer(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	minFetch := k.nextFetch()
	var waiting context.Context // has the timeout for both fetches together
	for first := true; ; first = false {
		found, pending, err := k.answer(issuer, kid, minFetch, first)
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
	if set := k.current.Load().set; set != nil && time.Now().Before(k.staleAt) {
		s.Keys, s.Age = len(set.all), time.Since(k.fetchedAt)
	}
	return s
}

// unneeded reports whether the issuer may be forgotten, and since when its keys
// have not been needed. The zero time means that there are no keys.
func (k *issuerKeys) unneeded(now time.Time) (since time.Time, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.namedByNew.Load() || k.inFlight != nil {
		return since, false
	}
	if k.current.Load().set == nil || !now.Before(k.staleAt) {
		return since, true
	}
	// A request after refreshAt would have started a fetch. While fetches fail,
	// requests may have used the keys without starting one.
	return k.refreshAt, k.lastErr == nil && !now.Before(k.refreshAt)
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
func (k *issuerKeys) answer(issuer, kid string, minFetch uint64, first bool) (found []*jwtgate.Key, pending *pendingFetch, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	s := k.current.Load()
	if s.set != nil && !now.Before(k.staleAt) {
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
		return found, nil, nil
	case k.inFlight != nil && !done:
		return nil, k.inFlight, nil
	case len(found) > 0:
		return found, nil, nil // keys without ID, one of which may have signed the token
	case k.lastErr != nil:
		return nil, nil, &outage{k.lastErr, k.refreshAt.Sub(now)}
	case s.set == nil:
		return nil, nil, &outage{k.withIssuer(errors.New("the keys were out of date as soon as they came")), 0}
	}
	if !done {
		k.counters.LimitedLookups++
	}
	return nil, nil, nil
}

// maybeStart starts a fetch if refreshAt has passed, or if a request needs a key
// that is not conclusively known, as far as the limits allow. The caller holds mu,
// and no fetch is in flight.
func (k *issuerKeys) maybeStart(now time.Time, kid string, conclusive bool) {
	if due := !now.Before(k.refreshAt); due {
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
	ctx, cancel := context.WithTimeout(context.Background(), k.settings.timeout)
	f := &pendingFetch{ctx: ctx, number: k.lastStarted.Add(1), done: make(chan struct{}), search: search}
	k.inFlight = f
	k.setAlarm(now)
	last := k.last
	if !revalidate || k.lastErr != nil {
		last.etag = ""
	}
	go func() {
		defer cancel()
		// This error is reported if a callback, such as Parse, calls runtime.Goexit.
		result, err := fetchResult{}, errors.New("the fetch did not end: a function that it called, such as Parse, stopped its goroutine with runtime.Goexit")
		defer func() { k.finish(f, result, err) }()
		result, err = k.settings.fetcher.fetch(ctx, k.issuer, last, !revalidate)
	}()
}

// finish records the outcome of a fetch, wakes the requests that wait for it, and
// then writes the log.
func (k *issuerKeys) finish(f *pendingFetch, result fetchResult, err error) {
	err = k.withIssuer(err)
	k.mu.Lock()
	now := time.Now()
	r := fetchReport{
		err: err, first: k.fetchedAt.IsZero(), wasFailing: k.lastErr != nil,
		changed: result.set != k.last.set, hadKeys: k.hadKeys,
	}
	refund := 0
	hasKeys := k.current.Load().set != nil && now.Before(k.staleAt)
	if err != nil {
		k.counters.Failures++
		k.failures++
		k.refreshAt = now.Add(max(backoff(k.failures, hasKeys), limitRetryAfter(result.retryAfter, hasKeys)))
	} else {
		k.failures = 0
		k.fetchedAt = now
		k.refreshAt = now.Add(refreshAfter(result.freshFor))
		k.staleAt = now.Add(result.freshFor).Add(k.settings.staleFor) // the sum may overflow a Duration
		k.counters.URL = result.url
		s := &snapshot{set: result.set}
		k.current.Store(s)
		if f.search != nil {
			_, found := s.find(k.issuer, f.search.kid)
			k.unknown.finish(f.search, found, now)
		}
		refund, k.newcomerTokens = k.newcomerTokens, 0
		r.url, r.keys, r.skipped = result.url, len(result.set.all), newlySkipped(k.last.skipped, result.skipped)
		k.last = result
	}
	k.lastErr = err
	k.lastDone = f.number
	k.inFlight = nil
	k.hadKeys = k.current.Load().set != nil && now.Before(k.staleAt)
	r.hasKeys = k.hadKeys
	k.setAlarm(now)
	k.mu.Unlock()
	close(f.done)
	if refund > 0 {
		k.newcomers.refund(refund)
	}
	r.log(k.settings.logger, k.settings.name, k.issuer)
}

// setAlarm sets the timer that makes a request act when the keys become due or
// stale. The caller holds mu.
func (k *issuerKeys) setAlarm(now time.Time) {
	if k.alarm != nil {
		k.alarm.Stop()
	}
	s := k.current.Load()
	if s.set == nil {
		return // every request calls fromIssuer
	}
	when := k.staleAt
	if k.inFlight == nil && k.refreshAt.Before(when) {
		when = k.refreshAt
	}
	s.actionDue.Store(false)
	// The timer refers to the snapshot only, so that a Remote that is no longer
	// used can be collected before the timer fires.
	k.alarm = time.AfterFunc(when.Sub(now), func() { s.actionDue.Store(true) })
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
	// actionDue is set when the keys have become due or stale. The next request
	// then calls fromIssuer, which acts.
	actionDue atomic.Bool
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
	ctx    context.Context // ends with the timeout of the fetch
	number uint64          // 1 for the first fetch of the issuer
	done   chan struct{}   // closed when the outcome is recorded
	search *search         // the unknown key that the fetch is for; nil if there is none
}

// wait waits until the fetch has ended and returns nil. It returns the error of
// ctx if that ends first. It also returns when the fetch's own deadline passes,
// even if the HTTP client hangs.
func (f *pendingFetch) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-f.ctx.Done():
	}
	select {
	case <-f.done:
		return nil
	default:
		return f.ctx.Err()
	}
}
