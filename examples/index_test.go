// Package examples_test tests the index of the examples.
package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var link = regexp.MustCompile(`\[([^\]]+)\]\(([^)#]+)\)(\*?)`)

// README.md lists each example, its links lead somewhere, and the names with a star are those
// of modules of their own.
func TestIndex(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	readme := string(text)
	assert.Equal(t, 3, strings.Count(readme, "**Start here:**"))

	_, tables, found := strings.Cut(readme, "\n## ")
	require.True(t, found)
	listed := map[string]bool{}
	for _, m := range link.FindAllStringSubmatch(tables, -1) {
		name, target, star := m[1], m[2], m[3]
		assert.FileExists(t, firstFile(t, target), "the link of %s", name)
		assert.True(t, strings.HasPrefix(target, name), "%s leads to %s", name, target)
		directory, _, _ := strings.Cut(name, "/")
		_, err := os.Stat(filepath.Join(directory, "go.mod"))
		assert.Equal(t, err == nil, star == "*", "%s is a module of its own, or has a star", name)
		listed[directory] = true
	}
	for _, m := range link.FindAllStringSubmatch(strings.TrimSuffix(readme, tables), -1) {
		assert.FileExists(t, firstFile(t, m[2]))
		listed[m[1]] = true
	}

	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, entry := range entries {
		if entry.IsDir() && entry.Name() != "internal" {
			assert.True(t, listed[entry.Name()], "README.md does not list %s", entry.Name())
		}
	}
}

// firstFile returns target if it is a file, and one of its Go files if it is a directory. For a
// directory of programs it returns their README.md.
func firstFile(t *testing.T, target string) string {
	t.Helper()
	info, err := os.Stat(target)
	if err != nil || !info.IsDir() {
		return target
	}
	files, err := filepath.Glob(filepath.Join(target, "*.go"))
	require.NoError(t, err)
	if len(files) == 0 {
		return filepath.Join(target, "README.md")
	}
	return files[0]
}
