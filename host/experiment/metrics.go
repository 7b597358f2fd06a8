package experiment

import (
	"math"
	"time"

	"github.com/gaia-host/gaia/host/experiment/sim"
	"github.com/gaia-host/gaia/host/experiment/stats"
)

// Metric is one number of a strategy in a replica.
type Metric struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	Doc  string `json:"doc"`
	// Better says which way is better: "higher", "lower", or "" where neither is.
	Better string `json:"better,omitempty"`

	of func(o *sim.Outcome, d *derived) float64
}

// derived is what is computed once for several metrics.
type derived struct {
	seconds               float64
	jain, least           float64
	starved               time.Duration
	recovery, convergence float64
	used, burst           float64
}

// Metrics lists the metrics, in the order of tables. A value that cannot be told, a
// quantile of nothing say, is NaN.
func Metrics() []Metric {
	const higher, lower = "higher", "lower"
	rate := func(n func(*sim.Outcome) uint64) func(*sim.Outcome, *derived) float64 {
		return func(o *sim.Outcome, d *derived) float64 { return float64(n(o)) / d.seconds }
	}
	share := func(n, of func(*sim.Outcome) uint64) func(*sim.Outcome, *derived) float64 {
		return func(o *sim.Outcome, _ *derived) float64 { return ratio(float64(n(o)), float64(of(o))) }
	}
	offered := func(o *sim.Outcome) uint64 { return o.Offered }
	attempts := func(o *sim.Outcome) uint64 { return o.Attempts }
	wait := func(q float64) func(*sim.Outcome, *derived) float64 {
		return func(o *sim.Outcome, _ *derived) float64 {
			if o.Wait.TotalCount() == 0 {
				return math.NaN()
			}
			return float64(o.Wait.ValueAtQuantile(q)) / 1000
		}
	}
	latency := func(q float64) func(*sim.Outcome, *derived) float64 {
		return func(o *sim.Outcome, _ *derived) float64 {
			if o.Latency.TotalCount() == 0 {
				return math.NaN()
			}
			return float64(o.Latency.ValueAtQuantile(q)) / 1000
		}
	}
	return []Metric{
		{"offered", "1/s", "requests that callers meant to send", "", rate(offered)},
		{"admitted", "1/s", "attempts sent to upstreams", "", rate(attempts)},
		{"goodput", "1/s", "requests answered well within the caller's patience", higher, rate(func(o *sim.Outcome) uint64 { return o.Good })},
		{"good", "share", "of the requests offered, answered well", higher, share(func(o *sim.Outcome) uint64 { return o.Good }, offered)},
		{"denied", "share", "of the requests offered, ended by a denial here", lower, share(func(o *sim.Outcome) uint64 { return o.Denied }, offered)},
		{"throttled", "share", "of the attempts, answered 429 by the upstream", lower, share(func(o *sim.Outcome) uint64 { return o.Refused }, attempts)},
		{"failed", "share", "of the requests offered, ended by a 429, an error or the caller's patience", lower,
			share(func(o *sim.Outcome) uint64 { return o.Throttled + o.Failed + o.Left }, offered)},
		{"wasted", "share", "of the attempts, answered after the caller had left", lower, share(func(o *sim.Outcome) uint64 { return o.Wasted }, attempts)},
		{"amplification", "ratio", "attempts for each request offered", lower, share(attempts, offered)},
		{"wait_p50", "ms", "held here, of good requests", lower, wait(50)},
		{"wait_p95", "ms", "held here, of good requests", lower, wait(95)},
		{"wait_p99", "ms", "held here, of good requests", lower, wait(99)},
		{"latency_p50", "ms", "from arrival to the good answer", lower, latency(50)},
		{"latency_p95", "ms", "from arrival to the good answer", lower, latency(95)},
		{"latency_p99", "ms", "from arrival to the good answer", lower, latency(99)},
		{"quota_used", "share", "of what the upstreams' limits allow, let through by them", higher, func(_ *sim.Outcome, d *derived) float64 { return d.used }},
		{"burst", "ratio", "most attempts in a window of the first upstream's limit (a second where it has none), over its quota, or over the mean", lower, func(_ *sim.Outcome, d *derived) float64 { return d.burst }},
		{"jain", "index", "fairness over keys, of the share of requests answered well", higher, func(_ *sim.Outcome, d *derived) float64 { return d.jain }},
		{"least_key", "share", "of the requests of the key that got least, answered well", higher, func(_ *sim.Outcome, d *derived) float64 { return d.least }},
		{"starvation", "s", "longest time that a key asked and got nothing", lower, func(_ *sim.Outcome, d *derived) float64 { return d.starved.Seconds() }},
		{"overload", "s", "in which upstreams had requests queued", lower, func(o *sim.Outcome, _ *derived) float64 {
			sum := 0.0
			for i := range o.Ups {
				sum += o.Ups[i].Overload.Seconds()
			}
			return sum
		}},
		{"convergence", "s", "after the last step of capacity, until what is admitted is within a tenth of it", lower, func(_ *sim.Outcome, d *derived) float64 { return d.convergence }},
		{"recovery", "s", "after the last pause or burst of errors, until the goodput is back within a twentieth of that before", lower, func(_ *sim.Outcome, d *derived) float64 { return d.recovery }},
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// measure computes every metric of a replica, in the order of Metrics.
func (s *Spec) measure(ms []Metric, o *sim.Outcome) []float64 {
	d := derived{seconds: o.Measured.Seconds(), least: math.NaN(), used: math.NaN()}
	var shares []float64
	for i := range o.Keys {
		k := &o.Keys[i]
		if k.Offered == 0 {
			continue
		}
		share := float64(k.Good) / float64(k.Offered)
		shares = append(shares, share)
		if !(d.least <= share) { // also true for the first, NaN
			d.least = share
		}
		d.starved = max(d.starved, k.Starved)
	}
	d.jain = stats.Jain(shares)
	d.burst = s.burst(o)
	limited := 0.0
	for i, name := range s.Upstreams.Names() {
		if u, _ := s.Upstreams.Get(name); len(u.Limits) > 0 && i < len(o.UpQuota) {
			limited++
			if math.IsNaN(d.used) {
				d.used = 0
			}
			d.used += o.UpQuota[i]
		}
	}
	d.used /= max(limited, 1)
	d.convergence, d.recovery = s.convergence(o), s.recovery(o)
	values := make([]float64, len(ms))
	for i := range ms {
		values[i] = ms[i].of(o, &d)
	}
	return values
}

// burst compares the fullest window with what it may hold.
func (s *Spec) burst(o *sim.Outcome) float64 {
	u, _ := s.Upstreams.Get(s.Upstreams.Names()[0])
	if len(u.Limits) > 0 && !u.Limits[0].Tokens {
		return float64(o.MaxIn) / float64(u.Limits[0].Quota)
	}
	return ratio(float64(o.MaxIn), float64(o.Attempts)/o.Measured.Seconds()*o.Window.Seconds())
}

// settled is how many steps in a row count as having arrived.
const settled = 3

// arrives is the time from a step of the series until ok held for some in a row, in
// seconds; what is left of the run where it never did.
func arrives(o *sim.Outcome, from time.Duration, ok func(i int) bool) float64 {
	first, run := int(from/o.Series.Step), 0
	for i := first; i < len(o.Series.Good); i++ {
		if run++; !ok(i) {
			run = 0
		}
		if run == settled {
			return float64(i-settled+1-first) * o.Series.Step.Seconds()
		}
	}
	return float64(len(o.Series.Good)-first) * o.Series.Step.Seconds()
}

func (s *Spec) convergence(o *sim.Outcome) float64 {
	last, capacity := time.Duration(-1), []rateAt(nil)
	for i, name := range s.Upstreams.Names() {
		u, _ := s.Upstreams.Get(name)
		for _, st := range u.Steps {
			last = max(last, time.Duration(st.At))
		}
		capacity = addRates(capacity, capacityOf(&u), i == 0)
	}
	bears := capacity[len(capacity)-1].rate
	if last < 0 || math.IsInf(bears, 1) || last >= time.Duration(s.Duration) {
		return math.NaN()
	}
	step := o.Series.Step.Seconds()
	return arrives(o, last, func(i int) bool { return math.Abs(o.Series.Admitted[i]/step-bears) <= bears/10 })
}

func (s *Spec) recovery(o *sim.Outcome) float64 {
	first, last := time.Duration(math.MaxInt64), time.Duration(-1)
	disturbed := func(at, length Duration) {
		first, last = min(first, time.Duration(at)), max(last, time.Duration(at+length))
	}
	for _, u := range s.Upstreams.All() {
		for _, p := range u.Pauses {
			disturbed(p.At, p.For)
		}
		for _, e := range u.Errors {
			disturbed(e.At, e.For)
		}
	}
	from, to := int(s.warmup()/o.Series.Step), int(first/o.Series.Step)
	if last < 0 || last >= time.Duration(s.Duration) || to <= from || to > len(o.Series.Good) {
		return math.NaN()
	}
	before := 0.0
	for i := from; i < to; i++ {
		before += o.Series.Good[i] / float64(to-from)
	}
	return arrives(o, last, func(i int) bool { return o.Series.Good[i] >= 0.95*before })
}
