package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-3*max(1, math.Abs(want)) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestEstimate(t *testing.T) {
	e := Of([]float64{2, 4, 6, math.NaN()}) // sd 2, t(2) 4.303
	near(t, "mean", e.Mean, 4)
	near(t, "half", e.High-e.Mean, 4.3027*2/math.Sqrt(3))
	if e := Of(nil); e.N != 0 {
		t.Errorf("%+v", e)
	}
	if e := Of([]float64{7}); e.Mean != 7 || e.Low != 7 || e.High != 7 {
		t.Errorf("%+v", e)
	}
}

// The sleep data of Student (1908): t = -4.0621, p = 0.002833.
func TestPairedIsStudents(t *testing.T) {
	a := []float64{0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0}
	b := []float64{1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4}
	d := Paired(a, b)
	near(t, "mean", d.Mean, -1.58)
	near(t, "p", d.P, 0.002833)
	near(t, "low", d.Low, -2.4598858)
	near(t, "high", d.High, -0.7001142)
	if d := Paired([]float64{1, 2}, []float64{1, 2}); d.P != 1 {
		t.Errorf("no difference has p %v", d.P)
	}
	if d := Paired([]float64{2, 3}, []float64{1, 2}); d.P != 0 {
		t.Errorf("the same difference everywhere has p %v", d.P)
	}
}

// Intervals hold the true mean as often as they say.
func TestCoverage(t *testing.T) {
	rng, held := rand.New(rand.NewPCG(5, 6)), 0
	const trials = 4000
	for range trials {
		v := make([]float64, 5)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		if e := Of(v); e.Low <= 0 && 0 <= e.High {
			held++
		}
	}
	if share := float64(held) / trials; math.Abs(share-Confidence) > 0.012 {
		t.Errorf("%v of the intervals hold the mean", share)
	}
}

func TestJain(t *testing.T) {
	near(t, "alike", Jain([]float64{3, 3, 3}), 1)
	near(t, "one has all", Jain([]float64{0, 0, 9}), 1.0/3)
	near(t, "none", Jain([]float64{0, 0}), 1)
}

// Two samples with the same size and unequal variances: p is 0.021.
func TestWelch(t *testing.T) {
	a := []float64{27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4}
	b := []float64{27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4}
	d := Welch(a, b)
	if math.Abs(d.P-0.021) > 0.001 || math.Abs(d.Mean-(meanOf(a)-meanOf(b))) > 1e-9 || d.High >= 0 || d.Low >= d.Mean {
		t.Errorf("%+v", d)
	}
	if d := Welch([]float64{1}, []float64{2}); d.P != 1 || d.Mean != -1 {
		t.Errorf("one replica: %+v", d)
	}
	if d := Welch([]float64{2, 2}, []float64{1, 1}); d.P != 0 {
		t.Errorf("without variance: %+v", d)
	}
	if d := Welch([]float64{math.NaN()}, nil); d.N != 0 {
		t.Errorf("nothing: %+v", d)
	}
}

func meanOf(v []float64) (mean float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	return mean
}
