package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/subsystems/process"
)

// processStart compares a start to the end of a program that does nothing, through the
// process manager, with os/exec alone. Neither captures output.
func processStart(ctx context.Context, e effort) (out outcome, err error) {
	c := process.DefaultConfig()
	c.Admission.Limits.Global.Concurrency = 4
	m, err := process.New(c)
	if err != nil {
		return outcome{}, err
	}
	if err := m.Start(ctx); err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, m.Stop(ctx)) }()
	program, err := exec.LookPath("true")
	if err != nil {
		return outcome{}, err
	}
	spec := process.Spec{Args: []string{program}, InheritEnv: true, Output: process.Output{Discard: true}}
	ours := ops(func() error {
		p, err := m.Launch(ctx, spec)
		if err != nil {
			return err
		}
		exit, err := p.Wait(ctx)
		if err == nil && !exit.OK() {
			err = fmt.Errorf("ended: %s", exit.String())
		}
		return err
	})
	theirs := ops(func() error { return exec.Command(program).Run() })
	res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Parallel(ours, 1, e.Garbage), measure.Parallel(theirs, 1, e.Garbage))
	return compared(res, 0, "process manager", "os/exec"), err
}
