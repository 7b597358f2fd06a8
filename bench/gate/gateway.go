package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gaia-host/gaia/bench/internal/measure"
)

// gatewayRow compares the processor time that two kinds of proxy use for the same
// requests: ours over theirs. Load generator and upstream are processes of their own.
func gatewayRow(ours, theirs string) func(context.Context, effort) (outcome, error) {
	return func(ctx context.Context, e effort) (out outcome, err error) {
		var ps parts
		defer func() { err = closed(err, &ps) }()
		sides, err := startSides(&ps, ours, theirs)
		if err != nil {
			return outcome{}, err
		}
		res, err := measure.Interleave(measure.Plan{Turns: e.Repeat, Limit: 4 * e.Limit}, measure.Ratio,
			sides[0].sample(ctx, e.Requests), sides[1].sample(ctx, e.Requests))
		return compared(res, 0, ours, theirs), err
	}
}

// gatewayAllocs compares the allocations of two kinds of proxy for a request.
func gatewayAllocs(ours, theirs string) func(context.Context, effort) (outcome, error) {
	return func(_ context.Context, e effort) (out outcome, err error) {
		var ps parts
		defer func() { err = closed(err, &ps) }()
		sides, err := startSides(&ps, ours, theirs)
		if err != nil {
			return outcome{}, err
		}
		out.sides = []string{ours, theirs}
		for _, s := range sides {
			n, err := s.allocs(e.Requests)
			if err != nil {
				return outcome{}, err
			}
			out.how.Costs = append(out.how.Costs, n)
		}
		out.ratio = out.how.Costs[0] / out.how.Costs[1]
		return out, nil
	}
}

// side is a proxy and what sends requests through it.
type side struct {
	proxy, gen *part
	addr       string
	status     int // that every answer must have
}

// startSides starts the upstreams, the generator and a proxy of each kind.
func startSides(ps *parts, kinds ...string) (sides []*side, err error) {
	_, upstreams, err := ps.startListening("upstream")
	if err != nil {
		return nil, err
	}
	gen, err := ps.start("generator")
	if err != nil {
		return nil, err
	}
	for _, kind := range kinds {
		proxy, addrs, err := ps.startListening("proxy", append([]string{kind}, upstreams...)...)
		if err != nil {
			return nil, err
		}
		s := &side{proxy: proxy, gen: gen, addr: addrs[0], status: http.StatusOK}
		if strings.HasPrefix(kind, denyKind) {
			s.status = http.StatusTooManyRequests
		}
		sides = append(sides, s)
	}
	return sides, nil
}

// send sends n requests.
func (s *side) send(n int) error {
	if _, err := fmt.Fprintf(s.gen.in, "%s %d %d\n", s.addr, n, s.status); err != nil {
		return fmt.Errorf("tell the generator: %w", err)
	}
	said, err := s.gen.line()
	if err == nil && said != "ok" {
		err = fmt.Errorf("a request failed: %s", said)
	}
	return err
}

// sample sends n requests and returns the processor time that the proxy's process used
// for each. Others that run at the time do not count: the processes of the row itself
// share the cores.
func (s *side) sample(ctx context.Context, n int) measure.Sample {
	return func() (float64, bool, error) {
		if ctx.Err() != nil {
			return 0, false, ctx.Err()
		}
		before, err := measure.CPUOf(s.proxy.pid())
		if err != nil {
			return 0, false, err
		}
		if err := s.send(n); err != nil {
			return 0, false, err
		}
		after, err := measure.CPUOf(s.proxy.pid())
		return float64(after-before) / float64(n), true, err
	}
}

// allocs is how often the proxy's process allocates for a request.
func (s *side) allocs(n int) (float64, error) {
	if err := s.send(n); err != nil { // connections open, pools fill
		return 0, err
	}
	before, err := s.mallocs()
	if err != nil {
		return 0, err
	}
	if err := s.send(n); err != nil {
		return 0, err
	}
	after, err := s.mallocs()
	return float64(after-before) / float64(n), err
}

func (s *side) mallocs() (n uint64, err error) {
	if _, err := fmt.Fprintln(s.proxy.in); err != nil {
		return 0, fmt.Errorf("ask the proxy: %w", err)
	}
	said, err := s.proxy.line()
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(said, 10, 64)
}
