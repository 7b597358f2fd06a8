package limit

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v4"
)

const (
	backoffFirst = time.Second
	backoffMax   = time.Minute
	// backoffIdle is how long after its end a backoff is remembered.
	backoffIdle = 2 * backoffMax
	// pauseSweep is how many keys one insertion at the cap pays for.
	pauseSweep = 64
)

// backoff is the exponential backoff of a key that was refused without being
// told for how long: 1s, 2s, 4s.. at most 60s, until a success.
type backoff struct {
	level int
	since int64 // when the level last rose
}

// next returns the next pause, or 0 for a refusal that the pause before
// explains: its request had left before that began, or came while it holds.
func (b *backoff) next(now, sent, until int64) time.Duration {
	if now < until || (sent != 0 && b.level > 0 && sent < b.since) {
		return 0
	}
	d := min(backoffFirst<<min(b.level, 8), backoffMax)
	b.level, b.since = min(b.level+1, 8), now
	return d
}

// success ends the backoff, unless its request left before the last refusal.
func (b *backoff) success(sent int64) {
	if sent == 0 || sent >= b.since {
		*b = backoff{}
	}
}

// pauses holds the pauses of a limiter's keys, apart from their levels: most
// keys never have one, and a limiter that never paused any pays one load.
// The zero value is empty. Safe for concurrent use.
type pauses struct {
	keys     atomic.Pointer[xsync.Map[string, *pause]] // nil: none ever
	overflow atomic.Int64                              // the pause of keys without a place

	mu     sync.Mutex // guards writes
	credit int
}

type pause struct {
	until   atomic.Int64
	backoff backoff // guarded by pauses.mu
}

// left is how much of the key's pause is left.
func (p *pauses) left(now int64, key string) time.Duration {
	m := p.keys.Load()
	if m == nil {
		return 0
	}
	v, ok := m.Load(key)
	if !ok {
		return 0
	}
	return time.Duration(max(v.until.Load()-now, 0))
}

func (p *pauses) overflowLeft(now int64) time.Duration {
	return time.Duration(max(p.overflow.Load()-now, 0))
}

// set closes the key until that time; 0 lifts.
func (p *pauses) set(now int64, key string, until int64, maxKeys int) {
	if until == 0 && p.keys.Load() == nil {
		return
	}
	p.update(now, key, maxKeys, until != 0, func(v *pause) { v.until.Store(until) })
}

// extend closes the key until that time, if it is not closed for longer.
func (p *pauses) extend(now int64, key string, until int64, maxKeys int) {
	if until > now {
		p.update(now, key, maxKeys, true, func(v *pause) { v.until.Store(max(v.until.Load(), until)) })
	}
}

// learn pauses the key as the feedback says.
func (p *pauses) learn(now int64, key string, f Feedback, maxKeys int) {
	switch {
	case f.RetryAfter > 0 && f.refused():
		p.extend(now, key, boundPause(now, f.RetryAfter), maxKeys)
	case f.Status == statusTooMany && f.Reset > 0:
		p.extend(now, key, boundPause(now, f.Reset), maxKeys)
	case f.Status == statusTooMany:
		p.update(now, key, maxKeys, true, func(v *pause) {
			if d := v.backoff.next(now, f.Sent, v.until.Load()); d > 0 {
				v.until.Store(boundPause(now, d))
			}
		})
	case f.succeeded() && p.has(key):
		p.update(now, key, maxKeys, false, func(v *pause) { v.backoff.success(f.Sent) })
	}
}

// has says that something is kept of the key; a read without the lock.
func (p *pauses) has(key string) bool {
	m := p.keys.Load()
	if m == nil {
		return false
	}
	_, ok := m.Load(key)
	return ok
}

// update calls fn with the key's pause, made if create says so. Without a
// place for it, the pause becomes that of all keys without a place.
func (p *pauses) update(now int64, key string, maxKeys int, create bool, fn func(*pause)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.keys.Load()
	if m == nil {
		if !create {
			return
		}
		m = xsync.NewMap[string, *pause]()
		p.keys.Store(m)
	}
	v, ok := m.Load(key)
	switch {
	case ok:
		fn(v)
	case !create:
	case p.room(now, m, maxKeys):
		v = new(pause)
		fn(v)
		m.Store(strings.Clone(key), v)
	default:
		v = new(pause)
		fn(v)
		p.overflow.Store(max(p.overflow.Load(), v.until.Load()))
	}
}

// room makes room for one more at the cap, a full pass for every so many
// insertions as pay for it. Called with mu held.
func (p *pauses) room(now int64, m *xsync.Map[string, *pause], maxKeys int) bool {
	size := m.Size()
	if size < maxKeys {
		return true
	}
	if p.credit += pauseSweep; p.credit >= size {
		p.credit = 0
		m.RangeRelaxed(func(key string, v *pause) bool {
			if v.over(now) {
				m.Delete(key)
			}
			return true
		})
	}
	return m.Size() < maxKeys
}

// over says that the pause equals an absent one. Called with mu held.
func (v *pause) over(now int64) bool {
	until := v.until.Load()
	return until <= now && (v.backoff.level == 0 || addSat(until, int64(backoffIdle)) <= now)
}

func (p *pauses) forget(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.keys.Load(); m != nil {
		m.Delete(key)
	}
}

// copyFrom takes over the key's pause from another limiter's.
func (p *pauses) copyFrom(now int64, key string, from *pauses, maxKeys int) {
	m := from.keys.Load()
	if m == nil {
		return
	}
	v, ok := m.Load(key)
	if !ok {
		return
	}
	from.mu.Lock()
	until, b := v.until.Load(), v.backoff
	from.mu.Unlock()
	p.update(now, key, maxKeys, true, func(own *pause) {
		own.until.Store(until)
		own.backoff = b
	})
}

// all calls fn for each pause that holds, until fn returns false.
func (p *pauses) all(now int64, fn func(key string, left time.Duration) bool) {
	if m := p.keys.Load(); m != nil {
		m.Range(func(key string, v *pause) bool {
			left := v.until.Load() - now
			return left <= 0 || fn(key, time.Duration(left))
		})
	}
}
