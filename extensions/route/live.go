package route

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	halfWindow = int64(5 * time.Second)        // outcomes count for one to two of these
	staleAfter = int64(100 * time.Millisecond) // how old derived numbers may be
	sickAfter  = 5                             // failures in a row that make an upstream unhealthy
	octaves    = 40                            // of the durations told apart: 1 ns to 18 min
)

// live is what is known about one upstream. It outlives the groups it is in.
type live struct {
	inFlight atomic.Int64

	health
	latency peak

	mu     sync.Mutex // guards what follows
	epoch  int64      // of half[0]
	half   [2]outcomes
	cached numbers
	asOf   int64
	dirty  bool
}

// outcomes counts attempts by duration: two buckets to an octave.
type outcomes struct {
	total, failed uint32
	buckets       [2 * octaves]uint32
}

// numbers are derived from the outcomes of one window.
type numbers struct {
	healthy   bool
	errorRate float64
	p50, p95  time.Duration
}

// endLocked counts an attempt that ended.
func (l *live) endLocked(now int64, dur time.Duration, failed bool) {
	l.turnLocked(now)
	o := &l.half[0]
	o.total++
	o.buckets[bucketOf(dur)]++
	if failed {
		o.failed++
		l.row++
	} else {
		l.row = 0
	}
	l.dirty = true
}

// turnLocked moves the window on to now. A clock that was read earlier than the
// last one counts into the present half.
func (l *live) turnLocked(now int64) {
	epoch := now / halfWindow
	switch {
	case epoch <= l.epoch:
		return
	case epoch == l.epoch+1:
		l.half[1], l.half[0] = l.half[0], outcomes{}
	default:
		l.half = [2]outcomes{}
	}
	l.epoch, l.dirty = epoch, true
}

func (l *live) numbers(now int64) numbers {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turnLocked(now)
	if l.dirty && (now-l.asOf >= staleAfter || l.asOf == 0) {
		l.cached, l.asOf, l.dirty = l.deriveLocked(), now, false
	}
	n := l.cached
	n.healthy = l.row < sickAfter && l.state(now) == Healthy
	return n
}

func (l *live) deriveLocked() numbers {
	total := l.half[0].total + l.half[1].total
	if total == 0 {
		return numbers{}
	}
	return numbers{
		errorRate: float64(l.half[0].failed+l.half[1].failed) / float64(total),
		p50:       l.quantileLocked(total, 50),
		p95:       l.quantileLocked(total, 95),
	}
}

// quantileLocked is the upper bound of the bucket that holds the percentile.
func (l *live) quantileLocked(total, percent uint32) time.Duration {
	rank := (uint64(total)*uint64(percent) + 99) / 100
	seen := uint64(0)
	for b := range l.half[0].buckets {
		seen += uint64(l.half[0].buckets[b]) + uint64(l.half[1].buckets[b])
		if seen >= rank {
			return boundOf(b)
		}
	}
	return boundOf(2*octaves - 1)
}

// bucketOf tells durations apart by octave and half octave.
func bucketOf(d time.Duration) int {
	if d <= 1 {
		return 0
	}
	octave := bits.Len64(uint64(d)) - 1
	upper := int(d>>(octave-1)) & 1
	return min(2*octave+upper, 2*octaves-1)
}

// boundOf is the least duration above bucket b.
func boundOf(b int) time.Duration {
	octave := b / 2
	if b%2 == 0 {
		return time.Duration(1)<<octave + time.Duration(1)<<octave/2
	}
	return time.Duration(1) << (octave + 1)
}
