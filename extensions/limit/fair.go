package limit

import (
	"container/heap"
	"container/list"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fair shares one rate among the keys that ask for it, by weight: deficit round
// robin with the quantum given as time passes. Each key that asked within the
// last Per is active and earns its share of the rate; it may save up its share of
// Burst. What a key has no room to save goes to the others at once, by their
// weights, so that no share of the rate is left unused while somebody asks for more.
// All together never go beyond Rate and Burst.
//
// Two keys that keep asking for more than their share differ, in units over weight, by
// no more than what each may save up and one request of each.
//
// Two buckets of the same rate count the same units. What is there to be shared is what
// total holds: what was promised is nobody else's, and time gives it back as if it had left
// when it was asked for, so that who leaves in an hour closes nobody for an hour. But a
// share waits for its own part of the rate, so that units leave later than they were taken
// from total and not in that order: that no interval has too many only leaving can say.
type fair struct {
	pauses pauses
	parent *fair // of a fork: copied at its first touch

	mu      sync.Mutex // guards what follows
	p       Params
	rate    Rate
	weights map[string]float64
	copied  bool
	total   followed                 // says how much: units are off it once they are promised
	leaving departures               // says when: units are off its bucket once they have left
	keys    map[string]*list.Element // of *share
	active  list.List                // the one that asked last at the back
	weight  float64                  // of the active ones
	earning shares                   // those with room to save
	earn    float64                  // their weight
	bases   float64                  // the sum of their bases, by weight
	virtual float64                  // units that a weight of 1 that always had room has earned
}

// parseWeights reads "gold=3,free=1".
func parseWeights(text string) (map[string]float64, bool) {
	weights := map[string]float64{}
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		i := strings.LastIndexByte(part, '=')
		if i < 0 {
			return nil, false
		}
		w, err := strconv.ParseFloat(part[i+1:], 64)
		if err != nil || !(w >= minWeight && w <= maxWeight) {
			return nil, false
		}
		weights[part[:i]] = w
	}
	return weights, true
}

const (
	minWeight = 1e-3
	maxWeight = 1e6
)

func newFair(p Params, parent *fair) (*fair, error) {
	l := &fair{parent: parent, keys: map[string]*list.Element{}}
	return l, l.Set(p)
}

func (l *fair) Kind() Kind { return Fair }

func (l *fair) Params() Params {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.p
}

func (l *fair) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.keys)
}

func (l *fair) Set(p Params) error {
	if err := Fair.Check(p); err != nil {
		return err
	}
	p = p.withDefaults(Fair)
	r, err := NewRate(p.Rate, p.Per, p.Burst)
	if err != nil {
		return err
	}
	weights, _ := parseWeights(p.Weights) // checked
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.changed()
	l.leaving.changed()
	saved := make(map[*share]float64, len(l.earning))
	for _, s := range l.earning {
		saved[s] = l.credit(s)
	}
	l.p, l.rate, l.weights = p, r, weights
	l.weight = 0
	for e := l.active.Front(); e != nil; e = e.Next() {
		s := e.Value.(*share)
		s.weight = l.weightOf(s.key)
		l.weight += s.weight
	}
	for _, s := range l.earning {
		s.base = l.virtual - saved[s]/s.weight
	}
	l.sumLocked()
	heap.Init(&l.earning)
	return nil
}

func (l *fair) weightOf(key string) float64 {
	if w, ok := l.weights[key]; ok {
		return w
	}
	return 1
}

// advanceLocked lets go of who has fallen silent, and hands out what has come back
// since the last call.
func (l *fair) advanceLocked(now int64) {
	l.copyLocked()
	l.total.clamp(now, &l.rate) // after a new rate: looks alone do not
	l.leaving.advance(now, &l.rate)
	for e := l.active.Front(); e != nil; e = l.active.Front() {
		if s := e.Value.(*share); addSat(s.asked, int64(l.p.Per)) > now {
			break
		}
		l.removeLocked(e)
	}
	l.earnLocked(now)
}

// copyLocked makes a fork's first copy of all keys.
func (l *fair) copyLocked() {
	p := l.parent
	if p == nil || l.copied {
		return
	}
	l.copied = true
	p.mu.Lock()
	defer p.mu.Unlock()
	l.total.copyOf(&p.total)
	l.weight, l.virtual, l.earn, l.bases = p.weight, p.virtual, p.earn, p.bases
	l.earning = make(shares, len(p.earning))
	for e := p.active.Front(); e != nil; e = e.Next() {
		s := *e.Value.(*share)
		l.keys[s.key] = l.active.PushBack(&s)
		if s.at >= 0 {
			l.earning[s.at] = &s
		}
	}
	l.leaving.copyOf(&p.leaving, func(s *share) *share {
		if e := l.keys[s.key]; e != nil {
			return e.Value.(*share)
		}
		return &share{key: s.key} // that fell silent
	})
}

// shareLocked is the key's share as of now, a new one where it was silent, and
// nil where there are too many.
func (l *fair) shareLocked(now int64, key string) *share {
	e := l.keys[key]
	if e == nil {
		if len(l.keys) >= l.p.MaxKeys {
			return nil
		}
		s := &share{key: strings.Clone(key), weight: l.weightOf(key), at: -1}
		e = l.active.PushBack(s)
		l.keys[s.key] = e
		l.weight += s.weight
		l.saveLocked(s, 0)
		l.earnLocked(now) // what nobody else has saved
	}
	l.active.MoveToBack(e)
	s := e.Value.(*share)
	s.asked = max(s.asked, now)
	return s
}

// most is what a share may save up: its part of the burst.
func (l *fair) most(s *share) float64 { return l.each() * s.weight }

func (l *fair) Take(now int64, key string, cost int64, maxWait time.Duration) Result {
	now, cost = max(now, 0), units(cost)
	left := l.heldFor(now, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if maxWait < 0 {
		maxWait = l.p.MaxWait
	}
	l.advanceLocked(now)
	s := l.shareLocked(now, key)
	r := l.decideLocked(now, s, cost, left, maxWait)
	if r.OK && s != nil && cost > 0 {
		l.spendLocked(s, float64(cost))
		l.takeTotalLocked(now, cost, maxWait, r.Wait)
		l.leaving.add(now, departure{at: addSat(now, int64(r.Wait)), cost: cost, by: s}, &l.rate)
	}
	return r
}

// heldFor is what is left of the key's pause.
func (l *fair) heldFor(now int64, key string) time.Duration {
	left := l.pauses.left(now, key)
	for p := l.parent; p != nil && left == 0 && l.pauses.keys.Load() == nil; p = p.parent {
		left = p.pauses.left(now, key)
	}
	return left
}

// decideLocked is the decision, before anything is taken.
func (l *fair) decideLocked(now int64, s *share, cost int64, left, maxWait time.Duration) Result {
	if s == nil {
		return heldBy(crowded(l.p.WhenFull, l.p.Burst), left, maxWait)
	}
	r := l.total.Peek(now, &l.rate, cost, maxWait)
	if r.Wait > 0 && cost > 0 && l.spareLocked(now, cost) {
		r.OK, r.Wait = true, 0
	}
	r.Remaining = min(r.Remaining, int64(max(math.Floor(l.credit(s)), 0)))
	if cost == 0 || r.Wait == Never {
		return heldBy(r, left, maxWait)
	}
	if left <= maxWait {
		r.Wait = max(r.Wait, left)
	}
	r.Wait = time.Duration(l.leavesLocked(now, s, cost, r.Wait) - now)
	r.OK = r.OK && (r.Wait == 0 || r.Wait <= maxWait && !l.leaving.full(s.key, s.weight/l.weight))
	if r.OK {
		r.Remaining = max(r.Remaining-cost, 0)
	}
	return heldBy(r, left, maxWait)
}

func (l *fair) Peek(now int64, key string, cost int64) Result {
	now, cost = max(now, 0), units(cost)
	left := l.heldFor(now, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advanceLocked(now)
	if e := l.keys[key]; e != nil {
		return l.decideLocked(now, e.Value.(*share), cost, left, l.p.MaxWait)
	}
	if len(l.keys) >= l.p.MaxKeys {
		return l.decideLocked(now, nil, cost, left, l.p.MaxWait)
	}
	s := share{key: key, weight: l.weightOf(key)}
	l.weight += s.weight
	s.base = l.virtual - min(max(l.freeLocked(now)+l.most(&s), 0), l.most(&s))/s.weight
	r := l.decideLocked(now, &s, cost, left, l.p.MaxWait)
	if l.weight -= s.weight; l.active.Len() == 0 {
		l.weight = 0
	}
	return r
}

func (l *fair) GiveBack(now int64, key string, cost, taken int64) {
	l.giveBack(max(now, 0), key, units(cost), units(cost), taken)
}

func (l *fair) giveBack(now int64, key string, cost, own, left int64) {
	if cost == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advanceLocked(now)
	l.total.refund(now, cost, own, left, &l.rate)
	l.leaving.refund(now, cost, own, left, &l.rate)
	if e := l.keys[key]; e != nil {
		l.spendLocked(e.Value.(*share), -float64(cost))
	}
}

// Release has nothing to do: a rate does not count what is in flight.
func (l *fair) Release(int64, string, int64) {}

func (l *fair) Settle(now int64, key string, estimate, actual, taken int64) {
	now, estimate, actual = max(now, 0), units(estimate), units(actual)
	if actual <= estimate {
		l.giveBack(now, key, estimate-actual, estimate, taken)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advanceLocked(now)
	l.total.Settle(now, &l.rate, estimate, actual, taken)
	l.leaving.owe(now, actual-estimate, &l.rate)
	if s := l.shareLocked(now, key); s != nil {
		// A debt beyond a day would close the key for good.
		room := l.credit(s) + float64(MaxPause)/l.rate.unit*s.weight/l.weight
		l.spendLocked(s, min(float64(actual-estimate), max(room, 0)))
	}
}

func (l *fair) Learn(now int64, key string, f Feedback) {
	l.pauses.learn(max(now, 0), key, f, l.Params().MaxKeys)
}

func (l *fair) Pause(now int64, key string, d time.Duration) {
	now = max(now, 0)
	l.pauses.set(now, key, boundPause(now, d), l.Params().MaxKeys)
}

func (l *fair) Reset(key string) {
	l.mu.Lock()
	l.copyLocked()
	if e := l.keys[key]; e != nil {
		l.removeLocked(e)
	}
	l.mu.Unlock()
	l.pauses.forget(key)
}

func (l *fair) Range(now int64, fn func(string, Result, time.Duration) bool) {
	now = max(now, 0)
	l.mu.Lock()
	l.advanceLocked(now)
	names := make([]string, 0, len(l.keys))
	for key := range l.keys {
		names = append(names, key)
	}
	l.mu.Unlock()
	for _, key := range names {
		if !fn(key, l.Peek(now, key, 1), l.pauses.left(now, key)) {
			return
		}
	}
	l.pauses.all(now, func(key string, left time.Duration) bool {
		l.mu.Lock()
		_, listed := l.keys[key]
		l.mu.Unlock()
		return listed || fn(key, l.Peek(now, key, 1), left)
	})
}

func (l *fair) Fork() Limiter {
	f, _ := newFair(l.Params(), l) // of parameters in force: it cannot fail
	return f
}

// Export exports pauses: shares are even again within Per.
func (l *fair) Export(now int64, fn func(Record) bool) {
	now = max(now, 0)
	l.pauses.all(now, func(key string, left time.Duration) bool {
		return fn(Record{Key: key, Paused: addSat(now, int64(left))})
	})
}

func (l *fair) Import(now int64, r Record) {
	if now = max(now, 0); r.Paused > now {
		l.pauses.extend(now, r.Key, min(r.Paused, boundPause(now, MaxPause)), l.Params().MaxKeys)
	}
}
