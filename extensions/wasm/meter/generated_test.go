package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/gaia-host/gaia/internal/testkit"
)

// Valid modules that binaryen makes of random bytes: rewritten, they do what they did. Ten minutes of processor time in the long form.
func TestGenerated(t *testing.T) {
	tool := testkit.Program(t, "wasm-opt")
	if testing.Short() {
		t.Skip("makes modules")
	}
	budget := 4 * time.Second
	if os.Getenv("GAIA_ACCEPTANCE") != "" {
		budget = 10 * time.Minute
	}
	dir, rnd := t.TempDir(), rand.New(rand.NewPCG(11, 7))
	calls, made := 0, 0
	for began := spent(t); spent(t)-began < budget || made < 3; made++ {
		seed, out := filepath.Join(dir, "seed"), filepath.Join(dir, "m.wasm")
		text := make([]byte, 500+rnd.IntN(3000))
		for i := range text {
			text[i] = byte(rnd.Uint32())
		}
		if err := os.WriteFile(seed, text, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), tool, seed, "-ttf", "-o", out, "--enable-simd", "--enable-bulk-memory", "--enable-sign-ext",
			"--enable-nontrapping-float-to-int", "--enable-mutable-globals", "--enable-multivalue")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		code, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		calls += compareGenerated(t, code, made)
	}
	if calls == 0 {
		t.Error("no function was called")
	}
	t.Logf("%d calls of %d modules", calls, made)
}

// spent is the processor time of this program and of those it ran.
func spent(t *testing.T) (d time.Duration) {
	t.Helper()
	for _, who := range [...]int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			t.Fatal(err)
		}
		d += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return d
}

// compareGenerated runs a module and its rewritten form side by side; the host functions it imports answer alike.
func compareGenerated(t *testing.T, code []byte, n int) (calls int) {
	t.Helper()
	res, err := Rewrite(code, Options{InitialFuel: 1 << 40, InitialDepth: 10_000})
	if err != nil {
		if errors.Is(err, ErrLimit) {
			return 0
		}
		t.Fatalf("module %d: %v", n, err)
	}
	var logs [2]bytes.Buffer
	var mods [2]api.Module
	for i, m := range [][]byte{code, res.Module} {
		r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
		defer func() { _ = r.Close(t.Context()) }()
		compiled, err := r.CompileModule(t.Context(), m)
		if err != nil {
			t.Fatalf("module %d, side %d: %v", n, i, err)
		}
		if err := hostFor(t, r, compiled, &logs[i]); err != nil {
			t.Fatal(err)
		}
		if mods[i], err = r.InstantiateModule(t.Context(), compiled, wazero.NewModuleConfig().WithStartFunctions()); err != nil {
			return 0 // it may well trap while it starts
		}
	}
	g := newGuest(t, mods[1])
	defs := mods[0].ExportedFunctionDefinitions()
	for _, name := range slices.Sorted(maps.Keys(defs)) {
		def := defs[name]
		args := make([]uint64, len(def.ParamTypes()))
		if slices.Contains(def.ParamTypes(), api.ValueType(0x7b)) { // v128 takes two words
			continue
		}
		want, a := mods[0].ExportedFunction(name).Call(t.Context(), args...)
		got, _, _, b := g.call(1<<40, 10_000, name, args...)
		calls++
		if (a == nil) != (b == nil) || !slices.Equal(want, got) {
			t.Fatalf("module %d: %s = %v, %v; rewritten %v, %v", n, name, want, a, got, b)
		}
		if a != nil {
			break // what a trap leaves may differ
		}
	}
	if logs[0].String() != logs[1].String() {
		t.Fatalf("module %d: the host was told otherwise", n)
	}
	return calls
}

// hostFor makes the functions that a module imports: each writes down its arguments and answers 0.
func hostFor(t *testing.T, r wazero.Runtime, m wazero.CompiledModule, log *bytes.Buffer) error {
	t.Helper()
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range m.ImportedFunctions() {
		module, name, _ := f.Import()
		if builders[module] == nil {
			builders[module] = r.NewHostModuleBuilder(module)
		}
		params, results := f.ParamTypes(), f.ResultTypes()
		builders[module] = builders[module].NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
			if log.Len() < 1<<20 {
				fmt.Fprintln(log, name, stack[:len(params)])
			}
			clear(stack[:len(results)])
		}), params, results).Export(name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(t.Context()); err != nil {
			return err
		}
	}
	return nil
}
