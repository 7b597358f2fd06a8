package policytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
)

// stander is the ledger of an attempt of Conform's, which may stand in the line of a
// concurrency limiter.
type stander struct {
	ledger
	side   *side
	number int // of the question
}

// LetGo implements policy.Waiter: it notes what became of the place. A place that its
// holder does not know yet is noted as new.
func (s *stander) LetGo() {
	state := "new"
	for _, e := range s.entries {
		if e.Place != nil && e.Place.State() != policy.PlaceWaits {
			state = [...]string{"waits", "granted", "lost", "left", "refused"}[e.Place.State()]
		}
	}
	s.side.let = append(s.side.let, fmt.Sprint(s.number, " ", state))
}

// inLine reports whether it took from one of the limiters that have a line.
func (s *stander) inLine() bool {
	return slices.ContainsFunc(s.entries, func(e policy.Entry) bool {
		return e.OK && (strings.HasSuffix(e.Limiter, "/line") || strings.HasSuffix(e.Limiter, "/urgent"))
	})
}

// end ends the i-th of the attempts that have to do with a line: it leaves it, or is done.
func (s *side) end(now int64, i int) {
	if i < 0 || i >= len(s.under) {
		return
	}
	a := s.under[i]
	s.under = slices.Delete(s.under, i, i+1)
	for _, e := range a.entries {
		if e.OK && (e.Place == nil || !e.Place.Leave(now)) {
			e.From.Release(now, e.Key, e.Cost)
		}
	}
}
