package policytest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// SchemaBench names the JSON form of a Bench.
const SchemaBench = "gaia.bench/v1"

// Bounds of a benchmark.
const (
	warmCalls  = 200
	timedCalls = 2000 // one by one, for the percentile and for fuel
	batch      = 64   // calls timed together
)

// Meter tells what the hook that ran last cost; wasm.Policy is one.
type Meter interface {
	Spent() (fuel int64, hostCalls int, ok bool)
}

// BenchConfig says how a hook is measured. Zero fields take the defaults.
type BenchConfig struct {
	Hook  policy.Hook
	Input []byte        // as of ParseInput
	For   time.Duration // of each round; 0 is 200 ms
	Every time.Duration // how far the policy's clock moves between calls, so that limiters have room
	Meter Meter         // nil: the engine counts no fuel
}

// Bench is one round of measuring one hook. All costs are of one call.
type Bench struct {
	Hook      string  `json:"hook"`
	Calls     int     `json:"calls"`
	NS        float64 `json:"ns"`
	P99       float64 `json:"p99"` // ns, of calls timed one by one
	Allocs    float64 `json:"allocs"`
	Bytes     float64 `json:"bytes"`
	Fuel      int64   `json:"fuel,omitempty"`       // the most that a call took
	HostCalls int     `json:"host_calls,omitempty"` // likewise
	Faults    int     `json:"faults,omitempty"`
}

// keeper is a ledger that allocates nothing once it is warm. It releases what was taken at the end of each call.
type keeper struct{ ledger }

func (k *keeper) next(now int64) {
	k.release(now)
	k.entries = k.entries[:0]
}

// RunBench measures one hook of p for a while, on the goroutine of the caller. Faults are counted; one that ends every call
// is the error.
func RunBench(ctx context.Context, p policy.Policy, c BenchConfig) (*Bench, error) {
	if !p.Hooks().Has(c.Hook) {
		return nil, fmt.Errorf("%s has no %s (it has %v)", p.Name(), c.Hook, p.Hooks().Names())
	}
	in, err := ParseInput(c.Input, caseStart)
	if err != nil {
		return nil, err
	}
	led := &keeper{}
	in.Request.Ledger = led
	b := &Bench{Hook: c.Hook.String()}
	var d policy.Decision
	var fault error
	call := func() {
		led.next(in.Request.Now)
		d.Reset()
		in.Request.Now += int64(c.Every)
		if err := askHook(p, c.Hook, in, &d, nil); err != nil {
			fault = err
			b.Faults++
		}
	}
	for range warmCalls {
		call()
	}
	if b.Faults == warmCalls {
		return nil, plainly(fault)
	}
	b.Faults = 0
	if err := b.single(ctx, call, c.Meter); err != nil {
		return nil, err
	}
	return b, b.many(ctx, call, c.For)
}

// single times calls one by one.
func (b *Bench) single(ctx context.Context, call func(), m Meter) error {
	times := make([]time.Duration, timedCalls)
	for i := range times {
		if i%100 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		began := time.Now()
		call()
		times[i] = time.Since(began)
		if m == nil {
			continue
		}
		if fuel, calls, ok := m.Spent(); ok {
			b.Fuel, b.HostCalls = max(b.Fuel, fuel), max(b.HostCalls, calls)
		}
	}
	slices.Sort(times)
	b.P99 = float64(times[timedCalls*99/100])
	return nil
}

// many calls for so long, and divides.
func (b *Bench) many(ctx context.Context, call func(), d time.Duration) error {
	if d <= 0 {
		d = 200 * time.Millisecond
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	var batches []time.Duration
	for took := time.Duration(0); took < d; took = time.Since(began) {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := time.Now()
		for range batch {
			call()
		}
		batches = append(batches, time.Since(start))
		b.Calls += batch
	}
	runtime.ReadMemStats(&after)
	n := float64(b.Calls)
	slices.Sort(batches) // the median: other work on the machine is in few of them
	b.NS = float64(batches[len(batches)/2]) / batch
	// A round allocates a little besides the calls: what is under a hundredth of a call is not theirs.
	b.Allocs = math.Floor(float64(after.Mallocs-before.Mallocs)/n*100) / 100
	b.Bytes = math.Floor(float64(after.TotalAlloc-before.TotalAlloc)/n*100) / 100
	return nil
}

// SuggestFuel is a budget of fuel that leaves room: four times the most that was seen, in two digits.
func SuggestFuel(most int64) int64 { return max(1000, roundUp(4*most)) }

// SuggestBudget is a budget of wall time that leaves room: twenty times the 99th percentile, a millisecond at least.
func SuggestBudget(p99 float64) time.Duration {
	return max(time.Millisecond, time.Duration(math.Ceil(20*p99/1e6))*time.Millisecond)
}

func roundUp(n int64) int64 {
	step := int64(1)
	for n/step >= 100 {
		step *= 10
	}
	return (n + step - 1) / step * step
}

// Limit is a bound on a benchmark, such as "ns > 500", that fails it.
type Limit struct {
	text, metric, op string
	than             float64
}

// ParseLimit reads "METRIC > NUMBER" or with >=, <, <=. Metrics are ns, p99, allocs, bytes, fuel, host_calls and faults.
func ParseLimit(text string) (Limit, error) {
	m := regexp.MustCompile(`^\s*(ns|p99|allocs|bytes|fuel|host_calls|faults)\s*(>=|<=|>|<)\s*([0-9.]+)\s*$`).FindStringSubmatch(text)
	if m == nil {
		return Limit{}, fmt.Errorf("%q: want a bound such as 'ns > 500', of ns, p99, allocs, bytes, fuel, host_calls or faults", text)
	}
	than, err := strconv.ParseFloat(m[3], 64)
	if err != nil {
		return Limit{}, fmt.Errorf("%q: %w", text, err)
	}
	return Limit{m[0], m[1], m[2], than}, nil
}

// Broken reports whether the bound holds true of b, which fails it, and says of what value.
func (l Limit) Broken(b *Bench) (string, bool) {
	v := map[string]float64{"ns": b.NS, "p99": b.P99, "allocs": b.Allocs, "bytes": b.Bytes, "fuel": float64(b.Fuel),
		"host_calls": float64(b.HostCalls), "faults": float64(b.Faults)}[l.metric]
	broken := false
	switch l.op {
	case ">":
		broken = v > l.than
	case ">=":
		broken = v >= l.than
	case "<":
		broken = v < l.than
	case "<=":
		broken = v <= l.than
	}
	return fmt.Sprintf("%s: %s is %.4g (%s %s %g)", b.Hook, l.metric, v, l.metric, l.op, l.than), broken
}

// Median is the round of the middle time among rounds of one hook; there is one at least.
func Median(rounds []*Bench) *Bench {
	sorted := slices.Clone(rounds)
	slices.SortFunc(sorted, func(a, b *Bench) int { return cmp.Compare(a.NS, b.NS) })
	m := *sorted[len(sorted)/2]
	for _, r := range rounds {
		m.Fuel, m.HostCalls, m.Faults = max(m.Fuel, r.Fuel), max(m.HostCalls, r.HostCalls), max(m.Faults, r.Faults)
	}
	return &m
}
