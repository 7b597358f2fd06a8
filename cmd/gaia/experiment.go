package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gaia-host/gaia/host/experiment"
	expreport "github.com/gaia-host/gaia/host/experiment/report"
	"github.com/gaia-host/gaia/host/experiment/script"
	"github.com/spf13/cobra"
)

// experimentFlags are those of `gaia experiment`.
type experimentFlags struct {
	out      string
	seed     uint64
	replicas int
	duration time.Duration
	quiet    bool
	list     bool
	o        output
}

func newExperiment(e env) *cobra.Command {
	var x experimentFlags
	cmd := &cobra.Command{
		Use: "experiment FILE", Short: "compare rate-limiting strategies in virtual time",
		Long: `Run the strategies of an experiment, a .js, .ts or .json file or std/NAME, with the
production code in virtual time, and say how sure the differences are.

  gaia experiment std/limiters --out limiters
  gaia experiment exp.js --replicas 20 --seed 7
  gaia experiment --list

DIR/report.html is one page that needs no network. The exit code is 99 where a
threshold is not met. Ctrl-C prints what there is; twice ends at once.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if x.list {
				return exactly(0)(cmd, args)
			}
			return exactly(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := x.o.check(); err != nil {
				return err
			}
			if x.list {
				return listExperiments(cmd.Context(), e, x.o.format)
			}
			return runExperiment(cmd, e, &x, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&x.out, "out", "", "write result.json, CSV files and report.html into this folder")
	f.Uint64Var(&x.seed, "seed", 0, "another seed than the script's")
	f.IntVar(&x.replicas, "replicas", 0, "run each strategy with so many seeds")
	f.DurationVar(&x.duration, "duration", 0, "another virtual duration than the script's")
	f.BoolVar(&x.quiet, "quiet", false, "no progress and no timing on standard error")
	f.BoolVar(&x.list, "list", false, "list the experiments that come along")
	x.o.add(cmd, "table", "json")
	return cmd
}

func listExperiments(ctx context.Context, e env, format string) error {
	if format == "json" {
		return writeJSON(e.out, script.Std())
	}
	for _, name := range script.Std() {
		s, err := script.Load(ctx, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%-20s %s\n", name, headline(s.Text))
	}
	return nil
}

func runExperiment(cmd *cobra.Command, e env, x *experimentFlags, use string) error {
	began := time.Now()
	p := newProgress(e.err)
	defer p.end()
	ctx, stop := untilInterrupted(cmd.Context(), e, p)
	defer stop()
	s, err := script.Load(ctx, use)
	if err != nil {
		return err
	}
	if err := x.override(cmd, s.Spec); err != nil {
		return err
	}
	if err := s.Spec.Check(); err != nil {
		return &specError{use, err}
	}
	if x.out != "" { // better now than after the run
		if err := os.MkdirAll(x.out, 0o755); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	o := experiment.Options{Inline: s}
	if !x.quiet {
		o.Progress = func(at experiment.Progress) { p.part(at.Share, fmt.Sprintf("%d of %d runs", at.Done, at.Total)) }
	}
	res, err := experiment.Run(ctx, s.Spec, o)
	p.end()
	took := time.Since(began)
	if res == nil {
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("nothing to show: no strategy was past its warm-up: %w", err)
		}
		return err
	}
	return x.show(e, res, expreport.Source{Script: s.Text, Took: took}, err)
}

// show prints a result, whole or not, and writes it; cause is the error of the run.
func (x *experimentFlags) show(e env, res *experiment.Result, src expreport.Source, cause error) error {
	var errs []error
	if x.o.format == "json" {
		errs = append(errs, expreport.JSON(e.out, res))
	} else {
		errs = append(errs, expreport.Text(e.out, res))
	}
	if x.out != "" {
		errs = append(errs, expreport.Write(x.out, res, src))
	}
	if !x.quiet {
		fmt.Fprintf(e.err, "%s\n", timing(res, src.Took))
		if x.out != "" && errors.Join(errs...) == nil {
			fmt.Fprintf(e.err, "report: %s\n", filepath.Join(x.out, expreport.PageFile))
		}
	}
	if err := errors.Join(append(errs, cause)...); err != nil {
		return err
	}
	if n := expreport.Failed(res); n > 0 {
		fmt.Fprintf(e.err, "%d of %d thresholds are not met\n", n, len(res.Thresholds))
		return silent(exitThresholds)
	}
	return nil
}

func timing(res *experiment.Result, took time.Duration) string {
	replicas := res.Strategies[0].Means["offered"].N
	virtual := time.Duration(0)
	for i := range res.Strategies {
		if at := res.Strategies[i].CutAt; at > 0 {
			virtual += time.Duration(at).Round(time.Second)
		} else {
			virtual += time.Duration(res.Spec.Duration) * time.Duration(replicas)
		}
	}
	return fmt.Sprintf("%d strategies, %d replicas, %s of virtual time in %s", len(res.Strategies), replicas, virtual, took.Round(100*time.Millisecond))
}

// override lets the flags win over the script.
func (x *experimentFlags) override(cmd *cobra.Command, s *experiment.Spec) error {
	f := cmd.Flags()
	if f.Changed("seed") {
		if x.seed == 0 {
			return usageError{errors.New("--seed 0: want 1 or more")}
		}
		s.Seed = x.seed
	}
	if f.Changed("replicas") {
		if x.replicas < 1 || x.replicas > experiment.MaxReplicas {
			return usageError{fmt.Errorf("--replicas %d: want 1 to %d", x.replicas, experiment.MaxReplicas)}
		}
		s.Replicas = x.replicas
	}
	if f.Changed("duration") {
		if x.duration <= 0 || x.duration > experiment.MaxDuration {
			return usageError{fmt.Errorf("--duration %s: want more than 0 and at most %s", x.duration, experiment.MaxDuration)}
		}
		s.Duration = experiment.Duration(x.duration)
	}
	return nil
}

// untilInterrupted ends ctx at the first Ctrl-C. The second ends the process at once,
// as it would have without.
func untilInterrupted(ctx context.Context, e env, p *progress) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			p.end()
			fmt.Fprintln(e.err, "interrupted: this is what there is; once more ends at once")
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}

// specError is what is wrong with an experiment, fault by fault.
type specError struct {
	use string
	err error
}

// Error lists the faults, one a line.
func (s *specError) Error() string {
	return s.use + ": " + strings.ReplaceAll(s.err.Error(), "\n", "\n  ")
}

// ExitCode returns 3.
func (s *specError) ExitCode() int { return exitInvalid }

// Unwrap returns the faults.
func (s *specError) Unwrap() error { return s.err }

// Hint says where the names are.
func (s *specError) Hint() string { return "docs/experiments.md has the names" }
