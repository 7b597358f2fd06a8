package files

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Manager works on the files of its roots under policy. It is safe for concurrent
// use between Start and Stop.
type Manager struct {
	log    *slog.Logger
	core   *admission.Core
	driver *admission.Driver
	roots  []*root // by name
	groups map[string]*route.Group
	live   atomic.Pointer[Config]
	schema *metrics.Schema
	locks  stripes
	bufs   buffers
	counts counters
	step   func(name string) // of a test that crashes there; nil none

	cut    chan struct{}  // closed when operations under way are to end
	cutted sync.Once      // guards the closing
	loop   sync.WaitGroup // the goroutine that looks after the roots
	rescan chan struct{}  // asks it to count now

	mu      sync.Mutex
	started bool                 // guarded by mu
	calls   int                  // operations under way; guarded by mu
	idle    chan struct{}        // closed when calls gets to 0 while stopping; guarded by mu
	closed  bool                 // guarded by mu
	watches map[*Watch]struct{}  // guarded by mu
	readers map[*Reader]struct{} // open; guarded by mu
}

// New returns a manager, or what is wrong with its Config. It opens nothing.
func New(c Config) (*Manager, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	core, err := admission.New(admission.Options{Subsystem: policy.SubsystemFiles, Slot: c.Slot, Config: c.admission()})
	if err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	m := &Manager{
		log: c.Log, core: core, driver: admission.NewDriver(core, c.Clock, c.After), groups: map[string]*route.Group{},
		cut: make(chan struct{}), rescan: make(chan struct{}, 1),
		watches: map[*Watch]struct{}{}, readers: map[*Reader]struct{}{},
	}
	m.locks.seed = maphash.MakeSeed()
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.live.Store(&c)
	for _, name := range rootNames(c.Roots) {
		r, conf := &root{name: name, m: m}, c.Roots[name]
		r.conf.Store(&conf)
		r.free.Store(-1)
		m.roots = append(m.roots, r)
	}
	m.schema = metrics.NewSchema(policy.SubsystemFiles, m.fields()...)
	if err := m.group(); err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	return m, nil
}

// group makes a group of upstreams for each root: the root itself, and all others
// for policies that name them. They share their live numbers.
func (m *Manager) group() error {
	var shared *route.Group
	for _, own := range m.roots {
		ups := make([]route.Upstream, 0, len(m.roots))
		for _, r := range m.roots {
			u := route.Upstream{Name: r.name, URL: &url.URL{Scheme: "file", Host: r.name, Path: "/"}, Host: r.name, ID: r.name}
			if r == own {
				u.Weight = 1
			}
			ups = append(ups, u)
		}
		g, err := route.NewGroup(ups, shared)
		if err != nil {
			return err
		}
		if shared == nil {
			shared = g
		}
		m.groups[own.name] = g
	}
	return nil
}

// Start opens the roots, removes what crashed processes left of writes, and counts
// roots with a quota. When it fails, what it opened is closed again.
func (m *Manager) Start(ctx context.Context) error {
	for _, r := range m.roots {
		if err := m.openRoot(ctx, r); err != nil {
			return errors.Join(fmt.Errorf("files: %w", err), m.closeRoots())
		}
	}
	m.mu.Lock()
	m.started = true
	m.mu.Unlock()
	if len(m.roots) > 0 {
		m.loop.Go(m.lookAfter)
	}
	return nil
}

func (m *Manager) closeRoots() error {
	var errs []error
	for _, r := range m.roots {
		errs = append(errs, r.close())
		r.dir = nil
	}
	return errors.Join(errs...)
}

// SetConfig puts the live fields of c in force. On an error nothing has changed.
func (m *Manager) SetConfig(c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	if err := m.driver.SetConfig(c.admission()); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	m.live.Store(&c)
	for _, r := range m.roots {
		if conf, ok := c.Roots[r.name]; ok {
			conf.Path = r.conf.Load().Path
			r.conf.Store(&conf)
		}
	}
	select {
	case m.rescan <- struct{}{}:
	default: // it is about to
	}
	return nil
}

// Stop denies new operations and waits for those under way; held ones still go.
// When ctx ends first it cuts them: each ends at its next block of bytes with
// nothing half done, and the error says so. Watches and open Readers end at once.
// Calling it again waits again.
func (m *Manager) Stop(ctx context.Context) error {
	m.core.Close()
	m.mu.Lock()
	if m.idle == nil {
		m.idle = make(chan struct{})
		if m.calls == 0 {
			close(m.idle)
		}
	}
	idle, first := m.idle, !m.closed && m.started
	m.closed = true
	m.mu.Unlock()
	m.endWatches()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fmt.Errorf("files: stop: operations were cut: %w", ctx.Err())
	}
	m.driver.Cut()
	m.cutted.Do(func() { close(m.cut) })
	m.loop.Wait()
	m.endReaders()
	if first {
		<-idle // each looks at cut before its next block
		err = errors.Join(err, m.closeRoots())
	}
	return err
}

// enter counts an operation as under way, and reports whether there are roots to
// work on. One that begins while the manager stops is denied by the admission.
func (m *Manager) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.started {
		return false
	}
	m.calls++
	return true
}

var errNotStarted = errors.New("the manager has not started")

func (m *Manager) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls--
	if m.calls > 0 || m.idle == nil {
		return
	}
	select {
	case <-m.idle:
	default:
		close(m.idle)
	}
}

// lookEvery is how often free space is asked for.
const lookEvery = time.Second

// lookAfter keeps the numbers of the roots true: free space every second, and what
// roots with a quota hold every Rescan, for other programs change them too.
func (m *Manager) lookAfter() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		now := false
		select {
		case <-m.cut:
			return
		case <-m.rescan:
			now = true
		case <-tick.C:
		}
		every := m.live.Load().Rescan
		due := every > 0 && time.Since(last) >= every
		for _, r := range m.roots {
			r.look()
			quota := r.conf.Load().quota()
			if quota.none() || !due && !(now && !r.counted.Load()) {
				continue
			}
			if err := r.count(context.Background()); err != nil && !errors.Is(err, errCut) {
				m.log.Warn("a root could not be counted", "root", r.name, "error", err)
			}
		}
		if due {
			last = time.Now()
		}
	}
}

// alive returns why an operation under way is to end, nil for none.
func (m *Manager) alive(ctx context.Context) error {
	select {
	case <-m.cut:
		return errCut
	default:
		return ctx.Err()
	}
}

// unique is a name that nobody else has.
func (m *Manager) unique() string { return rand.Text() }

// Core returns the admission of the manager, for status and explanations.
func (m *Manager) Core() *admission.Core { return m.core }

// at lets a test stop the process at a step of a write.
func (m *Manager) at(step string) {
	if m.step != nil {
		m.step(step)
	}
}
