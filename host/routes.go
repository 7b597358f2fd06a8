package host

import (
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strings"
	"sync"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/gateway"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// routeTable builds the gateway's routes and keeps the live numbers of upstreams
// that go on.
type routeTable struct {
	mu    sync.Mutex
	inUse map[string]*route.Group
}

// build makes the routes of cfg and, beneath them, those that standard policies
// bring along. Nothing is put in force.
func (t *routeTable) build(cfg *config.Config, standard map[string]string) ([]gateway.Route, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	whole := *cfg
	whole.Routes = map[string]config.Route{}
	for name, target := range standard {
		whole.Routes[name] = config.Route{URL: config.NewURL(target)}
	}
	for name, r := range cfg.Routes {
		whole.Routes[name] = r
	}
	var routes []gateway.Route
	var faults []error
	for _, v := range whole.EffectiveRoutes() {
		r, err := t.route(v)
		if err != nil {
			faults = append(faults, fmt.Errorf("routes.%s: %w", v.Name, err))
			continue
		}
		routes = append(routes, r)
	}
	return routes, errors.Join(faults...)
}

func (t *routeTable) route(v config.RouteView) (gateway.Route, error) {
	ups := make([]route.Upstream, 0, len(v.Upstreams))
	for _, u := range v.Upstreams {
		target, err := url.Parse(u.URL.Reveal())
		if err != nil {
			return gateway.Route{}, fmt.Errorf("upstream %s: the url cannot be read", u.Name)
		}
		public, err := url.Parse(u.URL.String())
		if err != nil {
			return gateway.Route{}, fmt.Errorf("upstream %s: the url cannot be shown", u.Name)
		}
		public.RawQuery, public.User = "", nil
		ups = append(ups, route.Upstream{Name: u.Name, ID: upstreamID(&v, &u), URL: target, Public: public, Weight: u.Weight, Tier: u.Tier, Headers: append(headersOf(v.Headers), headersOf(u.Headers)...)})
	}
	g, err := route.NewBalanced(ups, balanceOf(&v), t.inUse[v.Name])
	if err != nil {
		return gateway.Route{}, err
	}
	return gateway.Route{Name: v.Name, Host: v.Host, PathPrefix: v.PathPrefix, StripPrefix: v.StripPrefix, Group: g}, nil
}

// upstreamID is what an upstream with limits of its own is known by; "" for another.
// It has a slash, as no host has.
func upstreamID(v *config.RouteView, u *config.UpstreamView) string {
	if u.Limits == nil {
		return ""
	}
	return v.Name + "/" + u.Name
}

// upstreamLimits are the limits of single upstreams.
func upstreamLimits(cfg *config.Config) map[string]admission.UpstreamLimit {
	limits := map[string]admission.UpstreamLimit{}
	for _, v := range cfg.EffectiveRoutes() {
		for i := range v.Upstreams {
			if u := &v.Upstreams[i]; u.Limits != nil {
				limits[upstreamID(&v, u)] = admission.UpstreamLimit{
					Name: "routes." + v.Name + ".upstreams." + u.Name + ".limits", Limit: configuredLimit(*u.Limits),
				}
			}
		}
	}
	return limits
}

// balanceOf reads words that the configuration has checked.
func balanceOf(v *config.RouteView) route.Options {
	o := route.Options{Outlier: route.Outlier{
		Consecutive: v.Outlier.Consecutive, Ratio: v.Outlier.Ratio, MinRequests: v.Outlier.MinRequests,
		EjectFor: v.Outlier.EjectFor.Std(), MaxEjectFor: v.Outlier.MaxEjectFor.Std(), MaxShare: v.Outlier.MaxShare,
	}}
	o.Balance, _ = route.ParseBalance(v.Balance)
	switch name, isHeader := strings.CutPrefix(v.Sticky, "header:"); {
	case isHeader:
		o.Sticky = route.Sticky{By: route.ByHeader, Header: name}
	case v.Sticky == "tenant":
		o.Sticky.By = route.ByTenant
	case v.Sticky == "key":
		o.Sticky.By = route.ByKey
	}
	return o
}

// keep remembers the routes in force.
func (t *routeTable) keep(routes []gateway.Route) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inUse = make(map[string]*route.Group, len(routes))
	for _, r := range routes {
		t.inUse[r.Name] = r.Group
	}
}

func headersOf(secrets map[string]config.Secret) []policy.Header {
	hs := make([]policy.Header, 0, len(secrets))
	for name, value := range secrets {
		hs = append(hs, policy.Header{Name: name, Value: value.Reveal()})
	}
	sort.Slice(hs, func(i, j int) bool { return hs[i].Name < hs[j].Name })
	return hs
}

// standardRoutes are the routes that the policies in force bring along.
func (h *Host) standardRoutes() map[string]string {
	routes := map[string]string{}
	for _, p := range h.policies.Status().Policies {
		for name, target := range p.Options.Routes {
			routes[name] = target
		}
	}
	return routes
}
