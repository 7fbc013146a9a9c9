package jwttest

import (
	"cmp"
	"crypto/sha256"
)

// A family adds the cases of one family to a corpus. The variable families maps the
// name of each family to the method that adds its cases.
type family struct {
	*corpus
	name string
	rule string // of the cases that do not name another
}

// withRule returns the same family, for cases that test another rule.
func (f *family) withRule(rule string) *family {
	return &family{corpus: f.corpus, name: f.name, rule: rule}
}

// refuse adds a token that the service must refuse.
func (f *family) refuse(level requirementLevel, name, sends, token string) {
	f.add(attackCase{name: name, sends: sends, level: level, request: bearer(token)})
}

// accept adds a token that the service must accept.
func (f *family) accept(level requirementLevel, name, sends, token string) {
	f.add(attackCase{name: name, sends: sends, level: level, accept: true, request: bearer(token)})
}

// refuseRequest adds a request that the service must refuse.
func (f *family) refuseRequest(level requirementLevel, name, sends string, r request) {
	f.add(attackCase{name: name, sends: sends, level: level, request: r})
}

// add adds a case, unless Target.Strict excludes it or an earlier case sends the
// same bytes. Target.Skip may name it in any case.
func (f *family) add(c attackCase) {
	c.family, c.rule = f.name, cmp.Or(c.rule, f.rule)
	f.known[c.path()] = true
	if c.level == jwtgateOnly && !f.target.Strict {
		return
	}
	c.template = c.request
	c.request = c.template.on(f.target.firstRoute())
	// For some targets two changes have the same result.
	digest := sha256.Sum256(c.request.bytes())
	if f.seen[digest] && c.request.prove == nil && c.script == nil {
		return
	}
	f.seen[digest] = true
	f.cases = append(f.cases, c)
}

// A corpus collects the cases for one target.
type corpus struct {
	*minter
	attackers addresses
	cases     []attackCase
	known     map[string]bool            // the names that Target.Skip may have
	seen      map[[sha256.Size]byte]bool // digests of the requests of cases
}

// abbreviated returns s, cut to 40 bytes for a report.
func abbreviated(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
