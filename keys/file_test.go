package keys_test

import (
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

// How soon [keys.File.Keys] reads the file again.
const (
	lookInterval       = time.Second            // in general
	missingKeyInterval = 100 * time.Millisecond // for a key ID that the file does not have
)

// replaceFile replaces the file at path by a rename, as one atomic step.
func replaceFile(t testing.TB, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", content, 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// newFileSource returns a File with content, and its log. nil means that the file does not exist.
func newFileSource(t testing.TB, content []byte) (*keys.File, *logBuffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if content != nil {
		replaceFile(t, path, content)
	}
	log := &logBuffer{}
	return &keys.File{Path: path, Logger: slog.New(slog.NewTextHandler(log, nil))}, log
}

func TestFile_Formats(t *testing.T) {
	t.Parallel()
	edJWK, edPEM := jwkOf(public(edKey())), publicPEM(public(edKey()))
	small := string(jwkSet(edJWK.with("kid", "k1")))
	for _, tt := range []struct {
		name    string
		content string
		want    []string
	}{
		{"JWK Set", small, []string{"k1 EdDSA"}},
		{"JWK Set with space before it", "\r\n\t " + small, []string{"k1 EdDSA"}},
		{"JWK Set with an unusable key", string(jwkSet(edJWK.with("kid", "k1"), `{}`)), []string{"k1 EdDSA"}},
		{"JWK Set of 1 MiB", small + strings.Repeat(" ", 1<<20-len(small)), []string{"k1 EdDSA"}},
		{"PEM", edPEM, []string{" EdDSA"}},
		{"PEM with space before it", "\n" + edPEM, []string{" EdDSA"}},
		{"PEM with text before it", "# the key\n" + edPEM, []string{" EdDSA"}},
		{"certificate", string(pemBlock("CERTIFICATE", newCertificate(t, rsaKey()))), []string{" RS256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file, _ := newFileSource(t, []byte(tt.content))
				newGate(t, file)
				assert.Equal(t, tt.want, lookUp(t, file, issuer, ""))
			})
		})
	}
}

func TestFile_Refuses(t *testing.T) {
	t.Parallel()
	small := string(oneKeySet("k1", edKey()))
	for _, tt := range []struct {
		name    string
		content string
		problem string
	}{
		{"empty", "", "the PEM text is empty"},
		{"space", "\n", "the PEM text is empty"},
		{"no keys", "hello", "no PEM block"},
		{"private key", string(pemBlock("PRIVATE KEY", []byte("x"))), "private key"},
		{"JSON that is no set", `{"a":1}`, "it is not a JWK Set"},
		{"JSON cut short", small[:len(small)-1], "it is not a JWK Set"},
		{"set without a usable key", `{"keys":[{"kty":"oct","k":"AAAA"}]}`, "it has no usable key"},
		{"five keys for one algorithm", strings.Repeat(publicPEM(public(edKey())), 5), "5 keys for EdDSA"},
		{"a byte more than 1 MiB", small + strings.Repeat(" ", 1<<20-len(small)+1), "it has more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file, log := newFileSource(t, []byte(tt.content))
				problem := errorOfUnusable(t, file)
				assert.Contains(t, problem, "keys.File "+file.Path+": ")
				assert.Contains(t, problem, tt.problem)
				assert.Empty(t, log.drain(), "the problem is in the error")
			})
		})
	}

	t.Run("no path", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			assert.Contains(t, errorOfUnusable(t, &keys.File{}), "keys.File: Path is empty")
		})
	})
	t.Run("no such file", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, _ := newFileSource(t, nil)
			assert.Contains(t, errorOfUnusable(t, file), "no such file")
			assert.ErrorIs(t, file.CheckIssuers(nil), fs.ErrNotExist)
		})
	})
	t.Run("a folder", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			assert.Contains(t, errorOfUnusable(t, &keys.File{Path: t.TempDir()}), "is a directory")
		})
	})
}

func TestFile_Parse(t *testing.T) {
	t.Parallel()
	secret := randomSecret(32)
	good := func(content []byte) ([]*jwtgate.Key, error) {
		k, err := jwtgate.NewKey("k1", "HS256", content)
		return []*jwtgate.Key{k}, err
	}

	t.Run("its keys are used", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, _ := newFileSource(t, secret)
			file.Parse = good
			assert.NoError(t, verify(t, file, sign(t, jwt.SigningMethodHS256, secret, "k1")))
			assert.ErrorIs(t, verify(t, file, sign(t, jwt.SigningMethodHS256, secret, "k2")), jwtgate.ErrUnknownKey)
		})
	})
	t.Run("it reads JSON too", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, _ := newFileSource(t, []byte(`{"secret":"..."}`))
			file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
				assert.Equal(t, `{"secret":"..."}`, string(content))
				return good(secret)
			}
			assert.NoError(t, verify(t, file, sign(t, jwt.SigningMethodHS256, secret, "k1")))
		})
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
			synctest.Test(t, func(t *testing.T) {
				file, _ := newFileSource(t, secret)
				file.Parse = tt.parse
				assert.Contains(t, errorOfUnusable(t, file), tt.problem)
			})
		})
	}
	t.Run("CheckIssuers wraps its error", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, _ := newFileSource(t, secret)
			file.Parse = func([]byte) ([]*jwtgate.Key, error) { return nil, bad }
			assert.ErrorIs(t, file.CheckIssuers(nil), bad)
		})
	})
}

// Parse may write to its argument. It is still called only once for each content.
func TestFile_ParseMayWriteToTheContent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, log := newFileSource(t, randomSecret(32))
		parsed := 0
		file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			parsed++
			k, err := jwtgate.NewKey("k1", "HS256", content)
			clear(content)
			return []*jwtgate.Key{k}, err
		}
		for range 5 {
			assert.Equal(t, []string{"k1 HS256"}, lookUp(t, file, issuer, ""))
			time.Sleep(lookInterval)
		}
		assert.Equal(t, 1, parsed)
		assert.Len(t, log.drain(), 1)
	})
}

// Keys allocates nothing while the last reading of the file is recent.
func TestFile_AllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFileSource(t, oneKeySet("k1", edKey()))
		newGate(t, file)
		require.NoError(t, os.Remove(file.Path))
		assert.Zero(t, testing.AllocsPerRun(1000, func() {
			if ks, err := file.Keys(t.Context(), issuer, "k1"); err != nil || len(ks) != 1 {
				t.Error(ks, err)
			}
		}))
	})
}

func TestFile_LogsWhatItSkips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, log := newFileSource(t, jwkSet(jwkOf(public(edKey())).with("kid", "k1"), jwk{"kty": "oct", "k": "c2VjcmV0"}))
		newGate(t, file)
		for range 3 {
			time.Sleep(lookInterval)
			assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, ""))
		}
		records := log.drain()
		require.Len(t, records, 2, "once for each content")
		assert.Contains(t, records[0], "key 2: ")
		assert.Contains(t, records[0], `source="keys.File `+file.Path)
		assert.NotContains(t, records[0], "c2VjcmV0")
		assert.Contains(t, records[1], "keys=1")

		replaceFile(t, file.Path, jwkSet(`{}`, jwkOf(public(edKey()))))
		time.Sleep(lookInterval)
		assert.Equal(t, []string{" EdDSA"}, lookUp(t, file, issuer, ""))
		assert.Len(t, log.drain(), 2)
	})
}

func TestFile_LogsToTheDefaultLogger(t *testing.T) {
	lines := captureDefaultLog(t)
	path := filepath.Join(t.TempDir(), "keys")
	replaceFile(t, path, jwkSet(jwkOf(public(edKey())), `{}`))
	newGate(t, &keys.File{Path: path})
	assert.Contains(t, lines.String(), "key skipped")
	assert.Contains(t, lines.String(), "key file read")
}

// If Parse ends its goroutine, the old keys stay in use, and the next change is read.
func TestFile_ParseEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFileSource(t, []byte("1"))
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
		replaceFile(t, file.Path, []byte("2"))
		time.Sleep(lookInterval)
		assert.Equal(t, []string{"1 EdDSA"}, lookUp(t, file, issuer, "1"))
		exits = false
		replaceFile(t, file.Path, []byte("3"))
		time.Sleep(lookInterval)
		assert.Equal(t, []string{"3 EdDSA"}, lookUp(t, file, issuer, ""))
	})
}

func TestFile_Context(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(context.Background())
	cancel()

	t.Run("ended, with keys in memory", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, _ := newFileSource(t, oneKeySet("k1", edKey()))
			newGate(t, file)
			time.Sleep(lookInterval)
			ks, err := file.Keys(ended, issuer, "k1")
			assert.NoError(t, err)
			assert.Len(t, ks, 1)
			synctest.Wait()
		})
	})

	// acceptance 47: the request leaves when its client does, and the reading goes on.
	t.Run("cancelled while waiting for the first keys", func(t *testing.T) {
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
			assert.Equal(t, []string{"k1 HS256"}, lookUp(t, file, issuer, "k1"), "the reading went on")
		})
	})
}

// acceptance 10: while the file cannot be read, an unknown key ID is an error of Keys, not a refusal of the token.
func TestFile_UnknownKeyIDWhileTheFileCannotBeRead(t *testing.T) {
	t.Parallel()
	t.Run("broken", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, _ := newFileSource(t, oneKeySet("k1", edKey()))
			newGate(t, file)
			_, err := file.Keys(t.Context(), issuer, "k2")
			require.NoError(t, err)
			replaceFile(t, file.Path, []byte("{"))
			time.Sleep(lookInterval)
			assert.Equal(t, []string{"k1 EdDSA"}, lookUp(t, file, issuer, "k1"))
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
			assert.Equal(t, 10*time.Second, time.Since(start), "later requests do not wait")
			release <- struct{}{}
			synctest.Wait()

			replaceFile(t, file.Path, randomSecret(33))
			time.Sleep(lookInterval)
			_, err = file.Keys(t.Context(), issuer, "k2")
			require.ErrorContains(t, err, "too long")
			assert.Equal(t, 12*time.Second, time.Since(start))
			assert.Equal(t, []string{"k1 HS256"}, lookUp(t, file, issuer, "k1"))
			close(release)
		})
	})
	t.Run("panics", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			file, _ := newFileSource(t, []byte("x"))
			file.Parse = func([]byte) ([]*jwtgate.Key, error) { panic("oh") }
			_, err := file.Keys(t.Context(), issuer, "k1")
			require.ErrorContains(t, err, "reading its keys panicked: oh")
		})
	})
}

// slowFile returns a File whose every reading waits until release is closed or receives a value.
func slowFile(t *testing.T) (file *keys.File, release chan struct{}) {
	secret := randomSecret(32)
	release = make(chan struct{})
	file, _ = newFileSource(t, secret)
	file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
		<-release
		k, err := jwtgate.NewKey("k1", "HS256", secret)
		return []*jwtgate.Key{k}, err
	}
	return file, release
}

// Requests that come during the first reading of the file wait for its keys.
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
			time.Sleep(missingKeyInterval / 4)
		}
		close(release)
		wg.Wait()
		assert.EqualValues(t, 11, served.Load())
		assert.EqualValues(t, 1, parsed.Load())
	})
}

// While the file is read again, requests for known keys use the old keys. The request that started the reading
// waits a second at most.
func TestFile_SlowFileSystem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, release := slowFile(t)
		go func() { release <- struct{}{} }()
		newGate(t, file)

		replaceFile(t, file.Path, randomSecret(33)) // the next reading hangs
		time.Sleep(lookInterval)
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			assert.Equal(t, []string{"k1 HS256"}, lookUp(t, file, issuer, "k1"))
			assert.Equal(t, lookInterval, time.Since(start))
		})
		synctest.Wait()
		for range 10 {
			assert.Equal(t, []string{"k1 HS256"}, lookUp(t, file, issuer, "k1"))
			assert.Zero(t, time.Since(start), "the others do not wait")
		}
		wg.Wait()

		// A request with an unknown key ID fails without waiting: the reading is beyond its timeout.
		ks, err := file.Keys(t.Context(), issuer, "k2")
		assert.ErrorContains(t, err, "too long")
		assert.Empty(t, ks)
		assert.Equal(t, lookInterval, time.Since(start))
		close(release)
	})
}

// A request with an unknown key ID that comes while the file is read waits for the new keys.
func TestFile_UnknownKeyIDJoinsTheLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{}, 1)
		file, _ := newFileSource(t, []byte("k1"))
		secret := randomSecret(32)
		file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			<-release
			k, err := jwtgate.NewKey(string(content), "HS256", secret)
			return []*jwtgate.Key{k}, err
		}
		release <- struct{}{}
		newGate(t, file)

		replaceFile(t, file.Path, []byte("k2"))
		time.Sleep(lookInterval)
		var wg sync.WaitGroup
		wg.Go(func() { lookUp(t, file, issuer, "k1") }) // starts the reading
		synctest.Wait()
		wg.Go(func() {
			time.Sleep(10 * time.Millisecond)
			release <- struct{}{}
		})
		assert.Equal(t, []string{"k2 HS256"}, lookUp(t, file, issuer, "k2"))
		wg.Wait()
	})
}

// A File works as a source of ByIssuer.
func TestFile_WithinByIssuer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, _ := newFileSource(t, oneKeySet("1", edKey()))
		gate, err := jwtgate.New(jwtgate.Options{
			Keys:      keys.ByIssuer{issuerA: file, issuerB: keys.Static(newKey(t, "1", "EdDSA", public(otherEdKey())))},
			Issuers:   []string{issuerA, issuerB},
			Audiences: []string{audience},
		})
		require.NoError(t, err)
		replaceFile(t, file.Path, oneKeySet("2", edKey()))
		time.Sleep(lookInterval)
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
	assert.Contains(t, errorOfNew(t, keys.ByIssuer{issuer: missing}), `for the issuer "`+issuer+`": keys.File `)
}
