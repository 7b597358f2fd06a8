package h1

import (
	"errors"
	"io"
	"net/http"
)

// exchange is one request on one connection.
type exchange struct {
	conn *conn
	turn uint64
	send *sender // nil: the body was sent with the head, or there is none

	written bool // something may have gone out
	begun   bool // something of the answer has come
	read    bool // the connection ended while the answer was waited for
}

// do sends r and reads the answer's head. After an error the connection is gone and
// the body of r is closed, or will be; after errStale r is as it was.
func (x *exchange) do(r *Request) (*http.Response, error) {
	if err := x.write(r); err != nil {
		if errors.Is(err, errStale) {
			_ = x.conn.end(false)
			return nil, err
		}
		return nil, x.fail(err)
	}
	a, err := x.answer(r)
	if err != nil {
		return nil, x.fail(err)
	}
	c := x.conn
	if a.switches {
		c.leave()
		a.res.Body = &upgraded{c}
		return &a.res, nil
	}
	a.res.Close = a.res.Close || r.closes
	if a.res.Body == http.NoBody {
		keep := !a.res.Close && c.r == c.w && x.send.over()
		if !keep {
			x.send.abandon()
		}
		_ = c.end(keep) // the answer is here, whatever comes now
		return &a.res, nil
	}
	a.body.conn, a.body.turn, a.body.send, a.body.res = c, x.turn, x.send, &a.res
	a.res.Body = &a.body
	c.answered()
	return &a.res, nil
}

// fail gives the connection up and returns the error to report.
func (x *exchange) fail(err error) error {
	x.send.abandon()
	if cause := x.conn.end(false); cause != nil {
		x.written, x.begun = true, true // it is over, whatever could be done again
		return cause
	}
	return err
}

// mayRepeat reports, after an error on a kept connection, whether r is to be sent again
// on another one: a server closes a connection that it has kept for long, and may do so
// while a request is on its way.
func (x *exchange) mayRepeat(r *Request) bool {
	switch {
	case r.Body != nil && r.GetBody == nil:
		return false
	case !x.written:
		return true
	}
	return x.read && !x.begun && r.repeatable()
}

// write looks whether a kept connection is still of use, and sends the head, and the body
// where that is short and there; another body is sent by a goroutine of its own from then on.
func (x *exchange) write(r *Request) error {
	c := x.conn
	// What is below TLS tells nothing of when its next bytes are there.
	direct := c.peek.raw != nil && c.state == nil
	check := c.reused
	if check && (r.Body != nil || !direct) {
		if !c.peek.alive() { // while nothing of the body is lost yet
			return errStale
		}
		check = false
	}
	b, err := r.appendHead(c.buf[:0], c.host.field)
	if err != nil {
		r.closeBody()
		x.written, x.begun = true, true // again would be no better
		return err
	}
	inline := r.Body != nil && !r.expects && r.inline()
	if inline {
		if b, err = appendBody(b, r); err != nil {
			x.written, x.begun = true, true
			return err
		}
	}
	c.buf, c.r, c.w = b[:cap(b)], 0, 0 // it is free again once all is written
	var n int
	if direct && (r.Body == nil || inline) {
		n, err = c.peek.ask(c.net, b, check)
	} else {
		n, err = c.net.Write(b)
	}
	x.written = n > 0
	if err != nil {
		if !inline {
			r.closeBody()
		}
		return err
	}
	if r.Body != nil && !inline {
		x.send = startSender(c, x.turn, r)
	}
	return nil
}

// appendBody reads the whole body, and closes it.
func appendBody(b []byte, r *Request) ([]byte, error) {
	from, size := len(b), int(r.ContentLength)
	b = append(b, make([]byte, size+1)...)
	n, err := io.ReadFull(r.Body, b[from:])
	_ = r.Body.Close() // it was read
	switch {
	case err == nil || n < size && (err == io.ErrUnexpectedEOF || err == io.EOF):
		return nil, ErrBodyLength
	case err != io.ErrUnexpectedEOF && err != io.EOF:
		return nil, err
	}
	return b[:from+size], nil
}
