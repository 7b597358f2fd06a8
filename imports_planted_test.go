package gaia_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// planted is a small tree that keeps every rule.
func planted() fstest.MapFS {
	doc := func(name string, imports ...string) string {
		text := fmt.Sprintf("// Package %s is one.\npackage %s\n", name, name)
		for _, i := range imports {
			text += fmt.Sprintf("import _ %q\n", i)
		}
		return text
	}
	tree := fstest.MapFS{}
	put := func(name, text string) { tree[name] = &fstest.MapFile{Data: []byte(text)} }
	put("go.mod", "module "+module+"\n\nrequire github.com/dop251/goja v1.0.0\n")
	put("cmd/gaia/main.go", "// Command gaia is one.\npackage main\nimport _ \""+module+"/host\"\n")
	put("host/host.go", doc("host", module+"/subsystems/api", "net/http"))
	put("subsystems/api/api.go", doc("api", module+"/subsystems/admission"))
	put("subsystems/admission/core.go", doc("admission", module+"/extensions/policy"))
	put("extensions/policy/policy.go", doc("policy", "time"))
	put("extensions/js/js.go", doc("js", "github.com/dop251/goja")+"func init() {}\n")
	put("extensions/js/js_test.go", "package js_test\nimport _ \""+module+"/extensions/policytest\"\n")
	put("extensions/bundle/bundle.go", doc("bundle", module+"/scripts", module+"/extensions/js"))
	put("bench/go.mod", "module bench\n")
	put("bench/peer.go", "package bench\nimport _ \"golang.org/x/time/rate\"\n")
	return tree
}

func TestCheckerAcceptsAGoodTree(t *testing.T) {
	if bad := check(t, planted()); len(bad) > 0 {
		t.Errorf("it found faults: %q", bad)
	}
}

func TestCheckerFindsPlantedViolations(t *testing.T) {
	imports := func(target string) string { return "package x\nimport _ \"" + target + "\"\n" }
	tests := []struct{ name, file, text, want string }{
		{"a subsystem imports the host", "subsystems/api/x.go", imports(module + "/host"), "subsystems/api/x.go imports " + module + "/host"},
		{"a subsystem imports its sibling", "subsystems/api/x.go", imports(module + "/subsystems/files"), "imports " + module + "/subsystems/files"},
		{"admission imports a subsystem", "subsystems/admission/x.go", imports(module + "/subsystems/api"), "imports " + module + "/subsystems/api"},
		{"the host imports a command", "host/x.go", imports(module + "/cmd/gaia"), "imports " + module + "/cmd/gaia"},
		{"the host imports the scripts", "host/x.go", imports(module + "/scripts"), "imports " + module + "/scripts"},
		{"a leaf imports natives", "extensions/limit/x.go", imports(module + "/extensions/natives"), "imports " + module + "/extensions/natives"},
		{"a leaf imports a leaf", "extensions/limit/x.go", imports(module + "/extensions/state"), "imports " + module + "/extensions/state"},
		{"natives import an engine", "extensions/natives/x.go", imports(module + "/extensions/js"), "imports " + module + "/extensions/js"},
		{"an engine imports the other", "extensions/js/x.go", imports(module + "/extensions/wasm"), "imports " + module + "/extensions/wasm"},
		{"policytest imports an engine", "extensions/policytest/x.go", imports(module + "/extensions/js"), "imports " + module + "/extensions/js"},
		{"extensions import a subsystem", "extensions/bundle/x.go", imports(module + "/subsystems/api"), "imports " + module + "/subsystems/api"},
		{"a test points upwards", "extensions/js/y_test.go", imports(module + "/host"), "imports point one way"},
		{"an engine's library elsewhere", "host/x.go", imports("github.com/dop251/goja"), "only extensions/js may import"},
		{"a new library", "host/x.go", imports("example.com/new"), "needs a reason"},
		{"a folder without a rule", "tools/x.go", imports(module + "/host"), "the folder has no rule"},
		{"a peer", "go.mod", "module m\nrequire (\n\tgolang.org/x/time v0.1.0\n)\n", "go.mod requires golang.org/x/time"},
		{"no package doc", "extensions/limit/x.go", "package limit\n", "extensions/limit: package limit has no doc"},
		{"a doc of another name", "extensions/limit/x.go", "// Package other is.\npackage limit\n", "extensions/limit: package limit has no doc"},
		{"an init", "host/x.go", "package host\nfunc init() {}\n", "host/x.go:2: an init function"},
		{"a second init", "extensions/js/x.go", "package js\nfunc init() {}\n", "an init function"},
		{"a name for GOOS=js", "host/policy_js.go", "package host\n", "compile it for js only"},
		{"a test's name for GOARCH=wasm", "host/hook_wasm_test.go", "package host\n", "compile it for wasm only"},
		{"a long file", "host/x.go", "package host\n" + strings.Repeat("\n", maxFileLines), "601 lines"},
		{"a long function", "host/x.go", "package host\nfunc f() {" + strings.Repeat("\n", maxFuncLines) + "}\n", "function f has 81 lines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := planted()
			tree[tt.file] = &fstest.MapFile{Data: []byte(tt.text)}
			bad := check(t, tree)
			if !slices.ContainsFunc(bad, func(s string) bool { return strings.Contains(s, tt.want) }) {
				t.Errorf("%q is not among %q", tt.want, bad)
			}
		})
	}
}

// TestEveryLibraryHasAReason compares the direct dependencies of go.mod with the
// table of RATIONALE.md, both ways.
func TestEveryLibraryHasAReason(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("RATIONALE.md")
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	_, table, _ := strings.Cut(string(text), "## Why these dependencies?")
	for line := range strings.Lines(table) {
		if cell, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(cell, "`")
			reasons = append(reasons, name)
		}
	}
	direct := directOf(string(mod))
	if len(direct) == 0 {
		t.Fatal("go.mod has no direct dependency")
	}
	for _, lib := range direct {
		if !slices.ContainsFunc(reasons, func(r string) bool { return related(lib, r) }) {
			t.Errorf("RATIONALE.md gives no reason for %s", lib)
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(libraries())), func(l string) bool { return under(lib, l) }) {
			t.Errorf("imports_test.go does not say who may import %s", lib)
		}
	}
	for _, r := range reasons {
		if !slices.ContainsFunc(direct, func(lib string) bool { return related(lib, r) }) {
			t.Errorf("RATIONALE.md gives a reason for %s, which is no direct dependency", r)
		}
	}
}

// related says that a reason covers a module: the same one, or one of its family.
func related(lib, reason string) bool {
	family := strings.TrimSuffix(reason, "/v2")
	return under(lib, reason) || under(lib, family)
}

// directOf lists the modules that a go.mod requires directly.
func directOf(mod string) []string {
	var list []string
	inside := false
	for line := range strings.Lines(mod) {
		line = strings.TrimSpace(line)
		single, one := strings.CutPrefix(line, "require ")
		switch {
		case line == "require (":
			inside = true
		case line == ")":
			inside = false
		case (inside || one) && !strings.Contains(line, "// indirect"):
			if fields := strings.Fields(single); len(fields) == 2 {
				list = append(list, fields[0])
			}
		}
	}
	return list
}
