package keys_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// hangTimeout is the time after which a reading that has not ended counts as failed.
const hangTimeout = 30 * time.Second

// A hangingFile is a File on a file system that can hang. Its content is the ID of its key.
type hangingFile struct {
	*keys.File
	log     *logBuffer
	hang    atomic.Bool
	release chan struct{} // each value that it receives ends a reading that hangs
	hanging atomic.Int32  // readings that hang now
	started atomic.Int32  // readings of a content that differs from the last one
	secret  []byte        // the key
}

func newHangingFile(t testing.TB, content string) *hangingFile {
	f := &hangingFile{release: make(chan struct{}), secret: randomSecret(32)}
	f.File, f.log = newFileSource(t, []byte(content))
	// A goroutine in a system call stops the clock of a bubble, so the reading hangs in Parse.
	f.Parse = func(content []byte) ([]*jwtgate.Key, error) {
		f.started.Add(1)
		if f.hang.Load() {
			f.hanging.Add(1)
			<-f.release
			f.hanging.Add(-1)
		}
		if string(content) == "broken" {
			return nil, errors.New("the content is broken")
		}
		k, err := jwtgate.NewKey(string(content), "HS256", f.secret)
		return []*jwtgate.Key{k}, err
	}
	return f
}

// A reading that does not end counts as failed after 30 seconds. The next request then reads the file again.
func TestFile_ReadingHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file := newHangingFile(t, "k1")
		newGate(t, file)
		assert.Len(t, file.log.drain(), 1)

		file.hang.Store(true)
		replaceFile(t, file.Path, []byte("k2"))
		time.Sleep(lookInterval)
		start := time.Now()
		assert.Equal(t, []string{"k1 HS256"}, lookUp(t, file, issuer, "k1"))
		assert.Equal(t, time.Second, time.Since(start), "the request that started the reading waits for a second")
		for time.Since(start) < hangTimeout-time.Second {
			before := time.Now()
			assert.Equal(t, []string{"k1 HS256"}, lookUp(t, file, issuer, "k1"))
			assert.Equal(t, before, time.Now(), "the others do not wait")
			time.Sleep(time.Second)
		}
		assert.Empty(t, file.log.drain())
		time.Sleep(2 * time.Second)
		records := file.log.drain()
		require.Len(t, records, 1, "logged without a request")
		assert.Contains(t, records[0], "level=WARN")
		assert.Contains(t, records[0], file.Path+": reading it has not ended after 30s")
		assert.Contains(t, records[0], "keys_usable_for=23h59m")
		assert.EqualValues(t, 1, file.hanging.Load())
		assert.EqualValues(t, 2, file.started.Load())

		before := time.Now()
		_, err := file.Keys(t.Context(), issuer, "k2")
		assert.ErrorContains(t, err, "reading it has not ended after 30s")
		assert.Equal(t, time.Second, time.Since(before), "this request has started the next reading")
		assert.EqualValues(t, 3, file.started.Load())
		time.Sleep(hangTimeout)
		assert.Empty(t, file.log.drain(), "the log has the reason already")

		// The mount is replaced: a new reading ends, and the old ones hang on.
		file.hang.Store(false)
		replaceFile(t, file.Path, []byte("k3"))
		time.Sleep(5 * time.Minute)
		assert.Equal(t, []string{"k3 HS256"}, lookUp(t, file, issuer, "k3"))
		records = file.log.drain()
		require.Len(t, records, 1)
		assert.Contains(t, records[0], "level=INFO")
		assert.Contains(t, records[0], "failed_for=5m3")
		assert.EqualValues(t, 2, file.hanging.Load())
		replaceFile(t, file.Path, []byte("k4"))
		time.Sleep(lookInterval)
		assert.Equal(t, []string{"k4 HS256"}, lookUp(t, file, issuer, "k4"), "the file is checked each second again")
		assert.Len(t, file.log.drain(), 1)

		// The outcome of the old readings no longer counts.
		close(file.release)
		synctest.Wait()
		assert.Equal(t, []string{"k4 HS256"}, lookUp(t, file, issuer, "k4"))
		_, err = file.Keys(t.Context(), issuer, "k2")
		assert.NoError(t, err)
		assert.Empty(t, file.log.drain())
	})
}

// At most five readings hang, whatever the requests.
func TestFile_ReadingsThatHangAreFew(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		kid  string // of the requests
	}{
		{"a known key ID", "k1"},
		{"an unknown key ID", "forged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file := newHangingFile(t, "k1")
				file.StaleFor = 100 * time.Hour
				newGate(t, file)
				file.hang.Store(true)
				replaceFile(t, file.Path, []byte("k2"))
				file.log.drain()

				start := time.Now()
				var starts []time.Duration
				for time.Since(start) < 24*time.Hour {
					time.Sleep(5 * time.Second)
					before, n := time.Now(), file.started.Load()
					_, err := file.Keys(t.Context(), issuer, tt.kid)
					assert.Equal(t, tt.kid == "k1", err == nil, "%v", err)
					waited := time.Since(before)
					if file.started.Load() > n {
						starts = append(starts, before.Sub(start))
						assert.Equal(t, time.Second, waited)
						continue
					}
					assert.Zero(t, waited)
				}
				// Each starts at the first request after the one before has hung for 30 s, 5 min, 30 min and 3 h.
				require.Len(t, starts, 5)
				for i, pause := range []time.Duration{hangTimeout, 5 * time.Minute, 30 * time.Minute, 3 * time.Hour} {
					assert.InDelta(t, pause, starts[i+1]-starts[i], float64(6*time.Second))
				}
				assert.EqualValues(t, 5, file.hanging.Load())

				records := file.log.drain()
				assert.Contains(t, records[0], "reading it has not ended after 30s")
				assert.Contains(t, strings.Join(records, ""), "5 readings of it have not ended, so it is read again only when one of them ends")
				assert.InDelta(t, 24*4+1, len(records), 1, "a reminder every 15 minutes, and the end of the readings")
				assert.Contains(t, records[len(records)-1], "failing_for=23h")

				// One of them ends. Its outcome counts, and the file is checked each second again.
				file.hang.Store(false)
				file.release <- struct{}{}
				synctest.Wait()
				assert.Equal(t, []string{"k2 HS256"}, lookUp(t, file, issuer, "k2"))
				replaceFile(t, file.Path, []byte("k3"))
				time.Sleep(lookInterval)
				assert.Equal(t, []string{"k3 HS256"}, lookUp(t, file, issuer, "k3"))
				assert.Len(t, file.log.drain(), 2)

				// The four others still count.
				file.hang.Store(true)
				replaceFile(t, file.Path, []byte("k4"))
				for range 24 {
					time.Sleep(time.Hour)
					assert.Equal(t, []string{"k3 HS256"}, lookUp(t, file, issuer, "k3"))
				}
				assert.EqualValues(t, 5, file.hanging.Load())
				close(file.release)
			})
		})
	}
}

// A file that takes longer than 30 seconds to read is still read.
func TestFile_LateReadingCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file := newHangingFile(t, "k1")
		file.hang.Store(true)
		start := time.Now()
		_, err := file.Keys(t.Context(), issuer, "k1")
		require.ErrorContains(t, err, "takes too long")
		assert.Equal(t, 10*time.Second, time.Since(start))
		time.Sleep(hangTimeout)
		start = time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := file.Keys(t.Context(), issuer, "k1")
				assert.ErrorContains(t, err, "has not ended after 30s")
				assert.Equal(t, time.Second, time.Since(start), "requests do not wait for ten seconds again")
			})
		}
		wg.Wait()
		assert.EqualValues(t, 2, file.hanging.Load())
		assert.Empty(t, file.log.drain(), "without keys, the error of Keys has the reason")

		close(file.release)
		synctest.Wait()
		assert.Equal(t, []string{"k1 HS256"}, lookUp(t, file, issuer, "k1"))
		assert.Len(t, file.log.drain(), 1)
	})
}

func TestFile_StaleFor(t *testing.T) {
	t.Parallel()
	remove := func(t *testing.T, file *hangingFile) { require.NoError(t, os.Remove(file.Path)) }
	for _, tt := range []struct {
		name     string
		staleFor time.Duration
		want     time.Duration // how long after the last good reading the keys are used
		damage   func(t *testing.T, file *hangingFile)
		problem  string
		says     string // the value of StaleFor in the error
	}{
		{"the default", 0, 24 * time.Hour, remove, "no such file", "24h"},
		{"a removed file", time.Hour, time.Hour, remove, "no such file", "1h"},
		{"unusable content", time.Hour, time.Hour, func(t *testing.T, file *hangingFile) {
			replaceFile(t, file.Path, []byte("broken"))
		}, "the content is broken", "1h"},
		{"a reading that hangs", time.Hour, time.Hour, func(t *testing.T, file *hangingFile) {
			file.hang.Store(true)
			replaceFile(t, file.Path, []byte("k2"))
		}, "has not ended", "1h"},
		{"a second", time.Second, time.Second, remove, "no such file", "1s"},
		{"no longer", -1, 0, remove, "no such file", "0s"},
		{"a value without meaning, which New refuses", 60, 24 * time.Hour, remove, "no such file", "24h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file := newHangingFile(t, "k1")
				gate := newGateWithFixedClock(t, file)
				file.StaleFor = tt.staleFor
				token := sign(t, jwt.SigningMethodHS256, file.secret, "k1")
				end := time.Now().Add(lookInterval + tt.want)
				tt.damage(t, file)
				file.log.drain()

				for at := time.Now().Add(lookInterval / 2); at.Before(end.Add(-time.Minute)); at = at.Add(time.Minute) {
					time.Sleep(time.Until(at))
					lookUp(t, file, issuer, "k1")
				}
				time.Sleep(time.Until(end) - 1)
				_, err := gate.Verify(t.Context(), token)
				require.NoError(t, err)
				synctest.Wait()
				for _, record := range file.log.drain() {
					assert.Contains(t, record, "level=WARN")
					assert.Contains(t, record, tt.problem)
				}

				time.Sleep(lookInterval) // the keys end with the next check
				_, err = gate.Verify(t.Context(), token)
				var denied *jwtgate.Error
				require.ErrorAs(t, err, &denied)
				assert.Equal(t, 503, denied.Status)
				assert.ErrorContains(t, err, tt.problem)
				assert.ErrorContains(t, err, "its last keys are no longer used, because StaleFor is "+tt.says)
				assert.Equal(t, tt.problem == "no such file", errors.Is(err, fs.ErrNotExist))
				file.StaleFor = 0 // which CheckIssuers would look at
				require.ErrorContains(t, file.CheckIssuers(nil), tt.problem)
				file.StaleFor = tt.staleFor
				records := file.log.drain()
				require.Len(t, records, 1)
				assert.Contains(t, records[0], "level=ERROR")
				assert.Contains(t, records[0], "no keys are in use")
				assert.Contains(t, records[0], tt.problem)

				for range 59 {
					time.Sleep(time.Minute)
					_, err := file.Keys(t.Context(), issuer, "k1")
					require.ErrorContains(t, err, tt.problem)
				}
				assert.InDelta(t, 3, len(file.log.drain()), 1, "a reminder every 15 minutes")

				file.hang.Store(false)
				replaceFile(t, file.Path, []byte("k1"))
				time.Sleep(3 * time.Hour)
				_, err = gate.Verify(t.Context(), token)
				assert.NoError(t, err)
				records = file.log.drain()
				require.NotEmpty(t, records)
				assert.Contains(t, records[len(records)-1], "level=INFO")
				assert.Contains(t, records[len(records)-1], "failed_for=")
				close(file.release)
			})
		})
	}
}

func TestFile_StaleForIsChecked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		staleFor time.Duration
		problem  string // empty if New accepts the value
	}{
		{"without a unit", 3600, "keys.File: StaleFor: 3.6µs is less than 1s, the shortest time that can be meant: " +
			"a number without a unit counts as nanoseconds; write 3600*time.Second"},
		{"just too short", time.Second - 1, "keys.File: StaleFor: 999.999999ms is less than 1s"},
		{"the shortest", time.Second, ""},
		{"the longest", 1<<63 - 1, ""},
		{"negative", -1, ""},
		{"the default", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file, _ := newFileSource(t, oneKeySet("k1", edKey()))
				file.StaleFor = tt.staleFor
				if tt.problem != "" {
					assert.Contains(t, errorOfNew(t, file), tt.problem)
					return
				}
				newGate(t, file)
				assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, "k1"))
				time.Sleep(100 * time.Hour)
				assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, "k1"))
				require.NoError(t, os.Remove(file.Path))
				time.Sleep(100 * time.Hour)
				_, err := file.Keys(t.Context(), issuer, "k1")
				assert.Equal(t, tt.staleFor < 1000*time.Hour, err != nil, "%v", err)
			})
		})
	}
}

// After a time without requests that is longer than StaleFor, requests wait for a check instead of using the old
// keys, and none fails if the file is good.
func TestFile_Idle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{}, 1)
		secret := randomSecret(32)
		file, log := newFileSource(t, []byte("k1"))
		file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			<-release
			k, err := jwtgate.NewKey(string(content), "HS256", secret)
			return []*jwtgate.Key{k}, err
		}
		release <- struct{}{}
		newGate(t, file)
		assert.Len(t, log.drain(), 1)

		time.Sleep(25 * time.Hour)
		for range 2 {
			assert.Equal(t, []string{"k1 HS256"}, lookUp(t, file, issuer, "k1"), "the same content is not parsed again")
		}
		assert.Empty(t, log.drain())

		time.Sleep(25 * time.Hour)
		replaceFile(t, file.Path, []byte("k2"))
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				ks, err := file.Keys(t.Context(), issuer, "k2")
				if assert.NoError(t, err) && assert.Len(t, ks, 1) {
					assert.Equal(t, 5*time.Second, time.Since(start))
				}
			})
			wg.Go(func() {
				ks, err := file.Keys(t.Context(), issuer, "k1")
				assert.NoError(t, err)
				assert.Empty(t, ks, "the file no longer has this key")
			})
		}
		time.Sleep(5 * time.Second)
		release <- struct{}{}
		wg.Wait()
		assert.Len(t, log.drain(), 1)

		require.NoError(t, os.Remove(file.Path))
		time.Sleep(25 * time.Hour)
		_, err := file.Keys(t.Context(), issuer, "k2")
		assert.ErrorContains(t, err, "its last keys are no longer used, because StaleFor is 24h")
		records := log.drain()
		require.Len(t, records, 1)
		assert.Contains(t, records[0], "level=ERROR")
	})
}

// Of requests that come at the same moment after such a time, none gets an old key.
func TestFile_IdleThenManyRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file := newHangingFile(t, "0")
		file.StaleFor = time.Second
		newGate(t, file)
		for i := range 500 {
			replaceFile(t, file.Path, []byte(strconv.Itoa(i+1)))
			time.Sleep(time.Minute)
			concurrently(4, func(int) {
				ks, err := file.Keys(t.Context(), issuer, strconv.Itoa(i))
				assert.NoError(t, err)
				assert.Empty(t, ks)
			})
		}
	})
}

// A handler of the log that panics ends neither the program nor the checks.
func TestFile_BrokenLogger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFileSource(t, oneKeySet("k1", edKey()))
		file.Logger = slog.New(slog.NewTextHandler(writerFunc(func([]byte) (int, error) { panic("no log today") }), nil))
		newGate(t, file)
		replaceFile(t, file.Path, []byte("{"))
		time.Sleep(lookInterval)
		assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, "k1"))
		replaceFile(t, file.Path, jwkSet(`{}`, jwkOf(public(edKey())).with("kid", "k2")))
		time.Sleep(lookInterval)
		_, err := file.Keys(t.Context(), issuer, "k2")
		assert.ErrorContains(t, err, "panicked: no log today", "the key that is skipped cannot be logged")
		replaceFile(t, file.Path, oneKeySet("k3", edKey()))
		time.Sleep(lookInterval)
		assert.Equal(t, []string{"k3 EdDSA"}, lookUp(t, file, issuer, "k3"))
	})
}
