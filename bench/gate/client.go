package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/bench/internal/peer"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/api"
)

// clientRow compares one caller's requests through the client pool, under a policy in
// JavaScript or Wasm that paces each host and learns from each answer, with the same
// requests through net/http alone. The caller's code is the same: an http.Client, with
// the pool as its transport or a transport with the pool's settings.
func clientRow(engine string) func(context.Context, effort) (outcome, error) {
	return func(ctx context.Context, e effort) (out outcome, err error) {
		var ps parts
		defer func() { err = closed(err, &ps) }()
		_, upstreams, err := ps.startListening("upstream")
		if err != nil {
			return outcome{}, err
		}
		target := "http://" + upstreams[0] + "/v1/items/12345?expand=true"
		var slot policy.Slot
		policies, err := putPacing(ctx, engine, &slot)
		if err != nil {
			return outcome{}, err
		}
		defer func() { err = closed(err, policies) }()
		c := api.DefaultConfig()
		c.Slot = &slot
		pool, err := api.New(c)
		if err != nil {
			return outcome{}, err
		}
		defer func() { err = errors.Join(err, pool.Stop(ctx)) }()
		bare := peer.Transport()
		defer bare.CloseIdleConnections()

		ours := calling(ctx, &http.Client{Transport: pool.RoundTripper(api.RoundTripperOptions{})}, target)
		theirs := calling(ctx, &http.Client{Transport: bare}, target)
		more, err := moreAllocs(ours, theirs, e.Allocs/10)
		if err != nil {
			return outcome{}, err
		}
		res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Garbage), measure.Serial(theirs, e.Garbage))
		return compared(res, more, "client pool, "+engine+" policy", "net/http"), err
	}
}

// putPacing puts the policy of pace.js and pace.c in force.
func putPacing(ctx context.Context, engine string, slot *policy.Slot) (io.Closer, error) {
	s := newScopes()
	if engine == "wasm" {
		p, guests, err := openWasm(ctx, s.of("pace"), "pace")
		if err != nil {
			return nil, err
		}
		return guests, install(slot, s, p)
	}
	p, err := readJS(ctx, s, "pace")
	if err != nil {
		return nil, err
	}
	return p, install(slot, s, p)
}

// moreAllocs is how many allocations one operation makes more than another.
func moreAllocs(ours, theirs measure.Op, n int) (float64, error) {
	a, err := measure.Allocs(ours, n)
	if err != nil {
		return 0, err
	}
	b, err := measure.Allocs(theirs, n)
	return a - b, err
}

// calling sends requests with c, one after the other, and reads their answers.
func calling(ctx context.Context, c *http.Client, target string) measure.Op {
	buf := make([]byte, 4096)
	return ops(func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return err
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		n := 0
		for err == nil {
			var m int
			m, err = res.Body.Read(buf)
			n += m
		}
		if err := errors.Join(ignoreEOF(err), res.Body.Close()); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK || n != answerSize {
			return fmt.Errorf("answered %s with %d bytes", res.Status, n)
		}
		return nil
	})
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
