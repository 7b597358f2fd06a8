package host

import (
	"context"
	"errors"
	"log/slog"
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
	return limit.NewShared(l, h.leases.of(name, &heard{Granter: h.o.Store, log: h.log}, most))
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
		ticks := time.NewTicker(refillEvery) // each tick is of one round
		context.AfterFunc(ctx, ticks.Stop)
		for range refillRounds {
			h.wg.Go(func() { h.refill(ctx, l, ticks.C) })
		}
	}
	for _, l := range ls.byName {
		ls.started(l)
	}
}

func (h *Host) refill(ctx context.Context, l *limit.Leased, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.Wanted():
		case <-ticks:
		}
		asked, cancel := context.WithTimeout(ctx, refillTime)
		_ = l.Refill(asked, h.clock()) // heard has said what failed
		cancel()
	}
}

// heard is a store whose failure is said once, until it answers again.
type heard struct {
	limit.Granter
	log     *slog.Logger
	failing atomic.Bool
}

// Grant implements limit.Granter.
func (s *heard) Grant(ctx context.Context, limiter, key string, want int64) (n, until int64, err error) {
	n, until, err = s.Granter.Grant(ctx, limiter, key, want)
	if was := s.failing.Swap(err != nil); err != nil && !was && !errors.Is(ctx.Err(), context.Canceled) {
		s.log.Warn("the store of limits does not answer; what is not leased is refused", "limiter", limiter, "error", err.Error())
	}
	return n, until, err
}
