package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// named finds the limiters of a name: one, or the two halves of a configured limit.
func (h *Host) named(name string) ([]inForce, error) {
	all := h.limiters()
	found := slices.DeleteFunc(slices.Clone(all), func(l inForce) bool { return l.name != name })
	if len(found) == 0 {
		return nil, noLimiter(name, namesOf(all))
	}
	return found, nil
}

// SetLimit changes parameters of a limiter at run time. They hold until a generation
// or a configuration declares it otherwise. A configured limit need not be in force
// before, and a rate or concurrency of 0 takes it away.
func (h *Host) SetLimit(c control.LimitChange) (control.LimitChanged, error) {
	if c.Key != nil || c.For != "" {
		return control.LimitChanged{}, &control.BadRequest{Title: "set takes a limiter and params, for all its keys"}
	}
	if core := h.coreOf(c.Limiter); core != nil {
		return h.setConfigured(core, c)
	}
	found, err := h.named(c.Limiter)
	if err != nil {
		return control.LimitChanged{}, err
	}
	var wrong error
	err = h.natives.SetLimiter(c.Limiter, func(p limit.Params) limit.Params {
		changed := p
		if wrong = setParams(&changed, paramsOf(found[0].kind), c.Params); wrong == nil && changed.MaxKeys > 100*limit.DefaultMaxKeys {
			wrong = &control.BadRequest{Title: fmt.Sprintf("max_keys: want at most %d", 100*limit.DefaultMaxKeys)}
		}
		if wrong != nil {
			return p
		}
		return changed
	})
	if err = errors.Join(wrong, err); err != nil {
		return control.LimitChanged{}, badLimit(err)
	}
	return control.LimitChanged{Limiter: found[0].describe()}, nil
}

// coreOf finds the subsystem that a configured limit belongs to, nil for none.
func (h *Host) coreOf(name string) *admission.Core {
	for i := range h.parts {
		core := h.parts[i].Core()
		if slices.ContainsFunc(core.Levels(), func(l admission.Level) bool { return l.Name == name }) {
			return core
		}
	}
	return nil
}

func (h *Host) setConfigured(core *admission.Core, c control.LimitChange) (control.LimitChanged, error) {
	var wrong error
	woken, err := core.SetLimit(h.clock(), c.Limiter, func(l admission.Limit) admission.Limit {
		changed := l
		if wrong = setParams(&changed, configuredParams(), c.Params); wrong != nil {
			return l
		}
		return changed
	}, nil)
	admission.Signal(woken)
	if err = errors.Join(wrong, err); err != nil {
		return control.LimitChanged{}, badLimit(err)
	}
	found, err := h.named(c.Limiter)
	if err != nil { // it limits nothing any more
		return control.LimitChanged{Limiter: control.Limiter{Name: c.Limiter, Params: map[string]any{}, Keys: []control.LimitKey{}, Altered: true}}, nil
	}
	d := found[0].describe()
	for _, other := range found[1:] {
		for name, v := range other.describe().Params {
			d.Params[name] = v
		}
	}
	return control.LimitChanged{Limiter: d}, nil
}

// badLimit makes an error of wrong parameters one of who asked.
func badLimit(err error) error {
	var bad *control.BadRequest
	switch {
	case errors.As(err, &bad):
		return bad
	case errors.Is(err, natives.ErrNoLimiter): // a swap came in between
		return &control.BadRequest{Title: err.Error(), Missing: true}
	}
	return &control.BadRequest{Title: err.Error(), Hint: "nothing was changed"}
}

// ResetLimit forgets what was taken under a key, or under all of them.
func (h *Host) ResetLimit(c control.LimitChange) (control.LimitChanged, error) {
	l, err := h.changing(c)
	if err != nil {
		return control.LimitChanged{}, err
	}
	now := h.clock()
	if c.Key != nil || l.conf.Global() {
		key := l.resolve(now, c.Key)
		l.lim.Reset(key)
		return l.changed(now, key), nil
	}
	var keys []string
	l.lim.Range(now, func(key string, _ limit.Result, _ time.Duration) bool {
		keys = append(keys, key)
		return true
	})
	for _, key := range keys {
		l.lim.Reset(key)
	}
	return control.LimitChanged{Limiter: l.describe(), Keys: len(keys)}, nil
}

// PauseLimit closes a key for a time; 0 opens it again.
func (h *Host) PauseLimit(c control.LimitChange) (control.LimitChanged, error) {
	l, err := h.changing(c)
	if err != nil {
		return control.LimitChanged{}, err
	}
	d, err := config.ParseDuration(c.For)
	if err != nil || d < 0 || d.Std() > limit.MaxPause {
		return control.LimitChanged{}, &control.BadRequest{Title: fmt.Sprintf("for: want a time up to %s such as 30s, or 0 to open the key again, got %.40q", limit.MaxPause, c.For)}
	}
	if c.Key == nil && !l.conf.Global() {
		return control.LimitChanged{}, &control.BadRequest{Title: "key: which one is to be paused?", Hint: "see `gaia limits --limiter " + l.name + "`"}
	}
	now := h.clock()
	key := l.resolve(now, c.Key)
	l.lim.Pause(now, key, d.Std())
	return l.changed(now, key), nil
}

// changing finds the limiter whose keys are to be changed.
func (h *Host) changing(c control.LimitChange) (*inForce, error) {
	found, err := h.named(c.Limiter)
	if err != nil {
		return nil, err
	}
	l := found[len(found)-1] // of a configured limit the rate
	switch {
	case len(c.Params) > 0:
		return nil, &control.BadRequest{Title: "params belong to set"}
	case l.lim == nil:
		return nil, &control.BadRequest{Title: l.name + " counts what runs now: it cannot be reset or paused", Hint: "set its concurrency, or give it a rate"}
	case l.conf.Global() && c.Key != nil && *c.Key != "":
		return nil, &control.BadRequest{Title: l.name + " counts everything together: it has no keys"}
	}
	return &l, nil
}

// resolve is the key that a caller means, who may have it from an answer, shortened.
func (l *inForce) resolve(now int64, given *string) string {
	if given == nil {
		return ""
	}
	key := *given
	if !strings.Contains(key, "...#") {
		return key
	}
	l.lim.Range(now, func(k string, _ limit.Result, _ time.Duration) bool {
		if k != policy.Shown(k) && policy.Shown(k) == *given {
			key = k
			return false
		}
		return k != *given
	})
	return key
}

// changed describes the limiter and one key after a change.
func (l *inForce) changed(now int64, key string) control.LimitChanged {
	d := l.describe()
	l.each(now, func(k string, level func() control.LimitKey) bool {
		if k != key {
			return true
		}
		one := level()
		one.Key = policy.Shown(k)
		d.Keys = append(d.Keys, one)
		return false
	})
	return control.LimitChanged{Limiter: d, Keys: 1}
}
