package limit

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// provider is an upstream with a fixed window, by the clock or begun by the
// first request of each, that announces it.
type provider struct {
	quota     int64
	window    time.Duration
	byRequest bool
	wholeSecs bool
	floorSecs bool
	sayWindow bool
	start     int64
	used      int64
	refused   int
}

func (p *provider) serve(now int64) Feedback {
	if end := p.start + int64(p.window); now >= end {
		if p.byRequest {
			p.start = now
		} else {
			p.start = now - (now-t0)%int64(p.window)
		}
		p.used = 0
	}
	reset := time.Duration(p.start + int64(p.window) - now)
	if p.wholeSecs {
		reset = (reset + time.Second - 1).Truncate(time.Second)
	}
	if p.floorSecs {
		reset = reset.Truncate(time.Second)
	}
	f := NoFeedback(200)
	if p.used >= p.quota {
		p.refused++
		f.Status = 429
	} else {
		p.used++
	}
	f.Limit, f.Remaining, f.Reset = p.quota, p.quota-p.used, reset
	if p.sayWindow {
		f.Window = p.window
	}
	return f
}

// event of the simulation: at a time, something happens.
type event struct {
	at int64
	do func(now int64)
}
type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any          { o := *e; v := o[len(o)-1]; *e = o[:len(o)-1]; return v }

// simulate runs clients that ask again and again against p in virtual time,
// and returns how many requests were served.
func simulate(l Limiter, p *provider, clients int, latency func() time.Duration, maxWait, total time.Duration) (served int) {
	var queue events
	at := func(t int64, do func(int64)) { heap.Push(&queue, event{t, do}) }
	var ask func(now int64)
	ask = func(now int64) {
		r := l.Take(now, "up", 1, maxWait)
		if !r.OK {
			at(now+int64(min(r.Wait, time.Minute)), ask)
			return
		}
		at(now+int64(r.Wait), func(sent int64) {
			at(sent+int64(latency()), func(arrived int64) {
				f := p.serve(arrived)
				f.Sent = sent
				if f.Status == 200 {
					served++
				}
				at(arrived+int64(latency()), func(now int64) {
					l.Learn(now, "up", f)
					l.Release(now, "up", 1)
					ask(now)
				})
			})
		})
	}
	// One request alone learns the quota; then all come.
	at(t0, ask)
	for i := 1; i < clients; i++ {
		at(t0+5*sec+int64(i), ask)
	}
	for queue.Len() > 0 && queue[0].at < t0+int64(total) {
		e := heap.Pop(&queue).(event)
		e.do(e.at)
	}
	return served
}

func TestUpstreamSpendsAQuotaWithoutRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		p       provider
		clients int
		lo, hi  time.Duration
		maxWait time.Duration
		least   float64 // of what the quota allows
	}{
		{"one client", provider{quota: 10, window: time.Minute, sayWindow: true}, 1, 20, 20, 0, 0.9},
		{"many, even latency", provider{quota: 100, window: time.Minute, sayWindow: true}, 20, 50, 50, 0, 0.8},
		{"many, answers out of order", provider{quota: 100, window: time.Minute, sayWindow: true}, 50, 5, 400, 0, 0.8},
		{"waiting", provider{quota: 100, window: time.Minute, sayWindow: true}, 250, 5, 400, 5 * time.Minute, 0.7},
		{"waiting, windows by request", provider{quota: 20, window: 10 * time.Second, byRequest: true, sayWindow: true}, 50, 20, 20, time.Minute, 0.6},
		{"whole seconds", provider{quota: 50, window: 30 * time.Second, wholeSecs: true, sayWindow: true}, 30, 10, 200, 0, 0.7},
		{"window not said", provider{quota: 50, window: 30 * time.Second}, 30, 10, 200, 0, 0.7},
		{"window not said, by request, waiting", provider{quota: 50, window: 30 * time.Second, byRequest: true}, 120, 10, 200, 40 * time.Second, 0.6},
		{"more clients than quota", provider{quota: 5, window: 20 * time.Second, sayWindow: true}, 40, 10, 500, 0, 0.6},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(9, 10))
			latency := func() time.Duration {
				return c.lo*time.Millisecond + time.Duration(rng.Int64N(int64((c.hi-c.lo)*time.Millisecond)+1))
			}
			l := mustNew(t, Upstream, Params{})
			const total = 10 * time.Minute
			p := c.p
			served := simulate(l, &p, c.clients, latency, c.maxWait, total)
			if p.refused > 0 {
				t.Errorf("%d refused of %d", p.refused, served+p.refused)
			}
			most := float64(p.quota) * total.Seconds() / p.window.Seconds()
			if float64(served) < c.least*most {
				t.Errorf("served %d of %v", served, most)
			}
			t.Logf("served %d of %v, refused %d", served, most, p.refused)
		})
	}
}

func answer(status int, limit, remaining int64, reset time.Duration, sent int64) Feedback {
	f := NoFeedback(status)
	f.Limit, f.Remaining, f.Reset, f.Sent = limit, remaining, reset, sent
	return f
}

func TestUpstreamUnknownIsOpen(t *testing.T) {
	l := mustNew(t, Upstream, Params{})
	for range 100 {
		if r := l.Take(t0, "k", 1, 0); !r.OK || r.Remaining != -1 || r.Limit != 0 {
			t.Fatalf("unknown: %+v", r)
		}
	}
	// The first answer counts the others against what remains.
	l.Learn(t0+sec, "k", answer(200, 150, 120, time.Minute, t0))
	if r := l.Peek(t0+sec, "k", 0); r.Remaining != 21 || r.Limit != 150 {
		t.Errorf("120 remain, 99 under way: %+v", r)
	}
}

func TestUpstreamOutOfOrder(t *testing.T) {
	l := mustNew(t, Upstream, Params{})
	for i := range int64(5) {
		l.Take(t0+i, "k", 1, 0)
	}
	l.Learn(t0+10, "k", answer(200, 10, 5, time.Minute, t0+4)) // the fifth, first
	for i := range int64(4) {
		l.Learn(t0+20+i, "k", answer(200, 10, 9-i, time.Minute, t0+i))
		l.Release(t0+20+i, "k", 1)
	}
	n := 0
	for l.Take(t0+30, "k", 1, 0).OK {
		n++
	}
	if n > 5 || n == 0 {
		t.Errorf("%d more went, 5 remain", n)
	}
}

func TestUpstreamSpreadsWaiters(t *testing.T) {
	l := mustNew(t, Upstream, Params{MaxWait: time.Minute})
	l.Take(t0, "k", 1, -1)
	f := answer(200, 2, 0, 10*time.Second, t0)
	f.Window = 20 * time.Second
	l.Learn(t0, "k", f)
	l.Release(t0, "k", 1)
	for i, want := range []time.Duration{10, 10, 30, 30, 50, 50} {
		if r := l.Take(t0, "k", 1, -1); !r.OK || r.Wait != want*time.Second {
			t.Errorf("waiter %d: %+v, want %ds", i, r, want)
		}
	}
	if r := l.Take(t0, "k", 1, -1); r.OK || r.Wait != 70*time.Second {
		t.Errorf("beyond the longest wait: %+v", r)
	}
	l.GiveBack(t0, "k", 1, t0-1) // fits no reservation: nothing is freed
	if r := l.Peek(t0, "k", 1); r.OK {
		t.Errorf("peek: %+v", r)
	}
}

// Who comes when a window is over while all that it holds is still under way waits for
// the window after, instead of being refused until an answer tells where it ends.
func TestUpstreamWaitsWhileAnswersAreUnderWay(t *testing.T) {
	l := mustNew(t, Upstream, Params{MaxWait: time.Minute})
	l.Take(t0, "k", 1, -1)
	f := answer(200, 2, 2, time.Second, t0)
	f.Window = time.Second
	l.Learn(t0, "k", f)
	l.Release(t0, "k", 1)
	l.Take(t0+1, "k", 1, -1)
	l.Take(t0+2, "k", 1, -1)
	late := t0 + 3*sec/2 // both may count in the second window
	for i, want := range []time.Duration{1, 1, 2, 2, 3} {
		r := l.Take(late, "k", 1, -1)
		if off := (r.Wait - want*time.Second).Abs(); !r.OK || off > time.Second/2 {
			t.Errorf("waiter %d: %+v, want about %ds", i, r, want)
		}
	}
}

func TestUpstreamGiveBack(t *testing.T) {
	l := mustNew(t, Upstream, Params{MaxWait: time.Minute})
	l.Take(t0, "k", 1, -1)
	l.Learn(t0+1, "k", answer(200, 10, 2, 10*time.Second, t0))
	for i := range int64(2) {
		if r := l.Take(t0+10+i, "k", 1, 0); !r.OK {
			t.Fatalf("take %d: %+v", i, r)
		}
	}
	l.GiveBack(t0+12, "k", 1, t0+11)
	if r := l.Take(t0+13, "k", 1, 0); !r.OK {
		t.Errorf("what was given back: %+v", r)
	}
	if r := l.Take(t0+20, "k", 10, -1); !r.OK || r.Wait == 0 {
		t.Fatalf("reservation: %+v", r)
	}
	if r := l.Take(t0+21, "k", 10, 15*time.Second); r.OK {
		t.Errorf("a second one in the same window: %+v", r)
	}
	l.GiveBack(t0+22, "k", 10, t0+20)
	if r := l.Take(t0+23, "k", 10, 15*time.Second); !r.OK {
		t.Errorf("the place given back: %+v", r)
	}
}

// An upstream that tells when its window ends and not how long one is: waiters are
// spread over windows of a usual length, and not turned away.
func TestUpstreamSpreadsWaitersWithoutAWindow(t *testing.T) {
	l := mustNew(t, Upstream, Params{MaxWait: time.Minute})
	l.Take(t0, "k", 1, -1)
	l.Learn(t0, "k", answer(200, 2, 0, time.Second, t0))
	for i, want := range []time.Duration{1, 1, 2, 2, 3} {
		r := l.Take(t0, "k", 1, -1)
		if !r.OK || r.Wait < want*time.Second || r.Wait > want*time.Second+100*time.Millisecond {
			t.Errorf("waiter %d: %+v, want about %d s", i, r, want)
		}
	}
}

// A window first seen when it is nearly over is no shorter for that: the batch after
// the next does not leave early. What lies between two resets corrects it.
func TestUpstreamFirstSeenInMidWindow(t *testing.T) {
	l := mustNew(t, Upstream, Params{MaxWait: 5 * time.Minute})
	l.Take(t0+50*sec, "k", 1, -1)
	l.Learn(t0+50*sec, "k", answer(200, 2, 0, 10*time.Second, t0+50*sec))
	l.Release(t0+50*sec, "k", 1)
	for i, want := range []int64{60, 60, 120, 120, 180} {
		r := l.Take(t0+50*sec, "k", 1, -1)
		if at := 50*sec + int64(r.Wait); !r.OK || at < want*sec || at > want*sec+sec {
			t.Errorf("waiter %d leaves at %v, want %d s", i, time.Duration(at), want)
		}
	}
	other := mustNew(t, Upstream, Params{MaxWait: 5 * time.Minute})
	for _, at := range []int64{25, 31} {
		other.Take(t0+at*sec, "k", 1, -1)
		other.Learn(t0+at*sec, "k", answer(200, 2, 0, time.Duration(30-at%30)*time.Second, t0+at*sec))
		other.Release(t0+at*sec, "k", 1)
	}
	for i, want := range []int64{60, 60, 90, 90} {
		if r := other.Take(t0+31*sec, "k", 1, -1); !r.OK || 31*sec+int64(r.Wait) < want*sec || 31*sec+int64(r.Wait) > want*sec+sec {
			t.Errorf("waiter %d after two resets: %+v, want to leave at %d s", i, r, want)
		}
	}
}

// After a reset nobody said anything about, no more goes than the quota known.
func TestUpstreamSilence(t *testing.T) {
	for _, c := range []struct{ limit, remaining, want int64 }{{5, 2, 5}, {-1, 3, 4}, {-1, 0, 1}} {
		l := mustNew(t, Upstream, Params{})
		l.Take(t0, "k", 1, 0)
		l.Learn(t0, "k", answer(200, c.limit, c.remaining, time.Second, t0))
		l.Release(t0, "k", 1)
		for round := range int64(3) {
			now, n := t0+(2+round)*3600*sec, int64(0)
			for range 100 {
				if l.Take(now, "k", 1, 0).OK {
					n++
				}
			}
			if round == 0 && n != c.want || n > c.want {
				t.Errorf("%+v, round %d: %d went", c, round, n)
			}
			l.Release(now+1, "k", n) // ended without an answer
		}
		if r := l.Take(t0+10*3600*sec, "k", 1, 0); !r.OK {
			t.Errorf("%+v: one always goes to ask: %+v", c, r)
		}
	}
}

func TestUpstreamHostileAnswers(t *testing.T) {
	for _, f := range []Feedback{
		answer(429, math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64),
		answer(200, 0, 0, 0, -5),
		answer(200, 1, math.MaxInt64, time.Hour, 0),
		answer(200, math.MaxInt64, 0, math.MaxInt64, t0),
		{Status: 503, RetryAfter: math.MaxInt64, Limit: -7, Remaining: -7, Reset: -7, Window: math.MaxInt64},
		{Status: -1, RetryAfter: math.MinInt64, Limit: math.MinInt64, Remaining: math.MinInt64, Reset: math.MinInt64, Window: math.MinInt64},
	} {
		l := mustNew(t, Upstream, Params{MaxWait: math.MaxInt64})
		l.Take(t0, "k", math.MaxInt64, -1)
		for range 3 {
			l.Learn(t0, "k", f)
		}
		for range 200 {
			if r := l.Take(t0, "k", 1, -1); !r.OK && r.Wait <= 0 {
				t.Fatalf("%+v: %+v", f, r)
			}
			l.Take(t0, "k", math.MaxInt64, -1)
		}
		l.GiveBack(t0, "k", math.MaxInt64, t0)
		l.Release(t0, "k", math.MaxInt64)
		l.Reset("k")
		l.Learn(t0, "k", f)
		if r := l.Take(t0+2*int64(MaxPause), "k", 1, 0); !r.OK {
			t.Errorf("%+v: still closed after two days: %+v", f, r)
		}
	}
}

// Windows of a second, told in whole seconds, to more callers than it bears.
func TestUpstreamUsesShortWindows(t *testing.T) {
	for _, c := range []struct {
		name  string
		p     provider
		least float64
	}{
		{"window said", provider{quota: 100, window: time.Second, wholeSecs: true, sayWindow: true}, 0.9},
		{"window not said", provider{quota: 100, window: time.Second, wholeSecs: true}, 0.9},
		{"windows by request", provider{quota: 100, window: time.Second, wholeSecs: true, sayWindow: true, byRequest: true}, 0.9},
		{"exact", provider{quota: 100, window: time.Second, sayWindow: true}, 0.9},
		{"rounded down", provider{quota: 100, window: time.Second, floorSecs: true, sayWindow: true}, 0.9},
		{"five seconds, rounded down", provider{quota: 500, window: 5 * time.Second, floorSecs: true}, 0.9},
		{"five seconds", provider{quota: 500, window: 5 * time.Second, wholeSecs: true, sayWindow: true}, 0.9},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(11, 12))
			n := 0
			latency := func() time.Duration {
				if n++; n == 20 { // one slow answer at the beginning
					return 600 * time.Millisecond
				}
				return 5*time.Millisecond + time.Duration(rng.Int64N(int64(20*time.Millisecond)))
			}
			for _, maxWait := range []time.Duration{0, 2 * time.Second, 20 * time.Second} {
				l := mustNew(t, Upstream, Params{})
				p := c.p
				served := simulate(l, &p, 800, latency, maxWait, time.Minute)
				most := float64(p.quota) * 55 / p.window.Seconds()
				t.Logf("wait %v: served %d of %v, refused %d", maxWait, served, most, p.refused)
				if float64(served) < c.least*most || float64(p.refused) > most/1000 {
					t.Errorf("wait %v: served %d of %v, refused %d", maxWait, served, most, p.refused)
				}
			}
		})
	}
}
