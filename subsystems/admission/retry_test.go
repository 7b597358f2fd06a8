package admission

import (
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
)

func TestWhatIsTriedAgain(t *testing.T) {
	const backoff = 50 * time.Millisecond // half of base
	tests := []struct {
		name       string
		res        policy.Response
		idempotent bool
		once       bool // cannot be sent again
		want       bool
		after      time.Duration
	}{
		{"200", policy.Response{Status: 200}, true, false, false, 0},
		{"404", policy.Response{Status: 404}, true, false, false, 0},
		{"429 with Retry-After", policy.Response{Status: 429, RetryAfter: 3 * time.Second}, false, false, true, 3 * time.Second},
		{"429 alone", policy.Response{Status: 429}, false, false, true, backoff},
		{"429 of a body that is gone", policy.Response{Status: 429}, true, true, false, 0},
		{"429 for longer than max_wait", policy.Response{Status: 429, RetryAfter: time.Hour}, true, false, false, 0},
		{"429 for longer than the deadline", policy.Response{Status: 429, RetryAfter: 30 * time.Second}, true, false, false, 0},
		{"503 with Retry-After", policy.Response{Status: 503, RetryAfter: time.Second}, false, false, true, time.Second},
		{"503 with Retry-After: 0", policy.Response{Status: 503, Header: headers{"Retry-After": "0"}}, false, false, true, backoff},
		{"503 alone, not idempotent", policy.Response{Status: 503}, false, false, false, 0},
		{"503 alone, idempotent", policy.Response{Status: 503}, true, false, true, backoff},
		{"502", policy.Response{Status: 502}, true, false, true, backoff},
		{"504, not idempotent", policy.Response{Status: 504}, false, false, false, 0},
		{"500", policy.Response{Status: 500}, true, false, false, 0},
		{"refused", policy.Response{Error: policy.ErrorRefused}, true, false, true, backoff},
		{"reset, not idempotent", policy.Response{Error: policy.ErrorReset}, false, false, false, 0},
		{"too large", policy.Response{Error: policy.ErrorTooLarge}, true, false, false, 0},
		{"canceled", policy.Response{Error: policy.ErrorCanceled}, true, false, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			op := r.op("k")
			op.Idempotent, op.Replayable, op.Req.Deadline = tt.idempotent, !tt.once, r.now+20*second
			r.begin(op, Go)
			r.c.Started(r.now, op)
			if got := r.c.Answered(r.now, op, &tt.res); got != tt.want {
				t.Fatalf("tried again: %v", got)
			}
			r.c.Settle(r.now, op, &tt.res, nil)
			if !tt.want {
				op.Free()
				return
			}
			v := r.c.Again(r.now, op)
			if v.Kind != Wait || v.At != r.now+int64(tt.after) {
				t.Fatalf("verdict %+v, want a wait of %v", v, tt.after)
			}
			r.now = v.At
			r.wake(op, Go)
			if op.Req.Attempt != 2 || op.Waited() != tt.after {
				t.Errorf("attempt %d, waited %v", op.Req.Attempt, op.Waited())
			}
		})
	}
}

// again runs attempts until one is not tried again, and returns how many there were.
func (r *rig) again(op *Op, res policy.Response) int {
	r.Helper()
	v := r.c.Begin(r.now, op)
	for n := 1; ; n++ {
		for v.Kind == Wait {
			r.now = v.At
			v = r.c.Wake(r.now, op)
		}
		if v.Kind != Go {
			r.Fatalf("attempt %d: verdict %v %+v", n, v.Kind, op.Denial)
		}
		r.c.Started(r.now, op)
		this := res
		more := r.c.Answered(r.now, op, &this)
		r.c.Settle(r.now, op, &this, nil)
		if !more {
			op.Free()
			return n
		}
		v = r.c.Again(r.now, op)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	r := newRig(t, nil)
	if n := r.again(r.op("k"), policy.Response{Status: 429, RetryAfter: time.Second}); n != 4 {
		t.Errorf("%d attempts", n)
	}
	if n := r.again(r.op("k"), policy.Response{Status: 429, RetryAfter: 25 * time.Second}); n != 3 {
		t.Errorf("%d attempts of 25s each within a minute", n)
	}
	if s := r.c.Stats(); s.Retried != 5 || s.Upstream429 != 7 || s.Started != 7 || s.Requests != 2 || s.WaitTime != 53*time.Second {
		t.Errorf("stats %+v", s)
	}
}

func TestBudgetBoundsRetries(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Retry = Retry{Ratio: 0.5, PerSecond: 0}
		c.Breaker.Enabled = false
		c.MaxAttempts = 100
	})
	attempts := 0
	for range 200 {
		attempts += r.again(r.op("k"), policy.Response{Error: policy.ErrorRefused})
	}
	if attempts < 340 || attempts > 350 { // 50 at the start and one for every two operations
		t.Errorf("%d attempts", attempts)
	}
	if r.c.Stats().Unretried == 0 {
		t.Error("no retry was refused")
	}
}

func TestPolicyOverridesTheRule(t *testing.T) {
	g := group(t, "a", "b")
	p := &testPolicy{name: "p", onResponse: func(_ *policy.Request, res *policy.Response, d *policy.Decision) error {
		if res.Status == 500 {
			d.Action, d.Delay, d.Upstream = policy.ActionRetry, 2*time.Second, "b"
		}
		return nil
	}}
	r := newRig(t, nil, p)
	op := r.op("k")
	op.Group, op.Idempotent = g, false
	r.begin(op, Go)
	if op.Upstream() != 0 {
		t.Fatalf("upstream %d", op.Upstream())
	}
	r.c.Started(r.now, op)
	res := policy.Response{Status: 500}
	if !r.c.Answered(r.now, op, &res) || res.Upstream != "a" {
		t.Fatalf("not tried again; %+v", res)
	}
	r.c.Settle(r.now, op, &res, nil)
	v := r.c.Again(r.now, op)
	if v.At != r.now+2*second {
		t.Errorf("waits %v", time.Duration(v.At-r.now))
	}
	r.now = v.At
	r.wake(op, Go)
	if op.Upstream() != 1 {
		t.Errorf("upstream %d", op.Upstream())
	}
}

func TestAFailedUpstreamIsAvoided(t *testing.T) {
	g := group(t, "a", "b")
	r := newRig(t, func(c *Config) { c.Retry.Base = 0 })
	op := r.op("k")
	op.Group, op.Req.Explain = g, true
	r.begin(op, Go)
	seen := []int{}
	res := policy.Response{Error: policy.ErrorRefused}
	for range 3 {
		seen = append(seen, op.Upstream())
		r.c.Started(r.now, op)
		if !r.c.Answered(r.now, op, &res) {
			t.Fatal("not tried again")
		}
		r.c.Settle(r.now, op, &res, nil)
		if v := r.c.Again(r.now, op); v.Kind != Go {
			t.Fatalf("verdict %v", v)
		}
	}
	if seen[0] != 0 || seen[1] != 1 {
		t.Errorf("upstreams %v", seen)
	}
	if c := op.Candidates(); len(c) != 1 || c[0].Why != WhyChosen {
		t.Errorf("candidates %v", c)
	}
	if g.InFlight(0) != 0 || g.InFlight(1) != 0 {
		t.Error("attempts are still in flight at an upstream")
	}
}

func TestAFailedUpstreamIsAvoidedHoweverHeavy(t *testing.T) {
	heavy, light := *group(t, "a").Upstream(0), *group(t, "b").Upstream(0)
	heavy.Weight = 100
	g, err := route.NewGroup([]route.Upstream{heavy, light}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *Config) { c.Retry.Base = 0 })
	for _, dry := range []bool{false, true} {
		op := r.op("k")
		op.Group = g
		if dry {
			op.Req.Dry = struct{}{}
		}
		op.tried.Add(0)
		r.begin(op, Go)
		if op.Upstream() != 1 {
			t.Errorf("dry %v: the upstream that failed was chosen again", dry)
		}
		op.tried.Add(1)
		if i, ok := r.c.pick(r.now, op); !ok || i != 0 {
			t.Errorf("dry %v: all failed, and none is tried again: %d %v", dry, i, ok)
		}
	}
}

func TestRouteHookSeesWhatUpstreamsHaveLeft(t *testing.T) {
	var seen []policy.Upstream
	r := newRig(t, func(c *Config) { c.Limits.PerUpstream = Limit{Rate: 1, Burst: 5} },
		&testPolicy{name: "p", onRoute: func(_ *policy.Request, ups []policy.Upstream, d *policy.Decision) error {
			seen = append(seen[:0], ups...)
			d.Upstream = "b"
			return nil
		}})
	g := group(t, "a", "b")
	for range 2 {
		op := r.op("k")
		op.Group = g
		r.begin(op, Go)
		if op.Generation() != 7 {
			t.Errorf("generation %d", op.Generation())
		}
	}
	if seen[0].Remaining != 4 || seen[1].Remaining != 3 { // as a take of one more would leave them
		t.Errorf("upstreams %+v", seen)
	}
}

func TestFullUpstreamsArePassedOver(t *testing.T) {
	for name, l := range map[string]Limit{
		"rate":        {Rate: 1, Burst: 1, MaxWait: Patient},
		"concurrency": {Concurrency: 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := group(t, "a", "b")
			r := newRig(t, func(c *Config) { c.Limits.PerUpstream = l },
				&testPolicy{name: "p", onRequest: func(req *policy.Request, d *policy.Decision) error {
					d.Upstream = req.Tenant
					return nil
				}})
			first, second, third := r.op("k"), r.op("k"), r.op("k")
			first.Group, second.Group, third.Group = g, g, g
			first.Req.Tenant = "b"
			r.begin(first, Go)
			r.begin(second, Go)
			if first.Upstream() != 1 || second.Upstream() != 0 {
				t.Errorf("upstreams %d %d", first.Upstream(), second.Upstream())
			}
			if v := r.c.Begin(r.now, third); v.Kind == Go || v.Kind == Denied {
				t.Errorf("a third went: %v", v)
			}
			named := r.op("k")
			named.Group, named.Req.Tenant = g, "a"
			if v := r.c.Begin(r.now, named); v.Kind == Go || named.Upstream() != 0 {
				t.Errorf("a named full upstream was not kept: %v, %d", v, named.Upstream())
			}
		})
	}
}

func TestUnknownUpstreamIsAFault(t *testing.T) {
	g := group(t, "a", "b", "z")
	p := &testPolicy{name: "p",
		onRequest: func(req *policy.Request, d *policy.Decision) error {
			d.Upstream = req.Tenant
			return nil
		},
		onRoute: func(req *policy.Request, ups []policy.Upstream, d *policy.Decision) error {
			if len(ups) != 3 || ups[0].Name != "a" {
				t.Errorf("upstreams %+v", ups)
			}
			d.Upstream = req.Method
			return nil
		}}
	r := newRig(t, nil, p)
	for _, tt := range []struct {
		tenant, method string
		want, faults   int
	}{{"", "", 0, 0}, {"z", "", 2, 0}, {"nobody", "", 1, 1}, {"", "b", 1, 1}, {"nobody", "nothing", 0, 3}} {
		op := r.op("k")
		op.Group, op.Req.Tenant, op.Req.Method = g, tt.tenant, tt.method
		r.begin(op, Go)
		if op.Upstream() != tt.want || len(r.faults) != tt.faults {
			t.Errorf("%+v: upstream %d, %d faults", tt, op.Upstream(), len(r.faults))
		}
		if d := op.Decision.Upstream; d == "nobody" || d == "nothing" {
			t.Errorf("%+v: the decision still names %q", tt, d)
		}
	}
	if f := r.faults[0]; f.Kind != policy.FaultUpstream || f.Policy != "p" || f.Hook != policy.HookRequest {
		t.Errorf("fault %v", f)
	}
}

func TestAnyUpstreamIsUnknownWithoutAGroup(t *testing.T) {
	r := newRig(t, nil, &testPolicy{name: "p", onRequest: func(_ *policy.Request, d *policy.Decision) error {
		d.Upstream = "a"
		return nil
	}})
	op := r.op("k")
	r.begin(op, Go)
	if op.Upstream() != -1 || len(r.faults) != 1 || op.Decision.Upstream != "" {
		t.Errorf("upstream %d, faults %v", op.Upstream(), r.faults)
	}
	r.end(op, policy.Response{Status: 200})
}

func TestOnlyByNameUpstreamsNeedAName(t *testing.T) {
	r := newRig(t, nil)
	op := r.op("k")
	op.Group = group(t, "z1", "z2")
	r.begin(op, Denied)
	r.denied(op, KindPolicy, 503)
}

func TestConfiguredUpstreamLimitLearnsRetryAfter(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.PerUpstream = Limit{Rate: 1000, Burst: 1000, MaxWait: Patient} })
	op := r.op("k")
	r.begin(op, Go)
	r.c.Started(r.now, op)
	r.c.Answered(r.now, op, &policy.Response{Status: 429, RetryAfter: 7 * time.Second})
	next := r.op("k")
	if v := r.begin(next, Wait); v.At != r.now+7*second {
		t.Errorf("the next waits %v", time.Duration(v.At-r.now))
	}
	r.begin(r.op("elsewhere"), Go)
}

func TestOnDoneOncePerStartedAttempt(t *testing.T) {
	var done []string
	l := bucket(t, 10, 10, 0)
	p := taker(l, func(policy.Entry, *policy.Decision) {})
	p.onDone = func(req *policy.Request, res *policy.Response) error {
		done = append(done, res.Upstream+res.Error)
		if !req.Ledger.Settle(req.Now, "p/l", req.Key, 4) || req.Ledger.Settle(req.Now, "p/other", req.Key, 4) {
			t.Error("settle did not find its entry")
		}
		return nil
	}
	r := newRig(t, nil, p)
	if n := r.again(r.op("k"), policy.Response{Error: policy.ErrorRefused}); n != 4 || len(done) != 4 {
		t.Errorf("%d attempts, onDone %v", n, done)
	}
	if p := l.Peek(r.now, "k", 1); p.Remaining > 4 {
		t.Errorf("the true cost was not settled: %+v", p)
	}
	r.begin(r.op("k2"), Go)
	if len(done) != 4 {
		t.Error("onDone ran for an operation that never started")
	}
}
