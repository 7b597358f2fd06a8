package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	maxAddrs  = 32 // of one family that are kept of an answer
	maxChain  = 16 // aliases that are followed within an answer
	udpSize   = 1232
	rounds    = 2   // of all servers
	maxAsking = 256 // questions under way at once
	maxTTL    = 1<<31 - 1
)

var (
	errTruncated = errors.New("the answer is truncated over TCP too")
	errMismatch  = errors.New("the answer is to another question")
)

// reply is what the servers say of one name and one family of addresses.
type reply struct {
	addrs []netip.Addr
	ttl   time.Duration // of the records, or of their absence
	// missing says that the name exists and has no such address, gone that it does
	// not exist. Neither and no address: nobody answered.
	missing, gone bool
	err           error // why nobody answered
}

// asker asks name servers.
type asker struct {
	preferred atomic.Uint32 // the server that answered last
	queries   atomic.Uint64
	slots     chan struct{}
}

func newAsker() *asker { return &asker{slots: make(chan struct{}, maxAsking)} }

// ask asks one server after the other, the one that answered last first.
func (a *asker) ask(ctx context.Context, s *system, timeout time.Duration, fqdn string, qtype uint16) reply {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return reply{err: context.Cause(ctx)}
	}
	start := int(a.preferred.Load())
	var last error
	for i := range rounds * len(s.servers) {
		n := (start + i) % len(s.servers)
		msg, err := a.exchange(ctx, s.servers[n], timeout, fqdn, qtype)
		if err == nil {
			var r reply
			if r, err = readReply(msg, fqdn, qtype); err == nil {
				a.preferred.Store(uint32(n))
				return r
			}
		}
		last = fmt.Errorf("ask %s: %w", s.servers[n], err)
		if ctx.Err() != nil {
			break
		}
	}
	return reply{err: last}
}

// exchange asks one server, over TCP where the answer is too long for UDP.
func (a *asker) exchange(ctx context.Context, server string, timeout time.Duration, fqdn string, qtype uint16) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	q := new(dns.Msg).SetQuestion(fqdn, qtype)
	q.SetEdns0(udpSize, false)
	a.queries.Add(1)
	msg, err := a.once(ctx, "udp", server, q)
	if err == nil && (msg.Rcode == dns.RcodeFormatError || msg.Rcode == dns.RcodeNotImplemented) {
		q.Extra = nil // an old server, which does not know EDNS
		msg, err = a.once(ctx, "udp", server, q)
	}
	if err == nil && !msg.Truncated {
		return msg, nil
	}
	if err != nil && (msg == nil || !msg.Truncated) { // a truncated answer may not even parse
		return nil, err
	}
	if msg, err = a.once(ctx, "tcp", server, q); err == nil && msg.Truncated {
		err = errTruncated
	}
	return msg, err
}

func (a *asker) once(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	q.Id = dns.Id()
	c := dns.Client{Net: network, UDPSize: udpSize}
	msg, _, err := c.ExchangeContext(ctx, q, server)
	if err != nil {
		return msg, err
	}
	if len(msg.Question) != 1 || msg.Question[0].Qtype != q.Question[0].Qtype || !strings.EqualFold(msg.Question[0].Name, q.Question[0].Name) {
		return nil, errMismatch
	}
	return msg, nil
}

// readReply reads what a server says of fqdn. An error says that it has no answer.
func readReply(msg *dns.Msg, fqdn string, qtype uint16) (reply, error) {
	switch msg.Rcode {
	case dns.RcodeSuccess:
	case dns.RcodeNameError:
		return reply{gone: true, ttl: negativeTTL(msg)}, nil
	default:
		return reply{}, fmt.Errorf("the server answers %s", dns.RcodeToString[msg.Rcode])
	}
	r := reply{}
	ttl := uint32(maxTTL)
	owner := fqdn
	for range maxChain {
		alias := ""
		for _, rr := range msg.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, owner) {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok && alias == "" {
				alias, ttl = c.Target, min(ttl, h.Ttl)
			}
			if ip, ok := addrOf(rr, qtype); ok && len(r.addrs) < maxAddrs {
				r.addrs = append(r.addrs, ip)
				ttl = min(ttl, h.Ttl)
			}
		}
		if len(r.addrs) > 0 {
			r.ttl = seconds(ttl)
			return r, nil
		}
		if alias == "" {
			break
		}
		owner = alias
	}
	if !msg.RecursionAvailable && !msg.Authoritative && len(msg.Ns) > 0 && negativeTTL(msg) == 0 {
		return reply{}, errors.New("the server refers to others and does not ask them")
	}
	return reply{missing: true, ttl: min(negativeTTL(msg), seconds(ttl))}, nil
}

// addrOf is the address in a record of the type asked for.
func addrOf(rr dns.RR, qtype uint16) (netip.Addr, bool) {
	var ip net.IP
	switch r := rr.(type) {
	case *dns.A:
		if qtype == dns.TypeA {
			ip = r.A.To4()
		}
	case *dns.AAAA:
		if qtype == dns.TypeAAAA {
			ip = r.AAAA.To16()
		}
	}
	addr, ok := netip.AddrFromSlice(ip)
	return addr, ok
}

// negativeTTL is how long the absence holds (RFC 2308), 0 where no SOA says so.
func negativeTTL(msg *dns.Msg) time.Duration {
	for _, rr := range msg.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return seconds(min(soa.Hdr.Ttl, soa.Minttl))
		}
	}
	return 0
}

// seconds is a TTL; one with the top bit set is 0 (RFC 2181).
func seconds(ttl uint32) time.Duration {
	if ttl > maxTTL {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
