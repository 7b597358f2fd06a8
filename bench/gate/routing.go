package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
)

var errNoUpstream = errors.New("no upstream was chosen")

// chooseUpstream measures a choice among 16 upstreams that answered before, in each way to
// balance and with different weights; the row tells the dearest of them, -v each.
func chooseUpstream(_ context.Context, e effort) (outcome, error) {
	peer := rate.NewLimiter(1e9, neverEmpty)
	sides := []measure.Sample{measure.Serial(ops(func() error {
		if !peer.Allow() {
			return errRefused
		}
		return nil
	}), e.Sample)}
	names := []string{"x/time/rate Allow"}
	allocs := 0.0
	for _, name := range route.Balances() {
		choice, err := choosing(name)
		if err != nil {
			return outcome{}, err
		}
		n, err := measure.Allocs(choice, e.Allocs)
		if err != nil {
			return outcome{}, err
		}
		allocs = max(allocs, n)
		sides, names = append(sides, measure.Serial(choice, e.Sample)), append(names, name)
	}
	res, err := measure.Interleave(e.plan(), func(costs []float64) float64 { return slices.Max(costs[1:]) / costs[0] }, sides...)
	return compared(res, allocs, names...), err
}

func choosing(way string) (measure.Op, error) {
	b, err := route.ParseBalance(way)
	if err != nil {
		return nil, err
	}
	var ups []route.Upstream
	for i := range 16 {
		ups = append(ups, route.Upstream{Name: fmt.Sprintf("u%d", i), URL: &url.URL{Scheme: "http", Host: fmt.Sprintf("u%d.example", i)}, Weight: 1 + i%3})
	}
	g, err := route.NewBalanced(ups, route.Options{Balance: b, Outlier: route.DefaultOutlier()}, nil)
	if err != nil {
		return nil, err
	}
	c := newClock()
	for i := range ups {
		g.Begin(i)
		g.End(i, c.now(), time.Millisecond, false)
	}
	q := route.Query{Req: &policy.Request{Path: "/v1/items/12345"}}
	return ops(func() error {
		q.Now = c.now()
		if _, ok := g.Pick(&q); !ok {
			return errNoUpstream
		}
		return nil
	}), nil
}
