package admission

import (
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/internal/testkit"
)

func TestAllocations(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector makes sync.Pool forget")
	}
	p := func() *testPolicy {
		return &testPolicy{name: "p", onRequest: func(_ *policy.Request, d *policy.Decision) error {
			d.Action = policy.ActionAllow
			return nil
		}}
	}
	limits := func(c *Config) {
		c.Limits.Global = Limit{Rate: 1e9, Burst: 1e9, MaxWait: Patient, Concurrency: 100}
		c.Limits.PerKey = Limit{Rate: 1e9, Burst: 1e9, MaxWait: Patient, Concurrency: 100}
		c.Limits.PerUpstream = Limit{Rate: 1e9, Burst: 1e9, MaxWait: Patient, Concurrency: 100}
	}
	for name, tt := range map[string]struct {
		r *rig
		g *route.Group
	}{
		"empty chain":                    {newRig(t, nil), nil},
		"one policy":                     {newRig(t, nil, p()), nil},
		"one policy, limits and a group": {newRig(t, limits, p()), group(t, "a", "b")},
	} {
		t.Run(name, func(t *testing.T) {
			res := policy.Response{Status: 200}
			if n := testing.AllocsPerRun(500, func() {
				op := tt.r.op("k")
				op.Group = tt.g
				if v := tt.r.c.Begin(tt.r.now, op); v.Kind != Go {
					t.Fatalf("verdict %v: %+v", v.Kind, op.Denial)
				}
				tt.r.c.Started(tt.r.now, op)
				tt.r.now += 1e5
				tt.r.c.Answered(tt.r.now, op, &res)
				tt.r.c.Settle(tt.r.now, op, &res, nil)
				op.Free()
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkAdmission(b *testing.B) {
	c, err := New(Options{Subsystem: "api", Config: DefaultConfig()})
	if err != nil {
		b.Fatal(err)
	}
	res := policy.Response{Status: 200}
	b.ReportAllocs()
	now := t0
	for b.Loop() {
		op := c.NewOp()
		op.Req.Key = "k"
		c.Begin(now, op)
		c.Started(now, op)
		now += 1e5
		c.Answered(now, op, &res)
		c.Settle(now, op, &res, nil)
		op.Free()
	}
}
