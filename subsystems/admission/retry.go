package admission

import (
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
)

const budgetSeconds = 10 // of PerSecond that an unused budget holds

// budget is what retries are paid from: every operation pays Ratio in, time pays
// PerSecond, and a retry costs 1. It is guarded by the core's mutex.
type budget struct {
	tokens float64
	last   int64
}

// full is the most that a budget holds.
func (r *Retry) full() float64 { return budgetSeconds*r.PerSecond + 100*r.Ratio }

func (b *budget) refill(now int64, r *Retry) {
	full := r.full()
	if b.tokens >= full { // the usual case: time adds nothing
		b.tokens, b.last = full, max(b.last, now)
		return
	}
	if b.last != 0 && now > b.last {
		b.tokens += r.PerSecond * time.Duration(now-b.last).Seconds()
	}
	b.last = max(b.last, now)
	b.tokens = min(b.tokens, full)
}

func (b *budget) deposit(now int64, r *Retry) {
	b.tokens += r.Ratio
	b.refill(now, r)
}

func (b *budget) withdraw(now int64, r *Retry) bool {
	b.refill(now, r)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// outcome is what an attempt's end says about its key and upstream.
type outcome uint8

const (
	neutral outcome = iota // the caller left, or the upstream asked to slow down
	succeeded
	failed
)

func outcomeOf(res *policy.Response) outcome {
	switch res.Error {
	case "":
		switch {
		case res.Status == statusTooMany:
			return neutral
		case res.Status >= 500:
			return failed
		}
		return succeeded
	case policy.ErrorCanceled, policy.ErrorDenied, policy.ErrorTooLarge:
		return neutral
	}
	return failed
}

// Answered tells what the attempt in hand answered at its headers, or that it
// failed before (res.Error). It asks the policies, lets the upstream's configured
// limit learn, and reports whether the operation is to be tried again: then the
// caller drops the answer, calls Settle and after it Again. res.Upstream and
// res.Sent are filled in.
func (c *Core) Answered(now int64, op *Op, res *policy.Response) bool {
	again := c.answered(now, op, res)
	if c.observer != nil && !op.dry() {
		c.observer.Answered(now, op, res, again)
	}
	return again
}

func (c *Core) answered(now int64, op *Op, res *policy.Response) bool {
	c.fill(op, res)
	op.Req.Now = now
	if op.answer.Action != policy.ActionNone || op.answer.Upstream != "" {
		op.answer.Reset()
	}
	c.onResponse(op, res)
	s := c.set.Load()
	c.learn(now, s, op, res)
	after, ok := c.rule(op, res, &s.Retry)
	if ok && c.elsewhere(now, op) {
		after = 0 // what this one wants to wait for is no matter of the next
	}
	if op.answer.Action == policy.ActionRetry {
		after, ok = op.answer.Delay, true
	}
	if !ok || !op.Replayable || res.Error == policy.ErrorCanceled || op.Req.Attempt >= s.maxAttempts() ||
		after > op.patience(now, s.MaxWait, false) || after >= op.deadlineLeft(now) {
		return false
	}
	c.mu.Lock()
	ok = c.budget.withdraw(now, &s.Retry)
	c.mu.Unlock()
	if !ok {
		c.counts.unretried.Add(1)
		return false
	}
	op.again, op.againAfter, op.againTo, op.againBy = true, after, op.answer.Upstream, op.answer.Policy
	return true
}

func (c *Core) onResponse(op *Op, res *policy.Response) {
	g := c.lease(op, answered, false)
	if g == nil {
		return
	}
	defer c.release(g)
	g.Chain().OnResponse(&op.Req, res, &op.answer, c.scratchOf(op))
}

// learn lets the configured limit of the upstream hold back as it was asked to.
func (c *Core) learn(now int64, s *settings, op *Op, res *policy.Response) {
	if res.Status == statusTooMany {
		c.counts.upstream429.Add(1)
	}
	if res.RetryAfter <= 0 || res.Status != statusTooMany && res.Status != statusUnavailable {
		return
	}
	if op.Group != nil && op.upstream >= 0 {
		op.Group.Pause(op.upstream, now+int64(min(res.RetryAfter, limit.MaxPause)))
	}
	if b := s.boundOf(op, levelUpstream); b.rate != nil {
		f := limit.NoFeedback(res.Status)
		f.RetryAfter, f.Sent = res.RetryAfter, op.sent
		b.rate.Learn(now, b.key, f)
	}
}

// rule is what happens where no policy says otherwise: whether to try again, and
// after how long.
func (c *Core) rule(op *Op, res *policy.Response, r *Retry) (time.Duration, bool) {
	switch res.Status {
	case statusTooMany:
		if res.RetryAfter > 0 {
			return res.RetryAfter, true
		}
		return c.backoff(op, r), true
	case statusUnavailable:
		if res.RetryAfter > 0 {
			return res.RetryAfter, true
		}
		_, asked := res.HeaderValue("Retry-After")
		return c.backoff(op, r), asked || op.Idempotent
	case 502, 504:
		return c.backoff(op, r), op.Idempotent
	case 0:
		switch res.Error {
		case policy.ErrorRefused, policy.ErrorReset, policy.ErrorTimeout:
			return c.backoff(op, r), op.Idempotent
		}
	}
	return 0, false
}

// backoff is exponential with full jitter: anything up to Base, doubled with
// every attempt and held at Max.
func (c *Core) backoff(op *Op, r *Retry) time.Duration {
	top := r.Base
	for n := 1; n < op.Req.Attempt && top < r.Max; n++ {
		top *= 2
	}
	if r.Max > 0 {
		top = min(top, r.Max)
	}
	return time.Duration(c.random() * float64(top))
}

// Again begins the next attempt of an operation that Answered said is to be tried
// again, after Settle.
func (c *Core) Again(now int64, op *Op) Verdict {
	if op.state != stateBetween {
		panic("admission: Again without a retry")
	}
	c.counts.retried.Add(1)
	if op.againAfter > 0 {
		return c.waitFor(now, now+int64(op.againAfter), op, stateBackoff)
	}
	return c.attempt(now, op)
}
