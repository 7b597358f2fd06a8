package wasm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

func TestOpenRefuses(t *testing.T) {
	bodies := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	manifest := func(s string) []byte { return module{custom: bodies("gaia.manifest", s)}.bytes() }
	good := module{}.bytes()
	// A call of an imported function 0 with the arguments 1, 16, 1, 16, 1: limiter_open of a name of one zero byte.
	open := strings.Repeat("\x41\x01\x41\x10", 2) + "\x41\x01\x10\x00\x1a"
	limiterOpen := []string{"gaia_v1.limiter_open (i32, i32, i32, i32, i32) -> i32"}
	cases := []struct {
		name string
		code []byte
		want string
		hint string
	}{
		{"empty", []byte{}, "", "complete"},
		{"text", []byte("function onRequest() {}"), "", "core WebAssembly"},
		{"truncated", good[:len(good)-3], "", "complete"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "component", "WebAssembly 2.0"},
		{"nothing exported", rawModule, `does not export its memory`, ""},
		{"no memory", module{noMem: true}.bytes(), "does not export its memory", ""},
		{"memory under another name", module{memName: "mem"}.bytes(), `as "memory"`, ""},
		{"no abi", module{bodies: bodies("gaia_abi_1", "-")}.bytes(), `"gaia_abi_1" of interface gaia_v1`, "is it a policy"},
		{"no hook function", module{bodies: bodies("gaia_on", "-")}.bytes(), `does not export the function "gaia_on"`, "policy new"},
		{"wrong signature", module{types: bodies("gaia_on", "(i32) -> i64")}.bytes(), `exports "gaia_on" as (i32) -> i64, want (i32, i32) -> i64`, ""},
		{"wrong configure", module{bodies: bodies("gaia_configure", codeZero64), types: bodies("gaia_configure", "(i32) -> i64")}.bytes(), "want (i32) -> i32", ""},
		{"foreign import", module{imports: []string{"env.abort () -> ()"}}.bytes(), `imports "env.abort"`, "gaia_v1"},
		{"files", module{imports: []string{"wasi_snapshot_preview1.path_open (i32) -> i32"}}.bytes(), "path_open", "no files"},
		{"unknown word", module{imports: []string{"gaia_v1.exec () -> i32"}}.bytes(), `"gaia_v1.exec", which does not exist`, "limiter_take"},
		{"word of another type", module{imports: []string{"gaia_v1.hash (i64) -> i64"}}.bytes(), `imports "gaia_v1.hash" as (i64) -> i64, it is (i32, i32) -> i64`, "kit"},
		{"another major", module{imports: []string{"gaia_v2.hash () -> i32"}}.bytes(), "another version", "speaks gaia_v1"},
		{"imported memory", module{imports: []string{"gaia_v1.memory memory"}, noMem: true}.bytes(), `imports the memory "gaia_v1.memory"`, "functions only"},
		{"no hooks", module{bodies: bodies("gaia_hooks", codeZero32)}.bytes(), "has no hook", "onRequest"},
		{"unknown hooks", module{bodies: bodies("gaia_hooks", "\x41\xc0\x00")}.bytes(), "gaia_hooks returns 0x40", ""},
		{"newer minor", module{bodies: bodies("gaia_abi_1", "\x41\x09")}.bytes(), "version 1.9", "newer gaia"},
		{"scratch refused", module{bodies: bodies("gaia_scratch", codeZero32)}.bytes(), "gaia_scratch refused", ""},
		{"scratch not aligned", module{bodies: bodies("gaia_scratch", "\x41\x81\x08")}.bytes(), "not aligned", "align"},
		{"scratch outside", module{bodies: bodies("gaia_scratch", "\x41\x90\x80\x07")}.bytes(), "outside of the memory", ""},
		{"scratch negative", module{bodies: bodies("gaia_scratch", "\x41\x70")}.bytes(), "outside of the memory", ""},
		{"start loops", module{start: codeLoop}.bytes(), "instantiate: ", "units of fuel"},
		{"start traps", module{start: codeTrap}.bytes(), "instantiate: start function[4] failed: unreachable", ""},
		{"start calls the host", module{imports: limiterOpen, start: open}.bytes(), "start function may not call the host", ""},
		{"initialize loops", module{bodies: bodies("_initialize", codeLoop)}.bytes(), "_initialize: budget: fuel", "units of fuel"},
		{"initialize traps", module{bodies: bodies("_initialize", codeTrap)}.bytes(), "_initialize: trap: unreachable", ""},
		{"hooks trap", module{bodies: bodies("gaia_hooks", codeTrap)}.bytes(), "gaia_hooks: trap", ""},
		{"configure refuses", module{bodies: bodies("gaia_configure", "\x41\x07")}.bytes(), "gaia_configure: the error 7", "parameters"},
		{"bad limiter", module{imports: limiterOpen, bodies: bodies("_initialize", open)}.bytes(), "_initialize: open limiter", ""},
		{"too much memory", module{pages: 300}.bytes(), "needs 300 pages of memory, the limit is 256", "memory_pages"},
		{"manifest is no JSON", manifest("{name: x}"), "section gaia.manifest: read the JSON", ""},
		{"two objects", manifest("{} {}"), "more than one JSON object", ""},
		{"manifest too large", manifest(strings.Repeat(" ", maxManifest+1)), "at most 65536", ""},
		{"bad name", manifest(`{"name": "a/b"}`), `name "a/b"`, ""},
		{"unknown option", manifest(`{"options": {"mach": {}}}`), "options.mach: unknown option", ""},
		{"bad match", manifest(`{"options": {"match": {"subsystem": "ap"}}}`), "no subsystem", ""},
		{"routes", manifest(`{"options": {"routes": {"a": {"url": "https://a"}}}}`), "--route", ""},
		{"empty reason", manifest(`{"reasons": [""]}`), "reasons[0]", ""},
	}
	e := newEngine(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := e.Open(bg, Source{Path: "x/quota.wasm", Code: c.code}, Config{Scope: newScope(natives.ScopeConfig{})})
			var le *policy.LoadError
			if p != nil || !errors.As(err, &le) {
				t.Fatalf("opened, or another error: %v", err)
			}
			if !strings.HasPrefix(err.Error(), "x/quota.wasm: ") || !strings.Contains(err.Error(), c.want) || !strings.Contains(le.Hint, c.hint) {
				t.Errorf("%v\nhint: %s\nwant %q, hint %q", err, le.Hint, c.want, c.hint)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("several lines: %q", err)
			}
		})
	}
}

func TestOpenRefusesSettings(t *testing.T) {
	e := newEngine(t)
	code := module{}.bytes()
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Fuel: -1}, "fuel -1"},
		{Config{Fuel: MaxFuel + 1}, "fuel 2000001: want 1 to 2000000"},
		{Config{MemoryPages: 70000}, "memory of 70000 pages"},
		{Config{Instances: -1}, "-1 instances"},
		{Config{Override: policy.Options{Match: 7}}, "match"},
	} {
		if _, err := e.Open(bg, Source{Code: code}, c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	words := Source{Path: "testdata/words.wasm"}
	for param, want := range map[string]string{"refuse": "told to refuse", "large": "params have"} {
		scope := newScope(natives.ScopeConfig{Params: map[string]any{param: strings.Repeat("x", map[string]int{"large": 9000}[param])}})
		if _, err := e.Open(bg, words, Config{Scope: scope}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("param %s: %v", param, err)
		}
	}
	if _, err := e.Open(bg, Source{Path: filepath.Join(t.TempDir(), "no.wasm")}, Config{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "no.wasm: no such file") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := e.Open(bg, Source{Path: t.TempDir()}, Config{}); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a directory: %v", err)
	}
}

// What the operator says wins over the manifest, and that over the defaults.
func TestOptionsAndNames(t *testing.T) {
	e := newEngine(t)
	p, err := e.Open(bg, Source{Path: "testdata/words.wasm"}, Config{Override: policy.Options{OnFailure: policy.FailClosed, Isolation: policy.IsolationKey}, Instances: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	o := p.Options()
	if o.Budget != 20*time.Millisecond || o.OnFailure != policy.FailClosed || o.Isolation != policy.IsolationKey || len(o.Body) != 1 {
		t.Errorf("options %+v", o)
	}
	if m := p.Manifest(); p.Name() != "words" || m.Version != "2.1" || len(m.Reasons) != 2 || p.Files()[0] != "testdata/words.wasm" {
		t.Errorf("%s %+v %v", p.Name(), m, p.Files())
	}
	if idle, total := p.Guests(); idle != 3 || total != 3 || !strings.HasPrefix(p.Digest(), "sha256:") {
		t.Errorf("%d of %d idle, digest %s", idle, total, p.Digest())
	}
	plain, err := e.Open(bg, Source{Path: "dir/plain.wasm", Code: module{}.bytes()}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if o := plain.Options(); plain.Name() != "plain" || o.Budget != DefaultBudget || o.Isolation != policy.IsolationPool || o.Match != nil {
		t.Errorf("%s %+v", plain.Name(), o)
	}
}

func TestInspect(t *testing.T) {
	for file, want := range map[string]string{
		"testdata/words.wasm": "onRequest,onRoute,onResponse,onDone,onTick", "testdata/bench.wasm": "onRequest,onRoute",
		"../../examples/wasm-c/policy.wasm": "onRequest,onResponse",
	} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		info, err := Inspect(code)
		if err != nil || info.Problem != nil || !info.HooksKnown || strings.Join(info.Hooks.Names(), ",") != want {
			t.Errorf("%s: %v, %v, hooks %v known %v", file, err, info.Problem, info.Hooks.Names(), info.HooksKnown)
		}
		if info.Size != len(code) || len(info.Imports) == 0 || info.Memory.Min == 0 {
			t.Errorf("%s: %+v", file, info)
		}
	}
	info, err := Inspect(module{bodies: map[string]string{"gaia_hooks": "\x41\x01\x1a\x41\x02"}}.bytes())
	if err != nil || info.HooksKnown {
		t.Errorf("hooks that are computed: %v %+v", err, info)
	}
	if info, err = Inspect(rawModule); err != nil || info.Problem == nil {
		t.Errorf("a module that is no policy: %v %v", err, info.Problem)
	}
	if _, err = Inspect([]byte("MZ")); err == nil {
		t.Error("no module at all was inspected")
	}
}

// Instances that declare something else than the first are refused: identifiers would mean different things.
func TestInstancesDeclareTheSame(t *testing.T) {
	scope := newScope(natives.ScopeConfig{})
	p := open(t, "words.wasm", Config{Scope: scope, Instances: 1})
	g, err := p.newGuest()
	if err != nil {
		t.Fatal(err)
	}
	g.close()
	p.declared.limiters[1].name = "other"
	if _, err := p.newGuest(); !errors.Is(err, errDiffers) {
		t.Errorf("%v, want %v", err, errDiffers)
	}
}
