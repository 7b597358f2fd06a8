package arrivals

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/experiment/dist"
)

// offered counts what a process offers in each second, up to d.
func offered(t *testing.T, c Config, d time.Duration) []int {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	rng, counts, last := rand.New(rand.NewPCG(3, 4)), make([]int, int(d/time.Second)), int64(0)
	for {
		at, n, ok := p.Next(rng)
		if !ok || at >= int64(d) {
			return counts
		}
		if at < last {
			t.Fatalf("%s: %d after %d", c.Kind, at, last)
		}
		last = at
		counts[at/int64(time.Second)] += n
	}
}

func sum(counts []int) (n float64) {
	for _, c := range counts {
		n += float64(c)
	}
	return n
}

// Every process offers what its rates say on average.
func TestRates(t *testing.T) {
	three, err := dist.Constant(3)
	if err != nil {
		t.Fatal(err)
	}
	const d = 1000 * time.Second
	for _, c := range []struct {
		Config
		want float64 // arrivals in d
	}{
		{Config{Kind: "constant", Rate: 10}, 10_000},
		{Config{Kind: "poisson", Rate: 50}, 50_000},
		{Config{Kind: "batch", Rate: 10, Size: three}, 30_000},
		{Config{Kind: "ramping", Stages: []Stage{{100, 500 * time.Second}, {0, 500 * time.Second}}}, 50_000},
		{Config{Kind: "diurnal", Rate: 10, Peak: 90, Period: 100 * time.Second}, 50_000},
		{Config{Kind: "flash", Rate: 10, Peak: 110, At: 100 * time.Second, Ramp: 50 * time.Second, Hold: 100 * time.Second}, 25_000},
		{Config{Kind: "onOff", Rate: 200, On: time.Second, Off: 3 * time.Second}, 50_000},
		{Config{Kind: "pareto", Rate: 50, Alpha: 2.5}, 50_000},
		{Config{Kind: "poisson"}, 0},
	} {
		if got := sum(offered(t, c.Config, d)); math.Abs(got-c.want) > 0.08*c.want {
			t.Errorf("%s: %v arrivals, want about %v", c.Kind, got, c.want)
		}
	}
}

// A ramp follows its line, and ends with its last stage.
func TestRampingFollowsItsStages(t *testing.T) {
	c := offered(t, Config{Kind: "ramping", Rate: 0, Stages: []Stage{{1000, 10 * time.Second}, {1000, 5 * time.Second}, {0, 0}}}, 20*time.Second)
	for i, want := range []float64{50, 150, 250, 350, 450, 550, 650, 750, 850, 950, 1000, 1000, 1000, 1000, 1000, 0, 0} {
		if math.Abs(float64(c[i])-want) > 5*math.Sqrt(want)+5 {
			t.Errorf("second %d: %d, want about %v", i, c[i], want)
		}
	}
}

func TestWrongConfigs(t *testing.T) {
	for _, c := range []Config{{Kind: "x"}, {Kind: "poisson", Rate: -1}, {Kind: "poisson", Rate: math.NaN()}, {Kind: "constant", Rate: 1e9},
		{Kind: "ramping"}, {Kind: "ramping", Stages: []Stage{{-1, 1}}}, {Kind: "ramping", Stages: []Stage{{1, -1}}}, {Kind: "diurnal", Rate: 1},
		{Kind: "onOff", Rate: 1, On: 1}, {Kind: "pareto", Rate: 1, Alpha: 1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// Where nobody comes for long, Next says so now and then, and time goes on.
func TestNobodyComes(t *testing.T) {
	for _, c := range []Config{
		{Kind: "ramping", Rate: 1e6, Stages: []Stage{{Target: 0, Duration: time.Nanosecond}, {Target: 0, Duration: time.Hour}}},
		{Kind: "onOff", Rate: 1e-9, On: time.Microsecond, Off: time.Microsecond},
	} {
		p, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		rng, last := rand.New(rand.NewPCG(1, 2)), int64(0)
		for range 100 {
			at, n, ok := p.Next(rng)
			if n != 0 || !ok || at <= last {
				t.Fatalf("%s: %d at %d after %d, %v", c.Kind, n, at, last, ok)
			}
			last = at
		}
	}
}
