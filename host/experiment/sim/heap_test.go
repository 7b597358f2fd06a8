package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The heap gives events by time, and by order of arrival at one time.
func TestHeapOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var h heap
	var want, got []event
	for i := range 5000 {
		e := event{at: rng.Int64N(300), seq: uint64(i)}
		h.push(e)
		want = append(want, e)
	}
	slices.SortStableFunc(want, func(a, b event) int { return int(a.at - b.at) })
	for len(h.events) > 0 {
		got = append(got, h.pop())
	}
	if !slices.Equal(got, want) {
		t.Error("not in order")
	}
}

// BenchmarkHeap is the unit in which a simulated request is priced.
func BenchmarkHeap(b *testing.B) {
	u := NewUnit(100)
	for b.Loop() {
		u.Turn()
	}
}
