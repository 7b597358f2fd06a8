package config

import (
	"net/url"
	"slices"
	"strings"
)

// Bounds of what a route's upstreams may be given, as extensions/route has them.
const (
	maxWeight = 1 << 20
	maxTier   = 255
)

// balancing checks how a route chooses among its upstreams.
func (v *validator) balancing(r Route, path []string) {
	under := func(more ...string) []string { return append(slices.Clone(path), more...) }
	v.choice(r.Balance, balances, under("balance")...)
	if name, ok := strings.CutPrefix(r.Sticky, "header:"); ok {
		if !isFieldName(name) {
			v.fail(under("sticky"), "want header:NAME with the name of a header, got %s", quote(r.Sticky))
		}
	} else {
		v.choice(r.Sticky, stickies, under("sticky")...)
	}
	if r.Health != nil {
		v.probe(r.Health, under("health"))
	}
	if r.Outlier != nil {
		v.outlier(r.Outlier, under("outlier"))
	}
}

func (v *validator) probe(h *HealthProbe, path []string) {
	under := func(key string) []string { return append(slices.Clone(path), key) }
	if u, err := url.ParseRequestURI(h.Path); err != nil || !strings.HasPrefix(h.Path, "/") || strings.HasPrefix(h.Path, "//") || u.Host != "" || strings.Contains(h.Path, "#") {
		v.fail(under("path"), "want a path such as \"/healthz\", got %s", quote(h.Path))
	}
	for _, c := range []struct {
		key  string
		zero bool
	}{{"interval", h.Interval == 0}, {"timeout", h.Timeout == 0}, {"rise", h.Rise == 0}, {"fall", h.Fall == 0}} {
		if c.zero && v.set(under(c.key)...) {
			v.fail(under(c.key), "must be greater than 0")
		}
	}
	if whole := h.effective(); whole.Interval > 0 && whole.Interval < minProbeInterval {
		v.fail(under("interval"), "must be at least %s", minProbeInterval)
	} else if whole.Timeout > whole.Interval {
		v.fail(under("timeout"), "must be at most the interval, %s", whole.Interval)
	}
}

// minProbeInterval keeps probes from being a load of their own.
const minProbeInterval = Duration(50e6)

func (v *validator) outlier(o *Outlier, path []string) {
	under := func(key string) []string { return append(slices.Clone(path), key) }
	if o.Ratio > 1 {
		v.fail(under("ratio"), "must be from 0 to 1")
	}
	if o.MaxShare != nil && *o.MaxShare > 1 {
		v.fail(under("max_share"), "must be from 0 to 1")
	}
	for _, c := range []struct {
		key  string
		zero bool
	}{{"min_requests", o.MinRequests == 0}, {"eject_for", o.EjectFor == 0}, {"max_eject_for", o.MaxEjectFor == 0}} {
		if c.zero && v.set(under(c.key)...) {
			v.fail(under(c.key), "must be greater than 0")
		}
	}
	if whole := o.effective(); o.MaxEjectFor > 0 && whole.MaxEjectFor < whole.EjectFor {
		v.fail(under("max_eject_for"), "must be at least eject_for, %s", whole.EjectFor)
	}
}
