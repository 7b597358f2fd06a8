package h1

import (
	"context"
	"time"
)

// How calls are ended early: watching a context and setting a timer for each would cost
// every call for what few come to. A call that has begun stands in fresh; a sweep looks
// at what is there, twice, and only a call that is then still under way gets a watch and
// a timer of its own. So a call is ended up to sweepEvery late in its first moments, and
// at once later.

const sweepEvery = 5 * time.Millisecond

// armLocked has fresh looked at.
func (t *Transport) armLocked() {
	if t.sweeps {
		return
	}
	t.sweeps = true
	if t.sweep == nil {
		t.sweep = time.AfterFunc(sweepEvery, t.lookAfter)
		return
	}
	t.sweep.Reset(sweepEvery)
}

// lookAfter is the sweep.
func (t *Transport) lookAfter() {
	type gone struct {
		c     *conn
		cause error
	}
	var left []gone
	t.mu.Lock()
	for i := 0; i < len(t.fresh); {
		c := t.fresh[i]
		switch {
		case c.ctx.Err() != nil:
			if c.cause == nil {
				c.cause = context.Cause(c.ctx)
				left = append(left, gone{c, c.cause})
			}
			t.takeLocked(c)
		case c.seen:
			t.takeLocked(c)
			t.watchLocked(c)
		default:
			c.seen = true
			i++
		}
	}
	t.sweeps = len(t.fresh) > 0
	if t.sweeps {
		t.sweep.Reset(sweepEvery)
	}
	t.mu.Unlock()
	for _, g := range left {
		_ = g.c.raw.Close() // its exchange finds out by that
	}
}

// takeLocked takes c out of fresh.
func (t *Transport) takeLocked(c *conn) {
	if c.at < 0 {
		return
	}
	last := len(t.fresh) - 1
	moved := t.fresh[last]
	t.fresh[c.at] = moved
	moved.at = c.at
	t.fresh[last] = nil
	t.fresh = t.fresh[:last]
	c.at = -1
}

// watchLocked gives a call that takes longer its own watch, and its own timer where the
// answer is waited for.
func (t *Transport) watchLocked(c *conn) {
	turn, ctx := c.turn, c.ctx
	if ctx.Done() != nil {
		c.unwatch = context.AfterFunc(ctx, func() { c.cut(turn, context.Cause(ctx)) })
	}
	if c.waits {
		c.late = time.AfterFunc(t.c.HeaderTimeout, func() { c.cut(turn, ErrHeaderTimeout) })
	}
}

// unwatchLocked ends all that looks after the call on c.
func (t *Transport) unwatchLocked(c *conn) {
	t.takeLocked(c)
	if c.unwatch != nil {
		c.unwatch()
		c.unwatch = nil
	}
	t.answeredLocked(c)
}

func (t *Transport) answeredLocked(c *conn) {
	c.waits, c.got = false, true
	if c.late != nil {
		c.late.Stop()
		c.late = nil
	}
}

// answered says that the head of the answer has come.
func (c *conn) answered() {
	if c.t.c.HeaderTimeout == 0 {
		return
	}
	c.t.mu.Lock()
	c.t.answeredLocked(c)
	c.t.mu.Unlock()
}

// sent says that the body of the request number turn is on its way: from now on its
// answer is waited for.
func (c *conn) sent(turn uint64) {
	t := c.t
	if t.c.HeaderTimeout == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.turn != turn || c.ctx == nil || c.got {
		return // it has come, or all is over
	}
	c.late = time.AfterFunc(t.c.HeaderTimeout, func() { c.cut(turn, ErrHeaderTimeout) })
}

// ageLocked has the kept connections grow old.
func (t *Transport) ageLocked() {
	if t.ages || t.c.IdleTimeout == 0 {
		return
	}
	t.ages = true
	every := max(t.c.IdleTimeout/quarters, time.Millisecond)
	if t.aging == nil {
		t.aging = time.AfterFunc(every, t.growOld)
		return
	}
	t.aging.Reset(every)
}

// quarters is after how many parts of IdleTimeout a kept connection ends: after more
// than three quarters of it, and never after more than all of it.
const quarters = 4

func (t *Transport) growOld() {
	var old []*conn
	t.mu.Lock()
	left := false
	for _, h := range t.hosts {
		n := 0
		for _, c := range h.idle { // the oldest are the first
			c.age++
			if c.age >= quarters {
				n++
			}
		}
		old = append(old, h.idle[:n]...)
		h.idle = append(h.idle[:0], h.idle[n:]...)
		clear(h.idle[len(h.idle) : len(h.idle)+n])
		h.open -= n
		left = left || len(h.idle) > 0
		if h.open == 0 {
			delete(t.hosts, h.key)
		}
	}
	t.ages = false
	if left && !t.closed {
		t.ageLocked()
	}
	t.mu.Unlock()
	for _, c := range old {
		_ = c.net.Close() // nothing was on its way
	}
}
