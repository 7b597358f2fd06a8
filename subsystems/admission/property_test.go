package admission

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
)

// walk drives many operations at random through one Core.
type walk struct {
	*rig
	rnd     *rand.Rand
	group   *route.Group
	bucket  limit.Limiter // taken by the policy
	slots   limit.Limiter // taken by the policy
	open    []*Op         // begun
	running []*Op         // started
	started int64
}

func newWalk(t *testing.T, seed uint64) *walk {
	w := &walk{rnd: rand.New(rand.NewPCG(seed, 1))}
	w.bucket = bucket(t, 1e-3, 200, time.Hour)
	w.slots, _ = limit.New(limit.Concurrency, limit.Params{Max: 1000})
	p := &testPolicy{name: "p", onRequest: func(req *policy.Request, d *policy.Decision) error {
		for _, l := range []limit.Limiter{w.bucket, w.slots} {
			res := l.Take(req.Now, "", 1, -1)
			if res.OK {
				req.Ledger.Add(policy.Entry{From: l, Limiter: "p/l", Cost: 1, Taken: req.Now, OK: true, Wait: res.Wait})
			}
		}
		switch w.rnd.IntN(8) {
		case 0:
			d.Action = policy.ActionDeny
		case 1:
			d.Action, d.Delay = policy.ActionDelay, time.Duration(w.rnd.IntN(50))*time.Millisecond
		case 2:
			d.Key, d.HasPriority, d.Priority = "shared", true, w.rnd.IntN(10)
		}
		return nil
	}}
	w.rig = newRig(t, func(c *Config) {
		c.Limits.Global = Limit{Concurrency: 4}
		c.Limits.PerKey = Limit{Rate: 1e-3, Burst: 100_000, Concurrency: 2, MaxWait: Patient}
		c.Limits.PerUpstream = Limit{Rate: 100, Burst: 3, Concurrency: 3, MaxWait: Patient}
		c.MaxWait, c.QueueMax = 300*time.Millisecond, 12
		c.Breaker.OpenFor, c.Breaker.Consecutive = 30*time.Millisecond, 4
	}, p)
	w.group = group(t, "a", "b")
	return w
}

// verdict files op by what becomes of it.
func (w *walk) verdict(op *Op, v Verdict) {
	i := slices.Index(w.open, op)
	switch {
	case v.Kind == Denied:
		if i >= 0 {
			w.open = slices.Delete(w.open, i, i+1)
		}
		op.Free()
	case v.Kind == Go && w.rnd.IntN(4) > 0:
		if i >= 0 {
			w.open = slices.Delete(w.open, i, i+1)
		}
		w.c.Started(w.now, op)
		w.started++
		w.running = append(w.running, op)
	case i < 0:
		w.open = append(w.open, op)
	}
}

func (w *walk) wakeAll(ops []*Op) {
	for _, op := range ops {
		v := w.c.Wake(w.now, op)
		if v.Kind == Wait || v.Kind == Queued {
			w.Fatalf("one that was let go must wait again: %v", v)
		}
		w.verdict(op, v)
	}
}

func (w *walk) settle(op *Op) {
	res := policy.Response{Status: []int{200, 200, 429, 503, 0}[w.rnd.IntN(5)]}
	if res.Status == 0 {
		res.Error = []string{policy.ErrorReset, policy.ErrorCanceled}[w.rnd.IntN(2)]
	}
	w.running = slices.DeleteFunc(w.running, func(o *Op) bool { return o == op })
	more := w.c.Answered(w.now, op, &res)
	woken := w.c.Settle(w.now, op, &res, nil)
	if more && w.rnd.IntN(5) > 0 {
		w.verdict(op, w.c.Again(w.now, op))
	} else {
		op.Free()
	}
	w.wakeAll(woken)
}

func (w *walk) cancel(op *Op) {
	w.open = slices.DeleteFunc(w.open, func(o *Op) bool { return o == op })
	woken := w.c.Cancel(w.now, op, nil)
	op.Free()
	w.wakeAll(woken)
}

func (w *walk) step() {
	w.now += int64(w.rnd.IntN(5)) * int64(time.Millisecond)
	switch n := w.rnd.IntN(10); {
	case n < 4:
		op := w.op([]string{"a", "b", "c"}[w.rnd.IntN(3)])
		op.Req.Priority = w.rnd.IntN(10)
		if w.rnd.IntN(2) == 0 {
			op.Group = w.group
		}
		if w.rnd.IntN(3) == 0 {
			op.Req.Deadline = w.now + int64(w.rnd.IntN(100))*int64(time.Millisecond)
		}
		w.verdict(op, w.c.Begin(w.now, op))
	case n < 7 && len(w.open) > 0:
		op := w.open[w.rnd.IntN(len(w.open))]
		w.verdict(op, w.c.Wake(w.now, op))
	case n == 7 && len(w.open) > 0:
		w.cancel(w.open[w.rnd.IntN(len(w.open))])
	case len(w.running) > 0:
		w.settle(w.running[w.rnd.IntN(len(w.running))])
	}
	w.invariants()
}

// invariants must hold after every step: nobody waits for what is free.
func (w *walk) invariants() {
	s := w.c.set.Load()
	waiting := 0
	for level := range w.c.gates.byKey {
		bound := s.Limits.at(level).Concurrency
		for _, g := range w.c.gates.byKey[level] {
			waiting += g.waiting
			if g.inFlight > bound {
				w.Fatalf("%d in flight at %s %q", g.inFlight, levelNames[level], g.key)
			}
			if g.waiting > 0 && g.inFlight < bound {
				w.Fatalf("%d wait at %s %q for %d free slots", g.waiting, levelNames[level], g.key, bound-g.inFlight)
			}
		}
	}
	if waiting != w.c.queued {
		w.Fatalf("%d in the gates' queues, %d counted", waiting, w.c.queued)
	}
}

func TestNothingLeaks(t *testing.T) {
	for seed := range uint64(40) {
		w := newWalk(t, seed)
		for range 1500 {
			w.step()
		}
		for len(w.running) > 0 {
			w.settle(w.running[0])
		}
		for len(w.open)+len(w.running) > 0 {
			for len(w.open) > 0 {
				w.cancel(w.open[0])
			}
			for len(w.running) > 0 {
				w.settle(w.running[0])
			}
		}
		stats := w.c.Stats()
		if stats.InFlight != 0 || stats.Queued != 0 {
			t.Fatalf("seed %d: %+v", seed, stats)
		}
		for level := range w.c.gates.byKey {
			if n := len(w.c.gates.byKey[level]); n != 0 {
				t.Fatalf("seed %d: %d gates left at %s", seed, n, levelNames[level])
			}
		}
		for key, k := range w.c.keys.byKey {
			if k.refs != 0 || k.inFlight != 0 || k.queued != 0 || k.breaker.probes != 0 {
				t.Fatalf("seed %d: key %s is not at rest: %+v", seed, key, k)
			}
		}
		if w.group.InFlight(0) != 0 || w.group.InFlight(1) != 0 {
			t.Fatalf("seed %d: attempts left at an upstream", seed)
		}
		if p := w.slots.Peek(w.now, "", 1); p.Remaining != 999 {
			t.Fatalf("seed %d: slots of the policy leak: %+v", seed, p)
		}
		// A unit is worth 1000 s and the walk lasts a few: what started is gone,
		// what did not is back.
		var taken int64
		l := w.c.set.Load().rates[levelKey]
		for _, key := range []string{"a", "b", "c", "shared"} {
			taken += 100_000 - 1 - l.Peek(w.now, key, 1).Remaining
		}
		if off := taken - w.started; off < 0 || off > 4 {
			t.Fatalf("seed %d: %d started, %d units taken", seed, w.started, taken)
		}
	}
}
