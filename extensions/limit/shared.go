package limit

import "time"

// shared is a limiter whose units several processes have in common: a take needs a
// unit that is leased, and one of the limiter here.
type shared struct {
	Limiter
	leased *Leased
}

// NewShared returns a limiter that lets through what l does and leased holds units for.
// l must be of a kind that Reserves. Whoever owns leased calls its Refill: a take of a
// key that holds nothing is refused, and asks for some. A fork counts by itself.
func NewShared(l Limiter, leased *Leased) Limiter { return &shared{l, leased} }

// Take never waits for units that are not held: nobody knows when they will be.
func (s *shared) Take(now int64, key string, cost int64, maxWait time.Duration) Result {
	r := s.Limiter.Take(now, key, cost, maxWait)
	if !r.OK || cost <= 0 {
		return r
	}
	held := s.leased.Take(max(now, 0), key, cost)
	if !held.OK {
		p := Part{Limiter: s.Limiter, Key: key, Cost: cost, Result: r}
		p.Undo(now, now)
		return Result{Wait: held.Wait, Limit: r.Limit, Reset: r.Reset}
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
