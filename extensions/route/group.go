package route

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// MaxUpstreams is the most upstreams that a Group holds.
const MaxUpstreams = 256

// MaxWeight is the largest weight of an upstream.
const MaxWeight = 1 << 20

// MaxTier is the last tier.
const MaxTier = 255

// ErrGroup is wrapped by every error of NewGroup.
var ErrGroup = errors.New("route: bad group")

// Upstream is one server behind a route.
type Upstream struct {
	Name string
	URL  *url.URL // scheme, host and base path; never changed
	// Public is the URL as policies and people may see it, without secrets. NewGroup
	// fills it in where it is nil: the URL without user and query.
	Public *url.URL
	// Host is the URL's host in lower case, with a port only where it is not the
	// scheme's own. NewGroup fills it in where it is "".
	Host string
	// ID is what limits for each upstream count on. NewGroup fills it in where it
	// is "": the name and the host, so that one server under two names, for two
	// accounts, counts twice.
	ID string
	// Weight is the share of requests; 0: only when named.
	Weight int
	// Tier orders groups of upstreams: those of a higher one are used only while none
	// of a lower one can be. The first is 0.
	Tier int
	// Headers are set on requests to this upstream. They may be secrets: no policy
	// sees them.
	Headers []policy.Header
}

// Group is an immutable set of upstreams and their live numbers. It is safe for
// concurrent use and needs no closing.
type Group struct {
	ups     []Upstream
	live    []*live
	tiers   [][]uint8 // those with a weight, the lowest tier first
	balance Balance
	sticky  Sticky
	outlier Outlier

	hashes  []uint64  // of the names
	inverse []float64 // of the weights
	alike   bool      // all weights that are not 0 are the same
	only    int       // the one with a weight; -1: none or several
	wrr     wrr
	turns   atomic.Uint64

	ejecting sync.Mutex // held while it is decided who may be ejected
}

// Options say how a Group chooses. The zero Options are round robin that ejects nobody.
type Options struct {
	Balance Balance
	Sticky  Sticky
	Outlier Outlier
}

// NewGroup is NewBalanced with the zero Options.
func NewGroup(ups []Upstream, prev *Group) (*Group, error) {
	return NewBalanced(ups, Options{}, prev)
}

// NewBalanced returns the group of ups. An upstream whose name and URL are those of
// one in prev goes on with its live numbers; prev may be nil. Errors (ErrGroup):
// no upstream or more than MaxUpstreams, an empty or repeated name, a URL without
// host, a weight or a tier out of bounds.
func NewBalanced(ups []Upstream, o Options, prev *Group) (*Group, error) {
	if len(ups) == 0 || len(ups) > MaxUpstreams {
		return nil, fmt.Errorf("%w: %d upstreams, want 1 to %d", ErrGroup, len(ups), MaxUpstreams)
	}
	g := &Group{
		ups: make([]Upstream, len(ups)), live: make([]*live, len(ups)), hashes: make([]uint64, len(ups)), inverse: make([]float64, len(ups)),
		balance: o.Balance, sticky: o.Sticky, outlier: o.Outlier,
	}
	g.wrr.weights = make([]int64, len(ups))
	g.wrr.current = make([]int64, len(ups))
	for i, u := range ups {
		switch {
		case u.Name == "":
			return nil, fmt.Errorf("%w: upstream %d has no name", ErrGroup, i)
		case u.URL == nil || u.URL.Host == "":
			return nil, fmt.Errorf("%w: upstream %q has no URL with a host", ErrGroup, u.Name)
		case u.Weight < 0 || u.Weight > MaxWeight:
			return nil, fmt.Errorf("%w: upstream %q has weight %d, want 0 to %d", ErrGroup, u.Name, u.Weight, MaxWeight)
		case u.Tier < 0 || u.Tier > MaxTier:
			return nil, fmt.Errorf("%w: upstream %q has tier %d, want 0 to %d", ErrGroup, u.Name, u.Tier, MaxTier)
		}
		if _, twice := g.ByName(u.Name); twice {
			return nil, fmt.Errorf("%w: upstream %q is named twice", ErrGroup, u.Name)
		}
		if u.Public == nil {
			u.Public = &url.URL{Scheme: u.URL.Scheme, Host: u.URL.Host, Path: u.URL.Path, RawPath: u.URL.RawPath}
		}
		if u.Host == "" {
			u.Host = Host(u.URL)
		}
		if u.ID == "" {
			u.ID = u.Name + "@" + u.Host
		}
		g.ups[i], g.live[i] = u, prev.liveOf(&u)
		g.wrr.weights[i], g.hashes[i], g.inverse[i] = int64(u.Weight), hash(u.Name), 1/float64(u.Weight)
	}
	g.rank()
	return g, nil
}

// rank puts the upstreams with a weight in the order of their tiers.
func (g *Group) rank() {
	var order []uint8
	g.alike, g.only = true, -1
	for i := range g.ups {
		if g.ups[i].Weight > 0 {
			order = append(order, uint8(i))
			g.alike = g.alike && g.ups[i].Weight == g.ups[order[0]].Weight
		}
	}
	if len(order) == 1 {
		g.only = int(order[0])
	}
	slices.SortStableFunc(order, func(a, b uint8) int { return g.ups[a].Tier - g.ups[b].Tier })
	for at, i := range order {
		if at == 0 || g.ups[i].Tier != g.ups[order[at-1]].Tier {
			g.tiers = append(g.tiers, nil)
		}
		last := len(g.tiers) - 1
		g.tiers[last] = append(g.tiers[last], i)
	}
}

// Host is the host of a URL as requests and limits name it: lower case, with a
// port only where it is not the scheme's own.
func Host(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "http", "ws":
		return strings.TrimSuffix(host, ":80")
	case "https", "wss":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// liveOf returns the live numbers of u in g, or new ones.
func (g *Group) liveOf(u *Upstream) *live {
	if g != nil {
		if i, ok := g.ByName(u.Name); ok && g.ups[i].URL.String() == u.URL.String() {
			return g.live[i]
		}
	}
	return &live{}
}

// Len is the number of upstreams.
func (g *Group) Len() int { return len(g.ups) }

// Upstream returns upstream i, 0 <= i < Len(). It must not be changed.
func (g *Group) Upstream(i int) *Upstream { return &g.ups[i] }

// ByName returns the index of the upstream of that name. Names are compared
// exactly; upstreams of weight 0 are found too.
func (g *Group) ByName(name string) (int, bool) {
	for i := range g.ups {
		if g.ups[i].Name == name {
			return i, true
		}
	}
	return 0, false
}

// Only is the one upstream that has a weight, where all the others have none.
func (g *Group) Only() (int, bool) { return g.only, g.only >= 0 }

// Balance is how the group chooses.
func (g *Group) Balance() Balance { return g.balance }

// Begin counts an attempt at upstream i as in flight.
func (g *Group) Begin(i int) { g.live[i].inFlight.Add(1) }

// End says that an attempt begun at upstream i ended after dur.
func (g *Group) End(i int, now int64, dur time.Duration, failed bool) {
	l := g.live[i]
	l.inFlight.Add(-1)
	l.mu.Lock()
	l.endLocked(now, dur, failed)
	if g.balance == P2C { // nobody else asks for it
		l.latency.observe(now, dur, failed)
	}
	bad := l.judgeLocked(&g.outlier, now, dur, failed)
	l.mu.Unlock()
	if bad && g.mayEject(i, now) {
		l.eject(now, &g.outlier)
	}
}

// Abandon says that an attempt begun at upstream i ended in a way that tells
// nothing about the upstream: its caller left.
func (g *Group) Abandon(i int) { g.live[i].inFlight.Add(-1) }

// InFlight is how many attempts at upstream i began and have not ended.
func (g *Group) InFlight(i int) int64 { return g.live[i].inFlight.Load() }

// View appends every upstream with its live numbers to dst, as the route hook
// sees them. Remaining is -1: limits are the caller's. It allocates nothing where
// dst has room.
func (g *Group) View(dst []policy.Upstream, now int64) []policy.Upstream {
	for i := range g.ups {
		u := &g.ups[i]
		n := g.live[i].numbers(now)
		dst = append(dst, policy.Upstream{
			Name: u.Name, Host: u.Host, Weight: u.Weight,
			Healthy: n.healthy, InFlight: g.InFlight(i), ErrorRate: n.errorRate,
			P50: n.p50, P95: n.p95, Remaining: -1,
		})
	}
	return dst
}
