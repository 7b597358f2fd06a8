package limit

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// tableShards is how many parts move on their own: the low bits of a hash
	// choose one, the high bits the place in it.
	tableShards = 64
	// tableLeast is how many groups the first slab of a shard has.
	tableLeast = 2
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
// A key is known by a hash of 64 bits. Its bytes are kept beside, to be listed,
// and not compared: to fetch them would cost as much as all the rest. Two of a
// million keys share a count with a chance of 3e-8 (each pair has one of 2^-64),
// for one run of the process: the hash has a seed of its own in each, so that
// nobody can choose keys that collide.
//
// An entry belongs to one key for as long as its slab lives, so whoever holds a
// *Bucket may use it whatever happens meanwhile: at worst it is gone, and its
// holder looks the key up again. Entries are freed by moving what is left to a
// new slab. A bucket that is full again equals an absent one, so that no move
// loses anything and no times of use are kept.
type table struct {
	shards [tableShards]tableShard
	seed   maphash.Seed
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

// slab is an open-addressing table of groups: who finds no place in one goes on
// to the next. An eighth of it at least is free, so that every search ends.
type slab struct {
	groups []group
	names  []string // the keys of the entries; guarded by the shard's mu
}

// group is a cache line of entries, filled from the first on.
type group [4]entry

type entry struct {
	hash atomic.Uint64 // of the key, never 0; 0: free. Written once
	Bucket
}

// at is entry i of the slab, whose key is names[i].
func (s *slab) at(i int) *entry { return &s.groups[i/len(group{})][i%len(group{})] }

func (t *table) hash(key string) uint64 { return max(maphash.String(t.seed, key), 1) }

func (t *table) shard(h uint64) *tableShard { return &t.shards[h%tableShards] }

// home is the group in which a key is looked for first: the hash as a fraction
// of their number, which so need be no power of two.
func (s *slab) home(h uint64) int {
	i, _ := bits.Mul64(h, uint64(len(s.groups)))
	return int(i)
}

// find returns the entry of a key, or nil.
func (s *slab) find(h uint64) *entry {
	for g := s.home(h); ; g++ {
		if g >= len(s.groups) {
			g = 0
		}
		if i, full := s.groups[g].find(h); i >= 0 {
			return &s.groups[g][i&3]
		} else if !full {
			return nil
		}
	}
}

// find returns where in the group the hash is, below 0 for nowhere, and whether
// the group is full. It compares all four, without a branch that depends on which
// is the one: to guess that wrong costs more than the other three.
func (g *group) find(h uint64) (at int, full bool) {
	a, b, c, d := g[0].hash.Load(), g[1].hash.Load(), g[2].hash.Load(), g[3].hash.Load()
	at = -1
	if a == h {
		at = 0
	}
	if b == h {
		at = 1
	}
	if c == h {
		at = 2
	}
	if d == h {
		at = 3
	}
	return at, d != 0
}

// put writes an entry for a key that has none. Called with the shard's lock.
func (s *slab) put(h uint64, key string, word int64) *Bucket {
	for i := len(group{}) * s.home(h); ; i++ {
		if i == len(s.names) {
			i = 0
		}
		if e := s.at(i); e.hash.Load() == 0 {
			s.names[i] = key
			e.word.Store(word)
			e.hash.Store(h)
			return &e.Bucket
		}
	}
}

func (t *table) init(maxKeys int) {
	t.seed = maphash.MakeSeed()
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
	if b == nil || s.used >= len(b.names)*7/8 {
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

// move gives a shard a new slab with what still counts, less than two thirds
// full. Called with the shard's lock: those who meet a moved entry wait for it.
func (t *table) move(now int64, s *tableShard) *slab {
	old := s.slab.Load()
	if old == nil {
		old = &slab{}
	}
	left, crowded := 0, t.crowded()
	for i := range old.names {
		switch e := old.at(i); {
		case e.hash.Load() == 0 || e.dead():
		case crowded && e.retire(now): // and stays so
			t.n.Add(-1)
		default:
			left++
		}
	}
	size := tableLeast + left*2/5
	next := &slab{make([]group, size), make([]string, size*len(group{}))}
	s.used = 0
	for i := range old.names {
		e := old.at(i)
		if e.hash.Load() == 0 {
			continue
		}
		if word := e.word.Swap(gone); word != gone {
			next.put(e.hash.Load(), old.names[i], word)
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
	t.credit += sweepRate
	if t.max.Load() <= sweepAll {
		// More than it has entries, unless it was large before: those come in turn.
		t.credit = max(t.credit, tableShards*tableShards)
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
		for i := range b.names {
			if e := b.at(i); e.hash.Load() != 0 && e.retire(now) {
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
			for i := range b.names {
				if e := b.at(i); e.hash.Load() != 0 {
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
			for i := range b.names {
				if e := b.at(i); e.hash.Load() != 0 {
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
