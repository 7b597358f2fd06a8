package dist

import (
	"math"
	"math/rand/v2"
	"testing"
)

func must(d Dist, err error) Dist {
	if err != nil {
		panic(err)
	}
	return d
}

// The mean of draws is the mean of the formula.
func TestMeans(t *testing.T) {
	for name, c := range map[string]struct {
		d    Dist
		want float64
	}{
		"constant":    {must(Constant(3)), 3},
		"uniform":     {must(Uniform(2, 6)), 4},
		"exponential": {must(Exponential(5)), 5},
		"lognormal":   {must(Lognormal(40, 400)), 40 * math.Exp(math.Pow(math.Log(10)/2.3263478740408408, 2)/2)},
		"pareto":      {must(Pareto(1, 3, 0)), 1.5},
		"choice":      {must(Choice([]float64{1, 10}, []float64{3, 1})), 3.25},
		"zipf":        {must(Zipf(2, 1)), 1.0 / 3},
	} {
		rng, sum := rand.New(rand.NewPCG(1, 2)), 0.0
		const n = 200_000
		for range n {
			sum += c.d.At(rng.Float64())
		}
		if got := sum / n; math.Abs(got-c.want) > 0.03*c.want {
			t.Errorf("%s: mean of draws %v, want %v", name, got, c.want)
		}
		if got := c.d.Mean(); math.Abs(got-c.want) > 0.01*c.want {
			t.Errorf("%s: Mean %v, want %v", name, got, c.want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	d := must(Lognormal(40, 400))
	if a, b := d.At(0.5), d.At(0.99); math.Abs(a-40) > 1e-6 || math.Abs(b-400) > 1e-3 {
		t.Errorf("p50 %v, p99 %v", a, b)
	}
	for _, u := range []float64{0, 0.25, 0.999999999999} {
		for _, d := range []Dist{must(Lognormal(1, 2)), must(Pareto(1, 0.5, 100)), must(Zipf(10, 0)), must(Exponential(1))} {
			if v := d.At(u); math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				t.Errorf("At(%v) = %v", u, v)
			}
		}
	}
	if v := must(Choice([]float64{1, 2}, nil)); v.At(0.4999) != 1 || v.At(0.5) != 2 {
		t.Error("a share belongs to the value after it")
	}
}

func TestWrongParameters(t *testing.T) {
	bad := func(_ Dist, err error) bool { return err != nil }
	if !bad(Constant(-1)) || !bad(Constant(math.NaN())) || !bad(Uniform(2, 1)) || !bad(Exponential(math.Inf(1))) || !bad(Lognormal(0, 1)) ||
		!bad(Lognormal(2, 1)) || !bad(Pareto(0, 1, 0)) || !bad(Pareto(2, 1, 1)) || !bad(Choice(nil, nil)) ||
		!bad(Choice([]float64{1}, []float64{0})) || !bad(Choice([]float64{1}, []float64{1, 2})) || !bad(Zipf(0, 1)) || !bad(Zipf(1<<30, 1)) {
		t.Error("wrong parameters were taken")
	}
}
