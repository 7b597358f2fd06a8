package limit

import (
	"testing"
	"time"
)

// However many lease from one limiter, together they are granted what it lets
// through, and use no more than that and what they hold.
func TestLeases(t *testing.T) {
	const nodes, rate, burst, most = 4, 1000, 50, 100
	now := t0
	shared := mustNew(t, TokenBucket, Params{Rate: rate, Burst: burst})
	from := NewLocal(map[string]Limiter{"api": shared}, time.Second, func() int64 { return now })
	var all []*Leased
	for range nodes {
		all = append(all, NewLeased("api", from, most))
	}
	used := 0
	for i := range 40_000 {
		now += sec / 8000
		l := all[i%nodes]
		if l.Take(now, "k", 1).OK {
			used++
		}
		if i%16 < nodes {
			if err := l.Refill(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
	}
	granted := float64(burst + rate*5)
	if float64(used) > granted || float64(used) < 0.9*granted {
		t.Errorf("used %d, granted at most %v", used, granted)
	}
	none := NewLeased("other", from, most)
	none.Take(now, "k", 1)
	if err := none.Refill(t.Context(), now); err == nil {
		t.Error("an unknown limiter grants")
	}
	if r := none.Take(now, "k", 1); r.OK || r.Wait != RetryHint {
		t.Errorf("after an error: %+v", r)
	}
}

// A limiter here and what is leased must both let a take through, and both get back
// what did not start.
func TestShared(t *testing.T) {
	now := t0
	whole := mustNew(t, FixedWindow, Params{Max: 10, Per: 24 * time.Hour})
	leased := NewLeased("l", NewLocal(map[string]Limiter{"l": whole}, time.Hour, func() int64 { return now }), 8)
	l := NewShared(mustNew(t, TokenBucket, Params{Rate: 1, Burst: 100}), leased)
	take := func(cost int64) Result { return l.Take(now, "k", cost, 0) }
	if r := take(2); r.OK || r.Wait != time.Millisecond || l.Peek(now, "k", 0).Remaining != 100 {
		t.Errorf("nothing is held: %+v", r)
	}
	select {
	case <-leased.Wanted():
	default:
		t.Error("nobody asks for what was wanted")
	}
	refill := func() {
		if err := leased.Refill(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	refill()
	if r := take(4); !r.OK || r.Remaining != 0 {
		t.Errorf("four are held: %+v", r)
	}
	l.GiveBack(now, "k", 4, now)
	if r := take(4); !r.OK {
		t.Errorf("four were given back: %+v", r)
	}
	l.Settle(now, "k", 4, 6, now) // a debt of two
	refill()
	if r := take(5); r.OK {
		t.Errorf("of the six left two are owed: %+v", r)
	}
	if r := take(4); !r.OK {
		t.Errorf("the debt is paid: %+v", r)
	}
	if r := take(9); r.Wait != Never {
		t.Errorf("more than a lease: %+v", r)
	}
}
