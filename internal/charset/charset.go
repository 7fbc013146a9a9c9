// Package charset has the sets of ASCII characters that the RFCs allow in tokens,
// credentials and challenges.
package charset

import "strings"

// A Set is a set of bytes. Bytes beyond ASCII belong to no Set of this package.
type Set [256]bool

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

var (
	// Token has the characters of a token (RFC 9110 section 5.6.2): the names of
	// headers, cookies and authentication schemes.
	Token = setOf(alphanumeric + "!#$%&'*+-.^_`|~")
	// Token68 has the characters of a token68 (RFC 9110 section 11.2), without the
	// equals signs at its end.
	Token68 = setOf(alphanumeric + "-._~+/")
	// Base64URL has the characters of base64url (RFC 4648 section 5), without padding.
	Base64URL = setOf(alphanumeric + "-_")
	// Challenge has the characters that RFC 6750 section 3 allows in error,
	// error_description and scope: printable ASCII without quote and backslash.
	Challenge = challengeSet()
)

// setOf returns the set of the bytes in chars.
func setOf(chars string) *Set {
	var s Set
	for _, c := range []byte(chars) {
		s[c] = true
	}
	return &s
}

func challengeSet() *Set {
	var s Set
	for c := ' '; c <= '~'; c++ {
		s[c] = c != '"' && c != '\\'
	}
	return &s
}

// Prefix returns how many bytes at the start of text belong to s.
func (s *Set) Prefix(text string) int {
	for i := range len(text) {
		if !s[text[i]] {
			return i
		}
	}
	return len(text)
}

// Only reports whether all bytes of text belong to s. It is true for the empty
// string.
func (s *Set) Only(text string) bool { return s.Prefix(text) == len(text) }

// Filter returns text without the characters that do not belong to s.
func (s *Set) Filter(text string) string {
	if s.Only(text) {
		return text
	}
	return strings.Map(func(c rune) rune {
		if c >= 0x80 || !s[c] {
			return -1
		}
		return c
	}, text)
}
