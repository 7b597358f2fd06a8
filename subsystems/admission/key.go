package admission

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
)

const (
	// maxKeys bounds the keys whose live numbers and breaker are kept: 2 KB each.
	// Keys with operations under way are kept beyond it.
	maxKeys = 8192
	// staleStats is how old the rates and quantiles in Request.Stats may be.
	staleStats = int64(100 * time.Millisecond)
)

// keyState is what is known about one key of the subsystem, as its callers name
// it. It is guarded by the core's mutex.
type keyState struct {
	key              string
	refs             int // operations that hold it
	inFlight, queued int64
	window           metrics.Window
	cached           policy.Stats
	asOf             int64
	stale            bool
	breaker          breaker
	prev, next       *keyState // of the idle list
	lone             bool      // in no table: of a dry operation
}

// keyTable finds the state of a key and forgets the one that was idle longest when
// there are too many. It is guarded by the core's mutex.
type keyTable struct {
	max    int
	broken atomic.Int64 // keys whose breaker is not closed; read without the mutex too
	byKey  map[string]*keyState
	last   *keyState // found last: most programs ask for few keys
	idle   keyState  // ring of those without operations; next is the longest idle
}

func (t *keyTable) init(limit int) {
	t.max = limit
	t.byKey = make(map[string]*keyState)
	t.idle.prev, t.idle.next = &t.idle, &t.idle
}

// ref returns the state of key, to be given back with unref.
func (t *keyTable) ref(key string) *keyState {
	k := t.last
	if k == nil || k.key != key {
		if k = t.byKey[key]; k == nil {
			k = t.insert(strings.Clone(key))
		}
		t.last = k
	}
	if k.refs == 0 && k.next != nil {
		k.prev.next, k.next.prev = k.next, k.prev
		k.prev, k.next = nil, nil
	}
	k.refs++
	return k
}

// look is ref for a dry operation: a key that is not known is not remembered.
func (t *keyTable) look(key string) *keyState {
	if t.byKey[key] != nil {
		return t.ref(key)
	}
	return &keyState{key: key, stale: true, lone: true, refs: 1}
}

func (t *keyTable) insert(key string) *keyState {
	if len(t.byKey) >= t.max && t.idle.next != &t.idle {
		old := t.idle.next
		old.prev.next, old.next.prev = old.next, old.prev
		delete(t.byKey, old.key)
		if old.breaker.state != breakerClosed {
			t.broken.Add(-1)
		}
	}
	k := &keyState{key: key, stale: true}
	t.byKey[key] = k
	return k
}

// unref ends a ref; nil is allowed.
func (t *keyTable) unref(k *keyState) {
	if k == nil || k.lone {
		return
	}
	k.refs--
	if k.refs > 0 {
		return
	}
	last := t.idle.prev
	k.prev, k.next = last, &t.idle
	last.next, t.idle.prev = k, k
}

// mend closes every breaker.
func (t *keyTable) mend() {
	for _, k := range t.byKey {
		if k.breaker.state != breakerClosed {
			k.breaker.turn(breakerClosed)
		}
	}
	t.broken.Store(0)
}

// stats returns the live numbers of the key, with rates and quantiles that are
// at most staleStats old.
func (k *keyState) stats(now int64) policy.Stats {
	if now-k.asOf >= staleStats && (k.stale || k.cached.Rate > 0) || k.asOf == 0 {
		w := k.window.Stats(now)
		k.cached = policy.Stats{Rate: w.Rate, ErrorRate: w.ErrorRate, P50: w.P50, P95: w.P95}
		k.asOf, k.stale = now, false
	}
	s := k.cached
	s.InFlight, s.Queued = k.inFlight, k.queued
	return s
}
