package network

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// quantumsPerSecond is how many turns a rate is cut into: connections that share
	// a rate take turns of that many bytes, whatever the size of their reads.
	quantumsPerSecond = 100
	maxQuantum        = 64 << 10 // bytes
	// catchUp is how much time a rate may make up for: a timer that fired late, or a
	// moment in which nobody wrote. It is the burst after idle time.
	catchUp = 50 * time.Millisecond
)

// bucket paces one direction of one level. Turns are handed out in the order in
// which they are asked for; one that lies ahead is waited for before its bytes
// move. It is safe for concurrent use. The zero bucket does not limit.
type bucket struct {
	rate atomic.Int64 // bytes a second, 0 no bound

	mu   sync.Mutex
	next int64         // when the next turn begins, ns of the clock; guarded by mu
	turn chan struct{} // closed when turns handed out are void; nil until one waits; guarded by mu
}

// quantum is how many bytes one turn of a rate has.
func quantum(rate int64) int { return int(min(max(rate/quantumsPerSecond, 1), maxQuantum)) }

// set changes the rate. Turns that lie ahead are void: who waits for one asks again.
func (b *bucket) set(rate, now int64) {
	if b.rate.Load() == rate {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate.Store(rate)
	b.next = now
	if b.turn != nil {
		close(b.turn)
		b.turn = nil
	}
}

// reserve takes the next turn, of n bytes, and returns how long it is away. void is
// closed when the turn is no longer to be waited for; nil where there is no wait.
func (b *bucket) reserve(now int64, n int) (wait time.Duration, void <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rate := b.rate.Load()
	if rate == 0 {
		return 0, nil
	}
	start := max(b.next, now-int64(catchUp))
	b.next = start + int64(float64(n)/float64(rate)*1e9)
	if start <= now {
		return 0, nil
	}
	if b.turn == nil {
		b.turn = make(chan struct{})
	}
	return time.Duration(start - now), b.turn
}

// pair are the buckets of the two directions.
type pair struct{ up, down bucket }

func (p *pair) set(r Rate, now int64) {
	p.up.set(r.Up, now)
	p.down.set(r.Down, now)
}

// start makes a pair that has no idle time to make up for.
func (p *pair) start(r Rate, now int64) {
	p.up.next, p.down.next = now, now
	p.up.rate.Store(r.Up)
	p.down.rate.Store(r.Down)
}
