package jwtgate

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// An Event is one decision of a gate. Construct one by field name; fields will
// be added.
type Event struct {
	_ struct{}

	// Request is nil under [Gate.Verify].
	Request *http.Request
	// Token is the verified token, also where a rule then refused it. It is
	// nil if the token was not verified, and beside a nil Err for the
	// anonymous request that Optional let pass.
	Token *Token
	// Err is an [*Error], or nil if the request may go on.
	Err error
	// Cached tells that the signature was not checked again.
	Cached bool
	// Duration is the time the decision took, Validate and waiting for keys
	// included.
	Duration time.Duration
}

// Format prints the token's claims and the rest of e, but not the request,
// which has credentials.
func (e Event) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Token:%+v Err:%v Cached:%t Duration:%v}", e.Token, e.Err, e.Cached, e.Duration)
}

// AuditLog returns an Options.Observe that writes one record for each
// decision: what was decided (allow, anonymous or deny) and how long that took,
// method and path of the request as the gate saw it, issuer, subject and ID of
// a verified token, and for a refusal the status, the [Error.Reason] and the
// text of the error. Whom a token names that was not verified is not recorded.
//
// It never logs the query, a header or the token, not even where a client has
// put one into the path: what looks like a token is replaced by "[token]".
// Other secrets in a path do not show as such. What a client chose is escaped
// and cut, and so is the text of an error.
//
// Such records are personal data: they tell what a user did.
// [AuditLogPseudonymous] leaves out who that is.
//
// Passing requests are logged at level Info, refusals at Warn, and those that
// could not be decided at Error. A nil logger is [slog.Default], looked up for
// each record.
func AuditLog(logger *slog.Logger) func(context.Context, Event) {
	return func(ctx context.Context, e Event) { audit(ctx, logger, nil, e) }
}

// AuditLogPseudonymous is like [AuditLog], but records the [Pseudonym] of a
// subject in its place, and no texts of errors, since that of a rule or of
// Options.Validate may name the subject. The status and the reason are there
// all the same; what is wrong with the keys is for the logger of a key source.
//
// The records of one user can still be linked, and be found by whoever has the
// key. Keep it away from the log and its readers, for with it the pseudonym of
// every known user can be computed. Once the key is destroyed, no pseudonym
// leads back to a subject; with a key for each month that happens month by
// month, and nobody is followed from one to the next.
//
// What is left is still personal data as long as there is the key (GDPR Article
// 4(5) and Recital 26), and may be without it: the path is recorded as it is, and
// names the user if the routes are like /users/{id}; the issuer may be able to
// tell whose token an ID belongs to; and what one user did, and when, may be
// enough to single somebody out.
//
// AuditLogPseudonymous copies the key, and panics if it has less than 32 bytes.
func AuditLogPseudonymous(logger *slog.Logger, key []byte) func(context.Context, Event) {
	mustPseudonymKey("jwtgate.AuditLogPseudonymous", key)
	key = bytes.Clone(key)
	return func(ctx context.Context, e Event) { audit(ctx, logger, key, e) }
}

// Pseudonym returns what [AuditLogPseudonymous] records for a subject of an
// issuer, to search the log for it: "pseudonym-" and the first 128 bits of an
// HMAC-SHA-256 in hexadecimal. Its message is the length of issuer in bytes, in
// decimal, a colon, issuer and subject, so that no two pairs of issuer and
// subject have the same. It stays the same in later versions.
//
// The subject "" is nobody's and stays "". Pseudonym panics if the key has less
// than 32 bytes.
func Pseudonym(key []byte, issuer, subject string) string {
	mustPseudonymKey("jwtgate.Pseudonym", key)
	if subject == "" {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%d:%s%s", len(issuer), issuer, subject)
	return "pseudonym-" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// mustPseudonymKey panics for a key that is none: subjects can be guessed, and
// each guess checked by whoever finds the key.
func mustPseudonymKey(caller string, key []byte) {
	if len(key) < sha256.Size {
		panic(fmt.Sprintf("%s: the key has %d bytes; pass at least %d random ones, or subjects can be found by guessing; "+
			"make one with: openssl rand -hex %d", caller, len(key), sha256.Size, sha256.Size))
	}
}

// audit writes the record of a decision. With a key it is pseudonymous.
func audit(ctx context.Context, logger *slog.Logger, key []byte, e Event) {
	level, decision := slog.LevelInfo, "allow"
	attrs := make([]slog.Attr, 0, 8)
	if e.Err != nil {
		denied := toError(e.Err, fromGate)
		level, decision = slog.LevelWarn, "deny"
		if denied.Status == http.StatusServiceUnavailable {
			level = slog.LevelError
		}
		attrs = append(attrs,
			slog.Int("status", denied.Status),
			slog.String("reason", denied.Reason()))
		if key == nil {
			attrs = append(attrs, slog.String("error", printableText(denied.Error())))
		}
	}
	if e.Token == nil && e.Err == nil {
		decision = "anonymous"
	}
	if t := e.Token; t != nil {
		if key != nil {
			t = &Token{Issuer: t.Issuer, Subject: Pseudonym(key, t.Issuer, t.Subject), ID: t.ID}
		}
		// Its value, since not every handler asks for that.
		attrs = append(attrs, slog.Attr{Key: "token", Value: t.LogValue()})
	}
	if e.Request != nil {
		attrs = append(attrs, slog.String("method", printable(e.Request.Method)))
		if e.Request.URL != nil {
			attrs = append(attrs, slog.String("path", printable(e.Request.URL.Path)))
		}
	}
	attrs = append(attrs, slog.Duration("duration", e.Duration))

	if logger == nil {
		logger = slog.Default()
	}
	logger.LogAttrs(ctx, level, "jwtgate: "+decision, append(attrs, slog.String("decision", decision))...)
}

// printable returns s as it is if it is short and has no token and no control
// character, and otherwise without the token, escaped and cut.
func printable(s string) string {
	s = withoutTokens(s)
	if len(s) > 200 || !isPrintable(s) {
		return quote(s)
	}
	return s
}

// printableText does the same for the text of an error, which may have more to
// say.
func printableText(s string) string {
	const most = 512
	s = withoutTokens(s)
	cut := len(s) > most
	if cut {
		s = strings.ToValidUTF8(s[:most], "")
	}
	if !isPrintable(s) {
		s = strconv.QuoteToASCII(s)
		if len(s) > most {
			s, cut = s[:most], true
		}
	}
	if cut {
		s += "..."
	}
	return s
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !strconv.IsPrint(c) })
}

// The characters of base64url, and those of a token as a client may have spoilt
// it, with dots that were percent-encoded twice or padding.
var (
	inBase64URL = setOf("-_")
	inSpoilt    = setOf("-_.%=+~")
)

// withoutTokens returns s with "[token]" in the place of what looks like the
// compact serialisation of a token (RFC 7515 section 7.1), whole or in part: the
// base64url of a JSON object, a dot, and what follows. A name such as
// jquery.min.js does not. Of a path of a megabyte, say, only the beginning is
// looked through and kept.
func withoutTokens(s string) string {
	const most = 4096
	more := ""
	if len(s) > most {
		s, more = s[:most], "..."
	}
	var b strings.Builder
	written := 0 // of s
	for i := 0; i < len(s); {
		end := i + span(s[i:], &inBase64URL)
		if end == i {
			i++
			continue
		}
		if end < len(s) && (s[end] == '.' || s[end] == '%') && startsObject(s[i:end]) {
			b.WriteString(s[written:i])
			b.WriteString("[token]")
			end += span(s[end:], &inSpoilt)
			written = end
		}
		i = end
	}
	return b.String() + s[written:] + more
}

// span returns how many bytes at the start of s are in set.
func span(s string, set *[256]bool) int {
	for i := range len(s) {
		if !set[s[i]] {
			return i
		}
	}
	return len(s)
}

// startsObject tells whether s, in base64url, begins as a JSON object with
// members does.
func startsObject(s string) bool {
	text, _ := base64.RawURLEncoding.DecodeString(s[:min(len(s), 64)]) // what of it can be
	object, ok := strings.CutPrefix(strings.TrimLeft(string(text), " \t\r\n"), "{")
	return ok && strings.HasPrefix(strings.TrimLeft(object, " \t\r\n"), `"`)
}
