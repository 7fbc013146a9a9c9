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

// prelude declares the names that the snippets use but do not declare.
const prelude = `package main

import (
%s)

var (
	gate                              *jwtgate.Gate
	mux                               *http.ServeMux
	r                                 *http.Request
	orders, create, admin             http.Handler
	options                           jwtgate.Options
	secret                            []byte
	scope                             string
)

func use(...any) {}

%s
`

// testPrelude is the prelude for the snippets of package jwttest.
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
	prover             *jwttest.Prover
	server             *httptest.Server
	token              string
	claims             map[string]any
	key                any
)

func use(...any) {}

%s

func main() {}
`

var (
	goBlock      = regexp.MustCompile("(?s)```go\n(.*?)```")
	indentedCode = regexp.MustCompile(`(?m)(?:^//\t.*\n(?:^//\n)?)+`)
)

// notGo has the first words of the indented tables and diagrams in comments, which are no Go.
var notGo = regexp.MustCompile(`^(RSA  +RS256|NO KEYS --success|Authorization: DPoP|client calls|SET id)`)

// TestSnippets compiles and vets every Go snippet of the README and of the doc comments. All
// snippets are packages of one temporary module: one go vet for all of them takes a second, one
// for each takes more than ten.
func TestSnippets(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs go vet on every snippet")
	}
	snippets := map[string]string{} // complete programs, by the name of their package's directory
	add := func(origin, prelude, snippet string) {
		if !strings.HasPrefix(snippet, "package ") {
			snippet = completeProgram(prelude, snippet)
		}
		name := strings.ReplaceAll(filepath.ToSlash(origin), "/", "-")
		snippets[fmt.Sprintf("%s-%02d", name, len(snippets))] = snippet
	}
	for _, m := range goBlock.FindAllStringSubmatch(string(must(os.ReadFile("README.md"))), -1) {
		add("README.md", prelude, m[1])
	}
	require.GreaterOrEqual(t, len(snippets), 4)
	for _, file := range slices.Concat(must(filepath.Glob("*.go")), must(filepath.Glob("keys/*.go")), must(filepath.Glob("dpop/*.go")), must(filepath.Glob("mtls/*.go")),
		must(filepath.Glob("examples/providers/*.go")), must(filepath.Glob("jwttest/*.go"))) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		prelude := prelude
		if strings.HasPrefix(file, "jwttest") {
			prelude = testPrelude
		}
		for _, comment := range indentedCode.FindAllString(string(must(os.ReadFile(file))), -1) {
			if text := regexp.MustCompile(`(?m)^//\t?`).ReplaceAllString(comment, ""); !notGo.MatchString(text) {
				add(file, prelude, text)
			}
		}
	}

	dir := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	for name, snippet := range snippets {
		write(filepath.Join(name, "main.go"), snippet)
	}
	// The dependencies have the versions of this module's go.mod.
	_, requirements, _ := strings.Cut(string(must(os.ReadFile("go.mod"))), "\n")
	write("go.mod", fmt.Sprintf("module snippets\n%s\nrequire github.com/jwtgate/jwtgate v0.0.0\n\nreplace github.com/jwtgate/jwtgate => %q\n",
		requirements, must(filepath.Abs("."))))
	write("go.sum", string(must(os.ReadFile("go.sum"))))

	vet := exec.Command("go", "vet", "./...")
	vet.Dir = dir
	vet.Env = append(os.Environ(), "GOWORK=off")
	out, err := vet.CombinedOutput()
	assert.NoError(t, err, "%s", out)
	for name, snippet := range snippets {
		if strings.Contains(string(out), name) {
			t.Logf("%s is:\n%s", name, snippet)
		}
	}
}

// completeProgram makes a program of a snippet that is a few statements or a function.
func completeProgram(prelude, snippet string) string {
	if strings.HasPrefix(snippet, "func ") {
		prelude = strings.TrimSuffix(prelude, "\nfunc main() {}\n") + "\nfunc main() {}\n"
	} else {
		// Go refuses unused variables, and a snippet may declare some for the reader to use.
		for _, m := range regexp.MustCompile(`(?m)^(\w+)(?:, (\w+))? :?= `).FindAllStringSubmatch(snippet, -1) {
			snippet += fmt.Sprintf("use(%s)\n", strings.Trim(m[1]+", "+m[2], ", "))
		}
		snippet = "func main() {\n" + snippet + "}"
		prelude = strings.TrimSuffix(prelude, "\nfunc main() {}\n")
	}
	var imports strings.Builder
	code := regexp.MustCompile(`(?m)(^|\s)// .*$`).ReplaceAllString(prelude+snippet, "")
	for _, path := range []string{
		"context", "crypto/tls", "io", "log", "net/http", "net/http/httptest", "testing", "time", "github.com/jwtgate/jwtgate", "github.com/jwtgate/jwtgate/keys",
		"github.com/jwtgate/jwtgate/dpop", "github.com/jwtgate/jwtgate/jwttest", "github.com/jwtgate/jwtgate/mtls", "github.com/jwtgate/jwtgate/examples/providers",
	} {
		if regexp.MustCompile(`\b` + filepath.Base(path) + `\.`).MatchString(code) {
			fmt.Fprintf(&imports, "\t%q\n", path)
		}
	}
	return fmt.Sprintf(prelude, imports.String(), snippet)
}

// TestFirstProgramsLogRefusals checks the first program that a reader meets in each place: it sets
// Observe, without which nothing says why a token was refused, and the text explains the log.
func TestFirstProgramsLogRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ file, program, sentence string }{
		{"README.md", "(?s)```go\n(package main.*?)```", "clients get fixed texts"},
		{"doc.go", `(?s)jwtgate\.New\((.*?)\n//\t\}\)`, "Only the log says why a token was refused"},
		{"examples/quickstart/main.go", `(?s)jwtgate\.New\((.*?)\n\t\}\)`, "The answer to a client does not say why a token was refused. The log does"},
	} {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			text := string(must(os.ReadFile(filepath.FromSlash(test.file))))
			program := regexp.MustCompile(test.program).FindString(text)
			assert.Regexp(t, `Observe: +jwtgate\.AuditLog\(nil\),`, program)
			words := strings.Join(strings.Fields(strings.ReplaceAll(text, "\n//", "\n")), " ")
			assert.True(t, strings.Contains(words, test.sentence), "no sentence %q", test.sentence)
		})
	}
}

// TestFreshModule follows the section "Use it" of the README in an empty directory. It runs the
// commands and saves the program in the order of the text, with go vet in place of go run.
func TestFreshModule(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs go mod tidy and go vet")
	}
	_, use, found := strings.Cut(string(must(os.ReadFile("README.md"))), "## Use it")
	require.True(t, found)
	use, _, _ = strings.Cut(use, "\n## ")
	blocks := regexp.MustCompile("(?s)```(sh|go)\n(.*?)```").FindAllStringSubmatch(use, -1)
	dir, root := t.TempDir(), must(filepath.Abs("."))
	saved := 0
	for _, block := range blocks {
		if block[1] == "go" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(block[2]), 0o644))
			saved++
			continue
		}
		for line := range strings.Lines(strings.ReplaceAll(block[2], "go run .", "go vet ./...")) {
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
	require.Equal(t, 1, saved)
	require.Len(t, blocks, 3)
}
