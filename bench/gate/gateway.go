package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
)

// gatewayRow compares the processor time that two kinds of proxy use for the same
// requests: ours over theirs. Load generator and upstream are processes of their own.
func gatewayRow(ours, theirs string) func(context.Context, effort) (outcome, error) {
	return func(ctx context.Context, e effort) (out outcome, err error) {
		var ps parts
		defer func() { err = closed(err, &ps) }()
		_, upstreams, err := ps.startListening("upstream")
		if err != nil {
			return outcome{}, err
		}
		gen, err := ps.start("generator")
		if err != nil {
			return outcome{}, err
		}
		var sides []measure.Sample
		for _, kind := range []string{ours, theirs} {
			proxy, addrs, err := ps.startListening("proxy", append([]string{kind}, upstreams...)...)
			if err != nil {
				return outcome{}, err
			}
			sides = append(sides, proxySample(ctx, gen, proxy, addrs[0], e.Requests))
		}
		res, err := measure.Interleave(measure.Plan{Turns: e.Repeat, Limit: 4 * e.Limit}, measure.Ratio, sides...)
		return compared(res, 0, ours, theirs), err
	}
}

// proxySample sends n requests through a proxy and returns the processor time that its
// process used for each. Others that run at the time do not count: the processes of the
// row itself share the cores.
func proxySample(ctx context.Context, gen, proxy *part, addr string, n int) measure.Sample {
	return func() (float64, bool, error) {
		if ctx.Err() != nil {
			return 0, false, ctx.Err()
		}
		var used time.Duration
		before, err := measure.CPUOf(proxy.pid())
		if err != nil {
			return 0, false, err
		}
		if _, err := fmt.Fprintf(gen.in, "%s %d\n", addr, n); err != nil {
			return 0, false, fmt.Errorf("tell the generator: %w", err)
		}
		said, err := gen.line()
		if err != nil {
			return 0, false, err
		}
		if said != "ok" {
			return 0, false, fmt.Errorf("a request failed: %s", said)
		}
		after, err := measure.CPUOf(proxy.pid())
		used = after - before
		return float64(used) / float64(n), true, err
	}
}
