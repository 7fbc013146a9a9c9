package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate"
)

// A decision is what a gate found out about the sender of a request.
type decision struct {
	issuer, subject string // empty if the request has no verified token
	refused         string // why the gate refused the request; empty if it did not
}

// holderKey is the key of the holder in a context.
type holderKey struct{}

// A holder carries the decision out of the gate. The log puts an empty holder into the
// context, and remember fills it. The holder is atomic because a handler such as that of
// http.TimeoutHandler runs the gate on another goroutine.
type holder = atomic.Pointer[decision]

// remember is a function for [jwtgate.Options.Observe]. It puts the decision of a gate into
// the holder of the request.
func remember(ctx context.Context, e jwtgate.Event) {
	h, ok := ctx.Value(holderKey{}).(*holder)
	if !ok {
		return // no access log outside of the gate
	}
	var d decision
	if e.Token != nil {
		d.issuer, d.subject = e.Token.Issuer, e.Token.Subject
	}
	var refusal *jwtgate.Error
	if errors.As(e.Err, &refusal) {
		d.refused = refusal.Reason()
	}
	h.Store(&d)
}

// accessLog returns a handler that calls next and then logs one line. It belongs outside of
// all gates, so that the line is written for refusals and public routes too.
//
// It cannot take the user from the context of its request: a gate makes a new context for
// the handler inside, and the request outside does not change.
func accessLog(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, h, recorder := time.Now(), new(holder), &statusRecorder{ResponseWriter: w}
		r = r.WithContext(context.WithValue(r.Context(), holderKey{}, h))
		returned := false
		defer func() { // deferred, so that a handler that panics leaves a line too
			status := recorder.status.Load()
			if status == 0 && returned {
				status = http.StatusOK // net/http sends this if a handler writes nothing
			}
			attrs := []slog.Attr{
				slog.String("method", r.Method),
				slog.String("route", r.Pattern), // a path may hold secrets and has no bound
				slog.Int64("status", status),    // 0: the handler panicked before it answered
				slog.Duration("duration", time.Since(start)),
			}
			if d := h.Load(); d != nil {
				// The subject is personal data. If you keep the log for long, log
				// jwtgate.Pseudonym(key, d.issuer, d.subject) instead of both.
				attrs = append(attrs, slog.String("iss", d.issuer), slog.String("sub", d.subject))
				if d.refused != "" {
					attrs = append(attrs, slog.String("refused", d.refused))
				}
			}
			logger.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
		}()
		next.ServeHTTP(recorder, r)
		returned = true
	})
}

// A statusRecorder records the status of the answer.
type statusRecorder struct {
	http.ResponseWriter
	status atomic.Int64
}

func (s *statusRecorder) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols { // other 1xx are not the answer
		s.status.CompareAndSwap(0, int64(status))
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Write(b []byte) (int, error) {
	s.status.CompareAndSwap(0, http.StatusOK)
	return s.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush and hijack.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
