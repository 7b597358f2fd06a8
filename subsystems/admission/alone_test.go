package admission

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// A Core that is alone answers what any Core does.
func TestAloneAnswersTheSame(t *testing.T) {
	hook := &testPolicy{
		name: "p",
		onRequest: func(r *policy.Request, d *policy.Decision) error {
			if r.Stats.InFlight > 3 {
				d.Action, d.RetryAfter = policy.ActionDeny, 2*time.Second
			}
			return nil
		},
		onResponse: func(_ *policy.Request, res *policy.Response, d *policy.Decision) error {
			if res.Status == 500 {
				d.Action, d.Delay = policy.ActionRetry, time.Second
			}
			return nil
		},
	}
	limits := func(c *Config) {
		c.Limits.PerKey = Limit{Rate: 2, Burst: 3, MaxWait: Patient, Concurrency: 2}
		c.Limits.PerUpstream = Limit{Rate: 3, Burst: 5, MaxWait: Patient, Concurrency: 3}
	}
	for name, change := range map[string]func(*Config){"without limits": nil, "limits": limits} {
		t.Run(name, func(t *testing.T) {
			run := func(alone bool) []Verdict {
				r := newRig(t, change, hook)
				c, err := New(Options{Subsystem: policy.SubsystemAPI, Slot: r.c.Slot(), Config: r.c.Config(), Random: func() float64 { return 0.5 }, Alone: alone})
				if err != nil {
					t.Fatal(err)
				}
				if got := c.Latency() == nil; got != alone {
					t.Errorf("no histogram: %v", got)
				}
				r.c = c
				return r.scripted()
			}
			one, other := run(false), run(true)
			for i := range one {
				if one[i] != other[i] {
					t.Fatalf("step %d: %+v, alone %+v", i, one[i], other[i])
				}
			}
		})
	}
}

// scripted does a thousand things in a fixed order and returns what was said.
func (r *rig) scripted() []Verdict {
	rng, g := rand.New(rand.NewPCG(1, 2)), group(r.T, "a", "b")
	var said []Verdict
	var waiting, running []*Op
	follow := func(op *Op, v Verdict) {
		said = append(said, v)
		switch v.Kind {
		case Go:
			r.c.Started(r.now, op)
			running = append(running, op)
		case Wait, Queued:
			waiting = append(waiting, op)
		case Denied:
			op.Free()
		}
	}
	for range 1000 {
		r.now += rng.Int64N(second / 2)
		was := waiting
		waiting = nil
		for _, op := range was {
			follow(op, r.c.Wake(r.now, op))
		}
		if len(running) > 0 && rng.IntN(3) > 0 {
			op := running[0]
			running = running[1:]
			res := policy.Response{Status: []int{200, 200, 500}[rng.IntN(3)]}
			again := r.c.Answered(r.now, op, &res)
			r.c.Settle(r.now, op, &res, nil)
			if again {
				follow(op, r.c.Again(r.now, op))
			} else {
				op.Free()
			}
			continue
		}
		op := r.op([]string{"k", "l"}[rng.IntN(2)])
		op.Group = g
		follow(op, r.c.Begin(r.now, op))
	}
	s := r.c.Stats()
	return append(said, Verdict{At: int64(s.Requests)}, Verdict{At: int64(s.Succeeded)}, Verdict{At: s.InFlight}, Verdict{At: s.Queued}, Verdict{At: int64(s.AllDenied())})
}
