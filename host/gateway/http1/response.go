package http1

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	answerBuffer = 4 << 10
	keptBuffer   = 16 << 10 // larger ones are not used again
	// heldBack is how much of a body of unknown length is waited for: one that ends
	// before is sent with its length.
	heldBack = 2 << 10
)

var errBodyUnread = errors.New("http1: the request's body was not read to its end")

// ResponseWriter is the answer to a request. Besides http.ResponseWriter it is a
// http.Flusher and a http.Hijacker, and has SetReadDeadline, Set, SetBytes,
// SetLength and Release.
type ResponseWriter struct {
	c      *conn
	x      *exchange
	header http.Header

	status    int   // 0: WriteHeader was not called
	length    int64 // as announced; -1 unknown
	written   int64
	committed bool // the head is in out, or sent
	chunked   bool
	closing   bool // the last answer of the connection
	bodiless  bool // the answer to HEAD, or of a status without a body
	hijacked  bool
	released  bool
	foreign   bool      // the handler set a deadline
	began     time.Time // when the head was made
	err       error     // of a write
	trailer   []string  // names announced

	out    *[]byte // to be sent; before the head is made, the body's beginning
	pieces net.Buffers
	vector [3][]byte

	own []byte // the fields of Set, as they are sent

	interim     sync.Mutex // a 100 comes from whoever reads the body
	mayContinue bool       // guarded by interim
}

// begin makes it the answer to a request.
func (w *ResponseWriter) begin(x *exchange) {
	w.x, w.status, w.length, w.written = x, 0, -1, 0
	w.committed, w.chunked, w.closing, w.bodiless = false, false, false, false
	w.released, w.foreign, w.trailer = false, false, w.trailer[:0]
	w.own = w.own[:0]
	if w.header == nil {
		w.header = make(http.Header, 8)
	} else {
		clear(w.header)
	}
	if w.out == nil {
		w.out = w.c.s.buffer()
	}
	if x.expect {
		w.interim.Lock()
		w.mayContinue = true
		w.interim.Unlock()
	}
}

func (s *Server) buffer() *[]byte {
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, answerBuffer)
	return &b
}

func (s *Server) putBuffer(b *[]byte) {
	if cap(*b) <= keptBuffer {
		*b = (*b)[:0]
		s.buffers.Put(b)
	}
}

// free gives the buffer back at the end of the connection.
func (w *ResponseWriter) free() {
	if w.out != nil {
		w.c.s.putBuffer(w.out)
		w.out = nil
	}
}

// Header implements http.ResponseWriter.
func (w *ResponseWriter) Header() http.Header { return w.header }

// Set sets a field to one value, once for each name, before WriteHeader. The name is in the
// canonical form and none that the server decides on. Unlike Header, which does not tell of
// it, it allocates nothing; an informational answer does not have it.
func (w *ResponseWriter) Set(name, value string) {
	w.forget(name)
	w.own = appendLine(w.own, name, value)
}

// SetBytes is Set of bytes, which it copies.
func (w *ResponseWriter) SetBytes(name string, value []byte) {
	w.forget(name)
	w.own = appendLine(w.own, name, value)
}

func (w *ResponseWriter) forget(name string) {
	if len(w.header) > 0 {
		delete(w.header, name)
	}
}

// SetLength announces the length of the body, as Content-Length in Header does.
func (w *ResponseWriter) SetLength(n int) { w.length = int64(n) }

// Release says that once the handler has returned, nothing will use the request, its
// fields or its context any more: they become those of the connection's next request.
// Strings are not meant. With a body, or where the context has ended, it has no
// effect.
func (w *ResponseWriter) Release() { w.released = true }

// SetReadDeadline bounds reads of the request's body; the zero time is no bound.
func (w *ResponseWriter) SetReadDeadline(t time.Time) error {
	if w.hijacked {
		return http.ErrHijacked
	}
	w.foreign = true
	return w.c.rwc.SetReadDeadline(t)
}

// WriteHeader implements http.ResponseWriter. Informational answers but 101 are sent
// at once, any number of them; of the others only the first counts.
func (w *ResponseWriter) WriteHeader(status int) {
	switch {
	case w.status != 0 || w.hijacked:
		return
	case status < 100 || status > 999:
		panic("http1: invalid status " + strconv.Itoa(status))
	case status < http.StatusOK && status != http.StatusSwitchingProtocols:
		w.writeInterim(status)
		return
	}
	w.status = status
	if w.x.expect {
		w.interim.Lock()
		w.mayContinue = false
		w.interim.Unlock()
	}
	w.bodiless = w.x.r.Method == http.MethodHead || !bodyAllowed(status)
	if !bodyAllowed(status) {
		w.length = -1
	} else if v := w.header["Content-Length"]; len(v) > 0 {
		if n, err := strconv.ParseUint(v[0], 10, 63); err == nil {
			w.length = int64(n)
		}
	}
	if w.length >= 0 || w.bodiless {
		w.commit(false)
	}
}

func bodyAllowed(status int) bool {
	return status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}

func (w *ResponseWriter) writeInterim(status int) {
	if w.x.r.ProtoMinor == 0 {
		return // it could not be told from the answer
	}
	b := appendStatus(nil, 1, status)
	for name, values := range w.header {
		if name != "Content-Length" && name != "Transfer-Encoding" {
			b = appendField(b, name, values)
		}
	}
	w.interim.Lock()
	defer w.interim.Unlock()
	if status == http.StatusContinue {
		w.mayContinue = false
	}
	if _, err := w.c.rwc.Write(append(b, "\r\n"...)); err != nil {
		w.x.ctx.cancel()
	}
}

// sendContinue asks the client for the body, unless it has an answer.
func (w *ResponseWriter) sendContinue() {
	w.interim.Lock()
	defer w.interim.Unlock()
	if !w.mayContinue {
		return
	}
	w.mayContinue = false
	_, _ = w.c.rwc.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")) // the body's end tells as much
}

// Write implements http.ResponseWriter.
func (w *ResponseWriter) Write(p []byte) (int, error) {
	switch {
	case w.hijacked:
		return 0, http.ErrHijacked
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, w.err
	case w.bodiless && w.x.r.Method != http.MethodHead:
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && int64(len(p)) > w.length-w.written:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.bodiless {
		return len(p), nil
	}
	if !w.committed {
		if len(*w.out)+len(p) <= heldBack {
			*w.out = append(*w.out, p...)
			return len(p), nil
		}
		w.commit(false)
	}
	w.send(p)
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// send puts a piece of the body behind what is to be sent, or sends both.
func (w *ResponseWriter) send(p []byte) {
	if w.chunked {
		*w.out = appendChunkSize(*w.out, len(p))
	}
	if len(*w.out)+len(p)+2 <= answerBuffer {
		*w.out = append(*w.out, p...)
		if w.chunked {
			*w.out = append(*w.out, "\r\n"...)
		}
		return
	}
	w.vector = [3][]byte{*w.out, p, nil}
	w.pieces = w.vector[:2]
	if w.chunked {
		w.vector[2] = crlf
		w.pieces = w.vector[:3]
	}
	if w.err == nil {
		if _, err := w.pieces.WriteTo(w.c.rwc); err != nil {
			w.failed(err)
		}
	}
	w.vector = [3][]byte{}
	*w.out = (*w.out)[:0]
}

var crlf = []byte("\r\n")

func (w *ResponseWriter) failed(err error) {
	w.err = err
	w.x.ctx.cancel()
}

// Flush implements http.Flusher.
func (w *ResponseWriter) Flush() {
	if w.hijacked {
		return
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.committed {
		w.commit(false)
	}
	w.flush()
}

func (w *ResponseWriter) flush() {
	if len(*w.out) > 0 && w.err == nil {
		if _, err := w.c.rwc.Write(*w.out); err != nil {
			w.failed(err)
		}
	}
	*w.out = (*w.out)[:0]
}

// Hijack implements http.Hijacker. It fails where the request's body was not read to
// its end. The caller closes the connection.
func (w *ResponseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.c
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if b := w.x.body; b != nil && !b.ended.Load() {
		return nil, nil, errBodyUnread
	}
	if w.committed {
		w.flush()
	}
	if w.err != nil {
		return nil, nil, w.err
	}
	w.hijacked = true
	c.watch.shut(c)
	c.setReadDeadline(time.Time{})
	return c.rwc, bufio.NewReadWriter(c.br, bufio.NewWriter(c.rwc)), nil
}

// end sends the rest of the answer, and reports whether another may follow on the
// connection.
func (w *ResponseWriter) end() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.committed {
		w.commit(true)
	}
	if w.chunked {
		w.endChunks()
	}
	w.flush()
	whole := w.bodiless || w.length < 0 || w.length == w.written
	return w.err == nil && whole && !w.closing
}

// endChunks writes the last chunk and the trailer.
func (w *ResponseWriter) endChunks() {
	b := append(*w.out, "0\r\n"...)
	for _, name := range w.trailer {
		b = appendField(b, name, w.header[name])
	}
	for name, values := range w.header {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			b = appendField(b, rest, values)
		}
	}
	*w.out = append(b, "\r\n"...)
}

// abort sends what there is of an answer that has no end.
func (w *ResponseWriter) abort() {
	if w.hijacked {
		_ = w.c.rwc.Close() // its handler did not get to it
		return
	}
	if !w.committed {
		return
	}
	w.flush()
	if t, ok := w.c.rwc.(*net.TCPConn); ok && !w.chunked && w.length < 0 && !w.bodiless {
		_ = t.SetLinger(0) // only a reset tells it from one that has ended
	}
}
