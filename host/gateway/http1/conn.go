package http1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/subsystems/api/h1/head"
)

const (
	// What a client still sends after its last answer is taken in for lingerFor, up
	// to lingerMost bytes: to close at once would take the answer away from it.
	lingerFor  = 500 * time.Millisecond
	lingerMost = 256 << 10
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// Phases of a connection, the low bits of conn.state.
const (
	phaseNew    = iota // nothing came yet
	phaseIdle          // between requests
	phaseActive        // from a head's first byte to the end of the answer
	phaseEnding        // after the last answer, or closed
	phases      = 3
)

// conn is a connection. Its goroutine owns what is not said to be shared.
type conn struct {
	s      *Server
	rwc    net.Conn
	br     *bufio.Reader // of the watcher, while that runs
	remote string

	state atomic.Uint64 // phase, and above it the number of requests begun; shared
	swept uint64        // state as the last sweep saw it; guarded by Server.mu
	watch watch
	ctx   atomic.Pointer[requestContext] // of x; shared

	deadline  time.Time // for reads, as it is set; zero none
	idleFrom  time.Time // the end of the last answer
	afterPost bool
	x         *exchange // the request in hand, or the last one to be used again; nil none
	w         ResponseWriter
}

var (
	errQuiet    = errors.New("http1: the connection was closed") // nobody waits for an answer
	errTooLarge = errors.New("http1: the head is too large")
)

func (c *conn) serve() {
	defer c.s.remove(c)
	c.br = c.s.reader(c.rwc)
	c.remote = c.rwc.RemoteAddr().String()
	if d := c.s.ReadHeaderTimeout; d > 0 {
		c.setReadDeadline(time.Now().Add(d))
	}
	defer c.close()
	for c.next() {
	}
}

// close ends the connection, unless a handler has taken it over.
func (c *conn) close() {
	if c.w.hijacked {
		return
	}
	_ = c.rwc.Close() // all that was to be sent is
	c.br.Reset(nil)
	c.s.readers.Put(c.br)
	c.w.free()
}

// next serves one request and reports whether another may follow.
func (c *conn) next() (more bool) {
	text, err := c.readHead()
	if errors.Is(err, errTooLarge) {
		c.refuse(http.StatusRequestHeaderFieldsTooLarge)
		return false
	} else if err != nil {
		return false
	}
	if c.x == nil {
		c.x = newExchange()
		c.ctx.Store(&c.x.ctx)
	}
	x := c.x
	if status := x.parse(text); status != 0 {
		c.refuse(status)
		return false
	}
	x.r.RemoteAddr = c.remote
	c.afterPost = x.r.Method == http.MethodPost
	if c.s.canceled.Load() {
		x.ctx.cancel()
	}
	c.w.begin(x)
	if !x.hasBody() {
		c.watch.gate.Store(watchOpen)
	} else {
		x.openBody(c)
		if !c.deadline.IsZero() {
			c.setReadDeadline(time.Time{})
		}
	}
	c.s.sweeper.wake()
	if !c.handle() {
		c.w.abort()
		c.endRequest()
		return false
	}
	return c.finish()
}

// handle runs the handler and reports whether it returned.
func (c *conn) handle() (returned bool) {
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http does
			c.s.Log.Error("a handler panicked", "client", c.remote, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	c.s.Handler.ServeHTTP(&c.w, c.x.r)
	return true
}

// finish sends what is left of the answer and reports whether another request may
// follow.
func (c *conn) finish() (more bool) {
	if c.w.hijacked {
		c.endRequest()
		return false
	}
	good := c.w.end()
	read, watched := c.endRequest()
	if !good || !read {
		c.linger(!read)
		return false
	}
	c.idleFrom = c.w.began
	if watched {
		c.idleFrom = time.Now() // the answer took long
	}
	if c.w.foreign {
		c.setReadDeadline(time.Time{})
	}
	c.state.Store(c.state.Load()&^phases | phaseIdle)
	return !c.s.draining.Load()
}

// endRequest makes sure that nothing of the request goes on. read says whether its
// body was read to a proper end, watched whether there was a watcher.
func (c *conn) endRequest() (read, watched bool) {
	x := c.x
	read = true
	if b := x.body; b != nil {
		if read = b.ended.Load(); !read {
			_ = c.rwc.SetReadDeadline(longAgo) // whoever reads has to let go of it
		}
		b.close()
	}
	watched = c.watch.shut(c)
	if c.w.released && x.body == nil && x.ctx.reusable() {
		return read, watched
	}
	x.ctx.cancel()
	c.x = nil
	return read, watched
}

// linger ends the connection behind an answer. A client that may still be sending is
// given the time to read it.
func (c *conn) linger(sending bool) {
	c.state.Store(c.state.Load()&^phases | phaseEnding)
	half, ok := c.rwc.(interface{ CloseWrite() error })
	if !ok || !sending && c.br.Buffered() == 0 || half.CloseWrite() != nil {
		return
	}
	_ = c.rwc.SetReadDeadline(time.Now().Add(lingerFor))
	_, _ = io.CopyN(io.Discard, c.rwc, lingerMost) // until it closes, or for as long as it may
}

// refuse answers a request that never becomes one, and ends the connection.
func (c *conn) refuse(status int) {
	text := strconv.Itoa(status) + " " + http.StatusText(status)
	_, err := io.WriteString(c.rwc, "HTTP/1.1 "+text+"\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: "+
		strconv.Itoa(len(text))+"\r\n\r\n"+text)
	if err == nil {
		c.linger(true)
	}
}

// closeIn closes the connection if it is in one of two phases. It is for others than
// its goroutine.
func (c *conn) closeIn(a, b uint64) {
	state := c.state.Load()
	if phase := state & phases; (phase == a || phase == b) && c.state.CompareAndSwap(state, state&^phases|phaseEnding) {
		_ = c.rwc.Close() // nobody waits for an answer
	}
}

// activate reports whether the connection is still there, now that a request comes.
func (c *conn) activate() bool {
	state := c.state.Load()
	return state&phases != phaseEnding && c.state.CompareAndSwap(state, (state|phases)+1|phaseActive)
}

// first reports whether no request has begun yet.
func (c *conn) first() bool { return c.state.Load()>>2 == 0 }

func (c *conn) setReadDeadline(t time.Time) {
	_ = c.rwc.SetReadDeadline(t) // on a closed connection the next read says so
	c.deadline = t
}

// readHead waits for a request and returns its head. An error other than errTooLarge
// ends the connection without an answer.
func (c *conn) readHead() (string, error) {
	opened := c.first()
	if err := c.await(opened); err != nil {
		return "", err
	}
	if !c.activate() {
		return "", errQuiet
	}
	timed := opened
	for seen := 0; ; {
		b, err := c.br.Peek(c.br.Buffered())
		if err != nil {
			return "", err
		}
		if n := head.End(b, seen); n > 0 {
			text := string(b[:n])
			_, err = c.br.Discard(n)
			if n > c.s.MaxHeaderBytes {
				err = errTooLarge
			}
			return text, err
		}
		if len(b) > c.s.MaxHeaderBytes {
			return "", errTooLarge
		}
		if !timed {
			c.timeHead()
			timed = true
		}
		if len(b) == c.br.Size() {
			return c.readLongHead()
		}
		seen = len(b)
		if _, err := c.br.Peek(seen + 1); err != nil {
			return "", err
		}
	}
}

// readLongHead reads a head that is longer than the reader's buffer.
func (c *conn) readLongHead() (string, error) {
	all := make([]byte, 0, 4*readBuffer)
	for {
		b, err := c.br.Peek(c.br.Buffered())
		if err != nil {
			return "", err
		}
		seen := len(all)
		all = append(all, b...)
		if n := head.End(all, seen); n > 0 {
			_, err = c.br.Discard(n - seen)
			if n > c.s.MaxHeaderBytes {
				err = errTooLarge
			}
			return string(all[:n]), err
		}
		if len(all) > c.s.MaxHeaderBytes {
			return "", errTooLarge
		}
		if _, err := c.br.Discard(len(b)); err != nil {
			return "", err
		}
		if _, err := c.br.Peek(1); err != nil {
			return "", err
		}
	}
}

// timeHead sets the deadline of a head that did not come all at once.
func (c *conn) timeHead() {
	switch d := c.s.ReadHeaderTimeout; {
	case d > 0:
		c.setReadDeadline(time.Now().Add(d))
	case !c.deadline.IsZero():
		c.setReadDeadline(time.Time{})
	}
}

// await waits for the first byte of a request. Line ends after a POST, which old
// clients send, are none (RFC 9112, 2.2).
func (c *conn) await(opened bool) error {
	const most = 4
	for skipped := 0; ; {
		for c.br.Buffered() == 0 {
			if !opened {
				c.setIdleDeadline()
			}
			_, err := c.br.Peek(1)
			if !opened && errors.Is(err, os.ErrDeadlineExceeded) && !c.idleFor(time.Now()) {
				c.deadline = time.Time{} // it was meant for an earlier request
				continue
			}
			if err != nil {
				return err
			}
		}
		b, err := c.br.Peek(1)
		if err != nil || !c.afterPost || skipped == most || b[0] != '\r' && b[0] != '\n' {
			return err
		}
		skipped++
		if _, err := c.br.Discard(1); err != nil {
			return err
		}
	}
}

// setIdleDeadline leaves an earlier deadline in place: to set it with every request
// would cost each of them what await pays once in a while.
func (c *conn) setIdleDeadline() {
	if c.s.IdleTimeout <= 0 {
		if !c.deadline.IsZero() {
			c.setReadDeadline(time.Time{})
		}
		return
	}
	if until := c.idleFrom.Add(c.s.IdleTimeout); c.deadline.IsZero() || c.deadline.After(until) {
		c.setReadDeadline(until)
	}
}

// idleFor reports whether the connection has been idle for as long as it may.
func (c *conn) idleFor(now time.Time) bool {
	return c.s.IdleTimeout > 0 && !now.Before(c.idleFrom.Add(c.s.IdleTimeout))
}
