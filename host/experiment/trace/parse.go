package trace

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/experiment/sim"
	"github.com/gaia-host/gaia/host/record"
)

// parser returns what reads one line. Of CSV it reads the header line first.
func (c *Config) parser(lines *bufio.Scanner) (func(string) (sim.Row, error), error) {
	switch c.format() {
	case "csv":
		return c.csv(lines)
	case "jsonl":
		return c.jsonl, nil
	}
	return access, nil
}

func (c *Config) column(field string) string {
	if name := c.Columns[field]; name != "" {
		return name
	}
	return field
}

func (c *Config) unit(standard string) float64 {
	name := c.Unit
	if name == "" {
		name = standard
	}
	u, _ := unitOf(name) // checked
	return u
}

// row makes a row of texts; one that is "" is absent.
func row(get func(field string) string, unit float64) (sim.Row, error) {
	r := sim.Row{Key: clip(get("key")), Tenant: clip(get("tenant")), Cost: 1, Service: -1}
	var err error
	if r.At, err = parseTime(get("time"), unit); err != nil {
		return r, err
	}
	if text := get("cost"); text != "" {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0 && v <= policy.MaxCost) {
			return r, fmt.Errorf("cost %.40q: want a number of 0 to %d", text, int64(policy.MaxCost))
		}
		r.Cost = int64(v + 0.5)
	}
	if text := get("service"); text != "" {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return r, fmt.Errorf("service %.40q: want a number that is not negative", text)
		}
		r.Service = v
	}
	return r, nil
}

func clip(s string) string { return strings.Clone(s[:min(len(s), maxText)]) }

func (c *Config) csv(lines *bufio.Scanner) (func(string) (sim.Row, error), error) {
	if !lines.Scan() {
		return nil, fmt.Errorf("want a line with the names of the columns")
	}
	split := func(text string) ([]string, error) { return csv.NewReader(strings.NewReader(text)).Read() }
	header, err := split(strings.TrimPrefix(lines.Text(), "\ufeff"))
	if err != nil {
		return nil, err
	}
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	at := map[string]int{}
	for _, field := range fields {
		at[field] = slices.Index(header, c.column(field))
		if at[field] < 0 && (field == "time" || c.Columns[field] != "") {
			return nil, fmt.Errorf("there is no column %q among %.200q", c.column(field), header)
		}
	}
	unit := c.unit("s")
	return func(text string) (sim.Row, error) {
		cells, err := split(text)
		if err != nil {
			return sim.Row{}, err
		}
		return row(func(field string) string {
			if i := at[field]; i >= 0 && i < len(cells) {
				return strings.TrimSpace(cells[i])
			}
			return ""
		}, unit)
	}, nil
}

// errRetry is a recorded attempt after the first: an experiment tries again by itself.
var errRetry = errors.New("not the first attempt")

func (c *Config) jsonl(text string) (sim.Row, error) {
	var o map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&o); err != nil {
		return sim.Row{}, fmt.Errorf("want a JSON object: %w", err)
	}
	if again, ok := o["attempt"].(json.Number); ok && o["schema"] == record.Schema && again != "1" {
		return sim.Row{}, errRetry
	}
	return row(func(field string) string {
		switch v := o[c.column(field)].(type) {
		case string:
			return v
		case json.Number:
			return v.String()
		}
		return ""
	}, c.unit("ms"))
}

// logLine is a line of the common or combined log format.
var logLine = regexp.MustCompile(`^(\S+) \S+ (\S+) \[([^\]]+)\] "([A-Z]+) (\S+)[^"]*" (\d{3}) `)

// access reads a line of an access log: the key is the client's address, the tenant
// the user that it names.
func access(text string) (sim.Row, error) {
	m := logLine.FindStringSubmatch(text + " ")
	if m == nil {
		return sim.Row{}, fmt.Errorf("want a line of an access log, got %.80q", text)
	}
	if status, err := strconv.Atoi(m[6]); err != nil || http.StatusText(status) == "" && status >= 600 {
		return sim.Row{}, fmt.Errorf("%s is no status", m[6])
	}
	user := m[2]
	if user == "-" {
		user = ""
	}
	return row(func(field string) string {
		return map[string]string{"time": m[3], "key": m[1], "tenant": user}[field]
	}, 1)
}
