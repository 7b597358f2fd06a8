// Command gateway puts the same load on gaia and on what a user would take instead, one
// after the other in turns, and prints a table as Markdown: requests a second, processor
// time of a request, latency, memory.
//
//	make beside
//	bench/gateway/run.sh -rounds 1 -time 1s          a first look, about a minute
//	bench/gateway/run.sh -cases script -systems gaia-wasm,nginx-lua
//	bench/gateway/run.sh -list                       what is there and what is not
//
// The systems are the real ones, each started with a configuration of conf/ on loopback; one
// that is not installed is left out by name. nginx and wrk must be there: they are the
// upstream and the load. All processes end with this one. The table goes to standard
// output, the rest to standard error. The exit code is 0, 1 where a system that is there
// fails, 2 for wrong usage.
//
// Nothing is pinned: load, upstream and gateway share the cores, so that requests a second
// and latency say as much of the machine as of the gateway. The processor time of a
// request is the number to compare.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == roleArg {
		if err := play(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "gateway:", err)
			os.Exit(exitFailed)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the flags say.
type options struct {
	rounds         int
	time           time.Duration
	conns          int
	gaia           string // the program
	cases, systems []string
	list           bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "gateway:", err)
		return exitUsage
	}
	if o.list {
		for _, s := range systems() {
			fmt.Fprintf(stdout, "%-14s %s\n", s.name, orElse(s.missing(o), "there"))
		}
		return exitOK
	}
	b, err := open(o, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "gateway:", err)
		return exitFailed
	}
	defer b.close()
	began := time.Now()
	rows := b.measure(ctx)
	write(stdout, o, began, rows)
	if b.failed || ctx.Err() != nil {
		return exitFailed
	}
	return exitOK
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("gateway", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.IntVar(&o.rounds, "rounds", 3, "how often each is measured, in turn")
	f.DurationVar(&o.time, "time", 2*time.Second, "for how long each time, whole seconds")
	f.IntVar(&o.conns, "connections", 64, "connections, each with one request at a time")
	f.StringVar(&o.gaia, "gaia", filepath.Join("..", "bin", "gaia"), "the program of gaia")
	f.BoolVar(&o.list, "list", false, "say what is there, and measure nothing")
	f.Func("cases", "only these, by comma: "+strings.Join(caseNames(), " "), names(&o.cases, caseNames()))
	f.Func("systems", "only these, by comma: "+strings.Join(systemNames(), " "), names(&o.systems, systemNames()))
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			f.SetOutput(stderr)
			f.Usage()
			fmt.Fprintln(stderr, "\nDebian packages of all systems:", packages)
		}
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.rounds < 1 || o.conns < 2 || o.time < time.Second || o.time%time.Second != 0:
		return o, errors.New("want at least one round, two connections, and whole seconds of time")
	}
	return o, nil
}

// names reads a list of known names.
func names(to *[]string, known []string) func(string) error {
	return func(text string) error {
		for name := range strings.SplitSeq(text, ",") {
			if !slices.Contains(known, name) {
				return fmt.Errorf("no %q; there are %s", name, strings.Join(known, " "))
			}
			*to = append(*to, name)
		}
		return nil
	}
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// bench is a run: the upstream, which every gateway asks, and where files are.
type bench struct {
	options
	dir      string
	upstream *started
	a, b     string // the upstream's two addresses
	self     string
	log      io.Writer
	failed   bool // a system that is there did not do its work
}

// open starts the upstream. The caller closes the bench.
func open(o options, log io.Writer) (_ *bench, err error) {
	for _, name := range []string{"nginx", "wrk"} {
		if program(name) == "" {
			return nil, fmt.Errorf("%s is not installed: it is needed for every measurement (Debian: apt-get install nginx-light wrk)", name)
		}
	}
	b := &bench{options: o, log: log}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "gaia-beside-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	for _, addr := range []*string{&b.a, &b.b} {
		if *addr, err = free(); err != nil {
			return nil, err
		}
	}
	b.upstream, err = b.start(system{name: "upstream", argv: nginxArgv("upstream.conf")}, kase{})
	return b, err
}

func (b *bench) close() {
	if b.upstream != nil {
		b.upstream.stop()
	}
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintln(b.log, "gateway:", err)
	}
}

// row is what was measured of a system in a case.
type row struct {
	kase   kase
	system string
	rounds []sample
	half   float64 // p99 in milliseconds at half of what the bare proxy can do; 0: not measured
}

// measure takes the cases one after the other, and in each the systems in turn.
func (b *bench) measure(ctx context.Context) []row {
	var rows []row
	for _, k := range cases() {
		if len(b.cases) == 0 || slices.Contains(b.cases, k.name) {
			rows = append(rows, b.measureCase(ctx, k)...)
		}
	}
	return rows
}

func (b *bench) measureCase(ctx context.Context, k kase) []row {
	var rows []row
	var servers []*started
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	for _, sys := range systems() {
		if !slices.Contains(sys.cases, k.name) || len(b.systems) > 0 && !slices.Contains(b.systems, sys.name) || ctx.Err() != nil {
			continue
		}
		if why := sys.missing(b.options); why != "" {
			fmt.Fprintf(b.log, "%s/%s left out: %s\n", k.name, sys.name, why)
			continue
		}
		s, err := b.ready(ctx, sys, k)
		if err != nil {
			b.fault(ctx, k, sys.name, err)
			continue
		}
		servers = append(servers, s)
		rows = append(rows, row{kase: k, system: sys.name})
	}
	for round := range b.rounds {
		for i := range servers {
			if round%2 == 1 { // who comes first alternates: the machine may grow slower
				i = len(servers) - 1 - i
			}
			if ctx.Err() != nil {
				return rows
			}
			got, err := b.load(ctx, servers[i], k, b.time)
			if err == nil {
				err = got.judge(k)
			}
			if err != nil {
				b.fault(ctx, k, rows[i].system, fmt.Errorf("%w\n%s", err, servers[i].said()))
			}
			rows[i].rounds = append(rows[i].rounds, got)
			fmt.Fprintf(b.log, "%s/%s %d: %.0f requests/s, %.1f µs\n", k.name, rows[i].system, round+1, got.rate, got.cpu)
		}
	}
	b.halfLoad(ctx, k, servers, rows)
	return rows
}

func (b *bench) fault(ctx context.Context, k kase, name string, err error) {
	if ctx.Err() == nil {
		b.failed = true
		fmt.Fprintf(b.log, "%s/%s: %v\n", k.name, name, err)
	}
}

// ready starts a system, checks that it does the work of the case, and warms it up.
func (b *bench) ready(ctx context.Context, sys system, k kase) (*started, error) {
	s, err := b.start(sys, k)
	if err != nil {
		return nil, err
	}
	err = check(s, sys, k)
	if err == nil {
		err = b.warm(ctx, s, k)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// warm lets every tenant ask once, and all of them some thousand times. What denies does so from the
// second request of a tenant on.
func (b *bench) warm(ctx context.Context, s *started, k kase) error {
	_, err := b.ask(ctx, s, k, plan{n: max(k.tenants, 5000), long: time.Minute})
	return err
}

// halfLoad asks the systems of a case for half of what the bare proxy can do, in turn, and
// notes the latency: at saturation it says more of the load than of the gateway.
func (b *bench) halfLoad(ctx context.Context, k kase, servers []*started, rows []row) {
	bare := find(rows, k, baseline)
	if !k.half || len(bare.rounds) == 0 {
		return
	}
	rate := bare.median(rateOf) / 2
	for i := range servers {
		times, err := b.ask(ctx, servers[i], k, plan{rate: rate, long: b.time})
		if err != nil {
			b.fault(ctx, k, rows[i].system, err)
			continue
		}
		rows[i].half = float64(times[len(times)*99/100]) / 1e6
		fmt.Fprintf(b.log, "%s/%s at %.0f requests/s: p99 %.2f ms\n", k.name, rows[i].system, rate, rows[i].half)
	}
}
