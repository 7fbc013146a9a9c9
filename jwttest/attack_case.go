package jwttest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
)

// An attackCase is a request, and whether the service must accept it.
type attackCase struct {
	family, name string
	sends        string // describes the request in the report: "a token that ..."
	rule         string // the section of the RFC that decides the case
	level        requirementLevel
	accept       bool
	status       int      // that a refusal has, checked with Target.Strict; 0 means that the status does not matter
	nonces       nonceUse // whether the service gives DPoP nonces
	namesServer  bool     // the token contains an address of the attackersServer
	request      request  // complete, but without the proof
	template     request  // request, without what the route adds
	// script sends several requests in place of request, and returns the answer that
	// counts. nil means that request is sent once.
	script func(e *exchange, r request) answer
	route  string // the name of a route other than the first, or ""
}

// path returns the name of the case in Target.Skip.
func (c attackCase) path() string { return c.family + "/" + c.name }

// title returns the name of the case in reports.
func (c attackCase) title() string {
	if c.route != "" {
		return c.path() + ", " + c.route
	}
	return c.path()
}

// subtest returns the name of the case's subtest, which is below the subtest of the
// family or of the route.
func (c attackCase) subtest() string {
	if c.route != "" {
		return c.path()
	}
	return c.name
}

// on returns c for another route.
func (c attackCase) on(route Route) attackCase {
	c.route, c.request = route.name(), c.template.on(route)
	return c
}

// samplesFor returns the first hostile case of each family, for a route other than the
// first.
func samplesFor(route Route, cases []attackCase) []attackCase {
	var samples []attackCase
	for _, family := range byFamily(cases) {
		if i := slices.IndexFunc(family, func(c attackCase) bool { return !c.accept }); i >= 0 {
			samples = append(samples, family[i].on(route))
		}
	}
	return samples
}

// A requirementLevel says how binding the rule of a case is (RFC 2119).
type requirementLevel int

const (
	required    requirementLevel = iota // an RFC says MUST
	recommended                         // an RFC says SHOULD, or allows exceptions
	jwtgateOnly                         // no RFC decides; the case tests what jwtgate does
)

func (l requirementLevel) String() string {
	return [...]string{"MUST", "SHOULD", "a rule of jwtgate; the RFC leaves the choice to the service"}[l]
}

// A request is an HTTP request, or the part of it that a case chooses.
type request struct {
	method, target string
	retarget       func(target string) string // changes the target; nil leaves it
	lines          []string                   // of the header, without CRLF
	body           string
	protocol       string // "" means HTTP/1.1
	host           string // "" means the constant host
	// prove returns the lines of the header that have the proof, from the draft of a good
	// one. nil means a good proof in the usual form. Only requests of the family dpop
	// have it.
	prove  func(*proofDraft) []string
	proven bool     // the lines have the proof
	only   delivery // "" means that the request is sent in both ways
}

// on completes r with what a good request on route has and r does not choose. A request
// that chooses its method or its body does not get the body of the route.
func (r request) on(route Route) request {
	target := cmp.Or(route.Path, "/")
	if r.retarget != nil {
		target = r.retarget(target)
	}
	ownBody := r.method != "" || r.body != ""
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(route.Header)) {
		if r.hasLine(name) || ownBody && strings.EqualFold(name, "Content-Type") {
			continue
		}
		for _, value := range route.Header[name] {
			lines = append(lines, name+": "+value)
		}
	}
	r.target, r.lines = target, append(lines, r.lines...)
	r.method = cmp.Or(r.method, route.Method, http.MethodGet)
	if !ownBody {
		r.body = route.Body
	}
	return r
}

// hasLine reports whether the header of r has a line with that name.
func (r request) hasLine(name string) bool {
	return slices.ContainsFunc(r.lines, func(line string) bool {
		got, _, _ := strings.Cut(line, ":")
		return strings.EqualFold(got, name)
	})
}

// A delivery is a way to send a request to the handler.
type delivery string

const (
	directly delivery = "called directly"
	overTCP  delivery = "over TCP"
)

// requestWith returns a request with the given header lines.
func requestWith(lines ...string) request { return request{lines: lines} }

// bearer returns a request with token in the usual form.
func bearer(token string) request { return requestWith("Authorization: Bearer " + token) }

// bytes returns the request as a client sends it.
func (r request) bytes() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\n", r.method, r.target, cmp.Or(r.protocol, "HTTP/1.1"), cmp.Or(r.host, host))
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

// http returns the request as a server that validates nothing would pass it to a
// handler.
func (r request) http(ctx context.Context) *http.Request {
	got := httptest.NewRequestWithContext(ctx, r.method, r.target, strings.NewReader(r.body))
	if r.host != "" {
		got.Host = r.host
	}
	for _, line := range r.lines {
		name, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(name)
		got.Header[name] = append(got.Header[name], strings.TrimPrefix(value, " "))
	}
	return got
}
