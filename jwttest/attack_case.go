package jwttest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
)

// An attackCase is a request, and whether the service must accept it.
type attackCase struct {
	family, name string
	sends        string // describes the request in the report: "a token that ..."
	rule         string // the section of the RFC that decides the case
	level        requirementLevel
	accept       bool
	namesServer  bool // the token contains an address of the attackersServer
	request      request
}

// path returns the name of the case in reports and in Target.Skip.
func (c attackCase) path() string { return c.family + "/" + c.name }

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

// A request is the part of an HTTP request that a case chooses. If method or target
// is empty, family.add sets it to that of the Target.
type request struct {
	method, target string
	lines          []string // of the header, without CRLF
	body           string
	protocol       string   // "" means HTTP/1.1
	only           delivery // "" means that the request is sent in both ways
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

// http returns the request as a server that validates nothing would pass it to a
// handler.
func (r request) http(ctx context.Context) *http.Request {
	got := httptest.NewRequestWithContext(ctx, r.method, r.target, strings.NewReader(r.body))
	for _, line := range r.lines {
		name, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(name)
		got.Header[name] = append(got.Header[name], strings.TrimPrefix(value, " "))
	}
	return got
}
