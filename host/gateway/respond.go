package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// flushAfter is how long a part of an answer of known length may be kept back to be
// sent together with the next.
const flushAfter = time.Millisecond

// flusher sends what was written of an answer, at once or a moment later. Every
// write to the client holds mu.
type flusher struct {
	mu    sync.Mutex
	out   http.Flusher // nil: no answer is under way; guarded by mu
	armed bool         // guarded by mu
	timer *time.Timer
}

func newFlusher() *flusher {
	f := &flusher{}
	f.timer = time.AfterFunc(time.Hour, f.fire)
	f.timer.Stop()
	return f
}

// fire may come late, for an earlier answer; then it flushes for nothing.
func (f *flusher) fire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out != nil && f.armed {
		f.armed = false
		f.out.Flush()
	}
}

// armLocked has what is written until now sent within flushAfter.
func (f *flusher) armLocked() {
	if !f.armed {
		f.armed = true
		f.timer.Reset(flushAfter)
	}
}

// nowLocked sends what is written until now.
func (f *flusher) nowLocked() {
	f.disarmLocked()
	f.out.Flush()
}

func (f *flusher) disarmLocked() {
	if f.armed {
		f.armed = false
		f.timer.Stop()
	}
}

// end returns once no flush can come any more.
func (f *flusher) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disarmLocked()
	f.out = nil
}

// passAnswer sends an upstream's answer to the client. It panics with
// http.ErrAbortHandler where the answer is cut.
func (x *exchange) passAnswer(res *http.Response) {
	header := x.w.Header()
	announced := x.passHead(header, res)
	if res.Body == http.NoBody || x.r.Method == http.MethodHead {
		_ = res.Body.Close() // nothing is in it
		return
	}
	if err := x.passBody(res); err != nil {
		_ = res.Body.Close() // the first error tells more
		panic(http.ErrAbortHandler)
	}
	_ = res.Body.Close() // read to its end
	if len(res.Trailer) == 0 {
		return
	}
	prefix := ""
	if len(res.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	x.w.Flush() // a short answer would get a length, and no trailer
	for name, values := range res.Trailer {
		header[prefix+name] = values
	}
}

// passHead writes status and fields and returns how many trailer fields it announced.
func (x *exchange) passHead(header http.Header, res *http.Response) int {
	passFields(header, res.Header)
	if len(res.Trailer) > 0 {
		names := make([]string, 0, len(res.Trailer))
		for name := range res.Trailer {
			names = append(names, name)
		}
		header["Trailer"] = []string{strings.Join(names, ", ")}
	}
	x.explain(header, x.w.SetBytes)
	x.closeUnread(header)
	announced := len(res.Trailer)
	x.w.WriteHeader(res.StatusCode)
	return announced
}

// explain sets how long an answer was held and at what level the deciding limiter
// is, unless the upstream has said it of its own in header.
func (x *exchange) explain(header http.Header, set func(name string, value []byte)) {
	result := &x.call.Result
	if result.Waited > 0 {
		set("Gaia-Wait", []byte(waitField(result.Waited)))
	}
	if len(header["Ratelimit"]) == 0 && len(header["Ratelimit-Policy"]) == 0 {
		eachRateLimit(x.room[:], &result.Limit, set)
	}
}

// passBody copies the answer's body. Answers without a length are streams: every
// piece goes on at once; of the others, pieces may be put together for a moment.
func (x *exchange) passBody(res *http.Response) error {
	if a, ok := res.Body.(interface{ Ahead() int }); ok && res.ContentLength > 0 && int64(a.Ahead()) >= res.ContentLength {
		return x.passWhole(res.Body)
	}
	f := x.s.flushers.Get().(*flusher)
	lent := x.s.memory.get(copyBuffer)
	f.mu.Lock()
	f.out = x.w
	left := res.ContentLength
	if isEventStream(res.Header) {
		f.nowLocked()
	} else {
		f.armLocked()
	}
	f.mu.Unlock()
	defer func() {
		f.end()
		x.s.flushers.Put(f)
		x.s.memory.put(lent)
	}()
	for {
		n, err := res.Body.Read(*lent)
		if n > 0 {
			last := err == io.EOF
			if left >= 0 {
				left = max(left-int64(n), 0)
				last = last || left == 0
			}
			if werr := f.write(x.w, (*lent)[:n], res.ContentLength < 0, last); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// passWhole copies a body that is there already: nothing has to be flushed meanwhile.
func (x *exchange) passWhole(body io.Reader) error {
	lent := x.s.memory.get(copyBuffer)
	defer x.s.memory.put(lent)
	for {
		n, err := body.Read(*lent)
		if n > 0 {
			if _, werr := x.w.Write((*lent)[:n]); werr != nil {
				return werr
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// write passes one piece on. After the last one the end of the handler flushes.
func (f *flusher) write(w io.Writer, piece []byte, stream, last bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := w.Write(piece); err != nil {
		return err
	}
	switch {
	case last:
		f.disarmLocked()
	case stream:
		f.nowLocked()
	default:
		f.armLocked()
	}
	return nil
}

func isEventStream(h http.Header) bool {
	v := h["Content-Type"]
	return len(v) == 1 && strings.HasPrefix(v[0], "text/event-stream")
}
