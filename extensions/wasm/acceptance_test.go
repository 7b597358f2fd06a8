package wasm

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
)

// A guest built by the Go toolchain needs WASI stubs, megabytes of memory and its runtime started.
func TestGoGuest(t *testing.T) {
	if os.Getenv("GAIA_ACCEPTANCE") == "" {
		t.Skip("builds a guest with the Go toolchain: set GAIA_ACCEPTANCE=1")
	}
	file := filepath.Join(t.TempDir(), "go.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./testdata/goguest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := Inspect(code)
	if err != nil || info.Problem != nil || !slices.ContainsFunc(info.Languages, func(l string) bool { return strings.HasPrefix(l, "Go") }) {
		t.Errorf("%v %v %v", err, info.Problem, info.Languages)
	}
	p := openCode(t, code, Config{Instances: 2})
	for i, want := range []policy.Action{policy.ActionAllow, policy.ActionAllow, policy.ActionDeny} {
		var d policy.Decision
		if err := p.OnRequest(request(), &d); err != nil || d.Action != want {
			t.Errorf("request %d: %v %+v, want %s", i+1, err, d, want)
		}
	}
	req, d := request(), policy.Decision{}
	req.Size = 2
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
