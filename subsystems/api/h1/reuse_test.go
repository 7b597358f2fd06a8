package h1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// A server that ends a kept connection costs no request, not even one that may be sent
// only once: the end is seen before it is sent.
func TestAConnectionThatDiedWhileIdleIsNotUsed(t *testing.T) {
	for _, last := range []string{"", "HTTP/1.1 408 Request Timeout\r\n\r\n"} {
		closed := make(chan struct{}, 100)
		u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
			if _, _, err := request(r); err == nil {
				io.WriteString(c, ok)
				io.WriteString(c, last)
				c.Close()
			}
			closed <- struct{}{}
		})
		tr, dials := transport(t, nil)
		for i := range 5 {
			r := &Request{Method: "POST", URL: u, Body: ready{strings.NewReader("x")}, ContentLength: 1}
			if _, body := ask(t, tr, r); body != "ok" {
				t.Errorf("%q", body)
			}
			<-closed
			testkit.Until(t, "the end arrives", func() bool {
				tr.mu.Lock()
				defer tr.mu.Unlock()
				for _, h := range tr.hosts {
					for _, c := range h.idle {
						return !c.peek.alive()
					}
				}
				return true
			})
			if n := dials.Load(); n != int64(i+1) {
				t.Errorf("%d connections after %d requests", n, i+1)
			}
		}
	}
}

// One that dies while the request is on its way costs nothing where sending it again
// does no harm.
func TestARequestOnADyingConnectionIsSentAgain(t *testing.T) {
	body := func(h http.Header) *Request {
		return &Request{Method: "POST", Header: h, Body: slow{strings.NewReader("hey")}, ContentLength: 3,
			GetBody: func() (io.ReadCloser, error) { return slow{strings.NewReader("hey")}, nil }}
	}
	once := body(http.Header{"Idempotency-Key": {"k"}})
	once.GetBody = nil
	for _, tt := range []struct {
		name string
		r    *Request
		half string // of an answer, before the end
		sent int64  // times
	}{
		{"GET", &Request{}, "", 2}, {"POST with a key", body(http.Header{"Idempotency-Key": {"k"}}), "", 2}, {"POST", body(nil), "", 1},
		{"body that cannot be sent again", once, "", 1}, {"half an answer", &Request{}, "HTTP/1.1 2", 1},
	} {
		var seen atomic.Int64
		u := raw(t, func(c net.Conn, r *bufio.Reader, n int) {
			for i := 1; ; i++ {
				_, body, err := request(r)
				if err != nil {
					return
				}
				seen.Add(1)
				if n == 1 && i == 2 {
					io.WriteString(c, tt.half)
					return
				}
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			}
		})
		tr, _ := transport(t, nil)
		ask(t, tr, &Request{URL: u})
		tt.r.URL = u
		res, err := tr.RoundTrip(t.Context(), tt.r)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if n := seen.Load() - 1; n != tt.sent || (err == nil) != (tt.sent == 2) {
			t.Errorf("%s: sent %d times, %v", tt.name, n, err)
		}
	}
}

func TestWhatIsLeftOfAnAnswerEndsItsConnection(t *testing.T) {
	for name, answer := range map[string]string{
		"more than announced": ok + "HTTP/1.1 200 OK\r\n", "a body with 204": "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
		"closed": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", "HTTP/1.0": "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"after the chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n!",
	} {
		u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
			if _, _, err := request(r); err == nil {
				io.WriteString(c, answer)
				_, _ = io.Copy(io.Discard, r)
			}
		})
		tr, dials := transport(t, nil)
		for range 2 {
			if _, body := ask(t, tr, &Request{URL: u}); body != "ok" && body != "" {
				t.Errorf("%s: %q", name, body)
			}
		}
		if dials.Load() != 2 {
			t.Errorf("%s: %d connections for two requests", name, dials.Load())
		}
	}
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	tr, dials := transport(t, nil)
	for range 2 {
		ask(t, tr, &Request{URL: u, Header: http.Header{"Connection": {"close"}}})
	}
	if dials.Load() != 2 {
		t.Errorf("a request that closes: %d connections", dials.Load())
	}
}

func TestABodyThatIsClosedEarly(t *testing.T) {
	u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
		for {
			req, _, err := request(r)
			if err != nil {
				return
			}
			answer := ok
			if req.URL.Path == "/long" {
				answer = strings.Replace(ok, "2\r\n", "20000\r\n", 1)
			}
			io.WriteString(c, answer)
		}
	})
	tr, dials := transport(t, nil)
	for i, path := range []string{"/", "/long", "/"} {
		at := *u
		at.Path = path
		res, err := tr.RoundTrip(t.Context(), &Request{URL: &at})
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if _, err := res.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("read after close: %v", err)
		}
		res.Body.Close()
		if want := []int64{1, 1, 2}[i]; dials.Load() != want {
			t.Errorf("%d connections after %s, want %d", dials.Load(), path, want)
		}
	}
}

func TestClosingABodyEndsItsRead(t *testing.T) {
	u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
		if _, _, err := request(r); err == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			_, _ = io.Copy(io.Discard, r)
		}
	})
	tr, _ := transport(t, nil)
	for range 20 {
		res, err := tr.RoundTrip(t.Context(), &Request{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := res.Body.Read(make([]byte, 5)); err == nil {
				t.Error("read what nobody has sent")
			}
		})
		res.Body.Close()
		wg.Wait()
	}
}

// Requests beyond MaxPerHost go in the order in which they came, and those that leave
// take nothing with them.
func TestRequestsWaitForAConnectionInOrder(t *testing.T) {
	release := make(chan struct{})
	var order []string
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		order = append(order, r.URL.Path) // one at a time
		<-release
		if r.URL.Path == "/3" {
			w.Header().Set("Connection", "close")
		}
		fmt.Fprint(w, "ok")
	})
	tr, dials := transport(t, func(c *Config) { c.MaxPerHost = 1 })
	waiting := func() int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		n := 0
		for _, h := range tr.hosts {
			n += h.open + len(h.waiters)
		}
		return n
	}
	leaving, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := 1; i <= 6; i++ {
		wg.Go(func() {
			at, ctx := *u, t.Context()
			at.Path = fmt.Sprint("/", i)
			if i == 4 {
				ctx = leaving
			}
			res, err := tr.RoundTrip(ctx, &Request{URL: &at})
			if i == 4 {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("who left: %v", err)
				}
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		})
		testkit.Until(t, "it waits", func() bool { return waiting() == i })
	}
	leave()
	testkit.Until(t, "one leaves", func() bool { return waiting() == 5 })
	close(release)
	wg.Wait()
	if got := fmt.Sprint(order); got != "[/1 /2 /3 /5 /6]" || dials.Load() != 2 {
		t.Errorf("served %s on %d connections", got, dials.Load())
	}
}

func TestConnectionsAreKeptForAWhile(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	kept := func(tr *Transport) int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		n := 0
		for _, h := range tr.hosts {
			n += len(h.idle)
		}
		return n
	}
	tr, dials := transport(t, func(c *Config) { c.IdleTimeout, c.MaxIdlePerHost = 40*time.Millisecond, 2 })
	var bodies []io.Closer
	for range 4 {
		res, err := tr.RoundTrip(t.Context(), &Request{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, res.Body)
	}
	for _, b := range bodies {
		b.Close()
	}
	if n := kept(tr); n > 2 || dials.Load() != 4 {
		t.Errorf("%d connections are kept of %d", n, dials.Load())
	}
	testkit.Until(t, "they are too old", func() bool { return kept(tr) == 0 })
	ask(t, tr, &Request{URL: u})
	testkit.Until(t, "the next one is too old", func() bool { return kept(tr) == 0 })
	tr.Close()
	if _, err := tr.RoundTrip(t.Context(), &Request{URL: u}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.TLS.ServerName, b)
	}))
	defer s.Close()
	s.Config.ErrorLog = nil
	settings := s.Client().Transport.(*http.Transport).TLSClientConfig
	tr, dials := transport(t, func(c *Config) {
		c.TLS, c.TLSTimeout = settings, testkit.Patience
		dial := c.Dial
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "example.com:443" {
				t.Errorf("dialled %s", addr)
			}
			return dial(ctx, network, s.Listener.Addr().String())
		}
	})
	for range 3 {
		res, body := ask(t, tr, &Request{Method: "POST", URL: testkit.URL(t, "https://example.com/"), Body: ready{strings.NewReader("hey")}, ContentLength: 3})
		if body != "example.com hey" || res.TLS == nil {
			t.Errorf("%q, TLS %v", body, res.TLS)
		}
	}
	if dials.Load() != 1 {
		t.Errorf("%d connections", dials.Load())
	}
	silent := raw(t, func(_ net.Conn, r *bufio.Reader, _ int) { _, _ = io.Copy(io.Discard, r) })
	tr, _ = transport(t, func(c *Config) { c.TLS, c.TLSTimeout = settings, 20*time.Millisecond })
	silent.Scheme = "https"
	if _, err := tr.RoundTrip(t.Context(), &Request{URL: silent}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no handshake: %v", err)
	}
}
