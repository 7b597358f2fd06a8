package record

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Bounds.
const (
	queueLen   = 8192
	flushEvery = 250 * time.Millisecond // the most that a kill loses
	flushBytes = 256 << 10
	logEvery   = int64(10 * time.Second)
)

// Config describes a Recorder. File is required; zero bounds take the defaults.
type Config struct {
	File    string
	MaxSize int64 // bytes of one file; 0: DefaultMaxSize
	Keep    int   // files kept besides it; 0: none
	Fields  Fields
	Clock   func() int64
	Log     *slog.Logger // nil: discarded
}

// DefaultMaxSize bounds one file.
const DefaultMaxSize = 64 << 20

// Recorder writes lines. Begin, Answered and End never block and are safe for
// concurrent use; Start and Stop are called once, in that order.
type Recorder struct {
	c      Config
	plan   plan
	queue  chan *Line
	stop   chan struct{}
	wg     sync.WaitGroup
	file   *file
	buf    []byte
	inBuf  uint64 // lines in buf
	lastAt int64  // when a fault was logged

	written, dropped, failed atomic.Uint64
	broken                   atomic.Pointer[string] // why the last write failed; nil: it went well
}

// Stats are the numbers of a Recorder.
type Stats struct {
	File    string
	Written uint64 // lines that are in the file
	Dropped uint64 // lines that found the queue full
	Failed  uint64 // lines that could not be written
	Error   string // of the last write, "" it went well
}

// New returns a recorder that has opened nothing.
func New(c Config) *Recorder {
	if c.MaxSize <= 0 {
		c.MaxSize = DefaultMaxSize
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Recorder{c: c, plan: c.Fields.plan(), queue: make(chan *Line, queueLen), stop: make(chan struct{})}
}

// Start opens the file, or says why it cannot be written: also a file that is no
// recording, which is not touched.
func (r *Recorder) Start() error {
	f, err := openFile(r.c.File, r.c.MaxSize, r.c.Keep)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	r.file = f
	r.wg.Go(r.loop)
	return nil
}

// Stop writes what is queued and closes the file. A recorder that did not start is fine.
func (r *Recorder) Stop() error {
	if r.file == nil {
		return nil
	}
	close(r.stop)
	r.wg.Wait()
	return r.file.close()
}

// Stats reads the numbers.
func (r *Recorder) Stats() Stats {
	s := Stats{File: r.c.File, Written: r.written.Load(), Dropped: r.dropped.Load(), Failed: r.failed.Load()}
	if e := r.broken.Load(); e != nil {
		s.Error = *e
	}
	return s
}

// Begin notes an attempt that was decided. It returns nil where it is written already,
// or where op is a part of another operation, which has its own line.
func (r *Recorder) Begin(op *admission.Op, v admission.Verdict, maxWait time.Duration) *Line {
	if op.Req.Part {
		return nil
	}
	l := r.plan.begin(op, maxWait)
	if v.Kind != admission.Denied {
		return l
	}
	l.denied(&op.Denial)
	r.push(l)
	return nil
}

// Answered notes the headers of an answer.
func (r *Recorder) Answered(l *Line, now int64, res *policy.Response, again bool) {
	at := float64(now-res.Sent) / float64(time.Millisecond)
	l.Answered, l.Again = &at, again
	l.Status, l.RetryAfter = res.Status, ms(res.RetryAfter)
	l.ResponseHeaders = r.plan.fields(res.Header, true)
}

// End notes the end of an attempt and has its line written. l must not be used after.
func (r *Recorder) End(l *Line, now int64, op *admission.Op, res *policy.Response) {
	switch {
	case res != nil:
		service := float64(now-res.Sent) / float64(time.Millisecond)
		l.End, l.Service, l.Wait = EndDone, &service, l.at(res.Sent)
		l.Status, l.Error, l.Bytes, l.Upstream = res.Status, res.Error, res.Bytes, res.Upstream
		l.ResponseBody = r.plan.scalars(res.Body)
		if l.ResponseHeaders == nil {
			l.ResponseHeaders = r.plan.fields(res.Header, true)
		}
	case op.Denial.Status != 0:
		l.denied(&op.Denial)
		l.Wait = l.at(now)
	default:
		l.End, l.Wait = EndCanceled, l.at(now)
	}
	r.push(l)
}

func (r *Recorder) push(l *Line) {
	select {
	case r.queue <- l:
	default:
		r.dropped.Add(1)
	}
}

func (r *Recorder) loop() {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case l := <-r.queue:
			r.add(l)
		case <-t.C:
			r.flush()
		case <-r.stop:
			for {
				select {
				case l := <-r.queue:
					r.add(l)
					continue
				default:
				}
				r.flush()
				return
			}
		}
	}
}

func (r *Recorder) add(l *Line) {
	text, err := json.Marshal(l)
	if err != nil { // a number that JSON has not: never seen
		r.failed.Add(1)
		return
	}
	r.buf = append(append(r.buf, text...), '\n')
	r.inBuf++
	if len(r.buf) >= flushBytes {
		r.flush()
	}
}

// flush writes the buffer. What cannot be written is counted and gone: the traffic goes
// on, and memory does not grow while a disk is full.
func (r *Recorder) flush() {
	if len(r.buf) == 0 {
		return
	}
	err := r.file.write(r.buf)
	if err == nil {
		r.written.Add(r.inBuf)
		r.broken.Store(nil)
	} else {
		r.failed.Add(r.inBuf)
		text := err.Error()
		r.broken.Store(&text)
		if now := time.Now().UnixNano(); now-r.lastAt >= logEvery {
			r.lastAt = now
			r.c.Log.Log(context.Background(), slog.LevelError, "the recording cannot be written; traffic goes on", "file", r.c.File, "error", err, "lines_lost", r.failed.Load())
		}
	}
	r.buf, r.inBuf = r.buf[:0], 0
}
