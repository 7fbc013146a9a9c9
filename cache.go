package jwtgate

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// A cache remembers verified values. Its keys are the strings that the values were
// read from: tokens or headers. It is safe for concurrent use and takes no lock.
//
// A cache is set-associative: it has a fixed number of places in sets of up to four,
// and the hash of a key selects the set in which its value may be. A value that is
// put into a full set evicts another value of the set.
type cache[T any] struct {
	places []atomic.Pointer[cacheEntry[T]]
	ways   int // the number of places in a set; 0 if the cache remembers nothing
}

// A cacheEntry is one remembered value. find compares the hash before the key. The
// hash is keyed with hashSeed, so the time that find takes reveals nothing about
// the tokens of other clients.
type cacheEntry[T any] struct {
	hash  uint64
	key   string
	value *T
}

// newCache returns a cache with size places, rounded down to whole sets.
func newCache[T any](size int) cache[T] {
	ways := min(size, 4)
	if ways > 0 {
		size -= size % ways
	}
	return cache[T]{places: make([]atomic.Pointer[cacheEntry[T]], size), ways: ways}
}

// enabled reports whether the cache remembers anything. The other methods must not be
// called if it does not.
func (c *cache[T]) enabled() bool { return c.ways > 0 }

// find returns the value of key, or nil. hash is a keyed hash of key or of a part
// of it.
func (c *cache[T]) find(key string, hash uint64) *T {
	set := c.set(hash)
	for i := range set {
		if entry := set[i].Load(); entry != nil && entry.hash == hash && entry.key == key {
			return entry.value
		}
	}
	return nil
}

// put remembers value under key. It uses the first place of the set that is empty,
// that has an older value of key, or whose value evictable reports to be useless. If
// there is no such place, it uses a random place. evictable may be nil.
func (c *cache[T]) put(key string, hash uint64, value *T, evictable func(*T) bool) {
	set := c.set(hash)
	place := rand.IntN(len(set))
	for i := range set {
		entry := set[i].Load()
		if entry == nil || entry.key == key || evictable != nil && evictable(entry.value) {
			place = i
			break
		}
	}
	set[place].Store(&cacheEntry[T]{hash: hash, key: key, value: value})
}

// set returns the places for hash. The high bits of hash select them.
func (c *cache[T]) set(hash uint64) []atomic.Pointer[cacheEntry[T]] {
	n, _ := bits.Mul64(hash, uint64(len(c.places)/c.ways))
	i := int(n) * c.ways
	return c.places[i : i+c.ways]
}

// A rememberedToken is a verified token with the data that checkRemembered needs.
type rememberedToken struct {
	*verifiedToken

	// Inside [validFrom, validUntil) the checks of the times cannot fail, so they
	// are skipped. Outside they are made, because Leeway may still accept the token.
	validFrom, validUntil time.Time
}
