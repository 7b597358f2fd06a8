package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/gaia-host/gaia/host/experiment"
	"github.com/gaia-host/gaia/host/experiment/stats"
)

// telling are the metrics of the table; those of sometimes only where one is not 0.
func telling() []string {
	return []string{"goodput", "good", "denied", "throttled", "failed", "wait_p95", "latency_p99", "quota_used", "jain", "overload", "convergence", "recovery"}
}

func sometimes(name string) bool {
	return name == "failed" || name == "overload" || name == "convergence" || name == "recovery"
}

// Text writes a result for people: a row for each strategy with means and 95 %
// intervals, the thresholds, and what is to be known of the policies.
func Text(w io.Writer, r *experiment.Result) error {
	columns := columnsOf(r)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	head := "STRATEGY"
	for _, m := range columns {
		head += "\t" + Heading(m)
	}
	if len(r.Strategies) > 1 {
		head += "\tgoodput to " + Printable(r.Strategies[0].Name) + "\tp"
	}
	fmt.Fprintln(t, head)
	for i := range r.Strategies {
		s := &r.Strategies[i]
		line := Printable(s.Name)
		for _, m := range columns {
			line += "\t" + Interval(s.Means[m.Name], m)
		}
		if len(r.Strategies) > 1 {
			line += "\t" + difference(s)
		}
		fmt.Fprintln(t, line)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := thresholds(w, r); err != nil {
		return err
	}
	return foot(w, r)
}

// columnsOf leaves out what nobody has.
func columnsOf(r *experiment.Result) []experiment.Metric {
	var out []experiment.Metric
	for _, name := range telling() {
		for _, m := range r.Metrics {
			if m.Name != name {
				continue
			}
			for i := range r.Strategies {
				if e := r.Strategies[i].Means[name]; e.N > 0 && (e.Mean != 0 || !sometimes(name)) {
					out = append(out, m)
					break
				}
			}
		}
	}
	return out
}

// Heading is the name of a metric with the unit that Interval shows.
func Heading(m experiment.Metric) string {
	switch m.Unit {
	case "share":
		return m.Name + " %"
	case "ms", "s", "1/s":
		return m.Name + " " + m.Unit
	}
	return m.Name
}

// Interval shows a mean with half of its interval; shares in percent.
func Interval(e stats.Estimate, m experiment.Metric) string {
	if e.N == 0 {
		return "-"
	}
	scale := 1.0
	if m.Unit == "share" {
		scale = 100
	}
	mean, half := e.Mean*scale, (e.High-e.Mean)*scale
	if e.N == 1 {
		return Number(mean, 0)
	}
	return Number(mean, half) + " ±" + Number(half, half)
}

// Number shows v with the decimals that mean something where it is known up to half;
// with four digits where half is 0.
func Number(v, half float64) string {
	if !finite(v) {
		return "-"
	}
	decimals := 0
	switch size := max(math.Abs(half), 1e-9); {
	case half == 0 && (v == math.Trunc(v) || math.Abs(v) >= 1000):
	case half == 0:
		decimals = min(4, max(0, 3-int(math.Floor(math.Log10(math.Abs(v))))))
	default:
		decimals = min(4, max(0, 1-int(math.Floor(math.Log10(size)))))
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

func difference(s *experiment.StrategyResult) string {
	d, ok := s.Differences["goodput"]
	if !ok || d.N == 0 {
		return "-\t-"
	}
	text := Number(d.Mean, d.High-d.Mean)
	if d.Mean > 0 {
		text = "+" + text
	}
	return text + " ±" + Number(d.High-d.Mean, d.High-d.Mean) + "\t" + P(d.P)
}

// P shows a probability.
func P(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return strconv.FormatFloat(p, 'f', 3, 64)
}

func thresholds(w io.Writer, r *experiment.Result) error {
	if len(r.Thresholds) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, th := range r.Thresholds {
		mark, value := "✗", "-"
		if th.OK {
			mark = "✓"
		}
		if len(th.Value) > 0 {
			value = Number(th.Value[0], 0)
		}
		fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\n", mark, th.Metric, th.Condition, Printable(th.Strategy), value)
	}
	return t.Flush()
}

// Failed is how many thresholds a result does not meet.
func Failed(r *experiment.Result) int {
	n := 0
	for _, th := range r.Thresholds {
		if !th.OK {
			n++
		}
	}
	return n
}

func foot(w io.Writer, r *experiment.Result) error {
	var lines []string
	for i := range r.Strategies {
		if s := &r.Strategies[i]; s.Faults > 0 {
			lines = append(lines, fmt.Sprintf("%s: its policy failed %d times and had no opinion then; the first: %s", Printable(s.Name), s.Faults, Printable(s.Fault)))
		}
	}
	if r.Partial != "" {
		lines = append(lines, "the result is not whole: "+Printable(r.Partial))
	}
	for i, l := range lines {
		if i == 0 {
			l = "\n" + l
		}
		if _, err := fmt.Fprintln(w, l); err != nil {
			return err
		}
	}
	return nil
}
