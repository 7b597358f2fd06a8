package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gaia-host/gaia/host/control"
	"github.com/spf13/cobra"
)

func newStatus(e env) *cobra.Command {
	var d daemon
	var o output
	cmd := &cobra.Command{
		Use: "status", Short: "what a running gaia does", Args: exactly(0),
		Long: "Show the policies in force, the last reload and the numbers of a running gaia.\n\n  gaia status\n  gaia status -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return d.ask(cmd, e, func(ctx context.Context, c *control.Client) error {
				if o.format == "json" {
					raw, err := c.StatusJSON(ctx)
					if err == nil {
						err = writeJSON(e.out, raw)
					}
					return err
				}
				st, err := c.Status(ctx)
				if err == nil {
					printStatus(e.out, st)
				}
				return err
			})
		},
	}
	d.add(cmd, e)
	o.add(cmd, "table", "json")
	return cmd
}

func printStatus(w io.Writer, st control.Status) {
	up := time.Duration(st.UptimeSeconds * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(w, "up %s  generation %d  listen %s  pid %d  version %s\n", up, st.Generation, st.Listen, st.PID, st.Version)
	if !st.LastReload.OK {
		fmt.Fprintf(w, "last reload REFUSED at %s:\n%s\n", st.LastReload.At.Format(time.TimeOnly), indent(st.LastReload.Error))
	}
	printPolicies(w, st.Policies)
	printShadow(w, st.Shadow)
	if r := st.Record; r != nil {
		fmt.Fprintf(w, "recording %s  %d lines, %d dropped, %d failed", r.File, r.Written, r.Dropped, r.Failed)
		if r.Error != "" {
			fmt.Fprintf(w, "  (%s)", r.Error)
		}
		fmt.Fprintln(w)
	}
	printUpstreams(w, st.Routes)
	names := make([]string, 0, len(st.Subsystems))
	for name := range st.Subsystems {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if some := numbers(st.Subsystems[name]); len(some) > 0 { // one that has done nothing says nothing
			fmt.Fprintf(w, "%s  %s\n", name, strings.Join(some, "  "))
		}
	}
}

// printShadow says what the shadow would do, and where it disagrees.
func printShadow(w io.Writer, s *control.Shadow) {
	if s == nil {
		return
	}
	fmt.Fprintf(w, "shadow %s  would allow %d, delay %d, deny %d, route %d  agrees %d", s.Name, s.Would["allow"], s.Would["delay"], s.Would["deny"], s.Would["route"], s.Agrees)
	for _, how := range []string{"denies", "allows", "delays_more", "delays_less", "elsewhere"} {
		if n := s.Differs[how]; n > 0 {
			fmt.Fprintf(w, "  %s %d", how, n)
		}
	}
	if s.Dropped > 0 || s.Faults > 0 {
		fmt.Fprintf(w, "  (%d hooks not run, %d faults)", s.Dropped, s.Faults)
	}
	fmt.Fprintln(w)
	if d := s.Latest; d != nil {
		fmt.Fprintf(w, "  latest: %s %s %s %s: in force %s, shadow %s\n", d.Subsystem, d.Key, d.Method, d.Path, saidText(d.Live), saidText(d.Shadow))
	}
}

func saidText(s control.Said) string {
	text := s.Action
	if s.Delay > 0 {
		text += fmt.Sprintf(" %.0f ms", s.Delay)
	}
	if s.Upstream != "" {
		text += " to " + s.Upstream
	}
	return text
}

// numbers lists those that are not zero.
func numbers(m map[string]float64) []string {
	var list []string
	for name, v := range m {
		if v != 0 {
			list = append(list, fmt.Sprintf("%s %.6g", name, v))
		}
	}
	sort.Strings(list)
	return list
}

func printPolicies(w io.Writer, ps []control.Policy) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "POLICY\tENGINE\tDIGEST\tHOOKS\tON FAILURE\tCALLS\tFAULTS")
	for _, p := range ps {
		faults := fmt.Sprint(p.Faults)
		if p.BreakerOpen {
			faults += " (not asked for now)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", p.Name, p.Engine, short(p.Digest), strings.Join(p.Hooks, ","), p.OnFailure, p.Calls, faults)
	}
	_ = t.Flush()
}

// printUpstreams shows the routes that have a choice.
func printUpstreams(w io.Writer, routes []control.Route) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	head := "ROUTE\tUPSTREAM\tHEALTH\tTIER\tWEIGHT\tIN FLIGHT\tERRORS\tP50\tP95\n"
	for _, r := range routes {
		if len(r.Upstreams) < 2 {
			continue
		}
		for _, u := range r.Upstreams {
			fmt.Fprintf(t, "%s%s\t%s\t%s\t%d\t%d\t%d\t%.0f %%\t%.3g ms\t%.3g ms\n", head, r.Name, u.Name, u.Health, u.Tier, u.Weight, u.InFlight, 100*u.ErrorRate, u.P50MS, u.P95MS)
			head = ""
		}
	}
	_ = t.Flush()
}

func newReload(e env) *cobra.Command {
	var d daemon
	var force bool
	cmd := &cobra.Command{
		Use: "reload", Short: "read configuration and policies again", Args: exactly(0),
		Long: "Ask a running gaia to read its configuration and policies again. When anything\nis wrong with them nothing changes, and the exit code is 3.\n\n  gaia reload",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.ask(cmd, e, func(ctx context.Context, c *control.Client) error {
				ch, err := c.Reload(ctx, force)
				return printChanged(e.out, ch, err)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "swap even policies that did not change")
	d.add(cmd, e)
	return cmd
}

func printChanged(w io.Writer, ch control.Changed, err error) error {
	if err != nil {
		return err
	}
	if ch.Unchanged {
		fmt.Fprintf(w, "ok  generation %d: the policies did not change\n", ch.To)
	} else {
		fmt.Fprintf(w, "ok  generation %d -> %d  %s  (undo: gaia policy rollback)\n", ch.From, ch.To, strings.Join(ch.Policies, ", "))
	}
	if len(ch.NeedRestart) > 0 {
		fmt.Fprintf(w, "takes effect only after a restart: %s\n", strings.Join(ch.NeedRestart, ", "))
	}
	return nil
}

func newStop(e env) *cobra.Command {
	var d daemon
	var drain time.Duration
	cmd := &cobra.Command{
		Use: "stop", Short: "ask a running gaia to drain and end", Args: exactly(0),
		Long: "Ask a running gaia to take no new requests, let those under way end, and exit.\nReturns once it no longer answers.\n\n  gaia stop --drain 10s",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.ask(cmd, e, func(ctx context.Context, c *control.Client) error {
				if err := c.Stop(ctx, drain); err != nil {
					return err
				}
				return untilGone(ctx, c)
			})
		},
	}
	cmd.Flags().DurationVar(&drain, "drain", 0, "how long requests may take to end (default gateway.drain_timeout)")
	d.add(cmd, e)
	return cmd
}

// untilGone waits until the daemon no longer answers.
func untilGone(ctx context.Context, c *control.Client) error {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		if _, err := c.Status(ctx); err != nil {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

func newVersion(e env) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use: "version", Short: "the version of this binary", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if o.format == "json" {
				return writeJSON(e.out, map[string]string{"schema": "gaia.version/v1", "version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			fmt.Fprintf(e.out, "gaia %s (%s %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	o.add(cmd, "text", "json")
	return cmd
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
