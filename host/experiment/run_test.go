package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/experiment/dist"
)

// llm is traffic of three times an upstream's quota.
const llm = `{
  "duration": "60s", "replicas": 3, "seed": 7,
  "scenarios": {"s": {"arrivals": {"kind": "poisson", "rate": 60}, "tenants": {"n": 5, "s": 1}, "patience": "5s"}},
  "upstreams": {"api": {"latency": {"kind": "lognormal", "p50": 40, "p99": 400}, "limits": [{"kind": "fixedWindow", "quota": 20}], "headers": "x-ratelimit"}},
  "strategies": STRATEGIES
}`

func spec(t *testing.T, strategies string) *Spec {
	t.Helper()
	s, err := Decode([]byte(strings.Replace(llm, "STRATEGIES", strategies, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t *testing.T, s *Spec, o Options) *Result {
	t.Helper()
	res, err := Run(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func (r *StrategyResult) mean(metric string) float64 { return r.Means[metric].Mean }

const three = `{"none": {"kind": "none"}, "bucket": {"kind": "limiter", "limiter": "tokenBucket", "params": {"rate": 19, "burst": 1, "maxWait": "5s"}},
  "std": {"kind": "policy", "use": "std/retry-after"}, "oracle": {"kind": "oracle"}}`

// A client that does not pace meets the limit; the oracle meets none and uses the quota.
func TestStrategiesDiffer(t *testing.T) {
	res := run(t, spec(t, three), Options{})
	by := map[string]*StrategyResult{}
	for i := range res.Strategies {
		by[res.Strategies[i].Name] = &res.Strategies[i]
	}
	if v := by["none"].mean("throttled"); math.Abs(v-2.0/3) > 0.05 {
		t.Errorf("none: %v of the attempts were throttled", v)
	}
	if v := by["oracle"].mean("throttled"); v != 0 {
		t.Errorf("oracle: throttled %v", v)
	}
	if v := by["oracle"].mean("quota_used"); v < 0.95 || v > 1.01 {
		t.Errorf("oracle: quota used %v", v)
	}
	if a, b := by["none"].mean("offered"), by["oracle"].mean("offered"); a != b {
		t.Errorf("offered %v and %v", a, b)
	}
	if v := by["bucket"].mean("admitted"); v > 20 || v < 12 {
		t.Errorf("bucket: admitted %v", v)
	}
	if v := by["std"].mean("throttled"); v > 0.1 {
		t.Errorf("std/retry-after: throttled %v", v)
	}
	if d := by["oracle"].Differences["throttled"]; d.P > 0.01 || d.Mean > -0.5 {
		t.Errorf("the difference is not seen: %+v", d)
	}
}

// The result is the same to the byte, however many replicas run at once.
func TestResultsAreTheSameToTheByte(t *testing.T) {
	text := func(parallel int) string {
		b, err := json.Marshal(run(t, spec(t, three), Options{Parallel: parallel}))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if text(1) != text(3) {
		t.Error("the results differ")
	}
}

// A user's own policy is the very file of production; its Math.random is seeded.
func TestAUsersPolicy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.js")
	if err := os.WriteFile(file, []byte(`
import { deny } from "gaia";
const no = deny(429, 1000);
export const options = { match: { subsystem: "api" } };
export function onRequest(req) { if (Math.random() < 0.5) return no; }`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := spec(t, `{"half": {"kind": "policy", "use": "`+file+`"}}`)
	s.Upstreams.Set("api", Upstream{})
	a, b := run(t, s, Options{}), run(t, s, Options{Parallel: 1})
	if v := a.Strategies[0].mean("denied"); math.Abs(v-0.5) > 0.05 || v != b.Strategies[0].mean("denied") {
		t.Errorf("denied %v and %v", v, b.Strategies[0].mean("denied"))
	}
}

func TestSweepsAndThresholds(t *testing.T) {
	s := spec(t, `{"bucket": {"kind": "limiter", "limiter": "tokenBucket", "params": {"burst": 1}, "sweep": {"rate": [2, 4], "maxWait": ["0s", "2s"]}}}`)
	s.Thresholds.Set("goodput{strategy:bucket}", []string{"avg>1", "min<0"})
	s.Thresholds.Set("throttled", []string{"max<0.9"})
	res := run(t, s, Options{})
	var names []string
	for _, st := range res.Strategies {
		names = append(names, st.Name)
	}
	if want := "bucket[rate=2,maxWait=0s] bucket[rate=2,maxWait=2s] bucket[rate=4,maxWait=0s] bucket[rate=4,maxWait=2s]"; strings.Join(names, " ") != want {
		t.Errorf("got %v", names)
	}
	met := 0
	for _, th := range res.Thresholds {
		if th.OK {
			met++
		}
	}
	if len(res.Thresholds) != 12 || met != 8 {
		t.Errorf("%d of %d thresholds met: %+v", met, len(res.Thresholds), res.Thresholds)
	}
}

// Scripts that loop, throw, or ask for too much end with an error, and keep what there is.
func TestRunsThatFail(t *testing.T) {
	dir := t.TempDir()
	write := func(name, code string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("export const options = { match: { subsystem: 'api' } };\n"+code), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	loop := write("loop.js", `export function onRequest(req) { if (req.now > 946684800000 + 20000) for (;;) {} }`)
	if _, err := Run(context.Background(), spec(t, `{"loop": {"kind": "policy", "use": "`+loop+`"}}`), Options{}); err == nil || !strings.Contains(err.Error(), "depend on the machine") {
		t.Errorf("a hook that loops: %v", err)
	}
	throws := write("throw.js", `export function onRequest() { throw new Error("no"); }`)
	res := run(t, spec(t, `{"throw": {"kind": "policy", "use": "`+throws+`"}}`), Options{})
	if s := res.Strategies[0]; s.Faults == 0 || !strings.Contains(s.Fault, "no") {
		t.Errorf("a hook that throws: %d faults, %q", s.Faults, s.Fault)
	}
	if _, err := Run(context.Background(), spec(t, `{"none": {"kind": "none"}}`), Options{MaxEvents: 100}); err == nil {
		t.Error("too many events are no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := spec(t, `{"none": {"kind": "none"}}`)
	s.Replicas = 50
	part, err := Run(ctx, s, Options{Parallel: 1, Progress: func(p Progress) {
		if p.Done == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, ErrPartial) || !errors.Is(err, context.Canceled) || part.Partial == "" || part.Strategies[0].Means["goodput"].N < 2 {
		t.Errorf("a run that was stopped: %v, %+v", err, part)
	}
}

func TestWrongSpecs(t *testing.T) {
	for text, want := range map[string]string{
		`{"durations": 1}`:  "unknown field",
		`{"duration": "x"}`: "x",
		`{"upstreams": {"a": {"latency": {"kind": "x"}}}}`: "unknown distribution",
		`{"scenarios": {"a": {"arrival": {}}}}`:            "a: ",
	} {
		if _, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	s := spec(t, `{"a": {"kind": "x"}, "b": {"kind": "limiter", "limiter": "tokenBucket", "params": {"rat": 1}}}`)
	s.Duration = 0
	s.Thresholds.Set("x", []string{"avg<1"})
	for _, want := range []string{"duration", `strategies.a: unknown kind "x"`} {
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	s = spec(t, `{"b": {"kind": "limiter", "limiter": "tokenBucket", "params": {"rat": 1}}}`)
	if _, err := Run(context.Background(), s, Options{}); err == nil || !strings.Contains(err.Error(), `no parameter "rat"`) {
		t.Error(err)
	}
	s.Thresholds.Set("p99{strategy:c}", []string{"avg<1"})
	s.Thresholds.Set("goodput", []string{"avg"})
	if _, err := Run(context.Background(), s, Options{}); err == nil || !strings.Contains(err.Error(), "no metric") || !strings.Contains(err.Error(), `"avg"`) {
		t.Error(err)
	}
}

// Disturbances are measured: after a pause, callers that try again when an attempt takes
// too long keep an upstream down that would be up again without them, for ever. What the
// callers left is worked on and wasted.
func TestRetryStorm(t *testing.T) {
	s, err := Decode([]byte(`{
  "duration": "200s", "replicas": 3,
  "scenarios": {"s": {"arrivals": {"kind": "poisson", "rate": 80}, "patience": "5s"}},
  "upstreams": {"api": {"servers": 10, "queue": 400, "latency": 100, "pauses": [{"at": "60s", "for": "10s"}]}},
  "strategies": {
    "once": {"kind": "none", "retry": {"kind": "none", "timeout": "1s"}},
    "storm": {"kind": "none", "retry": {"kind": "fixed", "attempts": 10, "base": "50ms", "timeout": "1s"}}
  }}`))
	if err != nil {
		t.Fatal(err)
	}
	res := run(t, s, Options{})
	once, storm := &res.Strategies[0], &res.Strategies[1]
	if r := once.mean("recovery"); math.IsNaN(r) || r > 60 {
		t.Errorf("once: recovery %v", r)
	}
	if r, w := storm.mean("recovery"), storm.mean("wasted"); r < 129 || w < 0.05 {
		t.Errorf("storm: recovery %v, wasted %v", r, w)
	}
}

// The oracle knows a quota of tokens as well: requests of any cost pass, none is refused.
func TestOracleOfTokens(t *testing.T) {
	s, err := Decode([]byte(`{
  "duration": "5m", "replicas": 2,
  "scenarios": {"s": {"arrivals": {"kind": "poisson", "rate": 4}, "cost": {"kind": "uniform", "min": 1, "max": 1000}, "patience": "20s"}},
  "upstreams": {"api": {"latency": 100, "limits": [{"kind": "fixedWindow", "quota": 60000, "per": "1m", "tokens": true}]}},
  "strategies": {"oracle": {"kind": "oracle"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	o := run(t, s, Options{}).Strategies[0]
	if used, refused := o.mean("quota_used"), o.mean("throttled"); used < 0.9 || refused != 0 {
		t.Errorf("used %v, refused %v", used, refused)
	}
}

// A limiter may count on the tenant, and each request as one.
func TestByTenantAndCount(t *testing.T) {
	s := spec(t, `{"one": {"kind": "limiter", "limiter": "tokenBucket", "params": {"rate": 2, "burst": 1}},
  "each": {"kind": "limiter", "limiter": "tokenBucket", "params": {"rate": 2, "burst": 1}, "by": "tenant"},
  "costly": {"kind": "limiter", "limiter": "tokenBucket", "params": {"rate": 2, "burst": 1}, "count": "requests"},
  "shared": {"kind": "limiter", "limiter": "fair", "params": {"rate": 10, "weights": {"tenant-0": 3}}, "by": "tenant"}}`)
	sc, _ := s.Scenarios.Get("s")
	sc.Cost.Dist, _ = dist.Constant(1)
	s.Scenarios.Set("s", sc)
	res := run(t, s, Options{})
	one, each, costly := res.Strategies[0].mean("admitted"), res.Strategies[1].mean("admitted"), res.Strategies[2].mean("admitted")
	if one > 2.5 || each < 8 || costly != one || res.Strategies[3].mean("admitted") < 5 {
		t.Errorf("admitted %v, by tenant %v, counted %v", one, each, costly)
	}
	for _, wrong := range []Strategy{{Kind: KindNone, By: ByTenant}, {Kind: KindLimiter, Limiter: "fair", By: "host"}, {Kind: KindNone, Count: CountRequests}} {
		if err := wrong.check(); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
}

// stopped runs s for long, and stops it as soon as something has run.
func stopped(t *testing.T, s *Spec) *Result {
	t.Helper()
	warmup := Duration(time.Second)
	s.Duration, s.Warmup = Duration(240*time.Hour), &warmup // a minute on the wall
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	res, err := Run(ctx, s, Options{Parallel: 2, Progress: func(p Progress) {
		if p.Share > 0 {
			cancel()
		}
	}})
	if !errors.Is(err, ErrPartial) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return res
}

// A run that is stopped before every strategy has a whole replica shows what ran.
func TestStoppedWithinTheFirstReplica(t *testing.T) {
	res := stopped(t, spec(t, `{"first": {"kind": "none"}, "second": {"kind": "none"}, "third": {"kind": "none"}}`))
	if len(res.Strategies) == 0 || len(res.Strategies) > 2 || !strings.Contains(res.Partial, res.Strategies[0].Name+" ran until ") {
		t.Fatalf("%d strategies: %s", len(res.Strategies), res.Partial)
	}
	for _, st := range res.Strategies {
		rates := st.Series.Rates["offered"]
		if st.CutAt <= 0 || !(st.Means["offered"].Mean > 0) || st.Differences != nil || rates[0] == 0 || !math.IsNaN(rates[len(rates)-1]) {
			t.Errorf("%s: cut at %v, %+v, %v", st.Name, st.CutAt, st.Means["offered"], rates)
		}
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(res); err != nil {
		t.Fatal(err)
	}
}

// What is shown of a replica that was stopped tells of the policy's faults until then.
func TestStoppedTellsFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "throw.js")
	if err := os.WriteFile(file, []byte(`export const options = { match: { subsystem: "api" } }; export function onRequest() { throw new Error("no"); }`), 0o600); err != nil {
		t.Fatal(err)
	}
	res := stopped(t, spec(t, `{"throw": {"kind": "policy", "use": "`+file+`"}}`))
	if s := res.Strategies[0]; s.Faults == 0 || !strings.Contains(s.Fault, "no") {
		t.Errorf("%d faults, %q", s.Faults, s.Fault)
	}
}
