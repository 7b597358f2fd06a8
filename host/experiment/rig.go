package experiment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/host/generation"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// virtualStart is when virtual time begins: a Saturday at midnight, so that windows of
// the clock and of the run are the same.
const virtualStart = 946_684_800 * int64(time.Second) // 2000-01-01T00:00:00Z

// HookBudget bounds one hook in wall time. Time on the wall must not enter a
// decision, so a hook that needs more ends the run.
const HookBudget = time.Second

// Inline opens the hooks that an experiment's own script holds.
type Inline interface {
	// Open returns the policy of one strategy, with natives of scope. The caller closes it.
	Open(ctx context.Context, strategy string, scope *natives.Scope, random func() float64) (policy.Policy, policy.Match, error)
}

// rig is the production code set up for one replica of one strategy.
type rig struct {
	core     *admission.Core
	slot     *policy.Slot
	natives  *natives.Host
	group    *route.Group
	policies *generation.Manager // nil: a Go policy, or none
	inline   policy.Policy
	version  uint64
	source   *coreSource

	halt  atomic.Bool // the run is to end
	mu    sync.Mutex
	fault *policy.Fault // the first, or one that ends the run
	count uint64
}

// coreSource shows the numbers of admission to policies, as the API pool does.
type coreSource struct {
	schema *metrics.Schema
	core   *admission.Core
}

func (s *coreSource) Schema() *metrics.Schema { return s.schema }

func (s *coreSource) Read(dst []float64) []float64 { return s.core.AppendValues(dst[:0]) }

// newRig sets up strategy name for a replica.
func newRig(ctx context.Context, s *Spec, name string, replica int, engine *wasm.Engine, inline Inline) (*rig, error) {
	st, _ := s.Strategies.Get(name)
	rng := rand.New(rand.NewPCG(s.seed(), uint64(replica)^0xd1ce))
	r := &rig{slot: &policy.Slot{}}
	var err error
	if r.group, err = s.group(); err != nil {
		return nil, err
	}
	cfg := admission.DefaultConfig()
	cfg.Breaker.Enabled = false // it would be part of every strategy
	if st.Retry != nil || st.Kind == KindNone {
		cfg.MaxAttempts = 1
	}
	if r.core, err = admission.New(admission.Options{Subsystem: policy.SubsystemAPI, Slot: r.slot, Config: cfg, Random: rng.Float64, Alone: true}); err != nil {
		return nil, err
	}
	r.source = &coreSource{metrics.NewSchema(policy.SubsystemAPI, admission.Fields()...), r.core}
	r.natives = natives.NewHost(natives.HostConfig{Sources: []metrics.Source{r.source}})
	if err := r.open(ctx, s, name, &st, engine, inline, rng.Float64); err != nil {
		return nil, fmt.Errorf("strategies.%s: %w", name, err)
	}
	return r, nil
}

// open puts the policy of the strategy in force.
func (r *rig) open(ctx context.Context, s *Spec, name string, st *Strategy, engine *wasm.Engine, inline Inline, random func() float64) error {
	force := func(p policy.Policy, m policy.Match) {
		r.slot.Swap(policy.NewGeneration(1, policy.NewChain(policy.NewMember(p, policy.MemberConfig{Match: m, OnFault: r.onFault}))))
	}
	switch st.Kind {
	case KindLimiter:
		tx := r.natives.Begin(virtualStart)
		p, err := newLimiterPolicy(name, st, tx.Scope(natives.ScopeConfig{Policy: name, Local: true}))
		if err != nil {
			return err
		}
		tx.Commit()
		force(p, policy.Match{})
	case KindOracle:
		p, err := newOracle(s)
		if err != nil {
			return err
		}
		force(p, policy.Match{})
	case KindInline:
		if inline == nil {
			return fmt.Errorf("hooks can be given in a script only")
		}
		tx := r.natives.Begin(virtualStart)
		p, m, err := inline.Open(ctx, name, tx.Scope(natives.ScopeConfig{Policy: name, Local: true, Params: st.Params}), random)
		if err != nil {
			return err
		}
		tx.Commit()
		r.inline = p
		force(p, m)
	case KindPolicy:
		r.policies = generation.New(generation.Config{Slot: r.slot, Natives: r.natives, Wasm: engine, Clock: func() int64 { return virtualStart }, OnFault: r.onFault, Rand: random})
		use := st.Use
		if !strings.HasPrefix(use, bundle.StdPrefix) {
			use = s.file(use)
		}
		spec := generation.Spec{Use: use, Settings: bundle.Settings{Params: st.Params, Options: policy.Options{Budget: HookBudget}}}
		if _, err := r.policies.Load(ctx, []generation.Spec{spec}, true); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) onFault(f *policy.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	slow := f.Kind == policy.FaultBudget || f.Kind == policy.FaultBusy
	if r.fault == nil || slow {
		r.fault = f
	}
	if slow {
		r.halt.Store(true)
	}
}

// faulted returns the first fault and how many there were. A spent budget is an
// error: what it decides depends on the machine.
func (r *rig) faulted() (*policy.Fault, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil && (r.fault.Kind == policy.FaultBudget || r.fault.Kind == policy.FaultBusy) {
		return r.fault, r.count, fmt.Errorf("a hook took more than %v, so the run would depend on the machine: %w", HookBudget, r.fault)
	}
	return r.fault, r.count, nil
}

// tick tells the policies that a second has passed; nil where none listens.
func (r *rig) tick() func(now int64) {
	g := r.slot.Current()
	if g == nil || !g.Chain().Hooks().Has(policy.HookTick) {
		return nil
	}
	return func(now int64) {
		r.version++
		block := bytebufferpool.Get()
		defer bytebufferpool.Put(block)
		metrics.AppendBlock(block, r.version, r.source)
		view := r.natives.Numbers(policy.SubsystemAPI)
		defer view.Release()
		g.Chain().OnTick(&policy.Tick{Now: now, Block: block.B, Metrics: func(subsystem string) map[string]float64 {
			if subsystem != policy.SubsystemAPI {
				return nil
			}
			return view.Map()
		}})
	}
}

func (r *rig) close() error {
	if r.policies != nil {
		return r.policies.Close()
	}
	if old := r.slot.Swap(nil); old != nil {
		<-old.Retire()
	}
	if r.inline != nil {
		return r.inline.Close()
	}
	return nil
}

// group makes the upstreams that admission chooses among.
func (s *Spec) group() (*route.Group, error) {
	var ups []route.Upstream
	for name, u := range s.Upstreams.All() {
		host := name + ".invalid"
		ups = append(ups, route.Upstream{ID: "experiment/" + name, Name: name, Host: host, Weight: u.config().Weight,
			URL: &url.URL{Scheme: "https", Host: host}, Public: &url.URL{Scheme: "https", Host: host}})
	}
	return route.NewGroup(ups, nil)
}
