package keys

import (
	"slices"
	"sync"
)

// A fetchSlots limits how many fetches of a Remote are in flight, for all its issuers
// together: a thousand issuers that are due at the same time must not exhaust the file
// descriptors of the process. A fetch that gets no slot waits for one.
//
// The fetches of an issuer that hangs hold a slot for the whole Timeout, so that a few
// dozen such issuers could keep all the others from fetching. Each rank of fetches
// therefore leaves slots to the ranks before it.
//
// The zero value is ready for use. It is safe for concurrent use.
type fetchSlots struct {
	mu      sync.Mutex
	taken   [ranks]int
	waiting [ranks][]*slotRequest // the one that waits for the longest time is first
}

// maxFetches is how many fetches may be in flight at once.
const maxFetches = 32

// A rank is how urgent a fetch is, and how likely to hang. The first rank is the most
// urgent.
type rank int

const (
	rankWanted  rank = iota // the last fetch succeeded, and a request or Refresh waits for this one
	rankFirst               // the first fetch of an issuer that the program has named
	rankRefresh             // the last fetch succeeded, and its keys are in use
	rankDoubted             // the last fetch failed, or only a token has named the issuer
	ranks
)

// maxFetchesOf is how many slots the fetches of a rank and of the ranks after it may
// hold together.
var maxFetchesOf = [ranks]int{maxFetches, maxFetches / 8 * 7, maxFetches / 8 * 6, maxFetches / 2}

// A slotRequest is a fetch that waits for a slot. Within a rank the fetches with the lowest
// order come first, so that an issuer that is down for long waits behind one that is up
// again. Of these fetches the last one comes first: the requests that needed an earlier one
// have perhaps been answered with 503 already. No fetch waits for long, because an issuer
// whose fetch fails has a higher order from then on.
type slotRequest struct {
	slots   *fetchSlots
	rank    rank // guarded by slots.mu
	order   int
	granted chan struct{} // closed when the fetch has a slot
}

// request asks for a slot. The fetch must wait for granted to be closed, and then call
// release once: at its deadline at the latest.
func (s *fetchSlots) request(r rank, order int) *slotRequest {
	request := &slotRequest{s, r, order, make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[r] = append(s.waiting[r], request)
	s.grant()
	return request
}

// want makes a refresh that waits for a slot urgent, because a request waits for it now.
func (r *slotRequest) want() {
	s := r.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting[rankRefresh], r)
	if i < 0 {
		return
	}
	s.waiting[rankRefresh] = slices.Delete(s.waiting[rankRefresh], i, i+1)
	r.rank = rankWanted
	s.waiting[rankWanted] = append(s.waiting[rankWanted], r)
	s.grant()
}

// release gives the slot back.
func (r *slotRequest) release() {
	r.slots.mu.Lock()
	defer r.slots.mu.Unlock()
	r.slots.taken[r.rank]--
	r.slots.grant()
}

// hasSlot reports whether the fetch has got its slot.
func (r *slotRequest) hasSlot() bool {
	select {
	case <-r.granted:
		return true
	default:
		return false
	}
}

// grant gives free slots to the fetches that wait. The caller holds mu.
func (s *fetchSlots) grant() {
	for r := range ranks {
		for len(s.waiting[r]) > 0 && s.free(r) {
			first := 0
			for i, request := range s.waiting[r] {
				if request.order <= s.waiting[r][first].order {
					first = i
				}
			}
			request := s.waiting[r][first]
			s.waiting[r] = slices.Delete(s.waiting[r], first, first+1)
			s.taken[r]++
			close(request.granted)
		}
	}
}

// free reports whether there is a slot for a fetch of the rank r.
func (s *fetchSlots) free(r rank) bool {
	held := 0
	for of := ranks - 1; of >= 0; of-- {
		held += s.taken[of]
		if of <= r && held >= maxFetchesOf[of] {
			return false
		}
	}
	return true
}
