package main

import (
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/gaia-host/gaia/extensions/limit"
)

func BenchmarkZClock(b *testing.B) {
	c := newClock()
	var s int64
	for b.Loop() {
		s += c.now()
	}
	_ = s
}
func BenchmarkZNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}
func BenchmarkZBucket(b *testing.B) {
	r, _ := limit.NewRate(1e9, time.Second, neverEmpty)
	var bucket limit.Bucket
	c := newClock()
	for b.Loop() {
		if !bucket.Take(c.now(), &r, 1, 0).OK {
			b.Fatal()
		}
	}
}
func BenchmarkZBucketNoClock(b *testing.B) {
	r, _ := limit.NewRate(1e9, time.Second, neverEmpty)
	var bucket limit.Bucket
	var now int64
	for b.Loop() {
		now += 10
		if !bucket.Take(now, &r, 1, 0).OK {
			b.Fatal()
		}
	}
}
func BenchmarkZBucketEmissionThousand(b *testing.B) {
	r, _ := limit.NewRate(1e6, time.Second, 1<<30)
	var bucket limit.Bucket
	var now int64
	for b.Loop() {
		now += 10
		if !bucket.Take(now, &r, 1, 0).OK {
			b.Fatal()
		}
	}
}
func BenchmarkZPeer(b *testing.B) {
	peer := rate.NewLimiter(1e9, neverEmpty)
	for b.Loop() {
		peer.Allow()
	}
}
func BenchmarkZKeyed(b *testing.B) {
	l, _ := limit.New(limit.TokenBucket, limit.Params{Rate: 1e6, Burst: 1e9})
	k := newKeys(10000)
	var now int64
	for b.Loop() {
		now += 1000
		l.Take(now, k.next(), 1, 0)
	}
}
func BenchmarkZKeyedOne(b *testing.B) {
	l, _ := limit.New(limit.TokenBucket, limit.Params{Rate: 1e6, Burst: 1e9})
	var now int64
	for b.Loop() {
		now += 1000
		l.Take(now, "tenant-00000001/upstream-eu-1", 1, 0)
	}
}
