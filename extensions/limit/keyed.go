package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// machine is one key of a limiter whose level is more than a word: a state and
// what moves it. All calls come with the key's lock held, times never run
// backwards by more than a skew, and cost is from 0 on.
type machine[S any] interface {
	*S
	// take takes cost units, now or after at most maxWait, or says when it could.
	take(c *settings, now, cost int64, maxWait time.Duration) Result
	// giveBack undoes a take of which the units were for the time at.
	giveBack(c *settings, now, cost, at int64)
	release(c *settings, now, cost int64)
	settle(c *settings, now, estimate, actual, taken int64)
	learn(c *settings, now int64, f Feedback)
	// idle says that the state equals an absent one.
	idle(c *settings, now int64) bool
	clone() S
	// save writes what outlives the process; restore takes it in, and never
	// makes a key more permissive than it was.
	save(c *settings, now int64, r *Record)
	restore(c *settings, now int64, r Record)
}

// unmoved is what most machines do about most things: nothing.
type unmoved struct{}

func (unmoved) release(*settings, int64, int64)              {}
func (unmoved) settle(*settings, int64, int64, int64, int64) {}
func (unmoved) learn(*settings, int64, Feedback)             {}
func (unmoved) save(*settings, int64, *Record)               {}
func (unmoved) restore(*settings, int64, Record)             {}

// settings are parameters and what is made of them. Immutable.
type settings struct {
	p    Params
	zone *time.Location // calendar
}

func newSettings(k Kind, p Params) (*settings, error) {
	if err := k.Check(p); err != nil {
		return nil, err
	}
	s := &settings{p: p.withDefaults(k), zone: time.UTC}
	if k == Calendar && p.Zone != "" {
		zone, err := time.LoadLocation(p.Zone)
		if err != nil {
			return nil, err
		}
		s.zone = zone
	}
	return s, nil
}

// cell is a machine behind its lock.
type cell[S any, M machine[S]] struct {
	mu      sync.Mutex // guards the rest
	evicted bool
	state   S
	conf    *atomic.Pointer[settings] // its limiter's
}

func (c *cell[S, M]) dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evicted
}

func (c *cell[S, M]) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evicted = true
}

func (c *cell[S, M]) retire(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.evicted || !M(&c.state).idle(c.conf.Load(), now) {
		return false
	}
	c.evicted = true
	return true
}

// keyed is a limiter that has a machine for each key.
type keyed[S any, M machine[S]] struct {
	kind   Kind
	keys   store[cell[S, M], *cell[S, M]]
	pauses pauses
	conf   atomic.Pointer[settings]
	parent *keyed[S, M]

	looking sync.Mutex // guards scratch; taken before a cell's lock
	scratch S          // a copy to be looked at: as a variable it would be allocated
}

func newKeyed[S any, M machine[S]](k Kind, c *settings, parent *keyed[S, M]) *keyed[S, M] {
	l := &keyed[S, M]{kind: k, parent: parent}
	l.keys.init(c.p.MaxKeys)
	l.conf.Store(c)
	l.keys.overflow.conf = &l.conf
	return l
}

func (l *keyed[S, M]) Kind() Kind     { return l.kind }
func (l *keyed[S, M]) Params() Params { return l.conf.Load().p }
func (l *keyed[S, M]) Len() int       { return l.keys.len() }
func (l *keyed[S, M]) Fork() Limiter  { return newKeyed(l.kind, l.conf.Load(), l) }

func (l *keyed[S, M]) Set(p Params) error {
	c, err := newSettings(l.kind, p)
	if err != nil {
		return err
	}
	l.conf.Store(c)
	l.keys.max.Store(int64(c.p.MaxKeys))
	return nil
}

// lock returns the key's cell, made if there is none, or the one that it shares;
// nil without either. The caller unlocks it.
func (l *keyed[S, M]) lock(now int64, key string) *cell[S, M] {
	for c := l.keys.find(key); ; c = nil {
		if c == nil {
			c = l.keys.insert(now, key, func(c *cell[S, M]) { l.first(now, key, c) })
		}
		if c == nil {
			if l.conf.Load().p.WhenFull != FullShare {
				return nil
			}
			c = &l.keys.overflow
		}
		c.mu.Lock()
		if !c.evicted {
			return c
		}
		c.mu.Unlock()
	}
}

// first fills the cell of a new key: of a fork, with what is known below.
func (l *keyed[S, M]) first(now int64, key string, c *cell[S, M]) {
	c.conf = &l.conf
	if l.parent == nil {
		return
	}
	l.parent.copyOf(key, &c.state)
	l.pauses.copyFrom(now, key, l.parent.pausesOf(key), l.conf.Load().p.MaxKeys)
}

// copyOf copies what is known of the key, here or in the nearest limiter below
// that has it.
func (l *keyed[S, M]) copyOf(key string, to *S) bool {
	for ; l != nil; l = l.parent {
		if c := l.keys.find(key); c != nil {
			return c.copyTo(to)
		}
	}
	return false
}

func (c *cell[S, M]) copyTo(to *S) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.evicted {
		*to = M(&c.state).clone()
	}
	return !c.evicted
}

func (l *keyed[S, M]) pausesOf(key string) *pauses {
	for l.parent != nil && l.keys.find(key) == nil {
		l = l.parent
	}
	return &l.pauses
}

func (l *keyed[S, M]) Take(now int64, key string, cost int64, maxWait time.Duration) Result {
	now, cost = max(now, 0), units(cost)
	conf := l.conf.Load()
	if maxWait < 0 {
		maxWait = conf.p.MaxWait
	}
	c := l.lock(now, key)
	left := l.pauses.left(now, key)
	if c == nil {
		return heldBy(crowded(conf.p.WhenFull, conf.p.Max), left, maxWait)
	}
	if c == &l.keys.overflow {
		left = max(left, l.pauses.overflowLeft(now))
	}
	if left > maxWait {
		c.mu.Unlock()
		return l.look(now, key, cost, maxWait)
	}
	defer c.mu.Unlock()
	return takeHeld(M(&c.state), conf, now, cost, left, maxWait)
}

// takeHeld takes at the end of a pause, or refuses where that is too long.
func takeHeld[S any, M machine[S]](m M, conf *settings, now, cost int64, left, maxWait time.Duration) Result {
	if left == 0 {
		return m.take(conf, now, cost, maxWait)
	}
	end := addSat(now, int64(left))
	if left > maxWait {
		return refuse(m.take(conf, end, cost, 0), left)
	}
	r := m.take(conf, end, cost, maxWait-left)
	r.Wait, r.Reset = after(r.Wait, left), after(r.Reset, left)
	return r
}

func (l *keyed[S, M]) Peek(now int64, key string, cost int64) Result {
	return l.look(max(now, 0), key, units(cost), l.conf.Load().p.MaxWait)
}

// look is a take of which nothing stays.
func (l *keyed[S, M]) look(now int64, key string, cost int64, maxWait time.Duration) Result {
	conf := l.conf.Load()
	left := l.pausesOf(key).left(now, key)
	l.looking.Lock()
	defer l.looking.Unlock()
	var zero S
	l.scratch = zero
	if !l.copyOf(key, &l.scratch) && l.keys.n.Load() >= l.keys.max.Load() {
		if conf.p.WhenFull != FullShare {
			return heldBy(crowded(conf.p.WhenFull, conf.p.Max), left, maxWait)
		}
		l.keys.overflow.copyTo(&l.scratch)
		left = max(left, l.pauses.overflowLeft(now))
	}
	return takeHeld(M(&l.scratch), conf, now, cost, left, maxWait)
}

// held is lock for a key that is not to be made if there is none: what it took
// it shares. A fork makes it, as its first touch.
func (l *keyed[S, M]) held(now int64, key string) *cell[S, M] {
	if l.parent != nil {
		return l.lock(now, key)
	}
	c := l.keys.find(key)
	if c == nil {
		c = &l.keys.overflow
	}
	c.mu.Lock()
	if c.evicted {
		c.mu.Unlock()
		return nil
	}
	return c
}

func (l *keyed[S, M]) GiveBack(now int64, key string, cost, taken int64) {
	now, cost = max(now, 0), units(cost)
	if cost == 0 {
		return
	}
	if c := l.held(now, key); c != nil {
		M(&c.state).giveBack(l.conf.Load(), now, cost, taken)
		c.mu.Unlock()
	}
}

func (l *keyed[S, M]) Release(now int64, key string, cost int64) {
	now, cost = max(now, 0), units(cost)
	if cost == 0 {
		return
	}
	if c := l.held(now, key); c != nil {
		M(&c.state).release(l.conf.Load(), now, cost)
		c.mu.Unlock()
	}
}

func (l *keyed[S, M]) Settle(now int64, key string, estimate, actual, taken int64) {
	now, estimate, actual = max(now, 0), units(estimate), units(actual)
	if estimate == actual {
		return
	}
	if c := l.held(now, key); c != nil {
		M(&c.state).settle(l.conf.Load(), now, estimate, actual, taken)
		c.mu.Unlock()
	}
}

func (l *keyed[S, M]) Learn(now int64, key string, f Feedback) {
	now = max(now, 0)
	conf := l.conf.Load()
	c := l.lock(now, key)
	if l.kind != Throttle && l.kind != RetryBudget {
		l.pauses.learn(now, key, f, conf.p.MaxKeys)
	}
	if f.Remaining == 0 && f.Reset > 0 && (l.kind == FixedWindow || l.kind == Calendar) {
		l.pauses.extend(now, key, boundPause(now, f.Reset), conf.p.MaxKeys)
	}
	if c != nil {
		defer c.mu.Unlock()
		M(&c.state).learn(conf, now, f)
	}
}

func (l *keyed[S, M]) Pause(now int64, key string, d time.Duration) {
	now = max(now, 0)
	if c := l.lock(now, key); c != nil {
		c.mu.Unlock()
	}
	l.pauses.set(now, key, boundPause(now, d), l.conf.Load().p.MaxKeys)
}

func (l *keyed[S, M]) Reset(key string) {
	if l.parent == nil {
		l.keys.forget(key)
	} else if c := l.lock(0, key); c != nil {
		if c != &l.keys.overflow {
			var s S
			c.state = s
		}
		c.mu.Unlock()
	}
	l.pauses.forget(key)
}

func (l *keyed[S, M]) Range(now int64, fn func(string, Result, time.Duration) bool) {
	now = max(now, 0)
	more := true
	l.keys.all(func(key string, c *cell[S, M]) bool {
		c.mu.Lock()
		idle := c.evicted || M(&c.state).idle(l.conf.Load(), now)
		c.mu.Unlock()
		if left := l.pauses.left(now, key); left > 0 || !idle {
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

func (l *keyed[S, M]) Export(now int64, fn func(Record) bool) {
	now = max(now, 0)
	l.Range(now, func(key string, _ Result, left time.Duration) bool {
		r := Record{Key: key}
		var s S
		if l.copyOf(key, &s) {
			M(&s).save(l.conf.Load(), now, &r)
		}
		if left > 0 {
			r.Paused = addSat(now, int64(left))
		}
		return r == Record{Key: key} || fn(r)
	})
}

func (l *keyed[S, M]) Import(now int64, r Record) {
	now = max(now, 0)
	conf := l.conf.Load()
	c := l.lock(now, r.Key)
	if c != nil {
		M(&c.state).restore(conf, now, r)
		c.mu.Unlock()
	}
	if r.Paused > now {
		l.pauses.extend(now, r.Key, min(r.Paused, boundPause(now, MaxPause)), conf.p.MaxKeys)
	}
}
