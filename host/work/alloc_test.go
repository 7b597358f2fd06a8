package work

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// The fields of an input are the same for every request.
func TestFieldsAllocateNothing(t *testing.T) {
	sub := Catalog()[0]
	a := &sub.Actions[0]
	if len(a.Fields()) == 0 {
		t.Fatal("no fields")
	}
	if n := testing.AllocsPerRun(100, func() { a.Fields() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// silent is a response writer that forgets.
type silent struct{ http.ResponseWriter }

func (silent) Write(p []byte) (int, error) { return len(p), nil }
func (silent) Flush()                      {}

// An answer that streams borrows what it copies with.
func TestCopyMakesNoBuffer(t *testing.T) {
	var buffers sync.Pool
	w := silent{httptest.NewRecorder()}
	out := &Out{w: w, flush: http.NewResponseController(w), buffers: &buffers}
	long := strings.Repeat("x", 3*copyBuffer)
	r := strings.NewReader(long)
	res := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			r.Reset(long)
			if n, err := out.Copy(r); n != int64(len(long)) || err != nil {
				b.Fatal(n, err)
			}
		}
	})
	if n := res.AllocedBytesPerOp(); n > copyBuffer/2 { // the pool may be emptied meanwhile, and forgets a quarter under the race detector
		t.Errorf("%d bytes for each copy", n)
	}
	if _, err := out.Copy(io.MultiReader(strings.NewReader("a"), broken{})); err == nil {
		t.Error("a broken body was copied to its end")
	}
}

// broken fails.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
