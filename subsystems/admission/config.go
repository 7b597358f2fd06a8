package admission

import (
	"errors"
	"fmt"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
)

// The levels at which configured limits count.
const (
	levelGlobal = iota
	levelKey
	levelUpstream
	levels
)

var levelNames = [levels]string{"global", "per_key", "per_upstream"}

// Config shapes the admission of one subsystem. The zero Config lets everything
// through at once, never waits and never tries again; DefaultConfig is where to
// start from.
type Config struct {
	Limits Limits
	// MaxWait bounds all waits of one operation together; 0 never waits.
	MaxWait time.Duration
	// MaxAttempts counts the first attempt too; 0 is 1.
	MaxAttempts int
	// QueueMax bounds the operations that wait for a slot; 0 lets none wait.
	QueueMax int
	// Share is asked for the limiter to count with in the place of l, the new limiter of a
	// configured rate of that name: one that several hosts share, or l. nil: l.
	Share   func(name string, l limit.Limiter) limit.Limiter
	Retry   Retry
	Breaker Breaker
}

// Limits are the configured limits of a subsystem: of all it does, of each key,
// and of each upstream (each host, where an operation has no group).
type Limits struct {
	Global, PerKey, PerUpstream Limit
	// Upstreams are limits of single upstreams of groups, by their ID: each stands in
	// the place of PerUpstream, and is counted by itself. Not to be changed.
	Upstreams map[string]UpstreamLimit
	// MaxKeys bounds the keys each of them counts; 0 is limit.DefaultMaxKeys. It
	// and WhenFull take effect with a limit's first appearance.
	MaxKeys  int
	WhenFull limit.Full
}

// Limit is one configured limit. The zero Limit limits nothing.
type Limit struct {
	Rate  float64       // units per Per; 0 does not limit the rate
	Per   time.Duration // 0 is 1s
	Burst int64         // 0 is Rate rounded up
	// MaxWait bounds the wait for the rate: 0 denies instead, below 0 (Patient)
	// waits as long as Config.MaxWait allows.
	MaxWait time.Duration
	// Concurrency is how many operations may run at once; 0 does not limit them.
	Concurrency int64
}

// UpstreamLimit is the limit of one upstream. Name is what explanations and RateLimit
// fields call it.
type UpstreamLimit struct {
	Name string
	Limit
}

// Patient is a Limit.MaxWait that waits as long as Config.MaxWait allows.
const Patient time.Duration = -1

// Retry shapes the retries. They stay below Ratio of the operations, with
// PerSecond always allowed.
type Retry struct {
	Ratio, PerSecond float64
	Base, Max        time.Duration // of the back-off, before full jitter
}

// Breaker opens for a key that keeps failing: after Consecutive failures in a row
// (0: never for that), or at Ratio of at least MinRequests in Window. After
// OpenFor it lets HalfOpen probes through; when all succeed it closes.
type Breaker struct {
	Enabled     bool
	Ratio       float64
	MinRequests int
	Consecutive int
	Window      time.Duration
	OpenFor     time.Duration
	HalfOpen    int
}

// DefaultConfig limits nothing, waits up to a minute, makes up to 4 attempts
// within a budget of a fifth, and opens a breaker for keys that mostly fail.
func DefaultConfig() Config {
	return Config{
		MaxWait:     60 * time.Second,
		MaxAttempts: 4,
		QueueMax:    10_000,
		Retry:       Retry{Ratio: 0.2, PerSecond: 10, Base: 100 * time.Millisecond, Max: 10 * time.Second},
		Breaker: Breaker{
			Enabled: true, Ratio: 0.5, MinRequests: 20, Consecutive: 5,
			Window: 10 * time.Second, OpenFor: 30 * time.Second, HalfOpen: 3,
		},
	}
}

func (l *Limits) at(level int) *Limit {
	switch level {
	case levelGlobal:
		return &l.Global
	case levelKey:
		return &l.PerKey
	}
	return &l.PerUpstream
}

// Check returns every fault of c, joined; nil if there is none.
func (c *Config) Check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	check := func(name string, l *Limit) {
		if l.Rate != 0 {
			if err := limit.TokenBucket.Check(c.params(l)); err != nil {
				fault("%s: %w", name, err)
			}
		}
		if l.Concurrency < 0 {
			fault("%s.concurrency must be 0 or more", name)
		}
	}
	for level := range levels {
		check("limits."+levelNames[level], c.Limits.at(level))
	}
	for _, u := range c.Limits.Upstreams {
		check(u.Name, &u.Limit)
	}
	if c.MaxWait < 0 || c.MaxAttempts < 0 || c.QueueMax < 0 {
		fault("max_wait, max_attempts and queue_max must be 0 or more")
	}
	if r := c.Retry; r.Ratio < 0 || r.PerSecond < 0 || r.Base < 0 || r.Max < 0 {
		fault("retry: no value may be negative")
	}
	if b := c.Breaker; b.Enabled && (b.Window <= 0 || b.OpenFor <= 0 || b.HalfOpen < 1 || b.Ratio <= 0 || b.Ratio > 1 || b.MinRequests < 1 || b.Consecutive < 0) {
		fault("breaker: window, open_for, half_open and min_requests must be more than 0, failure_ratio in (0, 1]")
	}
	return errors.Join(faults...)
}

// params are the parameters of the limiter of l.
func (c *Config) params(l *Limit) limit.Params {
	wait := l.MaxWait
	if wait < 0 {
		wait = c.MaxWait
	}
	return limit.Params{
		Rate: l.Rate, Per: l.Per, Burst: l.Burst, MaxWait: wait,
		MaxKeys: c.Limits.MaxKeys, WhenFull: c.Limits.WhenFull,
	}
}

// settings are a Config in force and the limiters made of it. Immutable.
type settings struct {
	Config
	declared Limits                // as configured, before SetLimit
	rates    [levels]limit.Limiter // nil: no limit of the rate
	names    [levels]string        // as explanations and RateLimit fields call them
	own      map[string]*bound     // limits of single upstreams, by ID; nil: none
	rated    bool                  // something limits the rate
	bounded  bool                  // something limits the concurrency
}

// newSettings makes the limiters of c; those of prev go on with their counts.
func newSettings(subsystem string, c Config, prev *settings) (*settings, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("admission: %w", err)
	}
	s := &settings{Config: c, declared: c.Limits}
	for level := range levels {
		s.names[level] = "limits." + subsystem + "." + levelNames[level]
		var before limit.Limiter
		if prev != nil {
			before = prev.rates[level]
		}
		var err error
		if s.rates[level], err = s.rate(s.names[level], c.Limits.at(level), before); err != nil {
			return nil, err
		}
	}
	return s, s.single(prev)
}

// rate is the limiter of l, nil for none: the one before, with its counts, if there was
// one.
func (s *settings) rate(name string, l *Limit, before limit.Limiter) (limit.Limiter, error) {
	s.bounded = s.bounded || l.Concurrency > 0
	if l.Rate == 0 {
		return nil, nil
	}
	s.rated = true
	var err error
	if before != nil {
		err = before.Set(s.params(l))
	} else {
		before, err = limit.New(limit.TokenBucket, s.params(l))
		if err == nil && s.Share != nil {
			before = s.Share(name, before)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("admission: %s: %w", name, err)
	}
	return before, nil
}

func (s *settings) maxAttempts() int { return max(s.MaxAttempts, 1) }

// Rates lists the limiters of the configured rates in force by name, for a snapshot
// and for explanations.
func (c *Core) Rates() map[string]limit.Limiter {
	s := c.set.Load()
	rates := map[string]limit.Limiter{}
	for level, l := range s.rates {
		if l != nil {
			rates[s.names[level]] = l
		}
	}
	for _, b := range s.own {
		if b.rate != nil {
			rates[b.name] = b.rate
		}
	}
	return rates
}
