package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/host/work"
	"github.com/spf13/cobra"
)

// newWork are the commands of the work API: a group for each subsystem with a
// command for each action, made from its declaration in host/work. Commands that do
// more than one request stand in work_NAME.go of their subsystem.
func newWork(e env) []*cobra.Command {
	special := map[string][]*cobra.Command{policy.SubsystemProcess: {newProcessRun(e)}}
	var groups []*cobra.Command
	for _, sub := range work.Catalog() {
		children := special[sub.Name]
		for _, a := range sub.Actions {
			if !a.IsSpecial() {
				children = append(children, newAction(e, sub.Name, a).command())
			}
		}
		groups = append(groups, group(sub.Name, "work: "+sub.Doc, children...))
	}
	return groups
}

// action is the command of one action.
type action struct {
	e         env
	subsystem string
	a         work.Action
	fields    []work.Field

	d daemon
	o output
	// texts are the values that the flags were given, by field.
	texts map[string]*[]string
	steer struct{ tenant, priority, cost, key string }
	why   bool   // say why it went
	from  string // file whose bytes are sent
	to    string // file that the answer goes to
	// print shows the answer; nil: as what it gives is shown.
	print func(res *http.Response, p *progress) error
}

func newAction(e env, subsystem string, a work.Action) *action {
	return &action{e: e, subsystem: subsystem, a: a, fields: a.Fields(), texts: map[string]*[]string{}}
}

// command makes the command with flags for the fields of the input.
func (v *action) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: flagName(v.a.Name) + v.arguments(), Short: v.a.Doc, Args: v.checkArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, args) },
	}
	f := cmd.Flags()
	for _, field := range v.fields {
		texts := &[]string{}
		v.texts[field.Name] = texts
		doc := field.Doc
		if len(field.OneOf) > 0 && doc == "" {
			doc = "one of " + strings.Join(field.OneOf, ", ")
		}
		f.VarP(&fieldFlag{field, texts}, flagName(field.Name), field.Short, doc)
		if field.Kind == work.Bool {
			f.Lookup(flagName(field.Name)).NoOptDefVal = "true"
		}
	}
	f.StringVar(&v.steer.tenant, "tenant", "", "for whom, as policies see it")
	f.StringVar(&v.steer.priority, "priority", "", "0 to 9")
	f.StringVar(&v.steer.cost, "cost", "", "what it counts in limits, 1 unless told")
	f.StringVar(&v.steer.key, "idempotency-key", "", "do it once, however often this is asked")
	if v.a.Asks() {
		f.BoolVar(&v.why, "explain", false, "say on standard error who let it go, what it took and where it went")
	}
	if v.a.TakesBytes() {
		f.StringVarP(&v.from, "input", "i", "", `send the bytes of a file, "-" is standard input`)
	}
	v.d.addWith(cmd, v.e, 0)
	switch v.a.Gives {
	case work.GivesBytes:
		f.StringVar(&v.to, "to", "", "write the answer to a file instead of standard output")
		if v.knowsJSON() {
			v.o.add(cmd, "bytes", "json")
		}
	case work.GivesJSON, work.GivesLines:
		v.o.add(cmd, "table", "json")
	}
	return cmd
}

// knowsJSON reports whether an action that gives bytes can tell its answer as JSON.
func (v *action) knowsJSON() bool {
	return slices.ContainsFunc(v.fields, func(f work.Field) bool { return f.Name == "as" && slices.Contains(f.OneOf, "json") })
}

func flagName(field string) string { return strings.ReplaceAll(field, "_", "-") }

// arguments are the fields that need no flag, as the usage shows them.
func (v *action) arguments() string {
	var b strings.Builder
	for _, f := range v.fields {
		name := strings.ToUpper(f.Name)
		switch {
		case !f.Argument:
			continue
		case f.Kind == work.Texts:
			name += "..."
		}
		if !f.Required || f.Kind == work.Texts {
			name = "[" + name + "]"
		}
		b.WriteString(" " + name)
	}
	return b.String()
}

func (v *action) checkArgs(cmd *cobra.Command, args []string) error {
	most := 0
	for _, f := range v.fields {
		if f.Argument && f.Kind == work.Texts {
			return nil
		}
		if f.Argument {
			most++
		}
	}
	return usageArgs(cobra.MaximumNArgs(most))(cmd, args)
}

// fieldFlag is a flag whose value is read by the kind of its field.
type fieldFlag struct {
	field work.Field
	texts *[]string
}

// Set keeps a value; a list and a map may be given several times.
func (f *fieldFlag) Set(text string) error {
	if f.field.Kind != work.Texts && f.field.Kind != work.TextMap {
		*f.texts = nil
	}
	if f.field.Kind == work.TextMap {
		if name, _, ok := strings.Cut(text, "="); !ok || name == "" {
			return fmt.Errorf("want NAME=VALUE, got %q", text)
		}
	} else if _, err := work.ParseField(f.field, []string{text}); err != nil {
		return err
	}
	*f.texts = append(*f.texts, text)
	return nil
}

// String shows no default.
func (f *fieldFlag) String() string { return "" }

// Type is what the help shows.
func (f *fieldFlag) Type() string {
	switch f.field.Kind {
	case work.Texts:
		return "text (may be repeated)"
	case work.TextMap:
		return "NAME=VALUE (may be repeated)"
	case work.Bool:
		return "bool" // which the help shows without a value
	case work.Text, work.Integer, work.Number, work.Time, work.Bytesize, work.Value:
	}
	return string(f.field.Kind)
}

// input puts arguments and flags together: as a query, whose form all kinds have.
func (v *action) input(args []string) (url.Values, error) {
	q := url.Values{}
	for _, f := range v.fields {
		texts := *v.texts[f.Name]
		if f.Argument && len(args) > 0 {
			if len(texts) > 0 {
				return nil, usageError{fmt.Errorf("%s is given twice: as an argument and with --%s", f.Name, flagName(f.Name))}
			}
			n := 1
			if f.Kind == work.Texts {
				n = len(args)
			}
			texts, args = args[:n], args[n:]
		}
		if f.Kind == work.TextMap {
			for _, t := range texts {
				name, value, _ := strings.Cut(t, "=")
				q.Set(f.Name+"."+name, value)
			}
			continue
		}
		if f.Required && len(texts) == 0 {
			return nil, usageError{fmt.Errorf("%s is missing", strings.ToUpper(f.Name))}
		}
		if len(texts) > 0 {
			q[f.Name] = texts
		}
	}
	return q, nil
}

// run asks the daemon and shows the answer.
func (v *action) run(cmd *cobra.Command, args []string) error {
	if v.o.known != nil {
		if err := v.o.check(); err != nil {
			return err
		}
	}
	q, err := v.input(args)
	if err != nil {
		return err
	}
	if v.o.format == "json" && v.a.Gives == work.GivesBytes {
		q.Set("as", "json")
	}
	if field := v.a.InputUnless(); field != "" && v.from == "" && !q.Has(field) {
		v.from = "-"
	}
	r := control.WorkRequest{Subsystem: v.subsystem, Action: v.a.Name, Query: q, Head: v.head()}
	if v.from != "" {
		body, err := v.open()
		if err != nil {
			return err
		}
		defer body.Close()
		r.Body = body
	} else if r.Input, err = v.a.InputOf(q); err != nil {
		return usageError{err}
	}
	ctx, cancel := v.bound(cmd.Context())
	defer cancel()
	p := newProgress(v.e.err)
	defer p.end()
	p.waiting(v.subsystem + " " + v.a.Name)
	res, err := v.d.client(v.e).Work(ctx, r)
	if err != nil {
		p.end()
		printExplained(v.e.err, nil, err)
		return err
	}
	defer res.Body.Close()
	err = v.show(res, p)
	printExplained(v.e.err, res.Header.Values("Gaia-Explain"), nil)
	return err
}

// bound gives the daemon a moment more than the time allowed, to say that it is over.
func (v *action) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if v.d.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, v.d.timeout+time.Second)
}

// head are the fields that steer the operation.
func (v *action) head() http.Header {
	h := http.Header{}
	for name, value := range map[string]string{"Gaia-Tenant": v.steer.tenant, "Gaia-Priority": v.steer.priority, "Gaia-Cost": v.steer.cost, "Idempotency-Key": v.steer.key} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if v.why {
		h.Set("Gaia-Explain", "1")
	}
	if v.d.timeout > 0 {
		h.Set("Gaia-Timeout", strconv.FormatInt(max(v.d.timeout.Milliseconds(), 1), 10))
	}
	return h
}

func (v *action) open() (io.ReadCloser, error) {
	if v.from == "-" {
		return io.NopCloser(v.e.in), nil
	}
	return os.Open(v.from)
}

// show prints the answer in the form asked for.
func (v *action) show(res *http.Response, p *progress) error {
	if v.print != nil {
		return v.print(res, p)
	}
	switch v.a.Gives {
	case work.GivesBytes:
		return v.showBytes(res, p)
	case work.GivesLines:
		return showLines(v.e.out, res.Body, v.o.format, p)
	case work.GivesJSON:
	}
	body, err := io.ReadAll(res.Body)
	p.end()
	if err != nil {
		return cut(err)
	}
	if v.o.format == "json" {
		return writeJSON(v.e.out, json.RawMessage(body))
	}
	return printAnswer(v.e.out, body)
}

func (v *action) showBytes(res *http.Response, p *progress) error {
	if v.o.format == "json" {
		body, err := io.ReadAll(res.Body)
		p.end()
		if err != nil {
			return cut(err)
		}
		return writeJSON(v.e.out, json.RawMessage(body))
	}
	out := v.e.out
	if v.to != "" {
		f, err := os.Create(v.to)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	if v.to != "" || !isTerminal(v.e.out) {
		out = p.counting(out, res.ContentLength)
	} else {
		p.end() // the answer itself is on the terminal
	}
	if _, err := io.Copy(out, res.Body); err != nil {
		return cut(err)
	}
	p.end()
	if status := res.Header.Get("Gaia-Upstream-Status"); status != "" && status[0] >= '4' {
		fmt.Fprintln(v.e.err, "the answer's status is "+status)
	}
	return nil
}

// cut is the error of an answer that ended too early.
func cut(err error) error {
	return fmt.Errorf("the answer was cut, what came of it is not the whole: %w", err)
}
