package keys

import "time"

// ClockAhead returns what the last successful fetch of a Remote with URL has found out about the clock of this host.
func ClockAhead(r *Remote) time.Duration {
	k := r.issuers.Load().shared
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last.clockAhead
}
