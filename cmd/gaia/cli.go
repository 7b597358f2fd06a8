package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/control"
	"github.com/spf13/cobra"
)

// Exit codes; they are stable. See `gaia help exit-codes`.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInvalid     = 3
	exitUnreachable = 4
	exitRefused     = 5
	exitTimeout     = 6
	exitThresholds  = 99
	exitInterrupted = 130
)

// env is what a command touches of the world.
type env struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
	getenv   func(string) string
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, e env, args []string) int {
	root := newRoot(e)
	root.SetArgs(args)
	root.SetIn(e.in)
	root.SetOut(e.out)
	root.SetErr(e.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	printError(e.err, err)
	if code == exitUsage {
		fmt.Fprintf(e.err, "usage: %s\n", cmd.UseLine())
		fmt.Fprintf(e.err, "help:  %s --help\n", cmd.CommandPath())
	}
	return code
}

func newRoot(e env) *cobra.Command {
	root := &cobra.Command{
		Use:   "gaia",
		Short: "pace outbound work by policies that change while it runs",
		Long: `gaia asks your policy, a JavaScript file or a Wasm module, before each outbound
operation: go now, later, elsewhere, or not at all.

  gaia run std/retry-after --route openai=https://api.openai.com
  gaia run policy.js                    then save policy.js: it changes while traffic flows
  gaia status`,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			text := fmt.Sprintf("unknown command %q", args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				text += fmt.Sprintf(" (did you mean %q?)", near[0])
			}
			return usageError{errors.New(text)}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(newWork(e)...)
	root.AddCommand(newRun(e), newValidate(e), newReload(e), newStatus(e), newStop(e), newBench(e), newLimits(e), newExplain(e), newPolicy(e), newExperiment(e), newCompare(e), newVersion(e), exitCodes())
	return root
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// ExitCode returns 2.
func (usageError) ExitCode() int { return exitUsage }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// silent ends a command with a code after it printed what there was to say.
type silent int

// Error is never printed.
func (silent) Error() string { return "" }

// ExitCode returns the code.
func (s silent) ExitCode() int { return int(s) }

func exitCode(err error) int {
	var coder interface{ ExitCode() int }
	var load *policy.LoadError
	var faults config.Faults
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, control.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, remote.ErrRefused):
		return exitRefused
	case errors.As(err, &coder):
		return coder.ExitCode()
	case errors.As(err, &load), errors.As(err, &faults):
		return exitInvalid
	}
	return exitFailure
}

// printError says what, where and how to mend it. Errors joined into one are
// printed one after the other.
func printError(w io.Writer, err error) {
	var quiet silent
	if errors.As(err, &quiet) {
		return
	}
	var faults config.Faults
	if errors.As(err, &faults) {
		fmt.Fprintln(w, strings.TrimRight(faults.Error(), "\n"))
		return
	}
	list := flatten(err)
	for _, one := range list {
		printOne(w, one)
	}
	if len(list) > 1 {
		fmt.Fprintf(w, "%d errors\n", len(list))
	}
}

func printOne(w io.Writer, err error) {
	var load *policy.LoadError
	if errors.As(err, &load) {
		fmt.Fprintln(w, load.Error())
		if text := load.Excerpt(); text != "" {
			fmt.Fprintln(w, indent(text))
		}
		if load.Stack != "" {
			fmt.Fprintln(w, indent(strings.TrimRight(load.Stack, "\n")))
		}
		if load.Hint != "" {
			fmt.Fprintln(w, "hint: "+load.Hint)
		}
		return
	}
	fmt.Fprintln(w, "gaia: "+err.Error())
	if errors.Is(err, control.ErrUnreachable) {
		fmt.Fprintln(w, "hint: start it with `gaia run`, or name the one that runs with --socket or --control")
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		fmt.Fprintln(w, "hint: "+hinted.Hint())
	}
}

// flatten lists the errors that were joined into err, at whatever depth. An error
// that says something of its own around several causes stays one.
func flatten(err error) []error {
	switch e := err.(type) { //nolint:errorlint // the shape of this very error decides, not of what it wraps
	case *policy.LoadError, interface{ Hint() string }:
		return []error{err}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil && inner.Error() == err.Error() {
			return flatten(inner)
		}
	case interface{ Unwrap() []error }:
		var list []error
		var texts []string
		for _, one := range e.Unwrap() {
			list = append(list, flatten(one)...)
			texts = append(texts, one.Error())
		}
		if strings.Join(texts, "\n") == err.Error() {
			return list
		}
	}
	return []error{err}
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

// exactly and atMost are argument counts whose violation is a usage error.
func exactly(n int) cobra.PositionalArgs { return usageArgs(cobra.ExactArgs(n)) }

func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// group is a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				text += fmt.Sprintf(" (did you mean %q?)", near[0])
			}
			return usageError{errors.New(text)}
		}
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	c.FParseErrWhitelist.UnknownFlags = true // of a misspelt command; its name is the news
	c.AddCommand(children...)
	return c
}

// output is the flag -o with the formats a command knows.
type output struct {
	format string
	known  []string
}

func (o *output) add(cmd *cobra.Command, known ...string) {
	o.known = known
	cmd.Flags().StringVarP(&o.format, "output", "o", known[0], "format: "+strings.Join(known, " or "))
}

func (o *output) check() error {
	for _, k := range o.known {
		if o.format == k {
			return nil
		}
	}
	return usageError{fmt.Errorf("-o %s: want %s", o.format, strings.Join(o.known, " or "))}
}

// daemon are the flags that choose a running gaia.
type daemon struct {
	socket, control string
	timeout         time.Duration
}

func (d *daemon) add(cmd *cobra.Command, e env) { d.addWith(cmd, e, 30*time.Second) }

// addWith defines the flags with another default for --timeout; 0 is no bound.
func (d *daemon) addWith(cmd *cobra.Command, e env, timeout time.Duration) {
	socket := e.getenv("GAIA_SOCKET")
	if socket == "" {
		socket = config.DefaultSocket(e.getenv, os.TempDir(), os.Getuid())
	}
	cmd.Flags().StringVar(&d.socket, "socket", socket, "unix socket of the running gaia (env GAIA_SOCKET)")
	cmd.Flags().StringVar(&d.control, "control", "", "its TCP address instead (token from GAIA_TOKEN or beside the socket)")
	cmd.Flags().DurationVar(&d.timeout, "timeout", timeout, "give up after this long")
}

func (d *daemon) client(e env) *control.Client {
	token := e.getenv("GAIA_TOKEN")
	if token == "" && d.control != "" {
		token = control.ReadToken(config.TokenFileFor(d.socket))
	}
	return control.NewClient(d.socket, d.control, token)
}

// ask runs fn against the daemon within the time that the user allows.
func (d *daemon) ask(cmd *cobra.Command, e env, fn func(ctx context.Context, c *control.Client) error) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), d.timeout)
	defer cancel()
	return fn(ctx, d.client(e))
}

func exitCodes() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "what the exit codes of gaia mean", Long: `Exit codes are stable:
  0    ok; run ends so on SIGINT and SIGTERM too
  1    failure
  2    the command line cannot be understood
  3    invalid configuration or policy
  4    no running gaia answers
  5    refused: a token, signature or digest does not match
  6    timeout
  99   thresholds or tests not met
  130  interrupted`}
}
