package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// ErrNetwork is the error of a dial over something else than TCP.
var ErrNetwork = errors.New("network: only tcp, tcp4 and tcp6 are dialled")

// Dialer is a view of a Coordinator.
type Dialer struct {
	n             *Coordinator
	guarded, part bool
}

// Within dials for operations of other subsystems, which have asked the policies:
// a connection is a part of them, and only policies are asked whose match names the
// subsystem network. Limits hold as they do for all.
func (n *Coordinator) Within() *Dialer { return &Dialer{n: n, part: true} }

// Guarded dials for targets that somebody other than the operator named: only
// addresses that are public, or in AllowRanges, are reached. The address is checked
// that is then dialled, so a name that changes meanwhile gains nothing.
func (n *Coordinator) Guarded() *Dialer { return &Dialer{n: n, guarded: true} }

// Guarded is d behind the guard.
func (d *Dialer) Guarded() *Dialer { return &Dialer{d.n, true, d.part} }

// DialContext is Coordinator.DialContext by the rules of the view.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	t, err := d.n.target(network, addr, d.guarded)
	t.part = d.part
	return d.n.dial(ctx, t, err, nil)
}

// DialContext opens a connection to addr, HOST:PORT, over tcp, tcp4 or tcp6, when
// policies and limits let it. The action that policies see is "connect". The caller
// closes the connection. An error is a *admission.DeniedError, the context's, or a
// *net.OpError about the addresses that were tried.
func (n *Coordinator) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	t, err := n.target(network, addr, false)
	return n.dial(ctx, t, err, nil)
}

// Timing is what the parts of a dial took.
type Timing struct {
	Held    time.Duration // by policies and limits
	Queued  time.Duration // for a place among the host's connections
	Resolve time.Duration
	Connect time.Duration
	Answer  Answer         // of the name
	Address netip.AddrPort // that was reached
}

// Check dials like DialContext, closes the connection and tells what it took.
func (n *Coordinator) Check(ctx context.Context, network, addr string, guarded bool) (Timing, error) {
	var took Timing
	t, err := n.target(network, addr, guarded)
	c, err := n.dial(ctx, t, err, &took)
	if err != nil {
		return took, err
	}
	return took, c.Close()
}

// target is what is dialled.
type target struct {
	network, host, key string
	port               uint16
	guarded, part      bool
}

func (n *Coordinator) target(network, addr string, guarded bool) (target, error) {
	t := target{network: network, guarded: guarded || n.live.Load().denyPrivate}
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return t, fmt.Errorf("%w, got %q", ErrNetwork, network)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return t, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return t, &net.AddrError{Err: "want a port from 1 to 65535", Addr: addr}
	}
	t.port = uint16(number)
	if t.host, err = normal(host); err != nil {
		return t, err
	}
	t.key = keyOf(t.host, port)
	return t, nil
}

// keyOf is what limits count on: the host, with its port where that is neither 80
// nor 443.
func keyOf(host, port string) string {
	if len(host) > 1 {
		host = strings.TrimSuffix(host, ".")
	}
	if port != "80" && port != "443" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// dial opens a connection to t, unless there was an error in naming it.
func (n *Coordinator) dial(ctx context.Context, t target, err error, took *Timing) (net.Conn, error) {
	if err == nil && !n.enter() {
		err = net.ErrClosed
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: t.network, Err: err}
	}
	defer n.wg.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.base, cancel)()
	if d := n.live.Load().dialTimeout; d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	if took == nil {
		took = &Timing{}
	}
	op := n.newOp(ctx, "connect", t.key)
	op.Req.Part = t.part
	began := n.clock()
	err = n.driver.Admit(ctx, op)
	took.Held = time.Duration(n.clock() - began)
	for {
		if err != nil {
			end(ctx, op)
			return nil, err
		}
		res := n.calls.Get().(*policy.Response)
		c, failed := n.attempt(ctx, op, t, took, res)
		again := n.driver.Answered(op, res)
		n.driver.Settle(op, res)
		n.calls.Put(res)
		if !again {
			end(ctx, op)
			if failed != nil {
				n.counts.dialFailed.Add(1)
				var op *net.OpError
				if errors.As(failed, &op) {
					return nil, failed
				}
				return nil, &net.OpError{Op: "dial", Net: t.network, Err: failed}
			}
			return c, nil
		}
		if c != nil {
			_ = c.Close()
		}
		err = n.driver.Again(ctx, op)
	}
}

// attempt is the action of a dial: a place at the host, the addresses, a connection.
func (n *Coordinator) attempt(ctx context.Context, op *admission.Op, t target, took *Timing, res *policy.Response) (net.Conn, error) {
	if d := op.Decision.Timeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	began := n.clock()
	c, err := n.place(ctx, t, took)
	*res = policy.Response{Duration: time.Duration(max(n.clock()-began, 0)), Status: http.StatusOK, Bytes: -1}
	n.outcome(ctx, res, err)
	return c, err
}

func (n *Coordinator) place(ctx context.Context, t target, took *Timing) (net.Conn, error) {
	began := n.clock()
	h, err := n.hosts.acquire(ctx, t.key, began)
	at := n.clock()
	took.Queued = time.Duration(at - began)
	if err != nil {
		return nil, err
	}
	raw, err := n.connect(ctx, t, took, at)
	if err == nil {
		c, closed := n.keep(raw, h)
		if closed == nil {
			return c, nil
		}
		err = closed
	}
	n.hosts.release(h, n.clock())
	return nil, err
}

// connect resolves the target and reaches one of its addresses.
func (n *Coordinator) connect(ctx context.Context, t target, took *Timing, began int64) (net.Conn, error) {
	answer, resolving, err := n.addresses(ctx, t.host)
	took.Resolve = resolving
	if err != nil {
		return nil, err
	}
	took.Answer = answer
	addrs, err := n.permitted(t, answer)
	if err != nil {
		return nil, err
	}
	raw, err := n.race(ctx, t.network, addrs)
	took.Connect = max(time.Duration(n.clock()-began)-resolving, 0)
	if err != nil {
		return nil, err
	}
	if tcp, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		took.Address = tcp.AddrPort()
	}
	return raw, nil
}

// permitted are the addresses that may be dialled, those that failed lately last.
func (n *Coordinator) permitted(t target, a Answer) ([]netip.AddrPort, error) {
	g := n.live.Load().guard
	addrs := make([]netip.AddrPort, 0, a.Len())
	refused := netip.Addr{}
	for ip := range a.All() {
		switch {
		case t.network == "tcp4" && !ip.Is4(), t.network == "tcp6" && !ip.Is6():
		case t.guarded && !g.permits(ip):
			refused = ip
		default:
			addrs = append(addrs, netip.AddrPortFrom(ip, t.port))
		}
	}
	switch {
	case len(addrs) > 0:
		n.memory.sort(addrs, n.clock())
		return addrs, nil
	case refused.IsValid():
		n.counts.refused.Add(1)
		if refused.String() == t.host {
			return nil, fmt.Errorf("%w: %s", ErrPrivate, t.host)
		}
		return nil, fmt.Errorf("%w: %s is %s", ErrPrivate, t.host, refused)
	}
	return nil, &net.DNSError{Err: "the name has no address of this family", Name: t.host, IsNotFound: true}
}
