package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/api"
)

func bodyOf(r io.Reader, length int64, m *memory) *clientBody {
	req := httptest.NewRequest("POST", "/", r)
	req.ContentLength = length
	return newClientBody(req, m)
}

func TestReadAhead(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 5000)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "end with data": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &memory{}
				b := bodyOf(wrap(bytes.NewReader(text)), int64(len(text)), m)
				b.watch()
				time.Sleep(2 * aheadAfter) // nobody asks
				synctest.Wait()
				if got := bodyState(b.state.Load()); got != bodyDone {
					t.Fatalf("the body was not read ahead: %v", got)
				}
				if m.ahead.Load() != int64(len(text)) {
					t.Errorf("%d bytes are counted", m.ahead.Load())
				}
				got, err := io.ReadAll(iotest.OneByteReader(b))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				b.end()
				if m.ahead.Load() != 0 {
					t.Errorf("%d bytes are still counted", m.ahead.Load())
				}
			})
		})
	}
}

// TestReadAheadMeetsReader has the transport ask while the client is still sending.
func TestReadAheadMeetsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r, w := io.Pipe()
		b := bodyOf(r, 10, m)
		b.watch()
		go func() {
			for i, piece := range []string{"01", "2345", "6789"} {
				time.Sleep(time.Duration(i) * time.Second)
				_, _ = io.WriteString(w, piece)
			}
			_ = w.Close()
		}()
		time.Sleep(500 * time.Millisecond)
		first := make([]byte, 10)
		if n, err := b.Read(first); n != 2 || err != nil {
			t.Errorf("what was there: %q %v", first[:n], err)
		}
		rest, err := io.ReadAll(b)
		if string(rest) != "23456789" || err != nil {
			t.Errorf("the rest: %q %v", rest, err)
		}
		b.end()
		synctest.Wait()
	})
}

func TestReadAheadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		m.ahead.Store(maxAheadSum - 5)
		for _, b := range []*clientBody{
			bodyOf(bytes.NewReader(make([]byte, 10)), 10, m),         // too much in memory
			bodyOf(bytes.NewReader(make([]byte, 10)), -1, &memory{}), // of unknown length
			bodyOf(bytes.NewReader(nil), maxAhead+1, &memory{}),
		} {
			b.watch()
			time.Sleep(2 * aheadAfter)
			synctest.Wait()
			if bodyState(b.state.Load()) != bodyOpen {
				t.Errorf("a body of length %d was read ahead", b.length)
			}
			b.end()
		}
		if m.ahead.Load() != maxAheadSum-5 {
			t.Errorf("%d bytes are counted", m.ahead.Load())
		}
	})
}

func TestBodyErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		body  *clientBody
		bound int64
		want  bodyState
		err   error
	}{
		{"bad", bodyOf(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(make([]byte, 9)))), -1, &memory{}), -1, bodyBad, errBodyBad},
		{"large", bodyOf(bytes.NewReader(make([]byte, 11)), -1, &memory{}), 10, bodyLarge, errBodyLarge},
		{"fits", bodyOf(bytes.NewReader(make([]byte, 10)), -1, &memory{}), 10, bodyDone, nil},
	} {
		c.body.left = c.bound
		_, err := io.Copy(io.Discard, c.body)
		if !errors.Is(err, c.err) || bodyState(c.body.state.Load()) != c.want {
			t.Errorf("%s: %v, state %v", c.name, err, c.body.state.Load())
		}
		if err != nil && !errors.Is(err, api.ErrTooLarge) {
			t.Errorf("%s: the upstream would be blamed", c.name)
		}
		c.body.end()
		if _, err := c.body.Read(make([]byte, 1)); !errors.Is(err, errBodyOver) {
			t.Errorf("%s: read after the end: %v", c.name, err)
		}
	}
}

// TestHeldUploadIsWatched holds a body of 300 KB that arrives late, and has the client
// leave.
func TestHeldUploadIsWatched(t *testing.T) {
	held, gone := make(chan struct{}), make(chan struct{})
	pool := newPool(t, func(c *api.Config) {
		c.Slot = hooktest.Slot(7, &hooktest.Policy{Request: func(r *policy.Request, _ *policy.Decision) {
			r.Ledger.Add(policy.Entry{From: leaving{gone}, Limiter: "hold", OK: true, Wait: 30 * time.Second, Taken: r.Now})
			close(held)
		}})
	})
	s, addr := start(t, Config{Routes: upRoute(t, "http://127.0.0.1:1"), Pool: pool})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	const size = 300_000
	_, _ = io.WriteString(conn, "POST /up/ HTTP/1.1\r\nHost: "+addr+"\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n")
	<-held
	_, _ = conn.Write(make([]byte, size))
	testkit.Until(t, "the whole body is read ahead", func() bool { return s.memory.ahead.Load() == size })
	_ = conn.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Fatal("a client that left while it was held was not noticed")
	}
	testkit.Until(t, "nothing of it is counted", func() bool { return s.memory.ahead.Load() == 0 })
}

// leaving learns that what was taken is given back.
type leaving struct{ gone chan struct{} }

func (l leaving) GiveBack(int64, string, int64, int64)      { close(l.gone) }
func (l leaving) Release(int64, string, int64)              {}
func (l leaving) Settle(int64, string, int64, int64, int64) {}

// TestMalformedBodiesBlameNobody sends bodies that end wrong: the upstream's breaker
// must not open for it.
func TestMalformedBodiesBlameNobody(t *testing.T) {
	up := origin(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	pool := newPool(t, func(c *api.Config) {
		c.Admission.Breaker.Enabled = true
	})
	_, addr := start(t, Config{Routes: upRoute(t, up.URL), Pool: pool})
	for i := range 20 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST /up/ HTTP/1.1\r\nHost: "+addr+"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "nonsense\r\n")
			_, _ = conn.Read(make([]byte, 16))
		}
		_ = conn.Close()
	}
	c := client(t)
	if res, body := send(t, c, "GET", "http://"+addr+"/up/"); res.StatusCode != 200 {
		t.Errorf("status %d: %s", res.StatusCode, body)
	}
	if n := pool.Stats().BreakerOpened; n != 0 {
		t.Errorf("a breaker opened %d times", n)
	}
}

// A short body that came with its head goes on with its head: it needs no goroutine.
func TestAShortBodyGoesWithItsHead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		n, _ := c.Read(buf) // what was written in one piece
		first <- string(buf[:n])
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	}()
	_, addr := start(t, Config{Routes: upRoute(t, "http://"+l.Addr().String())})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "POST /up/ HTTP/1.1\r\nHost: "+addr+"\r\nContent-Length: 5\r\n\r\nhello")
	if got := <-first; !strings.HasSuffix(got, "\r\n\r\nhello") {
		t.Errorf("the upstream read %q at once", got)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusNoContent || res.Close {
		t.Errorf("%v, %v", res, err)
	}
}

func TestWhatOfABodyIsThere(t *testing.T) {
	b := bodyOf(bytes.NewReader(nil), 5, &memory{})
	if n := b.Buffered(); n != 0 {
		t.Errorf("of a source that does not say: %d", n)
	}
	b.from = bufio.NewReader(bytes.NewReader([]byte("hello")))
	_, _ = b.from.(*bufio.Reader).Peek(1)
	if n := b.Buffered(); n != 5 {
		t.Errorf("of a source that says: %d", n)
	}
	b.ahead = []byte("hel")
	if n := b.Buffered(); n != 3 {
		t.Errorf("read ahead: %d", n)
	}
	b.pumping = true
	if n := b.Buffered(); n != 0 {
		t.Errorf("being read ahead: %d", n)
	}
}
