package process

import (
	"context"
	"io"
	"sync"
)

// Stream is one of the outputs of a process.
type Stream int

// The streams.
const (
	Stdout Stream = iota
	Stderr
	streams
)

// String returns stdout or stderr.
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// ring keeps the last bytes of a stream. Its memory grows with what is written, up
// to max. It is safe for concurrent use, and writing never waits for a reader.
type ring struct {
	max int

	mu     sync.Mutex
	buf    []byte // guarded by mu, as all below; byte i of the stream is at i % max
	end    int64  // bytes written so far
	closed bool
	wake   chan struct{} // closed at the next write or the end; nil: nobody waits
}

func (r *ring) Write(b []byte) (int, error) {
	n := len(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	if skip := n - r.max; skip > 0 { // only the last max bytes can stay
		r.end += int64(skip)
		b = b[skip:]
		if len(r.buf) < r.max {
			r.buf = append(r.buf, make([]byte, r.max-len(r.buf))...)
		}
	}
	for len(b) > 0 {
		at := int(r.end % int64(r.max))
		if at == len(r.buf) && at < r.max {
			k := min(len(b), r.max-at)
			r.buf = append(r.buf, b[:k]...)
			r.end, b = r.end+int64(k), b[k:]
			continue
		}
		k := copy(r.buf[at:], b)
		r.end, b = r.end+int64(k), b[k:]
	}
	r.notifyLocked()
	return n, nil
}

func (r *ring) notifyLocked() {
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}

// finish says that nothing more will be written. Spare memory is given back.
func (r *ring) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if cap(r.buf) > len(r.buf)+len(r.buf)/4 {
		r.buf = append(make([]byte, 0, len(r.buf)), r.buf...)
	}
	r.notifyLocked()
}

// written is how many bytes the stream has had.
func (r *ring) written() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

// startLocked is the first byte that is still kept.
func (r *ring) startLocked() int64 { return r.end - int64(len(r.buf)) }

// read copies what is kept from at on, or from the first byte kept. next is where
// to go on; wait is nil where there were bytes, or none will come (over).
func (r *ring) read(b []byte, at int64) (n int, next int64, wait <-chan struct{}, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at = max(at, r.startLocked())
	for n < len(b) && at < r.end {
		i := int(at % int64(r.max))
		upTo := min(len(r.buf), i+int(r.end-at))
		k := copy(b[n:], r.buf[i:upTo])
		n, at = n+k, at+int64(k)
	}
	switch {
	case n > 0:
		return n, at, nil, false
	case r.closed:
		return 0, at, nil, true
	case r.wake == nil:
		r.wake = make(chan struct{})
	}
	return 0, at, r.wake, false
}

// tail returns the last n bytes that are kept.
func (r *ring) tail(n int) []byte {
	r.mu.Lock()
	n = max(0, min(n, len(r.buf)))
	at := r.end - int64(n)
	r.mu.Unlock()
	out := make([]byte, n)
	k, _, _, _ := r.read(out, at)
	return out[:k]
}

// Reader follows a stream while it grows. It reads what is kept: a reader that is
// slower than the process misses bytes and is told how many; the process never
// waits for it. One goroutine at a time.
type Reader struct {
	ctx  context.Context
	ring *ring
	at   int64
	lost int64
}

// Read waits for output. At the end of the process, of its last restart too, the
// error is io.EOF; when the context ends it is the context's.
func (r *Reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, next, wait, over := r.ring.read(b, r.at)
		r.lost += next - int64(n) - r.at
		r.at = next
		switch {
		case n > 0:
			return n, nil
		case over:
			return 0, io.EOF
		}
		select {
		case <-wait:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
	}
}

// Lost is how many bytes were gone before they were read.
func (r *Reader) Lost() int64 { return r.lost }

// Offset is the number of the next byte, counted from the first of the stream.
func (r *Reader) Offset() int64 { return r.at }
