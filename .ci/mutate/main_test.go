package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// demo is a module with one function, which its test calls with 17 and 18 only.
var demo = map[string]string{
	"go.mod": "module example.com/demo\n\ngo 1.25\n",
	"demo.go": `package demo

// Adult reports whether age is at least 18.
func (p *person[T]) Adult() bool {
	return atLeast(
		p.age, // in years
		18,
	)
}

func atLeast(age, limit int) bool { return age >= limit && age >= 0 }

type person[T any] struct{ age int }
`,
	"demo_test.go": `package demo

import "testing"

func TestAdult(t *testing.T) {
	for age, want := range map[int]bool{17: false, 18: true} {
		if (&person[int]{age}).Adult() != want {
			t.Error(age)
		}
	}
}
`,
}

func newModule(t *testing.T, files map[string]string) *module {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return &module{root: root, packages: map[string][]*declaration{}}
}

func parse(t *testing.T, text string) []*table {
	t.Helper()
	tables, err := readTables(fstest.MapFS{"demo.txt": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func TestAnchorSurvivesAnotherLayout(t *testing.T) {
	for name, old := range map[string]string{
		"one line":       "return atLeast(p.age, 18)",
		"spaces":         "return atLeast ( p . age , 18 )",
		"trailing comma": "return atLeast(p.age, 18,)",
		"comment":        "return /* see RFC */ atLeast(p.age, 18)",
		"several lines":  "return atLeast(\n\t\tp.age,\n\t\t18)",
		"semicolon":      "return atLeast(p.age, 18);",
	} {
		t.Run(name, func(t *testing.T) {
			tables := parse(t, "breaks: x\nin: . (*person).Adult\nold: "+old+"\nnew: return true\n")
			files, diff, err := newModule(t, demo).mutate(tables[0].mutations[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range files {
				if !strings.Contains(text, "bool {\n\treturn true\n}") {
					t.Error(text)
				}
			}
			if !strings.Contains(diff, "demo.go:5\n-\treturn atLeast(\n") || !strings.Contains(diff, "+\treturn true\n") {
				t.Error(diff)
			}
		})
	}
}

func TestAnchorThatDoesNotFit(t *testing.T) {
	for name, test := range map[string]struct{ in, old, new, want string }{
		"twice":         {". atLeast", "age >=", "age >", "2 times, not 1"},
		"not there":     {". atLeast", "age <= limit", "true", "0 times, not 1"},
		"moved":         {". person.Adult", "age >= limit", "true", "found in: . atLeast"},
		"no such name":  {". adult", "age >= limit", "true", "no declaration adult\n\tfound in: . atLeast"},
		"renamed":       {". older", "years >= limit && years >= 0", "true", "found in: . atLeast if years is now age"},
		"not Go":        {". atLeast", "age >= limit", "age >=", "is not Go"},
		"other package": {"sub f", "age >= limit", "true", "found in: . atLeast"},
	} {
		t.Run(name, func(t *testing.T) {
			tables := parse(t, "breaks: x\nin: "+test.in+"\nold: "+test.old+"\nnew: "+test.new+"\n")
			_, _, err := newModule(t, demo).mutate(tables[0].mutations[0])
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestRefit(t *testing.T) {
	dir := t.TempDir()
	before := "# A comment.\n\nbreaks: x\nin: sub older\nold: years >= limit\n\t&& years >= 0\nnew: years > limit\n"
	after := "# A comment.\n\nbreaks: x\nin: . atLeast\nold: age >= limit\n\t&& age >= 0\nnew: age > limit\n"
	if err := newModule(t, demo).refit(dir, parse(t, before)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "demo.txt")); err != nil || string(got) != after {
		t.Errorf("%v\n%s", err, got)
	}
	unknown := "breaks: x\nin: . atLeast\nold: x == y\nnew: false\n"
	if err := newModule(t, demo).refit(dir, parse(t, unknown)); err == nil {
		t.Error("no error for code that is nowhere")
	}
}

func TestTableIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"name taken":    "breaks: x\nin: . f\nold: a\nnew: b\n\nbreaks: x\nin: . f\nold: a\nnew: b\n",
		"no new":        "breaks: x\nin: . f\nold: a\n",
		"no old":        "breaks: x\nin: . f\nnew: b\n",
		"no in":         "breaks: x\nold: a\nnew: b\n",
		"no change":     "breaks: x\n",
		"no breaks":     "in: . f\nold: a\nnew: b\n",
		"unknown field": "breaks: x\nin: . f\nolder: a\nnew: b\n",
		"bad pattern":   "breaks: x\nrun: (\nin: . f\nold: a\nnew: b\n",
		"no field":      "breaks: x\nin: . f\nold: a\nnew: b\nmore\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readTables(fstest.MapFS{"demo.txt": {Data: []byte(text)}}); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestSampleIsChosenBySeed(t *testing.T) {
	var text strings.Builder
	for _, name := range strings.Split("abcdefghijklmnopqrst", "") {
		text.WriteString("breaks: " + name + "\nin: . f\nold: a\nnew: b\n\n")
	}
	tables := parse(t, text.String())
	sample := func(seed string) (names []string) {
		chosen, err := choose(tables, "", 8, seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range chosen {
			names = append(names, m.breaks)
		}
		return names
	}
	first := sample("1")
	if len(first) != 8 || !slices.Equal(first, sample("1")) || slices.Equal(first, sample("2")) {
		t.Error(first, sample("1"), sample("2"))
	}
}

func TestOutcomes(t *testing.T) {
	mod := newModule(t, demo)
	tables := parse(t, `breaks: nobody is too young
in: . atLeast
old: age >= limit
new: true

breaks: the age is below zero
in: . atLeast
old: age >= 0
new: true

breaks: the code does not compile
in: . atLeast
old: limit
	&& age
new: limit && unknown

breaks: no test is chosen
run: TestNothing
in: . atLeast
old: age >= 0
new: false
`)
	var report strings.Builder
	err := mod.test(t.Context(), &report, tables[0].mutations)
	if err == nil || err.Error() != "3 of 4 mutations were not noticed" {
		t.Error(err)
	}
	for _, want := range []string{
		"noticed          nobody is too young (TestAdult, ",
		"SURVIVED         the age is below zero (",
		"\ndemo.go:11\n-func atLeast(age, limit int) bool { return age >= limit && age >= 0 }\n" +
			"+func atLeast(age, limit int) bool { return age >= limit && true }\n",
		"DOES NOT COMPILE the code does not compile (",
		"RUNS NO TEST",
		"\n4 mutations, 1 noticed\n",
	} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, report.String())
		}
	}
}
