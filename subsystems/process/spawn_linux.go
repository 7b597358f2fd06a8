package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fork starts the command of r in a process group of its own and enters it. The
// kernel kills the child when the thread that made it ends, and not when the program
// does. Go ends a thread only with a goroutine that is locked to it; this one is
// p's own and is not.
func (m *Manager) fork(r *run) error {
	attr := r.cmd.SysProcAttr
	attr.Pdeathsig = syscall.SIGKILL
	attr.PidFD = &r.pidfd
	r.pidfd = -1
	if r.group != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(r.group.dir.Fd())
	}
	return m.family.birth(r)
}

// soon is how long a thread is spent on the wait for an end. What lives longer is
// waited for without one.
const soon = 20 * time.Millisecond

// awaitEnd returns when the leader has ended. It is not reaped: until then its
// number, and that of its group, belong to nobody else.
func (r *run) awaitEnd() {
	if r.pidfd >= 0 {
		fds := []unix.PollFd{{Fd: int32(r.pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(soon/time.Millisecond))
		if n > 0 && err == nil || r.pollEnd() {
			_ = unix.Close(r.pidfd)
			return
		}
		_ = unix.Close(r.pidfd)
	}
	for {
		err := unix.Waitid(unix.P_PID, r.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// pollEnd waits without a thread of its own. It reports false where the kernel
// cannot say.
func (r *run) pollEnd() bool {
	fd, err := unix.FcntlInt(uintptr(r.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return false
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return false
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = raw.Read(func(uintptr) bool {
		var info unix.Siginfo
		for {
			err := unix.Waitid(unix.P_PID, r.pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				ended = err != nil || info.Signo != 0
				return ended
			}
		}
	})
	return err == nil && ended
}

// signal sends s to the group of a leader that is not reaped, and to the leader,
// should it have left its group.
func (r *run) signal(s syscall.Signal) error {
	err := syscall.Kill(-r.pid, s)
	if errors.Is(err, syscall.ESRCH) {
		err = syscall.Kill(r.pid, s)
	}
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

const (
	firstPause = 500 * time.Microsecond
	lastPause  = 50 * time.Millisecond
	killTime   = 10 * time.Second // after which what will not die is left
)

// clear ends all that the leader left behind: it is asked first, unless it was
// already, and killed at the end of the grace. It returns how many would not die.
func (r *run) clear() int {
	f := r.p.m.family
	if r.groupQuiet() && f.quiet(r) {
		return 0
	}
	grace, ask := r.leftGrace()
	asked := map[int]uint64{}
	if r.emptied(time.Now().Add(grace), r.killed, func() {
		for _, p := range f.members(r) {
			inGroup := p.pgrp == r.pid // was asked with it
			if asked[p.pid] != p.start && (ask || !inGroup) {
				asked[p.pid] = p.start
				f.kill(&p, r.p.spec.StopSignal)
			}
		}
	}) {
		return 0
	}
	r.emptied(time.Now().Add(killTime), nil, func() {
		if r.group != nil {
			r.group.kill()
		}
		_ = r.signal(syscall.SIGKILL)
		for _, p := range f.members(r) {
			f.kill(&p, syscall.SIGKILL)
		}
	})
	return len(f.members(r))
}

// emptied calls again and again until nothing is left of r, and reports whether
// that was so before the time and before enough was closed.
func (r *run) emptied(until time.Time, enough <-chan struct{}, again func()) bool {
	f := r.p.m.family
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		again()
		if r.groupQuiet() && f.quiet(r) {
			return true
		}
		if time.Now().After(until) {
			return false
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-enough:
			return false
		}
	}
}

func (r *run) groupQuiet() bool { return r.group == nil || !r.group.populated() }

// system is what the machine lets a Manager do.
type system struct {
	family  *family
	cgroups *cgroups // nil: none
}

// openSystem prepares the machine. What cannot be had is said in notes and done
// without.
func (m *Manager) openSystem(context.Context) error {
	f, err := newFamily(m.config.Reaper)
	if err != nil {
		f.reaper = false
		m.note("cannot adopt orphans: " + err.Error() + "; a descendant that leaves its group and its parent is found only by its mark")
	}
	m.family = f
	if m.cgroups, err = openCgroups(m.config.Cgroup, m.log); err != nil {
		if m.config.Cgroup != CgroupAuto {
			return fmt.Errorf("process: cgroup: %w", err)
		}
		m.note("no cgroup controllers (" + err.Error() + "): memory, cpu and process limits are watched, not enforced by the kernel")
	}
	m.oomNow.Store(oomKills())
	return nil
}

func (m *Manager) closeSystem() {
	if m.family != nil {
		m.family.sweepLast()
	}
	if m.cgroups != nil {
		m.cgroups.close()
	}
}

// look is one tick: every live run is counted, and zombies of nobody are reaped.
func (m *Manager) look(now time.Time) {
	m.oomNow.Store(oomKills())
	if m.runs.Load() > 0 {
		sums := map[*run]*usage{}
		m.family.census(func(p *proc, r *run) {
			u := sums[r]
			if u == nil {
				u = &usage{}
				sums[r] = u
			}
			u.processes++
			u.rss += p.rss * int64(os.Getpagesize())
			u.cpu += time.Duration(p.ticks) * (time.Second / userHertz)
		})
		var rss, processes int64
		for r, u := range sums {
			rss, processes = rss+u.rss, processes+int64(u.processes)
			r.observe(now, *u)
		}
		m.counts.rss.Store(rss)
		m.counts.processes.Store(processes)
	} else {
		m.counts.rss.Store(0)
		m.counts.processes.Store(0)
	}
	m.family.sweep()
}

// userHertz is the unit of times in /proc: 100 on every system that Go runs on.
const userHertz = 100

// oomSince reports whether the kernel has killed for want of memory since it had
// seen that many.
func (m *Manager) oomSince(seen uint64) bool { return oomKills() > seen }

// release forgets r before it is reaped.
func (m *Manager) release(r *run) { m.family.leave(r) }

func checkLimits(*Limits) error { return nil }

func maxRSS(u *syscall.Rusage) int64 { return u.Maxrss * 1024 }
