package config

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// RouteView is a route as the gateway serves it: nothing is left to be implied.
type RouteView struct {
	// Name is the key that limits count on.
	Name string
	// Host is lower-case; "" is any.
	Host string
	// PathPrefix begins with "/"; "/" is any path.
	PathPrefix  string
	StripPrefix bool
	Headers     map[string]Secret
	// Upstreams are sorted by name and never empty.
	Upstreams []UpstreamView
	Balance   string
	Sticky    string
	// Health probes nothing where its Path is "".
	Health  HealthProbe
	Outlier OutlierView
}

// OutlierView is an Outlier with nothing left to be implied.
type OutlierView struct {
	Consecutive, MinRequests int
	Ratio, MaxShare          float64
	EjectFor, MaxEjectFor    Duration
}

// UpstreamView is one upstream of a RouteView.
type UpstreamView struct {
	Name string
	URL  URL
	// Weight 0 is used only when a policy names the upstream.
	Weight  int
	Tier    int
	Headers map[string]Secret
	// Limits are its own; nil: those of all upstreams hold.
	Limits *LimitSpec
}

// EffectiveRoutes resolves the short forms of the routes. They come in the
// order in which they are tried: those with a host first, then the longer
// prefix, then by name.
func (c *Config) EffectiveRoutes() []RouteView {
	views := make([]RouteView, 0, len(c.Routes))
	for _, name := range sortedKeys(c.Routes) {
		views = append(views, c.Routes[name].view(name))
	}
	slices.SortStableFunc(views, func(a, b RouteView) int {
		if (a.Host == "") != (b.Host == "") {
			if a.Host != "" {
				return -1
			}
			return 1
		}
		return cmp.Compare(len(b.PathPrefix), len(a.PathPrefix))
	})
	return views
}

func (r Route) view(name string) RouteView {
	v := RouteView{Name: name, Host: strings.ToLower(r.Host), PathPrefix: r.PathPrefix, Headers: r.Headers,
		Balance: cmp.Or(r.Balance, DefaultBalance), Sticky: r.Sticky, Health: r.Health.effective(), Outlier: r.Outlier.effective()}
	if r.PathPrefix == "" {
		v.PathPrefix = "/"
		if r.Host == "" {
			v.PathPrefix, v.StripPrefix = "/"+name+"/", true
		}
	}
	if r.StripPrefix != nil {
		v.StripPrefix = *r.StripPrefix
	}
	if !r.URL.IsZero() {
		v.Upstreams = append(v.Upstreams, UpstreamView{Name: name, URL: r.URL, Weight: 1})
	}
	for _, up := range sortedKeys(r.Upstreams) {
		u := r.Upstreams[up]
		view := UpstreamView{Name: up, URL: u.URL, Weight: 1, Tier: u.Tier, Headers: u.Headers, Limits: u.Limits.effective()}
		if u.Weight != nil {
			view.Weight = *u.Weight
		}
		v.Upstreams = append(v.Upstreams, view)
	}
	return v
}

func (p *HealthProbe) effective() HealthProbe {
	if p == nil {
		return HealthProbe{}
	}
	h := *p
	h.Interval = cmp.Or(h.Interval, DefaultHealthInterval)
	h.Timeout = cmp.Or(h.Timeout, min(DefaultHealthTimeout, h.Interval))
	h.Rise, h.Fall = cmp.Or(h.Rise, DefaultHealthRise), cmp.Or(h.Fall, DefaultHealthFall)
	return h
}

func (p *Outlier) effective() OutlierView {
	var o Outlier
	if p != nil {
		o = *p
	}
	v := OutlierView{
		Consecutive: DefaultOutlierConsecutive, MinRequests: cmp.Or(o.MinRequests, DefaultOutlierMinRequests),
		Ratio: o.Ratio, MaxShare: DefaultOutlierMaxShare, EjectFor: cmp.Or(o.EjectFor, DefaultOutlierEjectFor),
	}
	v.MaxEjectFor = cmp.Or(o.MaxEjectFor, max(DefaultOutlierMaxEjectFor, v.EjectFor))
	if o.Consecutive != nil {
		v.Consecutive = *o.Consecutive
	}
	if o.MaxShare != nil {
		v.MaxShare = *o.MaxShare
	}
	return v
}

// EffectiveBurst is Burst, or if it is not set Rate rounded up, at least 1.
func (s LimitSpec) EffectiveBurst() int64 {
	switch {
	case s.Burst > 0:
		return s.Burst
	case s.Rate >= math.MaxInt64:
		return math.MaxInt64
	}
	return max(1, int64(math.Ceil(s.Rate)))
}

// effective is s with nothing left to be implied; nil where it limits nothing.
func (s *LimitSpec) effective() *LimitSpec {
	if s == nil || s.Rate == 0 && s.Concurrency == 0 {
		return nil
	}
	whole := *s
	if s.Rate > 0 {
		whole.Per, whole.Burst = cmp.Or(s.Per, DefaultLimitPer), s.EffectiveBurst()
	}
	return &whole
}

// specs are the limits of a subsystem by key.
func (l *SubsystemLimits) specs() map[string]*LimitSpec {
	return map[string]*LimitSpec{"global": &l.Global, "per_key": &l.PerKey, "per_upstream": &l.PerUpstream}
}
