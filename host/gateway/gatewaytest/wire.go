package gatewaytest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// wire is a client's connection to the gateway, spoken to byte by byte.
type wire struct {
	f *fixture
	*net.TCPConn
	br *bufio.Reader
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
	err  error // how reading the body ended; nil is a clean end
}

// dial connects to addr. The connection is closed at the end of the test.
func (f *fixture) dial(addr string) *wire {
	f.Helper()
	c, err := net.DialTimeout("tcp", addr, f.patience)
	if err != nil {
		f.Fatalf("dial the gateway: %v", err)
	}
	f.Cleanup(func() { _ = c.Close() })
	tc := c.(*net.TCPConn)
	_ = tc.SetDeadline(time.Now().Add(2 * f.patience))
	return &wire{f: f, TCPConn: tc, br: bufio.NewReader(tc)}
}

// request is the head of a request to addr: lines are added as they are, Host
// and the empty line are supplied.
func request(addr, line string, fields ...string) string {
	var b strings.Builder
	b.WriteString(line + " HTTP/1.1\r\nHost: " + addr + "\r\n")
	for _, field := range fields {
		b.WriteString(field + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// send writes raw bytes.
func (w *wire) send(raw string) {
	w.f.Helper()
	if _, err := io.WriteString(w, raw); err != nil {
		w.f.Fatalf("send to the gateway: %v", err)
	}
}

// head reads the head of the next response; its body is still to be read.
func (w *wire) head(method string) *http.Response {
	w.f.Helper()
	res, err := http.ReadResponse(w.br, &http.Request{Method: method})
	if err != nil {
		w.f.Fatalf("read a response from the gateway: %v", err)
	}
	return res
}

// answer reads the next response that is not 1xx, whole.
func (w *wire) answer(method string) answer {
	w.f.Helper()
	res := w.head(method)
	for res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
		res = w.head(method)
	}
	body, err := io.ReadAll(res.Body)
	return answer{Response: res, body: string(body), err: err}
}

// expect reads n bytes and compares them.
func (w *wire) expect(what, want string) {
	w.f.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(w.br, got); err != nil {
		w.f.Fatalf("%s: got %q and %v, want %q", what, got[:n], err, want)
	}
	w.f.equal(what, string(got), want)
}

// gone waits until the gateway has closed the connection, and fails if it sends
// anything before.
func (w *wire) gone(within time.Duration) {
	w.f.Helper()
	_ = w.SetReadDeadline(time.Now().Add(within))
	rest, err := io.ReadAll(w.br)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.f.Fatalf("the connection is still open after %v", within)
	}
	if len(rest) != 0 {
		w.f.Fatalf("more bytes before the end of the connection: %.100q", rest)
	}
}

// do sends one request and reads its answer on a connection of its own.
func (f *fixture) do(addr, raw string) answer {
	f.Helper()
	w := f.dial(addr)
	defer func() { _ = w.Close() }()
	w.send(raw)
	method, _, _ := strings.Cut(raw, " ")
	return w.answer(method)
}

// ok sends one request and wants 200 with a clean body.
func (f *fixture) ok(addr, raw string) answer {
	f.Helper()
	a := f.do(addr, raw)
	a.want(f, http.StatusOK)
	return a
}

// want fails unless the answer has the status and its body ended cleanly.
func (a answer) want(f *fixture, status int) {
	f.Helper()
	if a.err != nil {
		f.Fatalf("status %d, then reading the body: %v", a.StatusCode, a.err)
	}
	if a.StatusCode != status {
		f.Fatalf("status %d, want %d; body: %.200q", a.StatusCode, status, a.body)
	}
}
