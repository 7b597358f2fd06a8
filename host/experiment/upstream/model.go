// Package upstream models the servers that an experiment sends to: so many at a time
// with a queue before them (M/G/c), a distribution of service times, changes of
// capacity, pauses, bursts of errors, and limits of their own that answer 429.
//
// A model is a function of the clock handed to it. It keeps no events: it says when a
// job will be done, and the simulator comes back then.
package upstream

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gaia-host/gaia/host/experiment/dist"
)

// Config describes a model. Times count from the start of the experiment.
type Config struct {
	Servers int       // jobs at a time; 0 is no bound
	Queue   int       // jobs that wait for a server; 0 none, below 0 no bound
	Latency dist.Dist // service time, ms
	Refusal time.Duration
	Steps   []Step
	Pauses  []Span
	Errors  []Errors
	Limits  []Limit
	Style   string // one of Styles; "" is StyleRetryAfter
	Weight  int    // of the balancer's choice
}

// Step changes the capacity at a time. A Servers of 0 leaves their number.
type Step struct {
	At      time.Duration
	Servers int
	Speed   float64 // of the service, 1 as configured; 0 leaves it
}

// Span is a time in which no work is done: a pause of a garbage collector, say.
type Span struct{ At, For time.Duration }

// Errors is a time in which a share of the answers fails.
type Errors struct {
	At, For time.Duration
	Share   float64
	Status  int // 0 is 500
}

// Bounds: sums of times stay in range.
const (
	maxSpan = 1000 * 24 * time.Hour
	never   = float64(1 << 62) // a time that no run reaches
	maxWork = float64(1 << 60) // of one job, ns
)

// Check returns every fault of c, joined.
func (c *Config) Check() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Servers < 0 || c.Weight < 0 || c.Refusal < 0 {
		bad("servers, weight and refusal must not be negative")
	}
	spans := []time.Duration{c.Refusal}
	for _, s := range c.Steps {
		spans = append(spans, s.At)
	}
	for _, s := range c.Pauses {
		spans = append(spans, s.At, s.For)
	}
	for _, e := range c.Errors {
		spans = append(spans, e.At, e.For)
	}
	for _, l := range c.Limits {
		spans = append(spans, l.Per)
	}
	if longest := slices.Max(spans); longest > maxSpan {
		bad("want no time above %v, got %v", maxSpan, longest)
	}
	if c.Style != "" && !slices.Contains(Styles(), c.Style) {
		bad("headers: unknown style %q (want one of %v)", c.Style, Styles())
	}
	for i, s := range c.Steps {
		if s.At < 0 || s.Servers < 0 || !(s.Speed >= 0) {
			bad("steps[%d]: no value may be negative", i)
		}
		if s.Servers > 0 && c.Servers == 0 {
			bad("steps[%d]: servers need servers to begin with", i)
		}
	}
	for i, s := range c.Pauses {
		if s.At < 0 || s.For <= 0 {
			bad("pauses[%d]: want at >= 0 and for > 0", i)
		}
	}
	for i, e := range c.Errors {
		if e.At < 0 || e.For <= 0 || !(e.Share >= 0 && e.Share <= 1) || e.Status != 0 && (e.Status < 100 || e.Status > 599) {
			bad("errors[%d]: want at >= 0, for > 0, share in [0, 1] and a status", i)
		}
	}
	for i := range c.Limits {
		if err := c.Limits[i].check(); err != nil {
			bad("limits[%d]: %w", i, err)
		}
	}
	return errors.Join(faults...)
}

// Job is one request at an upstream. The simulator owns it; the model writes Status
// and Fields.
type Job struct {
	Cost    int64
	Service float64 // the draws that decide it, in [0, 1)
	Fault   float64
	Status  int
	Fields  Fields
	Served  bool  // it has, or had, a server
	Owner   int32 // the simulator's
}

// Stats are what a model has seen.
type Stats struct {
	Offered, Throttled, Overflowed, Served uint64
	Busy, Queued                           int
	Overload                               time.Duration // with jobs in the queue
}

// Model is an upstream at work. It is for one goroutine.
type Model struct {
	c        Config
	start    int64
	limits   []*hidden
	rates    []segment // the speed over time
	queue    []*Job    // from head on
	head     int
	stats    Stats
	accounts int64
}

// segment is a time from which the work is done at a speed.
type segment struct {
	at    int64
	speed float64
}

// New returns the model of c, whose time begins at start.
func New(c Config, start int64) (*Model, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Style == "" {
		c.Style = StyleRetryAfter
	}
	m := &Model{c: c, start: start, accounts: start}
	m.c.Steps = slices.Clone(c.Steps)
	slices.SortStableFunc(m.c.Steps, func(a, b Step) int { return int(a.At - b.At) })
	for _, l := range c.Limits {
		m.limits = append(m.limits, newHidden(l))
	}
	m.rates = m.speeds()
	return m, nil
}

// speeds lays steps and pauses side by side.
func (m *Model) speeds() []segment {
	times := []int64{m.start}
	for _, s := range m.c.Steps {
		times = append(times, m.start+int64(s.At))
	}
	for _, p := range m.c.Pauses {
		times = append(times, m.start+int64(p.At), m.start+int64(p.At+p.For))
	}
	slices.Sort(times)
	var segments []segment
	for _, at := range slices.Compact(times) {
		speed := 1.0
		for _, s := range m.c.Steps {
			if m.start+int64(s.At) <= at && s.Speed > 0 {
				speed = s.Speed
			}
		}
		for _, p := range m.c.Pauses {
			if from := m.start + int64(p.At); from <= at && at < from+int64(p.For) {
				speed = 0
			}
		}
		segments = append(segments, segment{at, speed})
	}
	return segments
}

// finish is when work that begins at now is done.
func (m *Model) finish(now int64, work float64) int64 {
	i := len(m.rates) - 1
	for i > 0 && m.rates[i].at > now {
		i--
	}
	at := float64(now)
	for ; i < len(m.rates)-1; i++ {
		room := (float64(m.rates[i+1].at) - at) * m.rates[i].speed
		if work <= room {
			break
		}
		work -= room
		at = float64(m.rates[i+1].at)
	}
	return int64(min(at+work/m.rates[i].speed, never))
}

// Servers is how many jobs run at a time at now; 0 is no bound.
func (m *Model) Servers(now int64) int {
	n := m.c.Servers
	for _, s := range m.c.Steps {
		if m.start+int64(s.At) > now {
			break
		}
		if s.Servers > 0 {
			n = s.Servers
		}
	}
	return n
}

// Changes lists the times at which Start may find room without a job having ended.
func (m *Model) Changes() []int64 {
	var at []int64
	for _, s := range m.c.Steps {
		if s.Servers > 0 {
			at = append(at, m.start+int64(s.At))
		}
	}
	return at
}

// Arrive takes a job in. It returns when the job's answer comes; false: it waits for
// a server, and Start will give it back.
func (m *Model) Arrive(now int64, j *Job) (at int64, ok bool) {
	m.account(now)
	m.stats.Offered++
	j.Fields, j.Served = Fields{style: m.c.Style}, false
	wait := m.admit(now, j)
	if len(m.limits) > 0 {
		l := m.limits[0]
		j.Fields.limit, j.Fields.remaining, j.Fields.window, j.Fields.reset = l.Quota, l.remaining(now), l.Per, l.reset(now)
	}
	if wait > 0 {
		m.stats.Throttled++
		j.Status, j.Fields.retryAfter = 429, wait
		return now + int64(m.c.Refusal), true
	}
	j.Status = m.status(now, j)
	n := m.Servers(now)
	if n == 0 || m.stats.Busy < n {
		return m.begin(now, j), true
	}
	if waiting := len(m.queue) - m.head; m.c.Queue >= 0 && waiting >= m.c.Queue {
		m.stats.Overflowed++
		j.Status = 503
		return now + int64(m.c.Refusal), true
	}
	m.queue = append(m.queue, j)
	m.stats.Queued++
	return 0, false
}

// admit takes the job's units from every limit, or from none, and returns how long
// they are refused.
func (m *Model) admit(now int64, j *Job) (wait time.Duration) {
	for _, l := range m.limits {
		wait = max(wait, l.ask(now, l.units(j.Cost)))
	}
	if wait == 0 {
		for _, l := range m.limits {
			l.take(now, l.units(j.Cost))
		}
	}
	return wait
}

func (m *Model) status(now int64, j *Job) int {
	for _, e := range m.c.Errors {
		if from := m.start + int64(e.At); from <= now && now < from+int64(e.For) && j.Fault < e.Share {
			if e.Status == 0 {
				return 500
			}
			return e.Status
		}
	}
	return 200
}

// begin gives the job a server and returns when it is done.
func (m *Model) begin(now int64, j *Job) int64 {
	work := min(m.c.Latency.At(j.Service)*float64(time.Millisecond), maxWork)
	j.Served = true
	m.stats.Busy++
	return m.finish(now, work)
}

// Done ends a job that was Served: its server is free.
func (m *Model) Done(now int64) {
	m.account(now)
	m.stats.Busy--
	m.stats.Served++
}

// Start gives the next waiting job a server, if there is one free; nil if not.
func (m *Model) Start(now int64) (j *Job, at int64) {
	m.account(now)
	if m.head == len(m.queue) || m.c.Servers > 0 && m.stats.Busy >= m.Servers(now) {
		return nil, 0
	}
	j = m.queue[m.head]
	m.queue[m.head] = nil
	m.head++
	if m.head == len(m.queue) {
		m.queue, m.head = m.queue[:0], 0
	} else if m.head > 1024 && m.head > len(m.queue)/2 {
		m.queue = m.queue[:copy(m.queue, m.queue[m.head:])]
		m.head = 0
	}
	m.stats.Queued--
	return j, m.begin(now, j)
}

// QuotaUsed is the largest share of a limit's quota that was let through until now,
// 0 without limits. A bucket that began full may come to more than 1.
func (m *Model) QuotaUsed(now int64) float64 {
	most := 0.0
	for _, l := range m.limits {
		if allowed := float64(l.Quota) * float64(now-m.start) / float64(l.Per); allowed > 0 {
			most = max(most, l.passed/allowed)
		}
	}
	return most
}

// account adds the time since the last event.
func (m *Model) account(now int64) {
	if m.stats.Queued > 0 {
		m.stats.Overload += time.Duration(now - m.accounts)
	}
	m.accounts = now
}

// Stats returns what the model has seen until now.
func (m *Model) Stats(now int64) Stats {
	m.account(now)
	return m.stats
}
