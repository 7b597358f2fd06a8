package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gaia-host/gaia/subsystems/api/h1"
)

const (
	// expectContinue is how long a body is held back for an upstream that was
	// asked (Expect: 100-continue) whether it wants it.
	expectContinue = 3 * time.Second
	maxHeaderBytes = 1 << 20 // of an answer
)

// transport sends the requests of a profile.
type transport struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// plain speaks HTTP/1.1, to http URLs, and to https ones where either is nil.
	plain *h1.Transport
	// either speaks what the handshake agrees on, HTTP/2 or HTTP/1.1; nil where the
	// profile disables HTTP/2.
	either *http.Transport
}

// newTransport returns the tuned transport of a profile. Connections come from dial.
func newTransport(c *Config, p Profile, dial func(context.Context, string, string) (net.Conn, error)) (*transport, error) {
	secure, err := p.tls()
	if err != nil {
		return nil, err
	}
	t := &transport{dial: dial, plain: h1.New(h1.Config{
		Dial: dial, TLS: secure, TLSTimeout: c.DialTimeout, HeaderTimeout: c.HeaderTimeout, ContinueTimeout: expectContinue,
		IdleTimeout: c.IdleConnTimeout, MaxIdlePerHost: c.MaxIdleConnsPerHost, MaxPerHost: c.MaxConnsPerHost, MaxHeaderBytes: maxHeaderBytes,
	})}
	if p.DisableHTTP2 {
		return t, nil
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	t.either = &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        secure.Clone(),
		TLSHandshakeTimeout:    c.DialTimeout,
		DisableCompression:     true, // bytes pass as they are
		MaxIdleConnsPerHost:    c.MaxIdleConnsPerHost,
		MaxConnsPerHost:        c.MaxConnsPerHost,
		IdleConnTimeout:        c.IdleConnTimeout,
		ResponseHeaderTimeout:  c.HeaderTimeout,
		ExpectContinueTimeout:  expectContinue,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
	return t, nil
}

// shares reports whether r goes to net/http, which may look at it after its answer.
func (t *transport) shares(r *h1.Request) bool { return t.either != nil && r.URL.Scheme == "https" }

// send makes one exchange.
func (t *transport) send(ctx context.Context, r *h1.Request) (*http.Response, error) {
	if !t.shares(r) {
		return t.plain.RoundTrip(ctx, r)
	}
	if r.Got1xx != nil {
		var over func()
		ctx, over = traced(ctx, r.Got1xx)
		defer over()
	}
	header := r.Header
	if header == nil {
		header = http.Header{}
	}
	return t.either.RoundTrip((&http.Request{
		Method: r.Method, URL: r.URL, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: r.Body, ContentLength: r.ContentLength, Trailer: r.Trailer, GetBody: r.GetBody,
	}).WithContext(ctx))
}

// traced tells f of informational answers until over is called: net/http may read one
// after its caller has left.
func traced(ctx context.Context, f func(int, textproto.MIMEHeader) error) (_ context.Context, over func()) {
	var mu sync.Mutex
	done := false
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		mu.Lock()
		defer mu.Unlock()
		if done || code == http.StatusSwitchingProtocols {
			return nil
		}
		return f(code, h)
	}}
	return httptrace.WithClientTrace(ctx, trace), func() {
		mu.Lock()
		done = true
		mu.Unlock()
	}
}

// close ends the connections that are kept.
func (t *transport) close() {
	t.plain.Close()
	if t.either != nil {
		t.either.CloseIdleConnections()
	}
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

// SyscallConn lets it be seen whether the other side has closed the connection.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

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
