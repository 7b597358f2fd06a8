package js

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlclark/regexp2/v2"
	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// Budgets of wall time.
const (
	DefaultBudget = 5 * time.Millisecond // of one hook, where nobody says otherwise
	loadBudget    = 500 * time.Millisecond
	tickBudget    = 50 * time.Millisecond // of onTick, at least
)

// maxInstances bounds the guests of one policy.
const maxInstances = 256

// regexpTimeout bounds one backtracking match; regexp2 may take 150 ms more to notice.
const regexpTimeout = 50 * time.Millisecond

// goja reads the variable when a pattern is compiled, and there is no other way to
// bound a match, which no interrupt ends.
func init() { regexp2.DefaultMatchTimeout = regexpTimeout }

// Config is how a policy is opened. Scope is required.
type Config struct {
	Scope    *natives.Scope
	Override policy.Options // the operator's, before the policy's own
	// Instances is how many guests the isolation modes key and pool have; 0 is twice
	// GOMAXPROCS, 256 the most. The mode single has one.
	Instances int
	Standard  bool // a std/ policy: options.routes is allowed
	// Rand is Math.random of the guests: numbers from 0 to 1, without 1. It must be safe
	// for concurrent use where there are several guests. nil: truly random.
	Rand func() float64
	Log  *slog.Logger // nil: discarded
	// At names the object among the exports that holds the hooks, by its keys; nil: the
	// exports themselves. Other keys of that object are somebody else's.
	At []string
	// Check may refuse the policy before anything of it runs; nil: nobody does.
	Check func(*Bundle) error
	// Cover is told which statements ran; nil: nothing is counted, which is faster.
	Cover *Coverage
}

// Policy is an opened policy. It is safe for concurrent use; who opened it closes it.
type Policy struct {
	name    string
	source  Source
	scope   *natives.Scope
	program *program
	noop    *goja.Program // a function that does nothing
	kinds   *goja.Program // one function of each kind
	opts    policy.Options
	hooks   policy.Hooks
	rand    func() float64
	at      []string // where the hooks are
	plain   bool     // no policy: nothing is collected from the exports
	log     *slog.Logger
	clock   func() int64                               // of a script; nil: that of the call
	host    func(*guest, goja.FunctionCall) goja.Value // of a script

	dog    *watchdog
	ticks  uint64 // of the watchdog, in the budget
	groups []*group
	total  int

	closed   atomic.Bool
	stop     chan struct{}
	builders sync.WaitGroup // guests that are built again
}

// Open bundles, compiles and loads a policy. Its errors are *policy.LoadError. Names
// that it declares go into the transaction of the scope.
func Open(ctx context.Context, src Source, c Config) (*Policy, error) {
	if src.Path == "" {
		src.Path = src.Name + ".js"
	}
	src.whole = c.Cover != nil
	b, err := BundleSource(src)
	if err != nil {
		return nil, err
	}
	if c.Check != nil {
		if err := c.Check(&b); err != nil {
			return nil, err
		}
	}
	prog, err := compile(src, &b, c.Cover)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open policy %s: %w", src.Name, err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p := newPolicy(src, prog, c)
	if err := p.start(ctx, c); err != nil {
		p.dog.close()
		return nil, err
	}
	return p, nil
}

// newPolicy returns a policy without guests. Its watchdog runs.
func newPolicy(src Source, prog *program, c Config) *Policy {
	p := &Policy{name: src.Name, source: src, scope: c.Scope, program: prog, rand: c.Rand, at: c.At, log: c.Log, stop: make(chan struct{})}
	p.noop = goja.MustCompile("noop", "(function(){})", true)
	p.kinds = goja.MustCompile("kinds", "[function(){}, async function(){}, function*(){}]", true)
	p.opts.Budget = DefaultBudget
	p.dog = newWatchdog(time.Millisecond)
	return p
}

// start loads the first guest, reads its options, and makes the others.
func (p *Policy) start(ctx context.Context, c Config) error {
	first, err := newGuest(p)
	if err != nil {
		return err
	}
	own, err := p.readOptions(first, c)
	if err != nil {
		return err
	}
	p.opts = own
	p.ticks = p.dog.ticks(p.opts.Budget)
	p.hooks = first.hookSet()
	p.makeGroups(c.Instances)
	for _, g := range p.groups {
		for i := range g.seats {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("open policy %s: %w", p.name, err)
			}
			guest := first
			if first = nil; guest == nil {
				if guest, err = newGuest(p); err != nil {
					return err
				}
			}
			g.seats[i].guest = guest
		}
	}
	return nil
}

func (p *Policy) makeGroups(instances int) {
	if instances <= 0 {
		instances = 2 * runtime.GOMAXPROCS(0)
	}
	instances = min(instances, maxInstances)
	switch p.opts.Isolation {
	case policy.IsolationKey:
		for range instances {
			p.groups = append(p.groups, newGroup(1))
		}
	case policy.IsolationPool:
		p.groups = []*group{newGroup(instances)}
	default:
		instances = 1
		p.groups = []*group{newGroup(1)}
	}
	p.total = instances
}

// readOptions returns what the policy says about itself, with the operator's words
// before it and the defaults behind.
func (p *Policy) readOptions(g *guest, c Config) (policy.Options, error) {
	var own policy.Options
	fail := func(message, hint string, err error) (policy.Options, error) {
		e := &policy.LoadError{Policy: p.name, File: p.source.Path, Message: message, Hint: hint, Err: err}
		e.Line, e.Col, e.Source = p.program.bundle.find(p.source.entry(), "export const options")
		return own, e
	}
	if g.options != nil && !goja.IsUndefined(g.options) {
		var exported any
		err := g.guarded(p.dog.ticks(loadBudget), func() { exported = g.options.Export() })
		if err != nil {
			return own, g.loadError(err)
		}
		o, ok := exported.(map[string]any)
		if !ok {
			return fail("options: want an object, got "+kindName(g.options), "", nil)
		}
		if own, err = policy.ParseOptions(o); err != nil {
			return fail(err.Error(), "", err)
		}
	}
	if len(own.Routes) > 0 && !c.Standard {
		return fail("options.routes is for std/ policies", "routes are the operator's: gaia run "+p.source.Path+" --route NAME=URL", nil)
	}
	if _, err := policy.ParseMatch(c.Override.Match); err != nil {
		return fail(err.Error(), "the operator's configuration says so", err)
	}
	opts := own.Override(c.Override)
	if opts.Budget <= 0 {
		opts.Budget = DefaultBudget
	}
	if opts.Isolation == "" {
		opts.Isolation = policy.IsolationSingle
	}
	if opts.OnFailure == "" {
		opts.OnFailure = policy.FailOpen
	}
	return opts, nil
}

// Name returns the policy's name.
func (p *Policy) Name() string { return p.name }

// Hooks says which hooks are worth calling.
func (p *Policy) Hooks() policy.Hooks { return p.hooks }

// Options returns what is in force: the policy's, the operator's over them, and the
// defaults.
func (p *Policy) Options() policy.Options { return p.opts }

// Files lists the entry and all imported files, as a watcher finds them.
func (p *Policy) Files() []string { return p.program.bundle.Files() }

// Digest identifies the text of all files: "sha256:...".
func (p *Policy) Digest() string { return p.program.bundle.Digest() }

// Guests counts the guests that wait for a call, and all.
func (p *Policy) Guests() (idle, total int) {
	for _, g := range p.groups {
		for i := range g.seats {
			if !g.seats[i].busy.Load() {
				idle++
			}
		}
	}
	return idle, p.total
}

// OnRequest asks before an attempt.
func (p *Policy) OnRequest(req *policy.Request, d *policy.Decision) error {
	return p.about(policy.HookRequest, req, nil, nil, d)
}

// OnRoute asks for an upstream.
func (p *Policy) OnRoute(req *policy.Request, upstreams []policy.Upstream, d *policy.Decision) error {
	return p.about(policy.HookRoute, req, nil, upstreams, d)
}

// OnResponse shows an answer at its headers.
func (p *Policy) OnResponse(req *policy.Request, res *policy.Response, d *policy.Decision) error {
	return p.about(policy.HookResponse, req, res, nil, d)
}

// OnDone shows the end of an attempt.
func (p *Policy) OnDone(req *policy.Request, res *policy.Response) error {
	return p.about(policy.HookDone, req, res, nil, nil)
}

// about runs a hook that is about a request.
func (p *Policy) about(h policy.Hook, req *policy.Request, res *policy.Response, ups []policy.Upstream, d *policy.Decision) error {
	if !p.hooks.Has(h) {
		return nil
	}
	s, err := p.lease(p.groupFor(req.Key), h)
	if err != nil {
		return err
	}
	g := s.guest
	g.call.Begin(req, res)
	g.upstreams = ups
	g.args[0] = g.req
	switch h {
	case policy.HookRoute:
		g.args[1] = g.list
	case policy.HookRequest:
		g.args[1] = goja.Undefined()
	default:
		g.args[1] = g.res
	}
	err = g.ask(h, p.ticks, d)
	g.call.End()
	g.upstreams = nil
	if err == nil {
		s.finish()
		return nil
	}
	return p.failed(s, h, err)
}

func (p *Policy) groupFor(key string) *group {
	if len(p.groups) == 1 {
		return p.groups[0]
	}
	return p.groups[natives.Hash(key)%uint64(len(p.groups))]
}

var errBusy = errors.New("no guest became free in time")

// lease returns a seat with a guest, or the fault that there is none.
func (p *Policy) lease(g *group, h policy.Hook) (*seat, error) {
	s := g.try()
	if s == nil {
		s = g.wait(p.opts.Budget+waitGrace, p.stop)
	}
	if p.closed.Load() {
		if s != nil {
			s.release()
		}
		return nil, policy.ErrClosed
	}
	if s == nil {
		return nil, &policy.Fault{Policy: p.name, Hook: h, Kind: policy.FaultBusy, Err: errBusy}
	}
	if len(g.seats) > 1 {
		g.next.Add(1)
	}
	if s.guest == nil {
		err := s.err
		p.rebuild(s)
		return nil, &policy.Fault{Policy: p.name, Hook: h, Kind: policy.FaultBusy, Err: fmt.Errorf("the guest could not be built again: %w", err)}
	}
	return s, nil
}

// failed ends a hook that did not answer, and frees its seat: at once, or when a new
// guest took the place of one that was cut off.
func (p *Policy) failed(s *seat, h policy.Hook, err error) error {
	f := s.guest.fault(h, err)
	if !ruined(err) {
		s.release()
		return f
	}
	if p.opts.Isolation != policy.IsolationPool {
		p.log.Warn("a guest was cut off and is built again: its module variables start anew",
			"policy", p.name, "hook", h.String(), "kind", f.Kind.String(), "at", f.Where)
	}
	p.rebuild(s)
	return f
}

// rebuild puts a new guest in a seat that the caller holds, off the path of requests,
// and frees the seat.
func (p *Policy) rebuild(s *seat) {
	if s.guest != nil {
		p.dog.remove(s.guest.watch)
		s.guest = nil
	}
	p.builders.Go(func() {
		defer s.release()
		if s.guest, s.err = newGuest(p); s.err != nil {
			p.log.Error("a guest could not be built again", "policy", p.name, "error", s.err)
		}
	})
}

// OnTick tells every guest that a second has passed.
func (p *Policy) OnTick(t *policy.Tick) error {
	if !p.hooks.Has(policy.HookTick) {
		return nil
	}
	if p.closed.Load() {
		return policy.ErrClosed
	}
	var errs []error
	for _, g := range p.groups {
		for i := range g.seats {
			if err := p.tickSeat(&g.seats[i], t); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// tickSeat ticks one guest. One that is busy all the time of the budget is passed over:
// the next tick is a second away.
func (p *Policy) tickSeat(s *seat, t *policy.Tick) error {
	if !s.busy.CompareAndSwap(false, true) && !p.take(s) {
		return &policy.Fault{Policy: p.name, Hook: policy.HookTick, Kind: policy.FaultBusy, Err: errBusy}
	}
	g := s.guest
	if g == nil || g.hooks[policy.HookTick] == nil {
		s.release()
		return nil
	}
	g.call.BeginTick(t)
	g.args[0], g.args[1] = g.tick, goja.Undefined()
	err := g.ask(policy.HookTick, max(p.ticks, p.dog.ticks(tickBudget)), nil)
	g.call.End()
	if err == nil {
		s.release()
		return nil
	}
	return p.failed(s, policy.HookTick, err)
}

// take waits for one seat. It looks once a millisecond: ticks are rare and nobody waits
// for them.
func (p *Policy) take(s *seat) bool {
	until := time.NewTimer(tickBudget)
	defer until.Stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !s.busy.CompareAndSwap(false, true) {
		select {
		case <-again.C:
		case <-until.C:
			return false
		case <-p.stop:
			return false
		}
	}
	return true
}

// Close waits for running hooks and frees the guests. A second Close does nothing.
func (p *Policy) Close() error {
	if !p.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(p.stop)
	for _, g := range p.groups {
		for range g.seats {
			g.wait(0, nil).guest = nil // and stays taken
		}
	}
	p.builders.Wait()
	p.dog.close()
	return nil
}
