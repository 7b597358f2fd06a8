package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen, on a machine under load.
const patience = 10 * time.Second

// start serves h until the end of the test.
func start(tb testing.TB, c Config) (*Server, string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := New(c)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	tb.Cleanup(func() {
		s.Close()
		if err := <-served; !errors.Is(err, ErrClosed) {
			tb.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

func serve(tb testing.TB, h http.HandlerFunc) string {
	tb.Helper()
	_, addr := start(tb, Config{Handler: h})
	return addr
}

// client is a connection that is spoken to byte by byte.
type client struct {
	testing.TB
	*net.TCPConn
	br *bufio.Reader
}

func dial(tb testing.TB, addr string) *client {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	return &client{tb, c.(*net.TCPConn), bufio.NewReader(c)}
}

func (c *client) send(raw string) {
	c.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		c.Fatalf("send: %v", err)
	}
}

// answer reads an answer to a request of the method, and its body.
func (c *client) answer(method string) (*http.Response, string) {
	c.Helper()
	res, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.Fatalf("read an answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatalf("read the body: %v after %q", err, body)
	}
	return res, string(body)
}

// rest is what comes until the connection ends.
func (c *client) rest() string {
	c.Helper()
	all, err := io.ReadAll(c.br)
	if err != nil {
		c.Fatalf("read to the end: %v after %q", err, all)
	}
	return string(all)
}

// talk sends raw and returns all that comes back, without the Date.
func talk(tb testing.TB, addr, raw string) string {
	tb.Helper()
	c := dial(tb, addr)
	c.send(raw)
	_ = c.CloseWrite()
	return undated(c.rest())
}

func undated(text string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\r\n") {
		if !strings.HasPrefix(line, "Date: ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func within[T any](tb testing.TB, what string, c <-chan T) (v T) {
	tb.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		tb.Fatalf("%s: not within %v", what, patience)
	}
	return v
}

func timeout(tb testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
