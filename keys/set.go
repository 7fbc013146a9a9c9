package keys

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate"
)

// A set is an immutable collection of keys, indexed by key ID. Its methods treat
// a nil set as one without keys.
type set struct {
	all     []*jwtgate.Key
	anyID   []*jwtgate.Key            // the keys without ID
	byID    map[string][]*jwtgate.Key // for each ID its keys, followed by those of anyID that a gate may try; for "" all
	mixed   bool                      // some keys have an ID and some have none
	issuers map[*jwtgate.Key]string   // the issuer member of those JWKs that have one; if not nil, byID is without anyID
}

func newSet(keys []*jwtgate.Key, issuers map[*jwtgate.Key]string) *set {
	s := &set{all: slices.Clone(keys), byID: map[string][]*jwtgate.Key{}, issuers: issuers}
	for _, k := range keys {
		if k.ID() == "" {
			s.anyID = append(s.anyID, k)
		} else {
			s.byID[k.ID()] = append(s.byID[k.ID()], k)
		}
	}
	if issuers == nil {
		tried := firstTried(s.anyID)
		for id := range s.byID {
			s.byID[id] = append(s.byID[id], tried...)
		}
	}
	s.mixed = len(s.byID) > 0 && len(s.anyID) > 0
	s.byID[""] = s.all
	return s
}

// firstTried returns those of keys without ID that a gate may try: the first ones for
// each algorithm. With all of them for each ID, the size of a set would grow with the
// square of its keys.
func firstTried(keys []*jwtgate.Key) (tried []*jwtgate.Key) {
	count := map[string]int{}
	for _, k := range keys {
		if count[k.Algorithm()]++; count[k.Algorithm()] <= maxTried {
			tried = append(tried, k)
		}
	}
	return tried
}

// parseWith returns the set of the keys that a user's Parse function makes of
// content.
func parseWith(parse func([]byte) ([]*jwtgate.Key, error), content []byte) (_ *set, err error) {
	defer func() {
		// This runs on a goroutine of this package, where a panic would end the
		// program.
		if r := recover(); r != nil {
			err = fmt.Errorf("reading its keys panicked: %v", r)
		}
	}()
	ks, err := parse(content)
	if err == nil {
		err = checkKeys(ks)
	}
	if err != nil {
		return nil, err
	}
	return newSet(ks, nil), nil
}

// find returns the keys that may have signed a token of issuer that names kid.
// known reports whether kid may name a key of the set, whatever the issuer of
// that key.
func (s *set) find(issuer, kid string) (found []*jwtgate.Key, known bool) {
	if s == nil {
		return nil, false
	}
	found, known = s.byID[kid]
	named := known && kid != ""
	if !known {
		found, known = s.anyID, len(s.anyID) > 0
	}
	if s.issuers != nil {
		found = s.serving(issuer, found)
		// Which of the keys without ID a gate may try depends on the issuer.
		if named && len(s.anyID) > 0 {
			found = slices.Concat(found, firstTried(s.serving(issuer, s.anyID)))
		}
	}
	return found, known
}

// mayNameNewKey reports whether kid may also name a key that the issuer has added since
// the set was fetched. Call it only if find has returned known. The result is true if
// find returns only keys without ID, while other keys of the issuer do have IDs.
func (s *set) mayNameNewKey(kid string) bool {
	if !s.mixed {
		return false
	}
	_, named := s.byID[kid]
	return !named
}

// serving returns those of keys that serve issuer. It allocates only if some of
// keys serve issuer and others do not.
func (s *set) serving(issuer string, keys []*jwtgate.Key) []*jwtgate.Key {
	serves := func(k *jwtgate.Key) bool {
		pattern, bound := s.issuers[k]
		return !bound || matchIssuer(pattern, issuer)
	}
	n := 0
	for _, k := range keys {
		if serves(k) {
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case len(keys):
		return keys
	}
	ours := make([]*jwtgate.Key, 0, n)
	for _, k := range keys {
		if serves(k) {
			ours = append(ours, k)
		}
	}
	return ours
}

// checkIssuers returns an error for each of issuers that no key serves.
func (s *set) checkIssuers(issuers []string) error {
	var errs []error
	for _, issuer := range issuers {
		if found, _ := s.find(issuer, ""); len(found) == 0 {
			errs = append(errs, fmt.Errorf("the issuer member of each key names another issuer than %q", issuer))
		}
	}
	return errors.Join(errs...)
}

// idsWhere returns the IDs of the keys for which wanted returns true, in their order.
func (s *set) idsWhere(wanted func(id string) bool) (ids []string) {
	seen := map[string]bool{}
	for _, k := range s.all {
		if id := k.ID(); !seen[id] {
			seen[id] = true
			if wanted(id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// withID returns the keys with the given ID, which may be "". They may be followed by keys
// without ID.
func (s *set) withID(id string) []*jwtgate.Key {
	if id == "" {
		return s.anyID
	}
	return s.byID[id]
}

// algorithms returns the algorithms of the keys, sorted.
func (s *set) algorithms() (names []string) {
	for _, k := range s.all {
		names = append(names, k.Algorithm())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lacks returns those of algorithms that no key is for.
func (s *set) lacks(algorithms []string) (missing []string) {
	has := s.algorithms()
	for _, name := range algorithms {
		if !slices.Contains(has, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// noKeyFor returns the error for algorithms that a source has no key for, although
// Options.Algorithms lists them. The source has keys for has. If has is nil, its
// algorithms are not known.
func noKeyFor(source string, missing, has []string) error {
	text := fmt.Sprintf("%s has no key for %s", source, strings.ReplaceAll(strings.Join(missing, " or "), "EdDSA", "EdDSA (Ed25519)"))
	if has != nil {
		text += ", only for " + strings.Join(has, " and ")
	}
	return errors.New(text + "; list only algorithms of its keys, or leave Algorithms out: a key never verifies another algorithm than its own")
}

// matchIssuer reports whether the issuer member of a JWK matches issuer.
// "{tenantid}" in pattern matches one segment of a path.
func matchIssuer(pattern, issuer string) bool {
	before, after, ok := strings.Cut(pattern, "{tenantid}")
	if !ok {
		return pattern == issuer
	}
	rest, ok := strings.CutPrefix(issuer, before)
	if !ok {
		return false
	}
	tenant, ok := strings.CutSuffix(rest, after)
	return ok && tenant != "" && !strings.ContainsAny(tenant, "/?#")
}

// maxTried is how many keys a gate tries for one token.
const maxTried = 4

// checkKeys returns an error if there are no keys, if a key was not made by
// NewKey, or if so many keys fit one token that a gate would not try them all.
func checkKeys(keys []*jwtgate.Key) error {
	if len(keys) == 0 {
		return errors.New("there is no key; pass at least one")
	}
	type kind struct{ id, algorithm string }
	count := map[kind]int{}
	for i, k := range keys {
		if k == nil || k.Algorithm() == "" {
			return fmt.Errorf("key %d was not made by jwtgate.NewKey; check the error that NewKey returned", i+1)
		}
		count[kind{k.ID(), k.Algorithm()}]++
	}
	for _, k := range keys {
		n := count[kind{k.ID(), k.Algorithm()}]
		if k.ID() != "" {
			n += count[kind{"", k.Algorithm()}]
		}
		if n > maxTried {
			return fmt.Errorf("%d keys for %s fit the same token, and a gate tries only %d of them; "+
				"remove old keys, or give each key an ID with jwtgate.NewKey", n, k.Algorithm(), maxTried)
		}
	}
	return nil
}
