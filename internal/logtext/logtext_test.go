package logtext_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/jwtgate/jwtgate/internal/logtext"
)

// token returns a token whose second and third segments have the given number of bytes. No other text of this
// file has the characters of those segments.
func token(payload int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + strings.Repeat("P", payload) + "." + strings.Repeat("S", 43)
}

func TestCutMiddle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		limit      int
		want       string
	}{
		{"short", "abcdefghij", 10, "abcdefghij"},
		{"long", "abcdefghijk", 10, "abc...hijk"},
		{"within a rune at the start", "abécdefghijk", 10, "ab...hijk"},
		{"within a rune at the end", "abcdefghéijk", 10, "abc...ijk"},
		{"no room", "abcdefghijk", 3, "..."},
		{"a negative limit", "abcdefghijk", -5, "..."},
		{"a token", "it is " + token(100) + " here", 30, "it is [token] here"},
		{"a token in a short text", "it is " + token(100) + " here", 300, "it is " + token(100) + " here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, logtext.CutMiddle(tt.text, tt.limit))
		})
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a ", 200)
	for _, tt := range []struct {
		name, text, want string
	}{
		{"short", "GET https://a.example: status 404", "GET https://a.example: status 404"},
		{"long", "GET " + long + ": connection refused", ("GET " + long)[:123] + "..." + (long + ": connection refused")[len(long)+20-124:]},
		{"not printable", "a\nb\x1b[2J", "a b [2J"},
		{"a token", "sent " + token(100), "sent [token]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, logtext.Error(errors.New(tt.text)).Error())
			for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
				assert.ErrorIs(t, logtext.Error(fmt.Errorf("%s: %w", tt.text, cause)), cause)
			}
		})
	}
	err := errors.New("short")
	assert.Same(t, err, logtext.Error(err))
}

// acceptance 50: wherever a text is cut, no part of a token is left but its first segment, which is not secret.
func TestCutShowsNoToken(t *testing.T) {
	t.Parallel()
	for _, payload := range []int{10, 100, 200, 700, 3000, 9000} {
		for _, before := range []int{0, 1, 50, 123, 124, 125, 200, 254, 255, 256, 1000, 2000, 2040, 2048, 2060, 4096, 5000} {
			for _, after := range []int{0, 1, 100, 124, 255, 300, 2000, 2040, 2048, 2049, 5000} {
				text := strings.Repeat("b ", before/2) + " " + token(payload) + strings.Repeat(" e", after/2)
				cut := map[string]string{
					"Message":          logtext.Message(text),
					"Error":            logtext.Error(errors.New(text)).Error(),
					"Message of Error": logtext.Message(logtext.Error(errors.New(text)).Error()),
					"Value":            logtext.Value(text),
					"CutMiddle":        logtext.CutMiddle(text, 200),
				}
				for name, got := range cut {
					if name == "CutMiddle" && len(text) <= 200 {
						continue
					}
					assert.NotContains(t, got, "PP", "%s of %d bytes between %d and %d", name, payload, before, after)
					assert.NotContains(t, got, "SS", "%s of %d bytes between %d and %d", name, payload, before, after)
					assert.True(t, utf8.ValidString(got))
					assert.LessOrEqual(t, len(got), 512)
				}
				if after > 1 {
					assert.True(t, strings.HasSuffix(cut["Message"], " e"), "the end is there")
				}
			}
		}
	}
}

func TestExplained(t *testing.T) {
	t.Parallel()
	kind, calls := errors.New("proof not accepted"), 0
	err := logtext.Explained(kind, func() string { calls++; return "it is too old" })
	assert.ErrorIs(t, err, kind)
	assert.Zero(t, calls, "only the text needs the explanation")
	assert.EqualError(t, err, "proof not accepted: it is too old")
}
