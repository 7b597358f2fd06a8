package host

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/control"
)

// Health counts how the work of the last minute ended, from a least sample on, and
// judges the targets.
func TestHealthJudgesTheLastMinute(t *testing.T) {
	var failing atomic.Bool
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer up.Close()
	th := run(t, nil, "api.max_attempts=1", "api.breaker.enabled=false", "targets.api.p95=5m", "targets.api.error_rate=0.01", "targets.api.p99=10m")
	calls := func(n int) {
		for range n {
			_, _ = th.call(t.Context(), up.URL, "")
		}
	}
	failing.Store(true)
	calls(healthSample - 1)
	if h := th.Health(); h.Status != control.HealthOK {
		t.Errorf("%d failures are no sample: %+v", healthSample-1, h)
	}
	calls(1)
	h := th.Health()
	if own := h.Subsystems["api"]; h.Status != control.HealthDegraded || own.Status != control.HealthDegraded ||
		!strings.Contains(strings.Join(own.Reasons, "; "), "100 % of 20 attempts") || !strings.Contains(strings.Join(own.Reasons, "; "), "error_rate is 1, the target is 0.01") {
		t.Errorf("every attempt failed: %+v", h)
	}
	failing.Store(false)
	calls(60)
	if own := th.Health().Subsystems["api"]; len(own.Reasons) != 1 || !strings.HasPrefix(own.Reasons[0], "error_rate is 0.25") {
		t.Errorf("a quarter failed: %+v", own)
	}
}

// A subsystem other than the API pool in which nothing succeeds is failing, and the
// whole with it; a dead loop is too.
func TestHealthFails(t *testing.T) {
	th := run(t, nil)
	p := *th.part("api")
	for _, tt := range []struct {
		failing, degraded []string
		want              string
	}{{nil, nil, control.HealthOK}, {nil, []string{"poor"}, control.HealthDegraded}, {[]string{"dead"}, []string{"poor"}, control.HealthFailing}} {
		p.health = func() ([]string, []string) { return tt.failing, tt.degraded }
		if got := th.partHealth(&p); got.Status != tt.want || len(got.Reasons) != len(tt.failing)+len(tt.degraded) {
			t.Errorf("%v %v: %+v", tt.failing, tt.degraded, got)
		}
	}
	th.beat.Store(th.clock() - int64(time.Minute))
	th.ready.Store(true)
	late := th.loopHealth()
	th.takeTallies()
	if !strings.Contains(late, "own loop") || th.loopHealth() != "" {
		t.Errorf("a loop that is late: %q, then %q", late, th.loopHealth())
	}
}

func TestStretchQuantilesAndTargets(t *testing.T) {
	h := metrics.NewHistogram()
	for range 90 {
		h.Observe(2 * time.Millisecond)
	}
	for range 10 {
		h.Observe(800 * time.Millisecond)
	}
	var snap metrics.HistogramSnapshot
	h.Snapshot(&snap)
	s := stretch{succeeded: 95, failed: 5, seconds: 10, bounds: snap.Bounds, buckets: snap.Buckets, count: snap.Count}
	if p50, p95 := s.quantile(0.5), s.quantile(0.95); p50 > 3*time.Millisecond || p95 < 500*time.Millisecond || p95 > time.Second {
		t.Errorf("p50 %v, p95 %v", p50, p95)
	}
	target := config.Target{P95: config.Duration(time.Millisecond), P99: config.Duration(time.Minute), ErrorRate: 0.01, Throughput: 100}
	if got := missed(&s, target, true); len(got) != 3 {
		t.Errorf("missed %q", got)
	}
	if got := missed(&s, config.Target{Throughput: 100}, false); len(got) != 0 {
		t.Errorf("without demand: %q", got)
	}
	if q := (&stretch{bounds: snap.Bounds, buckets: make([]uint64, len(snap.Bounds))}).quantile(0.99); q > 6*time.Minute {
		t.Errorf("of nothing: %v", q)
	}
}

// The tallies of a minute are kept, not more.
func TestRecentForgets(t *testing.T) {
	th := run(t, nil, "api.breaker.enabled=false")
	up := plainUpstream(t)
	core := th.API().Core()
	r := &recent{}
	r.take(1, core)
	if code, err := th.call(t.Context(), up, ""); err != nil || code != 200 {
		t.Fatal(code, err)
	}
	if got := r.last(2, core); got.attempts() != 1 {
		t.Errorf("just now: %+v", got)
	}
	for i := range healthWindow + 1 {
		r.take(int64(i+2)*int64(time.Second), core)
	}
	if got := r.last(100*int64(time.Second), core); got.attempts() != 0 {
		t.Errorf("a minute later: %+v", got)
	}
}
