package limit

import (
	"container/heap"
	"container/list"
	"math"
	"time"
)

// share is one active key. What it has saved is its weight times what a weight of 1
// has earned since base, up to what it may save.
type share struct {
	key    string
	weight float64
	base   float64
	at     int // its place among those that earn; -1: it has saved all it may
	asked  int64
	waits  int64 // units that were told to leave later, and have not
	paced  int64 // when its own share has earned those
}

// shares is a heap, the one first that will first have saved all it may.
type shares []*share

func (s shares) Len() int           { return len(s) }
func (s shares) Less(i, j int) bool { return s[i].base < s[j].base }
func (s shares) Swap(i, j int)      { s[i], s[j] = s[j], s[i]; s[i].at, s[j].at = i, j }

// Push implements heap.Interface.
func (s *shares) Push(x any) { n := x.(*share); n.at = len(*s); *s = append(*s, n) }

// Pop implements heap.Interface.
func (s *shares) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*s, last.at = old[:len(old)-1], -1
	return last
}

// maxVirtual is how far the virtual time goes before it begins anew.
const maxVirtual = 1 << 32

// earnLocked hands out what the bucket of all holds and nobody has saved: what was
// saved is there, and what is there is somebody's.
func (l *fair) earnLocked(now int64) {
	if l.active.Len() == 0 {
		return
	}
	l.shareOutLocked(0) // who may save less than before
	l.shareOutLocked(max(l.freeLocked(now), 0))
	if l.virtual > maxVirtual { // keep the fractions
		for _, s := range l.earning {
			s.base -= l.virtual
		}
		l.virtual = 0
		l.sumLocked()
	}
}

// freeLocked is how many units the bucket of all holds and nobody has saved.
func (l *fair) freeLocked(now int64) float64 {
	tokens := float64(l.rate.full - (l.rate.tat(l.total.word.Load(), now) - now))
	if l.total.trail != nil {
		tokens += float64(l.total.trail.spare)
	}
	return tokens/l.rate.unit - (l.virtual*l.earn - l.bases) - l.each()*max(l.weight-l.earn, 0)
}

// shareOutLocked hands out units to those with room to save them. Who is full gets no
// more, and the rest is for the others.
func (l *fair) shareOutLocked(units float64) {
	for len(l.earning) > 0 {
		first := l.earning[0]
		room := max(first.base+l.each()-l.virtual, 0)
		if room*l.earn > units {
			l.virtual += units / l.earn
			return
		}
		l.virtual += room
		units -= room * l.earn
		l.fullLocked(first)
	}
}

// sumLocked sums anew what is kept of those that earn.
func (l *fair) sumLocked() {
	l.earn, l.bases = 0, 0
	for _, s := range l.earning {
		l.earn += s.weight
		l.bases += s.weight * s.base
	}
}

// each is what a weight of 1 may save up: all together a burst.
func (l *fair) each() float64 { return float64(l.p.Burst) / l.weight }

// fullLocked takes a share from those that earn.
func (l *fair) fullLocked(s *share) {
	heap.Remove(&l.earning, s.at)
	l.earn -= s.weight
	l.bases -= s.weight * s.base
	if len(l.earning) == 0 { // and nothing is left of roundings
		l.earn, l.bases, l.virtual = 0, 0, 0
	}
}

// credit is what a share has saved.
func (l *fair) credit(s *share) float64 {
	if s.at < 0 {
		return l.most(s)
	}
	return min((l.virtual-s.base)*s.weight, l.most(s))
}

// spendLocked takes units from a share; below zero it gets some.
func (l *fair) spendLocked(s *share, units float64) {
	l.saveLocked(s, l.credit(s)-units)
}

// leavesLocked is when cost units of s may leave, after that wait at least.
//
// Only its own share is waited for: to wait for what others leave would take the next
// seconds from them. What they left until now is there now or not at all. A cost beyond
// what it may save up is let go when all is saved.
func (l *fair) leavesLocked(now int64, s *share, cost int64, wait time.Duration) int64 {
	soonest := func(wait time.Duration) int64 {
		return l.leaving.soonest(now, addSat(now, int64(wait)), cost, &l.rate)
	}
	need, credit := min(float64(cost), l.most(s)), l.credit(s)
	if need-credit <= tiny {
		return soonest(wait)
	}
	own := max(wait, l.earnedIn(s, need-credit))
	paced := time.Duration(s.paced-now) + l.earnedIn(s, float64(cost))
	if s.waits > 0 && own < paced {
		if credit+float64(s.waits) >= need-tiny {
			if at := soonest(wait); at <= addSat(now, int64(own)) {
				return at
			}
		}
		own = paced
	}
	return soonest(own)
}

// tiny is less than any unit, and more than sums of fractions err by.
const tiny = 1e-9

// earnedIn is how long the own share of s takes to earn units.
func (l *fair) earnedIn(s *share, units float64) time.Duration {
	return time.Duration(math.Ceil(min(units*l.rate.unit*l.weight/s.weight, float64(fullSpan))))
}

// saveLocked lets a share have saved that much.
func (l *fair) saveLocked(s *share, credit float64) {
	base := l.virtual - credit/s.weight
	switch {
	case s.at >= 0:
		l.bases += s.weight * (base - s.base)
		s.base = base
		heap.Fix(&l.earning, s.at)
	case credit < l.most(s):
		s.base = base
		heap.Push(&l.earning, s)
		l.earn += s.weight
		l.bases += s.weight * base
	}
}

// removeLocked forgets a share.
func (l *fair) removeLocked(e *list.Element) {
	s := e.Value.(*share)
	if s.at >= 0 {
		l.fullLocked(s)
	}
	l.active.Remove(e)
	delete(l.keys, s.key)
	if l.weight -= s.weight; l.active.Len() == 0 {
		l.weight = 0
	}
}

// takeTotalLocked takes from the bucket of all for who leaves after wait.
func (l *fair) takeTotalLocked(now, cost int64, maxWait, wait time.Duration) {
	if l.spareLocked(now, cost) {
		l.total.trail.use(l.rate.worth(cost) + 2)
		return
	}
	before := l.rate.tat(l.total.word.Load(), now)
	l.total.take(now, &l.rate, cost, maxWait)
	if wait > 0 {
		h := l.total.follow(now, before, &l.rate)
		if _, ok := h.sync(now, &l.total.Bucket, &l.rate); ok {
			leaves := addSat(now, int64(wait))
			h.waits(leaves, before-leaves-2, &l.rate)
		}
	}
}

// spareLocked says that cost units go on what others gave back.
func (l *fair) spareLocked(now, cost int64) bool {
	h := l.total.trail
	if h == nil || h.spare == 0 || cost > l.rate.burst {
		return false
	}
	_, ok := h.sync(now, &l.total.Bucket, &l.rate)
	return ok && h.spare >= l.rate.worth(cost)+2 && h.ahead > now
}
