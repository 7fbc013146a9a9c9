package keys_test

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
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

func TestFile_PicksUpAChange(t *testing.T) {
	t.Parallel()
	// Each way replaces the content of the file at path.
	ways := map[string]func(t testing.TB, path string, content []byte){
		"renamed over": replaceFile,
		"written to": func(t testing.TB, path string, content []byte) {
			require.NoError(t, os.WriteFile(path, content, 0o600))
		},
		"removed and made again": func(t testing.TB, path string, content []byte) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.WriteFile(path, content, 0o600))
		},
		"of the same length and time": func(t testing.TB, path string, content []byte) {
			before, err := os.Stat(path)
			require.NoError(t, err)
			require.Len(t, content, int(before.Size()))
			require.NoError(t, os.WriteFile(path, content, 0o600))
			require.NoError(t, os.Chtimes(path, before.ModTime(), before.ModTime()))
		},
	}
	for name, change := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file, log := newFileSource(t, oneKeySet("k1", edKey()))
				gate := newGate(t, file)
				assert.Len(t, log.drain(), 1)
				verify := func(private ed25519.PrivateKey) error {
					_, err := gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, private, "k1"))
					return err
				}
				require.NoError(t, verify(edKey()))

				change(t, file.Path, oneKeySet("k1", otherEdKey()))
				time.Sleep(lookInterval - time.Nanosecond)
				assert.NoError(t, verify(edKey()), "the file is read once a second")
				time.Sleep(time.Nanosecond)
				assert.ErrorIs(t, verify(edKey()), jwtgate.ErrSignature)
				assert.NoError(t, verify(otherEdKey()))
				assert.ErrorIs(t, verify(edKey()), jwtgate.ErrSignature)

				records := log.drain()
				require.Len(t, records, 1)
				assert.Contains(t, records[0], "level=INFO")
				assert.Contains(t, records[0], "keys=1")
			})
		})
	}
}

// Kubernetes mounts each file of a secret as a link to ..data/file, where ..data is a link to a folder. An update
// replaces the link ..data.
func TestFile_SymlinkSwap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mount := t.TempDir()
		folder := func(name string, content []byte) {
			require.NoError(t, os.Mkdir(filepath.Join(mount, name), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(mount, name, "jwks.json"), content, 0o600))
		}
		point := func(name string) {
			require.NoError(t, os.Symlink(name, filepath.Join(mount, "..data_tmp")))
			require.NoError(t, os.Rename(filepath.Join(mount, "..data_tmp"), filepath.Join(mount, "..data")))
		}
		folder("..2025_11_01", oneKeySet("old", edKey()))
		point("..2025_11_01")
		require.NoError(t, os.Symlink(filepath.Join("..data", "jwks.json"), filepath.Join(mount, "jwks.json")))

		file := &keys.File{Path: filepath.Join(mount, "jwks.json")}
		gate := newGate(t, file)
		_, err := gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, edKey(), "old"))
		require.NoError(t, err)

		folder("..2025_11_02", oneKeySet("new", otherEdKey()))
		point("..2025_11_02")
		require.NoError(t, os.RemoveAll(filepath.Join(mount, "..2025_11_01")))
		time.Sleep(lookInterval)
		_, err = gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, otherEdKey(), "new"))
		assert.NoError(t, err)
		_, err = gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, edKey(), "old"))
		assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
	})
}

func TestFile_UnknownKeyID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFileSource(t, oneKeySet("k1", edKey()))
		newGate(t, file) // reads the file

		replaceFile(t, file.Path, oneKeySet("k2", edKey()))
		time.Sleep(missingKeyInterval - time.Nanosecond)
		assert.Empty(t, lookUp(t, file, issuer, "k2"))
		assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, "k1"))
		time.Sleep(time.Nanosecond)
		assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, "k1"), "no reading for a known key")
		assert.Equal(t, []string{"k2 EdDSA"}, lookUp(t, file, issuer, "k2")) // reads the file

		replaceFile(t, file.Path, oneKeySet("k3", edKey()))
		time.Sleep(missingKeyInterval / 2)
		assert.Empty(t, lookUp(t, file, issuer, "k3"))
		time.Sleep(missingKeyInterval / 2)
		assert.Empty(t, lookUp(t, file, issuer, "forged"), "a key that does not exist") // reads the file
		assert.Equal(t, []string{"k3 EdDSA"}, lookUp(t, file, issuer, "k3"))

		replaceFile(t, file.Path, oneKeySet("k4", edKey()))
		time.Sleep(missingKeyInterval)
		assert.Equal(t, []string{"k3 EdDSA"}, lookUp(t, file, issuer, ""), "no reading for a token without kid")
		assert.Equal(t, []string{"k4 EdDSA"}, lookUp(t, file, issuer, "k4")) // reads the file
	})
}

// A key without ID may verify any token. In a file with such a key no key ID is unknown, so the file is read once
// a second and not more often.
func TestFile_KeysWithoutID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFileSource(t, []byte(publicPEM(public(edKey()))))
		newGate(t, file)
		replaceFile(t, file.Path, []byte(publicPEM(&p256Key().PublicKey)))
		time.Sleep(lookInterval - time.Nanosecond)
		assert.Equal(t, []string{" EdDSA"}, lookUp(t, file, issuer, "any"))
		time.Sleep(time.Nanosecond)
		assert.Equal(t, []string{" ES256"}, lookUp(t, file, issuer, "any"))
	})
}

func TestFile_BrokenFileKeepsTheOldKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		damage  func(t *testing.T, path string)
		problem string
	}{
		{"empty", func(t *testing.T, path string) { replaceFile(t, path, nil) }, "the PEM text is empty"},
		{"cut short", func(t *testing.T, path string) { replaceFile(t, path, oneKeySet("k1", edKey())[:30]) }, "it is not a JWK Set"},
		{"without a usable key", func(t *testing.T, path string) { replaceFile(t, path, jwkSet(`{"kty":"oct","k":"c2VjcmV0"}`)) }, "it has no usable key"},
		{"too large", func(t *testing.T, path string) { replaceFile(t, path, make([]byte, 1<<20+1)) }, "more than 1048576 bytes"},
		{"removed", func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }, "no such file"},
		{"replaced by a folder", func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Mkdir(path, 0o700))
		}, "is a directory"},
		{"a link to nowhere", func(t *testing.T, path string) {
			require.NoError(t, os.Symlink("nowhere", path+".new"))
			require.NoError(t, os.Rename(path+".new", path))
		}, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file, log := newFileSource(t, oneKeySet("k1", edKey()))
				gate := newGate(t, file)
				assert.Len(t, log.drain(), 1)

				tt.damage(t, file.Path)
				for range 10 {
					time.Sleep(lookInterval)
					_, err := gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, edKey(), "k1"))
					assert.NoError(t, err)
					_, err = gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, edKey(), "k2"))
					var denied *jwtgate.Error
					if assert.ErrorAs(t, err, &denied) {
						assert.Equal(t, 503, denied.Status, "the key may be in what cannot be read")
					}
				}
				records := log.drain()
				require.Len(t, records, 1, "logged once")
				assert.Contains(t, records[0], "level=WARN")
				assert.Contains(t, records[0], tt.problem)
				assert.Contains(t, records[0], "path="+file.Path)
				assert.NotContains(t, records[0], "c2VjcmV0")
				assert.NoError(t, file.CheckIssuers(nil), "the old keys are in use")

				// os.Rename cannot replace a folder by a file.
				require.NoError(t, os.RemoveAll(file.Path))
				replaceFile(t, file.Path, oneKeySet("k2", otherEdKey()))
				time.Sleep(lookInterval)
				_, err := gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, otherEdKey(), "k2"))
				assert.NoError(t, err)
				records = log.drain()
				require.Len(t, records, 1)
				assert.Contains(t, records[0], "level=INFO")

				tt.damage(t, file.Path)
				time.Sleep(lookInterval)
				_, err = gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, otherEdKey(), "k2"))
				assert.NoError(t, err)
				assert.Len(t, log.drain(), 1, "logged again for the next damage")
			})
		})
	}
}

func TestFile_ComesBackAsItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := oneKeySet("k1", edKey())
		file, log := newFileSource(t, content)
		newGate(t, file)
		assert.Len(t, log.drain(), 1)
		for _, broken := range [][]byte{[]byte("broken"), []byte("broken"), []byte("broken in another way {"), content, content} {
			replaceFile(t, file.Path, broken)
			time.Sleep(lookInterval)
			assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, "k1"))
		}
		// One record when the file breaks and one when it is good again. Other damage in between is not logged.
		records := log.drain()
		require.Len(t, records, 2, records)
		assert.Contains(t, records[0], "level=WARN")
		assert.Contains(t, records[1], "level=INFO")
	})
}

func TestFile_GoneAndBackAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, log := newFileSource(t, oneKeySet("k1", edKey()))
		newGate(t, file)
		assert.Len(t, log.drain(), 1)
		for range 3 {
			require.NoError(t, os.Rename(file.Path, file.Path+".away"))
			time.Sleep(lookInterval)
			assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, "k1"))
			require.NoError(t, os.Rename(file.Path+".away", file.Path))
			time.Sleep(lookInterval)
			assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, "k1"))
			records := log.drain()
			require.Len(t, records, 2, records)
			assert.Contains(t, records[0], "level=WARN")
			assert.Contains(t, records[1], "level=INFO")
		}
	})
}

// acceptance 48: when a key leaves the file, tokens that were remembered with it are refused.
func TestFile_KeyLeavesRememberedTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFileSource(t, oneKeySet("k1", edKey()))
		gate, err := jwtgate.New(jwtgate.Options{Keys: file, Issuers: []string{issuer}, Audiences: []string{audience}, CacheSize: 10})
		require.NoError(t, err)
		token := sign(t, jwt.SigningMethodEdDSA, edKey(), "k1")
		for range 3 {
			// The content differs, the key does not.
			replaceFile(t, file.Path, append(oneKeySet("k1", edKey()), '\n'))
			time.Sleep(lookInterval)
			_, err = gate.Verify(t.Context(), token)
			require.NoError(t, err)
		}
		replaceFile(t, file.Path, oneKeySet("k1", otherEdKey()))
		time.Sleep(lookInterval)
		_, err = gate.Verify(t.Context(), token)
		assert.ErrorIs(t, err, jwtgate.ErrSignature)
	})
}

func TestFile_ClockSetBack(t *testing.T) {
	t.Parallel()
	// The clock of a bubble starts in the year 2000, so the first reading is in the future.
	file, _ := newFileSource(t, oneKeySet("k1", edKey()))
	newGate(t, file)
	replaceFile(t, file.Path, oneKeySet("k2", edKey()))
	synctest.Test(t, func(t *testing.T) {
		assert.Equal(t, []string{"k2 EdDSA"}, lookUp(t, file, issuer, "k2"))
	})
}

// acceptance 45: while the file changes under load, tokens of a key that stays are always accepted.
func TestFile_RotatesUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type pair struct {
			kid     string
			private ed25519.PrivateKey
		}
		kept, alsoKept := pair{"kept", newEd25519()}, pair{"also kept", newEd25519()}
		past, next, stranger := pair{"past", newEd25519()}, pair{"next", newEd25519()}, pair{"kept", newEd25519()}
		set := func(pairs ...pair) []byte {
			var jwks []any
			for _, p := range pairs {
				jwks = append(jwks, jwkOf(public(p.private)).with("kid", p.kid))
			}
			return jwkSet(jwks...)
		}
		versions := [][]byte{set(kept, alsoKept, past), set(next, alsoKept, kept)}
		token := func(p pair) string { return sign(t, jwt.SigningMethodEdDSA, p.private, p.kid) }
		keptToken, alsoKeptToken, forged := token(kept), token(alsoKept), token(stranger)
		pastToken, nextToken := token(past), token(next)

		file, _ := newFileSource(t, versions[0])
		gate := newGate(t, file)
		var wg sync.WaitGroup
		done := make(chan struct{})
		wg.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(330 * time.Millisecond):
					replaceFile(t, file.Path, versions[i%2])
				}
			}
		})
		var requests sync.WaitGroup
		const requesters = 200
		var rotated atomic.Int32
		for i := range requesters {
			requests.Go(func() {
				for round := range 2 {
					time.Sleep(time.Duration(500+37*(i%20)) * time.Millisecond)
					_, err := gate.Verify(t.Context(), []string{keptToken, alsoKeptToken}[(i+round)%2])
					assert.NoError(t, err)
					_, err = gate.Verify(t.Context(), forged)
					assert.ErrorIs(t, err, jwtgate.ErrSignature)
					_, err = gate.Verify(t.Context(), []string{pastToken, nextToken}[i%2])
					if err == nil {
						rotated.Add(1)
					} else {
						assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
					}
				}
			})
		}
		requests.Wait()
		close(done)
		wg.Wait()
		assert.NotZero(t, rotated.Load())
		assert.Less(t, rotated.Load(), int32(2*requesters))
	})
}
