package admission

import "time"

const breakerSlots = 10

type breakerState uint8

const (
	breakerClosed breakerState = iota
	breakerOpen
	breakerHalfOpen
)

// breaker stops the operations of a key that keeps failing. It has no timer: every
// question brings the clock. It is guarded by its core's mutex.
type breaker struct {
	state     breakerState
	openUntil int64
	// epoch changes with the state, so that what started under an earlier one
	// decides nothing now. Never 0.
	epoch   uint64
	probes  int // under way, half-open only
	passed  int // probes that succeeded
	row     int // failures since the last success
	slot    int64
	success [breakerSlots]uint32
	failure [breakerSlots]uint32
}

// closedFor is how long the way stays closed, 0 where an operation may go.
func (b *breaker) closedFor(now int64, c *Breaker) time.Duration {
	switch {
	case !c.Enabled || b.state == breakerClosed:
		return 0
	case b.state == breakerOpen && now < b.openUntil:
		return time.Duration(b.openUntil - now)
	case b.state == breakerHalfOpen && b.probes+b.passed >= c.HalfOpen:
		return minRetryAfter
	}
	return 0
}

// enter lets one operation in, after closedFor said 0, and returns the epoch it
// probes for, 0 where it is no probe.
func (b *breaker) enter(c *Breaker) uint64 {
	if !c.Enabled || b.state == breakerClosed {
		return 0
	}
	if b.state == breakerOpen {
		b.turn(breakerHalfOpen)
	}
	b.probes++
	return b.epoch
}

// leave takes back an enter that proved nothing.
func (b *breaker) leave(probe uint64) {
	if probe != 0 && probe == b.epoch {
		b.probes--
	}
}

// outcome counts how an operation ended that was let in with probe.
func (b *breaker) outcome(now int64, c *Breaker, probe uint64, failed bool) {
	if !c.Enabled {
		return
	}
	if b.state != breakerClosed {
		b.probed(now, c, probe, failed)
		return
	}
	if probe != 0 { // of a breaker that closed since
		return
	}
	s := b.at(now, c)
	if !failed {
		b.success[s]++
		b.row = 0
		return
	}
	b.failure[s]++
	b.row++
	if c.Consecutive > 0 && b.row >= c.Consecutive {
		b.open(now, c)
		return
	}
	good, bad := b.sum()
	if total := good + bad; total >= uint64(c.MinRequests) && float64(bad) >= c.Ratio*float64(total) {
		b.open(now, c)
	}
}

func (b *breaker) probed(now int64, c *Breaker, probe uint64, failed bool) {
	if probe == 0 || probe != b.epoch || b.state != breakerHalfOpen {
		return // it started before the breaker opened
	}
	b.probes--
	if failed {
		b.open(now, c)
		return
	}
	b.passed++
	if b.passed >= c.HalfOpen {
		b.turn(breakerClosed)
	}
}

func (b *breaker) open(now int64, c *Breaker) {
	b.turn(breakerOpen)
	b.openUntil = now + int64(c.OpenFor)
}

// turn enters a state with empty counts.
func (b *breaker) turn(s breakerState) { *b = breaker{state: s, epoch: b.epoch + 1, slot: b.slot} }

// at returns the slot that now counts in and empties those it has passed.
func (b *breaker) at(now int64, c *Breaker) int {
	slot := now / max(int64(c.Window)/breakerSlots, 1)
	for n := min(slot-b.slot, breakerSlots); n > 0; n-- {
		i := (slot - n + 1) % breakerSlots
		b.success[i], b.failure[i] = 0, 0
	}
	b.slot = max(b.slot, slot)
	return int(b.slot % breakerSlots)
}

func (b *breaker) sum() (good, bad uint64) {
	for i := range b.success {
		good += uint64(b.success[i])
		bad += uint64(b.failure[i])
	}
	return good, bad
}
