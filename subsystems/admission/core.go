package admission

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
)

// Options are what a Core is made of and keeps.
type Options struct {
	Subsystem string       // one of policy.Subsystems
	Slot      *policy.Slot // the policies; nil: none
	Config    Config
	// Random gives numbers in [0, 1) for jitter; nil takes math/rand. It must be
	// safe for concurrent use unless the Core is driven by one goroutine.
	Random func() float64
	// Alone says that one goroutine drives the Core, and that nobody else asks it, its
	// Slot or its Ops anything meanwhile, as in a simulation: then it takes no locks and
	// no leases, and keeps no Latency.
	Alone bool
}

// guard is the mutex of a Core, which one that is alone does without.
type guard struct {
	mutex sync.Mutex
	alone bool
}

// Lock locks the mutex.
func (g *guard) Lock() {
	if !g.alone {
		g.mutex.Lock()
	}
}

// Unlock unlocks it.
func (g *guard) Unlock() {
	if !g.alone {
		g.mutex.Unlock()
	}
}

// Core admits the operations of one subsystem. It is safe for concurrent use and
// needs no closing; an Op belongs to one goroutine at a time.
type Core struct {
	subsystem string
	slot      *policy.Slot
	random    func() float64
	set       atomic.Pointer[settings]
	closed    atomic.Bool
	ops       sync.Pool
	spare     []*Op          // alone: instead of the pool
	scratch   policy.Scratch // alone: instead of each Op's
	counts    counters
	latency   *metrics.Histogram // nil: alone
	observer  Observer           // nil: nobody looks
	letGo     func(*Op)          // nil: signals

	mu     guard // guards what follows
	keys   keyTable
	gates  gates
	queued int
	seq    uint64
	budget budget
	ends   ends
}

// New returns a Core, or what is wrong with its Config.
func New(o Options) (*Core, error) {
	s, err := newSettings(o.Subsystem, o.Config, nil)
	if err != nil {
		return nil, err
	}
	c := &Core{subsystem: o.Subsystem, slot: o.Slot, random: o.Random}
	if c.mu.alone = o.Alone; !o.Alone {
		c.latency = metrics.NewHistogram()
	}
	if c.slot == nil {
		c.slot = &policy.Slot{}
	}
	if c.random == nil {
		c.random = rand.Float64
	}
	c.set.Store(s)
	c.keys.init(maxKeys)
	c.gates.init()
	c.budget.tokens = s.Retry.full()
	c.ops.New = func() any { return c.makeOp() }
	return c, nil
}

// SetConfig puts cfg in force. Limits that stay keep their counts, and those that it
// does not change keep what SetLimit made of them. It appends to
// dst the queued operations that may go now. On an error nothing has changed.
func (c *Core) SetConfig(now int64, cfg Config, dst []*Op) ([]*Op, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	prev, declared := c.set.Load(), cfg.Limits
	cfg.keepAltered(prev)
	s, err := newSettings(c.subsystem, cfg, prev)
	if err != nil {
		return dst, err
	}
	s.declared = declared
	return c.putLocked(now, s, dst), nil
}

// putLocked puts s in force and lets go whom it no longer holds up.
func (c *Core) putLocked(now int64, s *settings, dst []*Op) []*Op {
	c.set.Store(s)
	if !s.Breaker.Enabled {
		c.keys.mend()
	}
	for level := range c.gates.byKey {
		for _, g := range c.gates.byKey[level] {
			dst = c.drainLocked(now, s, g, dst)
		}
	}
	return dst
}

// Config returns the configuration in force.
func (c *Core) Config() Config { return c.set.Load().Config }

// Close denies every operation that begins from now on. Those under way go on.
func (c *Core) Close() { c.closed.Store(true) }

// Slot returns the slot that the policies are leased from.
func (c *Core) Slot() *policy.Slot { return c.slot }

// Begin asks for the first attempt of op at now.
func (c *Core) Begin(now int64, op *Op) Verdict {
	op.base.key, op.base.cost, op.base.priority = op.Req.Key, op.Req.Cost, op.Req.Priority
	op.Req.Subsystem, op.Req.Ledger, op.Req.Attempt = c.subsystem, op, 0
	c.mu.Lock()
	if op.dry() {
		op.key = c.keys.look(op.Req.Key)
	} else {
		op.key = c.keys.ref(op.Req.Key)
		c.budget.deposit(now, &c.set.Load().Retry)
		c.ends.requests++
	}
	op.Req.Stats = op.key.stats(now)
	c.mu.Unlock()
	if c.closed.Load() {
		return c.denyClosed(now, op)
	}
	return c.attempt(now, op)
}

// denyClosed is the denial of an operation that begins after Close.
func (c *Core) denyClosed(now int64, op *Op) Verdict {
	op.Req.Attempt, op.Req.Now = 1, now
	v := c.deny(now, op, Denial{Kind: KindClosed, Status: statusUnavailable, Reason: reasonClosed})
	if c.observer != nil && !op.dry() {
		c.observer.Decided(now, op, v)
	}
	return v
}

// Wake moves on an operation whose wait is over or that was let go. It may be
// called at any time: too early, it repeats the verdict.
func (c *Core) Wake(now int64, op *Op) Verdict {
	attempt := op.Req.Attempt
	v := c.wake(now, op)
	if v.Kind == Denied && op.Req.Attempt == attempt {
		c.ended(now, op, nil)
	}
	return v
}

func (c *Core) wake(now int64, op *Op) Verdict {
	s := c.set.Load()
	c.mu.Lock()
	if op.state == stateQueued && now >= op.until {
		op.queue.remove(op)
		c.leaveQueueLocked(now, op)
		op.state = stateRefused
	}
	st, until, closedFor := op.state, op.until, op.key.breaker.closedFor(now, &s.Breaker)
	c.mu.Unlock()
	switch st {
	case stateWaiting, stateBackoff:
		if _, lost := op.lines(); now < until && lost == nil {
			return Verdict{Wait, until}
		}
		c.endWait(now, op)
		if st == stateBackoff {
			return c.attempt(now, op)
		}
		return c.stand(now, op)
	case stateInLine:
		return c.standOn(now, op)
	case stateQueued:
		return Verdict{Queued, until}
	case stateRefused:
		if closedFor > 0 {
			return c.denyBroken(now, op, closedFor)
		}
		return c.deny(now, op, Denial{Kind: KindQueue, Reason: "no slot came free in time"})
	case stateDenied:
		return Verdict{Kind: Denied}
	}
	return Verdict{Kind: Go}
}

// endWait ends a wait of op at now.
func (c *Core) endWait(now int64, op *Op) {
	d := waitOf(now, op.since)
	op.waited += d
	c.counts.waitNanos.Add(int64(d))
	c.mu.Lock()
	op.key.queued--
	c.mu.Unlock()
	c.counts.waiting.Add(-1)
}

// waitFor makes op wait until then in the state given.
func (c *Core) waitFor(now, until int64, op *Op, s state) Verdict {
	op.state, op.since, op.until = s, now, until
	c.counts.waits.Add(1)
	c.counts.waiting.Add(1)
	c.mu.Lock()
	op.key.queued++
	c.mu.Unlock()
	return Verdict{Wait, until}
}

// enter takes the concurrency slots of op, or queues it for them.
func (c *Core) enter(now int64, op *Op) Verdict {
	s := c.set.Load()
	if op.dry() {
		return c.enterDry(s, op)
	}
	c.mu.Lock()
	if closedFor := op.key.breaker.closedFor(now, &s.Breaker); closedFor > 0 {
		c.mu.Unlock()
		return c.denyBroken(now, op, closedFor)
	}
	g := c.blockingLocked(s, op)
	if g == nil {
		c.admitLocked(s, op)
		c.mu.Unlock()
		return Verdict{Kind: Go}
	}
	return c.queueLocked(now, s, op, g)
}

// enterDry notes what the slots of op would have it wait for.
func (c *Core) enterDry(s *settings, op *Op) Verdict {
	c.mu.Lock()
	if g := c.blockingLocked(s, op); g != nil {
		op.dryBehind = s.bound(g.level, g.key).name
	}
	c.mu.Unlock()
	op.state = stateEnded
	return Verdict{Kind: Go}
}

// queueLocked puts op in the queue of g, which is full, or denies it. It unlocks.
func (c *Core) queueLocked(now int64, s *settings, op *Op, g *gate) Verdict {
	left := op.patience(now, s.MaxWait, true)
	if left <= 0 || c.queued >= s.QueueMax {
		c.mu.Unlock()
		return c.deny(now, op, Denial{Kind: KindQueue, Reason: "every slot of " + s.bound(g.level, g.key).name + " is taken"})
	}
	c.seq++
	op.seq = c.seq
	op.state, op.since, op.until = stateQueued, now, now+int64(left)
	g.push(op)
	c.queued++
	op.key.queued++
	until := op.until // once the lock is open somebody may let op go
	c.mu.Unlock()
	c.counts.waits.Add(1)
	return Verdict{Queued, until}
}

// Cancel ends an operation that has not started, in whatever state it is, and
// gives back all it took. It appends to dst the queued operations that may go now.
// After it the op is to be freed. It does nothing for one that was denied or ended.
func (c *Core) Cancel(now int64, op *Op, dst []*Op) []*Op {
	c.mu.Lock()
	st := op.state
	switch st {
	case stateStarted:
		c.mu.Unlock()
		panic("admission: Cancel of an operation that started")
	case stateQueued:
		op.queue.remove(op)
		c.leaveQueueLocked(now, op)
	case stateInLine:
		c.leaveQueueLocked(now, op)
	case stateAdmitted:
		op.key.inFlight--
		c.ends.inFlight--
		op.key.breaker.leave(op.probe)
		dst = c.freeLocked(now, op, dst)
	}
	op.probe = 0
	if st != stateNew && st != stateDenied {
		op.state = stateEnded
		if st != stateEnded {
			c.ends.canceled++
		}
	}
	c.mu.Unlock()
	switch st {
	case stateNew, stateDenied, stateEnded:
		return dst
	case stateWaiting, stateBackoff:
		c.endWait(now, op)
	}
	op.giveBack(now)
	if st != stateBackoff {
		c.ended(now, op, nil)
	}
	return dst
}

func waitOf(now, since int64) time.Duration { return time.Duration(max(now-since, 0)) }
