package keys

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A fetchReport is what the log says about a fetch of a Remote that has ended.
type fetchReport struct {
	err error // nil if the fetch succeeded; the next three fields are then set

	url     string
	keys    int     // how many keys there are
	skipped []error // why keys are not used, unless the fetch before had the same reason

	first      bool // the first fetch that succeeded
	wasFailing bool // the fetch before it failed
	changed    bool // the document differs from that of the last fetch that succeeded
	hadKeys    bool // keys were in use when the fetch before it ended
	hasKeys    bool // keys are in use now
}

// log writes the report. source names the Remote, and issuer is empty for a
// Remote with a URL.
func (r fetchReport) log(logger *slog.Logger, source, issuer string) {
	// The handler is the user's, and this runs on a goroutine of this package,
	// where a panic would end the program.
	defer func() { _ = recover() }()
	logger = cmp.Or(logger, slog.Default())
	if issuer != "" {
		logger = logger.With("issuer", fmt.Sprintf("%.100s", issuer))
	}
	log := logger.With("source", "keys.Remote") // url or error has the address
	switch {
	case r.err != nil && r.wasFailing && r.hadKeys == r.hasKeys:
		log.Debug("jwtgate: keys still cannot be fetched", "error", r.err)
	case r.err != nil && r.hasKeys:
		log.Warn("jwtgate: keys cannot be fetched, the old ones stay in use", "error", r.err)
	case r.err != nil:
		log.Error("jwtgate: keys cannot be fetched, and there are none in use", "error", r.err)
	case r.first:
		log.Info("jwtgate: keys fetched", "url", logtext.URL(r.url), "keys", r.keys)
	case r.wasFailing:
		log.Info("jwtgate: keys fetched again", "url", logtext.URL(r.url), "keys", r.keys)
	case r.changed:
		log.Info("jwtgate: key set changed", "url", logtext.URL(r.url), "keys", r.keys)
	default:
		log.Debug("jwtgate: keys confirmed", "url", logtext.URL(r.url))
	}
	logSkipped(logger, source, r.skipped)
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
