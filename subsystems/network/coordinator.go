package network

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Coordinator resolves names and opens connections under policy. It is safe for
// concurrent use and works from New on; Stop ends it.
type Coordinator struct {
	log      *slog.Logger
	clock    admission.Clock
	core     *admission.Core
	driver   *admission.Driver
	schema   *metrics.Schema
	live     atomic.Pointer[liveConfig]
	resolver resolver
	hosts    hosts
	memory   memory
	rates    pair
	counts   counters
	calls    sync.Pool // of *policy.Response
	proxy    *proxy    // nil: none

	base   context.Context // ends when everything is cut
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	open map[*conn]struct{} // guarded by mu; nil once cut

	innerMu   sync.Mutex // guards what follows
	inner     *proxy     // of GuardedProxy, nil before
	innerDone bool
}

// liveConfig is what SetConfig changes besides what the parts keep themselves.
type liveConfig struct {
	denyPrivate               bool
	guard                     *guard
	dialTimeout, attemptDelay time.Duration
	maxConns, queueMax        int
	bandwidth                 Bandwidth
}

// New returns a Coordinator, or what is wrong with its Config. It reads the
// system's files of names, opens no connection and starts no goroutine.
func New(c Config) (*Coordinator, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	core, err := admission.New(admission.Options{Subsystem: policy.SubsystemNetwork, Slot: c.Slot, Config: c.Admission})
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	n := &Coordinator{log: c.Log, clock: c.Clock, core: core, open: make(map[*conn]struct{}),
		schema: metrics.NewSchema(policy.SubsystemNetwork, fields()...)}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.clock == nil {
		n.clock = admission.SystemClock()
	}
	n.driver = admission.NewDriver(core, n.clock, c.After)
	n.calls.New = func() any { return &policy.Response{} }
	n.base, n.cancel = context.WithCancel(context.Background())
	n.resolver.init(n.base, n.clock)
	n.hosts.init()
	n.memory.init()
	n.rates.start(Rate{}, n.clock())
	n.apply(&c)
	if c.ProxyListen != "" {
		n.proxy = newProxy(n, c.ProxyListen)
	}
	return n, nil
}

// Start opens the local proxy and watches the system's files of names.
func (n *Coordinator) Start(ctx context.Context) error {
	if n.proxy != nil {
		if err := n.proxy.start(ctx); err != nil {
			return fmt.Errorf("network: %w", err)
		}
	}
	if n.enter() {
		go func() {
			defer n.wg.Done()
			n.watch()
		}()
	}
	return nil
}

func (n *Coordinator) watch() {
	t := time.NewTicker(time.Duration(recheck))
	defer t.Stop()
	for {
		select {
		case <-n.base.Done():
			return
		case <-t.C:
			n.resolver.refresh()
		}
	}
}

// SetConfig puts the live fields of c in force. Connections that are open obey
// them from their next bytes on. On an error nothing has changed.
func (n *Coordinator) SetConfig(c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := n.driver.SetConfig(c.Admission); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	n.apply(&c)
	return nil
}

func (n *Coordinator) apply(c *Config) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.live.Store(&liveConfig{
		denyPrivate: c.DenyPrivate, guard: newGuard(c.AllowRanges), dialTimeout: c.DialTimeout, attemptDelay: c.AttemptDelay,
		maxConns: c.MaxConnsPerHost, queueMax: c.QueueMax, bandwidth: c.Bandwidth,
	})
	n.paceLocked()
	n.resolver.set(c.DNS)
}

// Bandwidth returns the bandwidth in force.
func (n *Coordinator) Bandwidth() Bandwidth { return n.live.Load().bandwidth }

// SetBandwidth puts a bandwidth in force, until the next SetConfig.
func (n *Coordinator) SetBandwidth(b Bandwidth) error {
	if err := b.check(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := *n.live.Load()
	l.bandwidth = b
	n.live.Store(&l)
	n.paceLocked()
	return nil
}

// paceLocked tells every level and connection the bounds in force.
func (n *Coordinator) paceLocked() {
	l, now := n.live.Load(), n.clock()
	n.rates.set(l.bandwidth.Global, now)
	n.hosts.set(l.maxConns, l.queueMax, l.bandwidth.PerHost, now)
	for k := range n.open {
		k.rates.set(l.bandwidth.PerConn, now)
	}
}

// Stop denies new work and lets what runs through the local proxy end. When ctx
// ends it cuts that, and the error says so; every connection that is still open is
// closed. Calling it again does nothing.
func (n *Coordinator) Stop(ctx context.Context) error {
	n.core.Close()
	var err error
	if n.proxy != nil {
		if err = n.proxy.stop(ctx); err != nil {
			err = fmt.Errorf("network: stop: the proxy's connections were cut: %w", err)
		}
	}
	if innerErr := n.stopInner(ctx); innerErr != nil && err == nil {
		err = fmt.Errorf("network: stop: the guarded proxy's connections were cut: %w", innerErr)
	}
	n.driver.Cut()
	n.cancel()
	n.mu.Lock()
	open := n.open
	n.open = nil
	n.mu.Unlock()
	for k := range open {
		_ = k.Close()
	}
	if n.proxy != nil {
		n.proxy.wait()
	}
	n.waitInner()
	n.wg.Wait()
	n.resolver.stop()
	return err
}

// Core returns the admission of the coordinator, for status and explanations.
func (n *Coordinator) Core() *admission.Core { return n.core }

// ProxyAddr returns the address that the local proxy serves, "" for none. It is
// known after Start.
func (n *Coordinator) ProxyAddr() string {
	if n.proxy == nil {
		return ""
	}
	return n.proxy.addr()
}

// Failing says what of the coordinator's own does not work; nil: all does. Servers
// and targets that fail are not its own.
func (n *Coordinator) Failing() []string {
	if n.proxy != nil && n.proxy.ended.Load() {
		return []string{"the local proxy has ended"}
	}
	return nil
}

// enter begins work that Stop waits for, unless everything is cut.
func (n *Coordinator) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open == nil {
		return false
	}
	n.wg.Add(1)
	return true
}

// keep makes a connection of raw, whose place h is given back when it closes.
func (n *Coordinator) keep(raw net.Conn, h *host) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open == nil {
		_ = raw.Close()
		return nil, net.ErrClosed
	}
	k := newConn(raw, n, h, n.live.Load().bandwidth.PerConn)
	n.open[k] = struct{}{}
	n.counts.opened.Add(1)
	return k, nil
}

// forget ends what keep began.
func (n *Coordinator) forget(k *conn) {
	n.mu.Lock()
	delete(n.open, k)
	n.mu.Unlock()
	n.hosts.release(k.host, n.clock())
}
