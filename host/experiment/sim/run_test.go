package sim

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/experiment/arrivals"
	"github.com/gaia-host/gaia/host/experiment/dist"
	"github.com/gaia-host/gaia/host/experiment/upstream"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

const start = int64(1e18)

func fixed(v float64) dist.Dist {
	d, err := dist.Constant(v)
	if err != nil {
		panic(err)
	}
	return d
}

func exponential(mean float64) dist.Dist {
	d, err := dist.Exponential(mean)
	if err != nil {
		panic(err)
	}
	return d
}

// limited is a Go policy that asks one of gaia's limiters.
type limited struct {
	policy.Base
	l       limit.Limiter
	maxWait time.Duration
}

func (p *limited) Name() string { return "limited" }
func (p *limited) OnRequest(r *policy.Request, d *policy.Decision) error {
	res := p.l.Take(r.Now, r.Key, r.Cost, p.maxWait)
	if r.Ledger != nil {
		e := policy.Entry{Limiter: "l", Key: r.Key, Cost: r.Cost, Taken: r.Now, OK: res.OK, Wait: res.Wait}
		if res.OK {
			e.From = p.l
		}
		r.Ledger.Add(e)
	}
	switch {
	case !res.OK:
		d.Action, d.RetryAfter = policy.ActionDeny, res.Wait
	case res.Wait > 0:
		d.Action, d.Delay = policy.ActionDelay, res.Wait
	}
	return nil
}

func core(t testing.TB, p policy.Policy, change func(*admission.Config)) *admission.Core {
	t.Helper()
	cfg := admission.DefaultConfig()
	cfg.MaxAttempts, cfg.Breaker.Enabled = 1, false
	if change != nil {
		change(&cfg)
	}
	slot := &policy.Slot{}
	if p != nil {
		slot.Swap(policy.NewGeneration(1, policy.NewChain(policy.NewMember(p, policy.MemberConfig{}))))
	}
	c, err := admission.New(admission.Options{Subsystem: policy.SubsystemAPI, Slot: slot, Config: cfg, Random: func() float64 { return 0.5 }, Alone: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func poisson(t testing.TB, rate float64) arrivals.Process {
	t.Helper()
	p, err := arrivals.New(arrivals.Config{Kind: "poisson", Rate: rate})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// config is an open stream of Poisson arrivals of one key to one upstream.
func config(t testing.TB, rate float64, c *admission.Core, up upstream.Config) Config {
	t.Helper()
	u, err := url.Parse("https://a.invalid")
	if err != nil {
		t.Fatal(err)
	}
	g, err := route.NewGroup([]route.Upstream{{ID: "r/a", Name: "a", URL: u, Host: "a.invalid", Weight: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Seed: 1, Start: start, Duration: 1000 * time.Second, Warmup: 50 * time.Second, Core: c, Group: g,
		Upstreams: []Upstream{{Name: "a", Config: up}},
		Scenarios: []Scenario{{Name: "s", Process: poisson(t, rate), KeyNames: []string{"k"}, Method: "GET", Path: "/"}}}
}

func run1(t testing.TB, c Config) *Outcome {
	t.Helper()
	if testkit.Race {
		t.Skip("laws need long runs, and there is one goroutine")
	}
	o, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.CheckLittle(); err != nil {
		t.Error(err)
	}
	if sum := o.Good + o.Denied + o.Throttled + o.Failed + o.Left + o.Pending; sum != o.Offered {
		t.Errorf("%d requests ended or pending of %d offered", sum, o.Offered)
	}
	return o
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: %v, want %v within %v", what, got, want, tolerance)
	}
}

// An upstream of c servers without a queue loses what Erlang's formula B says, for
// any distribution of service times.
func TestErlangB(t *testing.T) {
	lognormal, err := dist.Lognormal(600, 4000)
	if err != nil {
		t.Fatal(err)
	}
	const servers, load = 10, 8.0
	b := 1.0
	for n := 1.0; n <= servers; n++ {
		b = load * b / (n + load*b)
	}
	for name, d := range map[string]dist.Dist{"fixed": fixed(1000), "exponential": exponential(1000), "lognormal": lognormal} {
		c := config(t, load/d.Mean()*1000, core(t, nil, nil), upstream.Config{Servers: servers, Latency: d})
		c.Duration = 6000 * time.Second
		o := run1(t, c)
		near(t, name+": share lost", float64(o.Failed)/float64(o.Offered), b, 0.012)
	}
}

// One server with an endless queue makes callers wait as M/D/1 and M/M/1 say.
func TestWaitsOfOneServer(t *testing.T) {
	for name, c := range map[string]struct {
		d    dist.Dist
		want float64 // mean time in the system, ms, at a load of 0.8 and 10 ms of service
	}{"M/M/1": {exponential(10), 50}, "M/D/1": {fixed(10), 30}} {
		o := run1(t, config(t, 80, core(t, nil, nil), upstream.Config{Servers: 1, Queue: -1, Latency: c.d}))
		near(t, name+": mean latency (ms)", o.Latency.Mean()/1000, c.want, 0.1*c.want)
		near(t, name+": mean in the system", o.MeanInSystem, 0.08*c.want, 0.01*c.want)
	}
}

// Pacing with a burst of 1 is an M/D/1 queue in front of the upstream; a bucket that
// denies is an M/D/1/B loss system, whose loss at B=1 is a/(1+a).
func TestBucketsAreQueues(t *testing.T) {
	paced, err := limit.New(limit.TokenBucket, limit.Params{Rate: 100, Burst: 1, MaxWait: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c := config(t, 80, core(t, &limited{l: paced, maxWait: -1}, func(a *admission.Config) { a.MaxWait = time.Hour }), upstream.Config{Latency: fixed(1)})
	o := run1(t, c)
	near(t, "mean wait (ms)", o.Wait.Mean()/1000, 20, 2)
	near(t, "most in a second", float64(o.MaxIn), 100, 1)

	denied, err := limit.New(limit.TokenBucket, limit.Params{Rate: 100, Burst: 1})
	if err != nil {
		t.Fatal(err)
	}
	o = run1(t, config(t, 90, core(t, &limited{l: denied}, nil), upstream.Config{Latency: fixed(1)}))
	near(t, "share denied", float64(o.Denied)/float64(o.Offered), 0.9/1.9, 0.01)
}

// A closed loop of N users never has more than N requests under way, and its
// throughput is N/(R+Z).
func TestClosedLoop(t *testing.T) {
	c := config(t, 1, core(t, nil, nil), upstream.Config{Latency: exponential(100)})
	c.Scenarios[0].Process, c.Scenarios[0].Users, c.Scenarios[0].Think = nil, 20, exponential(400)
	o := run1(t, c)
	near(t, "throughput", float64(o.Good)/o.Measured.Seconds(), 40, 1)
	for i, n := range o.Series.InSystem {
		if n > 20 {
			t.Fatalf("step %d: %v requests of 20 users", i, n)
		}
	}
}

// Callers that leave are counted once, what they left behind is wasted work, and
// nothing that is late counts as good.
func TestPatience(t *testing.T) {
	c := config(t, 20, core(t, nil, nil), upstream.Config{Servers: 1, Queue: -1, Latency: fixed(100)})
	c.Scenarios[0].Patience = 500 * time.Millisecond
	o := run1(t, c)
	if o.Left == 0 || o.Wasted == 0 || o.Latency.Max() > 501_000 {
		t.Errorf("left %d, wasted %d, latest %d us", o.Left, o.Wasted, o.Latency.Max())
	}
	near(t, "served a second", float64(o.Ups[0].Served)/1000, 10, 0.2)
}

// Callers that retry meet what they cause: the amplification of the formula
// (1-p^n)/(1-p) where failures are independent.
func TestCallersRetry(t *testing.T) {
	c := config(t, 50, core(t, nil, nil), upstream.Config{Latency: fixed(1), Errors: []upstream.Errors{{For: 2000 * time.Second, Share: 0.5}}})
	c.Retry = Retry{Kind: "exponential", Attempts: 3, Base: 10 * time.Millisecond, Full: true}
	o := run1(t, c)
	near(t, "attempts a request", float64(o.Attempts)/float64(o.Offered), 1.75, 0.03)
	near(t, "share good", float64(o.Good)/float64(o.Offered), 0.875, 0.01)
	c = config(t, 50, core(t, nil, nil), c.Upstreams[0].Config)
	c.Retry = Retry{Kind: "fixed", Attempts: 3, Base: 10 * time.Millisecond, Budget: 0.1}
	o = run1(t, c)
	near(t, "attempts a request within a budget", float64(o.Attempts)/float64(o.Offered), 1.1, 0.01)
}

// gaia's own retry goes through the same admission; Retry-After is waited out.
func TestAdmissionRetries(t *testing.T) {
	up := upstream.Config{Latency: fixed(1), Limits: []upstream.Limit{{Kind: "fixedWindow", Quota: 10}}}
	c := config(t, 8, core(t, nil, func(a *admission.Config) { a.MaxAttempts = 4 }), up)
	o := run1(t, c)
	if o.Refused == 0 || float64(o.Good) < 0.97*float64(o.Offered) {
		t.Errorf("refused %d, good %d of %d", o.Refused, o.Good, o.Offered)
	}
}

// The same seed gives the same outcome, another one gives another; and two strategies
// meet the same requests.
func TestDeterminism(t *testing.T) {
	text := func(seed uint64, p policy.Policy) (string, uint64) {
		c := config(t, 200, core(t, p, nil), upstream.Config{Servers: 3, Queue: 5, Latency: exponential(20)})
		c.Seed, c.Duration = seed, 200*time.Second
		zipf, err := dist.Zipf(3, 1)
		if err != nil {
			t.Fatal(err)
		}
		c.Scenarios[0].Keys, c.Scenarios[0].KeyNames = zipf, []string{"a", "b", "c"}
		o := run1(t, c)
		b, err := json.Marshal([]any{o.Offered, o.Good, o.Failed, o.Series, o.Keys, o.Ups, o.MeanInSystem, o.Events, o.Wait.Export(), o.Latency.Export()})
		if err != nil {
			t.Fatal(err)
		}
		return string(b), o.Offered
	}
	one, n := text(1, nil)
	again, _ := text(1, nil)
	other, _ := text(2, nil)
	if one != again || one == other {
		t.Errorf("same seed equal: %v, other seed equal: %v", one == again, one == other)
	}
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 50, Burst: 5})
	if err != nil {
		t.Fatal(err)
	}
	if _, m := text(1, &limited{l: l}); m != n {
		t.Errorf("strategies met %d and %d requests", n, m)
	}
}

// A run that asks for too much ends with an error and what it has; so does one that is stopped.
func TestBounds(t *testing.T) {
	c := config(t, 1000, core(t, nil, nil), upstream.Config{Latency: fixed(1)})
	c.MaxEvents = 10_000
	if _, err := Run(c); !errors.Is(err, ErrEvents) {
		t.Errorf("%v", err)
	}
	stop := errors.New("stop")
	c = config(t, 1000, core(t, nil, nil), upstream.Config{Latency: fixed(1)})
	c.Halt, c.Cause = &atomic.Bool{}, func() error { return stop }
	c.Tick = func(now int64) { c.Halt.Store(now > start+int64(100*time.Second)) }
	o, err := Run(c)
	if !errors.Is(err, stop) || o.Offered == 0 {
		t.Errorf("%v, offered %d", err, o.Offered)
	}
	if err := o.CheckLittle(); err != nil {
		t.Error(err)
	}
}

func TestBackoff(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	r := Retry{Kind: "decorrelated", Base: 100 * time.Millisecond, Max: 2 * time.Second}
	var last time.Duration
	for i := 1; i < 100; i++ {
		last = r.backoff(i, last, rng.Float64())
		if last < r.Base || last > r.Max {
			t.Fatalf("try %d: %v", i, last)
		}
	}
	r = Retry{Kind: "exponential", Base: 100 * time.Millisecond, Max: 10 * time.Second}
	for i, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
		if d := r.backoff(i+1, 0, 0); d != want*time.Millisecond {
			t.Errorf("try %d: %v, want %v ms", i+1, d, want)
		}
	}
	if d := (&Retry{Kind: "exponential", Base: time.Hour}).backoff(1000, 0, 0); d != time.Hour {
		t.Errorf("the thousandth: %v", d)
	}
}

// A simulated request allocates nothing: memory is flat in the number of events.
func TestRequestsAllocateNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1e6, Burst: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	admit := core(t, &limited{l: l}, nil)
	allocs := func(d time.Duration) float64 {
		return testing.AllocsPerRun(2, func() {
			c := config(t, 1000, admit, upstream.Config{Latency: exponential(100)})
			c.Duration, c.Warmup = d, 0
			if _, err := Run(c); err != nil {
				t.Error(err)
			}
		})
	}
	short, long := allocs(20*time.Second), allocs(60*time.Second)
	if more := (long - short) / 40_000; more > 0.01 {
		t.Errorf("%.3f allocations for a request", more)
	}
}

// BenchmarkRequest is one simulated request through the production admission with a
// native limiter.
func BenchmarkRequest(b *testing.B) {
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1e6, Burst: 1e6})
	if err != nil {
		b.Fatal(err)
	}
	c := config(b, 1000, core(b, &limited{l: l}, nil), upstream.Config{Latency: exponential(100)})
	c.Duration = time.Duration(b.N) * time.Millisecond
	c.Warmup = 0
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := Run(c); err != nil {
		b.Fatal(err)
	}
}

// Replicas and seeds that are neighbours draw nothing in common: intervals rest on that.
func TestReplicasAreIndependent(t *testing.T) {
	draws := func(seed, replica uint64) map[float64]bool {
		c := config(t, 1, core(t, nil, nil), upstream.Config{})
		c.Seed, c.Replica = seed, replica
		r := &run{c: &c, free: -1, byName: map[string]int32{}}
		if err := r.addSource(0); err != nil {
			t.Fatal(err)
		}
		s, seen := &r.sources[0], map[float64]bool{}
		for range 100 {
			s.count++
			seen[s.rng.Float64()] = true
			seen[draw(c.Seed^0xfa017, s.seed+s.count, 0)] = true
		}
		return seen
	}
	first := draws(1, 1)
	for _, other := range []map[float64]bool{draws(1, 0), draws(1, 2), draws(2, 0), draws(2, 1), draws(0, 1)} {
		for v := range other {
			if first[v] {
				t.Fatalf("%v is drawn in both", v)
			}
		}
	}
}
