package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// failureMemory is how long an address that failed is tried after the others.
	failureMemory = int64(time.Minute)
	maxFailures   = 4096 // addresses remembered
)

// memory remembers the addresses that failed. It is safe for concurrent use.
type memory struct {
	mu     sync.Mutex
	failed map[netip.AddrPort]int64 // until
}

func (m *memory) init() { m.failed = make(map[netip.AddrPort]int64) }

// fail notes that an address did not answer.
func (m *memory) fail(a netip.AddrPort, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.failed) >= maxFailures {
		for k, until := range m.failed { // the old ones, or else any
			if until <= now || len(m.failed) >= maxFailures {
				delete(m.failed, k)
			}
		}
	}
	m.failed[a] = now + failureMemory
}

func (m *memory) clear(a netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.failed, a)
}

// sort moves the addresses that failed lately to the end, the longest ago first.
func (m *memory) sort(addrs []netip.AddrPort, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.failed) == 0 || len(addrs) < 2 {
		return
	}
	rank := func(a netip.AddrPort) int64 {
		if until := m.failed[a]; until > now {
			return until
		}
		return 0
	}
	slices.SortStableFunc(addrs, func(a, b netip.AddrPort) int { return int(min(max(rank(a)-rank(b), -1), 1)) })
}

// attempted is how the dial of one address ended.
type attempted struct {
	addr netip.AddrPort
	conn net.Conn
	err  error
}

// race dials the addresses in their order, each when the one before it has failed
// or let wait for it, and returns the first connection (RFC 8305).
func (n *Coordinator) race(ctx context.Context, network string, addrs []netip.AddrPort) (net.Conn, error) {
	if len(addrs) == 1 {
		r := n.dialOne(ctx, network, addrs[0])
		n.remember(ctx, r)
		return r.conn, r.err
	}
	racing, stop := context.WithCancel(ctx)
	defer stop()
	results := make(chan attempted, len(addrs))
	delay := n.live.Load().attemptDelay
	turn := time.NewTimer(0)
	defer turn.Stop()
	var first error
	for next, running := 0, 0; ; {
		select {
		case <-turn.C:
			if next < len(addrs) {
				addr := addrs[next]
				next, running = next+1, running+1
				n.wg.Go(func() { results <- n.dialOne(racing, network, addr) })
				turn.Reset(delay)
			}
		case r := <-results:
			running--
			n.remember(ctx, r)
			if r.err == nil {
				n.outrun(addrs[:next], r.addr)
				n.wg.Go(func() { dropRest(results, running) })
				return r.conn, nil
			}
			if first == nil {
				first = r.err
			}
			if running == 0 && (next == len(addrs) || ctx.Err() != nil) {
				return nil, first
			}
			if next < len(addrs) && ctx.Err() == nil {
				turn.Reset(0)
			}
		}
	}
}

func dropRest(results <-chan attempted, running int) {
	for range running {
		if r := <-results; r.conn != nil {
			_ = r.conn.Close()
		}
	}
}

// outrun notes the addresses that a later one was faster than.
func (n *Coordinator) outrun(tried []netip.AddrPort, winner netip.AddrPort) {
	for _, a := range tried {
		if a == winner {
			return
		}
		n.memory.fail(a, n.clock())
	}
}

func (n *Coordinator) dialOne(ctx context.Context, network string, addr netip.AddrPort) attempted {
	// Not DialTCP: it binds to a port before it is known where to, so that all places
	// together, not each, can be reached from as many ports as there are.
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr.String())
	if err != nil {
		return attempted{addr, nil, err}
	}
	return attempted{addr, c, nil}
}

// remember notes how an address did, unless it was the caller who gave up.
func (n *Coordinator) remember(ctx context.Context, r attempted) {
	switch {
	case r.err == nil:
		n.memory.clear(r.addr)
	case !errors.Is(ctx.Err(), context.Canceled):
		n.counts.addressFailed.Add(1)
		n.memory.fail(r.addr, n.clock())
	}
}
