package logtext

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration returns d in days if it is long, and otherwise like "1h30m" or "45s".
func Duration(d time.Duration) string {
	if d >= 72*time.Hour {
		return strconv.Itoa(int(d.Hours()/24)) + " days"
	}
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// TooShort returns the error text for an option d that is less than least. The unit was
// probably forgotten: Go takes a number without a unit for nanoseconds.
func TooShort(d, least time.Duration) string {
	unit := "Second"
	if least < time.Second && d >= time.Microsecond {
		unit = "Millisecond" // 5000 is more probably 5 seconds than 83 minutes
	}
	text := fmt.Sprintf("%v is less than %v, the shortest time that can be meant", d, least)
	if d >= 10*time.Millisecond {
		return fmt.Sprintf("%s; use %v or more", text, least)
	}
	return fmt.Sprintf("%s: a number without a unit counts as nanoseconds; write %d*time.%s", text, int64(d), unit)
}
