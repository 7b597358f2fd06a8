package h1

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"syscall"
	"time"
)

const (
	bufferSize = 4 << 10
	// keptBuffer is the largest buffer that a connection keeps between exchanges.
	keptBuffer = 16 << 10
)

// conn is a connection. Between beginLocked and end it belongs to one exchange, whose
// goroutines may use everything but what is guarded.
type conn struct {
	t     *Transport
	host  *host
	raw   net.Conn // as it was dialled
	net   net.Conn // raw, or TLS on it
	state *tls.ConnectionState
	peek  peeker

	buf    []byte // of the head to send, then of what is read
	r, w   int    // what was read and not taken yet is buf[r:w]
	reused bool   // it has carried an exchange before

	// Guarded by Transport.mu:
	ctx     context.Context // of the exchange, nil between two
	turn    uint64          // number of the exchange
	cause   error           // why it was cut, nil: it was not
	waits   bool            // for the answer alone
	got     bool            // the answer's head
	at      int             // in fresh, -1: not there
	seen    bool            // by a sweep
	unwatch func() bool     // of ctx; nil: not watched
	late    *time.Timer     // of the answer; nil: none
	age     int             // of a kept one, in quarters of IdleTimeout
}

func newConn(t *Transport, h *host, raw net.Conn) *conn {
	c := &conn{t: t, host: h, raw: raw, net: raw, buf: make([]byte, bufferSize), at: -1}
	if s, ok := raw.(syscall.Conn); ok {
		c.peek.init(s)
	}
	return c
}

// fill reads more behind what is there, at least a byte.
func (c *conn) fill() error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	} else if c.w == len(c.buf) {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	for range maxEmptyReads {
		n, err := c.net.Read(c.buf[c.w:])
		c.w += n
		if n > 0 {
			return nil // an error will come again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

const maxEmptyReads = 100

// ahead is what was read and not taken yet.
func (c *conn) ahead() []byte { return c.buf[c.r:c.w] }

// beginLocked makes c the connection of an exchange.
func (t *Transport) beginLocked(c *conn, ctx context.Context, waits bool) {
	c.ctx, c.waits, c.got, c.seen = ctx, waits && t.c.HeaderTimeout > 0, false, false
	c.turn++
	if ctx.Done() == nil && !c.waits {
		return // there is nothing to look after
	}
	c.at = len(t.fresh)
	t.fresh = append(t.fresh, c)
	t.armLocked()
}

// end takes c away from its exchange. keep says that the next may have it. It returns
// why c was cut, nil where it was not.
func (c *conn) end(keep bool) error {
	t := c.t
	if len(c.buf) > keptBuffer {
		c.buf = make([]byte, bufferSize)
	}
	t.mu.Lock()
	t.unwatchLocked(c)
	c.ctx = nil
	cause := c.cause
	c.reused = true
	keep = keep && cause == nil && !t.closed
	h := c.host
	switch {
	case keep && len(h.waiters) > 0:
		w := h.next()
		t.beginLocked(c, w.ctx, w.waits)
		w.given <- c
	case keep && (t.c.MaxIdlePerHost == 0 || len(h.idle) < t.c.MaxIdlePerHost):
		c.age = 0
		h.idle = append(h.idle, c)
		t.ageLocked()
	default:
		keep = false
		t.freeLocked(h)
	}
	t.mu.Unlock()
	if !keep {
		_ = c.net.Close() // a second Close, where it was cut
	}
	return cause
}

// leave takes c out of the Transport for good: it is somebody else's.
func (c *conn) leave() {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwatchLocked(c)
	c.ctx = nil
	c.turn++
	t.freeLocked(c.host)
}

// cut ends the exchange number turn on c, if it is not over: its goroutines find the
// connection closed, and cause is the error that they report.
func (c *conn) cut(turn uint64, cause error) {
	t := c.t
	t.mu.Lock()
	over := c.turn != turn || c.ctx == nil || c.cause != nil
	if !over {
		c.cause = cause
	}
	t.mu.Unlock()
	if !over {
		_ = c.raw.Close() // not TLS's: that one may wait for the other side
	}
}
