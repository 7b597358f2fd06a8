package process

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// cgroups is a folder of the cgroup v2 hierarchy in which each process gets a group
// of its own.
type cgroups struct {
	dir    string
	next   atomic.Uint64
	limits bool // the memory and pids controllers are there
}

// cgroup is the group of one run.
type cgroup struct {
	path string
	dir  *os.File
}

const cgroupPrefix = "gaia-"

var errNoControllers = errors.New("the cgroup v2 hierarchy has no memory and pids controllers for this program")

// openCgroups makes the folder of this program. how is auto, off or the folder to
// make it in. Folders of gaias that have died are emptied and removed.
func openCgroups(how string, log *slog.Logger) (*cgroups, error) {
	switch how {
	case CgroupOff:
		return nil, nil
	case CgroupAuto, "":
		own, err := ownCgroup()
		if err != nil {
			return nil, err
		}
		for _, base := range []string{filepath.Dir(own), own} {
			if !delegated(base) {
				continue
			}
			c, err := makeCgroups(base, log)
			switch {
			case err == nil && c.limits:
				return c, nil
			case err == nil:
				c.close()
			}
		}
		return nil, errNoControllers
	}
	return makeCgroups(how, log)
}

// delegated reports whether the folder was handed over, as systemd marks it for a
// unit with Delegate=yes. gaia changes no other unless it is told to.
func delegated(dir string) bool {
	var b [8]byte
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, name, b[:]); err == nil && string(b[:n]) == "1" {
			return true
		}
	}
	return false
}

// ownCgroup is the folder of the cgroup v2 that this program is in.
func ownCgroup() (string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	root := ""
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		if f := strings.Fields(before); ok && len(f) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			root = f[4]
		}
	}
	for line := range bytes.Lines(b) {
		if path, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("0::")); ok && root != "" {
			return filepath.Join(root, string(path)), nil
		}
	}
	return "", errors.New("there is no cgroup v2 hierarchy")
}

func makeCgroups(base string, log *slog.Logger) (*cgroups, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(base, &fs); err != nil {
		return nil, fmt.Errorf("open %s: %w", base, err)
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil, fmt.Errorf("%s is no folder of a cgroup v2", base)
	}
	var reader procReader
	self, ok := reader.read(os.Getpid())
	if !ok {
		return nil, errors.New("/proc is not mounted")
	}
	sweepCgroups(base, &reader, log)
	// Fails where gaia may not, or where base holds processes: then there are no limits.
	_ = os.WriteFile(filepath.Join(base, "cgroup.subtree_control"), []byte("+memory +pids +cpu"), 0)
	c := &cgroups{dir: filepath.Join(base, fmt.Sprintf("%s%d-%d", cgroupPrefix, self.pid, self.start))}
	if err := os.Mkdir(c.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	_ = os.WriteFile(filepath.Join(c.dir, "cgroup.subtree_control"), []byte("+memory +pids +cpu"), 0)
	have, err := os.ReadFile(filepath.Join(c.dir, "cgroup.subtree_control"))
	c.limits = err == nil && bytes.Contains(have, []byte("memory")) && bytes.Contains(have, []byte("pids"))
	return c, nil
}

// sweepCgroups ends what earlier gaias left in their folders.
func sweepCgroups(base string, reader *procReader, log *slog.Logger) {
	old, err := filepath.Glob(filepath.Join(globEscape(base), cgroupPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		var pid int
		var start uint64
		if n, _ := fmt.Sscanf(filepath.Base(dir), cgroupPrefix+"%d-%d", &pid, &start); n != 2 {
			continue
		}
		if p, ok := reader.read(pid); ok && p.start == start {
			continue // it lives
		}
		log.Info("end the processes of a gaia that died", "cgroup", dir)
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
		removeCgroups(dir)
	}
}

// removeCgroups removes a folder and those in it. One that still holds a process
// stays, for the next start.
func removeCgroups(dir string) {
	below, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range below {
		if e.IsDir() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir)
}

func (c *cgroups) close() { removeCgroups(c.dir) }

// newCgroup makes the group of r with its limits; nil where there are none.
func (m *Manager) newCgroup(r *run) (*cgroup, error) {
	c := m.cgroups
	if c == nil {
		return nil, nil
	}
	g := &cgroup{path: filepath.Join(c.dir, "p"+strconv.FormatUint(c.next.Add(1), 10))}
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return nil, err
	}
	if c.limits {
		if err := g.limit(&r.p.spec.Limits); err != nil {
			g.remove()
			return nil, err
		}
	}
	var err error
	if g.dir, err = os.Open(g.path); err != nil {
		g.remove()
		return nil, err
	}
	return g, nil
}

func (g *cgroup) limit(l *Limits) error {
	var errs []error
	set := func(file, value string) {
		errs = append(errs, os.WriteFile(filepath.Join(g.path, file), []byte(value), 0))
	}
	if l.Memory > 0 {
		set("memory.max", strconv.FormatInt(l.Memory, 10))
		set("memory.oom.group", "1")
	}
	if l.Processes > 0 {
		set("pids.max", strconv.Itoa(l.Processes))
	}
	if l.CPU > 0 {
		set("cpu.max", fmt.Sprintf("%d 100000", int64(l.CPU*100000)))
	}
	return errors.Join(errs...)
}

// kill sends SIGKILL to all in the group.
func (g *cgroup) kill() {
	_ = os.WriteFile(filepath.Join(g.path, "cgroup.kill"), []byte("1"), 0) // old kernels have no such file
}

// populated reports whether a living process is in the group.
func (g *cgroup) populated() bool {
	b, err := os.ReadFile(filepath.Join(g.path, "cgroup.events"))
	if err != nil {
		return !gone(err)
	}
	return keyed(b, "populated") > 0
}

// oom reports whether the kernel killed in the group for want of memory.
func (g *cgroup) oom() bool {
	b, err := os.ReadFile(filepath.Join(g.path, "memory.events"))
	return err == nil && keyed(b, "oom_kill") > 0
}

// remove removes the group, which is empty.
func (g *cgroup) remove() {
	if g.dir != nil {
		_ = g.dir.Close()
	}
	_ = os.Remove(g.path)
}
