package jwttest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
)

// family adds cases to a corpus.
type family struct {
	*corpus
	name, rule string
}

// under is the same family, for cases that another rule is behind.
func (f *family) withRule(rule string) *family {
	return &family{corpus: f.corpus, name: f.name, rule: rule}
}

// refuse adds a token that must not be let in.
func (f *family) refuse(firm firmness, name, sends, token string) {
	f.add(attackCase{name: name, sends: sends, firm: firm, request: f.bearer(token)})
}

// accept adds a token that must be let in.
func (f *family) accept(firm firmness, name, sends, token string) {
	f.add(attackCase{name: name, sends: sends, firm: firm, accept: true, request: f.bearer(token)})
}

// send adds a request that must not be let in.
func (f *family) refuseRequest(firm firmness, name, sends string, r request) {
	f.add(attackCase{name: name, sends: sends, firm: firm, request: r})
}

func (f *family) add(p attackCase) {
	if p.firm == stricter && !f.target.Strict {
		return
	}
	p.family, p.rule = f.name, cmp.Or(p.rule, f.rule)
	p.request.method = cmp.Or(p.request.method, f.target.Method, "GET")
	p.request.target = cmp.Or(p.request.target, f.target.Path, "/")
	// Two ways to spoil a value may come to the same for some target.
	digest := sha256.Sum256(p.request.bytes())
	if f.seen[digest] {
		return
	}
	f.seen[digest] = true
	f.cases = append(f.cases, p)
}

func abbreviated(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

// corpus collects the cases for one target.
type corpus struct {
	*minter
	baitURL string
	cases   []attackCase
	seen    map[[sha256.Size]byte]bool // the requests of probes
}

// bearer returns the usual request with a token.
func (c *corpus) bearer(token string) request { return lines("Authorization: Bearer " + token) }

func lines(lines ...string) request { return request{lines: lines} }

// good returns the usual token.
func (c *corpus) good() string { return c.token(c.header.String(), c.claims.String()) }

// A probe is one case: a request, and whether it is to be let in.
type attackCase struct {
	family, name string
	sends        string // one clause: "a token that ..."
	rule         string // where it is written
	firm         firmness
	accept       bool
	bait         bool // names an address that must not be fetched
	request      request
}

func (p attackCase) path() string { return p.family + "/" + p.name }

// firmness is how firm the rule is that a case holds a service to.
type firmness int

const (
	required firmness = iota // an RFC leaves no choice
	advised                  // an RFC advises it, or lets those do otherwise who have a reason
	stricter                 // jwtgate is stricter than the RFC asks for
)

func (f firmness) String() string {
	return [...]string{"MUST", "SHOULD", "jwtgate's own, stricter than the RFC"}[f]
}

// A request is a request as far as a case determines it.
type request struct {
	method, target string
	lines          []string // of the header, without their ends
	body           string
	protocol       string   // "" means HTTP/1.1
	only           delivery // "" means both
}

// bytes returns the request as it goes over the wire.
func (r request) bytes() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\n", r.method, r.target, cmp.Or(r.protocol, "HTTP/1.1"), host)
	chunked := false
	for _, line := range r.lines {
		chunked = chunked || strings.HasPrefix(line, "Transfer-Encoding:")
		b.WriteString(line + "\r\n")
	}
	if r.body != "" && !chunked {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	b.WriteString("Connection: close\r\n\r\n" + r.body)
	return []byte(b.String())
}

// http returns the request as the handler would get it from a server that lets
// everything through.
func (r request) http(ctx context.Context) *http.Request {
	got := httptest.NewRequestWithContext(ctx, r.method, r.target, strings.NewReader(r.body))
	for _, line := range r.lines {
		name, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(name)
		got.Header[name] = append(got.Header[name], strings.TrimPrefix(value, " "))
	}
	return got
}

// host is the Host of all requests, and that of [httptest.NewRequest].
const host = "example.com"

// way is one of the ways to send a request.
type delivery string

const (
	directly delivery = "called directly"
	overTCP  delivery = "over TCP"
)
