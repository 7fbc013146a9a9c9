package keys

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// maxIssuers is how many issuers a Remote keeps keys of.
const maxIssuers = 1000

// An issuerTable has the issuers that a Remote knows. It is immutable: a Remote
// replaces its table to add an issuer. A nil table is empty.
type issuerTable struct {
	only     *issuerKeys // the only entry, which is found without hashing its name; nil if there are more
	shared   bool        // only serves all issuers, because Remote.URL is set
	byIssuer map[string]*issuerKeys
}

// find returns the entry that serves issuer, or nil. It is inlined.
func (t *issuerTable) find(issuer string) *issuerKeys {
	if t == nil {
		return nil
	}
	if t.only != nil && (t.shared || t.only.issuer == issuer) {
		return t.only
	}
	return t.byIssuer[issuer]
}

// sorted returns all entries in the order of their issuers.
func (t *issuerTable) sorted() []*issuerKeys {
	if t == nil {
		return nil
	}
	return slices.SortedFunc(maps.Values(t.byIssuer), func(a, b *issuerKeys) int { return strings.Compare(a.issuer, b.issuer) })
}

// with returns a table that has k too. shared means that k serves all issuers. If
// the table is full, the least needed entry makes room for k. If no entry may be
// removed, with returns nil.
func (t *issuerTable) with(k *issuerKeys, shared bool, now time.Time) *issuerTable {
	next := &issuerTable{byIssuer: map[string]*issuerKeys{}}
	if t != nil {
		var evicted *issuerKeys
		if len(t.byIssuer) >= maxIssuers {
			if evicted = t.leastNeeded(now); evicted == nil {
				return nil
			}
		}
		next.byIssuer = maps.Clone(t.byIssuer)
		if evicted != nil {
			delete(next.byIssuer, evicted.issuer)
		}
	}
	next.byIssuer[k.issuer] = k
	if len(next.byIssuer) == 1 {
		next.only, next.shared = k, shared
	}
	return next
}

// leastNeeded returns the entry that makes room for another one: an entry without
// keys, or else the one whose keys have not been needed for the longest time. It
// returns nil if no entry may be forgotten.
func (t *issuerTable) leastNeeded(now time.Time) *issuerKeys {
	var least *issuerKeys
	var leastSince time.Time
	for _, k := range t.byIssuer {
		if since, ok := k.unneeded(now); ok && (least == nil || since.Before(leastSince)) {
			least, leastSince = k, since
		}
	}
	return least
}
