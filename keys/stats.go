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
	// Fetches is the number of fetches that have begun.
	Fetches uint64
	// Failures is the number of fetches that have failed.
	Failures uint64
	// LimitedLookups is the number of lookups that found no key and started no
	// fetch, because of the limits for unknown key IDs.
	LimitedLookups uint64
	// Err is the error of the last fetch. It is nil if that fetch succeeded.
	Err error
}
