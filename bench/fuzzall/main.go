// Command fuzzall runs every fuzz target of a source tree, one after the other, each for
// the same time. `go test -fuzz` takes one target of one package at a time.
//
//	cd bench && go run ./fuzzall -dir .. -time 60s [-parallel N]
//
// It prints one line a target. The exit code is 0, 1 where a target failed, 2 for wrong
// usage or where there is no target at all. What a target finds stays in its package's
// testdata/fuzz, as go test leaves it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// run is main without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fuzzall", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", ".", "root of the module whose targets to run")
	each := flags.Duration("time", time.Minute, "how long to run each target")
	parallel := flags.Int("parallel", 0, "processes that a target uses, 0: one for each core")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *each <= 0 || *parallel < 0 || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "fuzzall: want [-dir DIR] [-time DURATION] [-parallel N]")
		return 2
	}
	targets, err := find(*dir)
	if err != nil {
		fmt.Fprintln(stderr, "fuzzall:", err)
		return 2
	}
	if len(targets) == 0 {
		fmt.Fprintf(stderr, "fuzzall: there is no fuzz target in %s\n", *dir)
		return 2
	}
	code := 0
	for _, t := range targets {
		start := time.Now()
		out, err := fuzz(ctx, *dir, t, *each, *parallel)
		if ctx.Err() != nil {
			fmt.Fprintln(stderr, "fuzzall: interrupted")
			return 1
		}
		if err != nil {
			code = 1
			fmt.Fprintf(stdout, "FAIL %-50s %6.1fs\n", t, time.Since(start).Seconds())
			fmt.Fprintf(stderr, "%s\n", out)
			continue
		}
		fmt.Fprintf(stdout, "ok   %-50s %6.1fs  %s\n", t, time.Since(start).Seconds(), progress(out))
	}
	return code
}

// minimize bounds how often a new input is tried to be made smaller: without it most of
// the time may go into that.
const minimize = "10x"

// fuzz runs one target and returns what go test said.
func fuzz(ctx context.Context, dir string, t target, each time.Duration, parallel int) ([]byte, error) {
	args := []string{"test", "-run", "^$", "-fuzz", "^" + t.name + "$", "-fuzztime", each.String(), "-fuzzminimizetime", minimize}
	if parallel > 0 {
		args = append(args, "-parallel", strconv.Itoa(parallel))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+t.dir)...)
	cmd.Dir = dir
	// go test hands an interrupt on to the processes it started; a kill would orphan them.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.CombinedOutput()
}

// progress is what go test last said about how far it came.
func progress(out []byte) string {
	last := ""
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "fuzz: elapsed: "); ok {
			_, counts, _ := strings.Cut(strings.TrimSpace(text), ", ")
			last = counts
		}
	}
	return last
}
