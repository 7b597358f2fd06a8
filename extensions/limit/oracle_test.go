package limit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// fewer is how many times fewer trials the race detector is given: it looks for
// races, which a law of chance has none of.
func fewer(n int) int {
	if raceEnabled {
		return n / 20
	}
	return n
}

// skipLaw skips a law of large numbers under the race detector.
func skipLaw(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and too many trials for the race detector")
	}
}

// arrivals is a Poisson process of so many a second.
func arrivals(rng *rand.Rand, now *int64, perSecond float64) int64 {
	*now += int64(rng.ExpFloat64() * 1e9 / perSecond)
	return *now
}

func near(t *testing.T, what string, got, want, slack float64) {
	t.Helper()
	if math.Abs(got-want) > slack {
		t.Errorf("%s: %.5f, want %.5f", what, got, want)
	}
}

// lossMD1B is the share that M/D/1/B refuses: the embedded chain of the queue at
// departures, b places with the one in service, rho work offered.
func lossMD1B(rho float64, b int) float64 {
	if b == 1 {
		return rho / (1 + rho)
	}
	poisson := make([]float64, b+1)
	for k := range poisson {
		lg, _ := math.Lgamma(float64(k) + 1)
		poisson[k] = math.Exp(float64(k)*math.Log(rho) - rho - lg)
	}
	// pi[j]: left behind by a departure; 0..b-1.
	pi := make([]float64, b)
	pi[0] = 1
	for j := 0; j < b-1; j++ {
		sum := pi[0] * poisson[j]
		for i := 1; i <= j; i++ {
			sum += pi[i] * poisson[j-i+1]
		}
		pi[j+1] = (pi[j] - sum) / poisson[0]
	}
	total := 0.0
	for _, p := range pi {
		total += p
	}
	return 1 - 1/(rho+pi[0]/total)
}

// A bucket that refuses is an M/D/1/B queue that loses.
func TestOracleLoss(t *testing.T) {
	skipLaw(t)
	for _, c := range []struct {
		rho float64
		b   int64
	}{{0.5, 1}, {0.9, 1}, {0.9, 5}, {0.95, 3}, {1.0, 1}, {0.8, 10}} {
		rng := rand.New(rand.NewPCG(21, uint64(c.b)))
		r := mustRate(t, 100, time.Second, c.b)
		var b Bucket
		now, lost := t0, 0
		const n = 400_000
		for range n {
			if !b.Take(arrivals(rng, &now, 100*c.rho), r, 1, 0).OK {
				lost++
			}
		}
		near(t, fmt.Sprintf("loss at rho %v, B %d", c.rho, c.b), float64(lost)/n, lossMD1B(c.rho, int(c.b)), 0.004)
	}
}

// A bucket of one that makes wait is an M/D/1 queue: Wq = rho/(2(1-rho)) services.
func TestOracleWait(t *testing.T) {
	skipLaw(t)
	for _, rho := range []float64{0.5, 0.8} {
		rng := rand.New(rand.NewPCG(22, 1))
		r := mustRate(t, 100, time.Second, 1)
		var b Bucket
		now, sum := t0, 0.0
		const n = 600_000
		for range n {
			sum += b.Take(arrivals(rng, &now, 100*rho), r, 1, time.Hour).Wait.Seconds()
		}
		near(t, fmt.Sprintf("wait at rho %v", rho), sum/n*100, rho/(2*(1-rho)), 0.05*rho/(1-rho))
	}
}

// A bound on what is in flight loses by Erlang's B formula, whatever the law of
// the service times.
func TestOracleErlangB(t *testing.T) {
	skipLaw(t)
	const servers, load, n = 10, 8.0, 300_000
	want := 1.0
	for k := 1.0; k <= servers; k++ {
		want = load * want / (k + load*want)
	}
	for name, service := range map[string]func(*rand.Rand) float64{
		"exponential":   func(r *rand.Rand) float64 { return r.ExpFloat64() },
		"deterministic": func(*rand.Rand) float64 { return 1 },
		"lognormal":     func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64() - 0.5) },
	} {
		rng := rand.New(rand.NewPCG(23, 4))
		l := mustNew(t, Concurrency, Params{Max: servers})
		var ends []int64 // sorted
		now, lost := t0, 0
		for range n {
			arrivals(rng, &now, load)
			for len(ends) > 0 && ends[0] <= now {
				l.Release(ends[0], "k", 1)
				ends = ends[1:]
			}
			if !l.Take(now, "k", 1, 0).OK {
				lost++
				continue
			}
			end := now + int64(service(rng)*1e9)
			i, _ := slices.BinarySearch(ends, end)
			ends = slices.Insert(ends, i, end)
		}
		near(t, "Erlang B, "+name, float64(lost)/n, want, 0.006)
	}
}

// What windows let through in any interval, offered twice what they allow.
func TestOracleWindows(t *testing.T) {
	const limit, per = 100, time.Second
	for _, c := range []struct {
		kind  Kind
		bound func(tau float64) float64
	}{
		{FixedWindow, func(tau float64) float64 { return limit * (math.Floor(tau) + 2) }},
		{SlidingWindow, func(tau float64) float64 { return limit*(1+tau) + 1 }},
		{SlidingLog, func(tau float64) float64 { return limit * (math.Floor(tau) + 1) }},
	} {
		for _, wait := range []time.Duration{0, 3 * time.Second} {
			t.Run(fmt.Sprint(c.kind, wait), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(24, 5))
				l := mustNew(t, c.kind, Params{Max: limit, Per: per, MaxWait: wait})
				var went []int64
				now := t0
				for range 30_000 {
					if r := l.Take(arrivals(rng, &now, 2*limit), "k", 1, -1); r.OK {
						if r.Wait > wait {
							t.Fatalf("waits for %v", r.Wait)
						}
						went = append(went, now+int64(r.Wait))
					}
				}
				slices.Sort(went)
				if share := float64(len(went)) / limit / (float64(now-t0) / 1e9); share < 0.93 || share > 1.1 {
					t.Errorf("let through %.3f of what it allows", share)
				}
				for i := range went {
					for _, span := range []int{1, 20, 60, 99, 100, 101, 150, 199, 200} {
						if j := i + span; j < len(went) {
							// an interval that is closed at both ends
							tau := float64(went[j]-went[i]) / 1e9
							if got := float64(span + 1); tau < 1 && got > c.bound(tau)+1e-6 {
								t.Fatalf("%v in %v s, bound %v", got, tau, c.bound(tau))
							}
						}
					}
				}
			})
		}
	}
}

// Offered far more than the upstream accepts, the throttle sends K times that.
func TestOracleThrottle(t *testing.T) {
	skipLaw(t)
	for _, k := range []float64{1.1, 2} {
		l := mustNew(t, Throttle, Params{Ratio: k, Per: 10 * time.Second})
		rng := rand.New(rand.NewPCG(25, 6))
		now, sent, accepted := t0, 0, 0
		room := mustRate(t, 100, time.Second, 1)
		var up Bucket
		for i := range 400_000 {
			arrivals(rng, &now, 2000)
			if !l.Take(now, "k", 1, 0).OK {
				continue
			}
			status := 503
			if up.Take(now, room, 1, 0).OK {
				status = 200
			}
			if i > 100_000 {
				sent++
				if status == 200 {
					accepted++
				}
			}
			l.Learn(now, "k", NoFeedback(status))
		}
		near(t, fmt.Sprintf("sent over accepted, K %v", k), float64(sent)/float64(accepted), k, 0.06*k)
	}
}

// Retries stay below the ratio of the answers and the least rate.
func TestOracleRetryBudget(t *testing.T) {
	skipLaw(t)
	l := mustNew(t, RetryBudget, Params{Ratio: 0.1, Min: 2, Per: 10 * time.Second})
	rng := rand.New(rand.NewPCG(26, 7))
	now, answers, retries := t0, 0, 0
	for range 100_000 {
		arrivals(rng, &now, 500)
		l.Learn(now, "k", NoFeedback(500))
		answers++
		if l.Take(now, "k", 1, 0).OK {
			retries++
			l.Learn(now, "k", NoFeedback(500))
			answers++
		}
	}
	seconds := float64(now-t0)/1e9 + 10
	if bound := 0.1*float64(answers) + 2*seconds; float64(retries) > bound || float64(retries) < 0.8*bound {
		t.Errorf("%d retries of %d answers, bound %.0f", retries, answers, bound)
	}
}

// AIMD finds what an upstream bears, and Gradient2 keeps its queue short.
func TestAdaptiveFindsTheLimit(t *testing.T) {
	skipLaw(t)
	for _, algorithm := range []string{"aimd", "gradient"} {
		const servers, service = 40, 100 * int64(time.Millisecond)
		l := mustNew(t, Adaptive, Params{Algorithm: algorithm, Max: 1000})
		type flight struct{ sent, end int64 }
		var flights []flight // by end: service is first come, first served
		free := make([]int64, servers)
		now, sum, n := t0, 0.0, 0
		for i := range 200_000 {
			now += sec / 2000 // five times what it bears
			for len(flights) > 0 && flights[0].end <= now {
				f := NoFeedback(200)
				f.Sent = flights[0].sent
				if flights[0].end-f.Sent > 3*service {
					f.Status = 503
				}
				l.Learn(flights[0].end, "k", f)
				l.Release(flights[0].end, "k", 1)
				flights = flights[1:]
			}
			if r := l.Take(now, "k", 1, 0); r.OK {
				slot := 0
				for s := range free {
					if free[s] < free[slot] {
						slot = s
					}
				}
				free[slot] = max(free[slot], now) + service
				flights = append(flights, flight{now, free[slot]})
				if i > 50_000 {
					sum, n = sum+float64(r.Limit), n+1
				}
			}
		}
		if mean := sum / float64(n); mean < servers*0.8 || mean > servers*4 {
			t.Errorf("%s: a limit of %.1f on average for %d servers", algorithm, mean, servers)
		}
	}
}

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

// Days and months are those of the zone, also where its clocks change, and what
// was used survives a restart.
func TestCalendar(t *testing.T) {
	at := func(text string) int64 {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when.UnixNano()
	}
	for _, c := range []struct{ every, zone, now, reset string }{
		{"day", "", "2026-03-29T12:00:00Z", "2026-03-30T00:00:00Z"},
		{"day", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T22:00:00Z"}, // 23 hours long
		{"day", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25T23:00:00Z"}, // 25 hours long
		{"day", "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-05T02:00:00Z"},
		{"month", "", "2026-02-10T00:00:00Z", "2026-03-01T00:00:00Z"},
		{"month", "America/New_York", "2026-12-31T12:00:00Z", "2027-01-01T05:00:00Z"},
		{"week", "", "2026-11-26T08:00:00Z", "2026-11-30T00:00:00Z"},
		{"hour", "Asia/Kolkata", "2026-11-26T08:10:00Z", "2026-11-26T09:00:00Z"},
	} {
		p := Params{Max: 3, Every: c.every, Zone: c.zone}
		l := mustNew(t, Calendar, p)
		now, reset := at(c.now), at(c.reset)
		for range 3 {
			l.Take(now, "k", 1, 0)
		}
		r := l.Take(now+1, "k", 1, 0)
		if r.OK || int64(r.Wait) != reset-now-1 {
			t.Errorf("%s %s at %s: %+v, want a wait until %s", c.every, c.zone, c.now, r, c.reset)
		}
		again := mustNew(t, Calendar, p)
		l.Export(now+1, func(r Record) bool { again.Import(now+2, r); return true })
		if r := again.Take(reset-1, "k", 1, 0); r.OK {
			t.Errorf("%s %s: a restart gave it back", c.every, c.zone)
		}
		if r := again.Take(reset, "k", 1, 0); !r.OK {
			t.Errorf("%s %s: closed after its reset: %+v", c.every, c.zone, r)
		}
	}
	if err := Calendar.Check(Params{Max: 1, Zone: "Nowhere/Else"}); err == nil {
		t.Error("an unknown zone is accepted")
	}
}

// An upstream that counts by the minute does not use up a day: it closes it for as long as
// it says. One that counts by the day does.
func TestCalendarLearnsFromItsOwnWindowAlone(t *testing.T) {
	const day = 24 * time.Hour
	now := t0 - t0%int64(day) + int64(12*time.Hour)
	for _, c := range []struct {
		f         Feedback
		remaining int64
		wait      time.Duration
	}{
		{answer(200, 60, 3, 20*time.Second, now), 999, 0},
		{answer(200, 60, 0, 20*time.Second, now), 999, 20 * time.Second},
		{answer(200, 60, 3, -1, now), 999, 0},
		{answer(200, 1000, 3, 12*time.Hour, now), 3, 0},
		{answer(200, 1000, 3, 12*time.Hour-time.Second, now), 3, 0},
		{answer(200, 90_000, 3, 40*time.Hour, now), 3, 0},
	} {
		l := mustNew(t, Calendar, Params{Max: 1000, Every: "day"})
		l.Take(now, "k", 1, 0)
		l.Learn(now, "k", c.f)
		if r := l.Peek(now, "k", 1); r.Wait != c.wait || c.wait == 0 && r.Remaining != c.remaining-1 {
			t.Errorf("%+v: %+v, want %d left and a wait of %v", c.f, r, c.remaining, c.wait)
		}
		if r := l.Peek(now+int64(c.wait), "k", 1); r.Remaining != c.remaining-1 {
			t.Errorf("%+v: later %+v, want %d left", c.f, r, c.remaining)
		}
	}
}

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

// Rates change, keys are paused, reset and evicted and units given back, all at
// once: what stays taken keeps to the highest rate there was.
func TestKindsHammer(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			p := Params{Rate: 1000, Burst: 100, Max: 100, Min: 1, MaxKeys: 8}
			l := mustNew(t, k, p)
			var mu sync.Mutex
			kept := 0
			var wg sync.WaitGroup
			release := make(chan struct{})
			for g := range 16 {
				wg.Go(func() {
					<-release
					mine := 0
					for i := range max(fewer(400), 60) {
						now := t0 + int64(i)*1000
						r := l.Take(now, "k", 1, 0)
						switch {
						case r.OK && i%3 == 0:
							l.GiveBack(now, "k", 1, now)
						case r.OK:
							mine++
						}
						l.Take(now, strconv.Itoa(g*i), 1, 0)
						switch other := strconv.Itoa(i % 5); i % 8 {
						case 0:
							l.Pause(now, other, time.Millisecond)
						case 1:
							l.Reset(other)
						case 2:
							l.Learn(now, other, NoFeedback(429))
						case 3:
							l.Settle(now, other, 1, 2, now)
						case 4:
							q := p
							q.Rate, q.Burst, q.Max = p.Rate-float64(i%2), p.Burst-int64(i%2), p.Max-int64(i%2)
							_ = l.Set(q)
						case 5:
							l.Range(now, func(string, Result, time.Duration) bool { return true })
							l.Fork().Take(now, "k", 1, 0)
						case 6:
							l.Export(now, func(r Record) bool { l.Import(now, Record{Key: other, Paused: r.Paused}); return true })
						case 7:
							l.Release(now, other, 1)
							l.Peek(now, "k", 1)
						}
					}
					mu.Lock()
					kept += mine
					mu.Unlock()
				})
			}
			close(release)
			wg.Wait()
			bound := map[Kind]int{TokenBucket: 101, Concurrency: 100, FixedWindow: 100, SlidingWindow: 100, SlidingLog: 100, Fair: 101, Calendar: 100, Adaptive: 100}[k]
			if bound > 0 && kept > bound {
				t.Errorf("%d stayed taken, bound %d", kept, bound)
			}
		})
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
