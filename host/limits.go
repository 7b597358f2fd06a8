package host

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// inForce is one limiter in force: a policy's, or one half of a configured limit.
type inForce struct {
	name string
	kind limit.Kind
	lim  limit.Limiter    // nil: a configured concurrency
	own  *natives.Limiter // nil: a configured limit
	core *admission.Core  // of a configured one
	conf admission.Level
}

// limiters lists those in force by name and kind.
func (h *Host) limiters() []inForce {
	var all []inForce
	for _, l := range h.natives.Limiters() {
		all = append(all, inForce{name: l.Name(), kind: l.Kind(), lim: l.Limit(), own: l})
	}
	for i := range h.parts {
		core := h.parts[i].Core()
		for _, l := range core.Levels() {
			if l.Rate != nil {
				all = append(all, inForce{name: l.Name, kind: l.Rate.Kind(), lim: l.Rate, core: core, conf: l})
			}
			if l.Limit.Concurrency > 0 {
				all = append(all, inForce{name: l.Name, kind: limit.Concurrency, core: core, conf: l})
			}
		}
	}
	slices.SortFunc(all, func(a, b inForce) int { return a.compare(b.name, b.kind.String()) })
	return all
}

func (l *inForce) compare(name, kind string) int {
	return cmp.Or(strings.Compare(l.name, name), strings.Compare(l.kind.String(), kind))
}

// describe is the limiter without its keys.
func (l *inForce) describe() control.Limiter {
	d := control.Limiter{Name: l.name, Kind: l.kind.String(), Keys: []control.LimitKey{}}
	switch {
	case l.own != nil:
		p := l.lim.Params()
		d.Policies, d.Generation, d.Altered = l.own.Owners(), l.own.Since(), l.own.Altered()
		d.Params, d.Held = showParams(&p, paramsOf(l.kind)), l.lim.Len()
	case l.lim != nil:
		p := l.lim.Params()
		d.Params, d.Held, d.Altered = showParams(&p, []string{"rate", "per", "burst", "max_wait"}), l.lim.Len(), l.conf.Limit != l.conf.Declared
	default:
		d.Params, d.Altered = map[string]any{"concurrency": l.conf.Limit.Concurrency}, l.conf.Limit != l.conf.Declared
		d.Held = len(l.core.Slots(l.name))
	}
	return d
}

// each calls fn for every live key and its level.
func (l *inForce) each(now int64, fn func(key string, level func() control.LimitKey) bool) {
	if l.lim != nil {
		l.lim.Range(now, func(key string, _ limit.Result, paused time.Duration) bool {
			return fn(key, func() control.LimitKey {
				r := l.lim.Peek(now, key, 0) // what is left now, not after one more
				k := control.LimitKey{Limit: r.Limit, Remaining: r.Remaining, ResetMS: milliseconds(r.Reset), PausedMS: milliseconds(paused)}
				if line, ok := l.lim.(limit.Line); ok {
					k.Waiting = int64(line.Waiting(key))
				}
				if l.lim.Kind() == limit.Concurrency {
					k.InFlight = max(r.Limit-r.Remaining, 0)
				}
				return k
			})
		})
		return
	}
	most := l.conf.Limit.Concurrency
	for _, s := range l.core.Slots(l.name) {
		if !fn(s.Key, func() control.LimitKey {
			return control.LimitKey{Limit: most, Remaining: max(most-s.InFlight, 0), InFlight: s.InFlight, Waiting: s.Waiting}
		}) {
			return
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Limits shows the limiters in force and a page of their keys, in order.
func (h *Host) Limits(q control.LimitsQuery) (control.Limits, error) {
	now := h.clock()
	answer := control.Limits{Generation: h.number(), Limiters: []control.Limiter{}}
	all := h.limiters()
	if q.Limiter != "" {
		if !slices.ContainsFunc(all, func(l inForce) bool { return l.name == q.Limiter }) {
			return answer, noLimiter(q.Limiter, namesOf(all))
		}
		all = slices.DeleteFunc(all, func(l inForce) bool { return l.name != q.Limiter })
	}
	p := pick{n: cmp.Or(q.Count, control.DefaultLimitKeys)}
	if q.After != "" {
		name, kind, key, ok := parseCursor(q.After)
		if !ok {
			return answer, &control.BadRequest{Title: "after: want what next said"}
		}
		all = slices.DeleteFunc(all, func(l inForce) bool { return l.compare(name, kind) < 0 })
		if len(all) > 0 && all[0].compare(name, kind) == 0 {
			p.after = &place{0, key}
		}
	}
	for i := range all {
		all[i].each(now, func(key string, level func() control.LimitKey) bool {
			if keyFilter(q.Key).match(key) {
				p.add(i, key, level)
			}
			return true
		})
	}
	p.trim()
	fill(&answer, all, &p, q.Key != "")
	return answer, nil
}

// fill lists the limiters with their keys up to the end of the page; only those with
// keys where they are filtered.
func fill(a *control.Limits, all []inForce, p *pick, filtered bool) {
	last := len(all) - 1
	if p.more {
		end := p.rows[len(p.rows)-1]
		last = end.limiter
		a.Next = cursor(all[last].name, all[last].kind.String(), end.key)
	}
	next := 0
	for i := range all[:last+1] {
		d := all[i].describe()
		for ; next < len(p.rows) && p.rows[next].limiter == i; next++ {
			d.Keys = append(d.Keys, p.rows[next].level)
		}
		if len(d.Keys) > 0 || !filtered {
			a.Limiters = append(a.Limiters, d)
		}
	}
}

func namesOf(all []inForce) []string {
	var names []string
	for i := range all {
		names = append(names, all[i].name)
	}
	return slices.Compact(names)
}

func noLimiter(name string, known []string) error {
	e := control.Unknown("limiter", name, known)
	e.Missing = true
	return e
}

// number is the generation in force, 0 for none.
func (h *Host) number() uint64 {
	if g := h.slot.Current(); g != nil {
		return g.Number()
	}
	return 0
}
