package jsonobj

import (
	"hash/maphash"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// names detects duplicate names. hashes contains the hashes of the names of all objects that are
// being parsed, from the outermost object to the innermost. The other fields are buffers that
// are reused.
type names struct {
	hashes []uint64
	table  []uint64 // buffer of distinct
	folded []byte   // buffer of foldedHash
}

var (
	namesPool = sync.Pool{New: func() any { return new(names) }}
	seed      = maphash.MakeSeed()
)

// foldedHash returns a hash of name. Names that encoding/json would store in the same struct field
// have the same hash. The seed is random, so nobody can choose names whose hashes collide.
func foldedHash[T text](n *names, name T) uint64 {
	n.folded = append(n.folded[:0], name...)
	for i, c := range n.folded {
		if c >= utf8.RuneSelf {
			n.folded = appendFolded(n.folded[:i], name[i:])
			break
		}
		n.folded[i] = lower(c)
	}
	return maphash.Bytes(seed, n.folded)
}

// appendFolded appends the folded runes of name to dst.
func appendFolded[T text](dst []byte, name T) []byte {
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(string(name[i:min(i+utf8.UTFMax, len(name))]))
		dst = utf8.AppendRune(dst, foldRune(r))
		i += size
	}
	return dst
}

// lower returns the lower case of an ASCII letter, and any other byte unchanged.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// foldRune returns the representative of all runes that differ from r in letter case only: the
// smallest of them, in lower case if it is an ASCII letter.
func foldRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			if next < utf8.RuneSelf {
				return rune(lower(byte(next)))
			}
			return next
		}
		r = next
	}
}

// distinct reports whether all hashes from index outer on are different. Equal names have equal
// hashes, so every duplicate is detected. Two different names have the same hash with a probability
// of 2^-64; the object is then refused in error.
func (n *names) distinct(outer int) bool {
	hashes := n.hashes[outer:]
	if len(hashes) <= 16 {
		var seen uint64 // a bit set, indexed by the low six bits of a hash
		for i, h := range hashes {
			bit := uint64(1) << (h & 63)
			if seen&bit != 0 && slices.Contains(hashes[:i], h) {
				return false
			}
			seen |= bit
		}
		return true
	}

	// A hash table keeps the time linear for objects with thousands of members. Zero marks an empty
	// slot, so the hash 0 becomes 1.
	size := 1
	for size < 2*len(hashes) {
		size <<= 1
	}
	if cap(n.table) < size {
		n.table = make([]uint64, size)
	}
	table := n.table[:size]
	clear(table)
	for _, h := range hashes {
		h = max(h, 1)
		i := int(h & uint64(size-1))
		for table[i] != 0 {
			if table[i] == h {
				return false
			}
			i = (i + 1) & (size - 1)
		}
		table[i] = h
	}
	return true
}
