package host

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/control"
)

// metricsGuarantees are the guarantees 26 to 29.
func metricsGuarantees() []guarantee {
	return []guarantee{
		{26, "every-number-of-every-subsystem-is-in-metrics-and-moves-with-the-work", numbersAreServed},
		{27, "health-and-readiness-are-good-with-and-without-work-and-503-when-not", healthIsTrue},
		{28, "pooled-maps-are-reused-and-times-are-histograms-in-seconds", timesAreHistograms},
		{29, "alerts-and-dashboards-name-what-exists-and-two-hosts-live-in-one-process", alertsNameWhatExists},
	}
}

// samples are the numbers of /metrics by series, NAME or NAME{LABELS}.
func samples(t *testing.T, th *testHost) map[string]float64 {
	t.Helper()
	m := map[string]float64{}
	for _, line := range strings.Split(overSocket(t, th, "/metrics"), "\n") {
		series, value, ok := strings.Cut(line, " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(line, "#") {
			m[series] = v
		}
	}
	return m
}

func numbersAreServed(t *testing.T) {
	th := run(t, nil, "routes.up.url="+plainUpstream(t))
	for range 25 {
		th.get("/up/")
	}
	text := overSocket(t, th, "/metrics")
	for _, src := range th.Sources() {
		s := src.Schema()
		var fields map[string]float64
		if err := json.Unmarshal([]byte(overSocket(t, th, "/metrics/"+s.Subsystem())), &fields); err != nil {
			t.Fatal(err)
		}
		for i := range s.Len() {
			name := s.Field(i).Name
			if !strings.Contains(text, "\ngaia_"+s.Subsystem()+"_"+name+" ") {
				t.Errorf("/metrics lacks gaia_%s_%s", s.Subsystem(), name)
			}
			if _, ok := fields[name]; !ok {
				t.Errorf("/metrics/%s lacks %s", s.Subsystem(), name)
			}
		}
	}
	for _, line := range []string{"gaia_api_requests_total 25", "gaia_api_succeeded_total 25", "gaia_api_attempt_duration_seconds_count 25"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("/metrics lacks the line %s", line)
		}
	}
}

func healthIsTrue(t *testing.T) {
	th := run(t, nil, "routes.up.url="+plainUpstream(t))
	ask := func(path string) (int, string) {
		t.Helper()
		res, err := socketClient(th).Get("http://gaia" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	good := func(when string) {
		t.Helper()
		paths := []string{"/livez", "/readyz", "/health"}
		for i := range th.parts {
			paths = append(paths, "/health/"+th.parts[i].name())
		}
		for _, path := range paths {
			if code, body := ask(path); code != 200 || strings.Contains(body, control.HealthFailing) {
				t.Errorf("%s, %s: %d %s", when, path, code, body)
			}
		}
	}
	good("without work")
	for range 50 {
		th.get("/up/")
	}
	good("after 50 calls")
	th.ready.Store(false)
	defer th.ready.Store(true)
	for _, path := range []string{"/readyz", "/health", "/health/api"} {
		if code, body := ask(path); code != 503 || !strings.Contains(body, "not ready") {
			t.Errorf("while stopping, %s: %d %s", path, code, body)
		}
	}
}

func timesAreHistograms(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { <-time.After(60 * time.Millisecond) }))
	defer up.Close()
	th := run(t, nil)
	for range 5 {
		if code, err := th.call(t.Context(), up.URL, ""); err != nil || code != 200 {
			t.Fatal(code, err)
		}
	}
	got := samples(t, th)
	for i := range th.parts {
		if _, ok := got["gaia_"+th.parts[i].name()+`_attempt_duration_seconds_bucket{le="+Inf"}`]; !ok {
			t.Errorf("%s has no histogram", th.parts[i].name())
		}
	}
	const name = "gaia_api_attempt_duration_seconds"
	if n, sum := got[name+"_count"], got[name+"_sum"]; n != 5 || sum < 0.3 || sum > 60 {
		t.Errorf("5 attempts of 60 ms: %v in %v s", n, sum)
	}
	if low, all := got[name+`_bucket{le="0.05"}`], got[name+`_bucket{le="60"}`]; low != 0 || all != 5 {
		t.Errorf("of 5 attempts of 60 ms %v are below 50 ms and %v below a minute", low, all)
	}
	src := th.Sources()[0]
	if n := testing.AllocsPerRun(200, func() { th.natives.Numbers(policy.SubsystemAPI).Release() }); n > 0 && slowdown == 1 {
		t.Errorf("a pooled map of %d fields costs %v allocations", src.Schema().Len(), n)
	}
	v := th.natives.Numbers(policy.SubsystemAPI)
	defer v.Release()
	if i, ok := src.Schema().Index("started_total"); !ok || v.Map()["started_total"] != src.Read(make([]float64, 0, src.Schema().Len()))[i] {
		t.Error("the map and the source disagree")
	}
}

func alertsNameWhatExists(t *testing.T) {
	th := run(t, map[string]string{"p.js": `
import { gauge } from "gaia";
const g = gauge("level");
export function onRequest() { g.set(7); }`}, "routes.up.url="+plainUpstream(t))
	other := run(t, nil) // a second host in the process: nothing is registered twice
	th.get("/up/")
	known := map[string]bool{}
	for series := range samples(t, th) {
		name, _, _ := strings.Cut(series, "{")
		known[name] = true
	}
	if len(samples(t, other)) == 0 {
		t.Error("the second host has no metrics")
	}
	files, err := filepath.Glob("../deploy/dashboards/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("dashboards: %v %v", files, err)
	}
	name := regexp.MustCompile(`\b(gaia|go|process)_[a-z0-9_]+\b`)
	for _, file := range append(files, "../deploy/alerts.yml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := name.FindAllString(string(text), -1)
		if len(names) < 10 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		slices.Sort(names)
		for _, n := range slices.Compact(names) {
			if !known[n] {
				t.Errorf("%s names %s, which does not exist", filepath.Base(file), n)
			}
		}
	}
}
