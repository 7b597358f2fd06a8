package process

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gaia-host/gaia/subsystems/admission"
)

// Bounds on what a Spec may hold.
const (
	maxArgs     = 4096
	maxArgBytes = 1 << 20 // of all arguments and the environment together
	maxInput    = 8 << 20
	maxLabels   = 16
)

// Spec says what to start and how. Launch copies it.
type Spec struct {
	// Name is what limits count on; "" is the base name of Args[0]. It also begins
	// the ID. Letters, digits and "._-".
	Name string
	// Args are the program and its arguments. A program without a slash is looked
	// up in gaia's PATH.
	Args []string
	// Env are NAME=value entries, the last of a name wins. Without InheritEnv the
	// child gets besides them only what names its place: see inherited.
	Env        []string
	InheritEnv bool
	Dir        string // "" is gaia's
	// User runs it as another user, by name or number; "" is gaia's.
	User string
	// Input is its standard input, the same again at each start. nil and no Stdin:
	// empty.
	Input []byte
	// Stdin, instead of Input, and ExtraFiles (3, 4, ... in the child) are passed
	// as they are. They stay the caller's, which closes its copies after Launch.
	// A Spec with such files is never restarted.
	Stdin      *os.File
	ExtraFiles []*os.File
	// NewSession makes it the leader of a session and not only of a process group.
	NewSession bool

	Output Output
	Limits Limits
	// Timeout bounds the time that it runs, each time it is started; 0 is the
	// Manager's. Then it is stopped as by Terminate.
	Timeout time.Duration
	// StopSignal asks it to end; 0 is SIGTERM. What is left after Grace is killed;
	// 0 is the Manager's.
	StopSignal syscall.Signal
	Grace      time.Duration
	Restart    Restart

	Tenant      string
	Priority    int // counts only with HasPriority
	HasPriority bool
	Cost        int64 // 0 is 1
	// Labels are for the caller; policies read them as header fields.
	Labels map[string]string
	// Outcome, if not nil, is filled in by Launch, also with an error, for the first
	// start.
	Outcome *admission.Outcome
}

// Output says what becomes of standard output and error.
type Output struct {
	// Discard sends both to nowhere, without a pipe.
	Discard bool
	// Ring is how many bytes at the end of each stream are kept in memory; 0 is
	// the Manager's.
	Ring int
	// Files also writes each stream to a file in the Manager's LogDir.
	Files bool
}

// Limits bound one process with all its descendants, unless said otherwise. 0 is
// no bound. Those of the first group are watched: a breach ends the process, within
// a tick of the watch. Those of the second are the kernel's, on each process alone,
// and need Config.Shim.
type Limits struct {
	Memory    int64         // bytes resident; also the cgroup's
	CPU       float64       // cores, on average over 10 ticks; the cgroup's slows instead
	CPUTime   time.Duration // user and system time
	Processes int           // descendants and itself; also the cgroup's

	AddressSpace int64         // RLIMIT_AS, bytes
	OpenFiles    int64         // RLIMIT_NOFILE
	UserProcs    int64         // RLIMIT_NPROC, of the user; root is exempt
	ProcessCPU   time.Duration // RLIMIT_CPU, whole seconds
	FileSize     int64         // RLIMIT_FSIZE, bytes
	Nice         int           // added to gaia's niceness, 0 to 19
	NoCore       bool          // no core dump
}

// When says after which ends a process is started again.
type When uint8

// The values of When.
const (
	Never     When = iota
	OnFailure      // an exit code other than 0, a signal, a breach, a failed start
	Always
)

var whenNames = [...]string{"never", "on-failure", "always"}

// String returns the name as the configuration spells it.
func (w When) String() string {
	if int(w) < len(whenNames) {
		return whenNames[w]
	}
	return "invalid"
}

// ParseWhen is the inverse of String; "" is Never.
func ParseWhen(name string) (When, error) {
	if name == "" {
		return Never, nil
	}
	if i := slices.Index(whenNames[:], name); i >= 0 {
		return When(i), nil
	}
	return Never, fmt.Errorf("restart %q: want never, on-failure or always", name)
}

// Restart is the policy of restarts. One that was told to stop is never started
// again. Each start is an operation of its own, asked of the policies like the
// first.
type Restart struct {
	When When
	// Min is the wait before the first restart, doubled with each run that was
	// shorter than Steady, up to Max. 0: 1s, 1m and 10s.
	Min, Max, Steady time.Duration
	// MaxFlaps ends it after that many runs in a row that were shorter than
	// Steady; 0 is 10, below 0 no cap.
	MaxFlaps int
}

func (r *Restart) defaults() {
	for _, d := range []struct {
		at *time.Duration
		is time.Duration
	}{{&r.Min, time.Second}, {&r.Max, time.Minute}, {&r.Steady, 10 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.is
		}
	}
	r.Max = max(r.Max, r.Min)
	if r.MaxFlaps == 0 {
		r.MaxFlaps = 10
	}
}

// ErrSpec is wrapped by what is wrong with a Spec.
var ErrSpec = errors.New("process: bad spec")

// clone copies s with its defaults filled in.
func (s *Spec) clone(c *Config) Spec {
	out := *s
	out.Args, out.Env, out.Input = slices.Clone(s.Args), slices.Clone(s.Env), slices.Clone(s.Input)
	out.ExtraFiles, out.Labels = slices.Clone(s.ExtraFiles), maps.Clone(s.Labels)
	if out.Name == "" {
		out.Name = keyOf(s.Args[0])
	}
	if out.StopSignal == 0 {
		out.StopSignal = syscall.SIGTERM
	}
	if out.Grace == 0 {
		out.Grace = c.Grace
	}
	if out.Timeout == 0 {
		out.Timeout = c.Timeout
	}
	if out.Output.Ring == 0 {
		out.Output.Ring = c.Ring
	}
	out.Restart.defaults()
	return out
}

// keyOf makes a name of a program's path.
func keyOf(program string) string {
	name := []byte(filepath.Base(program))
	for i, b := range name {
		if !nameByte(b) {
			name[i] = '_'
		}
	}
	return string(name[:min(len(name), 64)])
}

func nameByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-'
}

// Check returns every fault of s, joined under ErrSpec; nil if there is none.
func (s *Spec) Check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(s.Args) == 0 || s.Args[0] == "" {
		fault("args: want the program first")
	}
	if len(s.Name) > 64 || strings.ContainsFunc(s.Name, func(r rune) bool { return r > 127 || !nameByte(byte(r)) }) {
		fault("name %q: want at most 64 letters, digits and ._-", s.Name)
	}
	total := 0
	for _, a := range slices.Concat(s.Args, s.Env) {
		total += len(a) + 1
	}
	if len(s.Args)+len(s.Env) > maxArgs || total > maxArgBytes {
		fault("args and env: at most %d of together %d bytes", maxArgs, maxArgBytes)
	}
	for _, e := range s.Env {
		if strings.IndexByte(e, '=') <= 0 {
			fault("env %q: want NAME=value", e)
		}
	}
	if strings.ContainsRune(strings.Join(slices.Concat(s.Args, s.Env, []string{s.Dir, s.User}), ""), 0) {
		fault("args, env, dir and user must hold no NUL")
	}
	if len(s.Input) > maxInput {
		fault("input: %d bytes, at most %d", len(s.Input), maxInput)
	}
	if s.Input != nil && s.Stdin != nil {
		fault("input and stdin exclude each other")
	}
	if len(s.Labels) > maxLabels {
		fault("labels: at most %d", maxLabels)
	}
	faults = append(faults, s.checkTimes()...)
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return nil
}

func (s *Spec) checkTimes() []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	l, r := &s.Limits, &s.Restart
	if min(s.Timeout, s.Grace, l.CPUTime, l.ProcessCPU, r.Min, r.Max, r.Steady) < 0 {
		fault("no time may be negative")
	}
	if min(l.Memory, l.AddressSpace, l.OpenFiles, l.UserProcs, l.FileSize, int64(l.Processes), s.Cost, int64(s.Output.Ring)) < 0 || !(l.CPU >= 0) {
		fault("no limit and no size may be negative")
	}
	if s.Output.Ring > maxRing {
		fault("output.ring: %d bytes, at most %d", s.Output.Ring, maxRing)
	}
	if l.Nice < 0 || l.Nice > 19 {
		fault("limits.nice must be 0 to 19")
	}
	if s.StopSignal < 0 || s.StopSignal > 64 {
		fault("stop_signal %d: no such signal", int(s.StopSignal))
	}
	if r.When > Always {
		fault("restart: no such policy")
	}
	if r.When != Never && s.hasFiles() {
		fault("restart: a spec with stdin or extra files of the caller starts once")
	}
	return faults
}

func (s *Spec) hasFiles() bool { return s.Stdin != nil || len(s.ExtraFiles) > 0 }

// needsShim reports whether a limit is the kernel's for each process.
func (l *Limits) needsShim() bool {
	return l.AddressSpace > 0 || l.OpenFiles > 0 || l.UserProcs > 0 || l.ProcessCPU > 0 || l.FileSize > 0 || l.Nice > 0 || l.NoCore
}

// watched reports whether the watch has something to compare.
func (l *Limits) watched() bool { return l.Memory > 0 || l.CPU > 0 || l.CPUTime > 0 || l.Processes > 0 }

// inherited names what a child gets of gaia's environment without InheritEnv:
// what says where it is and not what gaia knows.
func inherited() []string {
	return []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TERM", "XDG_RUNTIME_DIR"}
}

// markName is the variable by which a descendant is known that left its group and
// its parent.
const markName = "GAIA_PROCESS"

// environ is the environment of the child.
func (s *Spec) environ(mark string) []string {
	var env []string
	if s.InheritEnv {
		env = os.Environ()
	} else {
		for _, name := range inherited() {
			if v, ok := os.LookupEnv(name); ok {
				env = append(env, name+"="+v)
			}
		}
	}
	return append(append(env, s.Env...), markName+"="+mark)
}
