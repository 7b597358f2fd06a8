package host

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
)

const (
	// refillEvery is how often leases are looked after where nobody asks for units.
	refillEvery = 100 * time.Millisecond
	// refillTime bounds one round of questions to the store.
	refillTime = 5 * time.Second
	// refillRounds is how many rounds may be under way: a key about which the store does
	// not answer holds up its own round, and not all keys that come later.
	refillRounds = 4
)

// leases hold units of limiters that several hosts have in common. Each is refilled by
// goroutines of its own, from the host's start to its stop.
type leases struct {
	mu      sync.Mutex // guards what follows
	byName  map[string]*limit.Leased
	started func(*limit.Leased)
}

// share makes a limiter one that counts units leased from the store, where the
// options name it.
func (h *Host) share(name string, l limit.Limiter) limit.Limiter {
	most := h.o.Leases[name]
	if h.o.Store == nil || most <= 0 {
		return l
	}
	if !l.Kind().Reserves() {
		h.log.Warn("a limiter cannot be shared: only those of rates and windows can", "limiter", name, "kind", l.Kind().String())
		return l
	}
	return limit.NewShared(l, h.leases.of(name, h.o.Store, most))
}

// of returns the leases of a name: one that is declared anew goes on with what it holds.
func (ls *leases) of(name string, from limit.Granter, most int64) *limit.Leased {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byName[name]
	if l == nil {
		l = limit.NewLeased(name, from, most)
		if ls.byName == nil {
			ls.byName = map[string]*limit.Leased{}
		}
		ls.byName[name] = l
		if ls.started != nil {
			ls.started(l)
		}
	}
	return l
}

// start refills what is leased, now and from now on, until ctx ends.
func (ls *leases) start(ctx context.Context, h *Host) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.started = func(l *limit.Leased) {
		if ctx.Err() != nil {
			return
		}
		failing := &atomic.Bool{}
		for range refillRounds {
			h.wg.Go(func() { h.refill(ctx, l, failing) })
		}
	}
	for _, l := range ls.byName {
		ls.started(l)
	}
}

func (h *Host) refill(ctx context.Context, l *limit.Leased, failing *atomic.Bool) {
	ticks := time.NewTicker(refillRounds * refillEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.Wanted():
		case <-ticks.C:
		}
		asked, cancel := context.WithTimeout(ctx, refillTime)
		err := l.Refill(asked, h.clock())
		cancel()
		if was := failing.Swap(err != nil); err != nil && !was && ctx.Err() == nil {
			h.log.Warn("the store of limits does not answer; what is not leased is refused", "error", err.Error())
		}
	}
}
