package api

import (
	"context"
	"errors"
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

// Pool sends HTTP requests under policy. It is safe for concurrent use and works
// from New on; Stop ends it.
type Pool struct {
	log        *slog.Logger
	core       *admission.Core
	driver     *admission.Driver
	transports map[string]*transport
	conns      conns
	cancelBase context.CancelFunc
	live       atomic.Pointer[liveConfig]
	compiled   atomic.Pointer[compiledNames]
	schema     *metrics.Schema

	sent, received atomic.Uint64

	mu    sync.Mutex
	calls int           // under way, to the end of their bodies; guarded by mu
	idle  chan struct{} // closed when calls gets to 0 while stopping; guarded by mu
}

// liveConfig is what SetConfig changes besides the admission's.
type liveConfig struct {
	totalTimeout               time.Duration
	maxResponseBody, replayMax int64
}

func liveOf(c *Config) *liveConfig {
	return &liveConfig{c.TotalTimeout, c.MaxResponseBody, c.ReplayMax}
}

// New returns a pool, or what is wrong with its Config. It opens no connection and
// starts no goroutine.
func New(c Config) (*Pool, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	core, err := admission.New(admission.Options{Subsystem: policy.SubsystemAPI, Slot: c.Slot, Config: c.Admission, Random: c.Random})
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	p := &Pool{
		log: c.Log, core: core, driver: admission.NewDriver(core, c.Clock, c.After),
		transports: make(map[string]*transport), schema: metrics.NewSchema(policy.SubsystemAPI, fields()...),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.conns = conns{dialer: c.Dialer, timeout: c.DialTimeout, open: make(map[*conn]struct{})}
	if p.conns.dialer == nil {
		p.conns.dialer = &net.Dialer{}
	}
	p.conns.base, p.cancelBase = context.WithCancel(context.Background())
	p.live.Store(liveOf(&c))
	profiles := map[string]Profile{"": {}}
	for name, profile := range c.Profiles {
		profiles[name] = profile
	}
	for name, profile := range profiles {
		if p.transports[name], err = newTransport(&c, profile, p.conns.dialWith(profile.Dialer)); err != nil {
			p.cancelBase()
			return nil, fmt.Errorf("api: profile %q: %w", name, err)
		}
	}
	return p, nil
}

// Start does nothing: connections open on demand. It is there so that a host
// starts and stops its subsystems alike.
func (p *Pool) Start(context.Context) error { return nil }

// SetConfig puts the live fields of c in force. On an error nothing has changed.
func (p *Pool) SetConfig(c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("api: %w", err)
	}
	if err := p.driver.SetConfig(c.Admission); err != nil {
		return fmt.Errorf("api: %w", err)
	}
	p.live.Store(liveOf(&c))
	return nil
}

// Stop denies new calls and waits for those under way, to the end of their bodies;
// held ones still go. When ctx ends first it cuts them: waits end with a denial,
// connections are closed, and the error says so. Calling it again waits again.
func (p *Pool) Stop(ctx context.Context) error {
	p.core.Close()
	p.mu.Lock()
	if p.idle == nil {
		p.idle = make(chan struct{})
		if p.calls == 0 {
			close(p.idle)
		}
	}
	idle := p.idle
	p.mu.Unlock()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fmt.Errorf("api: stop: calls were cut: %w", ctx.Err())
	}
	p.driver.Cut()
	p.cancelBase()
	p.conns.cut()
	for _, t := range p.transports {
		t.close()
	}
	return err
}

func (p *Pool) enter() {
	p.mu.Lock()
	p.calls++
	p.mu.Unlock()
}

func (p *Pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls--
	if p.calls > 0 || p.idle == nil {
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

// ErrProfile is the error of a call that names an unknown profile.
var ErrProfile = errors.New("api: unknown profile")

// Stats are the numbers of a Pool at one moment.
type Stats struct {
	admission.Stats
	BytesSent, BytesReceived uint64 // of bodies
	ConnectionsOpened        uint64
	Connections              int // open
}

// Stats reads the numbers. It allocates nothing.
func (p *Pool) Stats() Stats {
	return Stats{
		Stats: p.core.Stats(), BytesSent: p.sent.Load(), BytesReceived: p.received.Load(),
		ConnectionsOpened: p.conns.opened.Load(), Connections: p.conns.count(),
	}
}

func fields() []metrics.Field {
	return append(admission.Fields(),
		metrics.Field{Name: "bytes_sent_total", Help: "Bytes of request bodies sent.", Kind: metrics.Counter},
		metrics.Field{Name: "bytes_received_total", Help: "Bytes of answers' bodies received.", Kind: metrics.Counter},
		metrics.Field{Name: "connections_opened_total", Help: "Connections opened to upstreams.", Kind: metrics.Counter},
		metrics.Field{Name: "connections", Help: "Connections open to upstreams.", Kind: metrics.Gauge},
	)
}

// Schema describes what Read gives: a Pool is a metrics.Source.
func (p *Pool) Schema() *metrics.Schema { return p.schema }

// Read appends the pool's numbers to dst[:0], in the order of Schema.
func (p *Pool) Read(dst []float64) []float64 {
	dst = p.core.AppendValues(dst[:0])
	return append(dst, float64(p.sent.Load()), float64(p.received.Load()),
		float64(p.conns.opened.Load()), float64(p.conns.count()))
}
