package work

import (
	"slices"
	"time"

	"github.com/gaia-host/gaia/subsystems/process"
)

const (
	schemaProcess   = "gaia.process/v1"
	schemaProcesses = "gaia.processes/v1"
)

// startInput is the input of `process start` and `process run`.
type startInput struct {
	Args       []string          `json:"args" arg:"yes" need:"yes" doc:"the program and its arguments"`
	Name       string            `json:"name" doc:"what limits count on; the program's base name unless told"`
	Env        map[string]string `json:"env" doc:"variables of the environment"`
	InheritEnv bool              `json:"inherit_env" doc:"give it gaia's whole environment, secrets too"`
	Dir        string            `json:"dir" doc:"folder to start in, gaia's unless told"`
	User       string            `json:"user" doc:"run it as another user"`
	Stdin      string            `json:"stdin" doc:"its standard input"`
	Session    bool              `json:"session" doc:"make it the leader of a session"`
	MaxTime    Duration          `json:"max_time" doc:"stop it after this time"`
	Grace      Duration          `json:"grace" doc:"time from the stop signal to SIGKILL"`
	StopSignal string            `json:"stop_signal" doc:"what asks it to end, TERM unless told"`
	Labels     map[string]string `json:"labels" doc:"words for policies (as header fields) and for you"`

	Restart    string   `json:"restart" one:"never on-failure always" doc:"start it again: never, on-failure or always"`
	RestartMin Duration `json:"restart_min" doc:"first wait before a restart, 1s unless told"`
	RestartMax Duration `json:"restart_max" doc:"longest wait before a restart, 1m unless told"`
	Steady     Duration `json:"steady" doc:"a run this long starts the waits anew, 10s unless told"`
	MaxFlaps   int      `json:"max_flaps" doc:"shorter runs in a row after which it is given up, 10 unless told; -1 never"`

	Memory       Size     `json:"memory" doc:"end it when it and its descendants hold more"`
	CPU          float64  `json:"cpu" doc:"end it when they use more cores for long"`
	CPUTime      Duration `json:"cpu_time" doc:"end it when they have used more processor time"`
	Processes    int      `json:"processes" doc:"end it when they are more than this"`
	AddressSpace Size     `json:"address_space" doc:"RLIMIT_AS of each process"`
	OpenFiles    int64    `json:"open_files" doc:"RLIMIT_NOFILE of each process"`
	UserProcs    int64    `json:"user_processes" doc:"RLIMIT_NPROC of the user"`
	FileSize     Size     `json:"file_size" doc:"RLIMIT_FSIZE of each process"`
	ProcessCPU   Duration `json:"process_cpu" doc:"RLIMIT_CPU of each process"`
	Nice         int      `json:"nice" doc:"added to its niceness, 0 to 19"`
	NoCore       bool     `json:"no_core" doc:"no core dumps"`

	Ring    Size `json:"output_ring" doc:"what is kept of each stream in memory"`
	Files   bool `json:"output_files" doc:"also write the output to files in process.log_dir"`
	Discard bool `json:"discard" doc:"keep no output"`
}

// idInput names one process.
type idInput struct {
	ID string `json:"id" arg:"yes" need:"yes" doc:"the process, as start and list name it"`
}

type signalInput struct {
	ID     string `json:"id" arg:"yes" need:"yes" doc:"the process, as start and list name it"`
	Signal string `json:"signal" arg:"yes" need:"yes" doc:"a name such as HUP, or a number"`
}

type terminateInput struct {
	ID    string   `json:"id" arg:"yes" need:"yes" doc:"the process, as start and list name it"`
	Grace Duration `json:"grace" doc:"time from the stop signal to SIGKILL, the process's own unless told"`
}

type listInput struct {
	State string `json:"state" one:"running stopping waiting ended" doc:"only those in this state"`
	Name  string `json:"name" doc:"only those of this name"`
}

type logsInput struct {
	ID     string `json:"id" arg:"yes" need:"yes" doc:"the process, as start and list name it"`
	Stream string `json:"stream" one:"stdout stderr both" doc:"stdout, stderr, or both, which is the default"`
	Lines  *int   `json:"lines" doc:"only the last lines; all that is kept unless told"`
	Follow bool   `json:"follow" short:"f" doc:"go on until the process has ended"`
}

// processAnswer is one process.
type processAnswer struct {
	Schema    string            `json:"schema,omitempty"`
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	State     string            `json:"state"`
	PID       int               `json:"pid,omitempty"`
	Args      []string          `json:"args"`
	Restarts  int               `json:"restarts"`
	Started   *time.Time        `json:"started,omitempty"`
	Next      *time.Time        `json:"next_start,omitempty"`
	Exit      *exitAnswer       `json:"exit,omitempty"`
	GaveUp    string            `json:"gave_up,omitempty"`
	RSS       int64             `json:"rss_bytes"`
	CPU       float64           `json:"cpu_cores"`
	Processes int               `json:"processes"`
	Stdout    int64             `json:"stdout_bytes"`
	Stderr    int64             `json:"stderr_bytes"`
	Files     []string          `json:"files,omitempty"`
	Tenant    string            `json:"tenant,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// exitAnswer is how a run ended.
type exitAnswer struct {
	Reason    string  `json:"reason"`
	Code      int     `json:"code"` // -1 where a signal ended it
	Signal    string  `json:"signal,omitempty"`
	OOM       bool    `json:"oom,omitempty"`
	Cut       bool    `json:"output_cut,omitempty"`
	Left      int     `json:"unkillable,omitempty"`
	UptimeMS  float64 `json:"uptime_ms"`
	UserMS    float64 `json:"user_ms"`
	SystemMS  float64 `json:"system_ms"`
	MaxRSS    int64   `json:"max_rss_bytes"`
	EndedText string  `json:"text"`
}

// processRow is a process in a list.
type processRow struct {
	ID       string  `json:"id"`
	State    string  `json:"state"`
	PID      int     `json:"pid"`
	Restarts int     `json:"restarts"`
	RSS      int64   `json:"rss_bytes"`
	CPU      float64 `json:"cpu_cores"`
	Ended    string  `json:"ended"`
	Command  string  `json:"command"`
}

type processList struct {
	Schema    string       `json:"schema"`
	Processes []processRow `json:"processes"`
}

// outputLine is a piece of output of `process run`; the last line is the end.
type outputLine struct {
	Stream string         `json:"stream,omitempty"`
	Text   string         `json:"text,omitempty"`
	Base64 string         `json:"base64,omitempty"` // instead of text, where it is not UTF-8
	End    *processAnswer `json:"end,omitempty"`
}

// spec is what the input asks for.
func (in *startInput) spec(call *Call) (process.Spec, *Error) {
	s := process.Spec{Name: in.Name, Args: in.Args, InheritEnv: in.InheritEnv, Dir: in.Dir, User: in.User, NewSession: in.Session,
		Output:  process.Output{Discard: in.Discard, Ring: int(in.Ring), Files: in.Files},
		Timeout: in.MaxTime.Std(), Grace: in.Grace.Std(), Labels: in.Labels,
		Tenant: call.Tenant, Priority: call.Priority, HasPriority: call.HasPriority, Cost: call.Cost,
		Limits: process.Limits{Memory: int64(in.Memory), CPU: in.CPU, CPUTime: in.CPUTime.Std(), Processes: in.Processes,
			AddressSpace: int64(in.AddressSpace), OpenFiles: in.OpenFiles, UserProcs: in.UserProcs, ProcessCPU: in.ProcessCPU.Std(),
			FileSize: int64(in.FileSize), Nice: in.Nice, NoCore: in.NoCore},
		Restart: process.Restart{Min: in.RestartMin.Std(), Max: in.RestartMax.Std(), Steady: in.Steady.Std(), MaxFlaps: in.MaxFlaps},
	}
	if in.Stdin != "" {
		s.Input = []byte(in.Stdin)
	}
	for name, value := range in.Env {
		s.Env = append(s.Env, name+"="+value)
	}
	slices.Sort(s.Env)
	var err error
	if s.Restart.When, err = process.ParseWhen(in.Restart); err != nil {
		return s, BadInput("restart", "%v", err)
	}
	if in.StopSignal != "" {
		if s.StopSignal, err = process.ParseSignal(in.StopSignal); err != nil {
			return s, BadInput("stop_signal", "%v", err)
		}
	}
	return s, nil
}

// commandOf is a command line as a list shows it.
func commandOf(args []string) string {
	const most = 80
	text := ""
	for i, a := range args {
		if i > 0 {
			text += " "
		}
		if text += a; len(text) > most {
			return text[:most] + "..."
		}
	}
	return text
}

func answerOf(p *process.Process) *processAnswer {
	s := p.Status()
	a := &processAnswer{Schema: schemaProcess, ID: s.ID, Name: s.Name, State: string(s.State), PID: s.PID, Args: s.Args, Restarts: s.Restarts,
		Started: moment(s.Started), Next: moment(s.Next), GaveUp: s.GaveUp, RSS: s.RSS, CPU: s.CPU, Processes: s.Processes,
		Stdout: s.Written[process.Stdout], Stderr: s.Written[process.Stderr], Files: s.Files, Tenant: s.Tenant, Labels: s.Labels}
	if e := s.Exit; e != nil {
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		a.Exit = &exitAnswer{Reason: string(e.Reason), Code: e.Code, OOM: e.OOM, Cut: e.Cut, Left: e.Left,
			UptimeMS: ms(e.Uptime()), UserMS: ms(e.User), SystemMS: ms(e.System), MaxRSS: e.MaxRSS, EndedText: e.String()}
		if e.Signal != 0 {
			a.Exit.Signal = process.SignalName(e.Signal)
		}
	}
	return a
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
