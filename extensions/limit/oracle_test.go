package limit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

// fewer is how many times fewer trials the race detector is given: it looks for
// races, which a law of chance has none of.
func fewer(n int) int {
	if testkit.Race {
		return n / 20
	}
	return n
}

// skipLaw skips a law of large numbers under the race detector.
func skipLaw(t *testing.T) {
	if testkit.Race {
		t.Skip("one goroutine, and too many trials for the race detector")
	}
}

// arrivals is a Poisson process of so many a second.
func arrivals(rng *rand.Rand, now *int64, perSecond float64) int64 {
	*now += int64(rng.ExpFloat64() * 1e9 / perSecond)
	return *now
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
