package browser

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// shmFree is how many bytes of /dev/shm are free.
func shmFree() int64 {
	var s unix.Statfs_t
	if unix.Statfs("/dev/shm", &s) != nil {
		return 0
	}
	return int64(s.Bavail) * s.Bsize
}

// memoryOf measures the proportional set size of the trees of browsers, by the
// process ID of each: shared pages are counted once over all that share them.
func memoryOf(roots map[int]*instance) map[int]int64 {
	if len(roots) == 0 {
		return nil
	}
	parents := parentsOf()
	sizes := make(map[int]int64, len(roots))
	for pid := range parents {
		// A process that lost its parent still is in the group of its browser.
		for at, steps := pid, 0; at > 1 && steps < len(parents); at, steps = parents[at].parent, steps+1 {
			root := at
			if roots[root] == nil {
				root = parents[at].group
			}
			if roots[root] != nil {
				sizes[root] += pss(pid)
				break
			}
		}
	}
	return sizes
}

type relation struct{ parent, group int }

// parentsOf reads who started whom.
func parentsOf() map[int]relation {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	found := make(map[int]relation, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended
		}
		// The name of the program may hold anything but ends with the last ')'.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 3 {
			continue
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		group, _ := strconv.Atoi(string(fields[2]))
		found[pid] = relation{parent, group}
	}
	return found
}

// pss is the proportional set size of one process in bytes, 0 where it is not told.
func pss(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0
	}
	return parsePSS(text)
}

func parsePSS(text []byte) int64 {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte("Pss:"))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			return 0
		}
		n, err := strconv.ParseInt(string(fields[0]), 10, 64)
		if err != nil {
			return 0
		}
		return n << 10
	}
	return 0
}
