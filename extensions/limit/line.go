package limit

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Bounds and defaults of a line.
const (
	// DefaultMaxQueue is how many may stand in a line whose Params name only the
	// longest wait.
	DefaultMaxQueue = 1000
	// DefaultQueueWait is how long one may stand in a line whose Params name only
	// how many may.
	DefaultQueueWait = time.Minute
	// maxQueue bounds a line.
	maxQueue = 1_000_000
	// priorities are from 0, the least, to 9.
	priorities = 10
)

// Line is a limiter that lets takes wait in line. Concurrency is one, and whatever is
// shared with other hosts.
type Line interface {
	Limiter
	// Join takes as Take does, or where that would be refused for now a place in the
	// key's line: then the result is OK and the place not nil. There is a line where
	// Params have MaxQueue or MaxWait; maxWait is the longest time in it, below 0 the
	// declared one. Who joins a full line is refused or, by priority, takes the place
	// of the newest of the least urgent. A nil w only looks: the place says how many
	// would stand before it.
	Join(now int64, key string, cost int64, priority int, maxWait time.Duration, w policy.Waiter) (Result, *Place)
	// Waiting is how many stand in the key's line.
	Waiting(key string) int
}

// Place is one place in a line: a policy.Place.
type Place struct {
	state atomic.Uint32

	line       *line       // nil: only looked at, or waits for a lease
	lease      *leasePlace // what it waits for where that is a lease
	waiter     policy.Waiter
	cost       int64
	until      int64
	class      int
	ahead      int // at the time of joining
	prev, next *Place
}

// State tells whether it still waits.
func (p *Place) State() policy.PlaceState { return policy.PlaceState(p.state.Load()) }

// Until is when its time is over, ns since the epoch; once it is refused, when to come
// back.
func (p *Place) Until() int64 {
	if p.lease != nil && p.State() == policy.PlaceRefused {
		return p.lease.back
	}
	return p.until
}

// OfLease says that it waits for the answer of a store, and not for slots.
func (p *Place) OfLease() bool { return p.lease != nil }

// Ahead is how many stood before it when it joined.
func (p *Place) Ahead() int { return p.ahead }

// Leave gives the place up at now. It reports false where its units were granted
// already: those are to be given back as any.
func (p *Place) Leave(now int64) bool {
	if p.lease != nil {
		return p.lease.leave(now, p)
	}
	if p.line == nil {
		return true
	}
	l := p.line.of
	l.lines.mu.Lock()
	if st := p.State(); st != policy.PlaceWaits {
		l.lines.mu.Unlock()
		return st != policy.PlaceGranted
	}
	p.line.remove(p, policy.PlaceLeft)
	let := l.serveLocked(now, p.line, nil) // who stood behind may need less
	l.lines.mu.Unlock()
	letGo(let)
	return true
}

// lines are the lines of a concurrency limiter, by key. Most keys have none, and a
// limiter in which nobody waits pays one load.
type lines struct {
	waiting atomic.Int64 // in all lines, and those who are about to

	mu     sync.Mutex // guards the rest, and what is in the lines
	byKey  map[string]*line
	shared int // lines whose key has only the overflow level
}

// line is who waits for the units of one key: the more urgent first, and in order of
// arrival among equals. Guarded by lines.mu.
type line struct {
	of     *concurrency
	key    string
	shared bool
	n      int
	lists  [priorities]struct{ head, tail *Place }
}

func (n *line) push(p *Place) {
	l := &n.lists[p.class]
	if p.prev = l.tail; p.prev == nil {
		l.head = p
	} else {
		p.prev.next = p
	}
	l.tail = p
	p.line = n
	n.n++
}

// remove takes p out, in the state given.
func (n *line) remove(p *Place, s policy.PlaceState) {
	l := &n.lists[p.class]
	if p.prev == nil {
		l.head = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.tail = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
	n.n--
	n.of.lines.waiting.Add(-1)
	p.state.Store(uint32(s))
}

// first is the one that is next, nil in an empty line.
func (n *line) first() *Place {
	for c := priorities - 1; c >= 0; c-- {
		if p := n.lists[c].head; p != nil {
			return p
		}
	}
	return nil
}

// last is the newest of the least urgent, nil in an empty line.
func (n *line) last() *Place {
	for c := range priorities {
		if p := n.lists[c].tail; p != nil {
			return p
		}
	}
	return nil
}

// ahead is how many go before one more of that class.
func (n *line) ahead(class int) int {
	before := n.n
	for c := range class {
		for p := n.lists[c].head; p != nil; p = p.next {
			before--
		}
	}
	return before
}

// queues says that the limiter lets takes wait.
func (p *Params) queues() bool { return p.MaxQueue > 0 }

func (p *Params) class(priority int) int {
	if p.Order != "priority" {
		return 0
	}
	return min(max(priority, 0), priorities-1)
}

// in is how many stand in the key's line.
func (q *lines) in(key string) int {
	if q.waiting.Load() == 0 {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := q.byKey[key]; n != nil {
		return n.n
	}
	return 0
}

// Waiting implements Line. A fork shows those of what it was made of.
func (l *concurrency) Waiting(key string) int {
	for ; l != nil; l = l.parent {
		if n := l.lines.in(key); n > 0 {
			return n
		}
	}
	return 0
}

func (l *concurrency) waited(key string) bool { return l.Waiting(key) > 0 }

// Join implements Line.
func (l *concurrency) Join(now int64, key string, cost int64, priority int, maxWait time.Duration, w policy.Waiter) (Result, *Place) {
	now, cost = max(now, 0), max(cost, 0)
	p := l.p.Load()
	if maxWait < 0 {
		maxWait = p.MaxWait
	}
	r := l.Take(now, key, cost, maxWait)
	if r.OK || r.Wait != RetryHint || !p.queues() || maxWait == 0 {
		return r, nil // taken, or refused for more than the moment
	}
	mine := &Place{waiter: w, cost: cost, until: addSat(now, int64(maxWait)), class: p.class(priority)}
	if w == nil {
		return l.lookAtLine(key, p, mine, r)
	}
	l.lines.mu.Lock()
	l.lines.waiting.Add(1) // from here on whoever frees units looks for the line
	n, res := l.lineLocked(now, key, cost, p)
	if n == nil {
		l.lines.waiting.Add(-1)
		l.lines.mu.Unlock()
		return res, nil
	}
	mine.ahead = n.ahead(mine.class)
	var loser *Place
	if int64(n.n) >= p.MaxQueue {
		if loser = n.last(); loser.class >= mine.class {
			l.lines.waiting.Add(-1)
			l.lines.mu.Unlock()
			return r, nil
		}
		n.remove(loser, policy.PlaceLost)
	}
	n.push(mine)
	l.lines.mu.Unlock()
	if loser != nil {
		loser.waiter.LetGo()
	}
	return Result{OK: true, Limit: p.Max}, mine
}

// lineLocked returns the key's line, made where there are no units to take. Where
// there are, or no place to count them at, it returns nil and the result.
func (l *concurrency) lineLocked(now int64, key string, cost int64, p *Params) (*line, Result) {
	if n := l.lines.byKey[key]; n != nil {
		return n, Result{}
	}
	for {
		s := l.touch(now, key)
		if s == nil && p.WhenFull != FullShare {
			return nil, crowded(p.WhenFull, p.Max)
		}
		shared := s == nil
		if shared {
			s = &l.keys.overflow
		}
		used, taken, ok := s.take(cost, p.Max)
		if !ok {
			continue
		}
		if taken || used == 0 { // units that were free, or more than there will ever be
			return nil, slotResult(used, cost, p.Max, taken)
		}
		n := &line{of: l, key: strings.Clone(key), shared: shared}
		if l.lines.byKey == nil {
			l.lines.byKey = map[string]*line{}
		}
		l.lines.byKey[n.key] = n
		if shared {
			l.lines.shared++
		}
		return n, Result{}
	}
}

// lookAtLine is Join for one who does not stay.
func (l *concurrency) lookAtLine(key string, p *Params, mine *Place, refused Result) (Result, *Place) {
	for below := l; below != nil; below = below.parent {
		below.lines.mu.Lock()
		n, full := below.lines.byKey[key], false
		if n != nil {
			mine.ahead = n.ahead(mine.class)
			full = int64(n.n) >= p.MaxQueue && n.last().class >= mine.class
		}
		below.lines.mu.Unlock()
		if full {
			return refused, nil
		}
		if n != nil {
			break
		}
	}
	return Result{OK: true, Limit: p.Max}, mine
}

// serve grants units of a key that came free to whoever is next.
func (l *concurrency) serve(now int64, key string) {
	if l.lines.waiting.Load() == 0 {
		return
	}
	l.lines.mu.Lock()
	var let []*Place
	if n := l.lines.byKey[key]; n != nil {
		let = l.serveLocked(now, n, let)
	}
	if l.lines.shared > 0 { // they may have been of the level that those share
		for _, n := range l.lines.byKey {
			let = l.serveLocked(now, n, let)
		}
	}
	l.lines.mu.Unlock()
	letGo(let)
}

// serveAll is serve of every key.
func (l *concurrency) serveAll(now int64) {
	l.lines.mu.Lock()
	var let []*Place
	for _, n := range l.lines.byKey {
		let = l.serveLocked(now, n, let)
	}
	l.lines.mu.Unlock()
	letGo(let)
}

// serveLocked grants what there is to the first in line, and appends those who may
// go, or have waited in vain.
func (l *concurrency) serveLocked(now int64, n *line, let []*Place) []*Place {
	p := l.p.Load()
	for {
		first := n.first()
		if first == nil {
			if l.lines.byKey[n.key] == n {
				delete(l.lines.byKey, n.key)
				if n.shared {
					l.lines.shared--
				}
			}
			return let
		}
		if first.until <= now || first.cost > p.Max {
			n.remove(first, policy.PlaceLost)
			let = append(let, first)
			continue
		}
		s := l.touch(now, n.key)
		if s == nil {
			s = &l.keys.overflow
		}
		_, taken, ok := s.take(first.cost, p.Max)
		if ok && !taken {
			return let
		}
		if taken {
			n.remove(first, policy.PlaceGranted)
			let = append(let, first)
		}
	}
}

// letGo tells them, with no lock held.
func letGo(places []*Place) {
	for _, p := range places {
		p.waiter.LetGo()
	}
}
