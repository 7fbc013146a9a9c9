package keys

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
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
	// clockAhead is how far this host's clock is ahead of the server's. It is negative if
	// it is behind, and 0 if it may be right or the server does not say.
	clockAhead time.Duration
}

// maxEtagBytes is the length of the longest etag that is kept.
const maxEtagBytes = 1024

// fetch fetches the keys of issuer. last is the result of the last fetch that
// succeeded. The etag of last is sent only to the url of last. An empty etag is not sent.
// With pastCaches, caches on the way must not answer: they may not know of a new key.
// The text of an error is fit for one line of a log.
func (f *fetcher) fetch(ctx context.Context, issuer string, last fetchResult, pastCaches bool) (result fetchResult, err error) {
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
	c := f.client
	c.pastCaches = pastCaches
	address := f.url
	if address == "" {
		if address, err = c.discover(ctx, issuer); err != nil {
			return fetchResult{}, err
		}
	}
	return f.fetchDocument(ctx, c, address, last)
}

// fetchDocument fetches and reads the document at address.
func (f *fetcher) fetchDocument(ctx context.Context, c client, address string, last fetchResult) (fetchResult, error) {
	target, err := c.parseURL(address)
	if err != nil {
		return fetchResult{}, fmt.Errorf("the address %q of the keys is not accepted: %w", logtext.URL(address), err)
	}
	etag := ""
	if last.url == address {
		etag = last.etag
	}
	r, err := c.get(ctx, target, "application/jwk-set+json, application/json", etag)
	if err != nil {
		return fetchResult{}, err
	}
	result := fetchResult{url: address, etag: r.header.Get("Etag"), freshFor: f.freshness(r.header), sum: sha256.Sum256(r.body)}
	if len(result.etag) > maxEtagBytes {
		result.etag = ""
	}
	switch {
	case r.status == http.StatusNotModified && etag != "":
		// Headers that a 304 does not repeat stay valid (RFC 9110 section 15.4.5).
		result.set, result.skipped, result.sum = last.set, last.skipped, last.sum
		if result.etag == "" {
			result.etag = last.etag
		}
		if r.header.Get("Cache-Control") == "" {
			result.freshFor = last.freshFor
		}
		return result, nil
	case r.status != http.StatusOK:
		return fetchResult{}, newStatusError(target.Redacted(), r)
	case last.set != nil && result.sum == last.sum:
		result.set, result.skipped = last.set, last.skipped
		return result, nil
	case f.parse != nil:
		if result.set, err = parseWith(f.parse, r.body); err == nil && len(result.set.all) > jwk.MaxKeys {
			err = fmt.Errorf("it has %d keys, more than the %d that are used", len(result.set.all), jwk.MaxKeys)
		}
	default:
		if result.set, result.skipped, err = parseJWKS(r.body, f.use, f.algorithms); err != nil {
			err = notDocument(r.body, r.header, "a JWK Set", err)
		}
	}
	if err != nil {
		return fetchResult{url: address, freshFor: result.freshFor}, fmt.Errorf("GET %s: %w", target.Redacted(), err)
	}
	return result, nil
}

// freshness returns how long the keys of a response may be used before the next
// fetch (RFC 9111 sections 4.2 and 5.2.2): freshFor, if the response has no
// max-age. Otherwise it is the shortest of freshFor, a day, and the max-age, which
// counts as a minute if it is less.
func (f *fetcher) freshness(header http.Header) time.Duration {
	age, ok := maxAge(header)
	if !ok {
		return f.freshFor
	}
	return min(f.freshFor, max(age, time.Minute), 24*time.Hour)
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
