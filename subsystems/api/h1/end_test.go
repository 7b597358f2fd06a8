package h1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

func TestACallerThatLeavesIsLetGo(t *testing.T) {
	arrived := make(chan struct{}, 1)
	gone := make(chan struct{}, 1)
	u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if req.URL.Path == "/body" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh")
		}
		arrived <- struct{}{}
		_, _ = io.Copy(io.Discard, r)
		gone <- struct{}{}
	})
	tr, _ := transport(t, nil)
	at := func(path string) *Request { c := *u; c.Path = path; return &Request{URL: &c} }
	why := errors.New("why")
	for _, late := range []time.Duration{0, 10 * sweepEvery} { // before and after it has a watch of its own
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(late, func() { <-arrived; cancel(why) })
		if _, err := tr.RoundTrip(ctx, at("/head")); !errors.Is(err, why) {
			t.Errorf("at the head, after %v: %v", late, err)
		}
		<-gone
		ctx, cancel = context.WithCancelCause(t.Context())
		res, err := tr.RoundTrip(ctx, at("/body"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(late, func() { <-arrived; cancel(why) })
		if _, err := io.ReadAll(res.Body); !errors.Is(err, why) {
			t.Errorf("in the body, after %v: %v", late, err)
		}
		res.Body.Close()
		<-gone
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := tr.RoundTrip(ctx, at("/head")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline: %v", err)
	}
	if _, err := tr.RoundTrip(ctx, at("/head")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline that has passed: %v", err)
	}
}

// taking serves connections that are left open: each request is answered with what f
// returns for its path.
func taking(t *testing.T, f func(c net.Conn, path string)) *Request {
	t.Helper()
	u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
		if req, _, err := request(r); err == nil {
			f(c, req.URL.Path)
			_, _ = io.Copy(io.Discard, r)
		}
	})
	return &Request{URL: u}
}

func TestAnAnswerThatIsLate(t *testing.T) {
	u := taking(t, func(net.Conn, string) {}).URL
	tr, _ := transport(t, func(c *Config) { c.HeaderTimeout = 30 * time.Millisecond })
	var timeout interface{ Timeout() bool }
	for name, r := range map[string]*Request{
		"no body": {URL: u}, "short body": {Method: "POST", URL: u, Body: ready{strings.NewReader("x")}, ContentLength: 1},
		"other body": {Method: "POST", URL: u, Body: slow{strings.NewReader("x")}},
	} {
		if _, err := tr.RoundTrip(t.Context(), r); !errors.Is(err, ErrHeaderTimeout) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The header timeout is for the time between the two: neither a request that takes long
// nor an answer that does is late.
func TestTheHeaderTimeoutEndsWithTheHead(t *testing.T) {
	const bound = time.Second
	u := taking(t, func(c net.Conn, path string) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
		if path == "/slow" {
			<-time.After(bound * 3 / 2)
		}
		io.WriteString(c, "x")
	}).URL
	tr, _ := transport(t, func(c *Config) { c.HeaderTimeout = bound })
	var wg sync.WaitGroup
	wg.Go(func() {
		at := *u
		at.Path = "/slow"
		if _, body := ask(t, tr, &Request{URL: &at}); body != "x" {
			t.Errorf("a late body: %q", body)
		}
	})
	slowly, feed := io.Pipe()
	time.AfterFunc(bound*3/2, func() { feed.Write([]byte("x")); feed.Close() })
	if _, body := ask(t, tr, &Request{Method: "POST", URL: u, Body: slowly}); body != "x" {
		t.Errorf("a slow request: %q", body)
	}
	wg.Wait()
}

func TestAnAnswerBeforeTheBodysEnd(t *testing.T) {
	u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
		if _, err := http.ReadRequest(r); err == nil {
			io.WriteString(c, ok)
			_, _ = io.Copy(io.Discard, r)
		}
	})
	tr, dials := transport(t, nil)
	for i := range 3 {
		body, feed := io.Pipe()
		if _, got := ask(t, tr, &Request{Method: "POST", URL: u, Body: body, ContentLength: 1000}); got != "ok" {
			t.Errorf("%q", got)
		}
		feed.CloseWithError(errors.New("nobody reads on"))
		if dials.Load() != int64(i+1) {
			t.Errorf("%d connections: one with half a request on it was kept", dials.Load())
		}
	}
}

func TestABodyThatCannotBeReadEndsItsRequest(t *testing.T) {
	u := testkit.Serve(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	tr, _ := transport(t, nil)
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		r    Request
		want error
	}{
		"broken":                 {Request{Body: slow{io.MultiReader(strings.NewReader("x"), failing{broken})}, ContentLength: 5}, broken},
		"broken, length unknown": {Request{Body: slow{io.MultiReader(strings.NewReader("x"), failing{broken})}}, broken},
		"short":                  {Request{Body: slow{strings.NewReader("x")}, ContentLength: 5}, ErrBodyLength},
		"long":                   {Request{Body: slow{strings.NewReader("123456")}, ContentLength: 5}, ErrBodyLength},
		"long, and there":        {Request{Body: ready{strings.NewReader("123456")}, ContentLength: 5}, ErrBodyLength},
		"bad trailer":            {Request{Body: slow{strings.NewReader("x")}, Trailer: http.Header{"A": {"b\nc"}}}, ErrUnsendable},
	} {
		tt.r.Method, tt.r.URL = "POST", u
		if _, err := tr.RoundTrip(t.Context(), &tt.r); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestExpectHoldsTheBodyBack(t *testing.T) {
	u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			switch req.URL.Path {
			case "/no":
				io.WriteString(c, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
				_, _ = io.Copy(io.Discard, r)
				return
			case "/yes":
				io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			b, _ := io.ReadAll(req.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
		}
	})
	for path, patience := range map[string]time.Duration{"/yes": testkit.Patience, "/no": testkit.Patience, "/nothing": 10 * time.Millisecond} {
		tr, _ := transport(t, func(c *Config) { c.ContinueTimeout = patience })
		at := *u
		at.Path = path
		var read atomic.Bool
		body := &noting{Reader: strings.NewReader("hello"), read: &read, closed: make(chan struct{})}
		res, got := ask(t, tr, &Request{Method: "POST", URL: &at, Body: body, ContentLength: 5, Header: http.Header{"Expect": {"100-continue"}}})
		if refused := path == "/no"; read.Load() == refused || (res.StatusCode == 417) != refused || got != "hello" && !refused {
			t.Errorf("%s: %s %q, read %v", path, res.Status, got, read.Load())
		}
		<-body.closed
	}
}

// noting says whether it was read and closed.
type noting struct {
	io.Reader
	read   *atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (n *noting) Read(p []byte) (int, error) { n.read.Store(true); return n.Reader.Read(p) }
func (n *noting) Close() error               { n.once.Do(func() { close(n.closed) }); return nil }

func TestRequestsHammer(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // or the server would not see that the caller leaves
		switch r.URL.Path {
		case "/1":
			w.Header().Set("Connection", "close")
		case "/2":
			w.(http.Flusher).Flush()
		case "/3":
			<-r.Context().Done()
		}
		_, _ = w.Write(body)
	})
	tr, _ := transport(t, func(c *Config) { c.MaxPerHost, c.MaxIdlePerHost, c.IdleTimeout = 8, 4, 5*time.Millisecond })
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 40 {
				at := *u
				at.Path = fmt.Sprint("/", (i+j)%6)
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%6 >= 3 {
					time.AfterFunc(time.Duration(i+j)*100*time.Microsecond, cancel)
				}
				text := strings.Repeat("x", j*500)
				r := &Request{Method: "PUT", URL: &at, Body: slow{strings.NewReader(text)}, ContentLength: int64(len(text))}
				if j%2 == 0 {
					r.Body = ready{strings.NewReader(text)}
				}
				res, err := tr.RoundTrip(ctx, r)
				if err == nil {
					var b []byte
					if b, err = io.ReadAll(res.Body); err == nil && string(b) != text {
						t.Errorf("%d bytes came back of %d", len(b), len(text))
					}
					res.Body.Close()
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

// answering answers as fast as can be, without allocating.
func answering(c net.Conn, r *bufio.Reader, _ int) {
	answer := []byte("HTTP/1.1 200 OK\r\nServer: x\r\nDate: now\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
	blank := 0
	for {
		b, err := r.ReadByte()
		if err != nil {
			return
		}
		if b == '\n' {
			blank++
		} else if b != '\r' {
			blank = 0
		}
		if blank == 2 {
			_, _ = c.Write(answer)
		}
	}
}

func TestRoundTripAllocatesLittle(t *testing.T) {
	u := raw(t, answering)
	tr, _ := transport(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &Request{URL: u, Header: http.Header{"Accept": {"*/*"}, "X-Tenant": {"a"}}}
	buf := make([]byte, 100)
	n := testing.AllocsPerRun(300, func() {
		res, err := tr.RoundTrip(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := res.Body.Read(buf); n != 2 || err != io.EOF {
			t.Fatal(n, err)
		}
	})
	t.Logf("%v allocations", n)
	if n > 7 && !testkit.Race {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	u := raw(b, answering)
	tr, _ := transport(b, nil)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	r := &Request{URL: u, Header: http.Header{"Accept": {"*/*"}, "X-Tenant": {"a"}}}
	buf := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		res, err := tr.RoundTrip(ctx, r)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = res.Body.Read(buf)
	}
}
