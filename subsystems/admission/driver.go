package admission

import (
	"context"
	"sync"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Clock tells the time: ns since the Unix epoch, never running backwards.
type Clock func() int64

// SystemClock returns a Clock that starts at the time of day and then follows the
// monotonic clock.
func SystemClock() Clock {
	start := time.Now()
	base := start.UnixNano()
	return func() int64 { return base + int64(time.Since(start)) }
}

// After is a timer: a channel that delivers once d has passed, and what stops it.
type After func(d time.Duration) (<-chan time.Time, func() bool)

// Driver drives a Core for goroutines that may sleep: one goroutine an operation,
// one timer a wait. It is safe for concurrent use.
type Driver struct {
	core  *Core
	clock Clock
	after After
	cut   chan struct{}
	done  sync.Once
}

// NewDriver returns a driver of c. A nil clock is SystemClock, a nil after the
// runtime's timers.
func NewDriver(c *Core, clock Clock, after After) *Driver {
	if clock == nil {
		clock = SystemClock()
	}
	return &Driver{core: c, clock: clock, after: after, cut: make(chan struct{})}
}

// Cut ends every wait, now and from now on, with a denial of KindClosed. Calling
// it again does nothing.
func (d *Driver) Cut() { d.done.Do(func() { close(d.cut) }) }

// Core returns the state machine that is driven.
func (d *Driver) Core() *Core { return d.core }

// Now reads the driver's clock.
func (d *Driver) Now() int64 { return d.clock() }

// Admit begins op and sleeps until it may go, then marks it started. An error is a
// *DeniedError or the context's, or ErrExplained under a dry Trace; the op is then to
// be freed. The context's deadline bounds the op's.
func (d *Driver) Admit(ctx context.Context, op *Op) error {
	now := d.clock()
	if t, ok := ctx.Deadline(); ok {
		at := now + int64(time.Until(t))
		if op.Req.Deadline == 0 || at < op.Req.Deadline {
			op.Req.Deadline = at
		}
	}
	t := traceOf(ctx)
	if t == nil {
		return d.serve(ctx, op, d.core.Begin(now, op))
	}
	t.prepare(op)
	if t.dry != nil {
		d.core.Begin(now, op)
		t.note(op, now, nil)
		return ErrExplained
	}
	err := d.serve(ctx, op, d.core.Begin(now, op))
	t.note(op, now, err)
	return err
}

// Again begins the next attempt after Settle, as Admit does the first.
func (d *Driver) Again(ctx context.Context, op *Op) error {
	now := d.clock()
	err := d.serve(ctx, op, d.core.Again(now, op))
	if t := traceOf(ctx); t != nil {
		t.note(op, now, err)
	}
	return err
}

// Answered is Core.Answered by the driver's clock.
func (d *Driver) Answered(op *Op, res *policy.Response) bool {
	return d.core.Answered(d.clock(), op, res)
}

// Settle is Core.Settle by the driver's clock; it wakes those it lets go.
func (d *Driver) Settle(op *Op, res *policy.Response) {
	var buf [4]*Op
	signal(d.core.Settle(d.clock(), op, res, buf[:0]))
}

// SetConfig is Core.SetConfig by the driver's clock; it wakes those it lets go.
func (d *Driver) SetConfig(c Config) error {
	woken, err := d.core.SetConfig(d.clock(), c, nil)
	signal(woken)
	return err
}

func (d *Driver) serve(ctx context.Context, op *Op, v Verdict) error {
	for {
		switch v.Kind {
		case Go:
			d.core.Started(d.clock(), op)
			return nil
		case Denied:
			return &DeniedError{op.Denial}
		}
		if err := d.sleep(ctx, op, v.At); err != nil {
			var buf [4]*Op
			signal(d.core.Cancel(d.clock(), op, buf[:0]))
			return err
		}
		v = d.core.Wake(d.clock(), op)
	}
}

// sleep returns at the time given, when the op is let go, or, with an error, when
// the caller left or everything is cut. A signal may be late and meant for an earlier use of the op: Wake
// tells.
func (d *Driver) sleep(ctx context.Context, op *Op, until int64) error {
	wait := time.Duration(until - d.clock())
	due, stop := op.after(wait, d.after)
	defer stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-d.cut:
		return &DeniedError{Denial{
			Kind: KindClosed, Status: statusUnavailable, RetryAfter: minRetryAfter, Reason: reasonClosed,
			Generation: op.generation, Attempt: op.Req.Attempt,
		}}
	case <-op.ready:
	case <-due:
	}
	return nil
}

// after arms the op's own timer, or the driver's.
func (op *Op) after(d time.Duration, after After) (<-chan time.Time, func() bool) {
	if after != nil {
		return after(d)
	}
	if op.timer == nil {
		op.timer = time.NewTimer(d)
	} else {
		op.timer.Reset(d)
	}
	return op.timer.C, op.timer.Stop
}

// signal wakes the goroutines of ops that were let go.
func signal(ops []*Op) {
	for _, op := range ops {
		op.signal()
	}
}

func (op *Op) signal() {
	select {
	case op.ready <- struct{}{}:
	default: // it has not taken the last one yet
	}
}
