package keys

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// unknownKeyBurst is how many fetches unknown key IDs may cause at once,
	// before there is one each MinInterval.
	unknownKeyBurst = 2

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
	l.bucket.fullAt = l.bucket.fullAt.Add(-time.Duration(tokens) * newcomerInterval)
}

// backoff returns how long to wait after that many failures in a row: half a
// second, then twice as long each time up to 30 seconds, minus up to half of it at
// random. The random part keeps many processes from retrying at the same time.
func backoff(failures int) time.Duration {
	d := 30 * time.Second
	if failures <= 6 {
		d = time.Second / 2 << (failures - 1)
	}
	return d - rand.N(d/2)
}
