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

// A family adds its cases to a corpus.
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
func (f *family) refuse(firm firmness, name, sends, token string) {
	f.add(attackCase{name: name, sends: sends, firm: firm, request: f.bearer(token)})
}

// accept adds a token that the service must accept.
func (f *family) accept(firm firmness, name, sends, token string) {
	f.add(attackCase{name: name, sends: sends, firm: firm, accept: true, request: f.bearer(token)})
}

// refuseRequest adds a request that the service must refuse.
func (f *family) refuseRequest(firm firmness, name, sends string, r request) {
	f.add(attackCase{name: name, sends: sends, firm: firm, request: r})
}

// add adds a case, unless Target.Strict excludes it or an earlier case sends the
// same bytes.
func (f *family) add(c attackCase) {
	if c.firm == stricter && !f.target.Strict {
		return
	}
	c.family, c.rule = f.name, cmp.Or(c.rule, f.rule)
	c.request.method = cmp.Or(c.request.method, f.target.Method, "GET")
	c.request.target = cmp.Or(c.request.target, f.target.Path, "/")
	// For some targets two changes have the same result.
	digest := sha256.Sum256(c.request.bytes())
	if f.seen[digest] {
		return
	}
	f.seen[digest] = true
	f.cases = append(f.cases, c)
}

// abbreviated returns s, cut to 40 bytes for a report.
func abbreviated(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

// A corpus collects the cases for one target.
type corpus struct {
	*minter
	baitURL string // address of the attacker's server
	cases   []attackCase
	seen    map[[sha256.Size]byte]bool // digests of the requests of cases
}

// bearer returns a request with token in the usual form.
func (c *corpus) bearer(token string) request { return lines("Authorization: Bearer " + token) }

// lines returns a request with the given header lines.
func lines(lines ...string) request { return request{lines: lines} }

// good returns a token that the service accepts.
func (c *corpus) good() string { return c.token(c.header.String(), c.claims.String()) }

// An attackCase is a request, and whether the service must accept it.
type attackCase struct {
	family, name string
	sends        string // for the report: "a token that ..."
	rule         string // the section that decides the case
	firm         firmness
	accept       bool
	bait         bool // the token names an address that the service must not fetch
	request      request
}

// path returns the name of the case in reports and in Target.Skip.
func (c attackCase) path() string { return c.family + "/" + c.name }

// firmness says how binding the rule of a case is.
type firmness int

const (
	required firmness = iota // an RFC says MUST
	advised                  // an RFC says SHOULD, or allows exceptions
	stricter                 // jwtgate is stricter than the RFC
)

func (f firmness) String() string {
	return [...]string{"MUST", "SHOULD", "jwtgate's own, stricter than the RFC"}[f]
}

// A request is the part of an HTTP request that a case chooses. An empty method
// or target means that of the Target.
type request struct {
	method, target string
	lines          []string // of the header, without CRLF
	body           string
	protocol       string   // "" means HTTP/1.1
	only           delivery // "" means that the request is sent in both ways
}

// bytes returns the request as a client sends it.
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

// http returns the request that a handler would receive from a server that
// validates nothing.
func (r request) http(ctx context.Context) *http.Request {
	got := httptest.NewRequestWithContext(ctx, r.method, r.target, strings.NewReader(r.body))
	for _, line := range r.lines {
		name, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(name)
		got.Header[name] = append(got.Header[name], strings.TrimPrefix(value, " "))
	}
	return got
}

// A delivery is a way to send a request to the handler.
type delivery string

const (
	directly delivery = "called directly"
	overTCP  delivery = "over TCP"
)
