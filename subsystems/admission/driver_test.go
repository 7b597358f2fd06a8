package admission

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
)

func newDriver(t testing.TB, change func(*Config)) *Driver {
	cfg := DefaultConfig()
	change(&cfg)
	c, err := New(Options{Subsystem: policy.SubsystemAPI, Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	return NewDriver(c, nil, nil)
}

func TestDriverSleepsAndWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver(t, func(c *Config) {
			c.Limits.Global = Limit{Rate: 1, Burst: 1, MaxWait: Patient}
			c.Limits.PerKey = Limit{Concurrency: 1}
		})
		start := time.Now()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				op := d.Core().NewOp()
				defer op.Free()
				op.Req.Key = "k"
				if err := d.Admit(t.Context(), op); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(3 * time.Second)
				d.Settle(op, &policy.Response{Status: 200})
			})
		}
		wg.Wait()
		// The rate lets one go each second, the slot one every three.
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("took %v", took)
		}
		if s := d.Core().Stats(); s.Succeeded != 5 || s.Queued != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestDriverHonoursTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver(t, func(c *Config) { c.Limits.Global = Limit{Rate: 0.1, Burst: 1, MaxWait: Patient} })
		admit := func(ctx context.Context) error {
			op := d.Core().NewOp()
			defer op.Free()
			err := d.Admit(ctx, op)
			if err == nil {
				d.Settle(op, &policy.Response{Status: 200})
			}
			return err
		}
		if err := admit(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := admit(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var denied *DeniedError
		start := time.Now()
		if err := admit(short); !errors.As(err, &denied) || denied.Kind != KindDeadline || time.Since(start) != 0 {
			t.Errorf("a wait beyond the deadline: %v after %v", err, time.Since(start))
		}
		if err := admit(t.Context()); err != nil || time.Since(start) != 9*time.Second {
			t.Errorf("the token of the one that left did not come back: %v after %v", err, time.Since(start))
		}
	})
}

// TestHammer runs operations of all fates at once; run it under -race.
func TestHammer(t *testing.T) {
	d := newDriver(t, func(c *Config) {
		c.Limits.Global = Limit{Concurrency: 3}
		c.Limits.PerKey = Limit{Rate: 1e6, Burst: 100, MaxWait: Patient, Concurrency: 2}
		c.Breaker.Consecutive, c.Breaker.OpenFor = 5, 100*time.Microsecond
		c.Retry.Base, c.Retry.PerSecond = 50*time.Microsecond, 1e6
	})
	g := group(t, "a", "b")
	var running, most atomic.Int64
	var wg sync.WaitGroup
	for p := range uint64(16) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(p, 2))
			for range 150 {
				d.once(t, rnd, g, &running, &most)
			}
		})
	}
	for i := range 20 {
		cfg := d.Core().Config()
		cfg.Limits.Global.Concurrency = 3 - int64(i%2)
		if err := d.SetConfig(cfg); err != nil {
			t.Error(err)
		}
		d.Core().Stats()
	}
	wg.Wait()
	if most.Load() > 3 {
		t.Errorf("%d ran at once", most.Load())
	}
	s := d.Core().Stats()
	if s.InFlight != 0 || s.Queued != 0 || s.Started != s.Succeeded+s.Failed {
		t.Errorf("stats %+v", s)
	}
	if n := len(d.Core().gates.byKey[levelGlobal]) + len(d.Core().gates.byKey[levelKey]); n != 0 {
		t.Errorf("%d gates left", n)
	}
}

// once takes one operation through the driver, with retries and callers that leave.
func (d *Driver) once(t *testing.T, rnd *rand.Rand, g *route.Group, running, most *atomic.Int64) {
	op := d.Core().NewOp()
	defer op.Free()
	op.Req.Key, op.Group, op.Replayable, op.Idempotent = []string{"a", "b", "c"}[rnd.IntN(3)], g, true, true
	op.Req.Priority = rnd.IntN(10)
	ctx := context.Background()
	if rnd.IntN(3) == 0 {
		c, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Microsecond)
		defer cancel()
		ctx = c
	}
	err := d.Admit(ctx, op)
	for err == nil {
		n := running.Add(1)
		for have := most.Load(); n > have && !most.CompareAndSwap(have, n); have = most.Load() {
		}
		res := policy.Response{Status: []int{200, 200, 200, 503}[rnd.IntN(4)]}
		again := d.Answered(op, &res)
		running.Add(-1)
		d.Settle(op, &res)
		if !again {
			return
		}
		err = d.Again(ctx, op)
	}
	if !errors.Is(err, ErrDenied) && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
