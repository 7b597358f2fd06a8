package meter

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

func TestInspect(t *testing.T) {
	producers := "\x01\x08language\x02\x03C11\x00\x02Go\x041.26"
	b := append(fixture(t, "imported.wasm"), custom("producers", producers)...)
	b = append(b, custom("gaia.manifest", `{"name":"demo"}`)...)
	b = append(b, custom("gaia.manifest", `{}`)...)
	info, err := Inspect(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []Import{
		{"env", "base", "global", "i32"},
		{"env", "level", "global", "mut i64"},
		{"env", "mem", "memory", ""},
		{"host", "note", "func", "(i64) -> ()"},
	}
	if !reflect.DeepEqual(info.Imports, want) {
		t.Errorf("imports %v", info.Imports)
	}
	if want := (Memory{Present: true, Min: 1, Max: 2, HasMax: true, Imported: true}); info.Memory != want {
		t.Errorf("memory %+v", info.Memory)
	}
	if info.Start != 1 || info.Functions != 1 || len(info.Exports) != 0 || strings.Join(info.Languages, "|") != "C11|Go 1.26" {
		t.Errorf("%+v", info)
	}
	if data, n := info.Custom("gaia.manifest"); string(data) != `{"name":"demo"}` || n != 2 || cap(data) != len(data) {
		t.Errorf("manifest %q, %d", data, n)
	}
	if data, n := info.Custom("none"); data != nil || n != 0 {
		t.Errorf("none %q, %d", data, n)
	}

	info, err = Inspect(fixture(t, "meter.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Export{
		{"memory", "memory", 0, ""},
		{"g", "global", 0, ""},
		{"pair", "func", info.Exports[indexOf(info, "pair")].Index, "(i32) -> (i32, i64)"},
		{"empty", "func", 1, "() -> ()"},
		{"inc", "func", 2, "(i32) -> i32"},
	} {
		if got := info.Exports[indexOf(info, e.Name)]; got != e {
			t.Errorf("export %+v, want %+v", got, e)
		}
	}
	if want := (Memory{Present: true, Min: 1, Max: 4, HasMax: true}); info.Memory != want || info.Start != -1 || info.Languages != nil {
		t.Errorf("%+v", info)
	}
	if info, err := Inspect(mod()); err != nil || info.Memory.Present || info.Start != -1 {
		t.Errorf("empty module: %+v, %v", info, err)
	}
	if info, err := Inspect(mod(custom("producers", "\xff\xff\xff\xff\x0f"))); err != nil || info.Languages != nil {
		t.Errorf("damaged producers: %+v, %v", info, err)
	}
}

func indexOf(info Info, name string) int {
	for i, e := range info.Exports {
		if e.Name == name {
			return i
		}
	}
	return 0
}

func TestCustomSections(t *testing.T) {
	b := append(fixture(t, "meter.wasm"), custom(".debug_line", "x")...)
	for _, name := range []string{"sourceMappingURL", "external_debug_info", "metadata.code.branch_hint", "reloc.CODE", "gaia.manifest", "producers"} {
		b = append(b, custom(name, "y")...)
	}
	b = append(b, custom("name", "\x01\xff\xff\xff\xff\x0f")...) // a second one, and damaged
	b = append(mod(custom("first", "1")), b[8:]...)
	before, err := Inspect(b)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Inspect(bytes.ReplaceAll(rewrite(t, b), []byte("gaia_"), []byte("GAIA_")))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range after.CustomSections {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "first name gaia.manifest producers" {
		t.Errorf("custom sections %q", got)
	}
	x, _ := before.Custom("name")
	if y, _ := after.Custom("name"); !bytes.Equal(x, y) || len(x) == 0 {
		t.Error("the name section changed")
	}

	// The engine still names the frames of a trap.
	g := instantiate(t, rewrite(t, b))
	if _, _, _, err := g.call(1000, 3, "endless"); err == nil || !strings.Contains(err.Error(), "endless") {
		t.Errorf("trap %v", err)
	}
}

func TestRewriteShape(t *testing.T) {
	types := sec(secType, []byte{3, 0x60, 0, 0, 0x60, 1, typeI32, 2, typeI32, typeI64, 0x60, 0, 2, typeF32, typeF32})
	for _, c := range []struct {
		name    string
		module  []byte
		globals uint32
	}{
		{"nothing", mod(), 0},
		{"only a custom section", mod(custom("x", "")), 0},
		{"types only", mod(types), 0},
		{"memory and data", mod(sec(secMemory, []byte{1, 0, 1}), sec(secData, []byte{1, 0, opI32Const, 0, opEnd, 0})), 0},
		{"global, no export", mod(sec(secGlobal, []byte{1, typeI32, 1, opI32Const, 0, opEnd})), 1},
		{"export, no global", mod(sec(secMemory, []byte{1, 0, 1}), sec(secExport, []byte{1, 1, 'm', kindMemory, 0})), 0},
		{"one function", one(0x10, 0), 1},
		{"no end of customs", mod(custom("a", ""), types, custom("b", ""), sec(secFunction, []byte{1, 0}), custom("c", ""), sec(secCode, []byte{1, 2, 0, opEnd}), custom("d", "-")), 0},
	} {
		res, err := Rewrite(c.module, Options{InitialFuel: -77, InitialDepth: 5})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		m, err := newRuntime(t).InstantiateWithConfig(t.Context(), res.Module, wazero.NewModuleConfig())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		g := newGuest(t, m)
		if int64(g.fuel.Get()) != -77 || g.depth.Get() != 5 || res.Fuel != "gaia_fuel" || res.Depth != "gaia_depth" {
			t.Errorf("%s: fuel %d, depth %d", c.name, g.fuel.Get(), g.depth.Get())
		}
		info, err := Inspect(bytes.ReplaceAll(res.Module, []byte("gaia_"), []byte("GAIA_")))
		if err != nil {
			t.Fatal(err)
		}
		if e := info.Exports[len(info.Exports)-2]; e.Name != "GAIA_fuel" || e.Index != int(c.globals) {
			t.Errorf("%s: %+v", c.name, e)
		}
		if _, err := Rewrite(res.Module, Options{}); !errors.Is(err, ErrReserved) {
			t.Errorf("%s twice: %v", c.name, err)
		}
		if again, _ := Rewrite(c.module, Options{InitialFuel: -77, InitialDepth: 5}); !bytes.Equal(again.Module, res.Module) {
			t.Errorf("%s: two results", c.name)
		}
	}
	res, err := Rewrite(fixture(t, "meter.wasm"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	// The twelve that call: down, endless, two of fib, early, brout, pair, pair2, pairing, table, indirect, host.
	if res.Functions != 30 || res.Counted != 12 || res.Points < res.Functions {
		t.Errorf("functions %d, counted %d, points %d", res.Functions, res.Counted, res.Points)
	}
}

// Many imports of one long type must not cost a copy of its text each.
func TestInspectAllocation(t *testing.T) {
	const n = 20_000
	long := append([]byte{1, 0x60, 0xe8, 0x07}, bytes.Repeat([]byte{typeI32}, 1000)...)
	imports := appendU32(nil, n)
	for range n {
		imports = append(imports, 0, 0, kindFunc, 0)
	}
	b := mod(sec(secType, append(long, 0)), sec(secImport, imports))
	res := testing.Benchmark(func(bench *testing.B) {
		bench.ReportAllocs()
		for bench.Loop() {
			if _, err := Inspect(b); err != nil {
				bench.Fatal(err)
			}
		}
	})
	if got := res.AllocedBytesPerOp(); got > 100*int64(len(b)) {
		t.Errorf("%d bytes for a module of %d", got, len(b))
	}
}
