package jwttest

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A verdict says what the answers to a case mean. If a case has two verdicts, because it
// is sent in two ways, the greater one counts.
type verdict int

const (
	passed verdict = iota
	wrongStatus
	unproved
	refusedValid
	noAnswer
	failedInside
	gotIn
	panicked
	notSent
	fetched // reported beside the other verdict of the case
)

func (v verdict) String() string {
	return [...]string{"PASSED", "WRONG STATUS", "UNPROVED", "REFUSED ALTHOUGH VALID", "NO ANSWER", "FAILED INSIDE", "GOT IN", "PANICKED", "NOT SENT", "FETCHED"}[v]
}

// explanations say what a verdict means, where its name does not.
var explanations = map[verdict]string{
	wrongStatus: "The service refuses the request, but clients and operators look for the cause in the wrong place.\n" +
		"A proof or a token that is not accepted is answered with 401, and a request with two kinds of credentials with 400.",
	unproved: "This status is no verdict on the token: 429 counts requests, and 503 says that the service cannot decide now.\n" +
		"It is for this request only: the service still passes the plain good request. If a limit counts bad tokens,\n" +
		"switch the limit off for the test. If the status is 503, find out what the service cannot reach, and why it\n" +
		"needs that for this token: the sender of the token can make it try again and again.",
	failedInside: "The service failed while it dealt with this request, and still passes the plain good request. A token must\n" +
		"not make a service fail: answer 401. Clients repeat a request that gets such a status, and an operator looks\n" +
		"for a fault in the service.",
	fetched: "The service connected to an address that it found in the token. The sender of a token thereby\n" +
		"chooses what the service connects to, and perhaps which keys the service trusts. Request only\n" +
		"addresses that the service is configured with.",
}

// verdict returns what a means for a case that the service must accept, or must refuse.
//
// 501 and 505 are refusals: the service does not know a method, or net/http does not know
// the protocol (RFC 9110 sections 15.6.2 and 15.6.6). Any other status from 500 is the
// service's own fault.
func (a answer) verdict(accept bool) verdict {
	switch {
	case a.forced != passed:
		return a.forced
	case errors.Is(a.err, errPanic):
		return panicked
	case errors.Is(a.err, errNotSent):
		return notSent
	case errors.Is(a.err, os.ErrDeadlineExceeded):
		return noAnswer
	case a.gotIn && accept:
		return passed
	case a.gotIn:
		return gotIn
	case a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable:
		return unproved
	case a.status >= 500 && a.status != http.StatusNotImplemented && a.status != http.StatusHTTPVersionNotSupported:
		return failedInside
	case accept:
		return refusedValid
	}
	return passed
}

// A result is what became of a case in all the ways in which it was sent.
type result struct {
	verdict verdict
	status  int    // of the answer with that verdict
	gotIn   bool   // in at least one way
	fetched bool   // the service connected to the attackersServer
	outcome string // describes the answers in the report
	stack   string // of a panic
	sent    request
}

// report returns the block of lines that describes a failed case. test is the name of
// the subtest, or of the test that calls Attack.
func (c attackCase) report(test string, r result) string {
	var b reportLines
	fmt.Fprintf(&b, "%v: %s\n", r.verdict, c.title())
	how := ""
	if r.sent.proven && c.request.prove == nil {
		how = " (with the scheme DPoP in place of Bearer, and with a proof)"
	}
	b.line("sends", "%s%s", c.sends, how)
	b.line("rule", "%s (%v)", c.rule, c.level)
	b.line("status", "%s", r.outcome)
	if r.verdict == panicked {
		b.line("stack", "%s", r.stack)
	}
	b.request(r.sent)
	if token := tokenPattern.FindString(strings.Join(r.sent.lines, "\n")); token != "" {
		b.token("header", "claims", token)
	}
	for _, line := range r.sent.lines {
		if proof, found := strings.CutPrefix(line, "DPoP: "); found && r.sent.proven {
			b.token("proof", "", proof)
		}
	}
	if !strings.HasSuffix(test, c.path()) {
		test += "/" + c.path()
	}
	b.line("rerun", "go test -run '^%s$'", strings.ReplaceAll(regexp.QuoteMeta(test), "/", "$/^"))
	return b.text(explanations[r.verdict])
}

// lossReport returns the report for a round in which the service refuses c, which is the
// good request or the same with a new token. good is its result.
func (r *round) lossReport(c attackCase, good result) string {
	var b reportLines
	what := "even the plain good request now"
	if c.name != r.good.name {
		what = "good tokens that it has not seen now"
	}
	fmt.Fprintf(&b, "NOTHING PROVED: the service refuses %s\n", what)
	b.line("status", "%s", good.outcome)
	if r.good.route != "" {
		b.line("route", "%s", r.good.route)
	}
	var names strings.Builder
	column := 0
	for i, name := range r.refused {
		if i > 0 {
			names.WriteString(",")
			if column += len(name) + 2; column > 100 {
				names.WriteString("\n")
				column = 0
			} else {
				names.WriteString(" ")
			}
		}
		names.WriteString(name)
	}
	b.line("unproved", "%s", cmp.Or(names.String(), "no case"))
	b.request(good.sent)
	return b.text(fmt.Sprintf("Hostile cases that the service has refused since it last passed the good request: %d. They prove nothing,\n"+
		"because a service that refuses every request refuses these too. ", len(r.refused)) + adviceAfterLoss(good))
}

// adviceAfterLoss says why a service may refuse the good request that it has passed
// before.
func adviceAfterLoss(good result) string {
	switch {
	case good.status == http.StatusTooManyRequests:
		return "Attack sends thousands of requests\nin a few seconds: switch the rate limit off for the test."
	case good.status == http.StatusServiceUnavailable:
		return "503 says that the service cannot\ndecide now. It may limit the load, or something that it needs may be down, such as its key source."
	case good.verdict == failedInside:
		return "The service now fails for every\nrequest. If it recovers from panics, the last of these cases may have left a lock or a connection in use."
	case good.verdict == panicked:
		return "The handler now panics for every\nrequest."
	case good.verdict == noAnswer:
		return "The handler now hangs for every\nrequest. The last of these cases may have left a lock or a connection in use."
	case good.verdict == notSent:
		return "The cause is in the test process:\nit may have no more sockets or ports."
	}
	return "The service may block a client\nafter too many bad tokens, or refuse a token that it has seen before: switch that off for the test."
}

// reportLines are the lines of a report.
type reportLines struct{ strings.Builder }

// line adds a label and a text.
func (b *reportLines) line(label, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n"+strings.Repeat(" ", labelWidth))
	fmt.Fprintf(b, "  %-*s%s\n", labelWidth-2, label, text)
}

// token adds the header and the claims of a token.
func (b *reportLines) token(headerLabel, claimsLabel, token string) {
	header, rest, _ := strings.Cut(token, ".")
	claims, _, _ := strings.Cut(rest, ".")
	b.line(headerLabel, "%s", decodedSegment(header))
	b.line(claimsLabel, "%s", decodedSegment(claims))
}

// request adds the request line and the header.
func (b *reportLines) request(r request) {
	b.line("request", "%s", strings.Join(slices.Concat([]string{r.method + " " + r.target}, r.lines), "\n"))
}

// text returns the report, with an explanation at its end.
func (b *reportLines) text(explanation string) string {
	report := strings.TrimSuffix(shortened(b.String()), "\n")
	if explanation != "" {
		report += "\n\n" + explanation
	}
	return report
}

// labelWidth is the width of the labels in a report, with the spaces around them.
const labelWidth = 11

// tokenPattern finds the first two segments of anything in a request that looks
// like a token.
var tokenPattern = regexp.MustCompile(`[\w+/=-]{12,}\.[\w+/=-]*`)

// decodedSegment decodes a segment of a token, from base64url or base64, with or
// without padding.
func decodedSegment(segment string) string {
	clean := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(segment)
	text, err := base64.RawURLEncoding.DecodeString(clean)
	if err != nil {
		return "not base64url"
	}
	return string(text)
}

// maxLineBytes is the length at which shortened cuts a line.
const maxLineBytes = 300

// shortened cuts the long lines of a report, and quotes lines with control characters
// or invalid UTF-8.
func shortened(report string) string {
	lines := strings.Split(report, "\n")
	for i, line := range lines {
		if utf8.ValidString(line) && !strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			if len(line) > maxLineBytes {
				cut := maxLineBytes
				for !utf8.RuneStart(line[cut]) {
					cut--
				}
				line = fmt.Sprintf("%s... (%d bytes)", line[:cut], len(line))
			}
			lines[i] = line
			continue
		}
		end := min(labelWidth, len(line))
		label, text := line[:end], line[end:]
		if len(text) > maxLineBytes {
			lines[i] = fmt.Sprintf("%s%q... (%d bytes)", label, text[:maxLineBytes], len(text))
		} else {
			lines[i] = fmt.Sprintf("%s%q", label, text)
		}
	}
	return strings.Join(lines, "\n")
}
