package experiment

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/gaia-host/gaia/host/experiment/arrivals"
	"github.com/gaia-host/gaia/host/experiment/sim"
	"github.com/gaia-host/gaia/host/experiment/upstream"
)

// Bounds of a Spec.
const (
	MaxDuration   = 31 * 24 * time.Hour
	MaxReplicas   = 1000
	MaxStrategies = 200    // after sweeps
	MaxRuns       = 10_000 // replicas of all strategies
	// MaxArrivals is about how many requests one replica may ask for.
	MaxArrivals = 1_000_000_000
)

// Spec is an experiment, as a script or a JSON file writes it. Decode reads one;
// Check finds what is wrong with it.
type Spec struct {
	Name string `json:"name,omitempty"`
	// Seed of the first replica; replica i draws from (Seed, i). Unset: 1.
	Seed     uint64   `json:"seed,omitempty"`
	Duration Duration `json:"duration"`
	// Warmup is what is not counted at the beginning. Unset: a tenth of Duration.
	Warmup *Duration `json:"warmup,omitempty"`
	// Replicas is how many seeds every strategy is run with. Unset: 5.
	Replicas int `json:"replicas,omitempty"`

	Scenarios  Ordered[Scenario] `json:"scenarios"`
	Upstreams  Ordered[Upstream] `json:"upstreams"`
	Strategies Ordered[Strategy] `json:"strategies"`
	// Thresholds by metric, or metric{strategy:NAME}: conditions such as "avg>240".
	Thresholds Ordered[[]string] `json:"thresholds,omitempty"`

	// Dir is the folder that relative names of files count from; it is no part of a
	// result. "": the working folder.
	Dir string `json:"-"`
}

// file is where a file named in the Spec is.
func (s *Spec) file(name string) string {
	if s.Dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.Dir, name)
}

// Scenario is one stream of requests. Exactly one of Arrivals, Users and Trace is given.
type Scenario struct {
	Arrivals *Arrivals `json:"arrivals,omitempty"`
	Users    int       `json:"users,omitempty"` // a closed loop of so many callers
	Think    Dist      `json:"think"`           // ms
	Trace    *Trace    `json:"trace,omitempty"`
	Start    Duration  `json:"startTime,omitempty"`
	For      Duration  `json:"duration,omitempty"` // 0 to the end
	Keys     Keys      `json:"keys"`               // what limits count on
	// Tenants, where there are any, are whose shares are compared, instead of keys: then
	// Keys has one name.
	Tenants  Keys   `json:"tenants"`
	Cost     Dist   `json:"cost"`
	Tenant   string `json:"tenant,omitempty"`
	Priority *int   `json:"priority,omitempty"`
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"`
	// Patience is how long a caller waits before it leaves. Unset: 30 s; 0 for ever.
	Patience *Duration `json:"patience,omitempty"`
}

// Arrivals is an open process; see the package arrivals. Rates are per TimeUnit.
type Arrivals struct {
	Kind     string   `json:"kind"`
	Rate     float64  `json:"rate,omitempty"`
	Peak     float64  `json:"peak,omitempty"`
	TimeUnit Duration `json:"timeUnit,omitempty"` // unset 1s
	Period   Duration `json:"period,omitempty"`
	At       Duration `json:"at,omitempty"`
	Ramp     Duration `json:"ramp,omitempty"`
	Hold     Duration `json:"hold,omitempty"`
	On       Duration `json:"on,omitempty"`
	Off      Duration `json:"off,omitempty"`
	Alpha    float64  `json:"alpha,omitempty"`
	Size     Dist     `json:"size"`
	Stages   []Stage  `json:"stages,omitempty"`
}

// Stage moves the rate to Target in Duration.
type Stage struct {
	Target   float64  `json:"target"`
	Duration Duration `json:"duration"`
}

// Keys are a list of names, or N names NAME-0, NAME-1, ... whose
// popularity follows Zipf's law with the exponent S (0: all alike).
type Keys struct {
	Names []string `json:"names,omitempty"`
	N     int      `json:"n,omitempty"`
	S     float64  `json:"s,omitempty"`
	Name  string   `json:"name,omitempty"` // unset "key" or "tenant"
}

// Upstream is a modelled server; see the package upstream.
type Upstream struct {
	Servers int      `json:"servers,omitempty"`
	Queue   *int     `json:"queue,omitempty"` // unset: no bound
	Latency Dist     `json:"latency"`         // ms
	Refusal Duration `json:"refusal,omitempty"`
	Weight  *int     `json:"weight,omitempty"`
	Headers string   `json:"headers,omitempty"`
	Steps   []struct {
		At      Duration `json:"at"`
		Servers int      `json:"servers,omitempty"`
		Speed   float64  `json:"speed,omitempty"`
	} `json:"steps,omitempty"`
	Pauses []struct {
		At  Duration `json:"at"`
		For Duration `json:"for"`
	} `json:"pauses,omitempty"`
	Errors []struct {
		At     Duration `json:"at"`
		For    Duration `json:"for"`
		Share  float64  `json:"share"`
		Status int      `json:"status,omitempty"`
	} `json:"errors,omitempty"`
	Limits []struct {
		Kind   string   `json:"kind"`
		Quota  int64    `json:"quota"`
		Per    Duration `json:"per,omitempty"`
		Burst  int64    `json:"burst,omitempty"`
		Tokens bool     `json:"tokens,omitempty"`
	} `json:"limits,omitempty"`
}

// Kinds of strategies.
const (
	KindNone    = "none"    // no limits: what comes is sent
	KindOracle  = "oracle"  // knows the upstream's limits and capacity
	KindLimiter = "limiter" // one of gaia's limiters
	KindPolicy  = "policy"  // a policy file, or std/NAME
	KindInline  = "inline"  // hooks in the experiment's own script
)

// What a limiter counts on and counts, other than the key and the cost.
const (
	ByTenant      = "tenant"
	CountRequests = "requests"
)

// Strategy is one way to pace the requests.
type Strategy struct {
	Kind string `json:"kind"`
	// Limiter names the algorithm of KindLimiter, and Params are its parameters as
	// policies write them, or the operator's parameters of a policy.
	Limiter string         `json:"limiter,omitempty"`
	Params  map[string]any `json:"params,omitempty"`
	// By is what KindLimiter counts on: the key where unset, or ByTenant. Count is what it
	// counts: the cost where unset, or CountRequests.
	By    string `json:"by,omitempty"`
	Count string `json:"count,omitempty"`
	// Use is the file of KindPolicy, or std/NAME.
	Use string `json:"use,omitempty"`
	// Hooks of KindInline, by name.
	Hooks []string `json:"hooks,omitempty"`
	// Retry is what the callers do by themselves. Unset: gaia's own retries with their
	// budget; for KindNone none.
	Retry *Retry `json:"retry,omitempty"`
	// Sweep makes one strategy of each combination of its values of parameters.
	Sweep Ordered[[]any] `json:"sweep,omitempty"`
}

// Retry is what callers do after a failure; see sim.Retry.
type Retry struct {
	Kind     string   `json:"kind"`
	Attempts int      `json:"attempts,omitempty"` // unset 4
	Base     Duration `json:"base,omitempty"`     // unset 100 ms
	Max      Duration `json:"max,omitempty"`      // unset 10 s
	Jitter   string   `json:"jitter,omitempty"`   // none or full
	Budget   float64  `json:"budget,omitempty"`
	Honor    bool     `json:"honor,omitempty"` // waits at least as long as Retry-After says
	// Timeout ends an attempt that takes longer; unset: the caller's patience does.
	Timeout Duration `json:"timeout,omitempty"`
}

// Check returns every fault of s, joined.
func (s *Spec) Check() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	d := time.Duration(s.Duration)
	switch {
	case d <= 0 || d > MaxDuration:
		bad("duration: want more than 0 and at most %v", MaxDuration)
	case s.warmup() < 0 || s.warmup() >= d:
		bad("warmup: want less than the duration")
	}
	if s.Replicas < 0 || s.Replicas > MaxReplicas {
		bad("replicas: want 1 to %d", MaxReplicas)
	}
	for what, n := range map[string]int{"scenarios": s.Scenarios.Len(), "upstreams": s.Upstreams.Len(), "strategies": s.Strategies.Len()} {
		if n == 0 {
			bad("%s: want at least one", what)
		}
	}
	arrivals := 0.0
	for name, sc := range s.Scenarios.All() {
		if _, err := sc.build(s, name); err != nil {
			bad("scenarios.%s: %w", name, err)
		}
		arrivals += sc.arrivals(d)
	}
	if arrivals > MaxArrivals {
		bad("the scenarios ask for about %.3g requests in each replica: want at most %.3g, by a lower rate or a shorter duration", arrivals, float64(MaxArrivals))
	}
	for name, u := range s.Upstreams.All() {
		c := u.config()
		if err := c.Check(); err != nil {
			bad("upstreams.%s: %w", name, err)
		}
	}
	for name, st := range s.Strategies.All() {
		if err := st.check(); err != nil {
			bad("strategies.%s: %w", name, err)
		}
	}
	if variants, err := s.variants(); err != nil {
		faults = append(faults, err)
	} else if _, err := s.conditions(variants); err != nil {
		faults = append(faults, err)
	} else if runs := len(variants) * s.replicas(); runs > MaxRuns {
		bad("%d strategies with %d replicas are %d runs: want at most %d", len(variants), s.replicas(), runs, MaxRuns)
	}
	return errors.Join(faults...)
}

func (s *Spec) warmup() time.Duration {
	if s.Warmup != nil {
		return time.Duration(*s.Warmup)
	}
	return time.Duration(s.Duration) / 10
}

func (s *Spec) replicas() int {
	if s.Replicas == 0 {
		return 5
	}
	return s.Replicas
}

func (s *Spec) seed() uint64 {
	if s.Seed == 0 {
		return 1
	}
	return s.Seed
}

func (st *Strategy) check() error {
	kinds := []string{KindNone, KindOracle, KindLimiter, KindPolicy, KindInline}
	switch {
	case !slices.Contains(kinds, st.Kind):
		return fmt.Errorf("unknown kind %q (want one of %v)", st.Kind, kinds)
	case st.Kind == KindPolicy && st.Use == "":
		return errors.New("a policy needs `use`: a file or std/NAME")
	case st.Kind == KindLimiter && st.Limiter == "":
		return errors.New("a limiter needs the name of its algorithm")
	case st.By != "" && (st.By != ByTenant || st.Kind != KindLimiter):
		return fmt.Errorf("by: want %q, of a limiter", ByTenant)
	case st.Count != "" && (st.Count != CountRequests || st.Kind != KindLimiter):
		return fmt.Errorf("count: want %q, of a limiter", CountRequests)
	case st.Kind == KindInline && len(st.Hooks) == 0:
		return errors.New("want at least one hook: onRequest, onRoute, onResponse, onDone or onTick")
	}
	if st.Retry != nil && !slices.Contains([]string{"", "none", "full"}, st.Retry.Jitter) {
		return fmt.Errorf("retry: unknown jitter %q (want none or full)", st.Retry.Jitter)
	}
	r := st.retry()
	return r.Check()
}

// retry is what the callers of the strategy do.
func (st *Strategy) retry() sim.Retry {
	r := st.Retry
	if r == nil {
		return sim.Retry{}
	}
	out := sim.Retry{Kind: r.Kind, Attempts: r.Attempts, Base: time.Duration(r.Base), Max: time.Duration(r.Max), Full: r.Jitter == "full", Budget: r.Budget, Honor: r.Honor, Timeout: time.Duration(r.Timeout)}
	if out.Attempts == 0 {
		out.Attempts = 4
	}
	if out.Base == 0 {
		out.Base = 100 * time.Millisecond
	}
	if out.Max == 0 {
		out.Max = 10 * time.Second
	}
	return out
}

// arrivals is about how many requests the scenario asks for in a run of length d, of
// processes that come at one rate; 0 of others.
func (s *Scenario) arrivals(d time.Duration) float64 {
	a := s.Arrivals
	if a == nil || !slices.Contains([]string{"constant", "poisson", "pareto", "batch"}, a.Kind) {
		return 0
	}
	length := d - time.Duration(s.Start)
	if s.For > 0 {
		length = min(length, time.Duration(s.For))
	}
	n := a.Rate / a.unit() * max(length, 0).Seconds()
	if a.Kind == "batch" {
		n *= max(1, a.Size.Mean())
	}
	return n
}

// unit is what rates are per, in seconds.
func (a *Arrivals) unit() float64 {
	if a.TimeUnit > 0 {
		return time.Duration(a.TimeUnit).Seconds()
	}
	return 1
}

// process makes the open process of a.
func (a *Arrivals) process() (arrivals.Process, error) {
	unit := a.unit()
	c := arrivals.Config{Kind: a.Kind, Rate: a.Rate / unit, Peak: a.Peak / unit, Period: time.Duration(a.Period), At: time.Duration(a.At),
		Ramp: time.Duration(a.Ramp), Hold: time.Duration(a.Hold), On: time.Duration(a.On), Off: time.Duration(a.Off), Alpha: a.Alpha, Size: a.Size.Dist}
	for _, s := range a.Stages {
		c.Stages = append(c.Stages, arrivals.Stage{Target: s.Target / unit, Duration: time.Duration(s.Duration)})
	}
	return arrivals.New(c)
}

// config is the model of u.
func (u *Upstream) config() upstream.Config {
	c := upstream.Config{Servers: u.Servers, Queue: -1, Latency: u.Latency.Dist, Refusal: time.Duration(u.Refusal), Style: u.Headers, Weight: 1}
	if u.Queue != nil {
		c.Queue = *u.Queue
	}
	if u.Weight != nil {
		c.Weight = *u.Weight
	}
	for _, s := range u.Steps {
		c.Steps = append(c.Steps, upstream.Step{At: time.Duration(s.At), Servers: s.Servers, Speed: s.Speed})
	}
	for _, p := range u.Pauses {
		c.Pauses = append(c.Pauses, upstream.Span{At: time.Duration(p.At), For: time.Duration(p.For)})
	}
	for _, e := range u.Errors {
		c.Errors = append(c.Errors, upstream.Errors{At: time.Duration(e.At), For: time.Duration(e.For), Share: e.Share, Status: e.Status})
	}
	for _, l := range u.Limits {
		c.Limits = append(c.Limits, upstream.Limit{Kind: l.Kind, Quota: l.Quota, Per: time.Duration(l.Per), Burst: l.Burst, Tokens: l.Tokens})
	}
	return c
}
