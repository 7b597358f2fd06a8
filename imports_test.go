// Package gaia_test keeps the shape of the tree: which folder may import which,
// and how packages and files look. It parses the files instead of asking `go
// list`, whose answer `go test` would cache.
package gaia_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module       = "github.com/gaia-host/gaia"
	maxFileLines = 600
	maxFuncLines = 80
)

// A unit is a folder whose packages share one rule: they may import each other,
// the units named, and nothing else of the module. The longest folder wins.
type unit struct {
	folder string
	// imports are folders with all that is below them.
	imports []string
	// each makes every folder right below a unit of its own.
	each bool
}

func leaves(more ...string) []string {
	return append([]string{"extensions/policy", "extensions/metrics", "extensions/limit", "extensions/route", "extensions/state"}, more...)
}

func units() []unit {
	return []unit{
		{folder: "cmd", imports: []string{"host", "subsystems", "extensions"}},
		{folder: "host", imports: []string{"subsystems", "extensions"}},
		{folder: "host/experiment", imports: []string{"host", "subsystems", "extensions", "scripts"}},
		{folder: "subsystems", imports: []string{"subsystems/admission", "extensions"}, each: true},
		{folder: "subsystems/admission", imports: []string{"extensions"}},
		{folder: "extensions/policy"},
		{folder: "extensions/metrics", imports: []string{"extensions/policy"}},
		{folder: "extensions/limit", imports: []string{"extensions/policy"}},
		{folder: "extensions/route", imports: []string{"extensions/policy"}},
		{folder: "extensions/state", imports: []string{"extensions/policy"}},
		{folder: "extensions/natives", imports: leaves()},
		{folder: "extensions/policytest", imports: leaves("extensions/natives")},
		{folder: "extensions/js", imports: leaves("extensions/natives")},
		{folder: "extensions/wasm", imports: leaves("extensions/natives")},
		{folder: "extensions/bundle", imports: leaves("extensions/natives", "extensions/js", "extensions/wasm", "scripts")},
		{folder: "extensions/bundle/remote/registrytest", imports: []string{"internal/testkit"}},
		{folder: "extensions/sdk"},
		{folder: "internal/testkit"},
		{folder: "scripts"},
		{folder: "examples", imports: []string{"host", "subsystems", "extensions"}, each: true},
	}
}

// libraries are the folders that may import a library; a folder stands for all
// below it too. Libraries that only tests use are listed with no folder.
func libraries() map[string][]string {
	return map[string][]string{
		"github.com/dop251/goja":                {"extensions/js"},
		"github.com/evanw/esbuild":              {"extensions/js"},
		"github.com/go-sourcemap/sourcemap":     {"extensions/js"},
		"github.com/dlclark/regexp2":            {"extensions/js"},
		"github.com/tetratelabs/wazero":         {"extensions/wasm"},
		"github.com/valyala/bytebufferpool":     {"extensions/metrics", "extensions/wasm", "subsystems", "host"},
		"github.com/HdrHistogram":               {"extensions/metrics", "host/experiment"},
		"gonum.org/v1/gonum":                    {"host/experiment"},
		"github.com/puzpuzpuz/xsync":            {"extensions/limit", "extensions/natives", "subsystems", "host"},
		"github.com/knadh/koanf":                {"host/config"},
		"github.com/go-viper/mapstructure":      {"host/config"},
		"github.com/goccy/go-yaml":              {"host/config"},
		"github.com/fsnotify/fsnotify":          {"host/config", "subsystems/files"},
		"github.com/bmatcuk/doublestar":         {"subsystems/files"},
		"github.com/google/renameio":            {"host", "extensions/wasm", "extensions/bundle/remote", "cmd"},
		"github.com/prometheus/client_golang":   {"host", "subsystems"},
		"github.com/chromedp/cdproto":           {"subsystems/browser"},
		"github.com/spf13/cobra":                {"cmd"},
		"github.com/tidwall/gjson":              {"subsystems/api"},
		"github.com/miekg/dns":                  {"subsystems/network"},
		"github.com/santhosh-tekuri/jsonschema": {"extensions/wasm"},
		"golang.org/x/text":                     {"extensions/wasm"},
		"golang.org/x/net":                      {"extensions/js", "extensions/wasm", "subsystems", "host"},
		"aead.dev/minisign":                     {"extensions/bundle/remote"},
		"oras.land/oras-go":                     {"extensions/bundle/remote"},
		"github.com/opencontainers":             {"extensions/bundle/remote"},
		"golang.org/x/sys":                      {"extensions/wasm", "subsystems", "host", "cmd", "internal/testkit"},
		"github.com/prometheus/common":          {},
		"github.com/rogpeppe/go-internal":       {},
		"go.uber.org/goleak":                    {},
	}
}

// peers are compared with in bench/, which is a module of its own, so that they
// are never dependencies of gaia.
func peers() []string {
	return []string{
		"golang.org/x/time", "github.com/valyala/fasthttp", "github.com/sony/gobreaker", "github.com/failsafe-go/failsafe-go",
		"github.com/hashicorp/go-retryablehttp", "github.com/cenkalti/backoff", "go.uber.org/ratelimit", "github.com/ulule/limiter",
		"github.com/throttled/throttled", "github.com/juju/ratelimit", "github.com/sethvargo/go-limiter", "github.com/grafana/sobek",
		"go.k6.io/k6", "github.com/caddyserver/caddy", "github.com/traefik", "github.com/open-policy-agent/opa",
		"github.com/extism", "github.com/http-wasm", "github.com/yuin/gopher-lua", "github.com/alibaba/sentinel-golang",
	}
}

// source is one parsed file.
type source struct {
	name, dir string
	test      bool
	lines     int
	ast       *ast.File
	fset      *token.FileSet
}

func TestTree(t *testing.T) {
	for _, offender := range check(t, os.DirFS(".")) {
		t.Error(offender)
	}
}

// check returns what breaks the rules in a tree, sorted.
func check(t *testing.T, tree fs.FS) []string {
	t.Helper()
	files, err := parseTree(tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go file was found")
	}
	var bad []string
	for _, f := range files {
		bad = append(bad, f.imports()...)
		bad = append(bad, f.shape()...)
	}
	bad = append(append(bad, undocumented(files)...), inits(files)...)
	if mod, err := fs.ReadFile(tree, "go.mod"); err == nil {
		bad = append(bad, peersOf(string(mod))...)
	}
	slices.Sort(bad)
	return bad
}

// parseTree reads every Go file of the module: not testdata, hidden folders, nor
// folders with a go.mod of their own.
func parseTree(tree fs.FS) ([]*source, error) {
	var files []*source
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			_, nested := fs.Stat(tree, path.Join(name, "go.mod"))
			if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" || nested == nil) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(base) != ".go" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, &source{name: name, dir: path.Dir(name), test: strings.HasSuffix(base, "_test.go"),
			lines: strings.Count(string(text), "\n"), ast: parsed, fset: fset})
		return nil
	})
	return files, err
}

// under reports whether dir is folder or below it.
func under(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

// unitOf finds the unit of a folder and the folder that it covers.
func unitOf(dir string) (u unit, covers string, ok bool) {
	for _, one := range units() {
		if under(dir, one.folder) && len(one.folder) > len(u.folder) {
			u, covers, ok = one, one.folder, true
		}
	}
	if u.each && dir != u.folder {
		name, _, _ := strings.Cut(strings.TrimPrefix(dir, u.folder+"/"), "/")
		covers = u.folder + "/" + name
	}
	return u, covers, ok
}

// imports says which imports of a file are forbidden.
func (f *source) imports() []string {
	var bad []string
	for _, spec := range f.ast.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return append(bad, f.name+": an import path cannot be read")
		}
		why := ""
		if inner, ok := strings.CutPrefix(target, module+"/"); ok {
			why = f.inner(inner)
		} else if first, _, _ := strings.Cut(target, "/"); strings.Contains(first, ".") {
			why = f.library(target)
		}
		if why != "" {
			bad = append(bad, fmt.Sprintf("%s imports %s: %s", f.name, target, why))
		}
	}
	return bad
}

// inner judges an import of the module itself. A test may import what its own
// layer may and all beside it, for there it uses packages as their users do. What tests
// share is in internal/testkit.
func (f *source) inner(target string) string {
	if f.test {
		return f.innerOfTest(target)
	}
	u, covers, ok := unitOf(f.dir)
	if !ok {
		return "the folder has no rule; give it one in imports_test.go"
	}
	for _, allowed := range append([]string{covers}, u.imports...) {
		if under(target, allowed) && (target != "scripts" || slices.Contains(u.imports, "scripts")) {
			return ""
		}
	}
	return fmt.Sprintf("packages of %s may import %s", covers, strings.Join(append(u.imports, "nothing else of the module"), ", "))
}

func (f *source) innerOfTest(target string) string {
	if target == "internal/testkit" {
		return ""
	}
	order := []string{"cmd", "host", "subsystems", "extensions", "scripts"}
	rank := func(dir string) int {
		return slices.IndexFunc(order, func(layer string) bool { return under(dir, layer) })
	}
	if from, to := rank(f.dir), rank(target); from >= 0 && to < from {
		return "imports point one way: " + strings.Join(order, " -> ")
	}
	return ""
}

// library judges an import from outside.
func (f *source) library(target string) string {
	for lib, folders := range libraries() {
		if !under(target, lib) {
			continue
		}
		if f.test || slices.ContainsFunc(folders, func(folder string) bool { return under(f.dir, folder) }) {
			return ""
		}
		return fmt.Sprintf("only %s may import %s", strings.Join(folders, ", "), lib)
	}
	return "a new library needs a reason in RATIONALE.md and an entry in imports_test.go"
}

// shape says what is wrong with a file's name and sizes.
func (f *source) shape() []string {
	var bad []string
	stem := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.name), ".go"), "_test")
	for _, ending := range []string{"_js", "_wasm", "_wasip1"} {
		if strings.HasSuffix(stem, ending) {
			bad = append(bad, fmt.Sprintf("%s: Go would compile it for %s only", f.name, ending[1:]))
		}
	}
	if f.test || ast.IsGenerated(f.ast) {
		return bad
	}
	if f.lines > maxFileLines {
		bad = append(bad, fmt.Sprintf("%s: %d lines, want at most %d", f.name, f.lines, maxFileLines))
	}
	for _, d := range f.ast.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		from, to := f.fset.Position(fn.Pos()).Line, f.fset.Position(fn.End()).Line
		if n := to - from + 1; n > maxFuncLines {
			bad = append(bad, fmt.Sprintf("%s:%d: function %s has %d lines, want at most %d", f.name, from, fn.Name.Name, n, maxFuncLines))
		}
	}
	return bad
}

// undocumented lists packages without a doc comment that begins as godoc has it.
func undocumented(files []*source) []string {
	packages, documented := map[string]string{}, map[string]bool{}
	for _, f := range files {
		if f.test {
			continue
		}
		packages[f.dir] = f.ast.Name.Name
		begin := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			begin = "Command "
		}
		if f.ast.Doc != nil && strings.HasPrefix(f.ast.Doc.Text(), begin) {
			documented[f.dir] = true
		}
	}
	var bad []string
	for dir, name := range packages {
		if !documented[dir] {
			bad = append(bad, fmt.Sprintf("%s: package %s has no doc comment that begins with its name", dir, name))
		}
	}
	return bad
}

// inits lists functions named init. One is allowed: extensions/js sets a bound of
// the regular expression engine, which is read when a pattern is compiled.
func inits(files []*source) []string {
	var bad []string
	allowed := 1
	for _, f := range files {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || fn.Name.Name != "init" {
				continue
			}
			if f.dir == "extensions/js" && !f.test && allowed > 0 {
				allowed--
				continue
			}
			bad = append(bad, fmt.Sprintf("%s:%d: an init function", f.name, f.fset.Position(fn.Pos()).Line))
		}
	}
	return bad
}

// peersOf lists the peers that a go.mod requires.
func peersOf(mod string) []string {
	var bad []string
	for line := range strings.Lines(mod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) < 2 {
			continue
		}
		for _, peer := range peers() {
			if under(fields[0], peer) {
				bad = append(bad, "go.mod requires "+fields[0]+": peers belong to bench/go.mod")
			}
		}
	}
	return bad
}
