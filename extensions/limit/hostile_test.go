package limit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever the clock, the costs and the answers say, a limiter does not panic, tells no
// negative wait, and is open again some days after the last of it.
func TestAbsurdInputs(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			for seed := range fewer(400) {
				rng := rand.New(rand.NewPCG(uint64(seed), 35))
				absurd := func() int64 {
					all := [...]int64{0, 1, -1, math.MaxInt64, math.MinInt64, math.MaxInt32, int64(time.Second), rng.Int64N(20), rng.Int64()}
					return all[rng.IntN(len(all))]
				}
				l := mustNew(t, k, Params{Rate: 10, Burst: 5, Max: 5, MaxWait: time.Duration(rng.Int64N(3)) * time.Second, MaxKeys: 3})
				now, end := t0, t0
				for range 60 {
					switch now += rng.Int64N(sec); rng.IntN(12) {
					case 0:
						now -= rng.Int64N(3 * 24 * 3600 * sec) // put back
					case 1:
						now = max(absurd(), 0) / 4
					}
					end = max(end, now)
					key := []string{"", "a", "b", "c", "d"}[rng.IntN(5)]
					f := Feedback{[]int{200, 429, 503, -1}[rng.IntN(4)], absurd(), time.Duration(absurd()), absurd(), absurd(), time.Duration(absurd()), time.Duration(absurd())}
					switch rng.IntN(8) {
					case 0:
						l.GiveBack(now, key, absurd(), absurd())
					case 1:
						l.Settle(now, key, absurd(), absurd(), absurd())
					case 2:
						l.Learn(now, key, f)
					case 3:
						l.Release(now, key, absurd())
					case 4:
						l.Pause(now, key, time.Duration(absurd()))
					case 5:
						l.Import(now, Record{key, absurd(), absurd(), absurd(), absurd(), absurd(), absurd(), absurd()})
					default:
						for _, r := range []Result{l.Peek(now, key, absurd()), l.Take(now, key, absurd(), time.Duration(absurd())), l.Fork().Take(now, key, 1, 0)} {
							if r.Wait < 0 || !r.OK && r.Wait == 0 || r.Reset < 0 || k != Upstream && r.Limit > 0 && r.Remaining > r.Limit {
								t.Fatalf("seed %d at %d: %+v", seed, now, r)
							}
						}
					}
				}
				later := addSat(end, 40*24*3600*sec)
				for i := range 300 { // all that may be in flight
					l.Release(later, []string{"", "a", "b", "c", "d"}[i%5], math.MaxInt64)
				}
				if r := l.Take(later, "a", 1, 0); !r.OK && k != Throttle && k != RetryBudget && later < math.MaxInt64/3 {
					t.Errorf("seed %d: still closed after 40 days: %+v", seed, r)
				}
			}
		})
	}
}
