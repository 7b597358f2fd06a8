package replay

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/host/record"
)

func at(ms, service float64) record.Line {
	return record.Line{Schema: record.Schema, Time: 1.7e12 + ms, Key: "k", Cost: 1, Subsystem: "api", Action: "request", Host: "h", Priority: 5, Attempt: 1,
		Said: record.Said{Action: "allow"}, End: record.EndDone, Status: 200, Service: &service, Answered: &service}
}

func trace(t *testing.T, lines ...record.Line) string {
	t.Helper()
	var b strings.Builder
	for _, l := range lines {
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	return b.String()
}

func run(t *testing.T, text, fresh, against string) (*Report, error) {
	t.Helper()
	engine, err := wasm.NewEngine(wasm.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	c := Config{Trace: strings.NewReader(text), File: "t.jsonl", Wasm: engine, New: write(t, "new.js", fresh)}
	if against != "" {
		c.Against = write(t, "old.js", against)
	}
	return Run(t.Context(), c)
}

func write(t *testing.T, name, code string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const bucket = `import { limiter } from "gaia";
const l = limiter.tokenBucket("q", { rate: %d, per: "1s", burst: %d, maxWait: "%dms" });
export function onRequest() { return l.admit(); }`

// Limits live for the whole run, at the recorded times, whatever the order of lines.
func TestLimitsInRecordedTime(t *testing.T) {
	text := trace(t, at(100, 1), at(0, 1), at(1, 1), at(2000, 1))
	rep, err := run(t, text, fmt.Sprintf(bucket, 1, 1, 0), "")
	if err != nil {
		t.Fatal(err)
	}
	if rep.Same != 2 || rep.Differs["denies"] != 2 || rep.Would["deny"] != 2 || rep.Examples[0].Line != 3 || rep.Examples[1].Line != 1 {
		t.Errorf("%+v", rep)
	}
	rep, err = run(t, text, fmt.Sprintf(bucket, 1, 1, 5000), fmt.Sprintf(bucket, 1, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if rep.Same != 1 || rep.Differs["allows"] != 2 || rep.Differs["delays_more"] != 1 || rep.Against != "old" { // the last waits for those that waited
		t.Errorf("%+v", rep)
	}
	if rep, err = run(t, text, fmt.Sprintf(bucket, 1, 1, 0), fmt.Sprintf(bucket, 1, 1, 0)); err != nil || rep.Different != 0 {
		t.Errorf("the same policy differs: %+v, %v", rep, err)
	}
}

// Hooks get the recorded outcomes, each at its time, and concurrency ends with them.
func TestOutcomes(t *testing.T) {
	limited := at(0, 50)
	limited.Status, limited.RetryAfter, limited.ResponseHeaders = 429, 3000, map[string]string{"Retry-After": "3"}
	rep, err := run(t, trace(t, limited, at(20, 1), at(100, 1), at(4000, 1)), `import { limiter } from "gaia";
const l = limiter.upstream("u", { maxWait: 0 });
export function onRequest() { return l.admit(); }
export function onResponse(req, res) { l.learn(res); }`, "")
	if err != nil {
		t.Fatal(err)
	}
	if rep.Differs["denies"] != 1 || rep.Examples[0].Line != 3 {
		t.Errorf("%+v", rep)
	}
	rep, err = run(t, trace(t, at(0, 100), at(50, 100), at(101, 1), at(200, 1)), `import { limiter } from "gaia";
const l = limiter.concurrency("c", { max: 1 });
export function onRequest() { return l.admit(); }`, "")
	if err != nil || rep.Differs["denies"] != 1 || rep.Examples[0].Line != 2 {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestElsewhereAndFaults(t *testing.T) {
	rep, err := run(t, trace(t, at(0, 1)), `import { route } from "gaia"; export function onRequest(req) { return route("b"); }`, "")
	if err != nil || rep.Differs["elsewhere"] != 1 || rep.Examples[0].New.Upstream != "b" {
		t.Errorf("%+v, %v", rep, err)
	}
	rep, err = run(t, trace(t, at(0, 1)), `export function onRequest(req) { throw new Error("boom"); }`, "")
	if err != nil || rep.Faults != 1 || !strings.Contains(rep.Fault, "boom") {
		t.Errorf("%+v, %v", rep, err)
	}
}

// amid is an attempt that went to "a", by the balancer, of two upstreams.
func amid(ms float64, loads ...int64) record.Line {
	l := at(ms, 1)
	l.Upstream = "a"
	for i, name := range []string{"a", "b"} {
		left := int64(9 - i)
		l.Upstreams = append(l.Upstreams, record.Upstream{Name: name, Host: name + ".example", Weight: i + 1, Healthy: i == 0, InFlight: loads[i],
			ErrorRate: 0.5, P50: 10, P95: 20, Remaining: &left})
	}
	return l
}

// The route hook decides about the upstreams that were recorded. To choose the one that
// the balancer had chosen is no difference, and without upstreams it is not asked.
func TestRouteHook(t *testing.T) {
	idlest := `import { route } from "gaia"; export function onRoute(req, ups) {
	if (ups.length !== 2 || ups[0].host !== "a.example" || ups[1].weight !== 2 || !ups[0].healthy || ups[1].healthy || ups[0].p95 !== 20 || ups[1].remaining !== 8) throw new Error(JSON.stringify(ups));
	return route(ups[0].inFlight <= ups[1].inFlight ? "a" : "b");
}`
	text := trace(t, amid(0, 1, 2), amid(10, 3, 2), at(20, 1))
	rep, err := run(t, text, idlest, "")
	if err != nil || rep.Faults != 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
	if rep.Same != 2 || rep.Differs["elsewhere"] != 1 || rep.Would["route"] != 2 || rep.Would["allow"] != 1 || rep.Examples[0].Line != 2 || rep.Examples[0].New.Upstream != "b" {
		t.Errorf("%+v", rep)
	}
	if rep, err = run(t, text, idlest, `import { route } from "gaia"; export function onRequest(req) { return route("b"); }`); err != nil || rep.Differs["elsewhere"] != 2 || rep.Same != 1 {
		t.Errorf("against one that always names b: %+v, %v", rep, err) // the last has no upstreams: only one of the two names one
	}
}

// A route hook may deny, and naming what does not exist is a fault that decides nothing.
func TestRouteHookDeniesAndFails(t *testing.T) {
	text := trace(t, amid(0, 0, 0))
	rep, err := run(t, text, `import { deny } from "gaia"; export function onRoute() { return deny(429, { reason: "all spent" }); }`, "")
	if err != nil || rep.Differs["denies"] != 1 || rep.Examples[0].Reason != "all spent" {
		t.Errorf("%+v, %v", rep, err)
	}
	for _, hook := range []string{"onRoute", "onRequest"} {
		rep, err = run(t, text, `import { route } from "gaia"; export function `+hook+`() { return route("c"); }`, "")
		if err != nil || rep.Same != 1 || rep.Faults != 1 || !strings.Contains(rep.Fault, `no upstream is called "c"`) {
			t.Errorf("%s: %+v, %v", hook, rep, err)
		}
	}
}

func TestBadTraces(t *testing.T) {
	good := trace(t, at(0, 1))
	for text, want := range map[string]string{
		"":                    "t.jsonl has no lines",
		good + "nonsense\n":   "t.jsonl:2: want a line of a recording",
		good + "{}\n":         `t.jsonl:2: schema ""`,
		good + `{"time":"x"}`: "t.jsonl:2: want a line of a recording: time cannot be a string",
		strings.Replace(good, `"api"`, `"apu"`, 1):                                                                                      `t.jsonl:1: subsystem "apu"`,
		strings.Replace(good, `"cost":1`, `"cost":-1`, 1):                                                                               "t.jsonl:1: cost -1",
		strings.Replace(good, `"service":1,`, "", 1):                                                                                    "t.jsonl:1: service is missing",
		strings.Replace(good, `"time":1700000000000`, `"time":1e18`, 1):                                                                 "out of range",
		strings.Replace(good, `"wait"`, `"upstreams":[{"name":""}],"wait"`, 1):                                                          "t.jsonl:1: upstreams[0]: want a name",
		strings.Replace(good, `"wait"`, `"upstreams":[{"name":"a","error_rate":2}],"wait"`, 1):                                          "t.jsonl:1: upstreams[0]: want",
		strings.Replace(good, `"wait"`, `"upstreams":[{"name":"a"}`+strings.Repeat(`,{"name":"a"}`, record.MaxUpstreams)+`],"wait"`, 1): "t.jsonl:1: upstreams: 17 of them",
		strings.Replace(good, `"time":1700000000000`, `"time":1e13`, 1):                                                                 "t.jsonl:1: time 1e+13 is out of range",
		strings.Replace(good, `"wait":0`, `"wait":2e12`, 1):                                                                             "t.jsonl:1: wait 2e+12 is out of range",
		strings.Repeat("x", maxLine+1):                                                                                                  "t.jsonl:1: ",
	} {
		if _, err := read(strings.NewReader(text), "t.jsonl"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// FuzzRead looks for a trace that breaks the reader, or that comes out of order.
func FuzzRead(f *testing.F) {
	f.Add(`{"schema":"gaia.record/v1","time":1,"subsystem":"api","attempt":1,"end":"done","service":1,"wait":1,"answered":2}`)
	f.Add("{}\n[]")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := read(strings.NewReader(text), "t")
		if err != nil {
			return
		}
		seen := map[*row]bool{}
		last := int64(-1 << 63)
		for _, m := range moments(rows) {
			if m.at < 0 && m.row.Wait >= 0 || m.at < last || (m.kind == asked) == seen[m.row] {
				t.Fatalf("%d after %d, kind %d", m.at, last, m.kind)
			}
			last, seen[m.row] = m.at, true
			_, _, _ = m.row.request(), m.row.response(true), m.row.view()
		}
	})
}
