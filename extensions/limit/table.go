package limit

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	tableBits   = 6
	tableShards = 1 << tableBits
	// tableLeast is how many entries the first slab of a shard has.
	tableLeast = 8
	// sweepRate is how many entries an insertion near the cap pays for looking
	// at. One pass over all keys takes 1/16 as many insertions, and begins 1/8
	// below the cap.
	sweepRate = 16
	// sweepAll: a table this small is swept whole.
	sweepAll = 256
)

// table is a bounded map from keys to buckets: flat arrays of (hash, TAT), read
// without a lock.
//
// A key is known by two independent hashes of 64 bits: where it is looked for
// follows from one, the other stands in its entry. Its bytes are kept beside, to
// be listed, and not compared: to fetch them would cost as much as all the rest.
// Two of a million keys share a count with a chance below 1e-12 (each pair has one
// of 2^-63, times that of meeting in one run of entries), for one run of the
// process: both hashes have seeds of their own in each, so that nobody can
// choose keys that collide.
//
// An entry belongs to one key for as long as its slab lives, so whoever holds a
// *Bucket may use it whatever happens meanwhile: at worst it is gone, and its
// holder looks the key up again. Entries are freed by moving what is left to a
// new slab. A bucket that is full again equals an absent one, so that no move
// loses anything and no times of use are kept.
type table struct {
	shards [tableShards]tableShard
	home   maphash.Seed // of the hash that says where
	seed   maphash.Seed // of the one in the entry
	n      atomic.Int64 // keys held
	max    atomic.Int64

	sweeping sync.Mutex // one sweep at a time; guards credit and cursor
	credit   int64
	cursor   int

	overflow Bucket // the level that keys without a place share; never gone
}

type tableShard struct {
	slab atomic.Pointer[slab]
	mu   sync.Mutex // guards writes of the slab, but for words
	used int        // entries of the slab that have a key; guarded by mu
}

// slab is an open-addressing table with linear probing. A quarter of it at
// least is free, so that every search ends.
type slab struct {
	entries []entry  // a power of two of them
	names   []string // the keys of the entries; guarded by the shard's mu
}

// entry is 16 bytes, so that four share a cache line.
type entry struct {
	tag atomic.Uint64 // the second hash, never 0; 0: free. Written once
	Bucket
}

// hashes are both hashes of a key.
type hashes struct{ home, tag uint64 }

func (t *table) hash(key string) hashes {
	return hashes{maphash.String(t.home, key), maphash.String(t.seed, key) | 1}
}

func (t *table) shard(h hashes) *tableShard { return &t.shards[h.home>>(64-tableBits)] }

// find returns the entry of a key, or nil.
func (s *slab) find(h hashes) *entry {
	es := s.entries
	for i := int(h.home); ; i++ {
		e := &es[i&(len(es)-1)]
		switch e.tag.Load() {
		case h.tag:
			return e
		case 0:
			return nil
		}
	}
}

// put writes an entry for a key that has none. Called with the shard's lock.
func (s *slab) put(h hashes, key string, word int64) *Bucket {
	for i := int(h.home); ; i++ {
		i &= len(s.entries) - 1
		if e := &s.entries[i]; e.tag.Load() == 0 {
			s.names[i] = key
			e.word.Store(word)
			e.tag.Store(h.tag)
			return &e.Bucket
		}
	}
}

func (t *table) init(maxKeys int) {
	t.home, t.seed = maphash.MakeSeed(), maphash.MakeSeed()
	t.max.Store(int64(maxKeys))
}

// find returns the key's bucket, or nil. It may be gone.
func (t *table) find(key string) *Bucket {
	h := t.hash(key)
	s := t.shard(h)
	if b := s.slab.Load(); b != nil {
		if e := b.find(h); e != nil {
			return &e.Bucket
		}
	}
	return nil
}

// live returns the key's bucket, or nil. It was not gone a moment ago.
func (t *table) live(key string) *Bucket {
	b := t.find(key)
	if b == nil || !b.dead() {
		return b
	}
	h := t.hash(key)
	s := t.shard(h)
	s.mu.Lock() // a move under way ends
	defer s.mu.Unlock()
	if e := s.slab.Load().find(h); e != nil && !e.dead() {
		return &e.Bucket
	}
	return nil
}

// word returns the key's word, if it has a bucket.
func (t *table) word(key string) (int64, bool) {
	for {
		b := t.live(key)
		if b == nil {
			return 0, false
		}
		if w := b.word.Load(); w != gone {
			return w, true
		}
	}
}

// insert returns the key's bucket, with the word that fresh returns where there
// was none (nil: a full one); nil when there is no place.
func (t *table) insert(now int64, key string, fresh func() int64) *Bucket {
	if t.crowded() {
		t.sweep(now)
	}
	h := t.hash(key)
	s := t.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.slab.Load()
	var e *entry
	if b != nil {
		if e = b.find(h); e != nil && !e.dead() {
			return &e.Bucket
		}
	}
	if !t.claim() {
		return nil
	}
	word := int64(0)
	if fresh != nil {
		word = fresh()
	}
	if e != nil {
		e.word.Store(word) // it was this key's before
		return &e.Bucket
	}
	if b == nil || s.used >= len(b.entries)/4*3 {
		b = t.move(now, s)
	}
	s.used++
	return b.put(h, strings.Clone(key), word)
}

// crowded says that the cap is near. Until then keys are kept though they have
// expired: most come again, and to find one costs less than to insert it.
func (t *table) crowded() bool { return t.n.Load() >= t.max.Load()*7/8 }

// claim counts one more key if there is room.
func (t *table) claim() bool {
	for {
		n := t.n.Load()
		if n >= t.max.Load() {
			return false
		}
		if t.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// move gives a shard a new slab with what still counts, at most half full.
// Called with the shard's lock: those who meet a moved entry wait for it.
func (t *table) move(now int64, s *tableShard) *slab {
	old := s.slab.Load()
	if old == nil {
		old = &slab{}
	}
	left, crowded := 0, t.crowded()
	for i := range old.entries {
		switch e := &old.entries[i]; {
		case e.tag.Load() == 0 || e.dead():
		case crowded && e.retire(now): // and stays so
			t.n.Add(-1)
		default:
			left++
		}
	}
	size := max(tableLeast, 1<<bits.Len(uint(2*left)))
	next := &slab{make([]entry, size), make([]string, size)}
	s.used = 0
	for i := range old.entries {
		e := &old.entries[i]
		if e.tag.Load() == 0 {
			continue
		}
		if word := e.word.Swap(gone); word != gone {
			next.put(t.hash(old.names[i]), old.names[i], word)
			s.used++
		}
	}
	s.slab.Store(next)
	return next
}

// sweep adds one insertion's share and evicts from as many shards as it pays for.
func (t *table) sweep(now int64) {
	if !t.sweeping.TryLock() {
		return
	}
	defer t.sweeping.Unlock()
	if t.max.Load() <= sweepAll {
		t.credit = tableShards * tableShards // more than it has entries
	} else {
		t.credit += sweepRate
	}
	for range tableShards {
		if !t.evict(now, &t.shards[t.cursor]) {
			return
		}
		t.cursor = (t.cursor + 1) % tableShards
	}
}

// evict ends what has expired in a shard, if the credit pays for it.
func (t *table) evict(now int64, s *tableShard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(s.used) > t.credit {
		return false
	}
	t.credit -= int64(s.used)
	if b := s.slab.Load(); b != nil {
		for i := range b.entries {
			if e := &b.entries[i]; e.tag.Load() != 0 && e.retire(now) {
				t.n.Add(-1)
			}
		}
	}
	return true
}

// forget drops the key's bucket.
func (t *table) forget(key string) {
	h := t.hash(key)
	s := t.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.slab.Load(); b != nil {
		if e := b.find(h); e != nil && e.word.Swap(gone) != gone {
			t.n.Add(-1)
		}
	}
}

// reset makes the key's bucket full, one that is made if need be.
func (t *table) reset(key string) {
	for b := t.insert(0, key, nil); b != nil; b = t.insert(0, key, nil) {
		if w := b.word.Load(); w != gone && b.word.CompareAndSwap(w, 0) {
			return
		}
	}
}

func (t *table) len() int { return int(t.n.Load()) }

// markAll asks for every bucket to be clamped when next touched.
func (t *table) markAll() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		if b := s.slab.Load(); b != nil {
			for i := range b.entries {
				if e := &b.entries[i]; e.tag.Load() != 0 {
					e.Bucket.mark()
				}
			}
		}
		s.mu.Unlock()
	}
	t.overflow.mark()
}

// all calls fn for each key and its word, until fn returns false. No lock is
// held meanwhile.
func (t *table) all(fn func(key string, word int64) bool) {
	type level struct {
		key  string
		word int64
	}
	var levels []level
	for i := range t.shards {
		s := &t.shards[i]
		levels = levels[:0]
		s.mu.Lock()
		if b := s.slab.Load(); b != nil {
			for i := range b.entries {
				if e := &b.entries[i]; e.tag.Load() != 0 {
					if w := e.word.Load(); w != gone {
						levels = append(levels, level{b.names[i], w})
					}
				}
			}
		}
		s.mu.Unlock()
		for _, l := range levels {
			if !fn(l.key, l.word) {
				return
			}
		}
	}
}
