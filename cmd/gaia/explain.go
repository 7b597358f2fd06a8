package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/host/work"
	"github.com/spf13/cobra"
)

// newExplain are the commands that ask why an action of the work API would go, wait or
// not go: for each that asks policies, with the flags that do it.
func newExplain(e env) *cobra.Command {
	var subs []*cobra.Command
	for _, sub := range work.Catalog() {
		var children []*cobra.Command
		for _, a := range sub.Actions {
			if a.Asks() {
				children = append(children, newAction(e, sub.Name, a).explains(""))
			}
			if sub.Name == policy.SubsystemAPI && a.Name == "request" {
				for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead} {
					children = append(children, newAction(e, sub.Name, a).explains(method))
				}
			}
		}
		subs = append(subs, group(sub.Name, sub.Doc, children...))
	}
	cmd := group("explain", "why an operation would go, wait or be denied, without doing it", subs...)
	cmd.Long = `Ask a running gaia why an operation would go now, later or not at all: who decides, at
which line, what it would take from which limiter, which upstream it would go to and
when it would pass. It is decided dry by the policies in force, from the live levels:
nothing is sent, nothing is taken. The arguments are those of the command that does it.

  gaia explain api GET https://api.example.com/v1/models --tenant t
  gaia explain api request /v1/models --route openai
  gaia explain files read data:report.csv -o json`
	return cmd
}

// explains makes the command that only explains v. method is that of an HTTP request,
// "" unless it is the command's name.
func (v *action) explains(method string) *cobra.Command {
	cmd := v.command()
	cmd.Short = "why it would go, wait or be denied: " + v.a.Doc
	if method != "" {
		_, arguments, _ := strings.Cut(cmd.Use, " ")
		cmd.Use, cmd.Short = method+" "+arguments, "the same of a request with this method"
	}
	for _, name := range []string{"explain", "to", "idempotency-key", "input", "output", "timeout"} {
		if f := cmd.Flags().Lookup(name); f != nil {
			f.Hidden = true
		}
	}
	v.o = output{}
	if cmd.Flags().Lookup("output") == nil {
		v.o.add(cmd, "table", "json")
	} else {
		v.o.known, v.o.format = []string{"table", "json"}, "table"
		f := cmd.Flags().Lookup("output")
		f.DefValue, f.Usage, f.Hidden = "table", "format: table or json", false
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := v.o.check(); err != nil {
			return err
		}
		q, err := v.input(args)
		if err != nil {
			return err
		}
		if method != "" {
			q.Set("method", method)
		}
		return v.explain(cmd, q)
	}
	return cmd
}

func (v *action) explain(cmd *cobra.Command, q url.Values) error {
	for name, value := range map[string]string{"tenant": v.steer.tenant, "priority": v.steer.priority, "cost": v.steer.cost} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if v.d.timeout > 0 {
		q.Set("timeout", v.d.timeout.String())
	}
	input, err := v.a.InputOf(q)
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
	defer cancel()
	raw, err := v.d.client(v.e).Explain(ctx, v.subsystem, v.a.Name, input)
	if err != nil {
		return err
	}
	if v.o.format == "json" {
		return writeJSON(v.e.out, raw)
	}
	return printExplanationJSON(v.e.out, raw)
}

// printExplained prints what came in the fields Gaia-Explain of an answer, or of a
// refusal.
func printExplained(w io.Writer, fields []string, err error) {
	var refused *control.AnswerError
	if errors.As(err, &refused) {
		fields = refused.Explanations
	}
	for _, f := range fields {
		if err := printExplanationJSON(w, json.RawMessage(f)); err != nil {
			fmt.Fprintln(w, f)
		}
	}
}

func printExplanationJSON(w io.Writer, raw json.RawMessage) error {
	var x policy.Explanation
	if err := json.Unmarshal(raw, &x); err != nil {
		return fmt.Errorf("understand the explanation: %w", err)
	}
	printExplanation(w, &x)
	return nil
}

// printExplanation prints an explanation for people.
func printExplanation(w io.Writer, x *policy.Explanation) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	verdict := x.Verdict
	if x.WaitMS > 0 {
		verdict += " " + timeOf(x.WaitMS)
	}
	if x.Reason != "" {
		verdict += ": " + printable(x.Reason)
	}
	line("verdict", "%s", verdict)
	line("operation", "%s %s  key %s  attempt %d%s", x.Subsystem, x.Action, printable(x.Key), x.Attempt, map[bool]string{true: "  (dry)"}[x.Dry])
	if x.DecidedBy != "" {
		line("decided by", "%s", decidedBy(x))
	}
	if x.WouldPass != nil {
		in := x.WouldPass.Sub(x.At).Round(time.Millisecond)
		line("would pass", "%s", map[bool]string{true: "now", false: "in " + in.String() + ", " + x.WouldPass.Format(time.RFC3339)}[in <= 0])
	}
	if x.Generation > 0 {
		line("generation", "%d", x.Generation)
	}
	if text := decisionText(&x.Decision); text != "" {
		line("decision", "%s", text)
	}
	for _, f := range x.Faults {
		line("fault", "%s", printable(f))
	}
	_ = t.Flush()
	printLedger(w, x)
	t = tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if len(x.Upstreams) > 0 {
		fmt.Fprintln(t, "\nUPSTREAM\tWHY")
	}
	for _, u := range x.Upstreams {
		fmt.Fprintf(t, "%s\t%s\n", printable(u.Name), u.Why)
	}
	_ = t.Flush()
	t = tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if len(x.Limits) > 0 {
		fmt.Fprintln(t, "\nCONFIGURED\tKEY\tLEFT\tFULL IN\tAT ONCE\tIN FLIGHT\tWAITING")
	}
	for _, l := range x.Limits {
		left := "-"
		if l.Limit > 0 {
			left = leftOf(l.Remaining, l.Limit)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\n", l.Name, printable(l.Key), left, timeOf(l.ResetMS), countOf(l.Concurrency), l.InFlight, l.Waiting)
	}
	_ = t.Flush()
	if x.More > 0 {
		fmt.Fprintf(w, "%d more are left out\n", x.More)
	}
}

func printLedger(w io.Writer, x *policy.Explanation) {
	if len(x.Ledger) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "\nLIMITER\tBY\tKEY\tCOST\tTAKEN\tWAIT\tLEFT\tFULL IN\tAT")
	for _, e := range x.Ledger {
		by, taken, wait, at := "configuration", "yes", timeOf(e.WaitMS), "-"
		if e.Policy != "" {
			by = e.Policy
		}
		if !e.OK {
			taken = "no"
		}
		if e.WaitMS < 0 {
			wait = "never"
		}
		if e.Where != "" {
			at = e.Where
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", printable(e.Limiter), printable(by), printable(e.Key), e.Cost, taken, wait,
			leftOf(e.Remaining, e.Limit), timeOf(e.ResetMS), printable(at))
	}
	_ = t.Flush()
}

func decidedBy(x *policy.Explanation) string {
	text := x.DecidedBy
	if x.Policy != "" && x.DecidedBy == "policy" {
		text += " " + printable(x.Policy)
	} else if x.Policy != "" {
		text += ", policy " + printable(x.Policy)
	}
	if x.Where != "" {
		text += " at " + printable(x.Where)
	}
	if x.Limiter != "" {
		text += ", limiter " + printable(x.Limiter)
	}
	return text
}

func decisionText(d *policy.Decided) string {
	var list []string
	add := func(name string, v any, is bool) {
		if is {
			list = append(list, fmt.Sprintf("%s %v", name, v))
		}
	}
	if d.Action != "none" {
		list = append(list, d.Action)
	}
	add("status", d.Status, d.Status != 0)
	add("retry after", timeOf(d.RetryAfterMS), d.RetryAfterMS > 0)
	add("for", timeOf(d.DelayMS), d.DelayMS > 0)
	add("key", printable(d.Key), d.Key != "")
	add("upstream", printable(d.Upstream), d.Upstream != "")
	add("timeout", timeOf(d.TimeoutMS), d.TimeoutMS > 0)
	if d.Cost != nil {
		add("cost", *d.Cost, true)
	}
	if d.Priority != nil {
		add("priority", *d.Priority, true)
	}
	add("fields", strings.Join(d.Headers, ", "), len(d.Headers) > 0)
	add("reason", printable(d.Reason), d.Reason != "")
	return strings.Join(list, "  ")
}
