package jwttest

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// report tells of a case that went wrong, as one block.
func (p attackCase) report(test, verdict, statuses string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", verdict, p.path())
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s %s\n", label, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n           "))
	}
	line("sends", "%s", p.sends)
	line("rule", "%s (%v)", p.rule, p.firm)
	line("status", "%s", statuses)
	line("request", "%s", strings.Join(slices.Concat([]string{p.request.method + " " + p.request.target}, p.request.lines), "\n"))
	if token := tokenPattern.FindString(strings.Join(p.request.lines, "\n")); token != "" {
		header, rest, _ := strings.Cut(token, ".")
		claims, _, _ := strings.Cut(rest, ".")
		line("header", "%s", decodedSegment(header))
		line("claims", "%s", decodedSegment(claims))
	}
	if !strings.HasSuffix(test, p.path()) {
		test += "/" + p.path()
	}
	line("alone", "go test -run '^%s$'", strings.ReplaceAll(regexp.QuoteMeta(test), "/", "$/^"))
	return strings.TrimSuffix(shortened(b.String()), "\n")
}

// aToken finds what may be a token's first two segments in a request.
var tokenPattern = regexp.MustCompile(`[\w+/=-]{12,}\.[\w+/=-]*`)

// decoded returns what a segment stands for, as far as it can be told.
func decodedSegment(segment string) string {
	clean := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(segment)
	text, err := base64.RawURLEncoding.DecodeString(clean)
	if err != nil {
		return "not base64url"
	}
	return string(text)
}

// longest is how much of a line is shown.
const maxLineBytes = 300

// shortened makes a report fit for a terminal, whatever was sent.
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
		label, text := line[:min(11, len(line))], line[min(11, len(line)):]
		if len(text) > maxLineBytes {
			lines[i] = fmt.Sprintf("%s%q... (%d bytes)", label, text[:maxLineBytes], len(text))
		} else {
			lines[i] = fmt.Sprintf("%s%q", label, text)
		}
	}
	return strings.Join(lines, "\n")
}
