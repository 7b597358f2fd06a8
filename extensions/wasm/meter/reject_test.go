package meter

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestRefused(t *testing.T) {
	types := sec(secType, []byte{1, 0x60, 0, 0})
	funcs := sec(secFunction, []byte{1, 0})
	code := sec(secCode, []byte{1, 2, 0, opEnd})
	for _, c := range []struct {
		name   string
		module []byte
		kind   error
		text   string
	}{
		{"empty", nil, ErrMalformed, "no magic number at byte 0x0"},
		{"text", []byte("(module)"), ErrMalformed, "no magic number"},
		{"version 2", []byte("\x00asm\x02\x00\x00\x00"), ErrMalformed, "unknown version"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), ErrUnsupported, "component"},
		{"cut version", []byte("\x00asm\x01\x00"), ErrMalformed, "unknown version"},
		{"unknown section", mod([]byte{14, 0}), ErrMalformed, "unknown section 14 at byte 0x8"},
		{"tag section", mod([]byte{13, 0}), ErrUnsupported, "tag section"},
		{"section twice", mod(types, types), ErrMalformed, "type section out of order or twice"},
		{"section order", mod(funcs, types), ErrMalformed, "type 0 of 0"},
		{"code before data count", mod(types, funcs, code, sec(secDataCount, []byte{0})), ErrMalformed, "data count section out of order"},
		{"cut section", mod([]byte{1, 5, 1}), ErrMalformed, "type section of 5 bytes where 1 are left at byte 0xa"},
		{"section too long", mod(sec(secType, []byte{0, 0})), ErrMalformed, "1 bytes too many in type section at byte 0xb"},
		{"length overflow", mod([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x1f}), ErrMalformed, "number longer than 32 bits"},
		{"length of six bytes", mod([]byte{1, 0x80, 0x80, 0x80, 0x80, 0x80, 0}), ErrMalformed, "number longer than 32 bits"},
		{"types that are not there", mod(sec(secType, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})), ErrMalformed, "4294967295 types in 0 bytes"},
		{"functions that are not there", mod(types, sec(secFunction, []byte{0x80, 0x80, 0x40, 0})), ErrMalformed, "1048576 functions in 1 bytes"},
		{"no bodies", mod(types, funcs), ErrMalformed, "1 functions but 0 bodies"},
		{"bodies without functions", mod(code), ErrMalformed, "0 functions but 1 bodies"},
		{"data count", mod(sec(secDataCount, []byte{7})), ErrMalformed, "data count 7 but 0 data segments"},
		{"start", mod(types, funcs, sec(secStart, []byte{1}), code), ErrMalformed, "start function 1 of 1"},
		{"struct type", mod(sec(secType, []byte{1, 0x5f, 0, 0})), ErrUnsupported, "type form 0x5f (GC)"},
		{"typed reference", mod(sec(secType, []byte{1, 0x60, 1, 0x64, 0})), ErrUnsupported, "typed reference (0x64)"},
		{"exnref", mod(sec(secType, []byte{1, 0x60, 1, 0x69, 0})), ErrUnsupported, "exception reference"},
		{"anyref", mod(sec(secType, []byte{1, 0x60, 1, 0x6e, 0})), ErrUnsupported, "GC reference type"},
		{"no type", mod(sec(secType, []byte{1, 0x60, 1, 0x01, 0})), ErrMalformed, "value type 0x1"},
		{"shared memory", mod(sec(secMemory, []byte{1, 3, 1, 1})), ErrUnsupported, "shared memory (threads)"},
		{"memory64", mod(sec(secMemory, []byte{1, 4, 1})), ErrUnsupported, "memory64"},
		{"two memories", mod(sec(secMemory, []byte{2, 0, 1, 0, 1})), ErrUnsupported, "multi-memory"},
		{"memory of ghosts", mod(sec(secMemory, []byte{1, 1, 2, 1})), ErrMalformed, "maximum 1 under minimum 2"},
		{"large table", mod(sec(secTable, []byte{1, typeFuncref, 0, 0x80, 0x80, 0x80, 0x40})), ErrLimit, "too many table elements"},
		{"table with value", mod(sec(secTable, []byte{1, 0x40, 0, typeFuncref, 0, 1, opRefNull, typeFuncref, opEnd})), ErrUnsupported, "initial value"},
		{"import kind", mod(sec(secImport, []byte{1, 0, 0, 9, 0})), ErrMalformed, "import kind 0x9"},
		{"imported tag", mod(sec(secImport, []byte{1, 0, 0, 4, 0, 0})), ErrUnsupported, "imported tag"},
		{"import name", mod(sec(secImport, []byte{1, 1, 0xff, 0, 3, typeI32, 0})), ErrMalformed, "not UTF-8"},
		{"taken import", mod(sec(secImport, []byte{1, 0, 9}, []byte(FuelGlobal), []byte{3, typeI64, 1})), ErrReserved, `import "gaia_fuel"`},
		{"taken export", mod(sec(secGlobal, []byte{1, typeI32, 1, opI32Const, 0, opEnd}), sec(secExport, []byte{1, 10}, []byte(DepthGlobal), []byte{3, 0})), ErrReserved, `export "gaia_depth"`},
		{"export of an added global", mod(sec(secExport, []byte{1, 1, 'x', 3, 0})), ErrMalformed, `export "x" of global 0 of 0`},
		{"global of an added global", mod(sec(secGlobal, []byte{1, typeI32, 0, opGlobalGet, 1, opEnd})), ErrMalformed, "global 1 of 0"},
		{"hidden global", mod(sec(secGlobal, []byte{1, typeI32, 1, opI32Const, 0, opEnd, typeI32, 1, opI32Const, 0, opEnd})), ErrMalformed, "5 bytes too many in global section"},
		{"extended const", mod(sec(secGlobal, []byte{1, typeI32, 1, opI32Const, 0, opI32Const, 0, opI32Add, opEnd})), ErrUnsupported, "extended-const"},
		{"data that is not there", mod(sec(secData, []byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})), ErrMalformed, "data segment of 4294967295 bytes"},
		{"data for memory 1", mod(sec(secData, []byte{1, 2, 1, opI32Const, 0, opEnd, 0})), ErrUnsupported, "multi-memory"},
		{"elements that are not there", mod(sec(secElement, []byte{1, 1, 0, 0xff, 0xff, 0xff, 0x0f})), ErrMalformed, "33554431 elements in 0 bytes"},
		{"element flags", mod(sec(secElement, []byte{1, 8, 0})), ErrMalformed, "element segment flags 0x8"},
		{"body that is not there", mod(types, funcs, sec(secCode, []byte{1, 0x80, 1, opEnd})), ErrMalformed, "body of 128 bytes where 1 are left in function 0 at byte 0x17"},
		{"more locals than fit", mod(types, funcs, sec(secCode, []byte{1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, typeI32, opEnd})), ErrLimit, "more than 50000 locals in function 0"},
	} {
		_, err := Rewrite(c.module, Options{})
		var e *Error
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || !errors.As(err, &e) || e.Offset > len(c.module) {
			t.Errorf("%s: %v, want %v: %s", c.name, err, c.kind, c.text)
		}
	}
}

func TestRefusedBodies(t *testing.T) {
	at := bytes.Index(one(0xde, 0xad, 0xbe, 0xef), []byte{0xde, 0xad, 0xbe, 0xef})
	for _, c := range []struct {
		code []byte
		kind error
		text string
	}{
		{[]byte{0xfe, 3, 0}, ErrUnsupported, "atomic.fence (0xfe 0x03)"},
		{[]byte{0xfe, 0x10, 2, 0}, ErrUnsupported, "i32.atomic.load (0xfe 0x10)"},
		{[]byte{0xfe, 0x1d, 2, 0}, ErrUnsupported, "i64.atomic.store32 (0xfe 0x1d)"},
		{[]byte{0xfe, 0x4e, 2, 0}, ErrUnsupported, "i64.atomic.rmw32.cmpxchg_u (0xfe 0x4e)"},
		{[]byte{0x06, 0x40}, ErrUnsupported, "try (0x06)"},
		{[]byte{0x08, 0}, ErrUnsupported, "throw (0x08)"},
		{[]byte{0x1f, 0x40, 0}, ErrUnsupported, "try_table (0x1f)"},
		{[]byte{0x12, 0}, ErrUnsupported, "return_call (0x12)"},
		{[]byte{0x13, 0, 0}, ErrUnsupported, "return_call_indirect (0x13)"},
		{[]byte{0x14, 0}, ErrUnsupported, "call_ref (0x14)"},
		{[]byte{0xfb, 0, 0}, ErrUnsupported, "struct.new (0xfb 0x00)"},
		{[]byte{0xfb, 28}, ErrUnsupported, "ref.i31 (0xfb 0x1c)"},
		{[]byte{0xfd, 0x80, 0x02}, ErrUnsupported, "i8x16.relaxed_swizzle (0xfd 0x100)"},
		{[]byte{0xfd, 0x9a, 0x01}, ErrUnsupported, "unknown opcode (0xfd 0x9a)"},
		{[]byte{0xfd, 0x8c, 0x00}, ErrMalformed, "vector opcode 0xc not in its shortest form"},
		{[]byte{0xfd, 0x80, 0x81, 0x00}, ErrMalformed, "vector opcode 0x80 not in its shortest form"},
		{[]byte{0xfc, 19}, ErrUnsupported, "i64.add128 (0xfc 0x13)"},
		{[]byte{0xfc, 99}, ErrUnsupported, "unknown opcode (0xfc 0x63)"},
		{[]byte{0xff}, ErrUnsupported, "unknown opcode (0xff)"},
		{[]byte{0x3f, 1}, ErrUnsupported, "multi-memory"},
		{[]byte{0x28, 0x42, 0, 0}, ErrUnsupported, "multi-memory"},
		{[]byte{0x28, 0x05, 0}, ErrMalformed, "alignment 2^5"},
		{[]byte{0x05}, ErrMalformed, "else without if"},
		{[]byte{0x02, 0x40, 0x05, opEnd}, ErrMalformed, "else without if"},
		{[]byte{0x04, 0x40, 0x05, 0x05, opEnd}, ErrMalformed, "else without if"},
		{[]byte{opEnd}, ErrMalformed, "1 bytes too many in body"},
		{[]byte{0x02, 0x40}, ErrMalformed, "unexpected end"},
		{[]byte{0x02}, ErrMalformed, "block type 11 of 1"},
		{[]byte{0x02, 0x01}, ErrMalformed, "block type 1 of 1"},
		{[]byte{0x02, 0x6e, opEnd}, ErrUnsupported, "GC reference type"},
		{[]byte{0x0c, 1}, ErrMalformed, "label 1 of 1"},
		{[]byte{0x02, 0x40, 0x0d, 2, opEnd}, ErrMalformed, "label 2 of 2"},
		{[]byte{0x0e, 1, 0, 7}, ErrMalformed, "label 7 of 1"},
		{[]byte{0x0e, 0xff, 0xff, 0x03, 0}, ErrMalformed, "65535 labels in 2 bytes"},
		{[]byte{0x20, 0}, ErrMalformed, "local 0 of 0"},
		{[]byte{0x23, 1}, ErrMalformed, "global 1 of 1"},
		{[]byte{0x42, 0, 0x24, 1}, ErrMalformed, "global 1 of 1"},
		{[]byte{0x11, 1, 0}, ErrMalformed, "type 1 of 1"},
		{[]byte{0x41, 0x80, 0x80, 0x80, 0x80, 0x10}, ErrMalformed, "number longer than 32 bits"},
		{[]byte{0x41, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, ErrMalformed, "number longer than 32 bits"},
		{[]byte{0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7e}, ErrMalformed, "number longer than 64 bits"},
		{[]byte{0x43, 0, 0}, ErrMalformed, "f32 constant of 4 bytes"},
		{bytes.Repeat([]byte{0x02, 0x40}, maxNesting), ErrLimit, "nested blocks"},
	} {
		_, err := Rewrite(one(c.code...), Options{})
		var e *Error
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || !errors.As(err, &e) || e.Function != 0 || e.Offset < at {
			t.Errorf("% x: %v, want %v: %s", c.code[:min(len(c.code), 8)], err, c.kind, c.text)
		}
	}
	var refused *Error
	if _, err := Rewrite(one(0x01, 0xfe, 3, 0), Options{}); !errors.As(err, &refused) || refused.Offset != at+1 {
		t.Errorf("%v, want the offset %#x", err, at+1)
	}
}

func TestLimits(t *testing.T) {
	b := fixture(t, "work.wasm")
	for _, o := range []Options{{MaxFunctions: 3}, {MaxBodyBytes: 40}, {MaxModuleBytes: len(b) - 1}, {MaxTableElements: 1}} {
		if _, err := Rewrite(b, o); !errors.Is(err, ErrLimit) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := Rewrite(b, Options{MaxFunctions: 100, MaxBodyBytes: 4000, MaxModuleBytes: len(b), MaxTableElements: 100}); err != nil {
		t.Error(err)
	}
}

// A small module that would take its compiler minutes and gigabytes is refused: one with many locals and many blocks, or with
// branches to as many places.
func TestCompileBombs(t *testing.T) {
	bomb := func(functions, locals, blocks, labels int) error {
		body := append(appendU32([]byte{1}, uint32(locals)), typeI32)
		body = append(body, bytes.Repeat([]byte{opBlock, typeNone, opEnd}, blocks)...)
		if labels > 0 {
			body = appendU32(append(body, opI32Const, 0, 0x0e), uint32(labels))
			body = append(body, bytes.Repeat([]byte{0}, labels+1)...)
		}
		body = append(body, opEnd)
		body = append(appendU32(nil, uint32(len(body))), body...)
		count := appendU32(nil, uint32(functions))
		_, err := Rewrite(mod(sec(secType, []byte{1, 0x60, 0, 0}), sec(secFunction, count, make([]byte, functions)),
			sec(secCode, count, bytes.Repeat(body, functions))), Options{})
		return err
	}
	for _, c := range []struct {
		functions, locals, blocks, labels int
		want                              string
	}{{1, 1000, 1000, 0, "a function of 1000 locals"}, {1, 50_000, 3, 0, "a function of 50000 locals"}, {1, 1, 0, 100_000, "labels"},
		{200, 300, 300, 0, "in the functions together"}, {40, 300, 300, 0, ""}, {1, 20, 2000, 2000, ""}} {
		err := bomb(c.functions, c.locals, c.blocks, c.labels)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Nothing that a cut or changed module can say makes Rewrite or Inspect panic.
func TestDamaged(t *testing.T) {
	for _, name := range []string{"meter.wasm", "imported.wasm"} {
		b := fixture(t, name)
		for i := range b {
			if _, err := Rewrite(b[:i], Options{}); err == nil && i > 8 {
				// Only a cut between two sections leaves a module, as before the name section.
				if m, _ := decode(b[:i]); m.sections[len(m.sections)-1].end != i {
					t.Fatalf("%s cut at %d is accepted", name, i)
				}
			}
			for _, x := range []byte{0x01, 0x80, 0xff} {
				d := bytes.Clone(b)
				d[i] ^= x
				_, _ = Rewrite(d, Options{})
				_, _ = Inspect(d)
			}
		}
	}
}
