package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain keeps alive about as much memory as a small service does. With the
// few kilobytes that a benchmark needs, the garbage collector would run every
// few milliseconds, and how that goes with two processors is what the fastest
// benchmarks would measure.
func TestMain(m *testing.M) {
	service := make([]byte, 32<<20)
	m.Run()
	runtime.KeepAlive(service)
}

// A contender does one thing that is measured beside others. newRun returns
// what does it once and tells whether it came out as it must; each goroutine
// has its own.
type contender struct {
	name   string
	newRun func(testing.TB) func() bool
}

// run measures a contender on one goroutine.
func (c contender) run(b *testing.B) {
	run := c.newRun(b)
	require.True(b, run()) // and jwtgate-cached remembers the token
	b.ReportAllocs()
	for b.Loop() {
		if !run() {
			b.Fatal("it did not come out as it must")
		}
	}
}

// runParallel measures a contender on one goroutine for each processor.
func (c contender) runParallel(b *testing.B) {
	require.True(b, c.newRun(b)())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		run := c.newRun(b)
		for pb.Next() {
			if !run() {
				b.Error("it did not come out as it must")
				return
			}
		}
	})
}

// BenchmarkAccept is the whole way of a request with a good token, from the
// Authorization header to the handler that reads the subject.
func BenchmarkAccept(b *testing.B) {
	for _, alg := range algorithms {
		for _, c := range accepting(b, alg) {
			b.Run("alg="+alg+"/lib="+c.name, c.run)
		}
	}
}

func BenchmarkAcceptParallel(b *testing.B) {
	for _, alg := range algorithms {
		for _, c := range accepting(b, alg) {
			b.Run("alg="+alg+"/lib="+c.name, c.runParallel)
		}
	}
}

// accepting returns the bare cryptography and all peers that have alg.
func accepting(tb testing.TB, alg string) []contender {
	token := goodToken(alg)
	contenders := bare(alg, token)
	for _, p := range peers {
		if alg != p.without {
			contenders = append(contenders, serving(p.name, p.handler(tb, alg), token, http.StatusNoContent))
		}
	}
	return contenders
}

func serving(name string, handler http.Handler, token string, want int) contender {
	return contender{name, func(testing.TB) func() bool {
		r, w := newRequest(token), newResponse()
		return func() bool { return w.serve(handler, r) == want }
	}}
}

// bare returns what checks the signature of a token and nothing else, given
// the decoded signature and the input that was signed.
func bare(alg, token string) []contender {
	dot := strings.LastIndexByte(token, '.')
	input, signature := []byte(token[:dot]), must(base64.RawURLEncoding.DecodeString(token[dot+1:]))
	always := func(run func() bool) func(testing.TB) func() bool {
		return func(testing.TB) func() bool { return run }
	}
	switch key := ours[alg]().public.(type) {
	case []byte:
		return []contender{
			// As anybody writes it, golang-jwt among them.
			{"bare", always(func() bool {
				h := hmac.New(sha256.New, key)
				h.Write(input)
				return hmac.Equal(signature, h.Sum(nil))
			})},
			// Keyed once, which spares two of the blocks that are hashed.
			{"bare-reset", func(testing.TB) func() bool {
				h, sum := hmac.New(sha256.New, key), make([]byte, 0, sha256.Size)
				return func() bool {
					h.Reset()
					h.Write(input)
					return hmac.Equal(signature, h.Sum(sum))
				}
			}},
		}
	case *rsa.PublicKey:
		return []contender{{"bare", always(func() bool {
			digest := sha256.Sum256(input)
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
		})}}
	case *ecdsa.PublicKey:
		return []contender{{"bare", always(func() bool {
			digest := sha256.Sum256(input)
			half := len(signature) / 2
			r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
			return ecdsa.Verify(key, digest[:], r, s)
		})}}
	case ed25519.PublicKey:
		return []contender{{"bare", always(func() bool { return ed25519.Verify(key, input, signature) })}}
	default:
		panic(fmt.Sprintf("no bare check with a %T", key))
	}
}

// BenchmarkContext is what no middleware can do without that hands something
// on in the request's context.
func BenchmarkContext(b *testing.B) {
	for _, c := range contexts() {
		b.Run("what="+c.name, c.run)
	}
}

func BenchmarkContextParallel(b *testing.B) {
	for _, c := range contexts() {
		b.Run("what="+c.name, c.runParallel)
	}
}

func contexts() []contender {
	type key struct{}
	value := new(jwtgate.Token)
	with := func(change func(context.Context) context.Context) func(testing.TB) func() bool {
		return func(testing.TB) func() bool {
			r := newRequest("token")
			// What is kept is not optimised away. The padding is for the other
			// goroutines, whose requests are kept elsewhere.
			kept := new(struct {
				request *http.Request
				_       [120]byte
			})
			return func() bool {
				kept.request = r.WithContext(change(r.Context()))
				return kept.request != r
			}
		}
	}
	return []contender{
		{"WithContext", with(func(ctx context.Context) context.Context { return ctx })},
		{"WithValue", with(func(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, value) })},
	}
}

// BenchmarkRefuse is the whole way of a request with a bad token, the answer
// included. jwtgate-check decides only.
func BenchmarkRefuse(b *testing.B) {
	for _, bad := range badTokens {
		for _, c := range refusing(b, bad.token()) {
			b.Run("case="+bad.name+"/lib="+c.name, c.run)
		}
	}
}

func refusing(tb testing.TB, token string) []contender {
	gate := newGate(tb, "RS256")
	contenders := []contender{{"jwtgate-check", func(testing.TB) func() bool {
		r := newRequest(token)
		return func() bool {
			_, err := gate.Check(r)
			return err != nil
		}
	}}}
	for _, p := range peers {
		contenders = append(contenders, serving(p.name, p.handler(tb, "RS256"), token, http.StatusUnauthorized))
	}
	return contenders
}

const forgedSmall, forgedLarge = 1 << 10, 15 << 10

// BenchmarkRefuseSize shows whether the refusal of a longer token takes more
// memory.
func BenchmarkRefuseSize(b *testing.B) {
	for i, bad := range forgedOf(forgedSmall) {
		for _, sized := range []struct {
			size  int
			token func() string
		}{{forgedSmall, bad.token}, {forgedLarge, forgedOf(forgedLarge)[i].token}} {
			c := serving("jwtgate", withJwtgate(b, "RS256"), sized.token(), http.StatusUnauthorized)
			b.Run(fmt.Sprintf("case=%s/size=%d/lib=%s", bad.name, sized.size, c.name), c.run)
		}
	}
}

// Ten times the claims, in tokens of 1.6 and of 16 KiB. Longer ones are refused.
const manySmall, manyLarge = (16 << 10) / 10, 16 << 10

func BenchmarkClaims(b *testing.B) {
	for _, many := range []struct{ claims, size int }{{100, manySmall}, {1000, manyLarge}} {
		c := serving("jwtgate", withJwtgate(b, "HS256"), tokenWithClaims(many.claims, many.size), http.StatusNoContent)
		b.Run(fmt.Sprintf("claims=%d/lib=%s", many.claims, c.name), c.run)
	}
}

// BenchmarkCache fills a cache of 10,000 with three times as many tokens, so
// that all but one in a thousand of its places are taken, and weighs it. What it
// must keep for a token is its text and its claims.
func BenchmarkCache(b *testing.B) {
	const size = 10_000
	tokens, needed := distinctTokens(3 * size)
	for b.Loop() {
		filled := fillCache(b, size, tokens)
		b.ReportMetric(float64(filled.bytes)/size, "held-B/entry")
		b.ReportMetric(needed, "needed-B/entry")
		b.ReportMetric(float64(filled.hits), "hits")
		b.ReportMetric(float64(filled.grownSince)/size, "grown-B/entry")
	}
}

// distinctTokens returns tokens that differ in jti, and the mean number of
// bytes in one and its claims.
func distinctTokens(n int) (tokens []string, bytes float64) {
	private, h := ours["HS256"]().private, header("HS256", nil)
	for i := range n {
		claims := payload(map[string]any{"jti": fmt.Sprintf("%016x", i)})
		token := sign("HS256", private, h, claims)
		tokens = append(tokens, token)
		bytes += float64(len(token)+len(claims)) / float64(n)
	}
	return tokens, bytes
}

type filledCache struct {
	bytes      int64 // the whole gate, its cache full
	hits       int   // tokens that were still remembered
	grownSince int64 // after all tokens came once more
}

func fillCache(tb testing.TB, size int, tokens []string) (filled filledCache) {
	ctx := context.Background()
	before := heap()
	gate := newGate(tb, "HS256", remembering(size), func(o *jwtgate.Options) {
		o.Observe = func(_ context.Context, e jwtgate.Event) {
			if e.Cached {
				filled.hits++
			}
		}
	})
	for _, token := range tokens {
		_, err := gate.Verify(ctx, token)
		require.NoError(tb, err)
	}
	full := heap()
	filled.bytes = full - before

	// A token that is not remembered takes the place of another. Since each
	// comes once, the hits are still no more than there were to begin with. The
	// latest, which are the most likely ones, come first.
	for _, token := range slices.Backward(tokens) {
		_, err := gate.Verify(ctx, token)
		require.NoError(tb, err)
	}
	filled.grownSince = heap() - full
	runtime.KeepAlive(gate)
	return filled
}

// heap returns how much memory is in use. The second collection takes what
// pools have kept from the first.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestContendersComeOutAsTheyMust(t *testing.T) {
	for _, alg := range algorithms {
		token := goodToken(alg)
		wrong := token[:len(token)-8] + "AAAA" + token[len(token)-4:]
		for i, c := range bare(alg, token) {
			assert.True(t, c.newRun(t)(), "%s %s", alg, c.name)
			assert.False(t, bare(alg, wrong)[i].newRun(t)(), "%s %s", alg, c.name)
		}
	}
	for i, c := range contexts() {
		run := c.newRun(t)
		assert.EqualValues(t, i+1, testing.AllocsPerRun(100, func() { run() }), c.name)
	}
}

func TestCacheIsFilledAndNeverHoldsMore(t *testing.T) {
	tokens, needed := distinctTokens(300)
	filled := fillCache(t, 100, tokens)
	assert.LessOrEqual(t, filled.hits, 100)
	assert.GreaterOrEqual(t, filled.hits, 50)
	assert.Greater(t, float64(filled.bytes), 100*needed)

	assert.Zero(t, fillCache(t, 0, tokens).hits)
}
