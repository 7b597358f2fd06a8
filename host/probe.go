package host

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/gateway"
)

const (
	// maxProbes is how many probes are under way at once, over all routes.
	maxProbes = 32
	// probeStart is how long at most the first probe of an upstream is put off, so that
	// not all begin together.
	probeStart = time.Second
)

// prober asks the upstreams of routes whether they are well, each on a goroutine of its
// own. set and stop may be called at any time, one at a time.
type prober struct {
	probe func(ctx context.Context, up *route.Upstream, path *url.URL) error
	log   *slog.Logger
	slots chan struct{}

	targets []probeTarget
	closed  bool // nothing is probed any more
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// probeTarget is one upstream to be probed. Two that are equal need no change.
type probeTarget struct {
	route, upstream, url string
	how                  config.HealthProbe
}

func newProber(probe func(context.Context, *route.Upstream, *url.URL) error, log *slog.Logger) *prober {
	return &prober{probe: probe, log: log, slots: make(chan struct{}, maxProbes)}
}

// set probes the upstreams of routes as health says by their names, and no others. Those
// that go on as before are not disturbed: the numbers of an upstream pass from one group
// to the next.
func (p *prober) set(routes []gateway.Route, health map[string]config.HealthProbe) {
	var targets []probeTarget
	groups := map[probeTarget]*route.Group{}
	for _, r := range routes {
		how := health[r.Name]
		for i := range r.Group.Len() {
			if up := r.Group.Upstream(i); how.Path != "" {
				t := probeTarget{r.Name, up.Name, up.URL.String(), how}
				targets, groups[t] = append(targets, t), r.Group
			}
		}
	}
	if p.closed || slices.Equal(targets, p.targets) {
		return
	}
	p.stop()
	for _, r := range routes { // once nobody is left who could find one down
		for i := range r.Group.Len() {
			if health[r.Name].Path == "" {
				r.Group.Unprobed(i)
			}
		}
	}
	p.targets = targets
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for _, t := range targets {
		g := groups[t]
		i, _ := g.ByName(t.upstream)
		p.wg.Go(func() { p.watch(ctx, t, g, i) })
	}
}

// stop ends all probes and waits for them.
func (p *prober) stop() {
	if p.cancel != nil {
		p.cancel()
		p.wg.Wait()
	}
	p.targets, p.cancel = nil, nil
}

// watch probes one upstream until ctx ends.
func (p *prober) watch(ctx context.Context, t probeTarget, g *route.Group, i int) {
	path, err := url.Parse(t.how.Path)
	if err != nil { // the configuration has checked it
		return
	}
	interval := t.how.Interval.Std()
	timer := time.NewTimer(time.Duration(rand.Float64() * float64(min(interval, probeStart))))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case p.slots <- struct{}{}:
		}
		err := p.once(ctx, t.how.Timeout.Std(), g.Upstream(i), path)
		<-p.slots
		if ctx.Err() != nil {
			return
		}
		if g.Probe(i, err == nil, t.how.Rise, t.how.Fall) {
			p.tell(t, err)
		}
		timer.Reset(time.Duration((0.9 + 0.2*rand.Float64()) * float64(interval)))
	}
}

func (p *prober) once(ctx context.Context, timeout time.Duration, up *route.Upstream, path *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return p.probe(ctx, up, path)
}

func (p *prober) tell(t probeTarget, err error) {
	if err != nil {
		p.log.Warn("an upstream is down", "route", t.route, "upstream", t.upstream, "error", err)
		return
	}
	p.log.Info("an upstream is up again", "route", t.route, "upstream", t.upstream)
}

// healthOf is how the routes of cfg are to be probed, by name.
func healthOf(cfg *config.Config) map[string]config.HealthProbe {
	health := map[string]config.HealthProbe{}
	for _, v := range cfg.EffectiveRoutes() {
		if v.Health.Path != "" {
			health[v.Name] = v.Health
		}
	}
	return health
}

// setProbes begins to probe the routes that are served.
func (h *Host) setProbes(cfg *config.Config) {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	h.probes.set(h.gateway.Routes(), healthOf(cfg))
}

func (h *Host) stopProbes() {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	if h.probes != nil {
		h.probes.closed = true
		h.probes.stop()
	}
}
