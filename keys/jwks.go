package keys

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/jwk"
)

// JWKS returns a source with the keys of a JWK Set document (RFC 7517 section
// 5), such as an issuer publishes.
//
// The algorithm of a key is its alg member. A key without alg is for RS256, for
// the algorithm of its curve, or for EdDSA. A key with an issuer member, as Entra
// ID publishes it, serves that issuer only; "{tenantid}" in the member matches
// one segment of a path.
//
// A member of a key that is null or empty counts as absent. A byte order mark before
// the document is ignored.
//
// A key that cannot be used is skipped and logged to [slog.Default]. The other
// keys serve. A key cannot be used if it is
//
//   - of an unknown kind or curve, or malformed;
//   - weak, such as RSA under 2048 bits;
//   - private or symmetric;
//   - not for verifying, by its use or key_ops member.
//
// A document without a usable key, or with more than 1,000 keys, is an error
// that [jwtgate.New] reports.
func JWKS(document []byte) jwtgate.KeySource {
	s, skipped, err := parseJWKS(document, "", nil)
	if err != nil {
		return failed("keys.JWKS", notJWKS(document, err))
	}
	logSkipped(slog.Default(), "keys.JWKS", skipped)
	return &fixed{constructor: "keys.JWKS", set: s}
}

// parseJWKS reads those keys of a JWK Set that are for a use, as [jwk.Parse] reads it.
// skipped has an error for each key that cannot be used. If use is set, the keys for
// another use are not among skipped: they are for somebody else. algorithms are for keys
// without alg: each such key is for those of algorithms that its kind can verify. If
// algorithms is nil, it is for the usual algorithm of its kind. A set without a usable key
// is a *noKeysError.
func parseJWKS(document []byte, use string, algorithms []string) (s *set, skipped []error, err error) {
	jwks, err := jwk.ReadSet(document)
	if err != nil {
		return nil, nil, err
	}
	var ks []*jwtgate.Key
	var others []error // why keys are for another use
	issuers := map[*jwtgate.Key]string{}
	for i, raw := range jwks {
		ofJWK, issuer, err := parseJWK(raw, use, algorithms)
		if err != nil {
			err = fmt.Errorf("key %d: %w", i+1, err)
			if use != "" && errors.As(err, new(*jwk.UseError)) {
				others = append(others, err)
			} else {
				skipped = append(skipped, err)
			}
			continue
		}
		ks = append(ks, ofJWK...)
		if issuer != "" {
			for _, k := range ofJWK {
				issuers[k] = issuer
			}
		}
	}
	if len(ks) == 0 {
		return nil, skipped, &noKeysError{noneUsable(append(skipped, others...)), len(skipped) == 0}
	}
	if len(issuers) == 0 {
		issuers = nil // so that finding a key need not look
	}
	return newSet(ks, issuers), skipped, nil
}

// A noKeysError is the error for a JWK Set without a usable key.
type noKeysError struct {
	text string
	// empty reports that the set has no key for the wanted use, not even one that cannot
	// be used.
	empty bool
}

func (e *noKeysError) Error() string { return e.text }

// noneUsable returns the error text for a set whose keys are all skipped, with the first
// reasons.
func noneUsable(skipped []error) string {
	const most = 3
	text := "it has no usable key"
	if len(skipped) == 0 {
		return text + ": its keys array is empty"
	}
	for i, err := range skipped[:min(len(skipped), most)] {
		text += map[bool]string{true: ": ", false: "; "}[i == 0] + err.Error()
	}
	if more := len(skipped) - most; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// parseJWK returns a key for each algorithm that a JWK is used for, and the
// issuer member of the JWK. All keys have the same ID and material.
func parseJWK(raw []byte, use string, algorithms []string) (ks []*jwtgate.Key, issuer string, err error) {
	parsed, err := jwk.Parse(raw, use)
	if err != nil {
		return nil, "", err
	}
	names := []string{parsed.Algorithm}
	if parsed.Algorithm == "" {
		if names = choose(parsed.Algorithms, algorithms); len(names) == 0 {
			return nil, "", errors.New("it has no alg, and none of the algorithms that are set for such keys is for its kind")
		}
	}
	for _, name := range names {
		k, err := jwtgate.NewKey(parsed.ID, name, parsed.Public)
		if err != nil {
			return nil, "", err
		}
		ks = append(ks, k)
	}
	return ks, parsed.Issuer, nil
}

// checkUse returns an error for a field Use of source that cannot be meant. parse is
// whether the source has a Parse function.
func checkUse(source, use string, parse bool) error {
	switch {
	case use != "" && use != jwk.JWTSVID:
		return fmt.Errorf("%s: Use: %.40q is not %q, for the bundle of a SPIFFE trust domain; leave it out for keys of use sig or none", source, use, jwk.JWTSVID)
	case use != "" && parse:
		return fmt.Errorf("%s: Use: it has no effect beside Parse, which chooses the keys; leave it out", source)
	}
	return nil
}

// choose returns those of possible that are among wanted. If wanted is nil, it returns
// only the first of possible, which is the usual one.
func choose(possible, wanted []string) (names []string) {
	if wanted == nil {
		return possible[:1]
	}
	for _, name := range possible {
		if slices.Contains(wanted, name) || name == "EdDSA" && slices.Contains(wanted, "Ed25519") {
			names = append(names, name)
		}
	}
	return names
}

// maxSkipsLogged is how many skipped keys of a set are logged one by one, so that a
// large set, or one that changes all the time, does not fill the log.
const maxSkipsLogged = 5

// logSkipped logs why keys of a set are not used. If logger is nil, it logs to
// slog.Default.
func logSkipped(logger *slog.Logger, source string, skipped []error) {
	if more := len(skipped) - maxSkipsLogged; more > 0 {
		skipped = append(skipped[:maxSkipsLogged:maxSkipsLogged], fmt.Errorf("%d more keys cannot be used", more))
	}
	for _, err := range skipped {
		cmp.Or(logger, slog.Default()).Warn("jwtgate: key skipped", "source", source, "error", err)
	}
}
