package host

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

func plainUpstream(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up")) }))
	t.Cleanup(srv.Close)
	return srv.URL
}

// faulty are policies that fail in every way that JavaScript allows. Each is asked
// only about the tenant "bad".
var faulty = map[string]struct {
	body string // of onRequest
	kind string
	slow time.Duration // 0: the budget and 100 ms
}{
	"loops":          {body: `for (;;) {}`, kind: "budget"},
	"loops-in-catch": {body: `for (;;) { try { for (;;) {} } catch (e) {} }`, kind: "budget"},
	"recurses":       {body: `const f = () => f() + 1; return f();`, kind: ""},
	"allocates":      {body: `const a = []; for (;;) a.push(new Array(1000).fill(1));`, kind: "budget"},
	"grows-a-string": {body: `let s = "x"; for (;;) s += s;`, kind: ""},
	"backtracks":     {body: `return /^(a+)+\1$/.test("a".repeat(60) + "b");`, kind: "budget", slow: time.Second},
	"repeat":         {body: `return "x".repeat(1 << 28).length > 0;`, kind: "exception", slow: time.Second},
	"pad":            {body: `return "x".padStart(1 << 28).length > 0;`, kind: "exception", slow: time.Second},
	"fill":           {body: `return new Array(1 << 26).fill(0).length > 0;`, kind: "exception", slow: time.Second},
	"typed":          {body: `return new Float64Array(1 << 27).length > 0;`, kind: "exception", slow: time.Second},
	"throws":         {body: `throw new Error("boom");`, kind: "exception"},
	"nonsense":       {body: `return { acton: "deny" };`, kind: "bad_decision"},
	"number":         {body: `return 42;`, kind: "bad_decision"},
	"promise":        {body: `return Promise.resolve(true);`, kind: "bad_decision"},
	"getter-throws":  {body: `return { get action() { throw new Error("got"); } };`, kind: ""},
	"getter-loops":   {body: `return { get action() { for (;;) {} } };`, kind: "budget"},
	"no-upstream":    {body: `return { upstream: "nowhere" };`, kind: "unknown_upstream"},
}

const budgetJS = 5 * time.Millisecond

// Every fault is answered in time, by on_failure, and is seen in status, metrics and
// log.
func TestFaultyJavaScript(t *testing.T) {
	up := plainUpstream(t)
	for name, f := range faulty {
		t.Run(name, func(t *testing.T) {
			src := `export const options = { match: { tenant: "bad" }, onFailure: "closed" };
export function onRequest(req) { ` + f.body + ` }`
			th := run(t, map[string]string{"p.js": src}, "routes.up.url="+up)
			checkFault(t, th, f.kind, f.slow)
		})
	}
}

func checkFault(t *testing.T, th *testHost, kind string, slow time.Duration) {
	t.Helper()
	if slow == 0 {
		slow = budgetJS + 100*time.Millisecond
	}
	if code, _, body := th.get("/up/"); code != 200 || body != "up" {
		t.Fatalf("a request that the policy does not match: %d %q", code, body)
	}
	before := heap()
	median := quietest(slow*slowdown, func() time.Duration {
		var times []time.Duration
		for range 5 {
			began := time.Now()
			code, _, body := th.get("/up/", "Gaia-Tenant", "bad")
			times = append(times, time.Since(began))
			if kind == "unknown_upstream" { // it is as if none was named
				if code != 200 {
					t.Errorf("an unknown upstream: %d %s", code, body)
				}
				continue
			}
			if code != 503 || !strings.Contains(body, `"policy":"`+th.Status().Policies[0].Name+`"`) {
				t.Errorf("the answer of a policy that fails closed: %d %s", code, body)
			}
		}
		sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
		return times[len(times)/2]
	})
	if median > slow*slowdown {
		t.Errorf("answered in %v (median), want %v", median, slow*slowdown)
	}
	p := th.Status().Policies[0]
	if p.Faults < 5 || kind != "" && p.FaultKinds[kind] == 0 {
		t.Errorf("status: %d faults, %v; want of kind %s", p.Faults, p.FaultKinds, kind)
	}
	if !strings.Contains(th.log.String(), "a policy failed") {
		t.Error("the fault is not in the log")
	}
	if !strings.Contains(gathered(t, th.Host), "gaia_policy_faults_total") {
		t.Error("the fault is not in the metrics")
	}
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("%d MiB of heap did not come back", grown>>20)
	}
	if code, _, _ := th.get("/up/"); code != 200 {
		t.Errorf("other requests afterwards: %d", code)
	}
}

// quietest measures until a time is within its bound, a few times at the most: other
// tests run on the same cores, and can only add to it.
func quietest(bound time.Duration, measure func() time.Duration) time.Duration {
	least := measure()
	for range 5 {
		if least <= bound {
			break
		}
		least = min(least, measure())
	}
	return least
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

func gathered(t *testing.T, h *Host) string {
	t.Helper()
	families, err := h.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		b.WriteString(f.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// A policy that loops does not slow the traffic that it is not asked about, nor hold
// up the garbage collector.
func TestFaultyPolicyLeavesOthersAlone(t *testing.T) {
	up := plainUpstream(t)
	th := run(t, map[string]string{"p.js": `export const options = { match: { tenant: "bad" } };
export function onRequest(req) { for (;;) {} }`}, "routes.up.url="+up)
	quiet := percentile99(th, 400)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _, _, _ = th.try("/up/", "Gaia-Tenant", "bad")
			}
		}
	})
	const held = slowdown * (50*time.Millisecond + 30*time.Millisecond) // 50 ms and what a shared machine adds
	bound := slowdown * 3 * max(quiet, 5*time.Millisecond)
	loud := quietest(bound, func() time.Duration { return percentile99(th, 400) })
	worstGC := quietest(held, func() (worst time.Duration) {
		for range 20 {
			began := time.Now()
			runtime.GC()
			worst = max(worst, time.Since(began))
		}
		return worst
	})
	close(stop)
	wg.Wait()
	t.Logf("p99 alone %v, beside a looping policy %v, slowest GC %v", quiet, loud, worstGC)
	if loud > bound {
		t.Errorf("p99 went from %v to %v", quiet, loud)
	}
	if worstGC > held {
		t.Errorf("runtime.GC took %v", worstGC)
	}
}

func percentile99(th *testHost, n int) time.Duration {
	times := make([]time.Duration, 0, n)
	for range n {
		began := time.Now()
		if _, _, _, err := th.try("/up/"); err == nil {
			times = append(times, time.Since(began))
		}
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return times[len(times)*99/100]
}

// The same, in Wasm: each of the fixtures fails in its own way.
func TestFaultyWasm(t *testing.T) {
	up := plainUpstream(t)
	paths, err := filepath.Glob("testdata/fault-*.wasm")
	if err != nil || len(paths) < 5 {
		t.Fatalf("fixtures: %v, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".wasm"), func(t *testing.T) {
			entry := "policies." + strings.TrimSuffix(filepath.Base(path), ".wasm")
			th := runFiles(t, []string{path}, "routes.up.url="+up, entry+".on_failure=closed", entry+`.match={"tenant":["bad"]}`)
			checkFault(t, th, "", 0)
		})
	}
}
