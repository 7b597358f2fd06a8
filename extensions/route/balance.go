package route

import (
	"fmt"
	"math/bits"
	"sync"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Balance is how one of several upstreams is chosen.
type Balance uint8

// The ways to choose. All of them respect weights, tiers and health.
const (
	// RoundRobin gives each its share by weight, spread as evenly as can be.
	RoundRobin Balance = iota
	// LeastInFlight takes the one with the fewest attempts under way for its weight.
	LeastInFlight
	// P2C draws two and takes the one that promises the shorter wait: its latency
	// times what is under way there, over its weight.
	P2C
	// Rendezvous takes the one that the request's key hashes to: an upstream that
	// comes or goes moves only the keys of its own share.
	Rendezvous
	balances
)

var balanceNames = [balances]string{"round_robin", "least_in_flight", "p2c", "rendezvous"}

// String returns the name used in configurations.
func (b Balance) String() string {
	if b < balances {
		return balanceNames[b]
	}
	return "invalid"
}

// ParseBalance reads such a name; "" is RoundRobin.
func ParseBalance(name string) (Balance, error) {
	for b, known := range balanceNames {
		if name == known {
			return Balance(b), nil
		}
	}
	if name == "" {
		return RoundRobin, nil
	}
	return 0, fmt.Errorf("%w: no way to balance is called %q", ErrGroup, name)
}

// Balances lists the names in their order.
func Balances() []string { return append([]string(nil), balanceNames[:]...) }

// Sticky says what keeps requests together at one upstream. The zero Sticky keeps none.
type Sticky struct {
	By     StickyBy
	Header string // its name, with ByHeader
}

// StickyBy is the part of a request that Sticky looks at.
type StickyBy uint8

// What requests can be kept together by.
const (
	ByNothing StickyBy = iota
	ByTenant
	ByKey // the key that limits count on, as policies left it
	ByHeader
)

// value is what keeps r together with its like, "" where it has no such thing.
func (s *Sticky) value(r *policy.Request) string {
	switch s.By {
	case ByTenant:
		return r.Tenant
	case ByKey:
		return r.Key
	case ByHeader:
		v, _ := r.HeaderValue(s.Header)
		return v
	}
	return ""
}

// Query asks for an upstream.
type Query struct {
	Now  int64
	Req  *policy.Request // nil: nothing keeps it at an upstream
	Skip Set             // not these
	Sick bool            // also those that are down or ejected
}

// Pick chooses an upstream, and false where none is left: of the first tier that has
// one to offer, by the sticky key if the request has one, else as the group balances.
func (g *Group) Pick(q *Query) (int, bool) { return g.pick(q, true) }

// Preview returns what Pick would for the same query, and leaves the order of the next
// picks as it is.
func (g *Group) Preview(q *Query) (int, bool) { return g.pick(q, false) }

func (g *Group) pick(q *Query, commit bool) (int, bool) {
	if len(g.ups) <= few {
		var room [few]uint8 // the usual case clears no more than it may need
		return g.pickIn(room[:], q, commit)
	}
	var room [MaxUpstreams]uint8
	return g.pickIn(room[:], q, commit)
}

// few upstreams are what most groups have at most.
const few = 32

// pickIn is pick with room for the candidates.
func (g *Group) pickIn(room []uint8, q *Query, commit bool) (int, bool) {
	for _, tier := range g.tiers {
		n := 0
		for _, i := range tier {
			if !q.Skip.Has(int(i)) && (q.Sick || g.live[i].available(q.Now)) {
				room[n] = i
				n++
			}
		}
		if n == 0 {
			continue
		}
		at := g.among(room[:n], q, commit)
		if commit {
			g.live[at].chosen(q.Now)
		}
		return at, true
	}
	return 0, false
}

// among chooses one of can, which is not empty.
func (g *Group) among(can []uint8, q *Query, commit bool) int {
	if len(can) == 1 && g.balance != LeastInFlight { // whose turns go on
		return int(can[0])
	}
	if q.Req != nil {
		key := g.sticky.value(q.Req)
		if key == "" && g.balance == Rendezvous {
			key = q.Req.Path
		}
		if key != "" {
			return g.hashed(can, key)
		}
	}
	switch g.balance {
	case LeastInFlight:
		return g.idlest(can, commit)
	case P2C:
		return g.quicker(can, q.Now, commit)
	}
	return g.wrr.pick(can, commit)
}

// hashed is weighted rendezvous hashing (Thaler and Ravishankar 1998; Schindelhauer and
// Schomaker 2005): each scores -log(h)/weight, h in (0, 1] of key and upstream; the lowest
// wins.
func (g *Group) hashed(can []uint8, key string) int {
	k := hash(key)
	if g.alike {
		best, at := uint64(0), -1
		for _, i := range can {
			if h := mix(k ^ g.hashes[i]); at < 0 || h > best {
				best, at = h, int(i)
			}
		}
		return at
	}
	best, at := 0.0, -1
	for _, i := range can {
		whole, x := split(mix(k ^ g.hashes[i]))
		if at >= 0 && (whole-x-bend)*g.inverse[i] >= best {
			continue // it cannot win, whatever its logarithm is
		}
		if score := (whole - log2(x)) * g.inverse[i]; at < 0 || score < best {
			best, at = score, int(i)
		}
	}
	return at
}

// bend is more than log2(1+x) is ever above x in [0, 1].
const bend = 0.0861

// split writes -log2(h/2^64) as whole - log2(1+x), x in [0, 1); of 0 it makes 1.
func split(h uint64) (whole, x float64) {
	h |= 1
	zeros := bits.LeadingZeros64(h)
	return float64(zeros + 1), float64(h<<zeros<<1>>11) / (1 << 53)
}

// log2 is log2(1+x) within 0.00002, and exact at 0 and 1; it costs less than math.Log.
func log2(x float64) float64 {
	return x + x*(1-x)*(0.4418358721194693+x*(-0.2665362803184836+x*(0.1470187704810924-x*0.04424373633442115)))
}

// idlest has the fewest attempts under way for its weight; equals take turns.
func (g *Group) idlest(can []uint8, commit bool) int {
	at := int(g.turn(commit) % uint64(len(can)))
	best, bestLoad := -1, int64(0)
	for range can {
		i := int(can[at])
		load := g.live[i].inFlight.Load() + 1
		// load/weight < bestLoad/bestWeight, without division
		if best < 0 || load*int64(g.ups[best].Weight) < bestLoad*int64(g.ups[i].Weight) {
			best, bestLoad = i, load
		}
		if at++; at == len(can) {
			at = 0
		}
	}
	return best
}

// quicker draws two and takes the one with the lower cost.
func (g *Group) quicker(can []uint8, now int64, commit bool) int {
	n := uint64(len(can))
	if n == 1 {
		return int(can[0])
	}
	r := mix(g.turn(commit) + 1)
	first, _ := bits.Mul64(r<<32, n)
	second, _ := bits.Mul64(r, n-1)
	if second >= first {
		second++
	}
	a, b := int(can[first]), int(can[second])
	latA, latB := g.live[a].latency.at(now), g.live[b].latency.at(now)
	if latA == 0 || latB == 0 { // one has not answered yet: it is not known to be quick
		latA, latB = 1, 1
	}
	loadA, loadB := float64(g.live[a].inFlight.Load()+1), float64(g.live[b].inFlight.Load()+1)
	if latA*loadA*float64(g.ups[b].Weight) <= latB*loadB*float64(g.ups[a].Weight) {
		return a
	}
	return b
}

func (g *Group) turn(commit bool) uint64 {
	if commit {
		return g.turns.Add(1) - 1
	}
	return g.turns.Load()
}

// wrr is smooth weighted round robin, the algorithm of nginx
// (ngx_http_upstream_get_peer): every candidate gains its weight, the richest is
// taken and pays the sum. Picks of one upstream are spread as evenly as the
// weights allow, with or without exclusions.
type wrr struct {
	weights []int64 // fixed

	mu      sync.Mutex
	current []int64 // guarded by mu
}

// pick returns the richest candidate. Without commit the state stays as it is.
func (w *wrr) pick(can []uint8, commit bool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	best, top, total := -1, int64(0), int64(0)
	for _, c := range can {
		i := int(c)
		total += w.weights[i]
		if rich := w.current[i] + w.weights[i]; best < 0 || rich > top {
			best, top = i, rich
		}
	}
	if commit {
		for _, i := range can {
			w.current[i] += w.weights[i]
		}
		w.current[best] -= total
	}
	return best
}

// hash is FNV-1a of 64 bits, finished with mix.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finisher of MurmurHash3.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
