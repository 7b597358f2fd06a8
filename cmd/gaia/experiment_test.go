package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/experiment"
	expreport "github.com/gaia-host/gaia/host/experiment/report"
	"github.com/rogpeppe/go-internal/testscript"
)

// interrupted starts a command, sends SIGINT once a path is there, and wants the exit
// code 130: interrupted PATH gaia ARGS...
func interrupted(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args[2:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = ts.MkAbs("."), []string{"HOME=" + ts.Getenv("HOME")}, &said
	ts.Check(cmd.Start())
	poll(ts, ctx, "never there: "+args[0], func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
	ts.Check(cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		ts.Fatalf("exit code %d, want %d: %s", code, exitInterrupted, said.String())
	}
	fmt.Fprint(ts.Stderr(), said.String())
}

// What there is at a Ctrl-C is printed and written, and the exit code says so.
func TestPartialResultIsShown(t *testing.T) {
	s, err := experiment.Decode([]byte(`{"duration": "10s", "replicas": 50, "scenarios": {"s": {"arrivals": {"kind": "constant", "rate": 5}}},
  "upstreams": {"api": {"latency": 10}}, "strategies": {"none": {"kind": "none"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	res, cause := experiment.Run(ctx, s, experiment.Options{Parallel: 1, Progress: func(p experiment.Progress) {
		if p.Done == 3 {
			cancel()
		}
	}})
	if !errors.Is(cause, experiment.ErrPartial) {
		t.Fatal(cause)
	}
	var out, said bytes.Buffer
	x := experimentFlags{out: t.TempDir(), o: output{format: "table"}}
	err = x.show(env{out: &out, err: &said}, res, expreport.Source{}, cause)
	if code := exitCode(err); code != exitInterrupted {
		t.Errorf("exit code %d of %v", code, err)
	}
	if !strings.Contains(out.String(), "none") || !strings.Contains(out.String(), "not whole") {
		t.Errorf("printed %s", out.String())
	}
	if again, err := expreport.Load(filepath.Join(x.out, expreport.ResultFile)); err != nil || again.Partial == "" {
		t.Errorf("written: %v", err)
	}
}
