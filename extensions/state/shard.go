package state

import (
	"container/heap"
	"strings"
	"sync"
)

// sweepPerWrite is how many expired entries a write removes from its shard: more than the one it may add, so that garbage shrinks.
const sweepPerWrite = 2

// noSlot is the slot of an entry that is not in its shard's expiry heap.
const noSlot = -1

// entry is one key of a shard. In an overlay an entry of KindNone hides the parent's key.
type entry struct {
	key     string
	value   Value
	expires int64 // never, or the first nanosecond at which the entry is absent
	slot    int   // index in the expiry heap, or noSlot
}

// at gives the entry's value and expiry as seen at now.
func (e *entry) at(now int64) (Value, int64) {
	if now >= e.expires {
		return Value{}, never
	}
	return e.value, e.expires
}

// size is what an entry of key and v counts for in bytes; nothing if v is none.
func size(key string, v Value) int64 {
	if v.Kind == KindNone {
		return 0
	}
	return int64(len(key) + v.size())
}

// shard is a part of a store under one lock. Its zero value is empty.
type shard struct {
	mu      sync.RWMutex
	entries map[string]*entry
	expiry  expiryHeap // the entries that expire, the next one first
	purgeAt int        // of an overlay: the number of entries at which hiding ones are looked through
}

// snapshot appends copies of the entries whose key begins with prefix.
func (sh *shard) snapshot(prefix string, dst []entry) []entry {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for key, e := range sh.entries {
		if strings.HasPrefix(key, prefix) {
			dst = append(dst, *e)
		}
	}
	return dst
}

// putLocked stores v under key; e is the present entry of key, or nil.
func (sh *shard) putLocked(e *entry, key string, v Value, expires int64) {
	if e == nil {
		n := own(key, v)
		e = &n
		if sh.entries == nil {
			sh.entries = make(map[string]*entry)
		}
		sh.entries[e.key] = e
	} else {
		e.value = ownValue(v)
	}
	if e.expires == expires && e.slot != noSlot {
		return
	}
	e.expires = expires
	switch {
	case e.slot == noSlot && expires != never:
		heap.Push(&sh.expiry, e)
	case e.slot != noSlot && expires == never:
		heap.Remove(&sh.expiry, e.slot)
	case e.slot != noSlot:
		heap.Fix(&sh.expiry, e.slot)
	}
}

// removeLocked takes e out.
func (sh *shard) removeLocked(e *entry) {
	if e.slot != noSlot {
		heap.Remove(&sh.expiry, e.slot)
	}
	delete(sh.entries, e.key)
}

// expired counts the entries that are expired at now and not removed yet, and their bytes.
func (sh *shard) expired(now int64) (entries, bytes int64) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.expiry.expired(now, 0)
}

// expiryHeap is a container/heap of entries by expiry; each knows its slot.
type expiryHeap []*entry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expires < h[j].expires }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

func (h *expiryHeap) Push(x any) {
	e := x.(*entry)
	e.slot = len(*h)
	*h = append(*h, e)
}

func (h *expiryHeap) Pop() any {
	old := *h
	last := len(old) - 1
	e := old[last]
	old[last] = nil
	*h = old[:last]
	e.slot = noSlot
	return e
}

// expired is shard.expired from node downwards. It does not visit live entries: below one, all are.
func (h expiryHeap) expired(now int64, node int) (entries, bytes int64) {
	if node >= len(h) || now < h[node].expires {
		return 0, 0
	}
	entries, bytes = 1, size(h[node].key, h[node].value)
	for child := 2*node + 1; child <= 2*node+2; child++ {
		n, b := h.expired(now, child)
		entries, bytes = entries+n, bytes+b
	}
	return entries, bytes
}
