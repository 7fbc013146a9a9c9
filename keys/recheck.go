package keys

import (
	"context"
	"slices"
	"time"

	"github.com/jwtgate/jwtgate"
)

// maxRechecking is how many requests of an issuer wait for a recheck at a time. All but a
// few of their tokens are forged, and each request that waits holds memory. After a key was
// replaced, that many clients that come at the same moment are served.
const maxRechecking = 1000

// recheck returns the keys that a gate would try for the wanted token and that are not
// among tried. It fetches new keys if need be and if the limits allow it. It waits for the
// fetch, and for a second fetch if the first one began before the call, but not longer than
// ctx and the timeout.
func (k *issuerKeys) recheck(ctx context.Context, issuer string, w wanted, tried []*jwtgate.Key) []*jwtgate.Key {
	minFetch := k.nextFetch()
	var waiting context.Context // has the timeout for both fetches together
	for first := true; ; first = false {
		found, pending := k.lookAgain(issuer, w, tried, minFetch, first)
		if pending == nil {
			return found
		}
		if waiting == nil {
			var cancel context.CancelFunc
			waiting, cancel = context.WithTimeout(ctx, k.settings.timeout)
			defer cancel()
			defer k.stopRechecking()
		}
		if pending.wait(waiting) != nil {
			return nil
		}
	}
}

// lookAgain decides about a recheck as answer does about a lookup: it returns keys that are
// not among tried, or the fetch to wait for, or neither. If it returns a fetch and first
// is true, the caller calls stopRechecking at the end.
//
// While fetches fail, nobody waits: otherwise each token with a bad signature would wait for
// an issuer that hangs.
func (k *issuerKeys) lookAgain(issuer string, w wanted, tried []*jwtgate.Key, minFetch uint64, first bool) (found []*jwtgate.Key, pending *pendingFetch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	s := k.current.Load()
	if !k.hasKeys(now) {
		return nil, nil
	}
	found, conclusive := s.find(issuer, w.kid)
	found = w.untried(found, tried)
	done := k.lastDone >= minFetch // a fetch that began after the call has ended
	// Keys has already looked for a key ID that is not conclusively known.
	if len(found) > 0 || !conclusive || done || k.lastErr != nil {
		return found, nil
	}
	if k.inFlight == nil && (k.settings.unlimited || k.unknown.allowRecheck(now, k.settings.minInterval)) {
		k.start(now, false, nil)
	}
	if k.inFlight == nil || first && k.rechecking == maxRechecking {
		k.counters.LimitedLookups++
		return nil, nil
	}
	if first {
		k.rechecking++
	}
	return nil, k.inFlight
}

// stopRechecking counts a call of recheck that no longer waits.
func (k *issuerKeys) stopRechecking() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rechecking--
}

// untried returns those of the first keys that fit the token which are not among tried.
// A gate tries only the first ones, so a set with more keys for the token does not get
// more of them tried.
func (w wanted) untried(keys, tried []*jwtgate.Key) (found []*jwtgate.Key) {
	fitting := 0
	for _, k := range keys {
		if w.of(k) == fitsNot {
			continue
		}
		if !slices.ContainsFunc(tried, func(t *jwtgate.Key) bool { return t.Equal(k) }) {
			found = append(found, k)
		}
		if fitting++; fitting == maxTried {
			break
		}
	}
	return found
}
