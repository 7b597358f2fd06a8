package admission

import (
	"errors"
	"fmt"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
)

// decide takes op through everything up to its wait: the policies, the breaker,
// the upstream and the configured limits.
func (c *Core) decide(now int64, op *Op) Verdict {
	s := c.set.Load()
	c.prepare(now, op)
	if op.deadlineLeft(now) == 0 {
		return c.denyLate(now, op)
	}
	c.ask(now, op)
	if op.Decision.Action == policy.ActionDeny {
		return c.denyPolicy(now, op)
	}
	if c.keys.broken.Load() > 0 {
		c.mu.Lock()
		closedFor := op.key.breaker.closedFor(now, &s.Breaker)
		c.mu.Unlock()
		if closedFor > 0 {
			return c.denyBroken(now, op, closedFor)
		}
	}
	if s.rated {
		for level := range levels {
			if !c.take(now, s, op, level) {
				return c.denyLimit(now, s, op, level)
			}
		}
	} else if op.Group != nil && op.upstream < 0 {
		c.balance(now, s, op)
	}
	return c.hold(now, s, op)
}

// prepare makes op's request that of its next attempt.
func (c *Core) prepare(now int64, op *Op) {
	r := &op.Req
	r.Key, r.Cost, r.Priority = op.base.key, op.base.cost, op.base.priority
	r.Attempt++
	r.Now = now
	if r.Attempt == 1 {
		return // Begin has read its Stats, and nothing else is known yet
	}
	op.Decision.Reset()
	op.entries.reset()
	op.candidates, op.view = op.candidates[:0], op.view[:0]
	op.faults = nil
	op.full = route.Set{}
	op.upstream, op.again, op.inLine = -1, false, 0
	c.mu.Lock()
	r.Stats = op.key.stats(now)
	c.mu.Unlock()
}

// ask runs the request hook and, where it named no upstream, the route hook, under
// one lease.
func (c *Core) ask(now int64, op *Op) {
	to, by, hook := op.againTo, op.againBy, policy.HookResponse
	op.againTo, op.againBy = "", ""
	var chain *policy.Chain
	if g := c.lease(op, before, to != ""); g != nil {
		defer c.release(g)
		chain = g.Chain()
		chain.OnRequest(&op.Req, &op.Decision, c.scratchOf(op))
	}
	if op.Decision.Action == policy.ActionDeny {
		return
	}
	if op.Decision.Upstream != "" {
		to, by, hook = op.Decision.Upstream, op.Decision.Policy, policy.HookRequest
	}
	if to != "" && c.named(op, chain, to, by, hook) {
		return
	}
	op.Decision.Upstream = ""
	if op.Group == nil || !chain.Hooks().Has(policy.HookRoute) {
		return
	}
	op.view = c.upstreams(now, op, op.view[:0])
	op.answer.Reset()
	m := chain.OnRoute(&op.Req, op.view, &op.answer, c.scratchOf(op))
	if d, a := &op.Decision, &op.answer; a.Action == policy.ActionDeny {
		d.Action, d.Status, d.RetryAfter, d.Reason, d.Limit, d.Policy = a.Action, a.Status, a.RetryAfter, a.Reason, a.Limit, a.Policy
	} else if m != nil {
		c.named(op, chain, op.answer.Upstream, m.Name(), policy.HookRoute)
	}
}

// The hooks before an action, and at its answer.
const (
	before   = policy.Hooks(1<<policy.HookRequest | 1<<policy.HookRoute)
	answered = policy.Hooks(1 << policy.HookResponse)
)

// lease returns the generation in force, to be released, if it has one of the hooks or
// is wanted anyway; else nil. It notes which one decides about op.
func (c *Core) lease(op *Op, hooks policy.Hooks, anyway bool) *policy.Generation {
	g := c.slot.Current()
	if g == nil {
		return nil
	}
	if !anyway && g.Chain().Hooks()&hooks == 0 {
		op.generation = g.Number()
		return nil
	}
	if g = c.leased(); g != nil {
		op.generation = g.Number()
	}
	return g
}

// leased returns the generation in force, to be given back with release. One goroutine
// alone does not put another in force while it asks this one.
func (c *Core) leased() *policy.Generation {
	if c.mu.alone {
		return c.slot.Current()
	}
	return c.slot.Lease()
}

// release ends a lease taken with leased.
func (c *Core) release(g *policy.Generation) {
	if !c.mu.alone {
		g.Release()
	}
}

// scratchOf is what the policies work in while they are asked about op. One for all stays
// in the processor's cache.
func (c *Core) scratchOf(op *Op) *policy.Scratch {
	if c.mu.alone {
		return &c.scratch
	}
	return &op.scratch
}

// named chooses the upstream that a policy named, or reports that it does not exist.
func (c *Core) named(op *Op, chain *policy.Chain, name, by string, hook policy.Hook) bool {
	if op.Group != nil {
		if i, ok := op.Group.ByName(name); ok {
			op.upstream = i
			op.Decision.Upstream = op.Group.Upstream(i).Name
			op.consider(op.Decision.Upstream, WhyNamed)
			return true
		}
	}
	op.consider(name, WhyUnknown)
	if m := blamed(chain, by, hook); m != nil && !op.dry() {
		m.Report(hook, &policy.Fault{
			Policy: m.Name(), Hook: hook, Kind: policy.FaultUpstream,
			Err: fmt.Errorf("%w %q", errUnknownUpstream, name),
		})
	}
	return false
}

var errUnknownUpstream = errors.New("no upstream is called")

// blamed is the member of that name, else the first that has the hook.
func blamed(chain *policy.Chain, name string, hook policy.Hook) *policy.Member {
	var first *policy.Member
	for _, m := range chain.Members() {
		if m.Name() == name {
			return m
		}
		if first == nil && m.Policy().Hooks().Has(hook) {
			first = m
		}
	}
	return first
}

// upstreams appends the upstreams of op as the route hook sees them: one where an earlier
// attempt failed is not healthy, and Remaining is what its configured limits have left.
func (c *Core) upstreams(now int64, op *Op, dst []policy.Upstream) []policy.Upstream {
	had := len(dst)
	dst = op.Group.View(dst, now)
	view := dst[had:]
	for i := range view {
		view[i].Healthy = view[i].Healthy && !op.tried.Has(i)
	}
	c.fillRemaining(now, op, view)
	return dst
}

// take takes the configured rate of a level. At the upstream's level it also
// chooses the upstream, where no policy did.
func (c *Core) take(now int64, s *settings, op *Op, level int) bool {
	if level == levelUpstream && op.Group != nil && op.upstream < 0 {
		return c.balance(now, s, op)
	}
	b := s.boundOf(op, level)
	return c.takeBound(now, s, op, &b)
}

// takeBound takes the rate of b, if it limits one.
func (c *Core) takeBound(now int64, s *settings, op *Op, b *bound) bool {
	if b.rate == nil {
		return true
	}
	r, place := c.takeRate(now, op, b, s.rateWait(now, op, b))
	return c.record(now, op, b, r, place)
}

// rateWait is the longest wait that op accepts from the rate of b.
func (s *settings) rateWait(now int64, op *Op, b *bound) time.Duration {
	wait := op.patience(now, s.MaxWait, true)
	if own := b.limit.MaxWait; own >= 0 {
		wait = min(wait, own)
	}
	return wait
}

// takeRate takes the rate of b, or only looks at it for a dry operation. One that is
// shared with other hosts may have a place to wait at for their store.
func (c *Core) takeRate(now int64, op *Op, b *bound, maxWait time.Duration) (limit.Result, *limit.Place) {
	if op.dry() {
		r := b.rate.Peek(now, b.key, op.Req.Cost)
		r.OK = r.OK && r.Wait <= maxWait
		return r, nil
	}
	if line, ok := b.rate.(limit.Line); ok {
		return line.Join(now, b.key, op.Req.Cost, op.Req.Priority, maxWait, op)
	}
	return b.rate.Take(now, b.key, op.Req.Cost, maxWait), nil
}

// record writes what the rate of b answered into the ledger.
func (c *Core) record(now int64, op *Op, b *bound, r limit.Result, place *limit.Place) bool {
	e := policy.Entry{
		Limiter: b.name, Key: b.key, Cost: op.Req.Cost, Taken: now,
		OK: r.OK, Wait: r.Wait, Limit: r.Limit, Remaining: r.Remaining, Reset: r.Reset,
	}
	if r.OK && !op.dry() {
		e.From = b.rate
	}
	if place != nil {
		e.Place, e.InLine = place, place.Ahead()+1
	}
	op.Add(e)
	return r.OK
}

// balance chooses an upstream and takes its rate. Upstreams that failed before and
// full ones are passed over; where only full ones are left, the one that is free
// first is waited for.
func (c *Core) balance(now int64, s *settings, op *Op) bool {
	if i, only := op.Group.Only(); only && !s.rated && !s.bounded && !op.explained() { // nobody to choose among
		op.upstream = i
		return true
	}
	best, bestWait := -1, limit.Never
	for {
		i, ok := c.pick(now, op)
		if !ok {
			break
		}
		op.upstream = i
		b := s.boundOf(op, levelUpstream)
		r, place := c.tryUpstream(now, op, &b)
		if r.OK {
			op.consider(op.Group.Upstream(i).Name, WhyChosen)
			op.passedOver(now)
			return b.rate == nil || c.record(now, op, &b, r, place)
		}
		op.consider(op.Group.Upstream(i).Name, WhyFull)
		op.full.Add(i)
		if best < 0 || r.Wait < bestWait {
			best, bestWait = i, r.Wait
		}
	}
	if best < 0 {
		op.upstream = -1 // all weights are 0: only by name
		return true
	}
	op.upstream = best
	op.consider(op.Group.Upstream(best).Name, WhyChosen)
	op.passedOver(now)
	b := s.boundOf(op, levelUpstream)
	return c.takeBound(now, s, op, &b)
}

// pick is the balancer's next upstream that has not been tried, else one that was, and
// of both first those that are well. A full one that is well is waited for before one
// that failed, or is not, is asked.
func (c *Core) pick(now int64, op *Op) (int, bool) {
	if i, only := op.Group.Only(); only { // whatever its health, there is no other
		return i, !op.full.Has(i)
	}
	q := route.Query{Now: now, Req: &op.Req, Skip: op.full.Union(&op.tried)}
	if i, ok := op.choose(&q); ok || !op.full.Within(&op.tried) {
		return i, ok
	}
	fresh := q.Skip
	q.Skip = op.full
	if i, ok := op.choose(&q); ok || op.full != (route.Set{}) {
		return i, ok
	}
	q.Skip, q.Sick = fresh, true
	if i, ok := op.choose(&q); ok {
		return i, true
	}
	q.Skip = op.full
	return op.choose(&q)
}

func (op *Op) choose(q *route.Query) (int, bool) {
	if op.dry() {
		return op.Group.Preview(q)
	}
	return op.Group.Pick(q)
}

// elsewhere reports whether the balancer has an upstream for another attempt of op that
// is well and has not been tried.
func (c *Core) elsewhere(now int64, op *Op) bool {
	if op.Group == nil || op.upstream < 0 || op.Decision.Upstream != "" {
		return false
	}
	q := route.Query{Now: now, Req: &op.Req, Skip: op.tried}
	q.Skip.Add(op.upstream)
	_, ok := op.Group.Preview(&q)
	return ok
}

// passedOver notes for an explanation who was not asked because it is not well.
func (op *Op) passedOver(now int64) {
	if !op.explained() {
		return
	}
	for i := range op.Group.Len() {
		if st := op.Group.State(i, now); st != route.Healthy && i != op.upstream {
			op.consider(op.Group.Upstream(i).Name, WhySick+st.String())
		}
	}
}

// tryUpstream takes the rate of the upstream if it can go at once. A full gate
// counts as a second's wait, so that any other upstream comes first.
func (c *Core) tryUpstream(now int64, op *Op, b *bound) (limit.Result, *limit.Place) {
	if most := b.limit.Concurrency; most > 0 {
		c.mu.Lock()
		g := c.gates.byKey[levelUpstream][op.upstreamKey()]
		full := g != nil && g.inFlight >= most
		c.mu.Unlock()
		if full {
			return limit.Result{Wait: limit.RetryHint}, nil
		}
	}
	if b.rate == nil {
		return limit.Result{OK: true}, nil
	}
	return c.takeRate(now, op, b, 0)
}

// denyLimit is the denial of a configured rate.
func (c *Core) denyLimit(now int64, s *settings, op *Op, level int) Verdict {
	e := op.refusal()
	patient := op.patience(now, s.MaxWait, true)
	if own := s.boundOf(op, level).limit.MaxWait; e.Wait == limit.Never || (own >= 0 && e.Wait > own) || e.Wait <= patient {
		return c.deny(now, op, Denial{
			Kind: KindLimit, RetryAfter: e.Wait, Limit: limitInfo(e),
			Reason: "the configured limit " + e.Limiter + " is spent",
		})
	}
	return c.denyWait(now, op, e.Wait, e)
}

// hold serves the longest of all waits, or denies one that is too long.
func (c *Core) hold(now int64, s *settings, op *Op) Verdict {
	d := &op.Decision
	if op.Group != nil && op.upstream < 0 {
		return c.denyUnnamed(now, op)
	}
	wait, by := time.Duration(0), (*policy.Entry)(nil)
	if d.Action == policy.ActionDelay {
		wait = d.Delay
	}
	for i := range op.entries {
		if e := &op.entries[i]; e.OK && e.Wait > wait {
			wait, by = e.Wait, e
		}
	}
	if wait > op.patience(now, s.MaxWait, true) {
		return c.denyWait(now, op, wait, by)
	}
	if by != nil {
		d.Limit = limitInfo(by)
	}
	if op.dry() {
		op.dryFor, wait = wait, 0
	}
	if wait > 0 {
		return c.waitFor(now, now+int64(wait), op, stateWaiting)
	}
	return c.stand(now, op)
}
