package process

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// proc is what /proc/PID/stat says of one process.
type proc struct {
	pid, ppid, pgrp, session int
	state                    byte
	ticks                    uint64 // user and system time, with that of children it waited for
	start                    uint64 // ticks after boot: with the pid it names a process for good
	rss                      int64  // pages
}

func (p *proc) zombie() bool { return p.state == 'Z' || p.state == 'X' }

// procReader reads /proc with one buffer. One goroutine at a time.
type procReader struct {
	buf  [1024]byte
	path []byte
}

// read describes a process, or false where there is none.
func (r *procReader) read(pid int) (proc, bool) {
	r.path = strconv.AppendInt(append(r.path[:0], "/proc/"...), int64(pid), 10)
	r.path = append(r.path, "/stat"...)
	fd, err := unix.Open(string(r.path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return proc{}, false
	}
	n, err := readFD(fd, r.buf[:])
	_ = unix.Close(fd)
	if err != nil || n <= 0 {
		return proc{}, false
	}
	return parseStat(r.buf[:n])
}

// The fields of stat after the command, counted from 0.
const (
	statState   = 0
	statParent  = 1
	statGroup   = 2
	statSession = 3
	statUser    = 11 // utime stime cutime cstime
	statSystem  = 14
	statStart   = 19
	statRSS     = 21
)

// parseStat reads a line of stat. The command may hold blanks and brackets.
func parseStat(b []byte) (proc, bool) {
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || shut < open {
		return proc{}, false
	}
	pid, ok := number(bytes.TrimSpace(b[:open]))
	p := proc{pid: int(pid)}
	field := -1
	for rest := b[shut+1:]; len(rest) > 0 && ok && field < statRSS; {
		rest = bytes.TrimLeft(rest, " \n")
		end := bytes.IndexAny(rest, " \n")
		if end < 0 {
			end = len(rest)
		}
		word := rest[:end]
		rest = rest[end:]
		field++
		if field == statState {
			ok = len(word) == 1
			if ok {
				p.state = word[0]
			}
			continue
		}
		ok = p.set(field, word)
	}
	return p, ok && field == statRSS
}

// set keeps a field that is wanted, and reports whether it is a number.
func (p *proc) set(field int, word []byte) bool {
	switch field {
	case statParent, statGroup, statSession, statUser, statUser + 1, statUser + 2, statSystem, statStart, statRSS:
	default:
		return true
	}
	n, ok := number(word)
	switch field {
	case statParent:
		p.ppid = int(n)
	case statGroup:
		p.pgrp = int(n)
	case statSession:
		p.session = int(n)
	case statStart:
		p.start = uint64(n)
	case statRSS:
		p.rss = n
	default:
		p.ticks += uint64(max(n, 0))
	}
	return ok
}

func number(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

// all describes every process of the machine that can be seen.
func (r *procReader) all(dst map[int]proc) error {
	clear(dst)
	d, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := r.read(pid); ok {
			dst[pid] = p
		}
	}
	return nil
}

// adopted lists the children of the main thread of this program: those that were
// re-parented to it are among them. ok is false where the kernel does not tell.
func (r *procReader) adopted(self int) (pids []int, ok bool) {
	id := strconv.Itoa(self)
	b, err := slurp("/proc/" + id + "/task/" + id + "/children")
	if err != nil {
		return nil, false
	}
	for _, f := range bytes.Fields(b) {
		if pid, err := strconv.Atoi(string(f)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, true
}

// slurp reads a file of /proc without the poller, which takes none of them.
func slurp(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	out := make([]byte, 0, 512)
	for {
		n, err := readFD(fd, out[len(out):cap(out)])
		if err != nil || n <= 0 {
			return out, err
		}
		if out = out[:len(out)+n]; len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
	}
}

// mark is the value of GAIA_PROCESS that a process was given, "" none. sure is false
// while it cannot be told: in the midst of an exec a process has no environment.
func (r *procReader) mark(pid int) (value string, sure bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := slurp(dir + "/environ")
	if err != nil {
		return "", true
	}
	for v := range bytes.SplitSeq(b, []byte{0}) {
		if rest, ok := bytes.CutPrefix(v, []byte(markName+"=")); ok {
			return string(rest), true
		}
	}
	if len(b) > 0 {
		return "", true
	}
	stat, err := slurp(dir + "/stat")
	return "", err != nil || !inExec(stat)
}

// statEnvEnd is the address at which the environment ends: set last in an exec.
const statEnvEnd = 48

// inExec reports whether a line of stat is of a process that has no environment yet.
func inExec(stat []byte) bool {
	words := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(words) > statEnvEnd && string(words[statEnvEnd]) == "0" && words[statState][0] != 'Z'
}

// oomKills is how many processes the kernel has killed for want of memory since it
// started, 0 where it does not tell.
func oomKills() uint64 {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	return keyed(b, "oom_kill")
}

// keyed finds "key value" in lines, 0 where there is none.
func keyed(b []byte, key string) uint64 {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(key+" ")); ok {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// gone reports whether err says that a file of /proc or of a cgroup went with its owner.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }
