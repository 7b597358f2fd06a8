package shadow

import (
	"errors"
	"fmt"
	"slices"
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
	View     []policy.Upstream // for the route hook; nil: nothing is known to choose from
	Decision policy.Decision

	ledger  admission.Ledger
	scratch policy.Scratch
	let     bool // it let the attempt go
}

// Ask runs the hooks before an attempt and returns what they said.
func (c *Case) Ask(chain *policy.Chain, overlay *natives.Overlay, maxWait time.Duration) admission.Said {
	c.Req.Dry, c.Req.Ledger = overlay, &c.ledger
	chain.OnRequest(&c.Req, &c.Decision, &c.scratch)
	c.route(chain)
	said := admission.SaidBy(&c.Decision, c.ledger, maxWait)
	if c.let = !said.Deny; !c.let {
		c.ledger.GiveBack(c.Req.Now)
	}
	return said
}

// route runs the route hook where nobody named an upstream that exists, as admission does.
func (c *Case) route(chain *policy.Chain) {
	d := &c.Decision
	if d.Action == policy.ActionDeny || len(c.View) == 0 {
		return
	}
	if d.Upstream != "" && c.known(chain, d.Upstream, d.Policy, policy.HookRequest) {
		return
	}
	d.Upstream = ""
	var to policy.Decision
	m := chain.OnRoute(&c.Req, c.View, &to, &c.scratch)
	switch {
	case to.Action == policy.ActionDeny:
		d.Action, d.Status, d.RetryAfter, d.Reason, d.Limit, d.Policy = to.Action, to.Status, to.RetryAfter, to.Reason, to.Limit, to.Policy
	case m != nil && c.known(chain, to.Upstream, m.Name(), policy.HookRoute):
		d.Upstream = to.Upstream
	}
}

// known reports whether there is an upstream of that name. Naming another is a fault of
// the policy by.
func (c *Case) known(chain *policy.Chain, name, by string, hook policy.Hook) bool {
	if slices.ContainsFunc(c.View, func(u policy.Upstream) bool { return u.Name == name }) {
		return true
	}
	for _, m := range chain.Members() {
		if m.Name() == by {
			m.Report(hook, &policy.Fault{Policy: by, Hook: hook, Kind: policy.FaultUpstream, Err: fmt.Errorf("%w %q", errNoUpstream, name)})
		}
	}
	return false
}

var errNoUpstream = errors.New("no upstream is called")

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
