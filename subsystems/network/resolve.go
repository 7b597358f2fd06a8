package network

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Answer is what a name resolves to. It is a value that its holder cannot change
// for others.
type Answer struct {
	addrs  []netip.Addr  // shared; never handed out
	only   netip.Addr    // of a name that is an address
	Source string        // one of the Sources
	TTL    time.Duration // left; below 0 for a stale answer, 0 for an address
	Cached bool          // nobody had to be asked
	Stale  bool          // given after its end, as no server answered
}

// Len is the number of addresses.
func (a Answer) Len() int {
	if a.only.IsValid() {
		return 1
	}
	return len(a.addrs)
}

// At returns the address at i, 0 <= i < Len(). They are in the order in which they
// are tried: IPv6 and IPv4 in turn.
func (a Answer) At(i int) netip.Addr {
	if a.only.IsValid() {
		return a.only
	}
	return a.addrs[i]
}

// All yields the addresses in their order.
func (a Answer) All() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for i := range a.Len() {
			if !yield(a.At(i)) {
				return
			}
		}
	}
}

// Resolve answers a name from the cache, or asks for it, when policies and limits
// let it. The action that policies see is "resolve". An error is a
// *admission.DeniedError, a *net.DNSError or the context's. An answer that is in the
// cache costs no allocation.
func (n *Coordinator) Resolve(ctx context.Context, host string) (Answer, error) {
	name, err := normal(host)
	if err != nil {
		return Answer{}, err
	}
	op := n.newOp(ctx, "resolve", name)
	err = n.driver.Admit(ctx, op)
	for {
		if err != nil {
			end(ctx, op)
			return Answer{}, err
		}
		answer, took, found := n.find(ctx, op, name)
		res := n.calls.Get().(*policy.Response)
		*res = policy.Response{Duration: took, Status: http.StatusOK}
		n.outcome(ctx, res, found)
		again := n.driver.Answered(op, res)
		n.driver.Settle(op, res)
		n.calls.Put(res)
		if !again {
			end(ctx, op)
			return answer, found
		}
		err = n.driver.Again(ctx, op)
	}
}

// find is the action of Resolve.
func (n *Coordinator) find(ctx context.Context, op *admission.Op, name string) (Answer, time.Duration, error) {
	if d := op.Decision.Timeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	return n.addresses(ctx, name)
}

// addresses answers a name in its normal form, without asking policies, and tells
// what that took: 0 where nobody was asked.
func (n *Coordinator) addresses(ctx context.Context, name string) (Answer, time.Duration, error) {
	if ip, ok := literal(name); ok {
		return Answer{only: ip, Source: SourceLiteral}, 0, nil
	}
	began := n.clock()
	a, how, err := n.resolver.lookup(ctx, began, name)
	now := began
	if how != cached {
		now = n.clock()
	}
	took := time.Duration(max(now-began, 0))
	if err != nil {
		return Answer{}, took, err
	}
	return Answer{addrs: a.addrs, Source: a.source, TTL: time.Duration(a.expires - now), Cached: how != asked, Stale: how == stale}, took, nil
}

// literal reads a name that is an address.
func literal(name string) (netip.Addr, bool) {
	if c := name[0]; c != ':' && (c < '0' || c > '9') && !strings.Contains(name, ":") {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(name)
	return ip.Unmap(), err == nil
}

// outcome fills in how an attempt of either action ended.
func (n *Coordinator) outcome(ctx context.Context, res *policy.Response, err error) {
	if err == nil {
		return
	}
	res.Status = 0
	var not *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		res.Error = policy.ErrorCanceled
	case errors.As(err, &not) && not.IsNotFound:
		res.Status = http.StatusNotFound
	case errors.Is(err, ErrPrivate), errors.Is(err, ErrBusy):
		res.Error = policy.ErrorDenied
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		res.Error = policy.ErrorTimeout
	default:
		res.Error = policy.ErrorRefused
	}
}

// Cached lists at most limit names of the cache, those used last first.
func (n *Coordinator) Cached(limit int) []Entry {
	return n.resolver.cache.entries(n.clock(), limit)
}

// FlushCache forgets every name, and returns how many there were.
func (n *Coordinator) FlushCache() int { return n.resolver.cache.flush() }

var errNotUTF8 = errors.New("network: a name is not UTF-8")

// toASCII is a name in lower case, in the letters that DNS knows.
func toASCII(name string) (string, error) {
	for i := range len(name) {
		if name[i] >= 0x80 {
			if !utf8.ValidString(name) {
				return "", errNotUTF8
			}
			return idna.Lookup.ToASCII(name)
		}
	}
	return strings.ToLower(name), nil
}
