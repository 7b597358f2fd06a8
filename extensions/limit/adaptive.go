package limit

import (
	"math"
	"time"
)

const (
	aimdBackoff = 0.9
	// Gradient2, as Netflix's concurrency-limits has it: the limit follows the
	// ratio of a long and a short average of round trips, leaves room for a small
	// queue, and moves by a fifth at a time.
	gradientTolerance = 1.5
	gradientSmoothing = 0.2
	gradientLong      = 600 // samples of the long average
	gradientLeast     = 0.5
	// adaptiveFirst is where a limit begins, within Min and Max.
	adaptiveFirst = 20
	// rttMost bounds a round trip: more is an answer to nothing.
	rttMost = int64(time.Hour)
)

// adaptive bounds the units in flight by what the answers say. AIMD adds one for
// each limit's worth of good answers while the limit is used, and takes a tenth
// off for a refusal, once for each round trip. Gradient2 also reads the round
// trips: the limit falls as they rise over their long-term average.
type adaptive struct {
	unmoved
	limit    float64 // 0: not yet begun
	inFlight int64
	long     float64 // average round trip, ns
	samples  float64 // behind long
	cut      int64   // when the limit was last cut
	sum      float64 // of the round trips since the last move
	n        float64
	moved    int64 // when the limit last moved
}

func (a *adaptive) begin(c *settings) {
	if a.limit == 0 {
		a.limit = adaptiveFirst
	}
	a.limit = min(max(a.limit, float64(c.p.Min)), float64(c.p.Max))
}

func (a *adaptive) take(c *settings, _, cost int64, _ time.Duration) Result {
	a.begin(c)
	limit := int64(a.limit)
	fits := cost == 0 || a.inFlight+cost <= limit
	if fits {
		a.inFlight += cost
	}
	r := slotResult(a.inFlight, cost, limit, fits)
	if cost > limit && cost <= c.p.Max { // the limit may rise
		r.Wait = RetryHint
	}
	return r
}

func (a *adaptive) giveBack(_ *settings, _, cost, _ int64) { a.inFlight = max(a.inFlight-cost, 0) }

func (a *adaptive) release(_ *settings, _, cost int64) { a.inFlight = max(a.inFlight-cost, 0) }

func (a *adaptive) learn(c *settings, now int64, f Feedback) {
	a.begin(c)
	rtt := int64(0)
	if f.Sent > 0 && f.Sent < now {
		rtt = min(now-f.Sent, rttMost)
	}
	switch {
	case f.dropped():
		if a.cut == 0 || f.Sent == 0 && now-a.cut >= int64(time.Second) || f.Sent > a.cut {
			a.limit, a.cut = a.limit*aimdBackoff, now
		}
	case !f.succeeded():
	case c.p.Algorithm == "gradient" && rtt > 0:
		a.gradient(now, float64(rtt))
	case 2*a.inFlight >= int64(a.limit): // a limit that is not used tells nothing
		a.limit += 1 / a.limit
	}
	a.begin(c)
}

// gradient moves the limit once for each average round trip.
func (a *adaptive) gradient(now int64, rtt float64) {
	a.samples = min(a.samples+1, gradientLong)
	a.long += (rtt - a.long) / a.samples
	a.sum, a.n = a.sum+rtt, a.n+1
	if a.moved == 0 {
		a.moved = now
	}
	if float64(now-a.moved) < a.long {
		return
	}
	short := a.sum / a.n
	a.sum, a.n, a.moved = 0, 0, now
	if a.long > 2*short { // a time of overload is over: forget it sooner
		a.long *= 0.95
	}
	if 2*a.inFlight < int64(a.limit) {
		return
	}
	slope := min(max(gradientTolerance*a.long/short, gradientLeast), 1)
	want := a.limit*slope + math.Sqrt(a.limit)
	a.limit = a.limit*(1-gradientSmoothing) + want*gradientSmoothing
}

func (a *adaptive) idle(*settings, int64) bool { return a.inFlight == 0 && a.limit == 0 }

func (a *adaptive) clone() adaptive { return *a }

// dropped says that the upstream had too much: it refused, or did not answer in time.
func (f *Feedback) dropped() bool {
	return f.Status == statusTooMany || f.Status == statusUnavailable || f.Status == statusTimeout || f.Status == 0
}
