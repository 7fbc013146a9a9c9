package jwttest

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// newCases returns the cases for a target, in the order of families.
func newCases(target Target, attackers addresses) ([]attackCase, error) {
	m, err := newMinter(target)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, f := range families {
		known[f.name] = true
	}
	c := &corpus{minter: m, attackers: attackers, known: known, seen: map[[sha256.Size]byte]bool{}}
	unknown := func(name string) error {
		return fmt.Errorf("Target.Skip: no family and no case is called %q for %s", name, target.Algorithm)
	}
	for _, name := range target.Skip {
		if family, _, _ := strings.Cut(name, "/"); !known[family] {
			return nil, unknown(name)
		}
	}
	for i, f := range families {
		if i > 0 && slices.Contains(target.Skip, f.name) {
			continue // signing its tokens takes time
		}
		f.add(&family{corpus: c, name: f.name, rule: f.rule})
	}
	for _, name := range target.Skip {
		if family, _, _ := strings.Cut(name, "/"); !known[name] && !slices.Contains(target.Skip, family) {
			return nil, unknown(name)
		}
	}
	// The plain good request always stays: if it is refused, the other cases prove
	// nothing.
	skipped := func(c attackCase) bool {
		return slices.Contains(target.Skip, c.family) || slices.Contains(target.Skip, c.path())
	}
	return append(c.cases[:1], slices.DeleteFunc(c.cases[1:], skipped)...), nil
}

// families lists the families of cases in the order in which they run. The first case
// of the first family must be valid/plain.
var families = []struct {
	name string
	rule string // of the cases that do not name another
	add  func(*family)
}{
	{"valid", "RFC 7519 section 7.2", (*family).valid},
	{"authorization", "RFC 6750 section 2.1", (*family).authorization},
	{"other-places", "RFC 6750 section 2", (*family).otherPlaces},

	{"none", "RFC 7519 section 6; RFC 7518 section 3.6; RFC 8725 section 3.2", (*family).algNone},
	{"algorithm", "RFC 8725 section 3.1", (*family).algorithms},
	{"confusion", "RFC 8725 sections 2.1 and 3.1", (*family).confusion},
	{"guessed-secret", "RFC 8725 sections 2.2 and 3.5", (*family).guessedSecrets},
	{"header-key", "RFC 8725 sections 3.8 and 3.10", (*family).headerKeys},
	{"kid", "RFC 8725 section 3.10", (*family).keyIDs},
	{"crit", "RFC 7515 section 4.1.11", (*family).critical},
	{"segments", "RFC 7515 section 7.1", (*family).segments},
	{"base64", "RFC 7515 sections 2 and 5.2", (*family).encodings},
	{"json-header", "RFC 7515 section 5.2", (*family).jsonHeader},
	{"json-claims", "RFC 7519 section 7.2", (*family).jsonClaims},
	{"duplicate", "RFC 7515 section 4; RFC 7519 section 4", (*family).duplicates},
	{"serialisation", "RFC 7519 section 1; RFC 7515 section 7.2", (*family).serialisations},
	{"encrypted", "RFC 7516 sections 3.1 and 9", (*family).encrypted},
	{"nested", "RFC 7519 sections 5.2 and 7.2", (*family).nested},

	{"signature", "RFC 7515 section 5.2", (*family).signatures},
	{"hmac", "RFC 7518 section 3.2", (*family).hmacSignatures},
	{"rsa", "RFC 7518 section 3.3; RFC 8017 section 8.2.2", (*family).rsaSignatures},
	{"ecdsa", "RFC 7518 section 3.4", (*family).ecdsaSignatures},
	{"eddsa", "RFC 8037 section 3.1; RFC 8032 section 5.1.7", (*family).eddsaSignatures},

	{"times", "RFC 7519 sections 2 and 4.1.4", (*family).times},
	{"issuer", "RFC 7519 section 4.1.1; RFC 8725 section 3.8", (*family).issuers},
	{"audience", "RFC 7519 section 4.1.3; RFC 8725 section 3.9", (*family).audiences},
	{"subject", "RFC 7519 section 4.1.2", (*family).subjects},
	{"type", "RFC 8725 sections 3.11 and 3.12; RFC 9068 section 4", (*family).types},
	{"bound", "RFC 7800 section 3; RFC 8705 section 3; RFC 9449 section 7", (*family).bound},
	{"dpop", "RFC 9449 section 4.3", (*family).dpop},
	{"size", "RFC 9110 section 5.4", (*family).sizes},
}

// byFamily yields the name of each family with its cases.
func byFamily(cases []attackCase) iter.Seq2[string, []attackCase] {
	return func(yield func(string, []attackCase) bool) {
		for len(cases) > 0 {
			name, n := cases[0].family, 1
			for n < len(cases) && cases[n].family == name {
				n++
			}
			if !yield(name, cases[:n]) {
				return
			}
			cases = cases[n:]
		}
	}
}
