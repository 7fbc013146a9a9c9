// Command mutate shows that the tests notice when a check is missing. It breaks
// the library in one way at a time, as mutations.txt lists them, and runs the
// tests that should notice:
//
//	go run ./.ci/mutate                  all of it, which takes an hour
//	go run ./.ci/mutate -run 'exp|nbf'   those whose name matches
//	go run ./.ci/mutate -list            their names
//	go run ./.ci/mutate -check           only whether the list still fits the code
//
// Nothing is written into the working tree: go test is given what is broken as
// an overlay. The exit status is 1 if a mutation survives and the list does not
// say why it must, or if the list is out of date.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

//go:embed mutations.txt
var table string

// A mutation is one way to break the library.
type mutation struct {
	name     string
	file     string
	packages []string // whose tests should notice
	survives string   // why no test can notice it; "" if one has to
	changes  []change
}

type change struct{ before, after string }

func main() {
	name := flag.String("run", "", "choose the mutations whose name matches this `regexp`")
	list := flag.Bool("list", false, "list the names")
	check := flag.Bool("check", false, "only check that the list still fits the code")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	chosen, err := choose(*name)
	switch {
	case err != nil:
	case *list:
		for _, m := range chosen {
			fmt.Println(m.name)
		}
	case *check:
		fmt.Printf("%d mutations, all of which fit the code\n", len(chosen))
	default:
		err = run(ctx, chosen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// choose returns the mutations whose name matches, if all of them fit the code.
func choose(name string) (chosen []mutation, err error) {
	pattern, err := regexp.Compile(name)
	if err != nil {
		return nil, err
	}
	all, err := parse(table)
	if err != nil {
		return nil, fmt.Errorf("mutations.txt: %w", err)
	}
	var stale []error
	for _, m := range all {
		if !pattern.MatchString(m.name) {
			continue
		}
		chosen = append(chosen, m)
		if _, err := m.apply(); err != nil {
			stale = append(stale, fmt.Errorf("%q is out of date: %w", m.name, err))
		}
	}
	return chosen, errors.Join(stale...)
}

// parse reads the list. Its head says how it is written.
func parse(text string) (all []mutation, err error) {
	names := map[string]bool{}
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		var m mutation
		adding := true // the line before was not one to be replaced
		for line := range strings.SplitSeq(paragraph, "\n") {
			key, value, _ := strings.Cut(line, ": ")
			last := len(m.changes) - 1
			switch {
			case line == "" || line[0] == '#':
			case line[0] == '-' && adding:
				m.changes = append(m.changes, change{before: line[1:]})
				adding = false
			case line[0] == '-':
				m.changes[last].before += "\n" + line[1:]
			case line[0] == '+' && !adding:
				m.changes[last].after = line[1:]
				adding = true
			case line[0] == '+' && last >= 0:
				m.changes[last].after += "\n" + line[1:]
			case key == "name" && !names[value]:
				m.name, names[value] = value, true
			case key == "file":
				m.file, m.packages = value, []string{"./" + path.Dir(value)}
			case key == "test":
				m.packages = strings.Fields(value)
			case key == "survives":
				m.survives = value
			default:
				return nil, fmt.Errorf("the line %q is none of those there are, or a name that is taken", line)
			}
		}
		if m.name == "" && m.file == "" && m.changes == nil {
			continue // a comment
		}
		if m.name == "" || m.file == "" || m.changes == nil {
			return nil, fmt.Errorf("the mutation %q of %q lacks a name, a file or a change", m.name, m.file)
		}
		all = append(all, m)
	}
	return all, nil
}

// apply returns the text of the file with the mutation in it.
func (m *mutation) apply() (string, error) {
	content, err := os.ReadFile(filepath.FromSlash(m.file))
	if err != nil {
		return "", err
	}
	text := string(content)
	for _, c := range m.changes {
		if n := strings.Count(text, c.before); n != 1 {
			return "", fmt.Errorf("%s has this %d times instead of once: %s", m.file, n, c.before)
		}
		text = strings.Replace(text, c.before, c.after, 1)
	}
	return text, nil
}

// run tests with one mutation after the other, and tells what came of each.
func run(ctx context.Context, chosen []mutation) error {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	counts := map[string]int{}
	passing := map[string]bool{}
	for _, m := range chosen {
		for _, p := range m.packages {
			if passing[p] {
				continue
			}
			// Tests that fail anyway would notice everything.
			if outcome, by := test(ctx, p); outcome != "SURVIVED" {
				return fmt.Errorf("the tests of %s must pass without a mutation: %s", p, by)
			}
			passing[p] = true
		}
		start := time.Now()
		overlay, err := m.overlay(dir)
		if err != nil {
			return fmt.Errorf("%q: %w", m.name, err)
		}
		var outcome, detail string
		for _, p := range m.packages {
			if outcome, detail = test(ctx, p, "-overlay="+overlay); outcome != "SURVIVED" {
				break
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case m.survives != "" && outcome == "SURVIVED":
			outcome, detail = "explained", m.survives
		case m.survives != "":
			outcome = "NOTICED, although it cannot be"
		}
		counts[outcome]++
		fmt.Printf("%-9s  %s (%s; %d s)\n", outcome, m.name, detail, int(time.Since(start).Seconds()))
	}
	good := counts["noticed"] + counts["explained"]
	fmt.Printf("\n%d mutations: %d noticed, %d explained, %d to look at\n", len(chosen), counts["noticed"], counts["explained"], len(chosen)-good)
	if good < len(chosen) {
		return errors.New("some mutations are not as they should be")
	}
	return nil
}

// overlay writes the file with the mutation in it into dir, and returns what to
// tell go about it.
func (m *mutation) overlay(dir string) (string, error) {
	text, err := m.apply()
	if err != nil {
		return "", err
	}
	original, err := filepath.Abs(filepath.FromSlash(m.file))
	if err != nil {
		return "", err
	}
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	return overlay, errors.Join(err, os.WriteFile(changed, []byte(text), 0o600), os.WriteFile(overlay, replace, 0o600))
}

var failure = regexp.MustCompile(`--- FAIL: (\S+)`)

// test runs the tests of a package, and tells which of them fails first, in a
// table with its case.
func test(ctx context.Context, pkg string, flags ...string) (outcome, detail string) {
	arguments := append([]string{"test", "-vet=off", "-count=1", "-failfast", "-timeout=2m"}, flags...)
	c := exec.CommandContext(ctx, "go", append(arguments, pkg)...)
	c.Env = append(os.Environ(), "GOWORK=off") // a go.work somewhere above has no say here
	output, err := c.CombinedOutput()
	text := string(output)
	switch {
	case err == nil:
		return "SURVIVED", pkg
	case strings.Contains(text, "[build failed]"), strings.Contains(text, "[setup failed]"):
		return "DOES NOT COMPILE", strings.TrimSpace(text)
	}
	first := "the end of the test binary, by a panic or its timeout"
	for i, match := range failure.FindAllStringSubmatch(text, -1) {
		if i == 0 || strings.HasPrefix(match[1], first+"/") {
			first = match[1]
		}
	}
	return "noticed", first
}
