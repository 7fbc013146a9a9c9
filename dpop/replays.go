package dpop

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Replays remembers which proofs have been used (RFC 9449 section 11.1). The servers of a
// fleet share one, such as a Redis. It must be safe for concurrent use.
type Replays interface {
	// Use records that a proof is used, and reports whether it is used for the first time.
	// Of several calls with one id, on all servers, exactly one may return true. Use must
	// remember id until the given time. In Redis that is one command, whose answer is OK or
	// nothing, with the milliseconds until that time:
	//
	//	SET id 1 NX PX milliseconds
	//
	// With PXAT and the time itself, a Redis whose clock is ahead would forget the proof too
	// early.
	//
	// id is a hash of the client's key and the jti of the proof. An error means that Use
	// cannot find out; the request is then answered with 503.
	Use(ctx context.Context, id [32]byte, until time.Time) (fresh bool, err error)
}

// Stats say how full the memory for used proofs is. They are zero if Verifier.Replays is
// set.
type Stats struct {
	_ struct{}

	// Proofs is the number of proofs that are remembered, and Limit the most that can be.
	Proofs, Limit int
	// Refused is the number of requests that were answered with 503 because the memory was
	// full, or because the clock of this machine had gone back: it is then not known which
	// proofs were used in the time that comes again.
	Refused uint64
}

// A memory remembers used proofs in this process. It has two generations: new proofs go
// into the young one. When all proofs of the old one have ended, it is dropped, and the
// young one becomes the old one. So no proof is forgotten while it is accepted, and
// forgetting takes no time for each proof.
type memory struct {
	limit   int64
	refused atomic.Uint64

	mu         sync.RWMutex // held for writing while the generations change
	young, old *generation
	forgotten  time.Time // proofs that were good until then, or less, may have been dropped
}

// A generation is a set of proofs. Each shard has its own lock.
type generation struct {
	count  atomic.Int64
	ended  atomic.Int64 // Unix time in nanoseconds from which on no proof of it is accepted
	shards [shards]shard
}

type shard struct {
	mu   sync.Mutex
	used map[proofID]struct{}
	_    [48]byte // keeps the locks of different shards in different cache lines
}

// A proofID is the first half of the hash that Replays.Use gets: 128 bits.
type proofID [16]byte

const (
	maxRemembered = 1_000_000
	shards        = 64
)

var (
	errFull      = errors.New("the memory for used proofs is full; set Verifier.Replays to a store with more room")
	errClockBack = errors.New("the clock of this machine has gone back, so it is not known which proofs were used")
)

func newMemory(limit int) *memory {
	return &memory{limit: int64(limit), young: new(generation), old: new(generation)}
}

// use is Replays.Use with the time.
func (m *memory) use(id [32]byte, until, now time.Time) (fresh bool, err error) {
	m.mu.RLock()
	if !m.old.endedAt(now) || m.young.count.Load() == 0 {
		defer m.mu.RUnlock()
		return m.useIn(id, until)
	}
	m.mu.RUnlock()
	m.turn(now)
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.useIn(id, until)
}

// turn drops the old generation if it has ended.
func (m *memory) turn(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.old.endedAt(now) || m.young.count.Load() == 0 {
		return // another goroutine was faster
	}
	if ended := time.Unix(0, m.old.ended.Load()); m.old.count.Load() > 0 && ended.After(m.forgotten) {
		m.forgotten = ended
	}
	m.old, m.young = m.young, new(generation)
}

func (m *memory) useIn(id [32]byte, until time.Time) (fresh bool, err error) {
	if !until.After(m.forgotten) {
		// The proof may have been used and dropped before the clock went back.
		m.refused.Add(1)
		return false, errClockBack
	}
	key := proofID(id[:])
	n := int(id[16]) % shards // bytes that the map does not use
	// Of all calls with one id, each locks the same shard of young, so exactly one finds
	// that the id is in neither generation.
	young := &m.young.shards[n]
	young.mu.Lock()
	defer young.mu.Unlock()
	if _, found := young.used[key]; found {
		return false, nil
	}
	if old := &m.old.shards[n]; old.used != nil { // nothing is written into old any more
		if _, found := old.used[key]; found {
			return false, nil
		}
	}
	if m.young.count.Add(1)+m.old.count.Load() > m.limit {
		m.young.count.Add(-1)
		m.refused.Add(1)
		return false, errFull
	}
	if young.used == nil {
		young.used = map[proofID]struct{}{}
	}
	young.used[key] = struct{}{}
	m.young.extend(until.UnixNano())
	return true, nil
}

// endedAt reports whether no proof of g is accepted any more at now.
func (g *generation) endedAt(now time.Time) bool { return now.UnixNano() >= g.ended.Load() }

// extend records a proof that is accepted until the given time.
func (g *generation) extend(until int64) {
	for {
		ended := g.ended.Load()
		if until <= ended || g.ended.CompareAndSwap(ended, until) {
			return
		}
	}
}

func (m *memory) stats() Stats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return Stats{Proofs: int(m.young.count.Load() + m.old.count.Load()), Limit: int(m.limit), Refused: m.refused.Load()}
}
