package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/limit"
)

// neverEmpty is a burst that no measurement uses up.
const neverEmpty = 1 << 40

var (
	errRefused  = errors.New("a take was refused")
	errAdmitted = errors.New("a take was admitted")
)

// clock is the clock that gaia hands to its limiters: it costs less than time.Now, and
// is read on this side as the peer reads its own inside Allow.
type clock struct{ base time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() int64 { return int64(time.Since(c.base)) }

func limitAllow(_ context.Context, e effort) (outcome, error) {
	r, err := limit.NewRate(1e9, time.Second, neverEmpty)
	if err != nil {
		return outcome{}, err
	}
	var bucket limit.Bucket
	c := newClock()
	ours := func(n int) error {
		for range n {
			if !bucket.Take(c.now(), &r, 1, 0).OK {
				return errRefused
			}
		}
		return nil
	}
	peer := rate.NewLimiter(1e9, neverEmpty)
	theirs := func(n int) error {
		for range n {
			if !peer.Allow() {
				return errRefused
			}
		}
		return nil
	}
	allocs, err := measure.Allocs(ours, e.Allocs)
	if err != nil {
		return outcome{}, err
	}
	res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Sample), measure.Serial(theirs, e.Sample))
	return compared(res, allocs, "limit.Bucket", "x/time/rate"), err
}

// limitSecond is one limit more in a request that has read the clock already.
func limitSecond(_ context.Context, e effort) (outcome, error) {
	r, err := limit.NewRate(1e9, time.Second, neverEmpty)
	if err != nil {
		return outcome{}, err
	}
	var bucket limit.Bucket
	now := newClock().now()
	ours := func(n int) error {
		for range n {
			if now++; !bucket.Take(now, &r, 1, 0).OK {
				return errRefused
			}
		}
		return nil
	}
	peer := rate.NewLimiter(1e9, neverEmpty)
	theirs := func(n int) error {
		for range n {
			if !peer.Allow() {
				return errRefused
			}
		}
		return nil
	}
	allocs, err := measure.Allocs(ours, e.Allocs)
	if err != nil {
		return outcome{}, err
	}
	res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Sample), measure.Serial(theirs, e.Sample))
	return compared(res, allocs, "limit.Bucket", "x/time/rate"), err
}

func limitDeny(_ context.Context, e effort) (outcome, error) {
	const cores = 2
	if runtime.GOMAXPROCS(0) < cores {
		return outcome{}, fmt.Errorf("needs %d cores, there is %d", cores, runtime.GOMAXPROCS(0))
	}
	r, err := limit.NewRate(1, time.Hour, 1)
	if err != nil {
		return outcome{}, err
	}
	var bucket limit.Bucket
	c := newClock()
	bucket.Take(c.now(), &r, 1, 0)
	ours := func(n int) error {
		for range n {
			if bucket.Take(c.now(), &r, 1, 0).OK {
				return errAdmitted
			}
		}
		return nil
	}
	peer := rate.NewLimiter(rate.Every(time.Hour), 1)
	peer.Allow()
	theirs := func(n int) error {
		for range n {
			if peer.Allow() {
				return errAdmitted
			}
		}
		return nil
	}
	allocs, err := measure.Allocs(ours, e.Allocs)
	if err != nil {
		return outcome{}, err
	}
	short := e.Sample / 3 // it is rare that nothing else runs on any core
	res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Parallel(ours, cores, short), measure.Parallel(theirs, cores, short))
	return compared(res, allocs, "limit.Bucket", "x/time/rate"), err
}

// limitOverBound asks a limiter from a thousand goroutines at once and holds what it let
// through against burst + rate x time. The worst of three repeats counts.
func limitOverBound(ctx context.Context, e effort) (outcome, error) {
	var shares []float64
	for range min(3, e.Repeat) {
		if ctx.Err() != nil {
			return outcome{}, ctx.Err()
		}
		share, err := overBound(e.Over)
		if err != nil {
			return outcome{}, err
		}
		shares = append(shares, share)
	}
	how := measure.Result{Low: measure.Quantile(shares, 0.25), High: measure.Quantile(shares, 0.75), Quiet: len(shares), Turns: len(shares)}
	return outcome{ratio: slices.Max(shares), how: how}, nil
}

// overBound returns admissions over the bound, all of them made with clocks from the
// first to the end of that time.
func overBound(during time.Duration) (float64, error) {
	const (
		goroutines = 1000
		perSecond  = 100_000
		burst      = 100
	)
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: perSecond, Burst: burst})
	if err != nil {
		return 0, err
	}
	c := newClock()
	var admitted, refused atomic.Int64
	var wg sync.WaitGroup
	release := make(chan struct{})
	var end int64 // written before the release
	for range goroutines {
		wg.Go(func() {
			<-release
			var yes, no int64
			for now := c.now(); now < end; now = c.now() {
				if (yes+no)%64 == 0 { // as one that lost its core between the clock and the take
					runtime.Gosched()
				}
				if l.Take(now, "key", 1, 0).OK {
					yes++
				} else {
					no++
				}
			}
			admitted.Add(yes)
			refused.Add(no)
		})
	}
	end = c.now() + int64(during)
	close(release)
	wg.Wait()
	bound := burst + perSecond*during.Seconds()
	if asked := admitted.Load() + refused.Load(); float64(asked) < bound {
		return 0, fmt.Errorf("only %d takes were tried: too few to go over the bound of %.0f", asked, bound)
	}
	return float64(admitted.Load()) / bound, nil
}
