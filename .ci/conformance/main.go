// Command conformance writes .github/CONFORMANCE.md: the rules in rules.md, each
// with the tests that show that the library follows it. A test names its rules in
// a comment, such as "acceptance 17" or "acceptance 13-15, 26", inside the test
// function or before it.
//
//	go run ./.ci/conformance          writes the page
//	go run ./.ci/conformance -check   fails if the page is out of date
//
// Both fail if a rule has no test, or if a comment names a rule that does not exist.
package main

import (
	"cmp"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const page = ".github/CONFORMANCE.md"

//go:embed rules.md
var rules string

var (
	ruleStart     = regexp.MustCompile(`^(\d+)\. `)
	section       = regexp.MustCompile(`RFC (\d+)( section (\d+(?:\.\d+)*))?`)
	naming        = regexp.MustCompile(`\bacceptance\s+(\d+(?:(?:\s*,\s*|\s*-\s*|\s+and\s+)\d+)*)`)
	numberOrRange = regexp.MustCompile(`(\d+)(?:\s*-\s*(\d+))?`)
	isTest        = regexp.MustCompile(`^(Test|Fuzz|Example|Benchmark)`)
)

// documentationOnly starts the line below a rule that no test can check.
const documentationOnly = "    - Documentation only"

func main() {
	check := flag.Bool("check", false, "write nothing, and fail if the page is out of date")
	flag.Parse()
	if err := conformance(*check); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func conformance(check bool) error {
	tests, err := scan(".")
	if err != nil {
		return err
	}
	want, err := render(tests)
	if err != nil {
		return err
	}
	if !check {
		return os.WriteFile(page, []byte(want), 0o644)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("%s is out of date; write it with: go run ./.ci/conformance\n%s", page, difference(string(got), want))
	}
	return nil
}

// A test is a function that shows that the library follows a rule.
type test struct{ file, function string }

// scan returns the tests that name a rule in a comment, by the number of the rule.
// It also reads nested modules.
func scan(root string) (map[int][]test, error) {
	tests := map[int][]test{}
	return tests, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name := entry.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, group := range file.Comments {
			for _, match := range naming.FindAllStringSubmatch(group.Text(), -1) {
				function := functionAt(file, group)
				if function == "" {
					return fmt.Errorf("%s: the comment %q is neither inside a function nor before one", files.Position(group.Pos()), match[0])
				}
				for _, number := range numbers(match[1]) {
					tests[number] = append(tests[number], test{filepath.ToSlash(path), function})
				}
			}
		}
		return nil
	})
}

// functionAt returns the name of the function that contains the comment, or else
// of the next function. It returns "" if there is none.
func functionAt(file *ast.File, comment *ast.CommentGroup) string {
	for _, declaration := range file.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok && comment.Pos() < f.End() {
			return f.Name.Name
		}
	}
	return ""
}

// numbers reads a list such as "13-15, 26".
func numbers(list string) (all []int) {
	for _, match := range numberOrRange.FindAllStringSubmatch(list, -1) {
		first, _ := strconv.Atoi(match[1])
		last, err := strconv.Atoi(match[2])
		if err != nil {
			last = first
		}
		for n := first; n <= last; n++ {
			all = append(all, n)
		}
	}
	return all
}

// render returns the page: rules.md with links to the RFCs, and with the tests of
// each rule below it.
func render(tests map[int][]test) (string, error) {
	var b strings.Builder
	b.WriteString("<!-- Written by go run ./.ci/conformance from .ci/conformance/rules.md and the tests. -->\n\n")
	var errs []error
	rule, documented := 0, false
	finish := func() {
		if shown := show(tests[rule]); shown != "" {
			fmt.Fprintf(&b, "    - Tests: %s\n", shown)
		} else if rule > 0 && !documented {
			errs = append(errs, fmt.Errorf("rule %d has no test", rule))
		}
		delete(tests, rule)
		rule, documented = 0, false
	}
	last := 0
	for line := range strings.Lines(rules) {
		if match := ruleStart.FindStringSubmatch(line); match != nil {
			finish()
			rule, _ = strconv.Atoi(match[1])
			if rule <= last {
				errs = append(errs, fmt.Errorf("rules.md: rule %d comes after rule %d", rule, last))
			}
			last = rule
		} else if line == "\n" {
			finish()
		}
		documented = documented || strings.HasPrefix(line, documentationOnly)
		b.WriteString(section.ReplaceAllStringFunc(line, link))
	}
	finish()
	for _, number := range slices.Sorted(maps.Keys(tests)) {
		errs = append(errs, fmt.Errorf("%s: %s names rule %d, which does not exist", tests[number][0].file, tests[number][0].function, number))
	}
	return b.String(), errors.Join(errs...)
}

// link turns a reference to an RFC into a Markdown link.
func link(reference string) string {
	match := section.FindStringSubmatch(reference)
	address := "https://www.rfc-editor.org/rfc/rfc" + match[1]
	if match[3] != "" {
		address += "#section-" + match[3]
	}
	return fmt.Sprintf("[%s](%s)", reference, address)
}

// show lists the names of tests, grouped by file.
func show(tests []test) string {
	slices.SortFunc(tests, func(a, b test) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.function, b.function)) })
	var files []string
	for i, t := range slices.Compact(tests) {
		name := "`" + t.function + "`"
		if !isTest.MatchString(t.function) {
			name += " (which tests call)"
		}
		if i > 0 && tests[i-1].file == t.file {
			files[len(files)-1] += ", " + name
			continue
		}
		files = append(files, fmt.Sprintf("[%s](../%s) %s", t.file, t.file, name))
	}
	return strings.Join(files, "; ")
}

// difference returns the lines that are in only one of the two texts.
func difference(got, want string) string {
	var b strings.Builder
	for _, side := range []struct{ sign, text, other string }{{"-", got, want}, {"+", want, got}} {
		others := slices.Collect(strings.Lines(side.other))
		for line := range strings.Lines(side.text) {
			if !slices.Contains(others, line) {
				b.WriteString(side.sign + line)
			}
		}
	}
	return b.String()
}
