package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/subsystems/api"
)

// patience is a bound on a request that no row reaches.
const patience = time.Minute

// withUpstream measures something that needs a server in a process of its own.
func withUpstream(fn func(ctx context.Context, e effort, target string) (outcome, error)) func(context.Context, effort) (outcome, error) {
	return func(ctx context.Context, e effort) (out outcome, err error) {
		var ps parts
		defer func() { err = closed(err, &ps) }()
		_, upstreams, err := ps.startListening("upstream")
		if err != nil {
			return outcome{}, err
		}
		return fn(ctx, e, "http://"+upstreams[0]+"/v1/items/12345?expand=true")
	}
}

// poolOf makes a client pool; bound says whether its transport bounds requests. stop is
// to be called after its use.
func poolOf(bound bool) (p *api.Pool, stop func(error) error, err error) {
	c := api.DefaultConfig()
	c.HeaderTimeout = 0
	if bound {
		c.HeaderTimeout = patience
	}
	p, err = api.New(c)
	return p, func(err error) error { return errors.Join(err, p.Stop(context.Background())) }, err
}

// withPools measures with two pools: one whose transport bounds no request, and one that does.
func withPools(fn func(unbound, bound *api.Pool) (outcome, error)) (out outcome, err error) {
	unbound, stop, err := poolOf(false)
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = stop(err) }()
	bound, stopBound, err := poolOf(true)
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = stopBound(err) }()
	return fn(unbound, bound)
}

// bytesOf is how many bytes one operation allocates, the mean of n after some to warm up.
func bytesOf(op measure.Op, n int) (float64, error) {
	if err := op(max(n/10, 1)); err != nil {
		return 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := op(n); err != nil {
		return 0, err
	}
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / float64(n), nil
}

// addedBytes compares what gaia's way adds to a request in bytes with what the naive way adds.
func addedBytes(e effort, none, naive, ours measure.Op) (outcome, error) {
	var cost [3]float64
	n := max(e.Allocs/4, 1000) // the difference is small: it needs many
	for i, op := range []measure.Op{none, naive, ours} {
		var err error
		if cost[i], err = bytesOf(op, n); err != nil {
			return outcome{}, err
		}
	}
	// A way cannot cost less than nothing: that is the noise of the machine.
	added := []float64{max(cost[2]-cost[0], 1), max(cost[1]-cost[0], 1)}
	return outcome{ratio: added[0] / added[1]}, nil
}

// deadlinePart bounds requests by the transport, once for all, against a context with a
// deadline for each.
func deadlinePart(ctx context.Context, e effort, target string) (outcome, error) {
	u, err := url.Parse(target)
	if err != nil {
		return outcome{}, err
	}
	return withPools(func(unbound, bound *api.Pool) (outcome, error) {
		none := ops(func() error { return doing(ctx, unbound, u) })
		naive := ops(func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return doing(ctx, unbound, u)
		})
		return addedBytes(e, none, naive, ops(func() error { return doing(ctx, bound, u) }))
	})
}

// doing sends one request through p.
func doing(ctx context.Context, p *api.Pool, u *url.URL) error {
	res, err := p.Do(ctx, &api.Call{URL: u})
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || n != answerSize {
		return fmt.Errorf("answered %s with %d bytes", res.Status, n)
	}
	return nil
}

// timeoutPart is the same of an http.Client: the pool's bound against its own Timeout.
func timeoutPart(ctx context.Context, e effort, target string) (outcome, error) {
	return withPools(func(unbound, bound *api.Pool) (outcome, error) {
		client := func(p *api.Pool, d time.Duration) measure.Op {
			return calling(ctx, &http.Client{Transport: p.RoundTripper(api.RoundTripperOptions{}), Timeout: d}, target)
		}
		return addedBytes(e, client(unbound, 0), client(unbound, patience), client(bound, 0))
	})
}

// addressKey makes the key that limits count on, against the same by fmt.
func addressKey(_ context.Context, e effort) (outcome, error) {
	u := &url.URL{Scheme: "http", Host: "127.0.0.1:8080", Path: "/v1/items"}
	const want = "127.0.0.1:8080"
	key := func(of func(*url.URL) string) measure.Op {
		return ops(func() error {
			if of(u) != want {
				return errNumber
			}
			return nil
		})
	}
	ours, naive := key(route.Host), key(func(u *url.URL) string { return fmt.Sprintf("%s:%s", strings.ToLower(u.Hostname()), u.Port()) })
	allocs, err := measure.Allocs(ours, e.Allocs)
	if err != nil {
		return outcome{}, err
	}
	res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Garbage), measure.Serial(naive, e.Garbage))
	return compared(res, allocs, "route.Host", "fmt.Sprintf"), err
}

// callers compares so many at once through the client pool with net/http's default
// transport. The cost is wall time.
func callers(n int) func(context.Context, effort, string) (outcome, error) {
	return func(ctx context.Context, e effort, target string) (out outcome, err error) {
		p, stop, err := poolOf(true)
		if err != nil {
			return outcome{}, err
		}
		defer func() { err = stop(err) }()
		u, err := url.Parse(target)
		if err != nil {
			return outcome{}, err
		}
		standard, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			return outcome{}, errors.New("net/http has another default transport")
		}
		standard = standard.Clone()
		defer standard.CloseIdleConnections()
		client := &http.Client{Transport: standard}
		naive := ops(func() error {
			res, err := client.Get(u.String())
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, res.Body)
			return errors.Join(err, res.Body.Close())
		})
		ours := ops(func() error { return doing(ctx, p, u) })
		length := max(e.Garbage/time.Duration(n), e.Sample) // of each caller alone: together they take longer
		res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Parallel(ours, n, length), measure.Parallel(naive, n, length))
		return compared(res, 0, "client pool", "http.DefaultTransport"), err
	}
}
