package h1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/subsystems/api/h1/head"
)

const (
	sendBuffer = 32 << 10
	// lastWrite is how long the end of an answer waits for the end of a request that
	// was just being written: servers answer at the last byte.
	lastWrite = 50 * time.Millisecond
	// sizeRoom is room for a chunk's size and its end.
	sizeRoom = 8
)

// States of a sender.
const (
	sending int32 = iota
	ending        // its last bytes are being written
	sent          // all is written
	failed
)

// sender sends a body while the answer is read. Its goroutine ends with the body, or
// with the connection and the read that is then under way. A nil one has sent all.
type sender struct {
	conn    *conn
	turn    uint64
	body    io.ReadCloser
	left    int64 // -1 unknown
	trailer http.Header

	state atomic.Int32
	done  chan struct{} // closed when the goroutine ends
	asked chan struct{} // closed: go on. nil: need not be asked
	gone  chan struct{} // closed: it is of no use any more
	once  sync.Once     // of asked
	drop  sync.Once     // of gone
}

func startSender(c *conn, turn uint64, r *Request) *sender {
	s := &sender{conn: c, turn: turn, body: r.Body, left: r.ContentLength, trailer: r.Trailer,
		done: make(chan struct{}), gone: make(chan struct{})}
	if r.expects {
		s.asked = make(chan struct{})
	}
	go s.run() // its body may hold it in a read for as long as that takes
	return s
}

func (s *sender) run() {
	defer close(s.done)
	defer func() { _ = s.body.Close() }() // nothing depends on how
	if !s.wait() {
		s.state.Store(failed)
		return
	}
	read, written := s.copy()
	switch {
	case read != nil:
		s.state.Store(failed)
		s.conn.cut(s.turn, read) // what has gone out is half of a request
	case written != nil:
		s.state.Store(failed) // the answer may say why
	default:
		s.state.Store(sent)
	}
	s.conn.sent(s.turn)
}

// wait holds the body back until the server asks for it or has taken too long to.
func (s *sender) wait() bool {
	if s.asked == nil {
		return true
	}
	var late <-chan time.Time
	if d := s.conn.t.c.ContinueTimeout; d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-s.asked:
		return true
	case <-late:
		return true
	case <-s.gone:
		return false
	}
}

// proceed lets a body go that is held back.
func (s *sender) proceed() {
	if s != nil && s.asked != nil {
		s.once.Do(func() { close(s.asked) })
	}
}

// answered drops a body that the server has answered without asking for it.
func (s *sender) answered() {
	if s == nil || s.asked == nil {
		return
	}
	select {
	case <-s.asked:
	default:
		s.abandon()
	}
}

// abandon says that nobody needs the body any more.
func (s *sender) abandon() {
	if s != nil {
		s.drop.Do(func() { close(s.gone) })
	}
}

// over reports whether all was sent, and waits a moment where it nearly is.
func (s *sender) over() bool {
	if s == nil {
		return true
	}
	if s.state.Load() == ending {
		timer := time.NewTimer(lastWrite)
		defer timer.Stop()
		select {
		case <-s.done:
		case <-timer.C:
		}
	}
	return s.state.Load() == sent
}

// sendBuffer lends a buffer.
func (t *Transport) sendBuffer() *[]byte {
	if b, ok := t.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, sendBuffer)
	return &b
}

// copy sends the body. It returns the error of reading it, or that of writing.
func (s *sender) copy() (read, written error) {
	lent := s.conn.t.sendBuffer()
	defer s.conn.t.buffers.Put(lent)
	buf := *lent
	if s.left < 0 {
		return s.copyChunks(buf)
	}
	for s.left > 0 {
		// A byte more than is left: the end has to be where it was announced, and
		// whoever gave the body is to know that it was read to its end.
		n, err := readSome(s.body, buf[:min(int64(len(buf)), s.left+1)])
		switch {
		case int64(n) > s.left, errors.Is(err, io.EOF) && int64(n) < s.left:
			return ErrBodyLength, nil
		case err != nil && !errors.Is(err, io.EOF):
			return err, nil
		}
		s.left -= int64(n)
		if s.left == 0 {
			if err == nil {
				var more [1]byte
				switch m, err := readSome(s.body, more[:]); {
				case m > 0:
					return ErrBodyLength, nil
				case !errors.Is(err, io.EOF):
					return err, nil
				}
			}
			s.state.Store(ending)
		}
		if _, err := s.conn.net.Write(buf[:n]); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// copyChunks sends a body of unknown length.
func (s *sender) copyChunks(buf []byte) (read, written error) {
	for {
		n, err := readSome(s.body, buf[sizeRoom:len(buf)-sizeRoom])
		if err != nil && !errors.Is(err, io.EOF) {
			return err, nil
		}
		var out []byte
		if n > 0 {
			out = frameChunk(buf, n)
		}
		if errors.Is(err, io.EOF) {
			if out, err = s.endChunks(out); err != nil {
				return err, nil
			}
			s.state.Store(ending)
			_, err = s.conn.net.Write(out)
			return nil, err
		}
		if _, err := s.conn.net.Write(out); err != nil {
			return nil, err
		}
	}
}

// frameChunk puts the size before and the end behind n bytes of data that begin at
// sizeRoom, and returns the whole chunk.
func frameChunk(buf []byte, n int) []byte {
	var digits [sizeRoom]byte
	size := strconv.AppendInt(digits[:0], int64(n), 16)
	from := sizeRoom - len(size) - 2
	copy(buf[from:], size)
	copy(buf[sizeRoom-2:], "\r\n")
	copy(buf[sizeRoom+n:], "\r\n")
	return buf[from : sizeRoom+n+2]
}

// endChunks appends the last chunk and the trailer.
func (s *sender) endChunks(b []byte) ([]byte, error) {
	b = append(b, "0\r\n"...)
	for name, values := range s.trailer {
		canonical, ok := head.Name(name)
		if !ok || notInTrailer(canonical) {
			return nil, unsendable("a field cannot be in the trailer")
		}
		var err error
		if b, err = appendValues(b, name, values); err != nil {
			return nil, err
		}
	}
	return append(b, '\r', '\n'), nil
}

// readSome reads at least a byte, or an error.
func readSome(r io.Reader, p []byte) (int, error) {
	for range maxEmptyReads {
		if n, err := r.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}
