package policy

import "slices"

// Chain asks several policies in order and merges what they answer: the first
// deny ends it; of delays the longest counts, of upstreams the first named, of
// timeouts the shortest; key, cost, priority and headers are the last writer's and
// are seen by those after it. A Chain is immutable and safe for concurrent use;
// nil is the empty chain, which has no opinion.
type Chain struct {
	members []*Member
	hooks   Hooks
	scalars []string // the union of what the members read of bodies
}

// NewChain returns the chain of ms in the order given.
func NewChain(ms ...*Member) *Chain {
	c := &Chain{members: ms}
	for _, m := range ms {
		c.hooks |= m.hooks
		for _, name := range m.body {
			if !slices.Contains(c.scalars, name) {
				c.scalars = append(c.scalars, name)
			}
		}
	}
	return c
}

// Scalars names the JSON scalars of bodies to extract for r: all that the members
// read, if one of those that read any is asked about r; else none. The slice must not
// be changed; it is the same one for the life of the chain.
func (c *Chain) Scalars(r *Request) []string {
	if c == nil || len(c.scalars) == 0 {
		return nil
	}
	for _, m := range c.members {
		if len(m.body) > 0 && m.match.Matches(r) {
			return c.scalars
		}
	}
	return nil
}

// Members lists the policies in order. The slice must not be changed.
func (c *Chain) Members() []*Member {
	if c == nil {
		return nil
	}
	return c.members
}

// Hooks is the union of the members' hooks.
func (c *Chain) Hooks() Hooks {
	if c == nil {
		return 0
	}
	return c.hooks
}

// Scratch is the memory that a chain works in, so that asking allocates nothing.
// The asker keeps one for each operation in hand. The zero value is ready.
type Scratch struct{ d Decision }

// OnRequest asks before an attempt. d must be zero; it receives the merged
// answer. r.Key, r.Cost and r.Priority are changed as the members say.
func (c *Chain) OnRequest(r *Request, d *Decision, s *Scratch) {
	if c == nil || !c.hooks.Has(HookRequest) {
		return
	}
	for _, m := range c.members {
		if !m.hooks.Has(HookRequest) || !m.match.Matches(r) {
			continue
		}
		s.d.Reset()
		m.ask(HookRequest, r, r.Now, &s.d, func(p Policy, d *Decision) error { return p.OnRequest(r, d) })
		if !s.d.IsZero() {
			s.d.Policy = m.Name()
			merge(r, d, &s.d)
			if d.Action == ActionDeny {
				return
			}
		}
	}
}

// OnRoute asks for an upstream; the first that names one, or denies, decides. It
// returns the member that did, so that the asker can report an upstream that does not
// exist. d.Action is ActionDeny for a denial.
func (c *Chain) OnRoute(r *Request, upstreams []Upstream, d *Decision, s *Scratch) *Member {
	if c == nil || !c.hooks.Has(HookRoute) {
		return nil
	}
	for _, m := range c.members {
		if !m.hooks.Has(HookRoute) || !m.match.Matches(r) {
			continue
		}
		s.d.Reset()
		m.ask(HookRoute, r, r.Now, &s.d, func(p Policy, d *Decision) error { return p.OnRoute(r, upstreams, d) })
		switch {
		case s.d.Action == ActionDeny:
			s.d.Policy = m.Name()
			merge(r, d, &s.d)
			return m
		case s.d.Upstream != "":
			d.Upstream, d.Policy = s.d.Upstream, m.Name()
			return m
		}
	}
	return nil
}

// OnResponse shows an answer at its headers to every member. The first that
// answers retry decides; d then says when and where to.
func (c *Chain) OnResponse(r *Request, res *Response, d *Decision, s *Scratch) {
	if c == nil || !c.hooks.Has(HookResponse) {
		return
	}
	for _, m := range c.members {
		if !m.hooks.Has(HookResponse) || !m.match.Matches(r) {
			continue
		}
		s.d.Reset()
		m.ask(HookResponse, r, r.Now, &s.d, func(p Policy, d *Decision) error { return p.OnResponse(r, res, d) })
		if s.d.Action == ActionRetry && d.Action == ActionNone {
			d.Action, d.Delay, d.Upstream, d.Reason, d.Policy = ActionRetry, s.d.Delay, s.d.Upstream, s.d.Reason, m.Name()
		}
	}
}

// OnDone shows the end of a started attempt to every member.
func (c *Chain) OnDone(r *Request, res *Response) {
	if c == nil || !c.hooks.Has(HookDone) {
		return
	}
	for _, m := range c.members {
		if m.hooks.Has(HookDone) && m.match.Matches(r) {
			m.ask(HookDone, r, r.Now, nil, func(p Policy, _ *Decision) error { return p.OnDone(r, res) })
		}
	}
}

// OnTick tells every member that a second has passed.
func (c *Chain) OnTick(t *Tick) {
	if c == nil || !c.hooks.Has(HookTick) {
		return
	}
	for _, m := range c.members {
		if m.hooks.Has(HookTick) {
			m.ask(HookTick, nil, t.Now, nil, func(p Policy, _ *Decision) error { return p.OnTick(t) })
		}
	}
}

// merge adds what one member said to the answer so far.
func merge(r *Request, d, one *Decision) {
	switch one.Action {
	case ActionDeny:
		d.Action, d.Status, d.RetryAfter = ActionDeny, one.Status, one.RetryAfter
		d.Reason, d.Limit, d.Policy = one.Reason, one.Limit, one.Policy
		d.Where = one.Where
	case ActionDelay:
		if d.Action != ActionDelay || one.Delay > d.Delay {
			d.Action, d.Delay = ActionDelay, one.Delay
			d.Reason, d.Limit, d.Policy = one.Reason, one.Limit, one.Policy
			d.Where = one.Where
		}
	case ActionAllow, ActionRoute:
		if d.Action == ActionNone || d.Action == ActionAllow {
			d.Action, d.Policy, d.Where = one.Action, one.Policy, one.Where
			if one.Reason != "" {
				d.Reason = one.Reason
			}
			if one.Limit.Name != "" {
				d.Limit = one.Limit
			}
		}
	}
	if one.Upstream != "" && d.Upstream == "" {
		d.Upstream = one.Upstream
	}
	if one.Timeout > 0 && (d.Timeout == 0 || one.Timeout < d.Timeout) {
		d.Timeout = one.Timeout
	}
	if one.Key != "" {
		d.Key, r.Key = one.Key, one.Key
	}
	if one.HasCost {
		d.Cost, d.HasCost, r.Cost = one.Cost, true, one.Cost
	}
	if one.HasPriority {
		d.Priority, d.HasPriority, r.Priority = one.Priority, true, one.Priority
	}
	for _, h := range one.Headers {
		d.setHeader(h)
	}
}

func (d *Decision) setHeader(h Header) {
	for i := range d.Headers {
		if equalFold(d.Headers[i].Name, h.Name) {
			d.Headers[i] = h
			return
		}
	}
	d.Headers = append(d.Headers, h)
}

// equalFold compares two ASCII field names.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
