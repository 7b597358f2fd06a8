package h1

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hostKey names what connections are kept for.
type hostKey struct {
	secure bool
	host   string // as URLs write it, with a port or without
}

// host are the connections to one place, and who waits for one. All fields that change
// are guarded by Transport.mu.
type host struct {
	key    hostKey
	addr   string // to dial
	field  string // the value of Host
	server string // the name that its certificate has to have

	idle    []*conn // kept, the one used last at the end
	open    int     // connections, and those being dialled
	waiters []*waiter
}

// waiter is a request that waits because of MaxPerHost.
type waiter struct {
	ctx   context.Context
	waits bool
	given chan *conn // of one; nil: permission to dial
}

func newHost(key hostKey) (*host, error) {
	hostport, err := httpguts.PunycodeHostPort(key.host)
	if err != nil {
		return nil, unsendable("the host is not a domain name")
	}
	key.host = strings.Clone(key.host) // it may be a part of a request's head
	hostport = strings.Clone(hostport)
	u := url.URL{Host: hostport}
	h := &host{key: key, server: u.Hostname()}
	port := u.Port()
	switch {
	case port != "":
	case key.secure:
		port = "443"
	default:
		port = "80"
	}
	h.addr = net.JoinHostPort(h.server, port)
	if h.server == "" || !httpguts.ValidHostHeader(hostport) {
		return nil, unsendable("the host is not one")
	}
	h.field = withoutZone(hostport)
	return h, nil
}

// withoutZone takes the zone off an IPv6 address: it means nothing elsewhere.
func withoutZone(hostport string) string {
	end := strings.LastIndexByte(hostport, ']')
	if end < 0 || hostport[0] != '[' {
		return hostport
	}
	zone := strings.LastIndexByte(hostport[:end], '%')
	if zone < 0 {
		return hostport
	}
	return hostport[:zone] + hostport[end:]
}

// get returns a connection that belongs to the caller: a kept one, or one that it
// dials. waits says that the answer is all that is waited for from then on.
func (t *Transport) get(ctx context.Context, key hostKey, waits bool) (*conn, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	h := t.hosts[key]
	if h == nil {
		var err error
		if h, err = newHost(key); err != nil {
			t.mu.Unlock()
			return nil, err
		}
		t.hosts[h.key] = h
	}
	if n := len(h.idle); n > 0 {
		c := h.idle[n-1]
		h.idle[n-1] = nil
		h.idle = h.idle[:n-1]
		t.beginLocked(c, ctx, waits)
		t.mu.Unlock()
		return c, nil
	}
	if t.c.MaxPerHost == 0 || h.open < t.c.MaxPerHost {
		h.open++
		t.mu.Unlock()
		return t.dial(ctx, h, waits)
	}
	w := &waiter{ctx: ctx, waits: waits, given: make(chan *conn, 1)}
	h.waiters = append(h.waiters, w)
	t.mu.Unlock()
	c, err := t.await(ctx, h, w)
	if c == nil && err == nil {
		return t.dial(ctx, h, waits)
	}
	return c, err
}

// await waits for what an exchange that ends gives to w; nil is permission to dial.
func (t *Transport) await(ctx context.Context, h *host, w *waiter) (*conn, error) {
	select {
	case c := <-w.given:
		return c, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	for i, other := range h.waiters {
		if other == w {
			h.waiters = append(h.waiters[:i], h.waiters[i+1:]...)
			t.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
	t.mu.Unlock()
	// It was given something at this moment, which is the next one's.
	if c := <-w.given; c != nil {
		_ = c.end(true) // it was not used
	} else {
		t.mu.Lock()
		t.freeLocked(h)
		t.mu.Unlock()
	}
	return nil, context.Cause(ctx)
}

// dial opens a connection in the place that the caller has taken.
func (t *Transport) dial(ctx context.Context, h *host, waits bool) (*conn, error) {
	c, err := t.connect(ctx, h)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.freeLocked(h)
		return nil, err
	}
	t.beginLocked(c, ctx, waits)
	return c, nil
}

func (t *Transport) connect(ctx context.Context, h *host) (*conn, error) {
	raw, err := t.c.Dial(ctx, "tcp", h.addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	c := newConn(t, h, raw)
	if !h.key.secure {
		return c, nil
	}
	settings := t.c.TLS.Clone()
	if settings.ServerName == "" {
		settings.ServerName = h.server
	}
	settings.NextProtos = nil // there is nothing to choose from
	if t.c.TLSTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.c.TLSTimeout)
		defer cancel()
	}
	secure := tls.Client(raw, settings)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the first error tells more
		return nil, fmt.Errorf("h1: TLS handshake: %w", err)
	}
	state := secure.ConnectionState()
	c.net, c.state = secure, &state
	return c, nil
}

// freeLocked gives the place of a connection that is gone to the first who waits.
func (t *Transport) freeLocked(h *host) {
	if len(h.waiters) > 0 {
		h.next().given <- nil
		return
	}
	h.open--
	if h.open == 0 {
		delete(t.hosts, h.key)
	}
}

// next takes the first waiter out of the queue.
func (h *host) next() *waiter {
	w := h.waiters[0]
	h.waiters[0] = nil
	h.waiters = h.waiters[1:]
	return w
}
