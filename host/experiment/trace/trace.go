// Package trace reads recorded traffic for experiments: gaia's own recordings, CSV and
// JSON lines with a map of columns, and access logs. It is not the recorder.
package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/experiment/sim"
)

// Config says where the traffic is and how to read it.
type Config struct {
	File string `json:"file"`
	// Format is csv, jsonl or access (common and combined log format). Unset: by the
	// file's name, .csv or .jsonl, else access. gaia's recordings are jsonl.
	Format string `json:"format,omitempty"`
	// Columns maps time, key, cost, service and tenant to columns of a CSV file, or to
	// fields of JSON lines. Unset ones: the same name; of them only time must be there.
	Columns map[string]string `json:"columns,omitempty"`
	// Unit of a time that is a bare number: s, ms, us or ns. Unset: s for CSV, ms else.
	Unit string `json:"unit,omitempty"`
	// Scale stretches the time: 2 is half as fast. Unset: 1.
	Scale float64 `json:"scale,omitempty"`
	// From and To cut out a slice, counted from the first row. Unset: all.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Bounds.
const (
	maxRows = 20_000_000
	maxLine = 1 << 20
	maxText = 256     // of a key or a tenant
	maxTime = 1 << 62 // ns from 1970, some 146 years: the difference of two stays in range
)

// fields are what a row is made of.
var fields = []string{"time", "key", "cost", "service", "tenant"}

// Data is recorded traffic in memory, in order of time. It is immutable.
type Data struct{ rows []sim.Row }

// Len is how many rows there are.
func (d *Data) Len() int { return len(d.rows) }

// Duration is the time of the last row.
func (d *Data) Duration() time.Duration {
	if len(d.rows) == 0 {
		return 0
	}
	return time.Duration(d.rows[len(d.rows)-1].At)
}

// Rows gives the rows from the beginning.
func (d *Data) Rows() sim.Rows { return &reader{rows: d.rows} }

type reader struct {
	rows []sim.Row
	next int
}

// Next implements sim.Rows.
func (r *reader) Next() (sim.Row, bool) {
	if r.next == len(r.rows) {
		return sim.Row{}, false
	}
	r.next++
	return r.rows[r.next-1], true
}

// Load reads a file whole. An error names the line.
func Load(c Config) (*Data, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("trace: %s is not a regular file", c.File)
	}
	return Read(f, c)
}

// Read is Load of what r gives.
func Read(r io.Reader, c Config) (*Data, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	parse, err := c.parser(lines)
	if err != nil {
		return nil, fmt.Errorf("trace: %s:1: %w", c.File, err)
	}
	var d Data
	line := 0
	if c.format() == "csv" {
		line = 1
	}
	for lines.Scan() {
		line++
		text := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if text == "" {
			continue
		}
		row, err := parse(text)
		if errors.Is(err, errRetry) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("trace: %s:%d: %w", c.File, line, err)
		}
		if len(d.rows) >= maxRows {
			return nil, fmt.Errorf("trace: %s:%d: more than %d rows; cut a slice with from and to", c.File, line, maxRows)
		}
		d.rows = append(d.rows, row)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("trace: %s:%d: %w", c.File, line+1, err)
	}
	return &d, d.shape(c)
}

func (c *Config) check() error {
	if !slices.Contains([]string{"", "csv", "jsonl", "access"}, c.Format) {
		return fmt.Errorf("unknown format %q (want csv, jsonl or access)", c.Format)
	}
	if _, err := unitOf(c.Unit); c.Unit != "" && err != nil {
		return err
	}
	if c.Scale < 0 || math.IsNaN(c.Scale) || math.IsInf(c.Scale, 0) {
		return errors.New("scale: want more than 0")
	}
	for name := range c.Columns {
		if !slices.Contains(fields, name) {
			return fmt.Errorf("columns: unknown %q (want one of %v)", name, fields)
		}
	}
	for _, t := range []string{c.From, c.To} {
		if t != "" {
			if _, err := policy.ParseDuration(t); err != nil {
				return fmt.Errorf("from and to: %w", err)
			}
		}
	}
	return nil
}

func (c *Config) format() string {
	switch name := strings.ToLower(c.File); {
	case c.Format != "":
		return c.Format
	case strings.HasSuffix(name, ".csv"):
		return "csv"
	case strings.HasSuffix(name, ".jsonl"), strings.HasSuffix(name, ".ndjson"):
		return "jsonl"
	}
	return "access"
}

func unitOf(name string) (float64, error) {
	switch name {
	case "s":
		return float64(time.Second), nil
	case "ms":
		return float64(time.Millisecond), nil
	case "us":
		return float64(time.Microsecond), nil
	case "ns":
		return 1, nil
	}
	return 0, fmt.Errorf("unit %q: want s, ms, us or ns", name)
}

// shape sorts the rows, counts their times from the first, and cuts and stretches
// them. Recordings are written as requests end, so their order is not that of arrival.
func (d *Data) shape(c Config) error {
	if len(d.rows) == 0 {
		return fmt.Errorf("trace: %s has no rows", c.File)
	}
	slices.SortStableFunc(d.rows, func(a, b sim.Row) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return 0
	})
	first := d.rows[0].At
	from, to := time.Duration(0), time.Duration(math.MaxInt64)
	if c.From != "" {
		from, _ = policy.ParseDuration(c.From) // checked
	}
	if c.To != "" {
		to, _ = policy.ParseDuration(c.To) // checked
	}
	scale := c.Scale
	if scale == 0 {
		scale = 1
	}
	kept := d.rows[:0]
	for _, r := range d.rows {
		at := time.Duration(r.At - first)
		if at < from || at >= to {
			continue
		}
		r.At = int64(min(float64(at-from)*scale, maxTime))
		kept = append(kept, r)
	}
	d.rows = kept
	d.ranks()
	if len(kept) == 0 {
		return fmt.Errorf("trace: %s has no rows between from and to", c.File)
	}
	return nil
}

// ranks turns recorded service times into the share of times below their own, so that
// a model with its own distribution keeps which requests are the long ones.
func (d *Data) ranks() {
	var times []float64
	for _, r := range d.rows {
		if r.Service >= 0 {
			times = append(times, r.Service)
		}
	}
	slices.Sort(times)
	for i := range d.rows {
		if s := &d.rows[i].Service; *s >= 0 {
			below, _ := slices.BinarySearch(times, *s)
			*s = (float64(below) + 0.5) / float64(len(times))
		}
	}
}

// parseTime reads a number of the unit, RFC 3339, or the time of an access log.
func parseTime(text string, unit float64) (int64, error) {
	if v, err := strconv.ParseFloat(text, 64); err == nil {
		ns := v * unit
		if !(math.Abs(ns) < maxTime) {
			return 0, fmt.Errorf("time %.40q is out of range", text)
		}
		return int64(ns), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "02/Jan/2006:15:04:05 -0700"} {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if math.Abs(float64(t.Unix()))*float64(time.Second) >= maxTime {
			return 0, fmt.Errorf("time %.40q is out of range", text)
		}
		return t.UnixNano(), nil
	}
	return 0, fmt.Errorf("time %.40q: want a number, RFC 3339 or the time of an access log", text)
}
