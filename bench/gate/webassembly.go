package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/sdk"
	"github.com/gaia-host/gaia/extensions/wasm"
)

// policies are the sources and modules that the rows run.
//
//go:embed policies/*.js policies/*.wasm policies/*.txt
var policies embed.FS

// closed closes what a row opened and keeps its error.
func closed(err error, c io.Closer) error { return errors.Join(err, c.Close()) }

// emptyModule exports an empty function "empty": (i64) -> i64.
var emptyModule = []byte("\x00asm\x01\x00\x00\x00\x01\x06\x01\x60\x01\x7e\x01\x7e\x03\x02\x01\x00\x07\x09\x01\x05empty\x00\x00\x0a\x06\x01\x04\x00\x20\x00\x0b")

// rawWazero is what the rows of Wasm are held against: the cheapest call of an empty
// export that wazero offers, with a context that has nothing in it.
func rawWazero(ctx context.Context) (measure.Op, io.Closer, error) {
	r := wazero.NewRuntime(ctx)
	m, err := r.Instantiate(ctx, emptyModule)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("instantiate the empty module: %w", err), r.Close(ctx))
	}
	f, stack, background := m.ExportedFunction("empty"), make([]uint64, 1), context.Background()
	return func(n int) error {
		for range n {
			if err := f.CallWithStack(background, stack); err != nil {
				return err
			}
		}
		return nil
	}, closer(func() error { return r.Close(ctx) }), nil
}

type closer func() error

func (c closer) Close() error { return c() }

// openWasm opens a module of the policies folder with an engine of its own.
func openWasm(ctx context.Context, s *natives.Scope, name string) (*wasm.Policy, io.Closer, error) {
	engine, err := wasm.NewEngine(wasm.EngineConfig{})
	if err != nil {
		return nil, nil, fmt.Errorf("start the Wasm engine: %w", err)
	}
	code, err := module(ctx, engine, name)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read the module: %w", err), engine.Close())
	}
	p, err := engine.Open(ctx, wasm.Source{Name: name, Path: name + ".wasm", Code: code}, wasm.Config{Scope: s})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the module: %w", err), engine.Close())
	}
	return p, closer(func() error { return errors.Join(p.Close(), engine.Close()) }), nil
}

// goGuest is the one guest that is built when it is measured: its module has two megabytes.
const goGuest = "hooks-go"

// module returns a guest of the policies folder.
func module(ctx context.Context, engine *wasm.Engine, name string) (code []byte, err error) {
	if name != goGuest {
		return policies.ReadFile("policies/" + name + ".wasm")
	}
	files, err := sdk.Project("hooks", bundle.LangGo)
	if err != nil {
		return nil, err
	}
	if files["policy.go"], err = policies.ReadFile("policies/hooks.go.txt"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gaia-gate-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600)); err != nil {
			return nil, err
		}
	}
	built, err := bundle.Build(ctx, bundle.BuildConfig{Dir: dir, Engine: engine, Getenv: os.Getenv})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(built.File)
}

// withGuest opens a guest and the raw call, and runs fn with both.
func withGuest(ctx context.Context, name string, fn func(p policy.Policy, raw measure.Op) (outcome, error)) (out outcome, err error) {
	s := newScopes()
	p, guest, err := openWasm(ctx, s.of(name), name)
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = closed(err, guest) }()
	if err := s.inForce(); err != nil {
		return outcome{}, err
	}
	raw, runtime, err := rawWazero(ctx)
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = closed(err, runtime) }()
	return fn(p, raw)
}

// wasmHook measures the whole path of the engine: lease, frame, fuel, hook, decision.
func wasmHook(guest string) func(context.Context, effort) (outcome, error) {
	return func(ctx context.Context, e effort) (outcome, error) {
		return withGuest(ctx, guest, func(p policy.Policy, raw measure.Op) (outcome, error) {
			hook := asking(p, -1, policy.ActionAllow)
			allocs, err := measure.Allocs(hook, e.Allocs)
			if err != nil {
				return outcome{}, err
			}
			res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(hook, e.Sample), measure.Serial(raw, e.Sample))
			return compared(res, allocs, "hook of "+guest, "raw wazero call"), err
		})
	}
}

// hostCalls are the calls whose cost is measured, by what the size of a request makes
// hooks.c call four times: from what does almost nothing to a take from a limiter. The row
// tells the mean of them; -v tells each.
var hostCalls = [...]string{1: "limiter_take", 2: "request_header", 3: "metric_add", 4: "hash", 5: "state_incr"}

const callsPerHook = 4

func wasmHostCall(ctx context.Context, e effort) (outcome, error) {
	return withGuest(ctx, "hooks", func(p policy.Policy, raw measure.Op) (outcome, error) {
		sides := []measure.Sample{measure.Serial(raw, e.Sample), measure.Serial(asking(p, -1, policy.ActionAllow), e.Sample)}
		names := []string{"raw wazero call", "hook"}
		for kind := 1; kind < len(hostCalls); kind++ {
			sides = append(sides, measure.Serial(asking(p, int64(kind), policy.ActionAllow), e.Sample))
			names = append(names, "with four "+hostCalls[kind])
		}
		mean := func(costs []float64) float64 {
			sum := 0.0
			for _, with := range costs[2:] {
				sum += with - costs[1]
			}
			return sum / float64(len(costs)-2) / callsPerHook / costs[0]
		}
		res, err := measure.Interleave(e.plan(), mean, sides...)
		return compared(res, 0, names...), err
	})
}
