package jwtgate_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prelude declares what the snippets of the documentation take for granted.
const prelude = `package main

import (
%s)

var (
	gate                              *jwtgate.Gate
	mux                               *http.ServeMux
	r                                 *http.Request
	orders, create, admin             http.Handler
	secret                            []byte
	scope                             string
)

func use(...any) {}

%s
`

// testPrelude is that of package jwttest.
const testPrelude = `package main

import (
%s)

var (
	t                  *testing.T
	w                  http.ResponseWriter
	body               io.Reader
	service, handler   http.Handler
	profile            http.HandlerFunc
	newService         func(issuer, audience string) http.Handler
	newVault           func(testing.TB) jwtgate.KeySource
	issuer             *jwttest.Issuer
	claims             map[string]any
	key                any
)

func use(...any) {}

%s

func main() {}
`

// Every Go snippet of the README and of the package's documentation compiles.
func TestSnippets(t *testing.T) {
	t.Parallel()
	readme := string(must(os.ReadFile("README.md")))
	var snippets, preludes []string
	for _, m := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		snippets, preludes = append(snippets, m[1]), append(preludes, prelude)
	}
	require.GreaterOrEqual(t, len(snippets), 5)
	for _, file := range slices.Concat(must(filepath.Glob("*.go")), must(filepath.Glob("keys/*.go")),
		must(filepath.Glob("examples/providers/*.go")), must(filepath.Glob("jwttest/*.go"))) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source := string(must(os.ReadFile(file)))
		for _, m := range regexp.MustCompile(`(?m)(?:^//\t.*\n(?:^//\n)?)+`).FindAllString(source, -1) {
			snippets = append(snippets, regexp.MustCompile(`(?m)^//\t?`).ReplaceAllString(m, ""))
			if strings.HasPrefix(file, "jwttest") {
				preludes = append(preludes, testPrelude)
			} else {
				preludes = append(preludes, prelude)
			}
		}
	}

	dir := t.TempDir()
	for i, snippet := range snippets {
		if !strings.HasPrefix(snippet, "package ") {
			snippet = complete(preludes[i], snippet)
		}
		name := filepath.Join(dir, fmt.Sprintf("%d", i), "main.go")
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(snippet), 0o644))
		// The files belong to no module, and so to the one around the test.
		out, err := exec.Command("go", "vet", name).CombinedOutput()
		assert.NoError(t, err, "%s\n%s", out, snippet)
	}
}

// complete makes a program of a few statements, or of a function.
func complete(prelude, snippet string) string {
	if strings.HasPrefix(snippet, "func ") {
		prelude = strings.TrimSuffix(prelude, "\nfunc main() {}\n") + "\nfunc main() {}\n"
	} else {
		// What a snippet declares for its reader to go on with is used here.
		for _, m := range regexp.MustCompile(`(?m)^(\w+)(?:, (\w+))? :?= `).FindAllStringSubmatch(snippet, -1) {
			snippet += fmt.Sprintf("use(%s)\n", strings.Trim(m[1]+", "+m[2], ", "))
		}
		snippet = "func main() {\n" + snippet + "}"
		prelude = strings.TrimSuffix(prelude, "\nfunc main() {}\n")
	}
	var imports strings.Builder
	code := regexp.MustCompile(`(?m)(^|\s)// .*$`).ReplaceAllString(prelude+snippet, "")
	for _, path := range []string{
		"io", "log", "net/http", "net/http/httptest", "testing", "time", "github.com/jwtgate/jwtgate", "github.com/jwtgate/jwtgate/keys",
		"github.com/jwtgate/jwtgate/jwttest", "github.com/jwtgate/jwtgate/examples/providers",
	} {
		if strings.Contains(code, filepath.Base(path)+".") {
			fmt.Fprintf(&imports, "\t%q\n", path)
		}
	}
	return fmt.Sprintf(prelude, imports.String(), snippet)
}

// The first thing a newcomer does: a module of his own, by the README's
// commands and with its program.
func TestFreshModule(t *testing.T) {
	t.Parallel()
	readme := string(must(os.ReadFile("README.md")))
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindStringSubmatch(readme)
	commands := regexp.MustCompile("(?s)```sh\n(go mod edit.*?)```").FindStringSubmatch(readme)
	require.NotNil(t, program)
	require.NotNil(t, commands)

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program[1]), 0o644))
	root := must(filepath.Abs("."))
	for line := range strings.Lines("go mod init example.com/service\n" + commands[1] + "go vet ./...\n") {
		words := strings.Fields(line)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "../jwtgate", root)
		}
		command := exec.Command(words[0], words[1:]...)
		command.Dir = dir
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s%s", line, out)
	}
}
