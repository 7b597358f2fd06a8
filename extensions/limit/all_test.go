package limit

import (
	"math/rand/v2"
	"os"
	"testing"
)

// However a million takes of several limiters end, all or none of it is taken,
// and none gains by it.
func TestTakeAllGivesBackExactly(t *testing.T) {
	trials := fewer(100_000)
	if os.Getenv("GAIA_ACCEPTANCE") != "" {
		trials = 1_000_000
	}
	rng := rand.New(rand.NewPCG(28, 9))
	kinds := []struct {
		k Kind
		p Params
	}{
		{TokenBucket, Params{Rate: 100, Burst: 7}}, {TokenBucket, Params{Rate: 333, Burst: 3}},
		{FixedWindow, Params{Max: 9}}, {SlidingLog, Params{Max: 8}}, {Concurrency, Params{Max: 6}},
	}
	var parts, shadow []Part
	for _, c := range kinds {
		parts = append(parts, Part{Limiter: mustNew(t, c.k, c.p), Key: "k"})
		shadow = append(shadow, Part{Limiter: mustNew(t, c.k, c.p), Key: "k"})
	}
	now, granted := t0, 0
	for i := range trials {
		now += rng.Int64N(sec / 20)
		fits := true
		for j := range parts {
			parts[j].Cost = rng.Int64N(3)
			fits = fits && shadow[j].Limiter.Peek(now, "k", parts[j].Cost).OK
		}
		_, failed := TakeAll(now, parts, 0)
		if fits != (failed < 0) {
			t.Fatalf("trial %d: %v, each alone says %v", i, failed, fits)
		}
		if failed >= 0 {
			continue
		}
		granted++
		if rng.IntN(2) == 0 { // never started: as if it had not been
			for j := range parts {
				parts[j].Undo(now, now)
			}
		} else {
			for j := range parts {
				shadow[j].Limiter.Take(now, "k", parts[j].Cost, 0)
			}
		}
		for j := range parts {
			parts[j].Limiter.Release(now, "k", boolInt(parts[j].Limiter.Kind() == Concurrency && rng.IntN(2) == 0))
		}
		shadowRelease(parts, shadow, now)
		for j := range parts {
			a, b := parts[j].Limiter.Peek(now, "k", 0), shadow[j].Limiter.Peek(now, "k", 0)
			if a.Remaining > b.Remaining || a.Reset < b.Reset-2 {
				t.Fatalf("trial %d: limiter %d over-credited: %+v, want %+v", i, j, a, b)
			}
		}
	}
	if granted < trials/20 {
		t.Errorf("only %d granted", granted)
	}
}

// shadowRelease brings what is in flight in both to the same number.
func shadowRelease(parts, shadow []Part, now int64) {
	for j := range parts {
		if parts[j].Limiter.Kind() == Concurrency {
			d := parts[j].Limiter.Peek(now, "k", 0).Remaining - shadow[j].Limiter.Peek(now, "k", 0).Remaining
			shadow[j].Limiter.Release(now, "k", max(d, 0))
		}
	}
}
