// Package logtext makes text from outside fit for one line of a log: short,
// printable, and without tokens.
package logtext

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jwtgate/jwtgate/internal/charset"
)

// Quote returns s between quotes, with everything but printable ASCII escaped. It
// cuts s to at most 96 bytes and then writes "..." behind the quote.
func Quote(s string) string {
	const limit = 96
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	q := strconv.QuoteToASCII(s)
	if len(q) > limit {
		q, cut = q[:limit], true
	}
	if cut {
		q += "..."
	}
	return q
}

// Value returns s with its tokens masked. It returns the result as Quote does if
// it is longer than 200 bytes or not printable.
func Value(s string) string {
	s = maskTokens(s)
	if len(s) > 200 || !isPrintable(s) {
		return Quote(s)
	}
	return s
}

// Message returns the text of an error with its tokens masked, at most 512 bytes
// of it, and escaped if it is not printable.
func Message(s string) string {
	const limit = 512
	s = maskTokens(s)
	cut := len(s) > limit
	if cut {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	if !isPrintable(s) {
		s = strconv.QuoteToASCII(s)
		if len(s) > limit {
			s, cut = s[:limit], true
		}
	}
	if cut {
		s += "..."
	}
	return s
}

// Error returns err if its text is printable and has at most 250 bytes, which
// bounds what a server can put into a log through an error, such as the target of
// a redirect. Otherwise it returns an error whose text is cut, with a space for
// each character that is not printable. That error does not keep err, which may
// be large, but it wraps the error of a context if err does.
func Error(err error) error {
	const limit = 250
	text, cut := err.Error(), false
	if len(text) > limit {
		text, cut = text[:limit], true
	}
	clean := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, text)
	if clean == text && !cut {
		return err
	}
	if cut {
		clean += "..."
	}
	for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%s (%w)", clean, cause)
		}
	}
	return errors.New(clean)
}

// URL returns an address without its password, at most 200 characters of it.
func URL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "of a malformed URL"
	}
	return fmt.Sprintf("%.200s", u.Redacted())
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !strconv.IsPrint(c) })
}

// spoilt has the characters of a token as a client may have spoilt it: with dots
// that were percent-encoded twice, or with padding.
const spoilt = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.%=+~"

// maskTokens returns s with "[token]" in place of each text that looks like a
// token in compact serialisation (RFC 7515 section 7.1) or the start of one: the
// base64url of a JSON object, a dot, and the characters that follow. A name such
// as jquery.min.js does not look like one. Only the first 4096 bytes of s are
// searched and kept.
func maskTokens(s string) string {
	const limit = 4096
	more := ""
	if len(s) > limit {
		s, more = s[:limit], "..."
	}
	var b strings.Builder
	written := 0 // bytes of s
	for i := 0; i < len(s); {
		end := i + charset.Base64URL.Prefix(s[i:])
		if end == i {
			i++
			continue
		}
		if end < len(s) && (s[end] == '.' || s[end] == '%') && startsObject(s[i:end]) {
			b.WriteString(s[written:i])
			b.WriteString("[token]")
			end = len(s) - len(strings.TrimLeft(s[end:], spoilt))
			written = end
		}
		i = end
	}
	return b.String() + s[written:] + more
}

// startsObject reports whether s, decoded from base64url, begins like a JSON
// object that has members.
func startsObject(s string) bool {
	// The error is of no interest: s may end within a group of four.
	text, _ := base64.RawURLEncoding.DecodeString(s[:min(len(s), 64)])
	object, ok := strings.CutPrefix(strings.TrimLeft(string(text), " \t\r\n"), "{")
	return ok && strings.HasPrefix(strings.TrimLeft(object, " \t\r\n"), `"`)
}
