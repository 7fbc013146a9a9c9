package jws

import (
	"strconv"
	"time"
)

// MaxDate is the last second of the year 9999, as seconds since 1970. [time.Time] cannot
// write later ones as JSON.
const MaxDate = 253402300799

// Date returns the time that raw, a JSON value, means as a NumericDate (RFC 7519 section
// 2): the seconds since 1970, fractions allowed. ok is false if raw is not a number, or not
// one from 0 to [MaxDate].
func Date(raw string) (t time.Time, ok bool) {
	if seconds, ok := wholeSeconds(raw); ok {
		return time.Unix(seconds, 0).UTC(), true
	}
	// ParseFloat fails for every JSON value that is not a number.
	seconds, err := strconv.ParseFloat(raw, 64)
	if err != nil || seconds < 0 || seconds > MaxDate {
		return t, false
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)).UTC(), true
}

// wholeSeconds reads a number of up to eleven digits, which nearly every date is.
func wholeSeconds(raw string) (seconds int64, ok bool) {
	if len(raw) > 11 {
		return 0, false
	}
	for i := range len(raw) {
		digit := raw[i] - '0'
		if digit > 9 {
			return 0, false
		}
		seconds = 10*seconds + int64(digit)
	}
	return seconds, true
}
