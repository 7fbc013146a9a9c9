package keys

import (
	"context"
	"fmt"

	"github.com/jwtgate/jwtgate"
)

// Static returns a source with the given keys, which are made by
// [jwtgate.NewKey]. At most four of them may fit one token.
func Static(keys ...*jwtgate.Key) jwtgate.KeySource {
	return newFixed("keys.Static", keys)
}

// fixed is a source whose keys never change. If err is not nil, there are no
// keys, and err is the reason.
type fixed struct {
	constructor string // for errors
	set         *set
	err         error
}

// newFixed returns a source with keys, which the named constructor has made.
func newFixed(constructor string, keys []*jwtgate.Key) jwtgate.KeySource {
	if err := checkKeys(keys); err != nil {
		return failed(constructor, err)
	}
	return &fixed{constructor: constructor, set: newSet(keys, nil)}
}

// failed returns a source without keys, because of an error of the named
// constructor. CheckIssuers returns the error to New.
func failed(constructor string, err error) jwtgate.KeySource {
	return &fixed{err: fmt.Errorf("%s: %w", constructor, err)}
}

// Keys returns the keys that may have signed a token of issuer that names kid.
func (f *fixed) Keys(_ context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	if f.err != nil {
		return nil, f.err
	}
	found, _ := f.set.find(issuer, kid)
	return found, nil
}

// CheckIssuers returns the error of the constructor, or an error for each issuer
// that no key serves.
func (f *fixed) CheckIssuers(issuers []string) error {
	if f.err != nil {
		return f.err
	}
	return f.set.checkIssuers(issuers)
}

// CheckAlgorithms returns an error if no key is for one of algorithms.
func (f *fixed) CheckAlgorithms(algorithms []string) error {
	if f.err != nil {
		return f.err
	}
	if missing := f.set.lacks(algorithms); len(missing) > 0 {
		return noKeyFor(f.constructor, missing, f.set.algorithms())
	}
	return nil
}
