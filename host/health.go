package host

import (
	"fmt"
	"sync"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// How /health judges a subsystem by its work of the last minute.
const (
	healthWindow = 60 // seconds
	// healthSample is the least number of attempts that say anything: no traffic,
	// or hardly any, is healthy.
	healthSample = 20
	// degradedRatio of the attempts failed: somebody should look. The rest works.
	degradedRatio = 0.5
	// failingRatio of the attempts failed: nothing of the kind works here. For the
	// API subsystem it never says so: there the upstreams fail, and gaia does not.
	failingRatio = 0.95
	// loopLate is how long the host's own loop may be silent.
	loopLate = 15 * time.Second
)

// tally is what a subsystem had done at a moment.
type tally struct {
	at                int64
	succeeded, failed uint64
	latency           metrics.HistogramSnapshot
}

func (t *tally) read(now int64, c *admission.Core) {
	s := c.Stats()
	t.at, t.succeeded, t.failed = now, s.Succeeded, s.Failed
	c.Latency().Snapshot(&t.latency)
}

// recent remembers the tallies of the last minute, one a second. It is safe for
// concurrent use.
type recent struct {
	mu    sync.Mutex
	ring  [healthWindow]tally
	begun tally // of the start
	n     int   // tallies taken
}

// take adds the tally of now.
func (r *recent) take(now int64, c *admission.Core) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 && r.begun.at == 0 {
		r.begun.read(now, c)
		return
	}
	r.ring[r.n%healthWindow].read(now, c)
	r.n++
}

// stretch is what was done in a stretch of time.
type stretch struct {
	succeeded, failed uint64
	seconds           float64
	bounds            []time.Duration
	buckets           []uint64 // cumulative
	count             uint64
}

// last is what was done since the oldest tally, up to now.
func (r *recent) last(now int64, c *admission.Core) stretch {
	var t tally
	t.read(now, c)
	r.mu.Lock()
	defer r.mu.Unlock()
	from := &r.begun
	if r.n >= healthWindow {
		from = &r.ring[r.n%healthWindow]
	}
	s := stretch{succeeded: t.succeeded - from.succeeded, failed: t.failed - from.failed, seconds: time.Duration(now - from.at).Seconds(),
		bounds: t.latency.Bounds, buckets: make([]uint64, len(t.latency.Buckets)), count: t.latency.Count - from.latency.Count}
	for i, n := range t.latency.Buckets {
		s.buckets[i] = n
		if i < len(from.latency.Buckets) {
			s.buckets[i] -= from.latency.Buckets[i]
		}
	}
	return s
}

func (s *stretch) attempts() uint64 { return s.succeeded + s.failed }

func (s *stretch) errorRate() float64 { return float64(s.failed) / float64(max(s.attempts(), 1)) }

// quantile is the time within which the part q ended, interpolated in its bucket.
// Beyond the last bound it is that bound.
func (s *stretch) quantile(q float64) time.Duration {
	rank, below, low := q*float64(s.count), uint64(0), time.Duration(0)
	for i, upTo := range s.buckets {
		if float64(upTo) >= rank && upTo > below {
			part := (rank - float64(below)) / float64(upTo-below)
			return low + time.Duration(float64(s.bounds[i]-low)*part)
		}
		below, low = upTo, s.bounds[i]
	}
	return low
}

// partHealth judges one subsystem: by its own loops, by how its work of the last
// minute ended, and by the targets of the configuration.
func (h *Host) partHealth(p *part) control.Health {
	own := control.Health{Status: control.HealthOK}
	var failing []string
	if err := h.Ready(); err != nil {
		failing = append(failing, err.Error())
	}
	if p.health != nil {
		bad, poor := p.health()
		failing, own.Reasons = append(failing, bad...), poor
	}
	if p.notes != nil {
		own.Notes = p.notes()
	}
	now := h.clock()
	done := p.recent.last(now, p.Core())
	if n := done.attempts(); n >= healthSample {
		rate := done.errorRate()
		reason := fmt.Sprintf("%.0f %% of %d attempts in the last %.0f s failed", rate*100, n, done.seconds)
		switch {
		case rate >= failingRatio && p.name() != policy.SubsystemAPI:
			failing = append(failing, reason)
		case rate >= degradedRatio:
			own.Reasons = append(own.Reasons, reason)
		}
		stats := p.Core().Stats()
		own.Reasons = append(own.Reasons, missed(&done, h.cfg.Load().Targets[p.name()], stats.Queued > 0)...)
	}
	switch {
	case len(failing) > 0:
		own.Status, own.Reasons = control.HealthFailing, append(failing, own.Reasons...)
	case len(own.Reasons) > 0:
		own.Status = control.HealthDegraded
	}
	return own
}

// missed says which targets were not met. A throughput is missed only while
// something waits: who has little to do does little.
func missed(done *stretch, t config.Target, waiting bool) []string {
	var reasons []string
	for _, q := range []struct {
		name  string
		part  float64
		bound config.Duration
	}{{"p95", 0.95, t.P95}, {"p99", 0.99, t.P99}} {
		if got := done.quantile(q.part); q.bound > 0 && got > q.bound.Std() {
			reasons = append(reasons, fmt.Sprintf("%s is %v, the target is %v", q.name, got.Round(time.Microsecond*10), q.bound))
		}
	}
	if got := done.errorRate(); t.ErrorRate > 0 && got > t.ErrorRate {
		reasons = append(reasons, fmt.Sprintf("error_rate is %.3g, the target is %.3g", got, t.ErrorRate))
	}
	if got := float64(done.attempts()) / max(done.seconds, 1); t.Throughput > 0 && waiting && got < t.Throughput {
		reasons = append(reasons, fmt.Sprintf("throughput is %.3g/s while operations wait, the target is %.3g/s", got, t.Throughput))
	}
	return reasons
}

// loopHealth is a reason where the host's own loop no longer runs, "" while it does.
func (h *Host) loopHealth() string {
	last := h.beat.Load()
	if late := time.Duration(h.clock() - last); last != 0 && h.ready.Load() && late > loopLate {
		return fmt.Sprintf("the host's own loop has not run for %v", late.Round(time.Second))
	}
	return ""
}

// takeTallies remembers what every subsystem has done until now.
func (h *Host) takeTallies() {
	now := h.clock()
	h.beat.Store(now)
	for i := range h.parts {
		h.parts[i].recent.take(now, h.parts[i].Core())
	}
}
