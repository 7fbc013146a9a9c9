package keys

import "time"

// century is longer than anything waits. A longer time that an option has counts as a
// century, so that sums do not overflow.
const century = 100 * 365 * 24 * time.Hour

// elapsed returns the time between since and now. It counts the time in which the machine
// was suspended, which only the wall clock does, and it is not negative if the wall clock
// was set back.
func elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}
