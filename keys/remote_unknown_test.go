package keys_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

// TestRemote_NoiseDuringRotations rotates a key twenty times. In the ten seconds after each rotation, a
// thousand clients come with their first token of the new key, while others send tokens whose keys do
// not exist. A client that is refused twice, 200 ms apart, signs its user out. The figures are counts
// in virtual time.
func TestRemote_NoiseDuringRotations(t *testing.T) {
	if testing.Short() {
		t.Skip("plays five hours with up to 200 requests a second")
	}
	t.Parallel()
	const (
		rotations = 20
		clients   = 1000 // after each rotation
		tick      = 5 * time.Millisecond
		between   = 95 * time.Second // from the last client to the next rotation, at least
	)
	kid := func(n int) string { return "key-" + strconv.Itoa(n) }
	for _, tt := range []struct {
		name      string
		rate      int                          // of the noise, a second
		noise     func(i, rotation int) string // the kid of request i
		lead      time.Duration                // how long before its first use the key is published
		signedOut int                          // at most
		fetches   float64                      // a minute, at most
	}{
		{"none, published at first use", 0, nil, 0, 0, 3},
		{"none, published before", 0, nil, time.Minute, 0, 3},
		{"retired key", 50, func(int, int) string { return "retired" }, 0, 0, 15},
		{"20 stray kids", 20, func(i, _ int) string { return fmt.Sprint("stray-", i%20) }, 0, 200, 45},
		{"a random kid a second", 1, func(i, _ int) string { return fmt.Sprint("random-", i) }, 0, 0, 15},
		{"200 random kids a second", 200, func(i, _ int) string { return fmt.Sprint("random-", i) }, 0, 0, 15},
		{"each kid three times", 200, func(i, _ int) string { return fmt.Sprint("invented-", i/3) }, 0, 1200, 45},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fetches, published := 0, 0
				documents := make([][]byte, rotations+1)
				for n := range documents {
					documents[n] = oneKeySet(kid(n), edKey())
				}
				remote := newQuietRemote(func(w http.ResponseWriter, _ *http.Request) {
					fetches++
					w.Write(documents[published])
				})
				has := func(kid string) bool {
					found, err := remote.Keys(t.Context(), "", kid)
					require.NoError(t, err, "never an outage")
					return slices.ContainsFunc(found, func(k *jwtgate.Key) bool { return k.ID() == kid })
				}
				require.True(t, has(kid(0)))

				sent := 0
				runNoise := func(from, to time.Duration) {
					if tt.rate == 0 {
						return
					}
					every := time.Second / time.Duration(tt.rate)
					for n := int(to/every) - int(from/every); n > 0; n-- {
						require.False(t, has(tt.noise(sent, published)))
						sent++
					}
				}
				start, signedOut := time.Now(), 0
				run := func(d time.Duration, at func(elapsed time.Duration)) {
					for elapsed := time.Duration(0); elapsed < d; elapsed += tick {
						time.Sleep(tick)
						since := time.Since(start)
						runNoise(since-tick, since)
						if at != nil {
							at(elapsed)
						}
					}
				}
				for rotation := 1; rotation <= rotations; rotation++ {
					run(between+rand.N(10*time.Second), nil)
					published = rotation
					if tt.lead > 0 {
						run(tt.lead, nil)
					}
					refusedAt := map[time.Duration]int{} // clients to come again, by the time of their refusal
					run(10*time.Second+200*time.Millisecond, func(elapsed time.Duration) {
						again := refusedAt[elapsed-200*time.Millisecond]
						for ; again > 0; again-- {
							if !has(kid(rotation)) {
								signedOut++
							}
						}
						if due := 10 * time.Second / clients; elapsed < 10*time.Second && elapsed%due == 0 {
							if !has(kid(rotation)) {
								refusedAt[elapsed]++
							}
						}
					})
				}
				minutes := time.Since(start).Minutes()
				t.Logf("%d of %d signed out, %.1f fetches a minute", signedOut, rotations*clients, float64(fetches)/minutes)
				assert.LessOrEqual(t, signedOut, tt.signedOut)
				assert.LessOrEqual(t, float64(fetches)/minutes, tt.fetches)
			})
		})
	}
}

// A cold start and one forged kid do not delay the rotation that follows.
func TestRemote_RotationAfterAForgedKid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		document, fetches := oneKeySet("1", edKey()), 0
		remote := newQuietRemote(func(w http.ResponseWriter, _ *http.Request) { fetches++; w.Write(document) })
		lookUpIDs := func(kid string) []string { return lookUp(t, remote, "", kid) }
		assert.Empty(t, lookUpIDs("forged"))
		for n := range 50 {
			document = oneKeySet(strconv.Itoa(n), edKey())
			assert.Len(t, lookUpIDs(strconv.Itoa(n)), 1, "a fetch that finds its key costs nothing")
		}
	})
}

// A key ID that was searched in vain is not searched again for half a minute.
func TestRemote_SearchedInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		remote := newQuietRemote(func(w http.ResponseWriter, _ *http.Request) { fetches++; w.Write(oneKeySet("1", edKey())) })
		lookUp(t, remote, "", "1")
		for range 29 {
			assert.Empty(t, lookUp(t, remote, "", "retired"))
			time.Sleep(time.Second)
		}
		assert.Equal(t, 2, fetches)
		time.Sleep(2 * time.Second)
		lookUp(t, remote, "", "retired")
		assert.Equal(t, 3, fetches)
		assert.Equal(t, uint64(29-1), remote.Stats()[0].LimitedLookups)
	})
}

// Clients may use a key shortly before it is published. If many do, it is found within MinInterval of its
// publication. Tokens of a key that was withdrawn cause a fetch only now and then.
func TestRemote_UsedBeforeItIsPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		document, fetches := oneKeySet("1", edKey()), 0
		remote := newQuietRemote(func(w http.ResponseWriter, _ *http.Request) { fetches++; w.Write(document) })
		lookUp(t, remote, "", "1")
		for round := range 3 {
			kid := fmt.Sprint("new-", round)
			start, published := time.Now(), time.Duration(round+1)*4*time.Second
			for len(lookUp(t, remote, "", kid)) == 0 {
				if time.Since(start) >= published {
					document = oneKeySet(kid, edKey())
				}
				require.LessOrEqual(t, time.Since(start), published+5*time.Second, "MinInterval")
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(time.Minute)
		}
		fetches = 0
		for i := range 10 * 60 * 50 {
			assert.Empty(t, lookUp(t, remote, "", "retired"))
			time.Sleep(time.Second / 50)
			if i == 30*50 {
				assert.LessOrEqual(t, fetches, 7, "in half a minute")
			}
		}
		assert.LessOrEqual(t, fetches, 7+2*10+2)
	})
}
