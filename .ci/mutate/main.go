// Command mutate checks that the tests notice when a security promise is
// broken. It breaks the library in one way at a time, as the files in
// mutations list them, and runs the tests that should fail. A mutation that no
// test notices is a survivor.
//
//	go run ./.ci/mutate                          all mutations
//	go run ./.ci/mutate -sample 8 -seed COMMIT   eight of them, chosen by the commit
//	go run ./.ci/mutate -run 'exp|nbf'           those whose name matches
//	go run ./.ci/mutate -check                   run no test: check that each mutation fits the code
//	go run ./.ci/mutate -refit                   update the tables for code that was moved or renamed
//
// The working tree does not change: go test gets the broken files as an
// overlay. The exit status is 1 if a mutation survives, does not fit the code or
// does not compile, or if a test hangs unexpectedly.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	run := flag.String("run", "", "choose the mutations whose name matches this `regexp`")
	sample := flag.Int("sample", 0, "choose `n` mutations by the seed; 0 chooses all")
	seed := flag.String("seed", "", "the same `text` chooses the same sample; use the hash of the commit")
	check := flag.Bool("check", false, "only check that each mutation fits the code")
	refit := flag.Bool("refit", false, "update the anchors in the tables for code that was moved or renamed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, *run, *sample, *seed, *check, *refit); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// start runs the command with the given flags, in the module of the working
// directory.
func start(ctx context.Context, run string, sample int, seed string, check, refit bool) error {
	output, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list -m: %w", err)
	}
	mod := &module{root: strings.TrimSpace(string(output)), packages: map[string][]*declaration{}}
	dir := filepath.Join(mod.root, ".ci", "mutate", "mutations")
	tables, err := readTables(os.DirFS(dir))
	if err != nil {
		return err
	}
	if refit {
		return mod.refit(dir, tables)
	}
	chosen, err := choose(tables, run, sample, seed)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range chosen {
		_, _, err := mod.mutate(m)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if check {
		fmt.Printf("%d mutations fit the code\n", len(chosen))
		return nil
	}
	return mod.test(ctx, os.Stdout, chosen)
}

// choose returns the mutations whose name matches, or a sample of them.
func choose(tables []*table, run string, sample int, seed string) (chosen []*mutation, err error) {
	pattern, err := regexp.Compile(run)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		for _, m := range t.mutations {
			if pattern.MatchString(m.breaks) {
				chosen = append(chosen, m)
			}
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no mutation matches %q", run)
	}
	if sample > 0 && sample < len(chosen) {
		rank := func(m *mutation) string { sum := sha256.Sum256([]byte(seed + "\n" + m.breaks)); return string(sum[:]) }
		slices.SortFunc(chosen, func(a, b *mutation) int { return strings.Compare(rank(a), rank(b)) })
		chosen = chosen[:sample]
	}
	return chosen, nil
}

// refit updates each anchor that does not fit if exactly one place has its code.
// It returns an error for the other anchors that do not fit.
func (mod *module) refit(dir string, tables []*table) error {
	identifier := regexp.MustCompile(`[\pL_][\pL_\d]*`)
	var errs []error
	for _, t := range tables {
		changed := false
		for _, m := range t.mutations {
			for _, c := range m.changes {
				if _, err := mod.find(c); err == nil {
					continue
				}
				places := mod.places(c)
				if len(places) != 1 {
					_, err := mod.find(c)
					errs = append(errs, fmt.Errorf("%s:%d: %q: %w", t.file, c.lines["in"][0]+1, m.breaks, err))
					continue
				}
				changed = true
				fmt.Printf("%s:%d: %q: %s\n", t.file, c.lines["in"][0]+1, m.breaks, places[0])
				t.lines[c.lines["in"][0]] = "in: " + places[0].dir + " " + places[0].decl
				for _, i := range slices.Concat(c.lines["old"], c.lines["new"]) {
					key, code, _ := strings.Cut(t.lines[i], ":")
					if strings.HasPrefix(t.lines[i], "\t") {
						key, code = "", t.lines[i]
					} else {
						key += ":"
					}
					t.lines[i] = key + identifier.ReplaceAllStringFunc(code, func(name string) string {
						if to, ok := places[0].names[name]; ok {
							return to
						}
						return name
					})
				}
			}
		}
		if changed {
			err := os.WriteFile(filepath.Join(dir, t.file), []byte(strings.Join(t.lines, "\n")), 0o666)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// test runs the tests with each mutation in turn, and writes the outcome of each to w.
func (mod *module) test(ctx context.Context, w io.Writer, chosen []*mutation) error {
	temporary, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	passing := map[string]bool{}
	noticed := 0
	for _, m := range chosen {
		start := time.Now()
		files, diff, err := mod.mutate(m)
		if err != nil {
			return err
		}
		overlay, err := writeOverlay(temporary, files)
		if err != nil {
			return err
		}
		outcome, detail := mod.testMutation(ctx, m, overlay, passing)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if outcome == failed || outcome == hung && m.hangs {
			noticed++
			outcome, diff = "noticed", ""
		}
		fmt.Fprintf(w, "%-16s %s (%s, %.0f s)\n%s", outcome, m.breaks, detail, time.Since(start).Seconds(), diff)
	}
	fmt.Fprintf(w, "\n%d mutations, %d noticed\n", len(chosen), noticed)
	if bad := len(chosen) - noticed; bad > 0 {
		return fmt.Errorf("%d of %d mutations were not noticed", bad, len(chosen))
	}
	return nil
}

// testMutation runs the tests of m, package by package, until one fails. passing
// records the tests that pass without a mutation.
func (mod *module) testMutation(ctx context.Context, m *mutation, overlay string, passing map[string]bool) (outcome, detail string) {
	changed := packagePath(m.changes[0].dir)
	steps := [][]string{m.packages}
	if m.packages == nil {
		steps = [][]string{{changed}, nil} // nil: the importers of changed, looked up only if its own tests pass
	}
	var tested []string
	for i, packages := range steps {
		if i > 0 {
			if packages = mod.importers(ctx, m.changes[0].dir); packages == nil {
				break
			}
		}
		tested = append(tested, packages...)
		arguments := packages
		if m.run != "" {
			arguments = append([]string{"-run=" + m.run}, packages...)
		}
		// A test that fails without a mutation would seem to notice every mutation.
		// This run has the flags of a plain go test, so go can often use a cached result.
		if key := strings.Join(arguments, " "); !passing[key] {
			if outcome, detail = mod.goTest(ctx, arguments...); outcome != passed {
				return outcome + " UNMUTATED", detail
			}
			passing[key] = true
		}
		flags := []string{"-overlay=" + overlay, "-vet=off", "-failfast", "-timeout=" + timeout.String()}
		if outcome, detail = mod.goTest(ctx, append(flags, arguments...)...); outcome != passed {
			return outcome, detail
		}
	}
	return "SURVIVED", "all tests pass in " + strings.Join(tested, " ")
}

// The outcomes of goTest.
const (
	passed     = "PASSED"
	failed     = "FAILED"
	hung       = "HANGS"
	notBuilt   = "DOES NOT COMPILE"
	notMatched = "RUNS NO TEST"
)

// timeout limits the tests of one package with a mutation.
const timeout = 3 * time.Minute

var (
	failure  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	broken   = regexp.MustCompile(`(?m)^FAIL\s+\S+ \[(build|setup) failed\]`)
	noTests  = regexp.MustCompile(`(?m)^ok .*\[no tests to run\]`)
	ranTests = regexp.MustCompile(`(?m)^ok .*s$|^ok .*\(cached\)$`)
)

// goTest runs go test and returns the outcome. The detail of a failure is the
// name of the first test that failed.
func (mod *module) goTest(ctx context.Context, arguments ...string) (outcome, detail string) {
	output, err := goCommand(ctx, mod.root, append([]string{"test"}, arguments...)...).CombinedOutput()
	text := string(output)
	switch {
	case err == nil && noTests.MatchString(text) && !ranTests.MatchString(text):
		return notMatched, strings.TrimSpace(text)
	case err == nil:
		return passed, ""
	case broken.MatchString(text):
		return notBuilt, strings.TrimSpace(text)
	case strings.Contains(text, "panic: test timed out after "):
		return hung, "a test did not end"
	}
	test := ""
	for _, match := range failure.FindAllStringSubmatch(text, -1) {
		if test == "" || strings.HasPrefix(match[1], test+"/") {
			test = match[1]
		}
	}
	switch {
	case test != "":
		return failed, test
	case strings.Contains(text, "panic: "), strings.Contains(text, "fatal error: "):
		return failed, "a panic"
	default:
		return "CANNOT BE TESTED", strings.TrimSpace(text)
	}
}

// goCommand returns a go command that ignores a go.work in a parent directory.
// When ctx ends, go and its tests are interrupted.
func goCommand(ctx context.Context, dir string, arguments ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "go", arguments...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOWORK=off")
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	return c
}

// packagePath returns a directory as an argument for go test.
func packagePath(dir string) string { return "./" + path.Clean(dir) }

// importers returns the packages of the module that import the package in dir,
// in their tests or elsewhere.
func (mod *module) importers(ctx context.Context, dir string) (packages []string) {
	list := func(arguments ...string) []string {
		output, err := goCommand(ctx, mod.root, append([]string{"list", "-f"}, arguments...)...).Output()
		if err != nil {
			return nil
		}
		return strings.Split(strings.TrimSpace(string(output)), "\n")
	}
	changed := list("{{.ImportPath}}", packagePath(dir))
	for _, line := range list(`{{.ImportPath}}{{range .Imports}} {{.}}{{end}}{{range .TestImports}} {{.}}{{end}}{{range .XTestImports}} {{.}}{{end}}`, "./...") {
		if words := strings.Fields(line); words[0] != changed[0] && slices.Contains(words[1:], changed[0]) {
			packages = append(packages, words[0])
		}
	}
	return packages
}

// writeOverlay writes the changed files into dir and returns the name of the
// file for go test -overlay.
func writeOverlay(dir string, files map[string]string) (string, error) {
	replace := map[string]string{}
	for name, text := range files {
		replace[name] = filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(replace[name], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(err, os.WriteFile(overlay, content, 0o600))
}
