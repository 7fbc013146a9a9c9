package keys

import (
	"hash/maphash"
	"time"

	"github.com/jwtgate/jwtgate/internal/logtext"
)

// unknownKeys limits the fetches for unknown key IDs of one issuer. A key ID comes from a
// token that is not verified, so anybody can make any number of them up. Such a flood
// must not keep a new key of the issuer from being found:
//
//   - A fetch that finds its key costs nothing, the first time.
//   - A key ID that was searched in vain is not searched again for a while, unless many
//     requests name it meanwhile.
//   - The first requests for a key ID share a bucket of tokens, which a flood empties.
//     A key ID that several requests have named has a second bucket. The fewer tokens are
//     left there, the more requests must have named the key ID: a flood that names each
//     of its key IDs three times leaves tokens for a key ID that all clients name.
//
// It also limits the fetches for a recheck, which a token with a bad signature causes. They
// take tokens of the first bucket, but only one each MinInterval: a flood of them leaves
// the other token for an unknown key ID. They are never refunded, because a fetch always
// finds another key if servers of the issuer have different keys under the same ID.
//
// The zero value is ready for use. It is not safe for concurrent use.
type unknownKeys struct {
	first    bucket // for any key ID: firstBurst tokens, one more each MinInterval
	repeated bucket // for key IDs that several requests have named

	recheckAt time.Time // from then on a recheck may take a token of first

	// Key IDs by their hash, in two generations, so that memory is bounded.
	young, old map[uint64]*sighting
	youngSince time.Time
}

// A sighting is what is known of an unknown key ID.
type sighting struct {
	requests int       // how many have named it, since the last search in vain if there is one
	refunded bool      // a search has found it and was refunded
	vain     int       // how many searches in a row were in vain
	lastVain time.Time // when the last one of them ended
}

// A search is a fetch for an unknown key ID.
type search struct {
	kid      string
	bucket   *bucket
	interval time.Duration // of bucket
}

const (
	// firstBurst is how many key IDs may be searched at once, before there is one search
	// each MinInterval.
	firstBurst = 2

	repeatedInterval = 2 * time.Second

	// inVainFor is how long a key ID is not searched again. It is cut to MinInterval
	// if againAfter requests name the key ID: they may have come shortly before the key
	// was published. Each search in vain doubles the number of requests, so that a key
	// that was withdrawn and that many clients use causes few fetches.
	inVainFor  = 30 * time.Second
	againAfter = 30

	// A generation of sightings ends after generationFor, or when it has maxSightings.
	generationFor = inVainFor
	maxSightings  = 512
)

// neededRequests has the number of requests that must have named a key ID for taking a
// token of the bucket repeated, by the number of tokens that have been taken.
var neededRequests = [...]int{3, 10, 30}

var kidSeed = maphash.MakeSeed()

// see records that a request has named kid.
func (u *unknownKeys) see(kid string, now time.Time) { u.sighting(kid, now).requests++ }

// sighting returns the sighting of kid, which it adds if there is none.
func (u *unknownKeys) sighting(kid string, now time.Time) *sighting {
	if age := now.Sub(u.youngSince); len(u.young) >= maxSightings || age >= generationFor {
		u.old, u.young, u.youngSince = u.young, map[uint64]*sighting{}, now
		if age >= 2*generationFor {
			u.old = nil
		}
	}
	hash := maphash.String(kidSeed, kid)
	s := u.young[hash]
	if s == nil {
		if s = u.old[hash]; s == nil {
			s = new(sighting)
		}
		u.young[hash] = s
	}
	return s
}

// allow returns the search for kid, or nil if kid must not be searched now. The caller
// has called see for the same request.
func (u *unknownKeys) allow(kid string, now time.Time, minInterval time.Duration) *search {
	s := u.sighting(kid, now)
	if since := now.Sub(s.lastVain); s.vain > 0 && since < inVainFor {
		// The bucket must be full, so that its other tokens are left for key IDs
		// that were not searched yet.
		if since >= minInterval && s.requests >= againAfter<<min(s.vain-1, 20) && u.repeated.take(now, 1, repeatedInterval) {
			return &search{kid, &u.repeated, repeatedInterval}
		}
		return nil
	}
	if u.first.take(now, firstBurst, minInterval) {
		return &search{kid, &u.first, minInterval}
	}
	for taken, needed := range neededRequests {
		if s.requests >= needed && u.repeated.take(now, taken+1, repeatedInterval) {
			return &search{kid, &u.repeated, repeatedInterval}
		}
	}
	return nil
}

// whyNot returns why allow did not allow a search for kid.
func (u *unknownKeys) whyNot(kid string, now time.Time) string {
	if s := u.sighting(kid, now); s.vain > 0 && now.Sub(s.lastVain) < inVainFor {
		return "the issuer did not have it less than " + logtext.Duration(inVainFor) + " ago"
	}
	return "tokens with other unknown key IDs have used up the limit, see MinInterval"
}

// finish records the outcome of a search.
func (u *unknownKeys) finish(s *search, found bool, now time.Time) {
	of := u.sighting(s.kid, now)
	if !found {
		of.requests, of.vain, of.lastVain = 0, of.vain+1, now
		return
	}
	// A second refund could be the start of many: if servers of the issuer have different
	// keys, two key IDs that are named in turn are found each time.
	if !of.refunded {
		of.refunded = true
		s.bucket.refund(1, s.interval)
	}
	of.vain = 0
}

// allowRecheck reports whether a recheck may start a fetch now.
func (u *unknownKeys) allowRecheck(now time.Time, minInterval time.Duration) bool {
	if now.Before(u.recheckAt) || !u.first.take(now, firstBurst, minInterval) {
		return false
	}
	u.recheckAt = now.Add(minInterval)
	return true
}
