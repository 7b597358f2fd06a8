package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/policy"
)

var errDecision = errors.New("a wrong decision")

// now is a clock of the policy rows: it stands still, so that no limiter fills and
// nothing but the hook is measured.
const now = int64(1_800_000_000_000_000_000)

// newRequest is what the hooks are asked about.
func newRequest() *policy.Request {
	return &policy.Request{
		Subsystem: policy.SubsystemAPI, Action: "request", Key: "api.example.com", Method: "GET",
		URL: "https://api.example.com/v1/users/12345?expand=true", Host: "api.example.com", Path: "/v1/users/12345",
		Tenant: "tenant-42", Header: class{}, Priority: policy.DefaultPriority, Attempt: 1, Cost: 1, Size: -1, Now: now,
	}
}

// class is a request's only header field.
type class struct{}

func (class) Lookup(name string) (string, bool) {
	if name == "x-class" {
		return "batch", true
	}
	return "", false
}

// allowing is a policy in Go that lets everything through.
type allowing struct{ policy.Base }

func (allowing) Name() string { return "allowing" }

func (allowing) OnRequest(_ *policy.Request, d *policy.Decision) error {
	d.Action = policy.ActionAllow
	return nil
}

// rawGoja is what the rows of JavaScript and of the chain are held against: the call of
// an empty function as goja documents it.
func rawGoja() (measure.Op, error) {
	rt := goja.New()
	if _, err := rt.RunString(`function onRequest() {}`); err != nil {
		return nil, fmt.Errorf("run the empty function: %w", err)
	}
	f, ok := goja.AssertFunction(rt.Get("onRequest"))
	if !ok {
		return nil, errors.New("the empty function is none")
	}
	return func(n int) error {
		for range n {
			if _, err := f(goja.Undefined()); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// slotChainMatch asks the generation in force: the lease of it, the chain, the match of
// subsystem and host, and a policy in Go that has almost nothing to do.
func slotChainMatch(_ context.Context, e effort) (outcome, error) {
	match, err := policy.ParseMatch(map[string]any{"subsystem": "api", "host": "*.example.com"})
	if err != nil {
		return outcome{}, err
	}
	var slot policy.Slot
	slot.Swap(policy.NewGeneration(1, policy.NewChain(policy.NewMember(allowing{}, policy.MemberConfig{Match: match}))))
	req := newRequest()
	var d policy.Decision
	var scratch policy.Scratch
	ours := func(n int) error {
		for range n {
			d.Reset()
			if slot.Decide(req, &d, &scratch) != 1 || d.Action != policy.ActionAllow {
				return errDecision
			}
		}
		return nil
	}
	return againstGoja(e, ours, "Slot.Decide")
}

func againstGoja(e effort, ours measure.Op, name string) (outcome, error) {
	theirs, err := rawGoja()
	if err != nil {
		return outcome{}, err
	}
	allocs, err := measure.Allocs(ours, e.Allocs)
	if err != nil {
		return outcome{}, err
	}
	res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Garbage), measure.Serial(theirs, e.Garbage))
	return compared(res, allocs, name, "raw goja call"), err
}
