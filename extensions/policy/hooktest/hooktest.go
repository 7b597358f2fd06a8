// Package hooktest is a policy of functions, for the tests of whatever asks policies.
// Only tests import it.
package hooktest

import "github.com/gaia-host/gaia/extensions/policy"

// Policy is asked before, after and at the end of every action, and does nothing where a
// function is nil. It must not be copied or changed once it is asked.
type Policy struct {
	policy.Base
	Named    string // "": p
	Request  func(*policy.Request, *policy.Decision)
	Response func(*policy.Request, *policy.Response, *policy.Decision)
	Done     func(*policy.Request, *policy.Response)
}

// Slot is a slot with one generation of that number, of p alone.
func Slot(number uint64, p policy.Policy) *policy.Slot {
	s := &policy.Slot{}
	s.Swap(policy.NewGeneration(number, policy.NewChain(policy.NewMember(p, policy.MemberConfig{}))))
	return s
}

// Name implements policy.Policy.
func (p *Policy) Name() string {
	if p.Named == "" {
		return "p"
	}
	return p.Named
}

// Hooks implements policy.Policy.
func (*Policy) Hooks() policy.Hooks {
	return policy.HooksOf(policy.HookRequest, policy.HookResponse, policy.HookDone)
}

// OnRequest implements policy.Policy.
func (p *Policy) OnRequest(r *policy.Request, d *policy.Decision) error {
	if p.Request != nil {
		p.Request(r, d)
	}
	return nil
}

// OnResponse implements policy.Policy.
func (p *Policy) OnResponse(r *policy.Request, res *policy.Response, d *policy.Decision) error {
	if p.Response != nil {
		p.Response(r, res, d)
	}
	return nil
}

// OnDone implements policy.Policy.
func (p *Policy) OnDone(r *policy.Request, res *policy.Response) error {
	if p.Done != nil {
		p.Done(r, res)
	}
	return nil
}
