package metrics

import (
	"sync/atomic"
	"testing"
)

// poolStats is what a subsystem's Stats() returns: a typed value.
type poolStats struct {
	Requests, Succeeded, Failed, Denied, Delayed, Retried, Bytes uint64
	InFlight, Queued, Idle                                       int64
	WaitSeconds, LatencySeconds                                  float64
}

// poolCounters is an example of a subsystem: it counts with atomics, and is a Source.
type poolCounters struct {
	schema                                                       *Schema
	requests, succeeded, failed, denied, delayed, retried, bytes atomic.Uint64
	inFlight, queued, idle                                       atomic.Int64
	wait, latency                                                atomicFloat
}

func newPoolCounters(subsystem string) *poolCounters {
	return &poolCounters{schema: NewSchema(subsystem,
		Field{"requests_total", "Requests that began.", Counter},
		Field{"succeeded_total", "Requests answered below 400.", Counter},
		Field{"failed_total", "Requests that failed.", Counter},
		Field{"denied_total", "Requests that a policy or limit denied.", Counter},
		Field{"delayed_total", "Requests that waited.", Counter},
		Field{"retried_total", "Attempts after the first.", Counter},
		Field{"bytes_total", "Bytes of bodies.", Counter},
		Field{"in_flight", "Requests under way.", Gauge},
		Field{"queued", "Requests that wait.", Gauge},
		Field{"idle", "Idle connections.", Gauge},
		Field{"wait_seconds_total", "Time spent waiting.", Counter},
		Field{"latency_seconds", "Mean latency.", Gauge},
	)}
}

func (c *poolCounters) Schema() *Schema { return c.schema }

// Stats gives the present numbers.
func (c *poolCounters) Stats() poolStats {
	return poolStats{
		Requests: c.requests.Load(), Succeeded: c.succeeded.Load(), Failed: c.failed.Load(), Denied: c.denied.Load(),
		Delayed: c.delayed.Load(), Retried: c.retried.Load(), Bytes: c.bytes.Load(),
		InFlight: c.inFlight.Load(), Queued: c.queued.Load(), Idle: c.idle.Load(),
		WaitSeconds: c.wait.load(), LatencySeconds: c.latency.load(),
	}
}

func (c *poolCounters) Read(dst []float64) []float64 {
	s := c.Stats()
	return append(dst[:0], float64(s.Requests), float64(s.Succeeded), float64(s.Failed), float64(s.Denied),
		float64(s.Delayed), float64(s.Retried), float64(s.Bytes),
		float64(s.InFlight), float64(s.Queued), float64(s.Idle), s.WaitSeconds, s.LatencySeconds)
}

// naiveMap is what the pooled map replaces: a fresh map of boxed values at each call.
func (c *poolCounters) naiveMap() map[string]any {
	s := c.Stats()
	return map[string]any{
		"requests_total": s.Requests, "succeeded_total": s.Succeeded, "failed_total": s.Failed, "denied_total": s.Denied,
		"delayed_total": s.Delayed, "retried_total": s.Retried, "bytes_total": s.Bytes,
		"in_flight": s.InFlight, "queued": s.Queued, "idle": s.Idle,
		"wait_seconds_total": s.WaitSeconds, "latency_seconds": s.LatencySeconds,
	}
}

// busyCounters is a source whose numbers are all different and none is small enough to be boxed without allocation.
func busyCounters(subsystem string) *poolCounters {
	c := newPoolCounters(subsystem)
	for i, n := range []*atomic.Uint64{&c.requests, &c.succeeded, &c.failed, &c.denied, &c.delayed, &c.retried, &c.bytes} {
		n.Store(uint64(1000 + i))
	}
	for i, n := range []*atomic.Int64{&c.inFlight, &c.queued, &c.idle} {
		n.Store(int64(2000 + i))
	}
	c.wait.store(12.75)
	c.latency.store(0.0425)
	return c
}

// literal is a source of fixed values.
type literal struct {
	schema *Schema
	values []float64
}

func (l *literal) Schema() *Schema              { return l.schema }
func (l *literal) Read(dst []float64) []float64 { return append(dst[:0], l.values...) }

// wantPanic fails the test unless fn panics with exactly this text.
func wantPanic(t *testing.T, want string, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != want {
			t.Errorf("panic %v, want %q", got, want)
		}
	}()
	fn()
}
