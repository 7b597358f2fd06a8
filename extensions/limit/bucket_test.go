package limit

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func mustRate(t testing.TB, rate float64, per time.Duration, burst int64) *Rate {
	t.Helper()
	r, err := NewRate(rate, per, burst)
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

func TestNewRate(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		per   time.Duration
		burst int64
		ok    bool
	}{
		{1, 0, 0, true}, {0.5, time.Hour, 1, true}, {1e6, 0, 1000, true}, {1e12, 0, 5, true},
		{0, 0, 0, false}, {-1, 0, 0, false}, {math.NaN(), 0, 0, false}, {math.Inf(1), 0, 0, false},
		{1, -1, 0, false}, {1, 0, -1, false}, {1, time.Hour, math.MaxInt64, false}, {1e-300, 0, 0, false},
	} {
		_, err := NewRate(c.rate, c.per, c.burst)
		if (err == nil) != c.ok {
			t.Errorf("NewRate(%v, %v, %d): %v", c.rate, c.per, c.burst, err)
		}
	}
}

// A busy bucket lets through exactly what its rate says, also where a unit's
// time is not a whole number of nanoseconds.
func TestRateIsExact(t *testing.T) {
	for _, rate := range []float64{3, 7, 999, 1e3, 12_345.678, 1e5, 333_333, 999_001, 1e6, 1.5e6, 3e8, 1e9} {
		r := mustRate(t, rate, time.Second, 1)
		tat, start := int64(1_780_000_000_123_456_789), int64(1_780_000_000_123_456_789)
		const n = 200_000
		for range n {
			tat += r.step(tat, 1)
		}
		want := n * 1e9 / rate
		if got := float64(tat - start); math.Abs(got-want) > 3+want*3e-7 {
			t.Errorf("rate %v: %v units took %v ns, want %v", rate, n, got, want)
		}
		if got := float64(r.step(start, 1)); r.burst == 1 && math.Abs(got-1e9/rate) > 1 {
			t.Errorf("rate %v: one unit takes %v ns", rate, got)
		}
	}
	if r := mustRate(t, 1e15, time.Second, 10); r.emission != 1 {
		t.Errorf("emission above 1e9/s: %d ns, want 1", r.emission)
	}
}

// Any closed interval T admits at most burst + floor(rate*T), whatever arrives.
func TestEnvelope(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		rate  float64
		burst int64
	}{{10, 5}, {1, 1}, {1000, 20}, {333_333, 7}, {999_001, 100}} {
		r := mustRate(t, c.rate, time.Second, c.burst)
		var b Bucket
		var times []int64
		now := int64(1e18)
		for range 20_000 {
			now += int64(rng.ExpFloat64() * 0.5e9 / c.rate)
			if rng.IntN(500) == 0 {
				now += int64(30e9 / c.rate)
			}
			if b.Take(now, r, 1, 0).OK {
				times = append(times, now)
			}
		}
		if len(times) < 5000 {
			t.Fatalf("rate %v: only %d admitted", c.rate, len(times))
		}
		for i := range times {
			for _, span := range []int{1, int(c.burst), int(c.burst) + 1, 50, 1000} {
				j := i + span
				if j >= len(times) {
					continue
				}
				// 3 ns for a fractional emission; nothing at all for a whole one.
				slack := 0.0
				if r.period != 0 {
					slack = 3
				}
				bound := float64(c.burst) + math.Floor(c.rate*(float64(times[j]-times[i])+slack)/1e9+1e-9)
				if got := float64(j - i + 1); got > bound {
					t.Fatalf("rate %v burst %d: %v admitted in %v ns, bound %v", c.rate, c.burst, got, times[j]-times[i], bound)
				}
			}
		}
	}
}

// The two forms of ITU-T I.371 and the bucket decide alike on any sequence.
func TestAgainstVirtualSchedulingAndLeakyBucket(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		em, burst := rng.Int64N(1000)+1, rng.Int64N(20)+1
		r := &Rate{burst: burst, emission: em, full: em * burst, unit: float64(em)}
		var b Bucket
		tau := em * (burst - 1)
		var tat, level, last int64
		now := int64(5_000_000)
		for i := range 500 {
			now += rng.Int64N(2 * em)
			if rng.IntN(40) == 0 {
				now += em * burst * 2
			}
			vs := now >= tat-tau
			if vs {
				tat = max(tat, now) + em
			}
			x := max(level-(now-last), 0)
			lb := x <= tau
			if lb {
				level, last = x+em, now
			}
			if got := b.Take(now, r, 1, 0).OK; got != vs || got != lb {
				t.Fatalf("arrival %d: bucket %v, virtual scheduling %v, leaky bucket %v", i, got, vs, lb)
			}
		}
	}
}

func TestBucketWaits(t *testing.T) {
	r := mustRate(t, 10, time.Second, 2)
	var b Bucket
	const now = int64(1e18)
	em := 100 * time.Millisecond
	for i, want := range []Result{
		{OK: true, Limit: 2, Remaining: 1, Reset: em},
		{OK: true, Limit: 2, Remaining: 0, Reset: 2 * em},
		{OK: true, Limit: 2, Wait: em, Reset: 3 * em},
		{OK: true, Limit: 2, Wait: 2 * em, Reset: 4 * em},
		{Limit: 2, Wait: 3 * em, Reset: 4 * em},
		{Limit: 2, Wait: 3 * em, Reset: 4 * em},
	} {
		if peek := b.Peek(now, r, 1, 2*em); peek != want {
			t.Errorf("peek %d: %+v, want %+v", i, peek, want)
		}
		if got := b.Take(now, r, 1, 2*em); got != want {
			t.Errorf("take %d: %+v, want %+v", i, got, want)
		}
	}
	if got := b.Take(now, r, 3, time.Hour); got.OK || got.Wait != Never {
		t.Errorf("cost above burst: %+v", got)
	}
	for _, cost := range []int64{0, -5} {
		if got := b.Take(now, r, cost, 0); !got.OK || got.Wait != 0 || b.word.Load() != now+int64(4*em) {
			t.Errorf("cost %d: %+v", cost, got)
		}
	}
}

// Giving back never lets a bucket admit more than if the take had not been.
func TestGiveBackNeverOverCredits(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	rates := []*Rate{mustRate(t, 10, time.Second, 5), mustRate(t, 333_333, time.Second, 9), mustRate(t, 0.3, time.Second, 3)}
	for i := range fewer(1_000_000) {
		r := rates[i%len(rates)]
		var with, without Bucket
		now := int64(1e18)
		for range rng.IntN(6) {
			now += rng.Int64N(2 * r.emission)
			with.Take(now, r, 1, 0)
			without.word.Store(with.word.Load())
		}
		cost := rng.Int64N(r.burst) + 1
		taken := now
		ok := with.Take(now, r, cost, 0).OK
		immediate := rng.IntN(2) == 0
		if !immediate {
			now += rng.Int64N(r.full * 2)
		}
		if ok {
			with.GiveBack(now, r, cost, taken)
		}
		a, b := max(with.word.Load(), now), max(without.word.Load(), now)
		if a < b {
			t.Fatalf("trial %d: %d ns over-credited", i, b-a)
		}
		if immediate && a > b+2 {
			t.Fatalf("trial %d: immediate give back is %d ns short", i, a-b)
		}
	}
}

func TestSettle(t *testing.T) {
	r := mustRate(t, 1, time.Second, 10)
	const now = int64(1e18)
	var b Bucket
	b.Take(now, r, 2, 0)
	b.Settle(now, r, 2, 7, now)
	if got := b.Peek(now, r, 0, 0).Remaining; got != 3 {
		t.Errorf("remaining after a higher true cost: %d, want 3", got)
	}
	b.Settle(now, r, 7, 1, now)
	if got := b.Peek(now, r, 0, 0).Remaining; got != 9 {
		t.Errorf("remaining after a lower true cost: %d, want 9", got)
	}
	b.Settle(now, r, 1, 26, now)
	if got := b.Take(now, r, 1, 0); got.OK || got.Wait != 17*time.Second {
		t.Errorf("in debt: %+v, want a wait of 17s", got)
	}
	b.Settle(now, r, 0, math.MaxInt64, now)
	if got := b.Take(now, r, 1, 0); got.OK || got.Wait > MaxPause+time.Minute {
		t.Errorf("absurd cost: %+v, want a bounded wait", got)
	}
}

func TestBucketHammer(t *testing.T) {
	r := mustRate(t, 100_000, time.Second, 100)
	var b Bucket
	var admitted atomic.Int64
	base := time.Now()
	clock := func() int64 { return int64(1e18) + int64(time.Since(base)) }
	start := clock()
	var wg sync.WaitGroup
	release := make(chan struct{})
	for range 1000 {
		wg.Go(func() {
			<-release
			for range 200 {
				if b.Take(clock(), r, 1, 0).OK {
					admitted.Add(1)
				}
			}
		})
	}
	close(release)
	wg.Wait()
	bound := 100 + int64(float64(clock()-start)/1e4)
	if n := admitted.Load(); n > bound || n < 100 {
		t.Errorf("admitted %d, bound %d", n, bound)
	}
}
