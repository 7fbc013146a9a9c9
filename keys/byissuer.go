package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/typednil"
)

// ByIssuer maps each issuer to the source of its keys, so that the keys of one
// issuer do not verify the tokens of another (RFC 8725 section 3.8). An issuer is
// spelled as in iss and in [jwtgate.Options.Issuers], to the letter. The map must
// not be changed once a gate has it.
type ByIssuer map[string]jwtgate.KeySource

// Keys returns the keys of the source for issuer. It returns no keys and no error
// if issuer has no source.
func (b ByIssuer) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	source := b[issuer]
	if source == nil {
		return nil, nil
	}
	return source.Keys(ctx, issuer, kid)
}

// KeysFor is like Keys for tokens that are signed with algorithm. It returns the result
// of KeysFor if the source for issuer is a [jwtgate.AlgorithmSource], and of Keys
// otherwise.
func (b ByIssuer) KeysFor(ctx context.Context, issuer, kid, algorithm string) ([]*jwtgate.Key, error) {
	source := b[issuer]
	if source == nil {
		return nil, nil
	}
	return keysFor(ctx, source, issuer, kid, algorithm)
}

// Recheck returns the result of Recheck of the source for issuer if that is a
// [jwtgate.Rechecker], and no keys otherwise.
func (b ByIssuer) Recheck(ctx context.Context, issuer, kid, algorithm string, tried []*jwtgate.Key) []*jwtgate.Key {
	if source, ok := b[issuer].(jwtgate.Rechecker); ok {
		return source.Recheck(ctx, issuer, kid, algorithm, tried)
	}
	return nil
}

// CheckIssuers returns an error for each of issuers without a source, for each
// source whose issuer is not among issuers, and for each nil source. It includes
// the errors of sources that have a method CheckIssuers. If issuers is nil, the
// issuers are not known yet, and nothing is compared with them.
func (b ByIssuer) CheckIssuers(issuers []string) error {
	var errs []error
	if len(b) == 0 {
		errs = append(errs, errors.New("keys.ByIssuer is empty; add a source for each issuer"))
	}
	for _, issuer := range issuers {
		switch _, ok := b[issuer]; {
		case issuer == "":
			errs = append(errs, errors.New("keys.ByIssuer chooses the source by iss, which Options.AnyIssuer leaves unchecked; list the Issuers instead"))
		case !ok:
			errs = append(errs, fmt.Errorf("keys.ByIssuer has no source for the issuer %q", issuer))
		}
	}
	for _, issuer := range slices.Sorted(maps.Keys(b)) {
		if issuers != nil && !slices.Contains(issuers, issuer) {
			errs = append(errs, fmt.Errorf("keys.ByIssuer has a source for %q, which is not one of Options.Issuers", issuer))
		}
		if typednil.Is(b[issuer]) {
			errs = append(errs, fmt.Errorf("keys.ByIssuer: the source for %q is nil", issuer))
			continue
		}
		source, ok := b[issuer].(jwtgate.IssuerChecker)
		if !ok {
			continue
		}
		if err := source.CheckIssuers([]string{issuer}); err != nil {
			errs = append(errs, fmt.Errorf("for the issuer %q: %w", issuer, err))
		}
	}
	return errors.Join(errs...)
}

// CheckAlgorithms returns an error for each source that has no key for any of
// algorithms, and for each of algorithms that no source has a key for. It asks the
// sources that have a method CheckAlgorithms. Any other source may have keys for all
// algorithms.
func (b ByIssuer) CheckAlgorithms(algorithms []string) error {
	var errs []error
	covered := map[string]bool{}
	for _, issuer := range slices.Sorted(maps.Keys(b)) {
		of, err := algorithmsOf(b[issuer], algorithms)
		if len(of) == 0 {
			errs = append(errs, fmt.Errorf("for the issuer %q: %w", issuer, err))
		}
		for _, name := range of {
			covered[name] = true
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return checkCovered("keys.ByIssuer", algorithms, covered)
}

// checkCovered returns an error for those of algorithms that no part of source covers.
func checkCovered(source string, algorithms []string, covered map[string]bool) error {
	missing := slices.DeleteFunc(slices.Clone(algorithms), func(name string) bool { return covered[name] })
	if len(missing) == 0 {
		return nil
	}
	return noKeyFor(source, missing, nil)
}

// algorithmsOf returns those of algorithms that source may have keys for. If it returns
// none, err is the reason.
func algorithmsOf(source jwtgate.KeySource, algorithms []string) (of []string, err error) {
	checker, ok := source.(jwtgate.AlgorithmChecker)
	if !ok {
		return algorithms, nil
	}
	// A source whose keys may change accepts all algorithms if it has a key for one.
	if err = checker.CheckAlgorithms(algorithms); err == nil {
		return algorithms, nil
	}
	for _, name := range algorithms {
		if checker.CheckAlgorithms([]string{name}) == nil {
			of = append(of, name)
		}
	}
	return of, err
}
