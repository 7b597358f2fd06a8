package natives

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gaia-host/gaia/extensions/limit"
)

// Limiter is a named native limiter as one generation of a policy declared it. It
// is safe for concurrent use.
type Limiter struct {
	name     string // scoped: "policy/name" or "shared/name"
	kind     limit.Kind
	declared limit.Params
	lim      limit.Limiter
	parts    []*Limiter  // of limiter.all: then lim is nil
	changed  atomic.Bool // lim still runs with other parameters than declared

	tx      *Tx
	owners  []string      // policies that declared it; guarded by tx.mu
	since   atomic.Uint64 // generation since which it is declared so
	full    sync.Once
	inForce limit.Params // declared, with its defaults; set by full
}

// Name returns the scoped name.
func (l *Limiter) Name() string { return l.name }

// Kind returns the algorithm.
func (l *Limiter) Kind() limit.Kind { return l.kind }

// Limit returns the live limiter.
func (l *Limiter) Limit() limit.Limiter { return l.lim }

// Limiters lists the limiters of the generation in force, in no order.
func (h *Host) Limiters() []*Limiter {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Limiter, 0, len(h.limiters))
	for _, l := range h.limiters {
		all = append(all, l)
	}
	return all
}

// Tx holds the declarations of one generation. Nothing of it is visible to the
// generation in force until Commit; a Tx that is dropped leaves no trace. It is kept
// as long as its generation may come back, and may be committed again then.
type Tx struct {
	host *Host
	now  int64

	mu       sync.Mutex // guests of several policies declare at the same time
	limiters map[string]*Limiter
}

// Begin opens a transaction at now.
func (h *Host) Begin(now int64) *Tx {
	return &Tx{host: h, now: now, limiters: map[string]*Limiter{}}
}

// Commit makes the declared limiters those in force. It comes right before the
// generation is put in force: its predecessor cannot see the new names. A limiter
// that is no longer declared is forgotten once its generation is.
func (tx *Tx) Commit() { tx.CommitAs(0) }

// CommitAs is Commit for the generation of that number.
func (tx *Tx) CommitAs(generation uint64) {
	h := tx.host
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, l := range tx.limiters {
		old := h.limiters[name]
		l.declaredSince(generation, old)
		switch {
		case old == nil || old == l:
		case old.kind != l.kind:
			h.log.Warn("limiter starts anew: its algorithm changed", "limiter", name, "from", old.kind.String(), "to", l.kind.String())
		default:
			l.changed.Store(old.declared != l.declared)
		}
		delete(h.restored, name)
	}
	h.limiters = tx.limiters
}

// Apply gives changed parameters to limiters that existed before. It comes right
// after the generation was put in force.
func (tx *Tx) Apply() error {
	tx.host.mu.Lock() // against SetLimiter, which reads parameters before it sets them
	defer tx.host.mu.Unlock()
	for name, l := range tx.limiters {
		if l.changed.CompareAndSwap(true, false) {
			if err := l.lim.Set(l.declared); err != nil {
				return fmt.Errorf("apply the parameters of limiter %s: %w", name, err)
			}
		}
	}
	return nil
}

// declare returns the limiter of that name: the live one where the kind is the
// same, a new one otherwise. Declaring twice alike returns the same.
func (tx *Tx) declare(owner, name string, kind limit.Kind, p limit.Params) (*Limiter, error) {
	if err := kind.Check(p); err != nil {
		return nil, err
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if l := tx.limiters[name]; l != nil {
		if l.kind != kind || l.declared != p {
			return nil, fmt.Errorf("limiter %s: %w", name, ErrConflict)
		}
		if !slices.Contains(l.owners, owner) {
			l.owners = append(l.owners, owner)
		}
		return l, nil
	}
	if len(tx.limiters) >= maxLimiters {
		return nil, fmt.Errorf("limiter %s: more than %d limiters", name, maxLimiters)
	}
	l := &Limiter{name: name, kind: kind, declared: p, tx: tx, owners: []string{owner}}
	live, records := tx.host.known(name)
	if live != nil && live.kind == kind {
		l.lim = live.lim
		l.changed.Store(live.declared != p)
	} else {
		fresh, err := limit.New(kind, p)
		if err != nil {
			return nil, err
		}
		if tx.host.share != nil {
			fresh = tx.host.share(name, fresh)
		}
		for _, r := range records {
			fresh.Import(tx.now, r)
		}
		l.lim = fresh
	}
	tx.limiters[name] = l
	return l, nil
}

func (h *Host) known(name string) (*Limiter, []limit.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.limiters[name], h.restored[name]
}
