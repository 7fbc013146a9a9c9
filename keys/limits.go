package keys

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// newcomerBurst is how many fetches for newcomers may fail at once, before
	// there is one each newcomerInterval. A newcomer is an issuer that only a
	// token has named and whose keys were never fetched. The limit bounds what
	// forged issuers cost under Options.TrustIssuer. Fetches that succeed do not
	// count.
	newcomerBurst    = 100
	newcomerInterval = time.Second
)

// A bucket is a token bucket: it holds up to burst tokens and gains one each
// interval. The zero bucket is full.
type bucket struct{ fullAt time.Time }

// take takes a token out of the bucket. It reports whether there was one.
func (b *bucket) take(now time.Time, burst int, interval time.Duration) bool {
	if b.fullAt.Before(now) {
		b.fullAt = now
	}
	if b.fullAt.Sub(now) > time.Duration(burst-1)*interval {
		return false
	}
	b.fullAt = b.fullAt.Add(interval)
	return true
}

// refund gives back the given number of tokens.
func (b *bucket) refund(tokens int, interval time.Duration) {
	b.fullAt = b.fullAt.Add(-time.Duration(tokens) * interval)
}

// newcomerLimit limits the fetches for newcomers of a Remote, all issuers
// together. It is safe for concurrent use.
type newcomerLimit struct {
	mu     sync.Mutex
	bucket bucket
}

// take counts a fetch. It reports whether the fetch is allowed.
func (l *newcomerLimit) take(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket.take(now, newcomerBurst, newcomerInterval)
}

// refund gives back the tokens that the fetches of an issuer have taken, once one
// of them has succeeded.
func (l *newcomerLimit) refund(tokens int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.refund(tokens, newcomerInterval)
}

const (
	// maxBackoff is the longest time between two attempts, apart from Retry-After.
	// Without keys every request fails, so a service must be back soon after its issuer.
	maxBackoff            = 30 * time.Second
	maxBackoffWithoutKeys = 5 * time.Second

	// These limit the Retry-After of a server.
	maxRetryAfter            = 5 * time.Minute
	maxRetryAfterWithoutKeys = time.Minute
)

// backoff returns how long to wait after that many failures in a row: half a
// second, then twice as long each time up to the maximum, minus up to half of it at
// random. The random part keeps many processes from retrying at the same time.
func backoff(failures int, hasKeys bool) time.Duration {
	d := maxBackoff
	if failures <= 6 {
		d = time.Second / 2 << (failures - 1)
	}
	if !hasKeys {
		d = min(d, maxBackoffWithoutKeys)
	}
	return d - rand.N(d/2)
}

// limitRetryAfter returns how long a Retry-After is honoured.
func limitRetryAfter(d time.Duration, hasKeys bool) time.Duration {
	if !hasKeys {
		return min(d, maxRetryAfterWithoutKeys)
	}
	return min(d, maxRetryAfter)
}

// refreshAfter returns how long after a fetch the next one is due, for keys that are
// fresh for freshFor: four fifths of that time, minus up to a fifth at random. After a
// rotation all processes of a fleet fetch at the same time, and the random part keeps
// them from doing so each time from then on.
func refreshAfter(freshFor time.Duration) time.Duration {
	return freshFor/5*4 - rand.N(freshFor/5)
}
