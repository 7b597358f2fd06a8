package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/control"
	"github.com/spf13/cobra"
)

// Bounds of what a bench does to a running gaia.
const (
	benchMostOps     = 1_000_000
	benchMostCallers = 1024
	benchLongest     = time.Hour
)

// benchGateway is the row of requests through the gateway; the others have the names of
// subsystems.
const benchGateway = "gateway"

// liveBench is a bounded load on a running gaia.
type liveBench struct {
	e       env
	d       daemon
	o       output
	only    []string
	route   string
	file    string
	ops     int
	callers int
	long    time.Duration

	target string // URL that requests go to
	listen string // of the gateway
}

func newBench(e env) *cobra.Command {
	b := &liveBench{e: e}
	cmd := &cobra.Command{
		Use: "bench [URL]", Short: "measure a running gaia under a bounded load", Args: usageArgs(cobra.MaximumNArgs(1)),
		Long: `Put a bounded load on a running gaia, one subsystem after the other, and tell
operations a second and the latency of each. Its limits and policies hold: what
they deny or delay shows.

  gaia bench                               a target that bench itself serves on loopback
  gaia bench http://127.0.0.1:9000/        another, by the forward proxy and the work API
  gaia bench --route openai                by a route; the requests reach its upstream
  gaia bench --only files --file scratch:bench    writes and reads that file
  gaia bench --only browser -n 20          a browser is started only where it is named

gaia refuses the work API targets that are not public, such as the one of bench
itself, unless network.allow_ranges has 127.0.0.1.`,
		RunE: func(cmd *cobra.Command, args []string) error { return b.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&b.only, "only", []string{benchGateway, policy.SubsystemAPI, policy.SubsystemFiles, policy.SubsystemNetwork, policy.SubsystemProcess}, "what is measured: these or browser")
	f.StringVar(&b.route, "route", "", "send requests by this route instead of to a URL")
	f.StringVar(&b.file, "file", "", "ROOT:PATH that an operation writes and reads (default: it lists the roots)")
	f.IntVarP(&b.ops, "number", "n", 500, "operations of each, at most")
	f.IntVarP(&b.callers, "callers", "c", 8, "how many at once")
	f.DurationVar(&b.long, "for", 10*time.Second, "how long each is measured, at most")
	b.d.addWith(cmd, e, 30*time.Second)
	b.o.add(cmd, "table", "json")
	return cmd
}

// check refuses what cannot be measured.
func (b *liveBench) check(args []string) error {
	var faults []error
	if b.ops < 1 || b.ops > benchMostOps {
		faults = append(faults, fmt.Errorf("--number %d: want 1 to %d", b.ops, benchMostOps))
	}
	if b.callers < 1 || b.callers > benchMostCallers {
		faults = append(faults, fmt.Errorf("--callers %d: want 1 to %d", b.callers, benchMostCallers))
	}
	if b.long <= 0 || b.long > benchLongest {
		faults = append(faults, fmt.Errorf("--for %v: want more than 0, at most %v", b.long, benchLongest))
	}
	subsystems := policy.Subsystems()
	known := append([]string{benchGateway}, subsystems[:]...)
	for _, name := range b.only {
		if !slices.Contains(known, name) {
			faults = append(faults, fmt.Errorf("--only %s: want some of %s", name, strings.Join(known, ", ")))
		}
	}
	if len(args) > 0 {
		u, err := url.Parse(args[0])
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			faults = append(faults, fmt.Errorf("%s: want an http or https URL", args[0]))
		}
		if b.route != "" {
			faults = append(faults, errors.New("a URL and --route: want one of them"))
		}
	}
	if len(faults) > 0 {
		return usageError{errors.Join(faults...)}
	}
	return b.o.check()
}

func (b *liveBench) run(ctx context.Context, args []string) error {
	if err := b.check(args); err != nil {
		return err
	}
	c := b.d.client(b.e)
	before, err := b.status(ctx, c)
	if err != nil {
		return err
	}
	b.listen = before.Listen
	if len(args) > 0 {
		b.target = args[0]
	} else if b.route == "" {
		stop, err := b.serve(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	c.KeepConnections(b.callers)
	defer c.CloseIdle()
	report := liveReport{Schema: "gaia.bench.live/v1", Callers: b.callers}
	for _, name := range b.only {
		do, done, err := b.operation(name, c)
		if err != nil {
			return err
		}
		l := benchLoad{ops: b.ops, callers: b.callers, long: b.long, do: do}
		row := l.put(ctx)
		done()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		row.Name = name
		report.Rows = append(report.Rows, row)
	}
	after, err := b.status(ctx, c)
	if err != nil {
		return err
	}
	report.Engines = engineRows(before.Policies, after.Policies)
	if b.o.format == "json" {
		err = writeJSON(b.e.out, report)
	} else {
		report.print(b.e.out)
	}
	if err == nil && !slices.ContainsFunc(report.Rows, func(r benchRow) bool { return r.OK > 0 }) {
		err = errors.New("not one operation went well")
	}
	return err
}

func (b *liveBench) status(ctx context.Context, c *control.Client) (control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, b.d.timeout)
	defer cancel()
	return c.Status(ctx)
}

// serve starts the target of a bench that was given none.
func (b *liveBench) serve(ctx context.Context) (stop func(), err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>gaia bench</title>\n") // who left is counted elsewhere
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }() // ends with Close
	b.target = "http://" + l.Addr().String() + "/"
	return func() { _ = s.Close(); <-ended }, nil
}

// operation is what a row repeats; done is called after it.
func (b *liveBench) operation(name string, c *control.Client) (do func(context.Context, int) error, done func(), err error) {
	ask := func(action string, in map[string]any) func(context.Context, int) error {
		data, err := json.Marshal(in)
		return func(ctx context.Context, _ int) error {
			if err != nil {
				return err
			}
			return b.work(ctx, c, control.WorkRequest{Subsystem: name, Action: action, Input: data})
		}
	}
	done = func() {}
	switch name {
	case benchGateway:
		do, done, err = b.gateway()
	case policy.SubsystemAPI:
		in := map[string]any{"url": b.target}
		if b.route != "" {
			in = map[string]any{"url": "/", "route": b.route}
		}
		do = ask("request", in)
	case policy.SubsystemFiles:
		do = ask("roots", map[string]any{})
		if b.file != "" {
			write, read := ask("write", map[string]any{"file": b.file, "data": "gaia bench\n"}), ask("read", map[string]any{"file": b.file})
			do = func(ctx context.Context, i int) error {
				if err := write(ctx, i); err != nil {
					return err
				}
				return read(ctx, i)
			}
		}
	case policy.SubsystemNetwork:
		do = ask("resolve", map[string]any{"host": "localhost"})
	case policy.SubsystemProcess:
		do = ask("run", map[string]any{"args": []string{"true"}})
	case policy.SubsystemBrowser:
		if b.target == "" {
			err = usageError{errors.New("--only browser: want a URL, not a route")}
		}
		do = ask("html", map[string]any{"url": b.target})
	}
	return do, done, err
}

// work asks for one action and reads its answer.
func (b *liveBench) work(ctx context.Context, c *control.Client, r control.WorkRequest) error {
	ctx, cancel := context.WithTimeout(ctx, b.d.timeout)
	defer cancel()
	res, err := c.Work(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// gateway sends requests by the route, or through the forward proxy to the target.
func (b *liveBench) gateway() (do func(context.Context, int) error, done func(), err error) {
	t := &http.Transport{MaxIdleConnsPerHost: b.callers, DisableCompression: true}
	to := b.target
	if b.route != "" {
		to = "http://" + b.listen + "/" + b.route + "/"
	} else {
		t.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: b.listen})
	}
	client := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(ctx context.Context, _ int) error {
		ctx, cancel := context.WithTimeout(ctx, b.d.timeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		if res.StatusCode >= 400 {
			return &statusError{res.StatusCode}
		}
		return nil
	}, t.CloseIdleConnections, nil
}

// statusError is an answer that is no success.
type statusError struct{ code int }

// Error names the status.
func (e *statusError) Error() string { return fmt.Sprintf("%d %s", e.code, http.StatusText(e.code)) }
