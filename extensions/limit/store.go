package limit

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v4"
)

const storeShards = 16

// level is what a store holds for a key. retire ends it if it equals an absent
// one at now; drop ends it regardless. Whoever meets a dead one looks again.
type level[V any] interface {
	*V
	dead() bool
	retire(now int64) bool
	drop()
}

// store is a bounded map from keys to levels. Evicting a level that equals an
// absent one loses nothing, so no times are kept: insertions near the cap sweep
// one shard after the other, as their share of the work adds up to a shard.
type store[V any, P level[V]] struct {
	shards [storeShards]atomic.Pointer[xsync.Map[string, P]]
	seed   uint64
	n      atomic.Int64
	max    atomic.Int64

	mu     sync.Mutex // one sweep at a time; guards credit and cursor
	credit int64
	cursor int

	overflow V // the level that keys without a place share; never dies
}

func (s *store[V, P]) init(maxKeys int) {
	s.seed = rand.Uint64() | 1
	s.max.Store(int64(maxKeys))
}

// shard mixes a few bytes of the key: a skewed choice costs balance, no more.
func (s *store[V, P]) shard(key string) *atomic.Pointer[xsync.Map[string, P]] {
	h := uint64(len(key))
	if n := len(key); n > 0 {
		h += uint64(key[n-1])<<8 | uint64(key[n/2])<<16 | uint64(key[n-1-n/8])<<24
	}
	return &s.shards[h*s.seed*0x9e3779b97f4a7c15>>60]
}

// find returns the key's level, or nil.
func (s *store[V, P]) find(key string) P {
	if m := s.shard(key).Load(); m != nil {
		v, _ := m.Load(key)
		return v
	}
	return nil
}

// insert returns the key's level, made by fresh if there is none; nil when
// there is no place.
func (s *store[V, P]) insert(now int64, key string, fresh func(P)) P {
	m := s.open(s.shard(key))
	if s.n.Load() >= s.max.Load()*7/8 {
		s.sweep(now)
	}
	v, _ := m.Compute(strings.Clone(key), func(old P, loaded bool) (P, xsync.ComputeOp) {
		if loaded && !old.dead() {
			return old, xsync.CancelOp
		}
		if !loaded && !s.claim() {
			return nil, xsync.CancelOp
		}
		v := P(new(V))
		fresh(v)
		return v, xsync.UpdateOp
	})
	return v
}

// claim counts one more key if there is room.
func (s *store[V, P]) claim() bool {
	for {
		n := s.n.Load()
		if n >= s.max.Load() {
			return false
		}
		if s.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *store[V, P]) open(p *atomic.Pointer[xsync.Map[string, P]]) *xsync.Map[string, P] {
	if m := p.Load(); m != nil {
		return m
	}
	p.CompareAndSwap(nil, xsync.NewMap[string, P]())
	return p.Load()
}

// sweep adds one insertion's share and evicts from as many shards as it pays for.
func (s *store[V, P]) sweep(now int64) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.max.Load() <= sweepAll {
		s.credit = s.n.Load()
	} else {
		s.credit += sweepRate
	}
	for range storeShards {
		m := s.shards[s.cursor].Load()
		if m != nil {
			size := int64(m.Size())
			if size > s.credit {
				return
			}
			s.credit -= size
			s.evict(m, now)
		}
		s.cursor = (s.cursor + 1) % storeShards
	}
}

func (s *store[V, P]) evict(m *xsync.Map[string, P], now int64) {
	m.RangeRelaxed(func(key string, v P) bool {
		if v.retire(now) {
			s.remove(m, key, v)
		}
		return true
	})
}

func (s *store[V, P]) remove(m *xsync.Map[string, P], key string, v P) {
	removed := false
	m.Compute(key, func(old P, loaded bool) (P, xsync.ComputeOp) {
		if removed = loaded && old == v; removed {
			return nil, xsync.DeleteOp
		}
		return old, xsync.CancelOp
	})
	if removed {
		s.n.Add(-1)
	}
}

// forget drops the key's level.
func (s *store[V, P]) forget(key string) {
	if m := s.shard(key).Load(); m != nil {
		if v, ok := m.Load(key); ok {
			v.drop()
			s.remove(m, key, v)
		}
	}
}

func (s *store[V, P]) len() int { return int(s.n.Load()) }

// all calls fn for each level until fn returns false.
func (s *store[V, P]) all(fn func(key string, v P) bool) {
	for i := range s.shards {
		m := s.shards[i].Load()
		if m == nil {
			continue
		}
		more := true
		m.Range(func(key string, v P) bool {
			more = v.dead() || fn(key, v)
			return more
		})
		if !more {
			return
		}
	}
}
