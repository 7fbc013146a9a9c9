package main

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A mutation is one way to break a promise of the library.
type mutation struct {
	breaks   string   // what is wrong afterwards; also its name
	packages []string // whose tests should fail; nil: the changed package and its importers
	run      string   // the -run pattern for these tests; "" runs all of them
	hangs    bool     // a test that never ends is the expected way to notice
	changes  []*change
}

// A change replaces code inside one declaration.
type change struct {
	dir   string // of the package, from the root of the module
	decl  string // function, Type.Method, type, constant or variable
	old   string // Go code, compared token by token
	new   string // Go code to put in its place
	count int    // how often old occurs; all of them are replaced
	lines map[string][]int
}

// A table is a parsed file of mutations.
type table struct {
	file      string
	lines     []string
	mutations []*mutation
}

// readTables parses the files of fsys whose names end in .txt. A paragraph is a
// mutation, and its lines are:
//
//	breaks:  what is wrong afterwards; no two mutations have the same text
//	tests:   the packages whose tests should fail, such as ./keys; without this
//	         line, the changed package and the packages that import it
//	run:     the -run pattern for these tests; without this line all of them run
//	hangs:   true if a test that never ends is the expected way to notice
//	in:      the directory of the package and the declaration: a function,
//	         Type.method, type, constant or variable
//	old:     Go code that occurs once in this declaration
//	new:     Go code to put in its place; empty to delete it
//	count:   how often old occurs, if not once; all of them are replaced
//
// Code may go on in lines that start with a tab. A mutation that needs several
// changes has several groups of in, old and new. old is compared token by token:
// the layout, comments, semicolons and trailing commas do not matter, nor does
// the file of the package that has the declaration. A line that starts with # is a
// comment.
func readTables(fsys fs.FS) ([]*table, error) {
	names, err := fs.Glob(fsys, "*.txt")
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	var all []*table
	var errs []error
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		t := &table{file: name, lines: strings.Split(string(text), "\n")}
		if err := t.parse(); err != nil {
			errs = append(errs, err)
		}
		for _, m := range t.mutations {
			if taken[m.breaks] {
				errs = append(errs, fmt.Errorf("%s: two mutations are called %q", name, m.breaks))
			}
			taken[m.breaks] = true
		}
		all = append(all, t)
	}
	return all, errors.Join(errs...)
}

func (t *table) parse() error {
	var m *mutation
	var c *change
	field := ""
	for i, line := range t.lines {
		fail := func(format string, args ...any) error {
			return fmt.Errorf("%s:%d: "+format, append([]any{t.file, i + 1}, args...)...)
		}
		key, value, found := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case line == "":
			m, c, field = nil, nil, ""
			continue
		case line[0] == '#':
			continue
		case line[0] == '\t' && c != nil && (field == "old" || field == "new"):
			key, value = field, "\n"+line[1:]
		case !found:
			return fail("want a line such as %q", "old: x == y")
		case key == "breaks":
			m = &mutation{breaks: value}
			t.mutations = append(t.mutations, m)
			continue
		case m == nil:
			return fail("a mutation starts with the line breaks:")
		case key == "in":
			c = &change{count: 1, lines: map[string][]int{}}
			m.changes = append(m.changes, c)
		case c == nil && (key == "old" || key == "new" || key == "count"):
			return fail("the line in: comes before %s:", key)
		}
		field = key
		var err error
		switch key {
		case "tests":
			m.packages = strings.Fields(value)
		case "run":
			m.run = value
			_, err = regexp.Compile(value)
		case "hangs":
			m.hangs, err = strconv.ParseBool(value)
		case "in":
			c.dir, c.decl, _ = strings.Cut(value, " ")
		case "count":
			c.count, err = strconv.Atoi(value)
		case "old":
			c.old += value
		case "new":
			c.new += value
		default:
			return fail("%q is not the name of a field", key)
		}
		if err != nil {
			return fail("%w", err)
		}
		if c != nil {
			c.lines[key] = append(c.lines[key], i)
		}
	}
	for _, m := range t.mutations {
		incomplete := func(c *change) bool { return c.decl == "" || len(tokens(c.old)) == 0 || c.lines["new"] == nil }
		if len(m.changes) == 0 || slices.ContainsFunc(m.changes, incomplete) {
			return fmt.Errorf("%s: %q has no in, old or new", t.file, m.breaks)
		}
	}
	return nil
}
