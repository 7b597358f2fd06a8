package host

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
)

// post sends one request of a load; done ends it. The naive form makes what can be kept
// anew each time: a client, a deadline, and the words of the address.
func (s *stress) post(action string, data []byte) (res *http.Response, done func(), err error) {
	if !s.naive {
		res, err = s.client.Post("http://gaia/v1/"+action, "application/json", bytes.NewReader(data))
		return res, func() {}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/v1/%s", "gaia", action), bytes.NewReader(data))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
		res, err = (&http.Client{Transport: s.client.Transport, Timeout: 2 * time.Minute}).Do(req)
	}
	return res, cancel, err
}

// writeCensus writes the goroutine profile into the folder that GAIA_PROFILES names, if
// it names one.
func writeCensus(t *testing.T) {
	dir := os.Getenv("GAIA_PROFILES")
	if dir == "" {
		return
	}
	<-time.After(2 * time.Second) // so that browsers and children are there too
	f, err := os.Create(filepath.Join(dir, "goroutine.prof"))
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if err := pprof.Lookup("goroutine").WriteTo(f, 0); err != nil {
		t.Error(err)
	}
}

// naiveSettings undo what gaia's own settings are for: connections are kept for two
// callers, and every request has a deadline of its own instead of the transport's.
func naiveSettings() []string {
	return []string{"api.max_idle_conns_per_host=2", "api.header_timeout=0s", "api.total_timeout=60s"}
}

// wired is what one run of the stress cost. Times are in milliseconds and of the operations
// of this process: without browsers and children. Those of one kind tell more than those of all:
// where one kind gets faster, more of the others fall into the same time.
type wired struct {
	bytes    float64 // allocated in this process, the test's part with it
	cpu      float64 // processor time of this process, the same
	p95, p99 float64 // of all kinds
	api      [3]float64
	files    [3]float64
	network  [3]float64
}

// percentiles are the 50th, 95th and 99th.
func (r *result) percentiles() [3]float64 {
	ms := func(part float64) float64 { return float64(r.at(part)) / 1e6 }
	return [3]float64{ms(0.50), ms(0.95), ms(0.99)}
}

// readNumbers reads the numbers of all subsystems, as a dashboard would: in a fresh map
// for each or in a pooled one.
func (s *stress) readNumbers(pools []*metrics.Pool) int {
	n := 0
	for i, src := range s.th.Sources() {
		if s.naive {
			fresh := map[string]any{}
			values := src.Read(nil)
			for j, v := range values {
				fresh[src.Schema().Field(j).Name] = v
			}
			n += len(fresh)
			continue
		}
		v := pools[i].View(src)
		n += len(v.Map())
		v.Release()
	}
	return n
}

// compareLoads are the stress without its pacing: the work is bounded by what it costs.
// Each operation reads the numbers once. part is 1 for all of it.
func compareLoads(s *stress, browsers int, part float64) []load {
	var pools []*metrics.Pool
	for _, src := range s.th.Sources() {
		pools = append(pools, metrics.NewPool(src.Schema()))
	}
	reading := func(do func(int) error) func(int) error {
		return func(i int) error {
			if s.readNumbers(pools) == 0 {
				return fmt.Errorf("no numbers")
			}
			return do(i)
		}
	}
	n := func(all int) int { return int(float64(all) * part) }
	loads := []load{
		{"api", n(4000), 64, reading(s.plain)}, {"files", n(500), 16, reading(s.files)}, {"network", n(400), 16, reading(s.network)}, {"process", n(50), 4, reading(s.process)},
	}
	if browsers > 0 {
		loads = append(loads, load{"browser", n(browsers), 4, reading(s.browser)})
	}
	return loads
}

// plain asks for a page without TLS: over HTTP/1.1, where kept connections count.
func (s *stress) plain(int) error { return s.want("/", "api/request", in{"url": s.page + "/"}) }

// once runs the stress with one wiring. A part of it goes before and does not count: what
// opens the first connections and fills the pools.
func (s *stress) once(t *testing.T, ca string, browsers int) wired {
	t.Helper()
	defer s.start(t, ca, filepath.Join(t.TempDir(), "profiles"))()
	s.put(t, compareLoads(s, browsers, 0.2))
	loads := compareLoads(s, browsers, 1)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := processorTime(t)
	results := s.put(t, loads)
	cpu = processorTime(t) - cpu
	runtime.ReadMemStats(&after)
	var all result
	for _, r := range results[:3] {
		all.times = append(all.times, r.times...)
	}
	slices.Sort(all.times)
	of := all.percentiles()
	return wired{bytes: float64(after.TotalAlloc - before.TotalAlloc), cpu: float64(cpu) / 1e6, p95: of[1], p99: of[2],
		api: results[0].percentiles(), files: results[1].percentiles(), network: results[2].percentiles()}
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// quartiles are a list's; between two values in proportion.
func quartiles(vs []float64) (low, mid, high float64) {
	slices.Sort(vs)
	at := func(q float64) float64 {
		x := q * float64(len(vs)-1)
		i := int(x)
		return vs[i] + (x-float64(i))*(vs[min(i+1, len(vs)-1)]-vs[i])
	}
	return at(0.25), at(0.5), at(0.75)
}

// The whole: the stress with everything naive against gaia's wiring, in turn.
// GAIA_COMPARE says how often; with GAIA_COMPARE_BROWSERS so many pages are opened too.
func TestNaiveWiringAgainstGaia(t *testing.T) {
	times, err := strconv.Atoi(os.Getenv("GAIA_COMPARE"))
	if err != nil || times < 1 {
		t.Skip("set GAIA_COMPARE to the number of repeats; make bench-whole does")
	}
	browsers, _ := strconv.Atoi(os.Getenv("GAIA_COMPARE_BROWSERS"))
	web, ca := nginx(t, 0)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html><title>%s</title>", r.URL.Path)
	}))
	defer page.Close()
	echo := echoServer(t)
	sides := map[bool][]wired{}
	for i := range 2 * times {
		naive := (i+i/2)%2 == 0 // naive, gaia, gaia, naive, ...
		s := &stress{web: web, page: page.URL, echo: echo, naive: naive, set: []string{}}
		if naive {
			s.set = naiveSettings()
		}
		sides[naive] = append(sides[naive], s.once(t, ca, browsers))
	}
	t.Logf("\n%s", tellWhole(sides[true], sides[false]))
}

// tellWhole says each number of both sides, medians, and the median of the pairs' ratios.
func tellWhole(naives, ours []wired) string {
	type number struct {
		name string
		get  func(wired) float64
	}
	rows := []number{
		{"MiB allocated", func(w wired) float64 { return w.bytes / (1 << 20) }},
		{"CPU ms", func(w wired) float64 { return w.cpu }},
		{"P95 ms", func(w wired) float64 { return w.p95 }},
		{"P99 ms", func(w wired) float64 { return w.p99 }},
	}
	for i, p := range []string{" P50 ms", " P95 ms", " P99 ms"} {
		rows = append(rows,
			number{"api" + p, func(w wired) float64 { return w.api[i] }},
			number{"files" + p, func(w wired) float64 { return w.files[i] }},
			number{"network" + p, func(w wired) float64 { return w.network[i] }})
	}
	var out strings.Builder
	for _, of := range rows {
		var ratios []float64
		var columns [2][]float64
		for i := range naives {
			a, b := of.get(naives[i]), of.get(ours[i])
			columns[0], columns[1] = append(columns[0], a), append(columns[1], b)
			ratios = append(ratios, b/a)
		}
		_, naive, _ := quartiles(columns[0])
		_, own, _ := quartiles(columns[1])
		low, mid, high := quartiles(ratios)
		fmt.Fprintf(&out, "whole: %-14s naive %8.2f  gaia %8.2f  ratio %.3f (quartiles %.3f to %.3f, %d pairs)\n", of.name, naive, own, mid, low, high, len(ratios))
	}
	return out.String()
}
