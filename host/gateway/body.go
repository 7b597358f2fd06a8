package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/gaia-host/gaia/subsystems/api"
)

const (
	// maxShort is the longest body that is read before anything is asked, so that
	// the client's leaving is noticed while its request is held.
	maxShort = 1 << 20
	// maxSmall is how much of it is kept in reused buffers and counted nowhere.
	maxSmall = 64 << 10
	// maxShortSum bounds the memory of the bodies between the two.
	maxShortSum = 64 << 20
)

// bodyState says how reading the client's body went.
type bodyState int32

const (
	bodyOpen  bodyState = iota // not read to its end
	bodyDone                   // read to a proper end, or there is none
	bodyBad                    // malformed, or the client left
	bodyLarge                  // longer than the bound
)

// errClientBody is what an attempt sees of a body that was malformed or cut.
var errClientBody = errors.New("gateway: the client's body could not be read")

// tooLargeError is what an attempt sees of a body beyond the bound. It is api's
// kind too_large, which is no failure of an upstream.
type tooLargeError struct{}

func (tooLargeError) Error() string        { return "gateway: the request body is too large" }
func (tooLargeError) Is(target error) bool { return target == api.ErrTooLarge }

// streamedBody is a client's body on its way to the upstream. The transport reads it
// on a goroutine of its own, which may outlive the handler: end stops it.
type streamedBody struct {
	from     io.Reader
	left     int64       // bytes until the bound; below 0: none
	declared http.Header // the trailer sent on, its fields known in advance; nil none
	arrived  func() http.Header
	cancel   context.CancelFunc
	state    atomic.Int32 // a bodyState
	ended    atomic.Bool
}

// Read implements io.Reader. What the client got wrong ends the call, so that it is
// not counted as the upstream's failure.
func (b *streamedBody) Read(p []byte) (int, error) {
	if b.ended.Load() {
		return 0, errClientBody
	}
	n, err := b.from.Read(p)
	if b.left >= 0 {
		if int64(n) > b.left {
			b.state.Store(int32(bodyLarge))
			return 0, tooLargeError{}
		}
		b.left -= int64(n)
	}
	switch {
	case err == io.EOF:
		b.passTrailer()
		b.state.Store(int32(bodyDone))
	case err != nil:
		b.state.Store(int32(bodyBad))
		b.cancel()
		return n, errClientBody
	}
	return n, err
}

// passTrailer fills in the trailer that was declared. What came without being
// declared goes no further: it could name fields of the framing.
func (b *streamedBody) passTrailer() {
	if b.declared == nil {
		return
	}
	all := b.arrived()
	for name := range b.declared {
		if v, ok := all[name]; ok {
			b.declared[name] = v
		}
	}
}

// end stops every read that begins from now on.
func (b *streamedBody) end() { b.ended.Store(true) }

// memory lends the buffers of a Server. The zero value is ready.
type memory struct {
	pools [len(bufferSizes)]sync.Pool // of *[]byte
	large atomic.Int64                // bytes lent beyond the largest buffer
}

// bufferSizes are the sizes of the buffers that are reused.
var bufferSizes = [...]int{8 << 10, copyBuffer, maxSmall}

// get lends a buffer of at least n bytes, n <= maxSmall.
func (m *memory) get(n int) *[]byte {
	class := 0
	for bufferSizes[class] < n {
		class++
	}
	if b, ok := m.pools[class].Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, bufferSizes[class])
	return &b
}

// put takes a buffer back.
func (m *memory) put(b *[]byte) {
	for class, size := range bufferSizes {
		if len(*b) == size {
			m.pools[class].Put(b)
		}
	}
}

// shortBody is a body that was read whole. Its memory is given back when the last
// that reads it is done.
type shortBody struct {
	bytes []byte
	memory *memory
	lent  *[]byte // what bytes is part of; nil: of its own
	refs  atomic.Int32
}

// readShort reads a body of n bytes, n <= maxShort. It returns nil without an error
// where too much memory is in use already. The caller releases the body.
func (m *memory) readShort(r io.Reader, n int64) (*shortBody, error) {
	b := &shortBody{memory: m}
	b.refs.Store(1)
	if n <= maxSmall {
		b.lent = m.get(int(n))
		b.bytes = (*b.lent)[:n]
	} else {
		if m.large.Add(n) > maxShortSum {
			m.large.Add(-n)
			return nil, nil
		}
		b.bytes = make([]byte, n)
	}
	if _, err := io.ReadFull(r, b.bytes); err != nil {
		b.release()
		return nil, errClientBody
	}
	return b, nil
}

// reader reads the body from its beginning. It must be closed.
func (b *shortBody) reader() io.ReadCloser {
	b.refs.Add(1)
	return &shortReader{body: b}
}

// release gives the memory back after the last reader.
func (b *shortBody) release() {
	if b.refs.Add(-1) > 0 {
		return
	}
	if b.lent != nil {
		b.memory.put(b.lent)
	} else {
		b.memory.large.Add(-int64(len(b.bytes)))
	}
	b.bytes, b.lent = nil, nil
}

type shortReader struct {
	mu   sync.Mutex // a transport may close what it still reads
	body *shortBody // nil once closed; guarded by mu
	at   int        // guarded by mu
}

// Read implements io.Reader. The end comes with the last bytes.
func (r *shortReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil {
		return 0, errClientBody
	}
	n := copy(p, r.body.bytes[r.at:])
	r.at += n
	if r.at == len(r.body.bytes) {
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer. It may be called again.
func (r *shortReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body != nil {
		r.body.release()
		r.body = nil
	}
	return nil
}
