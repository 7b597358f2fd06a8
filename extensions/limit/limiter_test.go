package limit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

func TestKinds(t *testing.T) {
	for _, k := range Kinds() {
		if got, err := ParseKind(k.String()); got != k || err != nil {
			t.Errorf("ParseKind(%q) = %v, %v", k, got, err)
		}
		if l := mustNew(t, k, Params{Rate: 1, Max: 1}); l.Kind() != k {
			t.Errorf("New(%v) is a %v", k, l.Kind())
		}
	}
	for _, name := range []string{"", "tokenbucket", "Kind(0)"} {
		if _, err := ParseKind(name); !errors.Is(err, ErrKind) {
			t.Errorf("ParseKind(%q): %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		k      Kind
		p      Params
		faults int
	}{
		{TokenBucket, Params{Rate: 5}, 0},
		{TokenBucket, Params{}, 1},
		{TokenBucket, Params{Rate: -1, Per: -1, Burst: -1, MaxWait: -1, MaxKeys: -1, WhenFull: 9}, 6},
		{Concurrency, Params{Max: 1}, 0},
		{Concurrency, Params{MaxWait: -1}, 2},
		{Upstream, Params{}, 0},
		{0, Params{}, 1},
		{99, Params{MaxKeys: -1}, 2},
	} {
		err := c.k.Check(c.p)
		n := 0
		if err != nil {
			for _, b := range []byte(err.Error()) {
				if b == '\n' {
					n++
				}
			}
			n++
		}
		if n != c.faults {
			t.Errorf("%v.Check(%+v): %d faults, want %d: %v", c.k, c.p, n, c.faults, err)
		}
		if l, err := New(c.k, c.p); (err != nil) != (c.faults > 0) || err != nil && l != nil {
			t.Errorf("New(%v, %+v): %v", c.k, c.p, err)
		}
	}
	if p := mustNew(t, TokenBucket, Params{Rate: 2.5}).Params(); p.Burst != 3 || p.Per != time.Second || p.MaxKeys != DefaultMaxKeys {
		t.Errorf("defaults: %+v", p)
	}
}

func TestSetKeepsCounts(t *testing.T) {
	l := mustNew(t, TokenBucket, Params{Rate: 10, Burst: 10})
	for range 6 {
		l.Take(t0, "k", 1, 0)
	}
	before := l.Params()
	if err := l.Set(Params{Rate: -1}); err == nil || l.Params() != before {
		t.Fatalf("wrong parameters: %v, now %+v", err, l.Params())
	}
	if err := l.Set(Params{Rate: 10, Burst: 20}); err != nil {
		t.Fatal(err)
	}
	if r := l.Peek(t0, "k", 0); r.Remaining != 14 {
		t.Errorf("after a larger burst: %+v, want 14 left", r)
	}
	if err := l.Set(Params{Rate: 10, Burst: 4}); err != nil {
		t.Fatal(err)
	}
	if r := l.Take(t0, "k", 1, 0); r.OK || r.Wait != 100*time.Millisecond {
		t.Errorf("after a smaller burst: %+v, want an empty bucket", r)
	}
}

// Windows of another length go on with what was counted.
func TestSetKeepsCountsOfWindows(t *testing.T) {
	for _, k := range []Kind{FixedWindow, SlidingWindow, SlidingLog} {
		for _, per := range []time.Duration{time.Second, time.Minute, time.Hour} {
			l := mustNew(t, k, Params{Max: 10, Per: time.Minute})
			now := t0 + 30*sec
			for range 8 {
				l.Take(now, "k", 1, 0)
			}
			if err := l.Set(Params{Max: 10, Per: per}); err != nil {
				t.Fatal(err)
			}
			if r := l.Peek(now+1, "k", 0); r.Remaining != 2 {
				t.Errorf("%v of %v: %+v, want 2 left", k, per, r)
			}
			if r := l.Take(now+3*int64(time.Hour), "k", 10, 0); !r.OK {
				t.Errorf("%v of %v: never free again: %+v", k, per, r)
			}
		}
	}
}

// A key far behind under a slow rate is no further behind than empty under a fast one.
func TestSetClampsDebt(t *testing.T) {
	l := mustNew(t, TokenBucket, Params{Rate: 1, Per: time.Hour, Burst: 1})
	l.Take(t0, "k", 1, 0)
	if err := l.Set(Params{Rate: 100, Burst: 10}); err != nil {
		t.Fatal(err)
	}
	if r := l.Peek(t0, "k", 1); r.OK || r.Wait != 10*time.Millisecond {
		t.Errorf("peek: %+v, want 10ms", r)
	}
	if r := l.Take(t0+sec/100, "k", 1, 0); !r.OK {
		t.Errorf("a unit later: %+v", r)
	}
	// A debt made under the new rate stays.
	l.Settle(t0+sec/100, "k", 1, 101, t0+sec/100)
	if r := l.Take(t0+sec/2, "k", 1, 0); r.OK {
		t.Errorf("in debt: %+v", r)
	}
}

// What was taken under a cheap rate does not come back at a dear one's worth.
func TestGiveBackAcrossSet(t *testing.T) {
	l := mustNew(t, TokenBucket, Params{Rate: 100, Burst: 100})
	for range 50 {
		l.Take(t0, "k", 1, 0)
	}
	if err := l.Set(Params{Rate: 1, Burst: 100}); err != nil {
		t.Fatal(err)
	}
	l.GiveBack(t0, "k", 10, t0)
	if r := l.Peek(t0, "k", 0); r.Reset != 400*time.Millisecond {
		t.Errorf("reset in %v, want 400ms", r.Reset)
	}
}

func TestForkIsolation(t *testing.T) {
	for _, k := range []Kind{TokenBucket, Concurrency, Upstream} {
		t.Run(k.String(), func(t *testing.T) {
			l := mustNew(t, k, Params{Rate: 1, Burst: 5, Max: 5})
			l.Take(t0, "k", 2, 0)
			l.Learn(t0, "k", Feedback{Status: 200, RetryAfter: -1, Limit: 5, Remaining: 3, Reset: time.Hour, Window: -1})
			l.Pause(t0, "closed", time.Hour)
			want := l.Peek(t0, "k", 1)
			f := l.Fork()
			if f.Len() != 0 || f.Params() != l.Params() || f.Kind() != k {
				t.Errorf("a fork starts as %d keys, %+v", f.Len(), f.Params())
			}
			if got := f.Peek(t0, "k", 1); got != want || f.Len() != 0 {
				t.Errorf("peek through the fork: %+v, want %+v", got, want)
			}
			if r := f.Take(t0, "closed", 1, 0); r.OK {
				t.Errorf("pauses are seen: %+v", r)
			}
			f.Pause(t0, "closed", 0)
			if r := f.Take(t0, "closed", 1, 0); !r.OK {
				t.Errorf("and lifted in the fork alone: %+v", r)
			}
			if got := f.Take(t0, "k", 1, 0); got != want {
				t.Errorf("first take: %+v, want %+v", got, want)
			}
			for range 10 {
				f.Take(t0, "k", 1, 0)
			}
			f.Pause(t0, "k", time.Hour)
			f.Settle(t0, "k", 1, 50, t0)
			f.Learn(t0, "k", Feedback{Status: 429, RetryAfter: time.Hour, Limit: 1, Remaining: 0, Reset: time.Hour, Window: -1})
			f.Release(t0, "k", 1)
			f.Peek(t0+1000*sec, "untouched", 1)
			f.Reset("k")
			if r := f.Peek(t0, "k", 1); !r.OK {
				t.Errorf("reset in the fork: %+v", r)
			}
			if err := f.Set(Params{Rate: 9, Max: 9}); err != nil {
				t.Fatal(err)
			}
			if got := l.Peek(t0, "k", 1); got != want {
				t.Errorf("the parent saw it: %+v, want %+v", got, want)
			}
			if r := l.Take(t0, "closed", 1, 0); r.OK {
				t.Errorf("the parent's pause: %+v", r)
			}
			g := l.Fork()
			g.Take(t0, "k", 1, 0)
			l.Pause(t0, "k", time.Hour)
			if r := g.Peek(t0, "k", 0); !r.OK {
				t.Errorf("the fork follows its parent after the first touch: %+v", r)
			}
		})
	}
}

func TestKeysAreBounded(t *testing.T) {
	for _, k := range []Kind{TokenBucket, Concurrency, Upstream} {
		for _, full := range []Full{FullShare, FullDeny, FullAllow} {
			t.Run(fmt.Sprint(k, full), func(t *testing.T) {
				const keys = 1000
				l := mustNew(t, k, Params{Rate: 1, Burst: 2, Max: 2, MaxKeys: keys, WhenFull: full})
				ok := 0
				for i := range 5 * keys {
					key := "key-" + strconv.Itoa(i)
					if i >= keys && full == FullShare && k == Upstream {
						l.Learn(t0, key, Feedback{Status: 200, RetryAfter: -1, Limit: 9, Remaining: 0, Reset: time.Hour, Window: -1})
					}
					if peek, r := l.Peek(t0, key, 1), l.Take(t0, key, 1, 0); r != peek {
						t.Fatalf("key %d: peek %+v, take %+v", i, peek, r)
					} else if r.OK && i >= keys {
						ok++
					}
					l.Pause(t0, key, time.Duration(i%2)) // live keys of pauses, too
				}
				if l.Len() > keys {
					t.Errorf("%d keys held", l.Len())
				}
				want := map[Full][2]int{FullShare: {0, 2}, FullDeny: {0, 0}, FullAllow: {4 * keys, 4 * keys}}[full]
				if ok < want[0] || ok > want[1] {
					t.Errorf("%d takes beyond the cap passed, want %v", ok, want)
				}
			})
		}
	}
}

// A limiter that evicts decides like one that never has to.
func TestEvictionIsLossless(t *testing.T) {
	for _, cap := range []int{64, 2000} {
		small := mustNew(t, TokenBucket, Params{Rate: 10, Burst: 3, MaxKeys: cap, WhenFull: FullDeny})
		rate, large := mustRate(t, 10, time.Second, 3), map[string]*Bucket{}
		rng := rand.New(rand.NewPCG(7, 8))
		now := t0
		for i := range 200_000 {
			// Some 300 ms of activity fit the cap with room to spare.
			now += int64(rng.IntN(int(600*time.Millisecond) / (cap / 4)))
			key := strconv.Itoa(i/10 + rng.IntN(5))
			if large[key] == nil {
				large[key] = new(Bucket)
			}
			if a, b := small.Take(now, key, 1, 0), large[key].Take(now, rate, 1, 0); a != b {
				t.Fatalf("cap %d, take %d: %+v with eviction, %+v without", cap, i, a, b)
			}
		}
		if small.Len() > cap || len(large) < 10_000 {
			t.Errorf("%d and %d keys", small.Len(), len(large))
		}
	}
}

// A key's string may be overwritten once a call returns.
func TestKeysAreCopied(t *testing.T) {
	l := mustNew(t, Concurrency, Params{Max: 1})
	var names []string
	buf := []byte("ab")
	l.Take(t0, unsafe.String(&buf[0], len(buf)), 1, 0)
	buf[0] = 'x'
	l.Range(t0, func(key string, r Result, _ time.Duration) bool {
		names = append(names, fmt.Sprint(key, r.OK))
		return true
	})
	if len(names) != 1 || names[0] != "abfalse" {
		t.Errorf("Range: %v", names)
	}
}

func TestLimiterHammer(t *testing.T) {
	const rate, burst, keys = 20_000, 50, 3
	l := mustNew(t, TokenBucket, Params{Rate: rate, Burst: burst, MaxKeys: 64})
	slots := mustNew(t, Concurrency, Params{Max: 5, MaxKeys: 2})
	up := mustNew(t, Upstream, Params{MaxKeys: 2})
	var admitted [keys]atomic.Int64
	var inFlight, most atomic.Int64
	base := time.Now()
	clock := func() int64 { return t0 + int64(time.Since(base)) }
	var wg sync.WaitGroup
	release := make(chan struct{})
	for g := range 1000 {
		wg.Go(func() {
			<-release
			for i := range 30 {
				key := strconv.Itoa((g + i) % keys)
				if l.Take(clock(), key, 1, 0).OK {
					admitted[(g+i)%keys].Add(1)
				}
				l.Take(clock(), "passing-"+strconv.Itoa(g*i), 1, 0)
				if slots.Take(t0, "one", 1, 0).OK {
					most.Store(max(most.Load(), inFlight.Add(1)))
					inFlight.Add(-1)
					slots.Release(t0, "one", 1)
				}
				if up.Take(t0, key, 1, 0).OK {
					up.Learn(t0+1, key, Feedback{Status: 200, Sent: t0, RetryAfter: -1, Limit: 9, Remaining: 1000, Reset: time.Hour, Window: -1})
					up.Release(t0+1, key, 1)
				}
				if g == 0 {
					_ = l.Set(Params{Rate: rate, Burst: burst - int64(i%2), MaxKeys: 64})
					l.Export(clock(), func(Record) bool { return true })
					l.Fork().Take(clock(), key, 1, 0)
				}
			}
		})
	}
	close(release)
	wg.Wait()
	bound := burst + int64(float64(clock()-t0)*rate/1e9)
	for i := range admitted {
		if n := admitted[i].Load(); n > bound || n == 0 {
			t.Errorf("key %d: admitted %d, bound %d", i, n, bound)
		}
	}
	if n := most.Load(); n > 5 {
		t.Errorf("%d in flight, bound 5", n)
	}
	if r := slots.Peek(t0, "one", 5); !r.OK {
		t.Errorf("all released: %+v", r)
	}
}

func TestNoAllocations(t *testing.T) {
	for _, k := range Kinds() {
		l := mustNew(t, k, Params{Rate: 1e6, Burst: 1000, Max: 10})
		if k == SlidingLog {
			continue // it remembers every take
		}
		l.Pause(t0, "another", time.Hour)
		now := t0
		if n := testing.AllocsPerRun(1000, func() {
			now += 1000
			l.Take(now, "key", 1, 0)
			l.Peek(now, "key", 1)
			l.Settle(now, "key", 1, 1, now)
			l.GiveBack(now, "key", 1, now)
			l.Release(now, "key", 1)
			l.Learn(now, "key", NoFeedback(200))
		}); n != 0 {
			t.Errorf("%v: %v allocations", k, n)
		}
	}
	l := mustNew(t, TokenBucket, Params{Rate: 1})
	l.Take(t0, "key", 1, 0)
	if n := testing.AllocsPerRun(1000, func() { l.Take(t0, "key", 1, 0) }); n != 0 {
		t.Errorf("denied: %v allocations", n)
	}
}
