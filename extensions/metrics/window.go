package metrics

import (
	"math"
	"math/bits"
	"time"
)

// The shape of a Window: what it remembers is the present slot and the windowSlots-1 before it, 8 to 10 s.
const (
	windowSlots = 5
	slotLength  = 2 * time.Second
)

// The buckets of a Window: one below 2^minOctave ns (66 µs), subBuckets of equal width in each octave, one from 2^maxOctave ns (69 s) on.
const (
	minOctave     = 16
	maxOctave     = 36
	subBits       = 2
	subBuckets    = 1 << subBits
	windowBuckets = (maxOctave-minOctave)*subBuckets + 2
)

// Window is the recent past of one key: how many operations a second, which part failed, how long they took. It covers the
// last 8 to 10 s and takes less than 2 KB, whatever passes through it. Quantiles come from log-linear buckets (four to an octave, as in HdrHistogram with two
// significant bits), interpolated and never beyond the longest observation: they are off by a quarter at most between 66 µs and 69 s, typically by far less.
// The zero value is empty. It allocates nothing, and is for one goroutine at a time: who keeps one has a lock of its own.
type Window struct {
	first int64 // when the first operation was observed since the window was last empty
	slots [windowSlots]slot
}

// slot is what was observed in one slotLength.
type slot struct {
	epoch   int64 // time in slotLengths
	failed  uint32
	total   uint32
	longest time.Duration
	buckets [windowBuckets]uint32
}

// WindowStats is what a Window says at one moment.
type WindowStats struct {
	Rate      float64       // operations a second
	ErrorRate float64       // the part that failed, 0 to 1; 0 without operations
	P50, P95  time.Duration // 0 without operations
}

// Observe counts an operation that ended at now after d. What ended before the window, seen from the latest observation, is dropped.
func (w *Window) Observe(now int64, d time.Duration, failed bool) {
	epoch := epochOf(now)
	s := &w.slots[uint64(epoch)%windowSlots]
	if s.epoch > epoch {
		return
	}
	if s.epoch < epoch || s.total == 0 { // else it is not empty
		if w.sum(now).total == 0 {
			w.first = now
		}
		if s.epoch < epoch {
			*s = slot{epoch: epoch}
		}
	}
	s.total++
	if failed {
		s.failed++
	}
	s.longest = max(s.longest, d)
	s.buckets[bucketOf(d)]++
}

// Rate gives operations a second. While the window fills it counts from the first operation, but over at least a second.
func (w *Window) Rate(now int64) float64 {
	return w.rate(now, w.sum(now))
}

// ErrorRate gives the part of the operations that failed, 0 to 1; 0 if there were none.
func (w *Window) ErrorRate(now int64) float64 {
	return w.sum(now).errorRate()
}

// Quantile gives the time within which the part q (0 to 1) of the operations ended; 0 if there were none.
func (w *Window) Quantile(now int64, q float64) time.Duration {
	merged := w.merge(now)
	return merged.quantile(q)
}

// Stats gives all at once, from the same operations.
func (w *Window) Stats(now int64) WindowStats {
	merged := w.merge(now)
	rate := w.rate(now, windowSum{merged.total, merged.failed})
	return WindowStats{
		Rate:      rate,
		ErrorRate: windowSum{merged.total, merged.failed}.errorRate(),
		P50:       merged.quantile(0.5),
		P95:       merged.quantile(0.95),
	}
}

// windowSum is how many operations a window holds.
type windowSum struct{ total, failed uint32 }

func (s windowSum) errorRate() float64 {
	if s.total == 0 {
		return 0
	}
	return float64(s.failed) / float64(s.total)
}

// holds reports whether s lies in the window that ends at epoch. A slot ahead of it counts: another goroutine's clock was read later.
func (s *slot) holds(epoch int64) bool { return s.epoch > epoch-windowSlots }

func (w *Window) sum(now int64) windowSum {
	epoch, sum := epochOf(now), windowSum{}
	for i := range w.slots {
		if w.slots[i].holds(epoch) {
			sum.total += w.slots[i].total
			sum.failed += w.slots[i].failed
		}
	}
	return sum
}

// merge gives all slots of the window as one.
func (w *Window) merge(now int64) slot {
	epoch, merged := epochOf(now), slot{}
	for i := range w.slots {
		s := &w.slots[i]
		if !s.holds(epoch) || s.total == 0 {
			continue
		}
		merged.total += s.total
		merged.failed += s.failed
		merged.longest = max(merged.longest, s.longest)
		for b, n := range s.buckets {
			merged.buckets[b] += n
		}
	}
	return merged
}

func (w *Window) rate(now int64, sum windowSum) float64 {
	if sum.total == 0 {
		return 0
	}
	start := (epochOf(now) - windowSlots + 1) * int64(slotLength)
	span := now - max(start, w.first)
	return float64(sum.total) / (float64(max(span, int64(time.Second))) / float64(time.Second))
}

// quantile interpolates within the bucket that holds the q-th of all operations.
func (s *slot) quantile(q float64) time.Duration {
	if s.total == 0 || math.IsNaN(q) {
		return 0
	}
	rank := min(max(q, 0), 1) * float64(s.total)
	below := 0.0
	for b, n := range s.buckets {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		low, high := bucketBounds(b)
		if b == windowBuckets-1 {
			high = s.longest
		}
		part := float64(high-low) * (rank - below) / float64(n)
		if part >= float64(s.longest-low) {
			return s.longest
		}
		return low + time.Duration(part)
	}
	return s.longest
}

// epochOf gives the slotLength that now lies in.
func epochOf(now int64) int64 { return now / int64(slotLength) }

// bucketOf gives the bucket that counts d.
func bucketOf(d time.Duration) int {
	if d < 1<<minOctave {
		return 0
	}
	octave := bits.Len64(uint64(d)) - 1
	if octave >= maxOctave {
		return windowBuckets - 1
	}
	sub := int(d>>(octave-subBits)) & (subBuckets - 1)
	return 1 + (octave-minOctave)*subBuckets + sub
}

// bucketBounds gives the least duration of bucket b and the least of the next. The last bucket has no end; its high means nothing.
func bucketBounds(b int) (low, high time.Duration) {
	if b == 0 {
		return 0, 1 << minOctave
	}
	octave, sub := minOctave+(b-1)/subBuckets, (b-1)%subBuckets
	width := time.Duration(1) << (octave - subBits)
	low = time.Duration(subBuckets+sub) * width
	return low, low + width
}
