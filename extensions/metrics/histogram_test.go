package metrics

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	h := NewHistogram(10*time.Millisecond, time.Second)
	for _, d := range []time.Duration{-time.Second, 0, 10 * time.Millisecond, 10*time.Millisecond + 1, time.Second, time.Minute} {
		h.Observe(d)
	}
	var s HistogramSnapshot
	for range 2 { // a snapshot is used again
		h.Snapshot(&s)
		if s.Count != 6 || !slices.Equal(s.Buckets, []uint64{3, 5}) || math.Abs(s.Sum-61.020000001) > 1e-9 {
			t.Errorf("snapshot = %+v", s)
		}
	}
	NewHistogram().Snapshot(&s)
	if s.Count != 0 || s.Sum != 0 || len(s.Buckets) != len(DefaultBounds()) || !slices.IsSorted(s.Bounds) {
		t.Errorf("empty snapshot = %+v", s)
	}
	wantPanic(t, "metrics: histogram bounds [1s 1s] do not ascend", func() { NewHistogram(time.Second, time.Second) })
}

func TestHammerHistogram(t *testing.T) {
	h := NewHistogram()
	var wg sync.WaitGroup
	release := make(chan struct{})
	for range 16 {
		wg.Go(func() {
			<-release
			var s HistogramSnapshot
			for i := range 500 {
				h.Observe(time.Duration(i%4) * 250 * time.Millisecond)
				h.Snapshot(&s)
				if last := s.Buckets[len(s.Buckets)-1]; s.Count < last || !slices.IsSorted(s.Buckets) {
					t.Errorf("snapshot %+v", s)
				}
			}
		})
	}
	close(release)
	wg.Wait()
	var s HistogramSnapshot
	h.Snapshot(&s)
	if s.Count != 8000 || s.Sum != 16*125*1.5 {
		t.Errorf("count %d, sum %v", s.Count, s.Sum)
	}
}

func BenchmarkHistogramObserve(b *testing.B) {
	h := NewHistogram()
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(42 * time.Millisecond)
	}
}
