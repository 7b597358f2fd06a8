package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/wasm/meter"
)

// fuelRow holds a function of fuel.c that counts fuel against the same that does not.
func fuelRow(function string, n uint64) func(context.Context, effort) (outcome, error) {
	return func(ctx context.Context, e effort) (out outcome, err error) {
		code, err := policies.ReadFile("policies/fuel.wasm")
		if err != nil {
			return outcome{}, fmt.Errorf("read the module: %w", err)
		}
		counted, err := meter.Rewrite(code, meter.Options{})
		if err != nil {
			return outcome{}, fmt.Errorf("rewrite the module: %w", err)
		}
		r := wazero.NewRuntime(ctx)
		defer func() { err = closed(err, closer(func() error { return r.Close(ctx) })) }()
		sides := make([]measure.Sample, 2)
		for i, m := range [][]byte{counted.Module, code} {
			mod, err := r.InstantiateWithConfig(ctx, m, wazero.NewModuleConfig().WithName(""))
			if err != nil {
				return outcome{}, fmt.Errorf("instantiate: %w", err)
			}
			fuel, _ := mod.ExportedGlobal(meter.FuelGlobal).(api.MutableGlobal)
			f, stack := mod.ExportedFunction(function), make([]uint64, 1)
			sides[i] = measure.Serial(ops(func() error {
				if fuel != nil {
					fuel.Set(1 << 40)
				}
				stack[0] = n
				return f.CallWithStack(ctx, stack)
			}), e.Sample)
		}
		res, err := measure.Interleave(e.plan(), measure.Ratio, sides...)
		return compared(res, 0, "with fuel", "without"), err
	}
}

// largeGuest is a program whose module has about two megabytes.
const largeGuest = `package main

import "fmt"

//go:wasmexport say
func say(n int32) int32 { return int32(len(fmt.Sprint(n))) }

func main() {}
`

// rewriteRow holds the rewriting of a large module against its compilation.
func rewriteRow(ctx context.Context, e effort) (out outcome, err error) {
	code, err := buildLarge(ctx)
	if err != nil {
		return outcome{}, err
	}
	r := wazero.NewRuntime(ctx)
	defer func() { err = closed(err, closer(func() error { return r.Close(ctx) })) }()
	rewrite := ops(func() error { _, err := meter.Rewrite(code, meter.Options{}); return err })
	compile := ops(func() error {
		m, err := r.CompileModule(ctx, code)
		if err != nil {
			return err
		}
		return m.Close(ctx)
	})
	plan := e.plan()
	plan.Turns = min(plan.Turns, 7) // a compilation takes a second
	res, err := measure.Interleave(plan, measure.Ratio, measure.Serial(rewrite, e.Sample), measure.Serial(compile, e.Sample))
	return compared(res, 0, fmt.Sprintf("rewrite of %d bytes", len(code)), "compile"), err
}

func buildLarge(ctx context.Context) (code []byte, err error) {
	dir, err := os.MkdirTemp("", "gaia-large-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for name, text := range map[string]string{"main.go": largeGuest, "go.mod": "module guest\n\ngo 1.25\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "guest.wasm", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the large guest: %w\n%s", err, said)
	}
	return os.ReadFile(filepath.Join(dir, "guest.wasm"))
}
