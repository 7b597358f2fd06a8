package measure

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The largest shares of a sample's time in which this process may have been held up for
// the sample to be undisturbed. Processor time stands still meanwhile, and only suffers
// from caches grown cold; wall time goes on.
const (
	disturbedCPU  = 0.25
	disturbedWall = 0.04
)

// mostOps bounds the search for how many operations fill a sample.
const mostOps = 1 << 30

// Op does an operation n times, one after the other, and says what went wrong.
type Op func(n int) error

// Serial samples op on one goroutine. A sample takes about length; its cost is the
// processor time of the whole process, so the garbage that op makes is paid for. The
// process has one processor meanwhile: otherwise the collector would spin on idle ones.
// How many operations fill a sample is found out at the first one. To tell the cost of
// garbage, length must hold several rounds of the collector.
func Serial(op Op, length time.Duration) Sample {
	n := 0
	return func() (float64, bool, error) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		if n == 0 {
			var err error
			if n, err = fill(op, length); err != nil {
				return 0, false, err
			}
		}
		var used time.Duration
		quiet, err := watch(func() error {
			before, err := CPU()
			if err != nil {
				return err
			}
			if err := op(n); err != nil {
				return err
			}
			after, err := CPU()
			used = after - before
			return err
		}, disturbedCPU)
		return float64(used) / float64(n), quiet, err
	}
}

// Parallel samples op on so many goroutines at the same time. The cost of an operation
// is the wall time over the operations of all of them together.
func Parallel(op Op, workers int, length time.Duration) Sample {
	n := 0
	return func() (float64, bool, error) {
		if n == 0 {
			var err error
			if n, err = fill(op, length); err != nil {
				return 0, false, err
			}
		}
		var took time.Duration
		var overlapped bool
		quiet, err := watch(func() error {
			var err error
			took, overlapped, err = together(op, workers, n)
			return err
		}, disturbedWall*float64(workers))
		return float64(took) / float64(n*workers), quiet && overlapped, err
	}
}

// overlap is the share of the time during which all workers must have been at work
// together for a sample of them to be undisturbed. Without it a machine with one core to
// spare would run them one after the other, undisturbed.
const overlap = 0.85

// together runs op on all workers and times it from the first's start to the last's end.
// They start as one: each spins until all are running.
func together(op Op, workers, n int) (took time.Duration, overlapped bool, err error) {
	var done sync.WaitGroup
	var arrived atomic.Int64
	faults := make([]error, workers)
	started, ended := make([]time.Duration, workers), make([]time.Duration, workers)
	base := time.Now()
	for i := range workers {
		done.Go(func() {
			arrived.Add(1)
			for arrived.Load() < int64(workers) {
				runtime.Gosched()
			}
			started[i] = time.Since(base)
			faults[i] = op(n)
			ended[i] = time.Since(base)
		})
	}
	done.Wait()
	took = slices.Max(ended) - slices.Min(started)
	both := slices.Min(ended) - slices.Max(started)
	return took, float64(both) >= overlap*float64(took), errors.Join(faults...)
}

// fill finds how many operations take about length.
func fill(op Op, length time.Duration) (int, error) {
	for n := 1; ; n *= 2 {
		start := time.Now()
		if err := op(n); err != nil {
			return 0, err
		}
		took := time.Since(start)
		if took >= length {
			return n, nil
		}
		if n >= mostOps {
			return 0, fmt.Errorf("measure: %d operations take no time", n)
		}
	}
}

// watch runs fn and reports whether the threads of this process were held up for no more
// than that share of the time it took.
func watch(fn func() error, share float64) (quiet bool, err error) {
	before, err := Delay()
	if err != nil {
		return false, err
	}
	start := time.Now()
	if err := fn(); err != nil {
		return false, err
	}
	took := time.Since(start)
	after, err := Delay()
	return float64(after-before) <= share*float64(took), err
}

// Allocs is how many allocations one operation makes, the mean of n after some to warm
// up, on one goroutine with nothing else of this process running beside it.
func Allocs(op Op, n int) (float64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if err := op(max(n/10, 1)); err != nil {
		return 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := op(n); err != nil {
		return 0, err
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), nil
}
