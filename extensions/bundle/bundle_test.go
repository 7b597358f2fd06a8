package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
)

const t0 = int64(1_800_000_000) * int64(time.Second)

func testConfig(t *testing.T) Config {
	t.Helper()
	e, err := wasm.NewEngine(wasm.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return Config{Wasm: e, Tx: natives.NewHost(natives.HostConfig{}).Begin(t0)}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pipe makes a pipe that nobody writes to.
func pipe(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenNamesThePolicy(t *testing.T) {
	c := testConfig(t)
	path := write(t, "quota.ts", "export function onRequest(req: { key: string }) { return req.key !== ''; }")
	twin := filepath.Join("..", "..", "examples", "wasm-c", "policy.wasm")
	for _, tt := range []struct{ name, use, want, engine string }{
		{"", path, "quota", EngineJS},
		{"mine", path, "mine", EngineJS},
		{"", "std/per-host", "per-host", EngineJS},
		{"named", twin, "named", EngineWasm},
		{"", write(t, "quota.bundle.js", jsManifest+`{"name": "built"}`+"\nexport function onRequest() {}"), "built", EngineJS},
		{"", write(t, "odd.js", jsManifest+`{"name": 5}`+"\nexport function onRequest() {}"), "odd", EngineJS},
	} {
		p, err := Open(t.Context(), tt.name, tt.use, Settings{}, c)
		if err != nil {
			t.Errorf("%s: %v", tt.use, err)
			continue
		}
		if p.Name() != tt.want || p.Engine != tt.engine || !strings.HasPrefix(p.Digest, "sha256:") || p.Options.Budget <= 0 || p.Options.OnFailure == "" {
			t.Errorf("%s: %+v", tt.use, p)
		}
		if faults := SelfTest(p, t0); len(faults) > 0 {
			t.Errorf("%s: self-test: %v", tt.use, faults)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefusesWithAPlace(t *testing.T) {
	c := testConfig(t)
	for _, tt := range []struct{ use, contains string }{
		{filepath.Join(t.TempDir(), "none.js"), "none.js"},
		{filepath.Join(t.TempDir(), "none.wasm"), "no such file"},
		{t.TempDir() + "/dir.txt", "not a policy"},
		{pipe(t, "pipe.wasm"), "regular file"},
		{pipe(t, "pipe.js"), "regular file"},
		{write(t, "a.js", "export function onRequest( {"), "a.js:1:"},
		{write(t, "a.wasm", "plainly not"), "a.wasm"},
		{"std/none", "no such standard policy"},
		{"std/../policies/per-host", "no such standard policy"},
	} {
		p, err := Open(t.Context(), "", tt.use, Settings{}, c)
		var load *policy.LoadError
		if p != nil || !errors.As(err, &load) || !strings.Contains(err.Error(), tt.contains) {
			t.Errorf("%s: %v", tt.use, err)
		}
	}
}

func TestSettingsOverrideOptions(t *testing.T) {
	c := testConfig(t)
	path := write(t, "a.js", `import { params } from "gaia";
export const options = { match: { host: "a" }, budget: "1ms", onFailure: "open" };
if (params.rpm !== 7) throw new Error("params: " + JSON.stringify(params));
export function onRequest() {}`)
	p, err := Open(t.Context(), "", path, Settings{Params: map[string]any{"rpm": 7},
		Options: policy.Options{Match: map[string]any{"host": "b"}, Budget: time.Second, OnFailure: policy.FailClosed}}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Options.Budget != time.Second || p.Options.OnFailure != policy.FailClosed || p.Match.Matches(&policy.Request{Host: "a"}) || !p.Match.Matches(&policy.Request{Host: "b"}) {
		t.Errorf("%+v", p.Options)
	}
}

func TestSelfTestFindsAFault(t *testing.T) {
	c := testConfig(t)
	p, err := Open(t.Context(), "", write(t, "a.js", `export const options = { match: { subsystem: "files" } };
export function onRequest(req) { throw new Error(req.subsystem); }`), Settings{}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if faults := SelfTest(p, t0); len(faults) != 1 || !strings.Contains(faults[0].Error(), "files") {
		t.Errorf("got %v", faults)
	}
}

func TestInspect(t *testing.T) {
	info, err := Inspect(filepath.Join("..", "..", "examples", "wasm-c", "policy.wasm"))
	if err != nil || info.Engine != EngineWasm || info.Wasm == nil || len(info.Wasm.Imports) == 0 || info.Size == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	if info, err := Inspect("std/per-host"); err != nil || info.Engine != EngineJS || info.Size == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := Inspect(write(t, "a.wasm", "plainly not")); err == nil {
		t.Error("no error")
	}
}
