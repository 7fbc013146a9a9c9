package jwtgate

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
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
// decision: what was decided and why, method and path of the request, and
// issuer, subject and ID of the token. It never logs the token, the query or a
// header; what a client chose is escaped and cut.
//
// Passing requests are logged at level Info, refusals at Warn, and those that
// could not be decided at Error. A nil logger is [slog.Default], looked up for
// each record.
func AuditLog(logger *slog.Logger) func(context.Context, Event) {
	return func(ctx context.Context, e Event) {
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
				slog.String("reason", denied.Reason()),
				slog.String("error", denied.Error()))
		}
		if e.Token == nil && e.Err == nil {
			decision = "anonymous"
		}
		if e.Token != nil {
			attrs = append(attrs, slog.Any("token", e.Token))
		}
		if e.Request != nil {
			attrs = append(attrs, slog.String("method", printable(e.Request.Method)))
			if e.Request.URL != nil {
				attrs = append(attrs, slog.String("path", printable(e.Request.URL.Path)))
			}
		}
		attrs = append(attrs, slog.Duration("duration", e.Duration))

		l := logger
		if l == nil {
			l = slog.Default()
		}
		l.LogAttrs(ctx, level, "jwtgate: "+decision, append(attrs, slog.String("decision", decision))...)
	}
}

// printable returns s as it is if it is short and has no control character,
// and otherwise escaped and cut.
func printable(s string) string {
	if len(s) > 200 || !utf8.ValidString(s) {
		return quote(s)
	}
	for _, c := range s {
		if !strconv.IsPrint(c) {
			return quote(s)
		}
	}
	return s
}
