package limit

import (
	"testing"
	"time"
)

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
