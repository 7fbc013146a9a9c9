package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/typednil"
)

// Join returns a source with the keys of all sources, for one issuer that signs with
// two kinds of keys: one that moves from a shared secret to public keys, or one whose
// old key is in a file and whose new keys are published.
//
//	source := keys.Join(keys.HS256(secret), &keys.Remote{})
//
// Do not join the sources of several issuers: each issuer could then sign in the name
// of the others. Use [ByIssuer], whose sources may be Joins.
//
// # Which sources are asked
//
// A Join is a [jwtgate.AlgorithmSource]: it knows the algorithm and the key ID of the
// token that a gate verifies. It looks at the keys that all sources have in memory. If
// one of them is for the algorithm and has the key ID, no source is asked for more.
// Otherwise each source that may have another key for the algorithm is asked, in the
// given order, until one has a key with the key ID. Each [File] is asked first, because
// it only reads its file again. These sources are not asked:
//
//   - a source whose keys never change, such as [HS256] or [PEM];
//   - a [Remote] without Parse or a File without Parse, for a token that is signed with
//     a secret: neither has secrets;
//   - a Remote that has keys, for a token without key ID.
//
// With HS256 and Remote that means:
//
//   - A token that is signed with the secret never waits for the Remote, whatever its
//     key ID is. It works while the issuer is down, and causes no fetch for an unknown
//     key ID, even if it is forged.
//   - A token that is signed with a public key is answered as by the Remote alone. It
//     waits for the first fetch, and for a fetch after a rotation. The answer is 503
//     while the keys cannot be fetched. Forged tokens cause no more fetches.
//
// If a key in memory and the keys of a Remote are for the same algorithm, give the key
// the ID that tokens name, with [Static] and [jwtgate.NewKey]. Without this ID its tokens
// wait while the Remote looks for theirs.
//
// A Join asks a source that is not of this package for each token, unless a key in memory
// has the key ID. Sources that may wait are asked one after the other, so their waits add
// up.
//
// If no key verifies a token, its key may have been replaced under the same key ID. Each
// File then reads its file again, and each other [jwtgate.Rechecker] looks again, in the
// given order, until one of them has a new key for the token.
//
// # Errors
//
// The error of a source matters only if no other source has the key. The gate tries the
// keys of the other sources first. If none of them verifies the token, the gate answers
// with the error. [jwtgate.Gate.Ready] waits for all sources that may have keys for an
// accepted algorithm, and returns their errors.
//
// [jwtgate.New] reports a nil source, the problems of the sources, and secrets and keys
// that a gate would not try because more than four fit the same token.
//
// A Join of one source is this source. A Join without sources has no keys, and New
// reports that.
func Join(sources ...jwtgate.KeySource) jwtgate.KeySource {
	const constructor = "keys.Join"
	if len(sources) == 0 {
		return failed(constructor, errors.New("there is no source; pass at least one"))
	}
	j := &joined{}
	for i, source := range sources {
		if typednil.Is(source) {
			source = failed(constructor, fmt.Errorf("source %d is nil", i+1))
		}
		if inner, ok := source.(*joined); ok {
			j.parts = append(j.parts, inner.parts...)
			continue
		}
		p := part{source: source}
		p.memory, _ = source.(memory)
		_, p.isFile = source.(*File)
		p.rechecker, _ = source.(jwtgate.Rechecker)
		j.parts = append(j.parts, p)
	}
	if len(j.parts) == 1 {
		return j.parts[0].source
	}
	return j
}

// A joined is a source with the keys of its parts. None of the parts is a joined.
type joined struct{ parts []part }

// A part is one source of a joined.
type part struct {
	source jwtgate.KeySource
	memory memory // the same source; nil if it is not of this package
	isFile bool

	rechecker jwtgate.Rechecker // the same source; nil if it is none
}

// A memory is a source that knows which keys it has in memory.
type memory interface {
	// inMemory returns the keys that the source has in memory for a token. settled
	// reports that asking the source brings no other key that fits the token.
	// algorithm is "" if it is not known.
	//
	// inMemory never waits for a fetch. A File whose last check is a second old may wait
	// for the next check, so that a key that was removed is not used.
	inMemory(ctx context.Context, issuer, kid, algorithm string) (found []*jwtgate.Key, settled bool)
}

// usualParts is the number of parts for which a lookup allocates no memory.
const usualParts = 4

// An answer is what one part of a joined has for a token.
type answer struct {
	keys    []*jwtgate.Key
	best    fit  // how well the best of keys fits the token
	settled bool // asking the part brings no other key
}

// Keys returns the keys of all sources that may have signed a token with kid, whatever
// its algorithm. It asks the sources as KeysFor does for an algorithm of which each
// source may have keys. The error of a source is the error of Keys only if no other
// source has keys for kid, or if ctx has ended. A gate calls KeysFor instead.
func (j *joined) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	found, err := j.KeysFor(ctx, issuer, kid, "")
	if err == nil || (wanted{kid: kid}).best(found) > fitsNot && ctx.Err() == nil {
		return found, nil
	}
	return nil, err
}

// KeysFor returns the keys of all sources that may have signed a token with kid and
// algorithm. It may leave out keys for other algorithms. It returns the keys together
// with the errors of the sources that failed, unless one of the keys has the ID kid.
func (j *joined) KeysFor(ctx context.Context, issuer, kid, algorithm string) ([]*jwtgate.Key, error) {
	var array [usualParts]answer
	w := wanted{kid, algorithm}
	answers, best := j.fromMemory(array[:0], ctx, issuer, w)
	var errs []error
	for _, files := range [...]bool{true, false} {
		for i := range answers {
			p, a := &j.parts[i], &answers[i]
			if a.settled || p.isFile != files || best == fitsByID {
				continue
			}
			keys, err := keysFor(ctx, p.source, issuer, kid, algorithm)
			if err != nil {
				errs = append(errs, err)
			}
			if err == nil || len(keys) > 0 {
				a.keys, a.best = keys, w.best(keys)
				best = max(best, a.best)
			}
		}
	}
	found := w.concat(answers, best)
	switch {
	case len(errs) == 0 || best == fitsByID:
		return found, nil
	case len(errs) == 1:
		return found, errs[0]
	}
	return found, errors.Join(errs...)
}

// Recheck asks those of the sources that are a [jwtgate.Rechecker], each File first, until
// one of them has a key that may have signed a token with kid and algorithm and that is not
// among tried.
func (j *joined) Recheck(ctx context.Context, issuer, kid, algorithm string, tried []*jwtgate.Key) []*jwtgate.Key {
	for _, files := range [...]bool{true, false} {
		for i := range j.parts {
			p := &j.parts[i]
			if p.rechecker == nil || p.isFile != files || ctx.Err() != nil {
				continue
			}
			found := p.rechecker.Recheck(ctx, issuer, kid, algorithm, tried)
			if found = (wanted{kid, algorithm}).untried(found, tried); len(found) > 0 {
				return found
			}
		}
	}
	return nil
}

// inMemory returns the keys that the parts have in memory.
func (j *joined) inMemory(ctx context.Context, issuer, kid, algorithm string) (found []*jwtgate.Key, settled bool) {
	var array [usualParts]answer
	w := wanted{kid, algorithm}
	answers, best := j.fromMemory(array[:0], ctx, issuer, w)
	unsettled := slices.ContainsFunc(answers, func(a answer) bool { return !a.settled })
	return w.concat(answers, best), !unsettled || best == fitsByID
}

// fromMemory appends the answer that each part has in memory to answers, and returns how
// well the best of the keys fits the token.
func (j *joined) fromMemory(answers []answer, ctx context.Context, issuer string, w wanted) (_ []answer, best fit) {
	for i := range j.parts {
		var a answer
		if m := j.parts[i].memory; m != nil {
			a.keys, a.settled = m.inMemory(ctx, issuer, w.kid, w.algorithm)
			a.best = w.best(a.keys)
			best = max(best, a.best)
		}
		answers = append(answers, a)
	}
	return answers, best
}

// CheckIssuers returns the errors of the parts, and an error if more keys fit the same
// token than a gate tries.
func (j *joined) CheckIssuers(issuers []string) error {
	var errs []error
	var all []*jwtgate.Key
	for i := range j.parts {
		source := j.parts[i].source
		if checker, ok := source.(jwtgate.IssuerChecker); ok {
			if err := checker.CheckIssuers(issuers); err != nil {
				errs = append(errs, err)
			}
		}
		// Of a JWK Set the gate tries the first keys.
		if f, ok := source.(*fixed); ok && f.constructor != "keys.JWKS" && f.err == nil {
			all = append(all, f.set.all...)
		}
	}
	if len(errs) == 0 && len(all) > 0 {
		if err := checkKeys(all); err != nil {
			errs = append(errs, fmt.Errorf("keys.Join: %w", err))
		}
	}
	return errors.Join(errs...)
}

// CheckAlgorithms returns an error for each of algorithms that no part has a key for.
// A part without a method CheckAlgorithms may have keys for all algorithms.
func (j *joined) CheckAlgorithms(algorithms []string) error {
	covered := map[string]bool{}
	for i := range j.parts {
		of, _ := algorithmsOf(j.parts[i].source, algorithms)
		for _, name := range of {
			covered[name] = true
		}
	}
	return checkCovered("keys.Join", algorithms, covered)
}

// Format prints the number of sources, whatever the verb.
func (j *joined) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "keys.Join of %d sources", len(j.parts)) }

// A wanted is what a token says of its key. algorithm is "" if it is not known.
type wanted struct{ kid, algorithm string }

// A fit says how well a key fits a token.
type fit int

const (
	fitsNot  fit = iota
	fitsAny      // the key or the token has no ID
	fitsByID     // both have the same ID
)

// of returns how well k fits the token.
func (w wanted) of(k *jwtgate.Key) fit {
	switch {
	case k == nil || w.algorithm != "" && k.Algorithm() != w.algorithm:
		return fitsNot
	case w.kid == "" || k.ID() == "":
		return fitsAny
	case k.ID() == w.kid:
		return fitsByID
	}
	return fitsNot
}

// best returns how well the best of keys fits the token.
func (w wanted) best(keys []*jwtgate.Key) fit {
	best := fitsNot
	for _, k := range keys {
		if best = max(best, w.of(k)); best == fitsByID {
			break
		}
	}
	return best
}

// concat returns the keys of answers. best is how well the best of them fits the token.
// If a single answer has keys that fit, concat returns this answer and allocates
// nothing. Otherwise keys with the ID of the token come first, so that a gate, which
// tries four, tries them before keys without ID.
func (w wanted) concat(answers []answer, best fit) []*jwtgate.Key {
	count, last, size := 0, 0, 0
	for i := range answers {
		if n := len(answers[i].keys); n > 0 && (best == fitsNot || answers[i].best > fitsNot) {
			count, last, size = count+1, i, size+n
		}
	}
	if count <= 1 {
		return answers[last].keys
	}
	all := make([]*jwtgate.Key, 0, size)
	for _, byID := range [...]bool{true, false} {
		for i := range answers {
			for _, k := range answers[i].keys {
				if f := w.of(k); (f == fitsByID) == byID && (f > fitsNot || best == fitsNot) {
					all = append(all, k)
				}
			}
		}
	}
	return all
}

// keysFor calls KeysFor of source if it has this method and algorithm is known, and Keys
// otherwise. Only KeysFor returns keys together with an error.
func keysFor(ctx context.Context, source jwtgate.KeySource, issuer, kid, algorithm string) ([]*jwtgate.Key, error) {
	if s, ok := source.(jwtgate.AlgorithmSource); ok && algorithm != "" {
		return s.KeysFor(ctx, issuer, kid, algorithm)
	}
	found, err := source.Keys(ctx, issuer, kid)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// ended is a context that has ended. A Remote that is asked with it starts a fetch that
// is due, and does not wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// isSecret reports whether algorithm is one whose keys are secrets.
func isSecret(algorithm string) bool { return strings.HasPrefix(algorithm, "HS") }

func (f *fixed) inMemory(_ context.Context, issuer, kid, _ string) (found []*jwtgate.Key, settled bool) {
	if f.err != nil {
		return nil, false
	}
	found, _ = f.set.find(issuer, kid)
	return found, true
}

func (f *File) inMemory(ctx context.Context, issuer, kid, algorithm string) (found []*jwtgate.Key, settled bool) {
	found, known := f.current.Load().find(issuer, kid)
	if f.hasNone(algorithm) {
		return found, true
	}
	if !known {
		return nil, false
	}
	found, err := f.Keys(ctx, issuer, kid)
	return found, err == nil
}

func (r *Remote) inMemory(_ context.Context, issuer, kid, algorithm string) (found []*jwtgate.Key, settled bool) {
	never := r.hasNone(algorithm)
	k := r.issuers.Load().find(issuer)
	if k == nil {
		return nil, never
	}
	s := k.current.Load()
	found, conclusive := s.find(issuer, kid)
	switch {
	case never:
		return found, true
	case !s.actionDue.Load():
		return found, conclusive
	case !conclusive:
		return nil, false // the keys may be out of date
	}
	found, err := r.Keys(ended, issuer, kid) // starts the fetch that is due
	return found, err == nil
}

func (b ByIssuer) inMemory(ctx context.Context, issuer, kid, algorithm string) (found []*jwtgate.Key, settled bool) {
	source := b[issuer]
	if source == nil {
		return nil, true
	}
	if m, ok := source.(memory); ok {
		return m.inMemory(ctx, issuer, kid, algorithm)
	}
	return nil, false
}
