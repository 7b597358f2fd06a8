package process

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Reason is why a run ended.
type Reason string

// The reasons.
const (
	ReasonExit    Reason = "exit"      // of itself, with Code
	ReasonSignal  Reason = "signal"    // by a signal that gaia did not send
	ReasonStop    Reason = "stopped"   // Terminate, Kill or Stop
	ReasonTimeout Reason = "timeout"   // it ran for longer than Timeout
	ReasonMemory  Reason = "memory"    // Limits.Memory
	ReasonCPU     Reason = "cpu"       // Limits.CPU or CPUTime
	ReasonProcs   Reason = "processes" // Limits.Processes
	ReasonOOM     Reason = "oom"       // the kernel had no memory left
	ReasonStart   Reason = "start"     // it could not be started
)

// Exit is how a run ended. A Code other than 0 is an answer, like a status of 404:
// the run itself went well.
type Exit struct {
	Reason Reason
	Code   int            // of the program; -1 where a signal ended it or it never ran
	Signal syscall.Signal // that ended it, 0 none
	Core   bool           // it left a core dump
	// OOM says that it was killed by a signal that gaia did not send, while the
	// kernel counted an out-of-memory kill: in its cgroup, or, where it had none
	// with a memory controller, in the whole system.
	OOM bool
	// Cut says that somebody who was not found held an output pipe beyond
	// WaitDelay; what was written later is lost.
	Cut bool
	// Left is how many of its processes would not die, mostly in the kernel.
	Left int
	Err  string // why it could not be started

	Started, Ended time.Time
	User, System   time.Duration // of the process and the children it waited for
	MaxRSS         int64         // bytes, of the largest of them
}

// Uptime is how long it ran.
func (e *Exit) Uptime() time.Duration { return max(e.Ended.Sub(e.Started), 0) }

// OK reports whether it ended of itself with code 0.
func (e *Exit) OK() bool { return e.Reason == ReasonExit && e.Code == 0 }

// String says how it ended, in a few words.
func (e *Exit) String() string {
	var b strings.Builder
	switch e.Reason {
	case ReasonExit:
		fmt.Fprintf(&b, "exit code %d", e.Code)
	case ReasonStart:
		return "not started: " + e.Err
	default:
		b.WriteString(string(e.Reason))
		if e.Signal != 0 {
			fmt.Fprintf(&b, " (%s)", SignalName(e.Signal))
		} else if e.Code >= 0 {
			fmt.Fprintf(&b, " (exit code %d)", e.Code)
		}
	}
	return b.String()
}

// response is what policies and counters are told.
func (e *Exit) response(res *policy.Response, out int64, fields *fieldsOf) {
	*res = policy.Response{Status: max(e.Code, 0), Duration: e.Uptime(), Bytes: out, Header: fields}
	*fields = fieldsOf{e}
	switch e.Reason {
	case ReasonStop:
		res.Error = policy.ErrorCanceled
	case ReasonTimeout:
		res.Error = policy.ErrorTimeout
	case ReasonMemory, ReasonCPU, ReasonProcs, ReasonOOM:
		res.Error = policy.ErrorTooLarge
	case ReasonSignal:
		res.Error = policy.ErrorReset
	case ReasonStart:
		res.Error = policy.ErrorRefused
	}
}

// fieldsOf gives policies what a status and a kind cannot say.
type fieldsOf struct{ *Exit }

// Lookup implements policy.Lookup.
func (f *fieldsOf) Lookup(name string) (string, bool) {
	switch strings.ToLower(name) {
	case "reason":
		return string(f.Reason), true
	case "code":
		return strconv.Itoa(f.Code), true
	case "signal":
		if f.Signal == 0 {
			return "", false
		}
		return SignalName(f.Signal), true
	case "oom":
		return strconv.FormatBool(f.OOM), true
	}
	return "", false
}

// labels let policies read the labels of a Spec.
type labels map[string]string

// Lookup implements policy.Lookup.
func (l labels) Lookup(name string) (string, bool) {
	if v, ok := l[name]; ok {
		return v, true
	}
	for k, v := range l {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}

// StartError is a start that failed.
type StartError struct {
	Program string
	Err     error
}

// Error says what could not be started and why.
func (e *StartError) Error() string { return fmt.Sprintf("process: start %s: %v", e.Program, e.Err) }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// temporary reports whether the system was out of something for a moment.
func temporary(err error) bool {
	for _, e := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
