package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Lease is a connection that was admitted as a whole: a tunnel.
type Lease struct {
	// Conn is the connection to the target. Done closes it.
	Conn net.Conn

	pool *Pool
	op   *admission.Op
	res  policy.Response
	sent int64
	once sync.Once
}

// Admit dials the host of c.URL, or an upstream of c.Group, when policies and
// limits let it go, and again where the rules allow. It is for CONNECT: no HTTP is
// spoken. The action that policies see is "connect". ctx and c.Timeout bound the
// way to the connection, not its life. Errors are those of Do.
func (p *Pool) Admit(ctx context.Context, c *Call) (*Lease, error) {
	c.Result = admission.Outcome{}
	if c.URL == nil || (c.URL.Host == "" && c.Group == nil) {
		return nil, &Error{policy.ErrorOther, errURL}
	}
	if _, ok := p.transports[c.Profile]; !ok {
		return nil, fmt.Errorf("%w %q", ErrProfile, c.Profile)
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	p.enter()
	l := &Lease{pool: p, op: p.core.NewOp()}
	op := l.op
	op.Group, op.Idempotent, op.Replayable = c.Group, true, true // nothing was sent yet
	op.Req.Header = &fieldLookup{c.Header}
	c.describe(&op.Req, p.asked())
	op.Req.Action, op.Req.Method = "connect", http.MethodConnect
	err := p.driver.Admit(ctx, op)
	for {
		c.Result = op.Outcome()
		if err != nil {
			op.Free()
			p.leave()
			return nil, err
		}
		l.sent = p.driver.Now()
		conn, dialErr := l.dial(ctx, c)
		l.res = policy.Response{Duration: time.Duration(max(p.driver.Now()-l.sent, 0)), Bytes: -1, Status: http.StatusOK}
		if dialErr != nil {
			l.res.Status, l.res.Error = 0, kindOf(ctx, dialErr)
		}
		switch again := p.driver.Answered(op, &l.res); {
		case again:
			if conn != nil { // a policy wants another upstream
				_ = conn.Close()
			}
			p.driver.Settle(op, &l.res)
			err = p.driver.Again(ctx, op)
		case dialErr != nil:
			l.Done(l.res.Error, 0)
			return nil, &Error{l.res.Error, dialErr}
		default:
			l.Conn = conn
			return l, nil
		}
	}
}

func (l *Lease) dial(ctx context.Context, c *Call) (net.Conn, error) {
	if d := l.op.Decision.Timeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	target := c.URL
	if i := l.op.Upstream(); i >= 0 && c.Group != nil {
		target = c.Group.Upstream(i).URL
	}
	return l.pool.transports[c.Profile].dial(ctx, "tcp", dialAddr(target))
}

// dialAddr is a URL's host with its port, 443 where nothing says otherwise.
func dialAddr(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// Done ends the tunnel and closes its connection: kind is one of policy's kinds of
// failure, "" where it ended well, bytes what came from the target. Only the first
// call counts.
func (l *Lease) Done(kind string, bytes int64) {
	l.once.Do(func() {
		if l.Conn != nil {
			_ = l.Conn.Close()
		}
		l.res.Error, l.res.Bytes = kind, max(bytes, 0)
		l.res.Duration = time.Duration(max(l.pool.driver.Now()-l.sent, 0))
		l.pool.received.Add(uint64(l.res.Bytes))
		l.pool.driver.Settle(l.op, &l.res)
		l.op.Free()
		l.pool.leave()
	})
}
