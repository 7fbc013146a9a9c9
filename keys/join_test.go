package keys_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
)

var joinSecret = randomSecret(32)

func signSecret(t testing.TB, kid string) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, joinSecret, kid)
}

// joins returns sources that join the secret and remote in different ways.
func joins(remote jwtgate.KeySource) map[string]jwtgate.KeySource {
	secret := keys.HS256(joinSecret)
	return map[string]jwtgate.KeySource{
		"secret first":    keys.Join(secret, remote),
		"remote first":    keys.Join(remote, secret),
		"nested":          keys.Join(keys.Join(secret), keys.Join(keys.Join(remote, keys.Public(&rsaKey().PublicKey)))),
		"in a ByIssuer":   keys.ByIssuer{issuer: keys.Join(secret, remote)},
		"of ByIssuers":    keys.Join(keys.ByIssuer{issuer: secret}, keys.ByIssuer{issuer: remote}),
		"of a joined one": keys.Join(keys.ByIssuer{issuer: keys.Join(secret, remote)}, keys.Public(&rsaKey().PublicKey)),
	}
}

// eachJoin runs test in a bubble for each of joins, with the Remote of a server that answers with handler.
func eachJoin(t *testing.T, handler http.HandlerFunc, test func(*testing.T, *keyServer, *keys.Remote, jwtgate.KeySource)) {
	t.Helper()
	for name := range joins(&keys.Remote{}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, handler)
				remote, _ := server.remote()
				test(t, server, remote, joins(remote)[name])
			})
		})
	}
}

// A token that is signed with the secret never waits for the Remote, causes no fetch, and works during an outage.
func TestJoin_SecretNeverWaits(t *testing.T) {
	t.Parallel()
	kids := []string{"", "1", "unknown"}
	eachJoin(t, neverAnswers, func(t *testing.T, server *keyServer, remote *keys.Remote, source jwtgate.KeySource) {
		gate := newGateWithFixedClock(t, source)
		fixed := time.Now()
		accepted := func(when string, fetches int64) {
			start := time.Now()
			server.fetches.Store(0)
			for round := range 20 {
				for _, kid := range append(kids, fmt.Sprint("random-", round)) {
					assert.Equal(t, 200, statusOf(t, gate, signAt(t, fixed, jwt.SigningMethodHS256, joinSecret, kid)), "%s, kid %q", when, kid)
				}
			}
			assert.Zero(t, time.Since(start), when)
			assert.LessOrEqual(t, server.fetches.Load(), fetches, when)
		}
		accepted("before the first fetch", 0)

		go func() { statusOf(t, gate, signEdDSA(t, edKey(), "1")) }()
		time.Sleep(time.Second)
		accepted("during a fetch that hangs", 0)
		time.Sleep(10 * time.Second)
		accepted("after a fetch that failed", 0)

		server.respond(serves(oneKeySet("1", edKey())))
		time.Sleep(time.Minute)
		require.Equal(t, 200, statusOf(t, gate, signAt(t, fixed, jwt.SigningMethodEdDSA, edKey(), "1")))
		accepted("with keys", 0)

		server.respond(neverAnswers)
		time.Sleep(11 * time.Minute)
		accepted("when the keys are due", 1)
		time.Sleep(25 * time.Hour)
		accepted("when the keys are out of date", 1)
		requireUnavailable(t, answerTo(gate, t.Context(), signAt(t, fixed, jwt.SigningMethodEdDSA, edKey(), "1")))
		server.close()
		accepted("when the server is away", 0)
	})
}

// signAt is like sign for a gate whose clock stands still at now.
func signAt(t testing.TB, now time.Time, method jwt.SigningMethod, key any, kid string) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims{"iss": issuer, "sub": "alice", "aud": audience, "exp": now.Add(time.Hour).Unix()})
	if kid != "" {
		token.Header["kid"] = kid
	}
	return must(token.SignedString(key))
}

// A secret with an ID answers for its ID alone, also if the Remote is asked without the algorithm.
func TestJoin_SecretWithID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, neverAnswers)
		remote, _ := server.remote()
		source := keys.Join(keys.Static(newKey(t, "legacy", "HS256", joinSecret)), remote)
		for name, source := range map[string]jwtgate.KeySource{"a Join": source, "its method Keys": jwtgate.KeySourceFunc(source.Keys)} {
			start := time.Now()
			gate := newGate(t, source)
			assert.Equal(t, 200, statusOf(t, gate, signSecret(t, "legacy")), name)
			assert.Equal(t, 401, statusOf(t, gate, sign(t, jwt.SigningMethodHS256, randomSecret(32), "legacy")), name)
			assert.Zero(t, server.fetches.Load(), name)
			assert.Zero(t, time.Since(start), name)
		}
		assert.Equal(t, 200, statusOf(t, newGate(t, source), signSecret(t, "")))
		assert.Equal(t, 401, statusOf(t, newGate(t, source), signSecret(t, "another")), "a Remote has no secrets")
		assert.Zero(t, server.fetches.Load())
	})
}

// A token that is signed with a public key is answered as by the Remote alone.
func TestJoin_PublicKey(t *testing.T) {
	t.Parallel()
	set := jwkSet(jwkOf(public(edKey())).with("kid", "1"))
	rotated := jwkSet(jwkOf(public(edKey())).with("kid", "1"), jwkOf(public(otherEdKey())).with("kid", "2"))
	eachJoin(t, afterDelay(time.Second, serves(set)), func(t *testing.T, server *keyServer, remote *keys.Remote, source jwtgate.KeySource) {
		gate := newGate(t, source)
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "")), "the first token waits, although it has no kid")
		assert.Equal(t, int64(1), server.fetches.Load())
		for _, kid := range []string{"1", ""} {
			assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), kid)))
			assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, otherEdKey(), kid)))
			// The public key is no secret (RFC 8725 section 3.1).
			assert.Equal(t, 401, statusOf(t, gate, sign(t, jwt.SigningMethodHS256, []byte(publicPEM(public(edKey()))), kid)))
		}
		assert.Equal(t, int64(2), server.fetches.Load(), "the first bad signature starts a fetch, and a secret none")

		server.respond(serves(rotated))
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")), "the first token with a new key")
		assert.Equal(t, int64(3), server.fetches.Load())

		server.respond(serves(oneKeySet("2", otherEdKey())))
		time.Sleep(11 * time.Minute)
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")))
		synctest.Wait()
		assert.Equal(t, int64(4), server.fetches.Load(), "due")
		assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, edKey(), "1")), "withdrawn")
		assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, edKey(), "")), "withdrawn")
		time.Sleep(time.Minute)

		server.respond(fails(500))
		requireUnavailable(t, answerTo(gate, t.Context(), signEdDSA(t, edKey(), "3")))
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")))
	})
}

// Forged tokens cause no more fetches than with the Remote alone, and forged secrets cause none.
func TestJoin_Flood(t *testing.T) {
	if testing.Short() {
		t.Skip("floods six combinations of sources for half a minute each")
	}
	t.Parallel()
	flood := func(t *testing.T, server *keyServer, gate *jwtgate.Gate) int64 {
		require.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
		time.Sleep(time.Minute)
		for i := range 100 {
			time.Sleep(300 * time.Millisecond)
			concurrently(3, func(n int) {
				assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, otherEdKey(), fmt.Sprint("random-", i, "-", n))))
			})
		}
		return server.fetches.Load()
	}
	var alone int64
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, serves(oneKeySet("1", edKey())))
		remote, _ := server.remote()
		alone = flood(t, server, newGate(t, remote))
		require.Positive(t, alone)
	})
	t.Run("joins", func(t *testing.T) {
		eachJoin(t, serves(oneKeySet("1", edKey())), func(t *testing.T, server *keyServer, remote *keys.Remote, source jwtgate.KeySource) {
			gate := newGate(t, source)
			assert.LessOrEqual(t, flood(t, server, gate), alone)
			assert.Equal(t, 200, statusOf(t, gate, signSecret(t, "unknown")))
			server.fetches.Store(0)
			for i := range 100 {
				time.Sleep(100 * time.Millisecond)
				assert.Equal(t, 401, statusOf(t, gate, sign(t, jwt.SigningMethodHS256, randomSecret(32), fmt.Sprint("secret-", i))))
			}
			assert.Zero(t, server.fetches.Load(), "a Remote has no secrets")
		})
	})
}

// With keys of the same algorithm in memory and at the issuer, an outage refuses neither kind of token.
func TestJoin_SameAlgorithm(t *testing.T) {
	t.Parallel()
	ours, theirs := newEd25519(), newEd25519()
	eachOrder := func(t *testing.T, test func(*testing.T, *keyServer, *jwtgate.Gate)) {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprint("memory first: ", first), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := newPipeServer(t, serves(oneKeySet("1", theirs)))
					remote, _ := server.remote()
					memory := keys.PEM([]byte(publicPEM(public(ours))))
					source := keys.Join(remote, memory)
					if first {
						source = keys.Join(memory, remote)
					}
					test(t, server, newGateWithFixedClock(t, source))
				})
			})
		}
	}
	eachOrder(t, func(t *testing.T, server *keyServer, gate *jwtgate.Gate) {
		server.respond(fails(500))
		for range 2 { // the second time with remembered tokens
			for _, kid := range []string{"", "1", "unknown"} {
				assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, ours, kid)), kid)
				requireUnavailable(t, answerTo(gate, t.Context(), signEdDSA(t, theirs, kid)))
			}
		}
		server.respond(serves(oneKeySet("1", theirs)))
		time.Sleep(time.Minute)
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, theirs, "")))
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, theirs, "1")))
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, ours, "1")), "the key in memory has no ID")
		assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, otherEdKey(), "1")))

		rotated := newEd25519()
		server.respond(serves(oneKeySet("2", rotated)))
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, rotated, "2")))
		assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, theirs, "1")))
	})
}

// A client that leaves while its token waits for the Remote is no refusal of the token.
// acceptance 47
func TestJoin_Canceled(t *testing.T) {
	t.Parallel()
	for name, memory := range map[string]jwtgate.KeySource{
		"another algorithm": keys.HS256(joinSecret),
		"the algorithm":     keys.Public(public(edKey())),
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newPipeServer(t, neverAnswers)
			remote, _ := server.remote()
			source := keys.Join(memory, remote)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			_, err := newGate(t, source).Verify(ctx, signEdDSA(t, otherEdKey(), "2"))
			assert.ErrorIs(t, err, context.DeadlineExceeded, name)
			assert.NotErrorIs(t, err, jwtgate.ErrSignature, name)
			assert.Equal(t, time.Second, time.Since(start), name)

			_, err = source.Keys(ctx, issuer, "2")
			assert.ErrorIs(t, err, context.DeadlineExceeded, name)
		})
	}
}

// A caller that does not know the algorithm, such as a wrapper of the source, calls Keys.
func TestJoin_WithoutAlgorithm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, afterDelay(time.Second, serves(oneKeySet("1", edKey()))))
		remote, _ := server.remote()
		gate := newGate(t, jwtgate.KeySourceFunc(keys.Join(keys.HS256(joinSecret), remote).Keys))
		assert.Equal(t, 200, statusOf(t, gate, signSecret(t, "")))
		assert.Equal(t, int64(1), server.fetches.Load(), "the token may be signed with a key of the Remote")
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "")))
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))

		server.respond(serves(oneKeySet("2", otherEdKey())))
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")))
		assert.Equal(t, int64(2), server.fetches.Load())
		time.Sleep(time.Minute)
		server.respond(fails(500))
		assert.Equal(t, 200, statusOf(t, gate, signSecret(t, "unknown")), "an outage is no error, since the secret fits")
	})
}

// A File is read again before a Remote is asked to fetch.
func TestJoin_File(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	write := func(content []byte) { require.NoError(t, os.WriteFile(path, content, 0o600)) }
	write(oneKeySet("1", edKey()))
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, neverAnswers)
		remote, _ := server.remote()
		file := &keys.File{Path: path, Logger: slog.New(slog.DiscardHandler)}
		gate := newGate(t, keys.Join(remote, file, keys.HS256(joinSecret)))
		start := time.Now()
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))

		write(oneKeySet("2", otherEdKey()))
		time.Sleep(200 * time.Millisecond)
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")), "a new key in the file")
		time.Sleep(time.Second)
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")))
		require.NoError(t, os.Remove(path))
		time.Sleep(2 * time.Second)
		assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")))
		assert.Equal(t, 200, statusOf(t, gate, signSecret(t, "unknown")), "the file is away")
		assert.Zero(t, server.fetches.Load())
		assert.Equal(t, 3200*time.Millisecond, time.Since(start), "nothing waits")

		requireUnavailable(t, answerTo(gate, t.Context(), signEdDSA(t, edKey(), "3")))
		assert.Equal(t, int64(1), server.fetches.Load())
	})
}

// A source of a user may have any keys and may wait. It is asked unless a key in memory has the ID.
func TestJoin_OwnSource(t *testing.T) {
	t.Parallel()
	down := errors.New("vault is down")
	var asked int
	var answer []*jwtgate.Key
	var problem error
	own := jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) {
		asked++
		return answer, problem
	})
	source := keys.Join(keys.Static(newKey(t, "1", "EdDSA", public(edKey()))), own, keys.HS256(joinSecret))
	gate := newGate(t, source)
	require.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
	assert.Zero(t, asked)
	other := randomSecret(32)
	answer = []*jwtgate.Key{nil, {}, newKey(t, "", "HS256", other)}
	assert.Equal(t, 200, statusOf(t, gate, sign(t, jwt.SigningMethodHS256, other, "")))
	assert.Equal(t, 200, statusOf(t, gate, signSecret(t, "")))
	assert.Equal(t, 2, asked)
	problem = down
	assert.Equal(t, 200, statusOf(t, gate, signSecret(t, "")))
	_, err := gate.Verify(t.Context(), sign(t, jwt.SigningMethodHS256, other, ""))
	assert.ErrorIs(t, err, down, "keys beside an error of Keys do not count")
	assert.ErrorIs(t, err, jwtgate.ErrUnavailable)
	_, err = keys.Join(own, own).Keys(t.Context(), issuer, "")
	assert.ErrorIs(t, err, down)
}

// The keys come in the order of the sources, those with the ID of the token first. The gate counts only keys for the
// algorithm of the token.
// acceptance 29, 30
func TestJoin_FourKeys(t *testing.T) {
	t.Parallel()
	var secrets [][]byte
	var privates []ed25519.PrivateKey
	var publics []*jwtgate.Key
	for range 4 {
		secrets = append(secrets, randomSecret(32))
		private := newEd25519()
		privates, publics = append(privates, private), append(publics, newKey(t, "", "EdDSA", public(private)))
	}
	source := keys.Join(keys.HS256(secrets...), keys.Static(publics...))
	for _, gate := range []*jwtgate.Gate{newGate(t, source), newGate(t, jwtgate.KeySourceFunc(source.Keys))} {
		for i := range 4 {
			for _, kid := range []string{"", "unknown"} {
				assert.Equal(t, 200, statusOf(t, gate, sign(t, jwt.SigningMethodHS256, secrets[i], kid)))
				assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, privates[i], kid)))
			}
		}
	}

	named := oneKeySet("1", edKey())
	source = keys.Join(keys.Static(publics...), keys.JWKS(named))
	assert.Equal(t, 200, statusOf(t, newGate(t, source), signEdDSA(t, edKey(), "1")), "the key with the ID is tried first")

	source = keys.Join(keys.HS256(joinSecret), keys.JWKS(named), keys.Static(newKey(t, "1", "ES256", &p256Key().PublicKey)))
	assert.Equal(t, []string{" HS256", "1 EdDSA", "1 ES256"}, lookUp(t, source, issuer, ""))
	assert.Equal(t, []string{"1 EdDSA", "1 ES256", " HS256"}, lookUp(t, source, issuer, "1"))
	assert.Equal(t, []string{" HS256"}, lookUp(t, source, issuer, "2"))
}

func TestJoin_CheckIssuers(t *testing.T) {
	t.Parallel()
	secret, key := keys.HS256(joinSecret), keys.Public(public(edKey()))
	five := func(n int) jwtgate.KeySource {
		var secrets [][]byte
		for range n {
			secrets = append(secrets, randomSecret(32))
		}
		return keys.HS256(secrets...)
	}
	for _, tt := range []struct {
		name    string
		source  jwtgate.KeySource
		problem []string // nil if New accepts the source
	}{
		{"two", keys.Join(secret, key), nil},
		{"one", keys.Join(secret), nil},
		{"nested", keys.Join(keys.Join(secret), keys.Join(keys.Join(key))), nil},
		{"a function", keys.Join(secret, jwtgate.KeySourceFunc(key.Keys)), nil},
		{"in a ByIssuer", keys.ByIssuer{issuer: keys.Join(secret, key)}, nil},
		{"a Remote", keys.Join(secret, &keys.Remote{}), nil},

		{"none", keys.Join(), []string{"keys.Join: there is no source; pass at least one"}},
		{"nil", keys.Join(nil), []string{"keys.Join: source 1 is nil"}},
		{"a nil source", keys.Join(secret, nil), []string{"keys.Join: source 2 is nil"}},
		{"a nil Remote", keys.Join(secret, (*keys.Remote)(nil)), []string{"keys.Join: source 2 is nil"}},
		{"a nil function", keys.Join(jwtgate.KeySourceFunc(nil), secret), []string{"keys.Join: source 1 is nil"}},
		{"an empty Join", keys.Join(secret, keys.Join()), []string{"keys.Join: there is no source"}},
		{"all problems", keys.Join(keys.HS256([]byte("short")), &keys.File{}, &keys.Remote{FreshFor: -1}), []string{
			"keys.HS256: secret 1: ", "keys.File: Path is empty", "keys.Remote: FreshFor: ",
		}},
		{"another issuer", keys.Join(secret, keys.JWKS(jwkSet(jwkOf(public(edKey())).with("issuer", "https://other.example/")))), []string{
			`the issuer member of each key names another issuer than "` + issuer + `"`,
		}},
		{"too many keys", keys.Join(five(3), five(2)), []string{"keys.Join: 5 keys for HS256 fit the same token"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.problem == nil {
				newGate(t, tt.source)
				return
			}
			message := errorOfNew(t, tt.source)
			for _, problem := range tt.problem {
				assert.Contains(t, message, problem)
			}
		})
	}
	for _, source := range []jwtgate.KeySource{keys.Join(), keys.Join(nil), keys.Join(nil, nil)} {
		errorOfUnusable(t, source)
	}
	ks, err := keys.Join(nil, secret).Keys(t.Context(), issuer, "")
	assert.NoError(t, err)
	assert.Len(t, ks, 1)
}

func TestJoin_CheckAlgorithms(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(path, []byte(publicPEM(public(edKey()))), 0o600))
	file := &keys.File{Path: path, Logger: slog.New(slog.DiscardHandler)}
	secret, key := keys.HS256(joinSecret), keys.Public(public(edKey()))
	for _, tt := range []struct {
		name       string
		source     jwtgate.KeySource
		algorithms []string
		problem    string // "" if New accepts the algorithms
	}{
		{"each has a source", keys.Join(secret, key), []string{"HS256", "Ed25519"}, ""},
		{"one of them", keys.Join(secret, key), []string{"HS256"}, ""},
		{"a Remote may have any", keys.Join(secret, &keys.Remote{}), []string{"HS256", "RS256", "ES512"}, ""},
		{"in a file", keys.Join(secret, file), []string{"HS256", "EdDSA"}, ""},
		{"a file may change", keys.Join(secret, file), []string{"HS256", "EdDSA", "RS256"}, ""},
		{"missing", keys.Join(secret, key), []string{"HS256", "RS256"}, "keys.Join has no key for RS256; "},
		{"all missing", keys.Join(secret, key), []string{"ES256", "RS256"}, "keys.Join has no key for ES256 or RS256; "},
		{"missing in a ByIssuer", keys.ByIssuer{issuer: keys.Join(secret, key)}, []string{"RS256"}, `for the issuer "` + issuer + `": keys.Join has no key for RS256; `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := jwtgate.New(jwtgate.Options{Keys: tt.source, Issuers: []string{issuer}, AnyAudience: true, Algorithms: tt.algorithms})
			if tt.problem == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, "Algorithms: "+tt.problem)
			}
		})
	}
}

// Ready waits for each source that the accepted algorithms need.
func TestJoin_Ready(t *testing.T) {
	t.Parallel()
	eachJoin(t, fails(500), func(t *testing.T, server *keyServer, remote *keys.Remote, source jwtgate.KeySource) {
		ready := func(algorithms ...string) error {
			gate, err := jwtgate.New(jwtgate.Options{Keys: source, Issuers: []string{issuer}, AnyAudience: true, Algorithms: algorithms})
			require.NoError(t, err)
			return gate.Ready(t.Context())
		}
		assert.NoError(t, ready("HS256"))
		assert.Zero(t, server.fetches.Load())
		assert.ErrorContains(t, ready(), "500")
		assert.ErrorContains(t, ready("HS256", "EdDSA"), "500")
		server.respond(serves(oneKeySet("1", edKey())))
		time.Sleep(time.Minute)
		assert.NoError(t, ready("EdDSA"))
		assert.NoError(t, ready())
	})
}

func TestJoin_KeepsThePromisesOfAKeySource(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(path, oneKeySet("in a file", edKey()), 0o600))
	file := &keys.File{Path: path, Logger: slog.New(slog.DiscardHandler)}
	up, down := jwttest.NewIssuer(t), jwttest.NewIssuer(t)
	up.Rotate()
	down.Down(503)
	remote := func(url string) *keys.Remote {
		return &keys.Remote{URL: url + "/jwks", Logger: slog.New(slog.DiscardHandler)}
	}
	secret := keys.HS256(joinSecret)
	for name, source := range map[string]jwtgate.KeySource{
		"in memory":              keys.Join(secret, keys.Public(public(edKey())), keys.Static(newKey(t, "1", "ES256", &p256Key().PublicKey))),
		"secret and Remote":      keys.Join(secret, remote(up.URL)),
		"Remote and secret":      keys.Join(remote(up.URL), secret),
		"same algorithm":         keys.Join(keys.Public(&rsaKey().PublicKey, public(edKey())), remote(up.URL)),
		"outage":                 keys.Join(secret, remote(down.URL)),
		"File and Remote":        keys.Join(file, remote(up.URL)),
		"File and outage":        keys.Join(remote(down.URL), file),
		"Remotes":                keys.Join(remote(up.URL), remote(down.URL)),
		"nested":                 keys.Join(keys.Join(secret, file), keys.Join(remote(up.URL), keys.Public(public(edKey())))),
		"in a ByIssuer":          keys.ByIssuer{issuer: keys.Join(secret, remote(up.URL))},
		"a function":             keys.Join(secret, jwtgate.KeySourceFunc(remote(up.URL).Keys)),
		"of ByIssuers":           keys.ByIssuer{issuer: keys.Join(keys.ByIssuer{issuer: secret}, keys.ByIssuer{issuer: remote(up.URL)})},
		"ByIssuer around a Join": keys.ByIssuer{issuer: keys.Join(keys.ByIssuer{issuer: keys.Join(secret, file)}, remote(up.URL))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			jwttest.TestKeySource(t, source)
		})
	}
}

// acceptance 45
func TestJoin_Concurrent(t *testing.T) {
	t.Parallel()
	eachJoin(t, serves(oneKeySet("1", edKey())), func(t *testing.T, server *keyServer, remote *keys.Remote, source jwtgate.KeySource) {
		gate := newGate(t, source)
		concurrently(30, func(i int) {
			assert.Equal(t, 200, statusOf(t, gate, signSecret(t, fmt.Sprint(i))))
			assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
			assert.Equal(t, 401, statusOf(t, gate, signEdDSA(t, otherEdKey(), "1")))
		})
	})
}

// The usual lookups of a secret and of a key in memory allocate nothing.
func TestJoin_Allocations(t *testing.T) {
	server := newDirectServer(serves(oneKeySet("1", edKey())))
	remote, _ := server.remote()
	require.NoError(t, remote.Refresh(t.Context(), issuer))
	for name, source := range joins(remote) {
		source := source.(jwtgate.AlgorithmSource)
		for _, q := range []struct{ kid, algorithm string }{{"", "HS256"}, {"unknown", "HS256"}, {"1", "EdDSA"}, {"", "EdDSA"}} {
			allocations := testing.AllocsPerRun(100, func() { _, _ = source.KeysFor(t.Context(), issuer, q.kid, q.algorithm) })
			assert.Zero(t, allocations, "%s, kid %q, %s", name, q.kid, q.algorithm)
		}
	}
}

// BenchmarkJoin compares lookups in a Join with those in its sources.
func BenchmarkJoin(b *testing.B) {
	server := newDirectServer(serves(oneKeySet("1", edKey())))
	remote, _ := server.remote()
	require.NoError(b, remote.Refresh(b.Context(), issuer))
	secret := keys.HS256(joinSecret)
	lookups(b, "secret alone", secret, issuer, "1")
	lookups(b, "Remote alone", remote, issuer, "1")
	for _, bb := range []struct {
		name, kid, algorithm string
		source               jwtgate.KeySource
	}{
		{"secret", "1", "HS256", keys.Join(secret, remote)},
		{"public key", "1", "EdDSA", keys.Join(secret, remote)},
		{"same algorithm", "1", "EdDSA", keys.Join(keys.Public(public(otherEdKey())), remote)},
	} {
		source := bb.source.(jwtgate.AlgorithmSource)
		ctx := b.Context()
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ks, err := source.KeysFor(ctx, issuer, bb.kid, bb.algorithm); err != nil || len(ks) == 0 {
					b.Fatal("no key")
				}
			}
		})
	}
}
