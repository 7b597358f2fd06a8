package browser

import (
	"context"
	"errors"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Do runs one job in a tab of its own when it may go, and returns what it took: of
// the last attempt, where it was tried again. A browser that crashed, a server that
// could not be reached and an answer that says to come back later are tried again
// within the rules of admission; Evaluate is not, except after a 429 and 503.
//
// An error is a *admission.DeniedError (it did not go), an *Error (it went and
// failed), one that wraps ErrJob or ErrURL (it is not a job) or the context's (the
// caller left before it went).
func (p *Pool) Do(ctx context.Context, t Tab, j Job) (*Result, error) {
	if err := p.check(&t, &j, false); err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, p.jobTimeout(j.Timeout))
	defer cancel()
	op := p.core.NewOp()
	op.Replayable, op.Idempotent = true, j.Action != Evaluate
	j.describe(&op.Req, &t)
	return p.perform(ctx, timed, op, func(ctx context.Context, a *answer) (*Result, error) {
		return p.once(ctx, t, &j, a)
	})
}

// check completes the tab and the job, or says what is wrong with them.
func (p *Pool) check(t *Tab, j *Job, lease bool) error {
	if err := j.fill(lease); err != nil {
		return err
	}
	return t.fill(p.config.Load().Extensions)
}

// jobTimeout is what a caller asked for, within the operator's bound.
func (p *Pool) jobTimeout(asked time.Duration) time.Duration {
	bound := p.config.Load().JobTimeout
	if asked > 0 {
		return min(asked, bound)
	}
	return bound
}

// perform takes an operation through its attempts. caller is the context without
// gaia's own time limit, ctx the one with it.
func (p *Pool) perform(caller, ctx context.Context, op *admission.Op, action func(context.Context, *answer) (*Result, error)) (*Result, error) {
	defer p.enter()()
	defer op.Free()
	err := p.driver.Admit(ctx, op)
	for {
		if err != nil {
			return nil, err
		}
		var res policy.Response
		r, failed := p.attempt(caller, ctx, op, &res, action)
		again := p.driver.Answered(op, &res)
		how := op.Outcome()
		p.driver.Settle(op, &res)
		switch {
		case again:
			p.log.Debug("try again", "key", op.Req.Key, "attempt", op.Req.Attempt, "status", res.Status, "error", failed)
			err = p.driver.Again(ctx, op)
		case failed != nil:
			return nil, &Error{kindOf(caller, failed), failed}
		default:
			r.Outcome = how
			return r, nil
		}
	}
}

// attempt does it once and says how it went.
func (p *Pool) attempt(caller, ctx context.Context, op *admission.Op, res *policy.Response, action func(context.Context, *answer) (*Result, error)) (*Result, error) {
	if d := op.Decision.Timeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	begun := p.driver.Now()
	var a answer
	r, err := action(ctx, &a)
	now := p.driver.Now()
	res.Duration, res.Header = time.Duration(max(now-begun, 0)), &a
	switch {
	case err != nil:
		res.Error, res.Bytes = kindOf(caller, err), 0
	default:
		res.Status, res.Bytes = a.status, int64(len(r.Data)+len(r.Value))
		p.counts.bytes.Add(uint64(res.Bytes))
		if res.Status == 0 {
			res.Status = 200 // about:blank and data: have no answer
		}
		res.RetryAfter = retryAfter(now, &a)
	}
	return r, err
}

// retryAfter is how long the page's server asked to wait, 0 where it did not.
func retryAfter(now int64, a *answer) time.Duration {
	if a.status != 429 && a.status != 503 {
		return 0
	}
	f := limit.ParseFeedback(now, a.status, func(name string) (string, bool) {
		if name != "Retry-After" {
			return "", false
		}
		return a.Lookup(name)
	})
	return max(f.RetryAfter, 0)
}

// once opens a tab, runs the job and closes the tab.
func (p *Pool) once(ctx context.Context, t Tab, j *Job, a *answer) (*Result, error) {
	b, err := p.take(ctx, &t)
	if err != nil {
		return nil, err
	}
	r, err := b.run(ctx, j, p.config.Load().MaxResult, a)
	// The caller does not wait for the tab to close; a tab counts until it has.
	p.wg.Go(func() { p.giveBack(b) })
	return r, errorOf(ctx, b, err)
}

// errorOf prefers the reason that explains most: a page that is closed because its
// browser crashed.
func errorOf(ctx context.Context, b *tab, err error) error {
	if err == nil {
		return nil
	}
	if cause := b.in.conn.cause(); cause != nil {
		return cause
	}
	if lost := b.err(); lost != nil {
		return lost
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return errors.Join(ctx.Err(), err)
	}
	return err
}

// take finds a browser and opens a tab in it.
func (p *Pool) take(ctx context.Context, t *Tab) (*tab, error) {
	in, err := p.acquire(ctx, want{kindFor(t.Engine, t.Extensions), t.Isolation == IsolateProcess})
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	b, err := openTab(ctx, in, t)
	if err != nil {
		cause := in.conn.cause()
		p.release(in, cause == nil && ctx.Err() == nil)
		if cause != nil {
			return nil, cause
		}
		return nil, err
	}
	p.opens.Observe(time.Since(begun))
	p.counts.tabs.Add(1)
	return b, nil
}

// giveBack closes a tab and gives its place back.
func (p *Pool) giveBack(b *tab) { p.release(b.in, b.close()) }
