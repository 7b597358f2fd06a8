package limit

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// stander is who stands in a line, and counts how often it was let go.
type stander struct{ let atomic.Int64 }

func (s *stander) LetGo() { s.let.Add(1) }

func newLine(tb testing.TB, p Params) Line {
	tb.Helper()
	return mustNew(tb, Concurrency, p).(Line)
}

func TestALineIsServedInItsOrder(t *testing.T) {
	for _, c := range []struct {
		order string
		want  []int
	}{
		{"fifo", []int{0, 1, 2, 3, 4}},
		{"priority", []int{2, 4, 0, 3, 1}},
	} {
		l := newLine(t, Params{Max: 1, MaxQueue: 10, MaxWait: time.Minute, Order: c.order})
		l.Take(t0, "k", 1, 0)
		var places []*Place
		for i, priority := range []int{5, 1, 9, 5, 9} {
			r, p := l.Join(t0, "k", 1, priority, -1, &stander{})
			if !r.OK || p == nil || p.State() != policy.PlaceWaits || l.Waiting("k") != i+1 {
				t.Fatalf("%s: joined with %+v, %d wait", c.order, r, l.Waiting("k"))
			}
			places = append(places, p)
		}
		if l.Take(t0, "k", 1, 0).OK || l.Peek(t0, "k", 1).OK {
			t.Errorf("%s: somebody overtook", c.order)
		}
		for n, i := range c.want {
			l.Release(t0+1, "k", 1)
			if p := places[i]; p.State() != policy.PlaceGranted || p.waiter.(*stander).let.Load() != 1 {
				t.Fatalf("%s: at %d not place %d was served: %v", c.order, n, i, p.State())
			}
		}
		l.Release(t0+1, "k", 1)
		if !l.Take(t0+1, "k", 1, 0).OK || l.Waiting("k") != 0 {
			t.Errorf("%s: the line is empty and the slot is not free", c.order)
		}
	}
}

func TestAFullLineRefusesOrSheds(t *testing.T) {
	l := newLine(t, Params{Max: 1, MaxQueue: 2, Order: "priority"})
	l.Take(t0, "k", 1, 0)
	var who [5]stander
	_, low := l.Join(t0, "k", 1, 3, -1, &who[0])
	_, lower := l.Join(t0, "k", 1, 2, -1, &who[1])
	if r, p := l.Join(t0, "k", 1, 2, -1, &who[2]); r.OK || p != nil || r.Wait != RetryHint {
		t.Errorf("one no more urgent came in: %+v", r)
	}
	_, high := l.Join(t0, "k", 1, 9, -1, &who[3])
	if lower.State() != policy.PlaceLost || who[1].let.Load() != 1 || low.State() != policy.PlaceWaits || high == nil || high.Ahead() != 0 {
		t.Errorf("the least urgent is %v, the other %v", lower.State(), low.State())
	}
	if !lower.Leave(t0) {
		t.Error("a lost place had units to give back")
	}
	fifo := newLine(t, Params{Max: 1, MaxQueue: 1})
	fifo.Take(t0, "k", 1, 0)
	fifo.Join(t0, "k", 1, 0, -1, &who[0])
	if r, _ := fifo.Join(t0, "k", 1, 9, -1, &who[4]); r.OK {
		t.Error("first come first served knows no urgency")
	}
}

func TestOneWhoLeavesIsPassedOver(t *testing.T) {
	l := newLine(t, Params{Max: 2, MaxQueue: 5})
	l.Take(t0, "k", 1, 0)
	l.Take(t0, "k", 1, 0)
	_, big := l.Join(t0, "k", 2, 5, -1, &stander{})
	_, small := l.Join(t0, "k", 1, 5, -1, &stander{})
	l.Release(t0, "k", 1)
	if small.State() != policy.PlaceWaits {
		t.Fatal("the second overtook the first, which needs more")
	}
	if !big.Leave(t0) || small.State() != policy.PlaceGranted {
		t.Errorf("left %v, the one behind %v", big.State(), small.State())
	}
	if small.Leave(t0) {
		t.Error("granted units are given back as any")
	}
	_, late := l.Join(t0, "k", 1, 5, time.Second, &stander{})
	_, next := l.Join(t0, "k", 1, 5, time.Minute, &stander{})
	l.Release(t0+int64(2*time.Second), "k", 1)
	if late.State() != policy.PlaceLost || next.State() != policy.PlaceGranted {
		t.Errorf("its time was over and it is %v, the next %v", late.State(), next.State())
	}
}

func TestALineFollowsItsLimiter(t *testing.T) {
	l := newLine(t, Params{Max: 1, MaxWait: time.Minute})
	if p := l.Params(); p.MaxQueue != DefaultMaxQueue || p.Order != "fifo" {
		t.Errorf("params %+v", p)
	}
	l.Take(t0, "k", 1, 0)
	var places []*Place
	for range 4 {
		_, p := l.Join(t0, "k", 1, 5, -1, &stander{})
		places = append(places, p)
	}
	fork := l.Fork().(Line)
	if r, p := fork.Join(t0, "k", 1, 5, -1, nil); !r.OK || p.Ahead() != 4 || l.Waiting("k") != 4 || fork.Waiting("k") != 4 {
		t.Errorf("a look saw %+v, %d before it", r, p.Ahead())
	}
	if err := l.Set(Params{Max: 3, MaxWait: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if places[1].State() != policy.PlaceGranted || places[2].State() != policy.PlaceWaits {
		t.Error("more slots let two go")
	}
	l.Reset("k")
	if places[3].State() != policy.PlaceGranted || l.Waiting("k") != 0 {
		t.Error("a key that was forgotten holds nobody up")
	}
	none := newLine(t, Params{Max: 1})
	none.Take(t0, "k", 1, 0)
	if r, p := none.Join(t0, "k", 1, 5, -1, &stander{}); r.OK || p != nil {
		t.Error("a limiter without a line has one")
	}
	if r, p := l.Join(t0, "k", 9, 5, -1, &stander{}); r.Wait != Never || p != nil {
		t.Errorf("more than there will ever be waits: %+v", r)
	}
}

func TestKeysWithoutALevelOfTheirOwnShareALine(t *testing.T) {
	l := newLine(t, Params{Max: 1, MaxWait: time.Minute, MaxKeys: 1})
	l.Take(t0, "held", 1, 0)
	l.Take(t0, "a", 1, 0) // of the level that the others share
	_, b := l.Join(t0, "b", 1, 5, -1, &stander{})
	l.Release(t0, "a", 1)
	if b.State() != policy.PlaceGranted {
		t.Errorf("b is %v", b.State())
	}
}

func TestParamsOfALine(t *testing.T) {
	for _, p := range []Params{{Max: 1, MaxQueue: -1}, {Max: 1, MaxQueue: maxQueue + 1}, {Max: 1, MaxQueue: 1, Order: "lifo"}} {
		if Concurrency.Check(p) == nil {
			t.Errorf("%+v is no fault", p)
		}
	}
}

// Never more than the limit run, everybody is let go once, and nobody is forgotten.
func TestLineHammer(t *testing.T) {
	const slots, goroutines, loops = 3, 32, 300
	l := newLine(t, Params{Max: slots, MaxQueue: 4, MaxWait: time.Hour, Order: "priority"})
	var running, most, lost atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(g)))
			for range loops {
				w := &signalled{ch: make(chan struct{}, 1)}
				r, p := l.Join(t0, "k", 1, rng.IntN(10), -1, w)
				if !r.OK {
					continue
				}
				if p != nil {
					if rng.IntN(4) == 0 && p.Leave(t0) {
						continue
					}
					<-w.ch
					if p.State() == policy.PlaceLost {
						lost.Add(1)
						continue
					}
				}
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				if rng.IntN(50) == 0 {
					_ = l.Set(Params{Max: slots, MaxQueue: int64(1 + rng.IntN(4)), MaxWait: time.Hour, Order: "priority"})
				}
				runtime.Gosched()
				running.Add(-1)
				l.Release(t0, "k", 1)
			}
		})
	}
	wg.Wait()
	if most.Load() > slots || l.Waiting("k") != 0 || l.Peek(t0, "k", 0).Remaining != slots {
		t.Errorf("%d ran at once, %d wait, %+v left", most.Load(), l.Waiting("k"), l.Peek(t0, "k", 0))
	}
	if lost.Load() == 0 {
		t.Error("nobody was shed: the test tests nothing")
	}
}

type signalled struct{ ch chan struct{} }

func (s *signalled) LetGo() { s.ch <- struct{}{} }

// Poisson arrivals at c slots that all wait: the share that waits is Erlang's C, and the
// mean wait is C / (c mu - lambda).
func TestLineWaitsAsErlangC(t *testing.T) {
	const slots, load, arrivals = 4, 3.2, 300_000
	l := newLine(t, Params{Max: slots, MaxQueue: maxQueue, MaxWait: 1000 * time.Hour})
	rng := rand.New(rand.NewPCG(7, 7))
	type job struct {
		p       *Place
		arrived float64
	}
	var line []job // first come first served
	var ends []float64
	now, waited, waits := 0.0, 0.0, 0
	at := func() int64 { return t0 + int64(now*1e6) }
	start := func(arrived float64) {
		if w := now - arrived; w > 0 {
			waited += w
			waits++
		}
		ends = append(ends, now+rng.ExpFloat64())
	}
	next := 0.0
	for n := 0; n < arrivals; {
		first := -1
		for i := range ends {
			if ends[i] < next && (first < 0 || ends[i] < ends[first]) {
				first = i
			}
		}
		if first >= 0 {
			now = ends[first]
			ends = append(ends[:first], ends[first+1:]...)
			l.Release(at(), "k", 1)
			for len(line) > 0 && line[0].p.State() == policy.PlaceGranted {
				start(line[0].arrived)
				line = line[1:]
			}
			continue
		}
		now = next
		next += rng.ExpFloat64() / load
		n++
		if _, p := l.Join(at(), "k", 1, 5, -1, &stander{}); p == nil {
			start(now)
		} else {
			line = append(line, job{p, now})
		}
	}
	b := 1.0
	for k := 1.0; k <= slots; k++ {
		b = load * b / (k + load*b)
	}
	c := b / (1 - load/slots*(1-b))
	if share := float64(waits) / arrivals; math.Abs(share-c) > 0.02 {
		t.Errorf("%.4f waited, want %.4f", share, c)
	}
	if mean, want := waited/arrivals, c/(slots-load); math.Abs(mean-want) > 0.06*want {
		t.Errorf("waited %.4f on average, want %.4f", mean, want)
	}
}
