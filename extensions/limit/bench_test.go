package limit

import (
	"fmt"
	"testing"
	"time"
)

func BenchmarkBucket(b *testing.B) {
	b.Run("allow", func(b *testing.B) {
		r := mustRate(b, 1e9, time.Second, 1<<40)
		var bucket Bucket
		now := t0
		for b.Loop() {
			now += 10
			bucket.Take(now, r, 1, 0)
		}
	})
	b.Run("deny", func(b *testing.B) {
		r := mustRate(b, 1, time.Hour, 1)
		var bucket Bucket
		bucket.Take(t0, r, 1, 0)
		for b.Loop() {
			bucket.Take(t0, r, 1, 0)
		}
	})
	b.Run("fractional", func(b *testing.B) {
		r := mustRate(b, 999_001, time.Second, 1000)
		var bucket Bucket
		now := t0
		for b.Loop() {
			now += 1100
			bucket.Take(now, r, 1, 0)
		}
	})
	b.Run("deny-parallel", func(b *testing.B) {
		r := mustRate(b, 1, time.Hour, 1)
		var bucket Bucket
		bucket.Take(t0, r, 1, 0)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				bucket.Take(t0, r, 1, 0)
			}
		})
	})
}

func BenchmarkLimiter(b *testing.B) {
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("tenant-%08d/upstream-eu-1", i)
	}
	for _, n := range []int{1, len(keys)} {
		b.Run(fmt.Sprintf("tokenBucket/keys=%d", n), func(b *testing.B) {
			l := mustNew(b, TokenBucket, Params{Rate: 1e6, Burst: 1e6})
			now, i := t0, uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				now += 1000
				i = (i*25214903917 + 11) & (1<<40 - 1)
				l.Take(now, keys[(i>>8)%uint64(n)], 1, 0)
			}
		})
	}
	b.Run("upstream", func(b *testing.B) {
		l := mustNew(b, Upstream, Params{})
		now := t0
		for b.Loop() {
			now += 1000
			l.Take(now, keys[0], 1, 0)
			l.Release(now, keys[0], 1)
		}
	})
}
