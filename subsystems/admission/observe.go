package admission

import (
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Observer is told of every attempt of a Core that is not dry, on the goroutine of the
// operation. It must not block, changes nothing, and what it is given is valid only
// during the call. It may be called by many goroutines at once, for one operation by
// one at a time.
type Observer interface {
	// Decided comes once an attempt: v is what becomes of it first. After Denied nothing
	// else comes.
	Decided(now int64, op *Op, v Verdict)
	// Answered comes at the headers of the answer, or when there will be none. again says
	// that the operation is to be tried again.
	Answered(now int64, op *Op, res *policy.Response, again bool)
	// Ended comes once an attempt after Decided; res is nil where its action never
	// started: then op.Denial says why, or it is empty and the caller left.
	Ended(now int64, op *Op, res *policy.Response)
}

// Observe has o told of all attempts from now on. It is called before the first
// operation begins.
func (c *Core) Observe(o Observer) { c.observer = o }

// Asked are the key, cost and priority that the operation was asked with, before a
// policy changed them.
func (op *Op) Asked() (key string, cost int64, priority int) {
	return op.base.key, op.base.cost, op.base.priority
}

// View appends the upstreams of the attempt in hand to dst, as the route hook was shown
// them, or would have been; none without a Group. It is for Observer.Decided.
func (op *Op) View(now int64, dst []policy.Upstream) []policy.Upstream {
	if op.Group == nil || len(op.view) > 0 {
		return append(dst, op.view...)
	}
	had := len(dst)
	dst = op.core.upstreams(now, op, dst)
	if op.upstream < 0 {
		return dst
	}
	name := op.core.set.Load().names[levelUpstream]
	for i := range op.entries { // it has been taken from since
		if e := &op.entries[i]; e.From != nil && e.Policy == "" && e.Limiter == name && e.Wait == 0 {
			dst[had+op.upstream].Remaining += e.Cost
		}
	}
	return dst
}

// MaxWait is the longest wait of an operation in the configuration in force.
func (op *Op) MaxWait() time.Duration { return op.core.set.Load().MaxWait }

// Seen is what the observer noted about the attempt in hand, nil: nothing.
func (op *Op) Seen() any { return op.seen }

// See notes something about the attempt in hand for the observer's later calls.
func (op *Op) See(note any) { op.seen = note }

// attempt is one attempt, which the observer is told of.
func (c *Core) attempt(now int64, op *Op) Verdict {
	if c.observer == nil || op.dry() {
		return c.decide(now, op)
	}
	op.seen = nil
	v := c.decide(now, op)
	c.observer.Decided(now, op, v)
	return v
}

// ended tells the observer of the end of an attempt that it was told of. An attempt
// that was denied after its wait has a denial.
func (c *Core) ended(now int64, op *Op, res *policy.Response) {
	if c.observer == nil || op.dry() {
		return
	}
	c.observer.Ended(now, op, res)
	op.seen = nil
}
