// Command gate measures what gaia must cost: each row compares a part of gaia with what
// a Go programmer would otherwise use, both in the same run, and says whether the ratio
// keeps its target.
//
//	cd bench && go run ./gate [-run REGEXP] [-repeat N] [-limit D] [-v]
//
// Standard output has one line a row, whose last word is ok or SHORT. The exit code is 0,
// 1 where a row is SHORT or could not be measured, 2 for wrong usage.
//
// It is not a profiler and reports no absolute times but with -v: those of one machine
// say nothing about another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"time"
)

// Exit codes.
const (
	exitOK    = 0
	exitShort = 1
	exitUsage = 2
)

func main() {
	if role, args, ok := roleOf(os.Args); ok {
		os.Exit(runRole(role, args))
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	code := gate(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// gate is main without the process around it.
func gate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("gate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("run", "", "measure only the rows whose name matches this regular expression")
	repeat := flags.Int("repeat", fullEffort.Repeat, "interleaved repeats of each row")
	limit := flags.Duration("limit", fullEffort.Limit, "after so long the repeats of a row do that were made until then")
	verbose := flags.Bool("v", false, "tell costs, spread and repeats of each row on standard error")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	wanted, err := regexp.Compile(*pattern)
	if err != nil || *repeat < 1 || *limit <= 0 || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "gate: want [-run REGEXP] [-repeat N] [-limit D] [-v], N at least 1, D as 12s")
		return exitUsage
	}
	e := fullEffort
	e.Repeat, e.Limit = *repeat, *limit
	var chosen []row
	for _, r := range rows() {
		if wanted.MatchString(r.name) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		fmt.Fprintf(stderr, "gate: no row matches %q\n", *pattern)
		return exitUsage
	}
	return measureRows(ctx, chosen, e, stdout, verboseTo(stderr, *verbose), stderr)
}

func verboseTo(w io.Writer, verbose bool) io.Writer {
	if verbose {
		return w
	}
	return io.Discard
}

// ballast is memory held while the rows are measured, of about what gaia holds when it
// serves. With next to no heap the collector would run all the time, and the side that
// allocates would be charged what no such program pays.
const ballast = 16 << 20

// measureRows measures one row after the other and prints each as it is known.
func measureRows(ctx context.Context, chosen []row, e effort, stdout, detail, stderr io.Writer) int {
	held := make([]byte, ballast)
	defer runtime.KeepAlive(held)
	code, width := exitOK, 0
	for _, r := range chosen {
		width = max(width, len(r.name))
	}
	for _, r := range chosen {
		start := time.Now()
		out, err := r.measure(ctx, e)
		if ctx.Err() != nil {
			fmt.Fprintln(stderr, "gate: interrupted")
			return exitShort
		}
		if err != nil {
			fmt.Fprintf(stderr, "gate: %s cannot be measured: %v\n", r.name, err)
			code = exitShort
			continue
		}
		v := r.judge(out)
		fmt.Fprintln(stdout, v.line(width))
		fmt.Fprintf(detail, "%*s %s, %.1fs\n", width, "", out.detail(), time.Since(start).Seconds())
		if v.short {
			code = exitShort
		}
	}
	return code
}
