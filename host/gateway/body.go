package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/subsystems/api"
)

const (
	// maxAhead is the longest body that is read while its request is held, so that
	// the client's leaving is noticed; maxAheadSum bounds all of them together.
	maxAhead    = 1 << 20
	maxAheadSum = 64 << 20
	// aheadAfter is how long a request may go without its body being asked for
	// before it counts as held.
	aheadAfter = 5 * time.Millisecond
	// maxDrained is the longest body that is taken in before an answer that does
	// not need it, so that the connection can be used again.
	maxDrained = 64 << 10
	drainFor   = 50 * time.Millisecond
)

// bodyState says how reading the client's body went.
type bodyState int32

const (
	bodyOpen  bodyState = iota // not read to its end
	bodyDone                   // read to a proper end
	bodyBad                    // malformed, or the client left
	bodyLarge                  // longer than the bound
)

// bodyError is what an attempt sees of a body that failed on the client's side. To
// api it is of the kind too_large, which is no failure of an upstream.
type bodyError string

const (
	errBodyBad   = bodyError("gateway: the client's body could not be read")
	errBodyLarge = bodyError("gateway: the client's body is too large")
)

var errBodyOver = errors.New("gateway: the request is over")

func (e bodyError) Error() string        { return string(e) }
func (e bodyError) Is(target error) bool { return target == api.ErrTooLarge }

// clientBody is a client's body on its way to the upstream. The transport reads it
// on a goroutine of its own, which may outlive the handler: end stops it.
type clientBody struct {
	from    io.Reader
	length  int64 // -1 unknown
	expect  bool  // the client waits to be asked for it
	state   atomic.Int32
	memory  *memory
	trailer http.Header // sent on: the fields declared; nil none
	arrived func() http.Header

	mu       sync.Mutex // guards what follows
	more     sync.Cond
	left     int64  // bytes until the bound; below 0: none
	begun    bool   // somebody has asked for it
	pumping  bool   // it is being read ahead
	ahead    []byte // read ahead and not taken yet
	err      error  // how it ended, once ahead is taken
	timer    *time.Timer
	over     bool
	reserved int64 // of memory
}

func newClientBody(r *http.Request, m *memory) *clientBody {
	b := &clientBody{from: r.Body, length: r.ContentLength, expect: len(r.Header["Expect"]) > 0, memory: m, left: -1}
	b.more.L = &b.mu
	if len(r.Trailer) > 0 {
		b.trailer = make(http.Header, len(r.Trailer))
		for name := range r.Trailer {
			b.trailer[name] = nil
		}
		b.arrived = func() http.Header { return r.Trailer }
	}
	return b
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = true
	for b.pumping && len(b.ahead) == 0 && !b.over {
		b.more.Wait()
	}
	switch {
	case b.over:
		return 0, errBodyOver
	case len(b.ahead) > 0:
		n := copy(p, b.ahead)
		b.ahead = b.ahead[n:]
		if len(b.ahead) > 0 || b.pumping {
			return n, nil
		}
		return n, b.err
	case b.err != nil:
		return 0, b.err
	}
	b.mu.Unlock()
	n, err := b.from.Read(p)
	b.mu.Lock()
	return b.tookLocked(n, err)
}

// Buffered is how many bytes can be read without waiting. A short body that is all
// there is sent together with the head of its request.
func (b *clientBody) Buffered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over, b.pumping:
		return 0
	case len(b.ahead) > 0 || b.err != nil:
		return len(b.ahead)
	}
	if from, ok := b.from.(interface{ Buffered() int }); ok {
		return from.Buffered()
	}
	return 0
}

// tookLocked judges what one read of the client brought.
func (b *clientBody) tookLocked(n int, err error) (int, error) {
	if b.left >= 0 {
		if int64(n) > b.left {
			b.state.Store(int32(bodyLarge))
			b.err = errBodyLarge
			return 0, b.err
		}
		b.left -= int64(n)
	}
	switch {
	case errors.Is(err, io.EOF):
		b.passTrailer()
		b.state.Store(int32(bodyDone))
		b.err = io.EOF
	case err != nil:
		b.state.Store(int32(bodyBad))
		b.err = errBodyBad
	}
	return n, b.err
}

// passTrailer fills in the trailer that was declared. What came without being
// declared goes no further: it could name fields of the framing.
func (b *clientBody) passTrailer() {
	if b.trailer == nil {
		return
	}
	all := b.arrived()
	for name := range b.trailer {
		if v, ok := all[name]; ok {
			b.trailer[name] = v
		}
	}
}

// watch has a short body read ahead if nobody asks for it soon: the server notices
// that a client has left only once the body was read. One that the upstream is to be
// asked for first is left alone.
func (b *clientBody) watch() {
	if b.length < 0 || b.length > maxAhead || b.expect {
		return
	}
	b.mu.Lock()
	b.timer = time.AfterFunc(aheadAfter, b.readAhead)
	b.mu.Unlock()
}

func (b *clientBody) readAhead() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun || b.over || !b.memory.reserve(b.length) {
		return
	}
	b.reserved = b.length
	all := make([]byte, b.length)
	filled := 0
	b.pumping = true
	for b.err == nil && !b.over {
		b.mu.Unlock()
		n, err := b.from.Read(all[filled:])
		if err == nil && filled+n == len(all) {
			err = io.EOF
		}
		b.mu.Lock()
		n, _ = b.tookLocked(n, err)
		b.ahead = all[filled-len(b.ahead) : filled+n]
		filled += n
		b.more.Broadcast()
	}
	b.pumping = false
	b.more.Broadcast()
}

// drain takes in a short body that nobody has asked for. deadline sets the time until which it may take.
func (b *clientBody) drain(deadline func(time.Time) error) {
	b.mu.Lock()
	fits := b.length >= 0 && b.length <= maxDrained && (b.left < 0 || b.length <= b.left)
	idle := !b.begun && !b.expect
	b.mu.Unlock()
	if !fits || !idle {
		return
	}
	_ = deadline(time.Now().Add(drainFor)) // without one, nothing depends on it either
	lent := b.memory.get(copyBuffer)
	defer b.memory.put(lent)
	for {
		if _, err := b.Read(*lent); err != nil {
			break
		}
	}
	_ = deadline(time.Time{})
}

// end stops every read that begins from now on.
func (b *clientBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.memory.release(b.reserved)
	b.reserved = 0
	if b.timer != nil {
		b.timer.Stop()
	}
	b.more.Broadcast()
}
