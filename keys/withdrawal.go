package keys

import (
	"errors"
	"net/http"
)

// A meaning is what a fetch that brought no keys says about the keys in use.
type meaning int

const (
	// unreachable: the fetch got no answer of the issuer. That is an outage, and the keys
	// stay in use for StaleFor. An answer that may come from a gateway before the issuer
	// is an outage too: an HTML page, or a status such as 500 or 403.
	unreachable meaning = iota
	// unpublished: the issuer publishes no key that can be used. Its address answers with
	// 404 or 410, or none of the keys of its set is usable. That may be a mistake of the
	// issuer, so the keys stay in use for FreshFor, but not for StaleFor.
	unpublished
	// withdrawn: the issuer publishes a set without keys. If a second fetch says the
	// same, the keys in use end. In the bundle of a SPIFFE trust domain, keys for another
	// use do not count (SPIFFE Trust Domain and Bundle section 4.2.2).
	withdrawn
)

// meaningOf returns the meaning of the error of a fetch.
func meaningOf(err error) meaning {
	if noKeys := new(noKeysError); errors.As(err, &noKeys) {
		if noKeys.empty {
			return withdrawn
		}
		return unpublished
	}
	if isUnpublished(err) {
		return unpublished
	}
	return unreachable
}

// isUnpublished reports whether err says that there is nothing at the address of the keys,
// or at each address of the metadata.
func isUnpublished(err error) bool {
	if discovery := new(discoveryError); errors.As(err, &discovery) {
		for _, cause := range discovery.causes {
			if !isUnpublished(cause) {
				return false
			}
		}
		return true
	}
	status := new(statusError)
	return errors.As(err, &status) && (status.status == http.StatusNotFound || status.status == http.StatusGone)
}
