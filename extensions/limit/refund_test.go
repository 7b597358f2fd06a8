package limit

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// leaving is a take: when its action starts, and what it costs in the end.
type leaving struct{ at, cost, charged int64 }

// run is a random life of one key: takes that wait or not, some given back before they
// start or right away, the cost of some settled to less after they started.
type run struct {
	rng     *rand.Rand
	l       Limiter
	now     int64
	burst   int64
	maxWait time.Duration
	all     []leaving
}

func (r *run) step(emission int64) {
	switch r.rng.IntN(10) {
	case 0:
		r.now += r.rng.Int64N(4 * r.burst * emission)
	case 1, 2, 3:
		r.now += r.rng.Int64N(2 * emission)
	case 4:
		if len(r.all) > 0 {
			r.end(r.rng.IntN(len(r.all)))
		}
	case 5:
		if len(r.all) > 0 {
			r.end(len(r.all) - 1 - r.rng.IntN(min(len(r.all), 3)))
		}
	default:
		cost := r.rng.Int64N(r.burst) + 1
		if r.rng.IntN(2) == 0 {
			cost = 1
		}
		if res := r.l.Take(r.now, "k", cost, r.maxWait); res.OK {
			r.all = append(r.all, leaving{r.now + int64(res.Wait), cost, cost})
		}
	}
}

// end gives back what has not started, and settles what has.
func (r *run) end(i int) {
	a := &r.all[i]
	if a.charged == 0 {
		return
	}
	if a.at >= r.now {
		r.l.GiveBack(r.now, "k", a.charged, a.at)
		a.cost, a.charged = 0, 0
		return
	}
	actual := r.rng.Int64N(a.charged + 1)
	r.l.Settle(r.now, "k", a.charged, actual, a.at)
	a.cost, a.charged = actual, actual
}

// over is by how much those who left went over the bound in any closed interval, in ns:
// they are charged to a bucket that allows exactly that.
func (r *run) over(rate *Rate) (most int64) {
	slices.SortFunc(r.all, func(a, b leaving) int { return cmp.Compare(a.at, b.at) })
	tat := int64(0)
	for _, a := range r.all {
		if a.cost > 0 {
			tat = max(tat, a.at) + rate.worth(a.cost)
			most = max(most, tat-a.at-rate.full)
		}
	}
	return most
}

// Whatever is given back and settled, and when: those who leave keep to the bound.
func TestRefundsKeepTheBound(t *testing.T) {
	for _, c := range []struct {
		rate    float64
		burst   int64
		maxWait time.Duration
	}{{10, 1, 0}, {10, 5, 0}, {1000, 20, 0}, {10, 1, 2 * time.Second}, {10, 5, 2 * time.Second}, {1000, 20, 50 * time.Millisecond}, {333_333, 9, time.Millisecond}, {5000, 50_000, 2 * time.Second}} {
		for seed := range fewer(1000) {
			r := &run{rng: rand.New(rand.NewPCG(uint64(seed), 31)), l: mustNew(t, TokenBucket, Params{Rate: c.rate, Burst: c.burst, MaxWait: c.maxWait}), now: t0, burst: c.burst, maxWait: c.maxWait}
			rate := mustRate(t, c.rate, time.Second, c.burst)
			for range 125 {
				r.step(rate.emission)
			}
			slack := int64(0)
			if rate.period != 0 {
				slack = 4
			}
			if over := r.over(rate); over > slack {
				t.Fatalf("rate %v burst %d wait %v, seed %d: %d ns over the bound of %d", c.rate, c.burst, c.maxWait, seed, over, rate.full)
			}
		}
	}
}

// A bucket that is busy all the time gives back all that was estimated too much,
// however long the answers take, as long as a burst covers what is under way.
func TestBusyBucketGivesBackAll(t *testing.T) {
	for _, c := range []struct {
		burst   int64
		maxWait time.Duration
		answer  time.Duration
	}{{50_000, 0, 30 * time.Millisecond}, {50_000, 2 * time.Second, 30 * time.Millisecond}, {50_000, 2 * time.Second, 4 * time.Second}, {5000, 2 * time.Second, 300 * time.Millisecond}, {5000, time.Minute, 300 * time.Millisecond}} {
		const rate, estimate, actual = 5000, 150, 90
		l := mustNew(t, TokenBucket, Params{Rate: rate, Burst: c.burst, MaxWait: c.maxWait})
		var all, open []leaving
		used, end := int64(0), t0+60*sec
		for now := t0; now < end; now += sec / 300 {
			if r := l.Take(now, "k", estimate, c.maxWait); r.OK {
				at := now + int64(r.Wait)
				i, _ := slices.BinarySearchFunc(open, at, func(a leaving, at int64) int { return cmp.Compare(a.at, at) })
				open = slices.Insert(open, i, leaving{at, estimate, estimate})
			}
			for len(open) > 0 && open[0].at+int64(c.answer) <= now {
				l.Settle(now, "k", estimate, actual, open[0].at)
				all, open = append(all, leaving{open[0].at, actual, actual}), open[1:]
			}
		}
		for _, a := range all {
			if a.at >= t0+10*sec && a.at < end-5*sec {
				used += a.cost
			}
		}
		if share := float64(used) / (rate * 45); share < 0.98 || share > 1.25 {
			t.Errorf("burst %d, wait %v, answers after %v: %.1f %% of the rate used", c.burst, c.maxWait, c.answer, 100*share)
		} else {
			t.Logf("burst %d, wait %v, answers after %v: %.1f %%", c.burst, c.maxWait, c.answer, 100*share)
		}
		r := &run{all: all}
		if over := r.over(mustRate(t, rate, time.Second, c.burst)); over > 0 {
			t.Errorf("burst %d, wait %v, answers after %v: %v over the bound", c.burst, c.maxWait, c.answer, time.Duration(over))
		}
	}
}

// A queue that leaves together gives back its places, in whichever order.
func TestQueueThatLeavesGivesBackAll(t *testing.T) {
	for _, burst := range []int64{1, 50} {
		for _, last := range []bool{false, true} {
			l := mustNew(t, TokenBucket, Params{Rate: 100, Burst: burst, MaxWait: 2 * time.Second})
			var queue []int64
			for r := l.Take(t0, "k", 1, -1); r.OK; r = l.Take(t0, "k", 1, -1) {
				if r.Wait > 0 {
					queue = append(queue, t0+int64(r.Wait))
				}
			}
			if len(queue) != 200 {
				t.Fatalf("%d wait", len(queue))
			}
			if last {
				slices.Reverse(queue)
			}
			for _, at := range queue {
				l.GiveBack(t0+1, "k", 1, at)
			}
			if r := l.Take(t0+2, "k", 1, -1); !r.OK || r.Wait > 10*time.Millisecond {
				t.Errorf("burst %d, last first %v: the next waits %v", burst, last, r.Wait)
			}
		}
	}
}

// Pauses, and what an upstream tells, between takes and their end let nobody over the bound.
func TestRefundsAcrossPauses(t *testing.T) {
	const burst, wait = 5, 2 * time.Second
	rate := mustRate(t, 10, time.Second, burst)
	for seed := range fewer(4000) {
		r := &run{rng: rand.New(rand.NewPCG(uint64(seed), 32)), l: mustNew(t, TokenBucket, Params{Rate: 10, Burst: burst, MaxWait: wait}), now: t0, burst: burst, maxWait: wait}
		for range 100 {
			switch r.rng.IntN(12) {
			case 0:
				r.l.Pause(r.now, "k", time.Duration(r.rng.Int64N(2*sec)))
			case 1:
				f := NoFeedback(200)
				f.Remaining, f.Reset = r.rng.Int64N(burst), 0
				r.l.Learn(r.now, "k", f)
			default:
				r.step(rate.emission)
			}
		}
		if over := r.over(rate); over > 4 {
			t.Fatalf("seed %d: %d ns over the bound of %d", seed, over, rate.full)
		}
	}
}

// Rates that change twice give back no more than the first one took.
func TestGiveBackAcrossTwoSets(t *testing.T) {
	l := mustNew(t, TokenBucket, Params{Rate: 1000, Burst: 100, MaxWait: time.Minute})
	for range 100 {
		l.Take(t0, "k", 1, 0)
	}
	taken := t0 + int64(l.Take(t0, "k", 1, -1).Wait)
	for _, rate := range []float64{1, 2} {
		if err := l.Set(Params{Rate: rate, Burst: 100, MaxWait: time.Minute}); err != nil {
			t.Fatal(err)
		}
		l.Take(t0, "other", 1, 0)
	}
	before := l.Peek(t0, "k", 1).Reset
	l.GiveBack(t0, "k", 1, taken)
	if after := l.Peek(t0, "k", 1).Reset; before-after > time.Millisecond {
		t.Errorf("a unit that cost 1ms gave back %v", before-after)
	}
}

func FuzzRefunds(f *testing.F) {
	f.Add(uint64(1), uint16(10), uint8(5), uint16(2000))
	f.Add(uint64(395), uint16(10), uint8(5), uint16(2000))
	f.Add(uint64(2), uint16(999), uint8(200), uint16(0))
	f.Fuzz(func(t *testing.T, seed uint64, perSecond uint16, burst uint8, waitMs uint16) {
		p := Params{Rate: max(float64(perSecond), 1), Burst: max(int64(burst), 1), MaxWait: time.Duration(waitMs) * time.Millisecond}
		r := &run{rng: rand.New(rand.NewPCG(seed, 33)), l: mustNew(t, TokenBucket, p), now: t0, burst: p.Burst, maxWait: p.MaxWait}
		rate := mustRate(t, p.Rate, time.Second, p.Burst)
		for range 200 {
			r.step(rate.emission)
		}
		if over := r.over(rate); over > 4 {
			t.Fatalf("%d ns over the bound of %d", over, rate.full)
		}
	})
}
