package experiment

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/internal/testkit"
)

const fidelityPolicy = `import { limiter } from "gaia";
const l = limiter.tokenBucket("q", { rate: 25, burst: 5, maxWait: "500ms" });
export function onRequest(req) { return l.admit(); }`

const fidelityNginx = `limit_req_zone $server_port zone=quota:1m rate=20r/s;
  server { listen ADDR; location / { limit_req zone=quota burst=2 nodelay; limit_req_status 429; root %s; } }`

// realNginx starts a real nginx that lets 20 requests a second through, 3 at once, and
// returns its URL.
func realNginx(t *testing.T, dir string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("from nginx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "http://" + testkit.Nginx(t, dir, fmt.Sprintf(fidelityNginx, dir))
}

// forReal sends 50 requests a second for that long through a gaia that records them,
// and returns how many were answered 200, how many 429, and the p95 of gaia's waits.
func forReal(t *testing.T, dir, policy, trace, upstream string, long time.Duration) (good, limited int64, p95 time.Duration) {
	t.Helper()
	cfg, err := config.Load(config.Options{Set: []string{"listen=127.0.0.1:0", `control=""`, "socket=" + filepath.Join(dir, "g.sock"),
		"routes.k.url=" + upstream, "api.max_attempts=1", "record.file=" + trace}})
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.New(cfg, host.Options{Policies: []string{policy}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	var wg sync.WaitGroup
	var ok, refused atomic.Int64
	var mu sync.Mutex
	var waits []time.Duration
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for range int(long / (20 * time.Millisecond)) {
		<-ticker.C
		wg.Go(func() {
			res, err := client.Get("http://" + h.Addr() + "/k/f")
			if err != nil {
				return
			}
			_ = res.Body.Close()
			switch res.StatusCode {
			case http.StatusOK:
				ok.Add(1)
				var seconds float64
				_, _ = fmt.Sscanf(res.Header.Get("Gaia-Wait"), "%f", &seconds)
				mu.Lock()
				waits = append(waits, time.Duration(seconds*float64(time.Second)))
				mu.Unlock()
			case http.StatusTooManyRequests:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	client.CloseIdleConnections()
	if err := h.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	slices.Sort(waits)
	if len(waits) > 0 {
		p95 = waits[len(waits)*95/100]
	}
	return ok.Load(), refused.Load(), p95
}

// One workload is run for real, and its recording in virtual time: as many are served
// and as many refused. GAIA_ACCEPTANCE=1 takes a minute and holds it to a twentieth.
func TestFidelity(t *testing.T) {
	long, within := 5*time.Second, 0.15
	if os.Getenv("GAIA_ACCEPTANCE") != "" {
		long, within = time.Minute, 0.05
	}
	dir := t.TempDir()
	policy, trace := filepath.Join(dir, "p.js"), filepath.Join(dir, "t.jsonl")
	if err := os.WriteFile(policy, []byte(fidelityPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	good, limited, p95 := forReal(t, dir, policy, trace, realNginx(t, dir), long)
	total := long + 2*time.Second // the clients' ticker may be late
	s, err := Decode(fmt.Appendf(nil, `{"duration": %q, "warmup": "0s", "replicas": 1, "seed": 1,
  "scenarios": {"s": {"trace": {"file": %q}, "patience": "5s"}},
  "upstreams": {"k": {"latency": {"kind": "constant", "value": 1}, "limits": [{"kind": "gcra", "quota": 20, "burst": 3}]}},
  "strategies": {"p": {"kind": "policy", "use": %q, "retry": {"kind": "none"}}}}`, total, trace, policy))
	if err != nil {
		t.Fatal(err)
	}
	res := run(t, s, Options{})
	m := &res.Strategies[0]
	offered := m.mean("offered") * total.Seconds()
	served := m.mean("good") * offered
	refused := (m.mean("denied") + m.mean("failed")) * offered
	t.Logf("for real: %d served, %d refused, p95 of waits %v; in virtual time: %.0f of %.0f served, %.0f refused, p95 of waits %.0f ms",
		good, limited, p95, served, offered, refused, m.mean("wait_p95"))
	for what, pair := range map[string][2]float64{"served": {float64(good), served}, "refused": {float64(limited), refused}} {
		if math.Abs(pair[0]-pair[1]) > within*pair[0] {
			t.Errorf("%s: %.0f for real, %.0f in virtual time", what, pair[0], pair[1])
		}
	}
}
