package keys

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A fetchReport is what the log says about a fetch of a Remote that has ended.
type fetchReport struct {
	err     error   // nil if the fetch succeeded
	meaning meaning // of err; also withdrawn if the fetch has confirmed a withdrawal

	failures   int           // how many fetches have failed in a row, this one included
	failingFor time.Duration // since the first of them
	usableFor  time.Duration // how much longer the keys may be used; 0 if there are none
	isNew      bool          // the failure is worth a record above level Debug

	// The fields below are those of a fetch that succeeded.

	url           string
	before, after *set    // the set of the last fetch that succeeded, and that of this one
	skipped       []error // why keys are not used, unless the fetch before had the same reason
	first         bool    // the first fetch that succeeded
	discoveryErr  error   // why discovery failed, if the keys are from the address of an earlier one and the log does not say so yet
	clock         string  // what is to be said about the clock of this host; "" if nothing
}

// reminderInterval is the time between two records of the same failure.
const reminderInterval = 15 * time.Minute

// A reminder says when a record that may be repeated is due again. The zero value means
// that there was no record.
type reminder struct{ last time.Time }

// isDue reports whether the last record is old enough for another one, which it then
// counts as written.
func (r *reminder) isDue(now time.Time, interval time.Duration) bool {
	if elapsed(r.last, now) < interval {
		return false
	}
	r.last = now
	return true
}

// A loggedFailure is the last record of fetches that fail in a row. The zero value means
// that there is none.
type loggedFailure struct {
	at      time.Time
	hasKeys bool
	worst   meaning // the worst of all records since the last fetch that succeeded
}

// isNew reports whether a failure is to be logged above level Debug: the first one, one
// that changes what happens to the keys in use, and one each reminderInterval. It records
// that the failure is logged.
func (l *loggedFailure) isNew(r fetchReport, now time.Time) bool {
	if r.err == nil {
		*l = loggedFailure{}
		return false
	}
	hasKeys := r.usableFor > 0
	if !l.at.IsZero() && l.hasKeys == hasKeys && r.meaning <= l.worst && elapsed(l.at, now) < reminderInterval {
		return false
	}
	*l = loggedFailure{now, hasKeys, max(l.worst, r.meaning)}
	return true
}

// log writes the report. source names the Remote, and issuer is empty for a
// Remote with a URL.
func (r fetchReport) log(logger *slog.Logger, source, issuer string) {
	// The handler is the user's, and this runs on a goroutine of this package,
	// where a panic would end the program.
	defer func() { _ = recover() }()
	log := remoteLogger(logger, issuer)
	if r.err != nil {
		r.logFailure(log)
		return
	}
	attrs := []any{"url", logtext.URL(r.url), "keys", len(r.after.all)}
	if r.discoveryErr != nil {
		log.Warn("jwtgate: discovery failed, and the keys are from the address that it named before", append(attrs, "error", r.discoveryErr)...)
	}
	if r.after != r.before {
		attrs = append(attrs, changes(r.before, r.after)...)
	}
	if r.failures > 0 {
		attrs = append(attrs, "failed_for", logtext.Duration(r.failingFor), "failures", r.failures)
	}
	switch {
	case r.meaning == withdrawn && len(r.before.all) > 0:
		log.Error("jwtgate: the issuer has withdrawn all keys: its key set is still empty", attrs...)
	case r.first:
		log.Info("jwtgate: keys fetched", attrs...)
	case r.failures > 0:
		log.Info("jwtgate: keys fetched again", attrs...)
	case r.after != r.before:
		log.Info("jwtgate: key set changed", attrs...)
	default:
		log.Debug("jwtgate: keys confirmed", attrs...)
	}
	switch {
	case r.clock == clockIsRight:
		log.Info("jwtgate: "+r.clock, "url", logtext.URL(r.url))
	case r.clock != "":
		log.Warn("jwtgate: "+r.clock+"; tokens may be refused as expired or not yet valid", "url", logtext.URL(r.url))
	}
	logSkipped(logger, source, r.skipped)
}

func (r fetchReport) logFailure(log *slog.Logger) {
	attrs := []any{"error", r.err}
	if r.failures > 1 {
		attrs = append(attrs, "failing_for", logtext.Duration(r.failingFor), "failures", r.failures)
	}
	if r.usableFor > 0 {
		attrs = append(attrs, "keys_usable_for", logtext.Duration(r.usableFor))
	}
	switch {
	case !r.isNew:
		log.Debug("jwtgate: keys still cannot be fetched", attrs...)
	case r.usableFor == 0:
		log.Error("jwtgate: keys cannot be fetched, and there are none in use", attrs...)
	case r.meaning == withdrawn:
		log.Error("jwtgate: the key set of the issuer is empty, and the old keys end if the next fetch confirms that", attrs...)
	case r.meaning == unpublished:
		log.Error("jwtgate: the issuer publishes no usable key, and the old ones stay in use no longer than FreshFor", attrs...)
	default:
		log.Warn("jwtgate: keys cannot be fetched, the old ones stay in use", attrs...)
	}
}

// A limitedReport is what the log says about lookups that the limits for unknown key IDs
// have kept from starting a fetch.
type limitedReport struct {
	kid     string // of the last one
	reason  string // why that key ID was not looked for
	lookups uint64 // how many there were since the last report
}

// limitedInterval is the time between two limitedReports.
const limitedInterval = time.Minute

// log writes the report.
func (r *limitedReport) log(logger *slog.Logger, issuer string) {
	defer func() { _ = recover() }() // the handler is the user's, and the request must get its answer
	remoteLogger(logger, issuer).Warn("jwtgate: an unknown key ID was not looked for",
		"kid", logtext.Value(r.kid), "reason", r.reason, "lookups", r.lookups)
}

// maxClockDifference is the difference from the clock of the issuer that is not logged. It
// is the default of Options.Leeway, which a source does not know.
const maxClockDifference = 30 * time.Second

const clockIsRight = "the clock of this host agrees with the issuer's again"

// A clockLog is what the log says about the clock of this host.
type clockLog struct{ differs reminder }

// check returns what is to be logged for a difference, or "".
func (c *clockLog) check(ahead time.Duration, now time.Time) string {
	if ahead.Abs() <= maxClockDifference {
		if c.differs == (reminder{}) {
			return ""
		}
		c.differs = reminder{}
		return clockIsRight
	}
	if !c.differs.isDue(now, reminderInterval) {
		return ""
	}
	direction := "ahead by "
	if ahead < 0 {
		direction = "behind by "
	}
	return "the clock of this host is " + direction + logtext.Duration(ahead.Abs()) + ", compared with the issuer's"
}

// remoteLogger returns the logger of the records about an issuer. logger and issuer may be
// zero.
func remoteLogger(logger *slog.Logger, issuer string) *slog.Logger {
	logger = cmp.Or(logger, slog.Default())
	if issuer != "" {
		logger = logger.With("issuer", fmt.Sprintf("%.100s", issuer))
	}
	return logger.With("source", "keys.Remote") // url or error has the address
}

// changes returns the attributes of a record that say which key IDs a set has and the one
// before had not, the other way round, and which IDs have another key than before.
func changes(before, after *set) (attrs []any) {
	if before == nil {
		return nil
	}
	for _, change := range []struct {
		name string
		ids  []string
	}{
		{"added", after.idsWhere(func(id string) bool { return len(before.withID(id)) == 0 })},
		{"removed", before.idsWhere(func(id string) bool { return len(after.withID(id)) == 0 })},
		{"replaced", after.idsWhere(func(id string) bool {
			old := before.withID(id)
			return len(old) > 0 && !slices.ContainsFunc(after.withID(id), func(k *jwtgate.Key) bool { return slices.ContainsFunc(old, k.Equal) })
		})},
	} {
		if len(change.ids) > 0 {
			attrs = append(attrs, change.name, listIDs(change.ids))
		}
	}
	return attrs
}

// listIDs returns key IDs with commas between, at most 200 bytes.
func listIDs(ids []string) string {
	return logtext.ListFunc(ids, 200, func(id string) string {
		if id == "" {
			return "(a key without ID)"
		}
		return logtext.Value(id)
	})
}

// newlySkipped returns those errors of now whose reason is not among before. It
// compares what the errors wrap: their own text has the position of the key in the
// set, which may differ each time.
func newlySkipped(before, now []error) (added []error) {
	known := map[string]bool{}
	for _, err := range before {
		known[errors.Unwrap(err).Error()] = true
	}
	for _, err := range now {
		if !known[errors.Unwrap(err).Error()] {
			added = append(added, err)
		}
	}
	return added
}
