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
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain makes the heap like that of a small service that has run for a while. With
// the few kilobytes that a benchmark needs, the garbage collector would run every few
// milliseconds, and the fastest benchmarks would measure the collector. The garbage makes
// the heap grow before the first benchmark, which would otherwise pay for its pages.
func TestMain(m *testing.M) {
	service := make([]byte, 32<<20)
	for range 256 << 10 {
		garbage = make([]byte, 1<<10)
	}
	m.Run()
	runtime.KeepAlive(service)
}

var garbage []byte // a global variable, so that it is allocated on the heap

// A contender is one side of a comparison. newRun returns a function that does the
// measured work once and reports whether the result is right. Each goroutine has to
// call newRun, because the function need not be safe for concurrent use.
type contender struct {
	name   string
	newRun func(testing.TB) func() bool
}

// run measures a contender on one goroutine.
func (c contender) run(b *testing.B) {
	run := c.newRun(b)
	require.True(b, run()) // from now on jwtgate-cached remembers the token
	b.ReportAllocs()
	for b.Loop() {
		if !run() {
			b.Fatal("the result is wrong")
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
				b.Error("the result is wrong")
				return
			}
		}
	})
}

// BenchmarkAccept measures a request with a good token, from the Authorization
// header to the handler that reads the subject.
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

// BenchmarkPaired measures the ratio of two contenders that alternate, so that both
// run on a machine of the same speed.
func BenchmarkPaired(b *testing.B) {
	for _, alg := range algorithms {
		contenders := slices.Concat(accepting(b, alg), contexts())
		for _, p := range pairs(alg) {
			b.Run(p.String(), func(b *testing.B) {
				one, other := newSide(b, contenders, p.lib), newSide(b, contenders, p.to)
				for b.Loop() {
					one.run(b)
					other.run(b)
				}
				reportRatio(b, one.each()/other.each())
			})
		}
	}
}

// reportRatio reports the result of a pair, without the time of both sides together.
func reportRatio(b *testing.B, ratio float64) {
	b.ReportMetric(ratio, pairedRatio)
	b.ReportMetric(0, nanoseconds)
}

// A side is one contender of a pair.
type side struct {
	once  func() bool
	batch int           // how often each run calls once
	calls int           // so far
	spent time.Duration // on them
}

// newSide returns a side whose runs take half a millisecond or a little longer.
func newSide(b *testing.B, contenders []contender, name string) *side {
	i := slices.IndexFunc(contenders, func(c contender) bool { return c.name == name })
	require.GreaterOrEqual(b, i, 0, name)
	s := &side{once: contenders[i].newRun(b), batch: 1}
	s.run(b) // from now on jwtgate-cached remembers the token
	for {
		s.spent = 0
		if s.run(b); s.spent >= time.Millisecond/2 {
			*s = side{once: s.once, batch: s.batch}
			return s
		}
		s.batch *= 2
	}
}

func (s *side) run(b *testing.B) {
	start := time.Now()
	for range s.batch {
		if !s.once() {
			b.Fatal("the result is wrong")
		}
	}
	s.spent += time.Since(start)
	s.calls += s.batch
}

// each returns the nanoseconds of one call.
func (s *side) each() float64 { return float64(s.spent) / float64(s.calls) }

// accepting returns the bare cryptography and all peers that support alg.
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

// bare returns contenders that only check the signature of a token. The signature is
// decoded before the measurement.
func bare(alg, token string) []contender {
	dot := strings.LastIndexByte(token, '.')
	input, signature := []byte(token[:dot]), must(base64.RawURLEncoding.DecodeString(token[dot+1:]))
	always := func(run func() bool) func(testing.TB) func() bool {
		return func(testing.TB) func() bool { return run }
	}
	switch key := ours[alg]().public.(type) {
	case []byte:
		return []contender{
			// The usual way, which golang-jwt uses too.
			{"bare", always(func() bool {
				h := hmac.New(sha256.New, key)
				h.Write(input)
				return hmac.Equal(signature, h.Sum(nil))
			})},
			// Keyed once. This saves hashing two blocks for each check.
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

// BenchmarkContext measures what every middleware needs that puts a value into the
// request's context.
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
			// Storing the request keeps the compiler from optimising the call away. The
			// padding keeps the goroutines from sharing a cache line.
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

// BenchmarkRefuse measures a request with a bad token, including the answer.
// jwtgate-check calls Check, which writes no answer.
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

// BenchmarkRefuseSize shows whether refusing a longer token allocates more memory.
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

// The larger token has ten times the claims and ten times the size: 16 KiB, the most
// that a gate accepts.
const manySmall, manyLarge = (16 << 10) / 10, 16 << 10

func BenchmarkClaims(b *testing.B) {
	for _, many := range []struct{ claims, size int }{{100, manySmall}, {1000, manyLarge}} {
		c := serving("jwtgate", withJwtgate(b, "HS256"), tokenWithClaims(many.claims, many.size), http.StatusNoContent)
		b.Run(fmt.Sprintf("claims=%d/lib=%s", many.claims, c.name), c.run)
	}
}

// BenchmarkCache fills a cache of 10,000 places with 30,000 tokens and measures the
// memory that it holds. 30,000 tokens leave only one place in a thousand empty. For
// each token the cache has to keep at least the text and the claims.
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

// distinctTokens returns n tokens that differ in jti. bytes is the mean length of a
// token plus its decoded claims.
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
	bytes      int64 // of the gate with its cache full
	hits       int   // tokens that were still remembered
	grownSince int64 // further bytes after verifying all tokens again
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

	// Verifying a forgotten token evicts a remembered one. Each token is verified once,
	// so the hits are at most the tokens that were remembered at the start. The latest
	// tokens come first, because they are the most likely to be remembered.
	for _, token := range slices.Backward(tokens) {
		_, err := gate.Verify(ctx, token)
		require.NoError(tb, err)
	}
	filled.grownSince = heap() - full
	runtime.KeepAlive(gate)
	return filled
}

// heap returns the bytes in use. The second collection frees what pools have kept
// through the first.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestContendersReturnTheRightResult(t *testing.T) {
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
