package experiment

import (
	"encoding/json"
	"math"

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

// Numbers are written with five significant digits, NaN as null.
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
	return math.Round(v*scale) / scale
}

const maxKeysShown = 200

// summarize makes the result of a strategy out of its replicas, in their order.
func (s *Spec) summarize(v variant, outcomes []*sim.Outcome, ms []Metric) StrategyResult {
	r := StrategyResult{Name: v.name, Kind: v.strategy.Kind, From: v.from, Point: v.point, Values: map[string]Numbers{}, Means: map[string]stats.Estimate{}}
	for _, o := range outcomes {
		for i, value := range s.measure(ms, o) {
			r.Values[ms[i].Name] = append(r.Values[ms[i].Name], value)
		}
		r.Faults += o.PolicyFaults
	}
	for i := range ms {
		r.Means[ms[i].Name] = stats.Of(r.Values[ms[i].Name])
	}
	r.Series = s.series(outcomes)
	r.Waits = waits(outcomes)
	r.Keys = keys(outcomes)
	return r
}

func (s *Spec) series(outcomes []*sim.Outcome) *Series {
	out := &Series{Rates: map[string]Numbers{}, Queue: map[string]Numbers{}}
	if len(outcomes) == 0 {
		return out
	}
	step := outcomes[0].Series.Step.Seconds()
	out.Step = step
	mean := func(pick func(*sim.Series) []float64, per float64) Numbers {
		sum := make(Numbers, len(outcomes[0].Series.Offered))
		for _, o := range outcomes {
			for i, v := range pick(&o.Series) {
				sum[i] += v / per / float64(len(outcomes))
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
func waits(outcomes []*sim.Outcome) []Point {
	points := []Point{}
	if len(outcomes) == 0 {
		return points
	}
	all := sim.NewHistogram()
	for _, o := range outcomes {
		all.Merge(o.Wait)
	}
	if all.TotalCount() == 0 {
		return points
	}
	for _, q := range []float64{0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.9, 99.99, 100} {
		points = append(points, Point{round(float64(all.ValueAtQuantile(q)) / 1000), q / 100})
	}
	return points
}

func keys(outcomes []*sim.Outcome) []KeyResult {
	out := []KeyResult{}
	for _, o := range outcomes {
		for i := range o.Keys[:min(len(o.Keys), maxKeysShown)] {
			if i == len(out) {
				out = append(out, KeyResult{})
			}
			k := &o.Keys[i]
			out[i].Offered += k.Offered
			out[i].Good += k.Good
			out[i].Starved = max(out[i].Starved, round(k.Starved.Seconds()))
		}
	}
	return out
}
