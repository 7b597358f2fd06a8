package natives

import (
	"errors"
	"fmt"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
)

// maxParts bounds what one limiter of several is made of.
const maxParts = 8

// ErrParts is about limiter.all of nothing, of too much, or of another limiter.all.
var ErrParts = fmt.Errorf("want 1 to %d limiters, each declared by itself", maxParts)

// ErrCosts is about a list that has not one cost for each limiter.
var ErrCosts = errors.New("want one cost, or one for each limiter")

// All returns a limiter of several: a take is of all of them or of none, exactly.
// It has no name and no parameters of its own. Only at module scope.
func (c *Call) All(parts []*Limiter) (*Limiter, error) {
	if !c.loading {
		return nil, ErrHook
	}
	if len(parts) == 0 || len(parts) > maxParts {
		return nil, ErrParts
	}
	all := &Limiter{name: "all", parts: append([]*Limiter(nil), parts...)}
	for _, p := range parts {
		if p == nil || p.parts != nil {
			return nil, ErrParts
		}
	}
	return all, nil
}

// Parts are the limiters that l is made of, nil for one by itself.
func (l *Limiter) Parts() []*Limiter { return l.parts }

// costOf is the cost of the i-th of several.
func (a *Arg) costOf(i int, cost int64) int64 {
	if a.Costs != nil {
		return min(max(a.Costs[i], 0), policy.MaxCost)
	}
	return cost
}

// takeAll takes from all parts of l or from none, and returns the part that the
// result is of: that which refused, or that which binds.
func (c *Call) takeAll(l *Limiter, a *Arg, key string, cost int64, maxWait time.Duration) (*Limiter, limit.Result, string) {
	c.parts = c.parts[:0]
	for i, p := range l.parts {
		c.parts = append(c.parts, limit.Part{Limiter: c.limiter(p), Key: key, Cost: a.costOf(i, cost)})
	}
	r, failed := limit.TakeAll(c.now, c.parts, maxWait)
	of := l.parts[max(failed, 0)]
	if failed >= 0 {
		key = c.record(of, key, c.parts[failed].Cost, r, nil)
		return of, r, key
	}
	kept := key
	for i := range c.parts {
		if p := &c.parts[i]; p.Cost > 0 || !p.Limiter.Kind().Reserves() {
			kept = c.record(l.parts[i], key, p.Cost, p.Result, nil)
		}
		if c.parts[i].Result == r {
			of = l.parts[i]
		}
	}
	return of, r, kept
}

// peekAll is the look that refuses for longest, or that leaves least.
func (c *Call) peekAll(l *Limiter, a *Arg, key string, cost int64) limit.Result {
	var worst limit.Result
	for i, p := range l.parts {
		r := c.limiter(p).Peek(c.now, key, a.costOf(i, cost))
		switch {
		case i == 0 || !r.OK && (worst.OK || r.Wait > worst.Wait):
			worst = r
		case r.OK && worst.OK:
			worst.Wait = max(worst.Wait, r.Wait)
			if r.Remaining >= 0 && (worst.Remaining < 0 || r.Remaining < worst.Remaining) {
				worst.Remaining, worst.Limit, worst.Reset = r.Remaining, r.Limit, r.Reset
			}
		}
	}
	return worst
}

// each calls fn with every part of l, or with l itself.
func (l *Limiter) each(fn func(i int, p *Limiter)) {
	if l.parts == nil {
		fn(0, l)
		return
	}
	for i, p := range l.parts {
		fn(i, p)
	}
}
