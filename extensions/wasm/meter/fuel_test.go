package meter

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// The numbers are part of what the package promises: they follow from its documentation and must never change by accident.
func TestFuelGolden(t *testing.T) {
	const minusOne = 1<<32 - 1
	for _, c := range []struct {
		name  string
		args  []uint64
		want  []uint64
		spent int64
	}{
		{"empty", nil, nil, 1},
		{"inc", []uint64{4}, []uint64{5}, 1},
		{"count", []uint64{1}, []uint64{1}, 1 + 1},
		{"count", []uint64{1000}, []uint64{1000}, 1 + 1000},
		{"nested", []uint64{5}, []uint64{25}, 1 + 5*2 + 25*2},
		{"down", []uint64{3}, []uint64{3}, 4 * 2},
		{"fib", []uint64{10}, []uint64{55}, 1 + 177*2},
		{"early", []uint64{1}, []uint64{11}, 1 + 1 + 1},
		{"early", []uint64{0}, []uint64{12}, 1 + 1 + 1},
		{"brout", []uint64{1}, []uint64{2}, 1 + 1},
		{"pair", []uint64{1}, []uint64{1, 2}, 2 + 1},
		{"pair", []uint64{0}, []uint64{3, 4}, 2 + 1},
		{"pair2", []uint64{0}, []uint64{8, 9}, 1 + 1 + 1},
		{"table", []uint64{0}, []uint64{42}, 2 + 1},
		{"table", []uint64{1}, []uint64{41}, 2 + 1},
		{"table", []uint64{2}, []uint64{40}, 2 + 1},
		{"indirect", []uint64{0, 20}, []uint64{21}, 1 + 1},
		{"indirect", []uint64{1, 20}, []uint64{40}, 1 + 1},
		{"host", []uint64{5}, []uint64{15}, 1},
		{"fill", []uint64{0}, nil, 1 + 1},
		{"fill", []uint64{63}, nil, 1 + 1},
		{"fill", []uint64{6400}, nil, 1 + 1 + 100},
		{"copy", []uint64{640}, nil, 1 + 1 + 10},
		{"init", []uint64{16}, nil, 1 + 1},
		{"grow", []uint64{1}, []uint64{1}, 1 + 1 + 1024},
		{"grow", []uint64{10}, []uint64{minusOne}, 1 + 1 + 10240},
		{"tgrow", []uint64{80}, []uint64{8}, 1 + 1 + 10},
		{"tgrow", []uint64{1 << 17}, []uint64{minusOne}, 1 + 1 + 1<<14},
		{"tcopy", []uint64{3}, nil, 1 + 1},
		{"tinit", []uint64{3}, nil, 1 + 1},
		{"tfill", []uint64{8}, nil, 1 + 2},
		{"dead", nil, []uint64{3}, 1},
		{"lengthlocal", []uint64{64, 7}, []uint64{107}, 2 + 2},
		{"arm", []uint64{0}, []uint64{0}, 1},
		{"arm", []uint64{1}, []uint64{21}, 1 + 10},
		{"params", []uint64{4}, []uint64{7}, 1 + 3*2},
	} {
		for range 2 {
			// Each in an instance of its own, because some grow.
			g := instantiate(t, rewrite(t, fixture(t, "meter.wasm")))
			res, spent, left, err := g.call(1_000_000, 100, c.name, c.args...)
			if err != nil || !equal(res, c.want) || spent != c.spent || left != 100 {
				t.Errorf("%s%v = %v, spent %d, depth %d, %v; want %v, spent %d, depth 100", c.name, c.args, res, spent, left, err, c.want, c.spent)
			}
		}
	}
}

func equal(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestTraps(t *testing.T) {
	g := instantiate(t, rewrite(t, fixture(t, "meter.wasm")))
	for _, c := range []struct {
		name        string
		arg         []uint64
		fuel        int64
		depth       int32
		spent       int64
		left        int32
		fuelIsSpent bool
	}{
		{"forever", nil, 1000, 10, 1001, 10, true},
		{"forever", nil, 100_000, 10, 100_001, 10, true},
		{"count", []uint64{1000}, 1000, 10, 1001, 10, true},
		{"empty", nil, 0, 10, 1, 10, true},
		{"endless", nil, 1_000_000, 50, 51, -1, false},
		{"endless", nil, 20, 50, 21, 30, true},
		{"down", []uint64{1000}, 1_000_000, 100, 202, -1, false},
		{"fill", []uint64{65536}, 1000, 10, 1 + 1 + 1024, 10, true},
		{"grow", []uint64{1 << 31}, 1000, 10, 2 + 1<<41, 10, true},
	} {
		_, spent, left, err := g.call(c.fuel, c.depth, c.name, c.arg...)
		if err == nil || !strings.Contains(err.Error(), "unreachable") {
			t.Fatalf("%s: %v, want a trap", c.name, err)
		}
		if spent != c.spent || left != c.left || (spent > c.fuel) != c.fuelIsSpent {
			t.Errorf("%s: spent %d of %d, depth %d; want %d, %d", c.name, spent, c.fuel, left, c.spent, c.left)
		}
	}
	if mem, _ := g.mod.Memory().Read(0, 65536); bytes.Count(mem, []byte{1}) != 0 {
		t.Error("memory.fill ran before it was paid")
	}
	// Enough for exactly the work.
	if _, spent, left, err := g.call(1001, 1, "count", 1000); err != nil || spent != 1001 || left != 1 {
		t.Errorf("count: spent %d, depth %d, %v", spent, left, err)
	}
	if _, _, left, err := g.call(1000, 4, "down", 3); err != nil || left != 4 {
		t.Errorf("down(3) at depth 4: depth %d, %v", left, err)
	}
}

func TestStartIsBounded(t *testing.T) {
	for _, name := range []string{"start.wasm", "startrec.wasm"} {
		for _, o := range []Options{{}, {InitialFuel: 100}, {InitialDepth: 3}, {InitialFuel: -1}} {
			res, err := Rewrite(fixture(t, name), o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := newRuntime(t).Instantiate(t.Context(), res.Module); err == nil || !strings.Contains(err.Error(), "unreachable") {
				t.Errorf("%s %+v: %v, want a trap", name, o, err)
			}
		}
	}
}

func TestImportedGlobals(t *testing.T) {
	r := newRuntime(t)
	// The host side is itself a module, because only a module can export globals.
	env := mod(
		sec(secMemory, []byte{1, 1, 1, 2}),
		sec(secGlobal, []byte{2, typeI32, 0, opI32Const, 16, opEnd, typeI64, 1, opI64Const, 37, opEnd}),
		sec(secExport, []byte{3}, []byte("\x03mem\x02\x00\x04base\x03\x00\x05level\x03\x01")),
	)
	var noted int64
	_, err := r.NewHostModuleBuilder("host").NewFunctionBuilder().WithFunc(func(v int64) { noted = v }).Export("note").Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.InstantiateWithConfig(t.Context(), env, wazero.NewModuleConfig().WithName("env")); err != nil {
		t.Fatal(err)
	}
	res, err := Rewrite(fixture(t, "imported.wasm"), Options{InitialFuel: 50})
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Instantiate(t.Context(), res.Module)
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, m)
	if left := int64(g.fuel.Get()); noted != 42 || left != 49 || g.depth.Get() != DefaultInitialDepth {
		t.Errorf("noted %d, fuel %d, depth %d", noted, left, g.depth.Get())
	}
	if mem, _ := r.Module("env").Memory().Read(16, 5); string(mem) != "hello" {
		t.Errorf("memory %q", mem)
	}
}

// ref.func leaves the engine's code and costs as much as many instructions.
func TestRefFuncIsDear(t *testing.T) {
	_, spent, _, err := instantiate(t, rewrite(t, one(0xd2, 0, 0x1a))).call(100, 10, "f")
	if err != nil || spent < 8 {
		t.Errorf("spent %d, %v", spent, err)
	}
}
