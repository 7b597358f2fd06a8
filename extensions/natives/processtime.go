package natives

import (
	"syscall"
	"time"
)

// ProcessTime is the processor time that the process has used, all threads together;
// the time of day where it cannot be told. By it an engine tells a policy that is slow
// from a machine that is busy with something else. It is safe for concurrent use.
func ProcessTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
