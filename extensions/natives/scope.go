package natives

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/state"
)

// Log lines of one policy: a burst, then so many a second.
const (
	logRate  = 10
	logBurst = 50
	maxLog   = 2048 // bytes of one line
	// A module that is no local file has less, and grants.log_rate gives more.
	foreignLogRate, foreignLogBurst = 1, 10
)

// Grants are what the operator lets a policy use.
type Grants = policy.Grants

// ScopeConfig describes one policy of a generation.
type ScopeConfig struct {
	Policy string
	Local  bool // a local file: shared names need no grant
	// Foreign is a module of others: its own state and limiters, header fields and log
	// lines need a grant too.
	Foreign bool
	// Survey refuses nothing and only notes what would need a grant, see Asked.
	Survey bool
	Grants Grants
	Params map[string]any                   // the operator's parameters; nil: none
	Getenv func(name string) (string, bool) // nil: the environment is empty
}

// Scope is one policy's view of the host during one generation: its names, grants
// and parameters. All guests of the policy share it; it is safe for concurrent use.
type Scope struct {
	tx     *Tx
	c      ScopeConfig
	own    *state.Store
	shared *state.Store

	mu    sync.Mutex // guards asked
	asked policy.Grants

	logLimit   limit.Bucket
	logRate    limit.Rate
	logDropped atomic.Uint64
}

// Scope returns the scope of one policy.
func (tx *Tx) Scope(c ScopeConfig) *Scope {
	s := &Scope{tx: tx, c: c, own: tx.host.store(c.Policy), shared: tx.host.store("shared")}
	rate, burst := int64(logRate), int64(logBurst)
	if c.Foreign {
		rate, burst = foreignLogRate, foreignLogBurst
	}
	if c.Grants.LogRate > 0 {
		rate, burst = int64(c.Grants.LogRate), 5*int64(c.Grants.LogRate)
	}
	s.logRate, _ = limit.NewRate(float64(rate), time.Second, burst) // above 0: it cannot fail
	return s
}

// Policy returns the policy's name.
func (s *Scope) Policy() string { return s.c.Policy }

// Now returns the clock at which the generation is being prepared.
func (s *Scope) Now() int64 { return s.tx.now }

// Params returns the operator's parameters. It must not be changed.
func (s *Scope) Params() map[string]any { return s.c.Params }

// Env returns a granted environment variable.
func (s *Scope) Env(name string) (string, bool) {
	for _, granted := range s.c.Grants.Env {
		if granted == name && s.c.Getenv != nil {
			return s.c.Getenv(name)
		}
	}
	s.ask(askEnv, name)
	return "", false
}

// EnvNames lists the granted variables that are set, sorted.
func (s *Scope) EnvNames() []string {
	var names []string
	for _, name := range s.c.Grants.Env {
		if s.c.Getenv == nil {
			continue
		}
		if _, ok := s.c.Getenv(name); ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Limiter declares a limiter of the policy, or a common one ("shared/NAME").
func (s *Scope) Limiter(kind limit.Kind, name string, p limit.Params) (*Limiter, error) {
	scoped := s.c.Policy + "/" + name
	plain, common := strings.CutPrefix(name, SharedPrefix)
	if !nameSyntax.MatchString(plain) {
		return nil, fmt.Errorf("limiter %q: %w", name, ErrBadName)
	}
	switch {
	case common && !s.mayShare(s.c.Grants.SharedLimiters, askSharedLimiters):
		return nil, fmt.Errorf("limiter %q: %w (grants: {shared_limiters: true})", name, ErrGrant)
	case !common && !s.may(s.c.Grants.Limiters, askLimiters, ""):
		return nil, fmt.Errorf("limiter %q: %w (grants: {limiters: true})", name, ErrGrant)
	case common:
		scoped = name
	}
	return s.tx.declare(s.c.Policy, scoped, kind, p)
}

// Metric declares a number of the policy's own.
func (s *Scope) Metric(kind metrics.FieldKind, name string) (*metrics.Value, error) {
	if kind == metrics.Counter {
		return s.tx.host.metrics.Counter(s.c.Policy, name)
	}
	return s.tx.host.metrics.Gauge(s.c.Policy, name)
}

// storeFor returns the store and the key within it.
func (s *Scope) storeFor(key string) (*state.Store, string, error) {
	plain, common := strings.CutPrefix(key, SharedPrefix)
	switch {
	case common && !s.mayShare(s.c.Grants.SharedState, askSharedState):
		return nil, "", fmt.Errorf("state %q: %w (grants: {shared_state: true})", key, ErrGrant)
	case !common && !s.may(s.c.Grants.State, askState, ""):
		return nil, "", fmt.Errorf("state %q: %w (grants: {state: true})", key, ErrGrant)
	case common:
		return s.shared, plain, nil
	}
	return s.own, key, nil
}

// log writes one line for a guest, or counts it where there are too many.
func (s *Scope) log(now int64, level slog.Level, text string) {
	log := s.tx.host.log
	if !log.Enabled(context.Background(), level) {
		return
	}
	if r := s.logLimit.Take(now, &s.logRate, 1, 0); !r.OK {
		s.logDropped.Add(1)
		return
	}
	if len(text) > maxLog {
		text = text[:maxLog] + "..."
	}
	attrs := []any{"policy", s.c.Policy}
	if n := s.logDropped.Swap(0); n > 0 {
		attrs = append(attrs, "dropped", n)
	}
	log.Log(context.Background(), level, strings.ToValidUTF8(text, "\uFFFD"), attrs...)
}
