package admission

import (
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

func TestSlotsGoToTheMoreUrgentThenInOrder(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Concurrency: 1} })
	running := r.op("k")
	r.begin(running, Go)
	var ops []*Op
	for _, p := range []int{5, 1, 9, 5, 9} {
		op := r.op("k")
		op.Req.Priority = p
		if v := r.begin(op, Queued); v.At != r.now+60*second {
			t.Errorf("queued until %v", time.Duration(v.At-r.now))
		}
		ops = append(ops, op)
	}
	if s := r.c.Stats(); s.Queued != 5 {
		t.Errorf("stats %+v", s)
	}
	r.now += second
	for _, want := range []int{2, 4, 0, 3, 1} {
		woken := r.end(running, policy.Response{Status: 200})
		if len(woken) != 1 || woken[0] != ops[want] {
			t.Fatalf("want operation %d to go, got %d", want, len(woken))
		}
		running = woken[0]
		r.wake(running, Go)
		if running.Waited() != time.Second {
			t.Errorf("waited %v", running.Waited())
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Concurrency: 1}; c.QueueMax = 1 })
	r.begin(r.op("k"), Go)
	first := r.op("k")
	r.begin(first, Queued)
	op := r.op("k")
	r.begin(op, Denied)
	r.denied(op, KindQueue, 429)
	r.c.Cancel(r.now, first, nil)
	r.begin(r.op("k"), Queued)
}

func TestQueueEndsAtTheDeadline(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Rate: 100, Burst: 2, Concurrency: 1} })
	running := r.op("k")
	r.begin(running, Go)
	op := r.op("k")
	op.Req.Deadline = r.now + 2*second
	v := r.begin(op, Queued)
	if v.At != r.now+2*second {
		t.Errorf("queued until %v", time.Duration(v.At-r.now))
	}
	r.now = v.At
	r.wake(op, Denied)
	r.denied(op, KindQueue, 429)
	r.wake(op, Denied)
	if woken := r.end(running, policy.Response{Status: 200}); len(woken) != 0 {
		t.Error("one that gave up was let go")
	}
	r.begin(r.op("k"), Go)
}

func TestOneWhoseTimeInTheQueueIsOverDoesNotGo(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Concurrency: 1} })
	running, late, next := r.op("k"), r.op("k"), r.op("k")
	late.Req.Deadline = r.now + second
	r.begin(running, Go)
	r.begin(late, Queued)
	r.begin(next, Queued)
	r.now += 2 * second
	woken := r.end(running, policy.Response{Status: 200})
	if len(woken) != 2 || woken[0] != late || woken[1] != next {
		t.Fatalf("%d let go", len(woken))
	}
	r.wake(late, Denied)
	r.denied(late, KindQueue, 429)
	r.wake(next, Go)
}

func TestOneGateDoesNotBlockAnother(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Limits.Global = Limit{Concurrency: 3}
		c.Limits.PerKey = Limit{Concurrency: 1}
	})
	a1, b1 := r.op("a"), r.op("b")
	r.begin(a1, Go)
	r.begin(b1, Go)
	a2, b2, c1, d1 := r.op("a"), r.op("b"), r.op("c"), r.op("d")
	r.begin(a2, Queued) // for its key
	r.begin(c1, Go)
	r.begin(b2, Queued) // for its key
	r.begin(d1, Queued) // for the whole
	if woken := r.end(b1, policy.Response{Status: 200}); len(woken) != 1 || woken[0] != b2 {
		t.Fatalf("b2 has a slot now and came before d1: %d woken", len(woken))
	}
	if woken := r.end(c1, policy.Response{Status: 200}); len(woken) != 1 || woken[0] != d1 {
		t.Fatalf("d1 has a slot now: %d woken", len(woken))
	}
	if woken := r.end(a1, policy.Response{Status: 200}); len(woken) != 1 || woken[0] != a2 {
		t.Fatalf("a2 has a slot now: %d woken", len(woken))
	}
	for _, op := range []*Op{a2, b2, d1} {
		r.end(op, policy.Response{Status: 200})
	}
	for level := range r.c.gates.byKey {
		if n := len(r.c.gates.byKey[level]); n != 0 {
			t.Errorf("%d gates left at level %d", n, level)
		}
	}
}

func TestMoreConcurrencyLetsWaitersGo(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Concurrency: 1} })
	r.begin(r.op("k"), Go)
	for range 5 {
		r.begin(r.op("k"), Queued)
	}
	cfg := r.c.Config()
	cfg.Limits.Global.Concurrency = 3
	woken, err := r.c.SetConfig(r.now, cfg, nil)
	if err != nil || len(woken) != 2 {
		t.Fatalf("%d let go, %v", len(woken), err)
	}
	cfg.Limits.Global.Concurrency = 0
	if woken, _ = r.c.SetConfig(r.now, cfg, nil); len(woken) != 3 {
		t.Fatalf("%d let go", len(woken))
	}
}

func TestCancelOfAnAdmittedOneLetsTheNextGo(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Concurrency: 1} })
	op, next := r.op("k"), r.op("k")
	r.begin(op, Go)
	r.begin(next, Queued)
	if woken := r.c.Cancel(r.now, op, nil); len(woken) != 1 || woken[0] != next {
		t.Fatalf("%d let go", len(woken))
	}
	r.wake(next, Go)
}

func TestBreakerOpensProbesAndCloses(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Breaker.Consecutive = 3
		c.Breaker.HalfOpen = 2
		c.Breaker.OpenFor = 5 * time.Second
	})
	call := func(res policy.Response) {
		op := r.op("k")
		r.begin(op, Go)
		r.end(op, res)
		op.Free()
	}
	late := r.op("k")
	r.begin(late, Go)
	r.c.Started(r.now, late)
	for range 10 { // neutral outcomes
		call(policy.Response{Error: policy.ErrorCanceled})
		call(policy.Response{Status: 429})
	}
	call(policy.Response{Status: 500})
	call(policy.Response{Error: policy.ErrorReset})
	call(policy.Response{Status: 404})
	for range 3 {
		call(policy.Response{Error: policy.ErrorRefused})
	}
	op := r.op("k")
	r.begin(op, Denied)
	r.denied(op, KindBreaker, 503)
	if op.Denial.RetryAfter != 5*time.Second || r.c.Stats().BreakersOpen != 1 {
		t.Errorf("denial %+v, stats %+v", op.Denial, r.c.Stats())
	}
	r.begin(r.op("other"), Go)
	r.c.Settle(r.now, late, &policy.Response{Status: 200}, nil) // started before: proves nothing

	r.now += 5 * second
	probe, second2 := r.op("k"), r.op("k")
	r.begin(probe, Go)
	r.begin(second2, Go)
	r.begin(r.op("k"), Denied)      // two probes at most
	r.c.Cancel(r.now, second2, nil) // gives its place back
	third := r.op("k")
	r.begin(third, Go)
	r.end(probe, policy.Response{Status: 200})
	r.end(third, policy.Response{Status: 503})
	r.begin(r.op("k"), Denied)
	r.now += 5 * second
	call(policy.Response{Error: policy.ErrorCanceled}) // neutral: another may probe
	call(policy.Response{Status: 200})
	call(policy.Response{Status: 200})
	for range 5 {
		r.begin(r.op("k"), Go)
	}
	if s := r.c.Stats(); s.BreakersOpen != 0 || s.BreakerOpened != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestDisablingTheBreakerClosesIt(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Breaker.Consecutive = 1 })
	op := r.op("k")
	r.begin(op, Go)
	r.end(op, policy.Response{Status: 500})
	r.begin(r.op("k"), Denied)
	cfg := r.c.Config()
	cfg.Breaker.Enabled = false
	if _, err := r.c.SetConfig(r.now, cfg, nil); err != nil {
		t.Fatal(err)
	}
	r.begin(r.op("k"), Go)
	if n := r.c.Stats().BreakersOpen; n != 0 {
		t.Errorf("%d breakers open", n)
	}
}

func TestBreakerOpensAtTheRatio(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Breaker.Consecutive = 0; c.Breaker.MinRequests = 10 })
	run := func(n int) (let int) {
		for i := range n {
			op := r.op("k")
			if r.c.Begin(r.now, op).Kind != Go {
				return i
			}
			status := 200
			if i%2 == 1 {
				status = 500
			}
			r.end(op, policy.Response{Status: status})
			r.now += second / 10
		}
		return n
	}
	if n := run(8); n != 8 {
		t.Fatalf("open after %d of too few", n)
	}
	r.now += 20 * second // the window forgets
	if n := run(30); n != 10 {
		t.Errorf("open after %d, want 10", n)
	}
}

func TestQueuedOnesAreDeniedWhenTheBreakerOpens(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Breaker.Consecutive = 1
		c.Limits.Global = Limit{Rate: 100, Burst: 2, Concurrency: 1}
	})
	running, queued := r.op("k"), r.op("k")
	r.begin(running, Go)
	r.begin(queued, Queued)
	woken := r.end(running, policy.Response{Status: 500})
	if len(woken) != 1 {
		t.Fatalf("%d let go", len(woken))
	}
	r.wake(queued, Denied)
	r.denied(queued, KindBreaker, 503)
	if p := r.c.set.Load().rates[levelGlobal].Peek(r.now, "", 1); p.Remaining != 0 {
		t.Errorf("level %+v, want the denied one's unit back", p)
	}
}

func TestOneWithinAnotherTakesNoGlobalSlot(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Limits.Global = Limit{Concurrency: 1}
		c.Limits.PerKey = Limit{Concurrency: 1}
	})
	outer := r.op("engine")
	r.begin(outer, Go)
	within := r.op("host")
	within.Nested = true
	r.begin(within, Go)
	second := r.op("host")
	second.Nested = true
	r.begin(second, Queued) // the slot of its key is its own
	if woken := r.end(within, policy.Response{Status: 200}); len(woken) != 1 || woken[0] != second {
		t.Error("the next of the key was not let go")
	}
	r.begin(r.op("other"), Queued)
}
