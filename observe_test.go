package jwtgate_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

func ExampleAuditLog() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{} // they differ from run to run
			}
			return a
		},
	}))
	gate, err := jwtgate.New(options(func(o *jwtgate.Options) { o.Observe = jwtgate.AuditLog(logger) }))
	if err != nil {
		panic(err)
	}
	handler := gate.Handler(subject)
	serve(handler, request("GET", "Authorization: Bearer "+hs256(nil)))
	serve(handler, request("GET", "Authorization: Bearer "+hs256(map[string]any{"exp": 0})))
	// Output:
	// level=INFO msg="jwtgate: allow" token.iss=https://auth.example.com/ token.sub=alice token.jti=token-1 method=GET path=/path decision=allow
	// level=WARN msg="jwtgate: deny" status=401 reason=expired error="jwtgate: token expired: exp was 1970-01-01T00:00:00Z (status 401)" method=GET path=/path decision=deny
}

func TestObserve(t *testing.T) {
	t.Parallel()
	down := errors.New("the database is down")
	var validate error
	var events []jwtgate.Event
	var contexts []context.Context
	gate := newGate(t, func(o *jwtgate.Options) {
		o.Validate = func(context.Context, *jwtgate.Token) error { return validate }
		o.Observe = func(ctx context.Context, e jwtgate.Event) {
			contexts = append(contexts, ctx)
			events = append(events, e)
		}
	})
	good := "Authorization: Bearer " + hs256(nil)
	last := func(t *testing.T) jwtgate.Event {
		t.Helper()
		require.Len(t, events, 1)
		e := events[0]
		require.Len(t, contexts, 1)
		events, contexts = nil, nil
		assert.Positive(t, e.Duration)
		return e
	}

	r := request("GET", good)
	serve(gate.Handler(subject), r)
	assert.Equal(t, r.Context(), contexts[0])
	e := last(t)
	assert.Same(t, r, e.Request)
	assert.Equal(t, "alice", e.Token.Subject)
	assert.NoError(t, e.Err)

	serve(gate.Handler(subject), request("GET"))
	e = last(t)
	assert.Nil(t, e.Token)
	requireRefused(t, e.Err, 401, jwtgate.ErrNoToken)

	serve(gate.Optional(subject), request("GET"))
	e = last(t)
	assert.Nil(t, e.Token)
	assert.NoError(t, e.Err)
	assert.True(t, e.Err == nil, "a nil *Error in an error")

	serve(gate.Require(jwtgate.Scope("admin")).Handler(subject), request("GET", good))
	e = last(t)
	assert.Equal(t, "alice", e.Token.Subject, "a token that was verified")
	requireRefused(t, e.Err, 403, jwtgate.ErrForbidden)

	validate = down
	serve(gate.Handler(subject), request("GET", good))
	e = last(t)
	assert.Equal(t, "alice", e.Token.Subject)
	requireRefused(t, e.Err, 503, down)
	validate = nil

	serve(gate.Handler(subject), request("GET", good+"x"))
	e = last(t)
	assert.Nil(t, e.Token)
	requireRefused(t, e.Err, 401, jwtgate.ErrSignature)

	_, err := gate.Verify(t.Context(), hs256(nil))
	require.NoError(t, err)
	e = last(t)
	assert.Nil(t, e.Request)
	assert.Equal(t, "alice", e.Token.Subject)
	_, err = gate.Check(request("GET", good))
	require.NoError(t, err)
	last(t)

	// A gate inside another of its family reports only refusals.
	serve(gate.Handler(gate.Handler(subject)), request("GET", good))
	last(t)
	serve(gate.Handler(gate.Require(jwtgate.Scope("admin")).Handler(subject)), request("GET", good))
	require.Len(t, events, 2)
	assert.NoError(t, events[0].Err)
	requireRefused(t, events[1].Err, 403, jwtgate.ErrForbidden)
	assert.Equal(t, "alice", events[1].Token.Subject)
}

func TestAuditLog(t *testing.T) {
	var log bytes.Buffer
	// acceptance 33: a handler that escapes nothing itself.
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	observe := jwtgate.AuditLog(logger)
	r := request("GET")
	r.Method = "G\nET"
	r.URL.Path = "/a\nb\x1b[31m" + strings.Repeat("x", 1000)
	observe(t.Context(), jwtgate.Event{Request: r})
	assert.Contains(t, log.String(), `"decision":"anonymous"`)
	assert.NotContains(t, log.String(), `a\nb`)
	assert.NotContains(t, log.String(), "query")
	assert.Less(t, log.Len(), 512)

	log.Reset()
	observe(t.Context(), jwtgate.Event{Err: jwtgate.ErrUnavailable, Request: &http.Request{Method: "GET"}})
	assert.Contains(t, log.String(), `"level":"ERROR"`)
	assert.Contains(t, log.String(), `"reason":"unavailable"`)
	log.Reset()
	observe(t.Context(), jwtgate.Event{Token: &jwtgate.Token{Subject: "\xff"}})
	assert.Contains(t, log.String(), `\\xff`)

	log.Reset()
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(logger)
	jwtgate.AuditLog(nil)(t.Context(), jwtgate.Event{Token: &jwtgate.Token{Subject: "alice"}})
	assert.Contains(t, log.String(), `"sub":"alice"`)
	assert.Contains(t, log.String(), `"decision":"allow"`)
}
