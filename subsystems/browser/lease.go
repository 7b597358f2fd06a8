package browser

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Lease is a tab that belongs to one caller until Close, its deadline, or the end
// of its browser. Methods are safe for concurrent use; jobs run one after another.
type Lease struct {
	ID       string
	Tab      Tab
	Deadline time.Time
	Outcome  admission.Outcome

	pool   *Pool
	leave  func()
	op     *admission.Op
	tab    *tab
	begun  int64
	caller Caller
	turn   chan struct{} // who holds its one place runs a job

	once  sync.Once
	ended chan struct{} // closed first, when the lease ends
	done  chan struct{} // closed last, when its tab is closed too
	err   error
}

// Open leases a tab when policies and limits let it go. ctx bounds the way to the
// tab, not its life: that is timeout, or Config.LeaseTimeout where it is 0 or more.
// Errors are those of Do.
func (p *Pool) Open(ctx context.Context, t Tab, caller Caller, timeout time.Duration) (*Lease, error) {
	if timeout < 0 {
		return nil, fmt.Errorf("%w: a negative timeout", ErrJob)
	}
	c := p.config.Load()
	if err := t.fill(c.Extensions); err != nil {
		return nil, err
	}
	if timeout == 0 || timeout > c.LeaseTimeout {
		timeout = c.LeaseTimeout
	}
	way, cancel := context.WithTimeout(ctx, c.JobTimeout)
	defer cancel()
	op := p.core.NewOp()
	op.Replayable, op.Idempotent = true, true // nothing was done yet
	describeOpen(&op.Req, &caller, &t)
	l := &Lease{Tab: t, pool: p, leave: p.enter(), op: op, caller: caller, turn: make(chan struct{}, 1), ended: make(chan struct{}), done: make(chan struct{})}
	if err := l.open(ctx, way); err != nil {
		op.Free()
		l.leave()
		return nil, err
	}
	l.Outcome, l.ID, l.Deadline = op.Outcome(), newID(), time.Now().Add(timeout)
	p.mu.Lock()
	p.leases[l.ID] = l
	if p.idle != nil { // it was under way when Stop began
		p.wg.Go(l.endIdle)
	}
	p.mu.Unlock()
	p.wg.Go(func() { l.keep(timeout) })
	return l, nil
}

// open makes attempts until one has a tab.
func (l *Lease) open(caller, ctx context.Context) error {
	p := l.pool
	err := p.driver.Admit(ctx, l.op)
	for {
		if err != nil {
			return err
		}
		l.begun = p.driver.Now()
		var failed error
		l.tab, failed = p.take(ctx, &l.Tab)
		res := policy.Response{Status: 200, Bytes: -1, Duration: time.Duration(max(p.driver.Now()-l.begun, 0))}
		if failed != nil {
			res.Status, res.Error = 0, kindOf(caller, failed)
		}
		again := p.driver.Answered(l.op, &res)
		if failed == nil && !again {
			return nil
		}
		if l.tab != nil { // a policy wants it tried again
			p.giveBack(l.tab)
			l.tab = nil
		}
		p.driver.Settle(l.op, &res)
		if !again {
			return &Error{res.Error, failed}
		}
		err = p.driver.Again(ctx, l.op)
	}
}

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// keep ends the lease with its time, its tab or its pool.
func (l *Lease) keep(timeout time.Duration) {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-l.ended:
	case <-t.C:
		l.end(ErrExpired)
	case <-l.tab.session.done:
		l.end(errorOf(context.Background(), l.tab, l.tab.session.err))
	case <-l.pool.base.Done():
		l.end(ErrStopped)
	}
	p := l.pool
	p.mu.Lock()
	delete(p.leases, l.ID)
	p.mu.Unlock()
	p.giveBack(l.tab)
	res := policy.Response{Status: 200, Bytes: -1, Duration: time.Duration(max(p.driver.Now()-l.begun, 0))}
	if l.err != ErrClosed && l.err != ErrExpired && l.err != ErrStopped { //nolint:errorlint // end was given these themselves
		res.Status, res.Error = 0, kindOf(context.Background(), l.err)
	}
	p.driver.Settle(l.op, &res)
	l.op.Free()
	close(l.done)
	l.leave()
}

// end decides why the lease ends; only the first reason counts.
func (l *Lease) end(why error) {
	l.once.Do(func() {
		l.err = why
		close(l.ended)
	})
}

// endIdle ends the lease of a pool that stops, once no job runs in it.
func (l *Lease) endIdle() {
	select {
	case l.turn <- struct{}{}:
		l.end(ErrStopped)
	case <-l.ended:
	}
}

// Done is closed when the lease has ended: Err says why.
func (l *Lease) Done() <-chan struct{} { return l.ended }

// Err is why the lease ended, nil while it has not: ErrClosed, ErrExpired,
// ErrCrashed, ErrPageCrashed or ErrStopped.
func (l *Lease) Err() error {
	select {
	case <-l.ended:
		return l.err
	default:
		return nil
	}
}

// Close ends the lease and waits until its tab is closed. It may be called again.
func (l *Lease) Close() {
	l.end(ErrClosed)
	<-l.done
}

// Do runs a job in the tab. With a URL it is an operation of its own, which policies
// and limits are asked about; without, it is part of the lease. Errors are those of
// Pool.Do, or why the lease has ended.
func (l *Lease) Do(ctx context.Context, j Job) (*Result, error) {
	if j.Tenant == "" && !j.HasPriority && j.Cost == 0 {
		j.Caller = l.caller
	}
	if err := l.pool.check(&l.Tab, &j, true); err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, l.pool.jobTimeout(j.Timeout))
	defer cancel()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-timed.Done():
		return nil, &Error{kindOf(ctx, timed.Err()), timed.Err()}
	case <-l.ended:
		return nil, l.ending()
	}
	run := func(ctx context.Context, a *answer) (*Result, error) { return l.run(ctx, &j, a) }
	if j.URL == "" {
		r, err := run(timed, &answer{})
		if err != nil {
			return nil, &Error{kindOf(ctx, err), err}
		}
		return r, nil
	}
	op := l.pool.core.NewOp()
	op.Nested, op.Replayable, op.Idempotent = true, true, j.Action != Evaluate
	j.describe(&op.Req, &l.Tab)
	return l.pool.perform(ctx, timed, op, run)
}

// ending is why the lease ended, as the error of a job.
func (l *Lease) ending() error { return &Error{kindOf(context.Background(), l.err), l.err} }

func (l *Lease) run(ctx context.Context, j *Job, a *answer) (*Result, error) {
	if err := l.Err(); err != nil {
		return nil, err
	}
	r, err := l.tab.run(ctx, j, l.pool.config.Load().MaxResult, a)
	if err == nil {
		return r, nil
	}
	if err := l.Err(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		l.tab.unstick()
	}
	return nil, errorOf(ctx, l.tab, err)
}

// Lease returns an open lease; ErrNoLease where there is none of that ID.
func (p *Pool) Lease(id string) (*Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.leases[id]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrNoLease, shortened(id))
}

// Leases lists the open leases, by the time of their deadline.
func (p *Pool) Leases() []*Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*Lease, 0, len(p.leases))
	for _, l := range p.leases {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b *Lease) int {
		if n := a.Deadline.Compare(b.Deadline); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// PID is the process of the browser that the tab is in.
func (l *Lease) PID() int { return l.tab.in.pid() }
