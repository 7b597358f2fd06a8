package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/gaia-host/gaia/internal/testkit"
)

func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func TestOverlappingAttemptsReadTheSameBytes(t *testing.T) {
	want := payload(50_000)
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var sent atomic.Uint64
		r := newReplay(&Call{Body: iotest.HalfReader(bytes.NewReader(want)), ContentLength: -1}, 1<<20, &sent)
		sizes := make([]int, 3)
		for i := range sizes {
			sizes[i] = 1 + rnd.IntN(4000)
		}
		var wg sync.WaitGroup
		for i, size := range sizes {
			b, err := r.open(i == 0)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				var got bytes.Buffer
				if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, b, make([]byte, size)); err != nil || !bytes.Equal(got.Bytes(), want) {
					t.Errorf("read %d bytes, %v", got.Len(), err)
				}
				b.Close()
			})
		}
		wg.Wait()
		if sent.Load() != uint64(3*len(want)) || !r.again() {
			t.Errorf("sent %d bytes, again %v", sent.Load(), r.again())
		}
	}
}

func TestReplayForgetsWhatIsTooLong(t *testing.T) {
	var sent atomic.Uint64
	closed := make(chan struct{})
	src := &slowBody{r: bytes.NewReader(payload(10_000)), closed: closed}
	r := newReplay(&Call{Body: src, ContentLength: -1}, 9_999, &sent)
	first, _ := r.open(true)
	if !r.again() {
		t.Error("an unread body cannot be sent again")
	}
	if n, err := io.Copy(io.Discard, first); n != 10_000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	second, _ := r.open(false)
	if _, err := second.Read(make([]byte, 1)); !errors.Is(err, errNotKept) || r.again() || r.kept != nil {
		t.Errorf("read again: %v, again %v, kept %v", err, r.again(), r.kept != nil)
	}
	first.Close()
	r.finish()
	select {
	case <-closed:
		t.Error("closed under a reader")
	default:
	}
	second.Close()
	second.Close()
	<-closed
	if _, err := second.Read(nil); err == nil {
		t.Error("a closed body was read")
	}
}

func TestReplayPassesErrorsOn(t *testing.T) {
	var sent atomic.Uint64
	broken := errors.New("broken")
	r := newReplay(&Call{Body: io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(broken)), ContentLength: -1}, 100, &sent)
	for i := range 2 {
		b, _ := r.open(i == 0)
		got, err := io.ReadAll(b)
		if string(got) != "abc" || !errors.Is(err, broken) {
			t.Errorf("attempt %d: %q %v", i, got, err)
		}
		b.Close()
	}
	r.finish()
}

func TestReplayIsBounded(t *testing.T) {
	var n atomic.Int64
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if n.Add(1)%2 == 1 {
			w.WriteHeader(429)
			return
		}
		fmt.Fprint(w, len(b))
	})
	p := newPool(t, nil, func(c *Config) { c.ReplayMax = 1000 })
	again := func(size int) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(make([]byte, size))), nil }
	}
	for _, tt := range []struct {
		name   string
		size   int
		length int64
		get    bool
		want   int
	}{
		{"fits", 1000, 1000, false, 200}, {"fits, length unknown", 1000, -1, false, 200},
		{"too long", 1001, 1001, false, 429}, {"too long, length unknown", 1001, -1, false, 429},
		{"GetBody", 5000, 5000, true, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n.Store(0)
			c := &Call{Method: "POST", URL: u, Body: bytes.NewReader(make([]byte, tt.size)), ContentLength: tt.length}
			if tt.get {
				c.GetBody = again(tt.size)
			}
			status, body := text(t, p, c)
			if status != tt.want || status == 200 && body != fmt.Sprint(tt.size) {
				t.Errorf("%d %q", status, body)
			}
		})
	}
}
