package main

import (
	"context"
	"log/slog"
	"sync"
)

// An auditLog is a slog.Handler for the time in which the table is printed. It keeps
// the reason of the last record that jwtgate.AuditLog wrote for a refusal. Other
// records, such as errors of the server, go to Handler.
type auditLog struct {
	slog.Handler // its level is Warn: the records of accepted requests are left out

	mu     sync.Mutex
	reason string
}

func (a *auditLog) Handle(ctx context.Context, record slog.Record) error {
	attrs := map[string]string{}
	record.Attrs(func(attr slog.Attr) bool {
		attrs[attr.Key] = attr.Value.String()
		return true
	})
	if attrs["decision"] == "" { // not a record of jwtgate.AuditLog
		return a.Handler.Handle(ctx, record)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reason = attrs["reason"]
	return nil
}

// takeReason returns the reason of the last refusal, and "" if none was logged since
// the call before.
func (a *auditLog) takeReason() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	reason := a.reason
	a.reason = ""
	return reason
}
