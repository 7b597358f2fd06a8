package natives

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gaia-host/gaia/extensions/limit"
)

// ErrNoLimiter is the error of a name that no policy in force declares.
var ErrNoLimiter = errors.New("no policy in force declares that limiter")

// Owners lists the policies that declared l, sorted; a shared one may have several.
func (l *Limiter) Owners() []string {
	l.tx.mu.Lock()
	defer l.tx.mu.Unlock()
	return slices.Sorted(slices.Values(l.owners))
}

// Since is the generation from which on l is declared as it is now; 0: a generation
// without a number.
func (l *Limiter) Since() uint64 { return l.since.Load() }

// Altered reports whether l runs with other parameters than those declared: they were
// set at run time.
func (l *Limiter) Altered() bool {
	l.full.Do(func() {
		if fresh, err := limit.New(l.kind, l.declared); err == nil {
			l.inForce = fresh.Params()
		}
	})
	return l.lim.Params() != l.inForce
}

// declaredSince notes which generation brought the declaration of l; one that is the
// same as the old one keeps its date. Called with the host's lock.
func (l *Limiter) declaredSince(generation uint64, old *Limiter) {
	switch {
	case old == l:
	case old != nil && old.kind == l.kind && old.declared == l.declared:
		l.since.Store(old.since.Load())
	default:
		l.since.Store(generation)
	}
}

// SetLimiter changes the parameters of a limiter in force. change gets those that
// hold now; the counts are kept. They hold until a generation declares it otherwise.
// Wrong parameters change nothing. The error wraps ErrNoLimiter for an unknown name.
func (h *Host) SetLimiter(name string, change func(limit.Params) limit.Params) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.limiters[name]
	if l == nil {
		return fmt.Errorf("%w: %q", ErrNoLimiter, name)
	}
	return l.lim.Set(change(l.lim.Params()))
}
