package admission

import (
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Started says that the action of an admitted operation begins now. What the
// attempt took is kept from here on.
func (c *Core) Started(now int64, op *Op) {
	if op.state != stateAdmitted {
		panic("admission: Started without Go")
	}
	op.state, op.sent = stateStarted, now
	if op.Group != nil && op.upstream >= 0 {
		op.Group.Begin(op.upstream)
	}
	c.counts.started.Add(1)
}

// Settle ends the attempt in hand: the policies' onDone, the release of what it
// held, breaker and live numbers. It appends to dst the queued operations that may
// go now. After it the op is to be freed, or Again is called where Answered said so.
// res.Upstream and res.Sent are filled in.
func (c *Core) Settle(now int64, op *Op, res *policy.Response, dst []*Op) []*Op {
	if op.state != stateStarted {
		panic("admission: Settle without Started")
	}
	c.fill(op, res)
	op.Req.Now = now
	c.onDone(op, res)
	c.ended(now, op, res)
	op.release(now)
	took := waitOf(now, op.sent)
	how := outcomeOf(res)
	c.settleUpstream(now, op, took, how)
	if c.latency != nil {
		c.latency.Observe(took)
	}
	s := c.set.Load()
	c.mu.Lock()
	if how != neutral || res.Status == statusTooMany {
		op.key.window.Observe(now, took, how == failed)
	}
	op.key.inFlight--
	op.key.stale = true
	c.countEndLocked(how, res)
	c.settleBreakerLocked(now, s, op, how)
	dst = c.freeLocked(now, op, dst)
	if op.again {
		op.state = stateBetween
	} else {
		op.state = stateEnded
		c.keys.unref(op.key)
		op.key = nil
	}
	c.mu.Unlock()
	return dst
}

func (c *Core) onDone(op *Op, res *policy.Response) {
	if !c.slot.Current().Chain().Hooks().Has(policy.HookDone) {
		return
	}
	if g := c.leased(); g != nil {
		defer c.release(g)
		g.Chain().OnDone(&op.Req, res)
	}
}

func (c *Core) settleUpstream(now int64, op *Op, took time.Duration, how outcome) {
	if op.Group == nil || op.upstream < 0 {
		return
	}
	if how == neutral {
		op.Group.Abandon(op.upstream)
	} else {
		op.Group.End(op.upstream, now, took, how == failed)
	}
	if op.again {
		op.tried.Add(op.upstream)
	}
}

func (c *Core) settleBreakerLocked(now int64, s *settings, op *Op, how outcome) {
	b := &op.key.breaker
	was := b.state
	if how == failed && op.again && op.Group != nil && op.Group.Len() > 1 {
		how = neutral // one upstream failed, and the key goes on with another
	}
	if how == neutral {
		b.leave(op.probe)
	} else {
		b.outcome(now, &s.Breaker, op.probe, how == failed)
	}
	op.probe = 0
	switch {
	case was == breakerClosed && b.state != breakerClosed:
		c.keys.broken.Add(1)
		c.counts.breakerOpened.Add(1)
	case was != breakerClosed && b.state == breakerClosed:
		c.keys.broken.Add(-1)
	}
}

func (c *Core) countEndLocked(how outcome, res *policy.Response) {
	c.ends.inFlight--
	switch {
	case how == succeeded:
		c.ends.succeeded++
	case how == failed:
		c.ends.failed++
	case res.Error == policy.ErrorCanceled:
		c.ends.canceled++
	}
}

// fill completes what the core knows better than the caller.
func (c *Core) fill(op *Op, res *policy.Response) {
	res.Sent = op.sent
	if op.Group != nil && op.upstream >= 0 {
		res.Upstream = op.Group.Upstream(op.upstream).Name
	}
}
