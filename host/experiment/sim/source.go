package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// source is a scenario at work. What it draws depends on the seed, the replica and
// the scenario's name alone, so every strategy meets the same requests.
type source struct {
	rng   *rand.Rand
	seed  uint64
	at    int64 // of the next arrivals; done: there are none
	n     int   // how many at once
	row   Row   // the next recorded one
	done  bool
	count uint64
	keys  []int32 // of KeyNames, in the run
	cost  int64   // of every request, 0: each is drawn
	users []user
	url   string // of its requests
}

// user is one caller of a closed loop, with draws of its own: in which order users
// come depends on the strategy.
type user struct {
	rng   *rand.Rand
	count uint64
}

// maxKeys bounds the keys of one run.
const maxKeys = 1_000_000

func (r *run) addSource(i int32) error {
	sc := &r.c.Scenarios[i]
	h := fnv.New64a()
	_, _ = h.Write([]byte(sc.Name)) // it cannot fail
	// Spread, so that neighbouring seeds and replicas have nothing in common.
	own := (r.c.Seed-1)*golden + 1 + r.c.Replica
	seed := mix(mix(own) ^ h.Sum64())
	s := source{seed: seed, url: "https://experiment.invalid" + sc.Path, rng: rand.New(rand.NewPCG(own, h.Sum64()))}
	for _, name := range sc.KeyNames {
		k, err := r.keyOf(name)
		if err != nil {
			return err
		}
		s.keys = append(s.keys, k)
	}
	if v, same := sc.Cost.Same(); same {
		s.cost = costOf(v)
	}
	s.done = sc.Users > 0
	for u := range sc.Users {
		s.users = append(s.users, user{rng: rand.New(rand.NewPCG(seed, uint64(u)))})
	}
	r.sources = append(r.sources, s)
	for u := range sc.Users {
		r.push(event{at: r.c.Start + int64(sc.From) + r.thinkTime(i, int32(u)), kind: think, call: i, epoch: uint32(u)})
	}
	r.advance(i)
	return nil
}

func (r *run) keyOf(name string) (int32, error) {
	if k, ok := r.byName[name]; ok {
		return k, nil
	}
	if len(r.names) >= maxKeys {
		return 0, fmt.Errorf("more than %d keys", maxKeys)
	}
	k := int32(len(r.names))
	r.names = append(r.names, name)
	r.o.Keys = append(r.o.Keys, Key{})
	r.byName[name] = k
	return k, nil
}

// advance finds a source's next arrivals.
func (r *run) advance(i int32) {
	s, sc := &r.sources[i], &r.c.Scenarios[i]
	if s.done {
		return
	}
	var at int64
	ok := false
	switch {
	case sc.Rows != nil:
		if s.row, ok = sc.Rows.Next(); ok {
			at, s.n = s.row.At, 1
		}
	case sc.Process != nil:
		at, s.n, ok = sc.Process.Next(s.rng)
	}
	if !ok || at >= int64(r.c.Duration) { // whatever its distance: the sum must not overflow
		s.done = true
		return
	}
	s.at = r.c.Start + int64(sc.From) + at
	s.done = sc.Until > 0 && s.at >= r.c.Start+int64(sc.Until)
}

// nextSource is the source whose arrivals come first, and when; -1 for none.
func (r *run) nextSource() (src int32, at int64) {
	first, at := int32(-1), int64(0)
	for i := range r.sources {
		if s := &r.sources[i]; !s.done && (first < 0 || s.at < at) {
			first, at = int32(i), s.at
		}
	}
	return first, at
}

// offer takes what a source offers now.
func (r *run) offer(src int32) error {
	s, sc := &r.sources[src], &r.c.Scenarios[src]
	for k := range s.n {
		if k > 0 { // one of many at once is an event as well
			if r.o.Events++; r.over() {
				return r.why()
			}
		}
		i, err := r.newCall(src, -1)
		if err != nil {
			return err
		}
		c := r.calls[i]
		s.count++
		c.id = s.seed + s.count
		if sc.Rows == nil {
			r.draw(s.rng, src, c)
		} else if err := r.fromRow(s, c); err != nil {
			return err
		}
		r.arrive(i)
	}
	r.advance(src)
	return nil
}

// draw makes up a request.
func (r *run) draw(rng *rand.Rand, src int32, c *call) {
	s, sc := &r.sources[src], &r.c.Scenarios[src]
	// Drawn in any case, so that what is drawn after them does not depend on them.
	key, cost := rng.Float64(), rng.Float64()
	if c.key = s.keys[0]; len(s.keys) > 1 {
		c.key = s.keys[min(int(sc.Keys.At(key)), len(s.keys)-1)]
	}
	if c.cost = s.cost; c.cost == 0 {
		c.cost = costOf(sc.Cost.At(cost))
	}
	c.service, c.tenant = rng.Float64(), sc.Tenant
}

// costOf rounds a drawn cost.
func costOf(v float64) int64 { return max(1, int64(min(v+0.5, policy.MaxCost))) }

// fromRow takes a recorded request.
func (r *run) fromRow(s *source, c *call) (err error) {
	if c.key, err = r.keyOf(s.row.Key); err != nil {
		return err
	}
	c.cost, c.tenant, c.service = min(max(1, s.row.Cost), policy.MaxCost), s.row.Tenant, s.row.Service
	if c.service < 0 {
		c.service = s.rng.Float64()
	}
	return nil
}

// userArrives sends the next request of a user, who is told by the event's epoch.
func (r *run) userArrives(src int32, u int32) error {
	sc := &r.c.Scenarios[src]
	if sc.Until > 0 && r.now >= r.c.Start+int64(sc.Until) {
		return nil
	}
	i, err := r.newCall(src, u)
	if err != nil {
		return err
	}
	c, who := r.calls[i], &r.sources[src].users[u]
	who.count++
	c.id = r.sources[src].seed + uint64(u)<<32 + who.count
	r.draw(who.rng, src, c)
	r.arrive(i)
	return nil
}

func (r *run) thinkTime(src, u int32) int64 {
	sc := &r.c.Scenarios[src]
	const longest = float64(1 << 60) // some 36 years: what is added to a time must not overflow
	return int64(min(sc.Think.At(r.sources[src].users[u].rng.Float64())*float64(time.Millisecond), longest))
}

// thinks plans a user's next request. At once would be for ever at one time, where
// requests are denied at once: a user takes a microsecond at least.
func (r *run) thinks(src, u int32) {
	at := r.now + max(r.thinkTime(src, u), int64(time.Microsecond))
	r.push(event{at: at, kind: think, call: src, epoch: uint32(u)})
}
