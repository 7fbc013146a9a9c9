package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/jwtgate/jwtgate"
)

// ByIssuer has a source for each issuer, so that the keys of one do not verify
// the tokens of another (RFC 8725 section 3.8). Its keys are the values of iss,
// the same as in [jwtgate.Options.Issuers]. It must not be changed once a gate
// has it.
type ByIssuer map[string]jwtgate.KeySource

// Keys returns the keys of issuer's own source.
func (b ByIssuer) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	source := b[issuer]
	if source == nil {
		return nil, nil
	}
	return source.Keys(ctx, issuer, kid)
}

// CheckIssuers returns an error for each issuer without a source, each source
// whose issuer is not among issuers, and each that a source finds itself. With
// nil it does not compare.
func (b ByIssuer) CheckIssuers(issuers []string) error {
	var errs []error
	if len(b) == 0 {
		errs = append(errs, errors.New("keys.ByIssuer is empty; add a source for each issuer"))
	}
	for _, issuer := range issuers {
		switch _, ok := b[issuer]; {
		case issuer == "":
			errs = append(errs, errors.New("keys.ByIssuer tells keys apart by iss, which Options.AnyIssuer leaves unchecked; list the Issuers instead"))
		case !ok:
			errs = append(errs, fmt.Errorf("keys.ByIssuer has no source for the issuer %q", issuer))
		}
	}
	for _, issuer := range slices.Sorted(maps.Keys(b)) {
		if issuers != nil && !slices.Contains(issuers, issuer) {
			errs = append(errs, fmt.Errorf("keys.ByIssuer has a source for %q, which is not one of Options.Issuers", issuer))
		}
		if v := reflect.ValueOf(b[issuer]); !v.IsValid() || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func || v.Kind() == reflect.Map) && v.IsNil() {
			errs = append(errs, fmt.Errorf("keys.ByIssuer: the source for %q is nil", issuer))
			continue
		}
		source, ok := b[issuer].(interface{ CheckIssuers([]string) error })
		if !ok {
			continue
		}
		if err := source.CheckIssuers([]string{issuer}); err != nil {
			errs = append(errs, fmt.Errorf("for the issuer %q: %w", issuer, err))
		}
	}
	return errors.Join(errs...)
}
