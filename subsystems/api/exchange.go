package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/api/h1"
	"github.com/gaia-host/gaia/subsystems/api/scalars"
)

const (
	// A refused answer is read to its end, so that its connection can be used
	// again, if that is short and quick.
	maxDrain  = 64 << 10
	drainTime = 250 * time.Millisecond
)

// exchange is one call on its way, and afterwards the body of its answer.
type exchange struct {
	pool   *Pool
	op     *admission.Op
	ctx    context.Context // the caller's, with the timeout of the call
	cancel context.CancelFunc
	body   *replay // nil: none
	out    h1.Request
	to     url.URL // of the first attempt, where it is not the call's

	stop   context.CancelFunc // of the attempt's timeout, nil none
	sent   int64
	res    policy.Response
	fields fieldLookup // of the request
	answer fieldLookup

	from     io.ReadCloser // the transport's body
	max      int64         // bytes of it, 0 no bound
	received atomic.Int64
	ended    atomic.Bool

	names *scalars.Names // of the JSON scalars that policies read of the bodies, nil none
	tap   *scalars.Tap   // of the answer, nil none
}

// send makes one attempt and returns at the answer's headers.
func (x *exchange) send(c *Call) (*http.Response, error) {
	op := x.op
	var up *route.Upstream
	if i := op.Upstream(); i >= 0 && op.Group != nil {
		up = op.Group.Upstream(i)
	}
	to := c.URL
	if up != nil {
		to = &url.URL{} // an earlier attempt may still be looking at its own
		if op.Req.Attempt == 1 {
			to = &x.to
		}
		c.target(to, up.URL)
	}
	ctx := x.ctx
	if d := op.Decision.Timeout; d > 0 {
		ctx, x.stop = context.WithTimeout(ctx, d)
	}
	x.out = h1.Request{Method: c.method(), URL: to, Header: x.headerFor(c.Header, up), Got1xx: c.Got1xx}
	if x.body != nil {
		b, err := x.body.open(op.Req.Attempt == 1)
		if err != nil {
			return nil, err
		}
		x.out.Body, x.out.ContentLength, x.out.Trailer = b, c.ContentLength, c.Trailer
		x.out.GetBody = x.reopen
	}
	t := x.pool.transports[c.Profile]
	c.Held = c.Held || x.body != nil || t.shares(&x.out)
	return t.send(ctx, &x.out)
}

// reopen is for the transport, which sends again by itself where a kept connection
// turned out to be dead.
func (x *exchange) reopen() (io.ReadCloser, error) {
	if !x.body.again() {
		return nil, errNotKept
	}
	return x.body.open(false)
}

// headerFor is what the attempt sends: the caller's fields, then what policies set,
// then the upstream's own. It is a copy unless something is changed.
func (x *exchange) headerFor(h http.Header, up *route.Upstream) http.Header {
	set := x.op.Decision.Headers
	plain := x.names != nil && len(h["Accept-Encoding"]) > 0
	if len(set) == 0 && !plain && (up == nil || len(up.Headers) == 0) {
		return h
	}
	out := h.Clone()
	if out == nil {
		out = http.Header{}
	}
	if plain {
		out.Set("Accept-Encoding", "identity") // or its scalars could not be read
	}
	for _, f := range set {
		out.Set(f.Name, f.Value)
	}
	if up != nil {
		for _, f := range up.Headers {
			out.Set(f.Name, f.Value)
		}
	}
	return out
}

// answered describes an attempt at its headers to the policies, and reports whether
// it is to be made again.
func (x *exchange) answered(res *http.Response, err error) bool {
	now := x.pool.driver.Now()
	x.res = policy.Response{Duration: time.Duration(max(now-x.sent, 0)), Bytes: -1}
	if err != nil {
		x.res.Error = kindOf(x.ctx, err)
		if isUnsendable(err) {
			x.res.Error = policy.ErrorDenied // nothing was sent: no fault of the upstream
		}
	} else {
		x.answer.fields = res.Header
		x.res.Status, x.res.Header = res.StatusCode, &x.answer
		x.res.RetryAfter = retryAfter(now, res)
	}
	x.op.Replayable = x.body.again()
	return x.pool.driver.Answered(x.op, &x.res)
}

// retryAfter is how long the upstream asked to wait, 0 where it did not.
func retryAfter(now int64, res *http.Response) time.Duration {
	vs := res.Header["Retry-After"]
	if len(vs) == 0 {
		return 0
	}
	f := limit.ParseFeedback(now, res.StatusCode, func(name string) (string, bool) { return vs[0], name == "Retry-After" })
	return max(f.RetryAfter, 0)
}

// drop ends an attempt that is to be made again.
func (x *exchange) drop(res *http.Response) {
	if res != nil {
		if n := res.ContentLength; n <= maxDrain {
			timer := time.AfterFunc(drainTime, func() { _ = res.Body.Close() })
			n, _ = io.CopyN(io.Discard, res.Body, maxDrain)
			timer.Stop()
			x.received.Add(n)
		}
		_ = res.Body.Close()
	}
	x.settle()
}

// settle ends the attempt in hand.
func (x *exchange) settle() {
	x.res.Bytes = x.received.Swap(0)
	x.pool.received.Add(uint64(x.res.Bytes))
	x.res.Duration = time.Duration(max(x.pool.driver.Now()-x.sent, 0))
	x.pool.driver.Settle(x.op, &x.res)
	if x.stop != nil {
		x.stop()
		x.stop = nil
	}
}

// leave ends the call. The op goes back to its pool.
func (x *exchange) leave() {
	x.body.finish()
	x.op.Free()
	if x.cancel != nil {
		x.cancel()
	}
	x.pool.leave()
}

// finish settles the last attempt, once, when its body ends, whoever notices first.
func (x *exchange) finish(kind string) {
	if x.ended.Swap(true) {
		return
	}
	if kind != "" {
		x.res.Error = kind
	}
	x.untap()
	x.settle()
	x.leave()
}

// Read streams the answer's body and notices its end.
func (x *exchange) Read(b []byte) (int, error) {
	n, err := x.from.Read(b)
	total := x.received.Add(int64(max(n, 0)))
	if x.tap != nil && n > 0 {
		x.tap.Write(b[:n])
	}
	switch {
	case x.max > 0 && total > x.max:
		n -= int(total - x.max)
		x.received.Store(x.max)
		_ = x.from.Close()
		x.finish(policy.ErrorTooLarge)
		return max(n, 0), &Error{policy.ErrorTooLarge, ErrTooLarge}
	case err == io.EOF:
		x.finish("")
	case err != nil:
		kind := kindOf(x.ctx, err)
		err = &Error{kind, err}
		x.finish(kind)
	}
	return n, err
}

// Ahead is how many bytes of the body have come already, as far as that is known.
func (x *exchange) Ahead() int {
	if a, ok := x.from.(interface{ Ahead() int }); ok {
		return a.Ahead()
	}
	return 0
}

// Close ends the body. One that its caller closes early has not failed, unless the
// caller left.
func (x *exchange) Close() error {
	err := x.from.Close()
	if x.ended.Load() {
		return err
	}
	kind := ""
	if x.ctx.Err() != nil {
		kind = kindOf(x.ctx, x.ctx.Err())
	}
	x.finish(kind)
	return err
}

// upgraded is the body of an answer that switched protocols.
type upgraded struct {
	*exchange
	to io.Writer
}

func (u upgraded) Write(b []byte) (int, error) {
	n, err := u.to.Write(b)
	u.pool.sent.Add(uint64(max(n, 0)))
	return n, err
}

// CloseWrite ends the direction to the upstream; what it still says can be read.
func (u upgraded) CloseWrite() error { return closeWrite(u.to) }
