package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"
)

// State is what a Process does.
type State string

// The states.
const (
	StateRunning  State = "running"
	StateStopping State = "stopping" // it was told to end and has not yet
	StateWaiting  State = "waiting"  // for its restart
	StateEnded    State = "ended"    // for good
)

// ErrEnded is the error of a signal to what does not run.
var ErrEnded = errors.New("process: it does not run")

// Process is one supervised process, over all its restarts. It is safe for
// concurrent use. It needs no closing: its Manager forgets it some time after it
// ended, and whoever holds it can still read it.
type Process struct {
	m     *Manager
	id    string
	path  string // of the program
	spec  Spec
	sinks [streams]sink
	done  chan struct{}
	// life ends when it is told to stop: no restart and no wait outlives that.
	life    context.Context
	endLife context.CancelFunc
	created time.Time

	mu       sync.Mutex
	run      *run // nil between runs; guarded by mu, as all below
	told     bool // to stop
	starts   int
	next     time.Time // of the restart, while it waits
	exit     Exit
	finished bool
	gaveUp   string // why no restart follows, "" none was due
}

// ID names the process while this gaia runs.
func (p *Process) ID() string { return p.id }

// PID is the process's number while it runs, 0 else.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return 0
	}
	return p.run.pid
}

func (p *Process) wasStarted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts > 0
}

// Done is closed when the process has ended for good, with all that it started, and
// its slot is free.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how its last run ended. Before the first has, it is the zero Exit.
func (p *Process) Exit() Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// Wait waits for Done and returns Exit; when ctx ends first, its error. The process
// goes on.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.done:
		return p.Exit(), nil
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// Signal sends s to the process group. What is sent so is not a stop: a restart may
// follow.
func (p *Process) Signal(s syscall.Signal) error {
	p.mu.Lock()
	r := p.run
	p.mu.Unlock()
	if r == nil {
		return ErrEnded
	}
	if err := r.send(s); err != nil {
		return fmt.Errorf("process: send %s to %s: %w", SignalName(s), p.id, err)
	}
	return nil
}

// Terminate tells the process to end for good: its stop signal, then after grace
// SIGKILL to all that is left of it. 0 is the Spec's grace. It returns once all is
// gone; when ctx ends first, with its error, and the stop goes on.
func (p *Process) Terminate(ctx context.Context, grace time.Duration) error {
	if grace == 0 {
		grace = p.spec.Grace
	}
	p.tell(grace)
	return p.gone(ctx)
}

// Kill ends the process and all that it started at once, for good. It returns once
// all is gone; when ctx ends first, with its error.
func (p *Process) Kill(ctx context.Context) error {
	p.tell(0)
	return p.gone(ctx)
}

// tell commands the stop and does not wait.
func (p *Process) tell(grace time.Duration) {
	p.mu.Lock()
	p.told = true
	r := p.run
	p.mu.Unlock()
	p.endLife()
	if r != nil {
		r.stop(ReasonStop, grace)
	}
}

func (p *Process) gone(ctx context.Context) error {
	e, err := p.Wait(ctx)
	if err != nil {
		return fmt.Errorf("process: %s has not ended yet: %w", p.id, err)
	}
	if e.Left > 0 {
		return fmt.Errorf("process: %d processes of %s would not die", e.Left, p.id)
	}
	return nil
}

// Tail returns the last n bytes of a stream, as far as they are kept.
func (p *Process) Tail(s Stream, n int) []byte { return p.sinks[s].ring.tail(n) }

// Follow reads a stream from its last tail bytes on, until the process has ended
// for good or ctx ends. It never holds the process up.
func (p *Process) Follow(ctx context.Context, s Stream, tail int64) *Reader {
	r := p.sinks[s].ring
	r.mu.Lock()
	defer r.mu.Unlock()
	return &Reader{ctx: ctx, ring: r, at: max(r.end-max(tail, 0), r.startLocked())}
}

// Status is a Process at one moment.
type Status struct {
	ID, Name string
	Args     []string
	Labels   map[string]string
	Tenant   string
	State    State
	PID      int // 0 while it does not run
	Restarts int
	Created  time.Time
	Started  time.Time // of the run in hand or the last, zero none
	Next     time.Time // of the restart it waits for, zero else
	Exit     *Exit     // of the last run that ended, nil none
	GaveUp   string    // why no restart follows, "" none was due

	RSS       int64   // bytes, of all its processes, as the watch saw last
	CPU       float64 // cores, on average over the last ticks
	Processes int     // with itself
	Written   [2]int64
	Files     []string // of its output
}

// Status describes the process.
func (p *Process) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		ID: p.id, Name: p.spec.Name, Args: slices.Clone(p.spec.Args), Labels: maps.Clone(p.spec.Labels), Tenant: p.spec.Tenant,
		State: StateWaiting, Restarts: max(p.starts-1, 0), Created: p.created, Next: p.next, Started: p.exit.Started, GaveUp: p.gaveUp,
	}
	if p.exit.Reason != "" {
		e := p.exit
		s.Exit = &e
	}
	for i := range p.sinks {
		s.Written[i] = p.sinks[i].ring.written()
		if p.sinks[i].path != "" {
			s.Files = append(s.Files, p.sinks[i].path)
		}
	}
	switch r := p.run; {
	case p.finished:
		s.State = StateEnded
	case r != nil:
		s.State, s.PID, s.Started = StateRunning, r.pid, r.began
		r.mu.Lock()
		if r.reason != "" {
			s.State = StateStopping
		}
		s.RSS, s.Processes = r.usage.rss, r.usage.processes
		s.CPU, _ = r.cpu.cores()
		r.mu.Unlock()
	}
	return s
}
