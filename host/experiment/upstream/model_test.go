package upstream

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/experiment/dist"
)

const ms = int64(time.Millisecond)

func fixed(t testing.TB, v float64) dist.Dist {
	t.Helper()
	d, err := dist.Constant(v)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func model(t testing.TB, c Config) *Model {
	t.Helper()
	m, err := New(c, 0)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Three jobs of 10 ms on one server follow each other; a fourth finds the queue full.
func TestOneServerAndItsQueue(t *testing.T) {
	m := model(t, Config{Servers: 1, Queue: 2, Latency: fixed(t, 10), Refusal: time.Millisecond})
	jobs := make([]Job, 4)
	if at, ok := m.Arrive(0, &jobs[0]); !ok || at != 10*ms {
		t.Fatal(at, ok)
	}
	for i := 1; i <= 2; i++ {
		if _, ok := m.Arrive(1*ms, &jobs[i]); ok {
			t.Fatalf("job %d did not wait", i)
		}
	}
	if at, ok := m.Arrive(2*ms, &jobs[3]); !ok || at != 3*ms || jobs[3].Status != 503 || jobs[3].Served {
		t.Errorf("the fourth: %d %v %d", at, ok, jobs[3].Status)
	}
	m.Done(10 * ms)
	if j, at := m.Start(10 * ms); j != &jobs[1] || at != 20*ms || !j.Served {
		t.Error("the second was not next")
	}
	if j, _ := m.Start(10 * ms); j != nil {
		t.Error("two at a time")
	}
	m.Done(20 * ms)
	m.Start(20 * ms)
	m.Done(30 * ms)
	s := m.Stats(40 * ms)
	if s.Overload != 19*time.Millisecond || s.Served != 3 || s.Overflowed != 1 || s.Busy != 0 || s.Queued != 0 {
		t.Errorf("%+v", s)
	}
}

func TestPausesAndSteps(t *testing.T) {
	m := model(t, Config{Latency: fixed(t, 10),
		Pauses: []Span{{5 * time.Millisecond, 100 * time.Millisecond}},
		Steps:  []Step{{At: 200 * time.Millisecond, Speed: 0.5}}})
	for _, c := range []struct{ start, want int64 }{{0, 110 * ms}, {50 * ms, 115 * ms}, {150 * ms, 160 * ms}, {195 * ms, 210 * ms}, {300 * ms, 320 * ms}} {
		if at, _ := m.Arrive(c.start, &Job{}); at != c.want {
			t.Errorf("from %d ms: done at %d ms, want %d", c.start/ms, at/ms, c.want/ms)
		}
	}
}

func TestErrorsHitTheirShare(t *testing.T) {
	m := model(t, Config{Latency: fixed(t, 1), Errors: []Errors{{At: time.Second, For: time.Second, Share: 0.3, Status: 502}}})
	rng, failed := rand.New(rand.NewPCG(1, 1)), 0
	for range 10_000 {
		j := &Job{Fault: rng.Float64()}
		m.Arrive(1500*ms, j)
		if j.Status == 502 {
			failed++
		}
	}
	if math.Abs(float64(failed)-3000) > 200 {
		t.Errorf("%d of 10000 failed", failed)
	}
	j := &Job{}
	if m.Arrive(2*int64(time.Second), j); j.Status != 200 {
		t.Error("failed after the burst")
	}
}

// A limit of the model lets its quota through, and no more, and says so.
func TestLimits(t *testing.T) {
	for _, kind := range LimitKinds() {
		m := model(t, Config{Latency: fixed(t, 0), Style: StyleX, Limits: []Limit{{Kind: kind, Quota: 10}, {Kind: kind, Quota: 30, Tokens: true}}})
		passed := 0
		for i := range int64(3000) { // 3 s, 1000/s
			j := &Job{Cost: 2}
			m.Arrive(i*ms, j)
			if j.Status == 200 {
				passed++
			} else if v, ok := j.Fields.Lookup("retry-after"); !ok || v != "1" {
				t.Fatalf("%s: Retry-After %q %v", kind, v, ok)
			}
		}
		want := map[string]int{"gcra": 39, "fixedWindow": 30}[kind] // the bucket begins full
		if passed != want {
			t.Errorf("%s: %d passed, want %d", kind, passed, want)
		}
	}
	m := model(t, Config{Style: StyleRateLimit, Limits: []Limit{{Kind: "fixedWindow", Quota: 3, Per: time.Minute}}})
	j := &Job{}
	m.Arrive(20*int64(time.Second), j)
	a, _ := j.Fields.Lookup("RateLimit")
	b, _ := j.Fields.Lookup("ratelimit-policy")
	if a != `"default";r=2;t=40` || b != `"default";q=3;w=60` || j.Fields.RetryAfter() != 0 {
		t.Error(a, b)
	}
}

func TestWrongConfigs(t *testing.T) {
	for _, c := range []Config{{Servers: -1}, {Style: "x"}, {Steps: []Step{{At: -1}}}, {Steps: []Step{{Servers: 1}}}, {Pauses: []Span{{}}},
		{Errors: []Errors{{For: 1, Share: 2}}}, {Limits: []Limit{{Kind: "x", Quota: 1}}}, {Limits: []Limit{{Kind: "gcra"}}}} {
		if _, err := New(c, 0); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
