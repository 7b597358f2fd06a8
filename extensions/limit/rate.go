package limit

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
)

const (
	// fullSpan bounds the time from empty to full, so that sums of times fit an int64.
	fullSpan = 100 * 365 * 24 * int64(time.Hour)
	// fractional emissions below this keep their fraction; above it rounding up
	// to a nanosecond errs by less than 2.5e-7.
	fractionBelow = 4e6
	// gridSteps is how many units a period of the fractional grid holds.
	gridBits  = 20
	gridSteps = 1 << gridBits
)

// Rate is a token bucket's compiled rate: immutable, and safe to share.
// The zero Rate allows nothing.
type Rate struct {
	burst    int64
	emission int64   // time a unit takes to come back, in ns; rounded up
	full     int64   // tolerance: the time from empty to full
	inverse  uint64  // of the emission, in 2^-64
	period   int64   // time of gridSteps units; 0: the emission is whole
	unit     float64 // the emission with its fraction
}

// NewRate compiles rate units per per (0: 1s) with that burst (0: rate rounded
// up, at least 1). A rate above 1e9/s is held at 1e9/s.
func NewRate(rate float64, per time.Duration, burst int64) (Rate, error) {
	var faults []error
	if !(rate > 0) || math.IsInf(rate, 0) {
		faults = append(faults, fmt.Errorf("limit: rate %v: must be a number above 0", rate))
	}
	if per < 0 {
		faults = append(faults, fmt.Errorf("limit: per %v: must not be negative", per))
	}
	if burst < 0 {
		faults = append(faults, fmt.Errorf("limit: burst %d: must not be negative", burst))
	}
	if len(faults) > 0 {
		return Rate{}, errors.Join(faults...)
	}
	if per == 0 {
		per = time.Second
	}
	if burst == 0 {
		burst = defaultBurst(rate)
	}
	unit := max(float64(per)/rate, 1)
	if whole := math.Round(unit); math.Abs(unit-whole) < 1e-12*unit {
		unit = whole
	}
	if unit*float64(burst) > float64(fullSpan) {
		return Rate{}, fmt.Errorf("limit: rate %v per %v with burst %d: takes more than 100 years to fill", rate, per, burst)
	}
	r := Rate{burst: burst, unit: unit, emission: int64(math.Ceil(unit))}
	r.full, r.inverse = r.emission*burst, math.MaxUint64/uint64(r.emission)
	if unit != float64(r.emission) && unit < fractionBelow {
		r.period = int64(math.Ceil(unit * gridSteps))
		// Steps along the grid may sum to one more than the exact time.
		r.full = int64(math.Ceil(unit*float64(burst))) + 1
	}
	return r, nil
}

func defaultBurst(rate float64) int64 {
	return int64(min(max(math.Ceil(rate), 1), 1<<53))
}

// Burst is the most that can be taken at once.
func (r *Rate) Burst() int64 { return r.burst }

// step is how far cost units move a TAT of t.
//
// A whole emission is a product. A fractional one moves t along the grid
// ceil(k*period/gridSteps): t itself says where on the grid it stands, so that
// the rounding of one step is made up for by the next and a busy bucket stays
// within 2 ns of the exact time, however long it is busy.
func (r *Rate) step(t, cost int64) int64 {
	if cost > r.burst {
		return r.longStep(cost)
	}
	if r.period == 0 {
		return r.emission * cost
	}
	p := uint64(r.period)
	at := (uint64(t) % p << gridBits) / p
	part := uint64(cost) % gridSteps
	return cost/gridSteps*r.period + int64(grid(at+part, p)-grid(at, p))
}

func grid(k, period uint64) uint64 { return (k*period + gridSteps - 1) >> gridBits }

// longStep is step for a debt beyond the burst, held at fullSpan.
func (r *Rate) longStep(cost int64) int64 {
	d := math.Ceil(r.unit * float64(cost))
	if d >= float64(fullSpan) {
		return fullSpan
	}
	return int64(d)
}

// worth is the time that cost units are worth when given back: rounded down,
// so that nobody gains by taking and giving back.
func (r *Rate) worth(cost int64) int64 {
	if r.period == 0 && cost <= r.burst {
		return r.emission * cost
	}
	return int64(min(math.Floor(r.unit*float64(cost)), float64(fullSpan)))
}

// units is how many whole units the time d holds.
func (r *Rate) units(d int64) int64 {
	if d <= 0 {
		return 0
	}
	if r.period == 0 {
		return r.wholeUnits(d)
	}
	return min(int64(float64(d)/r.unit), r.burst)
}

// wholeUnits is units of a rate whose emission is whole, for d from 0 on.
func (r *Rate) wholeUnits(d int64) int64 {
	// A product is a third of what a division costs, and one too low at most.
	q, _ := bits.Mul64(uint64(d), r.inverse)
	if uint64(d)-q*uint64(r.emission) >= uint64(r.emission) && r.emission > 0 {
		q++
	}
	return int64(q)
}

// debt is the furthest that a settled cost may put a bucket behind now.
func (r *Rate) debt() int64 { return r.full + max(r.full, int64(MaxPause)) }
