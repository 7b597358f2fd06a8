package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/experiment/arrivals"
	"github.com/gaia-host/gaia/host/experiment/dist"
	"github.com/gaia-host/gaia/host/experiment/sim"
	"github.com/gaia-host/gaia/host/experiment/upstream"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// pendingEvents is how many events are due while requests are simulated: 1000 a second
// arrive, and each is under way for a tenth of one.
const pendingEvents = 100

const admitHook = `import { limiter } from "gaia";
	const l = limiter.tokenBucket("l", { rate: 1e9, burst: 1e12 });
	export function onRequest() { return l.admit(); }`

// simulateNative prices a request of an experiment, from its arrival to its answer
// through the production admission, under a limiter in Go.
func simulateNative(_ context.Context, e effort) (outcome, error) {
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1e9, Burst: neverEmpty})
	if err != nil {
		return outcome{}, err
	}
	return simulated(e, &goLimited{l: l})
}

// simulateJS is the same under a limiter that JavaScript asks.
func simulateJS(ctx context.Context, e effort) (out outcome, err error) {
	s := newScopes()
	p, err := openJS(ctx, s.of("hook"), "hook", admitHook)
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = closed(err, p) }()
	if err := s.inForce(); err != nil {
		return outcome{}, err
	}
	return simulated(e, p)
}

// simulated holds a request under p against a push and a pop of the heap of events.
func simulated(e effort, p policy.Policy) (outcome, error) {
	ours, err := simulating(p)
	if err != nil {
		return outcome{}, err
	}
	unit := sim.NewUnit(pendingEvents)
	theirs := func(n int) error {
		for range n {
			unit.Turn()
		}
		return nil
	}
	res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Garbage), measure.Serial(theirs, e.Sample))
	return compared(res, 0, "simulated request", "push and pop"), err
}

func simulating(p policy.Policy) (measure.Op, error) {
	slot := &policy.Slot{}
	slot.Swap(policy.NewGeneration(1, policy.NewChain(policy.NewMember(p, policy.MemberConfig{}))))
	cfg := admission.DefaultConfig()
	cfg.MaxAttempts, cfg.Breaker.Enabled = 1, false
	core, err := admission.New(admission.Options{Subsystem: policy.SubsystemAPI, Slot: slot, Config: cfg, Random: func() float64 { return 0.5 }, Alone: true})
	if err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: "https", Host: "a.invalid"}
	group, err := route.NewGroup([]route.Upstream{{ID: "r/a", Name: "a", URL: u, Host: u.Host, Weight: 1}}, nil)
	if err != nil {
		return nil, err
	}
	latency, err := dist.Exponential(pendingEvents) // ms
	if err != nil {
		return nil, err
	}
	start := int64(now)
	return func(n int) error {
		poisson, err := arrivals.New(arrivals.Config{Kind: "poisson", Rate: 1000})
		if err != nil {
			return err
		}
		o, err := sim.Run(sim.Config{Seed: 1, Start: start, Duration: time.Duration(n) * time.Millisecond, Group: group, Core: core,
			Upstreams: []sim.Upstream{{Name: "a", Config: upstream.Config{Queue: -1, Latency: latency, Weight: 1}}},
			Scenarios: []sim.Scenario{{Name: "s", Process: poisson, KeyNames: []string{"k"}, Method: "GET", Path: "/"}}})
		start += int64(time.Duration(n)*time.Millisecond) + int64(time.Minute)
		if err == nil && o.Denials > 0 {
			err = fmt.Errorf("%w: %d times", errRefused, o.Denials)
		}
		return err
	}, nil
}

// goLimited takes from a limiter and writes into the ledger, as natives do.
type goLimited struct {
	policy.Base
	l limit.Limiter
}

// Name implements policy.Policy.
func (*goLimited) Name() string { return "limited" }

// OnRequest implements policy.Policy.
func (p *goLimited) OnRequest(r *policy.Request, d *policy.Decision) error {
	res := p.l.Take(r.Now, r.Key, r.Cost, 0)
	if !res.OK {
		d.Action, d.RetryAfter = policy.ActionDeny, res.Wait
		return nil
	}
	r.Ledger.Add(policy.Entry{Limiter: "l", Key: r.Key, Cost: r.Cost, Taken: r.Now, OK: true, From: p.l})
	return nil
}
