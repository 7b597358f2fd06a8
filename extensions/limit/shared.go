package limit

import (
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// shared is a limiter whose units several processes have in common: a take needs a
// unit that is leased, and one of the limiter here.
type shared struct {
	Limiter
	leased *Leased
}

// NewShared returns a limiter that lets through what l does and leased holds units for.
// l must be of a kind that Reserves. Whoever owns leased calls its Refill: a Take of a
// key that holds nothing is refused, and asks for some; who Joins waits for the answer, at
// most LeaseWait. A fork counts by itself.
func NewShared(l Limiter, leased *Leased) Limiter { return &shared{l, leased} }

// Join implements Line. It waits for what the store says about a key of which it has said
// nothing yet, or whose units are spent; not for units that it has refused. A wait of the
// limiter here comes first.
func (s *shared) Join(now int64, key string, cost int64, _ int, maxWait time.Duration, w policy.Waiter) (Result, *Place) {
	if now = max(now, 0); w == nil || cost <= 0 {
		return s.Take(now, key, cost, maxWait), nil
	}
	r := s.Limiter.Take(now, key, cost, maxWait)
	if !r.OK {
		return r, nil
	}
	held, unknown := s.leased.try(now, key, units(cost))
	if held.OK {
		r.Remaining = min(r.Remaining, held.Remaining)
		return r, nil
	}
	if !unknown {
		return s.refused(now, key, cost, r, held), nil
	}
	key = strings.Clone(key)
	mine := &Place{waiter: w, cost: units(cost), until: addSat(now, int64(r.Wait+LeaseWait)),
		lease: &leasePlace{of: s.leased, key: key, part: Part{Limiter: s.Limiter, Key: key, Cost: cost, Result: r}, at: now}}
	held, place := s.leased.join(now, mine)
	if !held.OK {
		return s.refused(now, key, cost, r, held), nil
	}
	return r, place
}

// refused undoes a take of the limiter here that no units are held for.
func (s *shared) refused(now int64, key string, cost int64, r, held Result) Result {
	p := Part{Limiter: s.Limiter, Key: key, Cost: cost, Result: r}
	p.Undo(now, now)
	return Result{Wait: held.Wait, Limit: r.Limit, Reset: r.Reset}
}

// Waiting implements Line.
func (s *shared) Waiting(key string) int { return s.leased.waitingFor(key) }

// Take never waits for units that are not held: nobody knows when they will be.
func (s *shared) Take(now int64, key string, cost int64, maxWait time.Duration) Result {
	r := s.Limiter.Take(now, key, cost, maxWait)
	if !r.OK || cost <= 0 {
		return r
	}
	held := s.leased.Take(max(now, 0), key, cost)
	if !held.OK {
		return s.refused(now, key, cost, r, held)
	}
	r.Remaining = min(r.Remaining, held.Remaining)
	return r
}

func (s *shared) GiveBack(now int64, key string, cost, taken int64) {
	s.Limiter.GiveBack(now, key, cost, taken)
	s.leased.GiveBack(now, key, cost)
}

func (s *shared) Settle(now int64, key string, estimate, actual, taken int64) {
	s.Limiter.Settle(now, key, estimate, actual, taken)
	s.leased.Settle(now, key, estimate, actual)
}
