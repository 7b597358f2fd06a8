package gatewaytest

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// origin is an upstream on net/http that records what reaches it.
type origin struct {
	f    *fixture
	URL  string
	addr string

	narrow atomic.Bool // the kernel is to keep little of what its connections receive

	mu   sync.Mutex
	seen []*arrival // guarded by mu
}

// arrival is one request as the upstream saw it. Body and trailer are there
// only where the origin had no handler of its own.
type arrival struct {
	*http.Request
	body    string
	bodyErr error
}

// origin starts an upstream. A nil handler reads the body and answers 200 "ok".
func (f *fixture) origin(h http.HandlerFunc) *origin {
	f.Helper()
	o := &origin{f: f}
	l := f.listen()
	srv := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if o.narrow.Load() {
				_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
			}
			return ctx
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := &arrival{Request: r}
			if h == nil {
				body, err := io.ReadAll(r.Body)
				a.body, a.bodyErr = string(body), err
			}
			o.mu.Lock()
			o.seen = append(o.seen, a)
			o.mu.Unlock()
			if h != nil {
				h(w, r)
				return
			}
			_, _ = io.WriteString(w, "ok")
		}),
	}
	f.Cleanup(func() { _ = srv.Close() })
	go func() { _ = srv.Serve(l) }()
	o.addr = l.Addr().String()
	o.URL = "http://" + o.addr
	return o
}

// count is how many requests have arrived.
func (o *origin) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen)
}

// only returns the one request that arrived, and fails unless there is just one.
func (o *origin) only() *arrival {
	o.f.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.seen) != 1 {
		o.f.Fatalf("%d requests reached the upstream, want 1", len(o.seen))
	}
	return o.seen[0]
}

// last returns the request that arrived last.
func (o *origin) last() *arrival {
	o.f.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.seen) == 0 {
		o.f.Fatalf("no request reached the upstream")
	}
	return o.seen[len(o.seen)-1]
}

func (f *fixture) listen() *net.TCPListener {
	f.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatalf("listen for an upstream: %v", err)
	}
	f.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

// peer is one connection accepted by a scripted upstream. Its methods may be
// used by that upstream's goroutine.
type peer struct {
	*net.TCPConn
	br *bufio.Reader
}

// scripted starts an upstream that runs script for each connection, closes it
// afterwards, and is waited for at the end of the test. It returns the address.
func (f *fixture) scripted(script func(p *peer)) string {
	f.Helper()
	l := f.listen()
	var (
		mu    sync.Mutex
		conns []net.Conn
		wg    sync.WaitGroup
	)
	wg.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			_ = c.SetDeadline(time.Now().Add(2 * f.patience))
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				script(&peer{TCPConn: c, br: bufio.NewReader(c)})
			})
		}
	})
	f.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// request reads one request with its body; nil at the connection's end.
func (p *peer) request() *arrival {
	r, err := http.ReadRequest(p.br)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	return &arrival{Request: r, body: string(body), bodyErr: err}
}

// send writes raw bytes; whether they arrive is for the other side to say.
func (p *peer) send(raw string) { _, _ = io.WriteString(p, raw) }

// drain reads until the connection ends.
func (p *peer) drain() { _, _ = io.Copy(io.Discard, p.br) }

// answering is a scripted upstream that answers each request with the same raw
// bytes and then closes the connection.
func (f *fixture) answering(raw string) string {
	f.Helper()
	return f.scripted(func(p *peer) {
		if p.request() != nil {
			p.send(raw)
		}
	})
}

// lines joins the lines of a message's head.
func lines(line ...string) string { return strings.Join(line, "\r\n") + "\r\n\r\n" }
