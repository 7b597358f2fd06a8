package natives

import (
	"errors"
	"log/slog"
	"regexp"
	"sync"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/state"
)

// Errors that guests meet.
var (
	ErrLoading  = errors.New("state cannot be written at module scope")
	ErrHook     = errors.New("limiters and metrics are declared at module scope, not in a hook")
	ErrGrant    = errors.New("not granted")
	ErrNoKey    = errors.New("there is no request here: name a key")
	ErrBadName  = errors.New("want a name of letters, digits, '.', '_' and '-', 64 at most")
	ErrConflict = errors.New("declared twice with different parameters")
	// ErrNoResponse: learn outside of a hook that has an answer.
	ErrNoResponse = errors.New("there is no answer to learn from here")
	// ErrNotTaken: settle without a take of the same limiter and key before it.
	ErrNotTaken = errors.New("nothing of that limiter and key was taken by this attempt")
)

// SharedPrefix starts the names that all policies have in common.
const SharedPrefix = "shared/"

// maxLimiters bounds the limiters that one policy may declare.
const maxLimiters = 256

var nameSyntax = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Host is what policies share with the host and what outlives their generations.
// It is safe for concurrent use; one Tx at a time is open on it.
type Host struct {
	state   state.Limits
	metrics *metrics.Registry
	log     *slog.Logger
	share   func(string, limit.Limiter) limit.Limiter

	numbers map[string]numbers // of the subsystems; set before any policy is loaded

	mu       sync.Mutex // guards what follows
	stores   map[string]*state.Store
	limiters map[string]*Limiter       // of the generation in force
	restored map[string][]limit.Record // kept from a snapshot until the limiter is declared
}

// HostConfig describes a Host. The zero value is usable: default caps, no logs.
type HostConfig struct {
	State   state.Limits
	Metrics *metrics.Registry // nil: a new one
	Sources []metrics.Source  // what policies may read of the subsystems
	Log     *slog.Logger      // nil: discarded
	// Share makes of each new limiter what counts in its place, by its scoped name; nil:
	// itself.
	Share func(name string, l limit.Limiter) limit.Limiter
}

// numbers are one subsystem's, and the pool of the maps they are read through.
type numbers struct {
	source metrics.Source
	pool   *metrics.Pool
}

// NewHost returns a host without limiters or state.
func NewHost(c HostConfig) *Host {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewRegistry()
	}
	h := &Host{state: c.State, metrics: c.Metrics, log: c.Log, share: c.Share, numbers: map[string]numbers{},
		stores: map[string]*state.Store{}, limiters: map[string]*Limiter{}, restored: map[string][]limit.Record{}}
	for _, src := range c.Sources {
		h.numbers[src.Schema().Subsystem()] = numbers{src, metrics.NewPool(src.Schema())}
	}
	return h
}

// Numbers returns the live numbers of one subsystem in a pooled map, nil where there
// are none. The caller releases it.
func (h *Host) Numbers(subsystem string) *metrics.View {
	n, ok := h.numbers[subsystem]
	if !ok {
		return nil
	}
	return n.pool.View(n.source)
}

// Metrics holds the policies' own counters and gauges.
func (h *Host) Metrics() *metrics.Registry { return h.metrics }

// store returns the state of one policy, or of all under the name "shared".
func (h *Host) store(name string) *state.Store {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.storeLocked(name)
}

// State is the state of one policy, or of all under the name "shared".
func (h *Host) State(policy string) *state.Store { return h.store(policy) }

func (h *Host) storeLocked(name string) *state.Store {
	s := h.stores[name]
	if s == nil {
		s = state.New(h.state)
		h.stores[name] = s
	}
	return s
}
