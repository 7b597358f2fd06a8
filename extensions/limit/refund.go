package limit

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	refundStripes = 16
	// maxTrails bounds the keys whose refunds are followed. A key beyond gets back
	// what is due by its own take alone.
	maxTrails = 4096
)

// refunds are the trails of a limiter's keys, apart from their levels: most keys
// need none. The zero value is empty. Safe for concurrent use.
type refunds struct {
	stripes [refundStripes]refundStripe
	n       atomic.Int64
	spares  atomic.Int64 // trails with something in spare
}

type refundStripe struct {
	mu   sync.Mutex // guards keys and their trails
	keys map[string]*trail
}

func (f *refunds) stripe(h uint64) *refundStripe { return &f.stripes[h%refundStripes] }

// beginLocked returns the key's trail, a new one if there is none; nil without a
// place. Called with the stripe's lock.
func (f *refunds) beginLocked(s *refundStripe, now int64, key string, tat int64, r *Rate) *trail {
	if h := s.keys[key]; h != nil {
		return h
	}
	if f.n.Load() >= maxTrails {
		for k, h := range s.keys {
			if max(h.tat, h.ahead) <= now { // full again: nothing is due
				f.dropLocked(s, k)
			}
		}
		if f.n.Load() >= maxTrails {
			return nil
		}
	}
	if s.keys == nil {
		s.keys = map[string]*trail{}
	}
	h := newTrail(now, tat, r)
	s.keys[strings.Clone(key)] = h
	f.n.Add(1)
	return h
}

func (f *refunds) dropLocked(s *refundStripe, key string) {
	if h, ok := s.keys[key]; ok {
		if h.spare > 0 {
			f.spares.Add(-1)
		}
		delete(s.keys, key)
		f.n.Add(-1)
	}
}

// countLocked counts a trail that had something in spare or not.
func (f *refunds) countLocked(h *trail, had bool) {
	if has := h.spare > 0; has != had {
		f.spares.Add(2*boolInt(has) - 1)
	}
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// forget drops the key's trail: its level has changed otherwise than by takes.
func (f *refunds) forget(h uint64, key string) {
	if f.n.Load() == 0 {
		return
	}
	s := f.stripe(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.dropLocked(s, key)
}

// stale lets the key's trail begin anew: its level is to change otherwise than by takes.
func (f *refunds) stale(h uint64, key string) {
	if f.n.Load() == 0 {
		return
	}
	s := f.stripe(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.keys[key]; h != nil {
		f.staleLocked(h)
	}
}

func (f *refunds) staleLocked(h *trail) {
	had := h.spare > 0
	h.changed()
	f.countLocked(h, had)
}

// allStale lets all trails begin anew.
func (f *refunds) allStale() {
	for i := range f.stripes {
		s := &f.stripes[i]
		s.mu.Lock()
		for _, h := range s.keys {
			f.staleLocked(h)
		}
		s.mu.Unlock()
	}
}

// takeAfter is the take of a key that is closed for left, from b. Who has to wait is
// noted in the key's trail.
func (l *tokenBucket) takeAfter(b *Bucket, left time.Duration, now int64, key string, c *bucketConf, cost int64, maxWait time.Duration) (Result, bool) {
	if b == &l.keys.overflow || left > maxWait || left == 0 && maxWait <= 0 && l.refunds.spares.Load() == 0 {
		return b.takeAfter(left, now, &c.rate, cost, maxWait)
	}
	s := l.refunds.stripe(l.keys.hash(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.keys[key]; h != nil && h.spare > 0 && left == 0 {
		if res, ok := l.takeSpareLocked(h, b, now, &c.rate, cost); ok {
			return res, true
		}
	}
	before := max(b.word.Load()&tatMask, now)
	res, ok := b.takeAfter(left, now, &c.rate, cost, maxWait)
	if !ok || !res.OK || res.Wait == 0 || cost <= 0 {
		return res, ok
	}
	if h := l.refunds.beginLocked(s, now, key, before, &c.rate); h != nil {
		had := h.spare > 0
		if _, ok := h.sync(now, b, &c.rate); ok {
			met := int64(res.Reset-res.Wait) - c.rate.worth(cost) - 2
			h.waits(addSat(now, int64(res.Wait)), met, &c.rate)
		}
		l.refunds.countLocked(h, had)
	}
	return res, ok
}

// takeSpareLocked takes from what h has in spare, if that is enough.
func (l *tokenBucket) takeSpareLocked(h *trail, b *Bucket, now int64, r *Rate, cost int64) (Result, bool) {
	tat, ok := h.sync(now, b, r)
	w := r.worth(cost) + 2
	if ok = ok && cost > 0 && cost <= r.burst && h.spare >= w && h.ahead > now; ok {
		h.use(w)
	}
	l.refunds.countLocked(h, true)
	return Result{OK: true, Limit: r.burst, Remaining: r.units(max(h.spare, 0)), Reset: time.Duration(max(tat-now, 0))}, ok
}

// spare says that a take of that cost would go at once on what others gave back.
func (l *tokenBucket) spare(now int64, key string, r *Rate, cost int64) bool {
	if l.refunds.spares.Load() == 0 || cost <= 0 || cost > r.burst {
		return false
	}
	s := l.refunds.stripe(l.keys.hash(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.keys[key]
	return h != nil && h.spare >= r.worth(cost)+2 && h.ahead > now
}

// giveBack gives back of a take of own units that left at that time.
func (l *tokenBucket) giveBack(now int64, key string, cost, own, left int64) {
	// A level that is gone was full again. Keys that shared the overflow level
	// get nothing back: time refills it.
	if cost <= 0 {
		return
	}
	now = max(now, 0)
	c := l.conf.Load()
	s := l.refunds.stripe(l.keys.hash(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := l.keys.live(key); b != nil; b = l.keys.live(key) {
		tat := max(b.word.Load()&tatMask, now)
		h := l.refunds.beginLocked(s, now, key, tat, &c.rate)
		if h == nil { // by the take alone, if nobody waits behind it
			if h = newTrail(now, tat, &c.rate); tat-c.rate.full > max(now, left) {
				return
			}
		}
		had := h.spare > 0
		ok := h.refund(now, b, &c.rate, c.worth(cost, left), min(c.worth(own, left), c.rate.full), left)
		if l.refunds.countLocked(h, had); ok {
			return
		}
	}
}
