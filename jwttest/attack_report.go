package jwttest

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// report returns the block of lines that describes a failed case. test is the name of
// the subtest, or of the test that calls Attack.
func (c attackCase) report(test, verdict, outcome string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", verdict, c.path())
	line := func(label, format string, args ...any) {
		text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n"+strings.Repeat(" ", labelWidth))
		fmt.Fprintf(&b, "  %-*s%s\n", labelWidth-2, label, text)
	}
	line("sends", "%s", c.sends)
	line("rule", "%s (%v)", c.rule, c.level)
	line("status", "%s", outcome)
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
	line("rerun", "go test -run '^%s$'", strings.ReplaceAll(regexp.QuoteMeta(test), "/", "$/^"))
	return strings.TrimSuffix(shortened(b.String()), "\n")
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
