package process

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// family knows which processes of the machine belong to which run. It is safe for
// concurrent use.
type family struct {
	self   int
	reaper bool // this program adopts its descendants

	// births is read-locked while a child is made and entered, and locked while a
	// stranger is reaped: a child that is not entered yet is never taken for one.
	births sync.RWMutex

	mu      sync.Mutex
	runs    map[int]*run    // by leader, until it is reaped; guarded by mu, as all below
	marks   map[string]*run // by the mark in the environment
	owners  map[int]owned   // descendants seen so far
	waiting map[int]waiting // zombies of nobody
	procs   map[int]proc    // scratch of a look
	below   map[int][]int   // scratch: children by parent
	reader  procReader
}

type owned struct {
	start uint64
	run   *run
}

type waiting struct {
	start uint64
	looks int
}

// strangerLooks is how many looks a zombie of nobody must have been there to be
// reaped: whoever started it by other means has waited for it by then.
const strangerLooks = 3

// newFamily makes this program the reaper of its descendants where it is to be.
func newFamily(reaper bool) (*family, error) {
	f := &family{
		self: os.Getpid(), reaper: reaper, runs: map[int]*run{}, marks: map[string]*run{},
		owners: map[int]owned{}, waiting: map[int]waiting{}, procs: map[int]proc{}, below: map[int][]int{},
	}
	if !reaper {
		return f, nil
	}
	return f, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// birth starts r and makes it known. While it is known its number is nobody else's:
// it is reaped after leave, and a number is not given away while a group bears it.
func (f *family) birth(r *run) error {
	f.births.RLock()
	defer f.births.RUnlock()
	var err error
	offMain(func() { err = r.cmd.Start() })
	if err != nil {
		return err
	}
	r.pid = r.cmd.Process.Pid
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs[r.pid], f.marks[r.mark] = r, r
	return nil
}

// offMain runs fn on a thread other than the program's first. The kernel keeps the
// children of each thread apart and gives orphans to the first: what is found there
// was adopted, or made by somebody else in this program, and is no Manager's leader,
// not of another Manager either.
func offMain(fn func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Gettid() != os.Getpid() {
		fn()
		return
	}
	done := make(chan struct{})
	go func() { // cannot come to the first thread: this goroutine holds it
		defer close(done)
		fn()
	}()
	<-done
}

// leave forgets r, which is about to be reaped.
func (f *family) leave(r *run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.runs, r.pid)
	delete(f.marks, r.mark)
}

// quiet reports, without looking at the whole machine, that r has no descendant
// left. Its leader has ended, so that they are all this program's children by now.
func (f *family) quiet(r *run) bool {
	if !f.reaper {
		return len(f.members(r)) == 0
	}
	pids, ok := f.reader.adopted(f.self)
	if !ok {
		return len(f.members(r)) == 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, pid := range pids {
		if f.runs[pid] != nil {
			continue
		}
		p, ok := f.reader.read(pid)
		if !ok {
			continue
		}
		switch owner, sure := f.ownerLocked(&p); {
		case !sure:
			return false // it may be r's
		case owner != r:
		case p.zombie():
			reap(pid)
		default:
			return false
		}
	}
	return true
}

// members lists the living descendants of r and reaps its dead ones. The leader is
// not among them.
func (f *family) members(r *run) []proc {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []proc
	f.lookLocked(func(p *proc, of *run) {
		if of == r && p.pid != r.pid && !p.zombie() {
			out = append(out, *p)
		}
	})
	return out
}

// census tells visit of every living process of every run, leaders too.
func (f *family) census(visit func(p *proc, of *run)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookLocked(func(p *proc, of *run) {
		if !p.zombie() {
			visit(p, of)
		}
	})
}

// lookLocked looks at the whole machine once and tells visit of what belongs to a
// run. Dead adopted ones are reaped.
func (f *family) lookLocked(visit func(p *proc, of *run)) {
	if err := f.reader.all(f.procs); err != nil {
		return
	}
	clear(f.below)
	for pid, p := range f.procs {
		f.below[p.ppid] = append(f.below[p.ppid], pid)
	}
	found := make(map[int]owned, len(f.owners))
	for pid := range f.procs {
		p := f.procs[pid]
		if r := f.rootLocked(&p); r != nil {
			f.descend(p, r, found, visit)
		}
	}
	f.owners = found
}

// rootLocked is the run that p is the leader of or, if p has lost its parents, the
// one that it came from; nil for all others.
func (f *family) rootLocked(p *proc) *run {
	if r := f.runs[p.pid]; r != nil {
		return r
	}
	if p.ppid != f.self && p.ppid != 1 && f.reaper {
		return nil
	}
	if !f.reaper && f.runs[p.ppid] != nil {
		return nil // comes with its parent
	}
	r, _ := f.ownerLocked(p)
	return r
}

// ownerLocked is the run that a process without parents came from, nil none; sure
// is false while that cannot be told.
func (f *family) ownerLocked(p *proc) (r *run, sure bool) {
	if o, ok := f.owners[p.pid]; ok && o.start == p.start {
		return o.run, true
	}
	for _, leader := range [...]int{p.pgrp, p.session} {
		if r := f.runs[leader]; r != nil {
			return r, true
		}
	}
	if p.zombie() || p.ppid != f.self && p.ppid != 1 {
		return nil, true
	}
	mark, sure := f.reader.mark(p.pid)
	if r = f.marks[mark]; r != nil {
		f.owners[p.pid] = owned{p.start, r}
	}
	return r, sure
}

// descend enters p and all below it as r's.
func (f *family) descend(p proc, r *run, found map[int]owned, visit func(*proc, *run)) {
	if _, twice := found[p.pid]; twice {
		return
	}
	if p.pid != r.pid {
		if other := f.runs[p.pid]; other != nil {
			return
		}
		if p.zombie() && p.ppid == f.self {
			reap(p.pid)
			return
		}
		found[p.pid] = owned{p.start, r}
	}
	visit(&p, r)
	for _, child := range f.below[p.pid] {
		f.descend(f.procs[child], r, found, visit)
	}
}

// sweep reaps adopted zombies that belong to nobody who is still known. It never
// touches a leader, which os/exec waits for, nor a child that somebody else in this
// program has just started.
func (f *family) sweep() {
	if !f.reaper || !anyZombie() {
		return
	}
	f.births.Lock()
	defer f.births.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	pids, ok := f.reader.adopted(f.self)
	if !ok {
		for pid, p := range f.procs {
			if p.ppid == f.self {
				pids = append(pids, pid)
			}
		}
	}
	seen := make(map[int]waiting, len(f.waiting))
	for _, pid := range pids {
		p, ok := f.reader.read(pid)
		if !ok || !p.zombie() || f.runs[pid] != nil {
			continue
		}
		w := f.waiting[pid]
		if w.start != p.start {
			w = waiting{start: p.start}
		}
		w.looks++
		if _, ours := f.owners[pid]; ours || w.looks >= strangerLooks {
			reap(pid)
			continue
		}
		seen[pid] = w
	}
	f.waiting = seen
}

// sweepLast reaps what came home while the watch ended: a descendant that was killed
// last is adopted only once its parent is gone. It takes as many looks as a stranger
// gets, and none where nobody waits.
func (f *family) sweepLast() {
	for range strangerLooks + 2 {
		f.sweep()
		if !f.reaper || !anyZombie() {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
}

// anyZombie asks the kernel, without taking anything, whether a child has ended.
func anyZombie() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

func reap(pid int) {
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// kill signals p, unless its number has gone to another process since.
func (f *family) kill(p *proc, s syscall.Signal) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			return
		}
		_ = syscall.Kill(p.pid, s) // a kernel without pidfds
		return
	}
	defer unix.Close(fd)
	f.mu.Lock()
	now, ok := f.reader.read(p.pid)
	f.mu.Unlock()
	if ok && now.start == p.start {
		_ = unix.PidfdSendSignal(fd, s, nil, 0) // it may have ended in between
	}
}
