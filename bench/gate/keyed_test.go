package main

import (
	"fmt"
	"testing"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/limit"
)

// BenchmarkKeyedFloor tells how low the rows limit/10k-go-limiter and limit/1m-go-limiter
// could go: "floor" is the share of go-limiter's cost that reading the clock and fetching
// the next key take, which both sides do, "limit" that of the whole limiter in the same turns.
func BenchmarkKeyedFloor(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1e6, Burst: 1e9, MaxKeys: 2 * n})
			if err != nil {
				b.Fatal(err)
			}
			peer, err := newGoLimiter()
			if err != nil {
				b.Fatal(err)
			}
			defer peer.close()
			c, k := newClock(), newKeys(n)
			for _, key := range k.names {
				l.Take(c.now(), key, 1, 0)
				peer.allow(key)
			}
			side := func(allowed func() bool) measure.Sample {
				return measure.Serial(ops(func() error {
					if !allowed() {
						return errRefused
					}
					return nil
				}), 10*fullEffort.Sample)
			}
			for b.Loop() {
				res, err := measure.Interleave(fullEffort.plan(), measure.Ratio,
					side(func() bool { now, key := c.now(), k.next(); return now >= 0 && key[len(key)-1] == '1' }),
					side(func() bool { return peer.allow(k.next()) }),
					side(func() bool { return l.Take(c.now(), k.next(), 1, 0).OK }))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(res.Score, "floor")
				b.ReportMetric(res.Costs[2]/res.Costs[1], "limit")
			}
		})
	}
}
