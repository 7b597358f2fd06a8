package limit

import "time"

const (
	// paceGrid is how finely those who leave at a pace are told apart.
	paceGrid = int64(1 << 24) // 17 ms
	// maxPaced bounds the times ahead at which those may leave.
	maxPaced = 1024
	// paceTells is how many answers tell of a pace.
	paceTells = 8
	// What each unit that passed adds to a pace per second: little near one that was
	// found out, more far below.
	paceProbe   = 0.02
	paceRecover = 0.25
)

// pace is how fast units leave for an upstream that refused some and tells nothing of its
// quota. A Retry-After says that one passes then, not that all who wait do. Between two
// refusals an upstream was used up as far as it would bear, so what passed between them
// is its pace. Only what passes while others wait makes it faster.
//
// The zero pace is none: nothing was refused yet.
type pace struct {
	rate    float64 // units a second; 0: none
	good    float64 // the last that was found out between two refusals
	next    int64   // when the next unit may leave
	limited int64   // when somebody last had to wait for it
	since   int64   // of the last refusal, or the first unit
	taken   int64   // units sent by then
	ok, not int64   // answers since then
}

// refused takes in a refusal, when taken units had been sent.
func (p *pace) refused(now, taken int64) {
	passed := float64(taken-p.taken) * float64(p.ok) / float64(max(p.ok+p.not, 1))
	found := passed / time.Duration(max(now-p.since, int64(time.Millisecond))).Seconds()
	switch {
	case p.ok >= paceTells:
		p.rate, p.good = found, found
	case p.rate > 0:
		p.rate /= 2
	default:
		p.rate = found
	}
	p.rate = max(p.rate, 1)
	p.since, p.taken, p.ok, p.not = now, taken, 0, 1
}

// passed takes in an answer that was no refusal.
func (p *pace) passed(now, taken int64) {
	if p.ok++; p.rate == 0 || now-p.limited > int64(time.Second) {
		return
	}
	step := paceProbe
	if p.rate < 0.9*p.good {
		step = paceRecover
	}
	p.rate = min(p.rate+step*float64(max(taken-p.taken, 1))/float64(p.ok+p.not), 1e9)
}

// from is when the next may leave who asks now, at the earliest at that time.
func (p *pace) from(now, at int64) int64 {
	if p.rate == 0 || p.next-paceGrid <= at {
		return at
	}
	p.limited = now
	return (p.next + paceGrid - 1) / paceGrid * paceGrid
}

// sure says that somebody may be told to leave so long after a pause. Those who were told
// at a pace that turns out too fast leave all the same, so there are few before it was
// found out.
func (p *pace) sure(after int64) bool { return p.good > 0 || after <= int64(time.Second) }

// leave notes units that leave at that time, taken now.
func (p *pace) leave(now, at, units int64) {
	if p.since == 0 {
		p.since = now
	}
	if p.rate == 0 {
		return
	}
	p.next = addSat(max(p.next, at-paceGrid), int64(min(float64(units)/p.rate*1e9, float64(MaxPause))))
}
