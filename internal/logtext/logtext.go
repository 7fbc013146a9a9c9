// Package logtext prepares text for one line of a log. It makes untrusted text short and
// printable, and removes tokens from it. It also writes durations.
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

// Quote returns s in double quotes, with everything but printable ASCII escaped. If
// the result is longer than 96 bytes, Quote cuts it and appends "...".
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

// QuoteUpTo is [Quote] with another limit: the result has at most limit bytes. limit is
// from 4 to 96.
func QuoteUpTo(s string, limit int) string {
	q := Quote(s)
	if len(q) > limit {
		q = q[:limit-3] + "..."
	}
	return q
}

// List returns values with commas between, each quoted by [QuoteUpTo]. It leaves out
// values that would make the list longer than limit bytes, and says how many they are.
func List(values []string, limit int) string {
	return ListFunc(values, limit, func(s string) string { return QuoteUpTo(s, limit) })
}

// ListFunc is [List] with another function in place of [QuoteUpTo]. text must return at
// most limit bytes.
func ListFunc(values []string, limit int, text func(string) string) string {
	var b strings.Builder
	for i, value := range values {
		next := text(value)
		if i > 0 && b.Len()+len(", ")+len(next) > limit {
			fmt.Fprintf(&b, " and %d more", len(values)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(next)
	}
	return b.String()
}

// Value returns s with its tokens masked. If the result is longer than 200 bytes or
// not printable, Value returns Quote of it.
func Value(s string) string {
	s = maskTokens(s)
	if len(s) > 200 || !isPrintable(s) {
		return Quote(s)
	}
	return s
}

// Message returns the text s of an error with its tokens masked. If the result is not
// printable, Message returns it quoted and escaped. If it is longer than 512 bytes,
// Message cuts it as [CutMiddle] does.
func Message(s string) string {
	s = maskTokens(s)
	if !isPrintable(s) {
		s = strconv.QuoteToASCII(s)
	}
	return CutMiddle(s, 512)
}

// Error limits what a server can write into a log through an error, such as the target
// of a redirect. It returns err if the text of err is printable, has at most 250 bytes
// and has no token in it. Otherwise it returns another error, with the tokens masked, a
// space for each character that is not printable, and the text cut to 250 bytes by
// [CutMiddle]. The other error does not wrap err, which may be large. It wraps
// context.DeadlineExceeded or context.Canceled if err does.
func Error(err error) error {
	text := err.Error()
	clean := CutMiddle(Printable(maskTokens(text)), 250)
	if clean == text {
		return err
	}
	for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, cause) {
			return &cutError{clean, cause}
		}
	}
	return errors.New(clean)
}

// A cutError is an error with another text than it had.
type cutError struct {
	text  string
	cause error
}

func (e *cutError) Error() string { return e.text }
func (e *cutError) Unwrap() error { return e.cause }

// CutMiddle returns s if it has at most limit bytes. Otherwise it masks the tokens of s,
// and replaces its middle by "..." if it is still too long: the start of an error says
// what was tried, and the end has the cause. The tokens come first because the end of a
// token that was cut cannot be recognised.
func CutMiddle(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	if s = maskTokens(s); len(s) <= limit {
		return s
	}
	limit = max(0, limit-len("..."))
	start, end := s[:limit/2], s[len(s)-(limit-limit/2):]
	return strings.ToValidUTF8(start, "") + "..." + strings.ToValidUTF8(end, "")
}

// Printable returns s with a space for each character that is not printable.
func Printable(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, s)
}

// URL returns address with its password replaced by "xxxxx", cut to 200 characters. If
// address cannot be parsed, URL returns "(malformed URL)", because its password cannot
// be found.
func URL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(malformed URL)"
	}
	return fmt.Sprintf("%.200s", u.Redacted())
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !strconv.IsPrint(c) })
}

// tokenRest has the characters that may follow the first segment of a token. They are
// more than those of a valid token, because a client may have added padding or
// percent-encoded the dots, even twice.
const tokenRest = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.%=+~"

// maskTokens returns s with "[token]" in place of each token in compact serialisation
// (RFC 7515 section 7.1), complete or cut off: the base64url of the start of a JSON
// object, a dot or percent sign, and the characters of tokenRest that follow. It does
// not mask a name such as jquery.min.js. If s is longer than 4096 bytes, maskTokens
// replaces its middle by "...". What the end would start with is left out as well if it
// may be the rest of a token.
func maskTokens(s string) string {
	const limit = 4096
	if len(s) > limit {
		start, end := s[:limit/2], s[len(s)-limit/2:]
		end = strings.TrimLeft(strings.ToValidUTF8(end, ""), tokenRest)
		return maskTokens(strings.ToValidUTF8(start, "")) + "..." + maskTokens(end)
	}
	var b strings.Builder
	written := 0 // s[:written] is already in b
	for i := 0; i < len(s); {
		end := i + charset.Base64URL.Prefix(s[i:])
		if end == i {
			i++
			continue
		}
		if end < len(s) && (s[end] == '.' || s[end] == '%') && startsObject(s[i:end]) {
			b.WriteString(s[written:i])
			b.WriteString("[token]")
			end = len(s) - len(strings.TrimLeft(s[end:], tokenRest))
			written = end
		}
		i = end
	}
	return b.String() + s[written:]
}

// startsObject reports whether s is base64url of text that starts like a JSON object
// with members.
func startsObject(s string) bool {
	// Ignore the error: s may end within a group of four characters.
	text, _ := base64.RawURLEncoding.DecodeString(s[:min(len(s), 64)])
	object, ok := strings.CutPrefix(strings.TrimLeft(string(text), " \t\r\n"), "{")
	return ok && strings.HasPrefix(strings.TrimLeft(object, " \t\r\n"), `"`)
}
