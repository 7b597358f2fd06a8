package measure

import (
	"errors"
	"math"
	"slices"
	"time"
)

// ErrNoScore is the error of a result that is no number above 0: what was measured cost
// nothing, or nothing was measured.
var ErrNoScore = errors.New("measure: the score is not a number above 0")

// Sample measures one side once: the cost of one operation in nanoseconds, and whether
// the measurement was undisturbed.
type Sample func() (cost float64, quiet bool, err error)

// Score makes one number of the costs of one turn, in the order of the sides. A
// comparison of two is Ratio.
type Score func(costs []float64) float64

// Ratio is the first cost over the second.
func Ratio(costs []float64) float64 { return costs[0] / costs[1] }

// Plan says how much is measured.
type Plan struct {
	Turns int           // undisturbed turns wanted; below 1 is 1
	Limit time.Duration // after so long, what was measured until then must do
}

// Result is what the turns said.
type Result struct {
	Score     float64   // median
	Low, High float64   // the quartiles of the scores
	Costs     []float64 // medians in nanoseconds, by side
	Quiet     int       // turns that were undisturbed
	Turns     int       // turns taken
	Disturbed bool      // too few turns were undisturbed: the result is of all of them
}

// Interleave lets the sides take turns and scores each turn. The order within a turn
// alternates, so that a machine that grows faster or slower favours nobody. One turn
// before the first warms up and does not count.
func Interleave(p Plan, score Score, sides ...Sample) (Result, error) {
	if _, _, err := turn(sides, false); err != nil {
		return Result{}, err
	}
	var all, quiet [][]float64
	start := time.Now()
	want := max(p.Turns, 1)
	for len(quiet) < want {
		costs, ok, err := turn(sides, len(all)%2 == 1)
		if err != nil {
			return Result{}, err
		}
		all = append(all, costs)
		if ok {
			quiet = append(quiet, costs)
		}
		if time.Since(start) >= p.Limit {
			break
		}
	}
	res := Result{Quiet: len(quiet), Turns: len(all)}
	kept := quiet
	if 4*len(quiet) < want {
		kept, res.Disturbed = all, true
	}
	return res.sum(kept, score, len(sides))
}

// turn takes one sample of each side.
func turn(sides []Sample, backwards bool) ([]float64, bool, error) {
	costs := make([]float64, len(sides))
	quiet := true
	for i := range sides {
		if backwards {
			i = len(sides) - 1 - i
		}
		cost, ok, err := sides[i]()
		if err != nil {
			return nil, false, err
		}
		costs[i] = cost
		quiet = quiet && ok
	}
	return costs, quiet, nil
}

func (r Result) sum(turns [][]float64, score Score, sides int) (Result, error) {
	var scores []float64
	for _, costs := range turns {
		if s := score(costs); !math.IsNaN(s) && !math.IsInf(s, 0) {
			scores = append(scores, s)
		}
	}
	r.Low, r.Score, r.High = Quantile(scores, 0.25), Median(scores), Quantile(scores, 0.75)
	if !(r.Score > 0) {
		return r, ErrNoScore
	}
	for i := range sides {
		column := make([]float64, 0, len(turns))
		for _, costs := range turns {
			column = append(column, costs[i])
		}
		r.Costs = append(r.Costs, Median(column))
	}
	return r, nil
}

// Median is the middle of vs, NaN of none.
func Median(vs []float64) float64 { return Quantile(vs, 0.5) }

// Quantile is the value below which the share q, 0 to 1, of vs lies, between two
// neighbours in proportion; NaN of none. vs keeps its order.
func Quantile(vs []float64, q float64) float64 {
	if len(vs) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(vs))
	at := q * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-1)
	if i == len(sorted)-1 {
		return sorted[i]
	}
	part := at - float64(i)
	return sorted[i]*(1-part) + sorted[i+1]*part
}
