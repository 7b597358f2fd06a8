// Package arrivals holds the processes by which an experiment's requests arrive in
// virtual time: regular, random, bursty, following a curve of rates. It knows nothing
// of what becomes of them. A closed loop, where the next request waits for the last
// answer, is the simulator's.
package arrivals

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/gaia-host/gaia/host/experiment/dist"
)

// Process gives arrival times, in ns from the start of its scenario, not falling.
type Process interface {
	// Next returns the time of the next arrivals and how many there are at once: 0 where
	// it looked so far and found none yet. false: there are no more.
	Next(rng *rand.Rand) (at int64, n int, ok bool)
}

// Config names a process and its parameters. Rates are per second.
type Config struct {
	Kind   string // one of Kinds
	Rate   float64
	Peak   float64       // diurnal, flash: the highest rate
	Period time.Duration // diurnal
	At     time.Duration // flash: when it begins
	Ramp   time.Duration // flash: from rate to peak, and back
	Hold   time.Duration // flash: at the peak
	On     time.Duration // onOff: mean length of a burst
	Off    time.Duration // onOff: mean length of a pause
	Alpha  float64       // pareto: tail index of the gaps, more than 1
	Size   dist.Dist     // batch: how many at once
	Stages []Stage       // ramping
}

// Stage moves the rate on a straight line to Target in Duration.
type Stage struct {
	Target   float64
	Duration time.Duration
}

// Kinds lists the kinds of processes.
func Kinds() []string {
	return []string{"constant", "poisson", "ramping", "diurnal", "onOff", "pareto", "flash", "batch"}
}

// Bounds of what one process may be.
const (
	maxRate  = 1e7                   // a second of virtual time
	maxBatch = 1e6                   // at once
	maxSpan  = 1000 * 24 * time.Hour // of any time, and of all stages together
	// maxLooks is how far a call of Next looks through a time in which nobody comes: a
	// rate that is low after it was high takes for ever else.
	maxLooks = 1000
)

func checkRate(name string, v float64) error {
	if math.IsNaN(v) || v < 0 || v > maxRate {
		return fmt.Errorf("%s: want 0 to %.0f a second, got %v", name, maxRate, v)
	}
	return nil
}

// New returns the process of c.
func New(c Config) (Process, error) {
	if err := errors.Join(checkRate("rate", c.Rate), checkRate("peak", c.Peak)); err != nil {
		return nil, err
	}
	for _, d := range []time.Duration{c.Period, c.At, c.Ramp, c.Hold, c.On, c.Off} {
		if d < 0 || d > maxSpan {
			return nil, fmt.Errorf("%s: want times of 0 to %v, got %v", c.Kind, maxSpan, d)
		}
	}
	positive := func(name string, ds ...time.Duration) error {
		for _, d := range ds {
			if d <= 0 {
				return fmt.Errorf("%s: %s must be more than 0", c.Kind, name)
			}
		}
		return nil
	}
	switch c.Kind {
	case "constant":
		return &regular{rate: c.Rate, size: nil}, nil
	case "poisson":
		return &thinned{most: c.Rate}, nil
	case "batch":
		return &regular{rate: c.Rate, size: &c.Size, random: true}, nil
	case "ramping":
		return ramping(c)
	case "diurnal":
		if err := positive("period", c.Period); err != nil {
			return nil, err
		}
		mid, half, w := (c.Rate+c.Peak)/2, (c.Peak-c.Rate)/2, 2*math.Pi/float64(c.Period)
		return &thinned{most: max(c.Rate, c.Peak), rate: func(at int64) float64 { return mid - half*math.Cos(w*float64(at)) }}, nil
	case "flash":
		return &thinned{most: max(c.Rate, c.Peak), rate: c.flash}, nil
	case "onOff":
		if err := positive("on and off", c.On, c.Off); err != nil {
			return nil, err
		}
		return &onOff{rate: c.Rate, on: float64(c.On), off: float64(c.Off)}, nil
	case "pareto":
		if !(c.Alpha > 1) {
			return nil, errors.New("pareto: alpha must be more than 1, or the gaps have no mean")
		}
		if c.Rate == 0 {
			return &regular{}, nil
		}
		gap, err := dist.Pareto(float64(time.Second)/c.Rate*(c.Alpha-1)/c.Alpha, c.Alpha, 0)
		return &renewal{gap: gap}, err
	}
	return nil, fmt.Errorf("unknown arrivals %q (want one of %v)", c.Kind, Kinds())
}

// gap is an exponential gap of a Poisson process, ns.
func gap(rng *rand.Rand, rate float64) float64 { return rng.ExpFloat64() / rate * float64(time.Second) }

// regular arrivals come at equal gaps, or, random, at exponential ones.
type regular struct {
	rate   float64
	size   *dist.Dist // nil: one at once
	random bool
	at     float64
	begun  bool
}

func (p *regular) Next(rng *rand.Rand) (int64, int, bool) {
	if p.rate == 0 {
		return 0, 0, false
	}
	switch {
	case p.random:
		p.at += gap(rng, p.rate)
	case p.begun:
		p.at += float64(time.Second) / p.rate
	}
	p.begun = true
	n := 1
	if p.size != nil {
		n = max(1, int(min(p.size.At(rng.Float64())+0.5, maxBatch)))
	}
	return int64(p.at), n, p.at < math.MaxInt64
}

// thinned is a Poisson process whose rate changes with time, by thinning one of the
// highest rate (Lewis and Shedler, 1979).
type thinned struct {
	most float64
	rate func(at int64) float64 // nil: most
	end  int64                  // 0 never
	at   float64
}

func (p *thinned) Next(rng *rand.Rand) (int64, int, bool) {
	if p.most == 0 {
		return 0, 0, false
	}
	for range maxLooks {
		p.at += gap(rng, p.most)
		if p.at >= math.MaxInt64 || p.end > 0 && p.at > float64(p.end) {
			return 0, 0, false
		}
		at, u := int64(p.at), rng.Float64()
		if p.rate == nil || u*p.most < p.rate(at) {
			return at, 1, true
		}
	}
	return int64(p.at), 0, true
}

func ramping(c Config) (Process, error) {
	if len(c.Stages) == 0 {
		return nil, errors.New("ramping: want at least one stage")
	}
	most, end := c.Rate, time.Duration(0)
	for i, s := range c.Stages {
		if err := checkRate("target", s.Target); err != nil {
			return nil, fmt.Errorf("stages[%d]: %w", i, err)
		}
		if s.Duration < 0 || s.Duration > maxSpan-end {
			return nil, fmt.Errorf("stages[%d]: want durations of 0 or more, and of %v at most together", i, maxSpan)
		}
		most, end = max(most, s.Target), end+s.Duration
	}
	stages, start := c.Stages, c.Rate
	return &thinned{most: most, end: int64(end), rate: func(at int64) float64 {
		from, left := start, time.Duration(at)
		for _, s := range stages {
			if left < s.Duration {
				return from + (s.Target-from)*float64(left)/float64(s.Duration)
			}
			from, left = s.Target, left-s.Duration
		}
		return from
	}}, nil
}

// flash is the rate of a flash crowd.
func (c *Config) flash(at int64) float64 {
	t := time.Duration(at) - c.At
	up, down := c.Ramp, c.Ramp+c.Hold
	switch {
	case t < 0 || t > down+c.Ramp:
		return c.Rate
	case t < up:
		return c.Rate + (c.Peak-c.Rate)*float64(t)/float64(c.Ramp)
	case t <= down:
		return c.Peak
	}
	return c.Peak - (c.Peak-c.Rate)*float64(t-down)/float64(c.Ramp)
}

// onOff is a Poisson process that pauses: bursts and pauses of exponential lengths.
type onOff struct {
	rate, on, off float64
	at, until     float64
}

func (p *onOff) Next(rng *rand.Rand) (int64, int, bool) {
	if p.rate == 0 {
		return 0, 0, false
	}
	if p.until == 0 {
		p.until = rng.ExpFloat64() * p.on
	}
	p.at += gap(rng, p.rate)
	for looks := 0; p.at > p.until; looks++ { // the process has no memory: what is left of the gap starts anew after the pause
		p.at = p.until + rng.ExpFloat64()*p.off
		if p.until = p.at + rng.ExpFloat64()*p.on; looks == maxLooks {
			return int64(p.at), 0, p.at < math.MaxInt64
		}
		p.at += gap(rng, p.rate)
	}
	return int64(p.at), 1, p.at < math.MaxInt64
}

// renewal arrivals have independent gaps of one distribution.
type renewal struct {
	gap dist.Dist
	at  float64
}

func (p *renewal) Next(rng *rand.Rand) (int64, int, bool) {
	p.at += p.gap.At(rng.Float64())
	return int64(p.at), 1, p.at < math.MaxInt64
}
