package compare

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/gaia-host/gaia/host/experiment"
	"github.com/gaia-host/gaia/host/experiment/report"
)

// Text writes what changed, a line each, and the conditions. What is the same is counted.
func Text(w io.Writer, c *Comparison) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "STRATEGY\tMETRIC\tA\tB\tCHANGE\tP\tVERDICT")
	same := 0
	for i := range c.Rows {
		r := &c.Rows[i]
		if r.Verdict == Same {
			same++
			continue
		}
		m := experiment.Metric{Name: r.Metric, Unit: r.Unit}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", report.Printable(r.Strategy), report.Heading(m), report.Interval(r.A, m), report.Interval(r.B, m),
			relative(r), report.P(r.Change.P), r.Verdict)
	}
	if same < len(c.Rows) {
		if err := t.Flush(); err != nil {
			return err
		}
	}
	how := "paired by seed"
	if !c.Paired {
		how = "Welch's t test: the seeds differ"
	}
	fmt.Fprintf(w, "%d of %d values are the same (%s)\n", same, len(c.Rows), how)
	only(w, "A", c.OnlyA)
	only(w, "B", c.OnlyB)
	for _, cond := range c.Conditions {
		if len(cond.Holds) > 0 {
			fmt.Fprintf(w, "✗ %s: %s\n", cond.Text, report.Printable(strings.Join(cond.Holds, ", ")))
		} else {
			fmt.Fprintf(w, "✓ not %s\n", cond.Text)
		}
	}
	return nil
}

func only(w io.Writer, what string, names []string) {
	if len(names) > 0 {
		fmt.Fprintf(w, "only in %s: %s\n", what, report.Printable(strings.Join(names, ", ")))
	}
}

func relative(r *Row) string {
	v := r.Relative()
	if math.IsInf(v, 0) {
		return "from 0"
	}
	return fmt.Sprintf("%+.1f %%", v*100)
}
