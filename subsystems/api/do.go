package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Do sends c when it may go, and returns the answer at its headers: the last one,
// where it was tried again. The body streams; the caller reads it to its end or
// closes it. For a status of 101 it is an io.ReadWriteCloser.
//
// An error is a *admission.DeniedError (it did not go), an *Error (it went and
// failed) or the context's (the caller left before it went).
func (p *Pool) Do(ctx context.Context, c *Call) (*http.Response, error) {
	x, err := p.begin(ctx, c)
	if err != nil {
		closeBody(c)
		return nil, err
	}
	if err = x.readScalars(c); err == nil {
		err = p.driver.Admit(x.ctx, x.op)
	}
	for {
		c.Result = x.op.Outcome()
		if err != nil {
			x.ended.Store(true)
			x.leave()
			return nil, err
		}
		x.sent = p.driver.Now()
		res, err2 := x.send(c)
		again := x.answered(res, err2)
		switch {
		case again:
			p.logRetry(x, err2)
			x.drop(res)
			err = p.driver.Again(x.ctx, x.op)
		case err2 != nil:
			kind := kindOf(x.ctx, err2)
			x.finish(x.res.Error)
			return nil, &Error{kind, err2}
		default:
			return x.deliver(c, res)
		}
	}
}

func (p *Pool) logRetry(x *exchange, err error) {
	if p.log.Enabled(x.ctx, slog.LevelDebug) {
		p.log.DebugContext(x.ctx, "try again", "key", x.op.Req.Key, "attempt", x.op.Req.Attempt,
			"upstream", x.res.Upstream, "status", x.res.Status, "retry_after", x.res.RetryAfter, "error", err)
	}
}

// begin checks c and makes its exchange.
func (p *Pool) begin(ctx context.Context, c *Call) (*exchange, error) {
	c.Result, c.Held = admission.Outcome{}, false
	if _, ok := p.transports[c.Profile]; !ok {
		return nil, fmt.Errorf("%w %q", ErrProfile, c.Profile)
	}
	if err := c.check(); err != nil {
		return nil, &Error{policy.ErrorOther, err}
	}
	live := p.live.Load()
	x := &exchange{pool: p, ctx: ctx, op: p.core.NewOp(), max: live.maxResponseBody}
	if c.MaxResponseBody != 0 {
		x.max = max(c.MaxResponseBody, 0)
	}
	timeout := c.Timeout
	if t := live.totalTimeout; timeout == 0 || t > 0 && t < timeout {
		timeout = t // the operator's bound holds for every caller
	}
	if timeout > 0 {
		x.ctx, x.cancel = context.WithTimeout(ctx, timeout)
	}
	if c.hasBody() {
		x.body = newReplay(c, live.replayMax, &p.sent)
	}
	x.fields.fields = c.Header
	x.op.Req.Header = &x.fields
	x.op.Group, x.op.Idempotent = c.Group, c.idempotent()
	c.describe(&x.op.Req, p.asked())
	p.enter()
	return x, nil
}

// asked reports whether some policy will see the request.
func (p *Pool) asked() bool {
	g := p.core.Slot().Current()
	return g != nil && g.Chain().Hooks() != 0
}

var errURL = errors.New("want an absolute http or https URL")

func (c *Call) check() error {
	switch {
	case c.URL == nil:
		return errURL
	case c.Group != nil:
		return nil
	case c.URL.Host == "" || !strings.EqualFold(c.URL.Scheme, "http") && !strings.EqualFold(c.URL.Scheme, "https"):
		return fmt.Errorf("%w, got %q", errURL, c.URL.Redacted())
	}
	return nil
}

// deliver hands the answer to the caller, with a body that notices its end.
func (x *exchange) deliver(c *Call, res *http.Response) (*http.Response, error) {
	x.body.finish()
	if x.max > 0 && res.ContentLength > x.max && c.method() != http.MethodHead {
		_ = res.Body.Close()
		x.finish(policy.ErrorTooLarge)
		return nil, &Error{policy.ErrorTooLarge, fmt.Errorf("%w: %d bytes, the bound is %d", ErrTooLarge, res.ContentLength, x.max)}
	}
	if res.Body == http.NoBody {
		x.finish("")
		return res, nil
	}
	x.from = res.Body
	x.tapped(res)
	if w, ok := res.Body.(io.Writer); ok && res.StatusCode == http.StatusSwitchingProtocols {
		x.max = 0
		res.Body = upgraded{x, w}
		return res, nil
	}
	res.Body = x
	return res, nil
}

func closeBody(c *Call) {
	if b, ok := c.Body.(io.Closer); ok {
		_ = b.Close() // it was never read
	}
}

// IsDenied returns the denial in err, nil where it is something else.
func IsDenied(err error) *admission.DeniedError {
	d, _ := errors.AsType[*admission.DeniedError](err)
	return d
}
