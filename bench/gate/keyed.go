package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/sethvargo/go-limiter/memorystore"
	"golang.org/x/time/rate"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/limit"
)

// keys are visited in an order that no cache foresees: a linear congruential walk.
type keys struct {
	names []string
	at    uint64
}

func newKeys(n int) *keys {
	k := &keys{names: make([]string, n)}
	for i := range k.names {
		k.names[i] = fmt.Sprintf("tenant-%08d/upstream-eu-1", i)
	}
	return k
}

func (k *keys) next() string {
	k.at = k.at*6364136223846793005 + 1442695040888963407 // Knuth, MMIX
	return k.names[(k.at>>33)%uint64(len(k.names))]
}

// guardedMap is the usual keyed limiter: a map of limiters behind a mutex.
type guardedMap struct {
	mu sync.Mutex
	m  map[string]*rate.Limiter
}

func (g *guardedMap) allow(key string) bool {
	g.mu.Lock()
	l := g.m[key]
	if l == nil {
		l = rate.NewLimiter(1e6, neverEmpty)
		g.m[key] = l
	}
	g.mu.Unlock()
	return l.Allow()
}

// keyedPeer is another keyed limiter: allow never refuses.
type keyedPeer struct {
	name  string
	allow func(key string) bool
	close func()
}

func newGuardedMap() (keyedPeer, error) {
	g := guardedMap{m: map[string]*rate.Limiter{}}
	return keyedPeer{"map of x/time/rate", g.allow, func() {}}, nil
}

func newGoLimiter() (keyedPeer, error) {
	ctx := context.Background()
	s, err := memorystore.New(&memorystore.Config{Tokens: math.MaxUint32, Interval: time.Hour})
	if err != nil {
		return keyedPeer{}, fmt.Errorf("make a go-limiter store: %w", err)
	}
	allow := func(key string) bool {
		_, _, _, ok, err := s.Take(ctx, key)
		return ok && err == nil
	}
	return keyedPeer{"go-limiter", allow, func() { _ = s.Close(ctx) }}, nil
}

// limitKeys compares a limiter that holds many keys with a peer that does.
func limitKeys(count func(effort) int, newPeer func() (keyedPeer, error)) func(context.Context, effort) (outcome, error) {
	return func(_ context.Context, e effort) (outcome, error) {
		n := count(e)
		l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1e6, Burst: 1e9, MaxKeys: 2 * n})
		if err != nil {
			return outcome{}, err
		}
		peer, err := newPeer()
		if err != nil {
			return outcome{}, err
		}
		defer peer.close()
		c, mine := newClock(), newKeys(n)
		his := &keys{names: mine.names}
		ours := ops(func() error {
			if !l.Take(c.now(), mine.next(), 1, 0).OK {
				return errRefused
			}
			return nil
		})
		theirs := ops(func() error {
			if !peer.allow(his.next()) {
				return errRefused
			}
			return nil
		})
		for _, key := range mine.names { // what is measured is finding a key, not adding one
			l.Take(c.now(), key, 1, 0)
			peer.allow(key)
		}
		allocs, err := measure.Allocs(ours, e.Allocs)
		if err != nil {
			return outcome{}, err
		}
		long := 10 * e.Sample // each key many times: at the start of a sample the caches hold the other side's
		res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, long), measure.Serial(theirs, long))
		return compared(res, allocs, "limit.Limiter", peer.name), err
	}
}

func tenThousand(effort) int { return 10_000 }
func manyKeys(e effort) int  { return e.Keys }

var errNoMemory = errors.New("the heap did not grow")

// limitBytes is what a key costs in memory, without the bytes of the key itself.
func limitBytes(_ context.Context, e effort) (outcome, error) {
	names := newKeys(e.Keys).names
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1, Burst: 10, MaxKeys: 2 * e.Keys})
	if err != nil {
		return outcome{}, err
	}
	before := heap()
	for _, key := range names {
		l.Take(1e18, key, 1, 0)
	}
	after := heap()
	runtime.KeepAlive(names)
	const copied = 32 // of a key of 28 bytes, as the allocator rounds it
	grown := float64(after) - float64(before) - float64(len(names)*copied)
	if l.Len() != len(names) || grown <= 0 {
		return outcome{}, errNoMemory
	}
	return outcome{ratio: grown / float64(len(names)), how: measure.Result{Quiet: 1, Turns: 1}}, nil
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
