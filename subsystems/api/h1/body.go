package h1

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/gaia-host/gaia/subsystems/api/h1/head"
)

// How a body ends.
const (
	byLength = iota
	byChunk
	byClose
)

// body is the body of an answer. Close may be called while Read is under way, and ends
// it; otherwise it is for one goroutine at a time.
type body struct {
	conn   *conn
	turn   uint64
	send   *sender
	res    *http.Response // gets the trailer
	closed atomic.Bool

	mu   sync.Mutex // held by Read; guards what follows
	over bool       // conn is not the body's any more
	err  error      // of every Read then

	ends   uint8
	left   int64 // bytes of the body or the chunk that have not come
	inside bool  // the end of a chunk has to come before the next
	waste  int64 // bytes that chunks took beyond the data
}

// Read gives what has come, and waits only where there is nothing. The end of a body of
// known length comes with its last byte.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, b.err
	}
	if b.closed.Load() {
		return 0, b.endLocked(http.ErrBodyReadAfterClose)
	}
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	var err error
	switch b.ends {
	case byLength:
		n, err = b.take(p)
		if err == nil && b.left == 0 {
			err = io.EOF
		}
	case byChunk:
		n, err = b.takeChunks(p)
	default:
		n, err = b.conn.take(p)
	}
	if err != nil {
		err = b.endLocked(err)
	}
	return n, err
}

// Ahead is how many bytes of a body of known length have come and were not read: so
// many Read gives without waiting.
func (b *body) Ahead() int {
	if b.ends != byLength || !b.mu.TryLock() {
		return 0
	}
	defer b.mu.Unlock()
	if b.over {
		return 0
	}
	return int(min(int64(len(b.conn.ahead())), b.left))
}

// take reads at most what is left.
func (b *body) take(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.conn.take(p)
	b.left -= int64(n)
	if errors.Is(err, io.EOF) && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// take reads what is there already, else from the connection: directly where p has room
// for more than the buffer.
func (c *conn) take(p []byte) (int, error) {
	if c.r == c.w {
		if len(p) >= len(c.buf) {
			return c.net.Read(p)
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.ahead())
	c.r += n
	return n, nil
}

// endLocked ends the body with err and gives the connection back: io.EOF is its proper
// end. It returns the error to report.
func (b *body) endLocked(err error) error {
	c := b.conn
	proper := errors.Is(err, io.EOF)
	keep := proper && b.ends != byClose && !b.res.Close && c.r == c.w && b.send.over()
	if !keep {
		b.send.abandon()
	}
	if cause := c.end(keep); cause != nil && !proper {
		err = cause
	}
	b.over, b.err = true, err
	return err
}

// Close ends the body. What has not come of it costs the connection, unless the rest is
// there already.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	if !b.mu.TryLock() {
		b.conn.cut(b.turn, http.ErrBodyReadAfterClose)
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.over {
		b.err = http.ErrBodyReadAfterClose
		return nil
	}
	if b.ends == byLength && int64(len(b.conn.ahead())) == b.left {
		b.conn.r += int(b.left)
		_ = b.endLocked(io.EOF)
	} else {
		_ = b.endLocked(http.ErrBodyReadAfterClose)
	}
	b.err = http.ErrBodyReadAfterClose
	return nil
}

// trailer reads the fields behind the last chunk.
func (b *body) trailer() error {
	c := b.conn
	for seen := 0; ; {
		ahead := c.ahead()
		n := 0
		switch {
		case len(ahead) >= 2 && ahead[0] == '\r' && ahead[1] == '\n':
			n = 2
		default:
			n = head.End(ahead, seen)
		}
		if n > 0 && n <= maxTrailer {
			c.r += n
			return b.addTrailer(ahead[:n])
		}
		if len(ahead) >= maxTrailer {
			return malformed("the trailer is too large")
		}
		seen = len(ahead)
		if err := c.fill(); err != nil {
			return noEOF(err)
		}
	}
}

const maxTrailer = 4 << 10

func (b *body) addTrailer(block []byte) error {
	if string(block) == "\r\n" {
		return nil
	}
	var f head.Fields
	if err := f.Parse(string(block), maxFields); err != nil {
		return malformed("the trailer: " + err.Error())
	}
	if b.res.Trailer == nil {
		b.res.Trailer = f.Header
		return nil
	}
	for name, values := range f.Header {
		b.res.Trailer[name] = values
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// upgraded is the body of an answer that switched protocols.
type upgraded struct{ conn *conn }

// Read gives what the server says in the other protocol.
func (u *upgraded) Read(p []byte) (int, error) {
	if c := u.conn; c.r < c.w {
		n := copy(p, c.ahead())
		c.r += n
		return n, nil
	}
	return u.conn.net.Read(p)
}

// Write says something to the server.
func (u *upgraded) Write(p []byte) (int, error) { return u.conn.net.Write(p) }

// Close ends the connection.
func (u *upgraded) Close() error { return u.conn.net.Close() }

// CloseWrite ends the direction to the server, where the connection can do that.
func (u *upgraded) CloseWrite() error {
	if h, ok := u.conn.net.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}
