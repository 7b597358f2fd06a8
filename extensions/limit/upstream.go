package limit

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// upstream lets through what an upstream's answers leave room for. A key of
// which nothing is known yet is let through; a 429 or a Retry-After closes it;
// with a known quota, no more goes than remains, and waiters are spread over
// the windows to come. A cost above the whole quota takes a whole window.
type upstream struct {
	keys   store[quota, *quota]
	p      atomic.Pointer[Params]
	parent *upstream
}

func newUpstream(p Params, parent *upstream) *upstream {
	l := &upstream{parent: parent}
	l.keys.init(p.MaxKeys)
	l.p.Store(&p)
	return l
}

func (l *upstream) Kind() Kind     { return Upstream }
func (l *upstream) Params() Params { return *l.p.Load() }
func (l *upstream) Len() int       { return l.keys.len() }

func (l *upstream) Set(p Params) error {
	if err := Upstream.Check(p); err != nil {
		return err
	}
	p = p.withDefaults(Upstream)
	l.p.Store(&p)
	l.keys.max.Store(int64(p.MaxKeys))
	return nil
}

// lock returns the key's quota, made if there is none, or the one that it
// shares; nil without either. The caller unlocks it.
func (l *upstream) lock(now int64, key string) *quota {
	for {
		q := l.keys.find(key)
		if q == nil {
			q = l.keys.insert(now, key, func(q *quota) { l.parent.copyTo(q, key) })
		}
		if q == nil {
			if l.p.Load().WhenFull != FullShare {
				return nil
			}
			q = &l.keys.overflow
		}
		q.mu.Lock()
		if !q.evicted {
			return q
		}
		q.mu.Unlock()
		l.keys.insert(now, key, func(q *quota) { l.parent.copyTo(q, key) })
	}
}

// copyTo fills q with what is known of the key here or in the nearest limiter
// below that has it. A nil limiter knows nothing.
func (l *upstream) copyTo(q *quota, key string) bool {
	for ; l != nil; l = l.parent {
		from := l.keys.find(key)
		if from == nil {
			continue
		}
		from.mu.Lock()
		evicted := from.evicted
		if !evicted {
			q.quotaState = from.quotaState
			q.waiting = slices.Clone(from.waiting)
		}
		from.mu.Unlock()
		return !evicted
	}
	return false
}

func (l *upstream) Take(now int64, key string, cost int64, maxWait time.Duration) Result {
	now, cost = max(now, 0), units(cost)
	p := l.p.Load()
	if maxWait < 0 {
		maxWait = p.MaxWait
	}
	q := l.lock(now, key)
	if q == nil {
		return crowded(p.WhenFull, 0)
	}
	defer q.mu.Unlock()
	return q.take(now, cost, maxWait)
}

// units holds a cost within what sums of it bear.
func units(cost int64) int64 { return min(max(cost, 0), math.MaxInt32) }

func (l *upstream) Peek(now int64, key string, cost int64) Result {
	now, cost = max(now, 0), units(cost)
	p := l.p.Load()
	var q quota
	if !l.copyTo(&q, key) && l.keys.n.Load() >= l.keys.max.Load() {
		if p.WhenFull != FullShare {
			return crowded(p.WhenFull, 0)
		}
		l.keys.overflow.mu.Lock()
		q.quotaState = l.keys.overflow.quotaState
		q.waiting = slices.Clone(q.waiting)
		l.keys.overflow.mu.Unlock()
	}
	return q.take(now, cost, p.MaxWait)
}

func (l *upstream) GiveBack(now int64, key string, cost, taken int64) {
	if cost = units(cost); cost == 0 {
		return
	}
	if q := l.held(now, key); q != nil {
		q.giveBack(max(now, 0), cost, taken)
		q.mu.Unlock()
	}
}

// held is lock for a key that is not to be made if there is none: what it took
// it shares. A fork makes it, as its first touch.
func (l *upstream) held(now int64, key string) *quota {
	if l.parent != nil {
		return l.lock(now, key)
	}
	q := l.keys.find(key)
	if q == nil {
		q = &l.keys.overflow
	}
	q.mu.Lock()
	if q.evicted {
		q.mu.Unlock()
		return nil
	}
	return q
}

func (l *upstream) Release(now int64, key string, cost int64) {
	now, cost = max(now, 0), units(cost)
	if cost == 0 {
		return
	}
	q := l.held(now, key)
	if q == nil {
		return
	}
	rest := q.release(now, cost)
	q.mu.Unlock()
	// A key may have units of its own and of the overflow level: its own end
	// first, so that the sum is kept.
	if o := &l.keys.overflow; rest > 0 && q != o {
		o.mu.Lock()
		o.release(now, rest)
		o.mu.Unlock()
	}
}

// Settle has nothing to do: the answers say what a request cost.
func (l *upstream) Settle(int64, string, int64, int64, int64) {}

func (l *upstream) Learn(now int64, key string, f Feedback) {
	now = max(now, 0)
	if q := l.lock(now, key); q != nil {
		q.learn(now, f)
		q.mu.Unlock()
	}
}

func (l *upstream) Pause(now int64, key string, d time.Duration) {
	now = max(now, 0)
	if q := l.lock(now, key); q != nil {
		q.pausedUntil = boundPause(now, d)
		q.mu.Unlock()
	}
}

func (l *upstream) Reset(key string) {
	if l.parent == nil {
		l.keys.forget(key)
		return
	}
	if q := l.lock(0, key); q != nil && q != &l.keys.overflow {
		q.quotaState = quotaState{}
		q.mu.Unlock()
	} else if q != nil {
		q.mu.Unlock()
	}
}

func (l *upstream) Range(now int64, fn func(string, Result, time.Duration) bool) {
	now = max(now, 0)
	l.keys.all(func(key string, q *quota) bool {
		q.mu.Lock()
		idle := q.evicted || q.idle(now)
		left := time.Duration(max(q.pausedUntil-now, 0))
		q.mu.Unlock()
		return idle || fn(key, l.Peek(now, key, 1), left)
	})
}

func (l *upstream) Fork() Limiter { return newUpstream(*l.p.Load(), l) }

// Export leaves out what is in flight: it ends with the process.
func (l *upstream) Export(now int64, fn func(Record) bool) {
	now = max(now, 0)
	l.keys.all(func(key string, q *quota) bool {
		r := Record{Key: key}
		q.mu.Lock()
		q.advance(now)
		if q.pausedUntil > now {
			r.Paused = q.pausedUntil
		}
		if q.known && q.resetAt > now {
			r.Limit, r.Remaining, r.ResetAt = q.limit, max(q.left, 0), q.resetAt
		}
		q.mu.Unlock()
		return r.Paused == 0 && r.ResetAt == 0 || fn(r)
	})
}

func (l *upstream) Import(now int64, r Record) {
	now = max(now, 0)
	if r.Paused <= now && r.ResetAt <= now {
		return
	}
	q := l.lock(now, r.Key)
	if q == nil {
		return
	}
	defer q.mu.Unlock()
	if r.Paused > now {
		q.pausedUntil = max(q.pausedUntil, min(r.Paused, boundPause(now, MaxPause)))
	}
	if r.ResetAt > now {
		q.restore(now, r)
	}
}
