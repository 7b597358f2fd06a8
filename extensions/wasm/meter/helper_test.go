package meter

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

//go:generate wat2wasm --debug-names testdata/meter.wat -o testdata/meter.wasm
//go:generate wat2wasm --debug-names testdata/start.wat -o testdata/start.wasm
//go:generate wat2wasm --debug-names testdata/startrec.wat -o testdata/startrec.wasm
//go:generate wat2wasm --debug-names testdata/imported.wat -o testdata/imported.wasm
//go:generate clang --target=wasm32 -O2 -mbulk-memory -nostdlib -Wl,--no-entry -Wl,--export-all -Wl,--strip-all -o testdata/work.wasm testdata/work.c
//go:generate clang --target=wasm32 -O3 -msimd128 -mbulk-memory -nostdlib -Wl,--no-entry -Wl,--export-all -o testdata/simd.wasm testdata/work.c

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rewrite(t testing.TB, b []byte) []byte {
	t.Helper()
	res, err := Rewrite(b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return res.Module
}

func newRuntime(t testing.TB) wazero.Runtime {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithMemoryLimitPages(64).WithCoreFeatures(api.CoreFeaturesV2))
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

// guest is an instance with its two counters.
type guest struct {
	t           testing.TB
	mod         api.Module
	fuel, depth api.MutableGlobal
}

// instantiate runs a rewritten module whose only import, if any, is env.tick.
func instantiate(t testing.TB, module []byte) *guest {
	t.Helper()
	r := newRuntime(t)
	_, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithFunc(func(v int32) int32 { return v * 3 }).Export("tick").Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mod, err := r.InstantiateWithConfig(t.Context(), module, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	return newGuest(t, mod)
}

func newGuest(t testing.TB, mod api.Module) *guest {
	t.Helper()
	fuel, ok1 := mod.ExportedGlobal(FuelGlobal).(api.MutableGlobal)
	depth, ok2 := mod.ExportedGlobal(DepthGlobal).(api.MutableGlobal)
	if !ok1 || !ok2 || fuel.Type() != api.ValueTypeI64 || depth.Type() != api.ValueTypeI32 {
		t.Fatalf("globals %v, %v", mod.ExportedGlobal(FuelGlobal), mod.ExportedGlobal(DepthGlobal))
	}
	return &guest{t, mod, fuel, depth}
}

// call sets the budget, calls and returns the results and what was spent; left is the depth that is left.
func (g *guest) call(fuel int64, depth int32, name string, args ...uint64) (res []uint64, spent int64, left int32, err error) {
	g.t.Helper()
	g.fuel.Set(uint64(fuel))
	g.depth.Set(api.EncodeI32(depth))
	f := g.mod.ExportedFunction(name)
	if f == nil {
		g.t.Fatalf("no function %q", name)
	}
	res, err = f.Call(g.t.Context(), args...)
	return res, fuel - int64(g.fuel.Get()), api.DecodeI32(g.depth.Get()), err
}

// Parts of modules assembled by hand.

func mod(sections ...[]byte) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		b = append(b, s...)
	}
	return b
}

func sec(id byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return append(appendU32([]byte{id}, uint32(len(body))), body...)
}

// custom makes a custom section.
func custom(name, data string) []byte {
	return sec(secCustom, append(appendU32(nil, uint32(len(name))), name...), []byte(data))
}

// one is a module of one function () -> () without locals and with this code; end is added.
func one(code ...byte) []byte {
	body := append(append([]byte{0}, code...), opEnd)
	return mod(
		sec(secType, []byte{1, 0x60, 0, 0}),
		sec(secFunction, []byte{1, 0}),
		sec(secTable, []byte{1, typeFuncref, 0, 1}),
		sec(secMemory, []byte{1, 0, 1}),
		sec(secGlobal, []byte{1, typeI32, 1, opI32Const, 0, opEnd}),
		sec(secExport, []byte{1, 1, 'f', kindFunc, 0}),
		sec(secElement, []byte{1, 3, 0, 1, 0}),
		sec(secDataCount, []byte{1}),
		sec(secCode, appendU32([]byte{1}, uint32(len(body))), body),
		sec(secData, []byte{1, 1, 1, 'x'}),
	)
}
