// Package dist holds the distributions that experiments draw from: service times,
// costs, think times, keys. A draw is a function of one uniform number, so that the
// same arrival costs the same under every strategy (common random numbers).
package dist

import (
	"errors"
	"fmt"
	"math"
	"sort"
)

// Dist is a distribution of numbers that are not negative. It is immutable and safe
// for concurrent use. The zero Dist is constant 0.
type Dist struct {
	kind    kind
	a, b, c float64
	table   []float64 // choice: cumulative shares; zipf: the same over ranks
	values  []float64
}

type kind uint8

const (
	constant kind = iota
	uniform
	exponential
	lognormal
	pareto
	choice
)

// Errors of the constructors.
var errRange = errors.New("want finite numbers that are not negative")

func finite(vs ...float64) error {
	for _, v := range vs {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return fmt.Errorf("%w, got %v", errRange, v)
		}
	}
	return nil
}

// Constant is always v.
func Constant(v float64) (Dist, error) { return Dist{a: v}, finite(v) }

// Uniform lies between low and high.
func Uniform(low, high float64) (Dist, error) {
	if err := finite(low, high); err != nil {
		return Dist{}, err
	}
	if high < low {
		return Dist{}, fmt.Errorf("max %v is below min %v", high, low)
	}
	return Dist{kind: uniform, a: low, b: high - low}, nil
}

// Exponential has the mean given.
func Exponential(mean float64) (Dist, error) {
	return Dist{kind: exponential, a: mean}, finite(mean)
}

// Lognormal has the median p50 and the 99th percentile p99.
func Lognormal(p50, p99 float64) (Dist, error) {
	if err := finite(p50, p99); err != nil {
		return Dist{}, err
	}
	if p50 <= 0 || p99 < p50 {
		return Dist{}, fmt.Errorf("want 0 < p50 <= p99, got %v and %v", p50, p99)
	}
	const z99 = 2.3263478740408408 // the standard normal's 99th percentile
	return Dist{kind: lognormal, a: math.Log(p50), b: (math.Log(p99) - math.Log(p50)) / z99}, nil
}

// Pareto starts at low with the tail index alpha; high cuts it off, 0 nowhere.
func Pareto(low, alpha, high float64) (Dist, error) {
	if err := finite(low, alpha, high); err != nil {
		return Dist{}, err
	}
	if low <= 0 || alpha <= 0 || high != 0 && high < low {
		return Dist{}, errors.New("pareto: want min > 0, alpha > 0, and max 0 or at least min")
	}
	return Dist{kind: pareto, a: low, b: -1 / alpha, c: high}, nil
}

// Choice is one of values, by weights; nil weights are equal.
func Choice(values, weights []float64) (Dist, error) {
	if len(values) == 0 || weights != nil && len(weights) != len(values) {
		return Dist{}, errors.New("choice: want as many weights as values, and at least one")
	}
	if err := errors.Join(finite(values...), finite(weights...)); err != nil {
		return Dist{}, err
	}
	table, sum := make([]float64, len(values)), 0.0
	for i := range values {
		w := 1.0
		if weights != nil {
			w = weights[i]
		}
		sum += w
		table[i] = sum
	}
	if sum <= 0 {
		return Dist{}, errors.New("choice: all weights are 0")
	}
	for i := range table {
		table[i] /= sum
	}
	return Dist{kind: choice, values: values, table: table}, nil
}

// Zipf is a rank from 0 to n-1 whose weight is 1/(rank+1)^s; s of 0 makes all equal.
func Zipf(n int, s float64) (Dist, error) {
	const most = 1_000_000
	if n < 1 || n > most {
		return Dist{}, fmt.Errorf("keys: want 1 to %d, got %d", most, n)
	}
	if err := finite(s); err != nil {
		return Dist{}, err
	}
	values, weights := make([]float64, n), make([]float64, n)
	for i := range n {
		values[i], weights[i] = float64(i), math.Pow(float64(i+1), -s)
	}
	return Choice(values, weights)
}

// Same is the value of every draw, if there is only one.
func (d *Dist) Same() (v float64, ok bool) { return d.a, d.kind == constant }

// At is the value below which a share u of all draws lie; u is in [0, 1).
func (d *Dist) At(u float64) float64 {
	switch d.kind {
	case uniform:
		return d.a + u*d.b
	case exponential:
		return -math.Log(1-u) * d.a // u has 53 bits, so 1-u is exact
	case lognormal:
		return math.Exp(d.a + d.b*math.Sqrt2*math.Erfinv(2*max(u, 1e-12)-1))
	case pareto:
		v := d.a * math.Pow(1-u, d.b)
		if d.c > 0 && v > d.c {
			return d.c
		}
		return v
	case choice:
		i := sort.SearchFloat64s(d.table, u)
		if i < len(d.table)-1 && d.table[i] == u { // the share belongs to the next value
			i++
		}
		return d.values[min(i, len(d.values)-1)]
	}
	return d.a
}

// Mean is the mean of the distribution, by its formula where there is one, else by
// its quantiles.
func (d *Dist) Mean() float64 {
	switch d.kind {
	case constant, exponential:
		return d.a
	case uniform:
		return d.a + d.b/2
	case lognormal:
		return math.Exp(d.a + d.b*d.b/2)
	}
	const steps = 10_000
	sum := 0.0
	for i := range steps {
		sum += d.At((float64(i) + 0.5) / steps)
	}
	return sum / steps
}
