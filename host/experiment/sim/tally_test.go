package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A tally is the histogram that the same values would have made.
func TestTallyIsTheHistogram(t *testing.T) {
	values := []int64{-1, 0, 999, 1000, int64(time.Hour), int64(time.Hour) + 1000, 1<<63 - 1}
	for octave := range 42 {
		for _, d := range []int64{-1000, 0, 1000} {
			values = append(values, 1000<<octave+d)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		values = append(values, rng.Int64N(1<<(10+rng.IntN(40))))
	}
	counted, want := newTally(), NewHistogram()
	for _, v := range values {
		counted.record(v)
		if err := want.RecordValue(min(max(v/1000, 0), want.HighestTrackableValue())); err != nil {
			t.Fatal(err)
		}
	}
	if got := counted.histogram(); !slices.Equal(got.Export().Counts, want.Export().Counts) {
		t.Error("the two differ")
	}
}
