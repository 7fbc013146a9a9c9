package keys

import (
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate"
)

// An outage is the error of Remote.Keys for a request that cannot be answered
// now. retryAfter is the time after which the client may try again.
type outage struct {
	err        error
	retryAfter time.Duration
}

func (o *outage) Error() string { return o.err.Error() }
func (o *outage) Unwrap() error { return o.err }

// As sets target to a jwtgate.Error with status 503 and Retry-After, which a gate
// answers with. An outage is not itself a jwtgate.Error, so that the text of
// status and code does not appear in the middle of the reason.
func (o *outage) As(target any) bool {
	e, ok := target.(**jwtgate.Error)
	if ok {
		*e = &jwtgate.Error{Status: http.StatusServiceUnavailable, RetryAfter: max(o.retryAfter, time.Second), Err: o.err}
	}
	return ok
}
