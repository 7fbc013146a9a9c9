package jwttest

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"
)

// proven returns r as a client with Target.Prover sends it: with the scheme DPoP in place
// of Bearer, and with a proof. A request that chooses its proof, or has a DPoP header, gets
// no other. Without a Prover, proven returns r unchanged.
//
// A proof is accepted once and for a short time, so proven is called for each sending.
func (m *minter) proven(r request) request {
	p := m.target.Prover
	if p == nil || r.proven {
		return r
	}
	r.proven = true
	r.lines = slices.Clone(r.lines)
	if r.prove == nil {
		for i, line := range r.lines {
			name, value, _ := strings.Cut(line, ":")
			r.lines[i] = name + ":" + schemeBearer.ReplaceAllStringFunc(value, dpopInCaseOf)
		}
		if r.hasLine("DPoP") {
			return r
		}
	}
	path, _, _ := strings.Cut(r.target, "?")
	d := p.draft(r.method, htu(m.serviceURL(), path), r.token(), m.clock())
	if r.prove == nil {
		r.lines = append(r.lines, "DPoP: "+d.sign())
	} else {
		r.lines = append(r.lines, r.prove(d)...)
	}
	return r
}

// serviceURL returns how clients call the service, without the path of a route.
func (m *minter) serviceURL() string {
	return strings.TrimSuffix(cmp.Or(m.target.Prover.URL, "https://"+host), "/")
}

// clock returns the time now by the service's clock.
func (m *minter) clock() time.Time {
	if m.target.Now != nil {
		return m.target.Now()
	}
	return m.target.Prover.now()
}

// schemeBearer finds the scheme Bearer in the value of a header.
var schemeBearer = regexp.MustCompile(`(?i)\bbearer\b`)

// dpopInCaseOf returns DPoP in letters like those of bearer.
func dpopInCaseOf(bearer string) string {
	switch bearer {
	case "Bearer":
		return "DPoP"
	case strings.ToLower(bearer):
		return "dpop"
	case strings.ToUpper(bearer):
		return "DPOP"
	}
	return "dPoP"
}

// token returns the access token of r: that of the Authorization header, or else the first
// in the target, the header or the body. It returns "" if there is no token.
func (r request) token() string {
	for _, line := range r.lines {
		name, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(name, "Authorization") {
			continue
		}
		if _, token, found := strings.Cut(strings.TrimSpace(value), " "); found {
			return strings.TrimLeft(token, " ")
		}
	}
	for _, text := range append([]string{r.target}, append(slices.Clone(r.lines), r.body)...) {
		if token := wholeToken.FindString(text); token != "" {
			return token
		}
	}
	return ""
}

var wholeToken = regexp.MustCompile(`[\w-]{12,}\.[\w-]*\.[\w-]*`)

// An exchange sends the requests of one case by one delivery.
type exchange struct {
	*attack
	deliver func(context.Context, request) answer
	ctx     context.Context
	sent    request // the last request, as it was sent
}

// send sends r with a proof. If the service answers with a nonce that the Prover did not
// have, send sends r again with another proof. It returns the request as it was sent last.
// A request that send has returned is sent unchanged, once.
func (e *exchange) send(r request) (request, answer) {
	sent := e.minter.proven(r)
	got := e.deliver(e.ctx, sent)
	if e.minter.target.Prover != nil && e.minter.target.Prover.TakeNonce(got.header) && !got.gotIn && !r.proven {
		sent = e.minter.proven(r)
		got = e.deliver(e.ctx, sent)
	}
	e.sent = sent
	return sent, got
}

// sendCase sends the request of c, or what c sends in its place.
func (e *exchange) sendCase(c attackCase) answer {
	if c.script != nil {
		return c.script(e, c.request)
	}
	_, got := e.send(c.request)
	return got
}

// A nonceUse says whether a case is only for services that give nonces, or only for the
// others (RFC 9449 section 9).
type nonceUse int

const (
	anyNonces nonceUse = iota
	needsNonces
	needsNoNonces
)

// applies reports whether c can be sent to the service: whether it gives nonces is known
// from its answers.
func (a *attack) applies(c attackCase) bool {
	if c.nonces == anyNonces {
		return true
	}
	_, nonce := a.minter.target.Prover.state()
	return (nonce != "") == (c.nonces == needsNonces)
}
