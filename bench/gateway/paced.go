package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// plan says how wrk is not used: so many requests as fast as they are answered, or a rate for
// some time.
type plan struct {
	n    int // 0: as many as the time allows
	rate float64
	long time.Duration // bound of it all
}

// ask sends requests as planned over the bench's connections, the tenants in order, and returns how
// long each took, sorted. Where a connection is still busy when its next request is due, that
// one's time counts from when it was due: a gateway that is late cannot hide it.
func (b *bench) ask(ctx context.Context, s *started, k kase, p plan) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, p.long)
	defer cancel()
	var next atomic.Int64
	var wg sync.WaitGroup
	times := make([][]time.Duration, b.conns)
	faults := make([]error, b.conns)
	began := time.Now()
	for i := range b.conns {
		wg.Go(func() {
			c, err := dial(ctx, s.addr)
			if err != nil {
				faults[i] = err
				return
			}
			defer c.Close()
			for j := 0; ; j++ {
				at := int(next.Add(1)) - 1
				if ctx.Err() != nil || p.n > 0 && at >= p.n {
					return
				}
				sent := time.Now()
				if p.rate > 0 {
					due := began.Add(time.Duration(float64(j*b.conns+i) / p.rate * 1e9))
					sent = c.wait(ctx, due)
				}
				if faults[i] = c.get(at % k.tenants); faults[i] != nil {
					return
				}
				times[i] = append(times[i], time.Since(sent))
			}
		})
	}
	wg.Wait()
	for _, err := range faults {
		if err != nil {
			return nil, err
		}
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	if len(all) == 0 || len(all) < p.n {
		return nil, fmt.Errorf("%d of %d answers in %v", len(all), p.n, p.long)
	}
	return all, nil
}

// client is one connection with one request at a time.
type client struct {
	net.Conn
	r    *bufio.Reader
	text []byte
}

func dial(ctx context.Context, addr string) (*client, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{Conn: c, r: bufio.NewReaderSize(c, 16<<10)}, nil
}

// wait waits until a request is due and returns from when on it counts: from now, so that what the
// timer is late is not the gateway's, or from when it was due, where that is past.
func (*client) wait(ctx context.Context, due time.Time) time.Time {
	ahead := time.Until(due)
	if ahead <= 0 {
		return due
	}
	select {
	case <-time.After(ahead):
	case <-ctx.Done():
	}
	return time.Now()
}

// get asks for one tenant and reads the answer, whatever it says.
func (c *client) get(tenant int) error {
	c.text = fmt.Appendf(c.text[:0], "GET /v1/items/12345?expand=true HTTP/1.1\r\nHost: %s\r\nGaia-Tenant: tenant-%05d\r\n\r\n", c.RemoteAddr(), tenant)
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(c.text); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}
