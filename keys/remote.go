package keys

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate"
)

// Remote is a source that fetches keys from the issuer over HTTP: a JWK Set
// (RFC 7517 section 5) whose address is given in URL, or else found by OpenID
// Connect Discovery or RFC 8414 from the issuer itself. The zero value does the
// latter:
//
//	gate, err := jwtgate.New(jwtgate.Options{
//		Keys:      &keys.Remote{},
//		Issuers:   []string{"https://auth.example.com/"},
//		Audiences: []string{"https://api.example.com"},
//	})
//
// The keys of each discovered issuer are kept apart, so one Remote is enough
// for several, at most 1,000. All issuers share the keys of a URL, except for a
// JWK with an issuer member, as Entra ID has it.
//
// # When it fetches
//
// The first request of an issuer waits for its keys. From then on requests are
// answered from memory. After four fifths of FreshFor the next one starts a
// fetch in the background. A token that names a key that is not there makes its
// request wait for a new fetch, unless there have been two already: then there
// is one more each MinInterval, whatever the fetches were for, and meanwhile
// such tokens are refused. Tokens that name no key, bad signatures and untrusted
// issuers never cause a fetch.
//
// There is at most one fetch at a time for an issuer, which goes on if a request
// that waits for it is cancelled.
//
// # When the issuer is down
//
// Keys that were fetched before stay in use up to StaleFor. What cannot be told
// without a new fetch is answered with 503 and Retry-After, never with a
// refusal of the token. After a failure the next fetch waits for half a second,
// then twice as long each time up to 30 seconds, less a random part.
//
// A program starts while its issuer is down. To have it fail instead, call
// Refresh or [jwtgate.Gate.Ready].
//
// # With TrustIssuer
//
// An issuer that Options.TrustIssuer lets through is asked for its keys before
// anybody knows that the token is genuine. If it compares with a list, that is
// all there is to it. If it lets through names that anybody can make up, the made
// up ones compete with new genuine ones: after a hundred fetches that failed there
// is one each second, for whoever comes first. Issuers whose keys are there do not
// notice. Beyond 1,000 issuers, those give way that have no keys, then those that
// no request has come for since their keys were due for a refresh. Issuers that
// New was told of, or Refresh, are not held to the limit of fetches; the former
// never give way.
//
// # What it refuses
//
// Plain http other than to loopback (see InsecureHTTP), redirects to another
// origin, answers that are not 200 or 304, or have more than 1 MiB or 100 keys,
// and discovery documents of another issuer. A key that cannot be used is
// skipped, and logged once; a set without one that can is a failure.
//
// Fields must not be changed after first use. A Remote is safe for concurrent
// use and must not be copied. It holds no goroutine or connection while it does
// not fetch.
type Remote struct {
	// URL is where the JWK Set is. If it is empty, each issuer's discovery
	// document tells, which is read with every fetch. It shows in logs, so it
	// must not have a secret in it.
	URL string
	// Client makes the requests; nil means a plain one that uses what
	// [http.DefaultTransport] is at first use. It is for a private CA,
	// credentials, or a proxy. Redirects to another origin are not followed, but a
	// discovery document may name keys on any host: a client that adds
	// credentials has to look at the host itself.
	Client *http.Client
	// Algorithms are for keys that do not say theirs in alg. Each such key
	// verifies those that its kind can. nil means RS256, the algorithm of the
	// curve (ES256, ES384, ES512), and EdDSA.
	Algorithms []string

	// FreshFor is how long keys are used before they are fetched again: 0 means
	// 10 minutes. The Cache-Control of the answer shortens it (RFC 9111 section
	// 5.2.2), to no less than a minute, and max-age to no more than a day.
	FreshFor time.Duration
	// StaleFor is how much longer keys are used while no new ones could be
	// fetched, or while no request has come: 0 means 24 hours, a negative value
	// none. It bounds how long a key that the issuer has withdrawn may be of use
	// to somebody in an outage.
	StaleFor time.Duration
	// MinInterval is the least time between fetches that are caused by unknown
	// key IDs, after the first two: 0 means 5 seconds.
	MinInterval time.Duration
	// Timeout is for a fetch as a whole, discovery included: 0 means 5 seconds.
	Timeout time.Duration

	// InsecureHTTP permits plain http beyond loopback, where whoever is on the
	// path chooses the keys. It is for networks that are trusted as a whole.
	InsecureHTTP bool
	// Parse returns the keys of what was fetched, if that is not a JWK Set. It
	// runs on a goroutine of its own, and only when the text is another one than
	// before.
	Parse func([]byte) ([]*jwtgate.Key, error)
	// Logger is told of the first fetch, of new keys, of the first failure and
	// of recovery, and of keys that are skipped, each once and never for each
	// request; at level Debug of every fetch. nil means [slog.Default].
	Logger *slog.Logger

	upstreams atomic.Pointer[upstreams]

	mu        sync.Mutex // guards changes of upstreams; taken before that of an upstream
	newcomers newcomers
}

const (
	defaultFreshFor    = 10 * time.Minute
	defaultStaleFor    = 24 * time.Hour
	defaultMinInterval = 5 * time.Second
	defaultTimeout     = 5 * time.Second

	// unknownKeyBurst is how many fetches unknown key IDs may cause at once.
	unknownKeyBurst = 2
	// mostIssuers is how many issuers a Remote keeps keys of.
	mostIssuers = 1000
	// newcomersBurst is how many fetches may fail, for issuers of which nobody but
	// a token has told, before there is only one each newcomersInterval. It
	// bounds what forged issuers cost under Options.TrustIssuer; fetches for
	// those that turn out to have keys do not count.
	newcomersBurst    = 100
	newcomersInterval = time.Second
)

func (r *Remote) freshFor() time.Duration { return orDefault(r.FreshFor, defaultFreshFor) }
func (r *Remote) staleFor() time.Duration {
	if r.StaleFor < 0 {
		return 0
	}
	return orDefault(r.StaleFor, defaultStaleFor)
}
func (r *Remote) timeout() time.Duration { return orDefault(r.Timeout, defaultTimeout) }

// minInterval is at most a year, so that a bucket can count with it.
func (r *Remote) minInterval() time.Duration {
	return min(orDefault(r.MinInterval, defaultMinInterval), 365*24*time.Hour)
}

// orDefault also replaces what CheckIssuers would have refused, if nobody asked
// it.
func orDefault(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}

// Format prints where the keys come from, whatever the verb.
func (r *Remote) Format(s fmt.State, _ rune) { fmt.Fprint(s, r.name()) }

func (r *Remote) name() string {
	if r == nil || r.URL == "" {
		return "keys.Remote"
	}
	return "keys.Remote " + redacted(r.URL)
}

// redacted returns an address as a log may show it.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "of a malformed URL"
	}
	return fmt.Sprintf("%.200s", u.Redacted())
}

// Keys returns the keys of issuer. It fetches them if there are none, or none
// with that ID, as far as the limits allow, and waits for it no longer than ctx
// and Timeout last. An error means that this cannot be told now.
func (r *Remote) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	u := r.upstreams.Load().of(issuer)
	if u == nil {
		var err error
		if u, err = r.admit(issuer, byToken); err != nil {
			return nil, err
		}
	}
	if s := u.current.Load(); !s.look.Load() {
		if found, known := s.set.find(issuer, kid); known && s.set.certain(kid) {
			return found, nil
		}
	}
	return u.keys(ctx, issuer, kid)
}

// Refresh fetches the keys of issuer, whatever the limits, and returns why that
// failed. It is for failing fast at start, for tenants that the program knows and
// New does not, and for an issuer that tells when its keys have changed. A fetch
// that has begun before does not count. The issuer does not matter if URL is set.
func (r *Remote) Refresh(ctx context.Context, issuer string) error {
	u, err := r.admit(issuer, byCaller)
	if err != nil {
		return err
	}
	return u.refresh(ctx)
}

// RemoteStats are counters of a [Remote], for a metrics library to read.
type RemoteStats struct {
	Issuer   string        // "" if Remote.URL is set
	URL      string        // of the JWK Set; "" if it was not discovered yet
	Keys     int           // that are in use now
	Age      time.Duration // since they were fetched or confirmed; 0 if there are none
	Fetches  uint64        // begun
	Failures uint64        // of those
	Limited  uint64        // unknown key IDs that were refused without a fetch
	Err      error         // of the last fetch; nil if it succeeded
}

// Stats returns the counters for the URL, or for each issuer that has been
// listed or asked for, in the order of their names.
func (r *Remote) Stats() []RemoteStats {
	var all []RemoteStats
	for _, u := range r.upstreams.Load().all() {
		all = append(all, u.stats())
	}
	return all
}

// CheckIssuers returns what is wrong with the fields, or with an issuer whose
// keys are to be discovered. It does not fetch. Issuers that it accepts stay with
// the Remote for good.
func (r *Remote) CheckIssuers(issuers []string) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("keys.Remote: "+format, args...)) }
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"FreshFor", r.FreshFor}, {"MinInterval", r.MinInterval}, {"Timeout", r.Timeout}} {
		if d.value < 0 {
			bad("%s: %v is negative; leave it out for the default", d.field, d.value)
		}
	}
	if r.Algorithms != nil && len(r.Algorithms) == 0 {
		bad("Algorithms: the list is empty; leave the field out for the default")
	}
	for _, name := range r.Algorithms {
		if !slices.Contains(remoteAlgorithms, name) {
			bad("Algorithms: %q is not one of %s", name, strings.Join(remoteAlgorithms, ", "))
		}
	}
	if r.Parse != nil && r.Algorithms != nil {
		bad("Algorithms: Parse makes the keys, so it has to choose their algorithms; leave Algorithms out")
	}
	if r.URL != "" {
		if _, err := r.parseURL(r.URL); err != nil {
			bad("URL: %w", err)
		}
		issuers = []string{""}
	} else {
		for _, issuer := range issuers {
			if issuer == "" {
				bad("URL: it is empty, and without it keys are found by iss, which Options.AnyIssuer leaves unchecked; set it")
			} else if _, err := r.parseIssuer(issuer); err != nil {
				bad("the issuer %q cannot be asked for its keys: %w; set URL if they are elsewhere", issuer, err)
			}
		}
	}
	for _, issuer := range issuers {
		if len(errs) > 0 {
			break
		}
		if _, err := r.admit(issuer, byOptions); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// remoteAlgorithms are those that a public key can verify.
var remoteAlgorithms = append(slices.Clone(rsaAlgorithms), "ES256", "ES384", "ES512", "EdDSA", "Ed25519")

// upstreams are what a Remote fetches from. They are replaced, never changed.
type upstreams struct {
	shared   *upstream // of all issuers, under Remote.URL
	single   *upstream // the only one, if it is, which is found faster
	byIssuer map[string]*upstream
}

// of returns the upstream of issuer, or nil.
func (us *upstreams) of(issuer string) *upstream {
	switch {
	case us == nil:
		return nil
	case us.shared != nil:
		return us.shared
	case us.single != nil && us.single.issuer == issuer:
		return us.single
	}
	return us.byIssuer[issuer]
}

func (us *upstreams) all() []*upstream {
	if us == nil {
		return nil
	}
	return slices.SortedFunc(maps.Values(us.byIssuer), func(a, b *upstream) int { return strings.Compare(a.issuer, b.issuer) })
}

// An introduction is how a Remote came to know of an issuer.
type introduction int

const (
	byToken   introduction = iota // anybody's; Options.TrustIssuer has let it pass
	byCaller                      // of Refresh
	byOptions                     // New has listed it
)

var (
	errNewcomers = errors.New("keys.Remote: too many issuers are without keys; this one has to wait for its turn")
	errFull      = fmt.Errorf("keys.Remote: there are keys of %d issuers in use, which is the limit", mostIssuers)
)

// admit returns the upstream of issuer, which it makes if there is none yet.
func (r *Remote) admit(issuer string, how introduction) (*upstream, error) {
	if r.URL != "" {
		issuer, how = "", byOptions
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	us := r.upstreams.Load()
	if u := us.of(issuer); u != nil {
		if how == byOptions {
			u.listed.Store(true)
		}
		return u, nil
	}
	now := time.Now()
	if r.URL == "" {
		// The limit first: it costs less than looking at what a stranger sent.
		if how == byToken && !r.newcomers.take(now) {
			return nil, &outage{errNewcomers, newcomersInterval}
		}
		if _, err := r.parseIssuer(issuer); err != nil {
			return nil, fmt.Errorf("keys.Remote: the issuer %.100q cannot be asked for its keys: %w", issuer, err)
		}
	}
	var idle *upstream
	if us != nil && len(us.byIssuer) >= mostIssuers {
		if idle = us.idle(now); idle == nil {
			return nil, &outage{errFull, time.Minute}
		}
	}
	next := &upstreams{byIssuer: map[string]*upstream{}}
	if us != nil {
		next.byIssuer = maps.Clone(us.byIssuer)
	}
	if idle != nil {
		delete(next.byIssuer, idle.issuer)
	}
	u := &upstream{remote: r, issuer: issuer}
	u.current.Store(new(snapshot))
	u.listed.Store(how == byOptions)
	if how == byToken {
		u.taken = 1
	}
	next.byIssuer[issuer] = u
	if r.URL != "" {
		next.shared = u
	} else if len(next.byIssuer) == 1 {
		next.single = u
	}
	r.upstreams.Store(next)
	return u, nil
}

// idle returns the upstream that can best be done without, of those that were
// not listed: one that has no keys, or else one whose keys no request has asked
// for since they were due for a refresh, for the longest time. It returns nil if
// there is none.
func (us *upstreams) idle(now time.Time) *upstream {
	var idle *upstream
	var since time.Time
	for _, u := range us.byIssuer {
		if due, ok := u.idle(now); ok && (idle == nil || due.Before(since)) {
			idle, since = u, due
		}
	}
	return idle
}

// newcomers is the limit for issuers that only tokens have told of.
type newcomers struct {
	mu     sync.Mutex
	bucket bucket
}

func (n *newcomers) take(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.bucket.has(now, newcomersBurst, newcomersInterval) {
		return false
	}
	n.bucket.take(now, newcomersInterval)
	return true
}

// refund gives back what an issuer has taken, once it has keys.
func (n *newcomers) refund(tokens int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bucket.fullAt = n.bucket.fullAt.Add(-time.Duration(tokens) * newcomersInterval)
}

// An upstream is where the keys of one issuer come from, or those of all under
// Remote.URL, with what is known of them.
type upstream struct {
	remote *Remote
	issuer string // "" under Remote.URL
	listed atomic.Bool

	current atomic.Pointer[snapshot] // never nil

	mu       sync.Mutex
	under    *fetch    // the one under way; nil if there is none
	ended    uint64    // the number of the last one that has ended
	err      error     // of that one; nil if it succeeded
	failures int       // in a row
	next     time.Time // when to fetch without being forced to
	stale    time.Time // when the current keys may not be used any more
	fetched  time.Time // when they came
	unknown  bucket    // for unknown key IDs
	holding  bool      // there were keys to be used when the last fetch ended
	alarm    *time.Timer
	taken    int         // of Remote.newcomers, as long as there never were keys; 0 if that does not count it
	counters RemoteStats // Fetches is also the number of the last fetch

	last document // the last good one; used by the fetch under way only
}

// A snapshot is what requests see of an upstream. A request that finds its key
// in it needs neither the lock nor the time.
type snapshot struct {
	set *set // nil if there are no keys that may be used
	// look tells that some time has come, to refresh the keys or to give them
	// up, and that the next request has to see to it.
	look atomic.Bool
}

// keys is Keys where the snapshot alone does not tell.
func (u *upstream) keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	var newer uint64
	var deadline context.Context
	for {
		found, f, err := u.ask(issuer, kid, &newer)
		if f == nil {
			return found, err
		}
		if deadline == nil { // for both fetches that may have to be waited for
			var cancel context.CancelFunc
			deadline, cancel = context.WithTimeout(ctx, u.remote.timeout())
			defer cancel()
		}
		if err := f.wait(deadline); err != nil {
			return nil, u.say(fmt.Errorf("waiting for keys: %w", err))
		}
	}
}

// ask answers from what is known now, or returns the fetch to wait for. A fetch
// that began before the request came may have missed its key, and another one is
// started after it if the limit allows. What is newer than the request begins
// with the number newer, which is 0 when it comes.
func (u *upstream) ask(issuer, kid string, newer *uint64) (found []*jwtgate.Key, wait *fetch, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if *newer == 0 {
		*newer = u.counters.Fetches + 1
	}
	now := time.Now()
	s := u.current.Load()
	if s.set != nil && !now.Before(u.stale) {
		s = new(snapshot)
		u.current.Store(s)
	}
	found, known := s.set.find(issuer, kid)
	known = known && s.set.certain(kid)
	answered := u.ended >= *newer
	if u.under == nil && !answered {
		due := !now.Before(u.next)
		forced := !known && !due && u.err == nil && u.unknown.has(now, unknownKeyBurst, u.remote.minInterval())
		if (due || forced) && u.mayTry(now) {
			u.start(now, !forced)
		}
	}
	if s.look.Load() {
		u.rearm(now)
	}
	switch {
	case known:
		return found, nil, nil
	case u.under != nil && !answered:
		return nil, u.under, nil
	case len(found) > 0:
		return found, nil, nil // keys without ID, which may be it
	case u.err != nil:
		return nil, nil, &outage{u.err, u.next.Sub(now)}
	case s.set == nil:
		return nil, nil, &outage{u.say(errors.New("the keys were out of date as soon as they came")), 0}
	}
	if !answered {
		u.counters.Limited++
	}
	return nil, nil, nil
}

// mayTry tells whether a fetch may be started as far as Remote.newcomers goes.
// The first one was paid for by admit.
func (u *upstream) mayTry(now time.Time) bool {
	if u.taken == 0 || u.counters.Fetches == 0 {
		return true
	}
	if !u.remote.newcomers.take(now) {
		return false
	}
	u.taken++
	return true
}

// refresh waits for a fetch that begins now or later.
func (u *upstream) refresh(ctx context.Context) error {
	u.mu.Lock()
	newer := u.counters.Fetches + 1
	u.mu.Unlock()
	for {
		u.mu.Lock()
		if u.ended >= newer {
			defer u.mu.Unlock()
			return u.err
		}
		if u.under == nil {
			u.start(time.Now(), false)
		}
		f := u.under
		u.mu.Unlock()
		if err := f.wait(ctx); err != nil {
			return u.say(fmt.Errorf("waiting for keys: %w", err))
		}
	}
}

func (u *upstream) stats() RemoteStats {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.counters
	s.Issuer, s.Err = u.issuer, u.err
	if set := u.current.Load().set; set != nil && time.Now().Before(u.stale) {
		s.Keys, s.Age = len(set.all), time.Since(u.fetched)
	}
	return s
}

// idle tells since when, if at all, the keys of u have not been needed.
func (u *upstream) idle(now time.Time) (since time.Time, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.listed.Load() || u.under != nil {
		return since, false
	}
	if u.current.Load().set == nil || !now.Before(u.stale) {
		return since, true // since the beginning of time
	}
	// While fetches fail, there is no telling whether keys are asked for.
	return u.next, u.err == nil && !now.Before(u.next)
}

// A fetch is one attempt to get new keys, shared by all who wait for it.
type fetch struct {
	ctx    context.Context // its own, which ends with the timeout
	number uint64          // counts from 1
	done   chan struct{}   // closed when the keys are there, or the reason why not
}

// wait returns nil when the fetch has ended. It does not wait for a client that
// goes on after its context has ended.
func (f *fetch) wait(ctx context.Context) error {
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

// start begins a fetch. The lock is held, and none is under way. revalidate
// allows it to be answered with "not modified": not if it is for a key that a
// cache on the way may not know of yet, nor after a failure, which may be all
// that some server makes of such a request.
func (u *upstream) start(now time.Time, revalidate bool) {
	if interval := u.remote.minInterval(); u.unknown.has(now, unknownKeyBurst, interval) {
		u.unknown.take(now, interval)
	}
	u.counters.Fetches++
	ctx, cancel := context.WithTimeout(context.Background(), u.remote.timeout())
	f := &fetch{ctx: ctx, number: u.counters.Fetches, done: make(chan struct{})}
	u.under = f
	u.rearm(now)
	last := u.last
	if !revalidate || u.err != nil {
		last.etag = ""
	}
	go func() {
		defer cancel()
		// Stays if a client, or Parse, ends the goroutine.
		d, err := document{}, errors.New("what it called did not return")
		defer func() { u.finish(f, d, err) }()
		d, err = u.fetch(ctx, last)
	}()
}

// finish makes the outcome of a fetch known, and then writes the log.
func (u *upstream) finish(f *fetch, d document, err error) {
	u.mu.Lock()
	now := time.Now()
	r := report{err: u.say(err), document: d, first: u.fetched.IsZero(), wasFailing: u.err != nil, wasHolding: u.holding}
	r.changed = d.set != u.last.set
	refund := 0
	if err != nil {
		u.counters.Failures++
		u.failures++
		u.next = now.Add(backoff(u.failures))
	} else {
		u.failures = 0
		u.fetched = now
		u.next = now.Add(d.freshFor / 5 * 4)
		u.stale = now.Add(d.freshFor).Add(u.remote.staleFor()) // together they may be too much for a Duration
		u.counters.URL = d.url
		u.current.Store(&snapshot{set: d.set})
		refund, u.taken = u.taken, 0
		r.skipped = news(u.last.skipped, d.skipped)
		u.last = d
	}
	u.err = r.err
	u.ended = f.number
	u.under = nil
	u.holding = u.current.Load().set != nil && now.Before(u.stale)
	r.holding = u.holding
	u.rearm(now)
	u.mu.Unlock()
	close(f.done)
	if refund > 0 {
		u.remote.newcomers.refund(refund)
	}
	u.log(r)
}

// A report is what a log is told of a fetch that has ended.
type report struct {
	err                 error // nil if it succeeded
	document            document
	first               bool    // that succeeded
	wasFailing          bool    // before
	wasHolding, holding bool    // keys to be used
	changed             bool    // the set
	skipped             []error // keys of the set that were not skipped before
}

// mostSkipped is how many skipped keys are told of each time, so that a set that
// is always another one does not fill the log.
const mostSkipped = 5

func (u *upstream) log(r report) {
	// The handler is somebody else's, and no request's goroutine runs it.
	defer func() { _ = recover() }()
	logger := orDefaultLogger(u.remote.Logger)
	if u.issuer != "" {
		logger = logger.With("issuer", fmt.Sprintf("%.100s", u.issuer))
	}
	log := logger.With("source", u.remote.name())
	d := r.document
	switch {
	case r.err != nil && r.wasFailing && r.wasHolding == r.holding:
		log.Debug("jwtgate: keys still cannot be fetched", "error", r.err)
	case r.err != nil && r.holding:
		log.Warn("jwtgate: keys cannot be fetched, the old ones stay in use", "error", r.err)
	case r.err != nil:
		log.Error("jwtgate: keys cannot be fetched, and there are none in use", "error", r.err)
	case r.first:
		log.Info("jwtgate: keys fetched", "url", redacted(d.url), "keys", len(d.set.all))
	case r.wasFailing:
		log.Info("jwtgate: keys fetched again", "url", redacted(d.url), "keys", len(d.set.all))
	case r.changed:
		log.Info("jwtgate: key set changed", "url", redacted(d.url), "keys", len(d.set.all))
	default:
		log.Debug("jwtgate: keys confirmed", "url", redacted(d.url))
	}
	if more := len(r.skipped) - mostSkipped; more > 0 {
		r.skipped = append(r.skipped[:mostSkipped:mostSkipped], fmt.Errorf("%d more keys cannot be used", more))
	}
	logSkipped(logger, u.remote.name(), r.skipped)
}

// news returns those of now that were not there before. What they are wrapped in
// does not count: it tells their place in the set, which may change each time.
func news(before, now []error) (fresh []error) {
	for _, err := range now {
		same := func(old error) bool { return errors.Unwrap(old).Error() == errors.Unwrap(err).Error() }
		if !slices.ContainsFunc(before, same) {
			fresh = append(fresh, err)
		}
	}
	return fresh
}

// rearm sees to it that a request looks at the time when there is something to
// do. The lock is held.
func (u *upstream) rearm(now time.Time) {
	if u.alarm != nil {
		u.alarm.Stop()
	}
	s := u.current.Load()
	if s.set == nil {
		return // every request looks
	}
	when := u.stale
	if u.under == nil && u.next.Before(when) {
		when = u.next
	}
	s.look.Store(false)
	// The alarm keeps the snapshot, but neither u nor the Remote, which
	// may have been given up long before.
	u.alarm = time.AfterFunc(when.Sub(now), func() { s.look.Store(true) })
}

// say says of an error, if that is one, whose keys it is about.
func (u *upstream) say(err error) error {
	if err == nil {
		return nil
	}
	if u.issuer == "" {
		return fmt.Errorf("%s: %w", u.remote.name(), err)
	}
	return fmt.Errorf("%s: issuer %.100q: %w", u.remote.name(), u.issuer, err)
}

// backoff returns how long to leave an upstream alone after that many failures
// in a row. The random part keeps many processes from coming back at once.
func backoff(failures int) time.Duration {
	d := 30 * time.Second
	if failures <= 6 {
		d = time.Second / 2 << (failures - 1)
	}
	return d - rand.N(d/2)
}

// An outage is why there are no keys now, with the time after which a client
// may try again.
type outage struct {
	err        error
	retryAfter time.Duration
}

func (o *outage) Error() string { return o.err.Error() }
func (o *outage) Unwrap() error { return o.err }

// As lets a gate find the answer to give, without the text of an Error in the
// midst of the reason.
func (o *outage) As(target any) bool {
	e, ok := target.(**jwtgate.Error)
	if ok {
		*e = &jwtgate.Error{Status: http.StatusServiceUnavailable, RetryAfter: max(o.retryAfter, time.Second), Err: o.err}
	}
	return ok
}

// A bucket holds some tokens and gains one each interval. The zero bucket is
// full.
type bucket struct{ fullAt time.Time }

// has tells whether there is a token, in a bucket for burst of them.
func (b *bucket) has(now time.Time, burst int, interval time.Duration) bool {
	return b.fullAt.Sub(now) <= time.Duration(burst-1)*interval
}

func (b *bucket) take(now time.Time, interval time.Duration) {
	if b.fullAt.Before(now) {
		b.fullAt = now
	}
	b.fullAt = b.fullAt.Add(interval)
}

// A document is a JWK Set, or what Remote.Parse reads, as it was fetched.
type document struct {
	set      *set
	skipped  []error // keys of it that are not used
	freshFor time.Duration
	url      string
	etag     string
	sum      [sha256.Size]byte // of its text
}
