package network

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// prefetchShare of an answer's life is its end, in which a question makes it be
	// asked for again.
	prefetchShare = 10
	// failureTTL is how long a name that no server answered for is not asked again,
	// staleRetry the same where a stale answer stands in.
	failureTTL = time.Second
	staleRetry = 5 * time.Second
)

// Sources of an Answer.
const (
	SourceDNS     = "dns"     // name servers
	SourceHosts   = "hosts"   // the machine's own names
	SourceSystem  = "system"  // the standard library
	SourceLiteral = "literal" // the name is an address
)

// answer is what is known of a name: addresses, or an error. It is immutable.
type answer struct {
	addrs  []netip.Addr // IPv6 and IPv4 in turn
	err    *net.DNSError
	source string

	made, prefetch, expires, stale int64
}

// entry is a name in the cache.
type entry struct {
	name       string
	answer     *answer
	retry      int64 // a stale answer stands in until then, without asking
	prev, next *entry
}

// flight is a name that is being asked for.
type flight struct {
	done   chan struct{} // closed once answer is set
	answer *answer
}

// cache keeps the answers of names, those used last first. It is safe for
// concurrent use.
type cache struct {
	mu      sync.Mutex
	max     int
	byName  map[string]*entry
	ring    entry // ring.next is the entry used last
	flights map[string]*flight
	closed  bool // nothing is asked for any more
}

func (c *cache) init() {
	c.byName, c.flights = make(map[string]*entry), make(map[string]*flight)
	c.ring.prev, c.ring.next = &c.ring, &c.ring
}

func (e *entry) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

// touchLocked makes e the entry used last.
func (c *cache) touchLocked(e *entry) {
	if c.ring.next == e {
		return
	}
	e.unlink()
	c.linkLocked(e)
}

func (c *cache) linkLocked(e *entry) {
	e.prev, e.next = &c.ring, c.ring.next
	e.prev.next, e.next.prev = e, e
}

// storeLocked keeps the answer of a name, or forgets the name where the answer is
// not to be kept.
func (c *cache) storeLocked(name string, a *answer) {
	e := c.byName[name]
	if a.expires <= a.made {
		if e != nil {
			c.dropLocked(e)
		}
		return
	}
	if e == nil {
		e = &entry{name: name}
		c.byName[name] = e
		c.linkLocked(e)
	}
	e.answer, e.retry = a, 0
	c.trimLocked()
}

func (c *cache) dropLocked(e *entry) {
	e.unlink()
	delete(c.byName, e.name)
}

func (c *cache) trimLocked() {
	for len(c.byName) > c.max {
		c.dropLocked(c.ring.prev)
	}
}

// setMax bounds the names that are kept.
func (c *cache) setMax(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.max = n
	c.trimLocked()
}

// flush forgets every name and returns how many there were. Those being asked for
// are kept when they come in.
func (c *cache) flush() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.byName)
	clear(c.byName)
	c.ring.prev, c.ring.next = &c.ring, &c.ring
	return n
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byName)
}

// Entry is one name in the cache.
type Entry struct {
	Name   string
	Addrs  []netip.Addr
	Error  string // "" where there are addresses
	Source string
	TTL    time.Duration // left; below 0 for an answer that would be stale
}

// entries lists at most limit names, those used last first.
func (c *cache) entries(now int64, limit int) []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Entry, 0, min(limit, len(c.byName)))
	for e := c.ring.next; e != &c.ring && len(all) < limit; e = e.next {
		x := Entry{Name: e.name, Addrs: append([]netip.Addr(nil), e.answer.addrs...), Source: e.answer.source, TTL: time.Duration(e.answer.expires - now)}
		if e.answer.err != nil {
			x.Error = e.answer.err.Err
		}
		all = append(all, x)
	}
	return all
}
