package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/subsystems/api"
)

// callsInFlight is how many calls are held at once.
const callsInFlight = 1000

// inFlight is the memory of the pool's process for each call that waits for its answer,
// in KiB: heap and stacks, those of net/http included.
func inFlight(ctx context.Context, _ effort) (out outcome, err error) {
	var ps parts
	defer func() { err = closed(err, &ps) }()
	_, addrs, err := ps.startListening("silent")
	if err != nil {
		return outcome{}, err
	}
	c := api.DefaultConfig()
	c.Admission.QueueMax = callsInFlight
	pool, err := api.New(c)
	if err != nil {
		return outcome{}, err
	}
	u := &url.URL{Scheme: "http", Host: addrs[0], Path: "/v1/items"}
	calls, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait()
		err = errors.Join(err, pool.Stop(ctx))
	}()
	before := memory()
	for range callsInFlight {
		wg.Go(func() {
			res, err := pool.Do(calls, &api.Call{URL: u, Header: http.Header{}})
			if err == nil {
				_ = res.Body.Close() // there is no answer: it cannot come here
			}
		})
	}
	for deadline := time.Now().Add(30 * time.Second); pool.Stats().InFlight < callsInFlight || pool.Stats().Connections < callsInFlight; {
		if time.Now().After(deadline) {
			return outcome{}, fmt.Errorf("only %d of %d calls came to be in flight", pool.Stats().InFlight, callsInFlight)
		}
		select {
		case <-ctx.Done():
			return outcome{}, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	each := float64(memory()-before) / callsInFlight / 1024
	return outcome{ratio: each, how: measure.Result{Quiet: 1, Turns: 1}}, nil
}

// memory is the heap and the stacks in use.
func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// serveSilent takes connections and answers nothing until its standard input ends.
func serveSilent(_ []string, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	fmt.Fprintln(out, l.Addr())
	_, err = io.Copy(io.Discard, in)
	return err
}
