package metrics

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"testing"
)

const staleView = "metrics: use of a View after Release"

func TestView(t *testing.T) {
	src := busyCounters("api")
	p := NewPool(src.Schema())
	for range 3 {
		src.requests.Add(1)
		v := p.View(src)
		if len(v.Map()) != 12 || v.Map()["requests_total"] != float64(src.requests.Load()) || v.Map()["latency_seconds"] != 0.0425 {
			t.Errorf("map = %v", v.Map())
		}
		if n, ok := v.Get("queued"); n != 2001 || !ok {
			t.Errorf("Get(queued) = %v, %v", n, ok)
		}
		if _, ok := v.Get("nothing"); ok {
			t.Error("Get found what is not there")
		}
		if v.Schema() != src.Schema() {
			t.Error("a view of another schema")
		}
		v.Release()
	}
}

func TestViewAfterReleasePanics(t *testing.T) {
	src := busyCounters("api")
	p := NewPool(src.Schema())
	stale := p.View(src)
	stale.Release()
	check := func() {
		t.Helper()
		wantPanic(t, staleView, func() { stale.Get("queued") })
		wantPanic(t, staleView, func() { stale.Map() })
		wantPanic(t, staleView, func() { stale.Schema() })
		wantPanic(t, staleView, func() { stale.Release() })
	}
	check()
	// Also while others have the map, for more leases than there are handles in one body.
	for range 3 * handlesPerBody {
		v := p.View(src)
		if v == stale {
			t.Fatal("a handle came back")
		}
		check()
		v.Release()
	}
}

func TestViewStartsAfreshAfterForeignKeys(t *testing.T) {
	src := busyCounters("api")
	b := NewPool(src.Schema()).bodies.Get().(*body)
	b.values = src.Read(b.values)
	want := maps.Clone(b.fill())
	for _, tamper := range []func(){
		func() { b.numbers["intruder"] = 1 },
		func() { delete(b.numbers, "queued") },
		func() { clear(b.numbers) },
	} {
		tamper()
		if got := b.fill(); !maps.Equal(got, want) {
			t.Errorf("map = %v", got)
		}
	}
}

// A map that has been through other hands shows the values of its present lease, whatever it showed before.
func TestViewFollowsItsSource(t *testing.T) {
	s := NewSchema("api", Field{Name: "a"}, Field{Name: "b"}, Field{Name: "c"})
	b := NewPool(s).bodies.Get().(*body)
	for _, values := range [][]float64{{0, 0, 0}, {1, 0, 2}, {1, 0, 2}, {0, 3, 2}, {math.NaN(), 3, math.Inf(1)}, {math.NaN(), 0, 0}, {0, 0, 0}} {
		b.values = append(b.values[:0], values...)
		got := b.fill()
		for i, name := range []string{"a", "b", "c"} {
			if v, ok := got[name]; !ok || v != values[i] && !(math.IsNaN(v) && math.IsNaN(values[i])) {
				t.Errorf("%v: %s = %v", values, name, v)
			}
		}
	}
}

func TestViewChecksItsSource(t *testing.T) {
	s := NewSchema("api", Field{Name: "x"})
	wantPanic(t, "metrics: view of net from the pool of api", func() { NewPool(s).View(newPoolCounters("net")) })
	wantPanic(t, "metrics: api gives 2 values for 1 fields", func() { NewPool(s).View(&literal{s, []float64{1, 2}}) })
}

// Two users never have the same map: each writes its own number into all values by way of its source and must find it there until it releases.
func TestHammerViewsAreNotShared(t *testing.T) {
	schema := newPoolCounters("api").Schema()
	p := NewPool(schema)
	var wg sync.WaitGroup
	release := make(chan struct{})
	for g := range 16 {
		wg.Go(func() {
			src := &literal{schema, make([]float64, schema.Len())}
			for i := range src.values {
				src.values[i] = float64(g)
			}
			<-release
			for range 500 {
				v := p.View(src)
				m := v.Map()
				m["queued"] = float64(g) // what it holds already: a write for the race detector to see
				for name, n := range m {
					if n != float64(g) {
						t.Errorf("%s = %v in the view of %d", name, n, g)
					}
				}
				v.Release()
			}
		})
	}
	close(release)
	wg.Wait()
}

// halves gives two states of one subsystem that differ in half of the fields, as two readings of a busy one do.
func halves() [2]*poolCounters {
	a, b := busyCounters("api"), busyCounters("api")
	b.schema = a.schema
	b.requests.Store(5000)
	b.succeeded.Store(5001)
	b.bytes.Store(5002)
	b.inFlight.Store(5003)
	b.wait.store(13.25)
	b.latency.store(0.05)
	return [2]*poolCounters{a, b}
}

func BenchmarkNaiveMap(b *testing.B) {
	srcs := halves()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if srcs[i&1].naiveMap()["denied_total"] != uint64(1003) {
			b.Fatal("wrong number")
		}
	}
}

func benchmarkView(b *testing.B, srcs [2]*poolCounters) {
	p := NewPool(srcs[0].Schema())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		v := p.View(srcs[i&1])
		if v.Map()["idle"] != 2002 {
			b.Fatal("wrong number")
		}
		v.Release()
	}
}

func BenchmarkPooledView(b *testing.B) { benchmarkView(b, halves()) }

func BenchmarkPooledViewAllButOneChanged(b *testing.B) {
	srcs := halves()
	for _, n := range []*atomic.Uint64{&srcs[1].failed, &srcs[1].denied, &srcs[1].delayed, &srcs[1].retried} {
		n.Store(6000)
	}
	srcs[1].queued.Store(6001)
	benchmarkView(b, srcs)
}

func BenchmarkPooledViewGet(b *testing.B) {
	src := busyCounters("api")
	p := NewPool(src.Schema())
	b.ReportAllocs()
	for b.Loop() {
		v := p.View(src)
		if n, _ := v.Get("idle"); n != 2002 {
			b.Fatal("wrong number")
		}
		v.Release()
	}
}

func BenchmarkTypedStats(b *testing.B) {
	srcs := halves()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if srcs[i&1].Stats().Denied != 1003 {
			b.Fatal("wrong number")
		}
	}
}
