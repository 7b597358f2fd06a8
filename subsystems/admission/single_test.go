package admission

import (
	"net/url"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
)

// singleRig has three upstreams: a with a rate of its own, b with a slot of its own, and
// c, which the limit of all upstreams counts.
func singleRig(t *testing.T, ps ...*testPolicy) (*rig, *route.Group) {
	t.Helper()
	r := newRig(t, func(c *Config) {
		c.Limits.PerUpstream = Limit{Rate: 1, Per: time.Hour, Burst: 3}
		c.Limits.Upstreams = map[string]UpstreamLimit{
			"r/a": {"routes.r.upstreams.a.limits", Limit{Rate: 1, Per: time.Minute, Burst: 2, MaxWait: Patient}},
			"r/b": {"routes.r.upstreams.b.limits", Limit{Concurrency: 1, MaxWait: Patient}},
		}
	}, ps...)
	g, err := route.NewGroup([]route.Upstream{
		{Name: "a", ID: "r/a", Weight: 1, URL: &url.URL{Scheme: "http", Host: "x"}},
		{Name: "b", ID: "r/b", Weight: 1, URL: &url.URL{Scheme: "http", Host: "x"}},
		{Name: "c", Weight: 1, URL: &url.URL{Scheme: "http", Host: "x"}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, g
}

func TestAnUpstreamsOwnLimitsAreItsOwn(t *testing.T) {
	r, g := singleRig(t)
	counts := map[string]int{}
	var running []*Op
	for range 6 { // what all have together
		op := r.op("k")
		op.Group = g
		r.begin(op, Go)
		r.c.Started(r.now, op)
		counts[g.Upstream(op.Upstream()).Name]++
		running = append(running, op)
	}
	if counts["a"] != 2 || counts["b"] != 1 || counts["c"] != 3 {
		t.Fatalf("went to %v", counts)
	}
	op := r.op("k")
	op.Group = g
	if v := r.c.Begin(r.now, op); v.Kind != Queued || op.Upstream() != 1 {
		t.Errorf("all are full: %+v at %d, want to queue for b's slot, which is free first", v, op.Upstream())
	}
	r.c.Cancel(r.now, op, nil)
	for _, op := range running {
		r.c.Settle(r.now, op, &policy.Response{Status: 200}, nil)
	}
	if l := r.c.Slots("routes.r.upstreams.b.limits"); len(l) != 0 {
		t.Errorf("slots %+v", l)
	}
}

func TestOnRouteSeesWhatIsLeft(t *testing.T) {
	var seen []int64
	p := &testPolicy{name: "p", onRoute: func(_ *policy.Request, ups []policy.Upstream, d *policy.Decision) error {
		seen = seen[:0]
		for i := range ups {
			seen = append(seen, ups[i].Remaining)
		}
		d.Action, d.Upstream = policy.ActionRoute, "b"
		return nil
	}}
	r, g := singleRig(t, p)
	op := r.op("k")
	op.Group = g
	r.begin(op, Go)
	if len(seen) != 3 || seen[1] != 1 {
		t.Errorf("left %v", seen)
	}
	a, c := seen[0], seen[2]
	op = r.op("k")
	op.Group = g
	r.begin(op, Queued)
	if seen[0] != a || seen[1] != 0 || seen[2] != c {
		t.Errorf("left %v, the slot of b is taken", seen)
	}
	if e := op.Explain(r.now); len(e.Limits) != 1 || e.Limits[0].Name != "routes.r.upstreams.b.limits" || e.Limits[0].InFlight != 1 || e.Limits[0].Waiting != 1 {
		t.Errorf("explained as %+v", e.Limits)
	}
}

func TestSingleLimitsAreChanged(t *testing.T) {
	const a, b = "routes.r.upstreams.a.limits", "routes.r.upstreams.b.limits"
	r, g := singleRig(t)
	begin := func() VerdictKind {
		op := r.op("k")
		op.Group = g
		op.Req.Priority = 5
		return r.c.Begin(r.now, op).Kind
	}
	for range 6 {
		if begin() != Go {
			t.Fatal("refused too early")
		}
	}
	if begin() != Queued {
		t.Fatal("b's slot is taken")
	}
	woken, err := r.c.SetLimit(r.now, b, func(l Limit) Limit { l.Concurrency = 2; return l }, nil)
	if err != nil || len(woken) != 1 {
		t.Fatalf("%d let go: %v", len(woken), err)
	}
	cfg := r.c.Config()
	cfg.Limits.Upstreams = map[string]UpstreamLimit{
		"r/a": {a, Limit{Rate: 1, Per: time.Minute, Burst: 3, MaxWait: Patient}},
		"r/b": {b, Limit{Concurrency: 1, MaxWait: Patient}}, // as declared: what was set stays
	}
	if _, err := r.c.SetConfig(r.now, cfg, nil); err != nil {
		t.Fatal(err)
	}
	left := map[string]Limit{}
	for _, l := range r.c.Levels() {
		left[l.Name] = l.Limit
		if l.Name == a && (!l.Global() || l.Rate.Peek(r.now, "", 0).Remaining != 1) {
			t.Errorf("two of three are taken: %+v", l.Rate.Peek(r.now, "", 0))
		}
	}
	if left[a].Burst != 3 || left[b].Concurrency != 2 {
		t.Errorf("in force %+v", left)
	}
	if s := r.c.Slots(b); len(s) != 1 || s[0].Key != "" || s[0].InFlight != 2 {
		t.Errorf("slots %+v", s)
	}
	if s := r.c.Rates(); s[a] == nil || s[b] != nil {
		t.Errorf("rates %v", s)
	}
	cfg.Limits.Upstreams = map[string]UpstreamLimit{"r/a": {a, Limit{Rate: -1}}}
	if _, err := r.c.SetConfig(r.now, cfg, nil); err == nil {
		t.Error("a wrong rate is put in force")
	}
	cfg.Limits.Upstreams = nil
	if _, err := r.c.SetConfig(r.now, cfg, nil); err != nil || len(r.c.Levels()) != levels {
		t.Errorf("taken away: %v, %d levels", err, len(r.c.Levels()))
	}
}
