package js

import (
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
)

// waitGrace is added to the budget of those who wait for a guest: that the machine is
// busy is not the policy's doing.
const waitGrace = 50 * time.Millisecond

// waitMost bounds the wait for a guest that others keep using well: where a thousand
// callers come at once, the last waits for all before it, and to let it pass unasked
// would lift the limits just when they are needed.
const waitMost = time.Second

// seat holds one guest. Who made busy true owns the guest until it makes it false.
type seat struct {
	_     [64]byte
	busy  atomic.Bool
	_     [60]byte
	group *group
	guest *guest // nil: it could not be built again, see err
	err   error
}

// group is a set of seats that any of its callers may use.
type group struct {
	seats   []seat
	next    atomic.Uint32 // where to look first; spreads callers, need not be exact
	waiters atomic.Int32
	turns   atomic.Uint64 // hooks that ended well while somebody waited
	freed   chan struct{} // one token a seat; a waiter takes one and looks again
}

func newGroup(n int) *group {
	g := &group{seats: make([]seat, n), freed: make(chan struct{}, n)}
	for i := range g.seats {
		g.seats[i].group = g
	}
	return g
}

// try returns a free seat, nil where there is none.
func (g *group) try() *seat {
	if len(g.seats) == 1 {
		if s := &g.seats[0]; s.busy.CompareAndSwap(false, true) {
			return s
		}
		return nil
	}
	at := int(g.next.Load())
	for i := range g.seats {
		s := &g.seats[(at+i)%len(g.seats)]
		if !s.busy.Load() && s.busy.CompareAndSwap(false, true) {
			return s
		}
	}
	return nil
}

// wait returns a free seat, or nil when stop closes, or after so long in which no hook
// ended well, though the process had the processor for as long. A wait of 0 has no end.
func (g *group) wait(d time.Duration, stop <-chan struct{}) *seat {
	g.waiters.Add(1)
	defer g.waiters.Add(-1)
	var over <-chan time.Time
	var t *time.Timer
	turns, until, cpu := g.turns.Load(), time.Now().Add(waitMost), natives.ProcessTime()
	if d > 0 {
		t = time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	for {
		// After the count went up: who frees a seat from here on sends a token.
		if s := g.try(); s != nil {
			return s
		}
		select {
		case <-g.freed:
		case <-over:
			now, used := g.turns.Load(), natives.ProcessTime()
			if now == turns && used-cpu >= d || time.Now().After(until) {
				return g.try()
			}
			turns, cpu = now, used
			t.Reset(d)
		case <-stop:
			return nil
		}
	}
}

// finish is release after a hook that ended well.
func (s *seat) finish() {
	if s.group.waiters.Load() > 0 {
		s.group.turns.Add(1)
	}
	s.release()
}

// release frees a seat and tells one waiter.
func (s *seat) release() {
	s.busy.Store(false)
	if s.group.waiters.Load() > 0 {
		select {
		case s.group.freed <- struct{}{}:
		default:
		}
	}
}
