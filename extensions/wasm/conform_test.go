package wasm_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policytest"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/internal/testkit"
)

// A policy in C answers as the same one in Go does: the module that is checked in, and one built now.
func TestConform(t *testing.T) {
	engine, err := wasm.NewEngine(wasm.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	built := filepath.Join(t.TempDir(), "policy.wasm")
	for seed, path := range []string{"../policytest/conformance/policy.wasm", built} {
		if path == built {
			testkit.Program(t, "clang")
			if out, err := exec.Command("make", "-C", "../policytest/conformance", "OUT="+built).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		err := policytest.Conform(func(scope *natives.Scope) (policy.Policy, error) {
			return engine.Open(t.Context(), wasm.Source{Name: "conform", Path: path}, wasm.Config{Scope: scope, Instances: 1})
		}, uint64(seed), 3000)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(filepath.Dir(path)), err)
		}
	}
}
