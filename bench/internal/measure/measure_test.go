package measure

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		vs   []float64
		q    float64
		want float64
	}{
		{[]float64{7}, 0.5, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{4, 1, 3, 2}, 0, 1},
		{[]float64{4, 1, 3, 2}, 1, 4},
		{[]float64{1, 2, 3, 4, 5}, 0.25, 2},
		{[]float64{10, 20}, 0.75, 17.5},
	} {
		given := slices.Clone(c.vs)
		if got := Quantile(c.vs, c.q); got != c.want {
			t.Errorf("Quantile(%v, %v) = %v, want %v", c.vs, c.q, got, c.want)
		}
		if !slices.Equal(c.vs, given) {
			t.Errorf("Quantile reordered %v to %v", given, c.vs)
		}
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("Median of none = %v", got)
	}
}

// script is a side whose samples are given, and that notes when its turn was.
func script(name string, log *[]string, costs []float64, disturbed ...int) Sample {
	i := -1 // the first call warms up
	return func() (float64, bool, error) {
		*log = append(*log, name)
		cost := costs[max(i, 0)%len(costs)]
		quiet := !slices.Contains(disturbed, i)
		i++
		return cost, quiet, nil
	}
}

func TestInterleave(t *testing.T) {
	var log []string
	res, err := Interleave(Plan{Turns: 3, Limit: time.Minute}, Ratio,
		script("a", &log, []float64{2, 4, 6}), script("b", &log, []float64{1, 1, 2}))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "a", "b", "b", "a", "a", "b"}; !slices.Equal(log, want) {
		t.Errorf("order %v, want %v", log, want)
	}
	if res.Score != 3 || res.Low != 2.5 || res.High != 3.5 || res.Quiet != 3 || res.Turns != 3 || res.Disturbed {
		t.Errorf("result %+v", res)
	}
	if !slices.Equal(res.Costs, []float64{4, 1}) {
		t.Errorf("costs %v", res.Costs)
	}
}

// A turn with one disturbed sample is dropped whole, and another taken for it.
func TestInterleaveDropsDisturbedTurns(t *testing.T) {
	var log []string
	res, err := Interleave(Plan{Turns: 2, Limit: time.Minute}, Ratio,
		script("a", &log, []float64{100, 4, 6, 100}, 0), script("b", &log, []float64{1}, 3))
	if err != nil {
		t.Fatal(err)
	}
	if res.Score != 5 || res.Quiet != 2 || res.Turns != 3 || res.Disturbed {
		t.Errorf("result %+v", res)
	}
}

func TestInterleaveFallsBackOnAllTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noisy := func() (float64, bool, error) { time.Sleep(time.Millisecond); return 3, false, nil }
		quiet := func() (float64, bool, error) { return 2, true, nil }
		res, err := Interleave(Plan{Turns: 1000, Limit: 20 * time.Millisecond}, Ratio, noisy, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if res.Score != 1.5 || res.Quiet != 0 || res.Turns == 0 || !res.Disturbed {
			t.Errorf("result %+v", res)
		}
	})
}

func TestInterleaveScoresMoreThanTwo(t *testing.T) {
	var log []string
	perCall := func(c []float64) float64 { return (c[0] - c[1]) / 4 / c[2] }
	res, err := Interleave(Plan{Turns: 5, Limit: time.Minute}, perCall,
		script("four calls", &log, []float64{50}), script("no call", &log, []float64{10}), script("unit", &log, []float64{5}))
	if err != nil || res.Score != 2 {
		t.Errorf("result %+v, %v", res, err)
	}
}

func TestInterleaveFails(t *testing.T) {
	boom := errors.New("boom")
	one := func() (float64, bool, error) { return 1, true, nil }
	if _, err := Interleave(Plan{}, Ratio, one, func() (float64, bool, error) { return 0, false, boom }); !errors.Is(err, boom) {
		t.Errorf("error %v, want boom", err)
	}
	nothing := func() (float64, bool, error) { return 0, true, nil }
	if _, err := Interleave(Plan{}, Ratio, one, nothing); !errors.Is(err, ErrNoScore) {
		t.Errorf("one over nothing: error %v", err)
	}
	if _, err := Interleave(Plan{}, Ratio, nothing, nothing); !errors.Is(err, ErrNoScore) {
		t.Errorf("nothing over nothing: error %v", err)
	}
}

func spin(turns int) float64 {
	x := 1.0
	for range turns {
		x = x*1.0000001 + 1e-9
	}
	return x
}

// working is an op that costs so many turns of a loop.
func working(turns int) Op {
	return func(n int) error {
		for range n {
			if spin(turns) < 0 {
				return errors.New("a sum of positive numbers is negative")
			}
		}
		return nil
	}
}

func TestSerialFindsTheRatio(t *testing.T) {
	res, err := Interleave(Plan{Turns: 15, Limit: 3 * time.Second}, Ratio,
		Serial(working(3000), time.Millisecond), Serial(working(1000), time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if res.Score < 2 || res.Score > 4.5 {
		t.Errorf("three times the work costs %.2f times as much: %+v", res.Score, res)
	}
}

func TestParallelCountsAllWorkers(t *testing.T) {
	calls := make(chan int, 64)
	op := func(n int) error { calls <- n; return working(1000)(n) }
	cost, _, err := Parallel(op, 2, 100*time.Microsecond)()
	if err != nil || !(cost > 0) {
		t.Fatalf("cost %v, %v", cost, err)
	}
	close(calls)
	var ns []int
	for n := range calls {
		ns = append(ns, n)
	}
	if len(ns) < 3 || ns[len(ns)-1] != ns[len(ns)-2] || ns[len(ns)-1] != ns[len(ns)-3] {
		t.Errorf("calls %v: want a search that ends, then two alike", ns)
	}
}

// Where one works long after the other has ended, they did not work together.
func TestTogetherNoticesALoneWorker(t *testing.T) {
	for _, c := range []struct {
		sleeps [2]time.Duration
		want   bool
	}{
		{[2]time.Duration{40 * time.Millisecond, 40 * time.Millisecond}, true},
		{[2]time.Duration{time.Millisecond, 40 * time.Millisecond}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var next atomic.Int64
			took, overlapped, err := together(func(int) error { time.Sleep(c.sleeps[next.Add(1)-1]); return nil }, 2, 1)
			if err != nil || overlapped != c.want || took != 40*time.Millisecond {
				t.Errorf("%v: overlapped %v in %v, %v", c.sleeps, overlapped, took, err)
			}
		})
	}
}

func TestSamplesPassErrorsOn(t *testing.T) {
	boom := errors.New("boom")
	failing := func(int) error { return boom }
	late := func(fail *bool) Op {
		return func(n int) error {
			if *fail {
				return boom
			}
			return working(1000)(n)
		}
	}
	for name, make := range map[string]func(Op) Sample{
		"serial":   func(op Op) Sample { return Serial(op, time.Millisecond) },
		"parallel": func(op Op) Sample { return Parallel(op, 2, time.Millisecond) },
	} {
		if _, _, err := make(failing)(); !errors.Is(err, boom) {
			t.Errorf("%s: error %v", name, err)
		}
		fail := false
		s := make(late(&fail))
		if _, _, err := s(); err != nil {
			t.Errorf("%s: error %v", name, err)
		}
		fail = true
		if _, _, err := s(); !errors.Is(err, boom) {
			t.Errorf("%s: error %v after the first sample", name, err)
		}
	}
	if _, err := Allocs(failing, 10); !errors.Is(err, boom) {
		t.Errorf("allocs: error %v", err)
	}
}

func TestAllocs(t *testing.T) {
	var kept [3]*[16]int
	for want := range 4 {
		got, err := Allocs(func(n int) error {
			for range n {
				for i := range want {
					kept[i] = new([16]int)
				}
			}
			return nil
		}, 2000)
		if err != nil || math.Abs(got-float64(want)) > 0.05 {
			t.Errorf("%d allocations: counted %v, %v", want, got, err)
		}
	}
}

func TestCPU(t *testing.T) {
	before, err := CPU()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for time.Since(start) < 20*time.Millisecond {
		spin(1000)
	}
	after, err := CPU()
	if err != nil || after-before < time.Millisecond {
		t.Errorf("used %v in 20ms of work, %v", after-before, err)
	}
	own, err := CPUOf(os.Getpid())
	if err != nil || own < after {
		t.Errorf("by number %v, by itself %v, %v", own, after, err)
	}
}

func TestCPUOfAnother(t *testing.T) {
	child := exec.Command("sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	testkit.Until(t, "a busy process has used 5 ms", func() bool {
		used, err := CPUOf(child.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return used > 5*time.Millisecond
	})
}

func TestCPUOfNobody(t *testing.T) {
	if _, err := CPUOf(1 << 28); err == nil {
		t.Error("there is a clock of a process that does not exist")
	}
}

func TestDelay(t *testing.T) {
	before, err := Delay()
	if err != nil {
		t.Fatal(err)
	}
	spin(1_000_000)
	if _, err := Delay(); err != nil || before < 0 {
		t.Errorf("delay %v, %v", before, err)
	}
}

func TestParseDelay(t *testing.T) {
	if d, err := parseDelay("4338917 1200 1\n"); d != 1200 || err != nil {
		t.Errorf("%v, %v", d, err)
	}
	for _, text := range []string{"", "1 2", "1 x 3", "1 2 3 4"} {
		if _, err := parseDelay(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
