package jsonobj

import (
	"hash/maphash"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// names holds the hashes of the member names of the objects being read, those
// of the innermost last, and room to work in.
type names struct {
	hashes []uint64
	table  []uint64
	folded []byte
}

var (
	pool = sync.Pool{New: func() any { return new(names) }}
	seed = maphash.MakeSeed()
)

// foldedHash returns a hash of name that is the same for all names that encoding/json takes for one
// struct field. Names of printable ASCII, which most are, are folded byte by byte.
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

// appendFolded appends name to dst, each rune folded.
func appendFolded[T text](dst []byte, name T) []byte {
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(string(name[i:min(i+utf8.UTFMax, len(name))]))
		dst = utf8.AppendRune(dst, foldRune(r))
		i += size
	}
	return dst
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// foldRune returns one of the runes that are r in another case, the same for
// all of them: the smallest, or if that is of ASCII, the lower.
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

// distinct tells whether no two hashes from index outer on are the same. Equal
// names have equal hashes, so no duplicate goes unseen; two different names
// share one by a chance of 2^-64, and then an object is refused in error.
func (n *names) distinct(outer int) bool {
	hashes := n.hashes[outer:]
	if len(hashes) <= 16 {
		var seen uint64 // a bit for each hash, by its last six
		for i, h := range hashes {
			bit := uint64(1) << (h & 63)
			if seen&bit != 0 && slices.Contains(hashes[:i], h) {
				return false
			}
			seen |= bit
		}
		return true
	}

	// A table keeps the cost linear for whoever sends an object of thousands
	// of members. Zero marks an empty place, so the hash 0 becomes 1.
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
