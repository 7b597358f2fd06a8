package report

import (
	"encoding/csv"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/gaia-host/gaia/host/experiment"
)

// table writes rows of CSV. Texts that a spreadsheet would take for a formula are quoted.
type table struct {
	w   *csv.Writer
	row []string
}

func newTable(w io.Writer, head ...string) *table {
	t := &table{w: csv.NewWriter(w)}
	t.row = append(t.row, head...)
	t.end()
	return t
}

func (t *table) text(s string) {
	if s != "" && strings.ContainsAny(s[:1], "=+-@\t\r") {
		s = "'" + s
	}
	t.row = append(t.row, s)
}

func (t *table) number(v float64) {
	if !finite(v) {
		t.row = append(t.row, "")
		return
	}
	t.row = append(t.row, strconv.FormatFloat(v, 'g', 6, 64))
}

func (t *table) end() {
	_ = t.w.Write(t.row) // flush has the error
	t.row = t.row[:0]
}

func (t *table) flush() error {
	t.w.Flush()
	return t.w.Error()
}

// strategiesCSV has a row for each strategy and metric.
func strategiesCSV(w io.Writer, r *experiment.Result) error {
	t := newTable(w, "strategy", "metric", "unit", "mean", "low", "high", "n", "difference", "difference_low", "difference_high", "p")
	for i := range r.Strategies {
		s := &r.Strategies[i]
		for _, m := range r.Metrics {
			e := s.Means[m.Name]
			t.text(s.Name)
			t.text(m.Name)
			t.text(m.Unit)
			if e.N > 0 {
				t.number(e.Mean)
				t.number(e.Low)
				t.number(e.High)
			} else {
				t.row = append(t.row, "", "", "")
			}
			t.row = append(t.row, strconv.Itoa(e.N))
			if d, ok := s.Differences[m.Name]; ok && d.N > 0 {
				t.number(d.Mean)
				t.number(d.Low)
				t.number(d.High)
				t.number(d.P)
			} else {
				t.row = append(t.row, "", "", "", "")
			}
			t.end()
		}
	}
	return t.flush()
}

// replicasCSV has a row for each strategy and replica, a column for each metric.
func replicasCSV(w io.Writer, r *experiment.Result) error {
	head := []string{"strategy", "replica"}
	for _, m := range r.Metrics {
		head = append(head, m.Name)
	}
	t := newTable(w, head...)
	for i := range r.Strategies {
		s := &r.Strategies[i]
		for k := range replicas(r, s) {
			t.text(s.Name)
			t.row = append(t.row, strconv.Itoa(k))
			for _, m := range r.Metrics {
				if v := s.Values[m.Name]; k < len(v) {
					t.number(v[k])
				} else {
					t.row = append(t.row, "")
				}
			}
			t.end()
		}
	}
	return t.flush()
}

func replicas(r *experiment.Result, s *experiment.StrategyResult) int {
	n := 0
	for _, m := range r.Metrics {
		n = max(n, len(s.Values[m.Name]))
	}
	return n
}

// seriesCSV has a row for each strategy and step of time.
func seriesCSV(w io.Writer, r *experiment.Result) error {
	rates := []string{"offered", "admitted", "good", "throttled", "denied"}
	var ups []string
	for i := range r.Strategies {
		if s := r.Strategies[i].Series; s != nil {
			for name := range s.Queue {
				if !slices.Contains(ups, name) {
					ups = append(ups, name)
				}
			}
		}
	}
	sort.Strings(ups)
	t := &table{w: csv.NewWriter(w)}
	t.row = append(append(t.row, "strategy", "seconds"), rates...)
	t.row = append(t.row, "in_system")
	for _, u := range ups {
		t.text("queue_" + u)
	}
	t.end()
	for i := range r.Strategies {
		s := r.Strategies[i].Series
		if s == nil {
			continue
		}
		cell := func(list experiment.Numbers, k int) {
			if k < len(list) {
				t.number(list[k])
			} else {
				t.row = append(t.row, "")
			}
		}
		for k := range s.InSystem {
			t.text(r.Strategies[i].Name)
			t.number(float64(k) * s.Step)
			for _, name := range rates {
				cell(s.Rates[name], k)
			}
			cell(s.InSystem, k)
			for _, u := range ups {
				cell(s.Queue[u], k)
			}
			t.end()
		}
	}
	return t.flush()
}
