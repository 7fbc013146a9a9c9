package jwttest

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// report returns the block of lines that describes a failed case.
func (c attackCase) report(test, verdict, statuses string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", verdict, c.path())
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s %s\n", label, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n           "))
	}
	line("sends", "%s", c.sends)
	line("rule", "%s (%v)", c.rule, c.level)
	line("status", "%s", statuses)
	line("request", "%s", strings.Join(slices.Concat([]string{c.request.method + " " + c.request.target}, c.request.lines), "\n"))
	if token := tokenPattern.FindString(strings.Join(c.request.lines, "\n")); token != "" {
		header, rest, _ := strings.Cut(token, ".")
		claims, _, _ := strings.Cut(rest, ".")
		line("header", "%s", decodedSegment(header))
		line("claims", "%s", decodedSegment(claims))
	}
	if !strings.HasSuffix(test, c.path()) {
		test += "/" + c.path()
	}
	line("alone", "go test -run '^%s$'", strings.ReplaceAll(regexp.QuoteMeta(test), "/", "$/^"))
	return strings.TrimSuffix(shortened(b.String()), "\n")
}

// tokenPattern finds the first two segments of anything in a request that looks
// like a token.
var tokenPattern = regexp.MustCompile(`[\w+/=-]{12,}\.[\w+/=-]*`)

// decodedSegment decodes a segment of a token, in any alphabet of base64 and with
// or without padding.
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

// shortened cuts the long lines of a report, and quotes those with control
// characters or invalid UTF-8.
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
