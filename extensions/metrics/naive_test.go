package metrics

import (
	"sync"
	"testing"
)

// BenchmarkNumbers reads the numbers of a subsystem in each form that there could be:
// a fresh map, a pool whose maps are never given back (which only adds to its cost), gaia's pooled
// view, and the typed value. See make bench-naive.
func BenchmarkNumbers(b *testing.B) {
	src := busyCounters("api")
	b.Run("form=naive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			src.requests.Add(1)
			if len(src.naiveMap()) != 12 {
				b.Fatal("a number is missing")
			}
		}
	})
	b.Run("form=never-returned", func(b *testing.B) {
		pool := sync.Pool{New: func() any { return make(map[string]any, 16) }}
		b.ReportAllocs()
		for b.Loop() {
			src.requests.Add(1)
			m, ok := pool.Get().(map[string]any)
			if !ok {
				b.Fatal("no map")
			}
			for name, v := range src.naiveMap() {
				m[name] = v
			}
			if len(m) != 12 {
				b.Fatal("a number is missing")
			}
		}
	})
	b.Run("form=gaia", func(b *testing.B) {
		pool := NewPool(src.Schema())
		b.ReportAllocs()
		for b.Loop() {
			src.requests.Add(1)
			v := pool.View(src)
			if len(v.Map()) != 12 {
				b.Fatal("a number is missing")
			}
			v.Release()
		}
	})
	b.Run("form=typed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			src.requests.Add(1)
			if src.Stats().Idle != 2002 {
				b.Fatal("a wrong number")
			}
		}
	})
}
