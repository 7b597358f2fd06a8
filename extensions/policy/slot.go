package policy

import (
	"slices"
	"sync"
	"sync/atomic"
)

// retired marks a generation that no new lease may be taken on.
const retired = int64(1) << 62

// Generation is a numbered chain that hooks are leased from, one lease a call. It
// is safe for concurrent use.
type Generation struct {
	number uint64
	chain  *Chain
	leases atomic.Int64 // count, and the retired bit
	once   sync.Once
	idle   chan struct{}
}

// NewGeneration returns a generation ready to be put in a slot.
func NewGeneration(number uint64, c *Chain) *Generation {
	return &Generation{number: number, chain: c, idle: make(chan struct{})}
}

// Number counts generations from 1.
func (g *Generation) Number() uint64 { return g.number }

// Chain returns the policies of the generation; a nil one has none.
func (g *Generation) Chain() *Chain {
	if g == nil {
		return nil
	}
	return g.chain
}

func (g *Generation) acquire() bool {
	if g.leases.Add(1) < retired {
		return true
	}
	g.Release()
	return false
}

// Release ends a lease taken with Slot.Lease. It must be called once a lease.
func (g *Generation) Release() {
	if g.leases.Add(-1) == retired {
		g.once.Do(func() { close(g.idle) })
	}
}

// Retire stops new leases. The channel is closed once the last one ended; until
// then the policies must stay open. Calling it again returns the same channel.
func (g *Generation) Retire() <-chan struct{} {
	if g.leases.Or(retired) == 0 {
		g.once.Do(func() { close(g.idle) })
	}
	return g.idle
}

// Slot holds the generation in force. The zero Slot holds an empty one, number 0.
// It is safe for concurrent use.
type Slot struct {
	p      atomic.Pointer[Generation]
	beside atomic.Pointer[Chain] // that is not in force
	union  atomic.Pointer[scalarUnion]
}

// scalarUnion are the scalars that two chains read, so that the slice stays the same.
type scalarUnion struct {
	chain, beside *Chain
	names         []string
}

// SetBeside has the scalars that c reads extracted too, though it is not in force; nil
// ends that.
func (s *Slot) SetBeside(c *Chain) { s.beside.Store(c) }

// Scalars is Chain.Scalars of the chain in force and of the one beside it.
func (s *Slot) Scalars(r *Request) []string {
	chain, beside := s.p.Load().Chain(), s.beside.Load()
	names := chain.Scalars(r)
	if len(beside.Scalars(r)) == 0 {
		return names
	}
	u := s.union.Load()
	if u == nil || u.chain != chain || u.beside != beside {
		u = &scalarUnion{chain: chain, beside: beside, names: slices.Clone(beside.scalars)}
		if chain != nil {
			for _, name := range chain.scalars {
				if !slices.Contains(u.names, name) {
					u.names = append(u.names, name)
				}
			}
		}
		s.union.Store(u)
	}
	return u.names
}

// Swap puts g in force for every hook that starts from now on and returns the one
// before it, nil for none. The caller retires that one.
func (s *Slot) Swap(g *Generation) *Generation { return s.p.Swap(g) }

// Current returns the generation in force without leasing it, nil for none: for
// status only.
func (s *Slot) Current() *Generation { return s.p.Load() }

// Lease returns the generation in force, to be given back with Release after one
// hook call; nil where there is none.
func (s *Slot) Lease() *Generation {
	for {
		g := s.p.Load()
		if g == nil || g.acquire() {
			return g
		}
	}
}

// Decide asks the generation in force before an attempt and returns its number.
func (s *Slot) Decide(r *Request, d *Decision, scratch *Scratch) uint64 {
	g := s.Lease()
	if g == nil {
		return 0
	}
	defer g.Release()
	g.chain.OnRequest(r, d, scratch)
	return g.number
}
