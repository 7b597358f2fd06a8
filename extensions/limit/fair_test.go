package limit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Keys that keep asking share the rate by weight, and the sum keeps to it.
func TestOracleFair(t *testing.T) {
	skipLaw(t)
	const rate, burst = 1000, 20
	l := mustNew(t, Fair, Params{Rate: rate, Burst: burst, Weights: "gold=3,silver=2"})
	weights := map[string]float64{"gold": 3, "silver": 2, "a": 1, "b": 1}
	asks := map[string]int64{"gold": 400_000, "silver": 150_000, "a": 50_000, "b": 900_000} // ns between
	next, got := map[string]int64{}, map[string]float64{}
	for k := range asks {
		next[k] = t0
	}
	const largest = 4
	now, all := t0, 0.0
	rng := rand.New(rand.NewPCG(27, 8))
	for now < t0+20*sec {
		key := ""
		for k, at := range next {
			if key == "" || at < next[key] {
				key = k
			}
		}
		now = next[key]
		next[key] += asks[key]
		if cost := rng.Int64N(largest) + 1; l.Take(now, key, cost, 0).OK {
			got[key] += float64(cost)
			all += float64(cost)
		}
	}
	if bound := burst + rate*float64(now-t0)/1e9; all > bound || all < 0.97*bound {
		t.Errorf("%v units, bound %v", all, bound)
	}
	for i := range weights {
		for j := range weights {
			// DRR: a share of the burst and one request each.
			bound := (burst*weights[i]/7+largest)/weights[i] + (burst*weights[j]/7+largest)/weights[j]
			if d := math.Abs(got[i]/weights[i] - got[j]/weights[j]); d > bound {
				t.Errorf("%s and %s differ by %.1f, bound %.1f", i, j, d, bound)
			}
		}
	}
	// Alone, a key has all of it.
	alone := 0
	for i := range 5000 {
		if l.Take(now+2*sec+int64(i)*sec/2000, "a", 1, 0).OK {
			alone++
		}
	}
	if alone < 2400 || alone > 2500+burst+1 {
		t.Errorf("alone it had %d of 2500", alone)
	}
}

// What a key leaves unused is the others', by their weights, while it goes on asking.
func TestFairLeavesNothingUnused(t *testing.T) {
	const rate, burst = 1000, 20
	l := mustNew(t, Fair, Params{Rate: rate, Burst: burst, Weights: "gold=8,silver=2"})
	// gold asks for 50 a second of its 667, and the others for as much as they get.
	asks := map[string]int64{"gold": sec / 50, "silver": sec / 5000, "a": sec / 5000, "b": sec / 5000}
	next, got := map[string]int64{}, map[string]float64{}
	for k := range asks {
		next[k] = t0
	}
	for now := t0; now < t0+20*sec; {
		key := ""
		for k, at := range next {
			if key == "" || at < next[key] || at == next[key] && k < key {
				key = k
			}
		}
		now = next[key]
		next[key] += asks[key]
		if l.Take(now, key, 1, 0).OK {
			got[key]++
		}
	}
	if all := got["gold"] + got["silver"] + got["a"] + got["b"]; all > burst+20*rate || all < 0.99*20*rate {
		t.Errorf("%v units of %d", all, 20*rate)
	}
	if got["gold"] < 20*50-1 {
		t.Errorf("gold had %v of the 1000 it asked for", got["gold"])
	}
	for k, want := range map[string]float64{"silver": 20 * 475, "a": 20 * 237.5, "b": 20 * 237.5} {
		if got[k] < 0.99*want || got[k] > 1.01*want {
			t.Errorf("%s had %v, want %v", k, got[k], want)
		}
	}
}

// One that always waits for as much as it may takes nothing from those that ask for less
// than their share.
func TestFairWaitersLeaveRoomForTheOthers(t *testing.T) {
	skipLaw(t)
	const rate, seconds = 20, 300
	l := mustNew(t, Fair, Params{Rate: rate, Burst: 1, MaxWait: 4 * time.Second})
	rng := rand.New(rand.NewPCG(35, 1))
	light, asked, heavy := 0, 0, 0
	for i := range int64(seconds * 1000) {
		now := t0 + i*sec/1000
		if i%10 == 0 && l.Take(now, "heavy", 1, -1).OK {
			heavy++
		}
		if rng.IntN(100) == 0 { // 10 a second by nine, who may have 18
			asked++
			if l.Take(now, string(rune('a'+rng.IntN(9))), 1, -1).OK {
				light++
			}
		}
	}
	if light < asked*97/100 {
		t.Errorf("the light ones had %d of %d", light, asked)
	}
	if least := 2 * seconds * rate / 10; heavy < least {
		t.Errorf("the heavy one had %d, want %d: what the others leave too", heavy, least)
	}
}

// Tenants that wait leave nothing of the rate unused, also after one of them falls silent
// with places far ahead, and keep to it all the same.
func TestFairWaitersUseTheRate(t *testing.T) {
	skipLaw(t)
	for _, every := range []int64{2, 10, 40} { // ms between the asks of one
		const rate, burst, seconds = 20, 2, 60
		l := mustNew(t, Fair, Params{Rate: rate, Burst: burst, MaxWait: 4 * time.Second})
		r := &run{}
		for i := range int64(seconds * 1000) {
			for k, until := range map[string]int64{"a": seconds, "b": 20, "c": 40} {
				if i%every == 0 && i < until*1000 {
					if res := l.Take(t0+i*sec/1000, k, 1, -1); res.OK {
						r.all = append(r.all, leaving{t0 + i*sec/1000 + int64(res.Wait), 1, 1})
					}
				}
			}
		}
		if over := r.over(mustRate(t, rate, time.Second, burst)); over > 0 {
			t.Errorf("every %d ms: %v over the bound", every, time.Duration(over))
		}
		if n := len(r.all); n < rate*seconds*97/100 {
			t.Errorf("every %d ms: %d left, of %d", every, n, rate*seconds)
		}
	}
}

// Shares come and go, wait or not, and are given back: all together keep to the rate.
func TestFairKeepsToTheRate(t *testing.T) {
	for _, maxWait := range []time.Duration{0, 50 * time.Millisecond, time.Second, 20 * time.Second} {
		if over := fairRuns(t, maxWait); over > 0 {
			t.Errorf("waits of %v: %v over the bound", maxWait, over)
		}
	}
}

// fairRuns is the most that random runs go over the bound of all keys together.
func fairRuns(t *testing.T, maxWait time.Duration) (most time.Duration) {
	for seed := range fewer(1000) {
		rng := rand.New(rand.NewPCG(uint64(seed), 34))
		perSecond, burst := []float64{100, 30, 333, 7.7}[seed%4], []int64{20, 1, 5}[seed%3]
		rate := mustRate(t, perSecond, time.Second, burst)
		l := mustNew(t, Fair, Params{Rate: perSecond, Burst: burst, MaxWait: maxWait, Weights: "a=3,b=0.01"})
		r := &run{}
		keys := map[int]string{}
		for range 300 {
			r.now = max(r.now, t0) + rng.Int64N(sec/30)
			if rng.IntN(50) == 0 {
				r.now += 2 * sec
			}
			if i := len(r.all) - 1 - rng.IntN(5); rng.IntN(3) == 0 && i >= 0 && r.all[i].charged > 0 {
				a := &r.all[i]
				actual := rng.Int64N(a.charged + 1)
				if a.at >= r.now {
					actual = 0
					l.GiveBack(r.now, keys[i], a.charged, a.at)
				} else {
					l.Settle(r.now, keys[i], a.charged, actual, a.at)
				}
				a.charged, a.cost = actual, actual
				continue
			}
			key := []string{"a", "b", "c", "d"}[rng.IntN(4)]
			cost := rng.Int64N(min(burst, 5)) + 1
			if res := l.Take(r.now, key, cost, -1); res.OK {
				keys[len(r.all)] = key
				r.all = append(r.all, leaving{r.now + int64(res.Wait), cost, cost})
			}
		}
		most = max(most, time.Duration(r.over(rate)))
	}
	return most
}
