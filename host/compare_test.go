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
	"sync"
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

// wired is what one run of the stress cost.
type wired struct {
	bytes    float64 // allocated in this process, the test's part with it
	p95, p99 float64 // milliseconds, over the operations of this process: without browsers and children
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
// Each operation reads the numbers once.
func compareLoads(s *stress, browsers int) []load {
	var once sync.Once
	var pools []*metrics.Pool
	reading := func(do func(int) error) func(int) error {
		return func(i int) error {
			once.Do(func() {
				for _, src := range s.th.Sources() {
					pools = append(pools, metrics.NewPool(src.Schema()))
				}
			})
			if s.readNumbers(pools) == 0 {
				return fmt.Errorf("no numbers")
			}
			return do(i)
		}
	}
	loads := []load{
		{"api", 2000, 64, reading(s.plain)}, {"files", 500, 16, reading(s.files)}, {"network", 400, 16, reading(s.network)}, {"process", 50, 4, reading(s.process)},
	}
	if browsers > 0 {
		loads = append(loads, load{"browser", browsers, 4, reading(s.browser)})
	}
	return loads
}

// plain asks for a page without TLS: over HTTP/1.1, where kept connections count.
func (s *stress) plain(int) error { return s.want("/", "api/request", in{"url": s.page + "/"}) }

// once runs the stress with one wiring.
func (s *stress) once(t *testing.T, ca string, browsers int) wired {
	t.Helper()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	results := s.run(t, ca, filepath.Join(t.TempDir(), "profiles"), compareLoads(s, browsers))
	runtime.ReadMemStats(&after)
	var all result
	for _, r := range results[:3] {
		all.times = append(all.times, r.times...)
	}
	slices.Sort(all.times)
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	return wired{float64(after.TotalAlloc - before.TotalAlloc), ms(all.at(0.95)), ms(all.at(0.99))}
}

// quartiles are a list's.
func quartiles(vs []float64) (low, mid, high float64) {
	slices.Sort(vs)
	return vs[len(vs)/4], vs[len(vs)/2], vs[len(vs)*3/4]
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
	var out strings.Builder
	for _, of := range []struct {
		name string
		get  func(wired) float64
	}{
		{"MiB allocated", func(w wired) float64 { return w.bytes / (1 << 20) }},
		{"P95 ms", func(w wired) float64 { return w.p95 }},
		{"P99 ms", func(w wired) float64 { return w.p99 }},
	} {
		var ratios []float64
		var columns [2][]float64
		for i := range times {
			a, b := of.get(sides[true][i]), of.get(sides[false][i])
			columns[0], columns[1] = append(columns[0], a), append(columns[1], b)
			ratios = append(ratios, b/a)
		}
		_, naive, _ := quartiles(columns[0])
		_, ours, _ := quartiles(columns[1])
		low, mid, high := quartiles(ratios)
		fmt.Fprintf(&out, "whole: %-14s naive %8.2f  gaia %8.2f  ratio %.3f (quartiles %.3f to %.3f, %d pairs)\n", of.name, naive, ours, mid, low, high, times)
	}
	t.Logf("\n%s", out.String())
}
