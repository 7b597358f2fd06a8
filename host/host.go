package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/host/gateway"
	"github.com/gaia-host/gaia/host/generation"
	"github.com/gaia-host/gaia/host/work"
	"github.com/gaia-host/gaia/subsystems/api"
	"github.com/gaia-host/gaia/subsystems/files"
	"github.com/gaia-host/gaia/subsystems/network"
	"github.com/gaia-host/gaia/subsystems/process"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are what a Host is given besides its configuration. The zero Options
// are usable.
type Options struct {
	// Policies are the references of the command line, in order.
	Policies []string
	// ReadConfig reads the configuration again for a reload; nil keeps the one given
	// to New.
	ReadConfig func() (*config.Config, error)
	// ConfigFile is watched besides the policies' files; "" none.
	ConfigFile string
	// LockFile, where it is not "", is what policies are held to, at each load: see Lock.
	LockFile string
	// CacheDir keeps compiled Wasm; "" only in memory.
	CacheDir string
	// Shim is the command that sets the limits of a process and becomes its program:
	// it ends in process.Exec. nil: a start with such limits is refused.
	Shim    []string
	Version string
	Getenv  func(name string) (string, bool) // nil: os.LookupEnv
	Log     *slog.Logger                     // nil: discarded
	// Store counts limiters that several hosts have in common: those of Leases, by the
	// name that gaia limits shows, such as quota/pace or limits.api.per_key. The number is
	// how many units this host holds at a time for each key. nil: every host counts for
	// itself.
	Store  limit.Granter
	Leases map[string]int64
	// OnReload is told how each change of policies or configuration ended, on the
	// goroutine that made it; nil: nobody.
	OnReload func(ReloadEvent)

	rehearse *rehearsing // nil: it serves
}

// Host is one running gaia. Methods are safe for concurrent use. Start and Stop
// work once.
type Host struct {
	o     Options
	log   *slog.Logger
	clock func() int64
	cfg   atomic.Pointer[config.Config]

	slot     policy.Slot
	natives  *natives.Host
	wasm     *wasm.Engine
	policies *generation.Manager
	fetch    *remote.Store
	parts    []part // the subsystems, in the order of their start
	sources  []metrics.Source
	network  *network.Coordinator
	api      *api.Pool
	process  *process.Manager
	files    *files.Manager
	gateway  *gateway.Server
	work     *work.Server
	control  *control.Server
	watcher  *config.Watcher
	registry *prometheus.Registry
	faults   faultLog
	witness  witness
	leases   leases
	ticks    atomic.Uint64 // of the policies so far

	reloading sync.Mutex
	counts    reloadCounts
	routes    routeTable
	probes    *prober // of the routes in force; guarded by reloading once started

	started time.Time
	ready   atomic.Bool
	beat    atomic.Int64       // when the host's own loop ran last
	stop    chan time.Duration // a stop that was asked for over the control plane
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	once    sync.Once
	stopErr error
}

// New checks the configuration and compiles the policies: every fault of either is
// found before anything is opened. The caller must Stop the Host, started or not.
func New(cfg *config.Config, o Options) (*Host, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Getenv == nil {
		o.Getenv = os.LookupEnv
	}
	h := &Host{o: o, log: o.Log, clock: newClock(), stop: make(chan time.Duration, 1)}
	if o.rehearse != nil {
		h.clock = o.rehearse.clock
	}
	h.cfg.Store(cfg)
	if err := h.build(cfg); err != nil {
		return nil, errors.Join(err, h.Stop(context.Background()))
	}
	return h, nil
}

// build makes the parts, in the order in which they need each other. They open
// nothing yet.
func (h *Host) build(cfg *config.Config) error {
	var err error
	if err := h.makeParts(cfg); err != nil {
		return &ConfigError{err}
	}
	h.natives = natives.NewHost(natives.HostConfig{Sources: h.Sources(), Log: h.log.With("from", "policy"), Share: h.share})
	if cfg.StateFile != "" {
		if err := h.readState(cfg.StateFile); err != nil {
			return &ConfigError{err}
		}
	}
	if h.wasm, err = wasm.NewEngine(wasm.EngineConfig{CacheDir: h.o.CacheDir, Log: h.log}); err != nil {
		return fmt.Errorf("start the Wasm engine: %w", err)
	}
	g := generation.Config{Slot: &h.slot, Natives: h.natives, Wasm: h.wasm, Clock: h.clock, Getenv: h.o.Getenv, Log: h.log, OnFault: h.onFault}
	if r := h.o.rehearse; r != nil {
		g.Rand, g.Cover = r.random, r.cover
	} else {
		h.fetch = NewRemote(h.o.CacheDir, h.log)
	}
	g.Remote = h.fetch
	h.policies = generation.New(g)
	specs, err := h.specs(context.Background(), cfg)
	if err != nil {
		return &ConfigError{err}
	}
	if _, err := h.policies.Load(context.Background(), specs.chain, true); err != nil {
		return &ConfigError{err}
	}
	h.newWitness(cfg)
	s, err := h.openShadow(context.Background(), specs.shadow)
	if err == nil {
		err = h.putShadow(s)
	}
	if err != nil {
		return &ConfigError{err}
	}
	routes, err := h.routes.build(cfg, h.standardRoutes())
	if err != nil {
		return &ConfigError{err}
	}
	h.routes.keep(routes)
	h.probes = newProber(h.api.Probe, h.log.With("part", "health"))
	if h.gateway, err = gateway.New(gatewayConfig(cfg, routes, h.api, h.clock, h.log)); err != nil {
		return &ConfigError{err}
	}
	h.work = h.newWork()
	h.control = control.New(control.Config{Listen: cfg.Control, Socket: cfg.Socket, TokenFile: cfg.TokenFile,
		AllowedHosts: cfg.AllowedHosts, Backend: h, Work: h.work, Explain: http.HandlerFunc(h.work.Explain), Log: h.log})
	h.registry = h.newRegistry()
	return nil
}

// Start opens the control plane first and the gateway last, and returns when
// traffic is served. When it fails, what it opened is closed again.
func (h *Host) Start(ctx context.Context) error {
	h.started = time.Now()
	if err := h.start(ctx); err != nil {
		return errors.Join(err, h.Stop(context.Background()))
	}
	h.ready.Store(true)
	return nil
}

func (h *Host) start(ctx context.Context) error {
	cfg := h.cfg.Load()
	if r := h.witness.record; r != nil {
		if err := r.Start(); err != nil {
			return &ConfigError{err}
		}
	}
	if err := h.control.Start(ctx); err != nil {
		return err
	}
	if err := h.startParts(ctx); err != nil {
		return err
	}
	if err := h.gateway.Start(ctx); err != nil {
		return err
	}
	h.setProbes(cfg)
	background, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.wg.Go(func() { h.tick(background) })
	h.leases.start(background, h)
	if cfg.StateFile != "" {
		h.wg.Go(func() { h.keepState(background, cfg.StateFile) })
	}
	if cfg.Watch {
		h.watcher = config.NewWatcher(h.watched(), h.onChange, h.log)
		h.watcher.Start(background)
	}
	return nil
}

// Stop drains: no new traffic, requests under way end until ctx does, then they are
// cut. Children stop in reverse order. It is idempotent.
func (h *Host) Stop(ctx context.Context) error {
	h.once.Do(func() { h.stopErr = h.shutDown(ctx) })
	return h.stopErr
}

func (h *Host) shutDown(ctx context.Context) error {
	h.ready.Store(false)
	var errs []error
	if h.watcher != nil {
		h.watcher.Stop()
	}
	if h.work != nil {
		h.work.Stop()
	}
	if h.gateway != nil {
		errs = append(errs, h.gateway.Stop(ctx))
	}
	h.stopProbes()
	errs = append(errs, h.stopParts(ctx))
	if h.cancel != nil {
		h.cancel()
	}
	h.wg.Wait()
	if cfg := h.cfg.Load(); cfg.StateFile != "" && h.cancel != nil {
		errs = append(errs, h.writeState(cfg.StateFile))
	}
	if h.control != nil {
		errs = append(errs, h.control.Stop(ctx))
	}
	if r := h.witness.record; r != nil {
		errs = append(errs, r.Stop())
	}
	errs = append(errs, h.putShadow(nil))
	if h.policies != nil {
		errs = append(errs, h.policies.Close())
	}
	if h.wasm != nil {
		errs = append(errs, h.wasm.Close())
	}
	return errors.Join(errs...)
}

// Stopping receives the drain time once a stop was asked for over the control
// plane; 0 means the configured one.
func (h *Host) Stopping() <-chan time.Duration { return h.stop }

// Addr returns the address the gateway serves.
func (h *Host) Addr() string { return h.gateway.Addr() }

// ControlAddr returns the TCP address of the control plane, "" for none.
func (h *Host) ControlAddr() string { return h.control.Addr() }

// Config returns the configuration in force. It must not be changed.
func (h *Host) Config() *config.Config { return h.cfg.Load() }

// Files returns the file manager, for programs that embed gaia.
func (h *Host) Files() *files.Manager { return h.files }

// API returns the API client pool, for programs that embed gaia.
func (h *Host) API() *api.Pool { return h.api }
