package limit

import (
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
