package natives

import (
	"sync"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/state"
)

// Overlay receives the writes of dry calls. It lives as long as its user: one call
// for an explanation, a whole run for a shadow. A limiter in it starts from the live
// level, unless its declaration changed: then it starts empty. It is safe for
// concurrent use.
type Overlay struct {
	// Quiet drops what the guest logs; set before its first use.
	Quiet bool

	mu       sync.Mutex
	limiters map[*Limiter]limit.Limiter
	stores   map[*state.Store]*state.Store
}

// NewOverlay returns an empty overlay. Put it into Request.Dry or Tick.Dry.
func NewOverlay() *Overlay {
	return &Overlay{limiters: map[*Limiter]limit.Limiter{}, stores: map[*state.Store]*state.Store{}}
}

func (o *Overlay) limiter(l *Limiter) limit.Limiter {
	o.mu.Lock()
	defer o.mu.Unlock()
	lim := o.limiters[l]
	if lim == nil {
		lim = l.lim.Fork()
		if l.changed.Load() {
			if fresh, err := limit.New(l.kind, l.declared); err == nil {
				lim = fresh
			}
		}
		o.limiters[l] = lim
	}
	return lim
}

func (o *Overlay) store(s *state.Store) *state.Store {
	o.mu.Lock()
	defer o.mu.Unlock()
	fork := o.stores[s]
	if fork == nil {
		fork = s.Fork()
		o.stores[s] = fork
	}
	return fork
}
