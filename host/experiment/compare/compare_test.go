package compare

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/host/experiment"
	"github.com/gaia-host/gaia/host/experiment/stats"
)

func run(t *testing.T, seed, rate, offered string) *experiment.Result {
	t.Helper()
	s, err := experiment.Decode([]byte(`{"duration": "30s", "replicas": 4, "seed": ` + seed + `,
  "scenarios": {"s": {"arrivals": {"kind": "poisson", "rate": ` + offered + `}}},
  "upstreams": {"api": {"latency": 10}},
  "strategies": {"none": {"kind": "none"}, "bucket": {"kind": "limiter", "limiter": "tokenBucket", "params": {"rate": ` + rate + `, "burst": 1}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := experiment.Run(context.Background(), s, experiment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func row(t *testing.T, c *Comparison, strategy, metric string) *Row {
	t.Helper()
	for i := range c.Rows {
		if r := &c.Rows[i]; r.Strategy == strategy && r.Metric == metric {
			return r
		}
	}
	t.Fatalf("no row %s %s", strategy, metric)
	return nil
}

func compared(t *testing.T, a, b *experiment.Result) *Comparison {
	t.Helper()
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompare(t *testing.T) {
	a := run(t, "1", "20", "40")
	same := compared(t, a, run(t, "1", "20", "40"))
	for i := range same.Rows {
		if r := &same.Rows[i]; r.Verdict != Same || r.Relative() != 0 {
			t.Errorf("%+v", r)
		}
	}
	slower := compared(t, a, run(t, "1", "10", "40"))
	if r := row(t, slower, "none", "goodput"); r.Verdict != Same {
		t.Errorf("%+v", r)
	}
	if r := row(t, slower, "bucket", "goodput"); !slower.Paired || r.Verdict != Worse || r.Relative() > -0.2 || r.Change.P > 0.01 {
		t.Errorf("%+v", r)
	}
	if r := row(t, compared(t, run(t, "1", "10", "40"), a), "bucket", "denied"); r.Verdict != Better {
		t.Errorf("%+v", r)
	}
	seeds := compared(t, a, run(t, "2", "20", "40"))
	if r := row(t, seeds, "none", "offered"); seeds.Paired || r.Verdict != Unsure && r.Verdict != Changed {
		t.Errorf("%+v", r)
	}
	if r := row(t, compared(t, a, run(t, "2", "10", "40")), "bucket", "goodput"); r.Verdict != Worse {
		t.Errorf("Welch does not see it: %+v", r)
	}
	if _, err := Compare(a, run(t, "1", "20", "41")); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "scenarios") {
		t.Error(err)
	}
}

func TestOtherStrategies(t *testing.T) {
	a, b := run(t, "1", "20", "40"), run(t, "1", "20", "40")
	b.Strategies[1].Name = "other\x1b"
	c := compared(t, a, b)
	var out bytes.Buffer
	if err := Text(&out, c); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "only in A: bucket") || !strings.Contains(text, "only in B: other\uFFFD") {
		t.Error(text)
	}
	b.Strategies = b.Strategies[1:]
	if _, err := Compare(a, b); !errors.Is(err, ErrSpec) {
		t.Error(err)
	}
}

func TestConditions(t *testing.T) {
	c := compared(t, run(t, "1", "20", "40"), run(t, "1", "10", "40"))
	for text, holds := range map[string]bool{
		"goodput < -5%": true, "goodput{strategy:none} < -5%": false, "goodput > +5%": false, "denied > 0.05": true, "denied > 0.9": false,
		"denied >= 0": true, "goodput <= 0%": true, "throttled > 0": false, "throttled > 0%": false,
	} {
		cond, err := ParseCondition(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if n, err := c.Judge([]Condition{cond}); err != nil || (n == 1) != holds {
			t.Errorf("%s: %d, %v", text, n, err)
		}
	}
	for text, want := range map[string]string{"p99 > 5%": "latency_p99", "goodput": "want a metric", "goodput == 1": "want a metric", "goodput > x": "want a metric", "": "want a metric"} {
		if _, err := ParseCondition(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"goodput{strategy:no} > 1", "recovery > 1"} {
		cond, err := ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Judge([]Condition{cond}); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// From nothing to something is without bound, from nothing to nothing no change.
func TestRelativeToNothing(t *testing.T) {
	r := Row{A: stats.Estimate{Mean: 0, N: 2}, B: stats.Estimate{Mean: 0.1, N: 2}}
	if !math.IsInf(r.Relative(), 1) {
		t.Error(r.Relative())
	}
	r.B.Mean = 0
	if r.Relative() != 0 {
		t.Error(r.Relative())
	}
}

func FuzzParseCondition(f *testing.F) {
	f.Add("latency_p99{strategy:a} >= -5.5 %")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCondition(text); err == nil && (c.metric == "" || math.IsNaN(c.bound) || math.IsInf(c.bound, 0)) {
			t.Errorf("%q: %+v", text, c)
		}
	})
}
