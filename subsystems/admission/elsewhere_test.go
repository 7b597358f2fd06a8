package admission

import (
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
)

// What one upstream asks to wait for holds back neither the next attempt nor other
// operations while another one is well; once all have asked, it is waited for.
func TestAnotherUpstreamNeedsNoWait(t *testing.T) {
	g := group(t, "a", "b")
	r := newRig(t, func(c *Config) { c.Retry.Base, c.Retry.Max = 4*time.Second, 4*time.Second })
	for _, res := range []policy.Response{{Status: 429, RetryAfter: 10 * time.Second}, {Status: 503, RetryAfter: 10 * time.Second}, {Error: policy.ErrorRefused}} {
		op := r.op("k")
		op.Group = g
		r.begin(op, Go)
		first := op.Upstream()
		r.c.Started(r.now, op)
		if !r.c.Answered(r.now, op, &res) {
			t.Fatalf("%+v is not tried again", res)
		}
		r.c.Settle(r.now, op, &res, nil)
		if v := r.c.Again(r.now, op); v.Kind != Go || op.Upstream() == first {
			t.Fatalf("%+v at %d: %v at %d", res, first, v, op.Upstream())
		}
		if res.RetryAfter > 0 {
			other := r.op("k")
			other.Group = g
			for range 3 {
				r.begin(other, Go)
				if other.Upstream() == first {
					t.Errorf("%d asked to be left alone and is chosen", first)
				}
				r.c.Cancel(r.now, other, nil)
				other.Free()
				other = r.op("k")
				other.Group = g
			}
			other.Free()
		}
		second := op.Upstream()
		r.c.Started(r.now, op)
		last := policy.Response{Status: 429, RetryAfter: 7 * time.Second}
		if !r.c.Answered(r.now, op, &last) {
			t.Fatal("not tried again")
		}
		r.c.Settle(r.now, op, &last, nil)
		if v := r.c.Again(r.now, op); v.Kind != Wait || v.At != r.now+int64(7*time.Second) {
			t.Errorf("both were tried, %d and %d, and the wait is %v", first, second, time.Duration(v.At-r.now))
		}
		r.c.Cancel(r.now, op, nil)
		op.Free()
		r.now += int64(20 * time.Second)
	}
}

// One dead upstream of two does not open the breaker of the route; two do.
func TestBreakerCountsWhatNoUpstreamCouldTake(t *testing.T) {
	g, err := route.NewBalanced([]route.Upstream{*group(t, "a").Upstream(0), *group(t, "b").Upstream(0)}, route.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *Config) { c.Breaker.Consecutive, c.Retry.PerSecond, c.MaxAttempts = 3, 1000, 2 })
	do := func(dead ...int) {
		op := r.op("k")
		op.Group = g
		if v := r.c.Begin(r.now, op); v.Kind != Go {
			return
		}
		for again := true; again; {
			res := policy.Response{Status: 200}
			for _, i := range dead {
				if op.Upstream() == i {
					res = policy.Response{Error: policy.ErrorRefused}
				}
			}
			r.c.Started(r.now, op)
			again = r.c.Answered(r.now, op, &res)
			r.c.Settle(r.now, op, &res, nil)
			if again && r.c.Again(r.now, op).Kind != Go {
				t.Fatal("it waits")
			}
		}
		op.Free()
	}
	for range 40 {
		do(0)
	}
	if n := r.c.Stats().BreakerOpened; n != 0 {
		t.Fatalf("the breaker opened %d times while b answered", n)
	}
	for range 3 {
		do(0, 1)
	}
	if n := r.c.Stats().BreakerOpened; n != 1 {
		t.Errorf("the breaker opened %d times while nobody answered", n)
	}
}

// The ill are passed over, said so where it is asked for, and asked where nobody is well.
func TestTheIllArePassedOver(t *testing.T) {
	g := group(t, "a", "b")
	r := newRig(t, nil)
	g.Probe(0, false, 1, 1)
	choose := func(dry bool) *Op {
		op := r.op("k")
		op.Group = g
		if dry {
			op.Req.Dry = struct{}{}
		}
		r.begin(op, Go)
		return op
	}
	for range 4 {
		if op := choose(false); op.Upstream() != 1 {
			t.Error("one that is down is chosen")
		}
	}
	op := choose(true)
	told := ""
	for _, c := range op.Candidates() {
		told += c.Name + " " + c.Why + ";"
	}
	if !strings.Contains(told, "b chosen;") || !strings.Contains(told, "a passed over: down;") {
		t.Error(told)
	}
	g.Probe(1, false, 1, 1)
	if op := choose(false); op.Upstream() < 0 {
		t.Error("nobody is well, and nobody is asked")
	}
}

// The route hook of a later attempt sees where the earlier ones failed.
func TestRouteHookSeesWhatFailedBefore(t *testing.T) {
	var seen []bool
	r := newRig(t, func(c *Config) { c.Retry.Base = 0 }, &testPolicy{name: "p", onRoute: func(_ *policy.Request, ups []policy.Upstream, d *policy.Decision) error {
		seen = seen[:0]
		for _, u := range ups {
			seen = append(seen, u.Healthy)
		}
		for _, u := range ups {
			if u.Healthy {
				d.Upstream = u.Name
				break
			}
		}
		return nil
	}})
	op := r.op("k")
	op.Group = group(t, "a", "b")
	r.begin(op, Go)
	r.c.Started(r.now, op)
	res := policy.Response{Error: policy.ErrorRefused}
	if op.Upstream() != 0 || !r.c.Answered(r.now, op, &res) {
		t.Fatal("a is not tried first, or nothing after it")
	}
	r.c.Settle(r.now, op, &res, nil)
	if v := r.c.Again(r.now, op); v.Kind != Go || op.Upstream() != 1 || seen[0] || !seen[1] {
		t.Errorf("%v at %d, seen %v", v, op.Upstream(), seen)
	}
}

// The route hook may find that no upstream can take the operation: its denial is one
// like any other.
func TestRouteHookDenies(t *testing.T) {
	p := &testPolicy{onRoute: func(_ *policy.Request, _ []policy.Upstream, d *policy.Decision) error {
		d.Action, d.Status, d.RetryAfter, d.Reason = policy.ActionDeny, 429, 3*time.Second, "all keys are spent"
		return nil
	}}
	r := newRig(t, nil, p)
	op := r.op("k")
	op.Group = group(t, "a", "b")
	r.begin(op, Denied)
	r.denied(op, KindPolicy, 429)
	if op.Denial.Reason != "all keys are spent" || op.Denial.RetryAfter != 3*time.Second {
		t.Errorf("%+v", op.Denial)
	}
	op.Free()
}
