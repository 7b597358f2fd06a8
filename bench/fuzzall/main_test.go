package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree writes files into a new folder and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func fuzzFile(pkg, name, body string) string {
	return fmt.Sprintf("package %s\nimport \"testing\"\nfunc %s(f *testing.F) { f.Add(1); f.Fuzz(func(t *testing.T, n int) { %s }) }\n", pkg, name, body)
}

func TestFind(t *testing.T) {
	dir := tree(t, map[string]string{
		"go.mod":                     "module m\n",
		"root_test.go":               fuzzFile("m", "FuzzRoot", ""),
		"b/b_test.go":                fuzzFile("b", "FuzzB", "") + "func TestB(t *testing.T) {}\nfunc Fuzzy(f *testing.F) {}\nfunc FuzzHelp(n int) {}\n",
		"a/deep/z_test.go":           fuzzFile("deep", "FuzzZ", ""),
		"a/deep/y_test.go":           fuzzFile("deep", "FuzzY", ""),
		"a/deep/none.go":             "package deep\nfunc FuzzNot() {}\n",
		"a/deep/other_plan9_test.go": fuzzFile("deep", "FuzzElsewhere", ""),
		"a/testdata/x_test.go":       fuzzFile("x", "FuzzData", ""),
		"other/go.mod":               "module other\n",
		"other/o_test.go":            fuzzFile("o", "FuzzOther", ""),
		".cache/c_test.go":           fuzzFile("c", "FuzzHidden", ""),
	})
	found, err := find(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range found {
		names = append(names, f.String())
	}
	if want := []string{"FuzzRoot", "a/deep.FuzzY", "a/deep.FuzzZ", "b.FuzzB"}; !slices.Equal(names, want) {
		t.Errorf("found %v, want %v", names, want)
	}
}

func TestFindFails(t *testing.T) {
	if _, err := find(filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Error("a folder that does not exist is searched")
	}
	if _, err := find(tree(t, map[string]string{"x_test.go": "package x\nfunc {"})); err == nil {
		t.Error("a file that is no Go is read")
	}
}

func TestRun(t *testing.T) {
	dir := tree(t, map[string]string{
		"go.mod":        "module m\n\ngo 1.26\n",
		"a/a_test.go":   fuzzFile("a", "FuzzFine", "") + "func FuzzFineToo(f *testing.F) { FuzzFine(f) }\n",
		"b/bad_test.go": fuzzFile("b", "FuzzBad", `t.Fatal("found")`),
	})
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-dir", dir, "-time", "50ms", "-parallel", "1"}, &stdout, &stderr); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	var lines []string
	for line := range strings.Lines(stdout.String()) {
		fields := strings.Fields(line)
		lines = append(lines, fields[0]+" "+fields[1])
	}
	if want := []string{"ok a.FuzzFine", "ok a.FuzzFineToo", "FAIL b.FuzzBad"}; !slices.Equal(lines, want) {
		t.Errorf("said %q, want %q", lines, want)
	}
	if !strings.Contains(stderr.String(), "found") {
		t.Errorf("standard error %q does not say why", &stderr)
	}
}

func TestArguments(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"-h"}, 0},
		{[]string{"-time", "soon"}, 2},
		{[]string{"-time", "0s"}, 2},
		{[]string{"-parallel", "-1"}, 2},
		{[]string{"extra"}, 2},
		{[]string{"-dir", empty}, 2},
		{[]string{"-dir", filepath.Join(empty, "nothing")}, 2},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), c.args, &stdout, &stderr); code != c.code || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d with %q, want %d", c.args, code, &stderr, c.code)
		}
	}
}

func TestProgress(t *testing.T) {
	out := "fuzz: elapsed: 0s, gathering baseline coverage: 0/1 completed\nfuzz: elapsed: 3s, execs: 100 (33/sec), new interesting: 2 (total: 3)\nPASS\n"
	if got := progress([]byte(out)); got != "execs: 100 (33/sec), new interesting: 2 (total: 3)" {
		t.Errorf("progress %q", got)
	}
	if got := progress([]byte("PASS\n")); got != "" {
		t.Errorf("progress %q of nothing", got)
	}
}
