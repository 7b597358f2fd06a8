// Package compare holds two results of one experiment against each other: what changed
// for each strategy, how sure that is, and whether it is worse than somebody allows.
package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gaia-host/gaia/host/experiment"
	"github.com/gaia-host/gaia/host/experiment/stats"
)

// Schema names the form of a Comparison in JSON.
const Schema = "gaia.compare/v1"

// Sure is the p below which a difference counts as one.
const Sure = 0.05

// Verdicts.
const (
	Same    = "same"    // the values are equal
	Unsure  = "unsure"  // they differ by no more than the seeds do
	Better  = "better"  // for this metric
	Worse   = "worse"   // for this metric
	Changed = "changed" // of a metric where no way is better
)

// Comparison is what changed from A to B.
type Comparison struct {
	Schema string `json:"schema"`
	// Paired says that both ran with the same seeds, so that differences are of one
	// replica and the same arrivals.
	Paired     bool        `json:"paired"`
	Rows       []Row       `json:"rows"`
	OnlyA      []string    `json:"only_a,omitempty"` // strategies
	OnlyB      []string    `json:"only_b,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// Row is one metric of one strategy.
type Row struct {
	Strategy string         `json:"strategy"`
	Metric   string         `json:"metric"`
	Unit     string         `json:"unit"`
	A        stats.Estimate `json:"a"`
	B        stats.Estimate `json:"b"`
	// Change is B-A. P is the probability of one as large where there is none.
	Change  stats.Difference `json:"change"`
	Verdict string           `json:"verdict"`
}

// Relative is the change as a share of A: 0 where both are 0, infinite where A is.
func (r *Row) Relative() float64 {
	if r.A.Mean == r.B.Mean {
		return 0
	}
	return (r.B.Mean - r.A.Mean) / math.Abs(r.A.Mean)
}

// ErrSpec is wrapped by the error of Compare for results that cannot be compared.
var ErrSpec = errors.New("the results are of different experiments")

// Compare compares every metric of the strategies that both results have. Where what
// the strategies met differs, it is an error; the strategies themselves may differ.
func Compare(a, b *experiment.Result) (*Comparison, error) {
	if err := sameWorld(a.Spec, b.Spec); err != nil {
		return nil, err
	}
	c := &Comparison{Schema: Schema, Paired: seedOf(a.Spec) == seedOf(b.Spec), Rows: []Row{}}
	for i := range a.Strategies {
		s := &a.Strategies[i]
		other := find(b, s.Name)
		if other == nil {
			c.OnlyA = append(c.OnlyA, s.Name)
			continue
		}
		for _, m := range experiment.Metrics() {
			if row, ok := c.row(m, s, other); ok {
				c.Rows = append(c.Rows, row)
			}
		}
	}
	for i := range b.Strategies {
		if name := b.Strategies[i].Name; find(a, name) == nil {
			c.OnlyB = append(c.OnlyB, name)
		}
	}
	if len(c.Rows) == 0 {
		return nil, fmt.Errorf("%w: no strategy is in both (%q and %q)", ErrSpec, c.OnlyA, c.OnlyB)
	}
	return c, nil
}

func find(r *experiment.Result, name string) *experiment.StrategyResult {
	for i := range r.Strategies {
		if r.Strategies[i].Name == name {
			return &r.Strategies[i]
		}
	}
	return nil
}

func seedOf(s *experiment.Spec) uint64 { return max(s.Seed, 1) }

// sameWorld says what the strategies met that differs.
func sameWorld(a, b *experiment.Spec) error {
	for _, part := range []struct {
		name string
		a, b any
	}{
		{"duration", a.Duration, b.Duration}, {"warmup", a.Warmup, b.Warmup},
		{"scenarios", a.Scenarios, b.Scenarios}, {"upstreams", a.Upstreams, b.Upstreams},
	} {
		x, err := json.Marshal(part.a)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrSpec, part.name, err)
		}
		y, err := json.Marshal(part.b)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrSpec, part.name, err)
		}
		if !bytes.Equal(x, y) {
			return fmt.Errorf("%w: %s: %.120s and %.120s", ErrSpec, part.name, x, y)
		}
	}
	return nil
}

// row compares one metric; false where neither result can tell it.
func (c *Comparison) row(m experiment.Metric, a, b *experiment.StrategyResult) (Row, bool) {
	x, y := a.Values[m.Name], b.Values[m.Name]
	r := Row{Strategy: a.Name, Metric: m.Name, Unit: m.Unit, A: stats.Of(x), B: stats.Of(y)}
	if r.A.N == 0 || r.B.N == 0 {
		return r, false
	}
	if c.Paired {
		r.Change = stats.Paired(y, x)
	} else {
		r.Change = stats.Welch(y, x)
	}
	r.Verdict = verdict(m, &r, slices.Equal(x, y))
	return r, true
}

func verdict(m experiment.Metric, r *Row, equal bool) string {
	switch {
	case equal || r.Change.Mean == 0 && r.Change.High == 0:
		return Same
	case r.Change.P >= Sure:
		return Unsure
	case m.Better == "":
		return Changed
	case r.Change.Mean > 0 == (m.Better == "higher"):
		return Better
	}
	return Worse
}
