package browser

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Pool runs jobs in browsers. It is safe for concurrent use and works from New on;
// Stop ends it.
type Pool struct {
	log        *slog.Logger
	core       *admission.Core
	driver     *admission.Driver
	config     atomic.Pointer[Config]
	schema     *metrics.Schema
	profiles   profiles
	counts     counters
	launches   *metrics.Histogram
	opens      *metrics.Histogram
	launchGate chan struct{}

	base   context.Context // of whatever outlives the operation that began it
	cancel context.CancelFunc
	wg     sync.WaitGroup // all goroutines

	mu           sync.Mutex // guards what follows
	instances    map[uint64]*instance
	nextInstance uint64
	launching    map[kind]int
	failures     map[kind]*failure
	waiters      []*waiter
	leases       map[string]*Lease
	maintained   bool
	stopped      bool
	running      int           // jobs and leases
	idle         chan struct{} // closed when running gets to 0 while stopping
}

// New returns a pool, or what is wrong with its Config. It launches nothing.
func New(c Config) (*Pool, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("browser: %w", err)
	}
	core, err := admission.New(admission.Options{Subsystem: policy.SubsystemBrowser, Slot: c.Slot, Config: c.admission(), Random: c.Random})
	if err != nil {
		return nil, fmt.Errorf("browser: %w", err)
	}
	p := &Pool{
		log: c.Log, core: core, driver: admission.NewDriver(core, c.Clock, c.After),
		schema: metrics.NewSchema(policy.SubsystemBrowser, fields()...), profiles: profiles{root: c.Dir},
		launches: metrics.NewHistogram(), opens: metrics.NewHistogram(), launchGate: make(chan struct{}, c.launches()),
		instances: map[uint64]*instance{}, launching: map[kind]int{}, failures: map[kind]*failure{}, leases: map[string]*Lease{},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if c.Launcher == nil {
		c.Launcher = ExecLauncher{}
	}
	if p.profiles.root == "" {
		p.profiles.root = defaultRoot()
	}
	p.config.Store(&c)
	p.base, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Start removes profiles that an earlier process left, and begins to launch the
// browsers that are to be kept ready. A browser that cannot be launched is logged
// and told by Health: the pool may be needed by nobody.
func (p *Pool) Start(context.Context) error {
	switch n, err := p.profiles.sweep(); {
	case err != nil:
		p.log.Warn("profiles of earlier browsers were not removed", "dir", p.profiles.root, "error", err)
	case n > 0:
		p.log.Info("profiles of earlier browsers were removed", "dir", p.profiles.root, "pools", n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grantLocked()
	return nil
}

// SetConfig puts the live fields of c in force. On an error nothing has changed.
func (p *Pool) SetConfig(c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("browser: %w", err)
	}
	if err := p.driver.SetConfig(c.admission()); err != nil {
		return fmt.Errorf("browser: %w", err)
	}
	next := *p.config.Load()
	next.Admission, next.Extensions = c.Admission, c.Extensions
	next.MinBrowsers, next.MaxBrowsers, next.MaxTabs = c.MinBrowsers, c.MaxBrowsers, c.MaxTabs
	next.JobTimeout, next.LeaseTimeout, next.IdleTimeout = c.JobTimeout, c.LeaseTimeout, c.IdleTimeout
	next.MaxAge, next.MaxTasks, next.MaxMemory = c.MaxAge, c.MaxTasks, c.MaxMemory
	p.config.Store(&next)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grantLocked()
	return nil
}

// Stop denies new jobs, waits for those under way, and ends each lease once it runs
// none. When ctx ends first it cuts them, and the error says so. Then it ends all
// browsers and removes their files. Calling it again waits again.
func (p *Pool) Stop(ctx context.Context) error {
	p.core.Close()
	p.mu.Lock()
	if p.idle == nil {
		p.idle = make(chan struct{})
		if p.running == 0 {
			close(p.idle)
		}
	}
	idle := p.idle
	for _, l := range p.leases {
		p.wg.Go(l.endIdle)
	}
	p.mu.Unlock()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fmt.Errorf("browser: stop: jobs were cut: %w", ctx.Err())
	}
	p.driver.Cut()
	p.cancel()
	p.mu.Lock()
	p.stopped = true
	for _, x := range p.waiters {
		x.ready <- grant{err: ErrStopped}
	}
	p.waiters = nil
	for _, in := range p.instances {
		in.draining = true
		select {
		case <-in.stop:
		default:
			close(in.stop)
		}
	}
	p.mu.Unlock()
	p.wg.Wait()
	if endErr := p.profiles.end(); endErr != nil && err == nil {
		err = fmt.Errorf("browser: stop: %w", endErr)
	}
	return err
}

// enter counts a job or a lease as running until leave is called. Stop waits for it.
func (p *Pool) enter() (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running++
	if p.stopped {
		return p.leave // admission will deny it
	}
	p.wg.Add(1)
	return func() {
		p.leave()
		p.wg.Done()
	}
}

func (p *Pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	if p.running > 0 || p.idle == nil {
		return
	}
	select {
	case <-p.idle:
	default:
		close(p.idle)
	}
}

// Core returns the admission of the pool, for status and explanations.
func (p *Pool) Core() *admission.Core { return p.core }

// Dir is the folder below which browsers keep their files while they run.
func (p *Pool) Dir() string { return p.profiles.root }

// Health is nil while browsers can be launched, as far as is known: a launch that
// failed and was not made good since is an error.
func (p *Pool) Health() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.failures {
		return f.err
	}
	return nil
}
