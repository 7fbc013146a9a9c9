// Package cache remembers what was read from a text, such as a token, and was verified.
package cache

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync/atomic"
)

// A Cache remembers verified values. Its keys are the texts that the values were read
// from. It is safe for concurrent use and takes no lock.
//
// A Cache is set-associative: it has a fixed number of places in sets of up to four,
// and the hash of a key selects the set in which its value may be. A value that is
// put into a full set evicts another value of the set.
type Cache[T any] struct {
	places []atomic.Pointer[entry[T]]
	ways   int // the number of places in a set; 0 if the cache remembers nothing
}

// An entry is one remembered value. Find compares the hash before the key. Nobody can
// compute the hash, so the time that Find takes reveals nothing about the tokens of
// other clients.
type entry[T any] struct {
	hash  uint64
	key   string
	value *T
}

// New returns a Cache with size places, rounded down to whole sets.
func New[T any](size int) Cache[T] {
	ways := min(size, 4)
	if ways > 0 {
		size -= size % ways
	}
	return Cache[T]{places: make([]atomic.Pointer[entry[T]], size), ways: ways}
}

// Enabled reports whether c has places. Otherwise Find and Put panic.
func (c *Cache[T]) Enabled() bool { return c.ways > 0 }

// Find returns the value of key, or nil. hash is the Hash of key or of a part of it.
func (c *Cache[T]) Find(key string, hash uint64) *T {
	set := c.set(hash)
	for i := range set {
		if e := set[i].Load(); e != nil && e.hash == hash && e.key == key {
			return e.value
		}
	}
	return nil
}

// Put remembers value under key. It uses the first place of the set that is empty,
// that has an older value of key, or whose value evictable reports to be useless. If
// there is no such place, it uses a random place. evictable may be nil.
//
// Put clones key: it may be a part of a longer text, or of a header whose memory the
// server uses again.
func (c *Cache[T]) Put(key string, hash uint64, value *T, evictable func(*T) bool) {
	set := c.set(hash)
	place := rand.IntN(len(set))
	for i := range set {
		e := set[i].Load()
		if e == nil || e.key == key || evictable != nil && evictable(e.value) {
			place = i
			break
		}
	}
	set[place].Store(&entry[T]{hash: hash, key: strings.Clone(key), value: value})
}

// set returns the places for hash. The high bits of hash select them.
func (c *Cache[T]) set(hash uint64) []atomic.Pointer[entry[T]] {
	n, _ := bits.Mul64(hash, uint64(len(c.places)/c.ways))
	i := int(n) * c.ways
	return c.places[i : i+c.ways]
}

// Len returns the number of values that c remembers. It is for tests.
func (c *Cache[T]) Len() (n int) {
	for i := range c.places {
		if c.places[i].Load() != nil {
			n++
		}
	}
	return n
}

// seed is random and known to this process only, so clients cannot choose texts with
// equal hashes.
var seed = maphash.MakeSeed()

// Hash returns the hash of a text.
func Hash(text string) uint64 { return maphash.String(seed, text) }
