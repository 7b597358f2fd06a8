package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policytest"
	"github.com/gaia-host/gaia/extensions/sdk"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/internal/testkit"
)

// tools finds the compilers that `make deps` installs. One that is missing skips the test, but not in CI.
func tools(t *testing.T) func(string) string {
	t.Helper()
	asc, err := filepath.Abs("../../.cache/npm/node_modules/.bin/asc")
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) string {
		if name == "ASC" {
			return asc
		}
		return os.Getenv(name)
	}
}

// newProject writes a new policy to a folder and returns it.
func newProject(t *testing.T, name, lang string) string {
	t.Helper()
	files, err := sdk.Project(name, lang)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	for file, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// skipSlow skips what takes minutes under the race detector: the compiler of wazero at the two megabytes of a guest in Go, each
// time. Nothing of it is other than with the guests in other languages, and without the detector it runs.
func skipSlow(t *testing.T, lang string) {
	t.Helper()
	if testkit.Race && lang == LangGo {
		t.Skip("minutes under the race detector")
	}
}

// build builds a project, and skips the test where its compiler is missing outside of CI.
func build(t *testing.T, e *wasm.Engine, dir string) *Built {
	t.Helper()
	b, err := Build(t.Context(), BuildConfig{Dir: dir, Engine: e, Getenv: tools(t)})
	var missing *MissingTool
	if errors.As(err, &missing) {
		testkit.Missing(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// asking is what a new policy answers to a fixed run of questions, as text.
func asking(t *testing.T, e *wasm.Engine, file string) string {
	t.Helper()
	c := Config{Wasm: e, Tx: natives.NewHost(natives.HostConfig{}).Begin(t0)}
	p, err := Open(t.Context(), "p", file, Settings{Instances: 1}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c.Tx.Commit()
	if err := c.Tx.Apply(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintln(&out, p.Hooks().Names(), p.Match.Matches(&policy.Request{Subsystem: policy.SubsystemFiles}))
	now := t0
	for i := range 60 {
		now += int64(i%7) * int64(13*time.Millisecond)
		req := &policy.Request{Subsystem: policy.SubsystemAPI, Action: "request", Key: []string{"a", "b"}[i%5/4], Method: "GET", Host: "a", Path: "/", Attempt: 1, Cost: 1, Now: now}
		var d policy.Decision
		if i%11 == 10 {
			res := &policy.Response{Status: 429, Sent: now, Bytes: -1, Header: lookup{"retry-after": "1"}}
			if err := p.OnResponse(req, res, &d); err != nil {
				t.Fatal(err)
			}
		} else if err := p.OnRequest(req, &d); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%d %+v\n", i, d)
	}
	return out.String()
}

type lookup map[string]string

func (l lookup) Lookup(name string) (string, bool) { v, ok := l[strings.ToLower(name)]; return v, ok }

// A new policy in each language builds by the real tool, is a policy with a manifest, answers as the one in JavaScript does, and
// allocates nothing on the way.
func TestNewPoliciesBuildAndAnswerAlike(t *testing.T) {
	if testing.Short() {
		t.Skip("runs compilers")
	}
	e := testConfig(t).Wasm // one for all: it keeps what it compiled
	want := asking(t, e, build(t, e, newProject(t, "quota", LangJS)).File)
	for _, lang := range sdk.Languages() {
		t.Run(lang, func(t *testing.T) {
			skipSlow(t, lang)
			b := build(t, e, newProject(t, "quota", lang))
			if b.Lang != lang || b.Manifest.Name != "quota" || strings.Join(b.Hooks, " ") != "onRequest onResponse" || b.Size == 0 || !strings.HasPrefix(b.Digest, "sha256:") {
				t.Errorf("%+v", b)
			}
			if got := asking(t, e, b.File); got != want {
				t.Errorf("it answers\n%s\nin JavaScript\n%s", got, want)
			}
			if filepath.Ext(b.File) == ".wasm" {
				moduleOf(t, e, b.File)
			}
		})
	}
}

// moduleOf checks what a built module says of itself, and that a hook costs no allocation.
func moduleOf(t *testing.T, e *wasm.Engine, file string) {
	t.Helper()
	info, err := Inspect(file)
	if err != nil || info.Wasm.Problem != nil || info.Wasm.Manifest.ABI != "gaia_v1" || len(info.Wasm.Manifest.Hooks) != 2 {
		t.Errorf("%v %+v", err, info)
	}
	p, err := Open(t.Context(), "p", file, Settings{Instances: 1}, Config{Wasm: e, Tx: natives.NewHost(natives.HostConfig{}).Begin(t0)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	req, d := &policy.Request{Subsystem: policy.SubsystemAPI, Key: "a", Host: "a", Now: t0, Cost: 1, Attempt: 1}, policy.Decision{}
	n := testing.AllocsPerRun(100, func() {
		d.Reset()
		if err := p.OnRequest(req, &d); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a hook", n)
	}
}

// Rust without cargo, and a policy that is another file than a project.
func TestRustIsBuiltWithoutCargo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs compilers")
	}
	dir := newProject(t, "plain", LangRust)
	if err := os.Remove(filepath.Join(dir, "Cargo.toml")); err != nil {
		t.Fatal(err)
	}
	if b := build(t, testConfig(t).Wasm, dir); b.Manifest.Name != "plain" {
		t.Errorf("%+v", b)
	}
}

func TestBuildRefuses(t *testing.T) {
	e := testConfig(t).Wasm
	empty := t.TempDir()
	file := write(t, "a.txt", "x")
	manifest := func(text string) string {
		return filepath.Dir(write(t, ManifestFile, text))
	}
	script := newProject(t, "script", LangJS)
	for _, tt := range []struct{ name, dir, out, contains string }{
		{"no folder", filepath.Join(empty, "none"), "", "no such file"},
		{"a file", file, "", "is no folder"},
		{"nothing in it", empty, "", "there is no policy in this folder"},
		{"types of the manifest", manifest(`{"name": 7}`), "", "name: want a text, not number"},
		{"keys of the manifest", manifest(`{"nam": "x"}`), "", `there is no key "nam"`},
		{"not JSON", manifest(`name: x`), "", "read the JSON"},
		{"a language", manifest(`{"language": "cobol"}`), "", `"cobol"`},
		{"the language's files", manifest(`{"language": "rust"}`), "", "src/lib.rs"},
		{"the ending of the output", script, filepath.Join(empty, "out.wasm"), "becomes a .js file"},
		{"an output that is no build", script, write(t, "mine.js", "let x = 1;"), "was not made by a build"},
		{"a folder as output", script, filepath.Join(t.TempDir(), "..") + "/x/y.js", "no such file"},
	} {
		_, err := Build(t.Context(), BuildConfig{Dir: tt.dir, Out: tt.out, Engine: e})
		if err == nil || !strings.Contains(err.Error(), tt.contains) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.contains)
		}
	}
	for _, lang := range []string{LangRust, LangGo, LangAssemblyScript, LangC} {
		dir := newProject(t, "lonely", lang)
		_, err := Build(t.Context(), BuildConfig{Dir: dir, Engine: e, Getenv: func(string) string { return "" }})
		var missing *MissingTool
		if !errors.As(err, &missing) || missing.Hint() == "" {
			t.Errorf("%s without a compiler: %v", lang, err)
		}
	}
}

// What stops a guest in its own language says where.
func TestKitsTellWhereAGuestFailed(t *testing.T) {
	if testing.Short() {
		t.Skip("runs compilers")
	}
	for _, tt := range []struct{ lang, file, source, contains string }{
		{LangRust, "src/lib.rs", "#![no_std]\nmod gaia;\nuse gaia::*;\nfn on_request(req: &Request) -> Decision {\n    allow().cost(10 / (req.attempt() as i64 - 1))\n}\npolicy!(on_request);\n", "panic src/lib.rs:5"},
		{LangAssemblyScript, "assembly/policy.ts", "import { allow, Decision, Request } from \"./gaia\";\nexport function onRequest(req: Request): Decision {\n  assert(req.attempt > 1, \"first\");\n  return allow();\n}\n", "first at assembly/policy.ts:3"},
	} {
		t.Run(tt.lang, func(t *testing.T) {
			dir := newProject(t, "fails", tt.lang)
			if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(tt.file)), []byte(tt.source), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := Open(t.Context(), "", build(t, testConfig(t).Wasm, dir).File, Settings{Instances: 1}, testConfig(t))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var d policy.Decision
			err = p.OnRequest(&policy.Request{Subsystem: policy.SubsystemAPI, Attempt: 1, Now: t0}, &d)
			var f *policy.Fault
			if !errors.As(err, &f) || f.Kind != policy.FaultException || !strings.Contains(err.Error(), tt.contains) {
				t.Errorf("%v, want %q", err, tt.contains)
			}
			if err := p.OnRequest(&policy.Request{Subsystem: policy.SubsystemAPI, Attempt: 2, Now: t0}, &d); err != nil {
				t.Errorf("the next one: %v", err)
			}
		})
	}
}

// What a compiler says reaches the author, nothing is written, and what was there stays.
func TestBuildFails(t *testing.T) {
	testkit.Program(t, "clang")
	e, dir := testConfig(t).Wasm, newProject(t, "c", LangC)
	c := BuildConfig{Dir: dir, Engine: e, Getenv: os.Getenv}
	b, err := Build(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(b.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policy.c"), []byte("#include \"gaia.h\"\nint x = ;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), c); !errors.Is(err, ErrBuild) || !strings.Contains(err.Error(), "policy.c:2:") {
		t.Errorf("a broken source: %v", err)
	}
	if after, err := os.ReadFile(b.File); err != nil || string(after) != string(before) {
		t.Errorf("the build that failed changed the file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policy.c"), []byte("#include \"gaia.h\"\nint32_t gaia_setup(void) { for (;;) gaia_area[0]++; }\ngaia_decision gaia_on_request(const gaia_frame *r) { (void)r; return 0; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), c); err == nil || !strings.Contains(err.Error(), "fuel") {
		t.Errorf("one that loads for ever: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled build: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// A module that needs parameters is built all the same: its schema says what they are.
func TestBuildOfAPolicyThatTakesParameters(t *testing.T) {
	testkit.Program(t, "clang")
	dir := newProject(t, "params", LangC)
	for name, text := range map[string]string{
		"policy.c":  "#include \"gaia.h\"\nint32_t gaia_setup(void) { char b[8]; return gaia_host_param(\"rpm\", 3, b, 8) < 0 ? gaia_refuse(\"rpm is missing\") : 0; }\ngaia_decision gaia_on_request(const gaia_frame *r) { (void)r; return gaia_allow(); }\n",
		"gaia.json": `{"name": "params", "language": "c", "params": {"type": "object", "properties": {"rpm": {"type": "integer"}}, "required": ["rpm"]}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := Build(t.Context(), BuildConfig{Dir: dir, Engine: testConfig(t).Wasm, Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	looked, err := Open(t.Context(), "", b.File, Settings{Probe: true}, testConfig(t))
	if err != nil {
		t.Fatalf("it cannot be looked at: %v", err)
	}
	if err := looked.Close(); err != nil {
		t.Error(err)
	}
	for want, params := range map[string]map[string]any{"": {"rpm": 5}, "params: lacks rpm": nil, "params.rpm: got string, want integer": {"rpm": "x"}} {
		p, err := Open(t.Context(), "", b.File, Settings{Params: params}, testConfig(t))
		if want == "" && err == nil {
			err = p.Close()
		}
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", params, err, want)
		}
	}
}

// The conformance policy in every kit answers as the one in Go does: each word of each kit, in each hook.
func TestKitsConform(t *testing.T) {
	if testing.Short() {
		t.Skip("runs compilers")
	}
	for _, tt := range []struct{ lang, from, to string }{
		{LangRust, "policy.rs", "src/lib.rs"}, {LangGo, "policy.go.txt", "policy.go"}, {LangAssemblyScript, "policy.as.ts", "assembly/policy.ts"}, {LangC, "policy.c", "policy.c"},
	} {
		t.Run(tt.lang, func(t *testing.T) {
			skipSlow(t, tt.lang)
			dir := newProject(t, "conform", tt.lang)
			source, err := os.ReadFile(filepath.Join("../policytest/conformance", tt.from))
			if err != nil {
				t.Fatal(err)
			}
			manifest := fmt.Sprintf(`{"name": "conform", "language": %q, "options": {"match": {"subsystem": "api"}, "budget": "5s"}}`, tt.lang)
			for file, text := range map[string]string{tt.to: string(source), ManifestFile: manifest} {
				if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(file)), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			e := testConfig(t).Wasm
			b := build(t, e, dir)
			err = policytest.Conform(func(scope *natives.Scope) (policy.Policy, error) {
				return e.Open(t.Context(), wasm.Source{Name: "conform", Path: b.File}, wasm.Config{Scope: scope, Instances: 1})
			}, 7, 800)
			if err != nil {
				t.Error(err)
			}
		})
	}
}
