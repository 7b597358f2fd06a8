package meter

import (
	"testing"

	"github.com/tetratelabs/wazero"
)

func BenchmarkRewrite(b *testing.B) {
	for _, name := range []string{"work.wasm", "meter.wasm"} {
		b.Run(name, func(b *testing.B) { benchmarkRewrite(b, fixture(b, name)) })
	}
	b.Run("go", func(b *testing.B) { benchmarkRewrite(b, buildGoGuest(b)) })
}

func benchmarkRewrite(b *testing.B, module []byte) {
	b.SetBytes(int64(len(module)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Rewrite(module, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall compares a loop with and without counting.
func BenchmarkCall(b *testing.B) {
	plain := fixture(b, "work.wasm")
	for _, v := range []struct {
		name   string
		module []byte
	}{{"plain", plain}, {"metered", rewrite(b, plain)}} {
		for _, f := range []string{"crc", "quicksort", "calls", "parse", "ackermann"} {
			b.Run(f+"/"+v.name, func(b *testing.B) {
				m, err := newRuntime(b).InstantiateWithConfig(b.Context(), v.module, wazero.NewModuleConfig())
				if err != nil {
					b.Fatal(err)
				}
				fn, g := m.ExportedFunction(f), m.ExportedGlobal(FuelGlobal)
				stack := make([]uint64, 2)
				for b.Loop() {
					stack[0], stack[1] = 7, 255
					if g != nil {
						newGuest(b, m).fuel.Set(1 << 40)
					}
					if err := fn.CallWithStack(b.Context(), stack); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
