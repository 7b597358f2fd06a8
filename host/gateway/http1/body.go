package http1

import (
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"os"
	"sync"
	"sync/atomic"

	"github.com/gaia-host/gaia/subsystems/api/h1/head"
)

var (
	errBodyOver = errors.New("http1: the request is over")
	errTrailer  = errors.New("http1: the trailer is malformed or too long")
)

// body is the body of a request. Another goroutine than the handler's may read it, and
// may still try to when the handler has returned: so it is made anew each time.
type body struct {
	c     *conn
	x     *exchange
	ended atomic.Bool // at a proper end

	mu     sync.Mutex
	chunks io.Reader // nil: it has a length; guarded by mu
	left   int64     // of its length; guarded by mu
	expect bool      // a 100 is to be sent first; guarded by mu
	err    error     // why there is no more; guarded by mu
}

func (x *exchange) openBody(c *conn) {
	b := &body{c: c, x: x, left: x.r.ContentLength, expect: x.expect}
	if x.chunked {
		b.chunks = httputil.NewChunkedReader(c.br)
	}
	x.body, x.r.Body = b, b
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.expect {
		b.expect = false
		b.c.w.sendContinue()
	}
	if b.chunks != nil {
		n, err = b.readChunks(p)
	} else {
		n, err = b.readLength(p)
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		b.c.watch.gate.Store(watchOpen) // before the end is known, and Hijack shuts it
		b.ended.Store(true)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		b.x.ctx.cancel()
	}
	b.err = err
	return n, err
}

// Buffered is how many bytes can be read without waiting: those of a body of known
// length that have come together with what was read before.
func (b *body) Buffered() int {
	if !b.mu.TryLock() {
		return 0 // somebody reads
	}
	defer b.mu.Unlock()
	if b.err != nil || b.expect || b.chunks != nil {
		return 0
	}
	return int(min(b.left, int64(b.c.br.Buffered())))
}

func (b *body) readLength(p []byte) (int, error) {
	n, err := b.c.br.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *body) readChunks(p []byte) (int, error) {
	n, err := b.chunks.Read(p)
	if errors.Is(err, io.EOF) {
		if err = b.readTrailer(); err == nil {
			err = io.EOF
		}
	}
	return n, err
}

// readTrailer reads what follows the last chunk.
func (b *body) readTrailer() error {
	br := b.c.br
	for seen := 0; ; {
		text, err := br.Peek(br.Buffered())
		if err != nil {
			return err
		}
		n := 0
		if len(text) >= 2 && text[0] == '\r' && text[1] == '\n' {
			n = 2
		} else {
			n = head.End(text, seen)
		}
		if n > 0 {
			err := b.takeTrailer(string(text[:n]))
			_, _ = br.Discard(n) // it is there
			return err
		}
		if len(text) == br.Size() {
			return errTrailer
		}
		seen = len(text)
		if _, err := br.Peek(seen + 1); err == io.EOF {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
	}
}

func (b *body) takeTrailer(text string) error {
	if text == "\r\n" {
		return nil
	}
	var fields head.Fields
	if err := fields.Parse(text, maxFields); err != nil {
		return errTrailer
	}
	if b.x.r.Trailer == nil {
		b.x.r.Trailer = http.Header{}
	}
	for name, values := range fields.Header {
		b.x.r.Trailer[name] = values
	}
	return nil
}

// Close implements io.Closer. It does nothing: the connection takes care of what was
// not read.
func (b *body) Close() error { return nil }

// close makes sure that nobody reads any more, and waits for who does.
func (b *body) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errBodyOver
	}
}
