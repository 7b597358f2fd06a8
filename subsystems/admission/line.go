package admission

import (
	"fmt"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
)

// A policy's concurrency limiter may have a line. Its places are taken when the hook
// asks, so that the order is that of asking, and an operation that has served its
// wait stands in line here until the units are granted.

// OnLetGo has fn told, in place of the driver's goroutines, of operations that stand in
// a limiter's line and are to be woken. It is called before the first operation begins.
// Units may come free in any Core, so that fn may be called by any goroutine.
func (c *Core) OnLetGo(fn func(*Op)) { c.letGo = fn }

// LetGo implements policy.Waiter: limiters call it. Like any signal it may come late.
func (op *Op) LetGo() {
	if fn := op.core.letGo; fn != nil {
		fn(op)
		return
	}
	op.signal()
}

// lines returns an entry that still waits in line and one that lost its place, nil for
// none.
func (op *Op) lines() (waits, lost *policy.Entry) {
	if op.inLine == 0 {
		return nil, nil
	}
	for i := range op.entries {
		e := &op.entries[i]
		if e.Place == nil {
			continue
		}
		switch e.Place.State() {
		case policy.PlaceWaits:
			if waits == nil || e.Place.Until() < waits.Place.Until() {
				waits = e
			}
		case policy.PlaceLost, policy.PlaceRefused:
			lost = e
		case policy.PlaceGranted, policy.PlaceLeft:
		}
	}
	return waits, lost
}

// stand lets op wait for its places in line, or enter where it has none left.
func (c *Core) stand(now int64, op *Op) Verdict {
	if op.inLine == 0 {
		return c.enter(now, op)
	}
	return c.standInLine(now, op)
}

func (c *Core) standInLine(now int64, op *Op) Verdict {
	if op.dry() {
		for i := range op.entries {
			if e := &op.entries[i]; e.InLine > 0 && op.dryBehind == "" {
				op.dryBehind = e.Limiter
			}
		}
		return c.enter(now, op)
	}
	waits, lost := op.lines()
	switch {
	case lost != nil:
		return c.denyLine(now, op, lost)
	case waits == nil:
		return c.enter(now, op)
	}
	s := c.set.Load()
	until := min(waits.Place.Until(), now+int64(op.patience(now, s.MaxWait, true)))
	c.mu.Lock()
	if until <= now || c.queued >= s.QueueMax {
		c.mu.Unlock()
		return c.denyLine(now, op, waits)
	}
	op.state, op.since, op.until = stateInLine, now, until
	c.queued++
	op.key.queued++
	c.mu.Unlock()
	c.counts.waits.Add(1)
	return Verdict{Queued, until}
}

// standOn is stand for one that stands in line already.
func (c *Core) standOn(now int64, op *Op) Verdict {
	waits, lost := op.lines()
	if lost == nil && waits != nil && now < op.until {
		return Verdict{Queued, op.until}
	}
	c.mu.Lock()
	c.leaveQueueLocked(now, op)
	c.mu.Unlock()
	switch {
	case lost != nil:
		return c.denyLine(now, op, lost)
	case waits != nil:
		return c.denyLine(now, op, waits)
	}
	return c.enter(now, op)
}

// denyLine denies op what it waits for in vain.
func (c *Core) denyLine(now int64, op *Op, e *policy.Entry) Verdict {
	d := Denial{Kind: KindQueue, Policy: e.Policy, Limit: limitInfo(e)}
	switch st := e.Place.State(); {
	case st == policy.PlaceRefused:
		d.Kind, d.RetryAfter = KindLimit, time.Duration(e.Place.Until()-now)
		if e.Policy != "" {
			d.Kind = KindPolicy
		}
		d.Reason = fmt.Sprintf("the store that counts %s grants nothing for now", e.Limiter)
	case st == policy.PlaceLost && now < e.Place.Until():
		d.Reason = fmt.Sprintf("the line of %s is full, and somebody more urgent came", e.Limiter)
	case ofLease(e.Place):
		d.Reason = fmt.Sprintf("the store that counts %s did not answer in time", e.Limiter)
	default:
		d.Reason = fmt.Sprintf("no slot of %s came free in time", e.Limiter)
	}
	return c.deny(now, op, d)
}

func ofLease(p policy.Place) bool {
	place, ok := p.(*limit.Place)
	return ok && place.OfLease()
}
