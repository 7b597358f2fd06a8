package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time that this process has used, all its threads and the
// garbage collector included, in steps of a nanosecond.
func CPU() (time.Duration, error) { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// CPUOf is the same for another process of this machine, threads that ended
// included.
func CPUOf(pid int) (time.Duration, error) {
	// A process's clock is its number in a clock's: see MAKE_PROCESS_CPUCLOCK in
	// Linux, include/linux/posix-timers.h.
	const scheduled = 2
	return clock(int32(^pid<<3 | scheduled))
}

func clock(id int32) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("read the CPU clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// Delay is how long the threads of this process were ready to run and did not,
// because something else had the cores. Threads that ended are not in it.
func Delay() (time.Duration, error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, fmt.Errorf("list the threads: %w", err)
	}
	var sum time.Duration
	for _, t := range tasks {
		text, err := os.ReadFile("/proc/self/task/" + t.Name() + "/schedstat")
		if os.IsNotExist(err) { // it ended just now
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read the delay of a thread: %w", err)
		}
		d, err := parseDelay(string(text))
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// parseDelay reads the second of the three numbers of a schedstat file.
func parseDelay(text string) (time.Duration, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return 0, fmt.Errorf("schedstat: want three numbers, got %q", text)
	}
	ns, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("schedstat: %w", err)
	}
	return time.Duration(ns), nil
}
