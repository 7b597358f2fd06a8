package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/gaia-host/gaia/host/control"
	"github.com/spf13/cobra"
)

func newLimits(e env) *cobra.Command {
	var d daemon
	var o output
	var q control.LimitsQuery
	cmd := &cobra.Command{
		Use: "limits [KEY]", Short: "the limiters in force and the level of their keys", Args: usageArgs(cobra.MaximumNArgs(1)),
		Long: `Show every limiter in force: those of policies, the shared ones and the configured
limits, with their parameters, who declares them and the level of their keys. KEY shows
only keys that begin so, or match it where it has * or ?. What set, reset and pause
change holds at once.

  gaia limits
  gaia limits 'api.*' --limiter per-host/per-host
  gaia limits set per-host/per-host rate=5 burst=10
  gaia limits reset per-host/per-host api.example.com
  gaia limits pause per-host/per-host api.example.com 30s`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if len(args) > 0 {
				q.Key = args[0]
			}
			if q.Count < 1 || q.Count > control.MaxLimitKeys {
				return usageError{fmt.Errorf("--count %d: want 1 to %d", q.Count, control.MaxLimitKeys)}
			}
			return d.ask(cmd, e, func(ctx context.Context, c *control.Client) error {
				raw, err := c.Limits(ctx, q)
				if err != nil {
					return err
				}
				if o.format == "json" {
					return writeJSON(e.out, raw)
				}
				return printLimits(e, raw)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Limiter, "limiter", "", "only this one")
	f.IntVar(&q.Count, "count", control.DefaultLimitKeys, "show so many keys at most")
	f.StringVar(&q.After, "after", "", "go on where the page before ended")
	d.add(cmd, e)
	o.add(cmd, "table", "json")
	cmd.AddCommand(newLimitSet(e), newLimitReset(e), newLimitPause(e))
	return cmd
}

func newLimitSet(e env) *cobra.Command {
	return limitChange(e, &cobra.Command{
		Use: "set NAME PARAM=VALUE...", Short: "change parameters of a limiter that runs", Args: usageArgs(cobra.MinimumNArgs(2)),
		Long: `Change parameters of a limiter; what was taken stays taken. It holds over reloads,
until the policy or the configuration declares the limiter otherwise, and not over a
restart. A configured limit may be new; a rate or concurrency of 0 takes it away.

  gaia limits set per-host/per-host rate=5 per=1m burst=10
  gaia limits set limits.api.global rate=100 concurrency=20`,
	}, "set", func(args []string) (control.LimitChange, error) {
		c := control.LimitChange{Limiter: args[0], Params: map[string]any{}}
		for _, a := range args[1:] {
			name, value, ok := strings.Cut(a, "=")
			if !ok || name == "" {
				return c, usageError{fmt.Errorf("want PARAM=VALUE such as rate=5, got %q", a)}
			}
			if _, twice := c.Params[name]; twice {
				return c, usageError{fmt.Errorf("%s is given twice", name)}
			}
			c.Params[name] = value
		}
		return c, nil
	})
}

func newLimitReset(e env) *cobra.Command {
	return limitChange(e, &cobra.Command{
		Use: "reset NAME [KEY]", Short: "forget what a key of a limiter has taken", Args: usageArgs(cobra.RangeArgs(1, 2)),
		Long: "Forget what was taken under a key of a limiter, and its pause; without KEY, under all\nof its keys.\n\n  gaia limits reset per-host/per-host api.example.com",
	}, "reset", func(args []string) (control.LimitChange, error) {
		c := control.LimitChange{Limiter: args[0]}
		if len(args) > 1 {
			c.Key = &args[1]
		}
		return c, nil
	})
}

func newLimitPause(e env) *cobra.Command {
	return limitChange(e, &cobra.Command{
		Use: "pause NAME [KEY] TIME", Short: "close a key of a limiter for a while", Args: usageArgs(cobra.RangeArgs(2, 3)),
		Long: "Close a key of a limiter for a while, or open it again with a time of 0. Only a global\nlimit has no KEY.\n\n  gaia limits pause per-host/per-host api.example.com 30s\n  gaia limits pause limits.api.global 1m",
	}, "pause", func(args []string) (control.LimitChange, error) {
		c := control.LimitChange{Limiter: args[0], For: args[len(args)-1]}
		if len(args) > 2 {
			c.Key = &args[1]
		}
		return c, nil
	})
}

// limitChange makes the command of one change.
func limitChange(e env, cmd *cobra.Command, what string, read func(args []string) (control.LimitChange, error)) *cobra.Command {
	var d daemon
	var o output
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		change, err := read(args)
		if err != nil {
			return err
		}
		return d.ask(cmd, e, func(ctx context.Context, c *control.Client) error {
			raw, err := c.ChangeLimit(ctx, what, change)
			if err != nil {
				return err
			}
			if o.format == "json" {
				return writeJSON(e.out, raw)
			}
			var done control.LimitChanged
			if err := json.Unmarshal(raw, &done); err != nil {
				return err
			}
			printLimiters(e.out, []control.Limiter{done.Limiter})
			if what == "reset" {
				fmt.Fprintf(e.out, "reset: %d\n", done.Keys)
			}
			return nil
		})
	}
	d.add(cmd, e)
	o.add(cmd, "table", "json")
	return cmd
}

func printLimits(e env, raw json.RawMessage) error {
	var l control.Limits
	if err := json.Unmarshal(raw, &l); err != nil {
		return err
	}
	printLimiters(e.out, l.Limiters)
	if l.Next != "" {
		fmt.Fprintf(e.err, "there are more keys: --after %s\n", l.Next)
	}
	return nil
}

// printLimiters prints a line for each limiter and under it one for each key.
func printLimiters(w io.Writer, list []control.Limiter) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "LIMITER\tKIND\tBY\tSINCE\tPARAMETERS\tKEYS")
	for i := range list {
		l := &list[i]
		by, since := "configuration", "-"
		if len(l.Policies) > 0 {
			by = strings.Join(l.Policies, ",")
		}
		if l.Generation > 0 {
			since = strconv.FormatUint(l.Generation, 10)
		}
		params := paramsText(l.Params)
		if l.Altered {
			params += " (set by hand)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\n", printable(l.Name), l.Kind, by, since, params, l.Held)
	}
	_ = t.Flush()
	t = tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	head := "\nLIMITER\tKEY\tLEFT\tFULL IN\tPAUSED\tIN FLIGHT\tWAITING\n"
	for i := range list {
		for _, k := range list[i].Keys {
			fmt.Fprintf(t, "%s%s\t%s\t%s\t%s\t%s\t%s\t%s\n", head, printable(list[i].Name), printable(k.Key), leftOf(k.Remaining, k.Limit),
				timeOf(k.ResetMS), timeOf(k.PausedMS), countOf(k.InFlight), countOf(k.Waiting))
			head = ""
		}
	}
	_ = t.Flush()
}

func paramsText(params map[string]any) string {
	var list []string
	for name, v := range params {
		list = append(list, fmt.Sprintf("%s=%v", name, v))
	}
	sort.Strings(list)
	return strings.Join(list, " ")
}

// printable is a text that moves no cursor and keeps to its cell: itself, or quoted.
func printable(text string) string {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(text)
	}
	return text
}

func leftOf(remaining, limit int64) string {
	left, of := "?", "?"
	if remaining >= 0 {
		left = strconv.FormatInt(remaining, 10)
	}
	if limit > 0 {
		of = strconv.FormatInt(limit, 10)
	}
	return left + "/" + of
}

func timeOf(ms float64) string {
	if ms <= 0 {
		return "-"
	}
	d := time.Duration(ms * float64(time.Millisecond))
	if d > time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}

func countOf(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}
