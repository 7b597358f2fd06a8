package admission

import (
	"errors"
	"fmt"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// ErrDenied is wrapped by every DeniedError.
var ErrDenied = errors.New("admission: denied")

// Kind is why an operation was denied.
type Kind uint8

// The kinds of denial.
const (
	KindPolicy   Kind = iota // a policy said so
	KindLimit                // a configured limit is spent, or its wait is longer than its own bound
	KindQueue                // the queue is full, or no slot came free in time
	KindBreaker              // the key keeps failing
	KindMaxWait              // the wait is longer than an operation may wait
	KindDeadline             // the wait ends after the caller gives up
	KindClosed               // the subsystem is stopping
	kinds
)

var kindNames = [kinds]string{"policy", "limit", "queue", "breaker", "max_wait", "deadline", "closed"}

// String returns the name used in metrics and explanations.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "invalid"
}

const (
	statusTooMany     = 429
	statusUnavailable = 503
	minRetryAfter     = time.Second
	reasonClosed      = "gaia is stopping"
)

// Denial says that an operation does not go, and why.
type Denial struct {
	Kind       Kind
	Status     int           // 400 to 599
	RetryAfter time.Duration // at least 1s with 429 and 503; 0: unknown
	Reason     string
	Policy     string // "" where none decided
	Generation uint64 // of the policies, 0 none
	Attempt    int    // 1 the first
	Limit      policy.LimitInfo
}

// DeniedError is a Denial as an error. It wraps ErrDenied.
type DeniedError struct{ Denial }

// Error says who denied what for how long.
func (e *DeniedError) Error() string {
	who := e.Kind.String()
	if e.Policy != "" {
		who = "policy " + e.Policy
	} else if e.Limit.Name != "" {
		who = e.Limit.Name
	}
	text := fmt.Sprintf("%v: %s: status %d", ErrDenied, who, e.Status)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(" (retry after %v)", e.RetryAfter.Round(time.Millisecond))
	}
	return text
}

// Unwrap returns ErrDenied.
func (e *DeniedError) Unwrap() error { return ErrDenied }

// deny gives back what the attempt took and fills the op's denial.
func (c *Core) deny(now int64, op *Op, d Denial) Verdict {
	op.giveBack(now)
	if d.Status == 0 {
		d.Status = statusTooMany
	}
	d.RetryAfter = min(max(d.RetryAfter, 0), policy.MaxDelay)
	if d.Status == statusTooMany || d.Status == statusUnavailable {
		d.RetryAfter = max(d.RetryAfter, minRetryAfter)
	}
	d.Generation, d.Attempt = op.generation, op.Req.Attempt
	op.Denial = d
	op.state = stateDenied
	if !op.dry() {
		c.counts.denied[d.Kind].Add(1)
	}
	return Verdict{Kind: Denied}
}

// denyBroken is the denial of a key's breaker, which stays closed for so long.
func (c *Core) denyBroken(now int64, op *Op, closedFor time.Duration) Verdict {
	return c.deny(now, op, Denial{Kind: KindBreaker, Status: statusUnavailable, RetryAfter: closedFor, Reason: "the key keeps failing"})
}

// denyLate is the denial of an attempt that comes after the deadline.
func (c *Core) denyLate(now int64, op *Op) Verdict {
	return c.deny(now, op, Denial{Kind: KindDeadline, Reason: "the caller's deadline has passed"})
}

// denyUnnamed is the denial of an operation that has no upstream to go to.
func (c *Core) denyUnnamed(now int64, op *Op) Verdict {
	return c.deny(now, op, Denial{Kind: KindPolicy, Status: statusUnavailable, Reason: "no policy named an upstream and all have weight 0"})
}

// denyPolicy is the denial of a policy. Where it names no limiter, the newest take
// that was refused to it explains it.
func (c *Core) denyPolicy(now int64, op *Op) Verdict {
	d := &op.Decision
	den := Denial{
		Kind: KindPolicy, Status: d.Status, RetryAfter: d.RetryAfter,
		Reason: d.Reason, Policy: d.Policy, Limit: d.Limit,
	}
	if e := op.refusal(); e != nil && den.Limit.Name == "" {
		den.Limit = limitInfo(e)
		if den.RetryAfter == 0 {
			den.RetryAfter = e.Wait
		}
	}
	return c.deny(now, op, den)
}

// denyWait is the denial of a wait that is too long for the operation.
func (c *Core) denyWait(now int64, op *Op, wait time.Duration, e *policy.Entry) Verdict {
	den := Denial{Kind: KindMaxWait, RetryAfter: wait, Reason: "the wait is longer than max_wait", Policy: op.Decision.Policy, Limit: op.Decision.Limit}
	if op.deadlineLeft(now) < op.patience(now, c.set.Load().MaxWait, false) {
		den.Kind, den.Reason = KindDeadline, "the wait ends after the caller's deadline"
	}
	if e != nil {
		den.Policy, den.Limit = e.Policy, limitInfo(e)
	}
	return c.deny(now, op, den)
}

func limitInfo(e *policy.Entry) policy.LimitInfo {
	return policy.LimitInfo{Name: e.Limiter, Key: e.Key, Limit: e.Limit, Remaining: e.Remaining, Reset: e.Reset}
}
