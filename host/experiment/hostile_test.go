package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/experiment/sim"
)

// absurd is a small experiment with parts of it replaced.
func absurd(scenario, upstream, more string) string {
	if scenario == "" {
		scenario = `"arrivals": {"kind": "constant", "rate": 5}`
	}
	if upstream == "" {
		upstream = `"latency": 10`
	}
	if !strings.Contains(more, `"strategies"`) {
		more += `, "strategies": {"none": {"kind": "none"}, "bucket": {"kind": "limiter", "limiter": "tokenBucket", "params": {"rate": 3, "maxWait": "1s"}}}`
	}
	if !strings.Contains(more, `"duration"`) {
		more += `, "duration": "20s"`
	}
	return fmt.Sprintf(`{"replicas": 2, "scenarios": {"s": {%s}}, "upstreams": {"u": {%s}}%s}`, scenario, upstream, more)
}

func arriving(arrivals string) string { return `"arrivals": {` + arrivals + `}` }

// What makes no sense is an error that says where, before anything runs.
func TestAbsurdSpecsAreRefused(t *testing.T) {
	many := `"sweep": {"rate": [1,2,3,4,5,6,7,8,9,10,11]}`
	for text, want := range map[string]string{
		absurd(arriving(`"kind": "constant", "rate": -1`), "", ""):                                                         "rate: want 0 to",
		absurd(arriving(`"kind": "poisson", "rate": 1e300`), "", ""):                                                       "rate: want 0 to",
		absurd(arriving(`"kind": "poisson", "rate": 1, "timeUnit": 0.000001`), "", ""):                                     "rate: want 0 to",
		absurd(arriving(`"kind": "poisson", "rate": null`), "", ""):                                                        "scenarios.s.arrivals.rate has no value",
		absurd("", `"latency": {"kind": "choice", "values": [1, null]}`, ""):                                               "upstreams.u.latency.values[1] has no value",
		absurd("", `"latency": null`, ""):                                                                                  "upstreams.u.latency has no value",
		absurd("", `"latency": -1`, ""):                                                                                    "not negative",
		absurd("", `"latency": {"kind": "lognormal", "p50": 10, "p99": 1}`, ""):                                            "p50 <= p99",
		absurd(arriving(`"kind": "diurnal", "rate": 1, "peak": 2, "period": "99999h"`), "", ""):                            "want times of 0 to",
		absurd(arriving(`"kind": "ramping", "rate": 1, "stages": [{"target": 1, "duration": "2000000h"}]`), "", ""):        "stages[0]",
		absurd(arriving(`"kind": "pareto", "rate": 1, "alpha": 1`), "", ""):                                                "alpha",
		absurd(arriving(`"kind": "poisson", "rate": 1e6`), "", `, "duration": "700h"`):                                     "ask for about 2.52e+12 requests",
		absurd(arriving(`"kind": "batch", "rate": 1000, "size": 1e6`), "", ""):                                             "ask for about 2e+10 requests",
		absurd(`"users": -1`, "", ""):                                                                                      "users",
		absurd(`"users": 1, "startTime": "1000000h"`, "", ""):                                                              "startTime",
		absurd(`"users": 1, "patience": "1000000h"`, "", ""):                                                               "patience",
		absurd(`"users": 1, "keys": {"n": -4}`, "", ""):                                                                    "keys",
		absurd(`"users": 1, "keys": {"n": 4, "s": -1}`, "", ""):                                                            "not negative",
		absurd("", `"servers": -1`, ""):                                                                                    "servers",
		absurd("", `"latency": 1, "steps": [{"at": "1s", "servers": 4}]`, ""):                                              "servers need servers",
		absurd("", `"latency": 1, "pauses": [{"at": "2000000h", "for": "1s"}]`, ""):                                        "want no time above",
		absurd("", `"latency": 1, "limits": [{"kind": "gcra", "quota": 0}]`, ""):                                           "quota",
		absurd("", `"latency": 1, "limits": [{"kind": "gcra", "quota": 9007199254740993}]`, ""):                            "quota",
		absurd("", `"latency": 1, "weight": 99999999`, ""):                                                                 "weight",
		absurd("", "", `, "strategies": {"n": {"kind": "none", "retry": {"kind": "fixed", "base": "2000000h"}}}`):          "retry",
		absurd("", "", `, "strategies": {"n": {"kind": "none", "retry": {"kind": "fixed", "attempts": -1}}}`):              "attempts",
		absurd("", "", `, "strategies": {"n": {"kind": "none", "retry": {"kind": "exponential", "jitter": "half"}}}`):      `unknown jitter "half"`,
		absurd("", "", `, "strategies": {"n": {"kind": "limiter", "limiter": "tokenBucket", `+many+`}}, "replicas": 1000`): "are 11000 runs",
		absurd("", "", `, "duration": "100000h"`):                                                                          "duration",
		absurd("", "", `, "thresholds": {"goodputs": ["avg>1"]}`):                                                          `no metric "goodputs"`,
		`null`:                     "duration",
		`[[[[[[null]]]]]]`:         "has no value",
		`{"duration": 1e300}`:      "too long",
		`{"seed": -1}`:             "seed",
		`{"strategies": {"a": 1}}`: "a:",
	} {
		s, err := Decode([]byte(text))
		if err == nil {
			err = s.Check()
		}
		if err == nil {
			_, err = Run(context.Background(), s, Options{})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %s", text, err, want)
		}
	}
}

// What is absurd and yet possible runs, ends, and gives a result that can be written.
func TestAbsurdSpecsEnd(t *testing.T) {
	for _, text := range []string{
		absurd(arriving(`"kind": "poisson", "rate": 1e-300`), "", ""),
		absurd(arriving(`"kind": "poisson", "rate": 1e-10`), "", ""), // the first comes in 300 years
		absurd(arriving(`"kind": "constant", "rate": 0`), "", ""),
		absurd(`"users": 3, "think": 1e300`, "", ""),
		absurd(`"users": 3, "think": 50, "patience": 100`, `"latency": 1e300`, ""),
		absurd("", `"latency": {"kind": "pareto", "min": 1, "alpha": 0.0001}`, ""),
		absurd("", `"latency": {"kind": "uniform", "min": 1, "max": 1e308}, "servers": 1, "queue": 0`, ""),
		absurd("", `"latency": 5, "servers": 1, "steps": [{"at": 0, "speed": 1e-300}]`, ""),
		absurd("", `"latency": 5, "pauses": [{"at": 0, "for": "20000h"}]`, ""),
		absurd(arriving(`"kind": "constant", "rate": 5`)+`, "cost": 1e300`, `"latency": 1, "limits": [{"kind": "gcra", "quota": 1, "per": "20000h", "tokens": true}, {"kind": "fixedWindow", "quota": 9007199254740992, "per": 0.000001, "tokens": true}]`, ""),
		absurd("", `"latency": 1e-300, "servers": 1`, `, "duration": 0.001, "warmup": 0`),
		absurd(`"users": 2, "patience": 0`, `"latency": 0`, `, "duration": 1, "strategies": {"o": {"kind": "oracle"}, "n": {"kind": "none", "retry": {"kind": "decorrelated", "attempts": 1000, "base": 0.000001, "max": "20000h"}}}`),
	} {
		s, err := Decode([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		res, err := Run(ctx, s, Options{})
		cancel()
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		if _, err := json.Marshal(res); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

// A time without arrivals, or too many at one moment, is bounded by the events that a run
// may have and can be interrupted.
func TestEndlessArrivalsStop(t *testing.T) {
	for _, scenario := range []string{
		arriving(`"kind": "ramping", "rate": 1e7, "stages": [{"target": 0, "duration": 0.001}, {"target": 0, "duration": "700h"}]`),
		arriving(`"kind": "onOff", "rate": 1e-9, "on": 0.000001, "off": 0.000001`),
		arriving(`"kind": "flash", "rate": 1e-9, "peak": 1e7, "at": "600h", "ramp": 1, "hold": 1`),
		arriving(`"kind": "onOff", "rate": 1e7, "on": "700h", "off": 1`),
		`"users": 1000, "think": 0`,
	} {
		s, err := Decode([]byte(absurd(scenario, `"latency": 0`, `, "duration": "700h", "strategies": {"deny": {"kind": "limiter", "limiter": "concurrency", "params": {"max": 1}, "retry": {"kind": "none"}}}`)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(context.Background(), s, Options{MaxEvents: 3000, Parallel: 1}); !errors.Is(err, sim.ErrEvents) {
			t.Errorf("%s: %v", scenario, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if _, err := Run(ctx, s, Options{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: interrupted: %v", scenario, err)
		}
		cancel()
	}
}

func TestRound(t *testing.T) {
	for v, want := range map[float64]float64{
		0: 0, 1: 1, -1: -1, 1234567: 1234570, 0.00012345678: 0.000123457, -2.5000004: -2.5,
		math.SmallestNonzeroFloat64: math.SmallestNonzeroFloat64, 1e-310: 1e-310, -1e-320: -1e-320, math.MaxFloat64: math.MaxFloat64,
	} {
		if got := round(v); math.Abs(got-want) > 1e-5*math.Abs(want) || math.IsNaN(got) {
			t.Errorf("round(%g) is %g", v, got)
		}
	}
	if text, err := json.Marshal(Numbers{5e-324, 1e-315, math.MaxFloat64, math.NaN(), math.Inf(-1)}); err != nil || !strings.HasSuffix(string(text), "null,null]") {
		t.Errorf("%s, %v", text, err)
	}
}

// FuzzDecode looks for a spec that is taken and then breaks, hangs, or has a result that
// cannot be written.
func FuzzDecode(f *testing.F) {
	f.Add(absurd("", "", ""))
	f.Add(absurd(`"users": 3, "think": 10, "keys": {"n": 5, "s": 1}`, `"servers": 2, "latency": {"kind": "exponential", "mean": 50}, "limits": [{"kind": "gcra", "quota": 5}]`, `, "thresholds": {"good": ["avg>0.5"]}`))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Decode([]byte(text))
		if err != nil || s.Check() != nil || s.replicas() > 3 || s.Strategies.Len() > 5 {
			return
		}
		for _, st := range s.Strategies.All() {
			if st.Kind == KindPolicy || st.Kind == KindInline || st.Sweep.Len() > 0 {
				return
			}
		}
		for _, sc := range s.Scenarios.All() {
			if sc.Trace != nil || sc.Users > 1000 {
				return
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		res, err := Run(ctx, s, Options{MaxEvents: 2000})
		if res == nil || err != nil {
			return
		}
		if _, err := json.Marshal(res); err != nil {
			t.Error(err)
		}
	})
}
