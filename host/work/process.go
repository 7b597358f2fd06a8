package work

import (
	"context"
	"encoding/base64"
	"errors"
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
