package natives

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/state"
)

// Log lines of one policy: a burst, then so many a second.
const (
	logRate  = 10
	logBurst = 50
	maxLog   = 2048 // bytes of one line
)

// Grants are what the operator lets a policy use beyond its own names. The zero
// Grants let it use nothing else.
type Grants struct {
	SharedState    bool
	SharedLimiters bool
	Env            []string // names of environment variables
}

// ScopeConfig describes one policy of a generation.
type ScopeConfig struct {
	Policy string
	Local  bool // a local file: shared names need no grant
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
	shared *state.Store // nil: not granted

	logLimit   limit.Bucket
	logRate    limit.Rate
	logDropped atomic.Uint64
}

// Scope returns the scope of one policy.
func (tx *Tx) Scope(c ScopeConfig) *Scope {
	s := &Scope{tx: tx, c: c, own: tx.host.store(c.Policy)}
	s.logRate, _ = limit.NewRate(logRate, time.Second, logBurst) // constants: it cannot fail
	if c.Local || c.Grants.SharedState {
		s.shared = tx.host.store("shared")
	}
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
	return "", false
}

// EnvNames lists the granted variables that are set, sorted.
func (s *Scope) EnvNames() []string {
	var names []string
	for _, name := range s.c.Grants.Env {
		if _, ok := s.Env(name); ok {
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
	if common {
		if !s.c.Local && !s.c.Grants.SharedLimiters {
			return nil, fmt.Errorf("limiter %q: %w (grants: {shared_limiters: true})", name, ErrGrant)
		}
		scoped = name
	}
	if !nameSyntax.MatchString(plain) {
		return nil, fmt.Errorf("limiter %q: %w", name, ErrBadName)
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
	if !common {
		return s.own, key, nil
	}
	if s.shared == nil {
		return nil, "", fmt.Errorf("state %q: %w (grants: {shared_state: true})", key, ErrGrant)
	}
	return s.shared, plain, nil
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
