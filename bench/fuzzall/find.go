package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// target is one fuzz target.
type target struct {
	dir  string // of its package, with slashes, relative to the module's root; "." the root
	name string // of the function
}

// String is the target as it is told: the package's folder and the function.
func (t target) String() string {
	if t.dir == "." {
		return t.name
	}
	return t.dir + "." + t.name
}

// find returns the targets of the module in dir, ordered by package and name. Folders
// that go test ignores, other modules within and files for another system are left out.
func find(dir string) ([]target, error) {
	var found []target
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if path != dir && skipped(path, e.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(e.Name(), "_test.go") {
			return nil
		}
		names, err := targetsIn(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, filepath.Dir(path))
		for _, name := range names {
			found = append(found, target{filepath.ToSlash(rel), name})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for fuzz targets: %w", err)
	}
	slices.SortFunc(found, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return found, nil
}

// skipped reports whether go test ./... would not look into the folder.
func skipped(path, name string) bool {
	if name == "testdata" || name == "vendor" || name == "node_modules" || name[0] == '.' || name[0] == '_' {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}

// targetsIn returns the fuzz targets of one file: functions FuzzX(*testing.F).
func targetsIn(path string) ([]string, error) {
	if ok, err := build.Default.MatchFile(filepath.Split(path)); !ok || err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && isTarget(f) {
			names = append(names, f.Name.Name)
		}
	}
	return names, nil
}

func isTarget(f *ast.FuncDecl) bool {
	rest, ok := strings.CutPrefix(f.Name.Name, "Fuzz")
	if !ok || f.Recv != nil || rest != "" && 'a' <= rest[0] && rest[0] <= 'z' || f.Type.Params.NumFields() != 1 {
		return false
	}
	star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	sel, ok := star.X.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "F"
}
