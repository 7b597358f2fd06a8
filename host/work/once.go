package work

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"
)

// Bounds of what is kept for Idempotency-Key.
const (
	onceFor      = 24 * time.Hour
	onceKeys     = 4096
	onceAnswer   = 1 << 20  // bytes of one answer
	onceAnswers  = 32 << 20 // bytes of all
	maxKeyLength = 255
)

// once remembers the answers to requests with an Idempotency-Key, so that a request
// that is sent again gets the same answer and nothing is done twice.
type once struct {
	mu    sync.Mutex // guards what follows
	byKey map[string]*attempt
	order []*attempt // as they began
	size  int        // bytes of the answers kept
}

// attempt is the first request of a key.
type attempt struct {
	key   string
	began int64
	sum   hash.Hash         // of the request, as it is read
	whole [sha256.Size]byte // what sum is in the end
	done  chan struct{}
	gone  bool // nothing was done: the key is free again
	kept  *recorded
}

// recorded is an answer that can be given again.
type recorded struct {
	status int
	header http.Header
	body   bytes.Buffer
	long   bool // it was longer than is kept
	cut    bool // it broke on the way
}

// begin returns the attempt of key and whether it is the caller's to make. nil means
// that there is no room.
func (o *once) begin(now int64, key string) (a *attempt, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetLocked(now)
	if a = o.byKey[key]; a != nil {
		return a, false
	}
	if len(o.byKey) >= onceKeys && !o.dropLocked() {
		return nil, false
	}
	if o.byKey == nil {
		o.byKey = map[string]*attempt{}
	}
	a = &attempt{key: key, began: now, sum: sha256.New(), done: make(chan struct{})}
	o.byKey[key] = a
	o.order = append(o.order, a)
	return a, true
}

// end closes the attempt: with the answer it had, or without one where nothing was
// done.
func (o *once) end(a *attempt, r *recorded) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a.sum.Sum(a.whole[:0])
	a.kept, a.gone = r, r == nil
	if r == nil {
		o.removeLocked(a)
	} else {
		o.size += r.body.Len()
		for o.size > onceAnswers && o.dropLocked() {
		}
	}
	close(a.done)
}

// forgetLocked drops answers that are too old.
func (o *once) forgetLocked(now int64) {
	for len(o.order) > 0 && now-o.order[0].began > int64(onceFor) && o.order[0].kept != nil {
		o.removeLocked(o.order[0])
	}
}

// dropLocked drops the oldest answer; false where all are still under way.
func (o *once) dropLocked() bool {
	for _, a := range o.order {
		if a.kept != nil {
			o.removeLocked(a)
			return true
		}
	}
	return false
}

func (o *once) removeLocked(a *attempt) {
	delete(o.byKey, a.key)
	for i := range o.order {
		if o.order[i] == a {
			o.order = append(o.order[:i], o.order[i+1:]...)
			break
		}
	}
	if a.kept != nil {
		o.size -= a.kept.body.Len()
	}
}

// again answers a request whose key was used before: with the same answer, or with a
// problem. ok is false where nothing was done then and the key is free.
func (a *attempt) again(ctx context.Context, w http.ResponseWriter, sum hash.Hash, body io.Reader) (err error, ok bool) {
	select {
	case <-a.done:
	case <-ctx.Done():
		return ctx.Err(), true
	}
	if a.gone {
		return nil, false
	}
	if a.kept.cut {
		return &Error{Code: CodeConflict, Title: "it was begun, and its answer broke on the way", Hint: "look at what was done, and take a new key"}, true
	}
	if _, err := io.Copy(sum, body); err != nil {
		return err, true
	}
	if [sha256.Size]byte(sum.Sum(nil)) != a.whole {
		return &Error{Code: CodeConflict, Title: "the Idempotency-Key was used for another request", Hint: "take a new key for each request"}, true
	}
	if a.kept.long {
		return &Error{Code: CodeConflict, Title: "it was done, and its answer was too long to be kept"}, true
	}
	for name, values := range a.kept.header {
		w.Header()[name] = values
	}
	w.Header()["Idempotency-Replayed"] = []string{"true"}
	w.WriteHeader(a.kept.status)
	_, _ = w.Write(a.kept.body.Bytes()) // a caller that has left is nobody to tell
	return nil, true
}

// recorder passes an answer on and keeps it.
type recorder struct {
	http.ResponseWriter
	r recorded
}

// Unwrap lets the answer be flushed.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader keeps status and fields.
func (w *recorder) WriteHeader(status int) {
	if w.r.status == 0 {
		w.r.status, w.r.header = status, w.Header().Clone()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write keeps what fits.
func (w *recorder) Write(p []byte) (int, error) {
	if w.r.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.r.long = w.r.long || w.r.body.Len()+len(p) > onceAnswer; w.r.long {
		w.r.body = bytes.Buffer{}
	} else {
		w.r.body.Write(p)
	}
	return w.ResponseWriter.Write(p)
}
