package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// ErrStopped is the error of a start while the Manager stops, or before it started.
var ErrStopped = errors.New("process: the manager does not run")

// Launch starts a process when policies and limits let it go. ctx bounds the way to
// its start. An error is a *admission.DeniedError (it may not), a *StartError (it
// could not), one that wraps ErrSpec or ErrShim, or the context's.
func (m *Manager) Launch(ctx context.Context, spec Spec) (*Process, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if spec.Limits.needsShim() && len(m.config.Shim) == 0 {
		return nil, ErrShim
	}
	if err := checkLimits(&spec.Limits); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	if spec.Output.Files && m.config.LogDir == "" {
		return nil, fmt.Errorf("%w: output.files needs a folder for them, and log_dir names none", ErrSpec)
	}
	path, err := lookPath(spec.Args[0])
	if err != nil {
		m.counts.startFailures.Add(1)
		return nil, &StartError{spec.Args[0], err}
	}
	p := m.newProcess(&spec, path)
	if p == nil {
		return nil, ErrStopped
	}
	op := p.newOp()
	if err := m.driver.Admit(ctx, op); err != nil {
		p.report(op)
		op.Free()
		m.drop(p)
		return nil, err
	}
	started := make(chan error, 1)
	m.wg.Go(func() { p.supervise(ctx, op, started) })
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// newOp describes a start of p to the policies.
func (p *Process) newOp() *admission.Op {
	s := &p.spec
	op := p.m.core.NewOp()
	q := &op.Req
	q.Action, q.Key, q.Path, q.Tenant, q.Size = "start", s.Name, p.path, s.Tenant, int64(len(s.Input))
	if s.HasPriority {
		q.Priority = s.Priority
	}
	if s.Cost > 0 {
		q.Cost = s.Cost
	}
	if len(s.Labels) > 0 {
		q.Header = labels(s.Labels)
	}
	op.Replayable = !s.hasFiles()
	return op
}

// begin starts an admitted run. Where the system is short of something for a
// moment it is tried again, within the retry budget: nothing has happened yet.
// On an error the op has been freed.
func (p *Process) begin(ctx context.Context, op *admission.Op) (*run, error) {
	for {
		timeout := p.spec.Timeout
		if d := op.Decision.Timeout; d > 0 && (timeout == 0 || d < timeout) {
			timeout = d
		}
		r, err := p.spawn(timeout)
		if err == nil {
			p.running(r)
			p.report(op)
			return r, nil
		}
		p.m.counts.startFailures.Add(1)
		again, replayable := false, op.Replayable
		res := policy.Response{Error: policy.ErrorDenied, Bytes: -1} // a bad program is no fault of the system
		if temporary(err) {
			res.Error, op.Idempotent, op.Replayable = policy.ErrorRefused, true, true
			again = p.m.driver.Answered(op, &res)
			op.Idempotent, op.Replayable = false, replayable
		}
		p.m.driver.Settle(op, &res)
		if again {
			p.m.log.Warn("a start is tried again", "process", p.id, "error", err)
			if waitErr := p.m.driver.Again(ctx, op); waitErr == nil {
				continue
			}
		}
		p.report(op)
		op.Free()
		return nil, err
	}
}

// report fills in the caller's Outcome, once: later it is the caller's.
func (p *Process) report(op *admission.Op) {
	if p.spec.Outcome != nil {
		*p.spec.Outcome, p.spec.Outcome = op.Outcome(), nil
	}
}

// running makes r the run in hand. A stop that came before it counts.
func (p *Process) running(r *run) {
	p.m.runs.Add(1)
	p.m.counts.starts.Add(1)
	p.mu.Lock()
	p.run, p.next = r, time.Time{}
	p.starts++
	told := p.told
	p.mu.Unlock()
	if told {
		r.stop(ReasonStop, p.spec.Grace)
	}
}

// supervise sees p through all its runs. It owns op. started is told how the first
// start went; ctx counts until then.
func (p *Process) supervise(ctx context.Context, op *admission.Op, started chan<- error) {
	r, err := p.begin(ctx, op)
	if err != nil {
		p.m.drop(p)
	}
	started <- err
	if err != nil {
		return
	}
	var flaps flaps
	for r != nil {
		e := r.wait()
		again := p.ended(op, r, &e)
		switch {
		case again:
			r = p.again(op)
		case p.due(&e, &flaps):
			op.Free()
			op, r = p.restart(&flaps)
		default:
			op.Free()
			r = nil
		}
	}
	p.finish()
}

// ended settles a run and reports whether a policy wants it made again.
func (p *Process) ended(op *admission.Op, r *run, e *Exit) bool {
	m := p.m
	p.mu.Lock()
	p.run, p.exit = nil, *e
	p.mu.Unlock()
	m.runs.Add(-1)
	m.countExit(e)
	var res policy.Response
	var fields fieldsOf
	e.response(&res, p.written(), &fields)
	again := m.driver.Answered(op, &res)
	m.driver.Settle(op, &res)
	if m.log.Enabled(p.life, levelDebug) {
		m.log.DebugContext(p.life, "process ended", "process", p.id, "pid", r.pid, "how", e.String(), "uptime", e.Uptime(), "again", again)
	}
	return again
}

func (p *Process) written() int64 {
	return p.sinks[Stdout].ring.written() + p.sinks[Stderr].ring.written()
}

// again makes the run anew that a policy asked for, under the same operation.
func (p *Process) again(op *admission.Op) *run {
	if err := p.m.driver.Again(p.life, op); err != nil {
		p.note("no restart: " + err.Error())
		op.Free()
		return nil
	}
	r, err := p.begin(p.life, op)
	if err != nil {
		p.note("no restart: " + err.Error())
		return nil
	}
	p.m.counts.restarts.Add(1)
	return r
}

// flaps are the runs in a row that were short.
type flaps struct {
	n    int
	wait time.Duration
}

// due reports whether the restart policy starts p again after e.
func (p *Process) due(e *Exit, f *flaps) bool {
	rs := &p.spec.Restart
	p.mu.Lock()
	told := p.told
	p.mu.Unlock()
	if told || rs.When == Never || rs.When == OnFailure && e.OK() {
		return false
	}
	if e.Uptime() >= rs.Steady {
		*f = flaps{}
	}
	f.n++
	if rs.MaxFlaps > 0 && f.n > rs.MaxFlaps {
		p.note(fmt.Sprintf("it ended %d times in a row within %v", f.n, rs.Steady))
		p.m.counts.gaveUp.Add(1)
		p.m.log.Error("a process keeps ending and is given up", "process", p.id, "how", e.String(), "runs", f.n)
		return false
	}
	f.wait = min(max(2*f.wait, rs.Min), rs.Max)
	return true
}

// restart waits and starts p again, as an operation of its own; nil where it was
// told to stop meanwhile. A denial is waited out.
func (p *Process) restart(f *flaps) (*admission.Op, *run) {
	for wait := f.wait; ; {
		if !p.pause(wait) {
			return nil, nil
		}
		op := p.newOp()
		err := p.m.driver.Admit(p.life, op)
		if err != nil {
			op.Free()
		} else {
			var r *run
			if r, err = p.begin(p.life, op); err == nil {
				p.m.counts.restarts.Add(1)
				return op, r
			}
		}
		if p.life.Err() != nil || p.m.stopping.Load() {
			return nil, nil
		}
		wait = p.spec.Restart.Max
		if d := denial(err); d != nil {
			wait = max(d.RetryAfter, p.spec.Restart.Min)
		}
		p.m.log.Warn("a restart has to wait", "process", p.id, "wait", wait, "error", err)
	}
}

func denial(err error) *admission.DeniedError {
	var d *admission.DeniedError
	if errors.As(err, &d) {
		return d
	}
	return nil
}

// pause waits, and reports false where p was told to stop.
func (p *Process) pause(d time.Duration) bool {
	p.mu.Lock()
	p.next = time.Now().Add(d)
	p.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.life.Done():
		return false
	}
}

func (p *Process) note(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gaveUp = why
}

// finish ends p for good.
func (p *Process) finish() {
	for i := range p.sinks {
		p.sinks[i].finish()
	}
	p.mu.Lock()
	p.finished, p.next = true, time.Time{}
	p.mu.Unlock()
	p.endLife()
	p.m.retire(p)
	close(p.done)
}
