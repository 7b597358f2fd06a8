package limit

import (
	"testing"
)

func TestConcurrency(t *testing.T) {
	l := mustNew(t, Concurrency, Params{Max: 3})
	if r := l.Take(t0, "k", 4, 0); r.OK || r.Wait != Never {
		t.Errorf("more than all: %+v", r)
	}
	l.Take(t0, "k", 3, 0)
	if r := l.Take(t0, "k", 1, 0); r.OK || r.Wait != RetryHint || r.Remaining != 0 || r.Limit != 3 {
		t.Errorf("full: %+v", r)
	}
	if r := l.Take(t0, "k", 0, 0); !r.OK {
		t.Errorf("nothing: %+v", r)
	}
	if err := l.Set(Params{Max: 1}); err != nil {
		t.Fatal(err)
	}
	l.Release(t0, "k", 1)
	l.GiveBack(t0, "k", 1, t0)
	if r := l.Take(t0, "k", 1, 0); r.OK {
		t.Errorf("the excess drains first: %+v", r)
	}
	for range 5 {
		l.Release(t0, "k", 1)
	}
	if r := l.Take(t0, "k", 1, 0); !r.OK || r.Remaining != 0 {
		t.Errorf("never below zero: %+v", r)
	}
}

// Releases of a key that took from the overflow level keep the sum right.
func TestConcurrencyOverflowIsNotLeaked(t *testing.T) {
	l := mustNew(t, Concurrency, Params{Max: 2, MaxKeys: 1})
	l.Take(t0, "a", 1, 0)
	l.Take(t0, "b", 2, 0) // shares
	if r := l.Take(t0, "c", 1, 0); r.OK {
		t.Errorf("the overflow is full: %+v", r)
	}
	l.Release(t0, "a", 1)
	l.Take(t0, "b", 1, 0) // now has a place
	l.Release(t0, "b", 3)
	for _, key := range []string{"b", "c"} {
		if r := l.Peek(t0, key, 2); !r.OK {
			t.Errorf("%s: %+v", key, r)
		}
	}
}
