package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// run is one life of a Process: from its start to its end with all its descendants.
type run struct {
	p       *Process
	cmd     *exec.Cmd
	mark    string
	pid     int
	pidfd   int     // below 0: none
	group   *cgroup // nil: none
	pipes   [streams]*pipe
	began   time.Time
	oomSeen uint64
	waitErr error // of os/exec
	waited  bool  // os/exec has reaped it already

	mu     sync.Mutex
	reason Reason        // why gaia ended it, "" it did not; guarded by mu, as all below
	over   bool          // the leader is reaped or about to be: no signal goes there
	asked  time.Time     // when the stop signal went, zero not yet
	grace  time.Duration // from then
	timer  *time.Timer   // of the timeout, then of the grace
	killed chan struct{} // closed once it is to be killed
	usage  usage
	cpu    cpuWindow
}

// usage is what the watch saw of a run.
type usage struct {
	rss       int64 // bytes
	cpu       time.Duration
	processes int
}

// spawn starts the next run of p. The caller holds its admission.
func (p *Process) spawn(timeout time.Duration) (*run, error) {
	m := p.m
	r := &run{p: p, mark: m.mark(p.id), killed: make(chan struct{}), oomSeen: m.oomNow.Load()}
	if err := r.prepare(); err != nil {
		return nil, &StartError{p.spec.Args[0], err}
	}
	var err error
	if r.group, err = m.newCgroup(r); err == nil {
		var ends []*os.File
		if ends, err = r.connect(); err == nil {
			r.began = time.Now()
			err = m.fork(r)
		}
		for _, f := range ends {
			_ = f.Close()
		}
	}
	if err != nil {
		for _, pipe := range r.pipes {
			if pipe != nil {
				_ = pipe.f.Close()
			}
		}
		if r.group != nil {
			r.group.remove()
		}
		return nil, &StartError{p.spec.Args[0], err}
	}
	for i, pipe := range r.pipes {
		if pipe != nil {
			m.wg.Go(func() { pipe.pump(&p.sinks[i], &m.buffers) })
		}
	}
	if timeout > 0 {
		r.mu.Lock()
		r.timer = time.AfterFunc(timeout, func() { r.stop(ReasonTimeout, p.spec.Grace) })
		r.mu.Unlock()
	}
	return r, nil
}

// prepare makes the command, without anything that has to be closed.
func (r *run) prepare() error {
	s, m := &r.p.spec, r.p.m
	argv := s.Args
	path := r.p.path
	if s.Limits.needsShim() {
		shim := m.config.Shim
		argv = append(append(append([]string(nil), shim...), encodeLimits(&s.Limits), path), s.Args...)
		path = shim[0]
	}
	r.cmd = &exec.Cmd{
		Path: path, Args: argv, Env: s.environ(r.mark), Dir: s.Dir, ExtraFiles: s.ExtraFiles,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: !s.NewSession, Setsid: s.NewSession},
	}
	if s.User != "" {
		c, err := credential(s.User)
		if err != nil {
			return err
		}
		r.cmd.SysProcAttr.Credential = c
	}
	r.cmd.Stdin = m.null // one for all: os/exec would open it for each
	switch {
	case s.Stdin != nil:
		r.cmd.Stdin = s.Stdin
	case s.Input != nil:
		r.cmd.Stdin = bytes.NewReader(s.Input)
		r.cmd.WaitDelay = max(m.liveConfig().WaitDelay, time.Millisecond) // for a grandchild that never reads it
	}
	return nil
}

// connect makes the pipes of the outputs, and returns the ends that are the child's.
func (r *run) connect() (ends []*os.File, err error) {
	if r.p.spec.Output.Discard {
		r.cmd.Stdout, r.cmd.Stderr = r.p.m.null, r.p.m.null
		return nil, nil
	}
	for i := range r.pipes {
		if err := r.p.sinks[i].open(r.p.m.liveConfig()); err != nil {
			return ends, err
		}
		read, write, err := os.Pipe()
		if err != nil {
			return ends, err
		}
		r.pipes[i] = &pipe{read, make(chan struct{})}
		ends = append(ends, write)
	}
	r.cmd.Stdout, r.cmd.Stderr = ends[Stdout], ends[Stderr]
	return ends, nil
}

// credential finds a user by name or number, with its groups.
func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("user %q: %w", name, err)
		}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("user %q has no numbers", name)
	}
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %q: %w", name, err)
	}
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(n))
		}
	}
	return c, nil
}

// stop asks r to end and kills it after grace. The first reason stays; a shorter
// grace counts.
func (r *run) stop(why Reason, grace time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		r.shortenLocked(grace)
		return
	}
	if r.reason == "" {
		r.reason = why
	}
	if grace <= 0 {
		r.killLocked()
		return
	}
	if !r.asked.IsZero() {
		r.shortenLocked(grace)
		return
	}
	r.asked, r.grace = time.Now(), grace
	if err := r.signal(r.p.spec.StopSignal); err != nil {
		r.p.m.log.Warn("the stop signal could not be sent", "process", r.p.id, "error", err)
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.timer = time.AfterFunc(grace, r.kill)
}

// shortenLocked lets what is left of r live for grace at the most.
func (r *run) shortenLocked(grace time.Duration) {
	if grace <= 0 {
		r.killLocked()
	} else if at := time.Now().Add(grace); r.asked.IsZero() || at.Before(r.asked.Add(r.grace)) {
		if r.timer != nil {
			r.timer.Stop()
		}
		r.timer = time.AfterFunc(grace, r.kill)
	}
}

func (r *run) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.killLocked()
}

func (r *run) killLocked() {
	select {
	case <-r.killed:
		return
	default:
		close(r.killed)
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	if !r.over {
		_ = r.signal(syscall.SIGKILL) // what is missed here, clear finds
	}
}

// send passes a signal on to the group.
func (r *run) send(s syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return ErrEnded
	}
	return r.signal(s)
}

// leftGrace is how long what the leader left behind may still live, and whether it
// has to be asked. A run that was killed leaves none.
func (r *run) leftGrace() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.killed:
		return 0, false
	default:
	}
	if r.asked.IsZero() {
		return r.p.spec.Grace, true
	}
	return max(time.Until(r.asked.Add(r.grace)), 0), true
}

// wait returns when the leader, its descendants and its output have ended.
func (r *run) wait() Exit {
	r.awaitEnd()
	ended := time.Now()
	r.mu.Lock()
	if r.timer != nil && r.asked.IsZero() {
		r.timer.Stop() // of the timeout
	}
	r.mu.Unlock()
	left := r.clear()
	r.mu.Lock()
	r.over = true
	if r.timer != nil {
		r.timer.Stop()
	}
	reason := r.reason
	r.mu.Unlock()
	r.p.m.release(r)
	if !r.waited {
		r.waitErr = r.cmd.Wait()
	}
	e := Exit{Reason: reason, Code: -1, Started: r.began, Ended: ended, Left: left, Cut: r.drain()}
	r.describe(&e)
	if r.group != nil {
		r.group.remove()
	}
	if left > 0 {
		r.p.m.log.Error("processes would not die", "process", r.p.id, "left", left)
	}
	return e
}

// drain waits for the pipes' ends, and cuts those that somebody holds who was not
// found.
func (r *run) drain() bool {
	cut := false
	var late <-chan time.Time
	for _, p := range r.pipes {
		if p == nil {
			continue
		}
		select {
		case <-p.done:
			continue
		default:
		}
		if late == nil {
			timer := time.NewTimer(r.p.m.liveConfig().WaitDelay)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-p.done:
		case <-late:
			late = closedTimer()
			p.cut()
			cut = true
		}
	}
	return cut
}

// closedTimer is a timer that has run out.
func closedTimer() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}

// describe fills in what the kernel says of the leader's end.
func (r *run) describe(e *Exit) {
	state := r.cmd.ProcessState
	if state == nil {
		e.Reason, e.Err = ReasonStart, fmt.Sprint(r.waitErr)
		return
	}
	e.User, e.System = state.UserTime(), state.SystemTime()
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		e.MaxRSS = maxRSS(u)
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok {
		e.Code = state.ExitCode()
		return
	}
	if status.Signaled() {
		e.Signal, e.Core = status.Signal(), status.CoreDump()
	} else {
		e.Code = status.ExitStatus()
	}
	if e.Reason != "" {
		return
	}
	e.Reason = ReasonExit
	if e.Signal == 0 {
		return
	}
	e.Reason = ReasonSignal
	if e.Signal != syscall.SIGKILL {
		return
	}
	if r.group != nil {
		e.OOM = r.group.oom()
	} else {
		e.OOM = r.p.m.oomSince(r.oomSeen)
	}
	if e.OOM {
		e.Reason = ReasonOOM
	}
}
