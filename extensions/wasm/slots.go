package wasm

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

const (
	spins       = 4                      // looks at the slots before a hook goes to sleep
	retryRefill = 100 * time.Millisecond // after an instance could not be made
)

// slot owns one instance for ever: instances are never in a sync.Pool, because the runtime links them until they are closed.
// Whoever set busy owns the fields behind it.
type slot struct {
	busy   atomic.Uint32
	broken bool     // the guest trapped
	guest  *guest   // nil: it could not be made
	own    gate     // for those who want this slot and no other
	pool   *gate    // for those who want any; nil: nobody does
	_      [64]byte // slots are written by different processors
}

// gate is where hooks, ticks and Close wait. A waiter counts itself before it looks, and a holder looks for waiters after it
// let go, so none is missed; whoever is faster than the one who was woken wakes it again.
type gate struct {
	waiters atomic.Int32
	turns   atomic.Uint64 // hooks that ended well while somebody waited
	free    chan struct{} // a token says: look again
}

func (g *gate) wake() {
	if g.waiters.Load() == 0 {
		return
	}
	select {
	case g.free <- struct{}{}:
	default: // as many are awake already as there are slots
	}
}

// turn notes that a hook ended well.
func (g *gate) turn() {
	if g.waiters.Load() > 0 {
		g.turns.Add(1)
	}
}

// waitMost bounds the wait for guests that others keep using well: where a thousand callers come at once, the last waits for
// all before it, and to let it pass unasked would lift the limits just when they are needed.
const waitMost = time.Second

func newSlots(n int, shared bool) []slot {
	slots := make([]slot, n)
	pool := &gate{free: make(chan struct{}, n)}
	for i := range slots {
		if slots[i].own.free = make(chan struct{}, 1); shared {
			slots[i].pool = pool
		}
	}
	return slots
}

// acquire takes a slot with a guest. It waits as long as hooks end well or the process gets no processor, and for the budget
// once neither is so.
func (p *Policy) acquire(hook policy.Hook, key string) (*slot, error) {
	candidates := p.slots
	if n := len(p.slots); p.options.Isolation == policy.IsolationKey && n > 1 {
		i := int(natives.Hash(key) % uint64(n))
		candidates = p.slots[i : i+1]
	}
	if s := p.scan(candidates); s != nil {
		return s, nil
	}
	return p.wait(hook, candidates)
}

// scan takes the first free slot, from a random one on so that processors do not meet.
func (p *Policy) scan(slots []slot) *slot {
	i := 0
	if len(slots) > 1 {
		i = int(rand.Uint32N(uint32(len(slots))))
	}
	for range slots {
		s := &slots[i]
		if s.busy.Load() == 0 && s.busy.CompareAndSwap(0, 1) {
			if s.guest != nil {
				return s
			}
			p.replace(s)
		}
		if i++; i == len(slots) {
			i = 0
		}
	}
	return nil
}

// wait is acquire where all is in use.
func (p *Policy) wait(hook policy.Hook, slots []slot) (*slot, error) {
	gate := slots[0].pool
	if gate == nil {
		gate = &slots[0].own
	}
	gate.waiters.Add(1)
	defer gate.waiters.Add(-1)
	for range spins {
		if s := p.scan(slots); s != nil {
			return s, nil
		}
		runtime.Gosched()
	}
	timer := time.NewTimer(p.options.Budget)
	defer timer.Stop()
	turns, until, cpu := gate.turns.Load(), time.Now().Add(waitMost), natives.ProcessTime()
	for {
		if s := p.scan(slots); s != nil {
			return s, nil
		}
		select {
		case <-gate.free:
		case <-p.done:
			return nil, policy.ErrClosed
		case <-timer.C:
			now, used := gate.turns.Load(), natives.ProcessTime()
			if now == turns && used-cpu >= p.options.Budget || time.Now().After(until) {
				return nil, p.busyFault(hook)
			}
			turns, cpu = now, used
			timer.Reset(p.options.Budget)
		}
	}
}

func (p *Policy) busyFault(hook policy.Hook) error {
	err := errors.New("no guest became free within " + p.options.Budget.String())
	if cause := p.refillErr.Load(); cause != nil {
		err = *cause
	}
	return &policy.Fault{Policy: p.name, Hook: hook, Kind: policy.FaultBusy, Err: err}
}

// release gives a slot back. A guest that trapped, or whose memory grew too large, is replaced first.
func (p *Policy) release(s *slot) {
	if s.broken || uint64(s.guest.memory.Size()) > p.recycleAt && p.options.Isolation == policy.IsolationPool {
		p.replace(s)
		return
	}
	s.own.turn()
	if s.pool != nil {
		s.pool.turn()
	}
	s.free()
}

func (s *slot) free() {
	s.busy.Store(0)
	s.own.wake()
	if s.pool != nil {
		s.pool.wake()
	}
}

// replace makes a new guest for a slot that the caller holds, beside the path, and gives the slot back then.
func (p *Policy) replace(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		s.free()
		return
	}
	p.refills.Go(func() {
		defer s.free()
		if s.guest != nil {
			s.guest.close()
			s.guest = nil
		}
		g, err := p.newGuest()
		if err != nil {
			p.refillErr.Store(&err)
			p.log.Error("a guest could not be made anew", "policy", p.name, "error", err)
			select { // do not try for every hook that comes
			case <-time.After(retryRefill):
			case <-p.done:
			}
			return
		}
		p.refillErr.Store(nil)
		s.guest, s.broken = g, false
	})
}

// take waits for one slot until stop says something; nil waits as long as it takes.
func (s *slot) take(stop <-chan time.Time) bool {
	s.own.waiters.Add(1)
	defer s.own.waiters.Add(-1)
	for !s.busy.CompareAndSwap(0, 1) {
		select {
		case <-s.own.free:
		case <-stop:
			return false
		}
	}
	return true
}

// shut closes everything; no hook runs.
func (p *Policy) shut() {
	for i := range p.slots {
		if g := p.slots[i].guest; g != nil {
			g.close()
		}
	}
	if p.runtime == nil {
		return
	}
	closeQuietly(p.runtime)
	if p.compiled != nil {
		// The code stays mapped as long as another generation uses it; giving it up cannot fail.
		_ = p.compiled.Close(context.Background())
	}
}
