//go:build unix && !linux

package process

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// system is what a machine other than Linux lets a Manager do: process groups.
type system struct{}

func (m *Manager) openSystem(context.Context) error {
	if m.config.Cgroup != CgroupAuto && m.config.Cgroup != CgroupOff {
		return errors.New("process: cgroup: only Linux has cgroups")
	}
	m.note("only process groups here: a descendant that leaves its group is not found, and memory, cpu and process limits are refused")
	return nil
}

func (m *Manager) closeSystem() {}

func (m *Manager) fork(r *run) error {
	if err := r.cmd.Start(); err != nil {
		return err
	}
	r.pid = r.cmd.Process.Pid
	return nil
}

// awaitEnd does not wait: os/exec's Wait does, and reaps. The group is cleared
// after that.
func (r *run) awaitEnd() { r.waitErr, r.waited = r.cmd.Wait(), true }

func (r *run) signal(s syscall.Signal) error {
	err := syscall.Kill(-r.pid, s)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EPERM) {
		return nil
	}
	return err
}

const (
	pause    = 5 * time.Millisecond
	killTime = 10 * time.Second
)

// clear asks and then kills what is left of the group. It returns 1 if something is
// left even then.
func (r *run) clear() int {
	grace, ask := r.leftGrace()
	if ask {
		_ = r.signal(r.p.spec.StopSignal)
	}
	if r.emptied(time.Now().Add(grace), r.killed, 0) || r.emptied(time.Now().Add(killTime), nil, syscall.SIGKILL) {
		return 0
	}
	return 1
}

func (r *run) emptied(until time.Time, enough <-chan struct{}, s syscall.Signal) bool {
	for {
		if errors.Is(syscall.Kill(-r.pid, s), syscall.ESRCH) {
			return true
		}
		if time.Now().After(until) {
			return false
		}
		select {
		case <-time.After(pause):
		case <-enough:
			return false
		}
	}
}

func (m *Manager) look(time.Time) {}

func (m *Manager) oomSince(uint64) bool { return false }

func (m *Manager) release(*run) {}

// cgroup does not exist here.
type cgroup struct{}

func (m *Manager) newCgroup(*run) (*cgroup, error) { return nil, nil }
func (g *cgroup) oom() bool                        { return false }
func (g *cgroup) remove()                          {}

var errLimits = errors.New("memory, cpu and process limits need Linux")

func checkLimits(l *Limits) error {
	if l.watched() {
		return errLimits
	}
	return nil
}

func maxRSS(u *syscall.Rusage) int64 { return u.Maxrss }
