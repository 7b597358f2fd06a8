package limit

import (
	"slices"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// LeaseWait is the longest time that a take waits for the store's answer about its key.
const LeaseWait = 5 * time.Second

// leasePlace is what a Place has that waits for a lease.
type leasePlace struct {
	of   *Leased
	key  string
	part Part  // what it took of the limiter here, given back where it leaves in vain
	at   int64 // when
	back int64 // once refused: when to come back
}

// join takes as Take does, or where nothing is known of what the store grants has p wait
// for its answer. p has the waiter, and what to undo.
func (l *Leased) join(now int64, p *Place) (Result, *Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.keyLocked(now, p.lease.key)
	r, unknown := l.takeLocked(now, s, p.cost)
	if !unknown {
		return r, nil
	}
	p.ahead = len(s.waiting)
	s.waiting = append(s.waiting, p)
	s.wanted = addSat(s.wanted, p.cost)
	return Result{OK: true, Limit: l.most}, p
}

// waitingFor is how many wait for units of a key.
func (l *Leased) waitingFor(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.keys[key]; s != nil {
		return len(s.waiting)
	}
	return 0
}

// leave implements Place.Leave.
func (p *leasePlace) leave(now int64, place *Place) bool {
	p.of.mu.Lock()
	st := place.State()
	if st != policy.PlaceWaits {
		p.of.mu.Unlock()
		return st != policy.PlaceGranted
	}
	place.state.Store(uint32(policy.PlaceLeft))
	s := p.of.keys[p.key]
	s.waiting = slices.DeleteFunc(s.waiting, func(other *Place) bool { return other == place })
	s.wanted -= place.cost
	let := p.of.serveLocked(now, s, true) // who stood behind may need less
	p.of.mu.Unlock()
	letGo(let)
	p.part.Undo(now, p.at)
	return true
}

// serveLocked grants what is held to those who wait, in their order. Where the store gave
// nothing, all of them are refused until it is asked again. It returns who may go, or has
// waited in vain, to be told.
func (l *Leased) serveLocked(now int64, s *lease, gave bool) []*Place {
	if len(s.waiting) == 0 {
		return nil
	}
	served := 0
	for _, p := range s.waiting {
		state := policy.PlaceGranted
		switch {
		case p.cost <= s.left:
			s.left -= p.cost
			s.spent += p.cost
		case gave:
			state = policy.PlaceWaits
		default:
			state, p.lease.back = policy.PlaceRefused, max(s.retryAt, now)
		}
		if state == policy.PlaceWaits {
			break
		}
		served++
		s.wanted -= p.cost
		if state == policy.PlaceRefused {
			p.lease.part.Undo(now, p.lease.at)
		}
		p.state.Store(uint32(state))
	}
	let := slices.Clone(s.waiting[:served])
	s.waiting = slices.Delete(s.waiting, 0, served)
	if len(s.waiting) > 0 {
		l.wantLocked(s)
	}
	return let
}
