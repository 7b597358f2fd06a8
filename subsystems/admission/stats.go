package admission

import (
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
)

// counters are the numbers of a Core that change where its mutex is not held. One
// operation may make several attempts.
type counters struct {
	started, retried, unretried, waits, upstream429 atomic.Uint64
	breakerOpened                                   atomic.Uint64
	denied                                          [kinds]atomic.Uint64
	waitNanos, waiting                              atomic.Int64
}

// ends are those that change where the mutex is held anyway, which guards them.
type ends struct {
	requests, succeeded, failed, canceled uint64
	inFlight                              int64
}

// Stats are the numbers of a Core at one moment.
type Stats struct {
	Requests      uint64        // operations begun
	Started       uint64        // attempts whose action started
	Succeeded     uint64        // of them, those that ended well
	Failed        uint64        // of them, those that failed: 5xx and transport errors
	Canceled      uint64        // operations whose caller left
	Retried       uint64        // attempts after the first
	Unretried     uint64        // retries that the budget refused
	Waits         uint64        // waits begun
	Upstream429   uint64        // answers of status 429
	BreakerOpened uint64        // times a breaker opened
	Denied        [kinds]uint64 // by Kind
	WaitTime      time.Duration // sum of all waits that ended
	InFlight      int64         // attempts let go and not ended
	Queued        int64         // operations waiting, for a time or a slot
	BreakersOpen  int64         // keys that are not let through freely
	Keys          int64         // keys whose live numbers are kept
}

// AllDenied is the sum of Denied.
func (s *Stats) AllDenied() uint64 {
	var n uint64
	for _, d := range s.Denied {
		n += d
	}
	return n
}

// Kinds lists the kinds of denial in the order of Stats.Denied.
func Kinds() []Kind {
	ks := make([]Kind, kinds)
	for i := range ks {
		ks[i] = Kind(i)
	}
	return ks
}

// Stats reads the numbers. It allocates nothing.
func (c *Core) Stats() Stats {
	n := &c.counts
	s := Stats{
		Started: n.started.Load(), Retried: n.retried.Load(), Unretried: n.unretried.Load(), Waits: n.waits.Load(),
		Upstream429: n.upstream429.Load(), BreakerOpened: n.breakerOpened.Load(), WaitTime: time.Duration(n.waitNanos.Load()),
	}
	for k := range s.Denied {
		s.Denied[k] = n.denied[k].Load()
	}
	c.mu.Lock()
	e := &c.ends
	s.Requests, s.Succeeded, s.Failed, s.Canceled, s.InFlight = e.requests, e.succeeded, e.failed, e.canceled, e.inFlight
	s.Queued = n.waiting.Load() + int64(c.queued)
	s.Keys = int64(len(c.keys.byKey))
	s.BreakersOpen = c.keys.broken.Load()
	c.mu.Unlock()
	return s
}

// Latency is the histogram of attempts, from the start of the action to its end; nil
// of a Core that is Alone.
func (c *Core) Latency() *metrics.Histogram { return c.latency }

// Fields describes what AppendValues appends, for the schema of a subsystem.
func Fields() []metrics.Field {
	count := func(name, help string) metrics.Field {
		return metrics.Field{Name: name, Help: help, Kind: metrics.Counter}
	}
	gauge := func(name, help string) metrics.Field {
		return metrics.Field{Name: name, Help: help, Kind: metrics.Gauge}
	}
	fields := []metrics.Field{
		count("requests_total", "Operations begun."),
		count("started_total", "Attempts whose action started."),
		count("succeeded_total", "Attempts that ended well."),
		count("failed_total", "Attempts that failed: answers of 5xx and transport errors."),
		count("canceled_total", "Operations whose caller left."),
		count("denied_total", "Operations denied, for whatever reason."),
	}
	for _, k := range Kinds() {
		fields = append(fields, count("denied_"+k.String()+"_total", "Operations denied, of the kind "+k.String()+"."))
	}
	return append(fields,
		count("retried_total", "Attempts after the first."),
		count("retry_budget_spent_total", "Retries that the budget refused."),
		count("waited_total", "Waits begun."),
		count("wait_seconds_total", "Time spent in waits that ended."),
		count("upstream_429_total", "Answers of status 429."),
		count("breaker_opened_total", "Times a breaker opened."),
		gauge("in_flight", "Attempts under way."),
		gauge("queued", "Operations waiting, for a time or a slot."),
		gauge("breaker_open", "Keys that a breaker does not let through freely."),
		gauge("keys", "Keys whose live numbers are kept."),
	)
}

// AppendValues appends one value for each of Fields, in their order.
func (c *Core) AppendValues(dst []float64) []float64 {
	s := c.Stats()
	dst = append(dst, float64(s.Requests), float64(s.Started), float64(s.Succeeded), float64(s.Failed),
		float64(s.Canceled), float64(s.AllDenied()))
	for _, n := range s.Denied {
		dst = append(dst, float64(n))
	}
	return append(dst, float64(s.Retried), float64(s.Unretried), float64(s.Waits), s.WaitTime.Seconds(),
		float64(s.Upstream429), float64(s.BreakerOpened),
		float64(s.InFlight), float64(s.Queued), float64(s.BreakersOpen), float64(s.Keys))
}
