package work

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/process"
)

// ProcessConfig is what the actions of the process subsystem need. The zero
// ProcessConfig declares them.
type ProcessConfig struct {
	Manager *process.Manager
}

const (
	schemaProcess   = "gaia.process/v1"
	schemaProcesses = "gaia.processes/v1"
	allOfARing      = 64 << 20
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

// Process declares what can be asked of the process subsystem.
func Process(c ProcessConfig) Subsystem {
	return Subsystem{
		Name: policy.SubsystemProcess, Doc: "child processes",
		Actions: []Action{
			JSON("start", "start a process when the policies let it go", c.start).Asking(),
			Lines("run", "start a process, give its output as it comes, and its end", c.run).Special().Asking(),
			JSON("list", "list the processes, running and remembered", c.list),
			JSON("status", "describe a process", c.status),
			JSON("wait", "wait until a process has ended for good", c.wait),
			JSON("signal", "send a signal to a process and its group", c.signal),
			JSON("terminate", "ask a process to end, kill what is left of it after its grace, and wait until all is gone", c.terminate),
			JSON("kill", "kill a process with all that it started, and wait until all is gone", c.kill),
			Bytes("logs", "give the output of a process that is kept, and follow it", c.logs).Following(),
		},
		Explain: explainProcess,
	}
}

func explainProcess(err error) *Error {
	var start *process.StartError
	switch {
	case errors.Is(err, process.ErrSpec):
		return &Error{Code: CodeBadRequest, Title: "the input is wrong", Detail: err.Error(), Err: err}
	case errors.Is(err, process.ErrShim):
		return &Error{Code: CodeUnsupported, Detail: err.Error(), Err: err}
	case errors.Is(err, process.ErrStopped):
		return &Error{Code: CodeNotReady, Detail: err.Error(), Err: err}
	case errors.Is(err, process.ErrEnded):
		return &Error{Code: CodeConflict, Title: "the process does not run", Err: err}
	case errors.As(err, &start):
		return &Error{Code: CodeFailed, Title: "the process could not be started", Detail: start.Error(), Err: err}
	}
	return nil
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

func (c ProcessConfig) launch(ctx context.Context, call *Call, in *startInput) (*process.Process, error) {
	spec, e := in.spec(call)
	if e != nil {
		return nil, e
	}
	var how admission.Outcome
	spec.Outcome = &how
	p, err := c.Manager.Launch(ctx, spec)
	call.Held(&how)
	return p, err
}

func (c ProcessConfig) start(ctx context.Context, call *Call, in *startInput) (*processAnswer, error) {
	p, err := c.launch(ctx, call, in)
	if err != nil {
		return nil, err
	}
	return answerOf(p), nil
}

// run ends the process when its caller leaves.
func (c ProcessConfig) run(ctx context.Context, call *Call, in *startInput, out *Out) error {
	p, err := c.launch(ctx, call, in)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = p.Terminate(context.WithoutCancel(ctx), 0) })()
	if err := out.Start(); err != nil {
		return err
	}
	// Read to the end whatever the caller's state: the process is being ended.
	err = followed(context.WithoutCancel(ctx), p, []process.Stream{process.Stdout, process.Stderr}, nil, func(s process.Stream, b []byte) error {
		line := outputLine{Stream: s.String()}
		if utf8.Valid(b) {
			line.Text = string(b)
		} else {
			line.Base64 = base64.StdEncoding.EncodeToString(b)
		}
		return out.Line(line)
	})
	if err != nil {
		_ = p.Terminate(context.WithoutCancel(ctx), 0)
		return err
	}
	<-p.Done()
	return out.Line(outputLine{End: answerOf(p)})
}

func (c ProcessConfig) get(id string) (*process.Process, error) {
	p, ok := c.Manager.Get(id)
	if !ok {
		return nil, Errorf(CodeNotFound, "there is no process %.64q; it may have ended and been forgotten", id)
	}
	return p, nil
}

func (c ProcessConfig) list(_ context.Context, _ *Call, in *listInput) (*processList, error) {
	l := &processList{Schema: schemaProcesses, Processes: []processRow{}}
	for _, p := range c.Manager.List() {
		s := p.Status()
		if in.State != "" && in.State != string(s.State) || in.Name != "" && in.Name != s.Name {
			continue
		}
		row := processRow{ID: s.ID, State: string(s.State), PID: s.PID, Restarts: s.Restarts, RSS: s.RSS, CPU: s.CPU, Command: commandOf(s.Args)}
		if s.Exit != nil {
			row.Ended = s.Exit.String()
		}
		l.Processes = append(l.Processes, row)
	}
	return l, nil
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

func (c ProcessConfig) status(_ context.Context, _ *Call, in *idInput) (*processAnswer, error) {
	p, err := c.get(in.ID)
	if err != nil {
		return nil, err
	}
	return answerOf(p), nil
}

func (c ProcessConfig) wait(ctx context.Context, _ *Call, in *idInput) (*processAnswer, error) {
	p, err := c.get(in.ID)
	if err != nil {
		return nil, err
	}
	if _, err := p.Wait(ctx); err != nil {
		return nil, err
	}
	return answerOf(p), nil
}

func (c ProcessConfig) signal(_ context.Context, _ *Call, in *signalInput) (*processAnswer, error) {
	p, err := c.get(in.ID)
	if err != nil {
		return nil, err
	}
	s, err := process.ParseSignal(in.Signal)
	if err != nil {
		return nil, BadInput("signal", "%v", err)
	}
	if err := p.Signal(s); err != nil {
		return nil, err
	}
	return answerOf(p), nil
}

func (c ProcessConfig) terminate(ctx context.Context, _ *Call, in *terminateInput) (*processAnswer, error) {
	p, err := c.get(in.ID)
	if err != nil {
		return nil, err
	}
	if err := p.Terminate(ctx, in.Grace.Std()); err != nil {
		return nil, err
	}
	return answerOf(p), nil
}

func (c ProcessConfig) kill(ctx context.Context, _ *Call, in *idInput) (*processAnswer, error) {
	p, err := c.get(in.ID)
	if err != nil {
		return nil, err
	}
	if err := p.Kill(ctx); err != nil {
		return nil, err
	}
	return answerOf(p), nil
}

func (c ProcessConfig) logs(ctx context.Context, _ *Call, in *logsInput, out *Out) error {
	p, err := c.get(in.ID)
	if err != nil {
		return err
	}
	if in.Lines != nil && *in.Lines < 0 {
		return BadInput("lines", "want 0 or more")
	}
	from := []process.Stream{process.Stdout, process.Stderr}
	switch in.Stream {
	case "stdout":
		from = from[:1]
	case "stderr":
		from = from[1:]
	}
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out.Header().Set("X-Content-Type-Options", "nosniff")
	if err := out.Start(); err != nil {
		return err
	}
	if !in.Follow {
		for _, s := range from {
			if _, err := out.Write(lastLines(p.Tail(s, allOfARing), in.Lines)); err != nil {
				return err
			}
		}
		return nil
	}
	err = followed(ctx, p, from, in.Lines, func(_ process.Stream, b []byte) error {
		_, err := out.Write(b)
		return err
	})
	if ctx.Err() != nil {
		return nil // a follower that leaves, or a gaia that stops, cuts nothing short
	}
	return err
}

// lastLines are the last n lines of b; nil: all.
func lastLines(b []byte, n *int) []byte {
	if n == nil {
		return b
	}
	left := *n
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '\n' && i != len(b)-1 {
			if left--; left <= 0 {
				return b[i+1:]
			}
		}
	}
	if *n == 0 {
		return nil
	}
	return b
}

// followed gives the output as it comes, of several streams one piece at a time,
// until the process has ended, ctx ends or give fails.
func followed(ctx context.Context, p *process.Process, from []process.Stream, lines *int, give func(process.Stream, []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex // one piece at a time
	var wg sync.WaitGroup
	errs := make([]error, len(from))
	for i, s := range from {
		tail := int64(allOfARing)
		if lines != nil {
			tail = int64(len(lastLines(p.Tail(s, allOfARing), lines)))
		}
		r := p.Follow(ctx, s, tail)
		wg.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := r.Read(buf)
				if n > 0 {
					mu.Lock()
					err = give(s, buf[:n])
					mu.Unlock()
				}
				if err != nil {
					if !errors.Is(err, io.EOF) {
						errs[i] = err
						cancel()
					}
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
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
