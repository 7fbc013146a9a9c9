package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestExpect checks what the judge makes of each answer. Times are seconds; the slack is
// half a second.
func TestExpect(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(seconds float64) time.Time {
		if seconds == 0 {
			return time.Time{}
		}
		return start.Add(time.Duration(seconds * float64(time.Second)))
	}
	// Without faults, a key is published at 10 and withdrawn, if it is, at 20.
	l := limits{
		notice: 4 * time.Second, replaced: time.Second, exact: true,
		stale: 8 * time.Second, staleMax: 8 * time.Second, missing: 4 * time.Second,
		timeout: time.Second, backoff: true,
	}
	file := limits{notice: time.Second, replaced: time.Second, stale: 8 * time.Second, staleMax: 9 * time.Second, timeout: time.Second}
	none := verdict{}
	for name, test := range map[string]struct {
		limits limits
		sent   float64
		change func(f *facts)
		want   verdict
	}{
		"known key":     {l, 12, func(f *facts) { f.known = at(11) }, verdict{ok: right}},
		"new key":       {l, 10.1, func(*facts) {}, verdict{ok: right}},
		"just received": {l, 11.2, func(f *facts) { f.known, f.noise = at(11), true }, verdict{ok: right, unauthorized: windowLimited}},
		"new key, noise": {l, 10.1, func(f *facts) { f.noise = true },
			verdict{ok: right, unauthorized: windowLimited}},
		"new key, noise for too long": {l, 14.6, func(f *facts) { f.noise = true }, verdict{ok: right}},
		"new key, noise, after a pause": {l, 17, func(f *facts) { f.noise, f.resumed, f.latest = true, at(15), at(15) },
			verdict{ok: right, unauthorized: windowLimited}},
		"known key, noise":            {l, 12, func(f *facts) { f.known, f.noise = at(11), true }, verdict{ok: right}},
		"replaced":                    {l, 11, func(f *facts) { f.replaces = true }, verdict{ok: right, unauthorized: windowReplaced}},
		"replaced too long ago":       {l, 12, func(f *facts) { f.replaces = true }, verdict{ok: right}},
		"forged":                      {l, 12, func(f *facts) { f.forged = true }, verdict{unauthorized: right}},
		"forged, outage":              {l, 12, func(f *facts) { f.forged, f.faultEnd = true, at(12.1) }, verdict{unauthorized: right, unavailable: windowOutage}},
		"forged, stalled":             {l, 12, func(f *facts) { f.forged, f.stalled = true, true }, verdict{unauthorized: right, unavailable: windowStalled}},
		"secret":                      {l, 90, func(f *facts) { f.secret, f.faultEnd = true, at(90.1) }, verdict{ok: right}},
		"forged secret":               {l, 90, func(f *facts) { f.secret, f.forged, f.faultEnd = true, true, at(90.1) }, verdict{unauthorized: right}},
		"withdrawn, not noticed":      {l, 21, func(f *facts) { f.known, f.withdrawn, f.latest = at(11), at(20), at(19) }, verdict{windowWithdrawn, right, ""}},
		"withdrawn, noticed just now": {l, 21, func(f *facts) { f.known, f.withdrawn, f.gone, f.latest = at(11), at(20), at(20.9), at(20.9) }, verdict{windowWithdrawn, right, ""}},
		"withdrawn, noticed":          {l, 22, func(f *facts) { f.known, f.withdrawn, f.gone, f.latest = at(11), at(20), at(20.9), at(20.9) }, verdict{unauthorized: right}},
		"withdrawn, noticed, outage": {l, 22, func(f *facts) {
			f.known, f.withdrawn, f.gone, f.latest, f.faultEnd = at(11), at(20), at(20.9), at(20.9), at(22.1)
		}, verdict{"", right, windowOutage}},
		"withdrawn, never noticed": {l, 25, func(f *facts) { f.known, f.withdrawn, f.latest = at(11), at(20), at(19) }, verdict{unauthorized: right}},
		"withdrawn in an outage": {l, 25, func(f *facts) {
			f.known, f.withdrawn, f.lastGood, f.latest, f.faultEnd = at(11), at(20), at(19), at(19), at(25.1)
		}, verdict{windowWithdrawn, right, ""}},
		"withdrawn in a long outage": {l, 28, func(f *facts) {
			f.known, f.withdrawn, f.lastGood, f.latest, f.faultEnd = at(11), at(20), at(19), at(19), at(28.1)
		}, verdict{"", right, windowNoKeys}},
		"known key in an outage":       {l, 13, func(f *facts) { f.known, f.faultEnd = at(9), at(13.1) }, verdict{ok: right}},
		"stale in an outage":           {l, 17.8, func(f *facts) { f.known, f.faultEnd = at(9), at(18) }, verdict{ok: right, unavailable: windowNoKeys}},
		"stale for too long":           {l, 18.1, func(f *facts) { f.known, f.faultEnd = at(9), at(18.3) }, verdict{unavailable: windowNoKeys}},
		"stale after a stall":          {l, 18.1, func(f *facts) { f.known, f.stalled = at(9), true }, verdict{unavailable: windowStalled}},
		"not stale after a stall":      {l, 13, func(f *facts) { f.known, f.stalled = at(9), true }, verdict{ok: right}},
		"stale without an outage":      {l, 18.1, func(f *facts) { f.known = at(9) }, none},
		"new key in an outage":         {l, 12, func(f *facts) { f.faultEnd = at(12.1) }, verdict{ok: right, unavailable: windowOutage}},
		"new key long after an outage": {l, 26, func(f *facts) { f.lastGood, f.latest, f.faultEnd = at(9), at(26), at(10) }, verdict{ok: right}},
		"new key soon after an outage": {l, 13, func(f *facts) { f.faultEnd = at(10) }, verdict{ok: right, unavailable: windowOutage}},
		"new key after a fetch":        {l, 13, func(f *facts) { f.faultEnd, f.lastGood, f.latest = at(10), at(12), at(12) }, verdict{ok: right}},
		"keys missing":                 {l, 13.9, func(f *facts) { f.known, f.missing, f.faultEnd = at(9), at(10), at(14) }, verdict{ok: right, unavailable: windowNoKeys}},
		"keys missing for too long":    {l, 14.6, func(f *facts) { f.known, f.missing, f.faultEnd = at(9), at(10), at(15) }, verdict{unavailable: windowNoKeys}},
		"file, new key":                {file, 11.4, func(*facts) {}, verdict{ok: right, unauthorized: windowFile}},
		"file, new key, noticed":       {file, 11.6, func(*facts) {}, verdict{ok: right}},
		"file, stale":                  {file, 17, func(f *facts) { f.known, f.faultEnd = at(9), at(18) }, verdict{ok: right, unavailable: windowNoKeys}},
		"file, stale for too long":     {file, 19.1, func(f *facts) { f.known, f.faultEnd = at(9), at(20) }, verdict{unavailable: windowNoKeys}},
		"file, soon after an outage":   {file, 13, func(f *facts) { f.faultEnd = at(12) }, verdict{ok: right, unavailable: windowOutage}},
		"file, long after an outage":   {file, 14, func(f *facts) { f.faultEnd = at(12) }, verdict{ok: right}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := facts{
				sent: at(test.sent), answered: at(test.sent + 0.1), published: at(10),
				lastGood: at(9.5), latest: at(9.5), slack: time.Second / 2,
			}
			test.change(&f)
			assert.Equal(t, test.want, test.limits.expect(f))
		})
	}
}

func TestStallMeter(t *testing.T) {
	t.Parallel()
	var m stallMeter
	start := time.Unix(1_800_000_000, 0)
	m.record(start, time.Second)
	now := start.Add(5 * time.Second)
	m.record(now, time.Millisecond)
	assert.Equal(t, time.Second, m.longest(now))
	assert.Equal(t, 3*time.Second-stallTick, m.longest(now.Add(3*time.Second)), "record was not called for so long")
	now = start.Add(41 * time.Second)
	m.record(now, time.Millisecond)
	assert.Equal(t, time.Millisecond, m.longest(now), "the stall is old")
	now = start.Add(time.Hour)
	m.record(now, 2*time.Millisecond)
	assert.Equal(t, 2*time.Millisecond, m.longest(now))
	assert.Equal(t, time.Second, m.overall())
}
