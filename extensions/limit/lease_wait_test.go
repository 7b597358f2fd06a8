package limit

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// scripted is a Granter of a test: it notes what it is asked for.
type scripted struct {
	asked []int64
	grant func(want int64) (n, until int64, err error)
}

func (s *scripted) Grant(_ context.Context, _, _ string, want int64) (n, until int64, err error) {
	s.asked = append(s.asked, want)
	return s.grant(want)
}

func plenty(want int64) (n, until int64, err error) { return want, t0 + 100*sec, nil }

// letCount counts how often somebody in line is told.
type letCount int

func (l *letCount) LetGo() { *l++ }

func leasedLimiter(t *testing.T, from Granter, most int64) (Line, *Leased) {
	t.Helper()
	leased := NewLeased("l", from, most)
	l, ok := NewShared(mustNew(t, TokenBucket, Params{Rate: 1, Burst: 50_000}), leased).(Line)
	if !ok {
		t.Fatal("a shared limiter has no line")
	}
	return l, leased
}

func joinAll(t *testing.T, l Line, n int, cost int64, w policy.Waiter) (places []*Place) {
	t.Helper()
	for i := range n {
		r, p := l.Join(t0, "new", cost, 5, 0, w)
		if !r.OK || r.Wait != 0 || p == nil || p.Ahead() != i || p.State() != policy.PlaceWaits {
			t.Fatalf("%d: %+v %+v", i, r, p)
		}
		places = append(places, p)
	}
	return places
}

func states(places []*Place) (n [5]int) {
	for _, p := range places {
		n[p.State()]++
	}
	return n
}

// A thousand callers of a key that is new wait for one answer of the store.
func TestAThousandCallersOfANewKeyAskOnce(t *testing.T) {
	st := &scripted{grant: plenty}
	l, leased := leasedLimiter(t, st, 2000)
	told := letCount(0)
	places := joinAll(t, l, 1000, 1, &told)
	if l.Waiting("new") != 1000 || l.Take(t0, "new", 1, 0).OK {
		t.Error("somebody overtook those who wait")
	}
	if err := leased.Refill(t.Context(), t0); err != nil {
		t.Fatal(err)
	}
	if len(st.asked) != 1 || st.asked[0] != 1000 || states(places)[policy.PlaceGranted] != 1000 || told != 1000 || l.Waiting("new") != 0 {
		t.Errorf("asked for %v, %d told, states %v", st.asked, told, states(places))
	}
	if left := l.Peek(t0, "new", 0).Remaining; left != 49_000 {
		t.Errorf("the limiter here has %d left", left)
	}
}

// Those who come while the store thinks are in its next answer, and who gets more than a
// lease holds, waits for the one after.
func TestOneQuestionAtATime(t *testing.T) {
	var l Line
	var leased *Leased
	told := letCount(0)
	var late []*Place
	st := &scripted{grant: plenty}
	l, leased = leasedLimiter(t, st, 10)
	first := joinAll(t, l, 1, 3, &told)
	st.grant = func(want int64) (int64, int64, error) {
		for range 5 {
			_, p := l.Join(t0, "new", 3, 5, 0, &told)
			late = append(late, p)
		}
		st.grant = plenty
		if err := leased.Refill(t.Context(), t0); err != nil {
			t.Error(err)
		}
		return want, t0 + 100*sec, nil
	}
	for range 3 {
		if err := leased.Refill(t.Context(), t0); err != nil {
			t.Fatal(err)
		}
	}
	if len(st.asked) != 3 || states(first)[policy.PlaceGranted] != 1 || states(late)[policy.PlaceGranted] != 5 {
		t.Errorf("asked for %v: %v, %v", st.asked, states(first), states(late))
	}
}

// Where the store grants nothing or fails, all who wait are told when to come back, and
// keep nothing of the limiter here; so does who leaves.
func TestARefusedLeaseKeepsNothing(t *testing.T) {
	for name, grant := range map[string]func(int64) (int64, int64, error){
		"nothing": func(int64) (int64, int64, error) { return 0, t0 + 7*sec, nil },
		"failure": func(int64) (int64, int64, error) { return 0, 0, errors.New("down") },
		"left":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			st := &scripted{grant: grant}
			l, leased := leasedLimiter(t, st, 10)
			told := letCount(0)
			places := joinAll(t, l, 3, 2, &told)
			if name == "left" {
				for _, p := range places {
					if !p.Leave(t0) {
						t.Error("it was granted what nobody had")
					}
				}
			} else {
				err := leased.Refill(t.Context(), t0)
				if (name == "failure") != (err != nil) {
					t.Error(err)
				}
				back := t0 + int64(RetryHint)
				if name == "nothing" {
					back = t0 + 7*sec
				}
				for _, p := range places {
					if p.State() != policy.PlaceRefused || p.Until() != back || !p.Leave(t0) {
						t.Errorf("state %d, back at %d", p.State(), p.Until()-t0)
					}
				}
				if r, p := l.Join(t0+1, "new", 1, 5, 0, &told); r.OK || p != nil || r.Wait != time.Duration(back-t0-1) {
					t.Errorf("one that comes then: %+v %v", r, p)
				}
			}
			if r := l.Peek(t0+1, "new", 0); r.Remaining != 50_000 || l.Waiting("new") != 0 {
				t.Errorf("%+v, %d wait", r, l.Waiting("new"))
			}
			if leased.keys["new"].wanted != 0 {
				t.Errorf("%d are wanted by nobody", leased.keys["new"].wanted)
			}
		})
	}
}

// A cost that is more than what is left is asked for, however much is left.
func TestWhatDoesNotFitIsAskedFor(t *testing.T) {
	st := &scripted{grant: plenty}
	l, leased := leasedLimiter(t, st, 10)
	told := letCount(0)
	joinAll(t, l, 1, 1, &told)
	_ = leased.Refill(t.Context(), t0)
	leased.keys["new"].left, leased.keys["new"].spent = 4, 0
	r, p := l.Join(t0, "new", 5, 5, 0, &told)
	if err := leased.Refill(t.Context(), t0); err != nil || !r.OK || p == nil || p.State() != policy.PlaceGranted {
		t.Errorf("%+v %+v, asked for %v: %v", r, p, st.asked, err)
	}
}

// The limiter here is asked first, and what it refuses asks the store for nothing. Who only
// looks waits for nobody.
func TestTheLimiterHereComesFirst(t *testing.T) {
	st := &scripted{grant: plenty}
	l, leased := leasedLimiter(t, st, 100_000)
	told := letCount(0)
	if r, p := l.Join(t0, "new", 60_000, 5, 0, &told); r.OK || p != nil {
		t.Errorf("joined for more than there is here: %+v %+v", r, p)
	}
	if r := l.Take(t0, "new", 60_000, 0); r.OK || l.Waiting("new") != 0 || len(leased.keys) != 0 {
		t.Errorf("took more than there is here: %+v, %d keys", r, len(leased.keys))
	}
	if r, p := l.Join(t0, "new", 1, 5, 0, nil); r.OK || p != nil || l.Waiting("new") != 0 {
		t.Errorf("one that looks: %+v %+v", r, p)
	}
	if left := l.Peek(t0, "new", 0).Remaining; left != 50_000 {
		t.Errorf("%d are left here", left)
	}
}

func TestALeasedJoinAllocatesNothing(t *testing.T) {
	st := &scripted{grant: plenty}
	l, leased := leasedLimiter(t, st, 1<<40)
	told := letCount(0)
	joinAll(t, l, 1, 1000, &told)
	_ = leased.Refill(t.Context(), t0)
	leased.keys["new"].left = 1 << 30
	if n := testing.AllocsPerRun(100, func() { l.Join(t0, "new", 1, 5, 0, &told) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Who joins, leaves, is granted and gives back at once: nobody is lost, nothing is let
// through that the store did not grant, and nothing is wanted in the end.
func TestLeaseWaitHammer(t *testing.T) {
	const callers, each = 8, 300
	var granted, used atomic.Int64
	st := &scripted{grant: func(want int64) (int64, int64, error) {
		granted.Add(want)
		return want, t0 + 100*sec, nil
	}}
	l, leased := leasedLimiter(t, st, 16)
	stop := make(chan struct{})
	var refills, wg sync.WaitGroup
	refills.Go(func() {
		for {
			select {
			case <-leased.Wanted():
				_ = leased.Refill(t.Context(), t0)
			case <-stop:
				return
			}
		}
	})
	for c := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 12))
			for range each {
				told := signal(make(chan struct{}, 1))
				cost := rng.Int64N(5) + 1
				r, p := l.Join(t0, "k", cost, 5, 0, told)
				if p != nil {
					if rng.IntN(4) > 0 {
						<-told
					}
					if p.Leave(t0) {
						continue
					}
				}
				if !r.OK {
					t.Errorf("%+v", r)
				}
				if used.Add(cost); rng.IntN(4) == 0 {
					used.Add(-cost)
					l.GiveBack(t0, "k", cost, t0)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	refills.Wait()
	s := leased.keys["k"]
	if s.wanted != 0 || len(s.waiting) != 0 || used.Load()+s.left > granted.Load() {
		t.Errorf("%d used of %d granted, %d left; %d wanted by %d", used.Load(), granted.Load(), s.left, s.wanted, len(s.waiting))
	}
}

// What is given back while somebody waits is his, though the lease is full then and the
// store is not asked.
func TestWhatIsGivenBackIsForWhoWaits(t *testing.T) {
	st := &scripted{grant: plenty}
	l, leased := leasedLimiter(t, st, 10)
	told := letCount(0)
	joinAll(t, l, 1, 10, &told)
	_ = leased.Refill(t.Context(), t0)
	_, p := l.Join(t0, "new", 10, 5, 0, &told)
	l.GiveBack(t0, "new", 10, t0)
	if err := leased.Refill(t.Context(), t0); err != nil || p == nil || p.State() != policy.PlaceGranted || told != 2 || l.Waiting("new") != 0 {
		t.Errorf("%+v, %d told, asked for %v: %v", p, told, st.asked, err)
	}
}

// A key more than there may be looks at a few of the others only.
func TestOneKeyMoreDoesNotLookAtAll(t *testing.T) {
	leased := NewLeased("l", granter(func(_ context.Context, _ string, want int64) (int64, int64, error) { return want, t0 + sec, nil }), 10)
	for i := range maxLeased {
		leased.Take(t0, strconv.Itoa(i), 1)
	}
	_ = leased.Refill(t.Context(), t0)
	if r := leased.Take(t0, "one more", 1); r.OK || r.Wait != RetryHint || leased.keys["one more"] != nil {
		t.Errorf("all places hold something: %+v", r)
	}
	leased.Take(t0+sec, "one more", 1) // all leases are over
	if n := len(leased.keys); n < maxLeased-forgetLooks || n > maxLeased || leased.keys["one more"] == nil {
		t.Errorf("%d keys of %d are left", n, maxLeased)
	}
}

// Of more keys than a Refill looks at it asks for those of which somebody wants units, and
// for some of the others.
func TestARefillDoesNotLookAtAll(t *testing.T) {
	const keys = 5 * refillLooks
	var asked sync.Map
	count := func() (n int) {
		asked.Range(func(any, any) bool { n++; return true })
		asked.Clear()
		return n
	}
	leased := NewLeased("l", granter(func(_ context.Context, key string, want int64) (int64, int64, error) {
		asked.Store(key, want)
		return want, t0 + sec, nil
	}), 10)
	name := func(i int) string { return strconv.Itoa(i) }
	for i := range keys {
		leased.Take(t0, name(i), 1)
	}
	_ = leased.Refill(t.Context(), t0)
	if n := count(); n != keys {
		t.Errorf("%d of %d who want were asked for", n, keys)
	}
	for i := range keys {
		if r := leased.Take(t0, name(i), 1); !r.OK {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	leased.Take(t0+2*sec, name(7), 1) // all leases are over, and this one is missed
	_ = leased.Refill(t.Context(), t0+2*sec)
	if want, ok := asked.Load(name(7)); !ok || want != int64(2) {
		t.Errorf("it was asked for %v", want)
	}
	if n := count(); n > refillLooks+1 {
		t.Errorf("%d were asked for", n)
	}
}

// The store is asked about several keys at once: one that takes its time holds up no other.
func TestQuestionsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var here sync.WaitGroup
		here.Add(refillsAtOnce)
		leased := NewLeased("l", granter(func(ctx context.Context, _ string, want int64) (int64, int64, error) {
			here.Done()
			all := make(chan struct{})
			go func() { here.Wait(); close(all) }()
			select {
			case <-all:
				return want, t0 + 100*sec, nil
			case <-ctx.Done():
				return 0, 0, ctx.Err()
			}
		}), 10)
		for i := range refillsAtOnce {
			leased.Take(t0, strconv.Itoa(i), 1)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := leased.Refill(ctx, t0); err != nil {
			t.Error(err)
		}
	})
}

type granter func(ctx context.Context, key string, want int64) (n, until int64, err error)

func (g granter) Grant(ctx context.Context, _, key string, want int64) (n, until int64, err error) {
	return g(ctx, key, want)
}

// signal is told at most once at a time.
type signal chan struct{}

func (s signal) LetGo() { s <- struct{}{} }
