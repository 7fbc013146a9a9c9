package dpop_test

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/dpop"
)

// id returns a different id for each n. Like a hash, it has no structure that a map sees.
func id(n int) (id [32]byte) {
	x := uint64(n)
	for i := range 4 {
		x += 0x9e3779b97f4a7c15 // splitmix64
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(id[8*i:], z^z>>31)
	}
	return id
}

// acceptance 79: no proof is forgotten while it is accepted, whenever the generations turn,
// and each is forgotten some time after.
func TestMemoryRemembersLongEnough(t *testing.T) {
	t.Parallel()
	m := dpop.NewMemory(100_000)
	const lifetime = 90 * time.Second
	type used struct {
		id    [32]byte
		until time.Time
	}
	var all []used
	for n := range 3000 { // a proof each 200 ms for ten minutes
		at := now.Add(time.Duration(n) * 200 * time.Millisecond)
		p := used{id(n), at.Add(lifetime - time.Duration(n%60)*time.Second)}
		all = append(all, p)
		fresh, err := m.Use(p.id, p.until, at)
		require.NoError(t, err)
		require.True(t, fresh)
		for i := len(all) - 1; i >= max(0, len(all)-450); i-- {
			if all[i].until.After(at) {
				fresh, _ := m.Use(all[i].id, all[i].until, at)
				require.False(t, fresh, "proof %d after %v", i, at.Sub(now))
			}
		}
	}
	assert.Less(t, m.Stats().Proofs, 3*450)
	assert.Zero(t, m.Stats().Refused)
}

// The memory refuses what it has no room for, and forgets nothing to make room.
func TestMemoryIsFull(t *testing.T) {
	t.Parallel()
	m := dpop.NewMemory(10)
	until := now.Add(time.Minute)
	for n := range 10 {
		fresh, err := m.Use(id(n), until, now)
		require.NoError(t, err)
		require.True(t, fresh)
	}
	for n := range 20 {
		fresh, err := m.Use(id(n), until, now)
		assert.False(t, fresh)
		if n < 10 {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, "full")
		}
	}
	assert.Equal(t, 10, m.Stats().Proofs)
	assert.Equal(t, 10, m.Stats().Limit)
	assert.EqualValues(t, 10, m.Stats().Refused)
	// There is room again when they have ended.
	later := until.Add(time.Second)
	for n := range 9 {
		fresh, err := m.Use(id(100+n), later.Add(time.Minute), later)
		assert.NoError(t, err)
		assert.True(t, fresh)
	}
}

// If the clock goes back, a proof that may have been used before is refused.
func TestMemoryWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	m := dpop.NewMemory(100)
	use := func(n int, until, now time.Time) (bool, error) { return m.Use(id(n), until, now) }
	until := now.Add(time.Minute)
	fresh, err := use(1, until, now)
	require.True(t, fresh)
	require.NoError(t, err)

	// A jump forward drops the proofs that have ended by that clock.
	hour := now.Add(time.Hour)
	for n := 2; n < 6; n++ {
		fresh, _ = use(n, hour.Add(time.Minute), hour)
		require.True(t, fresh)
	}
	// Back again: the first proof would be accepted by its time, and is not.
	fresh, err = use(1, until, now.Add(time.Second))
	assert.False(t, fresh)
	assert.ErrorContains(t, err, "clock of this machine has gone back")
	// New proofs pass, and those of the wrong hour are still remembered when it comes.
	fresh, err = use(10, until.Add(time.Second), now.Add(time.Second))
	assert.True(t, fresh)
	assert.NoError(t, err)
	fresh, err = use(2, hour.Add(time.Minute), hour)
	assert.False(t, fresh)
	assert.NoError(t, err)
}

// acceptance 79: one of a hundred, also while generations turn.
func TestMemoryAtOnce(t *testing.T) {
	t.Parallel()
	m := dpop.NewMemory(100_000)
	for round := range 200 {
		at := now.Add(time.Duration(round) * 45 * time.Second)
		var fresh atomic.Int64
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if ok, _ := m.Use(id(round), at.Add(90*time.Second), at); ok {
					fresh.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, fresh.Load())
	}
}

// acceptance 79: a million proofs fit into 64 MiB, and a flood does not grow the memory.
func TestMemoryOfAMillionProofs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds, and measures the memory of the process")
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before := heap()
	m := dpop.NewMemory(dpop.MaxRemembered)
	held := int64(0)
	for round := range 3 {
		at := now.Add(time.Duration(round) * time.Hour)
		for n := range dpop.MaxRemembered / 2 {
			fresh, err := m.Use(id(round*dpop.MaxRemembered+n), at.Add(5*time.Minute), at)
			require.NoError(t, err)
			require.True(t, fresh)
		}
		at = at.Add(2 * time.Minute) // the first half is still good
		for n := range dpop.MaxRemembered {
			_, _ = m.Use(id(-1-round*dpop.MaxRemembered-n), at.Add(time.Minute), at)
		}
		held = max(held, heap()-before)
		assert.Equal(t, dpop.MaxRemembered, m.Stats().Proofs)
	}
	assert.Greater(t, m.Stats().Refused, uint64(0))
	assert.Less(t, held, int64(64<<20))
	t.Logf("%.1f MiB", float64(held)/(1<<20))
	runtime.KeepAlive(m)
}

// BenchmarkMemory measures one proof in a memory that has half a million.
func BenchmarkMemory(b *testing.B) {
	m := dpop.NewMemory(dpop.MaxRemembered)
	var next atomic.Int64
	use := func(n int64) {
		// A proof lives for a quarter of a million others, and the memory has two generations.
		at := now.Add(time.Duration(n) * time.Microsecond)
		if fresh, err := m.Use(id(int(n)), at.Add(250*time.Millisecond), at); !fresh || err != nil {
			b.Error(n, fresh, err, m.Stats())
		}
	}
	for range dpop.MaxRemembered / 2 {
		use(next.Add(1))
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			use(next.Add(1))
		}
	})
}
