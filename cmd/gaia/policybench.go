package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policytest"
	"github.com/spf13/cobra"
)

type benchFlags struct {
	output
	hooks  []string
	input  string
	count  int
	time   time.Duration
	every  time.Duration
	failIf []string
	params []string
}

func newPolicyBench(e env) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "bench FILE", Short: "what the hooks of a policy cost", Args: exactly(1),
		Long: `Ask the hooks of a policy in a loop and tell what a call costs: time, its 99th
percentile, allocations and, of a Wasm module, fuel and host calls; and suggest a
fuel or a budget. The policy's clock moves between calls, so that limiters have room.
A bound of --fail-if that holds true ends with the exit code 99.

  gaia policy bench policy.js
  gaia policy bench policy.wasm --hook onRequest --count 10 -o benchstat
  gaia policy bench policy.wasm --fail-if 'allocs > 0' --fail-if 'fuel > 500'`,
		RunE: func(cmd *cobra.Command, args []string) error { return bench(cmd.Context(), e, &f, args[0]) },
	}
	f.add(cmd, "table", "json", "benchstat")
	fl := cmd.Flags()
	fl.StringArrayVar(&f.hooks, "hook", nil, "the hook to ask (may be repeated; default all that the policy has)")
	fl.StringVar(&f.input, "input", "{}", "the request as JSON, @FILE, or - for standard input")
	fl.IntVar(&f.count, "count", 5, "rounds for each hook; the one in the middle is told")
	fl.DurationVar(&f.time, "time", 200*time.Millisecond, "of one round")
	fl.DurationVar(&f.every, "every", time.Second, "how far the policy's clock moves between calls")
	fl.StringArrayVar(&f.failIf, "fail-if", nil, "a bound that fails, such as 'ns > 500' (may be repeated)")
	fl.StringArrayVar(&f.params, "param", nil, "a parameter of the policy, NAME=VALUE (may be repeated)")
	return cmd
}

// benchReport is what `policy bench -o json` prints.
type benchReport struct {
	Schema    string              `json:"schema"`
	Policy    string              `json:"policy"`
	Engine    string              `json:"engine"`
	Hooks     []*policytest.Bench `json:"hooks"`
	Suggested string              `json:"suggested"` // "fuel: N" or "budget: D"
	Broken    []string            `json:"broken"`
	rounds    [][]*policytest.Bench
}

func bench(ctx context.Context, e env, f *benchFlags, use string) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.count < 1 || f.time <= 0 || f.every < 0 {
		return usageError{fmt.Errorf("want --count of 1 or more, --time over 0 and --every of 0 or more")}
	}
	var limits []policytest.Limit
	for _, text := range f.failIf {
		l, err := policytest.ParseLimit(text)
		if err != nil {
			return usageError{fmt.Errorf("--fail-if: %w", err)}
		}
		limits = append(limits, l)
	}
	input, err := readInput(e, f.input)
	if err != nil {
		return err
	}
	params, err := readParams(f.params)
	if err != nil {
		return err
	}
	off, err := newOffline(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = off.close() }()
	p, err := off.open(ctx, wallClock(), use, bundle.Settings{Params: params, Instances: 1})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	report, err := f.measure(ctx, p, input)
	if err != nil {
		return err
	}
	for _, b := range report.Hooks {
		for _, l := range limits {
			if text, broken := l.Broken(b); broken {
				report.Broken = append(report.Broken, text)
			}
		}
	}
	if err := report.write(e.out, f.format); err != nil {
		return err
	}
	if len(report.Broken) > 0 {
		for _, text := range report.Broken {
			fmt.Fprintln(e.err, "FAIL  "+text)
		}
		return silent(exitTests)
	}
	return nil
}

// measure runs the rounds of all hooks.
func (f *benchFlags) measure(ctx context.Context, p *bundle.Policy, input []byte) (*benchReport, error) {
	hooks := p.Hooks().List()
	if f.hooks != nil {
		hooks = nil
	}
	for _, name := range f.hooks {
		h, ok := policy.ParseHook(name)
		if !ok {
			return nil, usageError{fmt.Errorf("%q is no hook: want onRequest, onRoute, onResponse, onDone or onTick", name)}
		}
		hooks = append(hooks, h)
	}
	r := &benchReport{Schema: policytest.SchemaBench, Policy: p.Name(), Engine: p.Engine, Broken: []string{}}
	meter, _ := p.Policy.(policytest.Meter)
	var fuel int64
	var p99 float64
	for _, h := range hooks {
		var rounds []*policytest.Bench
		for range f.count {
			b, err := policytest.RunBench(ctx, p, policytest.BenchConfig{Hook: h, Input: input, For: f.time, Every: f.every, Meter: meter})
			if err != nil {
				return nil, err
			}
			rounds = append(rounds, b)
		}
		m := policytest.Median(rounds)
		r.Hooks, r.rounds = append(r.Hooks, m), append(r.rounds, rounds)
		fuel, p99 = max(fuel, m.Fuel), max(p99, m.P99)
	}
	if r.Suggested = "budget: " + policytest.SuggestBudget(p99).String(); p.Engine == bundle.EngineWasm {
		r.Suggested = fmt.Sprintf("fuel: %d", policytest.SuggestFuel(fuel))
	}
	return r, nil
}

func (r *benchReport) write(w io.Writer, format string) error {
	switch format {
	case "json":
		return writeJSON(w, r)
	case "benchstat":
		fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: policy/%s\n", runtime.GOOS, runtime.GOARCH, r.Policy)
		for _, rounds := range r.rounds {
			for _, b := range rounds {
				fmt.Fprintf(w, "BenchmarkHook/%s \t%8d\t%10.1f ns/op\t%8.0f p99-ns/op\t%8.0f B/op\t%8.0f allocs/op", b.Hook, b.Calls, b.NS, b.P99, b.Bytes, b.Allocs)
				if r.Engine == bundle.EngineWasm {
					fmt.Fprintf(w, "\t%8d fuel/op\t%8d hostcalls/op", b.Fuel, b.HostCalls)
				}
				fmt.Fprintln(w)
			}
		}
		return nil
	}
	dash := func(n int64) string {
		if r.Engine != bundle.EngineWasm {
			return "-"
		}
		return fmt.Sprint(n)
	}
	fmt.Fprintf(w, "%-12s %10s %10s %8s %8s %10s %8s\n", "HOOK", "NS", "P99", "ALLOCS", "FUEL", "HOST CALLS", "FAULTS")
	for _, b := range r.Hooks {
		fmt.Fprintf(w, "%-12s %10.0f %10.0f %8.2f %8s %10s %8d\n", b.Hook, b.NS, b.P99, b.Allocs, dash(b.Fuel), dash(int64(b.HostCalls)), b.Faults)
	}
	fmt.Fprintf(w, "suggested    %s\n", r.Suggested)
	return nil
}
