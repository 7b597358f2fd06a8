package experiment

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/gaia-host/gaia/host/experiment/sim"
	"github.com/gaia-host/gaia/host/experiment/stats"
)

// Schema names the form of a Result in JSON.
const Schema = "gaia.experiment/v1"

// Result is what an experiment found. It holds nothing of the machine and of the time
// at which it ran.
type Result struct {
	Schema     string            `json:"schema"`
	Spec       *Spec             `json:"spec"`
	Metrics    []Metric          `json:"metrics"`
	Strategies []StrategyResult  `json:"strategies"`
	Thresholds []ThresholdResult `json:"thresholds,omitempty"`
	// Partial says why the result is not whole, "" where it is.
	Partial string `json:"partial,omitempty"`
}

// StrategyResult is what one strategy did.
type StrategyResult struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// From is the strategy that it was swept from, with its Point; "" for none.
	From  string         `json:"from,omitempty"`
	Point map[string]any `json:"point,omitempty"`
	// Values of each metric by replica; Numbers write NaN as null.
	Values map[string]Numbers `json:"values"`
	// Means of each metric, and Differences from the first strategy.
	Means       map[string]stats.Estimate   `json:"means"`
	Differences map[string]stats.Difference `json:"differences,omitempty"`
	Series      *Series                     `json:"series"`
	Waits       []Point                     `json:"waits"` // the distribution of waits: share of requests by ms
	Keys        []KeyResult                 `json:"keys"`  // at most maxKeysShown, those that asked most
	Faults      uint64                      `json:"faults,omitempty"`
	Fault       string                      `json:"fault,omitempty"` // the first
	// CutAt is the virtual time at which the only replica was stopped; 0: all are whole.
	CutAt Duration `json:"cut_at,omitzero"`
}

// Point is a point of a curve.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// KeyResult is what one key got, over all replicas.
type KeyResult struct {
	Offered uint64  `json:"offered"`
	Good    uint64  `json:"good"`
	Starved float64 `json:"starved_seconds"` // the longest of all replicas
}

// Series are means over replicas, a second or more apart. Rates are per second.
type Series struct {
	Step     float64            `json:"step_seconds"`
	Rates    map[string]Numbers `json:"rates"` // offered admitted good throttled denied
	InSystem Numbers            `json:"in_system"`
	Queue    map[string]Numbers `json:"queue"` // by upstream
}

// Numbers are written with six significant digits, NaN as null.
type Numbers []float64

// MarshalJSON implements json.Marshaler.
func (n Numbers) MarshalJSON() ([]byte, error) {
	list := make([]any, len(n))
	for i, v := range n {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			list[i] = round(v)
		}
	}
	return json.Marshal(list)
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Numbers) UnmarshalJSON(b []byte) error {
	var list []*float64
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*n = make(Numbers, len(list))
	for i, v := range list {
		(*n)[i] = math.NaN()
		if v != nil {
			(*n)[i] = *v
		}
	}
	return nil
}

// round keeps six significant digits.
func round(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(v))))
	if r := math.Round(v*scale) / scale; finite(r) {
		return r
	}
	return v // so small that the scale is infinite, or so large that it was rounded out of range
}

const maxKeysShown = 200

// replica is what is kept of a replica that ended: thousands of them must fit in memory.
type replica struct {
	values []float64 // of the metrics
	series sim.Series
	waits  []held
	keys   []sim.Key // the first of them
	faults uint64
	fault  string   // the first, "" none
	cutAt  Duration // 0: it is whole
}

// held is how many requests were held for so long, in the steps of a histogram.
type held struct{ us, n int64 }

// digest keeps of an outcome what a result is made of.
func (s *Spec) digest(ms []Metric, o *sim.Outcome) *replica {
	r := &replica{values: s.measure(ms, o), series: o.Series, keys: slices.Clone(o.Keys[:min(len(o.Keys), maxKeysShown)]), faults: o.PolicyFaults}
	for _, bar := range o.Wait.Distribution() {
		if bar.Count > 0 {
			r.waits = append(r.waits, held{bar.From, bar.Count})
		}
	}
	r.waits = slices.Clip(r.waits)
	return r
}

// summarize makes the result of a strategy out of its replicas, in their order.
func (s *Spec) summarize(v variant, replicas []*replica, ms []Metric) StrategyResult {
	r := StrategyResult{Name: v.name, Kind: v.strategy.Kind, From: v.from, Point: v.point, Values: map[string]Numbers{}, Means: map[string]stats.Estimate{}}
	for _, o := range replicas {
		for i, value := range o.values {
			r.Values[ms[i].Name] = append(r.Values[ms[i].Name], value)
		}
		r.Faults += o.faults
		if r.Fault == "" {
			r.Fault = o.fault
		}
		r.CutAt = o.cutAt
	}
	for i := range ms {
		r.Means[ms[i].Name] = stats.Of(r.Values[ms[i].Name])
	}
	r.Series = s.series(replicas)
	r.Waits = waits(replicas)
	r.Keys = keys(replicas)
	return r
}

func (s *Spec) series(replicas []*replica) *Series {
	out := &Series{Rates: map[string]Numbers{}, Queue: map[string]Numbers{}}
	if len(replicas) == 0 {
		return out
	}
	step := replicas[0].series.Step.Seconds()
	out.Step = step
	mean := func(pick func(*sim.Series) []float64, per float64) Numbers {
		sum := make(Numbers, len(replicas[0].series.Offered))
		for _, o := range replicas {
			for i, v := range pick(&o.series) {
				sum[i] += v / per / float64(len(replicas))
			}
		}
		return sum
	}
	out.Rates["offered"] = mean(func(s *sim.Series) []float64 { return s.Offered }, step)
	out.Rates["admitted"] = mean(func(s *sim.Series) []float64 { return s.Admitted }, step)
	out.Rates["good"] = mean(func(s *sim.Series) []float64 { return s.Good }, step)
	out.Rates["throttled"] = mean(func(s *sim.Series) []float64 { return s.Refused }, step)
	out.Rates["denied"] = mean(func(s *sim.Series) []float64 { return s.Denied }, step)
	out.InSystem = mean(func(s *sim.Series) []float64 { return s.InSystem }, 1)
	for i, name := range s.Upstreams.Names() {
		out.Queue[name] = mean(func(s *sim.Series) []float64 { return s.Queue[i] }, 1)
	}
	return out
}

// waits is the distribution of waits over all replicas, at the shares that a plot shows.
func waits(replicas []*replica) []Point {
	points := []Point{}
	all := sim.NewHistogram()
	for _, o := range replicas {
		for _, w := range o.waits {
			_ = all.RecordValues(w.us, w.n) // in range: it comes from such a histogram
		}
	}
	if all.TotalCount() == 0 {
		return points
	}
	for _, q := range []float64{0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.9, 99.99, 100} {
		points = append(points, Point{round(float64(all.ValueAtQuantile(q)) / 1000), q / 100})
	}
	return points
}

func keys(replicas []*replica) []KeyResult {
	out := []KeyResult{}
	for _, o := range replicas {
		for i := range o.keys {
			if i == len(out) {
				out = append(out, KeyResult{})
			}
			k := &o.keys[i]
			out[i].Offered += k.Offered
			out[i].Good += k.Good
			out[i].Starved = max(out[i].Starved, round(k.Starved.Seconds()))
		}
	}
	return out
}
