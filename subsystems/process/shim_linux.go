package process

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exec is the shim that Config.Shim leads to: it sets limits on itself and becomes
// the program. args are the limits, the program's path and its arguments, as the
// Manager appends them to Config.Shim. It returns only with an error.
func Exec(args, env []string) error {
	if len(args) < 3 {
		return errors.New("process: the shim wants LIMITS PATH ARG0 [ARG...]")
	}
	limits, err := decodeLimits(args[0])
	if err != nil {
		return err
	}
	if err := applyLimits(limits); err != nil {
		return err
	}
	if err := syscall.Exec(args[1], args[2:], env); err != nil {
		return fmt.Errorf("process: run %s: %w", args[1], err)
	}
	return nil
}

// applyLimits leaves the address space for last: this program needs some itself.
func applyLimits(limits map[string]uint64) error {
	if n, ok := limits["nice"]; ok {
		now, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
		if err != nil {
			return fmt.Errorf("process: read the niceness: %w", err)
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, min(20-now+int(n), 19)); err != nil {
			return fmt.Errorf("process: set the niceness: %w", err)
		}
	}
	for _, l := range []struct {
		name     string
		resource int
	}{
		{"nproc", unix.RLIMIT_NPROC}, {"cpu", unix.RLIMIT_CPU}, {"fsize", unix.RLIMIT_FSIZE}, {"core", unix.RLIMIT_CORE},
		{"nofile", unix.RLIMIT_NOFILE}, {"as", unix.RLIMIT_AS},
	} {
		n, ok := limits[l.name]
		if !ok {
			continue
		}
		var now syscall.Rlimit
		if err := syscall.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("process: read the limit %s: %w", l.name, err)
		}
		n = min(n, now.Max) // nobody but root may raise it
		hard := n
		if l.name == "cpu" {
			hard = min(n+1, now.Max) // SIGXCPU first, then SIGKILL
		}
		if err := syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: n, Max: hard}); err != nil {
			return fmt.Errorf("process: set the limit %s to %d: %w", l.name, n, err)
		}
	}
	return nil
}
