package admission

import "github.com/gaia-host/gaia/extensions/policy"

// gate counts the operations that run at one level under one key, and queues those
// that find it full: the more urgent first, and in order of arrival among equals.
// A gate exists only while somebody is in it or waits. Guarded by the core's mutex.
type gate struct {
	level    int
	key      string
	inFlight int64
	waiting  int
	lists    *[policy.MaxPriority + 1]opList
	nextFree *gate
}

// opList is a list of queued operations in order of arrival.
type opList struct{ head, tail *Op }

// push adds op in the order of its arrival. New ones go to the end at once; those
// that come from another gate are old and look for their place.
func (g *gate) push(op *Op) {
	if g.lists == nil {
		g.lists = new([policy.MaxPriority + 1]opList)
	}
	l := &g.lists[clampPriority(op.Req.Priority)]
	after := l.tail
	for after != nil && after.seq > op.seq {
		after = after.prev
	}
	op.prev = after
	if after == nil {
		op.next, l.head = l.head, op
	} else {
		op.next, after.next = after.next, op
	}
	if op.next == nil {
		l.tail = op
	} else {
		op.next.prev = op
	}
	op.queue = g
	g.waiting++
}

func (g *gate) remove(op *Op) {
	l := &g.lists[clampPriority(op.Req.Priority)]
	if op.prev == nil {
		l.head = op.next
	} else {
		op.prev.next = op.next
	}
	if op.next == nil {
		l.tail = op.prev
	} else {
		op.next.prev = op.prev
	}
	op.prev, op.next, op.queue = nil, nil, nil
	g.waiting--
}

func (g *gate) first() *Op {
	if g.waiting == 0 {
		return nil
	}
	for p := policy.MaxPriority; p >= 0; p-- {
		if op := g.lists[p].head; op != nil {
			return op
		}
	}
	return nil
}

func clampPriority(p int) int { return min(max(p, 0), policy.MaxPriority) }

// gates are the gates of all levels. Guarded by the core's mutex.
type gates struct {
	byKey [levels]map[string]*gate
	free  *gate
	kept  int // length of free
}

const maxFreeGates = 1024

func (gs *gates) init() {
	for level := range gs.byKey {
		gs.byKey[level] = make(map[string]*gate)
	}
}

func (gs *gates) open(level int, key string) *gate {
	g := gs.byKey[level][key]
	if g != nil {
		return g
	}
	if g = gs.free; g != nil {
		gs.free = g.nextFree
		gs.kept--
		*g = gate{lists: g.lists}
	} else {
		g = &gate{}
	}
	g.level, g.key = level, key
	gs.byKey[level][key] = g
	return g
}

// close forgets a gate that nobody uses.
func (gs *gates) close(g *gate) {
	if g.inFlight > 0 || g.waiting > 0 || gs.byKey[g.level][g.key] != g {
		return
	}
	delete(gs.byKey[g.level], g.key)
	if gs.kept < maxFreeGates {
		g.nextFree, gs.free = gs.free, g
		gs.kept++
	}
}

// gateKey is what op counts on at a level.
func (op *Op) gateKey(level int) string {
	switch level {
	case levelGlobal:
		return ""
	case levelKey:
		return op.Req.Key
	}
	return op.upstreamKey()
}

// upstreamKey is what limits for each upstream count on.
func (op *Op) upstreamKey() string {
	if op.Group != nil && op.upstream >= 0 {
		return op.Group.Upstream(op.upstream).ID
	}
	return op.Req.Host
}

// sharesSlot reports whether op takes no slot of its own at a level.
func (op *Op) sharesSlot(level int) bool { return op.Nested && level == levelGlobal }

// blockingLocked returns a full gate in op's way, nil for none: the narrowest first.
func (c *Core) blockingLocked(s *settings, op *Op) *gate {
	if !s.bounded {
		return nil
	}
	for level := levels - 1; level >= 0; level-- {
		bound := s.slots(level, op.gateKey(level))
		if bound == 0 || op.sharesSlot(level) {
			continue
		}
		if g := c.gates.byKey[level][op.gateKey(level)]; g != nil && g.inFlight >= bound {
			return g
		}
	}
	return nil
}

// admitLocked takes op's slots, which are free, and its place as a probe.
func (c *Core) admitLocked(s *settings, op *Op) {
	if s.bounded {
		for level := range levels {
			if s.slots(level, op.gateKey(level)) > 0 && !op.sharesSlot(level) {
				g := c.gates.open(level, op.gateKey(level))
				g.inFlight++
				op.holds, op.held[level] = true, g
			}
		}
	}
	op.probe = op.key.breaker.enter(&s.Breaker)
	op.state = stateAdmitted
	op.key.inFlight++
	c.ends.inFlight++
}

// freeLocked gives op's slots back and lets go whoever can go now.
func (c *Core) freeLocked(now int64, op *Op, dst []*Op) []*Op {
	if !op.holds {
		return dst
	}
	held := op.held
	op.holds, op.held = false, [levels]*gate{}
	for _, g := range held {
		if g != nil {
			g.inFlight--
		}
	}
	s := c.set.Load()
	for level := levels - 1; level >= 0; level-- {
		if held[level] != nil {
			dst = c.drainLocked(now, s, held[level], dst)
		}
	}
	return dst
}

// drainLocked lets operations go from the queue of g while it has room. One that
// another gate holds up moves to that one's queue and keeps its place in time.
func (c *Core) drainLocked(now int64, s *settings, g *gate, dst []*Op) []*Op {
	for {
		bound := s.slots(g.level, g.key)
		if bound > 0 && g.inFlight >= bound {
			return dst
		}
		op := g.first()
		if op == nil {
			c.gates.close(g)
			return dst
		}
		g.remove(op)
		if other := c.blockingLocked(s, op); other != nil && other != g {
			other.push(op)
			continue
		}
		c.leaveQueueLocked(now, op)
		if op.until <= now || op.key.breaker.closedFor(now, &s.Breaker) > 0 {
			op.state = stateRefused
		} else {
			c.admitLocked(s, op)
		}
		dst = append(dst, op)
	}
}

// leaveQueueLocked counts op, which is in no gate's list any more, as out of the queue.
func (c *Core) leaveQueueLocked(now int64, op *Op) {
	c.queued--
	op.key.queued--
	d := waitOf(now, op.since)
	op.waited += d
	c.counts.waitNanos.Add(int64(d))
}
