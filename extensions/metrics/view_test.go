package metrics

import (
	"maps"
	"sync"
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

func TestViewMendsTamperedMap(t *testing.T) {
	src := busyCounters("api")
	p := NewPool(src.Schema())
	b := p.bodies.Get().(*body)
	b.values = src.Read(b.values)
	b.fill()
	want := maps.Clone(b.numbers)
	for _, tamper := range []func(){
		func() { b.numbers["intruder"] = 1 },
		func() { delete(b.numbers, "queued"); b.numbers["intruder"] = 1 },
		func() { clear(b.numbers) },
		func() { b.numbers["queued"] = -1 },
	} {
		tamper()
		b.fill()
		if !maps.Equal(b.numbers, want) {
			t.Errorf("map = %v", b.numbers)
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
				m["queued"] = float64(g) // a write that the race detector sees
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

func BenchmarkNaiveMap(b *testing.B) {
	src := busyCounters("api")
	b.ReportAllocs()
	for b.Loop() {
		if src.naiveMap()["requests_total"] != uint64(1000) {
			b.Fatal("wrong number")
		}
	}
}

func BenchmarkPooledView(b *testing.B) {
	src := busyCounters("api")
	p := NewPool(src.Schema())
	b.ReportAllocs()
	for b.Loop() {
		v := p.View(src)
		if v.Map()["requests_total"] != 1000 {
			b.Fatal("wrong number")
		}
		v.Release()
	}
}

func BenchmarkTypedStats(b *testing.B) {
	src := busyCounters("api")
	b.ReportAllocs()
	for b.Loop() {
		if src.Stats().Requests != 1000 {
			b.Fatal("wrong number")
		}
	}
}
