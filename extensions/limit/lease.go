package limit

import (
	"context"
	"strings"
	"sync"
	"time"
)

// Granter is the seam to a store that several processes share. Grant asks for
// want units of a limiter's key and returns how many of them are the caller's,
// and until when (ns since the epoch) they may be used. It may do I/O, and returns
// when ctx ends: whoever stops waits for it. Granted nothing, until is when to ask
// again. It is called from many goroutines.
type Granter interface {
	Grant(ctx context.Context, limiter, key string, want int64) (n, until int64, err error)
}

// Leased counts from units that a Granter has granted. Take never does I/O: it
// takes what is there and notes what is wanted; Refill, called by the owner as
// often as it likes, asks for it. It is safe for concurrent use.
//
// Over all processes, any interval T admits at most what the shared limiter does
// plus what each of them holds: burst + rate x T + processes x lease.
type Leased struct {
	name   string
	from   Granter
	most   int64
	wanted chan struct{} // holds a signal while Refill has something to ask for

	mu     sync.Mutex // guards the rest
	keys   map[string]*lease
	hungry []*lease // those that Refill is to look at
}

type lease struct {
	key         string
	listed      bool // in hungry
	left, until int64
	spent       int64 // since the last refill: the demand
	short       int64 // the most that did not find enough since then
	retryAt     int64 // nothing to be had before
	asking      bool
	wanted      int64    // by those who wait
	waiting     []*Place // in order of arrival
}

// maxLeased bounds the keys of a Leased.
const maxLeased = DefaultMaxKeys

const (
	// forgetLooks is how many keys one more key looks at for one to be forgotten.
	forgetLooks = 64
	// refillLooks is how many keys a Refill looks at besides those that want something.
	refillLooks = 1024
	// refillsAtOnce is how many questions to the store are under way at once.
	refillsAtOnce = 16
)

// NewLeased returns a Leased of the limiter of that name. most is how many units
// one lease holds at most; at least 1.
func NewLeased(name string, from Granter, most int64) *Leased {
	return &Leased{name: name, from: from, most: max(most, 1), keys: map[string]*lease{}, wanted: make(chan struct{}, 1)}
}

// Wanted delivers when a Take found too little, so that Refill is not only called
// now and then.
func (l *Leased) Wanted() <-chan struct{} { return l.wanted }

// wantLocked has Refill look at s.
func (l *Leased) wantLocked(s *lease) {
	if !s.listed {
		s.listed = true
		l.hungry = append(l.hungry, s)
	}
	select {
	case l.wanted <- struct{}{}:
	default:
	}
}

// Take takes cost units that are held. A denial says when to try again.
func (l *Leased) Take(now int64, key string, cost int64) Result {
	r, _ := l.try(now, key, units(cost))
	return r
}

// try is Take. Of a denial, unknown says that the store may yet grant it.
func (l *Leased) try(now int64, key string, cost int64) (r Result, unknown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.takeLocked(now, l.keyLocked(now, key), cost)
}

// keyLocked is what is held of a key, nil where there are too many.
func (l *Leased) keyLocked(now int64, key string) *lease {
	s := l.keys[key]
	if s == nil {
		if len(l.keys) >= maxLeased && !l.forgetLocked(now) {
			return nil
		}
		s = &lease{key: strings.Clone(key)}
		l.keys[s.key] = s
	}
	s.expire(now)
	return s
}

// takeLocked is try, of what is held in s.
func (l *Leased) takeLocked(now int64, s *lease, cost int64) (r Result, unknown bool) {
	if s == nil {
		return Result{Wait: RetryHint, Limit: l.most}, false
	}
	r = Result{Limit: l.most, Remaining: s.left}
	switch {
	case cost > l.most:
		r.Wait = Never
		return r, false
	case cost > s.left || len(s.waiting) > 0:
		s.spent, s.short = max(s.spent, cost), max(s.short, cost)
		if r.Wait = time.Duration(s.retryAt - now); r.Wait <= 0 {
			r.Wait, unknown = time.Millisecond, true // as soon as Refill has asked
			l.wantLocked(s)
		}
		return r, unknown
	}
	s.left -= cost
	s.spent += cost
	if 2*s.left < s.spent {
		l.wantLocked(s)
	}
	r.OK, r.Remaining = true, s.left
	return r, false
}

// GiveBack undoes a Take whose action never started. What is given back after the lease
// is over is lost.
func (l *Leased) GiveBack(now int64, key string, cost int64) { l.add(now, key, units(cost)) }

// Settle replaces an estimate by the true cost. A debt is worked off by what is granted
// next.
func (l *Leased) Settle(now int64, key string, estimate, actual int64) {
	l.add(now, key, units(estimate)-units(actual))
}

func (l *Leased) add(now int64, key string, n int64) {
	l.mu.Lock()
	var let []*Place
	if s := l.keys[key]; s != nil && (n < 0 || s.until > now) {
		s.left = min(s.left+n, l.most)
		let = l.serveLocked(now, s, true) // with a full lease nobody asks the store for them
	}
	l.mu.Unlock()
	letGo(let)
}

// forgetLocked drops keys that hold nothing, of the few that it looks at: where all of
// them hold something, a key more must not cost a look at each.
func (l *Leased) forgetLocked(now int64) bool {
	looks := forgetLooks
	for key, s := range l.keys {
		if !s.asking && !s.listed && s.until <= now && s.retryAt <= now && s.left >= 0 && len(s.waiting) == 0 {
			delete(l.keys, key)
		}
		if looks--; looks == 0 {
			break
		}
	}
	return len(l.keys) < maxLeased
}

// need is what is to be asked for.
type need struct {
	of   *lease
	want int64
}

// Refill asks for units of every key that somebody waits for, or that holds less than a
// quarter of what it spent since it last asked: once for all who wait. Of a thousand keys
// it looks at all; of more, at those of which a Take found too little, and at some others.
// It returns the first error; the others are asked all the same.
func (l *Leased) Refill(ctx context.Context, now int64) error {
	var mu sync.Mutex // guards first
	var first error
	var wg sync.WaitGroup
	slots := make(chan struct{}, refillsAtOnce)
	ask := func(n need) {
		got, until, err := l.from.Grant(ctx, l.name, n.of.key, n.want)
		if err != nil {
			mu.Lock()
			if first == nil {
				first = err
			}
			mu.Unlock()
		}
		l.mu.Lock()
		n.of.granted(now, got, until, err)
		let := l.serveLocked(now, n.of, got > 0)
		l.mu.Unlock()
		letGo(let)
	}
	needs := l.needs(now)
	for i, n := range needs {
		if i == len(needs)-1 { // most often the only one
			ask(n)
			break
		}
		slots <- struct{}{}
		wg.Go(func() {
			ask(n)
			<-slots
		})
	}
	wg.Wait()
	return first
}

// needs is what is to be asked for now, and marks it as asked for.
func (l *Leased) needs(now int64) (needs []need) {
	l.mu.Lock()
	defer l.mu.Unlock()
	look := func(s *lease) {
		s.expire(now)
		if want := min(max(2*s.spent, s.wanted), l.most); !s.asking && now >= s.retryAt && want > s.left && (4*s.left < want || max(s.short, s.wanted) > s.left) {
			s.asking = true
			needs = append(needs, need{s, want - s.left})
		}
	}
	for i, s := range l.hungry {
		l.hungry[i], s.listed = nil, false
		look(s)
	}
	l.hungry = l.hungry[:0]
	looks := refillLooks
	for _, s := range l.keys {
		look(s)
		if looks--; looks == 0 {
			break
		}
	}
	return needs
}

// expire ends what is held once its time is over. A debt stays.
func (s *lease) expire(now int64) {
	if s.until <= now {
		s.left = min(s.left, 0)
	}
}

func (s *lease) granted(now, n, until int64, err error) {
	s.asking = false
	switch {
	case err != nil:
		s.retryAt = addSat(now, int64(RetryHint))
	case n <= 0:
		s.retryAt = min(until, boundPause(now, MaxPause))
	default:
		if s.left <= 0 {
			s.until = until
		}
		s.left, s.until = addSat(s.left, n), min(s.until, until)
		s.spent, s.short, s.retryAt = 0, 0, 0
	}
}

// Local is a Granter of this process: it grants what a limiter lets through. It
// is what Leased is tested with, and how a single process uses it.
type Local struct {
	limiters map[string]Limiter
	clock    func() int64
	lifetime time.Duration
}

// NewLocal returns a Local over the limiters, by name; units are good for that
// long. The map must not be changed afterwards.
func NewLocal(limiters map[string]Limiter, lifetime time.Duration, clock func() int64) *Local {
	return &Local{limiters, clock, lifetime}
}

// Grant takes as many of the units wanted as there are.
func (g *Local) Grant(_ context.Context, limiter, key string, want int64) (n, until int64, err error) {
	l := g.limiters[limiter]
	if l == nil {
		return 0, 0, ErrKind
	}
	now := g.clock()
	r := l.Take(now, key, want, 0)
	if r.OK {
		return want, addSat(now, int64(g.lifetime)), nil
	}
	if n = min(l.Peek(now, key, 0).Remaining, want); n > 0 && l.Take(now, key, n, 0).OK {
		return n, addSat(now, int64(g.lifetime)), nil
	}
	return 0, addSat(now, max(int64(min(l.Peek(now, key, 1).Wait, MaxPause)), 1)), nil
}
