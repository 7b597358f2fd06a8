package limit

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// What one key gives back is there at once for the others, up to what all may have.
func TestFairSharesWhatIsGivenBack(t *testing.T) {
	l := mustNew(t, Fair, Params{Rate: 1, Burst: 10})
	if r := l.Take(t0, "a", 10, 0); !r.OK {
		t.Fatalf("alone it has not all: %+v", r)
	}
	if r := l.Take(t0, "b", 1, 0); r.OK {
		t.Errorf("all was taken: %+v", r)
	}
	l.GiveBack(t0, "a", 10, t0)
	for _, key := range []string{"a", "b"} {
		if r := l.Take(t0, key, 5, 0); !r.OK || r.Wait != 0 {
			t.Errorf("%s has not its half: %+v", key, r)
		}
		if r := l.Take(t0, key, 1, 0); r.OK {
			t.Errorf("%s has more than its half: %+v", key, r)
		}
	}
}

// So it is while somebody waits behind it: he leaves when he was told, and who comes need not
// wait for him.
func TestFairSharesWhatIsGivenBackBeforeWhoWaits(t *testing.T) {
	l := mustNew(t, Fair, Params{Rate: 1, Burst: 10, MaxWait: time.Minute, Weights: "b=100000,c=100000"})
	l.Take(t0, "a", 10, 0)
	if r := l.Take(t0, "b", 5, -1); !r.OK || r.Wait.Round(time.Millisecond) != 5*time.Second {
		t.Fatalf("b waits for all of the rate: %+v", r)
	}
	if r := l.Take(t0, "c", 2, 0); r.OK {
		t.Errorf("all was taken: %+v", r)
	}
	l.GiveBack(t0, "a", 10, t0)
	if r := l.Take(t0, "c", 2, 0); !r.OK || r.Wait != 0 {
		t.Errorf("of what a gave back c has nothing: %+v", r)
	}
}

// Who leaves in an hour has his units, and closes nobody for that hour.
func TestFairPromisesForLaterCloseNobody(t *testing.T) {
	l := mustNew(t, Fair, Params{Rate: 1, Burst: 10, MaxWait: 2 * time.Hour})
	l.Take(t0, "b", 0, 0)
	l.Pause(t0, "a", time.Hour)
	if r := l.Take(t0, "a", 10, -1); !r.OK || r.Wait != time.Hour {
		t.Fatalf("a leaves when it may: %+v", r)
	}
	if r := l.Take(t0, "b", 1, 0); r.OK {
		t.Errorf("what was promised was shared out again: %+v", r)
	}
	if r := l.Take(t0+10*sec, "b", 9, 0); !r.OK {
		t.Errorf("ten seconds later b waits for who leaves in an hour: %+v", r)
	}
}

// Who asks for more than he may save waits until all together hold it, with what was
// promised for later off it.
func TestFairLargeCostWaitsForAll(t *testing.T) {
	l := mustNew(t, Fair, Params{Rate: 1, Burst: 10, MaxWait: 2 * time.Hour})
	l.Take(t0, "b", 1, 0)
	l.Pause(t0, "a", time.Hour)
	l.Take(t0, "a", 4, -1)
	if r := l.Take(t0, "b", 10, -1); !r.OK || r.Wait != 5*time.Second {
		t.Errorf("%+v", r)
	}
}

// restless has keys take, wait and give back for a while, and returns what came of it.
func restless(l Limiter, rng *rand.Rand, now int64) (results []Result) {
	type left struct {
		key      string
		cost, at int64
	}
	var all []left
	for range 200 {
		now += rng.Int64N(sec / 5)
		if n := len(all); n > 0 && rng.IntN(3) == 0 {
			l.GiveBack(now, all[n-1].key, all[n-1].cost, all[n-1].at)
			all = all[:n-1]
			continue
		}
		key, cost := string(rune('a'+rng.IntN(4))), 1+rng.Int64N(4)
		r := l.Take(now, key, cost, -1)
		if results = append(results, r); r.OK {
			all = append(all, left{key, cost, now + int64(r.Wait)})
		}
	}
	return results
}

// A fork goes on as what it was made of would.
func TestFairForkGoesOn(t *testing.T) {
	for seed := range uint64(50) {
		l := mustNew(t, Fair, Params{Rate: 10, Burst: 8, MaxWait: 2 * time.Second, Weights: "a=3"})
		restless(l, rand.New(rand.NewPCG(seed, 1)), t0)
		fork, now := l.Fork(), t0+20*sec
		got, want := restless(fork, rand.New(rand.NewPCG(seed, 2)), now), restless(l, rand.New(rand.NewPCG(seed, 2)), now)
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: a fork answers otherwise", seed)
		}
	}
}

// What a weight of 1 has earned since ever is counted anew before its fractions are lost.
func TestFairVirtualTimeBeginsAnew(t *testing.T) {
	p := Params{Rate: 10, Burst: 8, MaxWait: 2 * time.Second, Weights: "a=3"}
	l, late := mustNew(t, Fair, p), mustNew(t, Fair, p).(*fair)
	for _, l := range []Limiter{l, late} {
		l.Take(t0, "a", 3, -1)
		l.Take(t0, "b", 2, -1)
	}
	late.virtual += 2 * maxVirtual
	for _, s := range late.earning {
		s.base += 2 * maxVirtual
	}
	late.sumLocked()
	got, want := restless(late, rand.New(rand.NewPCG(1, 3)), t0), restless(l, rand.New(rand.NewPCG(1, 3)), t0)
	for i := range want {
		if got[i].OK != want[i].OK || (got[i].Wait-want[i].Wait).Abs() > time.Millisecond {
			t.Fatalf("%d: %+v, want %+v", i, got[i], want[i])
		}
	}
	if late.virtual > maxVirtual {
		t.Errorf("it is at %v", late.virtual)
	}
}

// Who was told when keeps his time under a new rate, and who comes then leaves only when
// that rate has paid for all before him.
func TestFairSetWhileSomebodyWaits(t *testing.T) {
	p := Params{Rate: 10, Burst: 5, MaxWait: time.Hour}
	l := mustNew(t, Fair, p)
	last := time.Duration(0)
	for range 25 {
		r := l.Take(t0, "a", 1, -1)
		if !r.OK {
			t.Fatalf("%+v", r)
		}
		last = r.Wait
	}
	if last != 2*time.Second {
		t.Fatalf("the last of 20 who wait leaves in %v", last)
	}
	p.Rate = 1
	if err := l.Set(p); err != nil {
		t.Fatal(err)
	}
	// The bucket was half a second from full at the old rate; then 20 units, a second each.
	if r := l.Take(t0+sec/10, "b", 5, -1); !r.OK || r.Wait != 20400*time.Millisecond {
		t.Errorf("one that comes after 20 who wait: %+v", r)
	}
	for bad, want := range map[string]Params{"rate": {Burst: 5}, "weight": {Rate: 1, Weights: "a"}, "weights": {Rate: 1, Weights: "a=0"}} {
		if err := l.Set(want); err == nil || l.Params().Rate != 1 || l.Params().Burst != 5 {
			t.Errorf("a wrong %s: %v, %+v", bad, err, l.Params())
		}
	}
}

// What was owed at a slow rate closes a fast one no longer than that takes to fill its
// burst, from the first look on.
func TestFairSetToAFasterRate(t *testing.T) {
	l := mustNew(t, Fair, Params{Rate: 1, Burst: 10})
	l.Take(t0, "a", 10, 0)
	if err := l.Set(Params{Rate: 100, Burst: 10}); err != nil {
		t.Fatal(err)
	}
	if r := l.Take(t0, "a", 1, 0); r.OK {
		t.Errorf("a new rate gives a burst: %+v", r)
	}
	if r := l.Take(t0+sec/10, "a", 9, 0); !r.OK {
		t.Errorf("after a tenth of a second, worth ten: %+v", r)
	}
}

// What comes back of one who left before many who waited is what those can spare.
func TestFairSharesWhatIsGivenBackLate(t *testing.T) {
	l := mustNew(t, Fair, Params{Rate: 1, Burst: 10, MaxWait: time.Minute})
	l.Take(t0, "a", 10, 0)
	l.GiveBack(t0, "a", 1, t0)
	for range 30 {
		if r := l.Take(t0, "a", 1, -1); !r.OK {
			t.Fatalf("a waits for its turn: %+v", r)
		}
	}
	now := t0 + 15*sec
	l.Take(now, "a", 0, 0) // still asks
	if r := l.Take(now, "b", 4, 0); r.OK || r.Wait != 18*time.Second {
		t.Errorf("b comes after 14 who wait: %+v", r)
	}
	l.GiveBack(now, "a", 9, t0)
	if r := l.Take(now, "b", 4, -1); !r.OK || r.Wait != 8*time.Second {
		t.Errorf("with nine of them back b waits for more than its half of the rate: %+v", r)
	}
}
