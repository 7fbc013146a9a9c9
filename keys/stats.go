package keys

import "time"

// RemoteStats are counters of a [Remote], for a metrics library to read.
type RemoteStats struct {
	// Issuer is the issuer of the keys. It is empty if Remote.URL is set.
	Issuer string
	// URL is where the last successful fetch found the keys. It is empty if no
	// fetch has succeeded yet.
	URL string
	// Keys is the number of keys in use.
	Keys int
	// Age is the time since the keys were fetched, or since the issuer confirmed
	// that they have not changed. It is 0 if no keys are in use.
	Age time.Duration
	// KeysUsableFor is how much longer the keys are used if no fetch succeeds. It is 0 if
	// no keys are in use.
	KeysUsableFor time.Duration
	// Withdrawn reports that the issuer has withdrawn all keys by publishing an empty set.
	Withdrawn bool
	// Fetches is the number of fetches that have begun.
	Fetches uint64
	// Failures is the number of fetches that have failed.
	Failures uint64
	// FailuresInARow is the number of fetches that have failed since the last one that
	// succeeded, and FailingFor is the time since the first of them. Both are 0 if the
	// last fetch succeeded.
	FailuresInARow int
	FailingFor     time.Duration
	// LimitedLookups is the number of lookups that found no key and started no
	// fetch, because of the limits for unknown key IDs and bad signatures.
	LimitedLookups uint64
	// ClockAhead is how far the clock of this host is ahead of the clock of the server of the
	// keys, by the Date header of its last answer with keys. It is negative if this host is
	// behind. It is 0 if the difference is too small to measure, or not known.
	ClockAhead time.Duration
	// Err is the error of the last fetch. It is nil if that fetch succeeded. The text of
	// the error of a request without an answer says what the request was waiting for, such as a
	// connection to an address.
	Err error
}
