package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"
)

const (
	sec  = int64(time.Second)
	base = 1_700_000_000 * sec // an even second: the begin of a slot
)

func near(got, want, part float64) bool { return math.Abs(got-want) <= part*math.Abs(want) }

func TestWindowIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Window{}); size > 2048 {
		t.Errorf("a window takes %d bytes", size)
	}
}

func TestWindowEmpty(t *testing.T) {
	var w Window
	if got := w.Stats(base); got != (WindowStats{}) || w.Quantile(base, 0.5) != 0 || w.Rate(base) != 0 || w.ErrorRate(base) != 0 {
		t.Errorf("an empty window says %+v", got)
	}
}

func TestWindowRateAndErrors(t *testing.T) {
	var w Window
	// 50 a second, every fifth fails, for 30 s: what a full window says does not depend on the phase within a slot.
	for i := range int64(1500) {
		now := base + i*sec/50
		w.Observe(now, time.Millisecond, i%5 == 0)
		want := 50.0
		if i < 50 {
			want = float64(i + 1) // the first second counts as one
		}
		if got := w.Rate(now); !near(got, want, 0.03) {
			t.Fatalf("rate at %d = %v, want %v", i, got, want)
		}
	}
	now := base + 30*sec
	if got := w.ErrorRate(now); !near(got, 0.2, 0.02) {
		t.Errorf("error rate = %v", got)
	}
	stats := w.Stats(now)
	if stats.Rate != w.Rate(now) || stats.ErrorRate != w.ErrorRate(now) || stats.P50 != w.Quantile(now, 0.5) || stats.P95 != w.Quantile(now, 0.95) {
		t.Errorf("stats %+v differ from the single calls", stats)
	}
	if got := w.Rate(now + 5*sec); !near(got, 25, 0.25) {
		t.Errorf("rate after 5 s of silence = %v", got)
	}
	if got := w.Stats(now + 10*sec); got != (WindowStats{}) {
		t.Errorf("after 10 s of silence: %+v", got)
	}
	w.Observe(now+3600*sec, time.Second, true)
	if got := w.Stats(now + 3600*sec); got.Rate != 1 || got.ErrorRate != 1 || got.P95 != time.Second {
		t.Errorf("one failure after an hour: %+v", got)
	}
}

func TestWindowTimeAtItsEdges(t *testing.T) {
	var w Window
	w.Observe(0, time.Second, false) // an experiment's clock may begin at 0
	if got := w.Rate(0); got != 1 {
		t.Errorf("rate at 0 = %v", got)
	}
	w.Observe(base, time.Second, false)
	w.Observe(base+9*sec, time.Second, true)
	w.Observe(base+sec, time.Second, true)   // late, but within the window
	w.Observe(base-9*sec, time.Second, true) // too late: its slot is in use again
	if got := w.ErrorRate(base + 9*sec); !near(got, 2.0/3, 0.001) {
		t.Errorf("error rate = %v", got)
	}
	if got := w.ErrorRate(base + 10*sec); got != 1 {
		t.Errorf("error rate once the first slot has left = %v", got)
	}
	w.Observe(math.MaxInt64, math.MaxInt64, true)
	if got := w.Quantile(math.MaxInt64, 1); got != math.MaxInt64 {
		t.Errorf("longest = %v", got)
	}
}

func TestWindowQuantiles(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand) float64{ // seconds
		"constant":    func(*rand.Rand) float64 { return 0.0042 },
		"uniform":     func(r *rand.Rand) float64 { return 0.1 + r.Float64() },
		"exponential": func(r *rand.Rand) float64 { return 0.02 * r.ExpFloat64() },
		"log-normal":  func(r *rand.Rand) float64 { return 0.05 * math.Exp(r.NormFloat64()) },
		"two modes": func(r *rand.Rand) float64 {
			if r.IntN(4) == 0 {
				return 2 + r.Float64()/10
			}
			return 0.01 + r.Float64()/1000
		},
	} {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			var w Window
			var all []time.Duration
			for i := range int64(5000) {
				d := time.Duration(draw(rnd) * 1e9)
				w.Observe(base+i*sec/1000, d, false)
				all = append(all, d)
			}
			slices.Sort(all)
			for _, q := range []float64{0, 0.1, 0.5, 0.9, 0.95, 0.99, 1} {
				want := all[min(int(q*float64(len(all))), len(all)-1)]
				got := w.Quantile(base+5*sec, q)
				if float64((got - want).Abs()) > 0.25*float64(want)+1<<minOctave {
					t.Errorf("quantile %v = %v, want %v", q, got, want)
				}
			}
			if got := w.Quantile(base+5*sec, 1); got != all[len(all)-1] {
				t.Errorf("the longest = %v, want %v", got, all[len(all)-1])
			}
		})
	}
}

func TestWindowBuckets(t *testing.T) {
	for b := range windowBuckets - 1 {
		low, high := bucketBounds(b)
		next, _ := bucketBounds(b + 1)
		if high != next || bucketOf(low) != b || bucketOf(high-1) != b || bucketOf(high) != b+1 {
			t.Errorf("bucket %d: [%d, %d) next %d", b, low, high, next)
		}
	}
	for d, want := range map[time.Duration]int{-1: 0, math.MinInt64: 0, math.MaxInt64: windowBuckets - 1} {
		if got := bucketOf(d); got != want {
			t.Errorf("bucketOf(%d) = %d, want %d", d, got, want)
		}
	}
	var w Window
	w.Observe(base, -time.Second, false)
	if got := w.Quantile(base, 0.5); got != 0 {
		t.Errorf("a negative duration counts as %v", got)
	}
	if got := w.Quantile(base, math.NaN()); got != 0 {
		t.Errorf("the NaN-th quantile is %v", got)
	}
}

func BenchmarkWindowObserve(b *testing.B) {
	var w Window
	now := base
	b.ReportAllocs()
	for b.Loop() {
		now += 1e6
		w.Observe(now, 3*time.Millisecond, false)
	}
}

func BenchmarkWindowStats(b *testing.B) {
	var w Window
	for i := range int64(10_000) {
		w.Observe(base+i*1e6, time.Duration(i)*time.Microsecond, false)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.Stats(base + 10*sec)
	}
}
