package limit

import (
	"math"
	"slices"
	"time"
)

// slidingWindow is the counter of two windows: what the last one held counts for
// as much of it as the sliding window still covers. Any interval of a length t up
// to the window's admits at most Max x (1 + t/window); evenly spread traffic is
// held to Max.
type slidingWindow struct {
	unmoved
	start, per      int64
	prev, cur, next int64 // next: reservations in the window to come
}

func (s *slidingWindow) advance(c *settings, now int64) {
	per := int64(c.p.Per)
	start := now - now%per
	if s.per != per {
		*s = slidingWindow{start: start, per: per, cur: s.used(max(now, s.start))}
	}
	switch d := start - s.start; {
	case d <= 0:
	case d == per:
		s.prev, s.cur, s.next, s.start = s.cur, s.next, 0, start
	case d == 2*per:
		s.prev, s.cur, s.next, s.start = s.next, 0, 0, start
	default:
		*s = slidingWindow{start: start, per: per}
	}
}

// used is what counts as used: at a change of the window's length all of it is
// carried over.
func (s *slidingWindow) used(now int64) int64 {
	if s.per == 0 {
		return 0
	}
	covered := min(max(1-float64(now-s.start)/float64(s.per), -1), 1)
	if covered < 0 { // the window has passed
		return s.next + int64(math.Ceil(float64(s.cur)*(1+covered)-1e-9))
	}
	return int64(math.Ceil(float64(s.prev)*covered-1e-9)) + s.cur + s.next
}

// freeAt is when, from at in the window that begins at start, cost units fit
// beside cur and what is still covered of prev.
func freeAt(c *settings, at, start, prev, cur, cost int64) (int64, bool) {
	room := c.p.Max - cur - cost
	if room < 0 {
		return 0, false
	}
	if prev <= room {
		return at, true
	}
	per := float64(c.p.Per)
	free := start + int64(math.Ceil(per*(1-float64(room)/float64(prev))))
	return max(at, free), true
}

func (s *slidingWindow) take(c *settings, now, cost int64, maxWait time.Duration) Result {
	s.advance(c, now)
	now = max(now, s.start)
	end := addSat(s.start, int64(c.p.Per))
	r := Result{Limit: c.p.Max, Remaining: s.remaining(c, now)}
	if cost > c.p.Max {
		r.Wait = Never
		return r
	}
	if cost == 0 {
		r.OK = true
		return r
	}
	at, ok := freeAt(c, now, s.start, s.prev, s.cur, cost)
	count := &s.cur
	if !ok || at >= end || s.next > 0 { // who comes later does not pass who waits
		if at, ok = freeAt(c, end, end, s.cur, s.next, cost); !ok {
			r.Wait = time.Duration(addSat(end, int64(c.p.Per)) - now)
			return r
		}
		count = &s.next
	}
	if r.Wait = time.Duration(at - now); r.Wait > maxWait {
		return r
	}
	*count += cost
	r.OK, r.Remaining = true, s.remaining(c, now)
	r.Reset = time.Duration(addSat(end, int64(c.p.Per)) - now)
	return r
}

func (s *slidingWindow) remaining(c *settings, now int64) int64 {
	return max(c.p.Max-s.used(now), 0)
}

func (s *slidingWindow) giveBack(c *settings, now, cost, at int64) {
	s.advance(c, now)
	switch end := addSat(s.start, int64(c.p.Per)); {
	case at >= end:
		s.next = max(s.next-cost, 0)
	case at >= s.start:
		s.cur = max(s.cur-cost, 0)
	case at >= s.start-int64(c.p.Per):
		s.prev = max(s.prev-cost, 0)
	}
}

func (s *slidingWindow) settle(c *settings, now, estimate, actual, taken int64) {
	if actual < estimate {
		s.giveBack(c, now, estimate-actual, taken)
		return
	}
	s.advance(c, now)
	s.cur = addSat(s.cur, actual-estimate)
}

func (s *slidingWindow) idle(c *settings, now int64) bool {
	s.advance(c, now)
	return s.prev == 0 && s.cur == 0 && s.next == 0
}

func (s *slidingWindow) clone() slidingWindow { return *s }

func (s *slidingWindow) save(c *settings, now int64, r *Record) {
	s.advance(c, now)
	if s.cur > 0 || s.prev > 0 {
		r.Used, r.Before, r.ResetAt = s.cur, s.prev, addSat(s.start, int64(c.p.Per))
	}
}

func (s *slidingWindow) restore(c *settings, now int64, r Record) {
	s.advance(c, now)
	end := addSat(s.start, int64(c.p.Per))
	used, before := min(max(r.Used, 0), c.p.Max), min(max(r.Before, 0), c.p.Max)
	switch {
	case r.ResetAt == end:
		s.cur, s.prev = max(s.cur, used), max(s.prev, before)
	case r.ResetAt == s.start:
		s.prev = max(s.prev, used)
	}
}

// slidingLog remembers when each unit went: no window of its length ever holds
// more than Max. It costs 16 bytes for each take that is remembered.
type slidingLog struct {
	unmoved
	log []logged // by time; those of waiters lie ahead
	sum int64
}

type logged struct{ at, n int64 }

// forget drops what no window that ends at now or later holds.
func (s *slidingLog) forget(c *settings, now int64) {
	n := 0
	for n < len(s.log) && addSat(s.log[n].at, int64(c.p.Per)) <= now {
		s.sum -= s.log[n].n
		n++
	}
	s.log = slices.Delete(s.log, 0, n)
}

func (s *slidingLog) take(c *settings, now, cost int64, maxWait time.Duration) Result {
	s.forget(c, now)
	r := Result{Limit: c.p.Max, Remaining: max(c.p.Max-s.sum, 0)}
	switch {
	case cost > c.p.Max:
		r.Wait = Never
		return r
	case cost == 0:
		r.OK = true
		return r
	}
	at := now
	if n := len(s.log); n > 0 {
		at = max(at, s.log[n-1].at) // who comes later does not pass who waits
	}
	sum := s.sum
	for i := 0; sum+cost > c.p.Max; i++ { // until enough of it has left the window
		sum -= s.log[i].n
		at = max(at, addSat(s.log[i].at, int64(c.p.Per)))
	}
	if r.Wait = time.Duration(at - now); r.Wait > maxWait {
		return r
	}
	s.add(at, cost)
	r.OK, r.Remaining, r.Reset = true, max(c.p.Max-s.sum, 0), after(r.Wait, c.p.Per)
	return r
}

// add remembers n units at a time that no other is after.
func (s *slidingLog) add(at, n int64) {
	s.sum = addSat(s.sum, n)
	if last := len(s.log) - 1; last >= 0 && s.log[last].at >= at {
		s.log[last].n = addSat(s.log[last].n, n)
		return
	}
	s.log = append(s.log, logged{at, n})
}

func (s *slidingLog) giveBack(_ *settings, _, cost, at int64) {
	i, found := slices.BinarySearchFunc(s.log, at, func(l logged, at int64) int { return int(min(max(l.at-at, -1), 1)) })
	if !found {
		return
	}
	n := min(cost, s.log[i].n)
	s.sum -= n
	if s.log[i].n -= n; s.log[i].n == 0 {
		s.log = slices.Delete(s.log, i, i+1)
	}
}

func (s *slidingLog) settle(c *settings, now, estimate, actual, taken int64) {
	if actual < estimate {
		s.giveBack(c, now, estimate-actual, taken)
		return
	}
	s.forget(c, now)
	s.add(now, actual-estimate)
}

func (s *slidingLog) idle(c *settings, now int64) bool {
	s.forget(c, now)
	return len(s.log) == 0
}

func (s *slidingLog) clone() slidingLog {
	next := *s
	next.log = slices.Clone(s.log)
	return next
}

// save keeps the sum as of the newest unit: coarser than the log, and safe.
func (s *slidingLog) save(c *settings, now int64, r *Record) {
	s.forget(c, now)
	if n := len(s.log); n > 0 {
		r.Used, r.ResetAt = s.sum, addSat(min(s.log[n-1].at, now), int64(c.p.Per))
	}
}

func (s *slidingLog) restore(c *settings, now int64, r Record) {
	s.forget(c, now)
	at := r.ResetAt - int64(c.p.Per)
	if missing := min(r.Used, c.p.Max) - s.sum; missing > 0 && r.ResetAt > now && at <= now {
		s.log = slices.Insert(s.log, 0, logged{min(at, now), 0})
		s.log[0].n = missing
		slices.SortStableFunc(s.log, func(a, b logged) int { return int(min(max(a.at-b.at, -1), 1)) })
		s.sum += missing
	}
}
