package jwtgate

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate/internal/logtext"
)

// An Event is one decision of a gate. Construct an Event by field name; fields will
// be added.
type Event struct {
	_ struct{}

	// Request is nil under [Gate.Verify].
	Request *http.Request
	// Token is the verified token, even if a rule then refused it. It is nil if no
	// token was verified: for most refusals, and for an anonymous request that
	// [Gate.Optional] let through.
	Token *Token
	// Err is an [*Error], or nil if the request was let through.
	Err error
	// Cached reports that the token was remembered and its signature not verified
	// again.
	Cached bool
	// Duration is how long the decision took, including Validate and waiting for
	// keys.
	Duration time.Duration
}

// Format prints e without its request, whose header has credentials.
func (e Event) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Token:%+v Err:%v Cached:%t Duration:%v}", e.Token, e.Err, e.Cached, e.Duration)
}

// AuditLog returns a function for Options.Observe that logs each decision as one
// record. A nil logger means [slog.Default], looked up for each record.
//
// A record has the decision (allow, anonymous or deny), its duration, the method
// and path of the request as the gate saw it, and of a verified token what
// [Token.LogValue] returns: the issuer, the subject, the ID, the actor, and how it is bound. A refusal also has its status, its [Error.Reason] and the text of
// its error. Of an unverified token, at most iss, alg and kid are logged, in the text
// of the error.
//
// The level depends on the decision:
//
//   - Info: the request was let through, or the client went away before the decision
//     (reason canceled)
//   - Warn: the request was refused
//   - Error: the answer is 503, because the token cannot be verified now
//
// To log refusals only, call the function for events with an error:
//
//	audit := jwtgate.AuditLog(nil)
//	options.Observe = func(ctx context.Context, e jwtgate.Event) {
//		if e.Err != nil {
//			audit(ctx, e)
//		}
//	}
//
// A logger whose level is Warn has the same effect, and leaves out the clients that
// went away.
//
// AuditLog never logs the query, the value of a header, or a token. If the scheme of an
// Authorization header is not Bearer, it may log the scheme. If a client puts a token into
// the path, AuditLog replaces it by "[token]"; it does not recognise other secrets
// in a path. Values from the client and texts of errors are escaped and cut.
//
// The records are personal data: they say what a user did.
// [AuditLogPseudonymous] leaves out who the user is.
func AuditLog(logger *slog.Logger) func(context.Context, Event) {
	return func(ctx context.Context, e Event) { logEvent(ctx, logger, nil, e) }
}

// AuditLogPseudonymous is like [AuditLog], with two differences: it logs the
// [Pseudonym] of a subject and of an actor instead of the subject and the actor, and it does not log the texts of
// errors, because the error of a rule or of Options.Validate may name the subject.
// Status and reason are logged. A keys.Remote logs its own errors.
//
// AuditLogPseudonymous copies key. It panics if key has less than 32 bytes.
//
// With the key, anybody can compute the pseudonym of a known user, so keep the key
// away from the log and its readers. The records of one user have the same pseudonym
// as long as the key is the same. After the key is destroyed, no pseudonym leads back
// to a subject. With a new key each month, the pseudonyms of two months cannot be
// linked.
//
// The records remain personal data as long as the key exists (GDPR Article 4(5) and
// Recital 26), and may remain so without it:
//
//   - the path is logged, and names the user if the routes are like /users/{id};
//   - the issuer may know whose token a token ID belongs to;
//   - what one user did, and when, may be enough to identify the user.
func AuditLogPseudonymous(logger *slog.Logger, key []byte) func(context.Context, Event) {
	mustPseudonymKey("jwtgate.AuditLogPseudonymous", key)
	key = bytes.Clone(key)
	return func(ctx context.Context, e Event) { logEvent(ctx, logger, key, e) }
}

// Pseudonym returns what [AuditLogPseudonymous] logs for a subject of an issuer. Use
// it to search the log for a user.
//
// The result is "pseudonym-" and the first 128 bits of an HMAC-SHA-256 in
// hexadecimal. The message of the HMAC is the length of issuer in bytes, in
// decimal, then a colon, issuer and subject, so that different pairs of issuer and
// subject have different messages. Later versions return the same result.
//
// The pseudonym of the empty subject is empty. Pseudonym panics if key has less
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

// mustPseudonymKey panics if key is too short. An attacker can guess a short key, and
// check each guess with the pseudonym of a known subject.
func mustPseudonymKey(caller string, key []byte) {
	if len(key) < sha256.Size {
		panic(fmt.Sprintf("%s: the key has %d bytes; pass at least %d random ones, or subjects can be found by guessing; "+
			"make one with: openssl rand -hex %d", caller, len(key), sha256.Size, sha256.Size))
	}
}

// logEvent logs e. With a pseudonym key it logs no subject and no text of an error.
func logEvent(ctx context.Context, logger *slog.Logger, pseudonymKey []byte, e Event) {
	level, decision := slog.LevelInfo, "allow"
	attrs := make([]slog.Attr, 0, 8)
	if e.Err != nil {
		denied := toError(e.Err, fromGate)
		decision = "deny"
		switch denied.Reason() {
		case "canceled": // nobody is at fault
		case "unavailable":
			level = slog.LevelError
		default:
			level = slog.LevelWarn
		}
		attrs = append(attrs,
			slog.Int("status", denied.Status),
			slog.String("reason", denied.Reason()))
		if pseudonymKey == nil {
			attrs = append(attrs, slog.String("error", logtext.Message(denied.Error())))
		}
	}
	if e.Token == nil && e.Err == nil {
		decision = "anonymous"
	}
	if t := e.Token; t != nil {
		subject, actor := t.Subject, t.Actor
		if pseudonymKey != nil {
			subject, actor = Pseudonym(pseudonymKey, t.Issuer, subject), Pseudonym(pseudonymKey, t.Issuer, actor)
		}
		attrs = append(attrs, slog.Attr{Key: "token", Value: t.logValue(subject, actor)})
	}
	if e.Request != nil {
		attrs = append(attrs, slog.String("method", logtext.Value(e.Request.Method)))
		if e.Request.URL != nil {
			attrs = append(attrs, slog.String("path", logtext.Value(e.Request.URL.Path)))
		}
	}
	attrs = append(attrs, slog.Duration("duration", e.Duration))

	if logger == nil {
		logger = slog.Default()
	}
	logger.LogAttrs(ctx, level, "jwtgate: "+decision, append(attrs, slog.String("decision", decision))...)
}
