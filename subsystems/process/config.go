package process

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// The values of Config.Cgroup besides a folder.
const (
	CgroupAuto = "auto" // where controllers can be used
	CgroupOff  = "off"
)

const maxRing = 64 << 20

// Config describes a Manager. DefaultConfig is where to start from. Fields marked
// live are what SetConfig changes; the next start sees them.
type Config struct {
	Admission admission.Config // live
	Slot      *policy.Slot     // the policies; nil: none
	Log       *slog.Logger     // nil discards

	// Shim is the command that ends in Exec: it sets the limits of a process and
	// becomes its program. nil: a start with such limits is refused.
	Shim []string
	// Reaper makes this program, on Linux, adopt and reap the descendants whose
	// parents have ended. A program that embeds a Manager and starts children by
	// other means is not disturbed: a zombie that the Manager does not know is
	// reaped only if it is still there two ticks later.
	Reaper bool
	// Cgroup is auto, off, or the folder of a cgroup v2 below which each process
	// gets a group of its own.
	Cgroup string
	// LogDir is where output files are kept; "" keeps none.
	LogDir string

	Grace     time.Duration // live: from the stop signal to SIGKILL
	Timeout   time.Duration // live: of what names none; 0 none
	WaitDelay time.Duration // live: how long output is awaited from pipes that somebody holds who was not found
	Ring      int           // live: bytes kept of each stream
	LogBytes  int64         // live: size at which an output file is rotated
	LogKeep   int           // live: rotated files kept of a stream
	History   int           // live: ended processes that are remembered
	Tick      time.Duration // of the watch

	// Clock, After and Random replace time and chance of admission in tests.
	Clock  admission.Clock
	After  admission.After
	Random func() float64
}

// DefaultConfig gives 5 s to stop, keeps 64 KiB of each stream, 4 files of 10 MiB
// and the last 256 processes, and looks once a second. Its breaker is off: a
// program that keeps failing is the restart policy's matter.
func DefaultConfig() Config {
	a := admission.DefaultConfig()
	a.Breaker.Enabled = false
	return Config{
		Admission: a, Reaper: true, Cgroup: CgroupAuto,
		Grace: 5 * time.Second, WaitDelay: time.Second, Ring: 64 << 10,
		LogBytes: 10 << 20, LogKeep: 3, History: 256, Tick: time.Second,
	}
}

// Check returns every fault of c, joined; nil if there is none. It looks at no file.
func (c *Config) Check() error {
	faults := []error{c.Admission.Check()}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if min(c.Grace, c.Timeout, c.WaitDelay) < 0 {
		fault("grace, timeout and wait_delay must be 0 or more")
	}
	if c.Ring < 0 || c.Ring > maxRing {
		fault("ring must be 0 to %d", maxRing)
	}
	if c.LogBytes < 4096 || c.LogKeep < 0 {
		fault("log_bytes must be 4096 or more, log_keep 0 or more")
	}
	if c.History < 0 {
		fault("history must be 0 or more")
	}
	if c.Tick < 10*time.Millisecond {
		fault("tick must be 10ms or more")
	}
	return errors.Join(faults...)
}
