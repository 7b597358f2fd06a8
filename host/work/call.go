package work

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"

	"github.com/gaia-host/gaia/host/gateway"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Call is what a caller says besides the input. It belongs to the action until that
// returns. The time that the caller allows is the deadline of the action's context.
type Call struct {
	gateway.Steering
	// IdempotencyKey is the caller's, "" none. The package itself sees to it that
	// an action runs once for a key.
	IdempotencyKey string
	// Body are the raw bytes that came, nil for none; Size is how many, -1 unknown.
	Body io.Reader
	Size int64

	header http.Header
}

// Held says in the answer's fields how long the operation waited and which limiter
// decided. It counts until the first byte of the answer.
func (c *Call) Held(o *admission.Outcome) {
	gateway.Explain(c.header, 0, &o.Limit, o.Waited)
}

// Out is the answer of an action that streams. The first write sends status 200 and
// the fields; every write is sent at once. It is not safe for concurrent use.
type Out struct {
	w       http.ResponseWriter
	flush   *http.ResponseController
	events  bool // server-sent events
	started bool
	buffers *sync.Pool // of *[]byte, to copy with
}

// copyBuffer is the size of the pieces in which Copy sends, in bytes.
const copyBuffer = 32 << 10

// Copy sends what r gives to its end, and returns how many bytes that were.
func (o *Out) Copy(r io.Reader) (int64, error) {
	buf, ok := o.buffers.Get().(*[]byte)
	if !ok {
		b := make([]byte, copyBuffer)
		buf = &b
	}
	defer o.buffers.Put(buf)
	return io.CopyBuffer(o, struct{ io.Reader }{r}, *buf) // without WriterTo, which would bring a buffer of its own
}

// Header are the fields of the answer, to be set before the first write.
func (o *Out) Header() http.Header { return o.w.Header() }

// Start sends status and fields, for an answer whose first byte may be late.
func (o *Out) Start() error {
	if !o.started {
		o.started = true
		o.w.WriteHeader(http.StatusOK)
	}
	return o.flush.Flush()
}

// Write sends bytes. An error means that the caller is gone.
func (o *Out) Write(p []byte) (int, error) {
	o.started = true
	n, err := o.w.Write(p)
	if err == nil {
		err = o.flush.Flush()
	}
	return n, err
}

// Line sends v as one line of JSON. An error means that the caller is gone, or that
// v has no JSON.
func (o *Out) Line(v any) error { return o.event("", v) }

// Progress tells how far the work is: done of total, 0 unknown, in a unit such as
// "bytes" or "files". Clients draw it; it is a line {"progress":{...}}.
func (o *Out) Progress(done, total int64, unit string) error {
	return o.event("progress", struct {
		Progress Progress `json:"progress"`
	}{Progress{done, total, unit}})
}

// Progress is how far a piece of work is.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"`
	Unit  string `json:"unit,omitempty"`
}

// event sends v as a line, or as an event of that name.
func (o *Out) event(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if o.events {
		framed := make([]byte, 0, len(data)+32)
		if name != "" {
			framed = append(append(append(framed, "event: "...), name...), '\n')
		}
		data = append(append(append(framed, "data: "...), data...), '\n')
	}
	_, err = o.Write(append(data, '\n'))
	return err
}
