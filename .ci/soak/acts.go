package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// An act is something that happens to an issuer while clients use its tokens.
type act struct {
	name string
	run  func(s *soak, ctx context.Context, r *rand.Rand, i *issuer)
}

// rotations are the acts of all issuers.
var rotations = []act{
	{"quiet rotation", quietRotation},
	{"quiet rotation", quietRotation},
	{"rotation under random key IDs", rotationUnder(func(s *soak, r *rand.Rand, i *issuer) token {
		return s.forge(r, randomKeyID, i.signing())
	})},
	{"rotation under bad signatures", rotationUnder(func(s *soak, r *rand.Rand, i *issuer) token {
		return s.forge(r, badSignature, i.signing())
	})},
	{"rotation under tokens of a withdrawn key", func(s *soak, ctx context.Context, r *rand.Rand, i *issuer) {
		i.rotate()
		i.withdraw(1)
		rotationUnder(func(_ *soak, r *rand.Rand, i *issuer) token {
			i.mu.Lock()
			defer i.mu.Unlock()
			return withKind(pick(r, i.retired[len(i.retired)-1].tokens), "good once: the key is withdrawn")
		})(s, ctx, r, i)
	}},
	{"three rotations in a row", func(_ *soak, ctx context.Context, _ *rand.Rand, i *issuer) {
		for range 3 {
			i.rotate()
			sleep(ctx, 200*time.Millisecond)
		}
	}},
	{"quiet withdrawal", quietWithdrawal},
	{"withdrawal", func(_ *soak, ctx context.Context, _ *rand.Rand, i *issuer) {
		i.withdraw(1)
		sleep(ctx, 3*time.Second)
	}},
}

// outages are further acts of issuers that fail.
var outages = []act{
	{"outage", outage(time.Second, scopes)},
	{"outage", outage(2*time.Second, scopes)},
	longOutage,
	{"flapping", func(_ *soak, ctx context.Context, r *rand.Rand, i *issuer) {
		for range 8 {
			i.breakWith(pick(r, plainFaults), pick(r, scopes))
			sleep(ctx, 200*time.Millisecond)
			i.mend()
			sleep(ctx, 200*time.Millisecond)
		}
	}},
}

// longOutage lasts until the keys are stale. If only the metadata fails, they get stale
// later: the gate goes on to fetch them from the address that it knows.
var longOutage = act{"outage until the keys are stale", outage(freshFor+staleFor+time.Second, []string{"", "keys"})}

// fileActs are those of the issuer whose keys are in a file.
var fileActs = []act{
	{"file replaced", func(_ *soak, _ context.Context, _ *rand.Rand, i *issuer) { i.rotate() }},
	{"file replaced, without old keys", func(_ *soak, _ context.Context, _ *rand.Rand, i *issuer) {
		i.rotate()
		i.withdraw(1)
	}},
	{"quiet withdrawal", quietWithdrawal},
	{"file not usable", func(_ *soak, ctx context.Context, r *rand.Rand, i *issuer) {
		sleep(ctx, 1200*time.Millisecond) // the gate looks at the last change first
		i.breakWith(pick(r, fileFaults), "")
		sleep(ctx, pick(r, []time.Duration{time.Second, fileStaleFor + 3*time.Second}))
		i.mend()
	}},
}

// replacements are further acts of the issuer that never fails. It replaces keys or takes
// them back in other ways than by a rotation.
var replacements = []act{
	{"key replaced under its ID", func(_ *soak, ctx context.Context, _ *rand.Rand, i *issuer) {
		i.replace()
		sleep(ctx, 2*time.Second)
	}},
	{"explicitly empty set", func(_ *soak, ctx context.Context, _ *rand.Rand, i *issuer) {
		restore := i.withdrawAll()
		i.breakWith(emptySet, "keys")
		sleep(ctx, freshFor)
		i.mend()
		restore()
	}},
	{"404 for the keys", missingKeys(status404)},
	{"a set without a usable key", missingKeys(noUsableKey)},
}

var (
	plainFaults = []string{
		"500", "503 with Retry-After", "hangs", "hangs in the body", "resets the connection", "HTML", "empty answer", "truncated JSON",
	}
	scopes = []string{"", "metadata", "keys"}
)

func missingKeys(fault string) func(*soak, context.Context, *rand.Rand, *issuer) {
	return func(_ *soak, ctx context.Context, _ *rand.Rand, i *issuer) {
		i.breakWith(fault, "keys")
		sleep(ctx, 2*freshFor)
		i.mend()
	}
}

// quietRotation publishes a key at the moment of its first use. There is no noise, so each
// gate must accept the first token of the key.
func quietRotation(s *soak, ctx context.Context, r *rand.Rand, i *issuer) {
	i.quiet.Store(true)
	defer i.quiet.Store(false)
	if !sleep(ctx, time.Second+s.slack()) {
		return
	}
	k := i.rotate()
	s.useEverywhere(r, i, k, "good: first use of the key")
	sleep(ctx, 500*time.Millisecond)
}

// quietWithdrawal ceases to publish a key. No token makes the gates look for changes, and
// yet they must notice.
func quietWithdrawal(s *soak, ctx context.Context, r *rand.Rand, i *issuer) {
	i.quiet.Store(true)
	defer i.quiet.Store(false)
	old := i.signing()
	i.rotate()
	sleep(ctx, 1500*time.Millisecond)
	i.withdraw(1)
	limits := i.views[0].limits
	if sleep(ctx, limits.notice) && sleep(ctx, s.slack()+100*time.Millisecond) {
		s.useEverywhere(r, i, old, "good once: the key is withdrawn")
	}
}

// useEverywhere sends a token of k to each gate at once, and waits for the answers.
func (s *soak) useEverywhere(r *rand.Rand, i *issuer, k *key, kind string) {
	var sent sync.WaitGroup
	for _, v := range i.views {
		t := withKind(pick(r, k.tokens), kind)
		sent.Go(func() { s.send(v, t) })
	}
	sent.Wait()
}

// rotationUnder returns an act that publishes a key in the middle of a flood of tokens. The
// oldest keys are withdrawn after that.
func rotationUnder(next func(*soak, *rand.Rand, *issuer) token) func(*soak, context.Context, *rand.Rand, *issuer) {
	return func(s *soak, ctx context.Context, r *rand.Rand, i *issuer) {
		flooding, stop := context.WithTimeout(ctx, 3*time.Second)
		defer stop()
		var flood sync.WaitGroup
		floodRand := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		flood.Go(func() {
			s.flood(flooding, floodRand, i, 5*time.Millisecond, func() token { return next(s, floodRand, i) })
		})
		sleep(ctx, time.Second)
		k := i.rotate()
		if r.IntN(2) == 0 {
			s.useEverywhere(r, i, k, "good: first use of the key")
		}
		flood.Wait()
		i.withdraw(3)
	}
}

// outage returns an act in which the issuer fails within one of scopes, and perhaps
// publishes a key meanwhile.
func outage(atLeast time.Duration, scopes []string) func(*soak, context.Context, *rand.Rand, *issuer) {
	return func(s *soak, ctx context.Context, r *rand.Rand, i *issuer) {
		i.quiet.Store(r.IntN(2) == 0)
		defer i.quiet.Store(false)
		sleep(ctx, time.Second)
		i.breakWith(pick(r, plainFaults), pick(r, scopes))
		d := atLeast + upTo(r, time.Second)
		sleep(ctx, d/2)
		if r.IntN(3) > 0 {
			i.rotate()
		}
		sleep(ctx, d/2)
		i.mend()
		sleep(ctx, 2*time.Second)
	}
}

// direct runs acts of an issuer until ctx ends: those of first, and then those of acts in
// random order, again and again.
func (s *soak) direct(ctx context.Context, r *rand.Rand, i *issuer, first, acts []act) {
	for next := slices.Clone(first); ; next = next[1:] {
		if len(next) == 0 {
			next = slices.Clone(acts)
			r.Shuffle(len(next), func(a, b int) { next[a], next[b] = next[b], next[a] })
		}
		if !sleep(ctx, 200*time.Millisecond+upTo(r, time.Second)) {
			return
		}
		i.mu.Lock()
		i.note("act: " + next[0].name)
		i.mu.Unlock()
		next[0].run(s, ctx, r, i)
		s.tally.act(next[0].name)
		i.withdraw(5)
	}
}
