// Package stats says how sure a result of several replicas is: means with confidence
// intervals, and paired differences between strategies that met the same arrivals.
package stats

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence is that of the intervals.
const Confidence = 0.95

// Estimate is the mean of replicas and its interval. With one replica, Low and High
// are the mean and say nothing.
type Estimate struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	N    int     `json:"n"`
}

// Of estimates the mean of values by Student's t distribution. NaN values are left
// out; without any the Estimate is of no replicas.
func Of(values []float64) Estimate {
	kept := finite(values)
	e := Estimate{N: len(kept)}
	if e.N == 0 {
		return e
	}
	mean, sd := stat.MeanStdDev(kept, nil)
	if e.N == 1 {
		sd = 0
	}
	half := 0.0
	if sd > 0 {
		half = quantile(e.N-1) * sd / math.Sqrt(float64(e.N))
	}
	e.Mean, e.Low, e.High = mean, mean-half, mean+half
	return e
}

func quantile(degrees int) float64 {
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(degrees)}.Quantile(0.5 + Confidence/2)
}

// Difference is the mean of paired differences, its interval, and the probability of
// one at least as large where there is none (two-sided paired t test). P is 1 where
// it cannot be told.
type Difference struct {
	Estimate
	P float64 `json:"p"`
}

// Paired compares values with base, replica by replica.
func Paired(values, base []float64) Difference {
	diffs := make([]float64, min(len(values), len(base)))
	for i := range diffs {
		diffs[i] = values[i] - base[i]
	}
	d := Difference{Estimate: Of(diffs), P: 1}
	if d.N < 2 || d.Mean == 0 {
		return d
	}
	half := d.High - d.Mean
	if half == 0 {
		d.P = 0 // every replica differs by the same
		return d
	}
	t := d.Mean * quantile(d.N-1) / half
	d.P = 2 * distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(d.N - 1)}.CDF(-math.Abs(t))
	return d
}

// Jain is Jain's index of fairness of shares: 1 where all are alike, 1/n where one
// has everything; 1 for none (Jain, Chiu and Hawe, 1984).
func Jain(shares []float64) float64 {
	var sum, squares float64
	for _, s := range shares {
		sum += s
		squares += s * s
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// Welch compares values with base where they are of different seeds: the difference of
// the means, its interval, and the probability of one at least as large where there is
// none (two-sided, without assuming equal variances). P is 1 where it cannot be told.
func Welch(values, base []float64) Difference {
	a, b := finite(values), finite(base)
	d := Difference{P: 1}
	d.N = min(len(a), len(b))
	if d.N == 0 {
		return d
	}
	d.Mean = stat.Mean(a, nil) - stat.Mean(b, nil)
	d.Low, d.High = d.Mean, d.Mean
	if d.N < 2 || d.Mean == 0 {
		return d
	}
	va, vb := stat.Variance(a, nil)/float64(len(a)), stat.Variance(b, nil)/float64(len(b))
	if va+vb == 0 {
		d.P = 0
		return d
	}
	nu := (va + vb) * (va + vb) / (va*va/float64(len(a)-1) + vb*vb/float64(len(b)-1))
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: nu}
	half := t.Quantile(0.5+Confidence/2) * math.Sqrt(va+vb)
	d.Low, d.High = d.Mean-half, d.Mean+half
	d.P = 2 * t.CDF(-math.Abs(d.Mean)/math.Sqrt(va+vb))
	return d
}

func finite(values []float64) []float64 {
	kept := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) {
			kept = append(kept, v)
		}
	}
	return kept
}
