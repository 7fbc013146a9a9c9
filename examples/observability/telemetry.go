package main

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// scope is what OpenTelemetry calls the code that is measured.
const scope = "github.com/jwtgate/jwtgate"

// observeDecisions returns an Options.Observe that counts and times the decisions
// of a gate, and notes them in the span of the request.
//
// Every label has a few values that are known ahead, whatever clients send.
// Subjects, token IDs, key IDs and paths are no labels: each of their values would
// be a time series of its own, and most of them are somebody's personal data.
func observeDecisions(meter metric.Meter) (func(context.Context, jwtgate.Event), error) {
	decisions, errDecisions := meter.Int64Counter("jwtgate.decisions",
		metric.WithDescription("Decisions about requests."),
		metric.WithUnit("{decision}"))
	duration, errDuration := meter.Float64Histogram("jwtgate.decision.duration",
		metric.WithDescription("The time that decisions took, waiting for keys included."),
		metric.WithUnit("s"),
		// The defaults begin at 5 s. A decision from memory takes microseconds, and
		// one that waits for an issuer up to Remote.Timeout.
		metric.WithExplicitBucketBoundaries(.00001, .000025, .00005, .0001, .00025, .0005,
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	if err := errors.Join(errDecisions, errDuration); err != nil {
		return nil, err
	}
	return func(ctx context.Context, e jwtgate.Event) {
		result, reason := outcome(e)
		decisions.Add(ctx, 1, metric.WithAttributes(
			attribute.String("result", result), attribute.String("reason", reason), attribute.Bool("cached", e.Cached)))
		duration.Record(ctx, e.Duration.Seconds(), metric.WithAttributes(
			attribute.String("result", result), attribute.Bool("cached", e.Cached)))
		trace.SpanFromContext(ctx).SetAttributes(
			attribute.String("jwtgate.result", result), attribute.String("jwtgate.reason", reason), attribute.Bool("jwtgate.cached", e.Cached))
	}, nil
}

// outcome returns what was decided: allow, anonymous, deny, or unavailable where
// the gate could not tell; and why, which is "none" unless it was a refusal.
func outcome(e jwtgate.Event) (result, reason string) {
	if e.Err == nil {
		if e.Token == nil {
			return "anonymous", "none"
		}
		return "allow", "none"
	}
	var denied *jwtgate.Error
	errors.As(e.Err, &denied) // it always is one
	if reason = denied.Reason(); reason == "unavailable" {
		return "unavailable", reason
	}
	return "deny", reason
}

// observeKeys has the counters of remote read whenever metrics are. The issuers
// are those of Options.Issuers. Under Options.TrustIssuer there may be a
// thousand: leave the label out then, and add up.
func observeKeys(meter metric.Meter, remote *keys.Remote) error {
	inUse, err1 := meter.Int64ObservableGauge("jwtgate.keys.in_use",
		metric.WithDescription("Keys of the issuer that tokens are verified with."),
		metric.WithUnit("{key}"))
	age, err2 := meter.Float64ObservableGauge("jwtgate.keys.age",
		metric.WithDescription("The time since the keys were fetched or confirmed. Absent if there are none."),
		metric.WithUnit("s"))
	fetches, err3 := meter.Int64ObservableCounter("jwtgate.keys.fetches",
		metric.WithDescription("Fetches of the keys, failed ones included."),
		metric.WithUnit("{fetch}"))
	failures, err4 := meter.Int64ObservableCounter("jwtgate.keys.fetch_failures",
		metric.WithDescription("Fetches of the keys that failed."),
		metric.WithUnit("{fetch}"))
	limited, err5 := meter.Int64ObservableCounter("jwtgate.keys.limited_lookups",
		metric.WithDescription("Tokens with an unknown key ID that were refused without a fetch."),
		metric.WithUnit("{lookup}"))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, s := range remote.Stats() {
			issuer := metric.WithAttributes(attribute.String("issuer", s.Issuer)) // "" if Remote.URL is set
			o.ObserveInt64(inUse, int64(s.Keys), issuer)
			if s.Keys > 0 {
				o.ObserveFloat64(age, s.Age.Seconds(), issuer)
			}
			o.ObserveInt64(fetches, int64(s.Fetches), issuer)
			o.ObserveInt64(failures, int64(s.Failures), issuer)
			o.ObserveInt64(limited, int64(s.Limited), issuer)
		}
		return nil
	}, inUse, age, fetches, failures, limited)
	return err
}
