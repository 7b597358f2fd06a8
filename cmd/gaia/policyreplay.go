package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"

	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/host/record"
	"github.com/gaia-host/gaia/host/replay"
	"github.com/gaia-host/gaia/host/shadow"
	"github.com/spf13/cobra"
)

type replayFlags struct {
	trace, against string
	fail           bool
	params         []string
	out            output
}

func newPolicyReplay(e env) *cobra.Command {
	var r replayFlags
	cmd := &cobra.Command{
		Use: "replay FILE --trace FILE", Short: "decide recorded requests again, and say what would differ", Args: exactly(1),
		Long: `Decide the requests of a recording again, in order and at the times they came, with
another policy, and print what it would have done otherwise. Limiters and state start
empty; outcomes are the recorded ones. The recording is what gaia run --record writes.

  gaia policy replay new.js --trace traffic.jsonl
  gaia policy replay new.js --trace traffic.jsonl --against old.js --fail-on-diff

With --fail-on-diff the exit code of a difference is 99.`,
		RunE: func(cmd *cobra.Command, args []string) error { return runReplay(cmd, e, &r, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&r.trace, "trace", "", "the recording")
	f.StringVar(&r.against, "against", "", "compare with this policy instead of with what was recorded")
	f.BoolVar(&r.fail, "fail-on-diff", false, "end with 99 where anything differs")
	f.StringArrayVar(&r.params, "param", nil, "a parameter of the policies, NAME=VALUE (may be repeated)")
	r.out.add(cmd, "table", "json")
	return cmd
}

func runReplay(cmd *cobra.Command, e env, r *replayFlags, use string) error {
	if err := r.out.check(); err != nil {
		return err
	}
	if r.trace == "" {
		return usageError{errors.New("--trace FILE is missing: what gaia run --record wrote")}
	}
	params, err := readParams(r.params)
	if err != nil {
		return err
	}
	trace, err := os.Open(r.trace)
	if err != nil {
		return usageError{fmt.Errorf("--trace: %w", err)}
	}
	defer trace.Close()
	off, err := newOffline(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = off.close() }()
	rep, err := replay.Run(cmd.Context(), replay.Config{New: use, Against: r.against, Params: params, Trace: trace, File: r.trace, Wasm: off.engine})
	if err != nil {
		return err
	}
	if r.out.format == "json" {
		err = writeJSON(e.out, rep)
	} else {
		printReplay(e.out, rep)
	}
	if err == nil && r.fail && rep.Different > 0 {
		return silent(exitThresholds)
	}
	return err
}

func printReplay(w io.Writer, rep *replay.Report) {
	fmt.Fprintf(w, "%s against %s: %s in %.1f s, %d the same, %d different\n", rep.New, rep.Against, count(rep.Attempts, "attempt", "attempts"), rep.Seconds, rep.Same, rep.Different)
	if rep.Faults > 0 {
		fmt.Fprintf(w, "%s failed %d times and its on_failure answered, the first time: %s\n", rep.New, rep.Faults, rep.Fault)
	}
	fmt.Fprintf(w, "%s would allow %d, delay %d, deny %d, route %d\n", rep.New, rep.Would["allow"], rep.Would["delay"], rep.Would["deny"], rep.Would["route"])
	if rep.Different == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "\nDIFFERENCE\tATTEMPTS")
	for d := shadow.Same + 1; d < shadow.Diffs; d++ {
		if n := rep.Differs[d.String()]; n > 0 {
			fmt.Fprintf(t, "%s\t%d\n", meaning(d), n)
		}
	}
	fmt.Fprintln(t, "\nLINE\tKEY\tTENANT\tREQUEST\tAGAINST\tNEW\tREASON")
	for _, x := range rep.Examples {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s %s\t%s\t%s\t%s\n", x.Line, x.Key, x.Tenant, x.Method, x.Path, saidText(recorded(x.Against)), saidText(recorded(x.New)), x.Reason)
	}
	_ = t.Flush() // to a writer that the command owns
}

func recorded(s record.Said) control.Said { return control.Said(s) }

// meaning is a difference as people read it.
func meaning(d shadow.Diff) string {
	switch d {
	case shadow.Denies:
		return "allowed, now denied"
	case shadow.Allows:
		return "denied, now allowed"
	case shadow.More:
		return "waits longer"
	case shadow.Less:
		return "waits less"
	case shadow.Elsewhere:
		return "goes to another upstream"
	}
	return d.String()
}
