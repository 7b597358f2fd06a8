package limit

import (
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// maxBatches bounds the windows ahead in which waiters may hold a place.
	maxBatches = 64
	// resetSlack: two resets this close are the same one, said in whole seconds.
	resetSlack = int64(time.Second)
	// rttSpan is how long one slow answer is remembered, twice that at most.
	rttSpan = int64(10 * time.Second)
)

// quota is one key of an upstream, behind its lock.
type quota struct {
	mu      sync.Mutex // guards the rest
	evicted bool
	quotaState
}

// quotaState is what is known of one key of an upstream.
//
// left is the heart: units that may still be taken before resetAt, with all
// that was taken already off, and never above the truth as long as nobody else
// spends from the quota. An answer says how much remained when the upstream
// wrote it. What it cannot have counted is at most everything taken and not
// answered by the time its own request left; less that, it bounds the truth
// from below, and left may rise to it. Above, it bounds the truth as it stands.
type quotaState struct {
	limit     int64 // units per window, 0 unknown
	peak      int64 // most units that a window was seen to hold, where limit is unknown
	known     bool  // left means something
	left      int64
	ceil      int64 // left cannot be above this: what the last answer or reset said
	resetAt   int64 // 0: not known, or the window begins with the next take
	window    int64 // as an answer said; 0 it did not
	seen      int64 // how far resets were apart, at the least; 0: only one was told of
	lastReset int64 // as an answer told of it
	told      int64 // the longest time until a reset that was told of: no window is shorter
	sent      int64 // when the request of the newest answer left
	rolled    int64 // when the present window began, for GiveBack
	low       int64 // the reset may be as early as this: told in whole seconds, or a while ago
	guess     bool  // resetAt was not told of
	floors    bool  // it tells whole seconds rounded down
	rtt       int64 // longest time an answer took lately, at most a second
	rtts      [2]int64
	rttSince  int64
	sends     history // units sent by some earlier times

	pausedUntil int64
	backoff     backoff

	inFlight int64 // taken and not released, reservations included
	pending  int64 // of these, sent and not answered
	taken    int64 // units sent, ever
	history  history

	waiting   []batch // reservations to come, by time
	immediate int64   // when a take last passed without waiting
}

// batch is the units that may leave at one time.
type batch struct {
	at, n       int64
	first, last int64 // when they were reserved
}

func (q *quota) dead() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.evicted
}

func (q *quota) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.evicted = true
}

func (q *quota) retire(now int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.evicted || !q.idle(now) {
		return false
	}
	q.evicted = true
	return true
}

// idle says that nothing holds the key: its reset has passed and nothing is
// under way. What is forgotten then (a learned limit) the next answer says again.
func (q *quotaState) idle(now int64) bool {
	return q.inFlight == 0 && len(q.waiting) == 0 && q.pausedUntil <= now &&
		(!q.known || q.resetAt <= now && addSat(q.resetAt, q.window) <= now) &&
		(q.backoff.level == 0 || addSat(q.pausedUntil, int64(backoffIdle)) <= now)
}

// perWindow is how many units a window may hold by what is known: silence
// never makes it more.
func (q *quotaState) perWindow() int64 {
	if q.limit > 0 {
		return q.limit
	}
	return max(q.peak, 1)
}

// length is how long a window lasts by what is known: what an upstream says, else
// what lies between two resets that it told of, else the next of the usual lengths
// over the time that was left when it was first seen, which may have been nearly
// over. 0: nothing is known.
func (q *quotaState) length() int64 {
	switch {
	case q.window > 0:
		return q.window
	case q.seen > 0:
		return max(q.seen, q.told)
	case q.told == 0:
		return 0
	}
	for _, usual := range [...]time.Duration{time.Second, time.Minute, time.Hour} {
		if q.told <= int64(usual) {
			return int64(usual)
		}
	}
	return max(int64(24*time.Hour), q.told)
}

// advance moves to now: reservations that are due leave, windows reset.
func (q *quotaState) advance(now int64) {
	for {
		due := len(q.waiting) > 0 && q.waiting[0].at <= now
		reset := q.known && q.resetAt != 0 && q.resetAt <= now
		switch {
		case due && (!reset || q.waiting[0].at < q.resetAt):
			b := q.waiting[0]
			q.waiting = q.waiting[:copy(q.waiting, q.waiting[1:])]
			q.spend(b.at, b.n)
		case reset:
			// What is under way may reach the upstream after its reset.
			q.left = q.perWindow() - max(q.pending, q.late())
			q.ceil = q.perWindow()
			q.rolled, q.resetAt = q.resetAt, 0
		default:
			return
		}
	}
}

// spend sends n units at that time. A window that nobody has seen begins with
// its first unit: late for an upstream with windows by the clock, and right for
// one whose window begins with a request.
func (q *quotaState) spend(at, n int64) {
	q.left = max(q.left-n, math.MinInt64/2)
	q.pending += n
	q.taken += n
	q.sends.add(at, q.taken, max(q.resetAt-q.low, q.rtt)/8)
	if q.known && q.resetAt == 0 && q.length() > 0 {
		q.resetAt, q.low, q.guess = addSat(at, q.length()+q.rtt), at, true
	}
}

// late is how many units were sent when the window may have been over already: they
// may count in the next one.
func (q *quotaState) late() int64 {
	return min(q.taken-q.sends.by(q.low), q.perWindow())
}

// took takes in how long an answer took: the longest of the last times counts.
func (q *quotaState) took(now, d int64) {
	if now-q.rttSince > rttSpan {
		q.rtts[1], q.rtts[0], q.rttSince = q.rtts[0], 0, now
	}
	q.rtts[0] = max(q.rtts[0], min(d, int64(time.Second)))
	q.rtt = max(q.rtts[0], q.rtts[1])
}

// ahead is how many reserved units leave before the next reset.
func (q *quotaState) ahead() int64 {
	n := int64(0)
	for _, b := range q.waiting {
		if q.resetAt == 0 || b.at < q.resetAt {
			n += b.n
		}
	}
	return n
}

// decide returns when cost units may leave: now or later, or the result of a
// denial. Called after advance.
func (q *quotaState) decide(now, cost int64, maxWait time.Duration) (at int64, r Result) {
	at = max(now, q.pausedUntil)
	r = Result{Limit: q.limit, Remaining: -1}
	if q.known {
		r.Remaining = max(q.left-q.ahead(), 0)
		r.Reset = time.Duration(max(q.resetAt-now, 0))
	}
	ok := true
	if cost > 0 && q.known {
		at, ok = q.place(at, min(cost, q.perWindow()))
	}
	r.Wait = time.Duration(at - now)
	switch {
	case !ok:
		r.Wait = max(r.Wait, RetryHint)
	case r.Wait > maxWait || r.Wait > 0 && len(q.waiting) >= maxBatches:
	default:
		r.OK = true
		if q.known && (q.resetAt == 0 || at < q.resetAt) {
			r.Remaining = max(r.Remaining-cost, 0)
		}
	}
	return at, r
}

// place finds the first time from at on with room for cost units. Without one
// that is known, ok is false and the time is a guess.
func (q *quotaState) place(at, cost int64) (when int64, ok bool) {
	if q.resetAt == 0 || at < q.resetAt {
		if q.left-q.ahead() >= cost {
			return at, true
		}
		// A window without a known end is used up. When nothing is under way, one goes to
		// ask; else answers will tell, and what is under way now is over in a window's time.
		switch {
		case q.resetAt != 0:
			at = q.resetAt
		case q.pending == 0 && len(q.waiting) == 0:
			return at, true
		case q.length() == 0:
			return at, false
		case len(q.waiting) == 0:
			return addSat(at, q.length()+q.rtt), true
		}
	}
	// Resets wobble from answer to answer: a reservation for just before this
	// one was for the same.
	n, slack := len(q.waiting), min(q.slack(), max(q.length()/4, 1))
	if n == 0 || q.waiting[n-1].at < q.resetAt-slack {
		if q.perWindow()-q.late() >= cost {
			return at, true
		}
		return addSat(at, max(q.length(), 1)+q.rtt), q.length() > 0
	}
	last, held := q.waiting[n-1].at, int64(0)
	for _, b := range q.waiting {
		if b.at >= last-slack {
			held += b.n
		}
	}
	room := q.perWindow()
	if last < q.resetAt+slack { // the first window after the reset
		room -= q.late()
	}
	if held+cost <= room {
		return max(at, last), true
	}
	if q.length() == 0 {
		return addSat(last, int64(RetryHint)), false
	}
	return max(at, addSat(last, q.length()+q.rtt)), true
}

// slack is how far apart two resets may be said to be the same one.
func (q *quotaState) slack() int64 {
	if s := resetSlack + q.rtt; q.window == 0 || s < q.window/4 {
		return s
	}
	return q.window / 4
}

func (q *quotaState) take(now, cost int64, maxWait time.Duration) Result {
	q.advance(now)
	at, r := q.decide(now, cost, maxWait)
	if !r.OK || cost == 0 {
		return r
	}
	q.inFlight += cost
	if at <= now {
		q.immediate = now
		q.spend(now, cost)
		return r
	}
	i := 0
	for i < len(q.waiting) && q.waiting[i].at < at {
		i++
	}
	if i < len(q.waiting) && q.waiting[i].at == at {
		q.waiting[i].n, q.waiting[i].last = q.waiting[i].n+cost, now
		return r
	}
	q.waiting = slices.Insert(q.waiting, i, batch{at: at, n: cost, first: now, last: now})
	return r
}

// giveBack undoes a take made at taken. It is known by that time which one it
// was; where two fit, nothing is put back but the place in flight.
func (q *quotaState) giveBack(now, cost, taken int64) {
	q.advance(now)
	cost = min(cost, q.inFlight)
	q.inFlight -= cost
	fits, which := 0, 0
	for i := range q.waiting {
		if q.waiting[i].first <= taken && taken <= q.waiting[i].last {
			fits, which = fits+1, i
		}
	}
	if fits > 0 {
		b := &q.waiting[which]
		switch sure := fits == 1 && q.immediate < b.first; {
		case sure && b.n > cost:
			b.n -= cost
		case sure && b.n == cost:
			q.waiting = slices.Delete(q.waiting, which, which+1)
		}
		return
	}
	n := min(cost, q.pending)
	q.pending -= n
	q.taken -= n
	if q.known && taken >= q.rolled {
		q.left = min(q.left+n, q.ceil)
	}
}

// release says that cost units ended, answered or not.
func (q *quotaState) release(now, cost int64) (rest int64) {
	q.advance(now)
	freed := min(cost, q.inFlight)
	q.inFlight -= freed
	q.answered(now, max(q.pending-q.sentInFlight(), 0))
	return cost - freed
}

// sentInFlight is what is in flight and has left already.
func (q *quotaState) sentInFlight() int64 {
	n := q.inFlight
	for _, b := range q.waiting {
		n -= b.n
	}
	return max(n, 0)
}

// answered says that n pending units are answered.
func (q *quotaState) answered(now, n int64) {
	if n = min(n, q.pending); n > 0 {
		q.pending -= n
		q.history.add(now, q.taken-q.pending, q.rtt/8)
	}
}
