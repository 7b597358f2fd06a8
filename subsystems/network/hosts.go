package network

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxIdleHosts bounds the hosts that are remembered without a connection.
	maxIdleHosts = 4096
	// hostIdle is how long such a host is remembered: its bandwidth owes that long.
	hostIdle = time.Minute
)

// ErrBusy is the error of a dial that found every connection to its host taken and
// the queue full.
var ErrBusy = errors.New("network: too many dials wait for a connection to the host")

// host is what is known of one host while connections to it are open or wanted, and
// for a while after.
type host struct {
	key   string
	rates pair

	live    int           // guarded by hosts.mu, as what follows
	waiting list.List     // of chan struct{}, in order of arrival
	idle    *list.Element // in hosts.idle
	since   int64         // when it became idle
}

// hosts counts the connections to each host. It is safe for concurrent use.
type hosts struct {
	waits atomic.Uint64

	mu       sync.Mutex
	byKey    map[string]*host
	idle     list.List // *host, the longest idle first
	limit    int       // 0 none
	queueMax int
	rate     Rate
	live     int
	queued   int
}

func (hs *hosts) init() { hs.byKey = make(map[string]*host) }

// set puts bounds in force. Waiters that they let go, go.
func (hs *hosts) set(limit, queueMax int, r Rate, now int64) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.limit, hs.queueMax, hs.rate = limit, queueMax, r
	for _, h := range hs.byKey {
		h.rates.set(r, now)
		hs.drainLocked(h)
	}
}

// acquire takes a place among the connections of the host, and waits for it in
// order of arrival.
func (hs *hosts) acquire(ctx context.Context, key string, now int64) (*host, error) {
	hs.mu.Lock()
	h := hs.openLocked(key, now)
	if hs.limit == 0 || h.live < hs.limit && h.waiting.Len() == 0 {
		h.live++
		hs.live++
		hs.mu.Unlock()
		return h, nil
	}
	if h.waiting.Len() >= hs.queueMax {
		hs.restLocked(h, now)
		hs.mu.Unlock()
		return nil, fmt.Errorf("%w %s", ErrBusy, key)
	}
	ready := make(chan struct{})
	place := h.waiting.PushBack(ready)
	hs.queued++
	hs.mu.Unlock()
	hs.waits.Add(1)
	select {
	case <-ready:
		return h, nil
	case <-ctx.Done():
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	select {
	case <-ready: // both at once: the place is given back
		hs.releaseLocked(h, now)
	default:
		h.waiting.Remove(place)
		hs.queued--
		hs.restLocked(h, now)
	}
	return nil, fmt.Errorf("wait for a connection to %s: %w", key, context.Cause(ctx))
}

// release gives a place back.
func (hs *hosts) release(h *host, now int64) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.releaseLocked(h, now)
}

func (hs *hosts) releaseLocked(h *host, now int64) {
	h.live--
	hs.live--
	hs.drainLocked(h)
	hs.restLocked(h, now)
}

// drainLocked gives free places to those who wait longest.
func (hs *hosts) drainLocked(h *host) {
	for h.waiting.Len() > 0 && (hs.limit == 0 || h.live < hs.limit) {
		close(h.waiting.Remove(h.waiting.Front()).(chan struct{}))
		hs.queued--
		h.live++
		hs.live++
	}
}

// openLocked finds or makes the host of a key.
func (hs *hosts) openLocked(key string, now int64) *host {
	h := hs.byKey[key]
	if h == nil {
		hs.sweepLocked(now)
		h = &host{key: key}
		h.rates.start(hs.rate, now)
		hs.byKey[key] = h
	}
	if h.idle != nil {
		hs.idle.Remove(h.idle)
		h.idle = nil
	}
	return h
}

// restLocked notes a host that nobody uses.
func (hs *hosts) restLocked(h *host, now int64) {
	if h.live == 0 && h.waiting.Len() == 0 && h.idle == nil {
		h.since = now
		h.idle = hs.idle.PushBack(h)
		hs.sweepLocked(now)
	}
}

// sweepLocked forgets hosts that have been idle for long, or are too many.
func (hs *hosts) sweepLocked(now int64) {
	for e := hs.idle.Front(); e != nil; e = hs.idle.Front() {
		h := e.Value.(*host)
		if hs.idle.Len() <= maxIdleHosts && now-h.since < int64(hostIdle) {
			return
		}
		hs.idle.Remove(e)
		delete(hs.byKey, h.key)
	}
}

// numbers are the connections open, the dials waiting, and the hosts known.
func (hs *hosts) numbers() (live, queued, known int) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.live, hs.queued, len(hs.byKey)
}
