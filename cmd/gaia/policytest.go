package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policytest"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/config"
	"github.com/spf13/cobra"
)

// exitTests is the code of tests that failed and thresholds that were not met.
const exitTests = 99

// testBudget bounds one hook under test in wall time: a busy machine must not fail a test.
const testBudget = time.Second

type testFlags struct {
	output
	run       string
	coverage  bool
	threshold float64
	timeout   time.Duration
	verbose   bool
}

func newPolicyTest(e env) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use: "test [DIR|FILE]...", Short: "run the test cases of policies", Args: usageArgs(cobra.ArbitraryArgs),
		Long: `Run the cases of NAME.test.js, .test.ts and .test.json files: one, or all below a
folder (the present one where none is named). Time in them is virtual. A case that
fails, a file that does not load, a share of statements below --threshold, and a run
that matches no case end with the exit code 99.

  gaia policy test
  gaia policy test quota.test.js --run burst
  gaia policy test --coverage --threshold 80 -o junit`,
		RunE: func(cmd *cobra.Command, args []string) error { return runTests(cmd.Context(), e, &f, args) },
	}
	f.add(cmd, "text", "json", "junit")
	fl := cmd.Flags()
	fl.StringVar(&f.run, "run", "", "only cases whose name this regular expression matches")
	fl.BoolVar(&f.coverage, "coverage", false, "count which statements of JavaScript policies ran")
	fl.Float64Var(&f.threshold, "threshold", 0, "the least percentage of statements that must run (implies --coverage)")
	fl.DurationVar(&f.timeout, "timeout", policytest.DefaultTimeout, "wall time of one case")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "name the cases that pass")
	return cmd
}

func runTests(ctx context.Context, e env, f *testFlags, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	suite := &policytest.Suite{Timeout: f.timeout, Clock: time.Now}
	var err error
	switch {
	case f.threshold < 0 || f.threshold > 100:
		return usageError{fmt.Errorf("--threshold %v: want 0 to 100", f.threshold)}
	case f.timeout <= 0:
		return usageError{fmt.Errorf("--timeout %v: want more than 0", f.timeout)}
	case f.run != "":
		if suite.Run, err = regexp.Compile(f.run); err != nil {
			return usageError{fmt.Errorf("--run: %w", err)}
		}
	}
	if len(args) == 0 {
		args = []string{"."}
	}
	var files []string
	for _, arg := range args {
		found, err := policytest.Find(arg)
		if err != nil {
			return usageError{err}
		}
		files = append(files, found...)
	}
	engine, err := wasm.NewEngine(wasm.EngineConfig{CacheDir: cacheDir()})
	if err != nil {
		return fmt.Errorf("start the Wasm engine: %w", err)
	}
	defer func() { _ = engine.Close() }()
	rig := &testRig{engine: engine}
	if f.coverage || f.threshold > 0 {
		rig.cover = &js.Coverage{}
	}
	suite.Open, suite.Whole, suite.Script = rig.open, rig.openWhole, openTestScript
	report := &policytest.Report{}
	built := map[string]bool{}
	for _, file := range files {
		if dir := filepath.Dir(file); !built[dir] {
			built[dir] = true
			if err := buildStale(ctx, e, engine, dir); err != nil {
				report.Errors = append(report.Errors, loadText(err))
				continue
			}
		}
		began := time.Now()
		results, err := suite.RunFile(ctx, file)
		report.Add(results, time.Since(began))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			report.Errors = append(report.Errors, loadText(err))
		}
	}
	rig.count(report, f.threshold)
	report.Finish()
	if err := f.write(e, report); err != nil {
		return err
	}
	if !report.OK {
		return silent(exitTests)
	}
	return nil
}

// buildStale builds the module of a project whose sources are newer.
func buildStale(ctx context.Context, e env, engine *wasm.Engine, dir string) error {
	stale, err := bundle.Stale(dir)
	if err != nil || !stale {
		return err
	}
	b, err := bundle.Build(ctx, bundle.BuildConfig{Dir: dir, Engine: engine, Getenv: e.getenv})
	if err == nil {
		fmt.Fprintf(e.err, "built %s\n", b.File)
	}
	return err
}

func (f *testFlags) write(e env, r *policytest.Report) error {
	switch f.format {
	case "json":
		return r.WriteJSON(e.out)
	case "junit":
		return r.WriteJUnit(e.out)
	}
	return r.WriteText(e.out, f.verbose)
}

// loadText is an error of loading with its line and caret.
func loadText(err error) string {
	text := err.Error()
	var load *policy.LoadError
	if errors.As(err, &load) {
		if excerpt := load.Excerpt(); excerpt != "" {
			text += "\n" + indent(excerpt)
		}
		if load.Hint != "" {
			text += "\n  hint: " + load.Hint
		}
	}
	return text
}

// testRig opens the policies under test.
type testRig struct {
	engine *wasm.Engine
	cover  *js.Coverage // nil: not counted
}

// open implements policytest.OpenPolicy.
func (r *testRig) open(ctx context.Context, use string, s policytest.Setup, tx *natives.Tx) (policytest.Opened, error) {
	settings := bundle.Settings{Params: s.Params, Instances: 2, Grants: natives.Grants{Env: slices.Sorted(maps.Keys(s.Env))}}
	if !strings.EqualFold(filepath.Ext(use), ".wasm") { // a Wasm policy has its fuel, which is the same everywhere
		settings.Options.Budget = testBudget
	}
	p, err := bundle.Open(ctx, "", use, settings, bundle.Config{Wasm: r.engine, Tx: tx, Cover: r.cover,
		Getenv: func(name string) (string, bool) { v, ok := s.Env[name]; return v, ok }})
	if err != nil {
		return policytest.Opened{}, err
	}
	return policytest.Opened{Policy: p, Match: p.Match}, nil
}

// openWhole implements policytest.OpenWhole.
func (r *testRig) openWhole(_ context.Context, file string, text []byte, s policytest.Setup, now int64) (policytest.Whole, error) {
	o := config.Options{File: file}
	for name, value := range s.Env {
		o.Env = append(o.Env, name+"="+value)
	}
	if text != nil {
		o.ReadFile = func(path string) ([]byte, error) {
			if path == file {
				return text, nil
			}
			return readBounded(path, maxInput)
		}
	}
	cfg, err := config.Load(o)
	if err != nil {
		return nil, err
	}
	return host.NewRehearsal(cfg, host.RehearsalOptions{Start: now, CacheDir: cacheDir(), Budget: testBudget, Cover: r.cover,
		Getenv: func(name string) (string, bool) { v, ok := s.Env[name]; return v, ok }})
}

// count puts the coverage into the report.
func (r *testRig) count(report *policytest.Report, threshold float64) {
	if r.cover == nil {
		return
	}
	total := &policytest.CoverageTotal{Files: []policytest.CoverageFile{}}
	for _, f := range r.cover.Files() {
		total.Statements += f.Statements
		total.Ran += f.Ran
		total.Files = append(total.Files, policytest.CoverageFile{File: f.File, Percent: policytest.Percent(f.Ran, f.Statements),
			Statements: f.Statements, Ran: f.Ran, Missed: append([]int{}, f.Missed...)})
	}
	total.Percent = policytest.Percent(total.Ran, total.Statements)
	report.Coverage = total
	switch {
	case threshold > 0 && total.Statements == 0:
		report.Errors = append(report.Errors, "no statement was counted: coverage is of JavaScript policies")
	case total.Percent < threshold:
		report.Errors = append(report.Errors, fmt.Sprintf("coverage: %.1f%% of statements ran, want %v%%", total.Percent, threshold))
	}
}

// testScript is a test file in JavaScript or TypeScript.
type testScript struct{ *js.Script }

// Cases implements policytest.Script.
func (s testScript) Cases() []policytest.ScriptCase {
	funcs := s.Funcs()
	cases := make([]policytest.ScriptCase, len(funcs))
	for i, f := range funcs {
		cases[i] = policytest.ScriptCase{Name: f.Name, At: policytest.Place{File: f.At.File, Line: f.At.Line}}
	}
	return cases
}

func openTestScript(ctx context.Context, path string, host policytest.Host, clock func() int64) (policytest.Script, error) {
	name := bundle.NameOf("", path)
	scope := natives.NewHost(natives.HostConfig{}).Begin(clock()).Scope(natives.ScopeConfig{Policy: name, Local: true})
	s, err := js.OpenScript(ctx, js.Source{Name: name, Path: path, Modules: map[string]string{policytest.Module: policytest.ModuleText()}}, js.ScriptConfig{
		Policy: js.Config{Scope: scope, Log: slog.New(slog.DiscardHandler)}, Clock: clock,
		Host: func(op string, value []byte, at func() js.Place) ([]byte, error) {
			return host(op, value, func() policytest.Place { p := at(); return policytest.Place{File: p.File, Line: p.Line} })
		}})
	if err != nil {
		return nil, err
	}
	return testScript{s}, nil
}
