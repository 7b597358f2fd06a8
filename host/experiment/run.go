package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/host/experiment/sim"
	"github.com/gaia-host/gaia/host/experiment/stats"
)

// Options are how an experiment is run; none of them changes its result. The zero
// Options are usable.
type Options struct {
	Inline    Inline         // opens hooks of the script; nil: there are none
	Parallel  int            // replicas at once; 0: one for each core
	Progress  func(Progress) // told four times a second, and when a replica has ended, one call at a time; nil: nobody
	MaxEvents uint64         // of one replica; 0: a thousand million
}

// Progress is how far a Run is.
type Progress struct {
	Done, Total int     // replicas of all strategies
	Share       float64 // of the virtual time of all of them, 0 to 1
}

// tellEvery is how often progress is told.
const tellEvery = 250 * time.Millisecond

// ErrPartial is wrapped by the error of a run that has a result which is not whole.
var ErrPartial = errors.New("the result is partial")

// variant is a strategy after its sweep.
type variant struct {
	name, from string
	point      map[string]any
	strategy   Strategy
}

// Run runs every strategy with every seed. When ctx ends, or a replica fails, it
// returns what there is together with an error that wraps ErrPartial and the cause: the
// replicas that every strategy has; where ctx ended before there was one, the first of
// those that had passed their warm-up, stopped where they were, with no differences.
// Without any of them there is only the error.
func Run(ctx context.Context, s *Spec, o Options) (*Result, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	variants, err := s.variants()
	if err != nil {
		return nil, err
	}
	conditions, err := s.conditions(variants)
	if err != nil {
		return nil, err
	}
	expanded := *s
	expanded.Strategies = Ordered[Strategy]{}
	for _, v := range variants {
		expanded.Strategies.Set(v.name, v.strategy)
	}
	engine, err := wasm.NewEngine(wasm.EngineConfig{})
	if err != nil {
		return nil, fmt.Errorf("start the Wasm engine: %w", err)
	}
	defer engine.Close()
	t := &trial{spec: &expanded, o: o, engine: engine, variants: variants, replicas: make([][]*replica, len(variants)), cut: make([]*replica, len(variants)), reached: map[*atomic.Int64]bool{}}
	for i := range t.replicas {
		t.replicas[i] = make([]*replica, s.replicas())
	}
	cause := t.runAll(ctx)
	res := t.result(s)
	if cause != nil {
		res.Partial = cause.Error()
		if len(res.Strategies) == 0 && ctx.Err() != nil {
			t.begun(res)
		}
		if len(res.Strategies) == 0 {
			return nil, cause
		}
		return res, fmt.Errorf("%w: %w", ErrPartial, cause)
	}
	res.Thresholds = judge(res, conditions)
	return res, nil
}

// trial is a Run under way.
type trial struct {
	spec     *Spec // with the sweeps unrolled
	o        Options
	engine   *wasm.Engine
	variants []variant

	mu       sync.Mutex   // guards what follows
	replicas [][]*replica // by variant and number
	cut      []*replica   // by variant: the first one, where it was stopped
	done     int
	reached  map[*atomic.Int64]bool // how far those under way are, ns
}

// runAll runs the replicas, all strategies of one seed before the next, so that a run
// that is stopped early has compared them all.
func (t *trial) runAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type job struct{ variant, replica int }
	jobs := make(chan job)
	var wg sync.WaitGroup
	workers := t.o.Parallel
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	for range workers {
		wg.Go(func() {
			for j := range jobs {
				if err := t.one(ctx, j.variant, j.replica); err != nil {
					cancel(err)
				}
			}
		})
	}
	stop := t.tellAlong()
	defer stop()
	for replica := range t.spec.replicas() {
		for v := range t.variants {
			select {
			case jobs <- job{v, replica}:
			case <-ctx.Done():
			}
		}
	}
	close(jobs)
	wg.Wait()
	return context.Cause(ctx)
}

// tellAlong tells of the progress until the function it returns has been called.
func (t *trial) tellAlong() func() {
	if t.o.Progress == nil {
		return func() {}
	}
	ticks, stop := time.NewTicker(tellEvery), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-ticks.C:
				t.mu.Lock()
				t.tellLocked()
				t.mu.Unlock()
			}
		}
	})
	return func() {
		ticks.Stop()
		close(stop)
		wg.Wait()
	}
}

// tellLocked tells how far all replicas together are.
func (t *trial) tellLocked() {
	if t.o.Progress == nil {
		return
	}
	p := Progress{Done: t.done, Total: len(t.variants) * t.spec.replicas()}
	ran := float64(t.done)
	for reached := range t.reached {
		ran += min(float64(reached.Load())/float64(t.spec.Duration), 1)
	}
	p.Share = ran / float64(p.Total)
	t.o.Progress(p)
}

// under keeps count of a replica that is under way, until the function it returns is called.
func (t *trial) under(reached *atomic.Int64) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reached[reached] = true
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.reached, reached)
	}
}

// one runs one replica of one strategy.
func (t *trial) one(ctx context.Context, v, replica int) (err error) {
	if ctx.Err() != nil {
		return nil // another has failed, or the caller stopped
	}
	name := t.variants[v].name
	rig, err := newRig(ctx, t.spec, name, replica, t.engine, t.o.Inline)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	c := sim.Config{Seed: t.spec.seed(), Replica: uint64(replica), Start: virtualStart, Duration: time.Duration(t.spec.Duration), Warmup: t.spec.warmup(),
		Group: rig.group, Core: rig.core, Retry: t.variants[v].strategy.retry(), Tick: rig.tick(), MaxEvents: t.o.MaxEvents}
	for name, sc := range t.spec.Scenarios.All() {
		built, err := sc.build(t.spec, name)
		if err != nil {
			return err
		}
		c.Scenarios = append(c.Scenarios, built)
	}
	for name, u := range t.spec.Upstreams.All() {
		c.Upstreams = append(c.Upstreams, sim.Upstream{Name: name, Config: u.config()})
	}
	c.Halt, c.Cause = &rig.halt, func() error {
		if _, _, err := rig.faulted(); err != nil {
			return err
		}
		return context.Cause(ctx)
	}
	defer context.AfterFunc(ctx, func() { rig.halt.Store(true) })()
	c.Reached = &atomic.Int64{}
	ended := t.under(c.Reached)
	outcome, err := sim.Run(c)
	ended()
	fault, faults, budget := rig.faulted()
	if replica == 0 && budget == nil && ctx.Err() != nil && err != nil && outcome != nil && outcome.Measured > 0 {
		t.keep(v, t.digest(outcome, fault, faults), outcome.Measured)
	}
	if err := errors.Join(err, budget); err != nil {
		return fmt.Errorf("strategy %s, replica %d: %w", name, replica, err)
	}
	if err := outcome.CheckLittle(); err != nil {
		return fmt.Errorf("strategy %s, replica %d: %w", name, replica, err)
	}
	digest := t.digest(outcome, fault, faults)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replicas[v][replica] = digest
	t.done++
	t.tellLocked()
	return nil
}

// digest is what is kept of a replica whose policies failed so often, first with fault.
func (t *trial) digest(o *sim.Outcome, fault *policy.Fault, faults uint64) *replica {
	o.PolicyFaults = faults
	d := t.spec.digest(Metrics(), o)
	if fault != nil {
		d.fault = fault.Error()
	}
	return d
}

// result summarises the replicas that every strategy has.
func (t *trial) result(s *Spec) *Result {
	res := &Result{Schema: Schema, Spec: s, Metrics: Metrics(), Strategies: []StrategyResult{}}
	whole := t.whole()
	if whole == 0 {
		return res
	}
	for i, v := range t.variants {
		r := t.spec.summarize(v, t.replicas[i][:whole], res.Metrics)
		if i > 0 {
			r.Differences = map[string]stats.Difference{}
			for _, m := range res.Metrics {
				r.Differences[m.Name] = stats.Paired(r.Values[m.Name], res.Strategies[0].Values[m.Name])
			}
		}
		res.Strategies = append(res.Strategies, r)
	}
	return res
}

// whole is how many replicas, from the first on, every strategy has.
func (t *trial) whole() int {
	for replica := range t.spec.replicas() {
		for v := range t.variants {
			if t.replicas[v][replica] == nil {
				return replica
			}
		}
	}
	return t.spec.replicas()
}

// variants unrolls the sweeps.
func (s *Spec) variants() ([]variant, error) {
	var all []variant
	for name, st := range s.Strategies.All() {
		points := []map[string]any{nil}
		for param, values := range st.Sweep.All() {
			if len(values) == 0 {
				return nil, fmt.Errorf("strategies.%s.sweep.%s: want at least one value", name, param)
			}
			var next []map[string]any
			for _, p := range points {
				for _, v := range values {
					q := map[string]any{param: v}
					for k, w := range p {
						q[k] = w
					}
					next = append(next, q)
				}
			}
			if points = next; len(points) > MaxStrategies {
				return nil, fmt.Errorf("strategies.%s.sweep: more than %d combinations", name, MaxStrategies)
			}
		}
		for _, p := range points {
			all = append(all, newVariant(name, st, p))
		}
	}
	if len(all) > MaxStrategies {
		return nil, fmt.Errorf("strategies: more than %d with their sweeps", MaxStrategies)
	}
	return all, nil
}

func newVariant(name string, st Strategy, point map[string]any) variant {
	v := variant{name: name, strategy: st}
	if point == nil {
		return v
	}
	params := map[string]any{}
	for k, w := range st.Params {
		params[k] = w
	}
	var label []string
	for _, k := range st.Sweep.Names() {
		params[k] = point[k]
		text, err := json.Marshal(point[k])
		if err != nil {
			text = []byte("?")
		}
		label = append(label, k+"="+strings.Trim(string(text), `"`))
	}
	v.strategy.Params, v.strategy.Sweep = params, Ordered[[]any]{}
	v.from, v.point = name, point
	v.name = name + "[" + strings.Join(label, ",") + "]"
	return v
}

// finite reports whether v can be compared.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
