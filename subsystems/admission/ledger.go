package admission

import (
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
)

// Ledger is what one attempt took, and what was refused to it. It is a policy.Ledger,
// used by one goroutine at a time; the zero Ledger is ready.
type Ledger []policy.Entry

// Add implements policy.Ledger.
func (l *Ledger) Add(e policy.Entry) { *l = append(*l, e) }

// reset empties the ledger and keeps its memory.
func (l *Ledger) reset() {
	clear(*l)
	*l = (*l)[:0]
}

// Settle implements policy.Ledger.
func (l *Ledger) Settle(now int64, limiter, key string, actual int64) bool {
	for i := len(*l) - 1; i >= 0; i-- {
		e := &(*l)[i]
		if e.OK && e.Limiter == limiter && e.Key == key {
			if e.From != nil {
				e.From.Settle(now, key, e.Cost, actual, reservedAt(e))
			}
			e.Cost = actual
			return true
		}
	}
	return false
}

// GiveBack undoes every take of an attempt that does not start. The entries stay for
// explanations, without their givers.
func (l Ledger) GiveBack(now int64) {
	for i := range l {
		e := &l[i]
		if e.Place != nil && e.Place.Leave(now) {
			e.From = nil // it never got what it waited for
		}
		e.Place = nil
		if e.From != nil {
			e.From.GiveBack(now, e.Key, e.Cost, reservedAt(e))
			e.From = nil
		}
	}
}

// Release ends the takes of an attempt that started.
func (l Ledger) Release(now int64) {
	for i := range l {
		if e := &l[i]; e.From != nil {
			e.From.Release(now, e.Key, e.Cost)
			e.From = nil
		}
	}
}

// reservedAt is the moment for which e's units were taken: of a limiter that reserves,
// when the wait is over.
func reservedAt(e *policy.Entry) int64 {
	if l, ok := e.From.(interface{ Kind() limit.Kind }); ok && l.Kind().Reserves() {
		return e.Taken + int64(e.Wait)
	}
	return e.Taken
}

// Said is what policies said about one attempt, apart from all configured limits: to
// go at once, after a while, or not at all, and where to.
type Said struct {
	Deny     bool
	Delay    time.Duration // of the longest wait; 0 with Deny
	Upstream string        // that a policy named; "" none
}

// SaidBy reads what policies said from their decision and what they took. A wait
// longer than maxWait is a denial.
func SaidBy(d *policy.Decision, entries []policy.Entry, maxWait time.Duration) Said {
	s := Said{Deny: d.Action == policy.ActionDeny, Upstream: d.Upstream}
	if d.Action == policy.ActionDelay {
		s.Delay = d.Delay
	}
	for i := range entries {
		if e := &entries[i]; e.OK && e.Policy != "" {
			s.Delay = max(s.Delay, e.Wait)
		}
	}
	if s.Deny = s.Deny || s.Delay > maxWait; s.Deny {
		return Said{Deny: true}
	}
	return s
}
