package admission

import (
	"errors"
	"fmt"
	"maps"

	"github.com/gaia-host/gaia/extensions/limit"
)

// ErrNoLevel is the error of a name that is no configured limit of the subsystem.
var ErrNoLevel = errors.New("admission: no such limit")

// Level is a configured limit as it is in force.
type Level struct {
	Name     string        // "limits.SUBSYSTEM.global", per_key or per_upstream
	Limit    Limit         // in force
	Declared Limit         // as configured; another than Limit after SetLimit
	Rate     limit.Limiter // nil: the rate is not limited
	own      bool          // of one upstream
}

// Global reports whether the level counts everything under one key, the empty one.
func (l *Level) Global() bool { return l.own || len(l.Name) > 7 && l.Name[len(l.Name)-7:] == ".global" }

// Levels lists the configured limits from the widest to the narrowest, those that limit
// nothing too, and then those of single upstreams, in no order.
func (c *Core) Levels() []Level {
	s := c.set.Load()
	list := make([]Level, 0, levels)
	for level := range levels {
		list = append(list, Level{Name: s.names[level], Limit: *s.Limits.at(level), Declared: *s.declared.at(level), Rate: s.rates[level]})
	}
	for id := range s.own {
		list = append(list, s.levelOf(id))
	}
	return list
}

// Slot is how many operations run under a key of a level, and how many wait for it.
type Slot struct {
	Key               string
	InFlight, Waiting int64
}

// Slots lists the keys of a level that somebody runs under or waits for, in no order.
// A level without a bound on concurrency has none.
func (c *Core) Slots(name string) []Slot {
	s := c.set.Load()
	level := s.level(name)
	id, own := "", false
	if level < 0 {
		if id, own = s.named(name); !own {
			return nil
		}
		level = levelUpstream
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Slot, 0, len(c.gates.byKey[level]))
	for key, g := range c.gates.byKey[level] {
		if own {
			if key != id {
				continue
			}
			key = "" // one for all it does
		} else if level == levelUpstream && s.own[key] != nil {
			continue
		}
		list = append(list, Slot{Key: key, InFlight: g.inFlight, Waiting: int64(g.waiting)})
	}
	return list
}

// SetLimit changes one configured limit at run time; change gets the one in force.
// The counts are kept. It holds until SetConfig brings another for that level. It
// appends to dst the queued operations that may go now, for Signal. On an error
// nothing has changed.
func (c *Core) SetLimit(now int64, name string, change func(Limit) Limit, dst []*Op) ([]*Op, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	prev := c.set.Load()
	cfg := prev.Config
	if level := prev.level(name); level >= 0 {
		*cfg.Limits.at(level) = change(*cfg.Limits.at(level))
	} else if id, ok := prev.named(name); ok {
		u := cfg.Limits.Upstreams[id]
		u.Limit = change(u.Limit)
		cfg.Limits.Upstreams = maps.Clone(cfg.Limits.Upstreams)
		cfg.Limits.Upstreams[id] = u
	} else {
		return dst, fmt.Errorf("%w: %q", ErrNoLevel, name)
	}
	s, err := newSettings(c.subsystem, cfg, prev)
	if err != nil {
		return dst, err
	}
	s.declared = prev.declared
	return c.putLocked(now, s, dst), nil
}

// Signal wakes the goroutines of operations that were let go, for callers without a
// Driver.
func Signal(ops []*Op) { signal(ops) }

// level is the place of a name among the levels, -1 for none.
func (s *settings) level(name string) int {
	for level, n := range s.names {
		if n == name {
			return level
		}
	}
	return -1
}

// keepAltered puts into c the limits that were changed at run time and whose
// declaration is the same as before.
func (c *Config) keepAltered(prev *settings) {
	if c.Limits.MaxKeys != prev.declared.MaxKeys || c.Limits.WhenFull != prev.declared.WhenFull {
		return
	}
	for level := range levels {
		if *c.Limits.at(level) == *prev.declared.at(level) {
			*c.Limits.at(level) = *prev.Limits.at(level)
		}
	}
	ups := maps.Clone(c.Limits.Upstreams)
	for id, u := range ups {
		if u == prev.declared.Upstreams[id] {
			ups[id] = prev.Limits.Upstreams[id]
		}
	}
	c.Limits.Upstreams = ups
}
