package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gaia-host/gaia/extensions/policy/hooktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeTime makes every wait pass at once.
type fakeTime struct{ now atomic.Int64 }

func (f *fakeTime) clock() int64 { return f.now.Load() }

func (f *fakeTime) after(d time.Duration) (<-chan time.Time, func() bool) {
	f.now.Add(int64(d))
	ch := make(chan time.Time, 1)
	ch <- time.Time{}
	return ch, func() bool { return true }
}

func newFakeTime() *fakeTime {
	f := &fakeTime{}
	f.now.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return f
}

func newPool(t testing.TB, p *hooktest.Policy, change func(*Config)) *Pool {
	t.Helper()
	cfg := DefaultConfig()
	if p != nil {
		cfg.Slot = hooktest.Slot(3, p)
	}
	cfg.Random = func() float64 { return 0.5 }
	cfg.Admission.Retry.Base = 2 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	pool, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := pool.Stop(ctx); err != nil {
			t.Error(err)
		}
		if s := pool.Stats(); s.InFlight != 0 || s.Queued != 0 {
			t.Errorf("after Stop: %+v", s)
		}
	})
	return pool
}

// text sends c and reads the answer.
func text(t testing.TB, p *Pool, c *Call) (int, string) {
	t.Helper()
	res, err := p.Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// kind is the kind of failure that err tells, "" for another error.
func kind(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// slowBody gives its bytes in small pieces and says when it is closed.
type slowBody struct {
	r      io.Reader
	closed chan struct{}
	once   sync.Once
}

func (b *slowBody) Read(p []byte) (int, error) { return b.r.Read(p[:min(len(p), 4096)]) }

func (b *slowBody) Close() error { b.once.Do(func() { close(b.closed) }); return nil }

func readHead(c net.Conn) {
	buf := make([]byte, 0, 4096)
	for !bytes.Contains(buf, []byte("\r\n\r\n")) {
		n, err := c.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
	}
}

type dialTo struct {
	addr string
	seen chan string
}

func (d dialTo) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d.seen <- addr
	return (&net.Dialer{}).DialContext(ctx, network, d.addr)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }
