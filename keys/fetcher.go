package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/jwk"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A fetcher fetches the keys of an issuer and reads them. Its fields are those of
// a Remote.
type fetcher struct {
	client     client
	url        string // "" if the address is discovered from the issuer
	use        string
	algorithms []string
	parse      func([]byte) ([]*jwtgate.Key, error)
	freshFor   time.Duration // greater than 0
	staleFor   time.Duration
}

// A fetchResult is what a fetch returns.
type fetchResult struct {
	// These fields are those of a fetch that failed.
	retryAfter time.Duration // how long the server asks to wait, or 0
	meaning    meaning

	// The other fields are those of a fetch that succeeded, or whose meaning is withdrawn.
	set      *set
	skipped  []error           // why keys of the document are not in set
	freshFor time.Duration     // how long the keys may be used before the next fetch
	url      string            // where the document was fetched from
	etag     string            // "" if the server sent none
	sum      [sha256.Size]byte // hash of the document

	// refreshHint is how often the document says that it should be fetched; 0 if it does
	// not say that.
	refreshHint time.Duration
	// clockAhead is by how much the clock of this host is ahead of the server's, at least.
	// It is negative if the clock of this host is behind. It is 0 if the clocks may agree,
	// and if the answer does not say.
	clockAhead time.Duration
	fromKnown  bool // the keys are from the address of an earlier discovery
	// discoveryErr is why discovery has failed, if the keys are from the address of an
	// earlier discovery.
	discoveryErr error
}

// maxEtagBytes is the length of the longest etag that is kept.
const maxEtagBytes = 1024

// fetch fetches the keys of issuer. last is the result of the last fetch that
// succeeded. The etag of last is sent only to the url of last. An empty etag is not sent.
// known is the last discovery, which fetch replaces. With pastCaches, caches on the way
// must not answer: they may not know of a new key. The text of an error is fit for one
// line of a log.
func (f *fetcher) fetch(ctx context.Context, issuer string, last fetchResult, known *discovery, pastCaches bool) (result fetchResult, err error) {
	defer func() {
		// The client may be the user's, and this runs on a goroutine of this
		// package, where a panic would end the program.
		if r := recover(); r != nil {
			result, err = fetchResult{}, fmt.Errorf("fetching panicked: %v", r)
		}
		if err != nil {
			var status *statusError
			if errors.As(err, &status) {
				result.retryAfter = status.retryAfter
			}
			result.meaning = meaningOf(err)
			if !errors.As(err, new(*discoveryError)) { // its text is bounded already
				err = logtext.Error(err)
			}
		}
	}()
	c, close := f.client.forFetch(ctx)
	defer close()
	c.pastCaches = pastCaches
	if f.url != "" {
		return f.read(f.request(ctx, c, f.url, last))
	}
	id, err := c.parseIssuer(issuer)
	if err != nil {
		return fetchResult{}, err
	}
	now := time.Now()
	usable := known.jwksURI != "" && f.usableFor(known, now) > 0
	if usable {
		var address *url.URL
		if address, err = c.parseKeysURL(id, known.jwksURI); err != nil {
			usable = false // as if it was never accepted
		} else {
			c.known, c.alone = true, known.beside || origin(address) != origin(id)
		}
	}
	if usable && known.fetchNext && elapsed(known.at, now) < f.freshFor {
		known.fetchNext = false
		result, err = f.read(f.request(ctx, c, known.jwksURI, last))
		if err == nil || ctx.Err() != nil {
			result.fromKnown = true
			return result, err
		}
		usable = false // it has just failed
	}
	if usable {
		return f.discoverBeside(ctx, c, issuer, last, known)
	}
	jwksURI, err := c.discover(ctx, issuer)
	if err != nil {
		return fetchResult{}, err
	}
	return f.fetchDiscovered(ctx, c, jwksURI, last, known)
}

// fetchDiscovered fetches the keys from the address that a discovery has just named.
func (f *fetcher) fetchDiscovered(ctx context.Context, c client, jwksURI string, last fetchResult, known *discovery) (fetchResult, error) {
	*known = discovery{jwksURI: jwksURI, at: time.Now()}
	result, err := f.read(f.request(ctx, c, jwksURI, last))
	known.fetchNext = err != nil && ctx.Err() != nil
	return result, err
}

// usableFor returns how much longer keys may be used that come from the address of an
// earlier discovery: as long as the keys of that discovery, until they are stale. The
// issuer may have left that address, and somebody else may have taken it over.
func (f *fetcher) usableFor(known *discovery, now time.Time) time.Duration {
	return f.freshFor + f.staleFor - elapsed(known.at, now)
}

// discoverBeside fetches the keys of an issuer for which an earlier discovery is known. It
// asks the address of that discovery too, if discovery fails or is slow, and uses the
// answer unless discovery names another address. Discovery has three fifths of the time,
// and longer only while the known address does not answer with keys.
func (f *fetcher) discoverBeside(ctx context.Context, c client, issuer string, last fetchResult, known *discovery) (fetchResult, error) {
	var soon, late <-chan time.Time
	if end, ok := ctx.Deadline(); ok {
		left := time.Until(end)
		soon, late = time.After(left/5), time.After(left/5*3)
		c.discoverBy = time.Now().Add(left / 5 * 3)
	}
	discovering, asking := newAttempt[string](ctx), newAttempt[document](ctx)
	// No request outlasts the fetch.
	defer func() {
		discovering.cancel()
		asking.stop()
		discovering.stop()
	}()
	discovering.start(func(ctx context.Context) (string, error) { return c.discover(ctx, issuer) })
	address := known.jwksURI
	ask := func() {
		soon = nil
		asking.start(func(ctx context.Context) (document, error) { return f.request(ctx, c, address, last) })
	}
	beside := false
	defer func() { known.beside = beside }()
	var result fetchResult // of the known address
	var err error
	for patient := true; ; {
		discovered := discovering.ended && discovering.err == nil
		hasKeys := asking.ended && err == nil
		switch {
		case discovered && (discovering.value != address || !asking.started):
			asking.cancel()
			return f.fetchDiscovered(ctx, c, discovering.value, last, known)
		case discovered && asking.ended:
			*known = discovery{jwksURI: address, at: time.Now(), fetchNext: !hasKeys && ctx.Err() != nil}
			return result, err
		case hasKeys && (discovering.ended || !patient):
			discovering.stop()
			result.fromKnown, result.discoveryErr = true, discovering.err
			return result, nil
		case discovering.ended && asking.ended:
			if failed := new(discoveryError); errors.As(discovering.err, &failed) {
				return fetchResult{}, failed.with(address, err)
			}
			return fetchResult{}, err
		case discovering.ended && !asking.started:
			ask()
		}
		select {
		case o := <-discovering.outcomes:
			discovering.end(o)
		case o := <-asking.outcomes:
			asking.end(o)
			// Parse is called here, so that there is one call at a time.
			result, err = f.read(o.value, o.err)
		case <-soon:
			beside = true
			ask()
		case <-late:
			patient = false
		}
	}
}

// A document is the answer to the request for the keys.
type document struct {
	address string
	etag    string // that was sent
	answer  *response
	last    fetchResult // of the last fetch that succeeded
}

// request requests the document at address.
func (f *fetcher) request(ctx context.Context, c client, address string, last fetchResult) (document, error) {
	d := document{address: address, last: last}
	target, err := c.parseURL(address)
	if err != nil {
		return d, fmt.Errorf("the address %q of the keys is not accepted: %w", logtext.URL(address), err)
	}
	if last.url == address {
		d.etag = last.etag
	}
	d.answer, err = c.get(ctx, request{target: target, accept: "application/jwk-set+json, application/json", etag: d.etag, last: true})
	return d, err
}

// read reads a document. err is that of the request.
func (f *fetcher) read(d document, err error) (fetchResult, error) {
	if err != nil {
		return fetchResult{}, err
	}
	r, last, shown := d.answer, d.last, logtext.URL(d.address)
	result := fetchResult{url: d.address, etag: r.header.Get("Etag"), sum: sha256.Sum256(r.body)}
	if len(result.etag) > maxEtagBytes {
		result.etag = ""
	}
	switch {
	case r.status == http.StatusNotModified && d.etag != "":
		// Headers that a 304 does not repeat stay valid (RFC 9110 section 15.4.5).
		result.set, result.skipped, result.sum, result.refreshHint = last.set, last.skipped, last.sum, last.refreshHint
		if result.etag == "" {
			result.etag = last.etag
		}
		result.freshFor = last.freshFor
		if r.header.Get("Cache-Control") != "" {
			result.freshFor = f.freshness(r.header, result.refreshHint)
		}
		return result, nil
	case r.status != http.StatusOK:
		return fetchResult{}, newStatusError(shown, r)
	case last.set != nil && result.sum == last.sum:
		result.set, result.skipped, result.refreshHint = last.set, last.skipped, last.refreshHint
	case f.parse != nil:
		if result.set, err = parseWith(f.parse, r.body); err == nil && len(result.set.all) > jwk.MaxKeys {
			err = fmt.Errorf("it has %d keys, more than the %d that are used", len(result.set.all), jwk.MaxKeys)
		}
	default:
		if result.set, result.skipped, err = parseJWKS(r.body, f.use, f.algorithms); err != nil {
			err = notDocument(r.body, r.header, "a JWK Set", err)
		} else if f.use == jwk.JWTSVID {
			result.refreshHint = refreshHint(r.body)
		}
	}
	if err != nil {
		return fetchResult{url: d.address, freshFor: f.freshness(r.header, 0)}, fmt.Errorf("GET %s: %w", shown, err)
	}
	result.freshFor = f.freshness(r.header, result.refreshHint)
	result.clockAhead = clockAhead(r)
	return result, nil
}

// refreshHint returns the spiffe_refresh_hint of the bundle of a SPIFFE trust domain
// (SPIFFE Trust Domain and Bundle, section 4.1.2): a number of seconds. It returns 0 if there
// is none, or if it is not a positive number.
func refreshHint(bundle []byte) time.Duration {
	// A map compares the names of members exactly, which a struct would not.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(bundle, []byte("\ufeff")), &members); err != nil {
		return 0
	}
	seconds, err := strconv.ParseFloat(string(members["spiffe_refresh_hint"]), 64)
	if err != nil || seconds <= 0 {
		return 0
	}
	return time.Duration(min(seconds, 1<<31) * float64(time.Second))
}

// clockAhead returns by how much the clock of this host is ahead of the server's, at least,
// by the Date of a response (RFC 9110 section 6.6.1) and its Age (RFC 9111 section 5.1). Both
// are whole seconds. clockAhead returns 0 if the clocks may agree, or if a cache has
// answered that does not say how old the response is.
func clockAhead(r *response) time.Duration {
	date, err := http.ParseTime(r.header.Get("Date"))
	if err != nil {
		return 0
	}
	var atLeast, atMost time.Duration // how old the response was when it was sent
	if age := r.header.Values("Age"); len(age) > 0 {
		seconds, err := strconv.ParseUint(strings.TrimSpace(age[0]), 10, 31)
		if err != nil || len(age) > 1 {
			return 0
		}
		atLeast = time.Duration(seconds) * time.Second
		atMost = atLeast + time.Second
	} else if cacheHasAnswered(r.header) {
		return 0
	}
	// The server's clock was between date and a second later when it made the response. The
	// clock of this host was between from and to.
	from, to := r.sent.Add(-atMost), r.received.Add(-atLeast)
	if ahead := from.Sub(date.Add(time.Second)); ahead > 0 {
		return ahead
	}
	return min(0, to.Sub(date))
}

// cacheHasAnswered reports whether a header says so that caches write which need not write
// Age (RFC 9211 section 2 for Cache-Status).
func cacheHasAnswered(header http.Header) bool {
	for _, name := range []string{"Cache-Status", "X-Cache", "Cf-Cache-Status", "X-Cache-Status"} {
		for _, value := range header.Values(name) {
			if strings.Contains(strings.ToLower(value), "hit") {
				return true
			}
		}
	}
	return false
}

// freshness returns how long the keys of a response may be used before the next
// fetch (RFC 9111 sections 4.2 and 5.2.2): the shortest of freshFor, of a day if the
// response has a max-age, of that max-age, and of the refresh hint hint if that is not 0. A
// max-age or a hint of less than a minute counts as a minute.
func (f *fetcher) freshness(header http.Header, hint time.Duration) time.Duration {
	fresh := f.freshFor
	if age, ok := maxAge(header); ok {
		fresh = min(fresh, max(age, time.Minute), 24*time.Hour)
	}
	if hint > 0 {
		fresh = min(fresh, max(hint, time.Minute))
	}
	return fresh
}

// maxAge returns the max-age of a response minus its Age. ok is false if the
// response has no max-age. A response with no-store or no-cache, or with a
// malformed max-age, has 0 left.
func maxAge(header http.Header) (left time.Duration, ok bool) {
	directives := strings.Split(strings.ToLower(strings.Join(header.Values("Cache-Control"), ",")), ",")
	for i := range directives {
		directives[i] = strings.TrimSpace(directives[i])
	}
	if slices.Contains(directives, "no-store") || slices.Contains(directives, "no-cache") {
		return 0, true
	}
	for _, directive := range directives {
		value, found := strings.CutPrefix(directive, "max-age=")
		if !found {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, true // RFC 9111 section 4.2.1
		}
		seconds = min(seconds, 1<<31) // RFC 9111 section 1.2.2
		age, _ := strconv.ParseUint(header.Get("Age"), 10, 31)
		return time.Duration(seconds-min(age, seconds)) * time.Second, true
	}
	return 0, false
}
