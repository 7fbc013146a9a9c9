package jwttest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	auth    = "https://auth.example.com/"
	partner = "https://partner.example/"
)

func ed25519Key(t *testing.T, id string) *jwtgate.Key {
	t.Helper()
	k, err := jwtgate.NewKey(id, "EdDSA", ed25519Public(t))
	require.NoError(t, err)
	return k
}

func ed25519Public(t *testing.T) ed25519.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return public
}

func jwks(t *testing.T, members string) []byte {
	t.Helper()
	return fmt.Appendf(nil, `{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": %q%s}]}`,
		base64.RawURLEncoding.EncodeToString(ed25519Public(t)), members)
}

// quiet returns a Remote that does not log.
func quiet(url string) *keys.Remote {
	return &keys.Remote{URL: url, Logger: slog.New(slog.DiscardHandler)}
}

func TestTestKeySource(t *testing.T) {
	t.Parallel()
	der, err := x509.MarshalPKIXPublicKey(ed25519Public(t))
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	path := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(path, jwks(t, `, "kid": "in a file"`), 0o600))
	secret := []byte("a secret of thirty-two bytes....")
	up, down := jwttest.NewIssuer(t), jwttest.NewIssuer(t)
	up.Rotate()
	down.Down(503)
	missing := &keys.File{Path: path + ".missing", Logger: slog.New(slog.DiscardHandler)}

	next := ed25519Key(t, "a")

	for _, tt := range []struct {
		name   string
		source jwtgate.KeySource
	}{
		{"Static", keys.Static(ed25519Key(t, "a"), ed25519Key(t, "b"), ed25519Key(t, ""))},
		{"Public", keys.Public(ed25519Public(t))},
		{"HS256", keys.HS256(secret, append(secret, '!'))},
		{"PEM", keys.PEM(text)},
		{"JWKS", keys.JWKS(jwks(t, `, "kid": "../a\nb"`))},
		{"JWKS of one issuer", keys.ByIssuer{auth: keys.JWKS(jwks(t, `, "kid": "1", "issuer": "`+auth+`"`))}},
		{"File", &keys.File{Path: path, Logger: slog.New(slog.DiscardHandler)}},
		{"ByIssuer", keys.ByIssuer{auth: keys.HS256(secret), partner: keys.PEM(text)}},
		{"Remote with a URL", quiet(up.URL + "/jwks")},
		{"Remote that discovers", keys.ByIssuer{up.URL: quiet("")}},
		{"Remote without limit", up.Options().Keys},
		{"Remote in an outage", quiet(down.URL + "/jwks")},
		{"Remote of nobody", quiet("")},
		{"Rechecker", lookingAgain{keys.Static(ed25519Key(t, "a")), func(context.Context, string, []*jwtgate.Key) []*jwtgate.Key {
			return []*jwtgate.Key{next}
		}}},
		{"Join", keys.Join(keys.HS256(secret), quiet(up.URL+"/jwks"), &keys.File{Path: path, Logger: slog.New(slog.DiscardHandler)})},
		{"a function", jwtgate.KeySourceFunc(func(_ context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
			return nil, fmt.Errorf("no database: %.40q of %.40q", kid, issuer)
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jwttest.CheckKeySource(t, tt.source, hang, hang, hang)
		})
	}
	t.Run("File that is missing", func(t *testing.T) {
		t.Parallel()
		source := jwtgate.KeySourceFunc(missing.Keys) // New would refuse the File itself
		jwttest.CheckKeySource(t, source, hang, hang, hang)
	})
}

// hang is how long a test waits before it fails because something does not happen.
// No test that passes waits for it.
const hang = time.Minute

// Each of brokenSources breaks one promise. The report of the source contains text.
var brokenSources = []struct {
	name   string
	text   string
	source func(*testing.T) jwtgate.KeySource
}{
	{"nil", "the source is nil", func(*testing.T) jwtgate.KeySource { return nil }},
	{"empty", "there is no key for any of the issuers", broken(func(*jwtgate.Key, string) ([]*jwtgate.Key, error) { return nil, nil })},
	{"refuses to be used", "it has to have a key", func(*testing.T) jwtgate.KeySource { return refusesIssuers{} }},
	{"has bad material", "secret 1", func(*testing.T) jwtgate.KeySource { return keys.HS256([]byte("short")) }},
	{"knows other issuers only", "pass keys.ByIssuer", func(t *testing.T) jwtgate.KeySource {
		own := keys.Static(ed25519Key(t, "1"))
		return jwtgate.KeySourceFunc(func(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
			if issuer != auth {
				return nil, nil
			}
			return own.Keys(ctx, issuer, kid)
		})
	}},
	{"panics for a short key ID", "panicked: runtime error: slice bounds out of range", broken(func(k *jwtgate.Key, kid string) ([]*jwtgate.Key, error) {
		_ = kid[:8]
		return []*jwtgate.Key{k}, nil
	})},
	{"panics for bytes that are not UTF-8", "panicked: not UTF-8", broken(func(k *jwtgate.Key, kid string) ([]*jwtgate.Key, error) {
		if strings.ContainsRune(kid, '\ufffd') {
			panic("not UTF-8")
		}
		return []*jwtgate.Key{k}, nil
	})},
	{"panics as an error", "panicked: no text", broken(func(*jwtgate.Key, string) ([]*jwtgate.Key, error) { return nil, panickingError{} })},
	{"ends its goroutine", "ended its goroutine", broken(func(*jwtgate.Key, string) ([]*jwtgate.Key, error) {
		runtime.Goexit()
		return nil, nil
	})},
	{"returns a nil key", "returned a nil key, number 2 of 2", broken(func(k *jwtgate.Key, _ string) ([]*jwtgate.Key, error) {
		return []*jwtgate.Key{k, nil}, nil
	})},
	{"returns a zero Key", "returned the zero Key, number 1 of 1", broken(func(*jwtgate.Key, string) ([]*jwtgate.Key, error) {
		return []*jwtgate.Key{new(jwtgate.Key)}, nil
	})},
	{"does not find what it lists", `does not return the key "1" for EdDSA`, broken(func(k *jwtgate.Key, kid string) ([]*jwtgate.Key, error) {
		if kid == "1" {
			return nil, nil
		}
		return []*jwtgate.Key{k}, nil
	})},
	{"blocks for ever", "has not returned within", broken(func(*jwtgate.Key, string) ([]*jwtgate.Key, error) { select {} })},
	{"blocks once it has been asked before", "has not returned within", func(t *testing.T) jwtgate.KeySource {
		var calls atomic.Int32
		return broken(func(k *jwtgate.Key, _ string) ([]*jwtgate.Key, error) {
			if calls.Add(1) > 50 {
				select {}
			}
			return []*jwtgate.Key{k}, nil
		})(t)
	}},
	{"waits after its context has ended", "returns_when_the_context_ends", func(t *testing.T) jwtgate.KeySource {
		k := ed25519Key(t, "1")
		return jwtgate.KeySourceFunc(func(ctx context.Context, _, _ string) ([]*jwtgate.Key, error) {
			if ctx.Err() != nil {
				select {}
			}
			return []*jwtgate.Key{k}, nil
		})
	}},
	{"has no keys once its context has ended", `returned [], and before [key "1" for EdDSA], without an error`, func(t *testing.T) jwtgate.KeySource {
		k := ed25519Key(t, "1")
		return jwtgate.KeySourceFunc(func(ctx context.Context, _, _ string) ([]*jwtgate.Key, error) {
			if ctx.Err() != nil {
				return nil, nil
			}
			return []*jwtgate.Key{k}, nil
		})
	}},
	{"repeats the key ID as it is", "returned an error with control characters", broken(func(k *jwtgate.Key, kid string) ([]*jwtgate.Key, error) {
		if kid == "" || kid == k.ID() {
			return []*jwtgate.Key{k}, nil
		}
		return nil, errors.New("no key " + kid)
	})},
	{"repeats the beginning of the key ID", "returned an error with control characters", broken(func(k *jwtgate.Key, kid string) ([]*jwtgate.Key, error) {
		if kid == "" || kid == k.ID() {
			return []*jwtgate.Key{k}, nil
		}
		return nil, fmt.Errorf("no key %.1s", kid)
	})},
	{"repeats all of the key ID", "bytes that repeats the key ID", broken(func(k *jwtgate.Key, kid string) ([]*jwtgate.Key, error) {
		if kid == "" || kid == k.ID() {
			return []*jwtgate.Key{k}, nil
		}
		return nil, fmt.Errorf("no key %q", kid)
	})},
	{"requests what the key ID says", "requested an address that a key ID named", broken(func(k *jwtgate.Key, kid string) ([]*jwtgate.Key, error) {
		if response, err := http.Get(kid); err == nil {
			response.Body.Close()
		}
		return []*jwtgate.Key{k}, nil
	})},
	{"answers differently each time", "and before", func(t *testing.T) jwtgate.KeySource {
		all := []*jwtgate.Key{ed25519Key(t, ""), nil}
		other, err := jwtgate.NewKey("", "HS256", []byte("a secret of thirty-two bytes...."))
		require.NoError(t, err)
		all[1] = other
		var calls atomic.Int32
		return jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) {
			n := calls.Add(1) % 2
			return all[n : n+1], nil
		})
	}},
	{"leaves out others each time", "and before", func(t *testing.T) jwtgate.KeySource {
		var all []*jwtgate.Key
		for n := range 5 {
			all = append(all, ed25519Key(t, fmt.Sprint(n)))
		}
		var calls atomic.Int32
		return jwtgate.KeySourceFunc(func(_ context.Context, _, kid string) ([]*jwtgate.Key, error) {
			n := int(calls.Add(1)) % 5
			return slices.Concat(all[n:], all[:n]), nil
		})
	}},
	{"leaves out a key for its algorithm", "KeysFor(ctx, \"\", \"1\", \"EdDSA\") does not return the key", func(t *testing.T) jwtgate.KeySource {
		return forgetsAlgorithm{keys.Static(ed25519Key(t, "1"))}
	}},
	{"looks again and returns a nil key", `Recheck(ctx, "", "", "EdDSA", 0 keys) returned a nil key, number 1 of 1`,
		brokenRecheck(func(context.Context, *jwtgate.Key, string, []*jwtgate.Key) []*jwtgate.Key { return []*jwtgate.Key{nil} })},
	{"looks again and returns a zero Key", "returned the zero Key, number 1 of 1",
		brokenRecheck(func(context.Context, *jwtgate.Key, string, []*jwtgate.Key) []*jwtgate.Key { return []*jwtgate.Key{{}} })},
	{"looks again and returns what was tried", "returned a key that was tried, number 1 of 1",
		brokenRecheck(func(_ context.Context, k *jwtgate.Key, _ string, _ []*jwtgate.Key) []*jwtgate.Key {
			return []*jwtgate.Key{k}
		})},
	{"looks again and changes what was tried", "changed the slice tried",
		brokenRecheck(func(_ context.Context, _ *jwtgate.Key, _ string, tried []*jwtgate.Key) []*jwtgate.Key {
			clear(tried)
			return nil
		})},
	{"looks again and panics for a key ID", "Recheck(ctx, \"\", \"jwttest-kid\", \"EdDSA\", 0 keys) panicked: any key ID",
		brokenRecheck(func(_ context.Context, _ *jwtgate.Key, kid string, _ []*jwtgate.Key) []*jwtgate.Key {
			if kid != "" && kid != "1" {
				panic("any key ID")
			}
			return nil
		})},
	{"looks again at an address", "requested an address that a key ID named",
		brokenRecheck(func(_ context.Context, _ *jwtgate.Key, kid string, _ []*jwtgate.Key) []*jwtgate.Key {
			if response, err := http.Get(kid); err == nil {
				response.Body.Close()
			}
			return nil
		})},
	{"looks again after its context has ended", "looks_again",
		brokenRecheck(func(ctx context.Context, _ *jwtgate.Key, _ string, _ []*jwtgate.Key) []*jwtgate.Key {
			if ctx.Err() != nil {
				select {}
			}
			return nil
		})},
	{"looks again and leaves goroutines", "calls of Recheck for the issuer",
		brokenRecheck(func(context.Context, *jwtgate.Key, string, []*jwtgate.Key) []*jwtgate.Key {
			go func() { select {} }()
			return nil
		})},
	{"uses a slice again when it looks again", "returned was changed later", func(t *testing.T) jwtgate.KeySource {
		k, others := ed25519Key(t, "1"), []*jwtgate.Key{ed25519Key(t, "2"), ed25519Key(t, "3")}
		var shared [1]*jwtgate.Key
		var calls atomic.Int32
		return lookingAgain{keys.Static(k), func(context.Context, string, []*jwtgate.Key) []*jwtgate.Key {
			shared[0] = others[calls.Add(1)%2]
			return shared[:]
		}}
	}},
	{"uses a slice again", "was changed later", func(t *testing.T) jwtgate.KeySource {
		all := map[string]*jwtgate.Key{"1": ed25519Key(t, "1"), "2": ed25519Key(t, "2")}
		var shared []*jwtgate.Key
		return jwtgate.KeySourceFunc(func(_ context.Context, _, kid string) ([]*jwtgate.Key, error) {
			shared = shared[:0]
			for id, k := range all {
				if kid == "" || kid == id {
					shared = append(shared, k)
				}
			}
			slices.SortFunc(shared, func(a, b *jwtgate.Key) int { return strings.Compare(a.ID(), b.ID()) })
			return shared, nil
		})
	}},
	{"mixes up concurrent calls", "is_safe_for_concurrent_use", func(t *testing.T) jwtgate.KeySource {
		all := map[string][]*jwtgate.Key{"": {ed25519Key(t, "1"), ed25519Key(t, "2")}}
		all["1"], all["2"] = all[""][:1], all[""][1:]
		var waiting atomic.Int32
		overlap := make(chan struct{})
		return jwtgate.KeySourceFunc(func(_ context.Context, _, kid string) ([]*jwtgate.Key, error) {
			// Only the workers of the concurrent test use such a key ID first. Two of
			// them meet here if their calls overlap.
			if ofWorker.MatchString(kid) {
				if waiting.Add(1) == 2 {
					close(overlap)
				}
				<-overlap
			}
			select {
			case <-overlap:
				return all["1"], nil
			default:
				return all[kid], nil
			}
		})
	}},
	{"leaves goroutines that nobody waits for", "goroutines behind", func(t *testing.T) jwtgate.KeySource {
		k := ed25519Key(t, "1")
		return jwtgate.KeySourceFunc(func(ctx context.Context, _, _ string) ([]*jwtgate.Key, error) {
			found := make(chan *jwtgate.Key) // unbuffered, so a send waits for a receiver
			if ctx.Err() != nil {
				go func() { found <- k }()
				return nil, ctx.Err()
			}
			go func() { found <- k }()
			return []*jwtgate.Key{<-found}, nil
		})
	}},
}

// ofWorker matches the key IDs that differ between concurrent calls.
var ofWorker = regexp.MustCompile(`^jwttest-kid\d+$`)

// broken returns a source with one key, "1", that answers as the function does.
func broken(answer func(k *jwtgate.Key, kid string) ([]*jwtgate.Key, error)) func(*testing.T) jwtgate.KeySource {
	return func(t *testing.T) jwtgate.KeySource {
		k := ed25519Key(t, "1")
		return jwtgate.KeySourceFunc(func(_ context.Context, _, kid string) ([]*jwtgate.Key, error) { return answer(k, kid) })
	}
}

// forgetsAlgorithm is an AlgorithmSource whose method KeysFor finds no key.
type forgetsAlgorithm struct{ jwtgate.KeySource }

func (forgetsAlgorithm) KeysFor(context.Context, string, string, string) ([]*jwtgate.Key, error) {
	return nil, nil
}

// A lookingAgain is a Rechecker.
type lookingAgain struct {
	jwtgate.KeySource
	recheck func(ctx context.Context, kid string, tried []*jwtgate.Key) []*jwtgate.Key
}

func (l lookingAgain) Recheck(ctx context.Context, _, kid, _ string, tried []*jwtgate.Key) []*jwtgate.Key {
	return l.recheck(ctx, kid, tried)
}

// brokenRecheck returns a Rechecker with one key, "1", whose method Recheck answers as the
// function does.
func brokenRecheck(answer func(ctx context.Context, k *jwtgate.Key, kid string, tried []*jwtgate.Key) []*jwtgate.Key) func(*testing.T) jwtgate.KeySource {
	return func(t *testing.T) jwtgate.KeySource {
		k := ed25519Key(t, "1")
		return lookingAgain{keys.Static(k), func(ctx context.Context, kid string, tried []*jwtgate.Key) []*jwtgate.Key {
			return answer(ctx, k, kid, tried)
		}}
	}
}

type refusesIssuers struct{ jwtgate.KeySource }

func (refusesIssuers) CheckIssuers([]string) error { return errors.New("it has to have a key") }

type panickingError struct{}

func (panickingError) Error() string { panic("no text") }

// chosenSource is the environment variable that names the broken source to test.
const chosenSource = "JWTTEST_BROKEN_SOURCE"

// shortLimits are the limits for sources that never return, or never end a goroutine.
// Even a short limit notices that. All other sources have the limit hang.
var shortLimits = map[string]struct{ call, endedCall, goroutine time.Duration }{
	"blocks for ever":                         {short, hang, hang},
	"blocks once it has been asked before":    {short, hang, hang},
	"waits after its context has ended":       {hang, short, hang},
	"leaves goroutines that nobody waits for": {hang, hang, short},
	"looks again after its context has ended": {hang, short, hang},
	"looks again and leaves goroutines":       {hang, hang, short},
}

const short = 200 * time.Millisecond

// TestKeySource fails for every broken source, and says why. It runs in another process,
// because its failure would fail this test.
func TestTestKeySource_Catches(t *testing.T) {
	if name := os.Getenv(chosenSource); name != "" {
		for _, tt := range brokenSources {
			if tt.name != name {
				continue
			}
			source := tt.source(t)
			if source == nil {
				jwttest.TestKeySource(t, nil) // never calls a source, so its limits do not matter
			}
			if limits, ok := shortLimits[name]; ok {
				jwttest.CheckKeySource(t, source, limits.call, limits.endedCall, limits.goroutine)
			} else {
				jwttest.CheckKeySource(t, source, hang, hang, hang)
			}
		}
		return
	}
	t.Parallel()
	for _, tt := range brokenSources {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTestKeySource_Catches$", "-test.timeout=5m")
			if coverage := flag.Lookup("test.gocoverdir").Value.String(); coverage != "" {
				process.Args = append(process.Args, "-test.gocoverdir="+coverage) // where this process collects coverage
			}
			process.Env = append(os.Environ(), chosenSource+"="+tt.name)
			output, err := process.CombinedOutput()
			var failed *exec.ExitError
			require.ErrorAs(t, err, &failed, "%s", output)
			assert.Contains(t, string(output), "--- FAIL: TestTestKeySource_Catches")
			assert.Contains(t, string(output), tt.text)
			assert.NotContains(t, string(output), "test timed out")
			if _, stuck := shortLimits[tt.name]; !stuck {
				assert.NotContains(t, string(output), "has not returned within")
			}
		})
	}
}
