package meter

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Every opcode behind unreachable, where any operands type-check: the rewriter must accept exactly what the engine accepts, so
// that it reads each immediate at its true length.
func TestOpcodesAgreeWithEngine(t *testing.T) {
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	t.Cleanup(func() { _ = r.Close(t.Context()) })
	type form struct{ op, tail []byte }
	var forms []form
	tails := [][]byte{{}, {0}, {0, 0}, {0, 0, 0}, {0, 0, 0, 0}, make([]byte, 8), make([]byte, 16), {0x40, opEnd}, {1, typeI32}, {typeFuncref}}
	for _, tail := range tails {
		for op := range prefixGC {
			forms = append(forms, form{[]byte{byte(op)}, tail})
		}
		for sub := uint32(0); sub < 0x100; sub++ {
			forms = append(forms, form{appendU32([]byte{prefixSIMD}, sub), tail})
			if sub < 32 {
				forms = append(forms, form{[]byte{prefixMisc, byte(sub)}, tail})
			}
		}
	}
	accepted := make(map[string]bool)
	for _, f := range forms {
		// The tail is followed by unreachable, so that an end or a branch in it leaves a valid body.
		code := append(append([]byte{opUnreachable}, f.op...), f.tail...)
		module := one(append(code, opUnreachable)...)
		c, engine := r.CompileModule(t.Context(), module)
		if engine == nil {
			_ = c.Close(t.Context())
		}
		res, err := Rewrite(module, Options{})
		if engine == nil && err != nil {
			t.Errorf("% x: engine accepts, rewriter: %v", code, err)
		}
		if err == nil && engine == nil {
			accepted[fmt.Sprintf("%x", f.op)] = true
			c, err := r.CompileModule(t.Context(), res.Module)
			if err != nil {
				t.Errorf("% x: rewritten: %v", code, err)
				continue
			}
			_ = c.Close(t.Context())
		}
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
			t.Errorf("% x: %v", code, err)
		}
	}
	// 236 vector, 18 miscellaneous and 178 one-byte opcodes. Not in these forms: else, end and the three for locals.
	if n := len(accepted); n != 236+18+178 {
		t.Errorf("%d opcodes accepted", n)
	}
}

func TestOpcodeNames(t *testing.T) {
	for i := range 0x4f {
		if name := refusedName(prefixAtomic, uint32(i)); (name == "") != (i > 3 && i < 0x10) {
			t.Errorf("atomic %#x is %q", i, name)
		}
	}
	for _, c := range []struct {
		prefix byte
		sub    uint32
		want   string
	}{
		{prefixAtomic, 0x4f, ""},
		{prefixAtomic, 0x11, "i64.atomic.load"},
		{prefixAtomic, 0x1e, "i32.atomic.rmw.add"},
		{prefixAtomic, 0x20, "i32.atomic.rmw8.add_u"},
		{prefixAtomic, 0x4e, "i64.atomic.rmw32.cmpxchg_u"},
		{prefixAtomic, 0x14, "i64.atomic.load8_u"},
		{prefixAtomic, 0x1d, "i64.atomic.store32"},
		{prefixSIMD, 0x113, "i32x4.relaxed_dot_i8x16_i7x16_add_s"},
		{prefixSIMD, 0x114, ""},
		{prefixGC, 30, "i31.get_u"},
		{prefixGC, 31, ""},
	} {
		if got := refusedName(c.prefix, c.sub); got != c.want {
			t.Errorf("%#x %#x is %q, want %q", c.prefix, c.sub, got, c.want)
		}
	}
}
