package jsonobj

import (
	"hash/maphash"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// names has the memory for finding duplicate names.
type names struct {
	// open has the members of the objects that are being parsed, the outermost first. If
	// visit is nil, those of the outermost object are in parser.fields instead.
	open []Field

	name   []byte // for hashNames, like the others
	hashes []uint64
	table  []uint64
}

var (
	namesPool = sync.Pool{New: func() any { return new(names) }}
	seed      = maphash.MakeSeed()
)

// fewNames is the greatest number of names that are compared with one another. More names are
// hashed, so that the time stays linear for objects with thousands of members.
const fewNames = 16

// duplicateIn returns a DuplicateError if two of members have the same name, and otherwise nil. With
// fold, names that encoding/json would store in the same struct field are the same. src is the input.
func duplicateIn[T text](src T, n *names, members []Field, fold bool) error {
	i, j, ok := 0, 0, false
	if len(members) <= fewNames {
		i, j, ok = compareNames(src, members, fold)
	}
	if !ok {
		i, j = hashNames(src, n, members, fold)
	}
	if j == 0 {
		return nil
	}
	first, second := Name(src, &members[i]), Name(src, &members[j])
	return &DuplicateError{First: short(first), Second: short(second), Identical: string(first) == string(second)}
}

// compareNames returns the indexes of two members with the same name, the smaller first, or zeros if
// there are none. ok is false if it cannot tell: a name has escapes or characters beyond ASCII, or is
// longer than 64 bytes. Comparing many long names would take too much time.
func compareNames[T text](src T, members []Field, fold bool) (first, second int, ok bool) {
	// A bit for each hash of length, first and last letter, without case: names that are the
	// same have the same bit.
	var seen [4]uint64
	for i := range members {
		name := members[i].name
		start, end := name.start(), name.end()
		if name&(hasEscapes|hasNonASCII) != 0 || end-start > 64 {
			return 0, 0, false
		}
		// For an empty name, both indexes are those of its quotes.
		letters := uint(src[start+1]|0x20)*7 + uint(src[end-2]|0x20)*31
		bucket := (letters + uint(end-start)*61) % 256
		word, bit := &seen[bucket/64], uint64(1)<<(bucket%64)
		if *word&bit != 0 {
			for j, earlier := range members[:i] {
				if sameName(src[earlier.name.start():earlier.name.end()], src[start:end], fold) {
					return j, i, true
				}
			}
		}
		*word |= bit
	}
	return 0, 0, true
}

// sameName reports whether two names in ASCII are the same.
func sameName[T text](a, b T, fold bool) bool {
	if !fold || len(a) != len(b) {
		return string(a) == string(b)
	}
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// hashNames is compareNames for any names. Equal names have equal hashes, so every duplicate is
// detected. Two different names have the same hash with a probability of 2^-64; the object is then
// refused in error. The seed is random, so nobody can choose names whose hashes collide.
func hashNames[T text](src T, n *names, members []Field, fold bool) (first, second int) {
	n.hashes = n.hashes[:0]
	for i := range members {
		n.name = append(n.name[:0], Name(src, &members[i])...)
		if fold {
			n.name = foldInPlace(n.name)
		}
		// Zero marks an empty slot of the table.
		n.hashes = append(n.hashes, max(1, maphash.Bytes(seed, n.name)))
	}
	size := 1
	for size < 2*len(n.hashes) {
		size <<= 1
	}
	if cap(n.table) < size {
		n.table = make([]uint64, size)
	}
	table := n.table[:size]
	clear(table)
	for second, h := range n.hashes {
		i := int(h & uint64(size-1))
		for table[i] != 0 {
			if table[i] == h {
				return slices.Index(n.hashes, h), second
			}
			i = (i + 1) & (size - 1)
		}
		table[i] = h
	}
	return 0, 0
}

// foldInPlace returns name with each rune folded. The result may use the memory of name.
func foldInPlace(name []byte) []byte {
	for i, c := range name {
		if c < utf8.RuneSelf {
			name[i] = lower(c)
			continue
		}
		rest := string(name[i:])
		name = name[:i]
		for _, r := range rest {
			name = utf8.AppendRune(name, foldRune(r))
		}
		break
	}
	return name
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

// short returns a copy of name that is cut to 64 bytes.
func short[T text](name T) string { return string([]byte(name[:min(len(name), 64)])) }
