package metrics

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// DefaultBounds are bucket bounds for what waits for a network or a process: half a millisecond to five minutes.
func DefaultBounds() []time.Duration {
	const ms, s = time.Millisecond, time.Second
	return []time.Duration{ms / 2, ms, 5 * ms / 2, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms, 500 * ms,
		s, 5 * s / 2, 5 * s, 10 * s, 30 * s, 60 * s, 300 * s}
}

// Histogram counts durations in the buckets of a classic Prometheus histogram. Unlike a Window it never forgets. It is safe for concurrent use
// and allocates nothing.
type Histogram struct {
	bounds []time.Duration // ascending, inclusive upper bounds
	counts []atomic.Uint64 // one more: above the last bound
	sum    atomicFloat     // seconds
}

// NewHistogram makes an empty histogram with these upper bounds; none means DefaultBounds. It panics unless they ascend: they are written in
// the program.
func NewHistogram(bounds ...time.Duration) *Histogram {
	if len(bounds) == 0 {
		bounds = DefaultBounds()
	}
	for i := range bounds[1:] {
		if bounds[i] >= bounds[i+1] {
			panic(fmt.Sprintf("metrics: histogram bounds %v do not ascend", bounds))
		}
	}
	return &Histogram{bounds: slices.Clone(bounds), counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts d; a negative one as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(h.bounds) && d > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.add(d.Seconds())
}

// HistogramSnapshot is a Histogram at one moment, in the terms of Prometheus.
type HistogramSnapshot struct {
	Count   uint64
	Sum     float64         // seconds
	Bounds  []time.Duration // upper bounds, without +Inf; shared, not to be changed
	Buckets []uint64        // how many were at most Bounds[i]: cumulative
}

// Snapshot writes the present state into dst, whose Buckets are used again. Count is never less than the last bucket; Sum may be ahead of or behind the counts by
// observations that are just being made.
func (h *Histogram) Snapshot(dst *HistogramSnapshot) {
	dst.Bounds = h.bounds
	dst.Buckets = dst.Buckets[:0]
	dst.Sum = h.sum.load()
	seen := uint64(0)
	for i := range h.bounds {
		seen += h.counts[i].Load()
		dst.Buckets = append(dst.Buckets, seen)
	}
	dst.Count = seen + h.counts[len(h.bounds)].Load()
}
