package meter

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// FuzzRewrite is best run with -fuzzminimizetime=10x: the engine's caches make coverage unsteady, and minimizing takes all the time.
func FuzzRewrite(f *testing.F) {
	for _, name := range []string{"meter.wasm", "start.wasm", "startrec.wasm", "imported.wasm", "work.wasm", "simd.wasm"} {
		f.Add(fixture(f, name))
	}
	f.Add(mod())
	f.Add(append(mod(), custom("name", "\x01\x04\x01\x00\x01f")...))
	f.Add(one())
	for _, code := range [][]byte{
		{0x10, 0}, {0x03, 0x40, 0x0c, 0, opEnd}, {0x04, 0x40, opEnd}, {opUnreachable, 0xfc, 11, 0}, {opUnreachable, 0x40, 0, 0x1a},
		{0xfd, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a}, {0x10, 0, 0x0f}, {0x02, 0x40, 0x41, 0, 0x0e, 1, 0, 1, opEnd, 0x10, 0},
	} {
		f.Add(one(code...))
	}
	r := wazero.NewRuntimeWithConfig(f.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(16))
	f.Cleanup(func() { _ = r.Close(f.Context()) })
	f.Fuzz(func(t *testing.T, b []byte) { checkRewrite(t, r, b) })
}

// checkRewrite rewrites hostile bytes. What the engine refuses it must refuse afterwards too, else the additions gave it a
// meaning; and what it accepts it must still accept. It reports whether the engine accepts them.
func checkRewrite(t *testing.T, r wazero.Runtime, b []byte) bool {
	t.Helper()
	o := Options{MaxModuleBytes: 1 << 16, MaxBodyBytes: 1 << 14}
	res, err := Rewrite(b, o)
	_, inspectErr := Inspect(b)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Offset < 0 || e.Offset > max(len(b), o.MaxModuleBytes) || e.Kind == nil || e.Detail == "" {
			t.Fatalf("error %#v", err)
		}
		return false
	}
	if inspectErr != nil {
		t.Fatalf("rewritten, but not inspected: %v", inspectErr)
	}
	compile := func(b []byte) error {
		c, err := r.CompileModule(t.Context(), b)
		if err == nil {
			_ = c.Close(t.Context())
		}
		return err
	}
	before, after := compile(b), compile(res.Module)
	// Damaged custom sections are dropped, which can only help.
	dropped := before != nil && strings.Contains(before.Error(), "custom")
	if (before == nil) != (after == nil) && !dropped {
		t.Fatalf("before: %v; after: %v\n% x", before, after, b)
	}
	return before == nil
}

// Bytes of real modules, changed here and there: most are refused, a part stays valid, and nothing else may happen.
func TestMutated(t *testing.T) {
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(16))
	t.Cleanup(func() { _ = r.Close(t.Context()) })
	rnd := rand.New(rand.NewPCG(7, 7))
	var seeds [][]byte
	for _, name := range []string{"meter.wasm", "start.wasm", "imported.wasm", "work.wasm", "simd.wasm"} {
		seeds = append(seeds, fixture(t, name))
	}
	valid := 0
	for range 1500 {
		b := bytes.Clone(seeds[rnd.IntN(len(seeds))])
		for range 1 + rnd.IntN(3) {
			switch i, j := rnd.IntN(len(b)), rnd.IntN(len(b)); rnd.IntN(3) {
			case 0:
				b[i] = byte(rnd.Uint32())
			case 1:
				b[i]++
			case 2:
				copy(b[i:], b[j:min(len(b), j+1+rnd.IntN(8))])
			}
		}
		if checkRewrite(t, r, b) {
			valid++
		}
	}
	if valid < 50 {
		t.Errorf("only %d of the modules were valid", valid)
	}
}
