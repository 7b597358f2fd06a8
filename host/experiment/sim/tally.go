package sim

import (
	"math/bits"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The shape of NewHistogram: values below tallyWhole are told apart, larger ones by
// their first tallyBits bits.
const (
	tallyBits  = 11
	tallyWhole = 1 << tallyBits
	tallyMost  = int64(time.Hour / time.Microsecond)
)

// NewHistogram counts microseconds, up to an hour, with three digits.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, tallyMost, 3) }

// tally counts into the buckets of NewHistogram while the run is under way, in a third of
// the time and half of the memory.
type tally []uint32 // a run has fewer events

func newTally() tally { return make(tally, tallyIndex(tallyMost)+1) }

// tallyIndex is the bucket of v, which is 0 or more.
func tallyIndex(v int64) int {
	octave := bits.Len64(uint64(v)|(tallyWhole-1)) - tallyBits
	return octave<<(tallyBits-1) + int(v>>octave)
}

// record counts d ns.
func (t tally) record(d int64) {
	t[tallyIndex(min(max(d/int64(time.Microsecond), 0), tallyMost))]++
}

// histogram is what was counted.
func (t tally) histogram() *hdrhistogram.Histogram {
	h := NewHistogram()
	for i, n := range t {
		if n > 0 {
			octave := max(i>>(tallyBits-1)-1, 0)
			least := int64(i-octave<<(tallyBits-1)) << octave
			_ = h.RecordValues(least, int64(n)) // in range
		}
	}
	return h
}
