package meter

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// A module and its rewritten form must compute the same, and the rewritten one must spend the same in every run.
func TestDifferential(t *testing.T) {
	funcs := []string{"crc", "quicksort", "calls", "parse", "ackermann", "mandel"}
	for _, name := range []string{"work.wasm", "simd.wasm"} {
		plain := fixture(t, name)
		r := newRuntime(t)
		original, err := r.InstantiateWithConfig(t.Context(), plain, wazero.NewModuleConfig().WithName("plain"))
		if err != nil {
			t.Fatal(err)
		}
		g, again := instantiate(t, rewrite(t, plain)), instantiate(t, rewrite(t, plain))
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 400 {
			f, a, b := funcs[rnd.IntN(len(funcs))], rnd.Uint64N(1<<32), rnd.Uint64N(1<<32)
			want, err := original.ExportedFunction(f).Call(t.Context(), a, b)
			if err != nil {
				t.Fatalf("%s(%d, %d): %v", f, a, b, err)
			}
			got, spent, left, err := g.call(1<<40, 10_000, f, a, b)
			if err != nil || !equal(got, want) || left != 10_000 {
				t.Fatalf("%s %s(%d, %d) = %v, depth %d, %v; want %v", name, f, a, b, got, left, err, want)
			}
			if _, second, _, _ := again.call(1<<40, 10_000, f, a, b); second != spent || spent < 1 {
				t.Fatalf("%s(%d, %d) spent %d, then %d", f, a, b, spent, second)
			}
		}
		// What was spent is enough; one less is not. The last word, because a trap leaves the instance unusable.
		_, spent, _, _ := again.call(1<<40, 10_000, "parse", 7, 4095)
		if _, _, _, err := again.call(spent, 10_000, "parse", 7, 4095); err != nil {
			t.Error(err)
		}
		if _, _, _, err := again.call(spent-1, 10_000, "parse", 7, 4095); err == nil {
			t.Errorf("parse runs with less than %d", spent)
		}
		x, _ := original.Memory().Read(0, original.Memory().Size())
		y, _ := g.mod.Memory().Read(0, g.mod.Memory().Size())
		if !bytes.Equal(x, y) {
			t.Errorf("%s: memories differ", name)
		}
	}
}

// A Go guest is the largest kind: megabytes of code, one loop around each function.
func TestGoReactor(t *testing.T) {
	module := buildGoGuest(t)
	start := time.Now()
	res, err := Rewrite(module, Options{})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	r := newRuntime(t)
	wasi_snapshot_preview1.MustInstantiate(t.Context(), r)
	start = time.Now()
	compiled, err := r.CompileModule(t.Context(), res.Module)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d -> %d bytes, %d functions, %d points; rewritten in %v, compiled in %v", len(module), len(res.Module), res.Functions, res.Points, took, time.Since(start))
	m, err := r.InstantiateModule(t.Context(), compiled, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, m)
	if _, spent, left, err := g.call(DefaultInitialFuel, DefaultInitialDepth, "_initialize"); err != nil || left != DefaultInitialDepth {
		t.Fatalf("_initialize: spent %d, depth %d, %v", spent, left, err)
	} else {
		t.Logf("_initialize spends %d", spent)
	}
	for _, n := range []uint64{0, 1, 10, 1000} {
		out, spent, left, err := g.call(10_000, 100, "sum", n)
		if err != nil || out[0] != n*(n+1)/2 || left != 100 {
			t.Fatalf("sum(%d) = %v, depth %d, %v", n, out, left, err)
		}
		t.Logf("sum(%d) spends %d", n, spent)
	}
	if _, spent, _, err := g.call(20_000, 10_000, "sum", 1<<30); err == nil || spent <= 20_000 {
		t.Errorf("sum(1<<30) under 20000: spent %d, %v", spent, err)
	}
	info, err := Inspect(module)
	if err != nil || len(info.Imports) == 0 || len(info.Languages) != 1 || info.Functions != res.Functions || info.Memory.Min == 0 {
		t.Errorf("%v imports, languages %v, %v", len(info.Imports), info.Languages, err)
	}
}

const goGuest = `package main

//go:wasmexport sum
func sum(n uint64) (s uint64) {
	for i := uint64(1); i <= n; i++ {
		s += i
	}
	return s
}

func main() {}
`

func buildGoGuest(t testing.TB) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a Go guest")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": goGuest, "go.mod": "module guest\n\ngo 1.25\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "guest.wasm", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("no Go toolchain for wasip1: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
