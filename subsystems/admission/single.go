package admission

import (
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
)

// bound is a configured limit as it is in force for one key.
type bound struct {
	limit *Limit
	rate  limit.Limiter // nil: the rate is not limited
	name  string        // as explanations and RateLimit fields call it
	key   string        // that the rate counts on
}

// single makes the limits of single upstreams; those of prev go on with their counts.
func (s *settings) single(prev *settings) error {
	if len(s.Limits.Upstreams) == 0 {
		return nil
	}
	s.own = make(map[string]*bound, len(s.Limits.Upstreams))
	for id, u := range s.Limits.Upstreams {
		var before limit.Limiter
		if prev != nil && prev.own[id] != nil {
			before = prev.own[id].rate
		}
		l := u.Limit
		rate, err := s.rate(u.Name, &l, before)
		if err != nil {
			return err
		}
		s.own[id] = &bound{limit: &l, rate: rate, name: u.Name}
	}
	return nil
}

// bound is what counts key at a level: an upstream's own limit, else the level's.
func (s *settings) bound(level int, key string) bound {
	if level == levelUpstream {
		if b := s.own[key]; b != nil {
			return *b
		}
	}
	return bound{s.Limits.at(level), s.rates[level], s.names[level], key}
}

// slots is how many may run under key at a level, 0 for any number.
func (s *settings) slots(level int, key string) int64 {
	if level == levelUpstream {
		if b := s.own[key]; b != nil {
			return b.limit.Concurrency
		}
	}
	return s.Limits.at(level).Concurrency
}

// boundOf is what counts op at a level.
func (s *settings) boundOf(op *Op, level int) bound { return s.bound(level, op.gateKey(level)) }

// fillRemaining tells in view what the limits of each upstream have left: of its rate
// and of its slots the less.
func (c *Core) fillRemaining(now int64, op *Op, view []policy.Upstream) {
	s := c.set.Load()
	for i := range view {
		id := op.Group.Upstream(i).ID
		b := s.bound(levelUpstream, id)
		left := &view[i].Remaining
		if b.rate != nil {
			*left = b.rate.Peek(now, b.key, op.Req.Cost).Remaining
		}
		if most := b.limit.Concurrency; most > 0 {
			c.mu.Lock()
			if g := c.gates.byKey[levelUpstream][id]; g != nil {
				most -= g.inFlight
			}
			c.mu.Unlock()
			if most = max(most, 0); *left < 0 || most < *left {
				*left = most
			}
		}
	}
}

// levelOf is the limit of one upstream as Levels lists it.
func (s *settings) levelOf(id string) Level {
	b := s.own[id]
	return Level{Name: b.name, Limit: *b.limit, Declared: s.declared.Upstreams[id].Limit, Rate: b.rate, own: true}
}

// named is the ID of the upstream whose limit has that name.
func (s *settings) named(name string) (id string, ok bool) {
	for id, b := range s.own {
		if b.name == name {
			return id, true
		}
	}
	return "", false
}

// configuredOf is the level of b for an explanation, without its slots.
func configuredOf(now int64, b *bound) policy.Configured {
	o := policy.Configured{Name: b.name, Key: policy.Shown(b.key), Concurrency: b.limit.Concurrency}
	if b.rate != nil {
		r := b.rate.Peek(now, b.key, 0)
		o.Limit, o.Remaining, o.ResetMS = r.Limit, r.Remaining, float64(r.Reset/time.Microsecond)/1000
	}
	return o
}
