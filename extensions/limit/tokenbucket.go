package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// tokenBucket is a Bucket for each key.
type tokenBucket struct {
	keys    table
	pauses  pauses
	refunds refunds
	conf    atomic.Pointer[bucketConf]
	setMu   sync.Mutex   // one Set at a time
	parent  *tokenBucket // of a fork: where a key's first level comes from
}

type bucketConf struct {
	p    Params
	rate Rate
	// before is the fastest rate that was in force before this one, until is when
	// this one began: what was taken earlier is given back at no more than it cost.
	// Who had reserved leaves by the time reserved.
	before          *Rate
	until, reserved atomic.Int64 // until of 0: no take under this rate yet
}

// worth is the time that cost units are worth that left at that time.
func (c *bucketConf) worth(cost, left int64) int64 {
	w := c.rate.worth(cost)
	if c.before != nil {
		if until := c.until.Load(); until == 0 || left < max(until, c.reserved.Load()) {
			w = min(w, c.before.worth(cost))
		}
	}
	return w
}

func newTokenBucket(p Params, parent *tokenBucket) (*tokenBucket, error) {
	r, err := NewRate(p.Rate, p.Per, p.Burst)
	if err != nil {
		return nil, err
	}
	l := &tokenBucket{parent: parent}
	l.keys.init(p.MaxKeys)
	l.conf.Store(&bucketConf{p: p, rate: r})
	return l, nil
}

func (l *tokenBucket) Kind() Kind     { return TokenBucket }
func (l *tokenBucket) Params() Params { return l.conf.Load().p }
func (l *tokenBucket) Len() int       { return l.keys.len() }

func (l *tokenBucket) Set(p Params) error {
	if err := TokenBucket.Check(p); err != nil {
		return err
	}
	p = p.withDefaults(TokenBucket)
	r, err := NewRate(p.Rate, p.Per, p.Burst)
	if err != nil {
		return err
	}
	l.setMu.Lock()
	defer l.setMu.Unlock()
	old := l.conf.Load()
	next := &bucketConf{p: p, rate: r}
	if next.before = old.before; old.rate != r && (old.before == nil || old.rate.unit < old.before.unit) {
		next.before = &old.rate
	}
	l.conf.Store(next)
	l.keys.max.Store(int64(p.MaxKeys))
	if r.full < old.rate.full {
		l.keys.markAll()
	}
	if old.rate != r {
		l.keys.all(func(_ string, word int64) bool {
			next.reserved.Store(max(next.reserved.Load(), word&tatMask))
			return true
		})
		l.refunds.allStale()
	}
	return nil
}

func (l *tokenBucket) Take(now int64, key string, cost int64, maxWait time.Duration) (res Result) {
	now = max(now, 0)
	c := l.conf.Load()
	if c.before != nil && c.until.Load() == 0 {
		c.until.CompareAndSwap(0, now)
	}
	if maxWait < 0 {
		maxWait = c.p.MaxWait
	}
	b := l.keys.find(key)
	if b != nil && l.pauses.keys.Load() == nil { // the usual case
		// 0: gone. Who may wait reserves in takeSlow.
		if b.takeTo(&res, now, &c.rate, cost, 0); res.Limit != 0 && (res.OK || res.Wait > maxWait && l.refunds.spares.Load() == 0) {
			return res
		}
	}
	return l.takeSlow(now, key, cost, maxWait, c, b)
}

// takeSlow is Take where there is a pause somewhere, or no bucket yet.
func (l *tokenBucket) takeSlow(now int64, key string, cost int64, maxWait time.Duration, c *bucketConf, b *Bucket) Result {
	if b == nil {
		b = l.first(now, key)
	}
	for {
		var left time.Duration
		if l.pauses.keys.Load() != nil {
			left = l.pauses.left(now, key)
		}
		if b == nil {
			if c.p.WhenFull != FullShare {
				return heldBy(crowded(c.p.WhenFull, c.rate.burst), left, maxWait)
			}
			b, left = &l.keys.overflow, max(left, l.pauses.overflowLeft(now))
		}
		if res, ok := l.takeAfter(b, left, now, key, c, cost, maxWait); ok {
			return res
		}
		b = l.first(now, key) // in the place of one evicted or moved just now
	}
}

// takeAfter is take for a key that is closed for left: what comes back during
// a pause does not add up beyond a burst, so the take is made at its end.
func (b *Bucket) takeAfter(left time.Duration, now int64, r *Rate, cost int64, maxWait time.Duration) (Result, bool) {
	if left == 0 {
		res := b.Take(now, r, cost, maxWait)
		return res, res.Limit != 0 // 0: the bucket was evicted
	}
	end := now + int64(left)
	if left > maxWait {
		w := b.word.Load()
		if w == gone {
			return Result{}, false
		}
		res, _ := r.decide(w, end, cost, 0)
		return refuse(res, left), true
	}
	res, ok := b.take(end, r, cost, maxWait-left)
	res.Wait = after(res.Wait, left)
	res.Reset += left
	return res, ok
}

// refuse turns the result of a take at the end of a pause into a denial now.
func refuse(res Result, left time.Duration) Result {
	res.OK, res.Remaining = false, 0
	res.Wait, res.Reset = after(res.Wait, left), after(res.Reset, left)
	return res
}

// heldBy is a result that a pause holds on top.
func heldBy(res Result, left, maxWait time.Duration) Result {
	if left == 0 {
		return res
	}
	if left > maxWait {
		return refuse(res, left)
	}
	res.Wait = max(res.Wait, left)
	return res
}

// after is wait, begun when left has passed.
func after(wait, left time.Duration) time.Duration {
	return time.Duration(addSat(int64(wait), int64(left)))
}

// first makes the level of a key that has none; nil without a place.
func (l *tokenBucket) first(now int64, key string) *Bucket {
	if l.parent == nil {
		return l.keys.insert(now, key, nil)
	}
	return l.keys.insert(now, key, func() int64 {
		c := l.conf.Load()
		w, _ := l.parent.word(key)
		l.pauses.copyFrom(now, key, l.parent.pausesOf(key), c.p.MaxKeys)
		return c.rate.copyOf(w, now)
	})
}

// copyOf is the word w as plain TAT at now.
func (r *Rate) copyOf(w, now int64) int64 {
	if w == gone {
		return 0
	}
	return r.tat(w, now)
}

// word is the key's word, here or in the nearest limiter below that has one.
func (l *tokenBucket) word(key string) (int64, bool) {
	for ; l != nil; l = l.parent {
		if w, ok := l.keys.word(key); ok {
			return w, true
		}
	}
	return 0, false
}

// pausesOf is where the key's pause is: with its level.
func (l *tokenBucket) pausesOf(key string) *pauses {
	for l.parent != nil && l.keys.live(key) == nil {
		l = l.parent
	}
	return &l.pauses
}

func (l *tokenBucket) Peek(now int64, key string, cost int64) Result {
	now = max(now, 0)
	c := l.conf.Load()
	if b := l.keys.live(key); b != nil {
		b.clamp(now, &c.rate)
	}
	w, held := l.word(key)
	left := l.pausesOf(key).left(now, key)
	if !held && l.keys.n.Load() >= l.keys.max.Load() {
		if c.p.WhenFull != FullShare {
			return heldBy(crowded(c.p.WhenFull, c.rate.burst), left, c.p.MaxWait)
		}
		w, left = l.keys.overflow.word.Load(), max(left, l.pauses.overflowLeft(now))
	}
	var b Bucket
	b.word.Store(c.rate.copyOf(w, now))
	res, _ := b.takeAfter(left, now, &c.rate, cost, c.p.MaxWait)
	if res.Wait > 0 && left == 0 && l.spare(now, key, &c.rate, cost) {
		res.OK, res.Wait = true, 0
	}
	return res
}

func (l *tokenBucket) GiveBack(now int64, key string, cost, taken int64) {
	l.giveBack(now, key, cost, cost, taken)
}

// Release has nothing to do: a rate does not count what is in flight.
func (l *tokenBucket) Release(int64, string, int64) {}

func (l *tokenBucket) Settle(now int64, key string, estimate, actual, taken int64) {
	estimate, actual, now = max(estimate, 0), max(actual, 0), max(now, 0)
	if actual <= estimate {
		l.giveBack(now, key, estimate-actual, estimate, taken)
		return
	}
	c := l.conf.Load()
	for {
		b := l.touch(now, key)
		if b == nil {
			if c.p.WhenFull != FullShare {
				return
			}
			b = &l.keys.overflow
		}
		if b.owe(now, &c.rate, actual-estimate) {
			return
		}
	}
}

// touch returns the key's level, made if there is none; nil without a place.
func (l *tokenBucket) touch(now int64, key string) *Bucket {
	if b := l.keys.find(key); b != nil && !b.dead() {
		return b
	}
	return l.first(now, key)
}

// forward moves the key's TAT to t, never back. A key without a place is let be.
func (l *tokenBucket) forward(now int64, key string, t int64) {
	s := l.refunds.stripe(l.keys.hash(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := l.touch(now, key); b != nil; b = l.touch(now, key) {
		before := b.word.Load() & tatMask
		if before >= t {
			return
		}
		if b.forward(t) {
			if h := l.refunds.beginLocked(s, now, key, max(before, now), &l.conf.Load().rate); h != nil {
				had := h.spare > 0
				h.floor, h.spare = max(h.floor, t), 0
				l.refunds.countLocked(h, had)
			}
			return
		}
	}
}

func (l *tokenBucket) Learn(now int64, key string, f Feedback) {
	now = max(now, 0)
	c := l.conf.Load()
	if l.parent != nil {
		l.touch(now, key)
	}
	l.pauses.learn(now, key, f, c.p.MaxKeys)
	if f.Remaining < 0 || f.Reset < 0 || f.Remaining >= c.rate.burst {
		return
	}
	if f.Remaining == 0 {
		l.pauses.extend(now, key, boundPause(now, f.Reset), c.p.MaxKeys)
	}
	l.forward(now, key, addSat(now, c.rate.full-c.rate.worth(f.Remaining)))
}

func (l *tokenBucket) Pause(now int64, key string, d time.Duration) {
	now = max(now, 0)
	if l.parent != nil {
		l.touch(now, key)
	}
	l.pauses.set(now, key, boundPause(now, d), l.conf.Load().p.MaxKeys)
	l.refunds.stale(l.keys.hash(key), key) // who reserved for its end leaves after who comes now
}

func (l *tokenBucket) Reset(key string) {
	if l.parent != nil {
		// A forgotten key of a fork is a fresh one, not its parent's again.
		l.keys.reset(key)
	} else {
		l.keys.forget(key)
	}
	l.refunds.forget(l.keys.hash(key), key)
	l.pauses.forget(key)
}

func (l *tokenBucket) Range(now int64, fn func(string, Result, time.Duration) bool) {
	now = max(now, 0)
	more := true
	l.keys.all(func(key string, word int64) bool {
		left := l.pauses.left(now, key)
		if left > 0 || word&tatMask > now {
			more = fn(key, l.Peek(now, key, 1), left)
		}
		return more
	})
	if !more {
		return
	}
	l.pauses.all(now, func(key string, left time.Duration) bool {
		return l.keys.live(key) != nil || fn(key, l.Peek(now, key, 1), left)
	})
}

func (l *tokenBucket) Fork() Limiter {
	c := l.conf.Load()
	f := &tokenBucket{parent: l}
	f.keys.init(c.p.MaxKeys)
	f.conf.Store(&bucketConf{p: c.p, rate: c.rate})
	return f
}

func (l *tokenBucket) Export(now int64, fn func(Record) bool) {
	now = max(now, 0)
	c := l.conf.Load()
	l.Range(now, func(key string, _ Result, left time.Duration) bool {
		r := Record{Key: key}
		if w, ok := l.word(key); ok {
			if t := c.rate.copyOf(w, now); t > now {
				r.TAT = t
			}
		}
		if left > 0 {
			r.Paused = now + int64(left)
		}
		return fn(r)
	})
}

func (l *tokenBucket) Import(now int64, r Record) {
	now = max(now, 0)
	c := l.conf.Load()
	if r.TAT > now {
		l.forward(now, r.Key, min(r.TAT, addSat(now, c.rate.debt())))
	}
	if r.Paused > now {
		if l.parent != nil {
			l.touch(now, r.Key)
		}
		l.pauses.extend(now, r.Key, min(r.Paused, boundPause(now, MaxPause)), c.p.MaxKeys)
	}
}
