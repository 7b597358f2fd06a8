package shadow

import (
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Case is one attempt as a policy that is not in force sees it: asked, answered and
// done in dry mode. What it takes is in the overlay, and ends with it. It is used by
// one goroutine at a time.
type Case struct {
	Req      policy.Request
	View     []policy.Upstream // for the route hook; nil: there is nothing to choose
	Decision policy.Decision

	ledger  admission.Ledger
	scratch policy.Scratch
	let     bool // it let the attempt go
}

// Ask runs the hooks before an attempt and returns what they said.
func (c *Case) Ask(chain *policy.Chain, overlay *natives.Overlay, maxWait time.Duration) admission.Said {
	c.Req.Dry, c.Req.Ledger = overlay, &c.ledger
	chain.OnRequest(&c.Req, &c.Decision, &c.scratch)
	if c.Decision.Action != policy.ActionDeny && c.Decision.Upstream == "" && len(c.View) > 0 {
		var to policy.Decision
		if chain.OnRoute(&c.Req, c.View, &to, &c.scratch) != nil {
			c.Decision.Upstream = to.Upstream
		}
	}
	said := admission.SaidBy(&c.Decision, c.ledger, maxWait)
	if c.let = !said.Deny; !c.let {
		c.ledger.GiveBack(c.Req.Now)
	}
	return said
}

// Answer shows the policy the headers of the real answer, if it let the attempt go.
func (c *Case) Answer(chain *policy.Chain, now int64, res *policy.Response) {
	if c.let {
		c.Req.Now = now
		var d policy.Decision
		chain.OnResponse(&c.Req, res, &d, &c.scratch)
	}
}

// Done shows it the real end. res is nil where the action never started: then what
// was taken stays taken, as it had let the attempt go.
func (c *Case) Done(chain *policy.Chain, now int64, res *policy.Response) {
	if !c.let {
		return
	}
	c.Req.Now = now
	if res != nil {
		chain.OnDone(&c.Req, res)
	}
	c.ledger.Release(now)
	c.let = false
}

// Why is the reason that the policy gave, or else the limiter that decided; "" neither.
func (c *Case) Why() string {
	if c.Decision.Reason == "" && c.Decision.Limit.Name != "" {
		return "limiter " + c.Decision.Limit.Name
	}
	return c.Decision.Reason
}
