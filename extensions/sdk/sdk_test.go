package sdk

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/internal/testkit"
)

const root = "../.."

// tsc finds the TypeScript compiler: $GAIA_TSC, or what `make deps` installed.
func tsc(t *testing.T) string {
	t.Helper()
	path := os.Getenv("GAIA_TSC")
	if path == "" {
		path = filepath.Join(root, ".cache/npm/node_modules/.bin/tsc")
	}
	abs, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(abs)
	}
	if err != nil {
		testkit.Missing(t, "tsc is missing: %v; make deps installs it", err)
	}
	return abs
}

var complaint = regexp.MustCompile(`(?m)^(.+?)\((\d+),\d+\): error (TS\d+: .*)$`)

// check runs tsc on files with the settings that authors get and returns what it
// complains about, by file and line.
func check(t *testing.T, files []string) map[string][]int {
	t.Helper()
	settings, err := FS.ReadFile("tsconfig.json")
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(settings, &config); err != nil {
		t.Fatal(err)
	}
	types, err := filepath.Abs("gaia.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	list := []string{types}
	for _, f := range files {
		abs, err := filepath.Abs(f)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, abs)
	}
	config["files"] = list
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(t.TempDir(), "tsconfig.json")
	if err := os.WriteFile(project, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tsc(t), "--pretty", "false", "-p", project)
	cmd.Dir = filepath.Dir(project)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, out)
	}
	found := map[string][]int{}
	for _, m := range complaint.FindAllStringSubmatch(string(out), -1) {
		line, _ := strconv.Atoi(m[2])
		name := m[1]
		if !filepath.IsAbs(name) {
			name = filepath.Join(cmd.Dir, name)
		}
		found[name] = append(found[name], line)
		t.Logf("%s:%d: %s", name, line, m[3])
	}
	if err != nil && len(found) == 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	return found
}

// shipped lists the TypeScript that ships and that people copy.
func shipped(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, dir := range []string{"examples", "scripts"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".ts") && !strings.HasSuffix(path, ".d.ts") {
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// Good files, and all that ship, are accepted. Each bad file is refused at the line that
// says so, and only there.
func TestTypes(t *testing.T) {
	good, _ := filepath.Glob("testdata/good/*.ts")
	bad, _ := filepath.Glob("testdata/bad/*.ts")
	if len(good) == 0 || len(bad) == 0 {
		t.Fatal("no files")
	}
	good = append(good, shipped(t)...)
	found := check(t, append(good[:len(good):len(good)], bad...))
	for _, f := range good {
		if lines := found[place(t, f)]; len(lines) > 0 {
			t.Errorf("%s is refused at %v", f, lines)
		}
	}
	for _, f := range bad {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasSuffix(line, "// error") {
				want = i + 1
			}
		}
		got := found[place(t, f)]
		sort.Ints(got)
		if len(got) == 0 || got[0] != want || got[len(got)-1] != want {
			t.Errorf("%s: complaints at lines %v, want %d", f, got, want)
		}
	}
}

// place is how a file is known among complaints.
func place(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// Every word of the language has its type.
func TestEveryWordIsDeclared(t *testing.T) {
	text, err := FS.ReadFile("gaia.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range natives.Table() {
		name := w.JS
		if _, method, ok := strings.Cut(w.JS, "."); ok {
			name = method
		}
		if !regexp.MustCompile(`(export (function|const) ` + name + `\b|\n    ` + name + `\()`).Match(text) {
			t.Errorf("%s is not declared", w.JS)
		}
	}
}

// The module "gaia/experiment" declares what the module itself exports, and a strategy
// for every kind of limiter.
func TestExperimentIsDeclared(t *testing.T) {
	text, err := FS.ReadFile("gaia.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	_, declared, ok := strings.Cut(string(text), `declare module "gaia/experiment" {`)
	if !ok {
		t.Fatal("there is no such module")
	}
	module, err := os.ReadFile(filepath.Join(root, "host/experiment/script/module.js"))
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	for _, m := range regexp.MustCompile(`(?m)export const (\w+)|(\w+): (?:kind\(|\()|^strategy\.(\w+) =`).FindAllStringSubmatch(string(module), -1) {
		name := m[1] + m[2] + m[3]
		names++
		if !regexp.MustCompile(`(export (function|const) ` + name + `\b|\n    ` + name + `\()`).MatchString(declared) {
			t.Errorf("%s is not declared", name)
		}
	}
	if names < 25 {
		t.Errorf("only %d names were found", names)
	}
	for _, k := range limit.Kinds() {
		if !strings.Contains(declared, "\n    "+k.String()+"(") {
			t.Errorf("strategy.%s is not declared", k)
		}
	}
}
