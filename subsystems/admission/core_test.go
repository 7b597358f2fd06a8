package admission

import (
	"errors"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

func TestEmptyChainLetsGo(t *testing.T) {
	r := newRig(t, nil)
	op := r.op("k")
	r.begin(op, Go)
	r.end(op, policy.Response{Status: 200})
	op.Free()
	if s := r.c.Stats(); s.Requests != 1 || s.Started != 1 || s.Succeeded != 1 || s.InFlight != 0 || s.AllDenied() != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestPolicyDenies(t *testing.T) {
	l := bucket(t, 1, 1, 0)
	r := newRig(t, nil, taker(l, func(e policy.Entry, d *policy.Decision) {
		if !e.OK {
			d.Action = policy.ActionDeny
		}
	}))
	op := r.op("k")
	r.begin(op, Go)
	r.end(op, policy.Response{Status: 200})
	op.Free()
	op = r.op("k")
	r.begin(op, Denied)
	r.denied(op, KindPolicy, 429)
	if d := op.Denial; d.Policy != "p" || d.Generation != 7 || d.Limit.Name != "p/l" || d.RetryAfter != time.Second || d.Attempt != 1 {
		t.Errorf("denial %+v", d)
	}
	op.Free()
}

func TestDeniedPolicyGivesBackWhatOthersTook(t *testing.T) {
	l := bucket(t, 1, 1, 0)
	r := newRig(t, nil, taker(l, func(policy.Entry, *policy.Decision) {}),
		&testPolicy{name: "no", onRequest: func(_ *policy.Request, d *policy.Decision) error {
			d.Action, d.Status = policy.ActionDeny, 403
			return nil
		}})
	for range 3 {
		op := r.op("k")
		r.begin(op, Denied)
		r.denied(op, KindPolicy, 403)
		if op.Denial.Policy != "no" || op.Denial.RetryAfter != 0 {
			t.Errorf("denial %+v", op.Denial)
		}
		op.Free()
	}
	if p := l.Peek(r.now, "k", 1); !p.OK || p.Remaining != 0 {
		t.Errorf("a denied operation kept a token: %+v", p)
	}
}

func TestTheLongestWaitCounts(t *testing.T) {
	l := bucket(t, 1, 1, time.Minute)
	r := newRig(t, func(c *Config) {
		c.Limits.Global = Limit{Rate: 0.5, Burst: 1, MaxWait: Patient}
	}, taker(l, func(_ policy.Entry, d *policy.Decision) {
		d.Action, d.Delay = policy.ActionDelay, 1500*time.Millisecond
	}))
	op := r.op("k")
	v := r.begin(op, Wait)
	if v.At != r.now+second*3/2 {
		t.Errorf("the first waits %v", time.Duration(v.At-r.now))
	}
	second2 := r.op("k") // its own limiter says 1s, the policy 1.5s, the global limit 2s
	if v := r.begin(second2, Wait); v.At != r.now+2*second {
		t.Errorf("the second waits %v", time.Duration(v.At-r.now))
	}
	if got := second2.Decision.Limit.Name; got != "limits.api.global" {
		t.Errorf("decided by %q", got)
	}
	r.now += second
	r.wake(second2, Wait)
	r.now += second
	r.wake(second2, Go)
	if second2.Waited() != 2*time.Second || len(second2.Entries()) != 2 {
		t.Errorf("waited %v, entries %+v", second2.Waited(), second2.Entries())
	}
	r.end(second2, policy.Response{Status: 200})
	r.c.Cancel(r.now, op, nil)
}

func TestWaitsBeyondTheBoundAreDeniedAtOnce(t *testing.T) {
	l := bucket(t, 0.01, 1, time.Hour)
	r := newRig(t, nil, taker(l, func(policy.Entry, *policy.Decision) {}))
	first := r.op("k")
	r.begin(first, Go)
	op := r.op("k")
	r.begin(op, Denied)
	r.denied(op, KindMaxWait, 429)
	if op.Denial.RetryAfter != 100*time.Second || op.Denial.Limit.Name != "p/l" {
		t.Errorf("denial %+v", op.Denial)
	}
	op.Free()
	op = r.op("k")
	op.Req.Deadline = r.now + 5*second
	r.begin(op, Denied)
	r.denied(op, KindDeadline, 429)
	if p := l.Peek(r.now, "k", 1); p.Wait != 100*time.Second {
		t.Errorf("the reservations were not given back: %+v", p)
	}
	op = r.op("k")
	op.Req.Deadline = r.now - 1
	r.begin(op, Denied)
	r.denied(op, KindDeadline, 429)
}

func TestConfiguredLimits(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.PerKey = Limit{Rate: 1, Burst: 1, MaxWait: 2 * time.Second} })
	for i, want := range []VerdictKind{Go, Wait, Wait, Denied} {
		op := r.op("k")
		v := r.begin(op, want)
		if want == Wait && v.At != r.now+int64(i)*second {
			t.Errorf("%d waits until %v", i, time.Duration(v.At-r.now))
		}
		if want == Denied {
			r.denied(op, KindLimit, 429)
			if op.Denial.RetryAfter != 3*time.Second || op.Denial.Limit.Name != "limits.api.per_key" || op.Denial.Limit.Key != "k" {
				t.Errorf("denial %+v", op.Denial)
			}
		}
	}
	r.begin(r.op("other"), Go)
}

func TestDecisionKeyRecountsTheConfiguredLimits(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.PerKey = Limit{Rate: 1, Burst: 1} },
		&testPolicy{name: "p", onRequest: func(req *policy.Request, d *policy.Decision) error {
			d.Key = req.Tenant
			return nil
		}})
	for _, step := range []struct {
		key, tenant string
		want        VerdictKind
	}{{"a", "t1", Go}, {"b", "t1", Denied}, {"a", "t2", Go}} {
		op := r.op(step.key)
		op.Req.Tenant = step.tenant
		r.begin(op, step.want)
	}
}

func TestCancelGivesTheReservationBack(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Rate: 1, Burst: 1, MaxWait: Patient} })
	r.begin(r.op("k"), Go)
	waiting := make([]*Op, 5)
	for i := range waiting {
		waiting[i] = r.op("k")
		r.begin(waiting[i], Wait)
	}
	for _, op := range waiting {
		if woken := r.c.Cancel(r.now, op, nil); len(woken) != 0 {
			t.Error("cancelling a waiting operation let others go")
		}
		op.Free()
	}
	op := r.op("k")
	if v := r.begin(op, Wait); v.At != r.now+second {
		t.Errorf("after five cancels the next waits %v", time.Duration(v.At-r.now))
	}
	if s := r.c.Stats(); s.Canceled != 5 || s.Queued != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestCallersThatLeaveTogetherGiveEverythingBack(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Rate: 10, Burst: 1, MaxWait: Patient} })
	r.begin(r.op("k"), Go)
	waiting := make([]*Op, 500)
	for i := range waiting {
		waiting[i] = r.op("k")
		r.begin(waiting[i], Wait)
	}
	r.now += second // ten of them could have gone
	for _, op := range waiting {
		r.c.Cancel(r.now, op, nil)
		op.Free()
	}
	op := r.op("k")
	v := r.c.Begin(r.now, op)
	if v.Kind != Go && v.At > r.now+second/10 {
		t.Errorf("after all have left the next waits %v", time.Duration(v.At-r.now))
	}
}

func TestDryTouchesNothing(t *testing.T) {
	g := group(t, "a", "b")
	r := newRig(t, func(c *Config) {
		c.Limits.Global = Limit{Rate: 1, Burst: 1, MaxWait: Patient}
		c.Limits.PerKey = Limit{Concurrency: 1}
	})
	dry := func() *Op {
		op := r.op("k")
		op.Req.Dry, op.Group = struct{}{}, g
		return op
	}
	for range 3 {
		op := dry()
		r.begin(op, Go)
		if op.Waited() != 0 || op.Upstream() != 0 {
			t.Fatalf("dry: waits %v, upstream %d", op.Waited(), op.Upstream())
		}
		op.Free()
	}
	live := r.op("k")
	r.begin(live, Go)
	op := dry()
	r.begin(op, Go)
	if op.Waited() != time.Second || len(op.Entries()) != 1 || op.Entries()[0].Limiter != "limits.api.global" {
		t.Errorf("dry: would wait %v, entries %+v", op.Waited(), op.Entries())
	}
	op.Free()
	if s := r.c.Stats(); s.Requests != 1 || s.Queued != 0 {
		t.Errorf("dry operations were counted: %+v", s)
	}
}

func TestCloseDeniesNewOnes(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Rate: 1, Burst: 1, MaxWait: Patient} })
	r.begin(r.op("k"), Go)
	waiting := r.op("k")
	r.begin(waiting, Wait)
	r.c.Close()
	op := r.op("k")
	r.begin(op, Denied)
	r.denied(op, KindClosed, 503)
	r.now += second
	r.wake(waiting, Go)
}

func TestDeniedErrorSaysWho(t *testing.T) {
	for _, tt := range []struct {
		d    Denial
		want string
	}{
		{Denial{Kind: KindPolicy, Status: 429, Policy: "p", Reason: "spent", RetryAfter: time.Second}, "admission: denied: policy p: status 429: spent (retry after 1s)"},
		{Denial{Kind: KindLimit, Status: 429, Limit: policy.LimitInfo{Name: "limits.api.global"}}, "admission: denied: limits.api.global: status 429"},
		{Denial{Kind: KindBreaker, Status: 503}, "admission: denied: breaker: status 503"},
	} {
		err := error(&DeniedError{tt.d})
		if err.Error() != tt.want || !errors.Is(err, ErrDenied) {
			t.Errorf("%q", err)
		}
	}
}

func TestStatsReachThePolicy(t *testing.T) {
	var seen policy.Stats
	r := newRig(t, nil, &testPolicy{name: "p", onRequest: func(req *policy.Request, _ *policy.Decision) error {
		seen = req.Stats
		return nil
	}})
	for i := range 10 {
		op := r.op("k")
		r.begin(op, Go)
		r.c.Started(r.now, op)
		r.now += 20 * int64(time.Millisecond)
		status := 200
		if i%2 == 0 {
			status = 500
		}
		r.c.Settle(r.now, op, &policy.Response{Status: status}, nil)
		op.Free()
		r.now += 100 * int64(time.Millisecond)
	}
	busy := r.op("k")
	r.begin(busy, Go)
	r.c.Started(r.now, busy)
	r.begin(r.op("k"), Go)
	if seen.InFlight != 1 || seen.ErrorRate != 0.5 || seen.P50 < 10*time.Millisecond || seen.P95 > 30*time.Millisecond || seen.Rate <= 0 {
		t.Errorf("stats %+v", seen)
	}
}

func TestFieldsAndValuesAgree(t *testing.T) {
	r := newRig(t, nil)
	if n, m := len(Fields()), len(r.c.AppendValues(nil)); n != m {
		t.Errorf("%d fields, %d values", n, m)
	}
	seen := map[string]bool{}
	for _, f := range Fields() {
		if seen[f.Name] || f.Help == "" {
			t.Errorf("field %+v", f)
		}
		seen[f.Name] = true
	}
}

// One that is let go and leaves before it starts is in flight no more.
func TestLeavingBeforeTheStartIsNotInFlight(t *testing.T) {
	r := newRig(t, nil)
	op := r.op("k")
	r.begin(op, Go)
	if s := r.c.Stats(); s.InFlight != 1 {
		t.Errorf("%d in flight", s.InFlight)
	}
	r.c.Cancel(r.now, op, nil)
	op.Free()
	if s := r.c.Stats(); s.InFlight != 0 || s.Canceled != 1 || s.Started != 0 {
		t.Errorf("%+v", s)
	}
}
