package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// lateFamily is how long the answer of one family of addresses waits for that of
	// the other (RFC 8305, the resolution delay).
	lateFamily = 50 * time.Millisecond
	// staleAfter is how long a question with a stale answer at hand waits for the
	// servers (RFC 8767, the client response timer, is 1.8 s).
	staleAfter = 500 * time.Millisecond
	// systemTTL is the life of what the standard library found: it tells no TTL.
	systemTTL = 10 * time.Second
)

// resolver answers names: from the cache, from the machine's own names, from name
// servers. Names that are not for those it leaves to the standard library.
type resolver struct {
	clock  func() int64
	files  watched
	asker  *asker
	cache  cache
	config atomic.Pointer[DNS]

	base context.Context
	wg   sync.WaitGroup

	hits, misses, stales, prefetches, failures atomic.Uint64
}

func (r *resolver) init(base context.Context, clock func() int64) {
	r.base, r.clock, r.asker = base, clock, newAsker()
	r.cache.init()
}

// set puts d in force. Names are asked for anew where they may have other answers.
func (r *resolver) set(d DNS) {
	old := r.config.Swap(&d)
	r.cache.setMax(d.MaxEntries)
	changed := r.files.set(d, r.clock())
	if old != nil && (changed || old.MinTTL != d.MinTTL || old.MaxTTL != d.MaxTTL || old.NegativeTTL != d.NegativeTTL) {
		r.cache.flush()
	}
}

// refresh looks at the system's files.
func (r *resolver) refresh() {
	if r.files.refresh(r.clock()) {
		r.cache.flush()
	}
}

// how an answer was come by.
type how uint8

const (
	asked  how = iota // somebody was asked
	cached            // it was there
	stale             // it was there, and past its end
)

// lookup answers a name in lower case without a dot at its end. An error is the
// answer's or the context's.
func (r *resolver) lookup(ctx context.Context, now int64, name string) (*answer, how, error) {
	r.cache.mu.Lock()
	e := r.cache.byName[name]
	if e != nil && now < e.answer.expires {
		a := e.answer
		r.cache.touchLocked(e)
		if now >= a.prefetch && r.cache.flights[name] == nil {
			r.prefetches.Add(1)
			r.launchLocked(name)
		}
		r.cache.mu.Unlock()
		r.hits.Add(1)
		if a.err != nil {
			return a, cached, a.err
		}
		return a, cached, nil
	}
	r.cache.mu.Unlock()
	return r.miss(ctx, name)
}

// miss answers a name that has no fresh answer.
func (r *resolver) miss(ctx context.Context, name string) (*answer, how, error) {
	r.refresh()
	now := r.clock()
	r.misses.Add(1)
	r.cache.mu.Lock()
	var old *answer
	if e := r.cache.byName[name]; e != nil && len(e.answer.addrs) > 0 && now < e.answer.stale {
		old = e.answer
		r.cache.touchLocked(e)
		if now < e.retry {
			r.cache.mu.Unlock()
			r.stales.Add(1)
			return old, stale, nil
		}
	}
	f := r.cache.flights[name]
	if f == nil || f.answer != nil && f.answer.expires <= now { // what came first has ended before the rest came
		f = r.launchLocked(name)
	}
	r.cache.mu.Unlock()
	var impatient <-chan time.Time
	if old != nil {
		t := time.NewTimer(staleAfter)
		defer t.Stop()
		impatient = t.C
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, asked, context.Cause(ctx)
	case <-impatient:
		r.stales.Add(1)
		return old, stale, nil
	}
	switch a := f.answer; {
	case a.err == nil:
		return a, asked, nil
	case old != nil && !a.err.IsNotFound:
		r.stales.Add(1)
		return old, stale, nil
	default:
		return a, asked, a.err
	}
}

// launchLocked begins to ask for a name; the cache is locked.
func (r *resolver) launchLocked(name string) *flight {
	f := &flight{done: make(chan struct{})}
	if r.cache.closed {
		f.answer = &answer{err: &net.DNSError{Err: net.ErrClosed.Error(), Name: name}}
		close(f.done)
		return f
	}
	name = strings.Clone(name)
	r.cache.flights[name] = f
	r.wg.Go(func() { r.fly(name, f) })
	return f
}

// stop ends every question, once base has ended, and waits for that.
func (r *resolver) stop() {
	r.cache.mu.Lock()
	r.cache.closed = true
	r.cache.mu.Unlock()
	r.wg.Wait()
}

// fly asks for a name, and ends f when there is something to say. What comes later
// is added to the cache.
func (r *resolver) fly(name string, f *flight) {
	s, d := r.files.now.Load(), r.config.Load()
	var a *answer
	switch local := s.local(strings.TrimSuffix(name, ".")); {
	case local != nil:
		a = r.answer(d, SourceHosts, reply{addrs: local, ttl: time.Duration(recheck)}, name)
	case s.foreign(strings.TrimSuffix(name, ".")):
		a = r.answer(d, SourceSystem, r.fromSystem(name, rounds*d.Timeout), name)
	default:
		a = r.fromServers(s, d, name, f)
	}
	r.land(name, f, a, true)
}

// land keeps an answer and gives it to those who wait. last says that nothing more
// will come.
func (r *resolver) land(name string, f *flight, a *answer, last bool) {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	e, newest := r.cache.byName[name], r.cache.flights[name] == f
	if last && newest {
		delete(r.cache.flights, name)
	}
	failed := a.err != nil && !a.err.IsNotFound
	if failed {
		r.failures.Add(1)
	}
	switch {
	case !newest: // a later question has answered, or will
	case failed && e != nil && len(e.answer.addrs) > 0 && a.made < e.answer.stale:
		e.retry = a.made + int64(staleRetry) // nobody answers: what was known stays
	default:
		r.cache.storeLocked(name, a)
	}
	if f.answer == nil {
		f.answer = a
		close(f.done)
	}
}

// fromServers asks the name servers for the candidates of a name, until one exists.
func (r *resolver) fromServers(s *system, d *DNS, name string, f *flight) *answer {
	result := reply{gone: true}
	for _, fqdn := range s.search.NameList(name) {
		if _, ok := dns.IsDomainName(fqdn); !ok {
			continue
		}
		got := r.families(s, d, name, fqdn, f)
		if len(got.addrs) > 0 || got.err != nil {
			result = got
			break
		}
		if result.gone { // the first that says that the name exists, else the first at all
			if result.ttl == 0 || got.missing {
				result = got
			}
		}
	}
	return r.answer(d, SourceDNS, result, name)
}

// families asks for the addresses of both families at once. Where one lets wait
// for it, the other lands first.
func (r *resolver) families(s *system, d *DNS, name, fqdn string, f *flight) reply {
	types := [...]uint16{dns.TypeAAAA, dns.TypeA}
	ch := make(chan int, len(types))
	var got [len(types)]reply
	for i, t := range types {
		go func() { // ends before families does
			got[i] = r.asker.ask(r.base, s, d.Timeout, fqdn, t)
			ch <- i
		}()
	}
	first, since := <-ch, r.clock()
	if len(got[first].addrs) == 0 {
		<-ch
		return merge(got[0], got[1])
	}
	late := time.NewTimer(lateFamily)
	defer late.Stop()
	select {
	case <-ch:
	case <-late.C:
		r.land(name, f, r.answer(d, SourceDNS, got[first], name), false)
		<-ch
		got[first].ttl = max(got[first].ttl-time.Duration(r.clock()-since), 0)
	}
	return merge(got[0], got[1])
}

// merge joins what is known of the two families.
func merge(six, four reply) reply {
	switch {
	case len(six.addrs) > 0 && len(four.addrs) > 0:
		return reply{addrs: interleave(six.addrs, four.addrs), ttl: min(six.ttl, four.ttl)}
	case len(six.addrs) > 0:
		return withAbsence(six, four)
	case len(four.addrs) > 0:
		return withAbsence(four, six)
	case six.err != nil:
		return six
	case four.err != nil:
		return four
	}
	return reply{missing: six.missing || four.missing, gone: six.gone && four.gone, ttl: min(six.ttl, four.ttl)}
}

// withAbsence is an answer that lives no longer than it is known that the other
// family has no address; where nobody said so, as long as its own records.
func withAbsence(r, absent reply) reply {
	if absent.ttl > 0 {
		r.ttl = min(r.ttl, absent.ttl)
	}
	return r
}

func interleave(a, b []netip.Addr) []netip.Addr {
	all := make([]netip.Addr, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			all = append(all, a[i])
		}
		if i < len(b) {
			all = append(all, b[i])
		}
	}
	return all
}

// fromSystem asks the standard library.
func (r *resolver) fromSystem(name string, timeout time.Duration) reply {
	ctx, cancel := context.WithTimeout(r.base, timeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	var not *net.DNSError
	switch {
	case errors.As(err, &not) && not.IsNotFound:
		return reply{gone: true, ttl: systemTTL}
	case err != nil:
		return reply{err: err}
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return reply{addrs: addrs[:min(len(addrs), 2*maxAddrs)], ttl: systemTTL}
}

// answer gives a reply the times that it lives.
func (r *resolver) answer(d *DNS, source string, p reply, name string) *answer {
	now := r.clock()
	a := &answer{addrs: p.addrs, source: source, made: now}
	var ttl time.Duration
	switch {
	case len(p.addrs) > 0:
		ttl = min(max(p.ttl, d.MinTTL), d.MaxTTL)
		a.stale = now + int64(ttl+d.StaleFor)
	case p.err != nil:
		ttl = failureTTL
		var timeout interface{ Timeout() bool }
		a.err = &net.DNSError{Err: p.err.Error(), Name: name, IsTimeout: errors.As(p.err, &timeout) && timeout.Timeout(), IsTemporary: true}
	default:
		ttl = min(p.ttl, d.NegativeTTL)
		text := "no such host"
		if !p.gone {
			text = "the name has no address"
		}
		a.err = &net.DNSError{Err: text, Name: name, IsNotFound: true}
	}
	a.expires = now + int64(ttl)
	a.prefetch = a.expires - int64(ttl)/prefetchShare
	if a.err != nil || source != SourceDNS {
		a.prefetch = a.expires
	}
	return a
}

// normal is a host name as the cache knows it. It allocates only for one with upper
// case or without ASCII.
func normal(name string) (string, error) {
	lower, good := true, true
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z' || c >= 0x80:
			lower = false
		case c <= ' ' || c == '/' || c == '\\' || c == 0x7f:
			good = false
		}
	}
	if !lower && good {
		ascii, err := toASCII(name)
		if err != nil {
			return "", &net.DNSError{Err: "not a host name", Name: name, IsNotFound: true}
		}
		name = ascii
	}
	// A name with a dot at its end is complete; its key keeps the dot, so that the
	// search list is left alone.
	if n := len(name); n == 0 || n > 254 || name == "." || !good {
		return "", &net.DNSError{Err: "not a host name", Name: name, IsNotFound: true}
	}
	return name, nil
}
