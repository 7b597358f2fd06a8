package api

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/valyala/bytebufferpool"
)

var errNotKept = errors.New("api: the request body is too long to be sent again")

// replay is a request body that can be sent more than once. It keeps what was read
// of it, up to a bound, and every attempt reads by position: what an earlier one
// has read from memory, the rest from the source. A transport may still read for
// an attempt that has been answered, so attempts may overlap.
type replay struct {
	src  io.Reader
	get  func() (io.ReadCloser, error) // instead of keeping
	max  int64
	sent *atomic.Uint64

	lost atomic.Bool // more was read than is kept

	rd   sync.Mutex // held while src is read; guards what follows
	kept *bytebufferpool.ByteBuffer
	read int64 // bytes read from src
	err  error // of src, once it ended

	mu      sync.Mutex // guards what follows
	readers int        // attempts whose body is open
	last    bool       // no further attempt comes
	closed  bool
}

func newReplay(c *Call, keep int64, sent *atomic.Uint64) *replay {
	r := &replay{src: c.Body, get: c.GetBody, max: keep, sent: sent}
	if c.GetBody != nil {
		r.max = 0
	}
	r.lost.Store(r.max == 0 || c.ContentLength > r.max)
	return r
}

// again reports whether the body could be sent once more; nil: there is none.
func (r *replay) again() bool { return r == nil || r.get != nil || !r.lost.Load() }

// open returns the body for one more attempt, from its beginning.
func (r *replay) open(first bool) (io.ReadCloser, error) {
	b := &attemptBody{replay: r}
	if !first && r.get != nil {
		own, err := r.get()
		if err != nil {
			return nil, err
		}
		b.own = own
	}
	r.mu.Lock()
	r.readers++
	r.mu.Unlock()
	return b, nil
}

// finish says that no further attempt comes. The source is closed once nobody reads it.
func (r *replay) finish() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.last = true
	r.closeLocked()
}

// closeLocked unlocks mu and closes the source if its time has come.
func (r *replay) closeLocked() {
	done := r.last && r.readers == 0 && !r.closed
	r.closed = r.closed || done
	r.mu.Unlock()
	if !done {
		return
	}
	r.lost.Store(true)
	r.rd.Lock()
	if r.kept != nil {
		bytebufferpool.Put(r.kept)
		r.kept = nil
	}
	r.rd.Unlock()
	if c, ok := r.src.(io.Closer); ok {
		_ = c.Close() // nothing depends on how a body that was read closes
	}
}

// attemptBody is the body as one attempt reads it.
type attemptBody struct {
	replay *replay
	own    io.ReadCloser // of GetBody
	pos    int64
	closed atomic.Bool
}

func (b *attemptBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	var n int
	var err error
	if b.own != nil {
		n, err = b.own.Read(p)
	} else {
		n, err = b.replay.readAt(p, b.pos)
		b.pos += int64(n)
	}
	b.replay.sent.Add(uint64(max(n, 0)))
	return n, err
}

// Buffered is how many bytes can be read without waiting, as far as that is known.
func (b *attemptBody) Buffered() int {
	if b.own != nil {
		return buffered(b.own)
	}
	r := b.replay
	if !r.rd.TryLock() {
		return 0 // another attempt is reading
	}
	defer r.rd.Unlock()
	n := 0
	if r.kept != nil {
		n = max(r.kept.Len()-int(b.pos), 0)
	}
	if b.pos+int64(n) == r.read && r.err == nil {
		n += buffered(r.src)
	}
	return n
}

// buffered is how many bytes can be read of r without waiting, 0 where that is unknown.
func buffered(r io.Reader) int {
	switch r := r.(type) {
	case interface{ Buffered() int }:
		return r.Buffered()
	case *bytes.Reader:
		return r.Len()
	case *strings.Reader:
		return r.Len()
	case *bytes.Buffer:
		return r.Len()
	}
	return 0
}

func (b *attemptBody) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	var err error
	if b.own != nil {
		err = b.own.Close()
	}
	b.replay.mu.Lock()
	b.replay.readers--
	b.replay.closeLocked()
	return err
}

// readAt reads what is at pos: kept, or next in the source.
func (r *replay) readAt(p []byte, pos int64) (int, error) {
	r.rd.Lock()
	defer r.rd.Unlock()
	switch {
	case r.kept != nil && pos < int64(r.kept.Len()):
		return copy(p, r.kept.B[pos:]), nil
	case pos != r.read:
		return 0, errNotKept
	case r.err != nil:
		return 0, r.err
	}
	n, err := r.src.Read(p)
	r.read += int64(n)
	r.err = err
	r.keep(p[:n])
	return n, err
}

func (r *replay) keep(p []byte) {
	if r.lost.Load() {
		return
	}
	if r.read > r.max {
		r.lost.Store(true)
		if r.kept != nil {
			bytebufferpool.Put(r.kept)
			r.kept = nil
		}
		return
	}
	if r.kept == nil {
		r.kept = bytebufferpool.Get()
	}
	r.kept.B = append(r.kept.B, p...)
}
