package experiment

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ThresholdResult is how one condition was met by one strategy.
type ThresholdResult struct {
	Metric    string  `json:"metric"`
	Strategy  string  `json:"strategy"`
	Condition string  `json:"condition"`
	Value     Numbers `json:"value"` // one number
	OK        bool    `json:"ok"`
}

// condition is one threshold in k6's form: an aggregate of the replicas' values of a
// metric, compared with a number.
type condition struct {
	metric, strategy string // strategy "": every one
	text             string
	aggregate        string // avg min max med
	compare          string
	bound            float64
}

var (
	thresholdKey  = regexp.MustCompile(`^([a-z0-9_]+)(?:\{strategy:([^{}]+)\})?$`)
	thresholdText = regexp.MustCompile(`^\s*(avg|min|max|med)\s*(<=|>=|<|>|==|!=)\s*(-?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*$`)
)

// conditions reads the thresholds, and names every fault in them.
func (s *Spec) conditions(variants []variant) ([]condition, error) {
	var all []condition
	var faults []error
	names := make([]string, 0, len(variants))
	for _, v := range variants {
		names = append(names, v.name, v.from)
	}
	for key, texts := range s.Thresholds.All() {
		m := thresholdKey.FindStringSubmatch(key)
		switch {
		case m == nil:
			faults = append(faults, fmt.Errorf("thresholds: %q: want METRIC or METRIC{strategy:NAME}", key))
			continue
		case !slices.ContainsFunc(Metrics(), func(x Metric) bool { return x.Name == m[1] }):
			faults = append(faults, fmt.Errorf("thresholds: there is no metric %q", m[1]))
			continue
		case m[2] != "" && !slices.Contains(names, m[2]):
			faults = append(faults, fmt.Errorf("thresholds: there is no strategy %q", m[2]))
			continue
		}
		for _, text := range texts {
			c := thresholdText.FindStringSubmatch(text)
			if c == nil {
				faults = append(faults, fmt.Errorf("thresholds: %s: %q: want avg, min, max or med, a comparison and a number, such as \"avg<0.01\"", key, text))
				continue
			}
			bound, err := strconv.ParseFloat(c[3], 64)
			if err != nil {
				faults = append(faults, fmt.Errorf("thresholds: %s: %q: %w", key, text, err))
				continue
			}
			all = append(all, condition{m[1], m[2], text, c[1], c[2], bound})
		}
	}
	return all, errors.Join(faults...)
}

// judge holds a result against conditions. A value that cannot be told meets none.
func judge(res *Result, conditions []condition) []ThresholdResult {
	var out []ThresholdResult
	for _, c := range conditions {
		for i := range res.Strategies {
			s := &res.Strategies[i]
			if c.strategy != "" && c.strategy != s.Name && c.strategy != s.From {
				continue
			}
			v := aggregate(c.aggregate, s.Values[c.metric])
			out = append(out, ThresholdResult{Metric: c.metric, Strategy: s.Name, Condition: strings.TrimSpace(c.text), Value: Numbers{v}, OK: finite(v) && holds(v, c.compare, c.bound)})
		}
	}
	return out
}

func aggregate(how string, values []float64) float64 {
	if len(values) == 0 || slices.ContainsFunc(values, math.IsNaN) {
		return math.NaN()
	}
	switch how {
	case "min":
		return slices.Min(values)
	case "max":
		return slices.Max(values)
	case "med":
		sorted := slices.Sorted(slices.Values(values))
		n := len(sorted)
		return (sorted[(n-1)/2] + sorted[n/2]) / 2
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func holds(v float64, compare string, bound float64) bool {
	switch compare {
	case "<":
		return v < bound
	case "<=":
		return v <= bound
	case ">":
		return v > bound
	case ">=":
		return v >= bound
	case "==":
		return v == bound
	}
	return v != bound
}
