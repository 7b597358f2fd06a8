package generation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
)

// Errors of the manager.
var (
	ErrNoEarlier = errors.New("generation: there is no earlier generation to go back to")
	ErrClosed    = errors.New("generation: closed")
)

// drainTimeout bounds how long a swap waits for the hooks of the earlier
// generation. Hooks are held to budgets of milliseconds, so this is never reached
// unless the machine stands still.
const drainTimeout = 10 * time.Second

// Config describes a Manager. Slot, Natives, Wasm and Clock are required.
type Config struct {
	Slot    *policy.Slot
	Natives *natives.Host
	Wasm    *wasm.Engine
	Remote  *remote.Store // fetches policies; nil: none
	Clock   func() int64
	Getenv  func(name string) (string, bool)
	Log     *slog.Logger
	OnFault func(*policy.Fault) // told of every fault; nil: nobody
	Rand    func() float64      // Math.random of guests; nil: truly random
	Cover   *js.Coverage        // see bundle.Config
}

// Manager puts sets of policies in force. It is safe for concurrent use; one change
// happens at a time.
type Manager struct {
	c Config

	change sync.Mutex // held during a change

	mu      sync.Mutex // guards what follows
	number  uint64
	current *set
	earlier *set // open, for rollback and previous
	last    Reload
	closed  bool
}

// Reload says how the last change ended.
type Reload struct {
	OK    bool
	Error string // "" when OK
	At    time.Time
}

// Outcome describes a change that succeeded.
type Outcome struct {
	From, To  uint64
	Unchanged bool // same bytes and settings: nothing was swapped
	Names     []string
	Took      time.Duration
}

// New returns a manager without policies.
func New(c Config) *Manager {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{c: c}
}

// Load puts the set of specs in force. When it returns an error nothing changed.
// force swaps even a set that is the same as the one in force.
func (m *Manager) Load(ctx context.Context, specs []Spec, force bool) (Outcome, error) {
	m.change.Lock()
	defer m.change.Unlock()
	start := m.c.Clock()
	out, err := m.load(ctx, specs, force)
	out.Took = time.Duration(m.c.Clock() - start)
	m.note(err)
	return out, err
}

// Check opens the set of specs and closes it again. Nothing is put in force.
func (m *Manager) Check(ctx context.Context, specs []Spec) error {
	s, err := m.open(ctx, specs)
	if err != nil {
		return err
	}
	return s.close()
}

// Beside opens a policy that is not put in force, and the chain of it alone. It sees
// the limiters and the state in force; in dry mode it changes neither. The caller
// closes the policy, before the manager.
func (m *Manager) Beside(ctx context.Context, spec Spec, onFault func(*policy.Fault)) (*bundle.Policy, *policy.Chain, error) {
	m.change.Lock()
	defer m.change.Unlock()
	s, err := m.open(ctx, []Spec{spec})
	if err != nil {
		return nil, nil, err
	}
	return s.policies[0], s.chain(nil, onFault), nil
}

// Same reports whether p was opened from the same bytes and settings as spec would be.
func Same(p *bundle.Policy, was Spec, q *bundle.Policy, is Spec) bool {
	return p.Digest == q.Digest && p.Name() == q.Name() && fingerprint(was) == fingerprint(is)
}

func (m *Manager) open(ctx context.Context, specs []Spec) (*set, error) {
	tx := m.c.Natives.Begin(m.c.Clock())
	return open(ctx, specs, tx, bundle.Config{Wasm: m.c.Wasm, Remote: m.c.Remote, Stale: m.first(), Tx: tx, Getenv: m.c.Getenv, Log: m.c.Log, Rand: m.c.Rand, Cover: m.c.Cover})
}

func (m *Manager) load(ctx context.Context, specs []Spec, force bool) (Outcome, error) {
	if m.isClosed() {
		return Outcome{}, ErrClosed
	}
	s, err := m.open(ctx, specs)
	if err != nil {
		return Outcome{}, err
	}
	if !force && s.same(m.current) {
		out := Outcome{From: m.number, To: m.number, Unchanged: true, Names: names(m.current)}
		return out, s.close()
	}
	s.selfTest(m.c.Clock(), m.c.Log)
	return m.swap(s, m.current)
}

// Rollback puts the earlier set in force under a new number and applies its
// declarations again. The set left stays open for a second rollback.
func (m *Manager) Rollback() (Outcome, error) {
	m.change.Lock()
	defer m.change.Unlock()
	if m.isClosed() {
		return Outcome{}, ErrClosed
	}
	if m.earlier == nil {
		return Outcome{}, ErrNoEarlier
	}
	return m.swap(m.earlier, nil)
}

// swap puts s in force. previous answers for its policies that fail; nil: nobody.
func (m *Manager) swap(s, previous *set) (Outcome, error) {
	g := policy.NewGeneration(m.number+1, s.chain(previous, m.c.OnFault))
	s.tx.CommitAs(g.Number())
	old := m.c.Slot.Swap(g)
	err := s.tx.Apply()

	m.mu.Lock()
	left, drop := m.current, m.earlier
	if drop == s {
		drop = nil
	}
	out := Outcome{From: m.number, To: g.Number(), Names: names(s)}
	m.number, m.current, m.earlier = g.Number(), s, left
	m.mu.Unlock()

	if old != nil && !drained(old) {
		m.c.Log.Error("hooks of the earlier generation did not end; its policies stay open", "generation", old.Number())
		return out, err
	}
	return out, errors.Join(err, drop.close())
}

// drained waits until no hook runs on g: only then may what it called be closed.
func drained(g *policy.Generation) bool {
	t := time.NewTimer(drainTimeout)
	defer t.Stop()
	select {
	case <-g.Retire():
		return true
	case <-t.C:
		return false
	}
}

// Close takes the policies out of force and closes every set.
func (m *Manager) Close() error {
	m.change.Lock()
	defer m.change.Unlock()
	m.mu.Lock()
	m.closed = true
	sets := [2]*set{m.current, m.earlier}
	m.current, m.earlier = nil, nil
	m.mu.Unlock()
	if old := m.c.Slot.Swap(nil); old != nil && !drained(old) {
		return fmt.Errorf("generation %d: hooks did not end", old.Number())
	}
	return errors.Join(sets[0].close(), sets[1].close())
}

// first reports whether nothing is in force yet: then a module kept from before is
// better than no start.
func (m *Manager) first() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current == nil
}

func (m *Manager) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// Refused notes a change that failed before it came to the policies.
func (m *Manager) Refused(err error) { m.note(err) }

func (m *Manager) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = Reload{OK: err == nil, At: time.Unix(0, m.c.Clock())}
	if err != nil {
		m.last.Error = err.Error()
	}
}

func names(s *set) []string {
	ns := make([]string, 0, len(s.policies))
	for _, p := range s.policies {
		ns = append(ns, p.Name())
	}
	return ns
}
