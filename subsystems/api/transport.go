package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// expectContinue is how long a body is held back for an upstream that was
	// asked (Expect: 100-continue) whether it wants it.
	expectContinue = 3 * time.Second
	maxHeaderBytes = 1 << 20 // of an answer
)

// newTransport returns the tuned transport of a profile. Connections come from dial.
func newTransport(c *Config, p Profile, dial func(context.Context, string, string) (net.Conn, error)) (*http.Transport, error) {
	secure, err := p.tls()
	if err != nil {
		return nil, err
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!p.DisableHTTP2)
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    c.DialTimeout,
		DisableCompression:     true, // bytes pass as they are
		MaxIdleConnsPerHost:    c.MaxIdleConnsPerHost,
		MaxConnsPerHost:        c.MaxConnsPerHost,
		IdleConnTimeout:        c.IdleConnTimeout,
		ResponseHeaderTimeout:  c.HeaderTimeout,
		ExpectContinueTimeout:  expectContinue,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}, nil
}

// dialError marks an error of opening a connection.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// conns are the open connections of a pool, so that it can cut them: a context for
// each request would cost every request for what happens once.
type conns struct {
	dialer  Dialer
	timeout time.Duration
	base    context.Context // ends when everything is cut
	opened  atomic.Uint64

	mu   sync.Mutex
	open map[*conn]struct{} // guarded by mu; nil once cut
}

// conn is a tracked connection.
type conn struct {
	net.Conn
	all *conns
}

func (c *conn) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends the direction to the upstream, where the connection can do that.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(w any) error {
	if h, ok := w.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}

// dialWith returns a function that opens tracked connections with d; nil: the pool's
// dialer.
func (cs *conns) dialWith(d Dialer) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if d == nil {
		d = cs.dialer
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return cs.track(ctx, d, network, addr)
	}
}

// track opens a connection within the dial timeout.
func (cs *conns) track(ctx context.Context, dialer Dialer, network, addr string) (net.Conn, error) {
	var cancel context.CancelFunc
	if cs.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, cs.timeout)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	defer cancel()
	defer context.AfterFunc(cs.base, cancel)()
	raw, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, dialError{err}
	}
	c := &conn{Conn: raw, all: cs}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.open == nil {
		_ = raw.Close() // what it was for is gone
		return nil, dialError{net.ErrClosed}
	}
	cs.open[c] = struct{}{}
	cs.opened.Add(1)
	return c, nil
}

// cut closes every connection, and every one that is opened later.
func (cs *conns) cut() {
	cs.mu.Lock()
	open := cs.open
	cs.open = nil
	cs.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}

func (cs *conns) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open)
}
