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

// scope is the instrumentation scope: the name under which OpenTelemetry records the
// measurements.
const scope = "github.com/jwtgate/jwtgate"

// observeDecisions returns a function for Options.Observe. It counts and times the
// decisions of a gate and adds them to the span of the request.
//
// Every label has a few fixed values, which clients cannot extend. Subjects, token IDs,
// key IDs and paths must not be labels: each value would make a new time series, and
// some of them are personal data.
func observeDecisions(meter metric.Meter) (func(context.Context, jwtgate.Event), error) {
	decisions, errDecisions := meter.Int64Counter("jwtgate.decisions",
		metric.WithDescription("Decisions about requests."),
		metric.WithUnit("{decision}"))
	duration, errDuration := meter.Float64Histogram("jwtgate.decision.duration",
		metric.WithDescription("The time that decisions took, including the wait for keys."),
		metric.WithUnit("s"),
		// The default boundaries are 0, 5 s, 10 s and so on. A decision about a remembered
		// token takes microseconds. A decision that waits for an issuer takes up to
		// Remote.Timeout.
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

// outcome returns the labels of a decision. result is allow, anonymous, deny, canceled
// or unavailable. Canceled means that the client went away. Unavailable means that the
// gate could not decide, because the keys or Options.Validate failed. reason is the
// reason of a refusal, or "none".
func outcome(e jwtgate.Event) (result, reason string) {
	if e.Err == nil {
		if e.Token == nil {
			return "anonymous", "none"
		}
		return "allow", "none"
	}
	var denied *jwtgate.Error
	errors.As(e.Err, &denied) // Event.Err always has this type
	switch reason = denied.Reason(); reason {
	case "canceled", "unavailable":
		return reason, reason
	default:
		return "deny", reason
	}
}

// observeKeys reads the counters of remote each time the metrics are read. The label
// issuer has the values of Options.Issuers. With Options.TrustIssuer there may be a
// thousand issuers: leave the label out and add the counters up.
func observeKeys(meter metric.Meter, remote *keys.Remote) error {
	inUse, err1 := meter.Int64ObservableGauge("jwtgate.keys.in_use",
		metric.WithDescription("The number of keys of the issuer that tokens are verified with."),
		metric.WithUnit("{key}"))
	age, err2 := meter.Float64ObservableGauge("jwtgate.keys.age",
		metric.WithDescription("The time since the keys were fetched or confirmed. Absent if there are no keys."),
		metric.WithUnit("s"))
	usable, err3 := meter.Float64ObservableGauge("jwtgate.keys.usable_for",
		metric.WithDescription("How much longer the keys are used if no fetch succeeds. Absent if there are no keys."),
		metric.WithUnit("s"))
	fetches, err4 := meter.Int64ObservableCounter("jwtgate.keys.fetches",
		metric.WithDescription("Fetches of the keys, including failed ones."),
		metric.WithUnit("{fetch}"))
	failures, err5 := meter.Int64ObservableCounter("jwtgate.keys.fetch_failures",
		metric.WithDescription("Fetches of the keys that failed."),
		metric.WithUnit("{fetch}"))
	limited, err6 := meter.Int64ObservableCounter("jwtgate.keys.limited_lookups",
		metric.WithDescription("Tokens with an unknown key ID that were refused without a fetch."),
		metric.WithUnit("{lookup}"))
	ahead, err7 := meter.Float64ObservableGauge("jwtgate.clock.ahead",
		metric.WithDescription("How far the clock of this host is ahead of the issuer's. Negative if it is behind."),
		metric.WithUnit("s"))
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, s := range remote.Stats() {
			issuer := metric.WithAttributes(attribute.String("issuer", s.Issuer)) // "" if Remote.URL is set
			o.ObserveInt64(inUse, int64(s.Keys), issuer)
			if s.Keys > 0 {
				o.ObserveFloat64(age, s.Age.Seconds(), issuer)
				o.ObserveFloat64(usable, s.KeysUsableFor.Seconds(), issuer)
			}
			o.ObserveInt64(fetches, int64(s.Fetches), issuer)
			o.ObserveInt64(failures, int64(s.Failures), issuer)
			o.ObserveInt64(limited, int64(s.LimitedLookups), issuer)
			o.ObserveFloat64(ahead, s.ClockAhead.Seconds(), issuer)
		}
		return nil
	}, inUse, age, usable, fetches, failures, limited, ahead)
	return err
}
