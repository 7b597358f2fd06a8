package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
)

// started is a process with its children, which listens.
type started struct {
	cmd   *exec.Cmd
	addr  string
	out   *os.File
	ended chan struct{} // closed when the process has ended
	err   error         // how, once it has
}

// start starts a system for a case and returns when it listens. The caller stops it.
func (b *bench) start(sys system, k kase) (*started, error) {
	if sys.argv == nil { // the upstream itself
		return &started{addr: b.a, cmd: b.upstream.cmd}, nil
	}
	dir, err := os.MkdirTemp(b.dir, sys.name+"-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // workers of nginx may be another user's
		return nil, err
	}
	addr := b.a
	if sys.name != "upstream" {
		if addr, err = free(); err != nil {
			return nil, err
		}
	}
	argv, err := sys.argv(b.settings(sys, k, dir, addr))
	if err != nil {
		return nil, err
	}
	s := &started{addr: addr, cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	if s.out, err = os.Create(filepath.Join(dir, "output")); err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = s.out, s.out, dir
	s.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	// Its own group: what it started can be ended with it. The signal reaches it where this process is killed.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := s.cmd.Start(); err != nil {
		s.out.Close()
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	if err := s.listens(30 * time.Second); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w: %s", err, s.said())
	}
	return s, nil
}

// said is the last of what the process wrote.
func (s *started) said() string {
	const most = 2000
	if s.out == nil {
		return ""
	}
	var text []byte
	for _, path := range []string{s.out.Name(), filepath.Join(s.cmd.Dir, "error.log")} {
		more, _ := os.ReadFile(path) // not every system has both
		text = append(text, more[max(0, len(more)-most):]...)
	}
	return string(bytes.TrimSpace(text))
}

// listens waits until the process answers at its address.
func (s *started) listens(within time.Duration) error {
	deadline := time.After(within)
	for {
		c, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.ended:
			return errors.Join(errors.New("it ended"), s.err)
		case <-deadline:
			return errors.New("it does not listen")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends the process and what it started.
func (s *started) stop() {
	if s.ended == nil {
		return // the upstream, which stays
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // what is left of its group
	<-s.ended
	s.out.Close()
}

// tree is the process and all that descend from it.
func (s *started) tree() ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		if pid, parent, ok := parentOf(string(text)); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	pids := []int{s.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	slices.Sort(pids)
	return pids, nil
}

// parentOf reads the process and its parent of a stat file. A program's name may hold anything, so
// what follows is found from the last parenthesis.
func parentOf(stat string) (pid, parent int, ok bool) {
	first, _, _ := strings.Cut(stat, " ")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, 0, false
	}
	pid, err := strconv.Atoi(first)
	parent, err2 := strconv.Atoi(fields[1])
	return pid, parent, err == nil && err2 == nil
}

// used is the processor time of a tree.
func used(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		t, err := measure.CPUOf(pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// memory is what a tree holds in MiB; what several processes share counts in parts.
func memory(pids []int) (float64, error) {
	sum := 0.0
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		kib, err := pss(string(text))
		if err != nil {
			return 0, err
		}
		sum += kib / 1024
	}
	return sum, nil
}

// pss reads the proportional share of a smaps_rollup file, in KiB.
func pss(text string) (float64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			return strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		}
	}
	return 0, errors.New("no Pss in smaps_rollup")
}
