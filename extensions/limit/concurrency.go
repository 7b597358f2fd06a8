package limit

import (
	"sync/atomic"
	"time"
)

// slots is how many units of a key are in flight; below zero: evicted.
type slots struct{ inFlight atomic.Int64 }

func (s *slots) dead() bool        { return s.inFlight.Load() < 0 }
func (s *slots) retire(int64) bool { return s.inFlight.CompareAndSwap(0, -1) }
func (s *slots) drop()             { s.inFlight.Store(-1) }

// take takes n slots if that leaves at most limit taken; ok is false for an
// evicted level, whose holder looks again.
func (s *slots) take(n, limit int64) (used int64, taken, ok bool) {
	for {
		used = s.inFlight.Load()
		if used < 0 {
			return 0, false, false
		}
		if n > limit-used {
			return used, false, true
		}
		if s.inFlight.CompareAndSwap(used, used+n) {
			return used + n, true, true
		}
	}
}

// free frees up to n slots and returns how many were not taken.
func (s *slots) free(n int64) int64 {
	for {
		used := s.inFlight.Load()
		if used <= 0 {
			return n
		}
		f := min(used, n)
		if s.inFlight.CompareAndSwap(used, used-f) {
			return n - f
		}
	}
}

// concurrency bounds the units in flight for each key. A key that has slots of
// its own and of the overflow level frees its own first: the sum is kept.
type concurrency struct {
	keys   store[slots, *slots]
	pauses pauses
	lines  lines
	p      atomic.Pointer[Params]
	parent *concurrency
}

func newConcurrency(p Params, parent *concurrency) *concurrency {
	l := &concurrency{parent: parent}
	l.keys.init(p.MaxKeys)
	l.p.Store(&p)
	return l
}

func (l *concurrency) Kind() Kind     { return Concurrency }
func (l *concurrency) Params() Params { return *l.p.Load() }
func (l *concurrency) Len() int       { return l.keys.len() }

func (l *concurrency) Set(p Params) error {
	if err := Concurrency.Check(p); err != nil {
		return err
	}
	p = p.withDefaults(Concurrency)
	l.p.Store(&p)
	l.keys.max.Store(int64(p.MaxKeys))
	l.serveAll(0)
	return nil
}

func (l *concurrency) Take(now int64, key string, cost int64, maxWait time.Duration) Result {
	now, cost = max(now, 0), max(cost, 0)
	p := l.p.Load()
	if maxWait < 0 {
		maxWait = p.MaxWait
	}
	for {
		s := l.touch(now, key)
		left := l.pauses.left(now, key)
		if s == nil {
			if p.WhenFull != FullShare {
				return heldBy(crowded(p.WhenFull, p.Max), left, maxWait)
			}
			s, left = &l.keys.overflow, max(left, l.pauses.overflowLeft(now))
		}
		if left > maxWait {
			return refuse(slotResult(s.inFlight.Load(), cost, p.Max, cost <= p.Max), left)
		}
		n := cost
		if n == 0 { // nothing to take, also where nothing is left
			return heldBy(slotResult(s.inFlight.Load(), 0, p.Max, true), left, maxWait)
		}
		if l.waited(key) { // nobody overtakes those in line
			return heldBy(slotResult(s.inFlight.Load(), cost, p.Max, false), left, maxWait)
		}
		if used, taken, ok := s.take(n, p.Max); ok {
			return heldBy(slotResult(used, cost, p.Max, taken), left, maxWait)
		}
	}
}

func slotResult(used, cost, limit int64, ok bool) Result {
	r := Result{OK: ok, Limit: limit, Remaining: max(limit-max(used, 0), 0)}
	switch {
	case cost > limit:
		r.OK, r.Wait = false, Never
	case !ok:
		r.Wait = RetryHint
	}
	return r
}

func (l *concurrency) Peek(now int64, key string, cost int64) Result {
	now, cost = max(now, 0), max(cost, 0)
	p := l.p.Load()
	used, held := l.used(key)
	left := l.pausesOf(key).left(now, key)
	if !held && l.keys.n.Load() >= l.keys.max.Load() {
		if p.WhenFull != FullShare {
			return heldBy(crowded(p.WhenFull, p.Max), left, p.MaxWait)
		}
		used, left = l.keys.overflow.inFlight.Load(), max(left, l.pauses.overflowLeft(now))
	}
	if left > p.MaxWait {
		return refuse(slotResult(used, cost, p.Max, cost <= p.Max), left)
	}
	fits := cost == 0 || cost <= p.Max-used && !l.waited(key)
	if fits {
		used += cost
	}
	return heldBy(slotResult(used, cost, p.Max, fits), left, p.MaxWait)
}

// touch returns the key's slots, made if there are none; nil without a place.
func (l *concurrency) touch(now int64, key string) *slots {
	if s := l.keys.find(key); s != nil && !s.dead() {
		return s
	}
	return l.keys.insert(now, key, func(s *slots) {
		if l.parent == nil {
			return
		}
		used, _ := l.parent.used(key)
		s.inFlight.Store(used)
		l.pauses.copyFrom(now, key, l.parent.pausesOf(key), l.p.Load().MaxKeys)
	})
}

// used is how many are in flight, here or in the nearest limiter below that has the key.
func (l *concurrency) used(key string) (int64, bool) {
	for ; l != nil; l = l.parent {
		if s := l.keys.find(key); s != nil {
			return max(s.inFlight.Load(), 0), true
		}
	}
	return 0, false
}

func (l *concurrency) pausesOf(key string) *pauses {
	for l.parent != nil && l.keys.find(key) == nil {
		l = l.parent
	}
	return &l.pauses
}

func (l *concurrency) GiveBack(now int64, key string, cost, _ int64) { l.Release(now, key, cost) }

func (l *concurrency) Release(now int64, key string, cost int64) {
	if cost <= 0 {
		return
	}
	if l.parent != nil {
		l.touch(max(now, 0), key)
	}
	if s := l.keys.find(key); s != nil {
		cost = s.free(cost)
	}
	if cost > 0 {
		l.keys.overflow.free(cost)
	}
	l.serve(now, key)
}

// Settle has nothing to do: what is in flight is what was taken.
func (l *concurrency) Settle(int64, string, int64, int64, int64) {}

func (l *concurrency) Learn(now int64, key string, f Feedback) {
	now = max(now, 0)
	if l.parent != nil {
		l.touch(now, key)
	}
	l.pauses.learn(now, key, f, l.p.Load().MaxKeys)
}

func (l *concurrency) Pause(now int64, key string, d time.Duration) {
	now = max(now, 0)
	if l.parent != nil {
		l.touch(now, key)
	}
	l.pauses.set(now, key, boundPause(now, d), l.p.Load().MaxKeys)
}

func (l *concurrency) Reset(key string) {
	if l.parent != nil {
		if s := l.keys.find(key); s != nil {
			s.inFlight.Store(0)
		} else {
			l.keys.insert(0, key, func(*slots) {})
		}
	} else {
		l.keys.forget(key)
		l.serve(0, key)
	}
	l.pauses.forget(key)
}

func (l *concurrency) Range(now int64, fn func(string, Result, time.Duration) bool) {
	now = max(now, 0)
	more := true
	l.keys.all(func(key string, s *slots) bool {
		left := l.pauses.left(now, key)
		if left > 0 || s.inFlight.Load() > 0 {
			more = fn(key, l.Peek(now, key, 1), left)
		}
		return more
	})
	if !more {
		return
	}
	l.pauses.all(now, func(key string, left time.Duration) bool {
		return l.keys.find(key) != nil || fn(key, l.Peek(now, key, 1), left)
	})
}

func (l *concurrency) Fork() Limiter { return newConcurrency(*l.p.Load(), l) }

// Export exports pauses: what is in flight ends with the process.
func (l *concurrency) Export(now int64, fn func(Record) bool) {
	now = max(now, 0)
	l.pauses.all(now, func(key string, left time.Duration) bool {
		return fn(Record{Key: key, Paused: now + int64(left)})
	})
}

func (l *concurrency) Import(now int64, r Record) {
	now = max(now, 0)
	if r.Paused <= now {
		return
	}
	if l.parent != nil {
		l.touch(now, r.Key)
	}
	l.pauses.extend(now, r.Key, min(r.Paused, boundPause(now, MaxPause)), l.p.Load().MaxKeys)
}
