package sim

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/gaia-host/gaia/host/experiment/upstream"
)

// Outcome is what happened in one replica. Counts are of requests that arrived after
// the warm-up, and of attempts that started after it.
type Outcome struct {
	Offered   uint64 // requests that callers meant to send, each counted once
	Good      uint64 // answered well within the caller's patience
	Denied    uint64 // ended by a denial of gaia's own
	Throttled uint64 // ended by a 429 of the upstream
	Failed    uint64 // ended by another failure of the upstream
	Left      uint64 // ended by the caller's patience
	Pending   uint64 // not ended when the run was

	Attempts     uint64 // sent to upstreams
	Refused      uint64 // of them answered 429
	Denials      uint64 // by gaia, those tried again included
	CallerTries  uint64 // operations begun, caller's retries included
	Wasted       uint64 // answers to callers that had left
	PolicyFaults uint64

	Wait    *hdrhistogram.Histogram // us held before the attempt that counted, of good requests
	Latency *hdrhistogram.Histogram // us from arrival to the good answer
	Series  Series
	Keys    []Key
	Ups     []upstream.Stats // of the whole run
	UpQuota []float64        // per upstream: units let through by its first limit over what it allows
	MaxIn   int              // most attempts that started within Window
	Window  time.Duration

	// Little's law, after the warm-up: the mean number of requests in the system, from
	// the number at each moment, and from the time that each one spent there.
	MeanInSystem, MeanBySojourn float64

	Measured time.Duration // from the warm-up to the end
	Events   uint64
}

// Key is what one key got.
type Key struct {
	Offered, Good uint64
	Starved       time.Duration // longest time from an unserved arrival to the next good answer

	since int64 // of the first arrival since the last good answer, 0 none
}

// Series are numbers over time, one of each in a step.
type Series struct {
	Step                                               time.Duration
	Offered, Admitted, Good, Refused, Denied, InSystem []float64
	Queue                                              [][]float64 // per upstream, the longest in the step
	Wait                                               []float64   // s, summed over the good answers of the step
}

const maxSteps = 600

func newSeries(d time.Duration, upstreams int) Series {
	step := time.Second
	for d/step > maxSteps {
		step *= 2
	}
	n := int((d + step - 1) / step)
	s := Series{Step: step}
	for _, p := range []*[]float64{&s.Offered, &s.Admitted, &s.Good, &s.Refused, &s.Denied, &s.InSystem, &s.Wait} {
		*p = make([]float64, n)
	}
	s.Queue = make([][]float64, upstreams)
	for i := range s.Queue {
		s.Queue[i] = make([]float64, n)
	}
	return s
}

// maxWindow is how many moments a window keeps, a power of two. Where more lie within its
// length, those that are close together become one, so that memory stays flat.
const maxWindow = 1 << 20

// window finds the most events within a sliding length of time.
type window struct {
	length int64
	grain  int64    // moments nearer than this to the last become one; 0 only the same
	at     []moment // a ring of those within the length; a power of two of them
	head   int
	n      int // moments in the ring
	sum    int // events in it
	most   int
}

// moment is a time and how many events it stands for.
type moment struct {
	at int64
	n  int
}

func (w *window) add(now int64) {
	at, head, n, mask := w.at, w.head, w.n, len(w.at)-1
	for n > 0 && now-at[head&mask].at >= w.length {
		w.sum -= at[head&mask].n
		head = (head + 1) & mask
		n--
	}
	w.head, w.n = head, n
	w.sum++
	if w.sum > w.most {
		w.most = w.sum
	}
	if n > 0 {
		if last := &at[(head+n-1)&mask]; now-last.at <= w.grain {
			last.n++
			return
		}
	}
	if n == len(at) {
		w.grow()
		at, head, n, mask = w.at, w.head, w.n, len(w.at)-1
	}
	at[(head+n)&mask] = moment{now, 1}
	w.n = n + 1
}

// grow makes room: a larger ring, or moments that stand for more.
func (w *window) grow() {
	if len(w.at) == maxWindow {
		w.grain = max(2*w.grain, w.length/maxWindow*4, 1)
		kept := 1
		for i := 1; i < w.n; i++ {
			last, m := &w.at[(w.head+kept-1)&(maxWindow-1)], w.at[(w.head+i)&(maxWindow-1)]
			if m.at-last.at <= w.grain {
				last.n += m.n
				continue
			}
			w.at[(w.head+kept)&(maxWindow-1)] = m
			kept++
		}
		w.n = kept
		if kept < maxWindow {
			return
		}
		w.grow()
		return
	}
	grown := make([]moment, max(64, 2*len(w.at)))
	for i := range w.n {
		grown[i] = w.at[(w.head+i)&(len(w.at)-1)]
	}
	w.at, w.head = grown, 0
}

// littleTolerance is how far the two counts of Little's law may lie apart: they are
// sums of the same integers in another order.
const littleTolerance = 1e-9

// CheckLittle holds the run against Little's law.
func (o *Outcome) CheckLittle() error {
	a, b := o.MeanInSystem, o.MeanBySojourn
	if math.Abs(a-b) > littleTolerance*max(a, b, 1) {
		return fmt.Errorf("the run breaks Little's law: %v requests in the system by count, %v by their times", a, b)
	}
	return nil
}
