package state

import (
	"fmt"
	"hash/maphash"
	"sync/atomic"
)

// edit is what an operation does to a key: write value (KindNone: delete), or nothing at all.
type edit struct {
	value   Value
	expires int64
	write   bool
}

// The edits without a value.
var (
	keep   = edit{}
	remove = edit{write: true, expires: never}
)

func put(v Value, expires int64) edit { return edit{value: v, expires: expires, write: true} }

// shardOf gives the shard that key belongs to.
func (s *Store) shardOf(key string) *shard {
	if len(s.shards) == 1 {
		return &s.shards[0]
	}
	return &s.shards[maphash.String(s.seed, key)&(shardCount-1)]
}

// overlays reports whether s itself has an entry for key, a hiding one included.
func (s *Store) overlays(key string) bool {
	sh := s.shardOf(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.entries[key] != nil
}

// update runs decide on the live value of key and carries out its edit, both under the lock of key's shard. If there is no room, what has
// expired anywhere is removed and decide asked once more, so decide may only compute.
func (s *Store) update(now int64, key string, decide func(old Value, expires int64) (edit, error)) error {
	room, err := s.tryUpdate(now, key, decide)
	if err != nil || room {
		return err
	}
	// The lock of the shard is not held here: two writers that sweep each other's shards must not wait for each other.
	for i := range s.shards {
		s.sweep(&s.shards[i], now)
	}
	room, err = s.tryUpdate(now, key, decide)
	if err != nil || room {
		return err
	}
	return fmt.Errorf("store with at most %d entries and %d bytes: %w", s.limits.MaxEntries, s.limits.MaxBytes, ErrFull)
}

// tryUpdate is update without making room; it returns false, and has changed nothing, if there was none.
func (s *Store) tryUpdate(now int64, key string, decide func(Value, int64) (edit, error)) (room bool, err error) {
	sh := s.shardOf(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.sweepLocked(sh, now, sweepPerWrite)

	e := sh.entries[key]
	old, expires := s.liveLocked(now, key, e)
	ed, err := decide(old, expires)
	if err != nil || !ed.write {
		return true, err
	}
	// An expired entry that was not removed yet is still counted.
	counted := old
	if e != nil {
		counted = e.value
	}
	entries := int64(present(ed.value) - present(counted))
	if !s.reserve(now, entries, size(key, ed.value)-size(key, counted)) {
		return false, nil
	}
	if ed.value.Kind == KindNone {
		s.dropLocked(sh, now, key, e)
	} else {
		sh.putLocked(e, key, ed.value, ed.expires)
	}
	return true, nil
}

func present(v Value) int {
	if v.Kind == KindNone {
		return 0
	}
	return 1
}

// liveLocked gives what key holds at now; e is its entry in s, or nil.
func (s *Store) liveLocked(now int64, key string, e *entry) (Value, int64) {
	switch {
	case e != nil:
		return e.at(now)
	case s.parent != nil:
		return s.parent.read(now, key)
	default:
		return Value{}, never
	}
}

// dropLocked makes key, whose entry in s is e or nil, absent: it removes the entry, or in an overlay lets it hide the parent's key.
func (s *Store) dropLocked(sh *shard, now int64, key string, e *entry) {
	if s.parent != nil {
		if v, _ := s.parent.read(now, key); v.Kind != KindNone {
			sh.putLocked(e, key, Value{}, never)
			s.purgeLocked(sh, now)
			return
		}
	}
	if e != nil {
		sh.removeLocked(e)
	}
}

// minPurge is the smallest number of an overlay's entries at which it looks for hiding ones that hide nothing any more.
const minPurge = 1024

// purgeLocked keeps an overlay's hiding entries in proportion to the live ones: each time their number has doubled, it drops those whose key has left the parent.
func (s *Store) purgeLocked(sh *shard, now int64) {
	if len(sh.entries) < max(sh.purgeAt, minPurge) {
		return
	}
	for key, e := range sh.entries {
		if e.value.Kind != KindNone {
			continue
		}
		if v, _ := s.parent.read(now, key); v.Kind == KindNone {
			sh.removeLocked(e)
		}
	}
	sh.purgeAt = 2 * len(sh.entries)
}

// sweep removes all entries of sh that are expired at now.
func (s *Store) sweep(sh *shard, now int64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.sweepLocked(sh, now, len(sh.expiry))
}

// sweepLocked removes at most n entries of sh that are expired at now.
func (s *Store) sweepLocked(sh *shard, now int64, n int) {
	for ; n > 0 && len(sh.expiry) > 0 && now >= sh.expiry[0].expires; n-- {
		e := sh.expiry[0]
		s.entries.Add(-1)
		s.bytes.Add(-size(e.key, e.value))
		s.dropLocked(sh, now, e.key, e)
	}
}

// reserve adds to the counters if that keeps them within the limits; what shrinks always does. The lock of the shard that changes is held.
func (s *Store) reserve(now int64, entries, bytes int64) bool {
	if s.parent == nil {
		if !addWithin(&s.entries, entries, int64(s.limits.MaxEntries)) {
			return false
		}
		if !addWithin(&s.bytes, bytes, s.limits.MaxBytes) {
			s.entries.Add(-entries)
			return false
		}
		return true
	}
	// An overlay has one shard: nobody else changes its counters now.
	if !s.fits(now, entries, bytes) {
		return false
	}
	s.entries.Add(entries)
	s.bytes.Add(bytes)
	return true
}

// addWithin adds delta to n unless that grows n beyond limit.
func addWithin(n *atomic.Int64, delta, limit int64) bool {
	for {
		have := n.Load()
		if delta > 0 && have+delta > limit {
			return false
		}
		if n.CompareAndSwap(have, have+delta) {
			return true
		}
	}
}

// fits reports whether an overlay, laid over its parent as it is at now, may grow by entries and bytes.
func (s *Store) fits(now int64, entries, bytes int64) bool {
	storedEntries, storedBytes := s.stored()
	within := func() bool {
		return (entries <= 0 || storedEntries+entries <= int64(s.limits.MaxEntries)) &&
			(bytes <= 0 || storedBytes+bytes <= s.limits.MaxBytes)
	}
	if within() {
		return true
	}
	// The parent's expired entries take no room; they are counted only here, where it matters, because an overlay may not remove them.
	for p := s.parent; p != nil; p = p.parent {
		for i := range p.shards {
			n, b := p.shards[i].expired(now)
			storedEntries, storedBytes = storedEntries-n, storedBytes-b
		}
	}
	return within()
}
