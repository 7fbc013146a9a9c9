package keys_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
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

var (
	_ jwtgate.Rechecker = &keys.Remote{}
	_ jwtgate.Rechecker = &keys.File{}
	_ jwtgate.Rechecker = keys.ByIssuer{}
	_ jwtgate.Rechecker = keys.Join(keys.HS256(nil), keys.HS256(nil)).(jwtgate.Rechecker)
)

// minInterval is the default of Remote.MinInterval.
const minInterval = 5 * time.Second

// acceptance 93: a key that is replaced under its old ID, or in a set without IDs, is found at once.
func TestRecheck_ReplacedKey(t *testing.T) {
	t.Parallel()
	type replacement struct {
		name       string
		before     []byte // the set with edKey
		after      []byte
		method     jwt.SigningMethod
		key        any
		oldID, kid string // of the tokens
	}
	withoutIDs := jwkSet(jwkOf(public(edKey())))
	replacements := []replacement{
		{name: "under its ID", before: oneKeySet("1", edKey()), after: oneKeySet("1", otherEdKey()), method: jwt.SigningMethodEdDSA, key: otherEdKey(), oldID: "1", kid: "1"},
		{name: "without IDs", before: withoutIDs, after: jwkSet(jwkOf(public(otherEdKey()))), method: jwt.SigningMethodEdDSA, key: otherEdKey()},
		{name: "without IDs, in tokens with one", before: withoutIDs, after: jwkSet(jwkOf(public(otherEdKey()))), method: jwt.SigningMethodEdDSA, key: otherEdKey(), oldID: "x", kid: "y"},
		{name: "in tokens without ID", before: oneKeySet("1", edKey()), after: oneKeySet("2", otherEdKey()), method: jwt.SigningMethodEdDSA, key: otherEdKey()},
		{name: "by one for another algorithm", before: oneKeySet("1", edKey()), after: jwkSet(jwkOf(&p256Key().PublicKey).with("kid", "1")), method: jwt.SigningMethodES256, key: p256Key(), oldID: "1", kid: "1"},
		{name: "by one for another algorithm, without IDs", before: withoutIDs, after: jwkSet(jwkOf(&p256Key().PublicKey)), method: jwt.SigningMethodES256, key: p256Key()},
	}
	// Each source gets its keys from a Remote of server or from file.
	sources := map[string]func(server *keyServer, file *keys.File) jwtgate.KeySource{
		"Remote with a URL": func(server *keyServer, _ *keys.File) jwtgate.KeySource { remote, _ := server.remote(); return remote },
		"Remote that discovers": func(server *keyServer, _ *keys.File) jwtgate.KeySource {
			remote, _ := server.discoveringRemote()
			return remote
		},
		"File":       func(_ *keyServer, file *keys.File) jwtgate.KeySource { return file },
		"ByIssuer":   func(_ *keyServer, file *keys.File) jwtgate.KeySource { return keys.ByIssuer{"http://127.0.0.1": file} },
		"Join, File": func(_ *keyServer, file *keys.File) jwtgate.KeySource { return keys.Join(keys.HS256(joinSecret), file) },
		"Join, ByIssuer": func(_ *keyServer, file *keys.File) jwtgate.KeySource {
			return keys.Join(keys.ByIssuer{"http://127.0.0.1": file}, keys.HS256(joinSecret))
		},
	}
	for name := range joins(&keys.Remote{}) {
		if !strings.Contains(name, "ByIssuer") && !strings.Contains(name, "joined one") { // those are for another issuer
			sources["Join, "+name] = func(server *keyServer, _ *keys.File) jwtgate.KeySource {
				remote, _ := server.discoveringRemote()
				return joins(remote)[name]
			}
		}
	}
	for name, newSource := range sources {
		for _, r := range replacements {
			t.Run(name+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					server := newPipeServer(t, nil)
					documents := pages{openIDConfiguration: metadata(server.url, server.url+"/jwks"), "/jwks": r.before}
					server.respond(documents.answer)
					file, _ := newFileSource(t, r.before)
					gate, err := jwtgate.New(jwtgate.Options{
						Keys: newSource(server, file), Issuers: []string{server.url}, Audiences: []string{audience}, CacheSize: 10,
					})
					require.NoError(t, err)
					old := signFor(t, server.url, jwt.SigningMethodEdDSA, edKey(), r.oldID)
					require.Equal(t, 200, statusOf(t, gate, old))
					time.Sleep(time.Second - time.Millisecond) // a File may be read again after 100 ms

					documents["/jwks"] = r.after
					replaceFile(t, file.Path, r.after)
					start := time.Now()
					token := signFor(t, server.url, r.method, r.key, r.kid)
					for range 3 {
						assert.Equal(t, 200, statusOf(t, gate, token))
					}
					assert.Equal(t, 401, statusOf(t, gate, old), "the gate has remembered this token")
					assert.Zero(t, time.Since(start))
				})
			})
		}
	}
}

// acceptance 93: all clients that come right after the replacement are served, by one or two fetches.
func TestRecheck_Crowd(t *testing.T) {
	t.Parallel()
	for _, during := range []bool{false, true} {
		t.Run(fmt.Sprint("during a fetch: ", during), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, afterDelay(50*time.Millisecond, serves(oneKeySet("1", edKey()))))
				remote, _ := server.remote()
				gate := newGate(t, remote)
				require.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
				server.fetches.Store(0)
				want := int64(1)
				if during {
					want = 2 // the first one began before the replacement
					go statusOf(t, gate, signEdDSA(t, edKey(), "unknown"))
					time.Sleep(10 * time.Millisecond)
				}
				server.respond(afterDelay(50*time.Millisecond, serves(oneKeySet("1", otherEdKey()))))
				token := signEdDSA(t, otherEdKey(), "1")
				concurrently(1000, func(int) { assert.Equal(t, 200, statusOf(t, gate, token)) })
				assert.Equal(t, want, server.fetches.Load())
				assert.Zero(t, remote.Stats()[0].LimitedLookups)
			})
		})
	}
}

// acceptance 93: during a flood, a replaced key is found within MinInterval and a new key by the third request that
// names it. Bad signatures cause no more fetches than unknown key IDs, and both together cause no more either.
func TestRecheck_Flood(t *testing.T) {
	if testing.Short() {
		t.Skip("plays fifteen minutes with up to 400 tokens a second")
	}
	t.Parallel()
	const (
		every   = 5 * time.Millisecond // 200 tokens a second
		rounds  = 3
		between = 30 * time.Second
	)
	forged := sign(t, jwt.SigningMethodHS256, randomSecret(32), "1")
	badSignature := func(t *testing.T, gate *jwtgate.Gate, _ *keys.Remote, _ int) {
		_, err := gate.Verify(t.Context(), forged)
		require.ErrorIs(t, err, jwtgate.ErrSignature)
	}
	unknownKid := func(t *testing.T, _ *jwtgate.Gate, remote *keys.Remote, i int) {
		require.Empty(t, lookUp(t, remote, "", fmt.Sprint("random-", i)))
	}
	for _, flood := range []struct {
		name     string
		send     func(t *testing.T, gate *jwtgate.Gate, remote *keys.Remote, i int)
		requests int // until a new key is found
	}{
		{"quiet", func(*testing.T, *jwtgate.Gate, *keys.Remote, int) {}, 1},
		{"bad signatures", badSignature, 1},
		{"random key IDs", unknownKid, 3},
		{"both", func(t *testing.T, gate *jwtgate.Gate, remote *keys.Remote, i int) {
			badSignature(t, gate, remote, i)
			unknownKid(t, gate, remote, i)
		}, 3},
	} {
		t.Run(flood.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				secret := randomSecret(32)
				published := []*jwtgate.Key{newKey(t, "1", "HS256", secret)}
				remote, fetches := newSecretRemote(func(int) []*jwtgate.Key { return published })
				gate := newGate(t, remote)
				require.Equal(t, 200, statusOf(t, gate, sign(t, jwt.SigningMethodHS256, secret, "1")))
				start, sent := time.Now(), 0
				run := func(d time.Duration, until func() bool) (took time.Duration) {
					for ; took < d && !until(); took += every {
						flood.send(t, gate, remote, sent)
						sent++
						time.Sleep(every)
					}
					return took
				}
				never := func() bool { return false }
				for round := range rounds {
					run(between+rand.N(minInterval), never)
					secret = randomSecret(32)
					published = []*jwtgate.Key{newKey(t, "1", "HS256", secret)}
					replaced := sign(t, jwt.SigningMethodHS256, secret, "1")
					took := run(time.Minute, func() bool { return statusOf(t, gate, replaced) == 200 })
					assert.LessOrEqual(t, took, minInterval)
					if flood.name == "quiet" {
						assert.Zero(t, took)
					}

					run(between, never)
					kid := fmt.Sprint("new-", round)
					published = append(published, newKey(t, kid, "HS256", secret))
					added, requests := sign(t, jwt.SigningMethodHS256, secret, kid), 0
					run(time.Minute, func() bool {
						requests++
						return statusOf(t, gate, added) == 200
					})
					assert.LessOrEqual(t, requests, flood.requests)
				}
				// The first fetch, two in quick succession, one each MinInterval, and those that have
				// found a new key ID.
				most := 1 + 2 + int(time.Since(start)/minInterval) + rounds
				t.Logf("%d fetches, at most %d", *fetches, most)
				assert.LessOrEqual(t, *fetches, most)
				assert.Equal(t, flood.name != "quiet", remote.Stats()[0].LimitedLookups > 0)
			})
		})
	}
}

// acceptance 93: while the issuer hangs, a forged token is refused, its refusal is no outage, and good tokens do not
// wait. The first forged token waits for the fetch, and later ones do not.
func TestRecheck_IssuerHangs(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{"hangs": neverAnswers, "fails": fails(500), "is too busy": fails(503)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, serves(oneKeySet("1", edKey())))
				remote, _ := server.remote()
				gate := newGate(t, remote)
				good, forged := signEdDSA(t, edKey(), "1"), signEdDSA(t, otherEdKey(), "1")
				require.Equal(t, 200, statusOf(t, gate, good))
				server.respond(handler)
				server.fetches.Store(0)

				concurrently(20, func(int) {
					start := time.Now()
					assert.Equal(t, 401, statusOf(t, gate, forged))
					assert.LessOrEqual(t, time.Since(start), 5*time.Second, "Timeout")
				})
				assert.Equal(t, int64(1), server.fetches.Load())
				start := time.Now()
				for range 10 * 60 {
					time.Sleep(100 * time.Millisecond)
					before := time.Now()
					assert.Equal(t, 401, statusOf(t, gate, forged))
					assert.Equal(t, 200, statusOf(t, gate, good))
					assert.Zero(t, time.Since(before), "nobody waits while fetches fail")
				}
				assert.Equal(t, time.Minute, time.Since(start))
				assert.LessOrEqual(t, server.fetches.Load(), int64(12), "the backoff is as in any outage")

				server.respond(serves(oneKeySet("1", otherEdKey())))
				time.Sleep(30 * time.Second) // the longest backoff
				statusOf(t, gate, good)      // starts a fetch
				synctest.Wait()
				assert.Equal(t, 200, statusOf(t, gate, forged), "its key was published")
			})
		})
	}
}

// At most 1,000 tokens with bad signatures wait. Good tokens are answered at once.
func TestRecheck_Waiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		good, forged := signEdDSA(t, edKey(), "1"), signEdDSA(t, otherEdKey(), "1")
		for range 2 {
			require.Equal(t, 200, statusOf(t, gate, good))
			time.Sleep(time.Minute)
			limited := remote.Stats()[0].LimitedLookups
			server.respond(afterDelay(time.Second, serves(oneKeySet("1", edKey()))))
			var atOnce, later atomic.Int64
			ask := func() {
				start := time.Now()
				assert.Equal(t, 401, statusOf(t, gate, forged))
				if time.Since(start) == 0 {
					atOnce.Add(1)
				} else {
					later.Add(1)
				}
				assert.Equal(t, 200, statusOf(t, gate, good))
			}
			var first sync.WaitGroup
			first.Go(ask)
			synctest.Wait() // the fetch has begun, so the others want another one
			concurrently(1199, func(int) { ask() })
			first.Wait()
			assert.Equal(t, int64(1000), later.Load())
			assert.Equal(t, int64(200), atOnce.Load())
			assert.Equal(t, limited+1199, remote.Stats()[0].LimitedLookups, "all but the one that started the fetch")
		}
	})
}

// newSecretRemote returns a Remote that gets the keys of published by each fetch, and the number of fetches. The
// keys may be secrets, for tests with many tokens: the race detector makes other signatures slow.
func newSecretRemote(published func(fetch int) []*jwtgate.Key) (remote *keys.Remote, fetches *int) {
	fetches = new(int)
	remote = newQuietRemote(func(w http.ResponseWriter, _ *http.Request) { *fetches++; fmt.Fprint(w, *fetches) })
	remote.Parse = func([]byte) ([]*jwtgate.Key, error) { return published(*fetches), nil }
	return remote, fetches
}

// Two servers of the issuer have different keys under the same ID. Each fetch finds another key, and is not free.
func TestRecheck_ServersThatDiffer(t *testing.T) {
	t.Parallel()
	for _, ids := range [][2]string{{"1", "1"}, {"", ""}, {"a", "b"}} {
		t.Run(fmt.Sprintf("%q and %q", ids[0], ids[1]), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var ks [2]*jwtgate.Key
				var tokens [2]string
				for i, id := range ids {
					secret := randomSecret(32)
					ks[i], tokens[i] = newKey(t, id, "HS256", secret), sign(t, jwt.SigningMethodHS256, secret, id)
				}
				remote, fetches := newSecretRemote(func(fetch int) []*jwtgate.Key { return ks[fetch%2 : fetch%2+1] })
				gate := newGate(t, remote)
				for i := range 100 * 60 {
					statusOf(t, gate, tokens[i%2])
					time.Sleep(10 * time.Millisecond)
				}
				// Key IDs have the bucket for those that several requests name, and one refund each.
				most := 1 + 2 + 60/5
				if ids[0] != ids[1] {
					most += 2 + 3 + 60/2
				}
				t.Logf("%d fetches", *fetches)
				assert.LessOrEqual(t, *fetches, most)
			})
		})
	}
}

// A token that no new key can verify causes no fetch.
func TestRecheck_NotWorthAFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		good := signEdDSA(t, edKey(), "1")
		require.Equal(t, 200, statusOf(t, gate, good))
		server.fetches.Store(0)
		for name, token := range map[string]string{
			"signed with a secret": sign(t, jwt.SigningMethodHS256, randomSecret(32), "1"),
			"cut":                  good[:len(good)-len("12")], // 63 bytes
			"of another issuer":    signFor(t, "https://stranger.example/", jwt.SigningMethodEdDSA, otherEdKey(), "1"),
			"expired":              signAt(t, time.Now().Add(-2*time.Hour), jwt.SigningMethodEdDSA, edKey(), "1"),
		} {
			assert.Equal(t, 401, statusOf(t, gate, token), name)
			assert.Zero(t, server.fetches.Load(), name)
		}

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		assert.Empty(t, remote.Recheck(ended, issuer, "1", "EdDSA", nil))
		assert.Empty(t, remote.Recheck(t.Context(), issuer, "unknown", "EdDSA", nil), "Keys has looked for it")
		assert.Empty(t, (&keys.Remote{}).Recheck(t.Context(), issuer, "1", "EdDSA", nil))
		assert.Zero(t, server.fetches.Load())
	})
}

// A key that another request's fetch has brought is found without a fetch.
func TestRecheck_FindsWhatIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", otherEdKey())))
		remote, _ := server.remote()
		lookUp(t, remote, issuer, "1")
		old := newKey(t, "1", "EdDSA", public(edKey()))
		for range 3 {
			assert.Len(t, remote.Recheck(t.Context(), issuer, "1", "EdDSA", []*jwtgate.Key{old}), 1)
		}
		assert.Equal(t, int64(1), server.fetches.Load())
	})
}

// A gate tries the first four keys of a set, and no more of the same set.
func TestRecheck_FiveKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var set []any
		for range 4 {
			set = append(set, jwkOf(public(newEd25519())))
		}
		document := jwkSet(append(set, jwkOf(public(edKey())))...)
		server := newPipeServer(t, serves(document))
		remote, _ := server.remote()
		file, _ := newFileSource(t, document)
		for name, source := range map[string]jwtgate.KeySource{"Remote": remote, "File": file, "Join": keys.Join(remote, file)} {
			gate := newGate(t, source)
			for range 3 {
				assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, edKey(), "")), name)
				time.Sleep(minInterval)
			}
		}
	})
}

// The client goes away while its request waits: the fetch goes on.
func TestRecheck_ClientGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		gate := newGate(t, remote)
		require.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
		server.respond(afterDelay(time.Second, serves(oneKeySet("1", otherEdKey()))))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		assert.NotEqual(t, 200, answerTo(gate, ctx, signEdDSA(t, otherEdKey(), "1")).Code)
		assert.Equal(t, 100*time.Millisecond, time.Since(start))
		time.Sleep(time.Second)
		start = time.Now()
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "1")))
		assert.Zero(t, time.Since(start))
	})
}

// Bad signatures make a File read its file ten times a second at most.
func TestRecheck_FileReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		file, _ := newFileSource(t, nil)
		file.Parse = func(content []byte) ([]*jwtgate.Key, error) {
			reads++
			return []*jwtgate.Key{newKey(t, "1", "EdDSA", public(edKey()))}, nil
		}
		write := func(i int) { replaceFile(t, file.Path, fmt.Append(nil, i)) } // so that it is parsed again
		write(-1)
		gate := newGate(t, file)
		forged := signEdDSA(t, otherEdKey(), "1")
		for i := range 300 {
			time.Sleep(10 * time.Millisecond)
			write(i)
			require.Equal(t, 401, statusOf(t, gate, forged))
		}
		assert.InDelta(t, 30, reads, 2)
	})
}

// A lookAgain is a Rechecker of a user. It has an old key, and a new one under the same ID.
type lookAgain struct {
	old, new *jwtgate.Key
	calls    int
}

func (l *lookAgain) Keys(context.Context, string, string) ([]*jwtgate.Key, error) {
	return []*jwtgate.Key{l.old}, nil
}

func (l *lookAgain) Recheck(context.Context, string, string, string, []*jwtgate.Key) []*jwtgate.Key {
	l.calls++
	return []*jwtgate.Key{l.old, nil, l.new}
}

// A Join asks Files first and then the others in their order, until one has a new key that fits.
func TestRecheck_JoinAsksInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := func(next ed25519.PrivateKey) *lookAgain {
			return &lookAgain{old: newKey(t, "1", "EdDSA", public(newEd25519())), new: newKey(t, "1", "EdDSA", public(next))}
		}
		first, second := source(edKey()), source(otherEdKey())
		file, _ := newFileSource(t, oneKeySet("1", newEd25519()))
		join := keys.Join(keys.HS256(joinSecret), first, second, file).(jwtgate.Rechecker)
		recheck := func(algorithm string, tried ...*jwtgate.Key) []*jwtgate.Key {
			first.calls, second.calls = 0, 0
			return join.Recheck(t.Context(), issuer, "1", algorithm, tried)
		}
		gate := newGate(t, join)
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
		tried, err := file.Keys(t.Context(), issuer, "1")
		require.NoError(t, err)
		tried = slices.Clone(tried)
		tried = append(tried, first.old, second.old)

		assert.Equal(t, []*jwtgate.Key{first.new}, recheck("EdDSA", tried...))
		assert.Equal(t, []int{1, 0}, []int{first.calls, second.calls})
		assert.Equal(t, []*jwtgate.Key{second.new}, recheck("EdDSA", append(tried, first.new)...))
		assert.Equal(t, []int{1, 1}, []int{first.calls, second.calls})
		assert.Empty(t, recheck("EdDSA", append(tried, first.new, second.new)...))
		assert.Empty(t, recheck("ES256", tried...))

		time.Sleep(time.Second)
		replaceFile(t, file.Path, oneKeySet("1", newEd25519()))
		assert.Len(t, recheck("EdDSA", tried...), 1)
		assert.Equal(t, []int{0, 0}, []int{first.calls, second.calls}, "the file has a new key")

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		assert.Empty(t, join.Recheck(ended, issuer, "1", "EdDSA", tried))
		assert.Equal(t, []int{0, 0}, []int{first.calls, second.calls})
	})
}

// A Join or ByIssuer without a Rechecker costs a forged token nothing.
func TestRecheck_NothingToAsk(t *testing.T) {
	secret, public := keys.HS256(joinSecret), keys.Public(public(edKey()))
	for name, source := range map[string]jwtgate.KeySource{
		"Join": keys.Join(secret, public), "ByIssuer": keys.ByIssuer{issuer: keys.Join(secret, public)}, "empty ByIssuer": keys.ByIssuer{},
	} {
		rechecker := source.(jwtgate.Rechecker)
		ctx := t.Context()
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			if rechecker.Recheck(ctx, issuer, "", "EdDSA", nil) != nil {
				panic("a key")
			}
		}), name)
	}
}
