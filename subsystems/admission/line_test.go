package admission

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// inLine is a policy whose concurrency limiter has a line, asked through the natives as
// a guest asks.
func inLine(t testing.TB, p limit.Params) (*testPolicy, *natives.Limiter) {
	t.Helper()
	h := natives.NewHost(natives.HostConfig{})
	tx := h.Begin(t0)
	scope := tx.Scope(natives.ScopeConfig{Policy: "slots"})
	call := scope.NewCall()
	l, err := call.Limiter(limit.Concurrency, "slots", p)
	if err != nil {
		t.Fatal(err)
	}
	call.Loaded()
	tx.Commit()
	calls := sync.Pool{New: func() any {
		c := scope.NewCall()
		c.Loaded()
		return c
	}}
	ask := func(r *policy.Request, d *policy.Decision) error {
		c := calls.Get().(*natives.Call)
		defer calls.Put(c)
		c.Begin(r, nil)
		defer c.End()
		return c.Admit(l, natives.Arg{}, d)
	}
	return &testPolicy{name: "slots", onRequest: ask}, l
}

func lineDriver(t testing.TB, p limit.Params, change func(*Config)) (*Driver, limit.Line) {
	t.Helper()
	ask, l := inLine(t, p)
	slot := &policy.Slot{}
	slot.Swap(policy.NewGeneration(1, policy.NewChain(policy.NewMember(ask, policy.MemberConfig{}))))
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	c, err := New(Options{Subsystem: policy.SubsystemAPI, Slot: slot, Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	return NewDriver(c, nil, nil), l.Limit().(limit.Line)
}

// call runs one operation of that priority for a while and returns how it ended.
func call(ctx context.Context, d *Driver, priority int, takes time.Duration) (waited time.Duration, err error) {
	op := d.Core().NewOp()
	defer op.Free()
	op.Req.Key, op.Req.Priority = "k", priority
	if err = d.Admit(ctx, op); err == nil {
		waited = op.Waited()
		time.Sleep(takes)
		d.Settle(op, &policy.Response{Status: 200})
	}
	return waited, err
}

func TestAPolicysSlotsAreWaitedForInLine(t *testing.T) {
	for _, c := range []struct {
		order string
		want  []int
	}{{"fifo", []int{0, 1, 2, 3}}, {"priority", []int{2, 3, 0, 1}}} {
		synctest.Test(t, func(t *testing.T) {
			d, l := lineDriver(t, limit.Params{Max: 1, MaxQueue: 9, MaxWait: time.Minute, Order: c.order}, nil)
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = call(t.Context(), d, 5, 10*time.Second) })
			synctest.Wait()
			var mu sync.Mutex
			var order []int
			for i, priority := range []int{5, 1, 9, 7} {
				wg.Go(func() {
					waited, err := call(t.Context(), d, priority, 10*time.Second)
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i)
					if err != nil || waited != time.Duration(len(order))*10*time.Second {
						t.Errorf("%d waited %v: %v", i, waited, err)
					}
				})
				synctest.Wait()
			}
			if s := d.Core().Stats(); s.Queued != 4 || s.InFlight != 1 || l.Waiting("k") != 4 {
				t.Errorf("%s: %d wait, %d in line, %d under way", c.order, s.Queued, l.Waiting("k"), s.InFlight)
			}
			wg.Wait()
			if !slices.Equal(order, c.want) {
				t.Errorf("%s: %v", c.order, order)
			}
			if s := d.Core().Stats(); s.Queued != 0 || s.Succeeded != 5 || l.Waiting("k") != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestALineIsLeftInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := lineDriver(t, limit.Params{Max: 1, MaxQueue: 2, MaxWait: 5 * time.Second, Order: "priority"}, nil)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = call(t.Context(), d, 5, 8*time.Second) })
		synctest.Wait()
		denied := func(what string, priority int, after time.Duration, reason string) {
			wg.Go(func() {
				start := time.Now()
				_, err := call(t.Context(), d, priority, 0)
				var e *DeniedError
				if !errors.As(err, &e) || e.Kind != KindQueue && e.Kind != KindPolicy || e.Status != 429 || e.RetryAfter < time.Second ||
					e.Policy != "slots" || !strings.Contains(e.Reason, reason) || time.Since(start) != after {
					t.Errorf("%s: %v after %v", what, err, time.Since(start))
				}
			})
			synctest.Wait()
		}
		denied("its time is over", 4, 5*time.Second, "no slot of slots/slots came free in time")
		denied("somebody more urgent came", 1, time.Second, "is full, and somebody more urgent came")
		denied("the line is full", 1, 0, "")
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := call(ctx, d, 9, 0); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller left: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		if l.Waiting("k") != 1 {
			t.Errorf("%d in line, one of whom left", l.Waiting("k"))
		}
		time.Sleep(4 * time.Second)
		if waited, err := call(t.Context(), d, 5, 0); err != nil || waited != 3*time.Second {
			t.Errorf("the next one waited %v: %v", waited, err)
		}
		wg.Wait()
		if s := d.Core().Stats(); s.Queued != 0 || l.Peek(d.Now(), "k", 0).Remaining != 1 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

func TestALineIsExplained(t *testing.T) {
	explain := func(ctx context.Context, d *Driver, overlay any) policy.Explanation {
		tr := NewTrace(overlay)
		op := d.Core().NewOp()
		defer op.Free()
		op.Req.Key = "k"
		if err := d.Admit(WithTrace(ctx, tr), op); err == nil {
			d.Settle(op, &policy.Response{Status: 200})
		}
		return tr.Explanations()[0]
	}
	synctest.Test(t, func(t *testing.T) {
		d, l := lineDriver(t, limit.Params{Max: 1, MaxQueue: 9, MaxWait: time.Minute}, nil)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _, _ = call(t.Context(), d, 5, 10*time.Second) })
			synctest.Wait()
		}
		e := explain(t.Context(), d, natives.NewOverlay())
		if e.Verdict != policy.VerdictQueue || e.Limiter != "slots/slots" || e.Policy != "slots" || !strings.Contains(e.Reason, "place 2 in its line") || e.Ledger[0].Place != 2 {
			t.Errorf("dry: %+v", e)
		}
		if l.Waiting("k") != 1 {
			t.Errorf("%d in line after a look", l.Waiting("k"))
		}
		e = explain(t.Context(), d, nil)
		if e.Verdict != policy.VerdictWait || e.WaitMS != 20_000 || e.Ledger[0].Place != 2 {
			t.Errorf("real: %+v", e)
		}
		wg.Wait()
	})
}

// What waits in a policy's line counts against the bound of all that wait.
func TestLinesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := lineDriver(t, limit.Params{Max: 1, MaxQueue: 9}, func(c *Config) { c.QueueMax = 1 })
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _, _ = call(t.Context(), d, 5, time.Second) })
			synctest.Wait()
		}
		var e *DeniedError
		if _, err := call(t.Context(), d, 5, 0); !errors.As(err, &e) || e.Kind != KindQueue {
			t.Errorf("one too many: %v", err)
		}
		wg.Wait()
	})
}

// A place in line, a wait for a rate and a configured slot, all at once: no more than
// the limit run, and everything is given back.
func TestLinesHammer(t *testing.T) {
	const slots = 3
	var most, running atomic.Int64
	d, l := lineDriver(t, limit.Params{Max: slots, MaxQueue: 8, MaxWait: 50 * time.Millisecond, Order: "priority"}, func(c *Config) {
		c.Limits.Global = Limit{Rate: 5000, Burst: 4, MaxWait: Patient, Concurrency: slots + 1}
		c.Breaker.Enabled = false
	})
	var wg sync.WaitGroup
	for g := range 24 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(g)))
			for range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rng.IntN(20))*time.Millisecond)
				op := d.Core().NewOp()
				op.Req.Key, op.Req.Priority = "k", rng.IntN(10)
				if d.Admit(ctx, op) == nil {
					most.Store(max(most.Load(), running.Add(1)))
					<-time.After(time.Duration(rng.IntN(300)) * time.Microsecond)
					running.Add(-1)
					d.Settle(op, &policy.Response{Status: 200})
				}
				op.Free()
				cancel()
			}
		})
	}
	wg.Wait()
	if s := d.Core().Stats(); most.Load() > slots || s.Queued != 0 || s.InFlight != 0 || s.Succeeded == 0 {
		t.Errorf("%d ran at once; %+v", most.Load(), s)
	}
	if r := l.Peek(d.Now(), "k", 0); r.Remaining != slots || l.Waiting("k") != 0 {
		t.Errorf("left: %+v, %d in line", r, l.Waiting("k"))
	}
}
