package network

import (
	"context"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Caller is for whom something is resolved or dialled, as policies and limits see
// it. The zero Caller says nothing.
type Caller struct {
	Tenant      string
	Priority    int // counts only with HasPriority
	HasPriority bool
	Cost        int64 // 0 is 1
	// Outcome, if not nil, is filled in with each resolve or dial, also with an
	// error: a Caller with one is for one of them at a time.
	Outcome *admission.Outcome
}

type callerKey struct{}

func callerOf(ctx context.Context) *Caller {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	return c
}

// end frees op and tells the caller how it went.
func end(ctx context.Context, op *admission.Op) {
	if c := callerOf(ctx); c != nil && c.Outcome != nil {
		*c.Outcome = op.Outcome()
	}
	op.Free()
}

// WithCaller returns a context whose resolves and dials are for c, which must not
// change any more.
func WithCaller(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// newOp makes the operation of an action on key.
func (n *Coordinator) newOp(ctx context.Context, action, key string) *admission.Op {
	op := n.core.NewOp()
	op.Req.Action, op.Req.Key, op.Req.Host, op.Req.Size = action, key, key, 0
	op.Replayable = true // where a policy wants it again
	c := callerOf(ctx)
	if c == nil {
		return op
	}
	op.Req.Tenant = c.Tenant
	if c.HasPriority {
		op.Req.Priority = min(max(c.Priority, 0), policy.MaxPriority)
	}
	if c.Cost != 0 {
		op.Req.Cost = c.Cost
	}
	return op
}
