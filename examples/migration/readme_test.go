package migration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The code in README.md is the code of the files, without their package clauses and
// imports.
func TestReadmeHasTheCode(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	compiled := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "doc.go" {
			continue
		}
		compiled++
		_, code, ok := strings.Cut(read(t, file), "\n)\n\n")
		require.True(t, ok, file)
		assert.Contains(t, readme, fmt.Sprintf("`%s`:\n\n```go\n%s```\n", file, code))
	}
	assert.Equal(t, compiled, strings.Count(readme, "```go\n"), "README.md has code that is not in a file")
}

// README.md has the tables whose rows the other tests check.
func TestReadmeHasTheAnswers(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	assert.Contains(t, readme, clientTable(after))
	for _, l := range libraries {
		_, part, ok := strings.Cut(readme, "\n## From "+l.heading+"\n")
		require.True(t, ok, l.heading)
		part, _, _ = strings.Cut(part, "\n## ")
		assert.Contains(t, part, trialTable("stricter now", l.stricter))
		assert.Contains(t, part, trialTable("different now, and not stricter", l.looser))
		assert.Contains(t, part, clientTable(l.clients))
		assert.Contains(t, strings.ReplaceAll(part, "\n", " "), "Refused by all three: "+strings.Join(l.refused, "; ")+".")
		if l.heading == "auth0/go-jwt-middleware" {
			assert.Contains(t, part, beforeAndAfter("what happens", "v3", keyTrials))
			assert.Contains(t, part, beforeAndAfter("what is sent", "v2", v2Trials))
			assert.Contains(t, strings.ReplaceAll(part, "\n", " "), "v2 refuses, and v3 does not: "+strings.Join(v2Refuses, "; ")+".")
		}
	}
}

// The versions in README.md are those in go.mod.
func TestReadmeHasTheVersions(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	modules := regexp.MustCompile(`(?m)^\t(\S+) (v\S+)$`).FindAllStringSubmatch(read(t, "go.mod"), -1)
	require.Len(t, modules, 10)
	for _, m := range modules {
		if strings.HasPrefix(m[1], "github.com/jwtgate/") || strings.HasPrefix(m[1], "github.com/stretchr/") {
			continue
		}
		assert.Contains(t, readme, fmt.Sprintf("`%s` %s", m[1], m[2]))
	}
}

func trialTable(title string, trials []trial) string {
	rows := fmt.Sprintf("| %s | before | all its options | after |\n|---|---|---|---|\n", title)
	for _, tt := range trials {
		rows += fmt.Sprintf("| %s | %s | %s | %s |\n", tt.sent, cell(tt.before), cell(tt.strict), cell(tt.after))
	}
	return rows
}

// cell formats the name in an outcome as code.
func cell(outcome string) string {
	status, who, found := strings.Cut(outcome, " as ")
	if !found || who == "nobody" {
		return outcome
	}
	return status + " as `" + who + "`"
}

func beforeAndAfter(title, before string, trials []trial) string {
	rows := fmt.Sprintf("| %s | %s | after |\n|---|---|---|\n", title, before)
	for _, tt := range trials {
		rows += fmt.Sprintf("| %s | %s | %s |\n", tt.sent, tt.before, tt.after)
	}
	return rows
}

func clientTable(answers []answer) string {
	rows := "| what is sent | status | `WWW-Authenticate` | body |\n|---|---|---|---|\n"
	for _, a := range answers {
		challenge := "none"
		if a.challenge != "" {
			challenge = "`" + strings.ReplaceAll(a.challenge, " and DPoP", "` and `DPoP") + "`"
		}
		rows += fmt.Sprintf("| %s | %s | %s | `%s` |\n", a.sent, a.status, challenge, a.body)
	}
	return rows
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}
