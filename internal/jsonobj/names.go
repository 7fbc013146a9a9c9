package jsonobj

import (
	"hash/maphash"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// names detects duplicate names. hashes contains the hashes of the names of all objects that are
// being parsed, from the outermost object to the innermost, and starts contains where in the input
// each name starts. The other fields are buffers that are reused.
type names struct {
	hashes []uint64
	starts []uint32
	table  []uint64 // buffer of duplicate
	folded []byte   // buffer of foldedHash and exactHash
}

var (
	namesPool = sync.Pool{New: func() any { return new(names) }}
	seed      = maphash.MakeSeed()
)

// add adds a name with the given hash. start is the index of its first byte in the input.
func (n *names) add(hash uint64, start uint32) {
	n.hashes = append(n.hashes, hash)
	n.starts = append(n.starts, start)
}

// cut forgets all names but the first ones.
func (n *names) cut(length int) {
	n.hashes, n.starts = n.hashes[:length], n.starts[:length]
}

// exactHash returns a hash of name.
func exactHash[T text](n *names, name T) uint64 {
	n.folded = append(n.folded[:0], name...)
	return maphash.Bytes(seed, n.folded)
}

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

// duplicateIn returns a DuplicateError if two names from index outer on have the same hash, and
// otherwise nil. src is the input.
func duplicateIn[T text](src T, n *names, outer int) error {
	i, j := n.duplicate(n.hashes[outer:])
	if j == 0 {
		return nil
	}
	first, second := nameAt(src, n.starts[outer+i]), nameAt(src, n.starts[outer+j])
	return &DuplicateError{First: short(first), Second: short(second), Identical: string(first) == string(second)}
}

// nameAt returns the name that starts at index start of src, with escapes decoded. src has the
// closing quote.
func nameAt[T text](src T, start uint32) T {
	end, escaped := start, false
	for ; src[end] != '"'; end++ {
		if src[end] == '\\' {
			escaped = true
			end++
		}
	}
	if escaped {
		return T(unescape(src[start:end]))
	}
	return src[start:end]
}

// short returns a copy of name that is cut to 64 bytes.
func short[T text](name T) string { return string([]byte(name[:min(len(name), 64)])) }

// duplicate returns the indexes of two equal hashes, the smaller first, or zeros if all hashes are
// different. Equal names have equal hashes, so every duplicate is detected. Two different names have
// the same hash with a probability of 2^-64; the object is then refused in error.
func (n *names) duplicate(hashes []uint64) (first, second int) {
	if len(hashes) <= 16 {
		var seen uint64 // a bit set, indexed by the low six bits of a hash
		for i, h := range hashes {
			bit := uint64(1) << (h & 63)
			if seen&bit != 0 {
				if first := slices.Index(hashes[:i], h); first >= 0 {
					return first, i
				}
			}
			seen |= bit
		}
		return 0, 0
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
	for second, h := range hashes {
		h = max(h, 1)
		i := int(h & uint64(size-1))
		for table[i] != 0 {
			if table[i] == h {
				return slices.IndexFunc(hashes, func(other uint64) bool { return max(other, 1) == h }), second
			}
			i = (i + 1) & (size - 1)
		}
		table[i] = h
	}
	return 0, 0
}
