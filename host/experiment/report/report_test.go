package report

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/experiment"
	"github.com/gaia-host/gaia/host/experiment/stats"
	"github.com/gaia-host/gaia/internal/testkit"
)

// hostile is a name that would run in a page that takes texts for HTML.
const hostile = `</script><script>document.title="x"</script><img src=x onerror="throw 1">{{.CSS}}`

func result(t *testing.T) *experiment.Result {
	t.Helper()
	name := strconv.Quote(hostile)
	s, err := experiment.Decode([]byte(`{
  "name": ` + name + `, "duration": "20s", "replicas": 2,
  "scenarios": {"s": {"arrivals": {"kind": "poisson", "rate": 40}, "tenants": {"n": 3, "s": 1}, "patience": "2s"}},
  "upstreams": {"api": {"servers": 2, "latency": 60, "limits": [{"kind": "fixedWindow", "quota": 20}]}},
  "strategies": {` + name + `: {"kind": "none"}, "=2+2": {"kind": "limiter", "limiter": "tokenBucket", "params": {"burst": 1}, "sweep": {"rate": [5, 10, 20]}}},
  "thresholds": {"goodput": ["avg>8"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := experiment.Run(context.Background(), s, experiment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is written depends on the result alone, and can be read again.
func TestWriteAndLoad(t *testing.T) {
	r, dirs := result(t), [2]string{t.TempDir(), filepath.Join(t.TempDir(), "new", "folder")}
	for i, dir := range dirs {
		if err := Write(dir, r, Source{Script: hostile, Took: time.Duration(i+1) * time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{ResultFile, StrategiesFile, ReplicasFile, SeriesFile, PageFile} {
		a, err := os.ReadFile(filepath.Join(dirs[0], name))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(filepath.Join(dirs[1], name))
		if !bytes.Equal(a, b) || len(a) == 0 {
			t.Errorf("%s differs", name)
		}
	}
	again, err := Load(dirs[1])
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := errors.Join(JSON(&a, r), JSON(&b, again)); err != nil {
		t.Fatal(err)
	}
	if a.String() != b.String() {
		t.Error("a result that was read is another")
	}
}

func TestCSV(t *testing.T) {
	r := result(t)
	for name, write := range map[string]func(*bytes.Buffer) error{
		StrategiesFile: func(b *bytes.Buffer) error { return strategiesCSV(b, r) },
		ReplicasFile:   func(b *bytes.Buffer) error { return replicasCSV(b, r) },
		SeriesFile:     func(b *bytes.Buffer) error { return seriesCSV(b, r) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := map[string]int{StrategiesFile: 4 * len(r.Metrics), ReplicasFile: 4 * 2, SeriesFile: 4 * 20}[name]
		if len(rows)-1 != want {
			t.Errorf("%s: %d rows, want %d", name, len(rows)-1, want)
		}
		for _, row := range rows {
			if strings.HasPrefix(row[0], "=") {
				t.Errorf("%s: a spreadsheet would run %q", name, row[0])
			}
		}
	}
}

func TestText(t *testing.T) {
	r := result(t)
	r.Strategies[1].Name = "esc\x1b[31m"
	r.Strategies[2].Faults, r.Strategies[2].Fault = 3, "no such thing"
	var b bytes.Buffer
	if err := Text(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"goodput 1/s", "throttled %", " ±", "✓ goodput", "✗ goodput", "avg>8", "failed 3 times", "goodput to "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.ContainsRune(b.String(), 0x1b) || strings.Contains(b.String(), "recovery") {
		t.Errorf("an escape, or a column that nobody has:\n%q", b.String())
	}
	if n := Failed(r); n == 0 || n == len(r.Thresholds) {
		t.Errorf("%d of %d thresholds failed", n, len(r.Thresholds))
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v, half float64
		want    string
	}{{10.4321, 1.5, "10.4"}, {10.4321, 0.0312, "10.432"}, {9958.4, 33, "9958"}, {0, 0, "0"}, {0.123456, 0, "0.1235"}, {12345.67, 0, "12346"}, {math.NaN(), 0, "-"}, {2e-7, 0, "0.0000"}} {
		if got := Number(c.v, c.half); got != c.want {
			t.Errorf("Number(%v, %v) = %s, want %s", c.v, c.half, got, c.want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "not a result",
		`{"schema": "gaia.experiment/v2"}`: `"gaia.experiment/v2"`,
		`{"schema": "gaia.experiment/v1"}`: "no spec",
		`{"schema": "gaia.experiment/v1", "strategies": 1}`: "not a result",
	} {
		file := filepath.Join(t.TempDir(), ResultFile)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(filepath.Dir(file)); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "no")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// What is inlined is what npm has under that version.
func TestVendoredFiles(t *testing.T) {
	text, err := assets.ReadFile("assets/CHECKSUMS")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(text)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		code, err := assets.ReadFile("assets/" + name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := sha256.Sum256(code); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s was changed", name)
		}
		if strings.Contains(strings.ToLower(string(code)), "</s") {
			t.Errorf("%s would end its element", name)
		}
		checked++
	}
	if checked != 3 {
		t.Errorf("%d files are checked", checked)
	}
}

// A page stays small, whatever was compared.
func TestPageIsBounded(t *testing.T) {
	r := result(t)
	var s experiment.StrategyResult
	for i := range 600 {
		s.Series = r.Strategies[0].Series
		s.Keys = append(s.Keys, experiment.KeyResult{Offered: 1e15, Good: 1e15 - 1})
		s.Waits = append(s.Waits[:min(len(s.Waits), 22)], experiment.Point{X: 1.2345e6, Y: 0.99})
		_ = i
	}
	long := experiment.Series{Step: 1, Rates: map[string]experiment.Numbers{}, Queue: map[string]experiment.Numbers{}}
	values := make(experiment.Numbers, 600)
	for i := range values {
		values[i] = 12345.6789 + float64(i)
	}
	for _, name := range []string{"offered", "admitted", "good", "throttled", "denied"} {
		long.Rates[name] = values
	}
	long.InSystem, long.Queue["api"] = values, values
	s.Name, s.Series, s.Means = strings.Repeat("n", 10_000), &long, map[string]stats.Estimate{}
	for _, m := range r.Metrics {
		s.Means[m.Name] = stats.Estimate{Mean: 1.23456789e-5, Low: 1e-5, High: 1.3e-5, N: 5}
	}
	r.Strategies = nil
	for range experiment.MaxStrategies {
		r.Strategies = append(r.Strategies, s)
	}
	var b bytes.Buffer
	if err := HTML(&b, r, strings.Repeat("<", 10<<20)); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 3_000_000 {
		t.Errorf("%d bytes", b.Len())
	}
}

// The page opens from a file in a real browser: every chart has data, nothing is said in
// the console, nothing of the experiment runs, in both colour schemes.
func TestPageInChromium(t *testing.T) {
	browser := testkit.Program(t, "chromium-headless-shell")
	dir := t.TempDir()
	if err := Write(dir, result(t), Source{Script: hostile}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, PageFile))
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?(https?:)?//[^"'>]*`).FindString(string(page)); m != "" {
		t.Errorf("the page asks the network: %s", m)
	}
	for scheme, setting := range map[string]string{"dark": "0", "light": "1"} {
		shot := filepath.Join(dir, scheme+".png")
		args := []string{"--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--enable-logging=stderr", "--user-data-dir=" + t.TempDir(), "--window-size=1200,3000",
			"--blink-settings=preferredColorScheme=" + setting}
		dom := browse(t, browser, append(args, "--dump-dom", "file://"+filepath.Join(dir, PageFile))...)
		root := regexp.MustCompile(`<html[^>]*>`).FindString(dom)
		for _, want := range []string{`data-errors=""`, `data-scheme="` + scheme + `"`, `data-empty="0"`} {
			if !strings.Contains(root, want) {
				t.Errorf("%s: no %s in %s", scheme, want, root)
			}
		}
		figures, tables := strings.Count(dom, "<figure"), strings.Count(dom, "<summary")
		if n := regexp.MustCompile(`data-charts="(\d+)"`).FindStringSubmatch(root); n == nil || n[1] != strconv.Itoa(figures) || figures < 12 || tables != figures {
			t.Errorf("%s: %d charts, %d tables beside them, %v", scheme, figures, tables, n)
		}
		if strings.Contains(dom, "<img") || !strings.Contains(dom, "<title>&lt;/script&gt;") {
			t.Errorf("%s: a text was taken for HTML", scheme)
		}
		browse(t, browser, append(args, "--screenshot="+shot, "file://"+filepath.Join(dir, PageFile))...)
	}
	light, _ := os.ReadFile(filepath.Join(dir, "light.png"))
	dark, _ := os.ReadFile(filepath.Join(dir, "dark.png"))
	if len(light) < 10_000 || len(dark) < 10_000 || bytes.Equal(light, dark) {
		t.Errorf("pictures of %d and %d bytes", len(light), len(dark))
	}
}

// browse runs the browser and returns what it prints. A message in the console is an error.
func browse(t *testing.T, browser string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, browser, args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if m := regexp.MustCompile(`(?m)^.*CONSOLE.*$`).FindString(said.String()); m != "" {
		t.Errorf("the console says: %s", m)
	}
	return out.String()
}

// Texts that are no results are refused or read, and never more than that.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema": "gaia.experiment/v1", "spec": {"duration": "1s"}, "metrics": [{"name": "goodput"}], "strategies": [{"name": "a", "values": {"goodput": [1, null]}}]}`))
	f.Add([]byte(fmt.Sprintf(`{"schema": %q, "strategies": [{"series": {"in_system": [1]}, "waits": [{"x": 1e308, "y": 2}]}], "spec": {}}`, experiment.Schema)))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := errors.Join(Text(&b, r), strategiesCSV(&b, r), replicasCSV(&b, r), seriesCSV(&b, r)); err != nil {
			t.Error(err)
		}
		_ = HTML(&b, r, string(text))
	})
}
