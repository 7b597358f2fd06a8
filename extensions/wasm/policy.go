package wasm

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// Policy is a loaded module with its instances, in a runtime of its own. It is safe for concurrent use.
type Policy struct {
	name     string
	digest   string
	files    []string
	manifest Manifest
	probe    bool // loaded without parameters
	options  policy.Options
	hooks    policy.Hooks // of the module
	scope    *natives.Scope
	log      *slog.Logger

	runtime             wazero.Runtime
	compiled            wazero.CompiledModule
	fuelName, depthName string
	fuel                int64
	pages               uint32
	recycleAt           uint64 // bytes of memory
	params              map[string]string
	config              []byte
	declared            declarations

	slots     []slot
	block     atomic.Pointer[[]byte]
	refillErr atomic.Pointer[error]

	done    chan struct{}
	refills sync.WaitGroup
	mu      sync.Mutex // guards closing
	closing bool
}

// Name returns the policy's name.
func (p *Policy) Name() string { return p.name }

// Hooks returns the hooks the module has.
func (p *Policy) Hooks() policy.Hooks { return p.hooks }

// Options returns the manifest's options under the operator's, with isolation and budget filled in.
func (p *Policy) Options() policy.Options { return p.options }

// Files lists the files the policy was read from.
func (p *Policy) Files() []string { return p.files }

// Digest returns "sha256:" and the digits of the module as it came.
func (p *Policy) Digest() string { return p.digest }

// Manifest returns what the module says about itself.
func (p *Policy) Manifest() Manifest { return p.manifest }

// Guests counts the instances: those that no hook uses, and all.
func (p *Policy) Guests() (idle, total int) {
	for i := range p.slots {
		if p.slots[i].busy.Load() == 0 {
			idle++
		}
	}
	return idle, len(p.slots)
}

// OnRequest asks the module before an attempt.
func (p *Policy) OnRequest(req *policy.Request, d *policy.Decision) error {
	return p.ask(policy.HookRequest, req, nil, nil, d)
}

// OnRoute asks the module which upstream.
func (p *Policy) OnRoute(req *policy.Request, ups []policy.Upstream, d *policy.Decision) error {
	return p.ask(policy.HookRoute, req, nil, ups, d)
}

// OnResponse shows the module an answer.
func (p *Policy) OnResponse(req *policy.Request, res *policy.Response, d *policy.Decision) error {
	return p.ask(policy.HookResponse, req, res, nil, d)
}

// OnDone shows the module the end of an attempt.
func (p *Policy) OnDone(req *policy.Request, res *policy.Response) error {
	var none policy.Decision
	return p.ask(policy.HookDone, req, res, nil, &none)
}

func (p *Policy) ask(hook policy.Hook, req *policy.Request, res *policy.Response, ups []policy.Upstream, d *policy.Decision) error {
	if !p.hooks.Has(hook) {
		return nil
	}
	s, err := p.acquire(hook, req.Key)
	if err != nil {
		return err
	}
	defer p.release(s)
	s.broken = true // until it is known better, should something panic
	g := s.guest
	g.call.Begin(req, res)
	g.upstreams = ups
	word, err := g.run(hook, g.encode(hook, req, res, ups))
	if err != nil {
		g.end()
		return err
	}
	kind, err := g.decode(hook, word, d)
	g.end()
	s.broken = false
	if err != nil {
		return &policy.Fault{Policy: p.name, Hook: hook, Kind: kind, Err: err}
	}
	return nil
}

// OnTick keeps the metrics block for all hooks and tells every guest. The error is that of the first guest that failed.
func (p *Policy) OnTick(t *policy.Tick) error {
	p.keepBlock(t.Block)
	if !p.hooks.Has(policy.HookTick) {
		return nil
	}
	select {
	case <-p.done:
		return policy.ErrClosed
	default:
	}
	var first error
	for i := range p.slots {
		if err := p.tick(&p.slots[i], t); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (p *Policy) tick(s *slot, t *policy.Tick) error {
	timer := time.NewTimer(p.options.Budget)
	defer timer.Stop()
	if !s.take(timer.C) {
		select {
		case <-p.done:
			return policy.ErrClosed
		default:
			return p.busyFault(policy.HookTick)
		}
	}
	if s.guest == nil {
		p.replace(s)
		return nil
	}
	defer p.release(s)
	s.broken = true
	g := s.guest
	g.call.BeginTick(t)
	word, err := g.run(policy.HookTick, g.encodeTick(t))
	if err != nil {
		g.end()
		return err
	}
	var none policy.Decision
	kind, err := g.decode(policy.HookTick, word, &none)
	g.end()
	s.broken = false
	if err != nil {
		return &policy.Fault{Policy: p.name, Hook: policy.HookTick, Kind: kind, Err: err}
	}
	return nil
}

// keepBlock copies the block of a tick, which is the host's again after it; one that did not change is not copied.
func (p *Policy) keepBlock(block []byte) {
	if len(block) < metrics.BlockHeader {
		return
	}
	if old := p.block.Load(); old == nil || string((*old)[:8]) != string(block[:8]) {
		b := append([]byte(nil), block...)
		p.block.Store(&b)
	}
}

// Close waits for the hooks that run, then frees the guests and their code. Hooks called later return policy.ErrClosed.
// Calling it again does nothing.
func (p *Policy) Close() error {
	p.mu.Lock()
	if p.closing {
		p.mu.Unlock()
		return nil
	}
	p.closing = true
	p.mu.Unlock()
	close(p.done)
	p.refills.Wait()
	for i := range p.slots {
		p.slots[i].take(nil)
	}
	p.shut()
	return nil
}
