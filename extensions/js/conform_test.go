package js_test

import (
	"os"
	"testing"

	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policytest"
)

// A policy in JavaScript answers as the same one in Go does.
func TestConform(t *testing.T) {
	const path = "../policytest/conformance/policy.js"
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(2) {
		err := policytest.Conform(func(scope *natives.Scope) (policy.Policy, error) {
			return js.Open(t.Context(), js.Source{Name: "conform", Path: path, Code: code}, js.Config{Scope: scope})
		}, seed, 3000)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}
