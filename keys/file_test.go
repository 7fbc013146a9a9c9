package keys_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
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

// How soon a file is looked at again, as keys.File says.
const (
	second  = time.Second
	hundred = 100 * time.Millisecond
)

// put makes content the file at path in one step.
func put(t testing.TB, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", content, 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// newFile returns a source with that content, and its log.
func newFile(t testing.TB, content []byte) (*keys.File, *lines) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if content != nil {
		put(t, path, content)
	}
	log := &lines{}
	return &keys.File{Path: path, Logger: slog.New(slog.NewTextHandler(log, nil))}, log
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// take returns what has been logged since it was last called.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	if l.buf.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(l.buf.String()), "\n")
}

// withID returns a JWK Set with one key.
func withID(kid string, private ed25519.PrivateKey) []byte {
	return document(jwkOf(public(private)).with("kid", kid))
}

func TestFile_Formats(t *testing.T) {
	t.Parallel()
	edJWK, edPEM := jwkOf(public(edKey())), publicPEM(public(edKey()))
	small := string(document(edJWK.with("kid", "k1")))
	for _, tt := range []struct {
		name    string
		content string
		want    []string
	}{
		{"JWK Set", small, []string{"k1 EdDSA"}},
		{"JWK Set with space before it", "\r\n\t " + small, []string{"k1 EdDSA"}},
		{"JWK Set with a key of no use", string(document(edJWK.with("kid", "k1"), `{}`)), []string{"k1 EdDSA"}},
		{"JWK Set of 1 MiB", small + strings.Repeat(" ", 1<<20-len(small)), []string{"k1 EdDSA"}},
		{"PEM", edPEM, []string{" EdDSA"}},
		{"PEM with space before it", "\n" + edPEM, []string{" EdDSA"}},
		{"PEM with text before it", "# the key\n" + edPEM, []string{" EdDSA"}},
		{"certificate", string(block("CERTIFICATE", newCertificate(t, rsaKey()))), []string{" RS256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file, _ := newFile(t, []byte(tt.content))
			newGate(t, file)
			assert.Equal(t, tt.want, names(t, file, issuer, ""))
		})
	}
}

func TestFile_Refuses(t *testing.T) {
	t.Parallel()
	small := string(withID("k1", edKey()))
	for _, tt := range []struct {
		name    string
		content string
		problem string
	}{
		{"empty", "", "the PEM text is empty"},
		{"space", "\n", "the PEM text is empty"},
		{"no keys", "hello", "no PEM block"},
		{"private key", string(block("PRIVATE KEY", []byte("x"))), "private key"},
		{"JSON that is no set", `{"a":1}`, "it is not a JWK Set"},
		{"JSON cut short", small[:len(small)-1], "it is not a JWK Set"},
		{"set without a usable key", `{"keys":[{"kty":"oct","k":"AAAA"}]}`, "it has no usable key"},
		{"five keys for one algorithm", strings.Repeat(publicPEM(public(edKey())), 5), "5 keys for EdDSA"},
		{"a byte more than 1 MiB", small + strings.Repeat(" ", 1<<20-len(small)+1), "it has more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file, log := newFile(t, []byte(tt.content))
			problem := broken(t, file)
			assert.Contains(t, problem, "keys.File "+file.Path+": ")
			assert.Contains(t, problem, tt.problem)
			assert.Empty(t, log.take(), "what is wrong is in the error")
		})
	}

	t.Run("no path", func(t *testing.T) {
		t.Parallel()
		assert.Contains(t, broken(t, &keys.File{}), "keys.File: Path is empty")
	})
	t.Run("no such file", func(t *testing.T) {
		t.Parallel()
		file, _ := newFile(t, nil)
		assert.Contains(t, broken(t, file), "no such file")
		assert.ErrorIs(t, file.CheckIssuers(nil), fs.ErrNotExist)
	})
	t.Run("a folder", func(t *testing.T) {
		t.Parallel()
		assert.Contains(t, broken(t, &keys.File{Path: t.TempDir()}), "is a directory")
	})
}

func TestFile_Parse(t *testing.T) {
	t.Parallel()
	secret := secretOf(32)
	good := func(content []byte) ([]*jwtgate.Key, error) {
		k, err := jwtgate.NewKey("k1", "HS256", content)
		return []*jwtgate.Key{k}, err
	}

	t.Run("its keys are used", func(t *testing.T) {
		t.Parallel()
		file, _ := newFile(t, secret)
		file.Parse = good
		assert.NoError(t, verify(t, file, sign(t, jwt.SigningMethodHS256, secret, "k1")))
		assert.ErrorIs(t, verify(t, file, sign(t, jwt.SigningMethodHS256, secret, "k2")), jwtgate.ErrUnknownKey)
	})
	t.Run("it is asked about JSON too", func(t *testing.T) {
		t.Parallel()
		file, _ := newFile(t, []byte(`{"secret":"..."}`))
		file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			assert.Equal(t, `{"secret":"..."}`, string(content))
			return good(secret)
		}
		assert.NoError(t, verify(t, file, sign(t, jwt.SigningMethodHS256, secret, "k1")))
	})

	bad := errors.New("bad content")
	for _, tt := range []struct {
		name    string
		parse   func([]byte) ([]*jwtgate.Key, error)
		problem string
	}{
		{"an error", func([]byte) ([]*jwtgate.Key, error) { return nil, bad }, "bad content"},
		{"an error beside keys", func([]byte) ([]*jwtgate.Key, error) { k, _ := good(secret); return k, bad }, "bad content"},
		{"no keys", func([]byte) ([]*jwtgate.Key, error) { return nil, nil }, "there is no key"},
		{"a nil key", func([]byte) ([]*jwtgate.Key, error) { return []*jwtgate.Key{nil}, nil }, "key 1 was not made by jwtgate.NewKey"},
		{"a short secret", func([]byte) ([]*jwtgate.Key, error) { return good(secret[:5]) }, "has 5 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file, _ := newFile(t, secret)
			file.Parse = tt.parse
			assert.Contains(t, broken(t, file), tt.problem)
		})
	}
	t.Run("its error can be told", func(t *testing.T) {
		t.Parallel()
		file, _ := newFile(t, secret)
		file.Parse = func([]byte) ([]*jwtgate.Key, error) { return nil, bad }
		assert.ErrorIs(t, file.CheckIssuers(nil), bad)
	})
}

// A Parse that wipes or reuses what it was given is asked no more often.
func TestFile_ParseMayWriteToTheContent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, log := newFile(t, secretOf(32))
		parsed := 0
		file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			parsed++
			k, err := jwtgate.NewKey("k1", "HS256", content)
			clear(content)
			return []*jwtgate.Key{k}, err
		}
		for range 5 {
			assert.Equal(t, []string{"k1 HS256"}, names(t, file, issuer, ""))
			time.Sleep(second)
		}
		assert.Equal(t, 1, parsed)
		assert.Len(t, log.take(), 1)
	})
}

func TestFile_PicksUpAChange(t *testing.T) {
	t.Parallel()
	// Each changes what is at path to the second content.
	ways := map[string]func(t testing.TB, path string, content []byte){
		"renamed over": put,
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
				file, log := newFile(t, withID("k1", edKey()))
				gate := newGate(t, file)
				assert.Len(t, log.take(), 1)
				verify := func(private ed25519.PrivateKey) error {
					_, err := gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, private, "k1"))
					return err
				}
				require.NoError(t, verify(edKey()))

				change(t, file.Path, withID("k1", otherEdKey()))
				time.Sleep(second - time.Nanosecond)
				assert.NoError(t, verify(edKey()), "the file is not looked at twice a second")
				assert.ErrorIs(t, verify(otherEdKey()), jwtgate.ErrSignature)
				time.Sleep(time.Nanosecond)
				assert.NoError(t, verify(otherEdKey()))
				assert.ErrorIs(t, verify(edKey()), jwtgate.ErrSignature)

				said := log.take()
				require.Len(t, said, 1)
				assert.Contains(t, said[0], "level=INFO")
				assert.Contains(t, said[0], "keys=1")
			})
		})
	}
}

// Kubernetes mounts a secret as a link to a link to a folder, and swaps the
// second one.
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
		folder("..2025_11_01", withID("old", edKey()))
		point("..2025_11_01")
		require.NoError(t, os.Symlink(filepath.Join("..data", "jwks.json"), filepath.Join(mount, "jwks.json")))

		file := &keys.File{Path: filepath.Join(mount, "jwks.json")}
		gate := newGate(t, file)
		_, err := gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, edKey(), "old"))
		require.NoError(t, err)

		folder("..2025_11_02", withID("new", otherEdKey()))
		point("..2025_11_02")
		require.NoError(t, os.RemoveAll(filepath.Join(mount, "..2025_11_01")))
		time.Sleep(second)
		_, err = gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, otherEdKey(), "new"))
		assert.NoError(t, err)
		_, err = gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, edKey(), "old"))
		assert.ErrorIs(t, err, jwtgate.ErrUnknownKey)
	})
}

func TestFile_UnknownKeyID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFile(t, withID("k1", edKey()))
		newGate(t, file) // a look

		put(t, file.Path, withID("k2", edKey()))
		time.Sleep(hundred - time.Nanosecond)
		assert.Empty(t, names(t, file, issuer, "k2"))
		assert.Equal(t, []string{"k1 EdDSA"}, names(t, file, issuer, "k1"))
		time.Sleep(time.Nanosecond)
		assert.Equal(t, []string{"k1 EdDSA"}, names(t, file, issuer, "k1"), "a key that is known is no reason to look")
		assert.Equal(t, []string{"k2 EdDSA"}, names(t, file, issuer, "k2")) // a look

		put(t, file.Path, withID("k3", edKey()))
		time.Sleep(hundred / 2)
		assert.Empty(t, names(t, file, issuer, "k3"))
		time.Sleep(hundred / 2)
		assert.Empty(t, names(t, file, issuer, "forged"), "a key that is nowhere") // a look
		assert.Equal(t, []string{"k3 EdDSA"}, names(t, file, issuer, "k3"))

		put(t, file.Path, withID("k4", edKey()))
		time.Sleep(hundred)
		assert.Equal(t, []string{"k3 EdDSA"}, names(t, file, issuer, ""), "a token without kid is no reason to look")
		assert.Equal(t, []string{"k4 EdDSA"}, names(t, file, issuer, "k4")) // a look
	})
}

// A key without ID may be the one for every kid, so that no kid is unknown.
func TestFile_KeysWithoutID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFile(t, []byte(publicPEM(public(edKey()))))
		newGate(t, file)
		put(t, file.Path, []byte(publicPEM(&p256Key().PublicKey)))
		time.Sleep(second - time.Nanosecond)
		assert.Equal(t, []string{" EdDSA"}, names(t, file, issuer, "any"))
		time.Sleep(time.Nanosecond)
		assert.Equal(t, []string{" ES256"}, names(t, file, issuer, "any"))
	})
}

func TestFile_BrokenFileKeepsTheOldKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		damage  func(t *testing.T, path string)
		problem string
	}{
		{"empty", func(t *testing.T, path string) { put(t, path, nil) }, "the PEM text is empty"},
		{"cut short", func(t *testing.T, path string) { put(t, path, withID("k1", edKey())[:30]) }, "it is not a JWK Set"},
		{"without a usable key", func(t *testing.T, path string) { put(t, path, document(`{"kty":"oct","k":"c2VjcmV0"}`)) }, "it has no usable key"},
		{"too large", func(t *testing.T, path string) { put(t, path, make([]byte, 1<<20+1)) }, "more than 1048576 bytes"},
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
				file, log := newFile(t, withID("k1", edKey()))
				gate := newGate(t, file)
				assert.Len(t, log.take(), 1)

				tt.damage(t, file.Path)
				for range 10 {
					time.Sleep(second)
					_, err := gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, edKey(), "k1"))
					assert.NoError(t, err)
					_, err = gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, edKey(), "k2"))
					var denied *jwtgate.Error
					if assert.ErrorAs(t, err, &denied) {
						assert.Equal(t, 503, denied.Status, "the key may be in what cannot be read")
					}
				}
				said := log.take()
				require.Len(t, said, 1, "it is said once")
				assert.Contains(t, said[0], "level=WARN")
				assert.Contains(t, said[0], tt.problem)
				assert.Contains(t, said[0], "path="+file.Path)
				assert.NotContains(t, said[0], "c2VjcmV0")
				assert.NoError(t, file.CheckIssuers(nil), "there are keys to go on with")

				// A folder is in the way of what put does.
				require.NoError(t, os.RemoveAll(file.Path))
				put(t, file.Path, withID("k2", otherEdKey()))
				time.Sleep(second)
				_, err := gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, otherEdKey(), "k2"))
				assert.NoError(t, err)
				said = log.take()
				require.Len(t, said, 1)
				assert.Contains(t, said[0], "level=INFO")

				tt.damage(t, file.Path)
				time.Sleep(second)
				_, err = gate.Verify(t.Context(), sign(t, jwt.SigningMethodEdDSA, otherEdKey(), "k2"))
				assert.NoError(t, err)
				assert.Len(t, log.take(), 1, "and said again when it happens again")
			})
		})
	}
}

func TestFile_ComesBackAsItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := withID("k1", edKey())
		file, log := newFile(t, content)
		newGate(t, file)
		assert.Len(t, log.take(), 1)
		for _, broken := range [][]byte{[]byte("broken"), []byte("broken"), []byte("broken in another way {"), content, content} {
			put(t, file.Path, broken)
			time.Sleep(second)
			assert.Equal(t, []string{"k1 EdDSA"}, names(t, file, issuer, "k1"))
		}
		// Broken, then good again. How it is broken is the same to the log.
		said := log.take()
		require.Len(t, said, 2, said)
		assert.Contains(t, said[0], "level=WARN")
		assert.Contains(t, said[1], "level=INFO")
	})
}

func TestFile_GoneAndBackAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, log := newFile(t, withID("k1", edKey()))
		newGate(t, file)
		assert.Len(t, log.take(), 1)
		for range 3 {
			require.NoError(t, os.Rename(file.Path, file.Path+".away"))
			time.Sleep(second)
			assert.Equal(t, []string{"k1 EdDSA"}, names(t, file, issuer, "k1"))
			require.NoError(t, os.Rename(file.Path+".away", file.Path))
			time.Sleep(second)
			assert.Equal(t, []string{"k1 EdDSA"}, names(t, file, issuer, "k1"))
			said := log.take()
			require.Len(t, said, 2, said)
			assert.Contains(t, said[0], "level=WARN")
			assert.Contains(t, said[1], "level=INFO")
		}
	})
}

// acceptance 48
func TestFile_KeyLeavesRememberedTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFile(t, withID("k1", edKey()))
		gate, err := jwtgate.New(jwtgate.Options{Keys: file, Issuers: []string{issuer}, Audiences: []string{audience}, CacheSize: 10})
		require.NoError(t, err)
		token := sign(t, jwt.SigningMethodEdDSA, edKey(), "k1")
		for range 3 {
			// The same key, read anew.
			put(t, file.Path, append(withID("k1", edKey()), '\n'))
			time.Sleep(second)
			_, err = gate.Verify(t.Context(), token)
			require.NoError(t, err)
		}
		put(t, file.Path, withID("k1", otherEdKey()))
		time.Sleep(second)
		_, err = gate.Verify(t.Context(), token)
		assert.ErrorIs(t, err, jwtgate.ErrSignature)
	})
}

// In between looks a request does nothing but take the keys.
func TestFile_AllocatesNothing(t *testing.T) {
	file, _ := newFile(t, withID("k1", edKey()))
	newGate(t, file)
	require.NoError(t, os.Remove(file.Path))
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if ks, err := file.Keys(t.Context(), issuer, "k1"); err != nil || len(ks) != 1 {
			t.Error(ks, err)
		}
	}))
}

func TestFile_LogsWhatItSkips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, log := newFile(t, document(jwkOf(public(edKey())).with("kid", "k1"), jwk{"kty": "oct", "k": "c2VjcmV0"}))
		newGate(t, file)
		for range 3 {
			time.Sleep(second)
			assert.Equal(t, []string{"k1 EdDSA"}, names(t, file, issuer, ""))
		}
		said := log.take()
		require.Len(t, said, 2, "once for each content")
		assert.Contains(t, said[0], "key 2: ")
		assert.Contains(t, said[0], `source="keys.File `+file.Path)
		assert.NotContains(t, said[0], "c2VjcmV0")
		assert.Contains(t, said[1], "keys=1")

		put(t, file.Path, document(`{}`, jwkOf(public(edKey()))))
		time.Sleep(second)
		assert.Equal(t, []string{" EdDSA"}, names(t, file, issuer, ""))
		assert.Len(t, log.take(), 2)
	})
}

func TestFile_LogsToTheDefaultLogger(t *testing.T) {
	lines := logged(t)
	path := filepath.Join(t.TempDir(), "keys")
	put(t, path, document(jwkOf(public(edKey())), `{}`))
	newGate(t, &keys.File{Path: path})
	assert.Contains(t, lines.String(), "key skipped")
	assert.Contains(t, lines.String(), "key file read")
}

// A Parse that ends its goroutine has failed like any other.
func TestFile_ParseEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFile(t, []byte("1"))
		var exits bool
		file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			if exits {
				runtime.Goexit()
			}
			k, err := jwtgate.NewKey(string(content), "EdDSA", public(edKey()))
			return []*jwtgate.Key{k}, err
		}
		newGate(t, file)
		exits = true
		put(t, file.Path, []byte("2"))
		time.Sleep(second)
		assert.Equal(t, []string{"1 EdDSA"}, names(t, file, issuer, "1"))
		exits = false
		put(t, file.Path, []byte("3"))
		time.Sleep(second)
		assert.Equal(t, []string{"3 EdDSA"}, names(t, file, issuer, ""))
	})
}

func TestFile_ClockSetBack(t *testing.T) {
	t.Parallel()
	// In the bubble it is the year 2000, whatever the file was first read at.
	file, _ := newFile(t, withID("k1", edKey()))
	newGate(t, file)
	put(t, file.Path, withID("k2", edKey()))
	synctest.Test(t, func(t *testing.T) {
		assert.Equal(t, []string{"k2 EdDSA"}, names(t, file, issuer, "k2"))
	})
}

func TestFile_Context(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(context.Background())
	cancel()

	t.Run("of a request that ends while there are keys", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, _ := newFile(t, withID("k1", edKey()))
			newGate(t, file)
			time.Sleep(second)
			ks, err := file.Keys(ended, issuer, "k1")
			assert.NoError(t, err)
			assert.Len(t, ks, 1)
			synctest.Wait()
		})
	})

	// acceptance 47
	t.Run("of a request that waits for the first keys", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, release := slowFile(t)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				time.Sleep(5 * time.Second)
				cancel()
			}()
			start := time.Now()
			ks, err := file.Keys(ctx, issuer, "k1")
			assert.ErrorIs(t, err, context.Canceled)
			assert.Empty(t, ks)
			assert.Equal(t, 5*time.Second, time.Since(start))

			close(release)
			synctest.Wait()
			assert.Equal(t, []string{"k1 HS256"}, names(t, file, issuer, "k1"), "the look went on")
		})
	})
}

// What cannot be told is an error, which the client is not blamed for.
// acceptance 10
func TestFile_UnknownKeyIDWhileTheFileCannotBeRead(t *testing.T) {
	t.Parallel()
	t.Run("broken", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, _ := newFile(t, withID("k1", edKey()))
			newGate(t, file)
			_, err := file.Keys(t.Context(), issuer, "k2")
			require.NoError(t, err)
			put(t, file.Path, []byte("{"))
			time.Sleep(second)
			assert.Equal(t, []string{"k1 EdDSA"}, names(t, file, issuer, "k1"))
			_, err = file.Keys(t.Context(), issuer, "k2")
			require.ErrorContains(t, err, "not a JWK Set")
		})
	})
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, release := slowFile(t)
			start := time.Now()
			_, err := file.Keys(t.Context(), issuer, "k1")
			require.ErrorContains(t, err, "too long")
			assert.Equal(t, 10*time.Second, time.Since(start))
			_, err = file.Keys(t.Context(), issuer, "k1")
			require.ErrorContains(t, err, "too long")
			assert.Equal(t, 10*time.Second, time.Since(start), "nobody waits for it any more")
			release <- struct{}{}
			synctest.Wait()

			put(t, file.Path, secretOf(33))
			time.Sleep(second)
			_, err = file.Keys(t.Context(), issuer, "k2")
			require.ErrorContains(t, err, "too long")
			assert.Equal(t, 12*time.Second, time.Since(start))
			assert.Equal(t, []string{"k1 HS256"}, names(t, file, issuer, "k1"))
			close(release)
		})
	})
	t.Run("panics", func(t *testing.T) {
		t.Parallel()
		file, _ := newFile(t, []byte("x"))
		file.Parse = func([]byte) ([]*jwtgate.Key, error) { panic("oh") }
		_, err := file.Keys(t.Context(), issuer, "k1")
		require.ErrorContains(t, err, "reading its keys panicked: oh")
	})
}

// slowFile returns a source whose file cannot be read before release is closed
// or sent to.
func slowFile(t *testing.T) (file *keys.File, release chan struct{}) {
	secret := secretOf(32)
	release = make(chan struct{})
	file, _ = newFile(t, secret)
	file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
		<-release
		k, err := jwtgate.NewKey("k1", "HS256", secret)
		return []*jwtgate.Key{k}, err
	}
	return file, release
}

// Whoever comes while the file is being read for the first time waits for its
// keys, rather than being told that there are none.
func TestFile_FirstReadIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, release := slowFile(t)
		var parsed atomic.Int32
		parse := file.Parse
		file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			parsed.Add(1)
			return parse(content)
		}
		var served atomic.Int32
		ask := func() {
			ks, err := file.Keys(t.Context(), issuer, "k1")
			if assert.NoError(t, err) && assert.Len(t, ks, 1) {
				served.Add(1)
			}
		}
		var wg sync.WaitGroup
		wg.Go(ask)
		synctest.Wait()
		for range 10 {
			wg.Go(ask)
			time.Sleep(hundred / 4)
		}
		close(release)
		wg.Wait()
		assert.EqualValues(t, 11, served.Load())
		assert.EqualValues(t, 1, parsed.Load())
	})
}

// While the file is looked at again, requests for keys that are known go on
// with these, and the request that looks waits a second at most.
func TestFile_SlowFileSystem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, release := slowFile(t)
		go func() { release <- struct{}{} }()
		newGate(t, file)

		put(t, file.Path, secretOf(33)) // reading it does not end
		time.Sleep(second)
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			assert.Equal(t, []string{"k1 HS256"}, names(t, file, issuer, "k1"))
			assert.Equal(t, second, time.Since(start))
		})
		synctest.Wait()
		for range 10 {
			assert.Equal(t, []string{"k1 HS256"}, names(t, file, issuer, "k1"))
			assert.Zero(t, time.Since(start), "the others do not wait")
		}
		wg.Wait()

		// Whether there is a key of an unknown ID cannot be told, and nobody
		// waits longer to find out.
		ks, err := file.Keys(t.Context(), issuer, "k2")
		assert.ErrorContains(t, err, "too long")
		assert.Empty(t, ks)
		assert.Equal(t, second, time.Since(start))
		close(release)
	})
}

// A token with a new kid that comes while the file is being looked at waits
// for the outcome.
func TestFile_UnknownKeyIDJoinsTheLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{}, 1)
		file, _ := newFile(t, []byte("k1"))
		secret := secretOf(32)
		file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			<-release
			k, err := jwtgate.NewKey(string(content), "HS256", secret)
			return []*jwtgate.Key{k}, err
		}
		release <- struct{}{}
		newGate(t, file)

		put(t, file.Path, []byte("k2"))
		time.Sleep(second)
		var wg sync.WaitGroup
		wg.Go(func() { names(t, file, issuer, "k1") }) // begins the look
		synctest.Wait()
		wg.Go(func() {
			time.Sleep(10 * time.Millisecond)
			release <- struct{}{}
		})
		assert.Equal(t, []string{"k2 HS256"}, names(t, file, issuer, "k2"))
		wg.Wait()
	})
}

// acceptance 45
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
			return document(jwks...)
		}
		versions := [][]byte{set(kept, alsoKept, past), set(next, alsoKept, kept)}
		token := func(p pair) string { return sign(t, jwt.SigningMethodEdDSA, p.private, p.kid) }
		keptToken, alsoKeptToken, forged := token(kept), token(alsoKept), token(stranger)
		pastToken, nextToken := token(past), token(next)

		file, _ := newFile(t, versions[0])
		gate := newGate(t, file)
		var wg sync.WaitGroup
		done := make(chan struct{})
		wg.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(330 * time.Millisecond):
					put(t, file.Path, versions[i%2])
				}
			}
		})
		var requests sync.WaitGroup
		var rotated atomic.Int32
		for i := range 1000 {
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
		assert.Less(t, rotated.Load(), int32(2000))
	})
}

// Sources are asked at once from many goroutines, the file being one of the
// sources of ByIssuer.
func TestFile_WithinByIssuer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFile(t, withID("1", edKey()))
		gate, err := jwtgate.New(jwtgate.Options{
			Keys:      keys.ByIssuer{issuerA: file, issuerB: keys.Static(newKey(t, "1", "EdDSA", public(otherEdKey())))},
			Issuers:   []string{issuerA, issuerB},
			Audiences: []string{audience},
		})
		require.NoError(t, err)
		put(t, file.Path, withID("2", edKey()))
		time.Sleep(second)
		for _, tt := range []struct {
			issuer  string
			private ed25519.PrivateKey
			kid     string
			want    error
		}{
			{issuerA, edKey(), "2", nil},
			{issuerA, edKey(), "1", jwtgate.ErrUnknownKey},
			{issuerB, otherEdKey(), "1", nil},
			{issuerB, edKey(), "2", jwtgate.ErrUnknownKey},
		} {
			_, err := gate.Verify(t.Context(), signFor(t, tt.issuer, jwt.SigningMethodEdDSA, tt.private, tt.kid))
			assert.ErrorIs(t, err, tt.want, fmt.Sprint(tt.issuer, tt.kid))
		}
	})

	missing := &keys.File{Path: filepath.Join(t.TempDir(), "missing")}
	assert.Contains(t, refusal(t, keys.ByIssuer{issuer: missing}), `for the issuer "`+issuer+`": keys.File `)
}
