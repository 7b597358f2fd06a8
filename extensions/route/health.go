package route

import (
	"math"
	"sync/atomic"
	"time"
)

// Outlier is when an upstream is ejected for how it answers, and for how long. The
// zero Outlier ejects none; DefaultOutlier is where to start from.
type Outlier struct {
	// Consecutive failures in a row eject; 0: never for that.
	Consecutive int
	// Ratio of at least MinRequests of the last 5 to 10 s that failed ejects; 0: never
	// for that.
	Ratio       float64
	MinRequests int
	// EjectFor is how long the first time, twice that the second, and so on up to
	// MaxEjectFor. After it one attempt a second tries, until one ends.
	EjectFor, MaxEjectFor time.Duration
	// MaxShare of the upstreams that have a weight may be ejected at a time, 0 to 1,
	// rounded down.
	MaxShare float64
}

// DefaultOutlier ejects after 5 failures in a row for 5 s, and half of the upstreams
// at most.
func DefaultOutlier() Outlier {
	return Outlier{Consecutive: 5, MinRequests: 20, EjectFor: 5 * time.Second, MaxEjectFor: time.Minute, MaxShare: 0.5}
}

// HealthState is what is known of an upstream's health.
type HealthState uint8

// The states.
const (
	Healthy      HealthState = iota
	Paused                   // it asked to be left alone
	Trying                   // it was ejected and is tried, one attempt a second
	Ejected                  // for how it answered
	Down                     // for what probes said
	healthStates             // how many there are
)

var healthNames = [healthStates]string{"healthy", "paused", "trying", "ejected", "down"}

// String returns the name used in status.
func (s HealthState) String() string {
	if s < healthStates {
		return healthNames[s]
	}
	return "invalid"
}

// health is the part of live that says whether an upstream may be chosen. It is read
// for every candidate of every choice.
type health struct {
	down    atomic.Bool
	ejected atomic.Int64 // until then; 0: it is not
	nextTry atomic.Int64 // after an ejection, when it may be chosen next
	paused  atomic.Int64 // until then
	times   int          // ejections since it was last well; guarded by live.mu
	row     int          // failures since the last success; guarded by live.mu
	probed  int          // probes in a row that went well, below 0 ill; guarded by live.mu
}

func (l *live) state(now int64) HealthState {
	until := l.ejected.Load()
	switch {
	case l.down.Load():
		return Down
	case until != 0 && now < until:
		return Ejected
	case until != 0:
		return Trying
	case now < l.paused.Load():
		return Paused
	}
	return Healthy
}

// available reports whether it may be chosen.
func (l *live) available(now int64) bool {
	if until := l.ejected.Load(); until != 0 && (now < until || now < l.nextTry.Load()) {
		return false
	}
	return !l.down.Load() && now >= l.paused.Load()
}

// chosen notes that an attempt is about to go there.
func (l *live) chosen(now int64) {
	if l.ejected.Load() != 0 {
		l.nextTry.Store(now + int64(tryEvery))
	}
}

// tryEvery is how often an upstream is tried after its ejection. A time and not a count
// of attempts under way: one of those may be a stream that lasts for hours.
const tryEvery = time.Second

// judgeLocked looks at an upstream after an attempt there ended, and reports whether it
// is to be ejected, where the bound on the share allows that.
func (l *live) judgeLocked(o *Outlier, now int64, dur time.Duration, failed bool) bool {
	until := l.ejected.Load()
	tried := until != 0 && now-int64(dur) >= until // it began after the ejection
	if !failed && tried {
		l.wellLocked()
	}
	return failed && now >= until && (tried || o.Consecutive > 0 && l.row >= o.Consecutive || l.tooManyLocked(o))
}

func (l *live) tooManyLocked(o *Outlier) bool {
	if o.Ratio <= 0 {
		return false
	}
	total := l.half[0].total + l.half[1].total
	failed := l.half[0].failed + l.half[1].failed
	return int(total) >= max(o.MinRequests, 1) && float64(failed) >= o.Ratio*float64(total)
}

// mayEject takes a place among those that may be ejected. Places are counted anew each
// time: upstreams come and go with reloads, and time ends an ejection.
func (g *Group) mayEject(i int, now int64) bool {
	g.ejecting.Lock()
	defer g.ejecting.Unlock()
	eligible, out := 0, 0
	for j, l := range g.live {
		if g.ups[j].Weight == 0 {
			continue
		}
		eligible++
		if l.ejected.Load() > now {
			out++
		}
	}
	if g.ups[i].Weight == 0 || g.live[i].ejected.Load() > now || out+1 > int(g.outlier.MaxShare*float64(eligible)+1e-9) {
		return false
	}
	g.live[i].ejected.Store(math.MaxInt64) // the place is taken; eject says until when
	return true
}

// eject begins an ejection, and a new account of outcomes for when it is over.
func (l *live) eject(now int64, o *Outlier) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times++
	d := o.EjectFor
	for n := 1; n < l.times && d < o.MaxEjectFor; n++ {
		d *= 2
	}
	l.half = [2]outcomes{}
	l.row, l.dirty = 0, true
	l.ejected.Store(now + int64(max(min(d, max(o.MaxEjectFor, o.EjectFor)), 1)))
}

// wellLocked ends an ejection: it answered.
func (l *live) wellLocked() {
	l.times, l.row = 0, 0
	l.ejected.Store(0)
}

// Pause says that upstream i asked to be left alone until then. It is passed over while
// there is another.
func (g *Group) Pause(i int, until int64) {
	p := &g.live[i].paused
	for was := p.Load(); was < until && !p.CompareAndSwap(was, until); was = p.Load() {
	}
}

// Probe tells what an active probe of upstream i found: after fall failures in a row it
// is down, after rise successes in a row it is up again and no longer ejected. It reports
// whether the state changed.
func (g *Group) Probe(i int, ok bool, rise, fall int) bool {
	l := g.live[i]
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok {
		l.probed = min(max(l.probed, 0)+1, math.MaxInt32)
	} else {
		l.probed = max(min(l.probed, 0)-1, math.MinInt32)
	}
	switch {
	case l.probed >= max(rise, 1):
		changed := l.down.Swap(false) || l.ejected.Load() != 0
		if changed {
			l.wellLocked()
		}
		return changed
	case l.probed <= -max(fall, 1):
		return !l.down.Swap(true)
	}
	return false
}

// Unprobed forgets what probes found of upstream i: nobody probes it any more.
func (g *Group) Unprobed(i int) {
	l := g.live[i]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.probed = 0
	l.down.Store(false)
}

// State is the health of upstream i at now.
func (g *Group) State(i int, now int64) HealthState { return g.live[i].state(now) }

// latencyHalf is the time after which half of a latency is forgotten.
const latencyHalf = float64(5 * time.Second)

// peak is a latency that jumps up to what was seen and sinks slowly: a slow answer is
// noticed at once, and an upstream that is not asked is tried again.
type peak struct {
	value atomic.Uint64 // float64 bits, ns; 0: nothing is known
	asOf  atomic.Int64
}

func (p *peak) at(now int64) float64 {
	v := math.Float64frombits(p.value.Load())
	if v == 0 {
		return 0
	}
	return v * p.left(now)
}

// left is the share of the value that is left at now.
func (p *peak) left(now int64) float64 {
	return math.Exp2(-float64(max(now-p.asOf.Load(), 0)) / latencyHalf)
}

// observe is called by one goroutine at a time.
func (p *peak) observe(now int64, d time.Duration, failed bool) {
	left, v := p.left(now), max(float64(d), 1)
	was := math.Float64frombits(p.value.Load()) * left
	switch {
	case failed: // a quick refusal is no reason to come back
		v = max(v, was)
	case v < was:
		v = was + v*(1-left)
	}
	p.value.Store(math.Float64bits(v))
	p.asOf.Store(max(now, p.asOf.Load()))
}
