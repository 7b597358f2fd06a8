package main

import (
	"context"
	"errors"
	"math"
	"sync/atomic"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/metrics"
)

// clientStats are the numbers of a client pool as a subsystem gives them.
type clientStats struct {
	Requests, Succeeded, Failed, Denied, Delayed, Retried, Bytes uint64
	InFlight, Queued, Idle                                       int64
	WaitSeconds, LatencySeconds                                  float64
}

// clientCounters count what clientStats tell, as a subsystem does: with atomics.
type clientCounters struct {
	schema                                                       *metrics.Schema
	requests, succeeded, failed, denied, delayed, retried, bytes atomic.Uint64
	inFlight, queued, idle                                       atomic.Int64
	wait, latency                                                atomic.Uint64 // bits of a float64
}

// newClientCounters returns counters whose values are all different, and none so small
// that boxing it costs no allocation.
func newClientCounters(s *metrics.Schema) *clientCounters {
	c := &clientCounters{schema: s}
	for i, n := range []*atomic.Uint64{&c.requests, &c.succeeded, &c.failed, &c.denied, &c.delayed, &c.retried, &c.bytes} {
		n.Store(uint64(1000 + i))
	}
	for i, n := range []*atomic.Int64{&c.inFlight, &c.queued, &c.idle} {
		n.Store(int64(2000 + i))
	}
	c.wait.Store(math.Float64bits(12.75))
	c.latency.Store(math.Float64bits(0.0425))
	return c
}

func clientSchema() *metrics.Schema {
	return metrics.NewSchema("api",
		metrics.Field{Name: "requests_total", Help: "Requests that began.", Kind: metrics.Counter},
		metrics.Field{Name: "succeeded_total", Help: "Requests answered below 400.", Kind: metrics.Counter},
		metrics.Field{Name: "failed_total", Help: "Requests that failed.", Kind: metrics.Counter},
		metrics.Field{Name: "denied_total", Help: "Requests denied.", Kind: metrics.Counter},
		metrics.Field{Name: "delayed_total", Help: "Requests that waited.", Kind: metrics.Counter},
		metrics.Field{Name: "retried_total", Help: "Attempts after the first.", Kind: metrics.Counter},
		metrics.Field{Name: "bytes_total", Help: "Bytes of bodies.", Kind: metrics.Counter},
		metrics.Field{Name: "in_flight", Help: "Requests under way.", Kind: metrics.Gauge},
		metrics.Field{Name: "queued", Help: "Requests that wait.", Kind: metrics.Gauge},
		metrics.Field{Name: "idle", Help: "Idle connections.", Kind: metrics.Gauge},
		metrics.Field{Name: "wait_seconds_total", Help: "Time spent waiting.", Kind: metrics.Counter},
		metrics.Field{Name: "latency_seconds", Help: "Mean latency.", Kind: metrics.Gauge},
	)
}

func (c *clientCounters) Schema() *metrics.Schema { return c.schema }

// Stats is the typed form.
func (c *clientCounters) Stats() clientStats {
	return clientStats{
		Requests: c.requests.Load(), Succeeded: c.succeeded.Load(), Failed: c.failed.Load(), Denied: c.denied.Load(),
		Delayed: c.delayed.Load(), Retried: c.retried.Load(), Bytes: c.bytes.Load(),
		InFlight: c.inFlight.Load(), Queued: c.queued.Load(), Idle: c.idle.Load(),
		WaitSeconds: math.Float64frombits(c.wait.Load()), LatencySeconds: math.Float64frombits(c.latency.Load()),
	}
}

func (c *clientCounters) Read(dst []float64) []float64 {
	s := c.Stats()
	return append(dst[:0], float64(s.Requests), float64(s.Succeeded), float64(s.Failed), float64(s.Denied),
		float64(s.Delayed), float64(s.Retried), float64(s.Bytes),
		float64(s.InFlight), float64(s.Queued), float64(s.Idle), s.WaitSeconds, s.LatencySeconds)
}

// freshMap is the usual way, and what both rows are held against: a new map of the same
// fields at each call.
func (c *clientCounters) freshMap() map[string]any {
	s := c.Stats()
	return map[string]any{
		"requests_total": s.Requests, "succeeded_total": s.Succeeded, "failed_total": s.Failed, "denied_total": s.Denied,
		"delayed_total": s.Delayed, "retried_total": s.Retried, "bytes_total": s.Bytes,
		"in_flight": s.InFlight, "queued": s.Queued, "idle": s.Idle,
		"wait_seconds_total": s.WaitSeconds, "latency_seconds": s.LatencySeconds,
	}
}

// readings are two readings of one subsystem that differ in half of the fields, and are
// asked for in turn. The pooled map writes only what changed since its last use, so the
// share matters: between two readings of a subsystem at work the counters of what
// happens all the time and the gauges of what is under way move, and those of failures,
// denials and retries do not.
func readings() [2]*clientCounters {
	a := newClientCounters(clientSchema())
	b := newClientCounters(a.schema)
	b.requests.Store(5000)
	b.succeeded.Store(5001)
	b.bytes.Store(5002)
	b.inFlight.Store(5003)
	b.wait.Store(math.Float64bits(13.25))
	b.latency.Store(math.Float64bits(0.05))
	return [2]*clientCounters{a, b}
}

var errNumber = errors.New("a wrong number")

// alternate reads the two readings in turn.
func alternate(read func(*clientCounters) error) measure.Op {
	src, i := readings(), 0
	return ops(func() error {
		i++
		return read(src[i&1])
	})
}

func readFresh(c *clientCounters) error {
	if c.freshMap()["idle"] != int64(2002) {
		return errNumber
	}
	return nil
}

func pooledMap(_ context.Context, e effort) (outcome, error) {
	src, i := readings(), 0
	pool := metrics.NewPool(src[0].schema)
	pooled := ops(func() error {
		i++
		v := pool.View(src[i&1])
		idle := v.Map()["idle"]
		v.Release()
		if idle != 2002 {
			return errNumber
		}
		return nil
	})
	return againstFresh(e, pooled, "pooled map")
}

func typedStats(_ context.Context, e effort) (outcome, error) {
	typed := alternate(func(c *clientCounters) error {
		if s := c.Stats(); s.Idle != 2002 {
			return errNumber
		}
		return nil
	})
	return againstFresh(e, typed, "typed")
}

func againstFresh(e effort, ours measure.Op, name string) (outcome, error) {
	allocs, err := measure.Allocs(ours, e.Allocs)
	if err != nil {
		return outcome{}, err
	}
	res, err := measure.Interleave(e.plan(), measure.Ratio,
		measure.Serial(ours, e.Garbage), measure.Serial(alternate(readFresh), e.Garbage))
	return compared(res, allocs, name, "fresh map"), err
}
