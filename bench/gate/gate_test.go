package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
)

// TestMain lets the rows start the test's own program as their other processes.
func TestMain(m *testing.M) {
	if role, args, ok := roleOf(os.Args); ok {
		os.Exit(runRole(role, args))
	}
	os.Exit(m.Run())
}

// smallEffort is just enough for a ratio.
var smallEffort = effort{Repeat: 1, Sample: 300 * time.Microsecond, Garbage: 2 * time.Millisecond, Limit: time.Second,
	Allocs: 300, Requests: 200, Keys: 20_000, Over: 50 * time.Millisecond}

// Every row can be measured. What it says of so little is not looked at.
func TestRows(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			out, err := r.measure(t.Context(), smallEffort)
			if err != nil {
				t.Fatal(err)
			}
			if !(out.ratio > 0) || math.IsInf(out.ratio, 0) {
				t.Errorf("ratio %v", out.ratio)
			}
			if r.allocs != noAllocs && (math.IsNaN(out.allocs) || out.allocs > 1000) {
				t.Errorf("%v allocations", out.allocs)
			}
			if len(out.sides) > 0 && len(out.sides) != len(out.how.Costs) {
				t.Errorf("%d names of %d sides", len(out.sides), len(out.how.Costs))
			}
		})
	}
}

func TestTable(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+/[a-z0-9-]+$`)
	seen := map[string]bool{}
	for _, r := range rows() {
		if !name.MatchString(r.name) || seen[r.name] {
			t.Errorf("bad or repeated name %q", r.name)
		}
		seen[r.name] = true
		if !(r.target > 0) || r.allocs < noAllocs {
			t.Errorf("%s: target %v, %d allocations", r.name, r.target, r.allocs)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		target float64
		max    int
		out    outcome
		want   string
	}{
		{0.25, 0, outcome{ratio: 0.2, allocs: 0}, "x/y      0.200   0.25  0/0 allocs  ok"},
		{0.25, 0, outcome{ratio: 0.2504, allocs: 0}, "x/y      0.251   0.25  0/0 allocs  SHORT"},
		{0.25, 0, outcome{ratio: 0.25, allocs: 0.4}, "x/y      0.250   0.25  0/0 allocs  ok"},
		{0.25, 0, outcome{ratio: 0.2, allocs: 1}, "x/y      0.200   0.25  1/0 allocs  SHORT"},
		{3.6, 2, outcome{ratio: 3.1, allocs: 2}, "x/y      3.100    3.6  2/2 allocs  ok"},
		{1, noAllocs, outcome{ratio: 1, allocs: 99}, "x/y      1.000      1              ok"},
		{1, noAllocs, outcome{ratio: 1.0001}, "x/y      1.001      1              SHORT"},
		{1, noAllocs, outcome{ratio: math.NaN()}, "x/y        NaN      1              SHORT"},
	} {
		v := row{name: "x/y", target: c.target, allocs: c.max}.judge(c.out)
		if got := v.line(5); got != c.want {
			t.Errorf("%+v:\n got %q\nwant %q", c.out, got, c.want)
		}
	}
}

func TestGate(t *testing.T) {
	fine := row{"a/fine", 2, noAllocs, given(outcome{ratio: 1})}
	short := row{"a/short", 0.5, noAllocs, given(outcome{ratio: 1, sides: []string{"one"}, how: measure.Result{Costs: []float64{7}}})}
	broken := row{"a/broken", 1, noAllocs, failing}
	for _, c := range []struct {
		rows   []row
		code   int
		words  []string // last words on standard output
		stderr string
	}{
		{[]row{fine}, exitOK, []string{"ok"}, ""},
		{[]row{fine, short}, exitShort, []string{"ok", "SHORT"}, ""},
		{[]row{broken, fine}, exitShort, []string{"ok"}, "gate: a/broken cannot be measured: it is not there\n"},
	} {
		var stdout, detail, stderr bytes.Buffer
		if code := measureRows(t.Context(), c.rows, smallEffort, &stdout, &detail, &stderr); code != c.code {
			t.Errorf("exit code %d, want %d", code, c.code)
		}
		var words []string
		for line := range strings.Lines(stdout.String()) {
			fields := strings.Fields(line)
			words = append(words, fields[len(fields)-1])
		}
		if strings.Join(words, " ") != strings.Join(c.words, " ") {
			t.Errorf("last words %v, want %v", words, c.words)
		}
		if stderr.String() != c.stderr {
			t.Errorf("standard error %q, want %q", stderr.String(), c.stderr)
		}
		if got := strings.Count(detail.String(), "\n"); got != len(c.words) {
			t.Errorf("%d lines of detail, want %d", got, len(c.words))
		}
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
	}{
		{"-h", exitOK},
		{"-run [", exitUsage},
		{"-run nothing-is-called-this", exitUsage},
		{"-repeat 0", exitUsage},
		{"-repeat many", exitUsage},
		{"-limit 0s", exitUsage},
		{"extra", exitUsage},
	} {
		var stdout, stderr bytes.Buffer
		if code := gate(t.Context(), strings.Fields(c.args), &stdout, &stderr); code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.args, code, c.code)
		}
		if stdout.Len() > 0 || stderr.Len() == 0 {
			t.Errorf("%s: %q on standard output, %q on standard error", c.args, &stdout, &stderr)
		}
	}
}

// A part that cannot play its role is noticed.
func TestPartFails(t *testing.T) {
	var ps parts
	if _, _, err := ps.startListening("proxy", "no-such-kind", "127.0.0.1:1", "127.0.0.1:1"); err == nil {
		t.Error("a proxy of no kind listens")
	}
	if err := ps.Close(); err == nil {
		t.Error("a part that failed closes without an error")
	}
}

func TestGeneratorTellsFailures(t *testing.T) {
	var out bytes.Buffer
	if err := generate(nil, strings.NewReader("127.0.0.1:1 10 200\n"), &out); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); !strings.HasPrefix(said, "connect: ") || strings.Count(said, "\n") != 1 {
		t.Errorf("said %q", said)
	}
	if err := generate(nil, strings.NewReader("127.0.0.1:1 many 200\n"), &out); err == nil {
		t.Error("a number that is none is taken")
	}
}
func given(out outcome) func(context.Context, effort) (outcome, error) {
	return func(context.Context, effort) (outcome, error) { return out, nil }
}

func failing(context.Context, effort) (outcome, error) {
	return outcome{}, errors.New("it is not there")
}
