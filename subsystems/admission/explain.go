package admission

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
)

// ErrExplained is what Admit returns under a dry Trace: nothing went, and the Trace
// says why it would have.
var ErrExplained = errors.New("admission: only explained")

// maxTraced bounds the explanations that a Trace keeps.
const maxTraced = 16

// Trace collects why the operations of a context went as they did: all those that a
// Driver admits under WithTrace. It is safe for concurrent use.
type Trace struct {
	dry any

	mu   sync.Mutex // guards what follows
	list []policy.Explanation
}

// NewTrace returns an empty Trace. With an overlay (Request.Dry) nothing goes: each
// operation is decided dry and Admit returns ErrExplained. nil: they go as ever.
func NewTrace(overlay any) *Trace { return &Trace{dry: overlay} }

type traceKey struct{}

// WithTrace returns a context whose operations t is told of.
func WithTrace(ctx context.Context, t *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

func traceOf(ctx context.Context) *Trace {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	return t
}

// Explanations are what was collected, in the order of the verdicts: one for each
// attempt, the first 16. Parts of an operation, such as a request's connections, are
// told of only where they were denied.
func (t *Trace) Explanations() []policy.Explanation {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]policy.Explanation(nil), t.list...)
}

// prepare makes op one that is explained.
func (t *Trace) prepare(op *Op) {
	op.Req.Explain = true
	op.Req.Faults = op.fault
	if t.dry != nil {
		op.Req.Dry = t.dry
	}
}

// note keeps the explanation of the attempt in hand.
func (t *Trace) note(op *Op, now int64, err error) {
	if op.Req.Part && op.state != stateDenied {
		return
	}
	e := op.Explain(now)
	if err != nil && op.state != stateDenied { // the caller left, or everything was cut
		e.Verdict, e.Reason, e.WouldPass = policy.VerdictCanceled, policy.Shown(err.Error()), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.list) >= maxTraced {
		return
	}
	t.list = append(t.list, e)
}

func (op *Op) fault(f *policy.Fault) {
	if len(op.faults) < maxTraced {
		op.faults = append(op.faults, policy.Shown(f.Error()))
	}
}

// Explain says why the attempt in hand goes, waits or does not go. Call it after a
// verdict and before the next attempt. It changes nothing.
func (op *Op) Explain(now int64) policy.Explanation {
	e := policy.Explain(&op.Req, &op.Decision, op.entries)
	e.Generation = op.generation
	e.Faults = append(e.Faults, op.faults...)
	for _, c := range op.candidates {
		e.Consider(c.Name, c.Why)
	}
	e.Limits = op.core.configured(now, op)
	switch {
	case op.state == stateDenied:
		op.explainDenial(&e)
	case op.dryBehind != "":
		op.explainQueue(&e, op.dryBehind)
	case op.state == stateInLine:
		if waits, _ := op.lines(); waits != nil {
			op.explainQueue(&e, waits.Limiter)
		}
	default:
		e.Waits(e.At.UnixNano(), op.Waited())
	}
	return e
}

// explainQueue says behind which limiter it waits, at what place in whose line.
func (op *Op) explainQueue(e *policy.Explanation, limiter string) {
	e.Verdict, e.DecidedBy, e.Limiter, e.WouldPass = policy.VerdictQueue, "limit", limiter, nil
	e.Reason = "every slot of " + limiter + " is taken"
	for i := range op.entries {
		if t := &op.entries[i]; t.InLine > 0 && t.Limiter == limiter {
			e.DecidedBy, e.Policy, e.Where = "policy", t.Policy, t.Where
			e.Reason = fmt.Sprintf("%s; place %d in its line", e.Reason, t.InLine)
			break
		}
	}
}

// explainDenial says who denied it and when the same would pass.
func (op *Op) explainDenial(e *policy.Explanation) {
	d := &op.Denial
	e.Verdict, e.DecidedBy, e.Reason, e.Limiter = policy.VerdictDeny, d.Kind.String(), d.Reason, d.Limit.Name
	e.WaitMS = float64(op.waited.Microseconds()) / 1000
	e.Policy = d.Policy
	after := d.RetryAfter
	if r := op.refusal(); r != nil && r.Limiter == d.Limit.Name {
		if r.Wait == limit.Never {
			after = 0
		} else if d.Kind != KindPolicy {
			after = r.Wait // without the floor of Retry-After
		}
		e.Where = r.Where
	}
	if d.Kind == KindPolicy && op.Decision.Where != "" {
		e.Where = op.Decision.Where
	}
	if d.Policy == "" {
		e.Where = ""
	}
	e.PassesIn(op.Req.Now, after)
	if e.Reason == "" && e.Limiter != "" {
		e.Reason = fmt.Sprintf("the limiter %s is spent", e.Limiter)
	}
}

// configured are the levels of the configured limits that op counts on.
func (c *Core) configured(now int64, op *Op) []policy.Configured {
	s := c.set.Load()
	var list []policy.Configured
	for level := range levels {
		key := op.gateKey(level)
		b := s.bound(level, key)
		if b.rate == nil && b.limit.Concurrency == 0 {
			continue
		}
		o := configuredOf(now, &b)
		c.mu.Lock()
		if g := c.gates.byKey[level][key]; g != nil {
			o.InFlight, o.Waiting = g.inFlight, int64(g.waiting)
		}
		c.mu.Unlock()
		list = append(list, o)
	}
	return list
}
