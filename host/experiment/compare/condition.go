package compare

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gaia-host/gaia/host/experiment"
)

// Condition is one that must not hold, such as "latency_p99 > +5%".
type Condition struct {
	Text string `json:"text"`
	// Holds lists the strategies for which it does.
	Holds []string `json:"holds"`

	metric, strategy string // strategy "": every one
	greater, equal   bool
	relative         bool
	bound            float64
}

var conditionText = regexp.MustCompile(`^\s*([a-z0-9_]+)(?:\{strategy:([^{}]+)\})?\s*(<=|>=|<|>)\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*(%?)\s*$`)

// ParseCondition reads METRIC > +5%, or without % a change in the metric's own unit.
// METRIC{strategy:NAME} is about one strategy.
func ParseCondition(text string) (Condition, error) {
	m := conditionText.FindStringSubmatch(text)
	if m == nil {
		return Condition{}, fmt.Errorf("%q: want a metric, a comparison and a change, such as \"latency_p99 > +5%%\"", text)
	}
	var names []string
	for _, x := range experiment.Metrics() {
		names = append(names, x.Name)
	}
	if !slices.Contains(names, m[1]) {
		return Condition{}, fmt.Errorf("%q: there is no metric %q (there are %s)", text, m[1], strings.Join(names, ", "))
	}
	bound, err := strconv.ParseFloat(m[4], 64)
	if err != nil {
		return Condition{}, fmt.Errorf("%q: %w", text, err)
	}
	c := Condition{Text: strings.TrimSpace(text), Holds: []string{}, metric: m[1], strategy: m[2],
		greater: m[3][0] == '>', equal: strings.HasSuffix(m[3], "="), relative: m[5] == "%", bound: bound}
	if c.relative {
		c.bound /= 100
	}
	return c, nil
}

// Judge finds for which strategies conditions hold; the means decide. It returns how
// many hold for any. A condition about nothing that was compared is an error.
func (c *Comparison) Judge(conditions []Condition) (int, error) {
	failed := 0
	for _, cond := range conditions {
		met := false
		for i := range c.Rows {
			r := &c.Rows[i]
			if r.Metric != cond.metric || cond.strategy != "" && cond.strategy != r.Strategy {
				continue
			}
			met = true
			if cond.holds(r) {
				cond.Holds = append(cond.Holds, r.Strategy)
			}
		}
		if !met {
			return 0, fmt.Errorf("%q: neither result can tell it for a strategy that both have", cond.Text)
		}
		if len(cond.Holds) > 0 {
			failed++
		}
		c.Conditions = append(c.Conditions, cond)
	}
	return failed, nil
}

func (c *Condition) holds(r *Row) bool {
	change := r.B.Mean - r.A.Mean
	if c.relative {
		change = r.Relative()
	}
	if math.Abs(change-c.bound) < 1e-12 {
		return c.equal
	}
	return change > c.bound == c.greater
}
