package jsonobj

import (
	"math/bits"
	"math/rand/v2"
)

// shortHash is foldedHash for names of up to maxShort ASCII characters, which most
// are: such a name fits two words, and maphash takes longer to begin than they
// take to mix. ok is false for a name with other characters.
func shortHash[T text](name T) (h uint64, ok bool) {
	var a, b uint64
	switch n := len(name); {
	case n >= 8:
		a, b = word(name[:8]), word(name[n-8:])
	case n >= 4:
		a, b = half(name[:4]), half(name[n-4:])
	case n > 0:
		a = uint64(name[0]) | uint64(name[n/2])<<8 | uint64(name[n-1])<<16
	}
	if (a|b)&high != 0 {
		return 0, false
	}
	// A folded multiplication with numbers that nobody outside knows, another
	// one for each length: the same words may be of names of different length.
	x, y := bits.Mul64(lowerWord(a)^secret[0], lowerWord(b)^secret[1+len(name)])
	return x ^ y, true
}

const maxShort = 16

var secret = func() (numbers [2 + maxShort]uint64) {
	for i := range numbers {
		numbers[i] = rand.Uint64()
	}
	return numbers
}()

// Eight bytes at a time: one in each, and the high bit of each.
const (
	each = 0x0101010101010101
	high = 0x8080808080808080
)

func word[T text](s T) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func half[T text](s T) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}

// lowerWord is lower for the eight ASCII characters of a word. Adding to each
// what it lacks to 128 sets the high bit of those from 'A' on, and of those
// beyond 'Z'; no sum carries over into the next.
func lowerWord(w uint64) uint64 {
	letters := (w + each*(128-'A')) &^ (w + each*(128-'Z'-1)) & high
	return w | letters>>2
}
