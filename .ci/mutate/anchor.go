package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A lexeme is one token of Go code and its place in the text.
type lexeme struct {
	text       string
	start, end int
}

// tokens returns the tokens of Go code. Comments, semicolons and commas before
// a closing bracket are left out, because they depend on the layout.
func tokens(code string) []lexeme {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(code))
	s.Init(file, []byte(code), func(token.Position, string) {}, 0)
	var all []lexeme
	for {
		pos, tok, text := s.Scan()
		switch tok {
		case token.EOF:
			return all
		case token.SEMICOLON:
			continue
		case token.RPAREN, token.RBRACE, token.RBRACK:
			if n := len(all); n > 0 && all[n-1].text == "," {
				all = all[:n-1]
			}
		}
		if text == "" {
			text = tok.String()
		}
		start := file.Offset(pos)
		all = append(all, lexeme{text, start, start + len(text)})
	}
}

// A declaration is a function, a type, or a line of const or var.
type declaration struct {
	dir, name string
	file      string
	text      string // of the file
	tokens    []lexeme
}

// A module finds declarations below root.
type module struct {
	root     string
	packages map[string][]*declaration
}

// load returns the declarations of the package in dir, without its tests.
func (mod *module) load(dir string) ([]*declaration, error) {
	if all, ok := mod.packages[dir]; ok {
		return all, nil
	}
	files, err := filepath.Glob(filepath.Join(mod.root, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		return nil, err
	}
	var all []*declaration
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, name, content, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		add := func(node ast.Node, declared string) {
			start, end := positions.Position(node.Pos()).Offset, positions.Position(node.End()).Offset
			d := &declaration{dir: dir, name: declared, file: name, text: string(content)}
			for _, t := range tokens(d.text[start:end]) {
				d.tokens = append(d.tokens, lexeme{t.text, t.start + start, t.end + start})
			}
			all = append(all, d)
		}
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				add(decl, receiver(decl)+decl.Name.Name)
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						add(spec, spec.Name.Name)
					case *ast.ValueSpec:
						add(spec, spec.Names[0].Name)
					}
				}
			}
		}
	}
	mod.packages[dir] = all
	return all, nil
}

// receiver returns "Type." for a method of Type, *Type or Type[T].
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	t := f.Recv.List[0].Type
	for {
		switch inner := t.(type) {
		case *ast.StarExpr:
			t = inner.X
		case *ast.IndexExpr:
			t = inner.X
		case *ast.IndexListExpr:
			t = inner.X
		case *ast.Ident:
			return inner.Name + "."
		default:
			return ""
		}
	}
}

// methodName turns (*Type).Method into Type.Method.
var methodName = strings.NewReplacer("(", "", "*", "", ")", "")

// An edit replaces a part of a file.
type edit struct {
	file, text string // of the original
	start, end int
	new        string
}

// find returns the edits that make the change c. It returns an error unless the
// old code occurs c.count times in the declaration.
func (mod *module) find(c *change) ([]edit, error) {
	all, err := mod.load(c.dir)
	if err != nil {
		return nil, err
	}
	pattern := tokens(c.old)
	declared := 0
	var edits []edit
	for _, d := range all {
		if d.name != methodName.Replace(c.decl) {
			continue
		}
		declared++
		for _, at := range occurrences(d.tokens, pattern) {
			edits = append(edits, edit{d.file, d.text, d.tokens[at].start, d.tokens[at+len(pattern)-1].end, c.new})
		}
	}
	switch {
	case declared == 0:
		err = fmt.Errorf("%s has no declaration %s", c.dir, c.decl)
	case len(edits) != c.count:
		err = fmt.Errorf("%s in %s has this code %d times, not %d: %s", c.decl, c.dir, len(edits), c.count, c.old)
	default:
		return edits, nil
	}
	for _, p := range mod.places(c) {
		err = fmt.Errorf("%w\n\tfound in: %s", err, p)
	}
	return nil, err
}

// occurrences returns the indices at which pattern starts in code.
func occurrences(code, pattern []lexeme) (at []int) {
	same := func(a, b lexeme) bool { return a.text == b.text }
	for i := 0; i+len(pattern) <= len(code); i++ {
		if slices.EqualFunc(code[i:i+len(pattern)], pattern, same) {
			at = append(at, i)
			i += len(pattern) - 1
		}
	}
	return at
}

// A place is a declaration that has the old code of a change, perhaps with
// other names in it.
type place struct {
	dir, decl string
	names     map[string]string // new name of each renamed identifier
}

func (p place) String() string {
	var renamed []string
	for from, to := range p.names {
		renamed = append(renamed, from+" is now "+to)
	}
	slices.Sort(renamed)
	text := p.dir + " " + p.decl
	if len(renamed) > 0 {
		text += " if " + strings.Join(renamed, ", ")
	}
	return text
}

// places returns where the old code of c is now. It searches in this order:
//   - the package of c, for the unchanged code
//   - this package, for the code with other unexported names
//   - all packages of the module, in the same two ways
func (mod *module) places(c *change) []place {
	dirs := mod.directories()
	for _, scope := range [][]string{{c.dir}, dirs} {
		var exact, renamed []place
		for _, dir := range scope {
			all, _ := mod.load(dir)
			for _, d := range all {
				pattern := tokens(c.old)
				if len(occurrences(d.tokens, pattern)) == c.count {
					exact = append(exact, place{dir, d.name, nil})
				}
				for i := 0; len(pattern) >= 5 && i+len(pattern) <= len(d.tokens); i++ {
					if names := renaming(d.tokens[i:i+len(pattern)], pattern); names != nil {
						renamed = append(renamed, place{dir, d.name, names})
					}
				}
			}
		}
		if len(exact) > 0 {
			return exact
		}
		if len(renamed) > 0 {
			return renamed
		}
	}
	return nil
}

// renaming returns the one-to-one renaming of unexported identifiers that turns
// pattern into code, or nil if there is none.
func renaming(code, pattern []lexeme) map[string]string {
	names, back := map[string]string{}, map[string]string{}
	for i, p := range pattern {
		from, to := p.text, code[i].text
		private := func(s string) bool { return token.IsIdentifier(s) && !token.IsExported(s) }
		if from != to && !(private(from) && private(to)) {
			return nil
		}
		if known, ok := names[from]; ok && known != to {
			return nil
		}
		if known, ok := back[to]; ok && known != from {
			return nil
		}
		names[from], back[to] = to, from
	}
	for from, to := range names {
		if from == to {
			delete(names, from)
		}
	}
	return names
}

// directories returns the directories below the root that may hold packages of
// the module. Nested modules, testdata and hidden directories do not.
func (mod *module) directories() (dirs []string) {
	_ = filepath.WalkDir(mod.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(mod.root, path)
		if err != nil {
			return err
		}
		if relative != "." {
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if nested == nil || entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") {
				return filepath.SkipDir
			}
		}
		dirs = append(dirs, filepath.ToSlash(relative))
		return nil
	})
	return dirs
}

// mutate returns the changed files by their names, and a diff.
func (mod *module) mutate(m *mutation) (files map[string]string, diff string, err error) {
	var edits []edit
	var errs []error
	for _, c := range m.changes {
		found, err := mod.find(c)
		edits, errs = append(edits, found...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, "", fmt.Errorf("%q does not fit: %w", m.breaks, err)
	}
	// The last edit of a file comes first, so the offsets of the others stay right.
	slices.SortFunc(edits, func(a, b edit) int { return b.start - a.start })
	files = map[string]string{}
	for _, e := range edits {
		text, ok := files[e.file]
		if !ok {
			text = e.text
		}
		files[e.file] = text[:e.start] + e.new + text[e.end:]
		diff = e.diff(mod.root) + diff
	}
	for name, text := range files {
		if _, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution); err != nil {
			return nil, "", fmt.Errorf("%q is not Go afterwards: %w", m.breaks, err)
		}
	}
	return files, diff, nil
}

// diff shows the whole lines that an edit changes.
func (e edit) diff(root string) string {
	first := strings.LastIndexByte(e.text[:e.start], '\n') + 1
	last := len(e.text)
	if n := strings.IndexByte(e.text[e.end:], '\n'); n >= 0 {
		last = e.end + n
	}
	prefixed := func(prefix, text string) string {
		return prefix + strings.ReplaceAll(text, "\n", "\n"+prefix) + "\n"
	}
	name, err := filepath.Rel(root, e.file)
	if err != nil {
		name = e.file
	}
	line := strings.Count(e.text[:first], "\n") + 1
	return fmt.Sprintf("%s:%d\n", filepath.ToSlash(name), line) +
		prefixed("-", e.text[first:last]) + prefixed("+", e.text[first:e.start]+e.new+e.text[e.end:last])
}
